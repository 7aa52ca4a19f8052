package stripetest

import (
	"net/http"
	"net/url"
	"time"
)

// keyLife is how long a key is remembered at least
// (docs.stripe.com/api/idempotent_requests); here it is also the most.
const keyLife = 24 * time.Hour

// savedAnswer is what is known of an idempotency key.
type savedAnswer struct {
	path, params string
	at           time.Time
	requestID    string
	done         bool // else the request is in flight
	answer       answer
}

// reserveKey looks a request's key up. It returns the answer saved under it, or
// an error if the key is in flight or was used otherwise, or neither: then the
// key is the request's until saveKey or releaseKey.
func (s *Server) reserveKey(c *call) (*savedAnswer, *apiError) {
	if c.key == "" {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	params, now := url.Values(c.form).Encode(), s.opts.Now()
	k := s.keys[c.key]
	switch {
	case k == nil || k.done && now.Sub(k.at) >= keyLife:
		s.keys[c.key] = &savedAnswer{path: c.path, params: params, at: now, requestID: c.requestID}
		return nil, nil
	case k.path != c.path:
		return nil, &apiError{status: http.StatusBadRequest, kind: idempotencyError,
			message: "Keys for idempotent requests can only be used for the same endpoint they were first used for ('" + c.path + "' vs '" + k.path + "'). Try using a key other than '" + c.key + "' if you meant to execute a different request."}
	case k.params != params:
		return nil, &apiError{status: http.StatusBadRequest, kind: idempotencyError,
			message: "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '" + c.key + "' if you meant to execute a different request."}
	case !k.done:
		return nil, &apiError{status: http.StatusConflict, kind: idempotencyError, code: "idempotency_key_in_use",
			message: "There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, and the other request is still going through): " + c.key + ". Please try again later."}
	}
	return k, nil
}

// saveKey binds the request's key to its answer.
func (s *Server) saveKey(c *call, a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[c.key]; k != nil && k.requestID == c.requestID {
		k.done, k.answer = true, a
	}
}

// releaseKey forgets the request's key, because its endpoint never began.
func (s *Server) releaseKey(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[c.key]; k != nil && k.requestID == c.requestID {
		delete(s.keys, c.key)
	}
}

// PruneKeys forgets every saved answer, as Stripe may once its key is 24 hours
// old. Keys of requests in flight stay.
func (s *Server) PruneKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, k := range s.keys {
		if k.done {
			delete(s.keys, key)
		}
	}
}
