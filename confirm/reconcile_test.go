package confirm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hashtill/offers"
	"hashtill/store"
)

// A fakeLedger is what Stripe has on its books.
type fakeLedger []Entry

func (f fakeLedger) Payments(_ context.Context, from, to time.Time, see func(Entry) error) error {
	for _, e := range slices.Backward(f) {
		if e.Begun.Before(from) || !e.Begun.Before(to) {
			continue
		}
		if err := see(e); err != nil {
			return err
		}
	}
	return nil
}

// edit changes a purchase behind everybody's back.
func (w *world) edit(id offers.ID, change func(*offers.Purchase)) {
	w.t.Helper()
	key := "purchase/" + string(id)
	recs, err := w.st.Get(context.Background(), id.Shard(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	var p offers.Purchase
	if err := json.Unmarshal(recs[0].Value, &p); err != nil {
		w.t.Fatal(err)
	}
	change(&p)
	value, err := json.Marshal(p)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.st.Commit(context.Background(), store.Change{Shard: id.Shard(), Put: []store.Put{{Key: key, Version: recs[0].Version, Value: value}}}); err != nil {
		w.t.Fatal(err)
	}
}

// A second charge is given back only where the first was taken, and is kept.
func TestReconcileSecondCharge(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p := paid(w)
	w.now = t0.Add(time.Hour)
	own := Entry{Intent: "pi_ann", Purchase: p.ID, Status: Taken, Total: p.Total, Begun: t0}
	extra := own
	extra.Intent = "pi_extra"
	for name, change := range map[string]func(*Entry){
		"open":       func(e *Entry) { e.Status = Open },
		"voided":     func(e *Entry) { e.Status = Voided },
		"given back": func(e *Entry) { e.Refunded = e.Total },
		"disputed":   func(e *Entry) { e.Disputed = true },
		"not there":  func(e *Entry) { e.Intent = "pi_other" },
	} {
		own := own
		change(&own)
		w.till.calls = nil
		r := &Reconciler{Shop: w.shop, Till: w.till, Ledger: fakeLedger{own, extra}, LedgerOnly: true, Now: func() time.Time { return w.now }}
		var second *Difference
		_, err := r.Reconcile(t.Context(), t0, w.now, func(d Difference) error {
			if d.Intent == "pi_extra" {
				second = &d
			}
			return nil
		})
		if err != nil || second == nil || second.Kind != SecondCharge || !second.Loud || second.Next == "" || second.Done != "" || !strings.Contains(second.Says, "own payment") {
			t.Errorf("%s: %+v %v", name, second, err)
		}
		if len(w.till.calls) != 0 {
			t.Errorf("%s: %v", name, w.till.calls)
		}
	}
	// Here it is being given back, and there is not yet.
	w.idle = true
	if _, err := w.shop.RefundPurchase(t.Context(), p.ID, offers.Money{}, "", w.now); err != nil {
		t.Fatal(err)
	}
	r := &Reconciler{Shop: w.shop, Till: w.till, Ledger: fakeLedger{own, extra}, Now: func() time.Time { return w.now }}
	if got, err := r.Reconcile(t.Context(), t0, w.now, func(Difference) error { return nil }); err != nil || got.Open != 1 || len(w.till.calls) != 0 {
		t.Errorf("being given back: %+v %v %v", got, err, w.till.calls)
	}
}

// A record that nobody can read is told of, and stops nothing.
func TestReconcileUnreadable(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p := paid(w)
	bad := offers.NewID("x", "7", "buytee")
	if err := w.st.Commit(t.Context(), store.Change{Shard: bad.Shard(), Put: []store.Put{{Key: "purchase/" + string(bad), Value: []byte("{")}}}); err != nil {
		t.Fatal(err)
	}
	w.now = t0.Add(time.Hour)
	own := Entry{Intent: "pi_ann", Purchase: p.ID, Status: Taken, Total: p.Total, Begun: t0}
	of := func(intent string) Entry {
		return Entry{Intent: intent, Purchase: bad, Status: Taken, Total: p.Total, Begun: t0}
	}
	for name, test := range map[string]struct {
		ledger fakeLedger
		want   []DifferenceKind
	}{
		"in the ledger, twice":  {fakeLedger{own, of("pi_1"), of("pi_2")}, []DifferenceKind{Unreadable}},
		"not in the ledger":     {fakeLedger{own}, []DifferenceKind{Unreadable}},
		"and another is not in": {fakeLedger{of("pi_1")}, []DifferenceKind{Unreadable, NotInLedger}},
	} {
		w.till.status = Standing{Status: Open}
		r := &Reconciler{Shop: w.shop, Till: w.till, Ledger: test.ledger, Now: func() time.Time { return w.now }}
		var kinds []DifferenceKind
		got, err := r.Reconcile(t.Context(), t0, w.now, func(d Difference) error {
			if kinds = append(kinds, d.Kind); d.Kind == Unreadable && (!d.Loud || !strings.Contains(d.Next, "hashtill store check") || !strings.Contains(d.Says, string(bad))) {
				t.Errorf("%s: %+v", name, d)
			}
			return nil
		})
		if err != nil || !slices.Equal(kinds, test.want) || got.Open != len(test.want) || got.Payments != len(test.ledger) {
			t.Errorf("%s: %v %+v %v", name, kinds, got, err)
		}
	}
}

// Without the archive nothing has left, and it is said why; what else goes wrong with
// it ends the run.
func TestReconcileNoArchive(t *testing.T) {
	w := newWorld(t)
	var fail error
	r := &Reconciler{Shop: w.shop, Till: w.till, Now: func() time.Time { return t0.Add(time.Hour) },
		Left: func(offers.ID) ([]offers.Archived, error) { return nil, fail },
		Ledger: fakeLedger{{Intent: "pi_1", Purchase: offers.NewID("x", "1", "buytee"), Status: Taken,
			Total: offers.Money{Minor: 1, Currency: "USD"}, Begun: t0}}}
	fail = fmt.Errorf("%w: it was moved", ErrNoArchive)
	var says string
	got, err := r.Reconcile(t.Context(), t0, t0.Add(time.Hour), func(d Difference) error { says = d.Says; return nil })
	if err != nil || got.Open != 1 || !strings.Contains(says, "there is no archive: it was moved") {
		t.Errorf("%+v %q %v", got, says, err)
	}
	fail = errSilence
	if _, err := r.Reconcile(t.Context(), t0, t0.Add(time.Hour), func(Difference) error { return nil }); !errors.Is(err, errSilence) {
		t.Errorf("an archive that cannot be read: %v", err)
	}
}

// strange is a till that knows some payments, and counts what it is asked.
type strange struct {
	Till
	knows func(intent string) bool
	asked int
}

func (s *strange) Look(_ context.Context, intent string) (Standing, error) {
	if s.asked++; !s.knows(intent) {
		return Standing{}, errSilence
	}
	return Standing{Status: Taken}, nil
}

// With the key of another account all is missing, and that is said once.
func TestReconcileOtherAccount(t *testing.T) {
	for _, test := range []struct {
		name   string
		paid   int
		knows  func(string) bool
		listed bool // one of them is in the ledger
		asked  int
		want   int
		halts  bool
	}{
		{"none is known", 5, func(string) bool { return false }, false, 3, 0, true},
		{"few, and none is known", 2, func(string) bool { return false }, false, 2, 2, false},
		{"one is listed", 5, func(string) bool { return false }, true, 4, 4, false},
		{"one is known", 6, func(intent string) bool { return intent == "pi_2" }, false, 6, 5, false},
	} {
		w := newWorld(t)
		w.register("en")
		var ledger fakeLedger
		for n := range test.paid {
			// One shard, whose records are shown in the order of their keys.
			p := offers.Purchase{ID: offers.ID(fmt.Sprintf("02-%024d", n)), State: offers.Paid, Intent: fmt.Sprintf("pi_%d", n),
				Total: offers.Money{Minor: 1, Currency: "USD"}, AskedAt: t0, EchoedAt: t0, PaidAt: t0}
			value, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.st.Commit(t.Context(), store.Change{Shard: 2, Put: []store.Put{{Key: "purchase/" + string(p.ID), Value: value}}}); err != nil {
				t.Fatal(err)
			}
			if test.listed && n == 0 {
				ledger = fakeLedger{{Intent: p.Intent, Purchase: p.ID, Status: Taken, Total: p.Total, Begun: t0}}
			}
		}
		till := &strange{knows: test.knows}
		r := &Reconciler{Shop: w.shop, Till: till, Ledger: ledger, Now: func() time.Time { return t0.Add(time.Hour) }}
		n := 0
		_, err := r.Reconcile(t.Context(), t0, t0.Add(time.Hour), func(Difference) error { n++; return nil })
		if errors.Is(err, ErrOtherAccount) != test.halts || !test.halts && err != nil || n != test.want || till.asked != test.asked {
			t.Errorf("%s: %d shown, %d asked, %v", test.name, n, till.asked, err)
		}
	}
}

// What was noted is not said again.
func TestReconcileDisputeIsToldOnce(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p := paid(w)
	w.now = t0.Add(DefaultSettle)
	r := &Reconciler{Shop: w.shop, Till: w.till, Settle: DefaultSettle, Now: func() time.Time { return w.now },
		Ledger: fakeLedger{{Intent: "pi_ann", Purchase: p.ID, Status: Taken, Total: p.Total, Begun: t0, Disputed: true}}}
	n := 0
	for range 2 {
		if _, err := r.Reconcile(t.Context(), t0, w.now, func(Difference) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(time.Hour)
	}
	if n != 1 || len(w.purchase(p.ID).Notices) != 1 {
		t.Errorf("told %d times, noted %+v", n, w.purchase(p.ID).Notices)
	}
}

// Sums are of both sides, in each currency.
func TestReconcileSums(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p := refunded(w)
	w.now = t0.Add(time.Hour)
	eur := func(minor int64) offers.Money { return offers.Money{Minor: minor, Currency: "EUR"} }
	r := &Reconciler{Shop: w.shop, Till: w.till, Now: func() time.Time { return w.now }, Ledger: fakeLedger{
		{Intent: "pi_ann", Purchase: p.ID, Status: Taken, Total: p.Total, Refunded: p.Total, Begun: t0},
		{Intent: "pi_1", Purchase: offers.NewID("x", "1", "buytee"), Status: Taken, Total: eur(700), Refunded: eur(200), Begun: t0},
		{Intent: "pi_2", Purchase: offers.NewID("x", "2", "buytee"), Status: Voided, Total: eur(5000), Refunded: eur(0), Begun: t0},
		{Intent: "pi_3", Status: Taken, Total: eur(9000), Begun: t0},
	}}
	got, err := r.Reconcile(t.Context(), t0, w.now, func(Difference) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	usd, want := p.Total.Minor, Sum{TakenThere: 700, RefundedThere: 200}
	if got.Payments != 4 || got.NotOurs != 1 || got.Sums["EUR"] != want || got.Sums["USD"] != (Sum{usd, usd, usd, usd}) {
		t.Errorf("%+v", got)
	}
}

// What fails is left to a person and to the next run, and stops nothing.
func TestReconcileGoesOn(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p := paid(w)
	w.now = t0.Add(time.Hour)
	w.till.fail = errSilence
	r := &Reconciler{Shop: w.shop, Till: w.till, Now: func() time.Time { return w.now }, Ledger: fakeLedger{
		{Intent: "pi_ann", Purchase: p.ID, Status: Taken, Total: p.Total, Begun: t0},
		{Intent: "pi_1", Purchase: p.ID, Status: Taken, Total: p.Total, Begun: t0},
		{Intent: "pi_2", Purchase: p.ID, Status: Open, Total: p.Total, Begun: t0},
	}}
	var all []Difference
	got, err := r.Reconcile(t.Context(), t0, w.now, func(d Difference) error { all = append(all, d); return nil })
	if err != nil || got.Open != 2 || len(all) != 2 || all[0].Next == "" || !strings.Contains(all[0].Done, errSilence.Error()) {
		t.Errorf("%+v %+v %v", got, all, err)
	}
	halt := errors.New("halt")
	if _, err := r.Reconcile(t.Context(), t0, w.now, func(Difference) error { return halt }); !errors.Is(err, halt) {
		t.Errorf("an error of report: %v", err)
	}
}

// A till that wants to be asked later is asked later.
func TestReconcileWaitsForTheTill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reconciling{Reconciler: &Reconciler{Now: time.Now}}
		tries := 0
		err := r.patient(t.Context(), func() error {
			if tries++; tries < 3 {
				return &LaterError{At: time.Now().Add(time.Minute)}
			}
			return errSilence
		})
		if tries != 3 || err != errSilence {
			t.Errorf("%d tries, %v", tries, err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		err = r.patient(ctx, func() error { return &LaterError{At: time.Now().Add(time.Hour)} })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: %v", err)
		}
	})
}
