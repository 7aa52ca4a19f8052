package confirm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hashtill/offers"
)

// A Reconciler holds the ledger to the store, payment by payment, and the store to the
// ledger. What it may repair is in one table (see reconcilerules.go); everything else is
// shown to a person.
//
// What it finds in the ledger is never believed to be how a payment stands: it makes the
// shop ask, by the way that a webhook does. It moves money by itself in one case, a
// charge beside a purchase's own payment, which is given back whole. It may be run as
// often as one likes, and broken off anywhere: each repair has one key for ever. Two at
// the same time do no harm, and only twice the work.
type Reconciler struct {
	Shop   Books
	Ledger Ledger
	Till   Till

	// Left says that a purchase has left the store: an archive has it. Nil: none has.
	Left func(offers.ID) (bool, error)

	// Settle is how long a payment, or its purchase, has to have stood still to be
	// judged: what moves is about to agree. See [DefaultSettle].
	Settle time.Duration

	DryRun     bool // change nothing, here or there
	LedgerOnly bool // leave out what needs the whole store to be read

	Progress func(payments int, begun time.Time) // nil, or called after each payment
	Now      func() time.Time
}

// DefaultSettle is more than a charge takes, with its second try after a lost answer.
const DefaultSettle = 5 * time.Minute

// Books are what is needed of offers.Shop.
type Books interface {
	Purchase(ctx context.Context, id offers.ID) (offers.Purchase, error)
	EachPurchase(ctx context.Context, see func(offers.Purchase) error) error
	Hear(ctx context.Context, h offers.Hint, now time.Time) error
	Adopt(ctx context.Context, id offers.ID, intent string) error
}

// A Difference is something in which ledger and store do not agree.
type Difference struct {
	Kind     DifferenceKind `json:"kind"`
	Loud     bool           `json:"loud,omitempty"` // money is wrong
	Intent   string         `json:"intent,omitempty"`
	Purchase offers.ID      `json:"purchase,omitempty"`
	Says     string         `json:"says"`           // what does not agree
	Done     string         `json:"done,omitempty"` // about it
	Next     string         `json:"next,omitempty"` // what a person has to do; "" nothing
}

// A Reconciled is what came of one run. Sums are by currency, in its minor unit, and
// as they were found: before any repair, and without what has left the store.
type Reconciled struct {
	Payments int            `json:"payments"`  // looked at
	NotOurs  int            `json:"not_ours"`  // of them: without a purchase's id
	UnderWay int            `json:"under_way"` // too young to be judged
	Gone     int            `json:"gone"`      // of purchases that have left the store
	Repaired int            `json:"repaired"`  // differences
	Open     int            `json:"open"`      // differences that a person has to look at
	Sums     map[string]Sum `json:"sums"`
}

// A Sum is what was taken and given back in one currency, there (at Stripe) and here.
type Sum struct {
	TakenThere    int64 `json:"taken_there"`
	TakenHere     int64 `json:"taken_here"`
	RefundedThere int64 `json:"refunded_there"`
	RefundedHere  int64 `json:"refunded_here"`
}

// Reconcile looks at all payments that were begun in [from, to), and then at the paid
// purchases whose payment should have been among them, and shows each difference when
// it has done about it what it may. An error of report ends it and is returned. What it
// returns is true as far as it went, also with an error.
//
// It remembers the id of each payment of a paid purchase.
func (r *Reconciler) Reconcile(ctx context.Context, from, to time.Time, report func(Difference) error) (Reconciled, error) {
	run := &reconciling{Reconciler: r, report: report, seen: map[string]bool{}, Reconciled: Reconciled{Sums: map[string]Sum{}}}
	err := r.Ledger.Payments(ctx, from, to, func(e Entry) error {
		if err := run.payment(ctx, e); err != nil {
			return fmt.Errorf("reconcile payment %s: %w", e.Intent, err)
		}
		if r.Progress != nil {
			r.Progress(run.Payments, e.Begun)
		}
		return nil
	})
	if err == nil && !r.LedgerOnly {
		err = run.purchases(ctx, from, to)
	}
	return run.Reconciled, err
}

// reconciling is one run.
type reconciling struct {
	*Reconciler
	Reconciled
	report func(Difference) error
	seen   map[string]bool // payments of paid purchases
}

// payment judges one payment of the ledger. The purchase is read at this moment, so
// that it is not older than the entry, nor than any repair.
func (r *reconciling) payment(ctx context.Context, e Entry) error {
	r.Payments++
	if e.Purchase == "" {
		r.NotOurs++
		return nil
	}
	s := sighting{e: e, now: r.Now()}
	if id, ok := offers.ParseID(string(e.Purchase)); ok {
		s.valid = true
		var err error
		if err = r.read(ctx, &s, id); err != nil {
			return err
		}
		if !s.known && r.Left != nil {
			left, err := r.Left(id)
			if err != nil {
				return err
			}
			if left {
				r.Gone++
				return nil
			}
		}
	}
	if s.own() && s.paid() {
		r.seen[e.Intent] = true
	}
	if s.now.Sub(s.moved()) < r.Settle {
		r.UnderWay++
		return nil
	}
	r.count(s)
	for _, rule := range ledgerRules {
		if rule.when(s) {
			if err := r.differs(ctx, rule, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// purchases looks for what is paid here by a payment that the ledger did not show.
// The payment was begun after the code came back, and before it was paid.
func (r *reconciling) purchases(ctx context.Context, from, to time.Time) error {
	return r.Shop.EachPurchase(ctx, func(p offers.Purchase) error {
		s := sighting{valid: true, known: true, p: p, now: r.Now()}
		if p.PaidAt.IsZero() || r.seen[p.Intent] || p.EchoedAt.Before(from) || !p.PaidAt.Before(to) || s.now.Sub(s.moved()) < r.Settle {
			return nil
		}
		s.e = Entry{Purchase: p.ID, Intent: p.Intent}
		if p.Intent != "" {
			r.seen[p.Intent] = true // it may be shown twice
		}
		err := r.read(ctx, &s, p.ID)
		if err != nil || !s.known {
			return err
		}
		return r.differs(ctx, notInLedger, s)
	})
}

// read reads the purchase, or finds that there is none.
func (r *reconciling) read(ctx context.Context, s *sighting, id offers.ID) error {
	var err error
	s.p, err = r.Shop.Purchase(ctx, id)
	if s.known = err == nil; errors.Is(err, offers.ErrNotFound) {
		return nil
	}
	return err
}

// count adds a payment to the sums.
func (r *reconciling) count(s sighting) {
	add := func(m offers.Money, to func(*Sum) *int64) {
		if m.Minor != 0 {
			sum := r.Sums[m.Currency]
			*to(&sum) += m.Minor
			r.Sums[m.Currency] = sum
		}
	}
	if s.e.Status == Taken {
		add(s.e.Total, func(s *Sum) *int64 { return &s.TakenThere })
		add(s.e.Refunded, func(s *Sum) *int64 { return &s.RefundedThere })
	}
	if s.own() && s.paid() {
		add(s.p.Total, func(s *Sum) *int64 { return &s.TakenHere })
		made, _ := s.paidBack()
		add(offers.Money{Minor: made, Currency: s.p.Total.Currency}, func(s *Sum) *int64 { return &s.RefundedHere })
	}
}

// differs does what may be done about a difference, and shows it.
func (r *reconciling) differs(ctx context.Context, rule rule, s sighting) error {
	d := Difference{Kind: rule.kind, Loud: rule.loud, Intent: s.e.Intent, Says: rule.says(s)}
	if s.valid {
		d.Purchase = s.e.Purchase
	}
	if rule.still != nil {
		still, err := rule.still(r, ctx, s)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			d.Says += fmt.Sprintf(" (asked about it, Stripe says: %v)", err)
		case !still:
			return nil
		}
	}
	d.Next = rule.next
	if rule.repair != nil {
		switch done, err := "", error(nil); {
		case r.DryRun:
			d.Next = "run this without --dry-run: " + rule.would
		default:
			done, err = rule.repair(r, ctx, s)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				d.Done = fmt.Sprintf("tried to repair it: %v", err)
				break
			}
			if d.Done = done; !rule.person {
				d.Next = ""
			}
		}
	}
	if d.Next == "" {
		r.Repaired++
	} else {
		r.Open++
	}
	return r.report(d)
}

// The repairs.

// look has the shop ask how the payment stands.
func (r *reconciling) look(ctx context.Context, s sighting) (string, error) {
	return "hashtill serve looks at it, and it moves by what Stripe says then", r.tell(ctx, s, offers.Payment, "look")
}

// adopt gives a purchase that has forgotten its payment the payment back.
func (r *reconciling) adopt(ctx context.Context, s sighting) (string, error) {
	if err := r.Shop.Adopt(ctx, s.p.ID, s.e.Intent); err != nil {
		return "", err
	}
	return r.look(ctx, s)
}

// note writes on the purchase what is told of afterwards.
func (r *reconciling) note(ctx context.Context, s sighting) (string, error) {
	return "is noted on the purchase", r.tell(ctx, s, offers.Afterwards, "dispute")
}

// tell tells the shop as a webhook would. Each run may tell of a payment anew: the
// look that it owed before may have come too early.
func (r *reconciling) tell(ctx context.Context, s sighting, topic offers.Topic, what string) error {
	return r.Shop.Hear(ctx, offers.Hint{
		Event: fmt.Sprintf("reconcile_%s_%s_%d", what, s.e.Intent, s.now.Unix()), Type: "reconcile." + what, Object: s.e.Intent,
		Topic: topic, Intent: s.e.Intent, Purchase: s.p.ID,
	}, s.now)
}

// refund gives all that is left of a payment back that is not the purchase's own.
func (r *reconciling) refund(ctx context.Context, s sighting) (string, error) {
	left := offers.Money{Minor: s.e.Total.Minor - s.e.Refunded.Minor, Currency: s.e.Total.Currency}
	err := r.patient(ctx, func() error {
		return r.Till.Refund(ctx, Refund{Purchase: s.p.ID, Key: "refund:extra:" + s.e.Intent, Intent: s.e.Intent, Amount: left})
	})
	return "refunded " + left.String(), err
}

// void sees to it that the payment can never be taken. Where it was taken this moment,
// it is what any taken payment is.
func (r *reconciling) void(ctx context.Context, s sighting) (string, error) {
	var standing Standing
	err := r.patient(ctx, func() (err error) {
		standing, err = r.Till.Void(ctx, s.e.Intent, "void:"+s.e.Intent)
		return err
	})
	switch {
	case err != nil:
		return "", err
	case standing.Status == Taken && s.other():
		return r.refund(ctx, s)
	case standing.Status == Taken && s.p.Intent == "":
		return r.adopt(ctx, s)
	case standing.Status == Taken:
		return r.look(ctx, s)
	case standing.Status != Voided:
		return "", fmt.Errorf("payment is %s after it was cancelled", standing.Status)
	}
	if s.own() { // units may be held for it
		if _, err := r.look(ctx, s); err != nil {
			return "", err
		}
	}
	return "cancelled at Stripe", nil
}

// untaken asks whether a payment is really not taken: an entry is as old as the page
// of the ledger that it stood on.
func (r *reconciling) untaken(ctx context.Context, s sighting) (bool, error) {
	if s.e.Intent == "" {
		return true, nil
	}
	var standing Standing
	err := r.patient(ctx, func() (err error) {
		standing, err = r.Till.Look(ctx, s.e.Intent)
		return err
	})
	return err != nil || standing.Status != Taken, err
}

// mostTurns is how often a deed waits for its turn at the till.
const mostTurns = 10

// patient does something at the till, and waits where the till wants it later: nothing
// here is owed durably but by the next run.
func (r *reconciling) patient(ctx context.Context, do func() error) error {
	for turn := 1; ; turn++ {
		err := do()
		later := (*LaterError)(nil)
		if !errors.As(err, &later) || turn == mostTurns {
			return err
		}
		wait := time.NewTimer(later.At.Sub(r.Now()))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
	}
}
