package confirm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// account is the buyer's own page.
func (c *Counter) account(w http.ResponseWriter, r *http.Request, m member) error {
	if !m.mayEdit() {
		http.Redirect(w, r, "/join", http.StatusSeeOther)
		return nil
	}
	v, err := c.accountView(r, m, "", nil)
	if err != nil {
		return err
	}
	if r.URL.RawQuery == cardIsSaved[1:] && len(m.buyer.Cards) > 0 {
		v.Kind, v.Title = "good", m.say.Say("account.saved.title", nil)
		v.Text = m.say.Say("account.saved.text", map[string]any{"Card": cardName(m.say, m.buyer.Cards[0])})
	}
	c.render(w, r, http.StatusOK, v)
	return nil
}

// edited answers an edit of the account: by its page, where a refusal is told with what
// was typed.
func (c *Counter) edited(w http.ResponseWriter, r *http.Request, m member, err error) error {
	var no *offers.Refusal
	switch {
	case errors.As(err, &no):
		return c.accountAgain(w, r, m, no.Reason)
	case err != nil:
		return err
	}
	http.Redirect(w, r, "/account", http.StatusSeeOther)
	return nil
}

func (c *Counter) accountAgain(w http.ResponseWriter, r *http.Request, m member, why offers.Reason) error {
	v, err := c.accountView(r, m, why, r.PostForm)
	if err != nil {
		return err
	}
	c.render(w, r, http.StatusUnprocessableEntity, v)
	return nil
}

// maxOrders bounds the purchases on the account's page.
const maxOrders = 20

// accountView is the buyer's own page. problem says what was wrong with what was typed.
func (c *Counter) accountView(r *http.Request, m member, problem offers.Reason, typed url.Values) (view, error) {
	say, b := m.say, m.buyer
	value := func(name, is string) string {
		if typed.Has(name) {
			return typed.Get(name)
		}
		return is
	}
	v := view{Lang: say.Lang, Title: say.Say("account.title", map[string]any{"Handle": b.Handle}), Text: say.Say("account.text", nil), Problem: c.problem(say, problem), Wrong: wrongFields[problem], Nav: c.nav(say)}

	if b.Barred() != "" {
		v.Kind = "bad"
		v.Sections = append(v.Sections, section{Title: say.Say("account.freeze.frozen", nil), Text: say.Say("account.freeze."+frozenBy(b), nil)})
		if b.FrozenBy != offers.ByShop {
			last := &v.Sections[len(v.Sections)-1]
			last.Forms = []form{{To: "/account/unfreeze", Button: say.Say("account.freeze.lift", nil)}}
		}
	}

	cards := section{Title: say.Say("account.cards.title", nil)}
	for i, card := range b.Cards {
		item := form{To: "/account/cards/remove", Legend: cardName(say, card), Hidden: hidden{"card", card.ID}, Button: say.Say("account.cards.remove", nil),
			Label: say.Say("account.cards.remove_label", map[string]any{"Card": cardName(say, card)}), Quiet: true, Narrow: true}
		if i == 0 {
			item.Hint = say.Say("account.cards.pays", nil)
			cards.Forms = append(cards.Forms, item)
			continue
		}
		prefer := form{To: "/account/cards/prefer", Legend: item.Legend, Hidden: item.Hidden, Button: say.Say("account.cards.prefer", nil),
			Label: say.Say("account.cards.prefer_label", map[string]any{"Card": cardName(say, card)}), Quiet: true, Narrow: true}
		item.Legend = ""
		cards.Forms = append(cards.Forms, prefer, item)
	}
	if len(b.Cards) == 0 {
		cards.Text = say.Say("account.cards.none", nil)
	}
	cards.Forms = append(cards.Forms, form{To: "/account/cards", Button: say.Say("account.cards.add", nil), Quiet: len(b.Cards) > 0})
	v.Sections = append(v.Sections, cards)

	v.Sections = append(v.Sections,
		section{Title: say.Say("account.email.title", nil), Text: say.Say("account.email.text", map[string]any{"Email": string(b.Email)}), Forms: []form{{
			To: "/account/email", Button: say.Say("account.email.button", nil), Quiet: true,
			Fields: []field{{Name: "email", Label: say.Say("account.email.field", nil), Type: "email", Auto: "email", Mode: "email", Value: value("email", ""), Max: 254, Required: true}},
		}}},
		section{Title: say.Say("account.address.title", nil), Forms: []form{{
			To: "/account/address", Button: say.Say("account.address.button", nil), Quiet: true,
			Fields: []field{{Name: "address", Label: say.Say("account.address.field", nil), Auto: "street-address", Value: value("address", b.Address), Max: offers.MaxAddress, Lines: 3},
				countryChoice(say, say.Say("account.address.country", nil), value(countryField, b.Country))},
		}}},
		section{Title: say.Say("account.limits.title", nil), Text: say.Say("account.limits.text", nil), Forms: []form{{
			To: "/account/limits", Button: say.Say("account.limits.button", nil), Quiet: true,
			Fields: []field{
				{Name: "purchase", Label: say.Say("account.limits.purchase", nil), Value: value("purchase", b.Limits.Purchase.String()), Max: 200, Hint: c.ceiling(say, c.Limits.Purchase)},
				{Name: "day", Label: say.Say("account.limits.day", nil), Value: value("day", b.Limits.Day.String()), Max: 200, Hint: c.ceiling(say, c.Limits.Day)},
				{Name: "month", Label: say.Say("account.limits.month", nil), Value: value("month", b.Limits.Month.String()), Max: 200, Hint: c.ceiling(say, c.Limits.Month)},
			},
		}}})

	hours, zone, _ := strings.Cut(b.Quiet.String(), " ")
	v.Sections = append(v.Sections, section{Title: say.Say("account.quiet.title", nil), Text: say.Say("account.quiet.text", nil), Forms: []form{{
		To: "/account/quiet", Button: say.Say("account.quiet.button", nil), Quiet: true,
		Fields: []field{
			{Name: "hours", Label: say.Say("account.quiet.hours", nil), Value: value("hours", hours), Max: 20, Hint: "22:00-07:00"},
			{Name: "zone", Label: say.Say("account.quiet.zone", nil), Value: value("zone", zone), Max: 60, Hint: "Europe/Paris, America/Montreal, …"},
		},
	}}})

	all, err := c.Shop.PurchasesOf(r.Context(), m.Account)
	if err != nil {
		return v, err
	}
	open, err := c.openSection(r.Context(), say, all)
	if err != nil {
		return v, err
	}
	for _, s := range []section{open, c.ordersSection(say, all)} {
		if len(s.Forms)+len(s.Links) > 0 {
			v.Sections = append(v.Sections, s)
		}
	}

	if b.Barred() == "" {
		v.Sections = append(v.Sections, section{Title: say.Say("account.freeze.title", nil), Text: say.Say("account.freeze.text", nil),
			Forms: []form{{To: "/account/freeze", Button: say.Say("account.freeze.button", nil), Quiet: true}}})
	}

	rest := section{Title: say.Say("account.rest.title", nil), Text: say.Say("account.rest.terms", map[string]any{"Version": b.Terms.Version, "At": b.Terms.At.UTC().Format("2006-01-02")})}
	if b.Terms == (offers.Consent{}) {
		rest.Text = ""
	}
	rest.Links = []line{{Label: say.Say("account.rest.data", nil), Value: "/account/data"}, {Label: say.Say("account.rest.leave", nil), Value: "/account/leave"}}
	if b.Terms.Version != c.Terms.Version {
		rest.Forms = append(rest.Forms, form{To: "/account/terms", Button: say.Say("account.rest.agree", map[string]any{"Version": c.Terms.Version}), Quiet: true})
		if c.Terms.URL != "" {
			rest.Links = append([]line{{Label: say.Say("join.email.terms", nil), Value: c.Terms.URL}}, rest.Links...)
		}
	}
	rest.Forms = append(rest.Forms,
		form{To: "/account/sign-out", Button: say.Say("account.rest.sign_out", nil), Quiet: true},
		form{To: "/account/sign-out-everywhere", Button: say.Say("account.rest.sign_out_everywhere", nil), Quiet: true})
	v.Sections = append(v.Sections, rest)
	return v, nil
}

func frozenBy(b offers.Buyer) string {
	if b.FrozenBy == offers.ByShop {
		return "by_shop"
	}
	return "by_buyer"
}

// ceiling tells the shop's own limit beside the buyer's.
func (c *Counter) ceiling(say words.Words, a offers.Amounts) string {
	if len(a) == 0 {
		return say.Say("account.limits.none", nil)
	}
	return say.Say("account.limits.most", map[string]any{"Most": a.String()})
}

// cardName is a card as its owner knows it again.
func cardName(say words.Words, card offers.Card) string {
	name := cardEnding(say, card)
	if card.Month > 0 {
		name += fmt.Sprintf(" (%02d/%04d)", card.Month, card.Year)
	}
	return name
}

// openSection has the latest of a buyer's purchases that are not confirmed, each with a
// button that ends it. What confirms one is in the mails alone.
func (c *Counter) openSection(ctx context.Context, say words.Words, all []offers.Purchase) (section, error) {
	s := section{Title: say.Say("account.open.title", nil)}
	for _, p := range all {
		if len(s.Forms) == maxOrders {
			break
		}
		args, stands, act := map[string]any{"Title": p.Title}, "", "cancel"
		switch p.State {
		case offers.Waiting:
			place, err := c.Shop.PlaceOf(ctx, p)
			if err != nil {
				return s, err
			}
			args["Place"] = max(place, 1)
			stands, act = "waiting", "leave"
		case offers.Asked, offers.Coded:
			stands = "code"
		case offers.Echoed, offers.Mailed, offers.Declined:
			stands = "link"
		default:
			continue
		}
		s.Forms = append(s.Forms, form{To: "/account/open/cancel", Hidden: hidden{"purchase", string(p.ID)},
			Legend: strings.TrimSpace(p.Title+" "+p.Variant) + " · " + p.Total.Format(say.Lang), Hint: say.Say("account.open."+stands, args),
			Button: say.Say("account.open."+act, nil), Label: say.Say("account.open."+act+"_label", args), Quiet: true, Narrow: true})
	}
	return s, nil
}

// cancelOpen ends a purchase of the buyer's that is not confirmed.
func (c *Counter) cancelOpen(w http.ResponseWriter, r *http.Request, m member) error {
	id, ok := offers.ParseID(r.PostFormValue("purchase"))
	if !ok {
		return &offers.Refusal{Reason: pageNotFound}
	}
	_, err := c.Shop.Cancel(r.Context(), id, m.Account, c.Now())
	if no := (*offers.Refusal)(nil); errors.Is(err, offers.ErrNotFound) || errors.As(err, &no) && no.Reason == offers.NotYourCode {
		return &offers.Refusal{Reason: pageNotFound}
	}
	return c.edited(w, r, m, err)
}

// ordersSection links the latest purchases that a page can be shown of.
func (c *Counter) ordersSection(say words.Words, all []offers.Purchase) section {
	s := section{Title: say.Say("account.orders.title", nil)}
	for _, p := range all {
		if p.PaidAt.IsZero() {
			continue
		}
		if len(s.Links) == maxOrders {
			break
		}
		s.Links = append(s.Links, line{Label: p.PaidAt.UTC().Format("2006-01-02") + " · " + p.Title + " · " + p.Total.Format(say.Lang),
			Value: strings.TrimPrefix(c.linkTo(p), c.PublicURL)})
	}
	return s
}

func (c *Counter) preferCard(w http.ResponseWriter, r *http.Request, m member) error {
	return c.edited(w, r, m, c.Shop.PreferCard(r.Context(), m.Account, r.PostFormValue("card"), c.Now()))
}

func (c *Counter) removeCard(w http.ResponseWriter, r *http.Request, m member) error {
	return c.edited(w, r, m, c.Shop.RemoveCard(r.Context(), m.Account, r.PostFormValue("card"), c.Now()))
}

// changeEmail mails a code to the new address; the old one stays until it comes back.
func (c *Counter) changeEmail(w http.ResponseWriter, r *http.Request, m member) error {
	email := offers.Email(strings.TrimSpace(r.PostFormValue("email")))
	err := c.mailProof(r, m, email, nil)
	if no := (*offers.Refusal)(nil); errors.As(err, &no) {
		return c.accountAgain(w, r, m, no.Reason)
	} else if err != nil {
		return err
	}
	http.Redirect(w, r, "/join", http.StatusSeeOther)
	return nil
}

func (c *Counter) changeAddress(w http.ResponseWriter, r *http.Request, m member) error {
	return c.edited(w, r, m, c.Shop.SetAddress(r.Context(), m.Account, lines(r.PostFormValue("address")), r.PostFormValue(countryField), c.Now()))
}

func (c *Counter) changeLimits(w http.ResponseWriter, r *http.Request, m member) error {
	var l offers.Limits
	var errs [3]error
	l.Purchase, errs[0] = offers.ParseAmounts(r.PostFormValue("purchase"))
	l.Day, errs[1] = offers.ParseAmounts(r.PostFormValue("day"))
	l.Month, errs[2] = offers.ParseAmounts(r.PostFormValue("month"))
	err := errors.Join(errs[:]...)
	if err == nil && raises(l, m.buyer.Limits) && m.buyer.AddressIsNew(c.Now()) {
		return c.edited(w, r, m, &offers.Refusal{Reason: offers.AddressNew})
	}
	if err == nil {
		err = c.Shop.SetLimits(r.Context(), m.Account, l, c.Now())
	} else {
		err = offers.ErrInvalid
	}
	if errors.Is(err, offers.ErrInvalid) {
		err = &offers.Refusal{Reason: offers.LimitsInvalid}
	}
	return c.edited(w, r, m, err)
}

// changeQuiet sets the hours in which nothing is sold to the buyer; none where the field
// is left empty.
func (c *Counter) changeQuiet(w http.ResponseWriter, r *http.Request, m member) error {
	var q offers.Quiet
	var err error
	if hours := strings.ReplaceAll(r.PostFormValue("hours"), " ", ""); hours != "" {
		q, err = offers.ParseQuiet(strings.ReplaceAll(hours, "–", "-"), strings.TrimSpace(r.PostFormValue("zone")))
	}
	if err == nil {
		err = c.Shop.SetQuiet(r.Context(), m.Account, q, c.Now())
	} else {
		err = &offers.Refusal{Reason: offers.QuietInvalid}
	}
	return c.edited(w, r, m, err)
}

// freeze stops everything by one click.
func (c *Counter) freeze(w http.ResponseWriter, r *http.Request, m member) error {
	if err := c.Shop.Freeze(r.Context(), m.Account, offers.ByBuyer, c.Now()); err != nil {
		return err
	}
	if m.mayEdit() {
		return c.edited(w, r, m, nil)
	}
	c.render(w, r, http.StatusOK, c.reasonView(m.say, offers.BuyerFrozen, nil))
	return nil
}

func (c *Counter) unfreeze(w http.ResponseWriter, r *http.Request, m member) error {
	if m.buyer.AddressIsNew(c.Now()) {
		return c.edited(w, r, m, &offers.Refusal{Reason: offers.AddressNew})
	}
	return c.edited(w, r, m, c.Shop.Unfreeze(r.Context(), m.Account, offers.ByBuyer, c.Now()))
}

// askLeave asks whether the buyer means it, and names what they have paid for and will
// not get: where it would be sent to is erased with the rest.
func (c *Counter) askLeave(w http.ResponseWriter, r *http.Request, m member) error {
	all, err := c.Shop.PurchasesOf(r.Context(), m.Account)
	if err != nil {
		return err
	}
	v := view{Lang: m.say.Lang, Title: m.say.Say("account.leave.title", nil), Text: m.say.Say("account.leave.text", nil),
		Buttons: []button{{To: "/account/leave", Label: m.say.Say("account.leave.button", nil)}},
		Away:    button{To: "/account", Label: m.say.Say("account.leave.stay", nil), Quiet: true}}
	for _, p := range all {
		if p.State == offers.Paid && !p.Digital && p.ShippedAt.IsZero() && c.Now().Sub(p.PaidAt) < unshippedTime {
			v.Rows = append(v.Rows, line{Label: p.PaidAt.UTC().Format(time.DateOnly), Value: p.Title + " · " + p.Total.Format(m.say.Lang)})
			v.Problem = m.say.Say("account.leave.unshipped", nil)
		}
	}
	c.render(w, r, http.StatusOK, v)
	return nil
}

// unshippedTime is how long something may take to be shipped. Not every shop tells us.
const unshippedTime = 60 * 24 * time.Hour

func (c *Counter) leave(w http.ResponseWriter, r *http.Request, m member) error {
	if err := c.Shop.Leave(r.Context(), m.Account, c.Now()); err != nil {
		return err
	}
	if err := c.Shop.EndSession(r.Context(), m.token); err != nil {
		return err
	}
	c.setCookie(w, c.sessionCookie(), "", -1)
	c.render(w, r, http.StatusOK, view{Lang: m.say.Lang, Kind: "good", Title: m.say.Say("account.left.title", nil), Text: m.say.Say("account.left.text", nil)})
	return nil
}

func (c *Counter) signOut(w http.ResponseWriter, r *http.Request) error {
	v, err := c.visitor(r)
	if err != nil {
		return err
	}
	if err := c.Shop.EndSession(r.Context(), v.token); err != nil {
		return err
	}
	c.setCookie(w, c.sessionCookie(), "", -1)
	http.Redirect(w, r, "/join", http.StatusSeeOther)
	return nil
}

func (c *Counter) signOutEverywhere(w http.ResponseWriter, r *http.Request, m member) error {
	if _, err := c.Shop.EndSessions(r.Context(), m.Account); err != nil {
		return err
	}
	return c.signOut(w, r)
}

// agree notes that the buyer has agreed to the terms as they are now.
func (c *Counter) agree(w http.ResponseWriter, r *http.Request, m member) error {
	return c.edited(w, r, m, c.Shop.Agree(r.Context(), m.Account, c.Terms.Version, c.Now()))
}

// data is all that is kept of the account, for its owner to take away.
func (c *Counter) data(w http.ResponseWriter, r *http.Request, m member) error {
	d, err := c.Shop.Dossier(r.Context(), m.Account)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="hashtill.json"`)
	_, err = w.Write(append(text, '\n'))
	if err != nil {
		c.Log.Debug("the reader is gone", "route", r.Pattern)
	}
	return nil
}
