package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hashtill/store"
)

// A slow kind with a long backlog leaves workers for the others.
func TestOutboxShare(t *testing.T) {
	do := func(_ *post, ctx context.Context, l store.Lease) error {
		if l.Kind != "mail" {
			return nil
		}
		select {
		case <-time.After(30 * time.Second):
			return errors.New("mail server hangs")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	withPost(t, func(o *store.Outbox) { o.Workers = 8 }, do, func(p *post) {
		for i := range 500 {
			p.owe("mail", fmt.Sprint("mail", i), 0)
		}
		pass(time.Millisecond) // the replies are due after all mails
		for i := range 20 {
			p.owe("reply", fmt.Sprint("reply", i), 0)
		}
		p.box.Nudge()
		synctest.Wait()
		mails, replies := 0, 0
		for _, call := range p.calls() {
			if strings.HasPrefix(call, "reply") {
				replies++
			} else {
				mails++
			}
		}
		if replies != 20 || mails != 6 {
			p.Errorf("%d replies and %d mails performed, want 20 and 6", replies, mails)
		}
		p.owe("reply", "late", 0)
		p.box.Nudge()
		synctest.Wait()
		if p.owed("late") != nil {
			p.Error("a reply waits for the mails")
		}
		if o := p.owed("mail400"); o.Note != "[failed 0 of 1]" || o.Try != 1 {
			p.Errorf("a mail whose turn has not come stands as %+v", o)
		}
	})
}

// What waits for its kind keeps the note of its last failure, and however often it
// has been tried, it comes back soon.
func TestOutboxCrowdedKeepsNote(t *testing.T) {
	hang := func(_ *post, ctx context.Context, _ store.Lease) error {
		<-ctx.Done()
		return ctx.Err()
	}
	withPost(t, func(o *store.Outbox) { o.Workers, o.Share = 2, 1 }, hang, func(p *post) {
		now := time.Now()
		rows := store.Rows{Effects: []store.Owed{
			{Effect: store.Effect{ID: "first", Kind: "mail", Due: now.Add(-time.Second)}},
			{Effect: store.Effect{ID: "next", Kind: "mail", Due: now.Add(-time.Second)}},
			{Effect: store.Effect{ID: "second", Kind: "mail", Due: now}, Try: 20, Note: "mail server says 451"},
		}}
		if err := p.box.Store.Load(t.Context(), store.ShardOf("second"), rows); err != nil {
			p.Fatal(err)
		}
		p.box.Nudge()
		synctest.Wait()
		p.wantCalls("first/1")
		if o := p.owed("second"); o.Try != 21 || o.Note != "mail server says 451 [failed 20 of 21]" || o.Due.Sub(now) > 30*time.Second {
			p.Errorf("it stands as %+v", o)
		}
	})
}

// A burst of one kind waits in hand for the workers that it may have: nothing of it is put
// off, and no time is lost.
func TestOutboxCrowdWaits(t *testing.T) {
	quick := func(*post, context.Context, store.Lease) error { return nil }
	withPost(t, func(o *store.Outbox) { o.Workers, o.Share = 8, 4 }, quick, func(p *post) {
		p.owe("mail", "0", 0) // it is seen to be quick
		p.box.Nudge()
		synctest.Wait()
		for i := 1; i < 200; i++ {
			p.owe("mail", fmt.Sprint(i), 0)
		}
		began := time.Now()
		p.box.Nudge()
		synctest.Wait()
		tries := map[string]int{}
		for _, call := range p.calls() {
			tries[call[strings.LastIndexByte(call, '/')+1:]]++
		}
		if len(p.calls()) != 200 || tries["1"] != 200 || time.Since(began) != 0 {
			p.Errorf("after %v: %d performed, by their tries %v", time.Since(began), len(p.calls()), tries)
		}
	})
}

// Behind a service that hangs an effect waits until its lease is too short, and is then
// given back: it has not failed.
func TestOutboxCrowdWaitsTooLong(t *testing.T) {
	hang := func(_ *post, ctx context.Context, _ store.Lease) error {
		<-ctx.Done()
		return ctx.Err()
	}
	withPost(t, func(o *store.Outbox) { o.Workers, o.Share = 2, 1 }, hang, func(p *post) {
		p.owe("mail", "first", 0)
		pass(time.Millisecond)
		p.owe("mail", "second", 0)
		p.box.Nudge()
		synctest.Wait()
		if p.wantCalls("first/1"); p.box.InFlight() != 2 {
			p.Errorf("%d in hand", p.box.InFlight())
		}
		pass(55 * time.Second) // of the minute that a lease is
		p.wantCalls("first/1")
		if o := p.owed("second"); o.Try != 1 || o.Note != "[failed 0 of 1]" {
			p.Errorf("it stands as %+v", o)
		}
	})
}

// Kinds that depend on the same service share one share: when it hangs, all others go
// on.
func TestOutboxGroup(t *testing.T) {
	hang := func(_ *post, ctx context.Context, l store.Lease) error {
		if l.Kind == "mail" {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	withPost(t, func(o *store.Outbox) {
		o.Group = func(kind string) string {
			if kind != "mail" {
				return "stripe"
			}
			return kind
		}
	}, hang, func(p *post) {
		for i := range 60 {
			p.owe([]string{"charge", "void", "look"}[i%3], fmt.Sprint("hangs", i), 0)
		}
		pass(time.Millisecond)
		for i := range 40 {
			p.owe("mail", fmt.Sprint("mail", i), 0)
		}
		p.box.Nudge()
		synctest.Wait()
		mails := 0
		for _, call := range p.calls() {
			if strings.HasPrefix(call, "mail") {
				mails++
			}
		}
		if hangs := len(p.calls()) - mails; mails != 40 || hangs != 24 {
			p.Errorf("%d mails sent, %d effects hang; want 40 and 24", mails, hangs)
		}
	})
}
