package stripetest_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"hashtill/confirm/stripe/stripetest"
)

// TestIdempotency holds the keys to docs.stripe.com/api/idempotent_requests:
// a first request, what happens in between, and whether a second request under
// the same key replays the first answer or is played anew.
func TestIdempotency(t *testing.T) {
	t.Parallel()
	const create = "/v1/payment_intents"
	for _, c := range []struct {
		name          string
		number        string // of the buyer's card
		first         func(d *desk, pi string) reply
		between       func(d *desk, c *clock)
		status        int // of the first answer
		replayed      bool
		again         int // status of the second answer
		params, path  string
		againParams   string // if not params
		againPath     string // if not path
		wantIntentGet string // status of the intent at the end
	}{
		{name: "success", path: "/confirm", params: "", status: 200, replayed: true, again: 200, wantIntentGet: "succeeded"},
		{name: "decline", number: "4000000000000002", path: "/confirm", status: 402, replayed: true, again: 402, wantIntentGet: "requires_payment_method"},
		{name: "state that does not allow it", path: "/confirm", status: 400, replayed: true, again: 400, wantIntentGet: "canceled",
			first: func(d *desk, pi string) reply {
				d.do("POST", create+"/"+pi+"/cancel", "")
				return d.do("POST", create+"/"+pi+"/confirm", "", "Idempotency-Key", "k")
			}},
		{name: "500 before the deed", path: "/confirm", status: 500, replayed: true, again: 500, wantIntentGet: "requires_confirmation",
			first: faultFirst(stripetest.Fault{Path: "/v1/payment_intents/*/confirm", Status: 500})},
		{name: "500 after the deed", path: "/confirm", status: 500, replayed: true, again: 500, wantIntentGet: "succeeded",
			first: faultFirst(stripetest.Fault{Path: "/v1/payment_intents/*/confirm", Status: 500, When: stripetest.After})},
		{name: "503 before the deed", path: "/confirm", status: 503, again: 200, wantIntentGet: "succeeded",
			first: faultFirst(stripetest.Fault{Path: "/v1/payment_intents/*/confirm", Status: 503})},
		{name: "503 after the deed", path: "/confirm", status: 503, replayed: true, again: 200, wantIntentGet: "succeeded",
			first: faultFirst(stripetest.Fault{Path: "/v1/payment_intents/*/confirm", Status: 503, When: stripetest.After})},
		{name: "429", path: "/confirm", status: 429, again: 200, wantIntentGet: "succeeded",
			first: faultFirst(stripetest.Fault{Path: "/v1/payment_intents/*/confirm", Status: 429, Code: "lock_timeout"})},
		{name: "401", path: "/confirm", status: 401, again: 200, wantIntentGet: "succeeded",
			first: func(d *desk, pi string) reply {
				return d.do("POST", create+"/"+pi+"/confirm", "", "Idempotency-Key", "k", "Authorization", "Bearer sk_test_other")
			}},
		{name: "unknown parameter", path: "/confirm", params: "frobnicate=1", status: 400, again: 200, againParams: "off_session=true", wantIntentGet: "succeeded"},
		{name: "invalid parameter", path: "/confirm", params: "off_session=perhaps", status: 400, again: 200, againParams: "off_session=true", wantIntentGet: "succeeded"},
		{name: "other parameters", path: "/confirm", status: 200, again: 400, againParams: "off_session=true", wantIntentGet: "succeeded"},
		{name: "other endpoint", path: "/confirm", status: 200, again: 400, againPath: "/cancel", wantIntentGet: "succeeded"},
		{name: "after 23 hours", path: "/confirm", status: 200, replayed: true, again: 200, wantIntentGet: "succeeded",
			between: func(_ *desk, c *clock) { c.turn(23 * time.Hour) }},
		{name: "after 24 hours", path: "/confirm", status: 200, again: 400, wantIntentGet: "succeeded",
			between: func(_ *desk, c *clock) { c.turn(24 * time.Hour) }},
		{name: "after pruning", path: "/confirm", status: 200, again: 400, wantIntentGet: "succeeded",
			between: func(d *desk, _ *clock) { d.PruneKeys() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			clk := newClock()
			d := start(t, stripetest.Options{Now: clk.Now})
			if c.number == "" {
				c.number = "4242424242424242"
			}
			pi := d.prepare(c.number).ID
			var first reply
			if c.first != nil {
				first = c.first(d, pi)
			} else {
				first = d.do("POST", create+"/"+pi+c.path, c.params, "Idempotency-Key", "k")
			}
			if first.status != c.status || first.header.Get("Idempotent-Replayed") != "" {
				t.Fatalf("first: %d %v, want %d", first.status, first.body, c.status)
			}
			if c.between != nil {
				c.between(d, clk)
			}
			path, params := c.path, c.params
			if c.againPath != "" {
				path = c.againPath
			}
			if c.againParams != "" {
				params = c.againParams
			}
			second := d.do("POST", create+"/"+pi+path, params, "Idempotency-Key", "k")
			if second.status != c.again || (second.header.Get("Idempotent-Replayed") == "true") != c.replayed {
				t.Errorf("second: %d replayed %q %v, want %d replayed %v", second.status, second.header.Get("Idempotent-Replayed"), second.body, c.again, c.replayed)
			}
			if c.replayed && c.status == c.again && second.header.Get("Original-Request") != first.header.Get("Request-Id") {
				t.Error("the replay does not name the original request")
			}
			if strings.HasPrefix(c.name, "other ") && second.str("error.type") != "idempotency_error" {
				t.Errorf("second: %v", second.body)
			}
			if got := string(d.get(pi).Status); got != c.wantIntentGet {
				t.Errorf("the intent is %s, want %s", got, c.wantIntentGet)
			}
			if n := len(d.Charges()); n > 1 {
				t.Errorf("charged %d times", n)
			}
		})
	}
}

func faultFirst(f stripetest.Fault) func(*desk, string) reply {
	return func(d *desk, pi string) reply {
		d.Fail(f)
		return d.do("POST", "/v1/payment_intents/"+pi+"/confirm", "", "Idempotency-Key", "k")
	}
}

func TestPrunedKeyCreatesAgain(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	customer, method := d.buyer("4242424242424242")
	p := func() string { return d.create(newIntent(customer, method, "pi:p-1")).ID }
	first := p()
	if p() != first {
		t.Error("the same key made two intents")
	}
	d.PruneKeys()
	if p() == first {
		t.Error("a pruned key was remembered")
	}
}

func TestKeyLength(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	for n, want := range map[int]int{255: 200, 256: 400} {
		if r := d.do("POST", "/v1/customers", "", "Idempotency-Key", strings.Repeat("k", n)); r.status != want {
			t.Errorf("a key of %d characters: %d", n, r.status)
		}
	}
	for range 2 { // no key on GET, whatever the header says
		r := d.do("GET", "/v1/customers", "", "Idempotency-Key", "g")
		if r.status != 200 || r.header.Get("Idempotent-Replayed") != "" {
			t.Error("a GET was replayed")
		}
	}
}

func TestKeyInFlight(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	path := "/v1/payment_intents/" + d.prepare("4242424242424242").ID + "/confirm"
	d.Fail(stripetest.Fault{Path: path, Delay: time.Hour}) // for whichever comes first
	answers := make(chan reply, 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 2 {
		go func() {
			if r, err := d.try(ctx, "POST", path, "", "Idempotency-Key", "k"); err == nil {
				answers <- r
			}
		}()
	}
	select {
	case r := <-answers:
		d.wantReply(r, 409, "idempotency_key_in_use")
	case <-time.After(10 * time.Second):
		t.Fatal("both wait")
	}
	d.wantCharges(0)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	clk := newClock()
	d := start(t, stripetest.Options{Now: clk.Now, Rate: 100, EndpointRate: 25})
	count := func(method, path string, n int) (ok int, last reply) {
		for range n {
			if last = d.do(method, path, ""); last.status == 200 {
				ok++
			}
		}
		return ok, last
	}
	ok, last := count("POST", "/v1/customers", 30)
	if ok != 25 || last.status != 429 || last.str("error.code") != "rate_limit" || last.header.Get("Stripe-Rate-Limited-Reason") != "endpoint-rate" {
		t.Errorf("%d passed, then %d %v", ok, last.status, last.body)
	}
	for _, path := range []string{"/v1/customers", "/v1/events", "/v1/balance", "/v1/account"} {
		ok, last = count("GET", path, 25)
	}
	if last.header.Get("Stripe-Rate-Limited-Reason") != "global-rate" {
		t.Errorf("after 130 requests: %d, %d passed", last.status, ok)
	}
	clk.turn(time.Second)
	if ok, _ := count("POST", "/v1/customers", 1); ok != 1 {
		t.Error("the next second is limited too")
	}
}

func TestUpdatesOfOneIntent(t *testing.T) {
	t.Parallel()
	clk := newClock()
	d := start(t, stripetest.Options{Now: clk.Now})
	pi, other := d.prepare("4242424242424242").ID, d.prepare("4242424242424242").ID
	for range 1000 {
		if r := d.do("POST", "/v1/payment_intents/"+pi, "description=x"); r.status != 200 {
			t.Fatal(r.body)
		}
	}
	d.wantReply(d.do("POST", "/v1/payment_intents/"+pi+"/confirm", ""), 429, "rate_limit")
	d.wantReply(d.do("POST", "/v1/payment_intents/"+other+"/confirm", ""), 200, "")
	if d.get(pi).Status != "requires_confirmation" {
		t.Error("a read is limited, or a limited confirmation was played")
	}
	clk.turn(time.Hour)
	d.wantReply(d.do("POST", "/v1/payment_intents/"+pi+"/confirm", ""), 200, "")
}

func TestFaults(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	d.Fail(stripetest.Fault{Method: "POST", Path: "/v1/payment_intents/", Status: 502, Times: 2})
	d.Fail(stripetest.Fault{Path: "/v1/customers", Status: 503, Times: -1})
	cus := d.AddCustomer("")
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"POST", "/v1/payment_intents", 400},
		{"GET", "/v1/payment_intents/pi_x", 404},
		{"POST", "/v1/payment_intents/pi_x", 502},
		{"POST", "/v1/payment_intents/pi_x/cancel", 502},
		{"POST", "/v1/payment_intents/pi_x/cancel", 404},
		{"GET", "/v1/customers", 503},
		{"GET", "/v1/customers", 503},
		{"GET", "/v1/customers/" + cus, 200},
	} {
		if r := d.do(c.method, c.path, ""); r.status != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, r.status, c.want)
		}
	}
	d.ClearFaults()
	if r := d.do("GET", "/v1/customers", ""); r.status != 200 {
		t.Error("a cleared fault struck")
	}
}

func TestDropAndHook(t *testing.T) {
	t.Parallel()
	d := start(t, stripetest.Options{})
	path := "/v1/payment_intents/" + d.prepare("4242424242424242").ID + "/confirm"
	var seen []stripetest.Call
	d.AfterDeed(func(c stripetest.Call) {
		if c.Method == http.MethodPost {
			seen = append(seen, c)
			if len(d.Charges()) != 1 {
				t.Error("the hook came before the deed")
			}
		}
	})
	confirm := func() (reply, error) {
		return d.try(t.Context(), "POST", path, "", "Idempotency-Key", "k")
	}
	d.Fail(stripetest.Fault{Path: path, Drop: true})
	if r, err := confirm(); err == nil {
		t.Errorf("not cut: %v", r)
	}
	d.wantCharges(0)
	d.Fail(stripetest.Fault{Path: path, Drop: true, When: stripetest.After})
	if r, err := confirm(); err == nil {
		t.Errorf("not cut: %v", r)
	}
	d.wantCharges(1)
	r, err := confirm()
	if err != nil || r.str("status") != "succeeded" || r.header.Get("Idempotent-Replayed") != "true" {
		t.Error(err, r)
	}
	d.wantCharges(1)
	if len(seen) != 1 || seen[0].IdempotencyKey != "k" || seen[0].Path != path || seen[0].Status != 200 {
		t.Errorf("the hook saw %+v", seen)
	}
	var states []int
	for _, c := range d.Calls() {
		if c.Path == path {
			states = append(states, c.Status)
		}
	}
	if len(states) != 3 || states[0] != 0 || states[1] != 0 || states[2] != 200 {
		t.Errorf("calls %v", states)
	}
}
