package desk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hashtill/offers"
)

var offerRoutes = []route{
	{pattern: "GET /m/{merchant}/{$}", needs: offers.Viewer, do: (*call).listOffers},
	{pattern: "GET /m/{merchant}/new", needs: offers.Clerk, do: (*call).newOffer},
	{pattern: "POST /m/{merchant}/new", needs: offers.Clerk, do: (*call).addOffer},
	{pattern: "GET /m/{merchant}/offers/{offer}", needs: offers.Clerk, do: (*call).showOffer},
	{pattern: "POST /m/{merchant}/offers/{offer}", needs: offers.Clerk, do: (*call).editOffer},
	{pattern: "GET /m/{merchant}/offers/{offer}/stock", needs: offers.Clerk, do: (*call).showStock},
	{pattern: "POST /m/{merchant}/offers/{offer}/stock", needs: offers.Clerk, do: (*call).changeStock},
	{pattern: "GET /m/{merchant}/offers/{offer}/remove", needs: offers.Clerk, do: (*call).askRemove},
	{pattern: "POST /m/{merchant}/offers/{offer}/remove", needs: offers.Clerk, do: (*call).removeOffer},
	{pattern: "GET /m/{merchant}/offers/{offer}/announce", needs: offers.Clerk, do: (*call).askAnnounce},
	{pattern: "POST /m/{merchant}/offers/{offer}/announce", needs: offers.Clerk, do: (*call).announce},
	{pattern: "GET /m/{merchant}/import", needs: offers.Clerk, do: (*call).showImport},
	{pattern: "POST /m/{merchant}/import", needs: offers.Clerk, do: (*call).importOffers},
}

// offersPage is how many offers one page lists.
const offersPage = 50

// A listed offer is one with how it stands.
type listed struct {
	offers.Offer
	State, Kind string // in words, and how good that is
	Variants    []variantStock
	Left, Taken int64
	Waiting     int64
	Unlimited   bool
}

// A variantStock is how a variant stands.
type variantStock struct {
	Name      string
	All       int
	Taken     int64 // held or sold
	Left      int64
	Waiting   int64
	Unlimited bool
}

// stand reads how an offer stands.
func (c *call) stand(o offers.Offer) (l listed, err error) {
	l.Offer = o
	l.State, l.Kind = stateOf(o, c.Now())
	taken, err := c.Shop.Stocked(c.r.Context(), o)
	if err != nil {
		return l, err
	}
	waiting, err := c.Shop.Waiting(c.r.Context(), o)
	if err != nil {
		return l, err
	}
	for _, name := range o.Variants() {
		v := variantStock{Name: name, All: o.Stock[name], Taken: taken[name], Waiting: waiting[name], Unlimited: o.Stock[name] == offers.Unlimited}
		v.Left = max(int64(v.All)-v.Taken, 0)
		l.Variants = append(l.Variants, v)
		l.Taken, l.Waiting, l.Unlimited = l.Taken+v.Taken, l.Waiting+v.Waiting, l.Unlimited || v.Unlimited
		l.Left += v.Left
	}
	if l.State == onSale && !l.Unlimited && l.Left == 0 {
		l.State, l.Kind = "sold out", "wait"
	}
	return l, nil
}

const onSale = "on sale"

func stateOf(o offers.Offer, now time.Time) (text, kind string) {
	switch o.Closed(now) {
	case offers.NotOpenYet:
		return "opens " + clock(o, o.Opens), "wait"
	case offers.OfferClosed:
		return "closed", "soft"
	}
	return onSale, "good"
}

// clock is a time by the clocks of an offer.
func clock(o offers.Offer, t time.Time) string { return o.InZone(t).Format("2 Jan 2006, 15:04 MST") }

// own are the merchant's offers that have a text in their hashtag or title: those on sale
// first, then those to come.
func (c *call) own(text string) (all []offers.Offer) {
	text = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(text)), "#")
	for _, o := range c.Shop.Offers() {
		if o.Merchant == c.merchant && (strings.Contains(o.ID, offers.TagKey(text)) || strings.Contains(strings.ToLower(o.Title), text)) {
			all = append(all, o)
		}
	}
	now := c.Now()
	rank := func(o offers.Offer) int {
		return slices.Index([]offers.Reason{"", offers.NotOpenYet, offers.OfferClosed}, o.Closed(now))
	}
	slices.SortStableFunc(all, func(a, b offers.Offer) int { return rank(a) - rank(b) })
	return all
}

func (c *call) listOffers() error {
	q := c.r.FormValue("q")
	all := c.own(q)
	n, _ := strconv.Atoi(c.r.FormValue("page")) // nonsense is the first page
	n = min(max(n, 0), max(len(all)-1, 0)/offersPage)
	v := struct {
		Offers     []listed
		Q          string
		All        int
		Prev, Next string
	}{Q: q, All: len(all)}
	for _, o := range all[n*offersPage : min((n+1)*offersPage, len(all))] {
		l, err := c.stand(o)
		if err != nil {
			return err
		}
		v.Offers = append(v.Offers, l)
	}
	turn := func(n int) string { return "?" + url.Values{"q": {q}, "page": {strconv.Itoa(n)}}.Encode() }
	if n > 0 {
		v.Prev = turn(n - 1)
	}
	if (n+1)*offersPage < len(all) {
		v.Next = turn(n + 1)
	}
	c.title = "Offers"
	return c.page("offers.html", v)
}

// CanAnnounce says that there is a way to announce offers.
func (c *call) CanAnnounce() bool { return c.Announce != nil }

// open is how many purchases of an offer have not ended: they keep what they were promised.
func (c *call) open(offer string) (int64, error) {
	funnel, err := c.Shop.Funnel(c.r.Context(), offer)
	if err != nil {
		return 0, err
	}
	n := funnel[offers.Wished] - funnel[offers.Stage(offers.Paid)]
	for stage, count := range funnel {
		if strings.Contains(string(stage), "/") { // refused, expired or cancelled
			n -= count
		}
	}
	return max(n, 0), nil
}

// changed makes what was changed be seen here and by the bot.
func (c *call) changed(ctx context.Context) error {
	_, err := c.Shop.Refresh(ctx)
	if err == nil && c.Followed != nil {
		c.Followed()
	}
	return err
}

// taken says why an offer cannot have a hashtag, "" if it can: it belongs to another one,
// maybe of somebody else. first: it is to be the first hashtag of a new offer.
func (c *call) taken(o offers.Offer, tag string, first bool) (string, error) {
	other, ok := c.Shop.OfferByTag(tag)
	switch {
	case ok && other.Merchant != c.merchant:
		return "#" + tag + " is taken.", nil
	case ok && (first || other.ID != o.ID):
		return "#" + tag + " is one of your offers already.", nil
	case ok || !first || c.Runs():
		return "", nil
	}
	// What was sold by a hashtag that is free again is its seller's to see. The figures of
	// the next offer would begin with it.
	funnel, err := c.Shop.Funnel(c.r.Context(), o.ID)
	if err != nil || len(funnel) == 0 {
		return "", err
	}
	deeds, err := c.Shop.Deeds(c.r.Context(), c.merchant, maxDeeds)
	if err != nil || slices.ContainsFunc(deeds, func(d offers.Deed) bool { return d.What == deedRemove && d.Of == o.ID }) {
		return "", err
	}
	return "#" + tag + " is taken.", nil
}

const (
	deedRemove = "remove offer"
	maxDeeds   = 1 << 20
)

// takenTags are the complaints about an offer's hashtags, by field.
func (c *call) takenTags(o offers.Offer, isNew bool) (faults, error) {
	f := faults{}
	why, err := c.taken(o, o.Tag, isNew)
	if err != nil {
		return nil, err
	}
	f.add("tag", why)
	for _, tag := range o.Tags {
		if why, err = c.taken(o, tag, false); err != nil {
			return nil, err
		}
		f.add("tags", why)
	}
	return f, nil
}

func (c *call) newOffer() error {
	f := blankOffer()
	for _, o := range c.own("") { // what a merchant's offers have in common is there already
		f.common(o)
		break
	}
	if f.In["seller"] == "" {
		f.In["seller"] = c.shop
	}
	c.title = "New offer"
	return c.page("offer.html", f)
}

func (c *call) addOffer() error {
	f, o := readOfferForm(c.r, offers.Offer{})
	f.New = true
	return c.putOffer(f, o, "add offer", func() error { return c.done(c.Base() + "/?done=added") })
}

func (c *call) showOffer() error {
	o, err := c.offer(c.r.PathValue("offer"))
	if err != nil {
		return err
	}
	f := formOf(o)
	if f.Open, err = c.open(o.ID); err != nil {
		return err
	}
	c.title = "#" + o.Tag
	return c.page("offer.html", f)
}

func (c *call) editOffer() error {
	before, err := c.offer(c.r.PathValue("offer"))
	if err != nil {
		return err
	}
	f, o := readOfferForm(c.r, before)
	if f.Open, err = c.open(before.ID); err != nil {
		return err
	}
	return c.putOffer(f, o, "edit offer", func() error { return c.done(c.Base() + "/?done=saved") })
}

// putOffer writes an offer as a form has it, or shows the form again with its faults.
func (c *call) putOffer(f offerForm, o offers.Offer, what string, done func() error) error {
	ctx := c.r.Context()
	o.Merchant = c.merchant
	f.validate(o)
	c.edits.Lock()
	defer c.edits.Unlock()
	if _, err := c.Shop.Refresh(ctx); err != nil {
		return err
	}
	taken, err := c.takenTags(o, f.New)
	if err != nil {
		return err
	}
	f.Faults.join(taken)
	code := http.StatusBadRequest
	var now offers.Offer
	if !f.New {
		if now, err = c.offer(f.ID); err != nil { // it may have gone meanwhile
			return err
		}
		if state := stateHash(now); f.Was != state {
			f.Was, code = state, http.StatusConflict
			f.Faults.add("", "Somebody has changed this offer since you opened it. Saving once more puts what stands here in the place of that.")
		}
	}
	if len(f.Faults) > 0 {
		c.title = "Offer"
		return c.pageWith(code, "offer.html", f)
	}
	if err := c.writes(what, o.ID, o.Price.String()); err != nil {
		return err
	}
	err = c.Shop.ReplaceOffer(ctx, now, o)
	if errors.Is(err, offers.ErrOfferChanged) { // at this moment, by another process
		f.Faults.add("", "Somebody has changed or added this offer at this very moment. Please look at it, and save again.")
		c.title = "Offer"
		return c.pageWith(http.StatusConflict, "offer.html", f)
	}
	if err != nil {
		return err
	}
	if err := c.changed(ctx); err != nil {
		return err
	}
	return done()
}

// Stock.

func (c *call) showStock() error {
	o, err := c.offer(c.r.PathValue("offer"))
	if err != nil {
		return err
	}
	l, err := c.stand(o)
	if err != nil {
		return err
	}
	c.title = "Stock of #" + o.Tag
	return c.page("stock.html", l)
}

// changeStock has a variant be more or fewer by some, or be so many in all.
func (c *call) changeStock() error {
	ctx := c.r.Context()
	c.edits.Lock()
	defer c.edits.Unlock()
	if _, err := c.Shop.Refresh(ctx); err != nil {
		return err
	}
	o, err := c.offer(c.r.PathValue("offer"))
	if err != nil {
		return err
	}
	variant := c.r.PostFormValue("variant")
	by, to := c.r.PostFormValue("by"), c.r.PostFormValue("to")
	// What two change at once adds up, in whichever processes they are.
	err = c.Shop.EditOffer(ctx, o.ID, func(o *offers.Offer) error {
		before, ok := o.Stock[variant]
		if !ok || o.Merchant != c.merchant {
			return &formError{"That variant is not there any more."}
		}
		after, err := newStock(before, by, to)
		if err != nil {
			return err
		}
		o.Stock[variant] = after
		if err := o.Validate(); err != nil {
			return &formError{err.Error()}
		}
		return c.writes("change stock", o.ID, strings.TrimSpace(fmt.Sprintf("%s %s → %s", variant, units(before), units(after))))
	})
	if err != nil {
		return err
	}
	if err := c.changed(ctx); err != nil {
		return err
	}
	return c.done(c.Base() + "/offers/" + url.PathEscape(o.ID) + "/stock?done=stock")
}

func newStock(before int, by, to string) (int, error) {
	if by == "" {
		n, ok := parseUnits(to)
		if !ok {
			return 0, &formError{"How many there are in all has to be a whole number, or “unlimited”."}
		}
		return n, nil
	}
	n, err := strconv.Atoi(by)
	if err != nil || n < -1000 || n > 1000 || before == offers.Unlimited {
		return 0, &formError{"That is no number of units."}
	}
	return min(max(before+n, 0), offers.Unlimited-1), nil
}

// Removal.

func (c *call) askRemove() error { return c.ask("remove.html", "Remove") }

// ask shows an offer with a question about it.
func (c *call) ask(page, title string) error {
	o, err := c.offer(c.r.PathValue("offer"))
	if err != nil {
		return err
	}
	l, err := c.stand(o)
	if err != nil {
		return err
	}
	v := struct {
		listed
		Open int64
	}{listed: l}
	if v.Open, err = c.open(o.ID); err != nil {
		return err
	}
	c.title = title + " #" + o.Tag
	return c.page(page, v)
}

func (c *call) removeOffer() error {
	ctx := c.r.Context()
	c.edits.Lock()
	defer c.edits.Unlock()
	o, err := c.offer(c.r.PathValue("offer"))
	if err != nil {
		return err
	}
	if err := c.writes(deedRemove, o.ID, ""); err != nil {
		return err
	}
	if err := c.Shop.RemoveOffer(ctx, o.ID); err != nil {
		return err
	}
	if err := c.changed(ctx); err != nil {
		return err
	}
	return c.done(c.Base() + "/?done=removed")
}

// Announcements.

func (c *call) askAnnounce() error { return c.ask("announce.html", "Announce") }

func (c *call) announce() error {
	o, err := c.offer(c.r.PathValue("offer"))
	if err != nil {
		return err
	}
	if c.Announce == nil {
		return &formError{"Nothing is announced from here."}
	}
	if err := c.writes("announce offer", o.ID, ""); err != nil {
		return err
	}
	err = c.Announce(c.r.Context(), o)
	var before *offers.AnnouncedError
	var no *offers.Refusal
	switch {
	case errors.As(err, &before):
		return &formError{"It was announced less than an hour ago."}
	case errors.As(err, &no):
		return &formError{"It is not announced: " + lostWords(offers.Stage("refused/"+string(no.Reason))) + "."}
	case err != nil:
		return err
	}
	return c.done(c.Base() + "/?done=announced")
}
