package world

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"hashtill/offers"
)

// What the merchants do: offers of every kind, their edits during the sale, and the
// operator's halt.

// A ware is an offer, as it was at each moment.
type ware struct {
	offer    offers.Offer            // as it is meant to be
	edits    int                     // of it
	now      offers.Offer            // as it was committed last
	versions map[string]offers.Offer // as it was ever committed, by its terms
	most     map[string]int          // the most units that there ever were
	moves    map[offers.Stage]int64  // of its purchases
}

var (
	countries = []string{"", "FR", "US", "JP"}
	zones     = []string{"", "Europe/Paris", "Asia/Tokyo", "America/New_York"}
)

// moneyOf is what people of a country pay with.
var moneyOf = map[string]string{"FR": "EUR", "US": "USD", "JP": "JPY"}

func (w *world) makeWares(dice *rand.Rand) error {
	setup, err := w.fine()
	if err != nil {
		return err
	}
	prices := []offers.Money{{Minor: 14999, Currency: "USD"}, {Minor: 4500, Currency: "EUR"}, {Minor: 1500, Currency: "JPY"}, {Minor: 12340, Currency: "KWD"}}
	var all []offers.Offer
	for i := range 1 + dice.IntN(3) {
		tag := fmt.Sprint("BuyThing", i)
		o := offers.Offer{ID: offers.TagKey(tag), Tag: tag, Title: fmt.Sprint("Thing ", i), Seller: "Example", Price: pick(dice, prices),
			Stock: map[string]int{"": 3 + dice.IntN(40)}, PerBuyer: 1 + dice.IntN(12), WithdrawalDays: 14, Digital: dice.IntN(3) == 0,
			Zone: pick(dice, zones), Terms: version(0)}
		if dice.IntN(3) == 0 {
			o.Stock = map[string]int{"M": 2 + dice.IntN(20), "L": 1 + dice.IntN(20)}
			if w.fair("alias", dice, 2) {
				o.Aliases = map[string][]string{"M": {"mittel", "médium"}, "L": {"groß", "extra grand"}}
			}
		}
		if w.fair("waiting list", dice, 2) {
			o.Waitlist = true
			for _, v := range o.Variants() {
				o.Stock[v] = 1 + dice.IntN(3)
			}
		}
		if w.fair("late hold", dice, 2) {
			o.Hold = pick(dice, offers.Holds[1:])
		}
		if w.fair("window", dice, 4) {
			o.Opens = epoch.Add(between(dice, 0, 4*time.Minute))
			o.Closes = o.Opens.Add(between(dice, 3*time.Minute, 40*time.Minute))
		}
		if w.fair("countries", dice, 4) {
			o.Countries = []string{pick(dice, countries[1:3]), "JP"}
		}
		if w.fair("other currencies", dice, 2) {
			o.Prices = slices.DeleteFunc(slices.Clone(prices), func(m offers.Money) bool { return m.Currency == o.Price.Currency || dice.IntN(3) == 0 })
		}
		if w.fair("delivery and tax", dice, 3) {
			o.Tax, o.TaxAdded = offers.Percent(1000*(1+dice.IntN(25))), dice.IntN(3) > 0
			for _, m := range append([]offers.Money{o.Price}, o.Prices...) {
				o.Delivery = append(o.Delivery, offers.Money{Minor: 10 * dice.Int64N(60), Currency: m.Currency})
			}
		}
		if dice.IntN(3) == 0 {
			o.Tags = []string{fmt.Sprint("Écharpe", i), fmt.Sprint("Ｓcarf", i)}
		}
		sold := &ware{offer: o, versions: map[string]offers.Offer{}, most: map[string]int{}, moves: map[offers.Stage]int64{}}
		sold.committed(o)
		w.wares, all = append(w.wares, sold), append(all, o)
	}
	return setup.Import(w.ctx, all, true)
}

// version is what the terms of an offer say, so that a purchase tells by which of its
// versions it was promised.
func version(n int) string { return fmt.Sprintf("These are terms %d.", n) }

func (a *ware) committed(o offers.Offer) {
	a.now, a.versions[o.Terms] = o, o
	for _, v := range o.Variants() {
		a.most[v] = max(a.most[v], o.Stock[v])
	}
}

// offered sees an offer that was committed.
func (w *world) offered(value []byte) {
	var o offers.Offer
	if err := json.Unmarshal(value, &o); err != nil {
		w.violated("an offer that cannot be read: %v", err)
		return
	}
	for _, a := range w.wares {
		if a.offer.ID == o.ID {
			a.committed(o)
		}
	}
}

// spelled is how a wish writes what it wants.
func (w *world) spelled(v *want) (tag, variant string) {
	o := v.ware.offer
	tag, variant = o.Tag, v.variant
	if len(o.Tags) > 0 && v.dice.IntN(2) == 0 {
		w.happens("other hashtag", v.name)
		tag = strings.ToLower(pick(v.dice, o.Tags))
	}
	switch {
	case v.unclear:
		variant = "please"
	case len(o.Aliases[variant]) > 0 && v.dice.IntN(2) == 0:
		variant = strings.ToUpper(pick(v.dice, o.Aliases[variant]))
	case v.dice.IntN(3) == 0:
		variant = strings.ToLower(variant)
	}
	return tag, variant
}

// brewEdits arranges what the merchants change during the sale.
func (w *world) brewEdits(at func(kind string, do func(dice *rand.Rand, l *life))) {
	edit := func(kind string, change func(dice *rand.Rand, o *offers.Offer)) {
		at(kind, func(dice *rand.Rand, l *life) {
			if !w.drawn(kind) {
				return
			}
			ware := pick(dice, w.wares)
			o := ware.offer
			o.Stock, o.Prices, o.Delivery = maps.Clone(o.Stock), slices.Clone(o.Prices), slices.Clone(o.Delivery)
			change(dice, &o)
			if !o.Closes.IsZero() && !o.Opens.Before(o.Closes) {
				o.Opens = time.Time{}
			}
			ware.edits++
			o.Terms = version(ware.edits)
			w.happens(kind, o.Tag)
			w.after(0, l, func() {
				if l.shop.PutOffer(w.ctx, o) == nil {
					ware.offer = o
				}
			})
			w.spread(dice)
		})
	}
	edit("offer edited", func(dice *rand.Rand, o *offers.Offer) {
		o.Title += "!"
		o.Price.Minor += 10 * dice.Int64N(100)
		for i := range o.Prices {
			o.Prices[i].Minor += 10 * dice.Int64N(100)
		}
		for i := range o.Delivery {
			o.Delivery[i].Minor += 10 * dice.Int64N(100)
		}
		if o.Tax > 0 {
			o.Tax += 500
		}
		o.Stock[pick(dice, o.Variants())] += dice.IntN(4)
	})
	edit("stock cut", func(dice *rand.Rand, o *offers.Offer) { o.Stock[pick(dice, o.Variants())] = dice.IntN(2) })
	edit("stock raised", func(dice *rand.Rand, o *offers.Offer) { o.Stock[pick(dice, o.Variants())] += 1 + dice.IntN(3) })
	edit("offer closed", func(_ *rand.Rand, o *offers.Offer) { o.Closes = w.now })
	edit("closes earlier", func(dice *rand.Rand, o *offers.Offer) { o.Closes = w.now.Add(between(dice, 0, 10*time.Minute)) })
	edit("offer reopened", func(_ *rand.Rand, o *offers.Offer) { o.Closes = time.Time{} })
	edit("hold changed", func(dice *rand.Rand, o *offers.Offer) { o.Hold = pick(dice, offers.Holds) })
	edit("waiting list switched", func(_ *rand.Rand, o *offers.Offer) { o.Waitlist = !o.Waitlist })
}

// spread has each process see what was changed, each in its time.
func (w *world) spread(dice *rand.Rand) {
	for _, p := range w.procs {
		w.after(between(dice, 0, 30*time.Second), nil, func() {
			if p.life != nil && !p.life.dead {
				w.after(0, p.life, func() { p.life.refresh() })
			}
		})
	}
}

// halting is what the operator's halt has come to.
type halting struct {
	holds bool   // Halt has returned, and Resume was not called yet
	since uint64 // what happened before it returned
}

// charging is a charge that has begun.
type charging struct {
	purchase offers.ID
	since    uint64
}

// brewHalt arranges that the operator halts the shop.
func (w *world) brewHalt() {
	if !w.may("halted") {
		return
	}
	dice := w.kinds["halted"].dice
	if dice.IntN(w.kinds["halted"].often) > 0 {
		return
	}
	w.after(between(dice, time.Minute, 25*time.Minute), nil, func() { w.halted(dice) })
}

// halted has the operator halt the shop, again and again until it is, and lift the halt
// some minutes later.
func (w *world) halted(dice *rand.Rand) {
	w.on(dice, func(l *life) {
		w.mayDie(l)
		err := l.shop.Halt(w.ctx, offers.Halt{At: l.clock(), By: "operator"})
		switch {
		case w.healed:
			w.resumes(dice)
			return
		case err != nil:
			w.notes("the shop is not halted: %v", err)
			w.after(2*time.Second, nil, func() { w.halted(dice) })
			return
		}
		w.happens("halted", l.name)
		w.halt = halting{true, w.seq}
		w.spread(dice)
		w.after(between(dice, 10*time.Second, 5*time.Minute), nil, func() { w.resumes(dice) })
	})
}

// resumes has the operator lift the halt, until it is.
func (w *world) resumes(dice *rand.Rand) {
	w.on(dice, func(l *life) {
		w.halt = halting{}
		w.mayDie(l)
		if err := l.shop.Resume(w.ctx); err != nil {
			w.after(2*time.Second, nil, func() { w.resumes(dice) })
			return
		}
		w.notes("the halt is lifted")
		w.spread(dice)
	})
}

// mayDie has the process of the operator die while they halt the shop or lift that.
func (w *world) mayDie(l *life) {
	if !w.drawn("died during a halt") {
		return
	}
	w.after(between(w.kinds["died during a halt"].dice, 0, 400*time.Millisecond), nil, func() {
		if !l.dead && !w.healed {
			l.die("died during a halt", "")
		}
	})
}
