package confirm_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
	"hashtill/store"
)

// An act is something that may happen, as often as its weight says.
type act struct {
	weight int
	do     func(*history)
}

var acts = []act{
	{10, (*history).hears}, {25, (*history).echoes}, {45, (*history).presses}, {25, (*history).answersBank},
	{130, (*history).works}, {10, (*history).worksLate}, {35, (*history).passes},
	{35, (*history).storms}, {12, (*history).clears}, {6, (*history).willDie}, {4, (*history).fails},
	{15, (*history).tells}, {5, (*history).delivers}, {3, (*history).holdsCharges},
	{1, (*history).cancels}, {1, (*history).freezes}, {6, (*history).unfreezes},
	{12, (*history).refunds}, {2, (*history).withdraws}, {4, (*history).ships}, {3, (*history).chargesByHand}, {5, (*history).reconciles},
}

// asides are what may happen in the middle of a request to Stripe.
var asides = []act{
	{4, (*history).presses}, {4, (*history).answersBank}, {6, (*history).works}, {3, (*history).worksLate}, {3, (*history).passesALittle},
	{4, (*history).tells}, {2, (*history).cancels}, {1, (*history).freezes}, {3, (*history).refunds}, {1, (*history).withdraws},
}

func (h *history) draw(from []act) {
	all := 0
	for _, a := range from {
		all += a.weight
	}
	n := h.dice.IntN(all)
	for _, a := range from {
		if n -= a.weight; n < 0 {
			a.do(h)
			return
		}
	}
}

// play lets things happen.
func (h *history) play() {
	for range 80 + h.dice.IntN(240) {
		h.dead = false
		h.draw(acts)
	}
}

// meanwhile lets something else happen at the same time, in other processes.
func (h *history) meanwhile() {
	if h.healed || h.depth > 0 || !h.chance(10) {
		return
	}
	h.depth++
	deed, outside, pressing, dead := h.deed, h.outside, h.pressing, h.dead
	h.count["meanwhile"]++
	for range 1 + h.dice.IntN(8) {
		h.dead = false
		h.draw(asides)
	}
	h.deed, h.outside, h.pressing, h.dead = deed, outside, pressing, dead
	h.depth--
}

// one is a purchase that is there: mostly one in these states, so that something comes of
// what is about to happen.
func (h *history) one(states ...offers.State) (*want, offers.Purchase) {
	from := slices.DeleteFunc(slices.Clone(h.wants), func(w *want) bool { return !slices.Contains(states, w.seen.State) })
	if len(from) == 0 || h.chance(6) {
		from = h.wants
	}
	w := pick(h, from)
	p, err := h.shop.Purchase(context.Background(), w.id)
	if err != nil {
		return nil, p
	}
	return w, p
}

// hears: a post arrives, perhaps once more.
func (h *history) hears() {
	w := pick(h, h.wants)
	if i := slices.IndexFunc(h.wants, func(w *want) bool { return w.seen.State == offers.New }); i >= 0 && !h.chance(6) {
		w = h.wants[i]
	}
	_, err := h.shop.Wish(context.Background(), w.wish, h.now)
	h.notes("%s is heard: %v", w.name, err)
}

func (h *history) echoes() {
	w, p := h.one(offers.Coded)
	if w == nil || !w.coded || p.Code == "" {
		return
	}
	by, post := w.who.account, strconv.Itoa(1000+h.dice.IntN(1_000_000))
	if h.chance(8) {
		by = offers.Account{Network: "x", ID: "666"}
		if other := pick(h, h.people); other != w.who {
			by = other.account
		}
		h.count["echo by another"]++
	} else {
		w.echoes = append(w.echoes, post)
	}
	_, err := h.shop.Echo(context.Background(), p.Code, by, post, h.now)
	h.notes("%s is echoed by %s: %v", w.name, by.ID, err)
}

// presses: somebody who has the link presses its button, once or twice.
func (h *history) presses() {
	w, p := h.one(offers.Mailed, offers.Declined)
	if w == nil || !w.mailed {
		return
	}
	round, card := p.Round, ""
	switch {
	case h.chance(10):
		round--
	case h.chance(3):
		card = pick(h, w.who.cards)
		h.count["another card"]++
	case h.chance(12):
		card = pick(h, pick(h, h.people).cards)
	}
	may := round == p.Round && (card == "" || slices.Contains(w.who.cards, card))
	switch p.State {
	case offers.Mailed, offers.Declined:
		if !h.now.Before(p.MailedAt.Add(p.Times.Link)) {
			may = false
			h.count["press too late"]++
		}
	case offers.Echoed:
		may = may && h.now.Before(p.EchoedAt.Add(p.Times.Answer))
	default:
		may = false
	}
	for range 1 + h.dice.IntN(2) {
		if may {
			h.pressing = w
			w.presses++
		}
		if p.State == offers.Confirmed || p.State == offers.Challenged || p.State == offers.Paid {
			h.count["press again"]++
		}
		var err error
		p, err = h.shop.Press(context.Background(), w.id, round, card, h.now)
		h.notes("%s is pressed, round %d, card %d, may %t: %v", w.name, round, slices.Index(w.who.cards, card), may, err)
		h.pressing = nil
	}
}

// answersBank: the buyer answers the bank, at once or long afterwards, or has us look.
func (h *history) answersBank() {
	w, _ := h.one(offers.Challenged)
	if w == nil || len(w.banks) == 0 {
		return
	}
	if h.chance(4) {
		_, err := h.shop.BackFromBank(context.Background(), w.id, h.now)
		h.notes("%s is back from the bank: %v", w.name, err)
		return
	}
	answer := "complete"
	if h.chance(3) {
		answer = "fail"
	}
	w.answered = true
	h.happens("bank "+answer, w.name)
	h.form(pick(h, w.banks), url.Values{"answer": {answer}})
}

// works: a process performs some of what is due, in any order, and may be gone before it
// has done all.
func (h *history) works() {
	leases, err := h.st.Lease(context.Background(), h.now, h.now.Add(time.Minute), 100)
	if err != nil {
		h.violated("%v", err)
		return
	}
	slices.SortFunc(leases, h.byName)
	h.dice.Shuffle(len(leases), func(i, j int) { leases[i], leases[j] = leases[j], leases[i] })
	for i, l := range leases {
		if h.dead || !h.healed && h.chance(12) {
			h.count["lease abandoned"] += len(leases) - i
			h.late = append(h.late, leases[i:]...)
			return
		}
		h.performs(l)
	}
}

// worksLate: somebody goes on with what was leased to them long ago.
func (h *history) worksLate() {
	if len(h.late) == 0 {
		return
	}
	i := h.dice.IntN(len(h.late))
	l := h.late[i]
	h.late = slices.Delete(h.late, i, i+1)
	h.count["worked late"]++
	h.performs(l)
}

func (h *history) performs(l store.Lease) {
	before := h.outside
	h.outside = false
	h.notes("performs %s, try %d", h.unnamed(l.ID), l.Try)
	if err := h.shop.Perform(context.Background(), l); err != nil {
		h.notes("%s is still owed: %s", h.unnamed(l.ID), h.unnamed(err.Error()))
		if !h.healed && h.chance(3) {
			h.late = append(h.late, l)
		}
	}
	h.outside = before
}

// pass: no less than Retry-After, so that nobody waits for the budget by a real clock.
func (h *history) pass(d time.Duration) { h.now = h.now.Add(d) }

func (h *history) passes() {
	d := pick(h, []time.Duration{2 * time.Second, 5 * time.Second, 20 * time.Second, 61 * time.Second})
	if h.chance(24) {
		d = pick(h, []time.Duration{5 * time.Minute, 16 * time.Minute, 16 * time.Minute, 70 * time.Minute, 26 * time.Hour, 4 * 24 * time.Hour})
	}
	h.passesBy(d)
}

func (h *history) passesBy(d time.Duration) {
	h.notes("%s pass", d)
	h.pass(d)
	if d >= 24*time.Hour {
		h.happens("keys pruned", "")
		h.stripe.PruneKeys()
	}
}

// fails: what is due is begun and comes to nothing, and nobody is there again before the
// next day.
func (h *history) fails() {
	if !h.chance(8) && !slices.ContainsFunc(h.wants, func(w *want) bool { return w.seen.State == offers.Paid }) {
		return
	}
	f := stripetest.Fault{Method: http.MethodPost, When: stripetest.After, Drop: true}
	if h.chance(2) {
		f.Path = "/v1/refunds"
		h.refunds()
	}
	h.stripe.Fail(f)
	h.works()
	h.passesBy(26 * time.Hour)
}

func (h *history) passesALittle() {
	h.pass(pick(h, []time.Duration{2 * time.Second, 15 * time.Second, 70 * time.Second, 20 * time.Minute}))
}

// storms: something at Stripe, or on the way there, is about to fail.
func (h *history) storms() {
	f := stripetest.Fault{Method: http.MethodPost, Path: pick(h, deeds), Times: 1 + h.dice.IntN(3)}
	switch {
	case h.chance(4):
		f.Method, f.Path = http.MethodGet, ""
	case h.chance(2):
		f.Path = "/v1/payment_intents/*/confirm"
	}
	if h.chance(2) {
		f.When = stripetest.After
	}
	switch h.dice.IntN(6) {
	case 0, 1:
		f.Drop = true
	case 2:
		f.Status = http.StatusInternalServerError
	case 3:
		f.Status, f.When = http.StatusConflict, stripetest.Before
	case 4:
		f.Status, f.When, f.Code = http.StatusTooManyRequests, stripetest.Before, pick(h, []string{"rate_limit", "lock_timeout"})
	case 5:
		f.Status = http.StatusServiceUnavailable
	}
	h.notes("arranged: %+v", f)
	h.stripe.Fail(f)
}

func (h *history) clears() { h.stripe.ClearFaults() }

func (h *history) willDie() { h.dies, h.deaf = 1+h.dice.IntN(6), h.chance(2) }

// delivers changes how Stripe tells what happens from now on.
func (h *history) delivers() {
	d := stripetest.Delivery{Hold: true, Twice: h.chance(2), Reverse: h.chance(2), Drop: h.chance(3)}
	h.dropping = d.Drop
	h.stripe.SetDelivery(d)
}

// tells has Stripe post all that waits; what we do not take waits on.
func (h *history) tells() { _ = h.flush() }

func (h *history) flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	h.depth++ // in there nothing else happens
	defer func() { h.depth-- }()
	return h.stripe.Flush(ctx)
}

func (h *history) holdsCharges() {
	on := h.chance(2)
	if on {
		h.happens("processing", "")
	}
	h.stripe.HoldCharges(on)
}

func (h *history) cancels() {
	w, p := h.one(offers.Confirmed, offers.Challenged)
	if w == nil {
		return
	}
	by := w.who.account
	if h.chance(5) {
		by = offers.Account{Network: "x", ID: "666"}
	}
	after, err := h.shop.Cancel(context.Background(), w.id, by, h.now)
	h.happens("cancel", w.name)
	if by != w.who.account && (err == nil || after.Moves != p.Moves) {
		h.violated("%s was cancelled by somebody else: %v", w.name, err)
	}
}

func (h *history) freezes() {
	who := pick(h, h.people)
	h.happens("freeze", who.account.ID)
	h.notes("%v", h.shop.Freeze(context.Background(), who.account, offers.ByShop, h.now))
}

func (h *history) unfreezes() {
	who := pick(h, h.people)
	h.notes("unfreeze %s: %v", who.account.ID, h.shop.Unfreeze(context.Background(), who.account, offers.ByShop, h.now))
}

// refunds: the operator gives all or a part back, or asks for too much.
func (h *history) refunds() {
	w, p := h.one(offers.Paid)
	if w == nil || p.PaidAt.IsZero() {
		return
	}
	left, amount := p.Left().Minor, offers.Money{}
	kind := "refund of all"
	switch {
	case h.chance(6):
		kind, amount = "refund of too much", offers.Money{Minor: left + 10, Currency: w.total.Currency}
	case left > 10 && !h.chance(3):
		kind, amount = "refund of a part", offers.Money{Minor: (1 + h.dice.Int64N(left/10)) * 10, Currency: w.total.Currency}
	}
	_, err := h.shop.RefundPurchase(context.Background(), w.id, amount, "", h.now)
	h.happens(kind, w.name)
	h.notes("%v: %v", amount, err)
	if err == nil && kind == "refund of too much" {
		h.violated("%s: more can be given back than is left", w.name)
	}
}

func (h *history) withdraws() {
	if w, p := h.one(offers.Paid); w != nil && p.State == offers.Paid {
		_, err := h.shop.Withdraw(context.Background(), w.id, w.who.account, h.now)
		h.happens("withdrawal", w.name)
		h.notes("%v", err)
	}
}

func (h *history) ships() {
	if w, p := h.one(offers.Paid); w != nil && p.State == offers.Paid {
		_, err := h.shop.Ship(context.Background(), w.id, "", h.now)
		h.notes("%s is shipped: %v", w.name, err)
	}
}

// chargesByHand: somebody charges a purchase a second time in the dashboard.
func (h *history) chargesByHand() {
	w, p := h.one(offers.Mailed, offers.Confirmed, offers.Paid)
	if w == nil || p.Intent == "" || w.byHand > 1 {
		return
	}
	card, err := h.stripe.AddCard(w.who.customer, visa)
	if err != nil {
		h.violated("%v", err)
		return
	}
	w.byHand++
	status := h.form(h.stripe.URL()+"/v1/payment_intents", url.Values{"amount": {strconv.FormatInt(w.total.Minor, 10)}, "currency": {strings.ToLower(w.total.Currency)},
		"customer": {w.who.customer}, "payment_method": {card}, "payment_method_types[]": {"card"}, "confirm": {"true"}, "metadata[purchase]": {string(w.id)}})
	if status == http.StatusOK {
		h.happens("charge by hand", w.name)
	}
}

// reconciles holds the books to the store. Nothing is too busy meanwhile: it would wait
// by a real clock.
func (h *history) reconciles() {
	h.stripe.ClearFaults()
	h.pass(2 * time.Second)
	if h.chance(2) {
		h.stripe.Fail(stripetest.Fault{Times: 1 + h.dice.IntN(2), Drop: true, When: stripetest.When(h.dice.IntN(2)), Path: pick(h, append([]string{""}, deeds...))})
	}
	h.happens("reconcile", "")
	for _, d := range h.books() {
		h.notes("%s: %s: %s", d.Kind, plain(d.Says), plain(d.Done))
	}
}

// books reconciles once. What fails is found at the next time.
func (h *history) books() (all []confirm.Difference) {
	r := &confirm.Reconciler{Shop: h.shop, Ledger: h.till, Till: h.till, Settle: confirm.DefaultSettle, Now: func() time.Time { return h.now }}
	_, err := r.Reconcile(context.Background(), h.now.AddDate(0, -6, 0), h.now.Add(time.Second), func(d confirm.Difference) error {
		all = append(all, d)
		return nil
	})
	if h.healed && err != nil {
		h.violated("reconcile: %v", err)
	}
	if later := (*confirm.LaterError)(nil); errors.As(err, &later) {
		h.count["books later"]++
	}
	return all
}
