package world

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"hashtill/confirm"
	"hashtill/offers"
)

// A stripe takes money, as docs.stripe.com/api/payment_intents and
// docs.stripe.com/api/idempotent_requests say: a key makes one payment, and one refund; a
// payment is taken once at most, and never when it was cancelled.
type stripe struct {
	*world
	payments []*payment
	byKey    map[string]*payment
	events   int
}

// A payment is a payment intent.
type payment struct {
	id       string
	purchase offers.ID
	total    offers.Money
	status   confirm.Status
	tried    map[string]bool // keys of confirmations
	tries    int
	reason   offers.Reason
	begun    time.Time
	takenAt  time.Time
	refunds  map[string]int64
	refunded int64
}

func newStripe(w *world) *stripe { return &stripe{world: w, byKey: map[string]*payment{}} }

// A till is Stripe as one life reaches it.
type till struct {
	*stripe
	l *life
}

// reach gives way, and may find nobody.
func (t till) reach(of string) error {
	if err := t.l.step(); err != nil {
		return err
	}
	switch {
	case t.chance("stripe lost before", of):
		return errLost
	case t.chance("stripe later", of):
		return &confirm.LaterError{At: t.l.clock().Add(between(t.kinds["stripe later"].dice, time.Second, 30*time.Second)), Why: "too many requests"}
	}
	return nil
}

// back is the way back of an answer.
func (t till) back(of string) error {
	if t.l.drawn("died after a deed") {
		t.l.die("died after a deed", of)
		return errDead
	}
	if t.chance("stripe answer lost", of) {
		return errLost
	}
	if t.pace.IntN(2) == 0 {
		return t.l.step()
	}
	return nil
}

// Prepare implements [confirm.Till].
func (t till) Prepare(_ context.Context, p confirm.Payment) (string, error) {
	of := "prepare " + string(p.Purchase)
	if err := t.reach(of); err != nil {
		return "", err
	}
	pay := t.byKey[p.Key]
	if pay == nil {
		if slices.ContainsFunc(t.payments, func(other *payment) bool { return other.purchase == p.Purchase }) {
			t.violated("a second payment is begun for %s", p.Purchase)
		}
		pay = &payment{
			id: fmt.Sprintf("pi_%d", len(t.payments)+1), purchase: p.Purchase, total: p.Total, status: confirm.Open,
			tried: map[string]bool{}, begun: t.now, refunds: map[string]int64{},
		}
		t.payments, t.byKey[p.Key] = append(t.payments, pay), pay
		t.notes("stripe: %s is %s of %s", pay.id, p.Total, p.Purchase)
		t.judgeTotal(pay)
	}
	return pay.id, t.back(of)
}

func (s *stripe) payment(id string) *payment {
	for _, p := range s.payments {
		if p.id == id {
			return p
		}
	}
	return nil
}

// Confirm implements [confirm.Till].
func (t till) Confirm(_ context.Context, intent, card, key, _ string) (confirm.Standing, error) {
	if err := t.reach("charge " + intent); err != nil {
		return confirm.Standing{}, err
	}
	p := t.payment(intent)
	if p == nil {
		t.violated("a charge of a payment that is not there: %s", intent)
		return confirm.Standing{}, errLost
	}
	if (p.status == confirm.Open || p.status == confirm.Failed) && !p.tried[key] {
		t.judgeTry(p)
		t.judgeHalt(t.l, p)
		p.tried[key] = true
		p.tries++
		t.try(p, card)
	}
	if err := t.back("charge " + intent); err != nil {
		return confirm.Standing{}, err
	}
	return p.standing(), nil
}

func (p *payment) standing() confirm.Standing {
	s := confirm.Standing{Status: p.status, Reason: p.reason}
	switch p.status {
	case confirm.AtBank:
		s.BankURL = "https://bank.example/" + p.id
	case atWork:
		s.Status = confirm.Open
	}
	return s
}

// atWork: the money is on its way, or not; nobody knows yet.
const atWork confirm.Status = "processing"

// try tries a card.
func (s *stripe) try(p *payment, card string) {
	dice := s.dice(fmt.Sprintf("card %s of %s, try %d", card, p.purchase, p.tries))
	switch {
	case s.fair("processing", dice, 8):
		p.status = atWork
		s.notes("stripe: %s is at work", p.id)
		s.after(between(dice, time.Second, 4*time.Minute), nil, func() { s.worked(p, dice) })
	case s.fair("bank asks", dice, 4):
		p.status = confirm.AtBank
		s.notes("stripe: the bank asks about %s", p.id)
		s.tells(p)
	default:
		s.decide(p, dice)
	}
}

// worked ends the processing of a payment.
func (s *stripe) worked(p *payment, dice *rand.Rand) {
	if p.status == atWork {
		s.decide(p, dice)
	}
}

func (s *stripe) decide(p *payment, dice *rand.Rand) {
	if s.fair("declined", dice, 4) {
		p.status, p.reason = confirm.Failed, offers.InsufficientFunds
		s.notes("stripe: %s is declined", p.id)
		s.tells(p)
		return
	}
	s.take(p)
}

// take takes the money: the deed that all this is about.
func (s *stripe) take(p *payment) {
	s.judgeCharge(p)
	p.status, p.takenAt, p.reason = confirm.Taken, s.now, ""
	s.counts["charges"]++
	s.notes("stripe: %s is taken", p.id)
	s.tells(p)
}

// Look implements [confirm.Till].
func (t till) Look(_ context.Context, intent string) (confirm.Standing, error) {
	if err := t.reach("look at " + intent); err != nil {
		return confirm.Standing{}, err
	}
	p := t.payment(intent)
	if p == nil {
		t.violated("a look at a payment that is not there: %s", intent)
		return confirm.Standing{}, errLost
	}
	now := p.standing()
	return now, t.back("look at " + intent)
}

// Void implements [confirm.Till].
func (t till) Void(_ context.Context, intent, _ string) (confirm.Standing, error) {
	if err := t.reach("void " + intent); err != nil {
		return confirm.Standing{}, err
	}
	p := t.payment(intent)
	switch {
	case p == nil:
		t.violated("a payment that is not there is voided: %s", intent)
		return confirm.Standing{}, errLost
	case p.status == atWork:
		return confirm.Standing{}, errLost
	case p.status != confirm.Taken && p.status != confirm.Voided:
		p.status = confirm.Voided
		t.notes("stripe: %s is voided", p.id)
		t.tells(p)
	}
	now := p.standing()
	return now, t.back("void " + intent)
}

// Refund implements [confirm.Till].
func (t till) Refund(_ context.Context, r confirm.Refund) error {
	of := "refund " + r.Key
	if err := t.reach(of); err != nil {
		return err
	}
	p := t.payment(r.Intent)
	if p == nil || p.status != confirm.Taken {
		t.violated("a refund of a payment that was not taken: %s", r.Intent)
		return errLost
	}
	if _, done := p.refunds[r.Key]; !done {
		if p.refunded+r.Amount.Minor > p.total.Minor {
			t.violated("%s: more is given back than was taken", p.purchase)
			return &confirm.RefusedError{Why: "more than is left"}
		}
		p.refunds[r.Key] = r.Amount.Minor
		p.refunded += r.Amount.Minor
		t.notes("stripe: %s of %s goes back", r.Amount, p.id)
	}
	return t.back(of)
}

// tells has Stripe tell us that a payment stands otherwise.
func (s *stripe) tells(p *payment) {
	s.events++
	h := offers.Hint{Event: fmt.Sprintf("evt_%d", s.events), Type: "payment_intent." + string(p.status), Object: p.id,
		Topic: offers.Payment, Intent: p.id, Purchase: p.purchase}
	if s.chance("webhook never", h.Event) {
		return
	}
	in := between(s.pace, 100*time.Millisecond, 2*time.Second)
	if s.may("webhooks disordered") && s.kinds["webhooks disordered"].dice.IntN(3) == 0 {
		s.happens("webhooks disordered", h.Event)
		in += between(s.kinds["webhooks disordered"].dice, time.Second, time.Minute)
	}
	if s.chance("webhook late", h.Event) {
		in = between(s.kinds["webhook late"].dice, 2*time.Minute, 40*time.Minute)
	}
	s.after(in, nil, func() { s.tell(h) })
	if s.chance("webhook twice", h.Event) {
		s.after(in+between(s.kinds["webhook twice"].dice, 0, 10*time.Minute), nil, func() { s.tell(h) })
	}
}

// tell tells it until somebody has taken it.
func (s *stripe) tell(h offers.Hint) {
	l := s.anyone(s.pace)
	if l == nil {
		s.after(30*time.Second, nil, func() { s.tell(h) })
		return
	}
	s.after(0, l, func() {
		if err := l.shop.Hear(s.ctx, h, l.clock()); err != nil && !l.dead {
			s.after(30*time.Second, nil, func() { s.tell(h) })
		}
	})
}

// Payments implements [confirm.Ledger].
func (s *stripe) Payments(_ context.Context, from, to time.Time, see func(confirm.Entry) error) error {
	for i := len(s.payments) - 1; i >= 0; i-- {
		p := s.payments[i]
		if p.begun.Before(from) || !p.begun.Before(to) {
			continue
		}
		err := see(confirm.Entry{Intent: p.id, Purchase: p.purchase, Status: p.standing().Status, Total: p.total,
			Refunded: offers.Money{Minor: p.refunded, Currency: p.total.Currency}, Begun: p.begun})
		if err != nil {
			return err
		}
	}
	return nil
}
