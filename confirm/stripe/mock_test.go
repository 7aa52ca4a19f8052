package stripe_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/stripe"
	"hashtill/offers"
)

// stripeMock is Stripe's own stand-in. It has no state, answers with fixtures, and
// checks every parameter against Stripe's description of its API.
const stripeMock = "github.com/stripe/stripe-mock@v0.203.0"

// startStripeMock builds stripe-mock and starts it on a free port. Building takes two
// seconds, and half a minute where the build cache is empty.
func startStripeMock(t *testing.T) (url string) {
	t.Helper()
	bin := t.TempDir()
	start := time.Now()
	build := exec.CommandContext(t.Context(), "go", "install", stripeMock)
	build.Dir = bin // out of this module
	build.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s cannot be had, and without it nothing says that Stripe accepts our requests: %v\n%s", stripeMock, err, out)
	}
	t.Logf("built in %s", time.Since(start).Round(time.Millisecond))

	ctx, cancel := context.WithCancel(context.Background())
	mock := exec.CommandContext(ctx, filepath.Join(bin, "stripe-mock"), "-http-addr", "127.0.0.1:0", "-https-addr", "127.0.0.1:0")
	r, w := io.Pipe()
	mock.Stdout, mock.Stderr = w, w
	if err := mock.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	found, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		listening := regexp.MustCompile(`Listening for HTTP at address: (127\.0\.0\.1:\d+)`)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = mock.Wait() // killed
		w.Close()
		<-ended
		if t.Failed() {
			t.Logf("stripe-mock said:\n%s", said.String())
		}
	})
	select {
	case address := <-found:
		return "http://" + address
	case <-time.After(20 * time.Second):
		t.Fatal("stripe-mock does not say where it listens")
	}
	return ""
}

// A tape notes what was asked and how it was answered. Of some requests it loses the
// answer then, so that we look.
type tape struct {
	lose []string
	mu   sync.Mutex
	asks []ask
}

type ask struct {
	what   string // the method, and the path without ids
	status int
	answer string
}

var anID = regexp.MustCompile(`/[a-z]+_[A-Za-z0-9_]*\d[A-Za-z0-9_]*`)

func (p *tape) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(strings.NewReader(string(body)))
	p.mu.Lock()
	defer p.mu.Unlock()
	what := r.Method + " " + anID.ReplaceAllString(r.URL.Path, "/*")
	p.asks = append(p.asks, ask{what, res.StatusCode, string(body)})
	if slices.Contains(p.lose, what) {
		return nil, errors.New("lost")
	}
	return res, nil
}

// Every request that we make has a shape that Stripe accepts. What stripe-mock answers
// is of another payment than ours, so most calls end with an error here, which says
// nothing.
func TestStripeMock(t *testing.T) {
	p, url := &tape{lose: []string{"POST /v1/payment_methods/*/detach", "DELETE /v1/customers/*"}}, startStripeMock(t)
	till, err := stripe.New(stripe.Config{APIURL: url, Key: "sk_test_123", Rate: 1e6, EndpointRate: 1e6,
		HTTP: &http.Client{Transport: p}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, _ = till.Prepare(ctx, confirm.Payment{Purchase: purchase, Key: "pi:1", Customer: "cus_1", Card: "pm_1",
		Total: offers.Money{Minor: 14999, Currency: "USD"}, Description: "1 × Lamp"})
	_, _ = till.Confirm(ctx, "pi_1", "pm_1", "confirm:1:1", back)
	_, _ = till.Look(ctx, "pi_1")
	_, _ = till.Void(ctx, "pi_1", "void:1")
	_ = till.Refund(ctx, confirm.Refund{Purchase: purchase, Key: "refund:1", Intent: "pi_1", Amount: offers.Money{Minor: 500, Currency: "USD"}})
	_ = till.Check(ctx)
	listed := 0
	_ = till.Payments(ctx, time.Now().Add(-time.Hour), time.Now(), func(confirm.Entry) error { listed++; return nil })

	wallet := stripe.NewWallet(till)
	ann := offers.Account{Network: "x", ID: "1"}
	_, _ = wallet.Customer(ctx, confirm.Customer{Key: "customer:1", Account: ann, Email: "ann@example.com", Lang: "fr"})
	_, _ = wallet.Begin(ctx, confirm.Saving{Key: "saving:1", Customer: "cus_1", Account: ann, Lang: "fr", DoneURL: back, BackURL: back})
	_, _ = wallet.Saved(ctx, "cs_test_1")
	_ = wallet.Detach(ctx, "pm_1", "detach:1")
	_ = wallet.Delete(ctx, "cus_1", "delete:1")

	var asked []string
	for _, a := range p.asks {
		if a.status/100 != 2 {
			t.Errorf("%s: stripe-mock says %d: %s", a.what, a.status, a.answer)
		}
		if !slices.Contains(asked, a.what) {
			asked = append(asked, a.what)
		}
	}
	for _, what := range []string{
		"POST /v1/payment_intents", "POST /v1/payment_intents/*/confirm", "GET /v1/payment_intents/*", "POST /v1/payment_intents/*/cancel",
		"GET /v1/refunds", "POST /v1/refunds", "GET /v1/balance", "GET /v1/payment_intents",
		"GET /v1/customers", "POST /v1/customers", "GET /v1/customers/*", "DELETE /v1/customers/*",
		"POST /v1/checkout/sessions", "GET /v1/checkout/sessions/*", "POST /v1/payment_methods/*/detach", "GET /v1/payment_methods/*",
	} {
		if !slices.Contains(asked, what) {
			t.Errorf("never asked: %s", what)
		}
	}
	if listed == 0 {
		t.Error("nothing listed")
	}

	// It would have said so.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/refunds", strings.NewReader("payment_intent=pi_1&amuont=1"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk_test_123")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("a parameter that Stripe does not know: %s", res.Status)
	}
}
