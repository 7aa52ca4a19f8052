package confirm_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
	"hashtill/store"
)

// A testCard is one of docs.stripe.com/testing and of docs.stripe.com/radar/testing, and
// what its bank does with a buyer who is there.
type testCard struct {
	name, number string
	asks         bool          // the bank asks the buyer
	declines     offers.Reason // at last; "" it pays
}

var testCards = []testCard{
	{name: "visa", number: visa},
	{name: "visa debit", number: "4000056655665556"},
	{name: "mastercard", number: "5555555555554444"},
	{name: "amex", number: "378282246310005"},

	{name: "asks unless set up", number: "4000002500003155", asks: true},
	{name: "always asks", number: asks, asks: true},
	{name: "set up already", number: "4000003800000446", asks: true},
	{name: "asks, insufficient funds", number: "4000008260003178", asks: true, declines: offers.InsufficientFunds},
	{name: "asks, declined", number: "4000008400001629", asks: true, declines: offers.CardDeclined},

	{name: "declined", number: declines, declines: offers.CardDeclined},
	{name: "declined after it was saved", number: "4000000000000341", declines: offers.CardDeclined},
	{name: "insufficient funds", number: "4000000000009995", declines: offers.InsufficientFunds},
	{name: "lost", number: "4000000000009987", declines: offers.CardDeclined},
	{name: "stolen", number: "4000000000009979", declines: offers.CardDeclined},
	{name: "fraudulent", number: "4100000000000019", declines: offers.CardDeclined},
	{name: "expired", number: "4000000000000069", declines: offers.CardExpired},
	{name: "incorrect cvc", number: "4000000000000127", declines: offers.IncorrectCVC},
	{name: "processing error", number: "4000000000000119", declines: offers.ProcessingError},
	{name: "used too often", number: "4000000000006975", declines: offers.CardLimit},
}

// A testWeather is how requests and answers are lost on the way to Stripe and back.
type testWeather struct {
	name   string
	fault  stripetest.Fault // strikes once at each step of a payment
	hears  heard            // of the charge, and of what the buyer told the bank
	silent bool             // no answer arrives until then
}

// heard is how it is heard what became of a charge.
type heard int

const (
	byAnswer  heard = iota // by the answer, or by the next try; the webhook says it once more
	byWebhook              // before any answer
	byLook                 // the webhook never comes, the charge is tried again and the bank asked again
	byBooks                // the webhook never comes, reconciling finds it
	tooLate                // nothing is heard for as long as the buyer may expect a charge
)

var testWeathers = []testWeather{
	{name: "no fault"},
	{name: "lost before the deed", fault: stripetest.Fault{Drop: true}},
	{name: "lost after the deed", fault: stripetest.Fault{When: stripetest.After, Drop: true}},
	{name: "409", fault: stripetest.Fault{Status: http.StatusConflict, Code: "lock_timeout"}},
	{name: "429", fault: stripetest.Fault{Status: http.StatusTooManyRequests, Code: "rate_limit"}},
	{name: "500 before the deed", fault: stripetest.Fault{Status: http.StatusInternalServerError}},
	{name: "500 after the deed", fault: stripetest.Fault{When: stripetest.After, Status: http.StatusInternalServerError}},
	{name: "503 after the deed", fault: stripetest.Fault{When: stripetest.After, Status: http.StatusServiceUnavailable}},
	{name: "webhook first", silent: true, hears: byWebhook},
	{name: "both lost, looked up", silent: true, hears: byLook},
	{name: "both lost, reconciled", silent: true, hears: byBooks},
	{name: "both lost, too late", silent: true, hears: tooLate},
}

// The steps of a payment at Stripe.
var deeds = []string{"/v1/payment_intents", "/v1/payment_intents/*/confirm", "/v1/payment_intents/*/cancel", "/v1/refunds"}

// Whatever the card does and whatever is lost: one charge or none, and the store says
// which, and why.
func TestCards(t *testing.T) {
	for _, number := range stripetest.Cards() {
		if !slices.ContainsFunc(testCards, func(c testCard) bool { return c.number == number }) {
			t.Errorf("the card %s is not played", number)
		}
	}
	for _, card := range testCards {
		answers := []string{""}
		if card.asks {
			answers = []string{"complete", "fail", "leave"}
		}
		for _, w := range testWeathers {
			for _, answer := range answers {
				name := card.name + "/" + w.name
				if answer != "" {
					name += "/" + answer
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					playCard(t, card, w, answer)
				})
			}
		}
	}
}

// playCard plays one purchase to its very end.
func playCard(t *testing.T, card testCard, w testWeather, answer string) {
	c := open(t, card.number)
	if w.hears == byLook || w.hears == byBooks || w.hears == tooLate {
		c.stripe.SetDelivery(stripetest.Delivery{Drop: true})
	}
	if w.fault != (stripetest.Fault{}) {
		for _, deed := range deeds {
			w.fault.Method, w.fault.Path = http.MethodPost, deed
			c.stripe.Fail(w.fault)
		}
	}
	p, err := c.shop.Wish(t.Context(), offers.Wish{Post: "1", Account: ann, Handle: "ann", Lang: "en", Offer: "buytee"}, c.clock())
	if err != nil {
		t.Fatal(err)
	}
	c.settle()
	if _, err := c.shop.Echo(t.Context(), p.Code, ann, "2", c.clock()); err != nil {
		t.Fatal(err)
	}
	c.leaves(p.ID, offers.Echoed)
	c.charges(0, 0)
	p = c.is(p.ID, offers.Mailed)

	// The click.
	if w.silent {
		c.silence()
	}
	if w.hears == tooLate {
		c.stripe.Fail(stripetest.Fault{Path: "/v1/payment_intents/*/cancel", Drop: true, Times: -1})
	}
	c.press(p)
	c.hearsOf(p.ID, offers.Confirmed, w)
	if w.hears == tooLate {
		c.ended(p.ID, card.declines == "" && !card.asks, offers.NotCharged)
		return
	}

	// The bank.
	want, why := offers.Paid, offers.Reason("")
	if card.declines != "" {
		want, why = offers.Declined, card.declines
	}
	if card.asks {
		p = c.is(p.ID, offers.Challenged)
		c.charges(0, 0)
		switch answer {
		case "leave":
			c.pass(15 * time.Minute)
			c.leaves(p.ID, offers.Challenged)
			c.ended(p.ID, false, "")
			return
		case "fail":
			want, why = offers.Declined, offers.AuthenticationFailed
		}
		if w.silent {
			c.silence()
		}
		c.bank(p, answer)
		c.hearsOf(p.ID, offers.Challenged, w)
	}

	// What was heard, once and for all.
	p = c.is(p.ID, want)
	if p.Reason != why {
		t.Errorf("it is %s for %q, want %q", p.State, p.Reason, why)
	}
	if w.hears == byAnswer {
		c.tells()
		if again := c.is(p.ID, want); again.Moves != p.Moves {
			t.Errorf("the webhook has moved it: %d moves after %d", again.Moves, p.Moves)
		}
	}
	if want == offers.Declined {
		c.charges(0, 0)
		c.pass(15 * time.Minute)
		c.leaves(p.ID, offers.Declined)
	}
	c.ended(p.ID, want == offers.Paid, why)
}

// leaves does what is owed until a purchase has left a state, for some minutes.
func (c *counter) leaves(id offers.ID, state offers.State) {
	c.t.Helper()
	for range 6 {
		c.settle()
		if p, err := c.shop.Purchase(c.t.Context(), id); err != nil || p.State != state {
			return
		}
		c.pass(time.Minute)
	}
	c.t.Fatalf("it is %s for ever", state)
}

// hearsOf does what is owed until it is heard what became of a deed that a purchase waits
// for.
func (c *counter) hearsOf(id offers.ID, waits offers.State, w testWeather) {
	c.t.Helper()
	if w.silent {
		c.pass(2 * time.Minute)
		c.settle()
		c.is(id, waits)
	}
	if w.hears == tooLate {
		c.pass(time.Hour)
		c.settle()
		p := c.is(id, offers.Expired)
		if p.Held != 1 || !p.PaidAt.IsZero() {
			c.t.Errorf("%d units are held of what nobody knows, paid at %s", p.Held, p.PaidAt)
		}
		waits = offers.Expired
	}
	if w.silent {
		c.stripe.ClearFaults()
	}
	switch w.hears {
	case byWebhook:
		c.tells()
		if p, err := c.shop.Purchase(c.t.Context(), id); err != nil || p.State == waits && len(c.stripe.Charges()) > 0 {
			c.t.Errorf("the webhook says that it is paid, and it is %s, %v", p.State, err)
		}
	case byBooks:
		c.pass(confirm.DefaultSettle)
		c.books()
	case tooLate:
		c.pass(time.Minute)
		c.settle()
		return
	}
	c.leaves(id, waits)
}

// books reconciles, and returns what did not agree.
func (c *counter) books() (all []confirm.Difference) {
	c.t.Helper()
	r := &confirm.Reconciler{Shop: c.shop, Ledger: c.till, Till: c.till, Settle: confirm.DefaultSettle, Now: c.clock}
	_, err := r.Reconcile(c.t.Context(), c.clock().Add(-30*24*time.Hour), c.clock().Add(time.Second), func(d confirm.Difference) error {
		all = append(all, d)
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

// ended holds all to the end of a purchase, paid or not; what is paid is then given back.
func (c *counter) ended(id offers.ID, paid bool, why offers.Reason) {
	c.t.Helper()
	for range 3 {
		c.pass(time.Minute)
		c.settle()
	}
	if paid {
		p := c.is(id, offers.Paid)
		c.charges(1, p.Total.Minor)
		c.holds(p, 1)
		if _, err := c.shop.RefundPurchase(c.t.Context(), id, offers.Money{}, "", c.clock()); err != nil {
			c.t.Fatal(err)
		}
		c.pass(5 * time.Minute) // whatever is saved under the first key
		c.leaves(id, offers.Paid)
		p = c.is(id, offers.Refunded)
		c.charges(1, 0)
		c.holds(p, 0)
	} else {
		p := c.is(id, offers.Expired)
		if p.Reason != why {
			c.t.Errorf("it has expired for %q, want %q", p.Reason, why)
		}
		c.charges(0, 0)
		c.holds(p, 0)
	}
	c.tells() // whatever Stripe has not said yet
	c.sound(id)
}

// holds holds the purchase and the counts of its units to a number.
func (c *counter) holds(p offers.Purchase, units int) {
	c.t.Helper()
	counts, err := c.st.Counts(c.t.Context(), p.ID.Shard(), "taken/"+p.Offer+"/"+p.Variant, "bought/"+p.Offer+"/"+p.Buyer.String())
	if err != nil {
		c.t.Fatal(err)
	}
	if p.Held != units || counts[0] != int64(units) || counts[1] != int64(units) {
		c.t.Errorf("the purchase holds %d units, %d are taken, %d bought; want %d", p.Held, counts[0], counts[1], units)
	}
}

// sound holds the store to itself and to Stripe: nothing is wrong in it, nothing is owed
// but what is to be forgotten one day, and the books agree.
func (c *counter) sound(id offers.ID) {
	c.t.Helper()
	err := c.shop.Check(c.t.Context(), nil, func(f offers.Finding) error {
		c.t.Errorf("%s %s: %s", f.Kind, f.Key, f.Text)
		return nil
	})
	if err != nil {
		c.t.Error(err)
	}
	p, err := c.shop.Purchase(c.t.Context(), id)
	if err != nil || !p.State.Ended() {
		c.t.Fatalf("it is %s for ever, %v", p.State, err)
	}
	// A payment whose id was lost with a 500 is never confirmed, and called off by the
	// books.
	c.pass(confirm.DefaultSettle)
	for _, d := range c.books() {
		if d.Kind != confirm.LeftOpen || d.Intent == p.Intent || d.Next != "" {
			c.t.Errorf("the books: %s: %s", d.Kind, d.Says)
		}
	}
	for _, d := range c.books() {
		c.t.Errorf("the books, repaired: %s: %s", d.Kind, d.Says)
	}
	if owed := owedSoon(c.t, c.st, c.clock().AddDate(0, 0, 2)); len(owed) > 0 {
		c.t.Errorf("owed for ever: %v", owed)
	}
}

// owedSoon are the effects that are due before a time.
func owedSoon(t testing.TB, st store.Store, before time.Time) (soon []string) {
	t.Helper()
	for shard := range store.Shards {
		for cursor := ""; ; {
			owed, next, err := st.Owed(t.Context(), shard, cursor, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range owed {
				if o.Due.Before(before) {
					soon = append(soon, fmt.Sprintf("%s at %s", o.ID, o.Due))
				}
			}
			if cursor = next; next == "" {
				break
			}
		}
	}
	slices.SortFunc(soon, strings.Compare)
	return soon
}
