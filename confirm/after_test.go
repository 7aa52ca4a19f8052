package confirm

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// ship sends what was bought on its way, a day later.
func (w *world) ship(id offers.ID) {
	w.t.Helper()
	w.now = w.now.Add(24 * time.Hour)
	if _, err := w.shop.Ship(context.Background(), id, "La Poste 6A12345678901", w.now); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// refund gives an amount back, an hour later.
func (w *world) refund(id offers.ID, minor int64) {
	w.t.Helper()
	w.now = w.now.Add(time.Hour)
	if _, err := w.shop.RefundPurchase(context.Background(), id, offers.Money{Minor: minor, Currency: "USD"}, "a stain", w.now); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// paid brings a purchase of ann's until it is paid.
func (w *world) paid() (offers.Purchase, string) {
	w.t.Helper()
	p, token := w.mailed()
	w.post("/c/" + token)
	return w.is(p.ID, offers.Paid), token
}

// afterwardsScenes are the pages after the payment.
var afterwardsScenes = []struct {
	name   string
	status int
	play   func(*world) *httptest.ResponseRecorder
}{
	{"order_later", 200, func(w *world) *httptest.ResponseRecorder { // long after the link has ended
		_, token := w.paid()
		w.now = w.now.AddDate(0, 6, 0)
		return w.ask("GET", "/c/"+token)
	}},
	{"order_refunded_in_part", 200, func(w *world) *httptest.ResponseRecorder {
		p, token := w.paid()
		w.refund(p.ID, 1250)
		w.till.fail = errSilence
		w.refund(p.ID, 100)
		return w.ask("GET", "/c/"+token)
	}},
	{"order_shipped", 200, func(w *world) *httptest.ResponseRecorder {
		p, token := w.paid()
		w.ship(p.ID)
		return w.ask("GET", "/c/"+token)
	}},
	{"withdraw", 200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.paid()
		return w.ask("GET", "/c/"+token+"/withdraw")
	}},
	{"withdraw_shipped", 200, func(w *world) *httptest.ResponseRecorder {
		p, token := w.paid()
		w.refund(p.ID, 1250)
		w.ship(p.ID)
		return w.ask("GET", "/c/"+token+"/withdraw")
	}},
	{"withdraw_too_late", 409, func(w *world) *httptest.ResponseRecorder {
		p, token := w.paid()
		w.ship(p.ID)
		w.now = w.purchase(p.ID).WithdrawalEnds()
		return w.post("/c/" + token + "/withdraw")
	}},
	{"withdraw_excluded", 409, func(w *world) *httptest.ResponseRecorder {
		w.sell(func(o *offers.Offer) { o.WithdrawalDays = 0 })
		_, token := w.paid()
		return w.post("/c/" + token + "/withdraw")
	}},
	{"withdraw_refunded", 409, func(w *world) *httptest.ResponseRecorder {
		p, token := w.paid()
		w.refund(p.ID, p.Total.Minor)
		return w.post("/c/" + token + "/withdraw")
	}},
	{"withdrawn", 200, func(w *world) *httptest.ResponseRecorder {
		_, token := w.paid()
		w.now = w.now.Add(1500 * time.Millisecond)
		return w.post("/c/" + token + "/withdraw")
	}},
	{"withdrawn_shipped", 200, func(w *world) *httptest.ResponseRecorder {
		p, token := w.paid()
		w.ship(p.ID)
		return w.post("/c/" + token + "/withdraw")
	}},
	{"cancel_paid", 200, func(w *world) *httptest.ResponseRecorder { // becomes the first step of a withdrawal
		_, token := w.paid()
		return w.post("/c/" + token + "/cancel")
	}},
}

// sell changes what ann buys.
func (w *world) sell(edit func(*offers.Offer)) {
	w.t.Helper()
	o, _ := w.shop.OfferByTag("buytee")
	edit(&o)
	if err := w.shop.Import(context.Background(), []offers.Offer{o}, false); err != nil {
		w.t.Fatal(err)
	}
}

func TestAfterwardsPages(t *testing.T) {
	for _, lang := range words.Languages {
		for _, scene := range afterwardsScenes {
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

// afterwardsLetters bring ann a mail about her paid purchase; it is the one with the
// effect's kind in its id.
var afterwardsLetters = map[string]struct {
	kind  offers.EffectKind
	bring func(*world)
}{
	"refund_in_part": {offers.MailRefund, func(w *world) {
		p, _ := w.paid()
		w.refund(p.ID, 1250)
	}},
	"refund_of_the_rest": {offers.MailRefund, func(w *world) {
		p, _ := w.paid()
		w.refund(p.ID, 1250)
		w.refund(p.ID, p.Total.Minor-1250)
	}},
	"shipped": {offers.MailShipped, func(w *world) {
		p, _ := w.paid()
		w.ship(p.ID)
	}},
	"withdrawal": {offers.MailWithdrawal, func(w *world) {
		_, token := w.paid()
		w.now = w.now.Add(7 * time.Second)
		w.post("/c/" + token + "/withdraw")
	}},
	"withdrawal_shipped": {offers.MailWithdrawal, func(w *world) {
		p, token := w.paid()
		w.ship(p.ID)
		w.post("/c/" + token + "/withdraw")
	}},
	"receipt_yen": {offers.MailReceipt, func(w *world) {
		w.sell(func(o *offers.Offer) { o.Price, o.Tax = offers.Money{Minor: 15005, Currency: "JPY"}, 10000 })
		w.paid()
	}},
	"receipt_dinar": {offers.MailReceipt, func(w *world) {
		w.sell(func(o *offers.Offer) {
			o.Price, o.Tax, o.Digital, o.WithdrawalDays = offers.Money{Minor: 12350, Currency: "KWD"}, 5500, true, 0
		})
		w.paid()
	}},
}

func TestAfterwardsMails(t *testing.T) {
	for _, lang := range words.Languages {
		for name, letter := range afterwardsLetters {
			t.Run(name+"."+lang, func(t *testing.T) {
				w := newWorld(t)
				w.register(lang)
				letter.bring(w)
				var m Mail
				for _, sent := range w.mailer.mails {
					if strings.HasPrefix(sent.ID, string(letter.kind)+"/") {
						m = sent
					}
				}
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

// A withdrawal from what is not shipped: one acknowledgement, one refund of all that is
// left, however often the button is pressed and looked at.
func TestWithdrawnOnce(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, token := w.paid()
	w.refund(p.ID, 998)
	for range 3 {
		w.ask("GET", "/c/"+token+"/withdraw")
		if rec := w.post("/c/" + token + "/withdraw"); rec.Code != http.StatusOK {
			t.Fatalf("%d: %s", rec.Code, rec.Body)
		}
		w.now = w.now.Add(time.Minute)
	}
	p = w.is(p.ID, offers.Refunded)
	var keys []string
	for _, r := range w.till.refunds {
		keys = append(keys, r.Key+" "+r.Amount.String())
	}
	if want := []string{"refund:" + string(p.ID) + ":1 9.98 USD", "refund:" + string(p.ID) + ":2 290.00 USD"}; !slices.Equal(keys, want) {
		t.Errorf("the till gave back %q, want %q", keys, want)
	}
	acknowledged := 0
	for _, m := range w.mailer.mails {
		if strings.HasPrefix(m.ID, "mail-withdrawal/") {
			acknowledged++
		}
	}
	if acknowledged != 1 || p.Held != 0 {
		t.Errorf("%d acknowledgements, %d units held", acknowledged, p.Held)
	}
}

// What is on its way is refunded by the seller, not by the press.
func TestWithdrawnAfterShipping(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, token := w.paid()
	w.ship(p.ID)
	w.post("/c/" + token + "/withdraw")
	if p = w.is(p.ID, offers.Paid); !p.Returning() || len(w.till.refunds) > 0 || p.Held == 0 {
		t.Errorf("returning %v, refunds %+v, %d units held", p.Returning(), w.till.refunds, p.Held)
	}
	w.refund(p.ID, p.Total.Minor-500)
	if p = w.is(p.ID, offers.Paid); p.Returning() {
		t.Error("still the seller's turn")
	}
}

// A refund that the till refuses stays owed under its own key; another one passes it.
func TestRefundInPartRefused(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, _ := w.paid()
	w.till.fail = &RefusedError{Why: "card closed"}
	w.refund(p.ID, 100)
	w.till.fail = nil
	w.refund(p.ID, 200) // an hour later the first is tried again too
	made, owed := w.is(p.ID, offers.Paid).PaidBack()
	if made.Minor != 300 || owed.Minor != 0 {
		t.Errorf("%s made, %s owed", made, owed)
	}
	if n := len(w.till.calls); n != 4 {
		t.Errorf("the till was asked %q", w.till.calls)
	}
}
