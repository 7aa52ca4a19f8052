package desk

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
)

func TestHaltAndResume(t *testing.T) {
	w := newWorld(t)
	b := w.as(olga)
	b.get("/op/").is(200).says("Halt everything now", "Lift a halt that broke off", "Mail works").saysNot("Let it go on")
	b.post("/op/halt", nil).leads("/op/?done=halted")
	w.did(offers.Operator, "halt", olga)
	if h, err := w.shop.Halted(t.Context()); err != nil || h == nil || h.By != string(olga) {
		t.Fatal(h, err)
	}
	for _, page := range []string{"/op/", "/op/stuck", "/op/merchants", "/op/merchants/records", "/op/people", "/op/log"} {
		b.get(page).is(200).says("Halted: nothing is charged", "Let it go on").saysNot("Halt everything now")
	}
	w.as(otto).get("/op/").is(200).says("Halted", "Only owners of the whole lift it.")
	b.post("/op/resume", nil).leads("/op/?done=resumed")
	w.did(offers.Operator, "resume", olga)
	if h, err := w.shop.Halted(t.Context()); err != nil || h != nil {
		t.Fatal(h, err)
	}
	b.get("/op/").saysNot("Halted:")
}

func TestOverview(t *testing.T) {
	w := newWorld(t)
	w.states = []State{{"Mail", true, "in time"}, {"Stripe", false, "late: 3 wait"}}
	b := w.as(otto)
	a := b.get("/op/").is(200).says("Mail in time", "Stripe wrong late: 3 wait", "Nothing: all that is owed gets done.").saysNot("Halt everything")
	if a.Header().Get("Refresh") != refresh {
		t.Error("it does not refresh itself")
	}
	if a := b.get("/op/?still"); a.Header().Get("Refresh") != "" {
		t.Error("it cannot be kept still")
	}
	w.desk.States = nil
	b.get("/op/").is(200)
}

func TestEveryKindHasWords(t *testing.T) {
	for _, kind := range append(offers.EffectKinds, offers.Heed) {
		if kindWords[string(kind)] == "" {
			t.Errorf("%s has none", kind)
		}
	}
	for _, state := range offers.States[1:] {
		if stateWords[state] == "" {
			t.Errorf("%s has none", state)
		}
	}
}

// stick has the mail about a shipped order fail until it is stuck.
func (w *world) stick() offers.Purchase {
	w.t.Helper()
	p := w.paid(1, "BuyTee", "M")
	w.shop.On(offers.MailShipped, func(context.Context, offers.Job) (offers.Event, error) {
		return offers.Event{}, errors.New("the mail server is away")
	})
	if _, err := w.shop.Ship(w.t.Context(), p.ID, "", w.clock()); err != nil {
		w.t.Fatal(err)
	}
	for range 5 {
		leases, err := w.st.Lease(w.t.Context(), w.clock(), w.clock().Add(time.Minute), 10)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, l := range leases {
			if w.shop.Perform(w.t.Context(), l) == nil && l.Kind == string(offers.MailShipped) {
				w.t.Fatal("it was mailed")
			}
		}
		w.passes(2 * time.Minute)
	}
	return p
}

// effect is what the form on the page says of what is stuck.
func (a *answer) effect() string {
	a.t.Helper()
	_, rest, ok := strings.Cut(a.body, `name="effect" value="`)
	id, _, _ := strings.Cut(rest, `"`)
	if !ok {
		a.t.Fatalf("nothing is stuck:\n%s", a.text())
	}
	return id
}

func TestStuck(t *testing.T) {
	w := newWorld(t)
	p := w.stick()
	b := w.as(olga)
	b.get("/op/").says("A mail that it is on its way", "Purchase "+string(p.ID), "Tried 5 times", "Try again, or give up")
	a := b.get("/op/stuck").is(200).says("Try again now", "Give it up", "#buytee, records")
	w.as(otto).get("/op/stuck").is(200).says("Tried 5 times").saysNot("Try again now", "Give it up")
	form := url.Values{"effect": {a.effect()}}

	mailed := 0
	w.shop.On(offers.MailShipped, func(context.Context, offers.Job) (offers.Event, error) {
		mailed++
		return offers.Event{Kind: offers.EffectDone}, nil
	})
	b.post("/op/stuck/again", form).leads("/op/stuck?done=again")
	if d := w.did(offers.Operator, "try again", olga); d.Of != form.Get("effect") {
		t.Error(d)
	}
	w.settle()
	if mailed != 1 {
		t.Errorf("mailed %d times", mailed)
	}
	b.get("/op/stuck").says("Nothing: all that is owed gets done.")
	b.post("/op/stuck/again", form).leads("/op/stuck?done=gone")
	b.post("/op/stuck/give-up", form).leads("/op/stuck?done=gone")
	b.post("/op/stuck/again", nil).is(400)
	b.post("/op/stuck/again", url.Values{"effect": {"a b"}}).is(400)
}

func TestGiveUp(t *testing.T) {
	w := newWorld(t)
	w.stick()
	b := w.as(olga)
	form := url.Values{"effect": {b.get("/op/stuck").effect()}}
	b.post("/op/stuck/give-up", form).leads("/op/stuck?done=given-up")
	w.did(offers.Operator, "give up", olga)
	b.get("/op/stuck").says("Nothing")
	w.settle() // it would fail

	// Money is not given up.
	p := w.paid(2, "BuyTee", "M")
	w.shop.On(offers.Refunding, func(context.Context, offers.Job) (offers.Event, error) {
		return offers.Event{}, errors.New("Stripe is away")
	})
	if _, err := w.shop.RefundPurchase(t.Context(), p.ID, offers.Money{}, "", w.clock()); err != nil {
		t.Fatal(err)
	}
	w.passes(time.Hour)
	a := b.get("/op/stuck").says("A refund", "Try again now").saysNot("Give it up")
	b.post("/op/stuck/give-up", url.Values{"effect": {a.effect()}}).is(400).says("cannot be given up")
}

func TestMerchants(t *testing.T) {
	w := newWorld(t)
	b := w.as(olga).withFactor()
	b.get("/op/merchants").is(200).says("Example Records records 1 offer", "Example Hats", "Add the merchant")
	w.as(otto).get("/op/merchants").is(200).saysNot("Add the merchant")
	form := url.Values{"id": {"books"}, "name": {"Example Books"}, "owner": {"bea@books.example"}}
	b.post("/op/merchants", form).leads("/op/merchants/books?done=invited")
	if d := w.did("books", "invite", olga); d.Of != "bea@books.example" {
		t.Error(d)
	}
	if len(w.mails) != 1 || w.mails[0].To != "bea@books.example" || !strings.Contains(w.mails[0].Text, "https://desk.example.com/sign-in") {
		t.Error(w.mails)
	}
	w.as("bea@books.example").get("/m/books/orders").is(200)
	b.post("/op/merchants", form).is(400).says("There is a merchant of that id already.")
	for problem, f := range map[string]url.Values{
		"The id is 1 to 40":     {"id": {"Books!"}, "name": {"B"}},
		"It needs a name":       {"id": {"b"}},
		"not an e-mail address": {"id": {"b"}, "name": {"B"}, "owner": {"bea"}},
	} {
		b.post("/op/merchants", f).is(400).says(problem)
	}
	if len(w.mails) != 1 {
		t.Error("somebody else was told")
	}
	b.post("/op/merchants/books/rename", url.Values{"name": {"Better Books"}}).leads("/op/merchants/books?done=saved")
	b.get("/op/merchants/books").says("Better Books", "bea@books.example")
	w.did("books", "rename merchant", olga)
	b.post("/op/merchants/books/invite", url.Values{"email": {"bea@books.example"}}).is(400).says("already")
	w.failMail = errors.New("away")
	b.post("/op/merchants/books/invite", url.Values{"email": {"ben@books.example"}}).leads("/op/merchants/books?done=unmailed")
	for _, path := range []string{"rename", "invite", "remove"} {
		b.post("/op/merchants/nobody/"+path, url.Values{"name": {"N"}, "email": {"n@example.com"}}).is(404)
	}
	b.get("/op/people").is(200).says("bea@books.example owner of books", "olga@example.com owner of the whole")
}

func TestRemoveMerchant(t *testing.T) {
	w := newWorld(t)
	b := w.as(olga)
	p, open := w.paid(1, "BuyTee", "M"), w.mailed(2, "BuyTee", "M")
	remove := func() *answer { return b.post("/op/merchants/records/remove", nil) }
	remove().is(400).says("still sells #BuyTee")
	if err := w.shop.RemoveOffer(t.Context(), "buytee"); err != nil {
		t.Fatal(err)
	}
	remove().is(400).says("records 2 are open")
	if _, err := w.shop.Ship(t.Context(), p.ID, "", w.clock()); err != nil {
		t.Fatal(err)
	}
	remove().is(400).says("records 1 are open")
	if _, err := w.shop.CancelByShop(t.Context(), open.ID, "olga", w.clock()); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.as(rita).get("/m/records/orders").is(200)
	remove().leads("/op/merchants?done=removed")
	w.did(offers.Operator, "remove merchant", olga)
	for _, e := range []offers.Email{rita, carl, vera} {
		if _, err := w.shop.Person(t.Context(), e); !errors.Is(err, offers.ErrNotFound) {
			t.Error(e, "still works there:", err)
		}
	}
	b.get("/op/merchants/records").is(404)
	b.get("/m/records/orders").is(404)
	remove().is(404)
}

func TestLog(t *testing.T) {
	w := newWorld(t)
	p, hat := w.paid(1, "BuyTee", "M"), w.paid(2, "BuyHat")
	w.as(carl).post("/m/records/orders/"+string(p.ID)+"/note", url.Values{"text": {"fragile"}})
	w.passes(time.Minute)
	w.as(hans).post("/m/hats/orders/"+string(hat.ID)+"/ship", nil).is(303)
	w.passes(time.Minute)
	w.as(olga).post("/op/halt", nil)
	w.as(rita).get("/m/records/log").is(200).says("note "+string(p.ID), string(carl)).saysNot("fragile", "halt", string(hat.ID))
	w.as(hans).get("/m/hats/log").is(200).says("ship " + string(hat.ID)).saysNot("fragile")
	a := w.as(otto).get("/op/log").is(200).says("halt", "note", "records", "the whole").saysNot("fragile")
	if halt, ship, note := strings.Index(a.body, "<b>halt"), strings.Index(a.body, "<b>ship"), strings.Index(a.body, "<b>note"); halt < 0 || ship < halt || note < ship {
		t.Error("the newest is not the first")
	}
}
