package stripe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
)

// A gauge is a Stripe that notes when it was asked what.
type gauge struct {
	mu   sync.Mutex
	sent map[string][]time.Time // by endpoint, and "" for all
	next func(*http.Request) *http.Response
}

func (g *gauge) RoundTrip(r *http.Request) (*http.Response, error) {
	name, _ := endpoint(r)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sent == nil {
		g.sent = map[string][]time.Time{}
	}
	for _, of := range []string{"", name} {
		g.sent[of] = append(g.sent[of], time.Now())
	}
	if g.next != nil {
		return g.next(r), nil
	}
	return say(r, 200, succeeded), nil
}

func say(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// most is how many requests there were in any second.
func (g *gauge) most(name string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	most, at := 0, g.sent[name]
	for i := range at {
		n := 0
		for _, t := range at[i:] {
			if t.Sub(at[i]) < time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func gauged(t *testing.T, g *gauge, c Config) *Till {
	t.Helper()
	c.HTTP, c.Log = &http.Client{Transport: g}, slog.New(slog.DiscardHandler)
	if c.Key == "" {
		c.Key = "sk_live_x"
	}
	till, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return till
}

// until does something again whenever it is told to do it later, as the outbox does.
func until(ctx context.Context, do func() error) (puts int, err error) {
	for {
		err = do()
		later := (*confirm.LaterError)(nil)
		if !errors.As(err, &later) {
			return puts, err
		}
		puts++
		if err := wait(ctx, time.Until(later.At)); err != nil {
			return puts, err
		}
	}
}

// All wait in the line without asking Stripe more often than it allows, and without
// asking in vain: nobody is put off more than a few times.
func TestBudgetOfEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gauge{}
		till := gauged(t, g, Config{})
		start := time.Now()
		var all sync.WaitGroup
		var mu sync.Mutex
		puts := 0
		for i := range 200 {
			all.Go(func() {
				n, err := until(t.Context(), func() error {
					_, err := till.Confirm(t.Context(), "pi_1", "pm_1", fmt.Sprint(i), "https://shop.example")
					return err
				})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				puts += n
			})
		}
		all.Wait()
		const confirms = "POST payment_intents/*/confirm"
		if n := g.most(confirms); n > 25 || n < 20 || len(g.sent[confirms]) != 200 {
			t.Errorf("%d requests, %d of them in one second", len(g.sent[confirms]), n)
		}
		if d := time.Since(start); d > 12*time.Second {
			t.Errorf("200 confirmations took %s", d)
		}
		if puts == 0 || puts > 400 {
			t.Errorf("they were put off %d times", puts)
		}
	})
}

// With more payments than Stripe takes everybody waits for as long as a line in order
// takes.
func TestBudgetInOrder(t *testing.T) {
	for arrive, longest := range map[int]time.Duration{22: 13 * time.Second, 30: 62 * time.Second} {
		t.Run(fmt.Sprint(arrive, " a second"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				till := gauged(t, &gauge{}, Config{})
				var all sync.WaitGroup
				var mu sync.Mutex
				var worst time.Duration
				puts, n := 0, arrive*120
				for i := range n {
					all.Go(func() {
						start := time.Now()
						m, err := until(t.Context(), func() error {
							_, err := till.Confirm(t.Context(), "pi_1", "pm_1", fmt.Sprint(i), "https://shop.example")
							return err
						})
						if err != nil {
							t.Error(err)
						}
						mu.Lock()
						defer mu.Unlock()
						worst, puts = max(worst, time.Since(start)), puts+m
					})
					_ = wait(t.Context(), time.Second/time.Duration(arrive))
				}
				all.Wait()
				if worst > longest || worst < longest/2 || puts > n {
					t.Errorf("the longest wait was %v, want at most %v; %d payments were put off %d times", worst, longest, n, puts)
				}
			})
		})
	}
}

// Nobody overtakes those who wait, even if they come some moments after their time, as
// from the outbox.
func TestBudgetNotOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		till := gauged(t, &gauge{}, Config{})
		till.Hasten()
		pay := func(key any) (at time.Time) {
			t.Helper()
			_, err := till.Confirm(t.Context(), "pi_1", "pm_1", fmt.Sprint(key), "https://shop.example")
			if later := (*confirm.LaterError)(nil); errors.As(err, &later) {
				return later.At
			}
			if err != nil {
				t.Error(err)
			}
			return time.Time{}
		}
		var last time.Time
		for i := range 45 { // five go at once, and the line is of two seconds
			at := pay(i)
			if at.IsZero() != (i < 5) || i > 5 && !at.After(last) {
				t.Fatalf("payment %d has to wait until %v, after %v", i, at, last)
			}
			last = at
		}
		_ = wait(t.Context(), 1900*time.Millisecond)
		if at := pay("new"); !at.After(last) {
			t.Errorf("who is new has its place at %v, the last before at %v", at, last)
		}
		for i := range 5 {
			if at := pay(5 + i); !at.IsZero() {
				t.Errorf("payment %d has come at its time, and has to wait until %v", 5+i, at)
			}
		}
	})
}

// When Stripe stops us the line stays in order, and does not come back all at once.
func TestBudgetInOrderAfterTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shut time.Time
		g := &gauge{}
		g.next = func(r *http.Request) *http.Response {
			if len(g.sent[""]) == 60 {
				shut = time.Now()
				res := say(r, 429, `{"error":{"type":"invalid_request_error","code":"rate_limit"}}`)
				res.Header.Set("Retry-After", "30")
				return res
			}
			return say(r, 200, succeeded)
		}
		till := gauged(t, g, Config{})
		var all sync.WaitGroup
		var puts sync.Map
		for i := range 200 {
			all.Go(func() {
				n, _ := until(t.Context(), func() error {
					_, err := till.Confirm(t.Context(), "pi_1", "pm_1", fmt.Sprint(i), "https://shop.example")
					return err
				})
				puts.Store(i, n)
			})
		}
		all.Wait()
		for _, at := range g.sent[""][60:] {
			if at.Sub(shut) < 30*time.Second {
				t.Fatalf("asked %v after Stripe had said to stop", at.Sub(shut))
			}
		}
		puts.Range(func(i, n any) bool {
			if n.(int) > 4 {
				t.Errorf("payment %v was put off %d times", i, n)
			}
			return true
		})
		if most := g.most(""); most > 25 || time.Since(shut) > 40*time.Second {
			t.Errorf("%d requests in one second; all was done %v later", most, time.Since(shut))
		}
	})
}

// Who never comes back is forgotten.
func TestBudgetForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		till := gauged(t, &gauge{}, Config{})
		till.Hasten()
		for i := range 1000 {
			_, _ = till.Confirm(t.Context(), "pi_1", "pm_1", fmt.Sprint(i), "https://shop.example")
		}
		_ = wait(t.Context(), time.Hour)
		if _, err := till.Look(t.Context(), "pi_1"); err != nil {
			t.Error(err)
		}
		for name, b := range till.budget.endpoints {
			if len(b.places) != 0 {
				t.Errorf("%s: %d places are kept", name, len(b.places))
			}
		}
	})
}

func TestBudgetOfAll(t *testing.T) {
	for key, most := range map[string]int{"sk_live_x": 100, "rk_live_x": 100, "sk_test_x": 25, "rk_test_x": 25} {
		synctest.Test(t, func(t *testing.T) {
			g := &gauge{}
			till := gauged(t, g, Config{Key: key})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var all sync.WaitGroup
			for _, do := range []func() error{
				func() error { _, err := till.Confirm(ctx, "pi_1", "pm_1", "k", "https://x.example"); return err },
				func() error { _, err := till.Look(ctx, "pi_1"); return err },
				func() error { _, err := till.Void(ctx, "pi_1", "k"); return err },
				func() error { return till.Check(ctx) },
				func() error {
					_, err := till.Prepare(ctx, confirm.Payment{Purchase: "p", Key: "k", Total: offers.Money{Minor: 100, Currency: "EUR"}})
					return err
				},
			} {
				for range 100 {
					all.Go(func() { _, _ = until(ctx, do) })
				}
			}
			all.Wait()
			if n := g.most(""); n > most || n < most*7/10 {
				t.Errorf("%s: %d requests in one second; want at most %d", key, n, most)
			}
		})
	}
}

// Lists leave half of the overall budget to those who wait.
func TestBudgetOfLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gauge{next: func(r *http.Request) *http.Response {
			if _, list := endpoint(r); list {
				return say(r, 200, `{"has_more":true,"data":[{"id":"pi_`+fmt.Sprint(time.Now().UnixNano())+`"}]}`)
			}
			return say(r, 200, succeeded)
		}}
		till := gauged(t, g, Config{Key: "sk_test_x"})
		till.Hasten()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				err := till.Payments(ctx, time.Unix(0, 0), time.Now(), func(confirm.Entry) error { return wait(ctx, 10*time.Millisecond) })
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the list ends: %v", err)
				}
			})
		}
		var slowest time.Duration
		for range 50 {
			start := time.Now()
			if _, err := till.Look(ctx, "pi_1"); err != nil {
				t.Error(err)
			}
			slowest = max(slowest, time.Since(start))
			_ = wait(ctx, 200*time.Millisecond)
		}
		all.Wait()
		if lists := len(g.sent["GET payment_intents"]); lists < 200 || slowest > 0 {
			t.Errorf("%d lists; a look-up waited %s", lists, slowest)
		}
	})
}

// Nobody asks while Stripe has said to stop, and nobody is stopped by what concerns
// one object.
func TestTooMany(t *testing.T) {
	for name, c := range map[string]struct {
		header map[string]string
		code   string
		own    time.Duration // how long the endpoint is shut
		other  time.Duration // and another one
	}{
		"endpoint":    {header: map[string]string{"Stripe-Rate-Limited-Reason": "endpoint-rate"}, code: "rate_limit", own: time.Second},
		"all":         {header: map[string]string{"Stripe-Rate-Limited-Reason": "global-rate"}, code: "rate_limit", own: time.Second, other: time.Second},
		"for so long": {header: map[string]string{"Retry-After": "7"}, code: "rate_limit", own: 7 * time.Second},
		"for ever":    {header: map[string]string{"Retry-After": "9999999"}, code: "rate_limit", own: 5 * time.Minute},
		"no time":     {header: map[string]string{"Retry-After": "-1"}, code: "rate_limit", own: time.Second},
		"object":      {code: "lock_timeout"},
		"resource":    {header: map[string]string{"Stripe-Rate-Limited-Reason": "resource-specific"}, code: "rate_limit"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := true
				g := &gauge{next: func(r *http.Request) *http.Response {
					if !first {
						return say(r, 200, succeeded)
					}
					first = false
					res := say(r, 429, `{"error":{"type":"invalid_request_error","code":"`+c.code+`"}}`)
					for k, v := range c.header {
						res.Header.Set(k, v)
					}
					return res
				}}
				till := gauged(t, g, Config{})
				confirmed := func() error {
					_, err := till.Confirm(t.Context(), "pi_1", "pm_1", "k", "https://x.example")
					return err
				}
				if err := confirmed(); err == nil || !strings.Contains(err.Error(), c.code) {
					t.Errorf("the error is %v", err)
				}
				start := time.Now()
				if _, err := till.Look(t.Context(), "pi_1"); err != nil || time.Since(start) != c.other {
					t.Errorf("another endpoint was shut for %s: %v", time.Since(start), err)
				}
				if _, err := until(t.Context(), confirmed); err != nil || time.Since(start) != c.own {
					t.Errorf("the endpoint was shut for %s: %v", time.Since(start), err)
				}
			})
		})
	}
}

// Who does not wait long enough takes nothing from the others.
func TestBudgetContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gauge{}
		till := gauged(t, g, Config{Rate: 5, EndpointRate: 5}) // one at once, then four a second
		look := func(ctx context.Context) error { _, err := till.Look(ctx, "pi_1"); return err }
		if err := look(t.Context()); err != nil {
			t.Fatal(err)
		}
		soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		later := (*confirm.LaterError)(nil)
		if err := look(soon); !errors.As(err, &later) {
			t.Errorf("without time: %v", err)
		}
		gone, leave := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- look(gone) }()
		synctest.Wait()
		leave()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
		_ = wait(t.Context(), 250*time.Millisecond)
		start := time.Now()
		if err := look(t.Context()); err != nil || time.Since(start) != 0 {
			t.Errorf("the next waited %s: %v", time.Since(start), err)
		}
	})
}

func TestEndpoint(t *testing.T) {
	for in, want := range map[string]string{
		"POST /v1/payment_intents":                             "POST payment_intents",
		"GET /v1/payment_intents?limit=100":                    "GET payment_intents, a list",
		"GET /v1/payment_intents/pi_1?expand[0]=latest_charge": "GET payment_intents/*",
		"POST /v1/payment_intents/pi_1/confirm":                "POST payment_intents/*/confirm",
		"POST /stripe/v1/checkout/sessions":                    "POST checkout/sessions",
		"GET /v1/checkout/sessions/cs_test_1":                  "GET checkout/sessions/*",
		"GET /v1/customers/cus_1/payment_methods?limit=9":      "GET customers/*/payment_methods, a list",
		"GET /v1/balance":                                      "GET balance",
	} {
		method, path, _ := strings.Cut(in, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, "https://api.example"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, list := endpoint(r)
		if list {
			got += ", a list"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// A burst of 200 payments at a Stripe with its real limits: none is told 429, and
// each is charged once.
func TestBurst(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	srv, err := stripetest.Start(stripetest.Options{Now: clock, Rate: 100, EndpointRate: 25})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	cus := srv.AddCustomer("ann@example.com")
	card, err := srv.AddCard(cus, "4242424242424242")
	if err != nil {
		t.Fatal(err)
	}
	till, err := New(Config{APIURL: srv.URL(), Key: srv.Key(), Rate: 100, Now: clock, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	till.Hasten()
	// each does n things as the outbox would, which holds what is put off until its time.
	each := func(n int, do func(i int) error) {
		due, done := make([]time.Time, n), make([]bool, n)
		for slices.Contains(done, false) {
			var all sync.WaitGroup
			for i := range n {
				if done[i] || due[i].After(clock()) {
					continue
				}
				all.Go(func() {
					err := do(i)
					if later := (*confirm.LaterError)(nil); errors.As(err, &later) && later.At.After(clock()) {
						due[i] = later.At
						return
					}
					if err != nil {
						t.Errorf("payment %d: %v", i, err)
					}
					done[i] = true
				})
			}
			all.Wait()
			mu.Lock()
			now = now.Add(100 * time.Millisecond)
			mu.Unlock()
		}
	}
	const n = 200
	intents := make([]string, n)
	each(n, func(i int) (err error) {
		intents[i], err = till.Prepare(t.Context(), confirm.Payment{Purchase: offers.ID(fmt.Sprint(i)), Key: fmt.Sprint("pi:", i), Customer: cus, Card: card, Total: offers.Money{Minor: 100, Currency: "EUR"}})
		return err
	})
	start := clock()
	each(n, func(i int) error {
		_, err := till.Confirm(t.Context(), intents[i], card, fmt.Sprint("confirm:", i), "https://shop.example")
		return err
	})
	if took := clock().Sub(start); took > 20*time.Second {
		t.Errorf("%d confirmations took %s", n, took)
	}
	for _, c := range srv.Calls() {
		if c.Status == http.StatusTooManyRequests {
			t.Fatalf("%s %s was told 429", c.Method, c.Path)
		}
	}
	if got := len(srv.Charges()); got != n {
		t.Errorf("%d charges for %d payments", got, n)
	}
}
