package offers

import (
	"bytes"
	"sync"
	"time"

	"hashtill/store"
)

const (
	// recentFor is how long a purchase is taken for what it was when it was committed.
	recentFor = 2 * time.Second
	// keptFor is how long anything is kept at least, and half of how long at most: whoever
	// was erased is not to stay in memory.
	keptFor = time.Minute
	// recentMost is how many are remembered at least, and half of how many at most: about
	// 25 MB.
	recentMost = 4096
)

// recent remembers purchases as this process has committed them a moment ago, so that
// what follows by itself (the reply to a wish, the payment and the mail after a code) need
// not read and decode them: a purchase took 22 reads, and takes 12 (hashtill bench buy),
// which with the rest of what its profile asked for brought it from 3.2 ms of CPU to 1.9.
//
// Another process may have moved a purchase meanwhile. So what is remembered decides
// nothing alone: a commit looks at the version, and what would commit nothing, such as a
// refusal or that an effect is not needed any more, is decided on what the store says.
// Whoever performs an effect asks for a purchase that is not older than the commit that
// owed it. A charge begins on what the store says.
type recent struct{ lately[ID, *remembered] }

// A remembered purchase is not written to.
type remembered struct {
	p     Purchase
	value []byte // of its record
	at    time.Time
}

// keep remembers a purchase that has been committed as that value.
func (r *recent) keep(p Purchase, value []byte, now time.Time) {
	p.remembered = true
	r.put(p.ID, &remembered{p, value, now}, func(old *remembered) bool {
		return old.p.version >= p.version // who committed later was here first
	})
}

// since is a purchase as it was committed by this process a moment ago, at that version
// or a later one.
func (r *recent) since(id ID, version int64, now time.Time) (p Purchase, ok bool) {
	m, known := r.get(id)
	if !known || m.p.version < version {
		return Purchase{}, false
	}
	if age := now.Sub(m.at); age < 0 || age > recentFor {
		return Purchase{}, false
	}
	return m.p, true
}

// read is readPurchase, but what is remembered is not decoded again: a tenth of what was
// left of the CPU of a purchase without its store (hashtill bench buy --store memory).
func (r *recent) read(id ID, rec store.Record) (Purchase, error) {
	m, known := r.get(id)
	if !known || !bytes.Equal(m.value, rec.Value) {
		return readPurchase(rec)
	}
	p := m.p
	p.version, p.remembered = rec.Version, false
	return p, nil
}

// lately keeps what was put into it lately: recentMost at least, and twice as many at
// most, and after two turns nothing of it. Many may use it at once.
type lately[K comparable, V any] struct {
	mu          sync.Mutex
	young, aged map[K]V
}

// turn drops what was not put into it since the last turn but one.
func (l *lately[K, V]) turn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.young, l.aged = nil, l.young
}

// forget drops all.
func (l *lately[K, V]) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.young, l.aged = nil, nil
}

func (l *lately[K, V]) get(key K) (v V, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.find(key)
}

func (l *lately[K, V]) find(key K) (v V, known bool) {
	if v, known = l.young[key]; !known {
		v, known = l.aged[key]
	}
	return v, known
}

// put keeps v, unless what is kept already is to stay. Where stays is nil, it is not.
func (l *lately[K, V]) put(key K, v V, stays func(old V) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, known := l.find(key); known && stays != nil && stays(old) {
		return
	}
	if len(l.young) >= recentMost || l.young == nil {
		l.young, l.aged = map[K]V{}, l.young
	}
	l.young[key] = v
}

// decoded remembers buyers as they were decoded last, beside the records that they stood
// in. The records are read all the same, and decoded where they are others: a purchase
// looks at its buyer six times, which took a tenth of its CPU (hashtill bench buy --store
// memory).
type decoded struct{ lately[Account, decodedBuyer] }

// A decodedBuyer is not written to.
type decodedBuyer struct {
	value []byte
	b     Buyer
}

// read is readBuyer for who only reads what it answers.
func (d *decoded) read(a Account, r store.Record) (Buyer, error) {
	known, ok := d.get(a)
	if ok && bytes.Equal(known.value, r.Value) {
		known.b.version = r.Version
		return known.b, nil
	}
	b, err := readBuyer(r)
	if err == nil && r.Version > 0 {
		d.put(a, decodedBuyer{r.Value, b}, nil)
	}
	return b, err
}
