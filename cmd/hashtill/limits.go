package main

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"hashtill/offers"
)

// readLimits reads limits as people write them. prefix stands before their names in
// complaints, all of which are joined.
func readLimits(prefix, purchase, day, month string) (offers.Limits, error) {
	var l offers.Limits
	var errs []error
	for _, of := range []struct {
		name, text string
		to         *offers.Amounts
	}{{"purchase", purchase, &l.Purchase}, {"day", day, &l.Day}, {"month", month, &l.Month}} {
		var err error
		if *of.to, err = offers.ParseAmounts(of.text); err != nil {
			errs = append(errs, fmt.Errorf("%s%s: %w", prefix, of.name, err))
		}
	}
	return l, errors.Join(errs...)
}

// noLimit is what takes a limit away.
const noLimit = "none"

type buyerLimitCmd struct {
	whose
	Purchase *string `help:"For one purchase, such as \"50.00 USD\"; none takes it away."`
	Day      *string `help:"For a day."`
	Month    *string `help:"For a month."`
}

// Help is the rest of the help text.
func (buyerLimitCmd) Help() string {
	return `Sets what a buyer may spend, below the shop's own limits (the keys limits.… of the
configuration). What is left out stays as it is; with nothing set, it shows what
holds. One amount for each currency: nothing is converted, and with a limit nothing
is sold in a currency that it does not name. Days and months begin at midnight UTC.
A limit holds from the next press of a button on. What was bought while the buyer had
no limit for a day or a month, and the shop neither, is not counted.

  hashtill buyer limit --account 783214 --day "100.00 USD" --month "500.00 USD"
  hashtill buyer limit --account 783214 --day none`
}

// Run sets and shows.
func (c buyerLimitCmd) Run(e *env) error {
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		account := c.account()
		b, err := shop.Buyer(e.ctx, account)
		if err != nil {
			return err
		}
		if b.Registered.IsZero() {
			return usageError{fmt.Errorf("%s is no buyer: is it the account's number, and not its handle? (hashtill buyer list)", account)}
		}
		told := func(text *string, before offers.Amounts) string {
			switch {
			case text == nil:
				return before.String()
			case *text == noLimit:
				return ""
			}
			return *text
		}
		if c.Purchase != nil || c.Day != nil || c.Month != nil {
			l, err := readLimits("--", told(c.Purchase, b.Limits.Purchase), told(c.Day, b.Limits.Day), told(c.Month, b.Limits.Month))
			if err != nil {
				return usageError{err}
			}
			if err := shop.SetLimits(e.ctx, account, l, time.Now()); errors.Is(err, offers.ErrInvalid) {
				return usageError{err}
			} else if err != nil {
				return notFound(err)
			}
			b.Limits = l
		}
		type limit struct{ of, own, shops string }
		all := []limit{
			{"purchase", b.Limits.Purchase.String(), shop.Limits.Purchase.String()},
			{"day", b.Limits.Day.String(), shop.Limits.Day.String()},
			{"month", b.Limits.Month.String(), shop.Limits.Month.String()},
		}
		return print(e.out, false, "LIMIT FOR A\tOF "+account.String()+"\tOF THE SHOP", all, func(l limit) []string {
			return []string{l.of, cmp.Or(l.own, noLimit), cmp.Or(l.shops, noLimit)}
		})
	})
}

type buyerQuietCmd struct {
	whose
	Hours string `arg:"" optional:"" help:"Such as 22:00-07:00; off takes them away. Left out, it shows them."`
	Zone  string `arg:"" optional:"" help:"Of the IANA list, such as Europe/Paris."`
}

// Help is the rest of the help text.
func (buyerQuietCmd) Help() string {
	return `Sets hours of each day, by the clocks of a zone, in which nothing is sold to a buyer,
as the buyer wished: a post is refused, and so is the button, which works again when
they are over if its link is still valid. What was confirmed before goes on.

  hashtill buyer quiet --account 783214 22:00-07:00 Europe/Paris
  hashtill buyer quiet --account 783214 off`
}

// Run sets and shows.
func (c buyerQuietCmd) Run(e *env) error {
	var q offers.Quiet
	if c.Hours != "" && (c.Hours != "off" || c.Zone != "") {
		var err error
		if q, err = offers.ParseQuiet(c.Hours, c.Zone); err != nil {
			return usageError{err}
		}
	}
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		account := c.account()
		if c.Hours != "" {
			if err := shop.SetQuiet(e.ctx, account, q, time.Now()); err != nil {
				return notFound(err)
			}
		}
		b, err := shop.Buyer(e.ctx, account)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.out, "quiet hours of %s: %s\n", account, cmp.Or(b.Quiet.String(), noLimit))
		return nil
	})
}

type buyerFreezeCmd struct {
	whose
}

// Help is the rest of the help text.
func (buyerFreezeCmd) Help() string {
	return `Sells and charges nothing to an account until hashtill buyer unfreeze, and says
nothing to it in public. What it has not confirmed is cancelled, and so is what it has
confirmed if the charge has not begun. It is what a post of "stop" does, except that
no post of "start" takes it back: whoever has got hold of the account cannot.

  hashtill buyer freeze --account 783214`
}

// Run freezes.
func (c buyerFreezeCmd) Run(e *env) error {
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		account := c.account()
		if err := shop.Freeze(e.ctx, account, offers.ByShop, time.Now()); err != nil {
			return err
		}
		fmt.Fprintf(e.out, "%s is frozen\n", account)
		return nil
	})
}

type buyerUnfreezeCmd struct {
	whose
}

// Help is the rest of the help text.
func (buyerUnfreezeCmd) Help() string {
	return "Takes back a freeze, and a stop that the account has posted.\n\n  hashtill buyer unfreeze --account 783214"
}

// Run unfreezes.
func (c buyerUnfreezeCmd) Run(e *env) error {
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		account := c.account()
		if err := shop.Unfreeze(e.ctx, account, offers.ByShop, time.Now()); err != nil {
			return err
		}
		fmt.Fprintf(e.out, "%s is not frozen\n", account)
		return nil
	})
}
