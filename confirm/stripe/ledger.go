package stripe

import (
	"cmp"
	"context"
	"errors"
	"time"

	sdk "github.com/stripe/stripe-go/v76"

	"hashtill/confirm"
	"hashtill/offers"
)

var _ confirm.Ledger = (*Till)(nil)

// Payments shows each PaymentIntent of the account that was created in [from, to),
// the newest first, whoever has begun it. Both times are cut to whole seconds, as
// Stripe's are, so that ranges that meet show each payment once. It waits for its
// turn in the budget, for as long as ctx allows.
func (t *Till) Payments(ctx context.Context, from, to time.Time, see func(confirm.Entry) error) error {
	query := func(p sdk.ListParams) *sdk.Iter {
		return t.api.PaymentIntents.List(&sdk.PaymentIntentListParams{
			ListParams:   p,
			CreatedRange: &sdk.RangeQueryParams{GreaterThanOrEqual: max(from.Unix(), 0), LesserThan: to.Unix()},
			Expand:       sdk.StringSlice([]string{"data.latest_charge"}),
		}).Iter
	}
	return t.list(ctx, "list payments", true, query, func(item any) (id string, err error) {
		pi, _ := item.(*sdk.PaymentIntent)
		if pi == nil || pi.ID == "" {
			return "", errors.New("stripe: list payments: the answer names no payment")
		}
		return pi.ID, see(entry(pi))
	})
}

// entry reads an intent, which may be one that we have not made.
func entry(pi *sdk.PaymentIntent) confirm.Entry {
	e := confirm.Entry{
		Intent:   pi.ID,
		Purchase: offers.ID(pi.Metadata["purchase"]),
		Status:   cmp.Or(status(pi), confirm.Open),
		Total:    money(pi.Amount, pi.Currency),
		Refunded: money(0, pi.Currency),
		Begun:    time.Unix(pi.Created, 0).UTC(),
	}
	if c := pi.LatestCharge; c != nil {
		e.Refunded, e.Disputed = money(c.AmountRefunded, pi.Currency), c.Disputed
	}
	return e
}

// mostPages is how many pages of a hundred a list can have. Stripe has no such bound;
// it ends a list that would never end by itself.
const mostPages = 100_000

// list shows every element of a list, which see names (docs.stripe.com/api/pagination).
// Whoever is patient waits for the budget, where others get a *confirm.LaterError.
func (t *Till) list(ctx context.Context, what string, patient bool, query func(sdk.ListParams) *sdk.Iter, see func(item any) (id string, err error)) error {
	last := ""
	for range mostPages {
		it, err := t.page(ctx, what, last, query)
		if later := (*confirm.LaterError)(nil); patient && errors.As(err, &later) {
			if err := wait(ctx, later.At.Sub(t.now())); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		before := last
		for it.Next() {
			if last, err = see(it.Current()); err != nil {
				return err
			}
		}
		if !it.Meta().HasMore {
			return nil
		}
		if last == before {
			break
		}
	}
	return errors.New("stripe: " + what + ": the list has no end")
}

// page fetches the page of a list that follows the element after.
func (t *Till) page(ctx context.Context, what, after string, query func(sdk.ListParams) *sdk.Iter) (*sdk.Iter, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	// Single: stripe-go would fetch the next page with this one's context.
	p := sdk.ListParams{Context: ctx, Limit: sdk.Int64(100), Single: true}
	if after != "" {
		p.StartingAfter = &after
	}
	it := query(p)
	return it, read(what, nil, it.Err()).err
}
