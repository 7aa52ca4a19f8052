package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hashtill/offers"
	"hashtill/store"
)

// Whoever looks is told that payments wait, and for how long, although each is tried
// anew all the time; and that they do not any more.
func TestLatePaymentsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var logged bytes.Buffer
		var works atomic.Bool
		st := store.NewMemory()
		s := &system{now: time.Now, log: slog.New(slog.NewTextHandler(&logged, nil))}
		s.outbox = &store.Outbox{Store: st, Log: slog.New(slog.DiscardHandler), Do: func(ctx context.Context, l store.Lease) error {
			if !works.Load() {
				return errors.New("Stripe says no")
			}
			return st.Commit(ctx, store.Change{Shard: l.Shard, Settle: []store.Settle{{ID: l.ID, Try: l.Try}}})
		}}
		wg.Go(func() { _ = s.outbox.Run(ctx) })
		wg.Go(func() { s.watchPayments(ctx) })
		owe := func(kind string) {
			err := st.Commit(ctx, store.Change{Owe: []store.Effect{{ID: kind, Kind: kind, Due: time.Now()}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		owe("mail-link") // late too, and no payment
		<-time.After(10 * time.Minute)
		if waiting, oldest, late := s.latePayments(); waiting != 0 || late || logged.Len() > 0 {
			t.Errorf("%d wait, the oldest for %v: %s", waiting, oldest, &logged)
		}
		owe("charge")
		owe("void")
		<-time.After(50 * time.Second)
		if waiting, _, late := s.latePayments(); waiting != 2 || late {
			t.Errorf("%d wait, late %v", waiting, late)
		}
		<-time.After(5 * time.Minute)
		synctest.Wait()
		if waiting, oldest, late := s.latePayments(); waiting != 2 || !late || oldest < 5*time.Minute || oldest > 6*time.Minute {
			t.Errorf("%d wait, the oldest for %v, late %v", waiting, oldest, late)
		}
		works.Store(true)
		<-time.After(7 * time.Minute)
		synctest.Wait()
		if waiting, _, late := s.latePayments(); waiting != 0 || late {
			t.Errorf("%d wait, late %v", waiting, late)
		}
		stop()
		wg.Wait()
		log := logged.String()
		if strings.Count(log, "payments are late") < 4 || strings.Count(log, "payments are in time again") != 1 || !strings.Contains(log, "waiting=2") {
			t.Error(log)
		}
	})
}

// All of it is read, however much there is.
func TestOwedByKind(t *testing.T) {
	st := store.NewMemory()
	now := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	owe := func(shard int, e store.Effect) {
		if err := st.Commit(t.Context(), store.Change{Shard: shard, Owe: []store.Effect{e}}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 2*500 + 7 {
		owe(3, store.Effect{ID: fmt.Sprint("deadline/", n), Kind: "deadline", Due: now.Add(time.Duration(n) * time.Second)})
	}
	owe(63, store.Effect{ID: "charge/1", Kind: "charge", Due: now.Add(-time.Hour)})
	owe(0, store.Effect{ID: "charge/2", Kind: "charge", Due: now.Add(-time.Minute)})
	owe(0, store.Effect{ID: "answer/1", Kind: "answer"})
	for range 2 {
		if _, err := st.Lease(t.Context(), now.Add(-time.Hour), now.Add(-time.Hour).Add(time.Millisecond), 10); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * time.Millisecond)
	}
	got, err := offers.OwedByKind(t.Context(), st, now, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].Oldest = got[i].Oldest.UTC().Truncate(time.Second)
	}
	at := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	want := []offers.OwedKind{
		{Kind: "answer", Owed: 1, Due: 1, Oldest: at.Add(-time.Hour), Tries: 2},
		{Kind: "charge", Owed: 2, Due: 2, Oldest: at.Add(-time.Hour), Tries: 2},
		{Kind: "deadline", Owed: 2*500 + 7, Due: 1, Oldest: at},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}
