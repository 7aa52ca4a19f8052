package world

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"hashtill/offers"
	"hashtill/store"
)

// A ground is the store as one life reaches it.
type ground struct{ l *life }

// reach gives way, and may find that the store is not there.
func (g ground) reach() error {
	if err := g.l.step(); err != nil {
		return err
	}
	if g.l.now.Before(g.l.awayUntil) {
		return errAway
	}
	return nil
}

func (g ground) read() error {
	if err := g.reach(); err != nil {
		return err
	}
	if g.l.chance("read failed", g.l.name) {
		return errLost
	}
	return nil
}

// Commit implements [store.Store].
func (g ground) Commit(ctx context.Context, c store.Change) error {
	l := g.l
	if err := g.reach(); err != nil {
		return err
	}
	of := what(c)
	switch {
	case l.chance("store error before", of):
		return errLost
	case l.drawn("died before a commit"):
		l.die("died before a commit", of)
		return errDead
	}
	if err := l.base.Commit(ctx, c); err != nil {
		l.full(c, err)
		return err
	}
	l.committed(l, c)
	switch {
	case l.drawn("died after a commit"):
		l.die("died after a commit", of)
		return errDead
	case l.chance("store answer lost", of):
		return errLost
	}
	if l.pace.IntN(4) == 0 {
		return l.step()
	}
	return nil
}

// what a change is about, for the trace.
func what(c store.Change) string {
	switch {
	case len(c.Put) > 0:
		return c.Put[0].Key
	case len(c.Settle) > 0:
		return "settle " + c.Settle[0].ID
	case len(c.PutOff) > 0:
		return "put off " + c.PutOff[0].ID
	}
	return fmt.Sprint("a change in shard ", c.Shard)
}

// committed sees every change that has happened.
func (w *world) committed(l *life, c store.Change) {
	for _, e := range c.Owe {
		w.due(e.Due)
	}
	for _, p := range c.PutOff {
		w.due(p.Due)
		if strings.HasPrefix(p.ID, string(offers.Charge)) && p.Note == "the shop is halted" {
			w.happens("charge put off by a halt", p.ID)
		}
	}
	for _, a := range c.Add {
		w.stock[a.Key] += a.By
		w.judgeStock(a)
	}
	defer w.judgeFree(c)
	for _, p := range c.Put {
		if p.Value != nil && strings.HasPrefix(p.Key, "offer/") {
			w.offered(p.Value)
		}
		if p.Value != nil && strings.HasPrefix(p.Key, "purchase/") {
			var after offers.Purchase
			if err := json.Unmarshal(p.Value, &after); err != nil {
				w.violated("a purchase that cannot be read: %v", err)
				continue
			}
			w.judgeStep(after)
		}
		if p.Value != nil && strings.HasPrefix(p.Key, "buyer/") {
			var after offers.Buyer
			if err := json.Unmarshal(p.Value, &after); err != nil {
				w.violated("a buyer that cannot be read: %v", err)
				continue
			}
			w.judgeBuyer(after)
		}
	}
}

// due has some process look when something falls due.
func (w *world) due(at time.Time) {
	late := time.Duration(w.pace.IntN(1000)) * time.Millisecond
	if w.chance("woken late", "") {
		late = between(w.kinds["woken late"].dice, 5*time.Second, 5*time.Minute)
	}
	w.after(at.Sub(w.now)+late, nil, func() {
		if l := w.anyone(w.pace); l != nil {
			l.wake(0)
		}
	})
}

// Get implements [store.Store].
func (g ground) Get(ctx context.Context, shard int, keys ...string) ([]store.Record, error) {
	if err := g.read(); err != nil {
		return nil, err
	}
	return g.l.base.Get(ctx, shard, keys...)
}

// Counts implements [store.Store].
func (g ground) Counts(ctx context.Context, shard int, keys ...string) ([]int64, error) {
	if err := g.read(); err != nil {
		return nil, err
	}
	return g.l.base.Counts(ctx, shard, keys...)
}

// Scan implements [store.Store].
func (g ground) Scan(ctx context.Context, shard int, prefix, cursor string, limit int) ([]store.Record, string, error) {
	if strings.HasPrefix(prefix, "line/") { // which is looked at to decide by it
		if err := g.read(); err != nil {
			return nil, "", err
		}
	}
	if g.l.dead {
		return nil, "", errDead
	}
	return g.l.base.Scan(ctx, shard, prefix, cursor, limit)
}

// ScanCounts implements [store.Store].
func (g ground) ScanCounts(ctx context.Context, shard int, prefix, cursor string, limit int) ([]store.Count, string, error) {
	if g.l.dead {
		return nil, "", errDead
	}
	return g.l.base.ScanCounts(ctx, shard, prefix, cursor, limit)
}

// Lease implements [store.Store].
func (g ground) Lease(ctx context.Context, now, until time.Time, limit int) ([]store.Lease, error) {
	if err := g.reach(); err != nil {
		return nil, err
	}
	leases, err := g.l.base.Lease(ctx, now, until, limit)
	if len(leases) > 0 {
		g.l.due(until)
		if g.l.chance("read failed", g.l.name+" leases, and does not hear of it") {
			return nil, errLost
		}
	}
	return leases, err
}

// Owed implements [store.Store].
func (g ground) Owed(ctx context.Context, shard int, cursor string, limit int) ([]store.Owed, string, error) {
	if g.l.dead {
		return nil, "", errDead
	}
	return g.l.base.Owed(ctx, shard, cursor, limit)
}

// Load implements [store.Store].
func (g ground) Load(context.Context, int, store.Rows) error { return store.ErrInvalid }

// Close implements [store.Store].
func (g ground) Close() error { return nil }

// failOver lets the store forget what was committed since now, a moment later: as a Redis
// replica does that takes over.
func (w *world) failOver() {
	before, then := w.base.(*store.Memory).Clone(), maps.Clone(w.stock)
	d := w.kinds["fail-over forgot commits"].dice
	w.after(between(d, 10*time.Millisecond, 2*time.Second), nil, func() {
		if w.healed {
			return
		}
		w.happens("fail-over forgot commits", "")
		w.base.Close()
		w.base, w.stock, w.fell, w.net.forgotten = before, then, true, true
		// Who listens begins again from the stored cursor (see [bot.Bot.Again]), and all
		// look for what is due.
		w.net.takeOver()
		for _, p := range w.procs {
			if p.life != nil && !p.life.dead {
				p.life.wake(0)
			}
		}
	})
}
