package offers

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"hashtill/store"
)

// A purchase is remembered by who has committed it, and another process moves it: nothing
// is refused, and nothing left undone, because of what is remembered.
func TestRemembered(t *testing.T) {
	setUp := func(t *testing.T) (a, b *shop, p Purchase) {
		a = newShop(t, tee(5, 5))
		b = newShopOn(t, a.st, tee(5, 5))
		a.register(1)
		a.settle()
		p = a.wish(1, "post")
		a.settle()
		if p = a.is(p.ID, Coded); p.Code == "" {
			t.Fatal("no code")
		}
		return a, b, p
	}

	t.Run("a refusal", func(t *testing.T) {
		a, b, p := setUp(t)
		b.with[Charge] = func(j Job) (Event, error) {
			return Event{Kind: ChargeFailed, Attempt: j.Purchase.Attempt, Reason: CardDeclined}, nil
		}
		if _, err := a.Echo(t.Context(), p.Code, account(1), "echo", a.now); err != nil {
			t.Fatal(err)
		}
		a.settle()
		if _, err := a.Press(t.Context(), p.ID, 1, "", a.now); err != nil {
			t.Fatal(err)
		}
		b.settle() // it is declined, and may be cancelled again: a remembers that it is being charged
		b.is(p.ID, Declined)
		if after, err := a.Cancel(t.Context(), p.ID, account(1), a.now); err != nil || after.State != Cancelled {
			t.Errorf("%s, %v", after.State, err)
		}
	})

	t.Run("what moves nothing", func(t *testing.T) {
		a, b, p := setUp(t)
		if _, err := b.Echo(t.Context(), p.Code, account(1), "echo", b.now); err != nil {
			t.Fatal(err)
		}
		b.settle()
		b.is(p.ID, Mailed)
		// To a the payment's end comes as a surprise; to the store it does not.
		after, err := a.move(t.Context(), p.ID, Event{Kind: IntentVoided}, nil, a.now)
		if err != nil || after.State != Refused {
			t.Errorf("%s, %v", after.State, err)
		}
	})

	t.Run("an effect", func(t *testing.T) {
		a, b, p := setUp(t)
		if _, err := a.Echo(t.Context(), p.Code, account(1), "echo", a.now); err != nil {
			t.Fatal(err)
		}
		a.settle()
		if _, err := a.Press(t.Context(), p.ID, 1, "", a.now); err != nil {
			t.Fatal(err)
		}
		leases, err := b.st.Lease(t.Context(), b.now, b.now.Add(time.Minute), 10)
		if err != nil || len(leases) != 1 {
			t.Fatalf("%+v, %v", leases, err)
		}
		if err := b.Perform(t.Context(), leases[0]); err != nil { // the charge
			t.Fatal(err)
		}
		a.with[MailReceipt] = func(j Job) (Event, error) {
			if j.Purchase.State != Paid {
				t.Errorf("a receipt for a purchase that is %s", j.Purchase.State)
			}
			return Event{Kind: EffectDone}, nil
		}
		a.settle()
		if a.calls[Effect{Kind: MailReceipt, Purchase: p.ID}.ID()] != 1 {
			t.Errorf("done: %v", a.calls)
		}
	})

	t.Run("erased before it was filed", func(t *testing.T) {
		a := newShop(t, tee(5, 5))
		a.register(1)
		a.settle()
		p := a.wish(1, "post")
		leases, err := a.st.Lease(t.Context(), a.now, a.now.Add(time.Minute), 10)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Cancel(t.Context(), p.ID, account(1), a.now); err != nil {
			t.Fatal(err)
		}
		if err := a.erasePurchase(t.Context(), p.ID, account(1), a.now, &Erased{}, &UnfinishedError{}); err != nil {
			t.Fatal(err)
		}
		for _, l := range leases {
			if err := a.Perform(context.WithoutCancel(t.Context()), l); err != nil && !errors.Is(err, ErrNotFound) {
				t.Log(err) // whoever held it finds that it is not owed any more
			}
		}
		recs, err := a.st.Get(t.Context(), account(1).Shard(), ownKey(account(1), p.ID))
		if err != nil || recs[0].Version != 0 {
			t.Errorf("the note stays: %+v, %v", recs, err)
		}
	})
}

// What is remembered is bounded, in number and in time, and a later commit is not forgotten
// for an earlier one.
func TestRecent(t *testing.T) {
	var r recent
	id := func(n int) ID { return NewID("x", string(rune(n)), "buytee") }
	r.keep(Purchase{ID: id(1), State: Mailed, version: 5}, nil, t0)
	r.keep(Purchase{ID: id(1), State: Coded, version: 4}, nil, t0)
	if p, ok := r.since(id(1), 5, t0.Add(recentFor)); !ok || p.State != Mailed || !p.remembered {
		t.Errorf("%+v, %v", p, ok)
	}
	if _, ok := r.since(id(1), 6, t0); ok {
		t.Error("it is older than what was asked for")
	}
	if _, ok := r.since(id(1), 0, t0.Add(recentFor+1)); ok {
		t.Error("it is remembered for too long")
	}
	if _, ok := r.since(id(1), 0, t0.Add(-1)); ok {
		t.Error("it is remembered from the future")
	}
	for n := range 3 * recentMost {
		r.keep(Purchase{ID: id(n + 2), version: 1}, nil, t0)
	}
	if _, ok := r.since(id(1), 0, t0); ok || len(r.young)+len(r.aged) > 2*recentMost {
		t.Errorf("%d are remembered", len(r.young)+len(r.aged))
	}
	r.forget()
	if _, ok := r.since(id(3*recentMost+1), 0, t0); ok {
		t.Error("it is not forgotten")
	}
}

// A purchase that is read again is the one that the record tells of, whatever is remembered.
func TestRememberedIsRead(t *testing.T) {
	var r recent
	id := NewID("x", "1", "buytee")
	r.keep(Purchase{ID: id, State: Mailed, version: 5}, []byte(`{"state":"mailed"}`), t0)
	for _, rec := range []store.Record{
		{Version: 5, Value: []byte(`{"state":"mailed"}`)},
		{Version: 6, Value: []byte(`{"state":"mailed"}`)},
		{Version: 5, Value: []byte(`{"state":"coded"}`)},
	} {
		want, err := readPurchase(rec)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := r.read(id, rec); err != nil || p.State != want.State || p.version != want.version || p.remembered {
			t.Errorf("%+v, %v, want %+v", p, err, want)
		}
	}
	if _, err := r.read(id, store.Record{Version: 9, Value: []byte("{")}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a damaged record: %v", err)
	}
}

// A buyer that is read again is the one that the record tells of, whatever was decoded before.
func TestDecodedBuyers(t *testing.T) {
	var d decoded
	a := account(1)
	for n, r := range []store.Record{
		{Version: 1, Value: []byte(`{"handle":"ann"}`)},
		{Version: 2, Value: []byte(`{"handle":"ann"}`)},
		{Version: 3, Value: []byte(`{"handle":"bob"}`)},
		{Version: 3, Value: []byte(`{"handle":"eve"}`)}, // another store's
		{},
		{Version: 1, Value: []byte(`{"handle":"eve"}`)},
	} {
		want, err := readBuyer(r)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := d.read(a, r); err != nil || !reflect.DeepEqual(b, want) {
			t.Errorf("%d: %+v, %v, want %+v", n, b, err, want)
		}
	}
	if _, err := d.read(a, store.Record{Version: 9, Value: []byte("{")}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a damaged record: %v", err)
	}
	if b, _ := d.read(account(2), store.Record{Version: 1, Value: []byte(`{"handle":"kim"}`)}); b.Handle != "kim" {
		t.Errorf("another account is %q", b.Handle)
	}
}

// What is remembered is what would be read, to the clock by which it tells the time: the
// one that JSON does not keep stands still while a machine sleeps.
func TestRememberedAsRead(t *testing.T) {
	s := newShop(t, tee(5, 5))
	s.now = time.Now()
	s.register(1)
	p := s.wish(1, "post")
	s.settle()
	p = s.is(p.ID, Coded)
	if _, err := s.Echo(t.Context(), p.Code, account(1), "echo", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if _, err := s.Press(t.Context(), p.ID, s.is(p.ID, Mailed).Round, "", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(p.ID, Paid)
	m, ok := s.recent.get(p.ID)
	if !ok {
		t.Fatal("it is not remembered")
	}
	read, err := readPurchase(store.Record{Key: purchaseKey(p.ID), Version: m.p.version, Value: m.value})
	if err != nil {
		t.Fatal(err)
	}
	got := m.p
	got.remembered, got.offerVersion = false, 0                                      // of the wish alone
	if got, want := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", read); got != want { // a monotonic clock shows as m=
		t.Errorf("remembered\n%s\nread\n%s", got, want)
	}
}

// Nothing is remembered for long, whoever it is about.
func TestRememberedNotForLong(t *testing.T) {
	s := newShop(t, tee(5, 5))
	s.register(1)
	p := s.wish(1, "post")
	s.settle()
	kept := func() bool {
		_, purchase := s.recent.get(p.ID)
		_, buyer := s.decoded.get(account(1))
		if purchase != buyer {
			t.Errorf("kept: the purchase %v, the buyer %v", purchase, buyer)
		}
		return purchase
	}
	for n, want := range []bool{true, true, false} {
		s.now = s.now.Add(keptFor)
		if kept() != want && n < 2 {
			t.Errorf("minute %d: kept %v", n, !want)
		}
		if _, err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if kept() {
		t.Error("it is kept for ever")
	}
}
