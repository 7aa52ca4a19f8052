package confirm_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
	"hashtill/store"
)

var (
	histories    = flag.Uint64("histories", 300, "how many random histories are played")
	firstHistory = flag.Uint64("history", 1, "the seed of the first")
)

// weather is all that has to happen at least once in so many histories: without it they
// would prove nothing.
var weather = []string{
	"cut before", "cut after", "500 before", "500 after", "503", "409", "429",
	"died before a commit", "died after a commit", "died after the deed", "lease abandoned", "worked late", "meanwhile",
	"webhook late", "webhook twice", "webhook disordered", "webhook never",
	"bank complete", "bank fail", "bank never", "processing", "keys pruned",
	"echo by another", "press too late", "press again", "another card", "cancel", "freeze",
	"refund of a part", "refund of all", "refund of too much", "withdrawal", "charge by hand", "given back by hand", "reconcile",
}

// Whatever happens, and whatever is lost on the way: each purchase is charged once or not
// at all, by its buyer's own echo and press, and what was charged and given back at Stripe
// is what the store says, to the minor unit.
func TestHistories(t *testing.T) {
	var (
		next   atomic.Uint64
		failed atomic.Int32
		all    sync.WaitGroup
		mu     sync.Mutex
		total  = map[string]int{}
	)
	begun := time.Now()
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			stage := newStage(t)
			defer stage.Close()
			for n := next.Add(1); n <= *histories && failed.Load() < 5; n = next.Add(1) {
				seed := *firstHistory + n - 1
				h := stage.play(seed)
				if len(h.wrong) > 0 {
					failed.Add(1)
					t.Errorf("%s\nthe same again: go test ./confirm -run '^TestHistories$' -v -histories 1 -history %d", strings.Join(h.wrong, "\n"), seed)
				}
				if *histories == 1 {
					t.Logf("history %d:\n%s", seed, strings.Join(h.trace, "\n"))
				}
				mu.Lock()
				for kind, n := range h.count {
					total[kind] += n
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if *histories >= 300 {
		for _, kind := range weather {
			if total[kind] == 0 {
				t.Errorf("%q has never happened: this proves nothing", kind)
			}
		}
	}
	became := func(count func(kind string) bool) string {
		var line []string
		for _, kind := range slices.Sorted(maps.Keys(total)) {
			if count(kind) {
				line = append(line, fmt.Sprintf("%s %d", kind, total[kind]))
			}
		}
		return strings.Join(line, ", ")
	}
	t.Logf("%d histories in %.0f s, %d with violations: %s; weather: %s", *histories, time.Since(begun).Seconds(), failed.Load(),
		became(func(kind string) bool { return !slices.Contains(weather, kind) }), became(func(kind string) bool { return slices.Contains(weather, kind) }))
}

// The same seed is the same history.
func TestHistoriesReplay(t *testing.T) {
	stage := newStage(t)
	defer stage.Close()
	for seed := uint64(1); seed <= 10; seed++ {
		first, second := stage.play(seed).trace, stage.play(seed).trace
		for i := range min(len(first), len(second)) {
			if first[i] != second[i] {
				t.Fatalf("history %d, line %d: %q, and then %q", seed, i, first[i], second[i])
			}
		}
		if len(first) != len(second) {
			t.Fatalf("history %d has %d lines, and then %d", seed, len(first), len(second))
		}
	}
}

// A stage is where one history after the other is played.
type stage struct {
	*httptest.Server
	counter *confirm.Counter
	now     atomic.Pointer[history]
}

func newStage(t *testing.T) *stage {
	s := &stage{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.now.Load().ServeHTTP(w, r) }))
	links, _, err := confirm.ParseKeys(historyKeys)
	if err == nil {
		s.counter, err = confirm.New(confirm.Config{Links: links, PublicURL: "https://shop.example", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	}
	if err != nil {
		t.Error(err)
	}
	return s
}

// play plays a history to its end, and looks at what has become of it.
func (s *stage) play(seed uint64) (h *history) {
	h, err := newHistory(seed, s.counter, s.URL)
	if err != nil {
		return &history{wrong: []string{err.Error()}}
	}
	defer func() {
		if p := recover(); p != nil {
			h.violated("panic: %v\n%s", p, debug.Stack())
		}
		if err := h.close(); err != nil {
			h.violated("%v", err)
		}
	}()
	s.now.Store(h)
	h.play()
	h.settle()
	h.judge()
	return h
}

// settle lets all be well, and all be done that is owed.
func (h *history) settle() {
	h.notes("all is well")
	h.healed, h.dies, h.dead, h.late, h.dropping = true, 0, false, nil, false
	h.stripe.ClearFaults()
	h.stripe.HoldCharges(false)
	h.stripe.SetDelivery(stripetest.Delivery{Hold: true})
	for _, d := range []time.Duration{2 * time.Second, time.Minute, time.Minute, 5 * time.Minute, 5 * time.Minute, 16 * time.Minute, 16 * time.Minute,
		time.Hour, time.Hour, time.Hour, time.Minute, confirm.DefaultSettle} {
		h.pass(d)
		h.drain()
	}
	for _, d := range h.books() {
		w := h.wanted(d.Purchase)
		switch {
		case w != nil && d.Kind == confirm.SecondCharge && w.byHand > 0 && d.Next == "":
		case w != nil && d.Kind == confirm.SecondCharge && w.byHand > 0 && (w.seen.PaidAt.IsZero() || len(w.seen.Refunds) > 0):
			// It may be what the buyer has paid by: somebody looks, and gives it back.
			h.count["given back by hand"]++
			h.form(h.stripe.URL()+"/v1/refunds", url.Values{"payment_intent": {d.Intent}})
		case w != nil && d.Kind == confirm.LeftOpen && d.Intent != w.seen.Intent && d.Next == "": // its id was lost with a 500
		default:
			h.violated("the books: %s: %s %s %s", d.Kind, d.Says, d.Done, d.Next)
		}
	}
	h.drain()
	h.pass(confirm.DefaultSettle)
	h.drain()
	for _, d := range h.books() {
		h.violated("the books, repaired: %s: %s %s %s", d.Kind, d.Says, d.Done, d.Next)
	}
}

// drain has Stripe tell what waits, and does all that is due.
func (h *history) drain() {
	for range 20 {
		if err := h.flush(); err != nil {
			h.violated("webhook: %v", err)
		}
		n := len(h.trace)
		h.works()
		if len(h.trace) == n {
			return
		}
	}
	h.violated("effects without end")
}

// judge holds the store, Stripe and what the buyers have done to each other.
func (h *history) judge() {
	ctx := context.Background()
	here, there := map[string]int64{}, map[string]int64{}
	held := map[string]int{}
	for _, w := range h.wants {
		p, err := h.shop.Purchase(ctx, w.id)
		if err != nil {
			if w.seen.ID != "" {
				h.violated("%s is gone: %v", w.name, err)
			}
			continue
		}
		h.count["purchases"]++
		h.count[string(p.State)]++
		if len(w.banks) > 0 && !w.answered {
			h.count["bank never"]++
		}
		if !p.State.Ended() {
			h.violated("%s is %s for ever", w.name, p.State)
		}
		units := 0
		if p.State == offers.Paid {
			units = p.Quantity
		}
		if p.Held != units {
			h.violated("%s is %s and holds %d units", w.name, p.State, p.Held)
		}
		held[p.Offer] += p.Held
		if w.takenBack && p.State == offers.Paid {
			h.violated("%s was cancelled, and its money is kept", w.name)
		}
		if !p.PaidAt.IsZero() {
			made, owed := p.PaidBack()
			here[p.Total.Currency] += p.Total.Minor - made.Minor
			if owed.Minor != 0 {
				h.violated("%s: %s are owed for ever", w.name, owed)
			}
			h.count["refunds"] += len(p.Refunds)
		}
		h.judgeCharges(w, p)
	}
	for offer, n := range held {
		if n > h.stock[offer] {
			h.violated("%d of %s are held, of %d", n, offer, h.stock[offer])
		}
	}
	for _, c := range h.stripe.Charges() {
		h.count["charges"]++
		there[strings.ToUpper(c.Currency)] += c.Amount - c.Refunded
		if h.wanted(offers.ID(c.Metadata["purchase"])) == nil {
			h.violated("a charge of no purchase")
		}
	}
	for _, ware := range wares {
		if code := ware.Price.Currency; here[code] != there[code] {
			h.violated("in %s there are %d at Stripe and %d in the store", code, there[code], here[code])
		}
	}
	err := h.shop.Check(ctx, nil, func(f offers.Finding) error {
		h.violated("check: %s %s: %s", f.Kind, f.Key, f.Text)
		return nil
	})
	if err != nil {
		h.violated("check: %v", err)
	}
	h.judgeOwed()
}

// judgeCharges holds the charges of a purchase to it.
func (h *history) judgeCharges(w *want, p offers.Purchase) {
	own, kept, byHand := 0, 0, 0
	for _, c := range h.stripe.Charges() {
		if c.Metadata["purchase"] != string(w.id) {
			continue
		}
		if c.Refunded < c.Amount {
			kept++
		}
		if c.Intent != p.Intent {
			if byHand++; byHand > w.byHand || c.Refunded != c.Amount {
				h.violated("%s was charged by another payment than its own, and %d of %d are given back", w.name, c.Refunded, c.Amount)
			}
			continue
		}
		own++
		if c.Amount != w.total.Minor || !strings.EqualFold(c.Currency, w.total.Currency) || c.Customer != w.who.customer {
			h.violated("%s was charged with %d %s, want %s of its buyer", w.name, c.Amount, c.Currency, w.total)
		}
		if len(w.echoes) == 0 || w.presses == 0 {
			h.violated("%s was charged after %d echoes and %d presses of its buyer", w.name, len(w.echoes), w.presses)
		}
	}
	if paid := !p.PaidAt.IsZero(); own > 1 || kept > 1 || (own == 1) != paid {
		h.violated("%s is %s with %d charges of its own, and %d kept", w.name, p.State, own, kept)
	}
}

// judgeOwed: nothing is owed but to be forgotten.
func (h *history) judgeOwed() {
	for shard := range store.Shards {
		owed, _, err := h.st.Owed(context.Background(), shard, "", 1000)
		if err != nil {
			h.violated("%v", err)
		}
		for _, o := range owed {
			if !o.Due.After(h.now) || o.Kind != string(offers.Deadline) && !strings.HasPrefix(o.Kind, "forget") {
				h.violated("owed for ever: %s", o.ID)
			}
		}
	}
}
