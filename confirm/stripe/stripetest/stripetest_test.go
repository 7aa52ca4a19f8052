package stripetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/confirm/stripe/stripetest"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
)

// clock is a hand-turned Options.Now.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// desk is a server with an independent client, stripe-go v76.
type desk struct {
	*stripetest.Server
	t      *testing.T
	stripe *client.API
}

func start(t *testing.T, o stripetest.Options) *desk {
	t.Helper()
	s, err := stripetest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &desk{s, t, stripeClient(t, s, 0)}
}

func stripeClient(t *testing.T, s *stripetest.Server, retries int64) *client.API {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	b := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL:               stripe.String(s.URL()),
		HTTPClient:        &http.Client{Transport: transport, Timeout: 20 * time.Second},
		MaxNetworkRetries: stripe.Int64(retries),
		LeveledLogger:     &stripe.LeveledLogger{},
		EnableTelemetry:   stripe.Bool(false),
	})
	return client.New(s.Key(), &stripe.Backends{API: b, Connect: b, Uploads: b})
}

// buyer seeds a customer with a card.
func (d *desk) buyer(number string) (customer, method string) {
	d.t.Helper()
	customer = d.AddCustomer("buyer@example.com")
	method, err := d.AddCard(customer, number)
	if err != nil {
		d.t.Fatal(err)
	}
	return customer, method
}

// newIntent is what Hashtill creates before the click: 149.99 USD, unconfirmed.
func newIntent(customer, method, key string) *stripe.PaymentIntentParams {
	p := &stripe.PaymentIntentParams{
		Amount: stripe.Int64(14999), Currency: stripe.String("usd"),
		Customer: stripe.String(customer), PaymentMethod: stripe.String(method),
		PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
	}
	p.AddMetadata("purchase", "p-1")
	if key != "" {
		p.SetIdempotencyKey(key)
	}
	return p
}

func (d *desk) create(p *stripe.PaymentIntentParams) *stripe.PaymentIntent {
	d.t.Helper()
	pi, err := d.stripe.PaymentIntents.New(p)
	if err != nil {
		d.t.Fatal(err)
	}
	return pi
}

// prepare creates an intent for a buyer with a card of the number.
func (d *desk) prepare(number string) *stripe.PaymentIntent {
	d.t.Helper()
	customer, method := d.buyer(number)
	return d.create(newIntent(customer, method, ""))
}

func (d *desk) get(id string) *stripe.PaymentIntent {
	d.t.Helper()
	pi, err := d.stripe.PaymentIntents.Get(id, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return pi
}

func confirmParams(key string) *stripe.PaymentIntentConfirmParams {
	p := &stripe.PaymentIntentConfirmParams{ReturnURL: stripe.String("https://shop.example/back?p=1")}
	if key != "" {
		p.SetIdempotencyKey(key)
	}
	return p
}

// wantCharges holds the ledger to the number of successful charges.
func (d *desk) wantCharges(n int) {
	d.t.Helper()
	if got := d.Charges(); len(got) != n {
		d.t.Errorf("the ledger has %d charges, want %d: %+v", len(got), n, got)
	}
}

// wantError holds an error to stripe-go's reading of a status and codes.
func wantError(t *testing.T, err error, status int, kind stripe.ErrorType, code stripe.ErrorCode) *stripe.Error {
	t.Helper()
	var e *stripe.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want a *stripe.Error", err, err)
	}
	if e.HTTPStatusCode != status || e.Type != kind || e.Code != code {
		t.Fatalf("got %d %s %q, want %d %s %q: %s", e.HTTPStatusCode, e.Type, e.Code, status, kind, code, e.Msg)
	}
	if e.RequestID == "" {
		t.Error("the error has no request id")
	}
	return e
}

// reply is an answer read without any client library.
type reply struct {
	status int
	header http.Header
	body   map[string]any
}

func (r reply) str(path string) string {
	var at any = r.body
	for _, step := range strings.Split(path, ".") {
		m, _ := at.(map[string]any)
		at = m[step]
	}
	s, _ := at.(string)
	return s
}

// do sends a form-encoded request; headers come in pairs.
func (d *desk) do(method, path, params string, headers ...string) reply {
	d.t.Helper()
	r, err := d.try(context.Background(), method, path, params, headers...)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func (d *desk) try(ctx context.Context, method, path, params string, headers ...string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.URL()+path, strings.NewReader(params))
	if err != nil {
		return reply{}, err
	}
	req.Close = true // see Fault.Drop
	req.Header.Set("Authorization", "Bearer "+d.Key())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	r := reply{resp.StatusCode, resp.Header, nil}
	return r, json.Unmarshal(body, &r.body)
}

func (d *desk) wantReply(r reply, status int, code string) {
	d.t.Helper()
	if r.status != status || r.str("error.code") != code {
		d.t.Errorf("got %d %q (%s), want %d %q", r.status, r.str("error.code"), r.str("error.message"), status, code)
	}
}

// browser answers the bank's page at page and returns where it is sent.
func (d *desk) browser(page, answer string) *url.URL {
	d.t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.PostForm(page, url.Values{"answer": {answer}})
	if err != nil {
		d.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		d.t.Fatalf("the bank answered %s", resp.Status)
	}
	u, err := resp.Location()
	if err != nil {
		d.t.Fatal(err)
	}
	return u
}

// inbox is a shop's webhook.
type inbox struct {
	url    string
	events chan received
	mu     sync.Mutex
	status int
}

type received struct {
	body      []byte
	signature string
}

func (in *inbox) answer(status int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.status = status
}

func (in *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	in.mu.Lock()
	status := in.status
	in.mu.Unlock()
	in.events <- received{body, r.Header.Get("Stripe-Signature")}
	w.WriteHeader(status)
}

// next waits for an event.
func (in *inbox) next(t *testing.T) received {
	t.Helper()
	select {
	case e := <-in.events:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event came")
	}
	panic("unreachable")
}

func (e received) kind() string {
	var v struct{ Type string }
	_ = json.Unmarshal(e.body, &v)
	return v.Type
}
