// Package store is the ground that Hashtill stands on: records, counts and
// effects, and one verb, [Store.Commit].
//
// # Words
//
//   - A record is a value under a key, with a version that grows by one with
//     every write. Expected version 0 means "must be new", so that a seen post,
//     a claimed code and a lock are all records.
//   - A count is a bounded integer under a key: units taken, purchases of one
//     buyer. A count that was never touched is 0, and one that comes back to 0
//     leaves nothing behind.
//   - An effect is something owed to the outside world: a reply, a mail, a
//     charge, a deadline. It is owed by the commit that decided it, due at a
//     time, leased by whoever performs it, and then settled or put off. A
//     settled effect is gone.
//   - A [Change] is a list of these that goes in whole or not at all. It touches
//     one shard, so that SQLite applies it in one transaction and Redis Cluster
//     in one slot.
//
// # Promises
//
// Every back-end is held to these by package storetest:
//
//   - Atomic: all guards of a Change are looked at before its first write. If one
//     fails, nothing of the Change is visible, then or later.
//   - Serial: the Changes of a shard happen in some order, each seeing all that
//     came before it.
//   - Durable: a Change whose Commit returned nil survives the death of the
//     process, and of the machine where the back-end says so.
//   - Exclusive: while a lease runs nobody else is handed its effect; when it has
//     run out the effect is handed out again under the next try, and only that
//     try can settle it.
//   - Nothing is lost: an owed effect is handed out again and again until it is
//     settled.
//   - A Commit that returns an error other than the ones below may or may not
//     have happened. Read again and decide again: the versions tell.
//
// The package knows nothing of purchases, and no time is read inside it except
// through a clock that it was given.
package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"time"
)

// Shards is the number of shards. It is fixed in the data: codes, links and ids
// carry their shard. 64 spreads over as many Redis masters as one shop needs, is
// cheap to poll, and is exactly one six-bit syllable of a code.
const Shards = 64

// ShardOf places a key. All that must change together is placed by the same key.
func ShardOf(key string) int {
	h := fnv.New64a()
	h.Write([]byte(key))
	// FNV's low bits alone repeat for short keys that differ late; fold them.
	sum := h.Sum64()
	return int((sum ^ sum>>32) % Shards)
}

// Bounds on what a Change may carry; [Change.Validate] holds them. They keep the
// longest script and the largest transaction small.
const (
	MaxKey   = 256       // bytes of a key, an effect's id or its kind
	MaxValue = 128 << 10 // bytes of a record's value or an effect's body
	MaxNote  = 512       // bytes of a put-off's note
	MaxParts = 128       // guards and writes in one Change, rows in one Load
)

// MaxCount bounds every count on both sides of 0, whatever its own bounds say:
// the range in which a script that counts in doubles counts exactly.
const MaxCount = 1 << 53

var (
	// ErrConflict: a record is not at the version that was expected, or an
	// effect that should be new is owed already.
	ErrConflict = errors.New("store: conflict")
	// ErrBound: a count would leave its bounds.
	ErrBound = errors.New("store: out of bounds")
	// ErrStale: the lease of an effect is not this try's any more, or the effect
	// is settled.
	ErrStale = errors.New("store: stale lease")
	// ErrInvalid: the Change, or what else was asked, can never be done as it is.
	ErrInvalid = errors.New("store: invalid")
	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("store: closed")
)

// A GuardError says which guard of a Change failed. It unwraps to [ErrConflict],
// [ErrBound] or [ErrStale].
type GuardError struct {
	Err error
	Key string // of the record, the count or the effect
}

func (e *GuardError) Error() string { return fmt.Sprintf("%v: %s", e.Err, e.Key) }
func (e *GuardError) Unwrap() error { return e.Err }

// A Record is a value as it was read. Version 0 means that there is none, and
// only then is the Value nil.
type Record struct {
	Key     string
	Version int64
	Value   []byte
}

// A Change is what one decision does to one shard: it happens whole or not at all.
//
// The guards are looked at in the order of the fields, and within a field in the
// order given; the first that fails is the one reported. A key may stand once in
// Check and Put together, and once in Add; an effect's id once in Owe, Settle,
// PutOff and Drop together.
//
// Drop takes back effects that were owed to nobody outside, such as a deadline
// that the Change has just made moot: whoever holds one finds its lease stale. An
// effect that is not owed (any more) is no complaint. An id that was dropped is
// not owed again: an old holder could settle the new one.
type Change struct {
	Shard  int
	Check  []Check
	Put    []Put
	Settle []Settle
	PutOff []PutOff
	Drop   []string // ids of effects
	Owe    []Effect
	Add    []Add
}

// Parts is the number of guards and writes of the Change.
func (c Change) Parts() int {
	return len(c.Check) + len(c.Put) + len(c.Settle) + len(c.PutOff) + len(c.Drop) + len(c.Owe) + len(c.Add)
}

// A Check holds a record to a version without writing it. Version 0: there must
// be none.
type Check struct {
	Key     string
	Version int64
}

// A Put writes a record that is at the expected version; it is then at the next.
// Version 0: it must be new. A nil Value removes the record, which is then again
// at version 0 (there must be one to remove).
type Put struct {
	Key     string
	Version int64
	Value   []byte
}

// An Add moves a count by By. A positive By may not end above Max, a negative one
// not below Min: a count beyond a bound that was tightened later can still come
// back. Bounds beyond [MaxCount] mean MaxCount.
type Add struct {
	Key      string
	By       int64
	Min, Max int64
}

// Room is the range, both ends included, that a count must be in for the Add to
// be allowed. It is computed here once, free of overflow, so that each back-end
// has two comparisons left to do. An Add that can never be allowed has low > high.
func (a Add) Room() (low, high int64) {
	low, high = -MaxCount, MaxCount
	least, most := max(a.Min, -MaxCount), min(a.Max, MaxCount)
	switch {
	case a.By > 0 && most < math.MinInt64+a.By, a.By < 0 && least > math.MaxInt64+a.By:
		return 1, 0
	case a.By > 0:
		high = most - a.By
	case a.By < 0:
		low = least - a.By
	}
	if low > MaxCount || high < -MaxCount {
		return 1, 0 // beyond what any count can be
	}
	return low, high
}

// A Count is a count as it was read.
type Count struct {
	Key string
	N   int64
}

// An Effect is something owed. ID is unique within its shard while the effect is
// owed, and is the idempotency key outside.
type Effect struct {
	ID   string
	Kind string    // for people and figures; the store does not read it
	Due  time.Time // to the millisecond; a fraction is rounded up
	Body []byte
}

// A Settle ends an effect that this try holds.
type Settle struct {
	ID  string
	Try int64
}

// A PutOff gives an effect that this try holds back, to be due again later. The
// try holds nothing any more.
type PutOff struct {
	ID   string
	Try  int64
	Due  time.Time
	Note string // why, for the operator; never a secret or an address

	// Waits says that nobody holds the effect: it has waited for its time since Try has
	// put it off, or since it was owed (0). So a person has it tried at once.
	Waits bool
}

// A Lease is an effect handed out to be performed.
type Lease struct {
	Shard int
	Effect
	Try   int64     // 1 at the first time, one more at each further one
	Until time.Time // from then on it may be handed out again
	Note  string    // of the last put-off
}

// An Owed is an effect as it stands, for people to look at.
type Owed struct {
	Shard int
	Effect
	Try  int64 // how often it has been handed out
	Note string
}

// Rows are what a store holds, as [Store.Load] takes it over from another one.
type Rows struct {
	Records []Record
	Counts  []Count
	Effects []Owed // of the shard that they are loaded into, whatever they say
}

// A Store keeps records, counts and effects. All methods may be called at once
// from many goroutines. Values handed in are not kept, values handed out belong
// to the caller.
type Store interface {
	// Commit makes the Change happen, or returns a *GuardError, ErrInvalid, or an
	// error after which the outcome is unknown.
	Commit(ctx context.Context, c Change) error

	// Get reads records of one shard, in the order of the keys, all of one moment.
	Get(ctx context.Context, shard int, keys ...string) ([]Record, error)

	// Counts reads counts of one shard, in the order of the keys.
	Counts(ctx context.Context, shard int, keys ...string) ([]int64, error)

	// Scan reads the records of a shard whose keys begin with prefix, at most
	// limit of them (a limit below one is one), going on from the cursor that the
	// last call returned; "" begins, and "" returned means that there are no more.
	// A page may be empty and not the last. What stands throughout a scan is met
	// at least once; the order is the back-end's.
	Scan(ctx context.Context, shard int, prefix, cursor string, limit int) (recs []Record, next string, err error)

	// ScanCounts reads the counts of a shard that are not 0, in the manner of Scan.
	ScanCounts(ctx context.Context, shard int, prefix, cursor string, limit int) (counts []Count, next string, err error)

	// Lease hands out effects that are due at now, at most limit of them, the
	// longest due first within a shard, for the caller to perform before until,
	// which is after now. It hands out none only if none is due. A lease tells
	// when its effect was due; from then on the effect is due again at until. The
	// lease is durable as a commit is.
	Lease(ctx context.Context, now, until time.Time, limit int) ([]Lease, error)

	// Owed reads the effects of a shard in the manner of Scan.
	Owed(ctx context.Context, shard int, cursor string, limit int) (owed []Owed, next string, err error)

	// Load writes rows as they stood in another store, versions and tries included,
	// in the place of what is there under their keys. No guard is looked at, and
	// nobody holds a lease of what was loaded: it is for copying into a store that
	// nobody serves. It happens whole or not at all, and may be done again.
	Load(ctx context.Context, shard int, rows Rows) error

	// Close waits for what is under way and lets go. Afterwards every method
	// returns ErrClosed.
	Close() error
}

// Validate says whether a Change keeps to the bounds, as an error that wraps
// ErrInvalid. Every back-end calls it first.
func (c Change) Validate() error {
	if err := ValidShard(c.Shard); err != nil {
		return err
	}
	if n := c.Parts(); n == 0 || n > MaxParts {
		return fmt.Errorf("%w: %d parts", ErrInvalid, n)
	}
	var v validation
	records, counts, effects := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range c.Check {
		v.key(records, p.Key)
		v.want(p.Version >= 0, p.Key, "negative version")
	}
	for _, p := range c.Put {
		v.key(records, p.Key)
		v.size(p.Key, p.Value)
		v.want(p.Version >= 0, p.Key, "negative version")
		v.want(p.Value != nil || p.Version > 0, p.Key, "nothing to remove")
	}
	for _, s := range c.Settle {
		v.key(effects, s.ID)
	}
	for _, p := range c.PutOff {
		v.key(effects, p.ID)
		v.want(len(p.Note) <= MaxNote, p.ID, "note too long")
		v.due(p.ID, p.Due)
	}
	for _, id := range c.Drop {
		v.key(effects, id)
	}
	for _, e := range c.Owe {
		v.effect(effects, e)
	}
	for _, a := range c.Add {
		v.key(counts, a.Key)
		v.want(a.Min <= a.Max, a.Key, "bounds crossed")
	}
	return v.err
}

// Validate says whether rows can be loaded, as an error that wraps ErrInvalid.
// Every back-end calls it first.
func (r Rows) Validate() error {
	parts := len(r.Records) + len(r.Counts) + len(r.Effects)
	if parts == 0 || parts > MaxParts {
		return fmt.Errorf("%w: %d rows", ErrInvalid, parts)
	}
	var v validation
	records, counts, effects := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, rec := range r.Records {
		v.key(records, rec.Key)
		v.size(rec.Key, rec.Value)
		v.want(rec.Version > 0 && rec.Value != nil, rec.Key, "no record")
	}
	for _, c := range r.Counts {
		v.key(counts, c.Key)
		v.want(c.N >= -MaxCount && c.N <= MaxCount, c.Key, "count too large")
	}
	for _, e := range r.Effects {
		v.effect(effects, e.Effect)
		v.want(e.Try >= 0 && len(e.Note) <= MaxNote, e.ID, "negative try, or note too long")
	}
	return v.err
}

// ValidShard says whether there is such a shard, as an error that wraps
// ErrInvalid. Every back-end calls it before it reads.
func ValidShard(shard int) error {
	if shard < 0 || shard >= Shards {
		return fmt.Errorf("%w: shard %d", ErrInvalid, shard)
	}
	return nil
}

// ValidLease says whether a lease from now until then is one, as an error that
// wraps ErrInvalid: one that ends as it begins would hand out the same effect
// again and again.
func ValidLease(now, until time.Time) error {
	if Millis(until) <= now.UnixMilli() {
		return fmt.Errorf("%w: lease until %v at %v", ErrInvalid, until, now)
	}
	return nil
}

// validation keeps the first complaint.
type validation struct{ err error }

func (v *validation) want(ok bool, key, complaint string) {
	if !ok && v.err == nil {
		v.err = fmt.Errorf("%w: %q: %s", ErrInvalid, key, complaint)
	}
}

func (v *validation) key(seen map[string]bool, key string) {
	v.want(key != "" && len(key) <= MaxKey, key, "bad key length")
	v.want(!seen[key], key, "named twice")
	seen[key] = true
}

func (v *validation) effect(seen map[string]bool, e Effect) {
	v.key(seen, e.ID)
	v.want(len(e.Kind) <= MaxKey, e.ID, "kind too long")
	v.size(e.ID, e.Body)
	v.due(e.ID, e.Due)
}

// due: a time that back-ends can keep as milliseconds.
func (v *validation) due(id string, due time.Time) {
	v.want(due.IsZero() || Millis(due) >= -MaxCount && Millis(due) <= MaxCount, id, "due at no time")
}

func (v *validation) size(key string, value []byte) {
	v.want(len(value) <= MaxValue, key, "value too large")
}

// Millis is a due time as back-ends keep it: milliseconds since 1970, a fraction
// rounded up, so that nothing is ever handed out before its time.
func Millis(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.Sub(time.UnixMilli(ms)) > 0 {
		ms++
	}
	return ms
}
