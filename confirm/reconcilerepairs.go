package confirm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hashtill/offers"
)

// A deed is a repair.
type deed struct {
	says string
	owed bool // hashtill serve has still to do a part of it
}

// A leftAlone says why a repair is not made.
type leftAlone struct{ why string }

func (l *leftAlone) Error() string { return l.why }

// errTaken says that a payment which could have been taken was.
var errTaken = errors.New("it was taken this moment")

// look has the shop ask how the payment stands.
func (r *reconciling) look(ctx context.Context, s sighting) (deed, error) {
	return deed{"a look at it is owed; hashtill serve does it, and it moves by what Stripe says then", true}, r.tell(ctx, s, offers.Payment, "look")
}

// adopt gives a purchase that has forgotten its payment the payment back.
func (r *reconciling) adopt(ctx context.Context, s sighting) (deed, error) {
	if err := r.Shop.Adopt(ctx, s.p.ID, s.e.Intent); err != nil {
		return deed{}, err
	}
	return r.look(ctx, s)
}

// note writes on the purchase what is told of afterwards.
func (r *reconciling) note(ctx context.Context, s sighting) (deed, error) {
	return deed{says: "is noted on the purchase"}, r.tell(ctx, s, offers.Afterwards, "dispute")
}

// tell tells the shop as a webhook would. Each run may tell of a payment anew: the
// look that it owed before may have come too early.
func (r *reconciling) tell(ctx context.Context, s sighting, topic offers.Topic, what string) error {
	return r.Shop.Hear(ctx, offers.Hint{
		Event: fmt.Sprintf("reconcile_%s_%s_%d", what, s.e.Intent, s.now.Unix()), Type: "reconcile." + what, Object: s.e.Intent,
		Topic: topic, Intent: s.e.Intent, Purchase: s.p.ID,
	}, s.now)
}

// refund gives all that is left of a payment back that is not the purchase's own, where
// the purchase's own was taken, and is not given back: only then is it one too many.
func (r *reconciling) refund(ctx context.Context, s sighting) (deed, error) {
	own, err := r.ownPayment(ctx, s.p)
	switch {
	case err != nil:
		return deed{}, err
	case own.Intent == "":
		return deed{}, &leftAlone{"Stripe does not show the purchase's own payment"}
	case own.Status != Taken:
		return deed{}, &leftAlone{"the purchase's own payment is " + string(own.Status)}
	case own.Refunded.Minor >= own.Total.Minor || s.p.Left().Minor <= 0:
		return deed{}, &leftAlone{"the purchase's own payment was, or is being, given back"}
	case own.Disputed:
		return deed{}, &leftAlone{"the purchase's own payment is disputed"}
	}
	left := offers.Money{Minor: s.e.Total.Minor - s.e.Refunded.Minor, Currency: s.e.Total.Currency}
	err = r.patient(ctx, func() error {
		return r.Till.Refund(ctx, Refund{Purchase: s.p.ID, Key: "refund:extra:" + s.e.Intent, Intent: s.e.Intent, Amount: left})
	})
	return deed{says: "refunded " + left.String()}, err
}

// apart is how far the ledger's clock and ours may be apart.
const apart = 5 * time.Minute

// ownPayment reads in the ledger, now, by what a purchase is paid: only the ledger tells
// what was given back of it, by anybody. The zero Entry says that it is not there.
func (r *reconciling) ownPayment(ctx context.Context, p offers.Purchase) (Entry, error) {
	begun := p.EchoedAt
	if begun.IsZero() {
		begun = p.AskedAt
	}
	found, own := errors.New("found"), Entry{}
	err := r.Ledger.Payments(ctx, begun.Add(-apart), p.PaidAt.Add(apart), func(e Entry) error {
		if e.Intent == p.Intent {
			own = e
			return found
		}
		return nil
	})
	if errors.Is(err, found) {
		err = nil
	}
	return own, err
}

// void sees to it that the payment can never be taken.
func (r *reconciling) void(ctx context.Context, s sighting) (deed, error) {
	var standing Standing
	err := r.patient(ctx, func() (err error) {
		standing, err = r.Till.Void(ctx, s.e.Intent, "void:"+s.e.Intent)
		return err
	})
	switch {
	case err != nil:
		return deed{}, err
	case standing.Status == Taken:
		return deed{}, errTaken
	case standing.Status != Voided:
		return deed{}, fmt.Errorf("payment is %s after it was cancelled", standing.Status)
	}
	done := deed{says: "cancelled at Stripe"}
	if s.own() && s.p.Held > 0 { // they are held for it
		done.owed = true
		if _, err := r.look(ctx, s); err != nil {
			return deed{}, err
		}
	}
	return done, nil
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
