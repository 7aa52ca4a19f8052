package offers

import (
	"sync"
	"time"
)

const (
	// recentFor is how long a purchase is remembered as it was committed.
	recentFor = 2 * time.Second
	// recentMost is how many are remembered at least, and half of how many at most: about
	// 20 MB.
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
type recent struct {
	mu          sync.Mutex
	young, aged map[ID]*remembered // together all; those that are used again are young
}

// A remembered purchase is not written to.
type remembered struct {
	p  Purchase
	at time.Time
}

// keep remembers a purchase that has been committed.
func (r *recent) keep(p Purchase, now time.Time) {
	p.remembered = true
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.find(p.ID); old != nil && old.p.version >= p.version {
		return // who committed later was here first
	}
	if len(r.young) >= recentMost || r.young == nil {
		r.young, r.aged = make(map[ID]*remembered, recentMost), r.young
	}
	r.young[p.ID] = &remembered{p, now}
}

func (r *recent) find(id ID) *remembered {
	if m := r.young[id]; m != nil {
		return m
	}
	return r.aged[id]
}

// forget forgets all: it is not known how a commit has ended. A store that fails over may
// have forgotten what it had acknowledged, and count the versions of something else since.
func (r *recent) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.young, r.aged = nil, nil
}

// get is a purchase as it was committed by this process a moment ago, at that version or
// a later one.
func (r *recent) get(id ID, version int64, now time.Time) (p Purchase, ok bool) {
	r.mu.Lock()
	m := r.find(id)
	r.mu.Unlock()
	if m == nil || m.p.version < version {
		return Purchase{}, false
	}
	if age := now.Sub(m.at); age < 0 || age > recentFor {
		return Purchase{}, false
	}
	return m.p, true
}
