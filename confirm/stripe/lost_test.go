package stripe_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/stripe"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
)

// faults are the ways in which an answer goes missing.
var faults = map[string]stripetest.Fault{
	"cut before":   {When: stripetest.Before, Drop: true},
	"cut after":    {When: stripetest.After, Drop: true},
	"500 before":   {When: stripetest.Before, Status: 500},
	"500 after":    {When: stripetest.After, Status: 500},
	"503 before":   {When: stripetest.Before, Status: 503},
	"503 after":    {When: stripetest.After, Status: 503},
	"409":          {When: stripetest.Before, Status: 409, Code: "idempotency_key_in_use"},
	"429":          {When: stripetest.Before, Status: 429, Code: "rate_limit"},
	"lock timeout": {When: stripetest.Before, Status: 429, Code: "lock_timeout"},
	"401":          {When: stripetest.Before, Status: 401},
	"403":          {When: stripetest.Before, Status: 403},
}

// try does something until it succeeds, as the outbox would. Nothing on the way
// may be final.
func (s *shop) try(what string, do func() error) {
	t := s.t
	t.Helper()
	var err error
	for range 5 {
		if err = do(); err == nil {
			return
		}
		wantLater(t, err)
		s.pass(2 * time.Minute)
	}
	t.Errorf("%s: still %v", what, err)
}

// Every answer on the way of a purchase goes missing in every way, twice in a row
// (net/http itself sends a request once more where a kept connection breaks).
func TestLostAnswers(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			s := open(t, visa)
			fail := func(path string) {
				f := fault
				f.Method, f.Path, f.Times = http.MethodPost, path, 2
				s.srv.ClearFaults()
				s.srv.Fail(f)
			}
			var id string
			fail("/v1/payment_intents")
			s.try("prepare", func() (err error) {
				id, err = s.Prepare(t.Context(), s.payment())
				return err
			})
			s.wantCharges(0, 0)

			var st confirm.Standing
			fail("/v1/payment_intents/*/confirm")
			s.try("confirm", func() (err error) {
				st, err = s.Confirm(t.Context(), id, s.card, "charge/1", back)
				return err
			})
			want(t, st, nil, confirm.Taken, "")
			s.wantCharges(1, 14999)

			fail("/v1/payment_intents/*/cancel")
			s.try("void", func() (err error) {
				st, err = s.Void(t.Context(), id, "void/1")
				return err
			})
			want(t, st, nil, confirm.Taken, "")

			fail("/v1/refunds")
			s.try("refund", func() error { return s.refund(id, "refund/1", 14999) })
			s.wantCharges(1, 0)

			s.card = s.addCard("4000000000009995")
			other := s.payment()
			other.Key = "prepare/other"
			id, err := s.Prepare(t.Context(), other)
			if err != nil {
				t.Fatal(err)
			}
			fail("/v1/payment_intents/*/confirm")
			s.try("decline", func() (err error) {
				st, err = s.Confirm(t.Context(), id, s.card, "charge/other", back)
				return err
			})
			want(t, st, nil, confirm.Failed, offers.InsufficientFunds)
			fail("/v1/payment_intents/*/cancel")
			s.try("void", func() (err error) {
				st, err = s.Void(t.Context(), id, "void/other")
				return err
			})
			want(t, st, nil, confirm.Voided, "")
			s.wantCharges(1, 0)
		})
	}
}

// A 500 is saved under the key. It must not be replayed for ever, and going on
// must not charge twice.
func TestSaved500(t *testing.T) {
	s := open(t, visa)
	id := s.prepared()
	outage := stripetest.Fault{Path: "/v1/payment_intents/*/confirm", Status: 500, Times: -1}
	s.srv.Fail(outage)
	for range 5 {
		_, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
		wantLater(t, err)
		s.pass(5 * time.Minute)
	}
	s.srv.ClearFaults()
	st, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
	want(t, st, err, confirm.Taken, "")
	s.wantCharges(1, 14999)

	// Each try asks under the caller's key first, and under one other at most.
	used := map[string]int{}
	for _, c := range s.posts("/confirm") {
		used[c.IdempotencyKey]++
	}
	if used["charge/1"] != 6 || len(used) != 6 {
		t.Errorf("keys used: %v", used)
	}
}

// Two who retry at once are one request to Stripe.
func TestSaved500Twice(t *testing.T) {
	s := open(t, "4000000000000002")
	id := s.prepared()
	s.srv.Fail(stripetest.Fault{Path: "/v1/payment_intents/*/confirm", Status: 500})
	_, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
	wantLater(t, err)
	for range 3 {
		st, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
		want(t, st, err, confirm.Failed, offers.CardDeclined)
	}
	tried := 0
	for _, c := range s.posts("/confirm") {
		if c.Status == http.StatusPaymentRequired && !c.Replayed {
			tried++
		}
	}
	if tried != 1 {
		t.Errorf("the card was put to the bank %d times", tried)
	}
}

// An outage can be longer than Stripe remembers keys.
func TestForgottenKeys(t *testing.T) {
	s := open(t, visa)
	id := s.prepared()
	s.srv.Fail(stripetest.Fault{Path: "/v1/payment_intents/*/confirm", When: stripetest.After, Drop: true})
	s.srv.Fail(stripetest.Fault{Method: http.MethodGet, Drop: true, Times: 2})
	_, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
	wantLater(t, err)
	s.wantCharges(1, 14999)
	s.srv.ClearFaults()
	s.srv.PruneKeys()
	s.pass(40 * time.Hour)

	if orphan := s.prepared(); orphan == id {
		t.Error("the stand-in has not forgotten the key")
	}
	st, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
	want(t, st, err, confirm.Taken, "")
	s.srv.PruneKeys()
	for range 2 {
		if err := s.refund(id, "refund/1", 14999); err != nil {
			t.Error(err)
		}
		s.srv.PruneKeys()
	}
	s.wantCharges(1, 0)
}

// The operator has changed public_url, or the buyer the card, between two tries.
func TestChangedParameters(t *testing.T) {
	s := open(t, "4000002760003184")
	first := s.prepared()
	changed := s.payment()
	changed.Description = "Another lamp"
	second, err := s.Prepare(t.Context(), changed)
	if err != nil || second == first {
		t.Errorf("prepared %q after %q: %v", second, first, err)
	}

	s.srv.Fail(stripetest.Fault{Path: "/v1/payment_intents/*/confirm", Status: 500})
	_, err = s.Confirm(t.Context(), first, s.card, "charge/1", back)
	wantLater(t, err)
	st, err := s.Confirm(t.Context(), first, s.card, "charge/1", "https://other.example/back")
	want(t, st, err, confirm.AtBank, "")
}

// The deed is done, the answer takes longer than we wait.
func TestSlowAnswer(t *testing.T) {
	s := open(t, visa)
	id := s.prepared()
	till := s.till(stripe.Config{Timeout: 200 * time.Millisecond})
	s.srv.Fail(stripetest.Fault{Path: "/v1/payment_intents/*/confirm", When: stripetest.After, Delay: time.Minute})
	st, err := till.Confirm(t.Context(), id, s.card, "charge/1", back)
	want(t, st, err, confirm.Taken, "")
	s.wantCharges(1, 14999)
}

// Many who hold the same effect at once charge once.
func TestAtOnce(t *testing.T) {
	s := open(t, visa)
	id := s.prepared()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			st, err := s.Confirm(t.Context(), id, s.card, "charge/1", back)
			if err != nil {
				wantLater(t, err)
			} else {
				want(t, st, nil, confirm.Taken, "")
			}
		})
	}
	all.Wait()
	s.wantCharges(1, 14999)
}

// A seeded life: purchases whose every step meets faults, forgotten keys, repeated
// and overlapping tries. Each ends with one charge or none, as the Till said.
func TestRandomLife(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	cards := []string{visa, visa, visa, "4000000000000002", "4000002760003184"}
	names := make([]string, 0, len(faults))
	for name := range faults {
		names = append(names, name)
	}
	s := open(t, visa)
	ids := make([]string, len(cards))
	for i, number := range cards {
		ids[i] = s.addCard(number)
	}
	disturb := func() {
		s.srv.ClearFaults()
		if rnd.IntN(3) > 0 {
			f := faults[names[rnd.IntN(len(names))]]
			f.Times = 1 + rnd.IntN(3)
			s.srv.Fail(f)
		}
		if rnd.IntN(8) == 0 {
			s.srv.PruneKeys()
		}
		s.pass(time.Duration(rnd.IntN(15)) * time.Second)
	}
	final := func(err error) bool {
		var r *confirm.RefusedError
		return errors.As(err, &r)
	}
	for n := range 150 {
		p := s.payment()
		p.Purchase, p.Key = offers.ID(fmt.Sprint("p", n)), fmt.Sprint("prepare/", n)
		p.Card = ids[rnd.IntN(len(ids))]
		var id string
		for id == "" {
			disturb()
			id, _ = s.Prepare(t.Context(), p)
		}
		var st confirm.Standing
		for attempt := 1; attempt <= 3 && st.Status != confirm.Taken; attempt++ {
			key, card := fmt.Sprint("charge/", n, "/", attempt), ids[rnd.IntN(len(ids))]
			for {
				disturb()
				var err error
				if rnd.IntN(2) == 0 { // somebody else holds the effect, too
					_, _ = s.Confirm(t.Context(), id, card, key, back)
				}
				if st, err = s.Confirm(t.Context(), id, card, key, back); err == nil {
					break
				}
				if final(err) {
					t.Fatalf("purchase %d: %v", n, err)
				}
			}
			if st.Status == confirm.AtBank {
				s.bank(st.BankURL, []string{"complete", "fail"}[rnd.IntN(2)])
				s.srv.ClearFaults()
				var err error
				if st, err = s.Look(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
		}
		taken := st.Status == confirm.Taken
		for {
			disturb()
			var err error
			if st, err = s.Void(t.Context(), id, fmt.Sprint("void/", n)); err == nil {
				break
			}
		}
		if (st.Status == confirm.Taken) != taken {
			t.Fatalf("purchase %d: taken is %t, then %s", n, taken, st.Status)
		}
		wantLeft := int64(0)
		if taken {
			wantLeft = 14999
			for part := range rnd.IntN(3) { // none, one or two refunds
				amount := 1 + rnd.Int64N(wantLeft)
				wantLeft -= amount
				for range 1 + rnd.IntN(2) { // a settled one may be asked for once more
					for done := false; !done; {
						disturb()
						s.pass(time.Duration(rnd.IntN(10)) * time.Minute)
						err := s.refund(id, fmt.Sprint("refund/", n, "/", part), amount)
						if final(err) {
							t.Fatalf("purchase %d: %v", n, err)
						}
						done = err == nil
					}
				}
				if wantLeft == 0 {
					break
				}
			}
		}
		charges, left := 0, int64(0)
		for _, c := range s.srv.Charges() {
			if c.Metadata["purchase"] == string(p.Purchase) {
				charges++
				left += c.Amount - c.Refunded
			}
		}
		wantCharges := 0
		if taken {
			wantCharges = 1
		}
		if charges != wantCharges || left != wantLeft {
			t.Fatalf("purchase %d: %d charges, %d left; want %d, %d", n, charges, left, wantCharges, wantLeft)
		}
	}
}
