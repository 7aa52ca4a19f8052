package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
)

// loadBuyers and fewUnits are what a load finds in the shop of a test.
const (
	loadBuyers = 256
	fewUnits   = 40
)

// newLoaded has a shop ready to carry a load: with buyers who have cards, eight things
// for sale that never run out, and one that does soon.
func newLoaded(t *testing.T, where string) (w *outside, cfg Config, environ []string) {
	t.Helper()
	w = newOutsideOn(t, "v2", where)
	var catalogue strings.Builder
	for n := range 8 {
		fmt.Fprintf(&catalogue, "- {tag: Load%d, title: Load, seller: Example Records, price: 1, currency: USD, stock: 1000000, per_buyer: 99}\n", n)
	}
	fmt.Fprintf(&catalogue, "- {tag: Few, title: Load of few, seller: Example Records, price: 1, currency: USD, stock: %d, per_buyer: 99}\n", fewUnits)
	list := filepath.Join(t.TempDir(), "load.yaml")
	if err := os.WriteFile(list, []byte(catalogue.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	// Who gives up does so soon; the stand-in of Stripe takes what comes.
	environ = []string{"HASHTILL_OFFERS=" + list, "HASHTILL_LISTEN=127.0.0.1:0", "HASHTILL_TIMES_ECHO=5s", "HASHTILL_TIMES_LINK=5s",
		"HASHTILL_STRIPE_RATE=1000000", "HASHTILL_STRIPE_ENDPOINT_RATE=1000000"}
	cfg, err := Load(w.config, environ)
	if err != nil {
		t.Fatal(err)
	}
	for n := range loadBuyers {
		email := fmt.Sprintf("buyer%d@mail.example", n)
		customer := w.stripe.AddCustomer(email)
		card, err := w.stripe.AddCard(customer, "4242424242424242")
		if err == nil {
			err = w.shop.Register(t.Context(), offers.Buyer{Account: offers.Account{Network: "x", ID: fmt.Sprint(1000 + n)}, Handle: fmt.Sprint("buyer", n),
				Email: offers.Email(email), Lang: "en", Customer: customer, Cards: []offers.Card{{ID: card, Brand: "visa", Last4: "4242"}}}, time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return w, cfg, environ
}

// loadFor lets a load go on for so many commits; meanwhile happens under it.
func loadFor(t *testing.T, where string, commits int, meanwhile func()) {
	t.Helper()
	w, cfg, _ := newLoaded(t, where)
	if err := w.store.Close(); err != nil { // so that the load's own is the last to close
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	st, err := openStore(ctx, cfg, silent)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s, err := open(ctx, cfg, st, silent, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.listen.Close()
	told := make(chan struct{}, commits)
	l, err := newLoad(ctx, s, func(f fact) {
		if f.Commit {
			select {
			case told <- struct{}{}:
			default:
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- l.run(ctx, 24) }()
	for range commits {
		<-told
	}
	if meanwhile != nil {
		meanwhile()
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The demo carries a load on stand-ins of its own, and tells how fast; a load that a
// configuration sends to a real address does not begin.
func TestDemoLoad(t *testing.T) {
	var out strings.Builder
	if code := run(t.Context(), []string{"demo", "--load", "--for=500ms", "--buyers=8", "--pages=localhost:0"}, nil, &out, &out); code != exitOK ||
		!strings.Contains(out.String(), " purchases a second") || strings.HasPrefix(out.String(), "0 ") {
		t.Errorf("%d: %s", code, out.String())
	}
	w, _, environ := newLoaded(t, "")
	out.Reset()
	environ = append(environ, "HASHTILL_STRIPE_API_URL=https://api.stripe.com")
	if code := run(t.Context(), []string{"demo", "--load", "--config", w.config}, environ, &out, &out); code != exitUsage || !strings.Contains(out.String(), "stripe.api_url") {
		t.Errorf("%d: %s", code, out.String())
	}
}
