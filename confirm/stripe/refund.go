package stripe

import (
	"context"
	"errors"
	"fmt"
	"time"

	sdk "github.com/stripe/stripe-go/v76"

	"hashtill/confirm"
)

// Unlike a charge, part of which cannot be taken twice, part of a payment can be
// given back twice. So the second key of a refund is changed only when whatever was
// sent under the one before has ended and can be seen: in the last minute of its slot
// and ever after nothing is sent under it. Our clocks may differ by less than that.
const (
	refundSlot = 5 * time.Minute
	refundRest = time.Minute
)

// Refund gives back an amount of a payment, once for each key, however often it is
// asked to. Stripe may forget the key; the refund carries it in its metadata, and the
// refunds of the payment are looked through for it before one is made. A
// *confirm.RefusedError says that Stripe refuses the refund, that it was made and has
// failed, because the card is closed perhaps, or that somebody else has given back so
// much that too little is left. Where all of the payment was to be given back, and is,
// that is success, whoever did it.
func (t *Till) Refund(ctx context.Context, order confirm.Refund) error {
	if err := usable(order.Intent, order.Key); err != nil {
		return err
	}
	amount, _, err := minor(order.Amount)
	if err != nil {
		return &confirm.RefusedError{Why: err.Error()}
	}
	if made, err := t.refundMade(ctx, order, amount); made || err != nil {
		return err
	}
	var a answer
	end := t.now().Truncate(refundSlot).Add(refundSlot) // of the slot whose key follows
	for n, key := range t.keys(order.Key, refundSlot) {
		if n > 0 && end.Sub(t.now()) <= refundRest {
			return &confirm.LaterError{At: end, Why: a.err.Error()}
		}
		var r *sdk.Refund
		r, a = t.refund(ctx, key, order, amount)
		switch {
		case a.verdict == done && refunded(r) == nil:
			return nil
		case a.verdict == later:
			return a.err
		}
		made, err := t.refundMade(ctx, order, amount)
		switch {
		case made || err != nil:
			return err
		case a.verdict == done:
			return t.unlessAllIsBack(ctx, order, amount, refunded(r))
		case a.verdict == refused, a.verdict == declined:
			// Nothing here is a matter of the buyer's card.
			return t.unlessAllIsBack(ctx, order, amount, &confirm.RefusedError{Why: a.err.Error()})
		case !a.dead:
			return a.err
		}
		t.another(n, "refund payment", key, a)
	}
	return a.err
}

func (t *Till) refund(ctx context.Context, key string, order confirm.Refund, amount int64) (*sdk.Refund, answer) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	r, err := t.api.Refunds.New(&sdk.RefundParams{
		Params:        sdk.Params{Context: ctx, IdempotencyKey: &key},
		PaymentIntent: &order.Intent,
		Amount:        &amount,
		Metadata:      map[string]string{"purchase": string(order.Purchase), "refund": order.Key},
	})
	return r, read("refund payment", r.LastResponse, err)
}

// refundMade looks through the refunds of a payment for the one ordered.
func (t *Till) refundMade(ctx context.Context, order confirm.Refund, amount int64) (made bool, err error) {
	const what = "list refunds"
	query := func(p sdk.ListParams) *sdk.Iter {
		return t.api.Refunds.List(&sdk.RefundListParams{ListParams: p, PaymentIntent: &order.Intent}).Iter
	}
	var failed error
	err = t.list(ctx, what, false, query, func(item any) (id string, err error) {
		r, _ := item.(*sdk.Refund)
		switch {
		case r == nil || r.ID == "":
			return "", errors.New("stripe: list refunds: the answer names no refund")
		case r.Metadata["refund"] != order.Key:
		case r.Amount != amount:
			return "", &confirm.RefusedError{Why: fmt.Sprintf("stripe: refund %s was made under this key with another amount", clean(r.ID))}
		case refunded(r) == nil:
			made = true
		default:
			failed = refunded(r)
		}
		return r.ID, nil
	})
	if made || err != nil || failed == nil {
		return made, err
	}
	err = t.unlessAllIsBack(ctx, order, amount, failed)
	return err == nil, err
}

// unlessAllIsBack returns the reason why a refund was not made, or nil where it was
// to be of all the payment, and all of it is given back.
func (t *Till) unlessAllIsBack(ctx context.Context, order confirm.Refund, amount int64, why error) error {
	pi, err := t.get(ctx, order.Intent)
	if err != nil {
		return err
	}
	if c := pi.LatestCharge; c != nil && c.Refunded && c.Amount == amount {
		return nil
	}
	return why
}

// refunded tells a refund that is made, or on its way, from one that failed.
func refunded(r *sdk.Refund) error {
	switch r.Status {
	case sdk.RefundStatusSucceeded, sdk.RefundStatusPending, sdk.RefundStatusRequiresAction:
		return nil
	case sdk.RefundStatusFailed, sdk.RefundStatusCanceled:
		return &confirm.RefusedError{Why: fmt.Sprintf("stripe: refund %s is %s %s", clean(r.ID), r.Status, clean(string(r.FailureReason)))}
	}
	return errors.New("stripe: refund payment: the answer has no status that is known")
}
