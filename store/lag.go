package store

import "time"

// A Lag says how far an [Outbox] is behind with effects of a kind.
type Lag struct {
	Effects int       // that it has in hand, or has put off
	Since   time.Time // when the oldest of them was due first, as far as this outbox knows
}

// maxPending bounds how many effects an outbox remembers, and so its memory. Whoever
// has more than that to do knows enough.
const maxPending = 100_000

// pendingKey names an effect: ids are those of a shard.
type pendingKey struct {
	shard int
	id    string
}

// pending is an effect that was handed to this outbox and not done yet.
type pending struct {
	kind  string
	since time.Time // when it was due first
	again time.Time // when it comes again
}

// overdue is how late an effect may come again before it is another process's, or
// done: this outbox looks every Poll, and gives back what is crowded out this soon.
const overdue = maxCrowdDelay

// Lags says how far the outbox is behind, by kind of effect, with what it has in hand
// and what it has put off. It asks no store: what no outbox could lease yet, and what
// another process has put off, is not among it. It remembers in memory alone: after a
// restart, as in the hands of another process, an effect that was put off before is as
// old as its last due time, and unknown until then.
func (o *Outbox) Lags() map[string]Lag {
	o.init()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forgetPending()
	lags := map[string]Lag{}
	now := o.Now()
	for _, p := range o.pending {
		if now.Sub(p.again) > overdue {
			continue
		}
		l := lags[p.kind]
		if l.Effects++; l.Effects == 1 || p.since.Before(l.Since) {
			l.Since = p.since
		}
		lags[p.kind] = l
	}
	return lags
}

// forgetPending forgets what has not come again for so long that it never will: until
// then it may come back from another process, and is as old as it was. o.mu is held.
func (o *Outbox) forgetPending() {
	now := o.Now()
	for key, p := range o.pending {
		if now.Sub(p.again) > maxDelay {
			delete(o.pending, key)
		}
	}
}

// leased notes an effect that was handed out; o.mu is held.
func (o *Outbox) leased(l Lease) {
	key := pendingKey{l.Shard, l.ID}
	p, known := o.pending[key]
	if !known {
		if len(o.pending) >= maxPending {
			if o.forgetPending(); len(o.pending) >= maxPending {
				return
			}
		}
		p = pending{kind: l.Kind, since: l.Due}
		if l.Due.Unix() <= 0 { // owed for at once, which says nothing of when that was
			p.since = o.Now()
		}
	}
	p.again = l.Until
	o.pending[key] = p
}

// ended notes that an effect needs nothing more of this outbox, or that it comes again.
func (o *Outbox) ended(l Lease, again time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := pendingKey{l.Shard, l.ID}
	p, known := o.pending[key]
	switch {
	case again.IsZero():
		delete(o.pending, key)
	case known:
		p.again = again
		o.pending[key] = p
	}
}
