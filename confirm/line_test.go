package confirm

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// unsaid is the key of a message that is not there.
var unsaid = regexp.MustCompile(`\b(reason|page|field|reply|mail)\.[a-z]+[._]`)

var bob = offers.Account{Network: "x", ID: "1002"}

// scarce leaves two of what ann buys two of.
func scarce(edits ...func(*offers.Offer)) func(*offers.Offer) {
	return func(o *offers.Offer) {
		o.Stock["M black"] = 2
		for _, edit := range edits {
			edit(o)
		}
	}
}

func withLine(o *offers.Offer) { o.Waitlist = true }
func atEcho(o *offers.Offer)   { o.Hold = offers.HoldAtEcho }
func atClick(o *offers.Offer)  { o.Hold = offers.HoldAtClick }

func withDelivery(o *offers.Offer) {
	o.Delivery = []offers.Money{{Minor: 590, Currency: "USD"}}
}

// bobAsks has bob ask for both that there are, and says how his purchase stands.
func (w *world) bobAsks() offers.Purchase {
	w.t.Helper()
	err := w.shop.Register(context.Background(), offers.Buyer{Account: bob, Handle: "bob", Email: "bob@example.com", Lang: "en", Customer: "cus_bob",
		Cards: []offers.Card{{ID: "pm_bob", Brand: "visa", Last4: "1111"}}}, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := w.shop.Wish(context.Background(), offers.Wish{Post: "601", Account: bob, Handle: "bob", Lang: "en", Offer: "buytee", Quantity: 2, Words: []string{"m", "black"}}, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return w.purchase(p.ID)
}

// bobEchoes has bob repost his code too.
func (w *world) bobEchoes() offers.Purchase {
	w.t.Helper()
	p := w.bobAsks()
	if _, err := w.shop.Echo(context.Background(), p.Code, bob, "602", w.now); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return w.purchase(p.ID)
}

// bobLeaves has bob take his purchase back.
func (w *world) bobLeaves(p offers.Purchase) {
	w.t.Helper()
	if _, err := w.shop.Cancel(context.Background(), p.ID, bob, w.now); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// waits brings ann into the line.
func (w *world) waits() (p offers.Purchase, page string) {
	w.t.Helper()
	w.sell(scarce(withLine))
	w.bobAsks()
	p = w.is(w.coded().ID, offers.Waiting)
	return p, "/c/" + w.Links.Sign(p.ID, p.Round)
}

func (w *world) halt() {
	w.t.Helper()
	if err := w.shop.Halt(context.Background(), offers.Halt{At: w.now, By: "ops"}); err != nil {
		w.t.Fatal(err)
	}
}

var lineScenes = []struct {
	name   string
	status int
	play   func(*world) *httptest.ResponseRecorder
}{
	{"waiting", 200, func(w *world) *httptest.ResponseRecorder {
		_, page := w.waits()
		before := w.everything()
		rec := w.ask("GET", page)
		if w.everything() != before {
			w.t.Error("a look changed something")
		}
		return rec
	}},
	{"left_line", 200, func(w *world) *httptest.ResponseRecorder {
		p, page := w.waits()
		rec := w.post(page + "/cancel")
		w.is(p.ID, offers.Cancelled)
		return rec
	}},
	{"shop_cancelled", 200, func(w *world) *httptest.ResponseRecorder {
		p, page := w.waits()
		if _, err := w.shop.CancelByShop(context.Background(), p.ID, "ops", w.now); err != nil {
			w.t.Fatal(err)
		}
		return w.ask("GET", page)
	}},
	{"wait_over", 200, func(w *world) *httptest.ResponseRecorder {
		p, page := w.waits()
		w.now = p.WaitUntil
		w.settle()
		return w.ask("GET", page)
	}},
	{"its_turn", 200, func(w *world) *httptest.ResponseRecorder {
		_, page := w.waits()
		w.bobLeaves(w.purchase(offers.NewID("x", "601", "buytee")))
		return w.ask("GET", page)
	}},
	{"confirm_unheld", 200, func(w *world) *httptest.ResponseRecorder {
		w.sell(scarce(atClick))
		_, token := w.mailed()
		return w.ask("GET", "/c/"+token)
	}},
	{"press_sold_out", 409, func(w *world) *httptest.ResponseRecorder {
		w.sell(scarce(atClick))
		p, token := w.mailed()
		w.bobPresses()
		w.now = w.now.Add(2 * time.Minute)
		rec := w.post("/c/" + token)
		w.is(p.ID, offers.Mailed)
		return rec
	}},
	{"press_came_back", 200, func(w *world) *httptest.ResponseRecorder {
		w.sell(scarce(atClick))
		_, token := w.mailed()
		p := w.bobPresses()
		w.post("/c/" + token)
		if _, err := w.shop.RefundPurchase(context.Background(), p.ID, offers.Money{}, "", w.now); err != nil {
			w.t.Fatal(err)
		}
		w.settle()
		return w.post("/c/" + token)
	}},
	{"confirm_delivery", 200, func(w *world) *httptest.ResponseRecorder {
		w.sell(withDelivery)
		_, token := w.mailed()
		return w.ask("GET", "/c/"+token)
	}},
	{"confirm_tax_added", 200, func(w *world) *httptest.ResponseRecorder {
		w.sell(func(o *offers.Offer) { withDelivery(o); o.TaxAdded = true })
		_, token := w.mailed()
		return w.ask("GET", "/c/"+token)
	}},
	{"paused", 200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.halt()
		began := time.Now()
		rec := w.post("/c/" + token)
		if time.Since(began) > pressWait/2 {
			w.t.Error("the press waited for a charge that does not come")
		}
		return rec
	}},
	{"paused_grace", 200, func(w *world) *httptest.ResponseRecorder {
		w.shop.Times.Grace = time.Minute
		_, token := w.mailed()
		w.halt()
		return w.post("/c/" + token)
	}},
	{"paused_no_more", 200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.mailed()
		w.halt()
		w.post("/c/" + token)
		if err := w.shop.Resume(context.Background()); err != nil {
			w.t.Fatal(err)
		}
		w.now = w.now.Add(time.Minute)
		w.settle()
		return w.ask("GET", "/c/"+token)
	}},
}

// bobPresses brings a purchase of bob's until it is paid.
func (w *world) bobPresses() offers.Purchase {
	w.t.Helper()
	p := w.bobEchoes()
	if _, err := w.shop.Press(context.Background(), p.ID, p.Round, "", w.now); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return w.is(p.ID, offers.Paid)
}

func TestLinePages(t *testing.T) {
	for _, lang := range words.Languages {
		for _, scene := range lineScenes {
			t.Run(scene.name+"."+lang, func(t *testing.T) {
				w := newWorld(t)
				w.register(lang)
				rec := scene.play(w)
				checkPage(t, rec, scene.status, lang)
				golden(t, "pages/"+scene.name+"."+lang+".html", rec.Body.String())
			})
		}
	}
}

// replyFails has the network answer nobody.
func (w *world) replyFails() {
	w.shop.On(offers.Reply, func(context.Context, offers.Job) (offers.Event, error) {
		return offers.Event{Kind: offers.ReplyFailed}, nil
	})
}

// lineLetters bring ann a mail of each kind, the last one that she gets.
var lineLetters = map[string]func(*world){
	"on_waitlist": func(w *world) {
		w.replyFails()
		w.waits()
	},
	"wait_over": func(w *world) {
		p, _ := w.waits()
		w.now = p.WaitUntil
		w.settle()
	},
	"shop_cancelled": func(w *world) {
		p, _ := w.waits()
		if _, err := w.shop.CancelByShop(context.Background(), p.ID, "ops", w.now); err != nil {
			w.t.Fatal(err)
		}
		w.settle()
	},
	"turn": func(w *world) {
		w.waits()
		w.bobLeaves(w.purchase(offers.NewID("x", "601", "buytee")))
	},
	"turn_link": func(w *world) { // she has reposted the code before
		w.sell(scarce(withLine, atEcho))
		p := w.coded()
		b := w.bobEchoes()
		if _, err := w.shop.Echo(context.Background(), p.Code, ann, "502", w.now); err != nil {
			w.t.Fatal(err)
		}
		w.settle()
		w.is(p.ID, offers.Waiting)
		w.bobLeaves(b)
	},
	"sold_out": func(w *world) { // the units were to be held by the repost
		w.sell(scarce(atEcho))
		p := w.coded()
		w.bobEchoes()
		if _, err := w.shop.Echo(context.Background(), p.Code, ann, "502", w.now); err != nil {
			w.t.Fatal(err)
		}
		w.settle()
	},
	"country_needed": func(w *world) {
		w.replyFails()
		w.sell(func(o *offers.Offer) { o.Countries = []string{"FR", "BE"} })
		w.coded()
	},
	"not_sold_there": func(w *world) {
		w.replyFails()
		w.sell(func(o *offers.Offer) { o.Countries = []string{"FR", "BE"} })
		if err := w.shop.SetAddress(context.Background(), ann, "1 Long Street", "US", w.now); err != nil {
			w.t.Fatal(err)
		}
		w.coded()
	},
	"which_variant": func(w *world) {
		w.replyFails()
		w.sell(func(o *offers.Offer) { delete(o.Stock, "M black"); o.Stock["L black"] = 5 })
		w.coded()
	},
	"link_unheld": func(w *world) {
		w.sell(scarce(atClick))
		w.mailed()
	},
	"receipt_delivery": func(w *world) {
		w.sell(withDelivery)
		w.paid()
	},
	"receipt_tax_added": func(w *world) { // in steps in which no card can be charged less
		w.sell(func(o *offers.Offer) {
			o.Price, o.Delivery = offers.Money{Minor: 5000, Currency: "KWD"}, []offers.Money{{Minor: 10, Currency: "KWD"}}
			o.TaxAdded = true
		})
		w.paid()
	},
}

func TestLineMails(t *testing.T) {
	for _, lang := range words.Languages {
		for name, bring := range lineLetters {
			t.Run(name+"."+lang, func(t *testing.T) {
				w := newWorld(t)
				w.register(lang)
				bring(w)
				m := w.mailer.last()
				checkMail(t, m, lang)
				if m.To != "ann@example.com" {
					t.Fatalf("mail %q in %q to %q", m.Subject, m.Lang, m.To)
				}
				golden(t, "mails/"+name+"."+lang+".html", m.HTML)
				golden(t, "mails/"+name+"."+lang+".txt", "Subject: "+m.Subject+"\n\n"+m.Text)
			})
		}
	}
}

// A mail that says "you are in line" is not sent to who is in none any more.
func TestLineIsToldWhileItIsTrue(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, page := w.waits()
	w.post(page + "/cancel")
	p = w.is(p.ID, offers.Cancelled)
	ev, err := w.mailReason(t.Context(), offers.Job{Effect: offers.Effect{Kind: offers.MailReason, Purchase: p.ID, Reason: offers.OnWaitlist}, Purchase: p, Buyer: buyerOf(t, w)})
	if err != nil || ev.Kind != offers.EffectDone || len(w.mailer.mails) > 0 {
		t.Errorf("%v, %v, %d mails", ev.Kind, err, len(w.mailer.mails))
	}
}

// The account shows what is open, and ends what is the buyer's own alone.
func TestOpenPurchases(t *testing.T) {
	for _, lang := range words.Languages {
		j := newJoining(t, lang)
		phone := j.registers(j.phone)
		j.settle()
		if strings.Contains(phone.get("/account").rec.Body.String(), "/account/open/cancel") {
			t.Error("something is open that nobody asked for")
		}
		j.sell(scarce(withLine))
		b := j.bobAsks()
		p := j.is(j.coded().ID, offers.Waiting)
		vinyl, err := j.shop.Wish(t.Context(), offers.Wish{Post: "503", Account: ann, Handle: "ann", Lang: lang, Offer: "buyvinyl"}, j.now.Add(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		j.settle()
		phone.get("/account")
		checkPage(t, phone.rec, http.StatusOK, lang)
		golden(t, "pages/account_open."+lang+".html", phone.rec.Body.String())

		before := j.everything()
		for _, id := range []string{string(b.ID), "07-nobody", "", string(offers.NewID("x", "9", "buytee"))} {
			if phone.post("/account/open/cancel", "purchase", id); phone.rec.Code != http.StatusNotFound {
				t.Errorf("%q: %d", id, phone.rec.Code)
			}
		}
		j.newPhone(lang).post("/account/open/cancel", "purchase", string(p.ID))
		if j.everything() != before {
			t.Error("somebody else's purchase was touched")
		}
		phone.post("/account/open/cancel", "purchase", string(p.ID)).shows(http.StatusOK, string(vinyl.ID))
		j.is(p.ID, offers.Cancelled)
		phone.post("/account/open/cancel", "purchase", string(vinyl.ID)).shows(http.StatusOK, "/account/address")
		j.is(vinyl.ID, offers.Cancelled)
	}
}

// What is on sale shows its price with what comes on top.
func TestHomePrices(t *testing.T) {
	o := offers.Offer{Price: offers.Money{Minor: 10000, Currency: "USD"}, Tax: 20000}
	say := words.For("en")
	for _, c := range []struct {
		added    bool
		delivery int64
		want     string
	}{{false, 0, "$100.00"}, {true, 0, "$120.00"}, {false, 500, "$100.00 and $5.00 for delivery"}, {true, 500, "$120.00 and $6.00 for delivery"}} {
		o.TaxAdded, o.Delivery = c.added, []offers.Money{{Minor: c.delivery, Currency: "USD"}}
		if got := priceOf(say, o); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
