package offers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"hashtill/store"
)

var visa = Card{ID: "pm_visa", Brand: "visa", Last4: "4242", Month: 4, Year: 2030}

// joined takes an account to where its card is being saved on a page.
func (s *shop) joined(n int, page string) Signup {
	s.t.Helper()
	var joined Signup
	err := s.EditSignup(s.t.Context(), account(n), s.now, func(u *Signup) error {
		u.Handle, u.Terms = "ann", Consent{Version: "7", At: s.now}
		u.Customer = "cus_ann"
		u.Begin(page)
		joined = *u
		return errors.Join(u.Ask("ann@example.com", "123456", s.now), u.Prove("123456", s.now))
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return joined
}

func TestProof(t *testing.T) {
	u := Signup{Account: account(1)}
	wantRefusal(t, u.Ask("ann", "123456", t0), EmailInvalid)
	wantRefusal(t, u.Prove("", t0), ProofOver) // none is out
	ask := func(now time.Time) {
		t.Helper()
		if err := u.Ask("ann@example.com", "123456", now); err != nil {
			t.Fatal(err)
		}
	}
	ask(t0)
	for range proofTries - 1 {
		wantRefusal(t, u.Prove("654321", t0), ProofWrong)
	}
	if err := u.Prove("123456", t0.Add(ProofTime-1)); err != nil || !u.Proven {
		t.Fatalf("the right code: %v", err)
	}
	wantRefusal(t, u.Prove("123456", t0), ProofOver) // once

	ask(t0)
	if !u.Proven {
		t.Fatal("the same address is proven still")
	}
	wantRefusal(t, u.Prove("123456", t0.Add(ProofTime)), ProofOver)
	ask(t0)
	for range proofTries {
		wantRefusal(t, u.Prove("654321", t0), ProofWrong)
	}
	wantRefusal(t, u.Prove("123456", t0), ProofOver)

	ask(t0)
	ask(t0)
	wantRefusal(t, u.Ask("ann@example.com", "123456", t0.Add(time.Hour-1)), ProofsMany)
	for range 5 {
		ask(t0.Add(time.Hour))
	}
	ask(t0.Add(2 * time.Hour))
	ask(t0.Add(2 * time.Hour))
	wantRefusal(t, u.Ask("ann@example.com", "123456", t0.Add(24*time.Hour-1)), ProofsMany) // in a day
	ask(t0.Add(24 * time.Hour))

	// The code proves the address and the account that it was mailed for.
	other := u
	other.Email = "eve@example.com"
	wantRefusal(t, other.Prove("123456", t0.Add(24*time.Hour)), ProofWrong)
	other = u
	other.Account = account(2)
	wantRefusal(t, other.Prove("123456", t0.Add(24*time.Hour)), ProofWrong)
	if strings.Contains(string(u.Code), "123456") {
		t.Fatal("the code is kept as it is")
	}
}

func TestSessions(t *testing.T) {
	s := newShop(t)
	ctx := t.Context()
	token, err := s.OpenSession(ctx, account(1), s.now)
	if err != nil {
		t.Fatal(err)
	}
	se, err := s.Session(ctx, token, s.now)
	if err != nil || se.Account != account(1) || se.Proven != "" {
		t.Fatalf("%+v, %v", se, err)
	}
	if err := s.ProveSession(ctx, token, "ann@example.com", s.now); err != nil {
		t.Fatal(err)
	}
	if se, err = s.Session(ctx, token, s.now); err != nil || se.Proven != "ann@example.com" {
		t.Fatalf("%+v, %v", se, err)
	}
	// The store has no token that could be used.
	_, secret, _ := strings.Cut(token, "-")
	err = s.scan(ctx, account(1).Shard(), "", func(r store.Record) error {
		if strings.Contains(r.Key+string(r.Value), secret) {
			t.Errorf("%s shows the secret", r.Key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", "-", token + "A", token[:len(token)-1], "99" + token[2:], strings.Repeat("1", 1000), "-1-" + secret, "00-"} {
		if _, err := s.Session(ctx, wrong, s.now); !errors.Is(err, ErrNotFound) {
			t.Errorf("token %.20q: %v", wrong, err)
		}
	}
	if _, err := s.Session(ctx, token, s.now.Add(sessionTime)); !errors.Is(err, ErrNotFound) {
		t.Errorf("after its time: %v", err)
	}
	if err := errors.Join(s.EndSession(ctx, token), s.EndSession(ctx, token)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Session(ctx, token, s.now); !errors.Is(err, ErrNotFound) {
		t.Errorf("after its end: %v", err)
	}
	if err := s.ProveSession(ctx, token, "ann@example.com", s.now); !errors.Is(err, ErrNotFound) {
		t.Errorf("proven after its end: %v", err)
	}
	for range 3 {
		if _, err = s.OpenSession(ctx, account(1), s.now); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.EndSessions(ctx, account(1)); err != nil || n != 3 {
		t.Errorf("%d sessions ended, %v", n, err)
	}
	if _, err = s.OpenSession(ctx, account(1), s.now); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(sessionTime)
	s.settle()
	s.leavesNothing()
}

// leavesNothing: no record and no effect is left but the offers'.
func (s *shop) leavesNothing() {
	s.t.Helper()
	for shard := range store.Shards {
		err := s.scan(s.t.Context(), shard, "", func(r store.Record) error {
			if !strings.HasPrefix(r.Key, "offer/") && !strings.HasPrefix(r.Key, "erased/") {
				s.t.Errorf("%s is left: %s", r.Key, r.Value)
			}
			return nil
		})
		if err == nil {
			err = s.eachOwed(s.t.Context(), shard, func(o store.Owed) error {
				if !strings.HasPrefix(o.ID, "forget/erased/") {
					s.t.Errorf("%s is left", o.ID)
				}
				return nil
			})
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestSavedCardRegisters(t *testing.T) {
	s := newShop(t, tee(10, 2))
	ctx := t.Context()
	p := s.wish(1, "1")
	s.settle()
	s.is(p.ID, Invited)
	s.joined(1, "cs_1")

	if err := s.SaveCard(ctx, account(1), "cs_0", "cus_ann", visa, s.now); err != nil { // an older page
		t.Fatal(err)
	}
	if b, _ := s.Buyer(ctx, account(1)); !b.Registered.IsZero() {
		t.Fatal("registered by another page")
	}
	if err := s.SaveCard(ctx, account(1), "cs_1", "cus_eve", visa, s.now); !errors.Is(err, ErrInvalid) {
		t.Fatalf("a card of another customer: %v", err)
	}
	for range 2 { // by the browser and by the outbox
		if err := s.SaveCard(ctx, account(1), "cs_1", "cus_ann", visa, s.now); err != nil {
			t.Fatal(err)
		}
	}
	b, err := s.Buyer(ctx, account(1))
	if err != nil || !b.Known() || len(b.Cards) != 1 || b.Cards[0] != visa || b.Email != "ann@example.com" || b.Terms != (Consent{"7", s.now}) || b.Handle != "ann" {
		t.Fatalf("%+v, %v", b, err)
	}
	s.settle()
	s.is(p.ID, Coded) // it went on by itself

	s.joined(1, "cs_2")
	s.joined(1, "cs_3") // pressed twice: the card is saved on the first page
	amex := Card{ID: "pm_amex", Brand: "amex", Last4: "0005"}
	if err := s.SaveCard(ctx, account(1), "cs_2", "cus_ann", amex, s.now); err != nil {
		t.Fatal(err)
	}
	if b, _ = s.Buyer(ctx, account(1)); len(b.Cards) != 2 || b.Cards[0] != amex {
		t.Fatalf("the new card does not pay: %+v", b.Cards)
	}
	if err := s.PreferCard(ctx, account(1), visa.ID, s.now); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, s.PreferCard(ctx, account(1), "pm_eve", s.now), CardUnknown)
	wantRefusal(t, s.RemoveCard(ctx, account(1), "pm_eve", s.now), CardUnknown)
	detached := ""
	s.OnDetach(func(_ context.Context, card string) error { detached += card; return nil })
	if err := s.RemoveCard(ctx, account(1), visa.ID, s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if b, _ = s.Buyer(ctx, account(1)); len(b.Cards) != 1 || b.Cards[0] != amex || detached != visa.ID {
		t.Fatalf("cards %+v, detached %q", b.Cards, detached)
	}
}

func TestCardNeedsAProvenAddress(t *testing.T) {
	s := newShop(t)
	s.joined(1, "cs_1")
	err := s.EditSignup(t.Context(), account(1), s.now, func(u *Signup) error { return u.Ask("other@example.com", "123456", s.now) })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SaveCard(t.Context(), account(1), "cs_1", "cus_ann", visa, s.now); !errors.Is(err, ErrUnproven) {
		t.Fatalf("got %v", err)
	}
	// It is kept as soon as the address is proven.
	err = s.EditSignup(t.Context(), account(1), s.now, func(u *Signup) error { return u.Prove("123456", s.now) })
	if err == nil {
		err = s.SaveCard(t.Context(), account(1), "cs_1", "cus_ann", visa, s.now)
	}
	if b, _ := s.Buyer(t.Context(), account(1)); err != nil || !b.Known() || b.Email != "other@example.com" {
		t.Fatalf("%+v, %v", b, err)
	}
}

// A sign-up lives for a day from its last change; what is left of it at Stripe goes too.
func TestSignupIsForgotten(t *testing.T) {
	s := newShop(t)
	gone := ""
	s.OnLeft(func(_ context.Context, customer string) error { gone += customer; return nil })
	s.OnSaving(func(context.Context, Account, string) (bool, error) { return true, nil })
	s.joined(1, "cs_1")
	s.now = s.now.Add(signupTime - time.Minute)
	s.settle()
	if err := s.EditSignup(t.Context(), account(1), s.now, func(*Signup) error { return nil }); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Hour)
	s.settle()
	if u, err := s.Signup(t.Context(), account(1)); err != nil || u.Began.IsZero() || gone != "" {
		t.Fatalf("forgotten while it goes on: %+v, %v, %q", u, err, gone)
	}
	s.now = s.now.Add(signupTime)
	s.settle()
	if gone != "cus_ann" {
		t.Fatalf("gone at Stripe: %q", gone)
	}
	s.leavesNothing()
}

func TestProofsAreCounted(t *testing.T) {
	s := newShop(t)
	for range proofPlace {
		if err := s.CountProof(t.Context(), "ann@example.com", s.now); err != nil {
			t.Fatal(err)
		}
	}
	wantRefusal(t, s.CountProof(t.Context(), "ANN@example.com", s.now), ProofsMany)
	if err := s.CountProof(t.Context(), "eve@example.com", s.now); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(48 * time.Hour)
	if err := s.CountProof(t.Context(), "ann@example.com", s.now); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(48 * time.Hour)
	s.settle()
	s.leavesNothing()
}

// A browser that never comes back does not matter: the page is looked at until it is over.
func TestSavingIsLookedAt(t *testing.T) {
	s := newShop(t)
	looks := 0
	s.OnSaving(func(ctx context.Context, a Account, page string) (bool, error) {
		if looks++; looks < 4 {
			return false, nil
		}
		return true, s.SaveCard(ctx, a, page, "cus_ann", visa, s.now)
	})
	s.joined(1, "cs_1")
	for range 4 {
		s.now = s.now.Add(lastSavingLook)
		s.settle()
	}
	if b, err := s.Buyer(t.Context(), account(1)); err != nil || !b.Known() || looks != 4 {
		t.Fatalf("%+v, %v after %d looks", b, err, looks)
	}
	s.now = s.now.Add(signupTime)
	s.settle()
	if u, err := s.Signup(t.Context(), account(1)); err != nil || !u.Began.IsZero() {
		t.Fatalf("the sign-up is not forgotten: %+v, %v", u, err)
	}
}

// What fails at Stripe is tried again, and touches nobody who comes after.
func TestLeaveIsTriedAgain(t *testing.T) {
	s := newShop(t)
	ctx := t.Context()
	away := true
	s.OnLeft(func(context.Context, string) error {
		if away {
			return errors.New("no answer")
		}
		return nil
	})
	s.register(1)
	if err := s.Leave(ctx, account(1), s.now); err != nil {
		t.Fatal(err)
	}
	lease := func() store.Lease {
		t.Helper()
		leases, err := s.st.Lease(ctx, s.now, s.now.Add(time.Minute), 1)
		if err != nil || len(leases) != 1 {
			t.Fatal(leases, err)
		}
		return leases[0]
	}
	if err := s.Perform(ctx, lease()); err == nil {
		t.Fatal("settled though Stripe is away")
	}
	if err := s.Start(ctx, account(1), s.now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Buyer(ctx, account(1)); err != nil || b.LeavingAt.IsZero() || b.Known() || b.Barred() == "" {
		t.Fatalf("back before it is gone: %+v, %v", b, err)
	}
	away = false
	s.now = s.now.Add(time.Minute)
	again := lease()
	if err := s.Perform(ctx, again); err != nil {
		t.Fatal(err)
	}
	s.register(1) // anew
	token, err := s.OpenSession(ctx, account(1), s.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Perform(ctx, again); err == nil {
		t.Fatal("done twice")
	}
	_, err = s.Session(ctx, token, s.now)
	if b, noBuyer := s.Buyer(ctx, account(1)); err != nil || noBuyer != nil || !b.Known() {
		t.Fatalf("who came back is gone: %+v, %v, %v", b, noBuyer, err)
	}
}

// Leaving does not get rid of a freeze by the shop.
func TestLeaveStaysFrozen(t *testing.T) {
	s := newShop(t)
	ctx := t.Context()
	s.OnLeft(func(context.Context, string) error { return nil })
	s.register(1)
	s.settle()
	if err := errors.Join(s.Freeze(ctx, account(1), ByShop, s.now), s.Leave(ctx, account(1), s.now)); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Second)
	s.settle()
	b, err := s.Buyer(ctx, account(1))
	if err != nil || b.Email != "" || len(b.Cards) > 0 || b.Barred() != BuyerFrozen {
		t.Fatalf("%+v, %v", b, err)
	}
	s.joined(1, "cs_1")
	if err := s.SaveCard(ctx, account(1), "cs_1", "cus_ann", visa, s.now); err != nil {
		t.Fatal(err)
	}
	if b, err = s.Buyer(ctx, account(1)); err != nil || b.Barred() != BuyerFrozen || b.Email == "" {
		t.Fatalf("%+v, %v", b, err)
	}
}

func TestLeave(t *testing.T) {
	s := newShop(t, tee(10, 2))
	ctx := t.Context()
	gone := []string{}
	s.OnLeft(func(_ context.Context, customer string) error { gone = append(gone, customer); return nil })
	s.joined(1, "cs_1")
	if err := s.SaveCard(ctx, account(1), "cs_1", "cus_ann", visa, s.now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenSession(ctx, account(1), s.now); err != nil {
		t.Fatal(err)
	}
	p := s.wish(1, "1")
	s.settle()
	p = s.is(p.ID, Coded)
	if err := s.echo(p, account(1)); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.with[Charge] = func(Job) (Event, error) { return Event{Kind: BankAsks, URL: "https://bank.example", Attempt: 1}, nil }
	if _, err := s.Press(ctx, p.ID, 1, "", s.now); err != nil {
		t.Fatal(err)
	}
	s.with[Look] = func(Job) (Event, error) { return Event{}, errors.New("the bank thinks") }
	leases, err := s.st.Lease(ctx, s.now, s.now.Add(time.Minute), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		if err := s.Perform(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	s.is(p.ID, Challenged)

	if err := errors.Join(s.Leave(ctx, account(1), s.now), s.Leave(ctx, account(1), s.now)); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if _, err := s.Wish(ctx, Wish{Post: "2", Account: account(1), Offer: "buytee"}, s.now); err == nil {
		t.Fatal("sold to somebody who leaves")
	}
	wantRefusal(t, s.SetAddress(ctx, account(1), "elsewhere", "FR", s.now), Leaving)
	wantRefusal(t, s.Unfreeze(ctx, account(1), ByBuyer, s.now), BuyerFrozen)
	if len(gone) > 0 {
		t.Fatal("gone at Stripe while a payment is under way")
	}
	s.with[Look] = func(Job) (Event, error) { return Event{Kind: ChargeFailed, Attempt: 1, Reason: CardDeclined}, nil }
	for range 4 {
		s.now = s.now.Add(leavePause)
		s.settle()
	}
	if len(gone) != 1 || gone[0] != "cus_ann" {
		t.Fatalf("gone at Stripe: %q", gone)
	}
	s.leavesNothing()
}

func TestFreezers(t *testing.T) {
	s := newShop(t)
	s.register(1)
	ctx := t.Context()
	if err := s.Freeze(ctx, account(1), ByBuyer, s.now); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, s.Start(ctx, account(1), s.now.Add(time.Minute)), BuyerFrozen) // no post lifts it
	if err := s.Freeze(ctx, account(1), ByShop, s.now); err != nil {
		t.Fatal(err)
	}
	if err := s.Freeze(ctx, account(1), ByBuyer, s.now); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, s.Unfreeze(ctx, account(1), ByBuyer, s.now), BuyerFrozen)
	if err := s.Unfreeze(ctx, account(1), ByShop, s.now); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Buyer(ctx, account(1)); err != nil || b.Barred() != "" {
		t.Fatalf("%+v, %v", b, err)
	}
}
