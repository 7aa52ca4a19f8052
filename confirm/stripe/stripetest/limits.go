package stripetest

// window counts what happened in one stretch of time.
type window struct {
	start int64
	count int
}

// add counts one more at now and reports whether that is over limit for a
// stretch of the given length in seconds.
func (w *window) add(now, length int64, limit int) bool {
	if start := now - now%length; start != w.start {
		*w = window{start: start}
	}
	w.count++
	return w.count > limit
}

// limited counts a request and says which limit it passes: a value of the
// header Stripe-Rate-Limited-Reason, or "".
func (s *Server) limited(endpoint string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	over := func(name string, limit int) bool {
		if limit <= 0 {
			return false
		}
		if s.limits[name] == nil {
			s.limits[name] = &window{}
		}
		return s.limits[name].add(s.now(), 1, limit)
	}
	switch {
	case over("", s.opts.Rate):
		return "global-rate"
	case over(endpoint, s.opts.EndpointRate):
		return "endpoint-rate"
	}
	return ""
}

// updatesPerHour is how often one PaymentIntent may be changed
// (docs.stripe.com/rate-limits).
const updatesPerHour = 1000
