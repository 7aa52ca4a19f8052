package bot

import (
	"errors"
	"testing"
	"time"

	"hashtill/offers"
)

// What is said tells what it is for, and thanks are never waited for.
func TestThanksGiveWay(t *testing.T) {
	s := newScene(t, 2)
	s.register("1")
	s.hears(by("1", "10", "@bot #BuyTee"))
	s.hears(by("1", "11", "@bot help"))
	p, err := s.shop.Purchase(t.Context(), offers.NewID("x", "10", "buytee"))
	if err != nil {
		t.Fatal(err)
	}
	thanks := offers.Job{Purchase: p}
	if ev, err := s.thank(t.Context(), thanks); ev.Kind != offers.EffectDone || err != nil {
		t.Errorf("thanks: %v, %v", ev, err)
	}
	said := s.net.said
	if len(said) != 3 || said[0].For != ForWish || !said[0].By.Equal(t0.Add(patience)) || said[1].For != ForCommand || said[2].For != ForThanks {
		t.Errorf("said %+v", said)
	}
	s.net.err = &LaterError{At: t0.Add(time.Minute), Why: "spent"}
	if ev, err := s.thank(t.Context(), thanks); ev.Kind != offers.EffectDone || err != nil {
		t.Errorf("thanks without a budget: %v, %v", ev, err)
	}
	if err := s.answer(t.Context(), offers.Answer{Post: "12", Account: p.Buyer, Word: "help"}, false); !errors.As(err, new(*LaterError)) {
		t.Errorf("an answer without a budget: %v", err)
	}
}

// Without a budget a refusal goes by mail to whoever has registered; others wait, and lose
// nothing.
func TestRefusalsWithoutABudget(t *testing.T) {
	s := newScene(t, 0)
	s.register("1")
	s.net.err = &LaterError{At: t0.Add(patience + time.Second), Why: "spent"}
	for account, want := range map[string]offers.EventKind{"1": offers.ReplyFailed, "2": ""} {
		post := "2" + account
		if err := s.Hear(t.Context(), s.net, by(account, post, "@bot #BuyTee")); err != nil {
			t.Fatal(err)
		}
		p, err := s.shop.Purchase(t.Context(), offers.NewID("x", post, "buytee"))
		if err != nil || p.State != offers.Refused {
			t.Fatal(p.State, err)
		}
		ev, err := s.reply(t.Context(), offers.Job{Purchase: p})
		if ev.Kind != want || (err == nil) != (want != "") {
			t.Errorf("account %s: %v, %v", account, ev, err)
		}
	}
}
