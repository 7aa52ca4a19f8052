package xtest

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// When says whether a fault strikes before the deed or after it.
type When int

const (
	Before When = iota // the deed is not done, except when the fault is a mere Delay
	After              // the deed is done, and the client does not learn of it
)

// Fault is a failure that requests will meet. With neither Status nor Drop the
// request is only slowed down by Delay.
type Fault struct {
	Method string // "" for any
	Path   string // prefix of the path; "" for any
	When   When   // a stream is only ever struck Before
	Times  int    // requests to strike; 0 is once, negative until Heal
	Delay  time.Duration
	Drop   bool // cut the connection without an answer
	Status int  // answer with this status, Header and Body
	Header http.Header
	Body   string
}

// Fail adds a fault. Faults strike in the order they were added, one at a time.
func (s *Server) Fail(f Fault) {
	f.Header = f.Header.Clone()
	if f.Times == 0 {
		f.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal removes all faults and every trouble of the streams.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	s.silent, s.duplicate, s.cutMessage, s.disorder = false, false, false, 0
}

// OnDeed makes f be called whenever a program has posted, deleted, or changed
// rules by API: after the deed, before its answer. The answer waits for f. A
// nil f ends that.
func (s *Server) OnDeed(f func(Deed)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onDeed = f
}

// trouble lets a fault strike, and reports whether it has answered the request
// in its way.
func (s *Server) trouble(when When, w http.ResponseWriter, r *http.Request) bool {
	f := s.strike(when, r)
	if f == nil {
		return false
	}
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	if f.Status == 0 {
		return false
	}
	maps.Copy(w.Header(), f.Header)
	w.WriteHeader(f.Status)
	io.WriteString(w, f.Body)
	return true
}

// strike returns the next fault for a request, and counts it.
func (s *Server) strike(when When, r *http.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.When != when || f.Method != "" && f.Method != r.Method || !strings.HasPrefix(r.URL.Path, f.Path) {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return f
	}
	return nil
}
