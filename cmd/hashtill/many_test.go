package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/bot/x/xtest"
	"hashtill/offers"
	"hashtill/store/redis/redistest"
)

// A crowd of buyers, each of whom buys one thing from a shop that may die at any
// moment: they post again nothing, they only wait and press again.
type crowd struct {
	*outside
	pages []string // where the shop's processes serve
	all   sync.WaitGroup

	mu   sync.Mutex
	ids  map[offers.ID]xtest.Account
	done int
}

func (w *crowd) email(handle string) string { return handle + "@mail.example" }

// buy goes the whole way once.
func (w *crowd) buy(ctx context.Context, who xtest.Account) {
	wish, err := w.x.Post(who.ID, "@hashtill #BuyTee", xtest.PostOptions{})
	if err != nil {
		w.t.Error(err)
		return
	}
	id := offers.NewID("x", wish.ID, "buytee")
	w.mu.Lock()
	w.ids[id] = who
	w.mu.Unlock()
	p, ok := w.reaches(ctx, id, func(p offers.Purchase) bool { return p.Code != "" && p.State != offers.Asked }, nil)
	if !ok {
		return
	}
	if _, err := w.x.Post(who.ID, "@hashtill "+p.Code.Hashtag(), xtest.PostOptions{}); err != nil {
		w.t.Error(err)
		return
	}
	if _, ok = w.reaches(ctx, id, func(p offers.Purchase) bool { return p.State == offers.Mailed }, nil); !ok {
		return
	}
	if _, ok = w.reaches(ctx, id, func(p offers.Purchase) bool { return p.State == offers.Paid }, func() { w.pressAnywhere(ctx, who) }); ok {
		w.mu.Lock()
		w.done++
		w.mu.Unlock()
	}
}

// reaches waits until a purchase is so; meanwhile the buyer does something again
// and again.
func (w *crowd) reaches(ctx context.Context, id offers.ID, so func(offers.Purchase) bool, meanwhile func()) (p offers.Purchase, ok bool) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		var err error
		if p, err = w.shop.Purchase(ctx, id); err == nil && so(p) {
			return p, true
		}
		if meanwhile != nil && n%20 == 0 {
			meanwhile()
		}
		select {
		case <-ctx.Done():
			w.t.Errorf("purchase %s of @%s is %q %s: %v", id, p.Handle, p.State, p.Reason, err)
			return p, false
		case <-tick.C:
		}
	}
}

// pressAnywhere presses the button in the newest mail, at the first of the shop's
// processes that answers.
func (w *crowd) pressAnywhere(ctx context.Context, who xtest.Account) {
	for _, m := range slices.Backward(w.smtp.Mailbox(w.email(who.Handle))) {
		address, err := link(m)
		if err != nil {
			continue
		}
		at, err := url.Parse(address)
		if err != nil {
			w.t.Error(err)
			return
		}
		for _, host := range w.pages {
			at.Host = host
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), nil)
			if err != nil {
				w.t.Error(err)
				return
			}
			if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
				resp.Body.Close()
				return
			}
		}
		return
	}
}

// checkAll looks at what all buyers and a bookkeeper would, and that no outside
// deed was done under two keys.
func (w *crowd) checkAll(ctx context.Context) {
	w.t.Helper()
	charged := map[string]int{}
	for _, c := range w.stripe.Charges() {
		charged[c.Metadata["purchase"]]++
	}
	keys := map[string]map[string]bool{} // of what was asked of Stripe for one purchase
	for _, c := range w.stripe.Calls() {
		if c.Method != http.MethodPost || strings.HasSuffix(c.Path, "/attach") || c.Path == "/v1/customers" {
			continue
		}
		about := c.Path + " " + c.Params.Get("metadata[purchase]")
		if keys[about] == nil {
			keys[about] = map[string]bool{}
		}
		keys[about][c.IdempotencyKey] = true
	}
	for about, all := range keys {
		if len(all) != 1 {
			w.t.Errorf("Stripe was asked for %s under %d keys", about, len(all))
		}
	}
	for id, who := range w.ids {
		if n := charged[string(id)]; n != 1 {
			w.t.Errorf("purchase %s: %d charges", id, n)
		}
		if mails := w.smtp.Folded(w.email(who.Handle)); len(mails) != 2 {
			w.t.Errorf("@%s reads %d mails, not link and receipt", who.Handle, len(mails))
		}
		p, err := w.shop.Purchase(ctx, id)
		if err != nil {
			w.t.Fatal(err)
		}
		codes, thanks := 0, 0
		for _, reply := range w.x.Replies(p.Wish) {
			if strings.Contains(reply.Text, p.Code.Hashtag()) {
				codes++
			} else {
				thanks++
			}
		}
		if codes != 1 || thanks != 1 {
			w.t.Errorf("purchase %s: %d replies with the code, %d with thanks", id, codes, thanks)
		}
	}
	err := w.shop.Check(ctx, nil, func(f offers.Finding) error {
		w.t.Errorf("store check: %v", f)
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
}

// TestManyProcesses has three hashtill serve share one Redis, and kills one of them
// every few seconds while people buy. Every purchase completes, and what was done
// outside was done once, or again only under the same key.
func TestManyProcesses(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	server := redistest.Start(t, nil)
	w := &crowd{outside: newOutsideOn(t, "v2", server.URL()), ids: map[offers.ID]xtest.Account{}}

	var serving []*mortal
	for range 3 {
		listen, err := freeAddress("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		m := &mortal{t: t, config: w.config, env: []string{"HASHTILL_LISTEN=" + listen}}
		m.start("0")
		serving = append(serving, m)
		w.pages = append(w.pages, listen)
	}
	defer func() {
		for _, m := range serving {
			m.kill()
			if t.Failed() {
				t.Log(m.output.String())
			}
		}
	}()
	if err := w.x.WaitStream(ctx); err != nil {
		t.Fatal(err)
	}

	const buyers, deaths = 40, 8
	pause := time.NewTicker(3 * time.Second)
	defer pause.Stop()
	bought := 0
	for death := range deaths {
		for ; bought < buyers*(death+1)/deaths; bought++ {
			handle := fmt.Sprint("buyer", bought)
			who := w.register(handle, w.email(handle))
			w.all.Go(func() { w.buy(ctx, who) })
		}
		<-pause.C
		m := serving[death%len(serving)]
		m.kill()
		m.start("0")
	}
	w.all.Wait()
	if w.done != buyers {
		t.Fatalf("%d of %d purchases are complete", w.done, buyers)
	}
	w.untilSettled(ctx)
	w.checkAll(ctx)
	calls, again := 0, 0
	for _, c := range w.stripe.Calls() {
		calls++
		if c.Replayed {
			again++
		}
	}
	t.Logf("%d purchases while %d processes were killed; %d calls of Stripe, %d of them again under their key", buyers, deaths, calls, again)
}
