package world

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"hashtill/offers"
	"hashtill/store"
)

// What is held of sales: what a wish was promised, whose turn it is, what a halt stops,
// and the figures.

// judgePromise: what is promised by a wish follows from the offer as it was then, and
// stays.
func (w *world) judgePromise(v *want, before, p offers.Purchase) {
	if w.fell {
		return
	}
	if before.State != p.State {
		if before.State == offers.New {
			v.ware.moves[offers.Wished]++
			w.judgeWish(v, p)
			v.total = p.Total
		}
		if far := came(p); far == 0 {
			v.ware.moves[stage(before, p)]++
		} else {
			for ; v.came < far; v.came++ {
				v.ware.moves[offers.Stage(funnel[v.came])]++
			}
			if p.State != funnel[far-1] {
				v.ware.moves[stage(before, p)]++
			}
		}
	}
	if p.Total != v.total || before.State != offers.New && (p.Terms != before.Terms || p.Hold != before.Hold || p.Delivery != before.Delivery) {
		w.violated("%s was promised %s by %q, and is %s by %q", v.name, v.total, before.Terms, p.Total, p.Terms)
	}
	w.judgeHeld(v, before, p)
}

// funnel is the way to the payment. Who is further has come past what is before.
var funnel = []offers.State{offers.Coded, offers.Echoed, offers.Mailed, offers.Confirmed, offers.Paid}

// came is how far on it a state is, 0 for none.
func came(p offers.Purchase) int {
	switch p.State {
	case offers.Coded:
		return 1
	case offers.Echoed:
		return 2
	case offers.Waiting:
		if p.Echo != "" {
			return 2
		}
	case offers.Mailed:
		return 3
	case offers.Confirmed, offers.Challenged, offers.Declined:
		return 4
	case offers.Paid, offers.Refunded:
		return 5
	}
	return 0
}

// stage is what a move counts as.
func stage(before, p offers.Purchase) offers.Stage {
	switch p.State {
	case offers.Refused:
		return offers.Stage("refused/" + string(p.Reason))
	case offers.Expired, offers.Cancelled:
		return offers.Stage(string(p.State) + "/" + string(before.State))
	}
	return offers.Stage(p.State)
}

// judgeWish holds a new purchase to what was wished for.
func (w *world) judgeWish(v *want, p offers.Purchase) {
	o, ok := v.ware.versions[p.Terms]
	country := ""
	if p.Registered {
		country = v.who.country
	}
	elsewhere := p.Registered && len(o.Countries) > 0 && !slices.Contains(o.Countries, country)
	early := p.AskedAt.Before(o.Opens)
	late := !o.Closes.IsZero() && !p.AskedAt.Before(o.Closes)
	sold := p.State != offers.Refused
	switch total, delivery := promised(o, p.Quantity, v.named, country); {
	case !ok:
		w.violated("%s was promised by an offer that never was: %q", v.name, p.Terms)
	case p.Quantity != v.count && p.Quantity != 1+v.count%2:
		w.violated("%s is for %d units, and %d were wished for", v.name, p.Quantity, v.count)
	case sold && (p.Variant != v.variant || v.unclear):
		w.violated("%s is for %q, and %q was wished for, unclear: %t", v.name, p.Variant, v.variant, v.unclear)
	case p.Total != total || p.Delivery != delivery:
		w.violated("%s is promised for %s with %s for the delivery, and the offer says %s with %s", v.name, p.Total, p.Delivery, total, delivery)
	case p.Hold != o.Hold || p.Waitlist != o.Waitlist || p.Title != o.Title:
		w.violated("%s is not promised by the offer as it was", v.name)
	case sold && (early || late):
		w.violated("%s is wished for when the offer is closed", v.name)
	case sold && elsewhere:
		w.violated("%s is sold to %q", v.name, country)
	case sold && p.Held > 0 && o.Terms != v.ware.now.Terms:
		w.violated("%s is promised units of an offer that has changed", v.name)
	}
	switch p.Reason {
	case offers.NotOpenYet:
		w.happens("not open yet", v.name)
	case offers.NotSoldThere, offers.CountryNeeded:
		w.happens("not sold there", v.name)
	}
}

// promised is what an offer asks of somebody for some units. It is reckoned here once
// more, as a person would.
func promised(o offers.Offer, units int, named, country string) (total, delivery offers.Money) {
	price := o.Price
	for _, code := range []string{moneyOf[country], named} { // what is named counts more
		for _, m := range append([]offers.Money{o.Price}, o.Prices...) {
			if m.Currency == code {
				price = m
			}
		}
	}
	total = offers.Money{Minor: price.Minor * int64(units), Currency: price.Currency}
	for _, m := range o.Delivery {
		if m.Currency == price.Currency && !o.Digital && m.Minor > 0 {
			delivery = m
			total.Minor += m.Minor
		}
	}
	if o.TaxAdded {
		step := int64(1)
		if total.Currency == "KWD" {
			step = 10
		}
		hundred := 100_000 * step
		total.Minor += (total.Minor*int64(o.Tax) + hundred/2) / hundred * step
	}
	return total, delivery
}

// judgeHeld: units are held from the moment on that the offer says, and all or none.
func (w *world) judgeHeld(v *want, before, p offers.Purchase) {
	hold := p.Hold
	if !p.TurnAt.IsZero() || hold == "" {
		hold = offers.HoldAtWish // who has waited has them from their turn on
	}
	held := p.Held > 0
	if held && p.Held != p.Quantity {
		w.violated("%s holds %d of %d units", v.name, p.Held, p.Quantity)
	}
	should := held
	switch p.State {
	case offers.Waiting, offers.Invited:
		should = false
	case offers.Asked, offers.Coded:
		should = hold == offers.HoldAtWish
	case offers.Echoed, offers.Mailed:
		should = hold != offers.HoldAtClick
	case offers.Confirmed, offers.Challenged, offers.Declined:
		should = true
	}
	if held != should {
		w.violated("%s is %s, to be held at the %s, and holds %d units", v.name, p.State, hold, p.Held)
	}
	if held && before.Held == 0 && before.State != offers.Waiting {
		switch p.State {
		case offers.Echoed:
			w.happens("held at the echo", v.name)
		case offers.Confirmed:
			w.happens("held at the click", v.name)
		}
	}
}

// judgeTotal: what is asked of Stripe is what was promised.
func (w *world) judgeTotal(p *payment) {
	if v := w.byID[p.purchase]; v != nil && !w.fell && p.total != v.total {
		w.violated("%s was promised for %s, and %s is asked for", v.name, v.total, p.total)
	}
}

// judgeCountry: nothing is sold to where it is not sold, whenever its buyer has registered.
func (w *world) judgeCountry(v *want) {
	if o := v.ware.versions[v.last.Terms]; !w.fell && len(o.Countries) > 0 && !slices.Contains(o.Countries, v.who.country) {
		w.violated("%s is charged, and is not sold to %q", v.name, v.who.country)
	}
}

// others are those who wait for the same as v.
func (w *world) others(v *want) (all []*want) {
	for _, o := range w.wants {
		if o != v && o.ware == v.ware && o.last.State == offers.Waiting && o.last.Variant == v.last.Variant {
			all = append(all, o)
		}
	}
	return all
}

// judgeLine: of those who wait nobody overtakes who came first, but for who wants less;
// and nobody else overtakes them.
func (w *world) judgeLine(v *want, before, p offers.Purchase) {
	joins := p.State == offers.Waiting && before.State != offers.Waiting
	leaves := before.State == offers.Waiting && p.State != offers.Waiting
	takes := p.Held > before.Held
	free := v.ware.now.Stock[p.Variant] - int(w.stock["taken/"+p.Offer+"/"+p.Variant])
	switch {
	case joins:
		w.joins++
		v.joined, v.joinedAt = w.joins, w.now
		w.happens("joined a line", v.name)
		if free >= p.Quantity {
			w.happens("wish behind a line", v.name)
		}
		if p.Echo != "" {
			w.happens("waits after the echo", v.name)
		}
	case leaves && p.State == offers.Expired:
		v.over = true
		w.happens("wait over", v.name)
	case leaves && takes:
		w.happens("turn", v.name)
		for _, o := range w.others(v) {
			if o.joined > v.joined || !o.last.LineSince.Before(before.LineSince) || w.fell {
				continue
			}
			if w.happensFor(o, v); o.last.Quantity <= p.Quantity {
				w.violated("%s has its turn, and %s has waited for it for longer", v.name, o.name)
			}
		}
	case takes && p.Waitlist && !w.fell:
		heard := w.heard[p.Wish]
		switch {
		case before.State == offers.New:
		case p.State == offers.Echoed:
			heard = w.heard[p.Echo]
		default:
			return // who presses the button first has it
		}
		for _, o := range w.others(v) {
			if o.joinedAt.Before(heard) {
				w.violated("%s overtakes %s, which has waited since %s", v.name, o.name, o.joinedAt.Format("15:04:05.000"))
			}
		}
	}
}

// happensFor counts that v is served before o, which wants more.
func (w *world) happensFor(o, v *want) {
	if o.last.Quantity > v.last.Quantity {
		w.happens("served for less", v.name)
	}
}

// judgeStock: never more is held or sold than there was at any time, and nothing is taken
// that is not there now.
func (w *world) judgeStock(a store.Add) {
	rest, ok := strings.CutPrefix(a.Key, "taken/")
	if !ok {
		return
	}
	id, variant, _ := strings.Cut(rest, "/")
	for _, ware := range w.wares {
		if ware.offer.ID != id {
			continue
		}
		n := w.stock[a.Key]
		if n < 0 || n > int64(ware.most[variant]) {
			w.violated("%d of %s %q are out, of %d", n, id, variant, ware.most[variant])
		}
		if a.By > 0 && n > int64(ware.now.Stock[variant]) && !w.fell {
			w.violated("%d of %s %q are out, and there are %d", n, id, variant, ware.now.Stock[variant])
		}
		waits := func(v *want) bool {
			return v.ware == ware && v.last.State == offers.Waiting && v.last.Variant == variant
		}
		if a.By < 0 && slices.ContainsFunc(w.wants, waits) {
			w.happens("unit came back", id)
		}
	}
}

// judgeFree: where something is free that somebody waits for, it is owed that the line is
// served.
func (w *world) judgeFree(c store.Change) {
	line := len(c.Add) > 0 || len(c.Put) > 0 && strings.HasPrefix(c.Put[0].Key, "offer/")
	for _, e := range c.Owe {
		var body struct{ Offer string }
		if e.Kind == serveLine && json.Unmarshal(e.Body, &body) == nil {
			w.serves[e.ID] = body.Offer
		}
	}
	for _, e := range c.Settle {
		if _, ok := w.serves[e.ID]; ok {
			line = true
			delete(w.serves, e.ID)
		}
	}
	if !line || w.fell {
		return
	}
	for _, v := range w.wants {
		if v.last.State != offers.Waiting || v.last.ID.Shard() != c.Shard {
			continue
		}
		free := v.ware.now.Stock[v.last.Variant] - int(w.stock["taken/"+v.last.Offer+"/"+v.last.Variant])
		if free >= v.last.Quantity && !slices.Contains(slices.Collect(maps.Values(w.serves)), v.last.Offer) {
			w.violated("%d of %s %q are free, and %s waits for %d of them: nobody gives it to them", free, v.last.Offer, v.last.Variant, v.name, v.last.Quantity)
		}
	}
}

const serveLine = "serve-line"

// full sees a commit that found no unit for who was next.
func (w *world) full(c store.Change, err error) {
	var guard *store.GuardError
	if !errors.As(err, &guard) || guard.Err != store.ErrBound || !strings.HasPrefix(guard.Key, "taken/") {
		return
	}
	id, _ := strings.CutPrefix(c.Put[0].Key, "purchase/")
	if v := w.byID[offers.ID(id)]; v != nil && v.last.State == offers.Waiting {
		w.happens("turn refused", v.name)
	}
}

// judgeWaited: who has waited was told what became of it.
func (w *world) judgeWaited(v *want, p offers.Purchase) {
	if v.joined > 0 && !v.told(w) {
		w.violated("%s has waited, and nobody has told its author", v.name)
	}
	told := slices.ContainsFunc(w.post.sent, func(a *mail) bool {
		return a.id == string(offers.MailReason)+"/"+string(v.id)+"/"+string(offers.WaitOver)
	})
	if v.over && !told && !v.bounced && !w.fell {
		w.violated("%s has waited for nothing, and its author was not told", v.name)
	}
	if len(p.Notes) < v.noted && !w.fell {
		w.violated("%s has %d notes, and %d were written", v.name, len(p.Notes), v.noted)
	}
}

// perform does what is owed, and remembers when a charge has begun.
func (l *life) perform(ctx context.Context, lease store.Lease) error {
	if lease.Kind == string(offers.Charge) {
		c := &charging{offers.ID(strings.Split(lease.ID, "/")[1]), l.seq}
		l.charges = append(l.charges, c)
		defer func() { l.charges = slices.DeleteFunc(l.charges, func(o *charging) bool { return o == c }) }()
	}
	return l.shop.Perform(ctx, lease)
}

// judgeHalt: no charge begins while the shop is halted.
func (w *world) judgeHalt(l *life, p *payment) {
	began := slices.ContainsFunc(l.charges, func(c *charging) bool { return c.purchase == p.purchase && c.since <= w.halt.since })
	if w.halt.holds && !began && !w.fell {
		w.violated("%s is charged, and the shop is halted", p.purchase)
	}
}

// judgeFigures holds what merchants look at to what has happened.
func (w *world) judgeFigures(shop *offers.Shop, a *ware) {
	funnel, err := shop.Funnel(w.ctx, a.offer.ID)
	if err != nil || !maps.Equal(funnel, a.moves) {
		w.violated("the funnel of %s is %v, and was %v: %v", a.offer.ID, funnel, a.moves, err)
	}
	earned, err := shop.Earned(w.ctx, a.offer.ID)
	if err != nil {
		w.violated("%v", err)
	}
	money := map[string]int64{}
	for _, e := range earned {
		money[e.Money.Currency] -= e.Money.Minor
	}
	var paid, orders []offers.ID
	for _, v := range w.wants {
		if v.ware != a {
			continue
		}
		if p, err := shop.Purchase(w.ctx, v.id); err == nil && !p.PaidAt.IsZero() {
			paid = append(paid, v.id)
		}
		for _, p := range w.stripe.payments {
			if p.purchase == v.id && p.takenAt.After(epoch) {
				money[p.total.Currency] += p.total.Minor - p.refunded
			}
		}
	}
	for code, off := range money {
		if off != 0 {
			w.violated("%s has earned %d %s more than it says", a.offer.ID, off, code)
		}
	}
	all, err := shop.Orders(w.ctx, a.offer.ID)
	if err != nil {
		w.violated("%v", err)
	}
	for _, o := range all {
		orders = append(orders, o.ID)
	}
	slices.Sort(paid)
	if slices.Sort(orders); !slices.Equal(paid, orders) {
		w.violated("the orders of %s are %v, and %v are paid", a.offer.ID, orders, paid)
	}
}
