package api

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"hashtill/offers"
)

// Money is an amount in the minor unit of its currency.
type Money struct {
	Minor    int64  `json:"minor"`
	Currency string `json:"currency"`
}

func money(m offers.Money) Money { return Money{m.Minor, m.Currency} }

// An Order is a purchase that was paid, as machines read it.
type Order struct {
	ID          string     `json:"id"`
	State       string     `json:"state"` // paid or refunded
	Offer       string     `json:"offer"`
	Title       string     `json:"title"`
	Variant     string     `json:"variant,omitempty"`
	Quantity    int        `json:"quantity"`
	Total       Money      `json:"total"`
	Delivery    *Money     `json:"delivery,omitempty"` // part of the total
	Tax         *Money     `json:"tax,omitempty"`      // part of the total
	Network     string     `json:"network"`
	Account     string     `json:"account"` // the buyer's number there
	Handle      string     `json:"handle"`  // at the time of the wish
	Address     string     `json:"address,omitempty"`
	Country     string     `json:"country,omitempty"`
	PaidAt      time.Time  `json:"paid_at"`
	ShippedAt   *time.Time `json:"shipped_at,omitempty"`
	Tracking    string     `json:"tracking,omitempty"`
	WithdrawnAt *time.Time `json:"withdrawn_at,omitempty"`
	Refunded    *Money     `json:"refunded,omitempty"` // so far
	Disputed    bool       `json:"disputed,omitempty"`
}

// order is a purchase as machines read it. b is its buyer, where it is to be sent.
func order(p offers.Purchase, b offers.Buyer) Order {
	o := Order{
		ID: string(p.ID), State: string(p.State), Offer: p.Offer, Title: p.Title, Variant: p.Variant, Quantity: p.Quantity,
		Total: money(p.Total), Network: p.Buyer.Network, Account: p.Buyer.ID, Handle: p.Handle,
		PaidAt: p.PaidAt.UTC(), ShippedAt: at(p.ShippedAt), Tracking: p.Tracking, WithdrawnAt: at(p.WithdrawnAt), Disputed: p.Disputed(),
	}
	if !p.Digital {
		o.Address, o.Country = b.Address, b.Country
	}
	part := func(m offers.Money) *Money {
		if m.Minor == 0 {
			return nil
		}
		amount := money(m)
		return &amount
	}
	made, _ := p.PaidBack()
	o.Delivery, o.Tax, o.Refunded = part(p.Delivery), part(p.Tax.Included(p.Total)), part(made)
	return o
}

func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// own are the merchant's offers.
func (c *call) own() (all []offers.Offer) {
	for _, o := range c.Shop.Offers() {
		if o.Merchant == c.merchant.ID {
			all = append(all, o)
		}
	}
	return all
}

// sold are the ids of the merchant's offers: those of the catalogue, and those that were
// removed from it and had sold. only, unless it is "", is the one that is meant.
func (c *call) sold(only string) (ids []string, err error) {
	ctx := c.r.Context()
	if only == "" {
		for _, o := range c.own() {
			ids = append(ids, o.ID)
		}
		gone, err := c.Shop.SoldBefore(ctx, c.merchant.ID)
		return append(ids, gone...), err
	}
	seller, err := "", error(nil)
	if o, ok := c.Shop.OfferByTag(only); ok && o.ID == only {
		seller = o.Merchant
	} else if seller, err = c.Shop.MerchantOf(ctx, only); errors.Is(err, offers.ErrNotFound) {
		return nil, nil
	}
	if err != nil || seller != c.merchant.ID {
		return nil, err
	}
	return []string{only}, nil
}

// orders are the merchant's, the newest first, from a cursor on.
func (c *call) orders() (any, error) {
	q := c.r.URL.Query()
	most := pageSize
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return nil, bad("limit: between 1 and %d", maxPage)
		}
		most = n
	}
	var since time.Time
	if text := q.Get("since"); text != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, bad("since: a time such as 2026-11-21T20:00:00Z")
		}
	}
	sold, err := c.sold(offers.TagKey(q.Get("offer")))
	if err != nil {
		return nil, err
	}
	var all []offers.Order
	for _, id := range sold {
		orders, err := c.Shop.Orders(c.r.Context(), id)
		if err != nil {
			return nil, err
		}
		all = append(all, orders...)
	}
	slices.SortFunc(all, func(a, b offers.Order) int { return cmp.Or(b.PaidAt.Compare(a.PaidAt), cmp.Compare(b.ID, a.ID)) })
	if cursor := q.Get("cursor"); cursor != "" { // the last one of the page before
		when, id, ok := strings.Cut(cursor, "~")
		last, err := time.Parse(time.RFC3339, when)
		if !ok || err != nil {
			return nil, bad("cursor: what the page before has said in next")
		}
		all = slices.DeleteFunc(all, func(o offers.Order) bool {
			return o.PaidAt.After(last) || o.PaidAt.Equal(last) && string(o.ID) >= id
		})
	}
	page := struct {
		Orders []Order `json:"orders"`
		Next   string  `json:"next,omitempty"`
	}{Orders: []Order{}}
	for i, o := range all {
		if o.PaidAt.Before(since) {
			break
		}
		if len(page.Orders) == most {
			page.Next = all[i-1].PaidAt.UTC().Format(time.RFC3339) + "~" + string(all[i-1].ID)
			break
		}
		p, err := c.Shop.Purchase(c.r.Context(), o.ID)
		if errors.Is(err, offers.ErrNotFound) {
			continue // it has left this moment
		}
		if err != nil {
			return nil, err
		}
		if p.Merchant != c.merchant.ID {
			continue // of an offer that was another's then
		}
		b, err := c.Shop.Buyer(c.r.Context(), p.Buyer)
		if err != nil {
			return nil, err
		}
		page.Orders = append(page.Orders, order(p, b))
	}
	return page, nil
}

// find is the order that the path names, if it is the merchant's.
func (c *call) find() (offers.Purchase, error) {
	id, ok := offers.ParseID(c.r.PathValue("id"))
	if !ok {
		return offers.Purchase{}, errNotThere
	}
	p, err := c.Shop.Purchase(c.r.Context(), id)
	if err == nil && (p.Merchant != c.merchant.ID || p.PaidAt.IsZero()) {
		err = errNotThere
	}
	return p, err
}

func (c *call) shown(p offers.Purchase) (any, error) {
	b, err := c.Shop.Buyer(c.r.Context(), p.Buyer)
	return order(p, b), err
}

func (c *call) order() (any, error) {
	p, err := c.find()
	if err != nil {
		return nil, err
	}
	return c.shown(p)
}

func (c *call) ship() (any, error) {
	var body struct {
		Tracking string `json:"tracking"`
	}
	if err := c.read(&body); err != nil {
		return nil, err
	}
	p, err := c.find()
	if err != nil {
		return nil, err
	}
	if err := c.writes("ship", string(p.ID), ""); err != nil {
		return nil, err
	}
	if p, err = c.Shop.Ship(c.r.Context(), p.ID, body.Tracking, c.Now()); err != nil {
		return nil, err
	}
	return c.shown(p)
}

func (c *call) note() (any, error) {
	var body struct {
		Text string `json:"text"`
	}
	if err := c.read(&body); err != nil {
		return nil, err
	}
	if body.Text == "" {
		return nil, bad("text: is needed")
	}
	p, err := c.find()
	if err != nil {
		return nil, err
	}
	if p, err = c.Shop.Note(c.r.Context(), p.ID, "token "+c.token.Name, body.Text, c.Now()); err != nil {
		return nil, err
	}
	return c.shown(p)
}
