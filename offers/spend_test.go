package offers

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/store"
	"hashtill/store/sqlite"
)

func usd(minor int64) Amounts { return Amounts{{minor, "USD"}} }

// price is that of a tee.
const price = 14999

// mailed brings a wish until its button can be pressed.
func (s *shop) mailed(n int, post string) Purchase {
	s.t.Helper()
	p := s.wish(n, post)
	s.settle()
	if err := s.echo(p, account(n)); err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	return s.is(p.ID, Mailed)
}

func (s *shop) press(p Purchase) error {
	_, err := s.Press(s.t.Context(), p.ID, 1, "", s.now)
	return err
}

// presses presses the button and wants no refusal.
func (s *shop) presses(p Purchase) {
	s.t.Helper()
	if err := s.press(p); err != nil {
		s.t.Fatal(err)
	}
}

func wantOver(t *testing.T, err error, want Reason, left int64) {
	t.Helper()
	wantRefusal(t, err, want)
	var over *OverLimit
	if !errors.As(err, &over) || over.Left != (Money{left, "USD"}) {
		t.Fatalf("got %v, want %d left", err, left)
	}
}

// limited is a shop with one buyer whose limits are these.
func limited(t *testing.T, l Limits) *shop {
	s := newShop(t, tee(500, 99))
	s.limit(1, l)
	return s
}

func (s *shop) limit(n int, l Limits) {
	s.t.Helper()
	if b, err := s.Buyer(s.t.Context(), account(n)); err == nil && !b.Known() {
		s.register(n)
	}
	if err := s.SetLimits(s.t.Context(), account(n), l, s.now); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) spent(n int, period string) int64 {
	s.t.Helper()
	counts, err := s.st.Counts(s.t.Context(), account(n).Shard(), spentKey(account(n), "USD", period))
	if err != nil {
		s.t.Fatal(err)
	}
	return counts[0]
}

// However many press at once, whatever they buy, a limit holds.
func TestLimitHoldsAgainstManyPresses(t *testing.T) {
	for name, open := range map[string]func(*testing.T) store.Store{
		"memory": func(*testing.T) store.Store { return store.NewMemory() },
		"sqlite": func(t *testing.T) store.Store {
			st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { st.Close() })
			return st
		},
	} {
		t.Run(name, func(t *testing.T) {
			other := hoodie()
			other.Stock, other.PerBuyer = map[string]int{"": 500}, 99
			one := tee(500, 99)
			s := newShopOn(t, open(t), one, other)
			s.register(1)
			var all []Purchase
			for n := range 100 {
				w := Wish{Post: fmt.Sprint(n), Account: account(1), Offer: []string{"buytee", "buyhoodie"}[n%2]}
				p, err := s.Wish(t.Context(), w, s.now)
				if err != nil || p.State != Asked {
					t.Fatalf("%s %s, %v", p.State, p.Reason, err)
				}
				all = append(all, p)
			}
			s.settle()
			for _, p := range all {
				if err := s.echo(p, account(1)); err != nil {
					t.Fatal(err)
				}
			}
			s.settle()
			s.limit(1, Limits{Day: usd(7*price + 1)})
			var wg sync.WaitGroup
			for _, p := range all {
				wg.Go(func() {
					var over *OverLimit
					if err := s.press(p); err != nil && !errors.As(err, &over) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			confirmed := 0
			for _, p := range all {
				if p, _ = s.Purchase(t.Context(), p.ID); p.State == Confirmed {
					confirmed++
				}
			}
			if confirmed != 7 || s.spent(1, "2026-11-21") != 7*price {
				t.Errorf("%d are confirmed, %d is spent", confirmed, s.spent(1, "2026-11-21"))
			}
			s.clean()
		})
	}
}

func TestLimitsAreToldAndHold(t *testing.T) {
	s := limited(t, Limits{Day: usd(2 * price)})
	s.buy(1, "1")
	a, b := s.mailed(1, "2"), s.mailed(1, "3") // each would fit
	s.presses(a)
	s.presses(a) // twice is once
	wantOver(t, s.press(b), OverDay, 0)
	s.is(b.ID, Mailed)
	if p := s.wish(1, "4"); p.State != Refused || p.Reason != OverDay || p.Over.Limit.Minor != 2*price || p.Over.Left.Minor != 0 {
		t.Errorf("told early: %s %+v", p.State, p.Over)
	}
	s.settle()
	if n := s.calls[Effect{Kind: MailReason, Purchase: NewID("x", "4", "buytee"), Reason: OverDay}.ID()]; n != 1 {
		t.Errorf("%d mails tell the amount", n)
	}
	// The button works as soon as the limit is raised.
	s.limit(1, Limits{Day: usd(3 * price), Purchase: usd(price)})
	s.presses(b)
	s.settle()
	s.is(b.ID, Paid)
	s.clean()

	s.now = s.now.Add(24 * time.Hour) // another day
	s.limit(1, Limits{Month: usd(4 * price), Day: usd(2 * price)})
	c := s.mailed(1, "5")
	s.presses(c)
	if p := s.wish(1, "6"); p.Reason != OverMonth {
		t.Errorf("month: %s for %s", p.State, p.Reason)
	}
	s.limit(1, Limits{Purchase: usd(price - 1)})
	if p := s.wish(1, "7"); p.Reason != OverPurchase || p.Over.Left.Minor != price-1 {
		t.Errorf("purchase: %s for %s", p.State, p.Reason)
	}
	s.limit(1, Limits{Month: Amounts{{1 << 40, "EUR"}}})
	if p := s.wish(1, "8"); p.Reason != OverCurrency {
		t.Errorf("another currency: %s for %s", p.State, p.Reason)
	}
	s.clean()

	// Of two limits the lower one holds.
	s.limit(1, Limits{Purchase: usd(price)})
	s.Limits = Limits{Purchase: usd(price - 2)}
	if p := s.wish(1, "below"); p.Over.Limit.Minor != price-2 {
		t.Errorf("the shop's is lower: %+v", p.Over)
	}

	// The shop's own limits hold for everybody, and nobody goes above them.
	s.Limits = Limits{Purchase: usd(price - 1)}
	s.limit(1, Limits{})
	if p := s.wish(1, "9"); p.Reason != OverPurchase {
		t.Errorf("the shop's: %s for %s", p.State, p.Reason)
	}
	for _, l := range []Limits{{Purchase: usd(price)}, {Purchase: Amounts{{1, "EUR"}}}, {Day: usd(-1)}, {Day: Amounts{{1, "USD"}, {2, "USD"}}}} {
		if err := s.SetLimits(t.Context(), account(1), l, s.now); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

// A limit that was lowered holds for what was pressed before and declined.
func TestLimitLoweredBetweenTries(t *testing.T) {
	s := limited(t, Limits{Day: usd(price)})
	s.with[Charge] = func(j Job) (Event, error) {
		return Event{Kind: ChargeFailed, Attempt: j.Purchase.Attempt, Reason: CardDeclined}, nil
	}
	p := s.mailed(1, "1")
	s.presses(p)
	s.settle()
	s.is(p.ID, Declined)
	s.limit(1, Limits{Day: usd(price - 1)})
	wantOver(t, s.press(p), OverDay, price-1)
	s.limit(1, Limits{Day: usd(price)})
	clear(s.with)
	s.presses(p)
	s.settle()
	s.is(p.ID, Paid)
	if s.spent(1, "2026-11") != price {
		t.Errorf("%d is spent", s.spent(1, "2026-11"))
	}
}

// Who lowers a limit, or freezes the buyer, while a button is pressed comes before
// it: what was decided by the limits before does not stand.
func TestLimitLoweredDuringAPress(t *testing.T) {
	for name, meanwhile := range map[Reason]func(s *shop) error{
		OverDay:     func(s *shop) error { return s.SetLimits(s.t.Context(), account(1), Limits{Day: usd(1)}, s.now) },
		BuyerFrozen: func(s *shop) error { return s.Freeze(s.t.Context(), account(1), ByShop, s.now) },
	} {
		s := limited(t, Limits{Day: usd(price)})
		p := s.mailed(1, "1")
		s.store = &meddled{Store: s.st, is: func(c store.Change) bool { return len(c.Add) > 0 }, do: func() {
			if err := meanwhile(s); err != nil {
				t.Error(err)
			}
		}}
		wantRefusal(t, s.press(p), name)
		s.is(p.ID, Mailed)
	}
}

// What can never be charged any more, and what is paid back, is given back; nothing
// else is.
func TestLimitsAreGivenBack(t *testing.T) {
	s := limited(t, Limits{Day: usd(price)})
	p := s.buy(1, "1")
	q := func(post string) State { t.Helper(); return s.wish(1, post).State }
	if got := q("2"); got != Refused {
		t.Errorf("beside a paid one: %s", got)
	}
	if _, err := s.RefundPurchase(t.Context(), p.ID, Money{}, "", s.now); err != nil {
		t.Fatal(err)
	}
	if got := q("3"); got != Refused {
		t.Errorf("before it is paid back: %s", got)
	}
	s.settle()
	a := s.mailed(1, "4")
	s.with[Charge] = func(j Job) (Event, error) {
		return Event{Kind: ChargeFailed, Attempt: j.Purchase.Attempt, Reason: CardDeclined}, nil
	}
	s.presses(a)
	s.settle()
	if got := q("5"); got != Refused {
		t.Errorf("beside one that can be pressed again: %s", got)
	}
	s.now = s.now.Add(time.Hour)
	s.with[Void] = func(Job) (Event, error) { return Event{}, errors.New("away") }
	leases, err := s.st.Lease(t.Context(), s.now, s.now.Add(time.Second), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		_ = s.Perform(t.Context(), l)
	}
	s.is(a.ID, Expired)
	if got := q("6"); got != Refused {
		t.Errorf("before Stripe has let go: %s", got)
	}
	clear(s.with)
	s.now = s.now.Add(time.Hour)
	s.settle()
	b := s.mailed(1, "7")
	s.presses(b)
	s.settle()
	s.is(b.ID, Paid)
	s.clean()
}

// A day ends at midnight UTC, and what was spent in a month is forgotten after it.
func TestLimitsByDayAndMonth(t *testing.T) {
	s := newShop(t, tee(500, 99))
	s.now = time.Date(2026, 11, 30, 23, 50, 0, 0, time.UTC)
	s.limit(1, Limits{Day: usd(price), Month: usd(price)})
	a := s.mailed(1, "1")
	b := s.mailed(1, "2")
	s.now = time.Date(2026, 12, 1, 0, 59, 59, 0, time.FixedZone("CET", 3600))
	s.presses(a)
	wantOver(t, s.press(b), OverMonth, 0)
	s.now = s.now.Add(time.Second).UTC()
	s.presses(b)
	s.settle()
	s.is(b.ID, Paid)
	if s.spent(1, "2026-11") != price || s.spent(1, "2026-12") != price || s.spent(1, "2026-12-01") != price {
		t.Errorf("%v", dump(t, s.st))
	}
	s.clean()
	s.now = time.Date(2026, 12, 1, 1, 0, 0, 0, time.UTC)
	s.settle()
	if s.spent(1, "2026-11") != 0 || s.spent(1, "2026-11-30") != 0 || s.spent(1, "2026-12") != price {
		t.Errorf("%v", dump(t, s.st))
	}
	s.now = time.Date(2027, 1, 1, 1, 0, 0, 0, time.UTC)
	s.settle()
	for _, line := range dump(t, s.st) {
		if strings.Contains(line, "spent") || strings.Contains(line, "counted") {
			t.Errorf("left: %s", line)
		}
	}
	s.clean()
}

// A purchase may leave the store before its month is over: it counts on if it was
// sold, and not otherwise.
func TestLimitsOutlivePurchases(t *testing.T) {
	s := newShop(t, tee(500, 99))
	s.now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	s.Times.Keep = postMemory
	s.limit(1, Limits{Month: usd(2 * price)})
	sold := s.buy(1, "1")
	back := s.buy(1, "2")
	if _, err := s.RefundPurchase(t.Context(), back.ID, Money{}, "", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.now = s.now.Add(postMemory + time.Hour)
	s.settle()
	s.gone(sold.ID)
	s.gone(back.ID)
	if s.spent(1, "2026-11") != price {
		t.Errorf("%d is spent", s.spent(1, "2026-11"))
	}
	s.buy(1, "3")
	if p := s.wish(1, "4"); p.Reason != OverMonth {
		t.Errorf("%s for %s", p.State, p.Reason)
	}
	s.clean()
	if _, err := s.Erase(t.Context(), account(1), s.now); err != nil {
		t.Fatal(err)
	}
	for _, line := range dump(t, s.st) {
		if strings.Contains(line, account(1).ID) {
			t.Errorf("left: %s", line)
		}
	}
	s.clean()
}

// Whatever a press is cut off by, the limit holds, pressing again goes on, and what
// does not go on is given back.
func TestPressIsCutOff(t *testing.T) {
	for at := 1; ; at++ {
		cut := false
		for _, after := range []bool{false, true} {
			for _, again := range []bool{false, true} {
				st := &crashing{Store: store.NewMemory()}
				s := newShopOn(t, st, tee(500, 99))
				s.limit(1, Limits{Day: usd(price)})
				a, b := s.mailed(1, "1"), s.mailed(1, "2")
				st.n, st.at, st.after = 0, at, after
				err := s.press(a)
				st.at = 0
				if err == nil {
					continue
				}
				if cut = true; !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				s.clean()
				if again {
					s.presses(a)
					wantOver(t, s.press(b), OverDay, 0)
					s.settle()
					s.is(a.ID, Paid)
				} else if p, _ := s.Purchase(t.Context(), a.ID); p.State != Confirmed {
					if _, err := s.Cancel(t.Context(), a.ID, account(1), s.now); err != nil {
						t.Fatal(err)
					}
					s.settle()
					s.presses(b)
					s.settle()
					s.is(b.ID, Paid)
				}
				if s.spent(1, "2026-11-21") != price {
					t.Errorf("cut at %d (%v, %v): %d is spent", at, after, again, s.spent(1, "2026-11-21"))
				}
				s.clean()
			}
		}
		if !cut {
			if at != 3 {
				t.Errorf("a press has %d commits, want 2", at-1)
			}
			return
		}
	}
}

// Check finds what is wrong with what is spent.
func TestCheckFindsDamageToWhatIsSpent(t *testing.T) {
	for name, damage := range map[string]func(d *damaged, key string) (FindingKind, string){
		"too much spent": func(d *damaged, _ string) (FindingKind, string) {
			d.count(d.theirs, "spent/x:1001/USD/2026-11", 1)
			return Miscounted, "spent/x:1001/USD/2026-11"
		},
		"spent on a day of nothing": func(d *damaged, _ string) (FindingKind, string) {
			d.count(d.theirs, "spent/x:1001/USD/2026-11-01", 1)
			return Miscounted, "spent/x:1001/USD/2026-11-01"
		},
		"spent in another shard": func(d *damaged, _ string) (FindingKind, string) {
			d.count(d.far, "spent/x:1001/USD/2026-11", 1)
			return Misplaced, "spent/x:1001/USD/2026-11"
		},
		"spent by nobody": func(d *damaged, _ string) (FindingKind, string) {
			d.count(d.far, "spent/x:1001", 1)
			return Unreadable, "spent/x:1001"
		},
		"counted in another shard": func(d *damaged, key string) (FindingKind, string) {
			d.put(d.far, key, d.read(d.theirs, key))
			return Misplaced, key
		},
		"counted, unreadable": func(d *damaged, key string) (FindingKind, string) {
			d.put(d.theirs, key, "{}")
			return Unreadable, key
		},
		"counted for ever": func(d *damaged, key string) (FindingKind, string) {
			id := ID(key[strings.LastIndexByte(key, '/')+1:])
			if err := d.st.Commit(d.t.Context(), store.Change{Shard: d.theirs, Drop: []string{spentEffect{account(1), id, "2026-11"}.id()}}); err != nil {
				d.t.Fatal(err)
			}
			return Stuck, key
		},
		"an effect under another's id": func(d *damaged, _ string) (FindingKind, string) {
			d.owe(d.theirs, "forget-spent/x:1001/1", forgetSpent, `{}`)
			return Unreadable, "forget-spent/x:1001/1"
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDamaged(t)
			d.limit(1, Limits{Day: usd(9 * price)})
			p := d.buy(1, "counted")
			d.clean()
			kind, key := damage(d, countedKey(account(1), p.ID))
			if found := d.findings(); !slices.Equal(found, []string{fmt.Sprintf("%s %s", kind, key)}) {
				t.Errorf("found:\n%s\nwant: %s %s", strings.Join(found, "\n"), kind, key)
			}
		})
	}
}

func TestParseAmounts(t *testing.T) {
	for text, want := range map[string]string{
		"": "", " ": "", "200 USD": "200.00 USD", "200.5 USD,  20000 JPY": "200.50 USD, 20000 JPY", "0 USD": "0.00 USD",
	} {
		if a, err := ParseAmounts(text); err != nil || a.String() != want {
			t.Errorf("%q: %q, %v", text, a, err)
		}
	}
	for _, text := range []string{"200", "USD", "200 USD 100", "200 USD,", "-1 USD", "1 USD, 2 USD", "1 ZZZ", "1.001 USD", "99999999999999999 USD"} {
		if a, err := ParseAmounts(text); err == nil {
			t.Errorf("%q passes as %q", text, a)
		}
	}
}
