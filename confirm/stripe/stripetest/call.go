package stripetest

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// object is a JSON object of the API.
type object = map[string]any

// endpoint is one operation of the API.
type endpoint struct {
	pattern string   // for http.ServeMux
	params  []string // accepted besides the common ones; see form.unknown
	play    func(*call) (object, *apiError)
}

// call is one request while it is answered.
type call struct {
	*Server
	request   *http.Request
	requestID string
	method    string
	path      string
	key       string // idempotency key; empty unless POST
	form      form
}

func (c *call) seen(status int, replayed bool) Call {
	return Call{c.requestID, c.method, c.path, c.key, url.Values(c.form), status, replayed}
}

// answer is what goes back over the wire.
type answer struct {
	status int
	body   []byte
}

// api answers one endpoint: the gateway's checks, the idempotency key, the
// faults that were asked for, and between them the deed.
func (s *Server) api(e endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{Server: s, request: r, requestID: newID("req"), method: r.Method, path: r.URL.Path}
		w.Header().Set("Date", s.opts.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Request-Id", c.requestID)
		w.Header().Set("Stripe-Version", APIVersion)
		if v := r.Header.Get("Stripe-Version"); v != "" {
			w.Header().Set("Stripe-Version", v)
		}
		send := func(a answer, replayed bool) {
			s.record(c, a.status, replayed)
			w.WriteHeader(a.status)
			_, _ = w.Write(a.body) // a client that has gone away is no concern of ours
		}
		cut := func(replayed bool) {
			s.record(c, 0, replayed)
			panic(http.ErrAbortHandler)
		}
		// spoil sends an answer, or what an After fault makes of it.
		spoil := func(f *Fault, a answer, replayed bool) {
			if f != nil {
				f.wait(s.ctx, r.Context())
				switch {
				case f.Drop:
					cut(replayed)
				case f.Status != 0:
					a = f.answer()
				}
			}
			send(a, replayed)
		}

		if err := s.admit(w, c, e); err != nil {
			send(err.answer(), false)
			return
		}
		saved, err := s.reserveKey(c)
		if err != nil {
			send(err.answer(), false)
			return
		}
		if saved != nil {
			w.Header().Set("Idempotent-Replayed", "true")
			w.Header().Set("Original-Request", saved.requestID)
			spoil(s.takeFault(c, After, true), saved.answer, true)
			return
		}

		if f := s.takeFault(c, Before, false); f != nil {
			f.wait(s.ctx, r.Context())
			switch {
			case f.Drop:
				s.releaseKey(c)
				cut(false)
			case f.Status != 0:
				a := f.answer()
				if f.isEndpointsOwn() {
					s.saveKey(c, a)
				} else {
					s.releaseKey(c)
				}
				send(a, false)
				return
			}
		}

		a, begun := s.perform(e, c)
		f := s.takeFault(c, After, false)
		if f != nil && f.isEndpointsOwn() {
			a, begun = f.answer(), true
		}
		if begun {
			s.saveKey(c, a)
		} else {
			s.releaseKey(c)
		}
		if hook := s.hook(); hook != nil {
			hook(c.seen(a.status, false))
		}
		spoil(f, a, false)
	}
}

// admit checks what Stripe's gateway checks before any endpoint is reached, and
// reads the parameters.
func (s *Server) admit(w http.ResponseWriter, c *call, e endpoint) *apiError {
	token, ok := strings.CutPrefix(c.request.Header.Get("Authorization"), "Bearer ")
	if !ok {
		token, _, ok = c.request.BasicAuth()
	}
	if !ok || token == "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="Stripe"`)
		return &apiError{status: http.StatusUnauthorized, kind: invalidRequest,
			message: "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."}
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.opts.Key)) != 1 {
		return &apiError{status: http.StatusUnauthorized, kind: invalidRequest,
			message: "Invalid API Key provided: " + token[:min(len(token), 8)] + "****"}
	}
	if reason := s.limited(e.pattern); reason != "" {
		w.Header().Set("Stripe-Rate-Limited-Reason", reason)
		return tooMany()
	}
	var err *apiError
	if c.form, err = parseForm(c.request); err != nil {
		return err
	}
	if c.method == http.MethodPost {
		c.key = c.request.Header.Get("Idempotency-Key")
		if len(c.key) > 255 {
			return invalid("", "The Idempotency-Key header is longer than 255 characters.")
		}
		if c.key != "" {
			w.Header().Set("Idempotency-Key", c.key)
		}
	}
	return nil
}

// perform runs the endpoint under the lock and reports whether it had begun,
// that is, whether its answer is to be saved under the idempotency key.
func (s *Server) perform(e endpoint, c *call) (a answer, begun bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	obj, err := s.checkAndPlay(e, c)
	if err != nil {
		return err.answer(), err.begun
	}
	return answer{http.StatusOK, encode(obj)}, true
}

func (s *Server) checkAndPlay(e endpoint, c *call) (object, *apiError) {
	if e.pattern != "" {
		if name := c.form.unknown(e.params); name != "" {
			return nil, &apiError{status: http.StatusBadRequest, kind: invalidRequest,
				code: "parameter_unknown", param: name, message: "Received unknown parameter: " + name}
		}
	}
	obj, err := e.play(c)
	if err != nil {
		return nil, err
	}
	for _, path := range c.form.list("expand") {
		if !s.expand(obj, strings.Split(path, ".")) {
			return nil, invalid("expand", "This property cannot be expanded (%s).", path)
		}
	}
	return obj, nil
}

// expandable are the fields that hold identifiers of other objects.
var expandable = []string{"charge", "customer", "default_payment_method", "latest_charge", "payment_intent", "payment_method", "setup_intent"}

// expand replaces the identifier at path by the object it names
// (docs.stripe.com/api/expanding_objects).
func (s *Server) expand(obj object, path []string) bool {
	v, ok := obj[path[0]]
	if !ok {
		return false
	}
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		return len(path) > 1 && !slices.ContainsFunc(v, func(e any) bool {
			o, ok := e.(object)
			return !ok || !s.expand(o, path[1:])
		})
	case string:
		o := s.find(v)
		// A charge's payment_method is documented as a plain string.
		if o == nil || !slices.Contains(expandable, path[0]) || obj["object"] == "charge" && path[0] == "payment_method" {
			return false
		}
		obj[path[0]] = o
		return len(path) == 1 || s.expand(o, path[1:])
	case object:
		return len(path) > 1 && s.expand(v, path[1:])
	}
	return false
}

// find returns the object that has an identifier, or nil.
func (s *Server) find(id string) object {
	prefix, _, _ := strings.Cut(id, "_")
	switch prefix {
	case "cus":
		return render(s.customers.get(id))
	case "pm":
		return render(s.methods.get(id))
	case "pi":
		return render(s.intents.get(id))
	case "ch":
		return render(s.charges.get(id))
	case "seti":
		return render(s.setups.get(id))
	}
	return nil
}

func render[T resource](v T, ok bool) object {
	if !ok {
		return nil
	}
	return v.object()
}

// encode writes an object as Stripe does, indented.
func encode(v any) []byte {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic("stripetest: " + err.Error()) // objects hold nothing that cannot be encoded
	}
	return b
}
