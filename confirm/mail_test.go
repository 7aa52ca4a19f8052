package confirm

import (
	"context"
	"errors"
	"regexp"
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
	"link_picture": func(w *world) { // all that a confirmation can have, by the clocks of France
		w.sell(func(o *offers.Offer) {
			o.Picture, o.Delivery = "https://pictures.example/tee.jpg?size=2&v=3", []offers.Money{{Minor: 590, Currency: "USD"}}
		})
		if err := w.shop.SetAddress(context.Background(), ann, "Ann Example\n1 rue Longue\n69001 Lyon", "FR", w.now); err != nil {
			w.t.Fatal(err)
		}
		w.mailed()
	},
	"link_page": func(w *world) { // asked for on a page, with a grace, not far from midnight in Tokyo
		w.now = time.Date(2026, 5, 1, 14, 50, 0, 0, time.UTC)
		w.shop.Times.Grace = time.Minute
		w.quiet(offers.Quiet{From: 60, To: 120, Zone: "Asia/Tokyo"})
		_, err := w.shop.Wish(context.Background(), offers.Wish{Post: "page-1", Account: ann, Handle: "ann", Lang: "en", Offer: "buytee", Quantity: 1, Words: []string{"m", "black"}, OnPage: true}, w.now)
		if err != nil {
			w.t.Fatal(err)
		}
		w.settle()
	},
	"frozen": func(w *world) {
		w.mailed()
		w.post(notMeLink(w.t, w.mailer.last()))
	},
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
				checkMail(t, m, lang)
				if m.To != "ann@example.com" {
					t.Errorf("sent to %s", m.To)
				}
				golden(t, "mails/"+name+"."+lang+".html", m.HTML)
				golden(t, "mails/"+name+"."+lang+".txt", "Subject: "+m.Subject+"\n\n"+m.Text)
			})
		}
	}
}

// The former address is told of a new one.
func TestMovedMail(t *testing.T) {
	w := newWorld(t)
	for _, lang := range words.Languages {
		m := w.pages.movedMail(words.For(lang), "ann", "n•••@example.com", w.stayURL(ann, t0))
		checkMail(t, m, lang)
		golden(t, "mails/moved."+lang+".html", m.HTML)
		golden(t, "mails/moved."+lang+".txt", "Subject: "+m.Subject+"\n\n"+m.Text)
	}
}

// neverInAMail: what runs, what readers drop (https://www.caniemail.com: style sheets of
// elsewhere, variables, grids, positions, white-space in Outlook), messages that are not
// there, and what a template refused.
var neverInAMail = regexp.MustCompile(`<script|<form|<link|@import|@font-face|var\(|flex|grid|position:|white-space| on[a-z]+=|<no value>|ZgotmplZ|[>"](reason|page|field|reply|mail)\.[a-z_.]+[<"]`)

// maxMail is below what Gmail cuts off, 102 kB.
const maxMail = 100_000

// checkMail holds every mail to what all mails promise.
func checkMail(t *testing.T, m Mail, lang string) {
	t.Helper()
	if m.Lang != lang || m.Subject == "" || len(m.HTML) > maxMail || len(m.Text) > maxMail {
		t.Errorf("mail %q in %s, %d bytes", m.Subject, m.Lang, len(m.HTML))
	}
	if bad := neverInAMail.FindString(m.HTML); bad != "" {
		t.Errorf("the mail has %q", bad)
	}
	if bad := unsaid.FindString(m.Text); bad != "" {
		t.Errorf("the text has %q", bad)
	}
	for _, want := range []string{`<html lang="` + lang + `" dir="` + words.For(lang).Dir() + `"`, `name="color-scheme" content="light dark"`,
		"prefers-color-scheme: dark", "max-width:600px", `<div style="display:none`} {
		if !strings.Contains(m.HTML, want) {
			t.Errorf("the mail lacks %s", want)
		}
	}
	if preheader := regexp.MustCompile(`mso-hide:all">([^<]+)</div>`).FindStringSubmatch(m.HTML); preheader == nil {
		t.Error("nothing stands beside the subject")
	}
	for _, image := range regexp.MustCompile(`<img[^>]*>`).FindAllString(m.HTML, -1) {
		if !regexp.MustCompile(`src="https://[^"]+" alt="[^"]+" width="\d+"`).MatchString(image) {
			t.Errorf("an image without an address, words or width: %s", image)
		}
	}
	for _, link := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(m.HTML, -1) {
		if !strings.HasPrefix(link[1], publicURL+"/") || !strings.Contains(m.Text, link[1]) {
			t.Errorf("a link to %s", link[1])
		}
	}
}

// The longest of everything is still shorter than what readers cut off.
func TestLongestMail(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("<&\"’é>\n", 10_000)
	p := offers.Purchase{ID: offers.NewID("x", "1", "tee"), Title: long[:200], Seller: long[:200], SellerAddress: long[:offers.MaxAddress], Variant: long[:100], Quantity: offers.MaxQuantity,
		Terms: long[:4000], Tax: 20000, Total: offers.Money{Minor: 99999999, Currency: "USD"}, Picture: "https://pictures.example/" + strings.Repeat("x", 2000)}
	for _, lang := range words.Languages {
		checkMail(t, w.pages.linkMail(words.For(lang), p, offers.Buyer{Address: long[:offers.MaxAddress]}, addresses{publicURL + "/c/t", publicURL + "/not-me/t"}, "20:15 UTC"), lang)
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
