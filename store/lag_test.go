package store_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"hashtill/store"
)

// What fails again and again is as old as its first due time, not as its last; what is
// done is forgotten, and so is what another process takes over.
func TestOutboxLags(t *testing.T) {
	var works atomic.Bool
	withPost(t, nil, func(p *post, _ context.Context, l store.Lease) error {
		if l.Kind == "charge" && !works.Load() {
			return errors.New("no")
		}
		return nil
	}, func(p *post) {
		began := time.Now()
		p.owe("mail", "m", 0)
		p.owe("charge", "a", time.Minute)
		p.owe("charge", "b", 3*time.Minute)
		<-time.After(10 * time.Minute)
		lags := p.box.Lags()
		if l := lags["charge"]; len(lags) != 1 || l.Effects != 2 || l.Since.Sub(began) < time.Minute || l.Since.Sub(began) > time.Minute+2*time.Second {
			t.Errorf("%v", lags)
		}
		works.Store(true)
		<-time.After(6 * time.Minute)
		if lags := p.box.Lags(); len(lags) != 0 {
			t.Errorf("%v", lags)
		}

		works.Store(false)
		p.owe("charge", "c", 0)
		<-time.After(3 * time.Second)
		// Another process does it meanwhile.
		for {
			leases, err := p.store.Lease(t.Context(), time.Now().Add(time.Hour), time.Now().Add(2*time.Hour), 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(leases) == 0 {
				break
			}
			if err := p.store.Commit(t.Context(), store.Change{Shard: leases[0].Shard, Settle: []store.Settle{{ID: leases[0].ID, Try: leases[0].Try}}}); err != nil {
				t.Fatal(err)
			}
		}
		if l := p.box.Lags()["charge"]; l.Effects != 1 {
			t.Errorf("%+v", l)
		}
		<-time.After(6 * time.Minute)
		if lags := p.box.Lags(); len(lags) != 0 {
			t.Errorf("%v", lags)
		}
	})
}

// What has not come again when it should have is another process's, or done: nobody is
// told that it is late.
func TestOutboxLagsOfAnother(t *testing.T) {
	withPost(t, nil, func(*post, context.Context, store.Lease) error { return errors.New("no") }, func(p *post) {
		p.owe("charge", "c", 0)
		p.box.Nudge()
		pass(time.Millisecond)
		if l := p.box.Lags()["charge"]; l.Effects != 1 {
			t.Fatalf("%+v", l)
		}
		leases, err := p.store.Lease(t.Context(), time.Now().Add(time.Second), time.Now().Add(time.Hour), 1)
		if err != nil || len(leases) != 1 {
			t.Fatal(leases, err)
		}
		if err := p.store.Commit(t.Context(), store.Change{Shard: leases[0].Shard, Settle: []store.Settle{{ID: leases[0].ID, Try: leases[0].Try}}}); err != nil {
			t.Fatal(err)
		}
		pass(50 * time.Second)
		if lags := p.box.Lags(); len(lags) != 0 {
			t.Errorf("%v", lags)
		}
	})
}
