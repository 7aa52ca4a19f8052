package confirm

import (
	"cmp"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/bojanz/currency"

	"hashtill/offers"
)

// To buy on a page: who has signed in and has a card presses a button there. It is the
// purchase that a post would have begun, without the code, for the browser has shown who
// it is. What charges is the link in the mail, as ever.

// The fields of the form that buys.
const (
	nonceField    = "nonce"
	variantField  = "variant"
	quantityField = "quantity"
	currencyField = "currency"
)

// buySection is the form that buys, or what leads to it.
func (c *Counter) buySection(o offers.Offer, m member, left stock) section {
	say := m.say
	s := section{Title: say.Say("page.offer.buy_title", nil)}
	switch {
	case !m.signedIn():
		network := say.Say("join.network."+c.SignIn.Network(), nil)
		s.Text = say.Say("page.offer.sign_in", nil)
		s.Forms = []form{{To: offerPath(o) + "/join", Button: say.Say("join.sign_in", map[string]any{"Network": network})}}
		return s
	case m.buyer.Barred() != "":
		s.Text = c.problem(say, m.buyer.Barred())
		return s
	case m.buyer.AddressIsNew(c.Now()):
		s.Text = c.problem(say, offers.AddressNew)
		return s
	case !m.buyer.Known():
		s.Text = say.Say("page.offer.register", nil)
		s.Forms = []form{{To: offerPath(o) + "/join", Button: say.Say("page.offer.register_button", nil)}}
		return s
	}
	f := form{To: offerPath(o) + "/buy", Button: say.Say("page.offer.button", nil), Label: say.Say("page.offer.button_label", map[string]any{"Title": o.Title}),
		Hidden: hidden{nonceField, rand.Text()}, Consent: say.Say("page.offer.consent", nil)}
	if len(left.options) > 0 {
		f.Fields = append(f.Fields, field{Name: variantField, Label: say.Say("field.variant", nil), Options: left.options})
	}
	if o.PerBuyer > 1 {
		many := field{Name: quantityField, Label: say.Say("field.quantity", nil)}
		for n := range min(o.PerBuyer, offers.MaxQuantity) {
			many.Options = append(many.Options, option{Value: strconv.Itoa(n + 1), Label: strconv.Itoa(n + 1)})
		}
		f.Fields = append(f.Fields, many)
	}
	if len(o.Prices) > 0 {
		own, _ := currency.ForCountryCode(m.buyer.Country)
		in := field{Name: currencyField, Label: say.Say("field.currency", nil)}
		for _, price := range append([]offers.Money{o.Price}, o.Prices...) {
			if t, err := o.Total(1, price.Currency); err == nil {
				in.Options = append(in.Options, option{Value: price.Currency, Label: price.Currency + " – " + t.Format(say.Lang), Chosen: price.Currency == own})
			}
		}
		f.Fields = append(f.Fields, in)
	}
	s.Forms = []form{f}
	return s
}

// wishOf reads the form. Each form that was shown makes one purchase, however often it is
// sent: its number stands where a wish has its post.
func wishOf(r *http.Request, o offers.Offer, a offers.Account) (offers.Wish, error) {
	form := r.PostForm
	nonce, variant, in := form.Get(nonceField), form.Get(variantField), form.Get(currencyField)
	if len(nonce) != len(rand.Text()) || strings.Trim(nonce, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return offers.Wish{}, &offers.Refusal{Reason: pageForeign}
	}
	wish := offers.Wish{Post: "page-" + nonce, Account: a, Offer: o.ID, Quantity: 1, OnPage: true}
	if form.Has(quantityField) {
		n, err := strconv.Atoi(form.Get(quantityField))
		if err != nil || n < 1 || n > o.PerBuyer {
			return wish, &offers.Refusal{Reason: offers.LimitReached}
		}
		wish.Quantity = n
	}
	if _, ok := o.Stock[variant]; !ok {
		return wish, &offers.Refusal{Reason: offers.WhichVariant}
	}
	if _, ok := o.PriceIn(in); ok {
		wish.Words = append(wish.Words, in) // before the words of the variant, which could name another
	}
	wish.Words = append(wish.Words, strings.Fields(variant)...)
	return wish, nil
}

// buy takes the form, and leads to the purchase.
func (c *Counter) buy(w http.ResponseWriter, r *http.Request, m member) error {
	o, ok := c.Shop.OfferByTag(r.PathValue("tag"))
	if !ok {
		return &offers.Refusal{Reason: pageNotFound}
	}
	wish, err := wishOf(r, o, m.Account)
	if err != nil {
		return c.unbought(w, r, o, m, err)
	}
	p, err := c.Shop.Purchase(r.Context(), offers.NewID(m.Account.Network, wish.Post, o.ID))
	if errors.Is(err, offers.ErrNotFound) {
		if err := c.pass(&c.limits.buy, r, m.Account); err != nil {
			return err
		}
		if why := cmp.Or(m.buyer.Barred(), o.Closed(c.Now())); why != "" {
			return c.unbought(w, r, o, m, &offers.Refusal{Reason: why})
		}
		wish.Handle, wish.Lang = cmp.Or(m.buyer.Handle, m.signup.Handle), m.say.Lang
		p, err = c.Shop.Wish(r.Context(), wish, c.Now())
	}
	switch {
	case err != nil:
		return c.unbought(w, r, o, m, err)
	case p.Buyer != m.Account: // whoever showed them that form
		return &offers.Refusal{Reason: pageForeign}
	}
	http.Redirect(w, r, boughtPath(p.ID), http.StatusSeeOther)
	return nil
}

// unbought answers a refusal by the offer's page, with a form that can be sent again.
func (c *Counter) unbought(w http.ResponseWriter, r *http.Request, o offers.Offer, m member, err error) error {
	var no *offers.Refusal
	if !errors.As(err, &no) || no.Reason == pageForeign {
		return err
	}
	v, err := c.offerView(r.Context(), o, m, no.Reason)
	if err != nil {
		return err
	}
	if v.Wrong = wrongFields[no.Reason]; no.Reason == offers.WhichVariant {
		v.Problem = m.say.Say("page.offer.which", nil) // nobody has posted anything
	}
	c.render(w, r, http.StatusUnprocessableEntity, v)
	return nil
}

// wrongFields are those that a reason is about.
var wrongFields = map[offers.Reason]string{
	offers.WhichVariant: " variant ", offers.LimitReached: " quantity ",
	offers.EmailInvalid: " email ", offers.AddressInvalid: " address ", offers.CountryInvalid: " country ",
	offers.ProofWrong: " code ", offers.ProofOver: " code ", offers.LimitsInvalid: " purchase day month ", offers.QuietInvalid: " hours zone ",
	offers.MailRefused: " email ", walletRefused: " email ",
}

// joinToBuy leads who has not signed in, or has no card, to where that is done, and has
// the browser remember which offer it was for.
func (c *Counter) joinToBuy(w http.ResponseWriter, r *http.Request) error {
	o, ok := c.Shop.OfferByTag(r.PathValue("tag"))
	if !ok {
		return &offers.Refusal{Reason: pageNotFound}
	}
	v, err := c.visitor(r)
	if err != nil {
		return err
	}
	c.setCookie(w, c.offerCookie(), url.QueryEscape(o.Tag), offerTime)
	if v.signedIn() {
		http.Redirect(w, r, "/join", http.StatusSeeOther)
		return nil
	}
	return c.signIn(w, r)
}

// offerCookie is of the offer that somebody signs in for. It holds a hashtag and no
// address: it leads to the page of an offer of ours, or nowhere.
func (c *Counter) offerCookie() string { return c.cookie("hashtill-offer") }

// offerTime is how long signing in and saving a card may take, in seconds.
const offerTime = 60 * 60

// goOn sends who has signed in, or has a card now, back to the offer that they came from;
// without one, to a page of ours.
func (c *Counter) goOn(w http.ResponseWriter, r *http.Request, b offers.Buyer, otherwise string) {
	if cookie, err := r.Cookie(c.offerCookie()); err == nil && b.Known() {
		c.setCookie(w, c.offerCookie(), "", -1)
		tag, err := url.QueryUnescape(cookie.Value)
		if o, ok := c.Shop.OfferByTag(tag); ok && err == nil {
			otherwise = offerPath(o)
		}
	}
	http.Redirect(w, r, otherwise, http.StatusSeeOther)
}

func boughtPath(id offers.ID) string { return "/bought/" + string(id) }

// ownPurchase is the one of a request's address, if it is the member's.
func (c *Counter) ownPurchase(r *http.Request, m member) (offers.Purchase, error) {
	id, ok := offers.ParseID(r.PathValue("id"))
	if !ok {
		return offers.Purchase{}, &offers.Refusal{Reason: pageNotFound}
	}
	p, err := c.Shop.Purchase(r.Context(), id)
	if errors.Is(err, offers.ErrNotFound) || err == nil && p.Buyer != m.Account {
		return p, &offers.Refusal{Reason: pageNotFound}
	}
	return p, err
}

// bought shows how a purchase stands, to who has signed in. It does not lead to its link:
// that is in the mail alone, and shows that it was read.
func (c *Counter) bought(w http.ResponseWriter, r *http.Request, m member) error {
	p, err := c.ownPurchase(r, m)
	if err != nil {
		return err
	}
	n, err := c.nowOf(r.Context(), p)
	if err != nil {
		return err
	}
	v := c.boughtView(m, p, n)
	v.Lang, v.About, v.Rows, v.Nav = m.say.Lang, p.Title, brief(m.say, p), c.nav(m.say)
	v.Rows = append(v.Rows, line{Label: m.say.Say("field.number", nil), Value: string(p.ID), Kind: "number"})
	c.again(&v, m.say, p)
	c.watching(&v, boughtPath(p.ID), p, n)
	c.render(w, r, http.StatusOK, v)
	return nil
}

// boughtView is that page without what is on it in every state.
func (c *Counter) boughtView(m member, p offers.Purchase, n now) view {
	say, args := m.say, map[string]any{"Email": masked(m.buyer.Email)}
	words := func(key string) view {
		return view{Kind: "wait", Title: say.Say("page.bought."+key+".title", nil), Text: say.Say("page.bought."+key+".text", args)}
	}
	switch {
	case undecided(p):
		return c.stoppingView(say)
	case p.State == offers.Echoed:
		v := words("preparing")
		v.Refresh = 3
		return v
	case p.State == offers.Mailed && !c.Now().Before(p.LinkEnds()):
		return c.reasonView(say, offers.LinkExpired, nil)
	case p.State == offers.Mailed:
		args["Until"] = c.clock(p.LinkEnds(), m.buyer)
		v := words("mailed")
		v.Refresh, v.Countdown = graceRefresh, countdownTo(say, p.LinkEnds().Sub(c.Now()))
		return v
	case p.State == offers.Waiting:
		v := waitingView(say, p, n.place, "")
		v.Buttons = nil
		return v
	case p.State == offers.Paid && p.Left().Minor > 0:
		return view{Kind: "good", Title: say.Say("page.paid.title", nil), Text: say.Say("page.paid.text", map[string]any{"Total": p.Total.Format(say.Lang)})}
	case !p.State.Ended():
		v := words("under_way")
		v.Refresh = graceRefresh
		return v
	}
	return c.reasonView(say, endedFor(p), reasonArgs(say, p.Over, p.QuietUntil))
}

// endedFor is why a purchase has ended that is not paid.
func endedFor(p offers.Purchase) offers.Reason {
	switch {
	case p.State == offers.Paid, p.State == offers.Refunded:
		return offers.WasRefunded
	case p.State == offers.Refused:
		return p.Reason
	case p.State == offers.Cancelled && p.Reason == offers.ShopCancelled:
		return offers.ShopCancelled
	case p.State == offers.Cancelled:
		return offers.WasCancelled
	case p.Reason == offers.NotCharged:
		return offers.NotCharged
	case slices.Contains(p.Told, offers.WaitOver):
		return offers.WaitOver
	}
	return offers.LinkExpired
}

// boughtStands says how a purchase stands, to that page.
func (c *Counter) boughtStands(w http.ResponseWriter, r *http.Request, m member) error {
	p, err := c.ownPurchase(r, m)
	if err != nil {
		return err
	}
	return c.tell(w, r, p)
}
