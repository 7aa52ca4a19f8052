package offers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/store"
)

func hoodie() Offer {
	o := tee(0, 3)
	o.ID, o.Tag, o.Stock = "buyhoodie", "BuyHoodie", map[string]int{"M black": 4, "L": 3}
	return o
}

// play is a random life of a shop: people who do anything, a world outside that
// answers anything or nothing, and an outbox that gets around to some of it.
type play struct {
	*shop
	rnd *rand.Rand
	ids []ID
}

const players = 5

func newPlay(t *testing.T, seed uint64) *play {
	p := &play{shop: newShop(t, tee(6, 2), hoodie()), rnd: rand.New(rand.NewPCG(seed, 0))}
	p.Limits = Limits{Month: Amounts{{20 * price, "USD"}}}
	if seed%2 == 1 {
		p.Times.Grace = time.Minute
	}
	for kind, outcomes := range map[EffectKind][]Event{
		Reply:    {{Kind: ReplySent, Post: "reply"}, {Kind: ReplySent, Post: "reply"}, {Kind: ReplyFailed}},
		MailCode: {{Kind: CodeMailed}, {Kind: CodeMailed}, {Kind: CodeUnmailed}},
		Prepare:  {{Kind: IntentMade, Intent: "pi_1", Card: Card{ID: "pm_1"}}, {Kind: IntentMade, Intent: "pi_1"}, {Kind: IntentFailed, Reason: CardUnusable}},
		MailLink: {{Kind: LinkMailed}, {Kind: LinkMailed}, {Kind: LinkMailed}, {Kind: LinkUnmailed}},
		Charge:   {{Kind: Charged}, {Kind: BankAsks, URL: "https://bank.example"}, {Kind: ChargeFailed, Reason: CardDeclined}, {Kind: IntentVoided}},
		Look:     {{Kind: Charged}, {Kind: BankAsks, URL: "https://bank.example"}, {Kind: ChargeFailed, Reason: AuthenticationFailed}},
		Void:     {{Kind: IntentVoided}, {Kind: IntentVoided}, {Kind: Charged}},
	} {
		p.with[kind] = func(j Job) (Event, error) {
			if p.rnd.IntN(6) == 0 {
				return Event{}, errors.New("away")
			}
			ev := outcomes[p.rnd.IntN(len(outcomes))]
			ev.Attempt, ev.Look = j.Purchase.Attempt, j.Effect.N
			return ev, nil
		}
	}
	return p
}

// step does one thing, whatever comes of it.
func (p *play) step(n int) {
	ctx, who := p.t.Context(), account(p.rnd.IntN(players))
	var bought Purchase
	if latest := p.ids[max(0, len(p.ids)-8):]; len(latest) > 0 {
		bought, _ = p.Purchase(ctx, latest[p.rnd.IntN(len(latest))])
	}
	if bought.ID != "" && p.rnd.IntN(4) > 0 {
		who = bought.Buyer
	}
	switch p.rnd.IntN(16) {
	case 0, 1, 2:
		w := Wish{Post: fmt.Sprint(p.rnd.IntN(n + 1)), Account: account(p.rnd.IntN(players)), Quantity: p.rnd.IntN(3),
			Offer: []string{"buytee", "buyhoodie"}[p.rnd.IntN(2)], Words: []string{[]string{"l", "black m", "xl"}[p.rnd.IntN(3)]}}
		w.Words = strings.Fields(w.Words[0])
		if made, err := p.Wish(ctx, w, p.now); err == nil && !slices.Contains(p.ids, made.ID) {
			p.ids = append(p.ids, made.ID)
		}
	case 3, 4:
		if bought.Code != "" {
			_, _ = p.Echo(ctx, bought.Code, who, "echo", p.now)
		}
	case 5, 6, 7:
		if bought.ID != "" {
			_, _ = p.Press(ctx, bought.ID, p.rnd.IntN(2)+bought.Round/2, "", p.now)
			_, _ = p.BackFromBank(ctx, bought.ID, p.now)
		}
	case 8:
		if bought.ID != "" {
			_, _ = p.Cancel(ctx, bought.ID, who, p.now)
		}
	case 9:
		if bought.ID != "" && p.rnd.IntN(3) == 0 {
			_, _ = p.RefundPurchase(ctx, bought.ID, Money{}, "", p.now)
		}
	case 10:
		p.register(p.rnd.IntN(players))
		_ = p.SetLimits(ctx, who, Limits{Day: usd(int64(p.rnd.IntN(9)) * price)}, p.now)
	case 11:
		switch p.rnd.IntN(12) {
		case 0:
			_ = p.Stop(ctx, who, p.now)
		case 1:
			_, _ = p.CancelAll(ctx, who, p.now)
		case 3:
			_ = p.Freeze(ctx, who, ByShop, p.now)
		case 4, 5, 6:
			_ = p.Unfreeze(ctx, who, ByShop, p.now)
		case 2:
			_, _ = p.Erase(ctx, account(p.rnd.IntN(players)), p.now)
		default:
			_ = p.Start(ctx, who, p.now)
		}
	case 12:
		_ = p.OweAnswer(ctx, Answer{Post: fmt.Sprint(p.rnd.IntN(n + 1)), Account: account(p.rnd.IntN(players)), Word: "help"})
	case 13:
		most := []time.Duration{time.Second, 2 * time.Minute, 2 * time.Minute, 2 * time.Minute, time.Hour}[p.rnd.IntN(5)]
		p.now = p.now.Add(time.Duration(p.rnd.Int64N(int64(most))))
		if p.rnd.IntN(40) == 0 {
			p.now = p.now.Add(DefaultTimes.Keep)
		}
	default:
		leases, err := p.st.Lease(ctx, p.now, p.now.Add(time.Minute), 1+p.rnd.IntN(20))
		if err != nil {
			p.t.Fatal(err)
		}
		for _, l := range leases {
			if p.rnd.IntN(8) > 0 {
				_ = p.Perform(ctx, l)
			}
		}
	}
}

// Whatever life brings, all that is kept fits together; and all of it ends.
func TestCheckFindsNothingInAnyLife(t *testing.T) {
	ends := map[State]int{}
	for seed := range uint64(10) {
		p := newPlay(t, seed)
		lines := p.archive()
		for n := range 1000 {
			p.step(n)
			if n%50 == 49 {
				if all := p.findings(); len(all) > 0 {
					t.Fatalf("seed %d, step %d:\n%s", seed, n, strings.Join(all, "\n"))
				}
			}
		}
		clear(p.with)
		for range 40 {
			p.now = p.now.Add(DefaultTimes.Keep / 20)
			for range 5 {
				p.now = p.now.Add(time.Hour)
				p.try()
			}
		}
		p.clean()
		for _, line := range dump(t, p.st) {
			if kind, _, _ := strings.Cut(line, "/"); !slices.Contains([]string{"record offer", "record buyer", "count taken", "count sold", "count funnel", "count earned"}, kind) && line != "count offers 1" {
				t.Errorf("seed %d, left: %s", seed, line)
			}
		}
		for _, a := range *lines {
			ends[a.State]++
		}
	}
	for _, state := range States {
		if state.Ended() && ends[state] < 10 {
			t.Errorf("only %d purchases were %s: %v", ends[state], state, ends)
		}
	}
}

// Check may run beside everything else.
func TestCheckWhileOthersServe(t *testing.T) {
	p := newPlay(t, 1)
	st := &busy{Store: p.st}
	checking, err := NewShop(st, p.Settings)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	st.between = func() {
		for range 3 {
			p.step(n)
			n++
		}
	}
	for range 4 {
		err := checking.Check(t.Context(), nil, func(f Finding) error { t.Errorf("%s %s: %s", f.Kind, f.Key, f.Text); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 500 {
		t.Errorf("only %d steps were taken", n)
	}
	p.clean()
}

// A count that changes each time it is looked at is not judged.
func TestCheckDoesNotJudgeABusyCount(t *testing.T) {
	s := newShop(t, tee(99, 99))
	s.register(1)
	s.wish(1, "0")
	st := &busyCounts{Store: s.st}
	st.between = func(shard int) {
		if shard == store.ShardOf("buytee") && st.n%2 == 0 {
			s.wish(1, fmt.Sprint(st.n))
		}
	}
	checking, err := NewShop(st, s.Settings)
	if err != nil {
		t.Fatal(err)
	}
	err = checking.Check(t.Context(), nil, func(f Finding) error { t.Errorf("%s %s: %s", f.Kind, f.Key, f.Text); return nil })
	if err != nil || s.taken() < 2 {
		t.Errorf("%v, %d taken", err, s.taken())
	}
}

// A busyCounts store lets others do something before counts are read.
type busyCounts struct {
	store.Store
	n       int
	between func(shard int)
}

func (b *busyCounts) ScanCounts(ctx context.Context, shard int, prefix, cursor string, limit int) ([]store.Count, string, error) {
	b.n++
	b.between(shard)
	return b.Store.ScanCounts(ctx, shard, prefix, cursor, limit)
}

// A busy store lets others do something before each reading.
type busy struct {
	store.Store
	between func()
}

func (b *busy) Scan(ctx context.Context, shard int, prefix, cursor string, limit int) ([]store.Record, string, error) {
	b.between()
	return b.Store.Scan(ctx, shard, prefix, cursor, 3)
}

func (b *busy) ScanCounts(ctx context.Context, shard int, prefix, cursor string, limit int) ([]store.Count, string, error) {
	b.between()
	return b.Store.ScanCounts(ctx, shard, prefix, cursor, 3)
}

func (b *busy) Owed(ctx context.Context, shard int, cursor string, limit int) ([]store.Owed, string, error) {
	b.between()
	return b.Store.Owed(ctx, shard, cursor, 3)
}
