package offers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"hashtill/store"
)

// Alone runs do while no other Shop on the same store does anything under that
// name: a network is listened to by one at a time. It waits for its turn, and again
// when the turn is lost, until ctx ends or do returns by itself ([store.Lock] says
// it all). do's context ends with the turn; it must then return soon.
func (s *Shop) Alone(ctx context.Context, name string, do func(ctx context.Context) error) error {
	key := "held/" + name
	if err := validName(name, key); err != nil {
		return err
	}
	lock := store.Lock{Store: s.store, Key: key, Log: s.Log, Patience: s.Silence, Renew: s.Silence * 3 / 10}
	return lock.Run(ctx, do)
}

// Cursor is how far a network has been listened to: what [Shop.SetCursor] set last,
// "" if nothing was.
func (s *Shop) Cursor(ctx context.Context, network string) (string, error) {
	key := cursorKey(network)
	if err := validName(network, key); err != nil {
		return "", err
	}
	recs, err := s.store.Get(ctx, store.ShardOf(key), key)
	if err != nil {
		return "", err
	}
	return string(recs[0].Value), nil
}

// SetCursor keeps how far a network has been listened to, in the network's own
// terms. The last one to set it is right.
func (s *Shop) SetCursor(ctx context.Context, network, cursor string) error {
	key := cursorKey(network)
	if err := validName(network, key); err != nil {
		return err
	}
	for range maxRaces {
		recs, err := s.store.Get(ctx, store.ShardOf(key), key)
		if err != nil {
			return err
		}
		if string(recs[0].Value) == cursor {
			return nil
		}
		err = s.store.Commit(ctx, store.Change{
			Shard: store.ShardOf(key),
			Put:   []store.Put{{Key: key, Version: recs[0].Version, Value: []byte(cursor)}},
		})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("cursor of %s: lost %d races", network, maxRaces)
}

func cursorKey(network string) string { return "cursor/" + network }

// validName says whether a name makes a key that the store takes.
func validName(name, key string) error {
	if name == "" || len(key) > store.MaxKey {
		return fmt.Errorf("%w: a name of %d bytes", ErrInvalid, len(name))
	}
	return nil
}

// Served says whether a process is at work on the store that does something alone,
// such as listening to a network. It watches for as long as that takes to show.
func (s *Shop) Served(ctx context.Context) (bool, error) {
	before, err := s.held(ctx)
	if err != nil || len(before) == 0 {
		return false, err
	}
	watch := time.NewTimer(cmp.Or(s.Silence, 10*time.Second) / 2) // more than one Renew of a Lock
	defer watch.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-watch.C:
	}
	after, err := s.held(ctx)
	return !maps.Equal(before, after), err
}

// held has the versions of the locks that somebody holds.
func (s *Shop) held(ctx context.Context) (map[string]int64, error) {
	versions := map[string]int64{}
	for shard := range store.Shards {
		err := s.scan(ctx, shard, "held/", func(r store.Record) error {
			if len(r.Value) > 0 { // else it was given back
				versions[r.Key] = r.Version
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return versions, nil
}
