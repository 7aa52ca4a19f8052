package stripetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// APIVersion is the version in which events are rendered, as the account's
// default would be. It is newer than the one stripe-go v76 pins (2023-10-16),
// so that a client which insists on its own version is found out.
const APIVersion = "2026-08-26.dahlia"

// Options say how the server starts. The zero value is good.
type Options struct {
	Listen        string           // address to listen on; "127.0.0.1:0" if empty
	Now           func() time.Time // clock of created, keys, limits and signatures; time.Now if nil
	Key           string           // secret key clients must send; random if empty
	WebhookURL    string           // where events are posted; nowhere if empty
	WebhookSecret string           // signs the events; random if empty
	WebhookRetry  time.Duration    // first pause before an event is posted again, doubled up to 50 times it; 100ms if zero

	// Rate and EndpointRate limit requests per second, over all and for each
	// endpoint; zero means no limit. Stripe's own are 100 and 25
	// (docs.stripe.com/rate-limits).
	Rate, EndpointRate int
}

// Server is the running stand-in. Its methods may be called at any time from
// any goroutine.
type Server struct {
	opts   Options
	url    string
	http   http.Server
	ctx    context.Context // ends when Close is called
	cancel context.CancelFunc
	tasks  sync.WaitGroup // the listener, the courier and every request

	mu        sync.Mutex // guards all below
	closed    bool
	customers shelf[*customer]
	methods   shelf[*method]
	intents   shelf[*intent]
	charges   shelf[*charge]
	refunds   shelf[*refund]
	sessions  shelf[*session]
	setups    shelf[*setup]
	events    shelf[*event]
	questions map[string]*question // by id, answered ones too
	slow      bool                 // HoldCharges
	keys      map[string]*savedAnswer
	limits    map[string]*window
	faults    []*Fault
	afterDeed func(Call)
	calls     []Call
	courier   courier
}

// Start listens and serves until Close.
func Start(o Options) (*Server, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Key == "" {
		o.Key = "sk_test_" + rand.Text()
	}
	if o.WebhookSecret == "" {
		o.WebhookSecret = "whsec_" + rand.Text()
	}
	if o.WebhookRetry == 0 {
		o.WebhookRetry = 100 * time.Millisecond
	}
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("start stripetest: %w", err)
	}
	s := &Server{
		opts:      o,
		url:       "http://" + l.Addr().String(),
		keys:      map[string]*savedAnswer{},
		questions: map[string]*question{},
		limits:    map[string]*window{},
		courier:   newCourier(o.WebhookURL),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.http.Handler = s.routes()
	s.tasks.Go(func() { _ = s.http.Serve(l) }) // ends with ErrServerClosed
	s.tasks.Go(s.deliverEvents)
	return s, nil
}

// URL is the server's address without a trailing slash, such as
// "http://127.0.0.1:43111".
func (s *Server) URL() string { return s.url }

// Key is the secret key that clients must send.
func (s *Server) Key() string { return s.opts.Key }

// WebhookSecret is the secret with which events are signed.
func (s *Server) WebhookSecret() string { return s.opts.WebhookSecret }

// Close stops listening, cuts every connection and returns when all of the
// server's goroutines have ended. It waits for a hook that is still running.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	err := s.http.Close()
	s.tasks.Wait()
	return err
}

// routes lists everything that is played.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, e := range []endpoint{
		{"POST /v1/customers", customerParams, createCustomer},
		{"GET /v1/customers", paged("email"), listCustomers},
		{"GET /v1/customers/{id}", nil, retrieveCustomer},
		{"POST /v1/customers/{id}", customerParams, updateCustomer},
		{"DELETE /v1/customers/{id}", nil, deleteCustomer},
		{"GET /v1/customers/{id}/payment_methods", paged("type"), listCustomerMethods},

		{"POST /v1/payment_methods", []string{"type", "card[number]", "card[exp_month]", "card[exp_year]", "card[cvc]", "card[token]", "billing_details[*]", "metadata[*]"}, createMethod},
		{"GET /v1/payment_methods", paged("customer", "type"), listMethods},
		{"GET /v1/payment_methods/{id}", nil, retrieveMethod},
		{"POST /v1/payment_methods/{id}/attach", []string{"customer"}, attachMethod},
		{"POST /v1/payment_methods/{id}/detach", nil, detachMethod},

		{"POST /v1/payment_intents", append([]string{"confirm", "off_session", "return_url", "automatic_payment_methods[enabled]", "automatic_payment_methods[allow_redirects]", "capture_method", "confirmation_method"}, intentParams...), createIntent},
		{"GET /v1/payment_intents", paged("customer"), listIntents},
		{"GET /v1/payment_intents/{id}", []string{"client_secret"}, retrieveIntent},
		{"POST /v1/payment_intents/{id}", intentParams, updateIntent},
		{"POST /v1/payment_intents/{id}/confirm", []string{"payment_method", "return_url", "off_session", "receipt_email", "setup_future_usage", "shipping[*]"}, confirmIntent},
		{"POST /v1/payment_intents/{id}/cancel", []string{"cancellation_reason"}, cancelIntent},

		{"GET /v1/charges", paged("payment_intent", "customer"), listCharges},
		{"GET /v1/charges/{id}", nil, retrieveCharge},
		{"POST /v1/refunds", []string{"payment_intent", "charge", "amount", "reason", "metadata[*]"}, createRefund},
		{"GET /v1/refunds", paged("payment_intent", "charge"), listRefunds},
		{"GET /v1/refunds/{id}", nil, retrieveRefund},

		{"POST /v1/checkout/sessions", sessionParams, createSession},
		{"GET /v1/checkout/sessions", paged("customer", "status"), listSessions},
		{"GET /v1/checkout/sessions/{id}", nil, retrieveSession},
		{"POST /v1/checkout/sessions/{id}/expire", nil, expireSession},
		{"GET /v1/setup_intents/{id}", []string{"client_secret"}, retrieveSetup},

		{"GET /v1/events", paged("type", "types[]"), listEvents},
		{"GET /v1/events/{id}", nil, retrieveEvent},
		{"GET /v1/balance", nil, retrieveBalance},
		{"GET /v1/account", nil, retrieveAccount},
	} {
		mux.Handle(e.pattern, s.api(e))
	}
	mux.Handle("/", s.api(endpoint{play: func(c *call) (object, *apiError) {
		return nil, &apiError{status: http.StatusNotFound, kind: invalidRequest,
			message: fmt.Sprintf("Unrecognized request URL (%s: %s). Please see https://stripe.com/docs.", c.method, c.path)}
	}}))
	mux.HandleFunc("GET /bank/{challenge}", s.showBank)
	mux.HandleFunc("POST /bank/{challenge}", s.answerBank)
	mux.HandleFunc("GET /checkout/{id}", s.showCheckout)
	mux.HandleFunc("POST /checkout/{id}", s.saveCard)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			panic(http.ErrAbortHandler)
		}
		defer s.tasks.Done()
		mux.ServeHTTP(w, r)
	})
}

// ServeHTTP answers a request of this process without the network in between, as if it
// had come in at URL. A connection that is cut is a panic with http.ErrAbortHandler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.http.Handler.ServeHTTP(w, r) }

// enter counts a request in, unless the server is closing.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.tasks.Add(1)
	return true
}

// now is the server's clock in whole seconds, as Stripe stamps its objects.
func (s *Server) now() int64 { return s.opts.Now().Unix() }

// newID makes an identifier such as "pi_…".
func newID(prefix string) string { return prefix + "_" + rand.Text()[:24] }

// Call is one request to the API as the server saw it.
type Call struct {
	RequestID      string // the Request-Id header of the answer
	Method, Path   string
	IdempotencyKey string
	Params         url.Values // as sent, brackets included
	Status         int        // of the answer; 0 if the connection was cut
	Replayed       bool       // the answer was one saved under the key
}

// maxCalls bounds the memory of a long-running demo.
const maxCalls = 10_000

// Calls returns the newest 10,000 requests to the API, oldest first, whatever
// their answer.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

func (s *Server) record(c *call, status int, replayed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) >= maxCalls {
		s.calls = append(s.calls[:0], s.calls[maxCalls/10:]...)
	}
	s.calls = append(s.calls, c.seen(status, replayed))
}
