package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"hashtill/confirm/stripe"
	"hashtill/offers"
)

// The commands that look at records and edit them. Each prints a table for people,
// or JSON, one object a line.

// print writes rows as a table, or the values behind them as JSON.
func print[V any](w io.Writer, asJSON bool, head string, all []V, row func(V) []string) error {
	if asJSON {
		enc := json.NewEncoder(w)
		for _, v := range all {
			if err := enc.Encode(v); err != nil {
				return err
			}
		}
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, head)
	for _, v := range all {
		fmt.Fprintln(tw, strings.Join(row(v), "\t"))
	}
	return tw.Flush()
}

// notFound is an error of the call if there is no such thing.
func notFound(err error) error {
	if errors.Is(err, offers.ErrNotFound) {
		return usageError{err}
	}
	return err
}

type purchaseCmd struct {
	List   purchaseListCmd   `cmd:"" help:"All purchases, the newest first."`
	Show   purchaseShowCmd   `cmd:"" help:"What is known of one."`
	Ship   purchaseShipCmd   `cmd:"" help:"Note that one is on its way, and tell its buyer."`
	Refund purchaseRefundCmd `cmd:"" help:"Pay one back, or a part of it. The running hashtill serve does it."`
}

// Help is the rest of the help text.
func (purchaseCmd) Help() string {
	return "For example:\n\n  hashtill purchase list --state paid\n  hashtill purchase ship 07-3f…\n  hashtill purchase refund 07-3f… --amount 12.50"
}

type purchaseListCmd struct {
	State string `help:"Only those in this state (paid, mailed, …)."`
	JSON  bool   `name:"json" help:"JSON, one purchase a line."`
}

// Help is the rest of the help text.
func (purchaseListCmd) Help() string { return "For example:\n\n  hashtill purchase list --state paid" }

// Run lists.
func (c purchaseListCmd) Run(e *env) error {
	if c.State != "" && !slices.Contains(offers.States[1:], offers.State(c.State)) {
		return usageError{fmt.Errorf("there is no state %q; the states are %v", c.State, offers.States[1:])}
	}
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		all, err := purchases(e.ctx, shop, func(p offers.Purchase) bool { return c.State == "" || p.State == offers.State(c.State) })
		if err != nil {
			return err
		}
		return print(e.out, c.JSON, "PURCHASE\tASKED\tBUYER\tOFFER\tUNITS\tTOTAL\tSTATE\tWHY\tAFTERWARDS", all, func(p offers.Purchase) []string {
			return []string{string(p.ID), p.AskedAt.UTC().Format(time.DateTime), p.Buyer.String() + " @" + p.Handle, "#" + p.Tag,
				fmt.Sprint(p.Quantity), p.Total.Format("en"), string(p.State), string(p.Reason), afterwards(p)}
		})
	})
}

// purchases are those that match, the newest first, each once.
func purchases(ctx context.Context, shop *offers.Shop, match func(offers.Purchase) bool) ([]offers.Purchase, error) {
	byID := map[offers.ID]offers.Purchase{}
	err := shop.EachPurchase(ctx, func(p offers.Purchase) error {
		if match(p) {
			byID[p.ID] = p
		}
		return nil
	})
	all := make([]offers.Purchase, 0, len(byID))
	for _, p := range byID {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b offers.Purchase) int {
		if c := b.AskedAt.Compare(a.AskedAt); c != 0 {
			return c
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return all, err
}

type buyerCmd struct {
	List  buyerListCmd  `cmd:"" help:"All buyers."`
	Add   buyerAddCmd   `cmd:"" help:"Register a buyer whose card is saved at Stripe."`
	Erase buyerEraseCmd `cmd:"" help:"Remove all there is of one."`

	Limit    buyerLimitCmd    `cmd:"" help:"Show or set what one may spend."`
	Quiet    buyerQuietCmd    `cmd:"" help:"Show or set the hours in which nothing is sold to one."`
	Freeze   buyerFreezeCmd   `cmd:"" help:"Sell and charge nothing to one."`
	Unfreeze buyerUnfreezeCmd `cmd:"" help:"Take a freeze, or a stop, back."`
}

// Help is the rest of the help text.
func (buyerCmd) Help() string {
	return "For example:\n\n  hashtill buyer list\n  hashtill buyer add --help"
}

type buyerListCmd struct{}

// Help is the rest of the help text.
func (buyerListCmd) Help() string {
	return "Shows no e-mail addresses.\n\n  hashtill buyer list"
}

// Run lists.
func (buyerListCmd) Run(e *env) error {
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		var all []offers.Buyer
		if err := shop.EachBuyer(e.ctx, func(b offers.Buyer) error { all = append(all, b); return nil }); err != nil {
			return err
		}
		return print(e.out, false, "ACCOUNT\tHANDLE\tCARD\tCOUNTRY\tREGISTERED\tQUIET\tSTOPPED", all, func(b offers.Buyer) []string {
			card, stopped := "none", ""
			if len(b.Cards) > 0 {
				card = b.Cards[0].Brand + " …" + b.Cards[0].Last4
			}
			if !b.Stopped.IsZero() {
				stopped = b.Stopped.UTC().Format(time.DateTime)
				if b.Frozen {
					stopped += " (frozen)"
				}
			}
			return []string{b.Account.String(), "@" + b.Handle, card, b.Country, b.Registered.UTC().Format(time.DateTime), b.Quiet.String(), stopped}
		})
	})
}

// whose is the account that a command is about.
type whose struct {
	Account string `required:"" help:"The account's number on the network, not the handle; x:783214 will do."`
	Network string `default:"x" help:"The network."`
}

// Validate implements what kong asks of a command's flags.
func (w whose) Validate() error {
	if id := w.account().ID; w.Network == "x" && strings.Trim(id, "0123456789") != "" {
		return fmt.Errorf("--account: %q is no account's number: X's have digits alone, and a handle is none, since handles change hands", id)
	}
	return nil
}

func (w whose) account() offers.Account {
	return offers.Account{Network: w.Network, ID: strings.TrimPrefix(w.Account, w.Network+":")}
}

type buyerAddCmd struct {
	whose
	Handle   string `help:"The handle, for people to read."`
	Email    string `required:"" help:"Where the links go. You have made sure that it is theirs."`
	Customer string `required:"" help:"Stripe's customer (cus_…)."`
	Card     string `required:"" help:"Stripe's payment method (pm_…), saved with that customer."`
	Brand    string `default:"card" help:"The card's brand."`
	Last4    string `name:"last4" default:"????" help:"The card's last four digits."`
	Lang     string `help:"The buyer's language (en, fr); the account's if left out."`
	Address  string `help:"Where to deliver."`
	Country  string `help:"The country of that, as ISO 3166-1 has it (FR): some offers are not sold everywhere."`
}

// Help is the rest of the help text.
func (buyerAddCmd) Help() string {
	return `A wish of theirs that waits goes on by itself.

  hashtill buyer add --account 783214 --handle ann --email ann@example.com \
    --customer cus_QXg1o8vcGmoR32 --card pm_1PgafmB7WZ01zgkW6dKueIc5 --brand visa --last4 4242`
}

// Run adds.
func (c buyerAddCmd) Run(e *env) error {
	b := offers.Buyer{
		Account: c.account(), Handle: c.Handle, Email: offers.Email(c.Email), Lang: c.Lang,
		Customer: c.Customer, Cards: []offers.Card{{ID: c.Card, Brand: c.Brand, Last4: c.Last4}}, Address: c.Address, Country: strings.ToUpper(c.Country),
	}
	if err := b.Validate(); err != nil {
		return usageError{err}
	}
	return e.withShop(true, func(_ Config, shop *offers.Shop) error {
		if err := shop.Register(e.ctx, b, time.Now()); err != nil {
			return err
		}
		fmt.Fprintf(e.out, "%s is registered\n", b.Account)
		return nil
	})
}

type buyerEraseCmd struct {
	whose
}

// Help is the rest of the help text.
func (buyerEraseCmd) Help() string {
	return `Removes an account and all that belongs to it: what is not confirmed is cancelled,
its purchases go into the archive without their buyer, and nothing names it any
more. Neither does a "stop" that it once said. A payment that is under way comes
first: the command says so, and is then to be called again. The customer at Stripe
is deleted too where stripe.key_file is set, and named where not. Backups and logs
are yours to look after. The archive is the folder that the key
archive names, on the machine that this runs on.

  hashtill buyer erase --account 783214`
}

// Run erases.
func (c buyerEraseCmd) Run(e *env) error {
	return e.withShop(false, func(cfg Config, shop *offers.Shop) error {
		account := c.account()
		erased, err := shop.Erase(e.ctx, account, time.Now())
		if err == nil && erased == (offers.Erased{}) {
			return usageError{fmt.Errorf("there is nothing of %s here; who is, tells hashtill buyer list", account)}
		}
		fmt.Fprintf(e.out, "%d purchases and %d records are erased\n", erased.Purchases, erased.Records)
		if erased.Customer == "" {
			return err
		}
		// Only when nothing here needs the customer any more.
		if err == nil && cfg.Stripe.Key != "" {
			if err = forgetAtStripe(e.ctx, cfg, erased.Customer); err == nil {
				fmt.Fprintf(e.out, "the customer %s is deleted at Stripe\n", erased.Customer)
				return nil
			}
		}
		fmt.Fprintf(e.out, "at Stripe there is the customer %s: delete it there\n", erased.Customer)
		return err
	})
}

// forgetAtStripe deletes a customer with all the cards.
func forgetAtStripe(ctx context.Context, cfg Config, customer string) error {
	till, err := stripe.New(stripe.Config{APIURL: cfg.Stripe.APIURL, Key: string(cfg.Stripe.Key)})
	if err != nil {
		return err
	}
	return stripe.NewWallet(till).Delete(ctx, customer, "delete:"+customer)
}
