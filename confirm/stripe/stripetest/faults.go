package stripetest

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// When is the side of the deed on which a fault strikes.
type When int

const (
	Before When = iota // nothing has been done yet
	After              // the deed is done, the client does not know it
)

// Fault is a failure to play.
//
// A Status of 500 is the endpoint's own answer and is saved under the
// idempotency key; any other comes from something in front of the endpoint, so
// that the key stays free (Before) or keeps the true answer (After). What loses
// an answer After the deed also strikes replays of it.
type Fault struct {
	Method string // "POST" …; any if empty

	// Path selects the requests: "" all, "/v1/refunds" exactly that,
	// "/v1/payment_intents/" everything below; "*" stands for one segment, as in
	// "/v1/payment_intents/*/confirm".
	Path string

	When   When
	Times  int           // how often; 0 means once, negative until ClearFaults
	Delay  time.Duration // wait this long first; cut short by Close or by the client going away
	Drop   bool          // cut the connection without an answer (net/http repeats a request with a key by itself, if the connection was a reused one)
	Status int           // answer this status, unless Drop; 0 goes on as if nothing had been
	Code   string        // error code of that answer, such as "lock_timeout"
}

// Fail arranges for a fault. Of several that match a request on the same side
// of its deed, the one arranged first strikes.
func (s *Server) Fail(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// ClearFaults takes back every fault that has not struck.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// AfterDeed sets a hook, called synchronously when an endpoint has been played
// and before anything is sent back: the moment in which a crash test kills the
// client. It is called without locks held, from the request's goroutine; not
// for replays, nor for requests that never reached their endpoint. Nil takes it
// away.
func (s *Server) AfterDeed(hook func(Call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.afterDeed = hook
}

func (s *Server) hook() func(Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.afterDeed
}

// takeFault returns the fault that strikes a request, or nil. An answer that is
// replayed can be lost, but not become another answer of the endpoint.
func (s *Server) takeFault(c *call, when When, replay bool) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.When != when || f.Method != "" && f.Method != c.method || !matchPath(f.Path, c.path) || replay && f.isEndpointsOwn() {
			continue
		}
		if f.Times > 0 {
			f.Times--
			if f.Times == 0 {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			}
		}
		return f
	}
	return nil
}

func matchPath(pattern, path string) bool {
	if pattern == "" {
		return true
	}
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	if want[len(want)-1] == "" { // a subtree
		want = want[:len(want)-1]
		if len(have) <= len(want) {
			return false
		}
		have = have[:len(want)]
	}
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != "*" && want[i] != have[i] {
			return false
		}
	}
	return true
}

// isEndpointsOwn tells an answer of the endpoint from one given in front of it.
func (f *Fault) isEndpointsOwn() bool { return f.Status == http.StatusInternalServerError && !f.Drop }

func (f *Fault) answer() answer {
	kind := invalidRequest
	if f.Status >= 500 {
		kind = apiFailure
	}
	return (&apiError{status: f.Status, kind: kind, code: f.Code, message: "stripetest: a fault that was asked for"}).answer()
}

// wait lasts the fault's delay, or until one of the contexts ends.
func (f *Fault) wait(server, client context.Context) {
	if f.Delay <= 0 {
		return
	}
	t := time.NewTimer(f.Delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-server.Done():
	case <-client.Done():
	}
}
