package store

import (
	"bytes"
	"container/heap"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Memory is the reference back-end: plain maps under one mutex. It keeps every
// promise of the contract but durability, and is what the other back-ends are
// compared with.
type Memory struct {
	mu     sync.Mutex
	closed bool
	shards [Shards]memoryShard
	due    dueHeap // every owed effect of every shard
}

var _ Store = (*Memory)(nil)

type memoryShard struct {
	records table[Record]
	counts  table[int64] // without zeros
	effects table[*owedEffect]
}

// An owedEffect is an effect and its place in the heap. Its due time is the end
// of the lease while one runs.
type owedEffect struct {
	shard     int
	id, kind  string
	due       int64 // Millis
	try       int64
	leased    bool // the try has neither settled nor put it off
	note      string
	body      []byte
	heapIndex int
}

// NewMemory makes an empty store.
func NewMemory() *Memory {
	m := &Memory{}
	for i := range m.shards {
		m.shards[i] = memoryShard{
			records: newTable[Record](),
			counts:  newTable[int64](),
			effects: newTable[*owedEffect](),
		}
	}
	return m
}

// Clone is another store with all that is in this one, leases included, as a replica has
// it that nothing is missing from.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	other := NewMemory()
	for i := range m.shards {
		s := &other.shards[i]
		s.records.rows = maps.Clone(m.shards[i].records.rows) // values are replaced, never written to
		s.counts.rows = maps.Clone(m.shards[i].counts.rows)
		for id, e := range m.shards[i].effects.rows {
			owed := *e
			s.effects.set(id, &owed)
		}
	}
	for _, e := range m.due { // in the heap's own order
		other.due = append(other.due, other.shards[e.shard].effects.rows[e.id])
	}
	return other
}

// enter takes the mutex if a call on the shard may go on.
func (m *Memory) enter(ctx context.Context, shard int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := ValidShard(shard); err != nil {
		return err
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	return nil
}

// Commit implements [Store]. It never returns an error of unknown outcome.
func (m *Memory) Commit(ctx context.Context, c Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := m.enter(ctx, c.Shard); err != nil {
		return err
	}
	defer m.mu.Unlock()
	s := &m.shards[c.Shard]
	if err := s.guard(c); err != nil {
		return err
	}
	m.apply(s, c)
	return nil
}

// guard looks at every guard of the Change, in the order of the contract.
func (s *memoryShard) guard(c Change) error {
	for _, p := range c.Check {
		if s.records.rows[p.Key].Version != p.Version {
			return &GuardError{ErrConflict, p.Key}
		}
	}
	for _, p := range c.Put {
		if s.records.rows[p.Key].Version != p.Version {
			return &GuardError{ErrConflict, p.Key}
		}
	}
	for _, p := range c.Settle {
		if !s.holds(p.ID, p.Try) {
			return &GuardError{ErrStale, p.ID}
		}
	}
	for _, p := range c.PutOff {
		if e, owed := s.effects.rows[p.ID]; !owed || e.try != p.Try || e.leased == p.Waits {
			return &GuardError{ErrStale, p.ID}
		}
	}
	for _, e := range c.Owe {
		if _, owed := s.effects.rows[e.ID]; owed {
			return &GuardError{ErrConflict, e.ID}
		}
	}
	for _, a := range c.Add {
		low, high := a.Room()
		if n := s.counts.rows[a.Key]; n < low || n > high {
			return &GuardError{ErrBound, a.Key}
		}
	}
	return nil
}

// holds says whether the effect is leased under this very try.
func (s *memoryShard) holds(id string, try int64) bool {
	e, owed := s.effects.rows[id]
	return owed && e.leased && e.try == try
}

// apply writes a Change all of whose guards hold.
func (m *Memory) apply(s *memoryShard, c Change) {
	for _, p := range c.Put {
		if p.Value == nil {
			s.records.remove(p.Key)
			continue
		}
		s.records.set(p.Key, Record{Key: p.Key, Version: p.Version + 1, Value: bytes.Clone(p.Value)})
	}
	for _, p := range c.Settle {
		m.forget(s, p.ID)
	}
	for _, id := range c.Drop {
		m.forget(s, id)
	}
	for _, p := range c.PutOff {
		e := s.effects.rows[p.ID]
		e.leased, e.due, e.note = false, Millis(p.Due), p.Note
		heap.Fix(&m.due, e.heapIndex)
	}
	for _, p := range c.Owe {
		m.owe(c.Shard, &owedEffect{id: p.ID, kind: p.Kind, due: Millis(p.Due), body: bytes.Clone(p.Body)})
	}
	for _, a := range c.Add {
		s.setCount(a.Key, s.counts.rows[a.Key]+a.By)
	}
}

func (s *memoryShard) setCount(key string, n int64) {
	if n == 0 {
		s.counts.remove(key)
		return
	}
	s.counts.set(key, n)
}

// owe adds an effect that is not there.
func (m *Memory) owe(shard int, e *owedEffect) {
	e.shard = shard
	m.shards[shard].effects.set(e.id, e)
	heap.Push(&m.due, e)
}

// forget takes an effect out, if it is there.
func (m *Memory) forget(s *memoryShard, id string) {
	if e, owed := s.effects.rows[id]; owed {
		heap.Remove(&m.due, e.heapIndex)
		s.effects.remove(id)
	}
}

// Get implements [Store].
func (m *Memory) Get(ctx context.Context, shard int, keys ...string) ([]Record, error) {
	if err := m.enter(ctx, shard); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	recs := make([]Record, len(keys))
	for i, key := range keys {
		recs[i] = m.shards[shard].records.rows[key].clone()
		recs[i].Key = key
	}
	return recs, nil
}

func (r Record) clone() Record {
	r.Value = bytes.Clone(r.Value)
	return r
}

// Counts implements [Store].
func (m *Memory) Counts(ctx context.Context, shard int, keys ...string) ([]int64, error) {
	if err := m.enter(ctx, shard); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	counts := make([]int64, len(keys))
	for i, key := range keys {
		counts[i] = m.shards[shard].counts.rows[key]
	}
	return counts, nil
}

// Scan implements [Store]; the order is that of the keys' bytes.
func (m *Memory) Scan(ctx context.Context, shard int, prefix, cursor string, limit int) ([]Record, string, error) {
	if err := m.enter(ctx, shard); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	page, next := m.shards[shard].records.page(prefix, cursor, limit)
	for i := range page {
		page[i] = page[i].clone()
	}
	return page, next, nil
}

// ScanCounts implements [Store]; the order is that of the keys' bytes.
func (m *Memory) ScanCounts(ctx context.Context, shard int, prefix, cursor string, limit int) ([]Count, string, error) {
	if err := m.enter(ctx, shard); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	keys, next := m.shards[shard].counts.pageKeys(prefix, cursor, limit)
	counts := make([]Count, len(keys))
	for i, key := range keys {
		counts[i] = Count{key, m.shards[shard].counts.rows[key]}
	}
	return counts, next, nil
}

// Load implements [Store].
func (m *Memory) Load(ctx context.Context, shard int, rows Rows) error {
	if err := rows.Validate(); err != nil {
		return err
	}
	if err := m.enter(ctx, shard); err != nil {
		return err
	}
	defer m.mu.Unlock()
	s := &m.shards[shard]
	for _, r := range rows.Records {
		s.records.set(r.Key, r.clone())
	}
	for _, c := range rows.Counts {
		s.setCount(c.Key, c.N)
	}
	for _, o := range rows.Effects {
		m.forget(s, o.ID)
		m.owe(shard, &owedEffect{
			id: o.ID, kind: o.Kind, due: Millis(o.Due), try: o.Try, note: o.Note, body: bytes.Clone(o.Body),
		})
	}
	return nil
}

// Owed implements [Store]; the order is that of the ids' bytes.
func (m *Memory) Owed(ctx context.Context, shard int, cursor string, limit int) ([]Owed, string, error) {
	if err := m.enter(ctx, shard); err != nil {
		return nil, "", err
	}
	defer m.mu.Unlock()
	page, next := m.shards[shard].effects.page("", cursor, limit)
	owed := make([]Owed, len(page))
	for i, e := range page {
		owed[i] = Owed{Shard: shard, Effect: e.effect(), Try: e.try, Note: e.note}
	}
	return owed, next, nil
}

// Lease implements [Store]; the longest due come first over all shards.
func (m *Memory) Lease(ctx context.Context, now, until time.Time, limit int) ([]Lease, error) {
	if err := ValidLease(now, until); err != nil {
		return nil, err
	}
	if err := m.enter(ctx, 0); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var leases []Lease
	for len(leases) < limit && len(m.due) > 0 && m.due[0].due <= now.UnixMilli() {
		e := m.due[0]
		e.try++
		e.leased = true
		leases = append(leases, Lease{
			Shard: e.shard, Effect: e.effect(), Try: e.try, Note: e.note,
			Until: time.UnixMilli(Millis(until)).UTC(),
		})
		e.due = Millis(until)
		heap.Fix(&m.due, 0)
	}
	return leases, nil
}

// effect is a copy for the caller.
func (e *owedEffect) effect() Effect {
	return Effect{ID: e.id, Kind: e.kind, Due: time.UnixMilli(e.due).UTC(), Body: bytes.Clone(e.body)}
}

// Close implements [Store].
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.closed = true
	m.shards, m.due = [Shards]memoryShard{}, nil
	return nil
}

// A table is a map that can be paged through in the order of its keys.
type table[V any] struct {
	rows   map[string]V
	sorted []string // the keys; nil when one came or went since it was made
}

func newTable[V any]() table[V] { return table[V]{rows: map[string]V{}} }

func (t *table[V]) set(key string, v V) {
	if _, has := t.rows[key]; !has {
		t.sorted = nil
	}
	t.rows[key] = v
}

func (t *table[V]) remove(key string) {
	delete(t.rows, key)
	t.sorted = nil
}

// page returns up to limit rows after the cursor, which is the last key of the
// page before, and the next cursor.
func (t *table[V]) page(prefix, cursor string, limit int) (page []V, next string) {
	keys, next := t.pageKeys(prefix, cursor, limit)
	for _, key := range keys {
		page = append(page, t.rows[key])
	}
	return page, next
}

// pageKeys returns the keys of a page.
func (t *table[V]) pageKeys(prefix, cursor string, limit int) (page []string, next string) {
	if t.sorted == nil {
		t.sorted = slices.Sorted(maps.Keys(t.rows))
	}
	from, met := slices.BinarySearch(t.sorted, max(prefix, cursor))
	if met && cursor >= prefix {
		from++ // the cursor's own row was on the page before
	}
	for _, key := range t.sorted[from:] {
		if !strings.HasPrefix(key, prefix) {
			break
		}
		if len(page) == max(limit, 1) {
			return page, page[len(page)-1]
		}
		page = append(page, key)
	}
	return page, ""
}

// A dueHeap orders effects by due time, then by shard and id so that the order
// is the same in every run. It implements [heap.Interface].
type dueHeap []*owedEffect

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if a.due != b.due {
		return a.due < b.due
	}
	if a.shard != b.shard {
		return a.shard < b.shard
	}
	return a.id < b.id
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

func (h *dueHeap) Push(x any) {
	e := x.(*owedEffect)
	e.heapIndex = len(*h)
	*h = append(*h, e)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
