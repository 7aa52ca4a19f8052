package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// How long a Lock's holder and those who wait for it take their time.
const (
	defaultRenew    = 3 * time.Second
	defaultPatience = 10 * time.Second
)

// A Lock lets one at a time of all that share a store do something, in this
// process or another.
//
// The lock is a record. Who holds it writes it anew every Renew, so that its
// version grows; who waits for it looks every Renew, and takes it over when the
// same version has stood for Patience. Each goes by its own clock, and only by how
// much time has passed on it. Who could not renew for Patience less one Renew stops
// by itself, so that what it does has ended when another begins, if it ends within
// one Renew of its context. A holder that ends well gives the lock back, and the
// next look takes it: the record stays, empty, so that its version never repeats.
//
// A process that stands still as a whole, or a store that forgets what it has
// acknowledged, can make two act for the time of one Renew. So a Lock is for what
// is harmful when done by two for long, and harmless when done twice.
//
// Fill in Store and Key; the zero values of the other fields are good. All that use
// one Key must agree on Renew and Patience.
type Lock struct {
	Store Store
	Key   string // of the record, which is in the shard ShardOf(Key)

	Log      *slog.Logger  // slog.Default
	Renew    time.Duration // 3 seconds
	Patience time.Duration // 10 seconds; at least three times Renew
}

// Run waits until it holds the lock, runs do, and gives the lock back. do's context
// ends with ctx, or when the lock is lost; do must then return, within one Renew.
// When the lock was lost, Run waits for it anew. Otherwise it returns what do
// returned; where ctx has ended, nil. It returns ErrClosed with the store and
// ErrInvalid for a key or times that cannot be; other errors of the store are
// logged, once until it answers again.
func (l *Lock) Run(ctx context.Context, do func(context.Context) error) error {
	c := &contender{
		Lock:  *l,
		token: []byte(rand.Text()),
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	c.Log = c.Log.With("lock", c.Key)
	c.Renew = cmp.Or(c.Renew, defaultRenew)
	c.Patience = cmp.Or(c.Patience, defaultPatience)
	if c.Renew < 0 || c.Patience < 3*c.Renew {
		return fmt.Errorf("%w: a lock renewed every %s and taken over after %s", ErrInvalid, c.Renew, c.Patience)
	}
	for {
		since, err := c.take(ctx)
		if err != nil || since.IsZero() {
			return err
		}
		lost, err := c.hold(ctx, since, do)
		switch {
		case ctx.Err() != nil:
			return nil
		case !lost:
			return err
		}
	}
}

// A contender is one Run.
type contender struct {
	Lock
	token   []byte // the record's value while it is this contender's
	version int64  // of the record while it is held
	away    bool   // the store does not answer, and the log says so
}

// take waits for the lock and takes it. since is when the commit that took it began,
// zero if ctx has ended. Only a commit that succeeds counts: after any other a look
// tells whether the record is ours, and then it is written once more.
func (c *contender) take(ctx context.Context) (since time.Time, err error) {
	var watched Record
	var from time.Time // when it was first seen so
	for wait := time.Duration(0); sleep(ctx, wait); {
		wait = c.Renew
		rec, err := c.look(ctx)
		if err != nil {
			if c.failed(ctx, err) {
				return time.Time{}, err
			}
			continue
		}
		now := time.Now()
		if from.IsZero() || rec.Version != watched.Version || !bytes.Equal(rec.Value, watched.Value) {
			watched, from = rec, now
		}
		free := len(rec.Value) == 0 || bytes.Equal(rec.Value, c.token)
		if left := c.Patience - now.Sub(from); !free && left > 0 {
			c.answered(ctx)
			wait = min(wait, left)
			continue
		}
		if !free {
			c.Log.WarnContext(ctx, "the holder has not renewed the lock; taking it over")
		}
		err = c.write(ctx, rec.Version, c.token)
		switch {
		case err == nil:
			c.answered(ctx)
			c.version = rec.Version + 1
			c.Log.InfoContext(ctx, "lock taken")
			return now, nil
		case errors.Is(err, ErrConflict): // another was faster
		case c.failed(ctx, err):
			return time.Time{}, err
		default:
			wait = c.Renew / 4
		}
	}
	return time.Time{}, nil
}

// hold runs do while the lock is kept.
func (c *contender) hold(ctx context.Context, since time.Time, do func(context.Context) error) (lost bool, err error) {
	held, end := context.WithCancel(ctx)
	defer end()
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx)) // until do has returned
	defer stop()
	var keeper sync.WaitGroup
	keeper.Go(func() { lost = c.keep(keeping, since, end) })
	err = do(held)
	stop()
	keeper.Wait()
	if lost {
		c.Log.WarnContext(ctx, "lock lost")
		return true, nil
	}
	c.giveBack(ctx)
	return false, err
}

// keep renews the lock until ctx ends or the lock is lost, and calls end when it is.
func (c *contender) keep(ctx context.Context, since time.Time, end func()) (lost bool) {
	most := c.Patience - c.Renew
	late := time.AfterFunc(most-time.Since(since), end)
	for wait := c.Renew - time.Since(since); sleep(ctx, wait); {
		start := time.Now()
		err := c.write(ctx, c.version, c.token)
		if err == nil {
			c.answered(ctx)
			c.version++
			if !late.Stop() {
				return true
			}
			late.Reset(most - time.Since(start))
			wait = c.Renew - time.Since(start)
			continue
		}
		// It is somebody else's, or nobody knows.
		if !errors.Is(err, ErrConflict) {
			c.failed(ctx, err)
		}
		rec, lookErr := c.look(ctx)
		switch {
		case lookErr != nil:
		case !bytes.Equal(rec.Value, c.token):
			late.Stop()
			end()
			return true
		default:
			c.version = rec.Version
		}
		wait = c.Renew / 4
	}
	return !late.Stop()
}

// giveBack leaves the lock to the next look of whoever waits. Where it does not
// succeed they have to be patient.
func (c *contender) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Renew)
	defer cancel()
	err := c.write(ctx, c.version, []byte{})
	for range 3 { // a renewal that was cut off may still have come through
		if err == nil {
			c.Log.InfoContext(ctx, "lock given back")
			return
		}
		rec, lookErr := c.look(ctx)
		if lookErr == nil && !bytes.Equal(rec.Value, c.token) {
			return
		}
		if lookErr == nil {
			err = c.write(ctx, rec.Version, []byte{})
		}
	}
	c.Log.WarnContext(ctx, "cannot give the lock back: the next one has to wait", "err", err)
}

// look reads the record.
func (c *contender) look(ctx context.Context) (Record, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Renew)
	defer cancel()
	recs, err := c.Store.Get(ctx, ShardOf(c.Key), c.Key)
	if err != nil {
		return Record{}, err
	}
	return recs[0], nil
}

// write puts a value where version was.
func (c *contender) write(ctx context.Context, version int64, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.Renew)
	defer cancel()
	return c.Store.Commit(ctx, Change{Shard: ShardOf(c.Key), Put: []Put{{Key: c.Key, Version: version, Value: value}}})
}

// failed tells the log of an error, once per outage, and whether it is final.
func (c *contender) failed(ctx context.Context, err error) (final bool) {
	if errors.Is(err, ErrClosed) || errors.Is(err, ErrInvalid) {
		return true
	}
	if ctx.Err() == nil && !c.away {
		c.away = true
		c.Log.WarnContext(ctx, "the store does not answer; trying again", "err", err)
	}
	return false
}

// answered tells the log of the end of an outage.
func (c *contender) answered(ctx context.Context) {
	if c.away {
		c.away = false
		c.Log.InfoContext(ctx, "the store answers again")
	}
}

// sleep waits, and says whether ctx still runs.
func sleep(ctx context.Context, d time.Duration) bool {
	pause(ctx, nil, d)
	return ctx.Err() == nil
}
