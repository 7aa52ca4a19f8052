package confirm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// letters bring ann a mail of each kind, the last one that she gets.
var letters = map[string]func(*world){
	"code": func(w *world) {
		w.shop.On(offers.Reply, func(context.Context, offers.Job) (offers.Event, error) {
			return offers.Event{Kind: offers.ReplyFailed}, nil
		})
		w.coded()
	},
	"link": func(w *world) { w.mailed() },
	"receipt": func(w *world) {
		_, token := w.mailed()
		w.now = w.now.Add(4 * time.Minute)
		w.post("/c/" + token)
	},
	"declined": func(w *world) {
		w.till.next = declined
		_, token := w.mailed()
		w.post("/c/" + token)
	},
	"code_expired": func(w *world) {
		p := w.coded()
		w.now = w.now.Add(time.Hour)
		if _, err := w.shop.Echo(context.Background(), p.Code, ann, "502", w.now); err != nil {
			w.t.Fatal(err)
		}
		w.settle()
	},
	"over_month": func(w *world) { // the public reply says no amounts
		w.limit(offers.Limits{Month: offers.Amounts{{Minor: 20000, Currency: "USD"}}})
		w.coded()
	},
	"quiet_hours": func(w *world) { // nor hours
		w.quiet(someQuiet)
		w.coded()
	},
	"not_charged": func(w *world) {
		_, token := w.mailed()
		w.idle = true
		w.press(token)
		w.now, w.idle = w.now.Add(time.Hour), false
		w.settle()
	},
	"refunded": func(w *world) {
		p, token := w.mailed()
		w.post("/c/" + token)
		if _, err := w.shop.RefundPurchase(context.Background(), p.ID, offers.Money{}, "", w.now); err != nil {
			w.t.Fatal(err)
		}
		w.settle()
	},
}

func TestMails(t *testing.T) {
	for _, lang := range words.Languages {
		for name, bring := range letters {
			t.Run(name+"."+lang, func(t *testing.T) {
				w := newWorld(t)
				w.register(lang)
				bring(w)
				m := w.mailer.last()
				if m.Lang != lang || m.To != "ann@example.com" || m.Subject == "" || len(m.HTML) > 100<<10 {
					t.Errorf("mail %q in %s, %d bytes", m.Subject, m.Lang, len(m.HTML))
				}
				if strings.Contains(m.HTML, "<script") || strings.Contains(m.HTML, "<img") {
					t.Error("the mail runs or loads something")
				}
				golden(t, "mails/"+name+"."+lang+".html", m.HTML)
				golden(t, "mails/"+name+"."+lang+".txt", "Subject: "+m.Subject+"\n\n"+m.Text)
			})
		}
	}
}

// Another try sends the same mail: the same id, the same link.
func TestMailIsTheSameAtEveryTry(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	w.mailer.fail = errSilence
	w.echoed()
	w.mailer.fail = nil
	w.now = w.now.Add(2 * time.Minute)
	w.settle()
	first := w.mailer.last()
	p := w.purchase(offers.NewID("x", "501", "buytee"))
	again, err := w.mailLink(t.Context(), offers.Job{Effect: offers.Effect{Kind: offers.MailLink, Purchase: p.ID, N: p.Round}, Purchase: p, Buyer: buyerOf(t, w)})
	if err != nil || again.Kind != offers.LinkMailed || w.mailer.last() != first {
		t.Errorf("%v %v\n%+v\n%+v", again.Kind, err, first, w.mailer.last())
	}
	ids := map[string]bool{}
	for _, m := range w.mailer.mails {
		ids[m.ID] = true
	}
	if len(ids) != 1 {
		t.Errorf("one effect, mails %v", ids)
	}
}

func buyerOf(t *testing.T, w *world) offers.Buyer {
	t.Helper()
	b, err := w.shop.Buyer(t.Context(), ann)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is refused for good is an event, and what is not answered is tried again.
func TestOutsideRefuses(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	w.mailer.fail = &RefusedError{Why: "550"}
	p := w.echoed()
	if p = w.is(p.ID, offers.Refused); p.Reason != offers.MailRefused || p.Held != 0 {
		t.Errorf("refused for %s with %d held", p.Reason, p.Held)
	}

	w = newWorld(t)
	w.register("en")
	w.till.fail = &RefusedError{Why: "no such card", Reason: offers.CardUnusable}
	p = w.echoed()
	if p = w.is(p.ID, offers.Refused); p.Reason != offers.CardUnusable || p.Held != 0 {
		t.Errorf("refused for %s with %d held", p.Reason, p.Held)
	}

	w = newWorld(t)
	w.register("en")
	w.till.fail = errSilence
	p = w.echoed()
	w.is(p.ID, offers.Echoed)
	w.till.fail = nil
	w.now = w.now.Add(2 * time.Minute)
	w.settle()
	w.is(p.ID, offers.Mailed)
	if keys := w.till.prepared; len(keys) == 0 || slices.ContainsFunc(keys, func(k Payment) bool { return k.Key != "pi:"+string(p.ID) }) {
		t.Errorf("prepared under %+v", keys)
	}
}

// A buyer who has left gets no mail, and loses no unit of others.
func TestBuyerHasLeft(t *testing.T) {
	w := newWorld(t)
	ev, err := w.mailLink(t.Context(), offers.Job{})
	if err != nil || ev.Kind != offers.LinkUnmailed {
		t.Errorf("%v, %v", ev, err)
	}
	ev, err = w.prepare(t.Context(), offers.Job{})
	if err != nil || ev.Kind != offers.IntentFailed {
		t.Errorf("%v, %v", ev, err)
	}
	if len(w.mailer.mails)+len(w.till.prepared) > 0 {
		t.Error("something was done for nobody")
	}
}

// A payment that is undecided is asked about again, and one that cannot be voided
// keeps its units.
func TestUndecidedStaysOwed(t *testing.T) {
	for _, s := range []Status{Open, "", "new to us"} {
		if _, err := outcome(Standing{Status: s}, nil, offers.Job{}); err == nil {
			t.Errorf("%q became an event", s)
		}
	}
	if _, err := outcome(Standing{Status: Taken}, errors.New("lost"), offers.Job{}); err == nil {
		t.Error("an error became an event")
	}
}
