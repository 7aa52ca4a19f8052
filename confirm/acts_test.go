package confirm

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
)

// What is asked of Stripe goes under keys that follow from the purchase alone.
func TestKeysFollowFromThePurchase(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, token := w.mailed()
	w.post("/c/" + token)
	if want := publicURL + "/c/" + token; w.till.returns != want {
		t.Errorf("the bank sends the buyer to %s, want %s", w.till.returns, want)
	}
	if _, err := w.shop.RefundPurchase(t.Context(), p.ID, offers.Money{}, "", w.now); err != nil {
		t.Fatal(err)
	}
	w.settle()
	id := string(p.ID)
	if want := []string{"confirm pi_ann pm_ann confirm:" + id + ":1", "refund pi_ann refund:" + id + ":1"}; !slices.Equal(w.till.calls, want) {
		t.Errorf("the till was asked %q, want %q", w.till.calls, want)
	}

	w = newWorld(t)
	w.register("en")
	_, token = w.mailed()
	w.post("/c/" + token + "/cancel")
	if want := []string{"void pi_ann void:" + id}; !slices.Equal(w.till.calls, want) {
		t.Errorf("the till was asked %q, want %q", w.till.calls, want)
	}
	if p = w.is(p.ID, offers.Cancelled); p.Held != 0 {
		t.Errorf("%d units are held", p.Held)
	}
}

// Where the money was taken after all, a cancelled purchase is paid back.
func TestTakenBeforeItWasVoided(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, token := w.mailed()
	w.till.status = Standing{Status: Taken}
	w.post("/c/" + token + "/cancel")
	w.is(p.ID, offers.Refunded)
	if !slices.Contains(w.till.calls, "refund pi_ann refund:"+string(p.ID)+":1") {
		t.Errorf("the till was asked %q", w.till.calls)
	}
}

// A refund that is refused stays owed, so that somebody sees it.
func TestRefusedRefundStaysOwed(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, token := w.mailed()
	w.post("/c/" + token)
	w.till.fail = &RefusedError{Why: "too old"}
	if _, err := w.shop.RefundPurchase(t.Context(), p.ID, offers.Money{}, "", w.now); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.is(p.ID, offers.Paid)
	if !strings.Contains(w.everything(), "owed refund/"+string(p.ID)) {
		t.Error("the refund is forgotten")
	}
	w.till.fail = nil
	w.now = w.now.Add(2 * time.Minute)
	w.settle()
	w.is(p.ID, offers.Refunded)
}

// A refusal for which the till knows no reason has words all the same.
func TestRefusedWithoutAReason(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, token := w.mailed()
	w.till.fail = &RefusedError{Why: "no such payment"}
	w.post("/c/" + token)
	if p = w.is(p.ID, offers.Declined); p.Reason != offers.CardDeclined {
		t.Errorf("declined for %q", p.Reason)
	}

	w = newWorld(t)
	w.register("en")
	w.till.fail = &RefusedError{Why: "no such customer"}
	if p = w.is(w.echoed().ID, offers.Refused); p.Reason != offers.CardUnusable {
		t.Errorf("refused for %q", p.Reason)
	}
}

// A mail that was held up says nothing that has stopped being true: no "declined"
// after the payment, no button after the link's end.
func TestHeldUpMailsAreTrue(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, token := w.mailed()
	w.till.next = declined
	w.mailer.fail = errSilence
	w.post("/c/" + token)
	w.till.next = Standing{}
	w.post("/c/" + token)
	w.is(p.ID, offers.Paid)
	w.mailer.fail = nil
	w.now = w.now.Add(2 * time.Minute)
	w.settle()
	for _, m := range w.mailer.mails {
		if strings.Contains(m.Subject, "declined") {
			t.Errorf("after the payment: %s", m.Subject)
		}
	}
	if m := w.mailer.last(); !strings.HasPrefix(m.Subject, "Receipt") {
		t.Errorf("the last mail is %q", m.Subject)
	}

	w = newWorld(t)
	w.register("en")
	p, token = w.mailed()
	w.till.next = declined
	w.mailer.fail = errSilence
	w.post("/c/" + token)
	w.mailer.fail = nil
	w.now = p.LinkEnds().Add(time.Second)
	w.settle()
	if m := w.mailer.last(); !strings.Contains(m.Subject, "declined") || strings.Contains(m.Text, "/c/") {
		t.Errorf("after the link's end: %s\n%s", m.Subject, m.Text)
	}
}
