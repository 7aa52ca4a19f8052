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
// shop ask, by the way that a webhook does. It moves money by itself in one case: a
// charge beside that by which a purchase is paid, which is taken and not given back when
// it is asked for again, is given back whole. Nor does it begin what would end in a
// refund: the store may be an older one that was restored, and have forgotten that the
// only charge was right and the parcel sent. That is left to a person.
//
// It may be run as often as one likes, and broken off anywhere: each repair has one key
// for ever. Two at the same time do no harm, and only twice the work.
type Reconciler struct {
	Shop   Books
	Ledger Ledger
	Till   Till

	// Left says what an archive has of a purchase that is not in the store: nothing, or
	// each line of it, of which only State, Intent and PaidAt are used. Nil: there is no
	// archive. After an [ErrNoArchive], which a difference then tells of, the purchase
	// counts as one that has not left; any other error ends the run.
	Left func(offers.ID) ([]offers.Archived, error)

	// Settle is how long a payment, or its purchase, has to have stood still to be
	// judged: what moves is about to agree. See [DefaultSettle].
	Settle time.Duration

	DryRun     bool // change nothing, here or there
	LedgerOnly bool // leave out what needs the whole store to be read

	Progress func(payments int, begun time.Time) // nil, or called after each payment
	Now      func() time.Time
}

// ErrNoArchive says that the archive is not where it should be.
var ErrNoArchive = errors.New("there is no archive")

// ErrOtherAccount says that the ledger knows nothing of what is paid here: it is that
// of another account.
var ErrOtherAccount = errors.New("the payments are those of another account, or of another mode (test or live)")

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
	Owed     bool           `json:"owed,omitempty"` // hashtill serve has still to do a part of it
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
	Owed     int            `json:"owed"`      // differences whose repair hashtill serve has still to do
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
// it has done about it what it may. An error of report ends it and is returned;
// [ErrOtherAccount] ends it early. What it returns is true as far as it went, also with
// an error.
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

	ours       bool // the ledger, or the till, knows a payment of a purchase that is here
	unreadable int  // purchases that were reported as such
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
		if err := r.read(ctx, &s, id); err != nil {
			return err
		}
		if err := r.askArchive(&s, id); err != nil {
			return err
		}
	}
	if s.unreadable != nil {
		return r.cannotRead(ctx, s)
	}
	if s.gone() {
		r.Gone++
		return nil
	}
	r.ours = r.ours || s.own()
	if s.own() && s.paid() {
		r.seen[e.Intent] = true
	}
	if s.now.Sub(s.moved()) < r.Settle {
		r.UnderWay++
		return nil
	}
	r.count(s)
	return r.judge(ctx, s)
}

// judge holds a payment to all rules.
func (r *reconciling) judge(ctx context.Context, s sighting) error {
	for _, rule := range ledgerRules {
		if rule.when(s) {
			if err := r.differs(ctx, rule, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// askArchive asks what became of a purchase that is not here.
func (r *reconciling) askArchive(s *sighting, id offers.ID) error {
	if s.known || s.unreadable != nil || r.Left == nil {
		return nil
	}
	var err error
	if s.left, err = r.Left(id); errors.Is(err, ErrNoArchive) {
		s.noArchive, err = err, nil
	}
	return err
}

// cannotRead shows that a purchase cannot be read, once.
func (r *reconciling) cannotRead(ctx context.Context, s sighting) error {
	if r.seen[string(s.e.Purchase)] {
		return nil
	}
	r.seen[string(s.e.Purchase)] = true
	r.unreadable++
	return r.differs(ctx, unreadable, s)
}

// mostMissing is how many payments have to be missing, with none found, until it is
// clear that they are looked for in the wrong place.
const mostMissing = 3

// purchases looks for what is paid here by a payment that the ledger did not show.
// The payment was begun after the code came back, and before it was paid.
func (r *reconciling) purchases(ctx context.Context, from, to time.Time) error {
	var missing []sighting // and not shown yet
	show := func() error {
		for _, s := range missing {
			if err := r.differs(ctx, notInLedger, s); err != nil {
				return err
			}
		}
		missing = nil
		return nil
	}
	var halt error
	err := r.Shop.EachPurchase(ctx, func(p offers.Purchase) error {
		halt = r.purchase(ctx, p, from, to, func(s sighting) error {
			if s.e.Intent == "" {
				return r.differs(ctx, notInLedger, s)
			}
			missing = append(missing, s)
			switch {
			case r.ours:
				return show()
			case len(missing) < mostMissing:
				return nil
			}
			return fmt.Errorf("%w: Stripe knows none of %d by which purchases are paid here; nothing more was looked at; see that stripe.key_file is the key of this shop's account and mode (asked for the last, Stripe says: %w)",
				ErrOtherAccount, len(missing), s.asked)
		})
		return halt
	})
	if halt != nil {
		return halt
	}
	if errors.Is(err, offers.ErrInvalid) {
		if r.unreadable > 0 { // store check tells of all
			err = nil
		} else {
			err = r.differs(ctx, unreadable, sighting{unreadable: err})
		}
	}
	return errors.Join(show(), err)
}

// purchase looks for the payment of one purchase, and hands it to missing if there is
// none.
func (r *reconciling) purchase(ctx context.Context, p offers.Purchase, from, to time.Time, missing func(sighting) error) error {
	s := sighting{valid: true, known: true, p: p, now: r.Now()}
	if p.PaidAt.IsZero() || r.seen[p.Intent] || p.EchoedAt.Before(from) || !p.PaidAt.Before(to) || s.now.Sub(s.moved()) < r.Settle {
		return nil
	}
	s.e = Entry{Purchase: p.ID, Intent: p.Intent}
	if p.Intent != "" {
		r.seen[p.Intent] = true // it may be shown twice
	}
	err := r.read(ctx, &s, p.ID)
	switch {
	case err != nil:
		return err
	case s.unreadable != nil:
		return r.cannotRead(ctx, s)
	case !s.known:
		return nil
	}
	lacks, err := r.untaken(ctx, s)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.e.Intent != "" && err == nil {
		r.ours = true
	}
	if !lacks {
		return nil
	}
	s.asked = err
	return missing(s)
}

// read reads the purchase, or finds that there is none, or that it cannot be read.
func (r *reconciling) read(ctx context.Context, s *sighting, id offers.ID) error {
	var err error
	s.p, err = r.Shop.Purchase(ctx, id)
	s.known = err == nil
	switch {
	case errors.Is(err, offers.ErrNotFound):
		return nil
	case errors.Is(err, offers.ErrInvalid):
		s.unreadable = err
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
			s.asked = err
		case !still:
			return nil
		}
	}
	if s.asked != nil {
		d.Says += fmt.Sprintf(" (asked about it, Stripe says: %v)", s.asked)
	}
	d.Next = rule.next
	if rule.repair != nil {
		switch done, err := (deed{}), error(nil); {
		case r.DryRun:
			d.Next = "run this without --dry-run: " + rule.would
		default:
			done, err = rule.repair(r, ctx, s)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, errTaken) { // and so it is another case
				s.e.Status = Taken
				return r.judge(ctx, s)
			}
			var alone *leftAlone
			if errors.As(err, &alone) {
				d.Says += "; " + alone.why
				break
			}
			if err != nil {
				d.Done = fmt.Sprintf("tried to repair it: %v", err)
				break
			}
			if d.Done, d.Owed = done.says, done.owed; !rule.person {
				d.Next = ""
			}
		}
	}
	switch {
	case d.Next != "":
		r.Open++
	case d.Owed:
		r.Owed++
	default:
		r.Repaired++
	}
	return r.report(d)
}
