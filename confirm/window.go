package confirm

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// home says what this is, and what can be bought.
func (c *Counter) home(w http.ResponseWriter, r *http.Request) error {
	say := words.For(r.Header.Get("Accept-Language"))
	v := view{Lang: say.Lang, Title: say.Say("page.home.title", nil), Text: say.Say("page.home.text", nil), OffersTitle: say.Say("page.home.offers", nil)}
	if c.SignIn != nil {
		v.Hint = hint{Text: say.Say("page.home.join", nil), To: "/join", Label: say.Say("page.home.join_button", nil)}
	}
	v.Nav = c.nav(say)
	v.Social = &social{Title: v.Title, Text: v.Text, URL: c.PublicURL + "/"}
	for _, o := range c.Shop.OnSale(c.Now(), maxShown) {
		v.Offers = append(v.Offers, card{To: offerPath(o), Title: o.Title, Price: priceOf(say, o), Seller: o.Seller, Picture: o.Picture,
			How: say.Say("page.home.how", map[string]any{"Tag": "#" + o.Tag})})
	}
	if len(v.Offers) == 0 {
		v.OffersTitle, v.Note = "", say.Say("page.home.none", nil)
	}
	c.render(w, r, http.StatusOK, v)
	return nil
}

// priceOf is what one unit costs with its tax, and what the delivery does.
func priceOf(say words.Words, o offers.Offer) string {
	total, err := o.Total(1, o.Price.Currency)
	if err != nil {
		return o.Price.Format(say.Lang)
	}
	o.Delivery = nil
	unit, err := o.Total(1, o.Price.Currency)
	if err != nil || unit == total {
		return total.Format(say.Lang)
	}
	total.Minor -= unit.Minor
	return say.Say("page.home.delivery", map[string]any{"Price": unit.Format(say.Lang), "Amount": total.Format(say.Lang)})
}

// maxShown bounds the offers on the first page.
const maxShown = 60

// nav is where else to go from a page that belongs to no purchase.
func (c *Counter) nav(say words.Words) []line {
	all := []line{{Label: say.Say("page.nav.offers", nil), Value: "/"}}
	if c.SignIn != nil {
		all = append(all, line{Label: say.Say("page.nav.account", nil), Value: "/account"})
	}
	return all
}

// social is what other sites show of a page that somebody links to
// (https://ogp.me, https://developer.x.com/en/docs/x-for-websites/cards/overview/markup).
type social struct{ Title, Text, URL, Picture, Alt string }

// Kind is the kind of X's card.
func (s social) Kind() string {
	if s.Picture != "" {
		return "summary_large_image"
	}
	return "summary"
}

func offerPath(o offers.Offer) string { return "/o/" + url.PathEscape(o.Tag) }

// offer is the page of an offer. It changes nothing: the number of its form is nowhere
// but in the form until that is sent.
func (c *Counter) offer(w http.ResponseWriter, r *http.Request) error {
	o, ok := c.Shop.OfferByTag(r.PathValue("tag"))
	if !ok {
		return &offers.Refusal{Reason: pageNotFound}
	}
	m, err := c.guest(r)
	if err != nil {
		return err
	}
	v, err := c.offerView(r.Context(), o, m, "")
	if err != nil {
		return err
	}
	c.render(w, r, http.StatusOK, v)
	return nil
}

// guest is whoever looks at an offer, who may be a member.
func (c *Counter) guest(r *http.Request) (member, error) {
	v, err := c.visitor(r)
	if err != nil || !v.signedIn() {
		return member{say: words.For(r.Header.Get("Accept-Language"))}, err
	}
	return c.member(r, v)
}

// offerView is the page of an offer for a guest. problem says why the form was refused.
func (c *Counter) offerView(ctx context.Context, o offers.Offer, m member, problem offers.Reason) (view, error) {
	say := m.say
	total, err := o.Total(1, o.Price.Currency)
	if err != nil {
		return view{}, err
	}
	taken, err := c.Shop.Stocked(ctx, o)
	if err != nil {
		return view{}, err
	}
	closed := o.Closed(c.Now())
	left := stockOf(say, o, taken)
	v := view{Lang: say.Lang, Title: o.Title, Text: costs(say, o, total), Nav: c.nav(say), Problem: c.problem(say, problem), Picture: picture{Src: o.Picture, Alt: o.Title},
		Social: &social{Title: o.Title + " · " + total.Format(say.Lang), Text: costs(say, o, total) + " " + o.Seller, URL: c.PublicURL + offerPath(o), Picture: o.Picture, Alt: o.Title}}
	if closed == "" && left.gone {
		closed = offers.SoldOut
	}
	if closed != "" {
		v.Kind, v.State = "bad", say.Say("reason."+string(closed)+".title", nil)
		if problem == "" {
			v.Problem = v.State
		}
		if closed == offers.SoldOut && o.Waitlist {
			v.Problem += ". " + say.Say("page.offer.line", nil)
		}
	}
	v.Rows = append(priceRows(say, o, total), left.row)
	add := func(field, value string) {
		if value != "" {
			v.Rows = append(v.Rows, line{Label: say.Say("field."+field, nil), Value: value})
		}
	}
	add("sale", saleTime(say, o))
	add("seller", strings.TrimSpace(o.Seller+"\n"+o.SellerAddress))
	add("tax_number", o.SellerTaxNumber)
	add("terms", o.Terms)
	add("withdrawal", withdrawalRight(say, offers.Purchase{WithdrawalDays: o.WithdrawalDays, Digital: o.Digital}))

	switch {
	case closed == offers.NotOpenYet || closed == offers.OfferClosed || closed == offers.SoldOut && !o.Waitlist:
		return v, nil
	case c.SignIn != nil && c.Wallet != nil:
		v.Sections = append(v.Sections, c.buySection(o, m, left))
	}
	example := "#" + o.Tag
	if first := left.first; first != "" {
		example += " " + first
	}
	v.Sections = append(v.Sections, section{Title: say.Say("page.offer.post_title", nil), Text: say.Say("page.offer.post", map[string]any{"Example": example})})
	return v, nil
}

// costs says in words what the price has in it.
func costs(say words.Words, o offers.Offer, total offers.Money) string {
	parts := []string{say.Say("page.offer.total", map[string]any{"Total": total.Format(say.Lang)})}
	switch fee := o.DeliveryIn(total.Currency); {
	case o.Digital:
		parts = append(parts, say.Say("page.offer.digital", nil))
	case fee.Minor > 0:
		parts = append(parts, say.Say("page.offer.delivery", map[string]any{"Amount": fee.Format(say.Lang)}))
	default:
		parts = append(parts, say.Say("page.offer.delivered", nil))
	}
	return strings.Join(parts, " ")
}

// priceRows are the total in every currency that there is, and the tax in it.
func priceRows(say words.Words, o offers.Offer, total offers.Money) []line {
	rows := []line{{Label: say.Say("field.total", nil), Value: total.Format(say.Lang), Kind: "total"}}
	p := offers.Purchase{Quantity: 1, Total: total, Price: o.Price, Delivery: o.DeliveryIn(total.Currency), Tax: o.Tax}
	if tax := taxIncluded(say, p); tax != "" {
		rows = append(rows, line{Label: say.Say("field.tax", nil), Value: tax})
	}
	var others []string
	for _, price := range o.Prices {
		if t, err := o.Total(1, price.Currency); err == nil {
			others = append(others, t.Format(say.Lang))
		}
	}
	if len(others) > 0 {
		rows = append(rows, line{Label: say.Say("field.other_currencies", nil), Value: strings.Join(others, "\n")})
	}
	return rows
}

// saleTime is when it is sold, by the clocks of the offer's zone.
func saleTime(say words.Words, o offers.Offer) string {
	var lines []string
	tell := func(key, arg string, t time.Time) {
		if !t.IsZero() {
			lines = append(lines, say.Say("page.offer."+key, map[string]any{arg: o.InZone(t).Format("2006-01-02 15:04 MST")}))
		}
	}
	tell("from", "At", o.Opens)
	tell("until", "Until", o.Closes)
	return strings.Join(lines, "\n")
}

// A stock is what is left of an offer, as a page says it.
type stock struct {
	row     line
	options []option
	first   string // the first variant that is left
	gone    bool   // nothing is left
}

// What is told of a stock: few units by their number, some as few, more not at all, for
// what a seller has is nobody's business.
const (
	fewCounted = 5
	fewLeft    = 20
)

func stockOf(say words.Words, o offers.Offer, taken map[string]int64) stock {
	s := stock{gone: true}
	var all []string
	for _, name := range o.Variants() {
		left := int64(o.Stock[name]) - taken[name]
		told := ""
		switch {
		case left <= 0:
			told = say.Say("page.offer.sold_out", nil)
		case left <= fewCounted:
			told = say.Say("page.offer.left", map[string]any{"Count": left})
		case left <= fewLeft:
			told = say.Say("page.offer.few_left", nil)
		}
		label := strings.TrimSpace(name)
		switch {
		case name == "" && told == "":
			label = say.Say("page.offer.in_stock", nil)
		case name == "":
			label = told
		case told != "":
			label += " – " + told
		}
		if left > 0 {
			s.gone = false
			s.first = cmp.Or(s.first, name)
		}
		all = append(all, label)
		if left > 0 || o.Waitlist {
			s.options = append(s.options, option{Value: name, Label: label})
		}
	}
	field := "field.variant"
	if len(all) == 1 && o.Variants()[0] == "" {
		field, s.options = "field.stock", nil
	}
	s.row = line{Label: say.Say(field, nil), Value: strings.Join(all, "\n")}
	return s
}
