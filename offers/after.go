package offers

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bojanz/currency"
)

// What comes after the payment: refunds in parts, shipping, withdrawal from the
// contract, and disputes.

// Bounds of what is said after the payment.
const (
	MaxTracking = 120 // runes of what a parcel is followed by
	MaxWhy      = 200 // runes of why money is given back

	// maxRefunds bounds the refunds of one purchase; one of all that is left comes on top.
	maxRefunds = 20
)

// A Refund is money of a purchase that goes back to its buyer.
type Refund struct {
	N       int       `json:"n"` // from 1
	Amount  Money     `json:"amount"`
	Why     string    `json:"why,omitempty"` // for the operator
	AskedAt time.Time `json:"asked_at"`
	MadeAt  time.Time `json:"made_at,omitzero"` // zero: it is still owed
}

// Refund is the refund of a number.
func (p Purchase) Refund(n int) (Refund, bool) {
	i := slices.IndexFunc(p.Refunds, func(r Refund) bool { return r.N == n })
	if i < 0 {
		return Refund{}, false
	}
	return p.Refunds[i], true
}

// PaidBack is what has gone back to the buyer, and what is still owed besides.
func (p Purchase) PaidBack() (made, owed Money) {
	made, owed = Money{Currency: p.Total.Currency}, Money{Currency: p.Total.Currency}
	for _, r := range p.Refunds {
		if r.MadeAt.IsZero() {
			owed.Minor = add(owed.Minor, r.Amount.Minor)
		} else {
			made.Minor = add(made.Minor, r.Amount.Minor)
		}
	}
	return made, owed
}

// Left is what of the total can still be given back. What is decided does not count
// any more, made or not: so all refunds together never come to more than the total.
func (p Purchase) Left() Money {
	made, owed := p.PaidBack()
	return Money{Minor: p.Total.Minor - add(made.Minor, owed.Minor), Currency: p.Total.Currency}
}

// add adds what is not negative, and stops at the largest number: a record that was
// tampered with leaves nothing to give back.
func add(a, b int64) int64 {
	b = max(b, 0)
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// refundable says whether an amount can be given back now: one that is left, and that
// the till can pay.
func (p Purchase) refundable(m Money) bool {
	return m.Currency == p.Total.Currency && m.Minor > 0 && m.Minor <= p.Left().Minor && m.inSteps()
}

// inSteps says that cards can be charged, and paid back, such an amount: of currencies
// with three decimals the last one has to be 0 (https://docs.stripe.com/currencies#three-decimal).
func (m Money) inSteps() bool {
	digits, ok := currency.GetDigits(m.Currency)
	return !ok || digits != 3 || m.Minor%10 == 0
}

// miscounted says what is wrong with the refunds, or "".
func (p Purchase) miscounted() string {
	made, owed := p.PaidBack()
	for i, r := range p.Refunds {
		if r.N != i+1 || r.Amount.Minor <= 0 || r.Amount.Currency != p.Total.Currency {
			return fmt.Sprintf("its refund %d is of %s", r.N, r.Amount)
		}
	}
	switch {
	case p.Left().Minor < 0:
		return fmt.Sprintf("%s are given back or owed of %s", Money{add(made.Minor, owed.Minor), p.Total.Currency}, p.Total)
	case len(p.Refunds) > 0 && p.PaidAt.IsZero():
		return "it was never paid, and is paid back"
	case p.State == Refunded && made != p.Total:
		return fmt.Sprintf("%s are given back of %s", made, p.Total)
	case p.State == Paid && len(p.Refunds) > 0 && made == p.Total:
		return "all of it is given back"
	}
	return ""
}

// WithdrawalEnds is the first moment at which the buyer can no longer withdraw; zero
// where that is not known yet, because what was bought is not shipped, and where it was
// excluded from the beginning.
//
// Days are whole: the day on which they begin does not count, and the last is over when
// it is over everywhere. One that ends at a weekend goes on until Monday is over
// (Regulation (EEC, Euratom) No 1182/71, Article 3). Public holidays differ from place
// to place: a seller who wants to heed them gives more days. The law counts from the
// delivery, which we do not know of: the days that it takes are to be given too.
func (p Purchase) WithdrawalEnds() time.Time {
	from := p.ShippedAt
	if p.Digital {
		from = p.PaidAt
	}
	if p.WithdrawalDays <= 0 || from.IsZero() {
		return time.Time{}
	}
	from = from.UTC()
	last := time.Date(from.Year(), from.Month(), from.Day()+p.WithdrawalDays, 0, 0, 0, 0, time.UTC)
	for last.Weekday() == time.Saturday || last.Weekday() == time.Sunday {
		last = last.AddDate(0, 0, 1)
	}
	return last.AddDate(0, 0, 1).Add(westmost)
}

// LastWithdrawal is the last day on which the buyer can withdraw, at midnight UTC; zero
// as WithdrawalEnds is.
func (p Purchase) LastWithdrawal() time.Time {
	ends := p.WithdrawalEnds()
	if ends.IsZero() {
		return ends
	}
	return ends.Add(-westmost).AddDate(0, 0, -1)
}

// Withdrawable says why the buyer cannot withdraw from the purchase at now, or "".
func (p Purchase) Withdrawable(now time.Time) Reason {
	ends := p.WithdrawalEnds()
	switch {
	case p.State == Refunded:
		return WasRefunded
	case p.State != Paid:
		return NotPaid
	case p.Left().Minor <= 0:
		return WasRefunded
	case p.WithdrawalDays <= 0:
		return NoWithdrawal
	case !ends.IsZero() && !now.Before(ends):
		return WithdrawalOver
	}
	return ""
}

// Returning says that the buyer has withdrawn from what was shipped, and that no refund
// was decided since: it is the seller's turn.
func (p Purchase) Returning() bool {
	return !p.WithdrawnAt.IsZero() && p.State == Paid && p.Left().Minor > 0 &&
		!slices.ContainsFunc(p.Refunds, func(r Refund) bool { return !r.AskedAt.Before(p.WithdrawnAt) })
}

// ToShip says that it is the shop's turn to send what was bought. Of what was withdrawn
// before it was shipped, nothing is left.
func (p Purchase) ToShip() bool {
	return p.State == Paid && !p.Digital && p.ShippedAt.IsZero() && p.Left().Minor > 0
}

// Disputed says that a bank disputes the payment, as far as Stripe has told, and that
// it has not told the end of it.
func (p Purchase) Disputed() bool {
	open := map[string]bool{}
	for _, n := range p.Notices {
		switch {
		case n.Type == "charge.dispute.closed":
			delete(open, n.Object)
			delete(open, "")
		case strings.HasPrefix(n.Type, "charge.dispute."):
			open[n.Object] = true
		case n.Type == "reconcile.dispute": // seen there; which one is not known
			open[""] = true
		}
	}
	return len(open) > 0
}

// RefundPurchase decides that an amount of a paid purchase is paid back; the zero Money
// is all that is left. A *[Refusal] says that so much is not left, or nothing.
func (s *Shop) RefundPurchase(ctx context.Context, id ID, amount Money, why string, now time.Time) (Purchase, error) {
	if err := spoken("why", why, MaxWhy); err != nil {
		return Purchase{}, err
	}
	return s.move(ctx, id, Event{Kind: RefundAsked, Amount: amount, Text: why}, nil, now)
}

// RefundNext is RefundPurchase of refund n, counted from 1: where a refund of that number
// was decided before, it changes nothing. So a form that is sent twice refunds once.
func (s *Shop) RefundNext(ctx context.Context, id ID, n int, amount Money, why string, now time.Time) (Purchase, error) {
	if err := spoken("why", why, MaxWhy); err != nil {
		return Purchase{}, err
	}
	return s.move(ctx, id, Event{Kind: RefundAsked, N: n, Amount: amount, Text: why}, nil, now)
}

// Ship notes that what was bought is on its way, and owes the buyer a mail about it.
// tracking, which may be empty, is what it can be followed by.
func (s *Shop) Ship(ctx context.Context, id ID, tracking string, now time.Time) (Purchase, error) {
	if err := spoken("tracking", tracking, MaxTracking); err != nil {
		return Purchase{}, err
	}
	return s.move(ctx, id, Event{Kind: Shipped, Text: tracking}, nil, now)
}

// Withdraw takes the buyer's withdrawal from the contract (Directive 2011/83/EU,
// Article 11a, as of Directive (EU) 2023/2673).
func (s *Shop) Withdraw(ctx context.Context, id ID, by Account, now time.Time) (Purchase, error) {
	return s.move(ctx, id, Event{Kind: Withdrawn, By: by}, nil, now)
}

// spoken says whether a text of the operator's can be kept and shown.
func spoken(what, text string, most int) error {
	switch {
	case utf8.RuneCountInString(text) > most:
		return fmt.Errorf("%w: %s: longer than %d characters", ErrInvalid, what, most)
	case !utf8.ValidString(text) || strings.TrimSpace(text) != text || strings.ContainsFunc(text, unreadable):
		return fmt.Errorf("%w: %s: has control characters, or spaces around it", ErrInvalid, what)
	}
	return nil
}

// tellOperator logs what the operator has to know of, and no move of the state says.
func (s *Shop) tellOperator(ctx context.Context, before, after Purchase) {
	say := func(level slog.Level, what string, more ...slog.Attr) {
		s.Log.LogAttrs(ctx, level, what, append([]slog.Attr{slog.String("purchase", string(after.ID)), slog.String("offer", after.Offer)}, more...)...)
	}
	if before.WithdrawnAt.IsZero() && !after.WithdrawnAt.IsZero() {
		next := "it is being refunded: do not ship it"
		if after.Returning() {
			next = "refund it: hashtill purchase refund"
		}
		say(slog.LevelWarn, "the buyer has withdrawn", slog.String("next", next))
	}
	if before.ShippedAt.IsZero() && !after.ShippedAt.IsZero() {
		say(slog.LevelInfo, "shipped")
	}
	if n := len(after.Refunds); n > len(before.Refunds) {
		say(slog.LevelInfo, "refund owed", slog.Int("n", n), slog.String("amount", after.Refunds[n-1].Amount.String()))
	}
}

// The steps.

var (
	decidedBefore = &guard{"that was decided before", func(s *step) bool { return s.ev.N > 0 && s.ev.N <= len(s.p.Refunds) }}
	nothingLeft   = &guard{"nothing is left of it", func(s *step) bool { return s.p.Left().Minor <= 0 }}
	notLeft       = &guard{"more than is left", func(s *step) bool { return s.ev.Amount != (Money{}) && !s.p.refundable(s.ev.Amount) }}
	manyRefunds   = &guard{"in too many parts", func(s *step) bool { return s.ev.Amount != (Money{}) && len(s.p.Refunds) >= maxRefunds }}
	allBack       = &guard{"all of it", func(s *step) bool { return s.completes() }}
	digital       = &guard{"nothing is shipped of it", func(s *step) bool { return s.p.Digital }}
	wasShipped    = &guard{"it is shipped already", func(s *step) bool { return !s.p.ShippedAt.IsZero() }}
	wasWithdrawn  = &guard{"withdrawn already", func(s *step) bool { return !s.p.WithdrawnAt.IsZero() }}
	noWithdrawal  = &guard{"it was excluded", func(s *step) bool { return s.p.Withdrawable(s.now) == NoWithdrawal }}
	withdrawsLate = &guard{"after the last day", func(s *step) bool { return s.p.Withdrawable(s.now) == WithdrawalOver }}
)

func (s *step) refundAsked() { s.refund(s.ev.Amount, s.ev.Text) }

// refund owes an amount that is left; the zero Money is all that is left.
func (s *step) refund(amount Money, why string) {
	if amount == (Money{}) {
		amount = s.p.Left()
	}
	n := len(s.p.Refunds) + 1
	s.p.Refunds = append(s.p.Refunds, Refund{N: n, Amount: amount, Why: why, AskedAt: s.now})
	s.do(Refunding, n)
}

// made is the refund that the event says was made; the first if it does not say. It is
// nil if there is none, or it was made before.
func (s *step) made() *Refund {
	n := max(s.ev.N, 1)
	if n > len(s.p.Refunds) || !s.p.Refunds[n-1].MadeAt.IsZero() {
		return nil
	}
	return &s.p.Refunds[n-1]
}

// completes says that with the refund that was made all of the total is back.
func (s *step) completes() bool {
	r := s.made()
	if r == nil {
		return false
	}
	made, _ := s.p.PaidBack()
	return add(made.Minor, r.Amount.Minor) == s.p.Total.Minor
}

// partBack: the buyer has some of the money back.
func (s *step) partBack() {
	if r := s.made(); r != nil {
		r.MadeAt = s.now
		s.do(MailRefund, r.N)
		s.tellMerchant(ToldRefunded)
	}
}

func (s *step) refunded() {
	if len(s.p.Refunds) > 1 {
		s.partBack() // the mail says what this part was
	} else {
		s.made().MadeAt = s.now
		s.tell(WasRefunded)
		s.tellMerchant(ToldRefunded)
	}
	s.release()
}

func (s *step) ship() {
	s.p.ShippedAt, s.p.Tracking = s.now, s.ev.Text
	s.do(MailShipped, 0)
	s.tellMerchant(ToldShipped)
}

// withdraw: what the buyer has not been sent is paid back at once; for what is on its
// way the seller may wait until it is back (Directive 2011/83/EU, Article 13(3)).
func (s *step) withdraw() {
	s.p.WithdrawnAt = s.now
	s.do(MailWithdrawal, 0)
	s.tellMerchant(ToldWithdrawn)
	if s.p.ShippedAt.IsZero() {
		s.refund(Money{}, "withdrawal")
	}
}
