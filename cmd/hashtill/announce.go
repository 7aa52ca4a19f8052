package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hashtill/bot"
	"hashtill/offers"
	"hashtill/offers/words"
)

type offerAnnounceCmd struct {
	Tag     string `arg:"" help:"The offer's hashtag."`
	Network string `default:"x" help:"The network."`
	Lang    string `default:"en" help:"The language of the post (en, fr)."`
	Again   bool   `help:"Even if it was announced in that language less than an hour ago."`
	DryRun  bool   `help:"Only show what would be posted."`
}

// Help is the rest of the help text.
func (offerAnnounceCmd) Help() string {
	return `Has the running hashtill serve post what is on sale: price, limit, end of the sale and
how to buy. Who quotes or answers that post with the hashtag has asked for the offer.
If nobody serves now, it is posted when somebody does, unless the offer is closed or
has changed by then; the log says so. The post waits while more than half of what the
account may post is spent, since replies to buyers come first.

  hashtill offer announce BuyTee --dry-run
  hashtill offer announce BuyTee --lang fr`
}

// Run owes the post.
func (c offerAnnounceCmd) Run(e *env) error {
	if !slices.Contains(words.Languages, c.Lang) {
		return usageError{fmt.Errorf("--lang: there are no words in %q; there are some in %s", c.Lang, strings.Join(words.Languages, ", "))}
	}
	return e.withShop(false, func(cfg Config, shop *offers.Shop) error {
		now := time.Now()
		o, ok := shop.OfferByTag(c.Tag)
		if !ok {
			return usageError{fmt.Errorf("there is no offer #%s (hashtill offer list)", strings.TrimPrefix(c.Tag, "#"))}
		}
		// Where the configuration does not name the account, serve asks the network.
		handle := cmp.Or(strings.TrimPrefix(cfg.X.Handle, "@"), "BOT")
		if c.DryRun {
			a := offers.Announcement{Network: c.Network, Offer: o.ID, Lang: c.Lang, N: 1, At: now}
			if why := o.Closed(now); why != "" {
				return notOnSale(o, why)
			}
			_, err := fmt.Fprintln(e.out, bot.Announcement(o, handle, c.Lang, a.Ref()))
			return err
		}
		a, err := shop.Announce(e.ctx, o.ID, c.Network, c.Lang, c.Again, now)
		var before *offers.AnnouncedError
		var no *offers.Refusal
		switch {
		case errors.As(err, &before):
			return usageError{fmt.Errorf("#%s was announced at %s, less than an hour ago (--again does it once more)", o.Tag, before.Before.At.UTC().Format("15:04 UTC"))}
		case errors.As(err, &no):
			return notOnSale(o, no.Reason)
		case errors.Is(err, offers.ErrInvalid):
			return usageError{err}
		case err != nil:
			return notFound(err)
		}
		_, err = fmt.Fprintf(e.out, "hashtill serve will post on %s:\n%s\n", c.Network, bot.Announcement(o, handle, c.Lang, a.Ref()))
		return err
	})
}

// notOnSale says why an offer is not announced.
func notOnSale(o offers.Offer, why offers.Reason) error {
	if why == offers.NotOpenYet {
		return usageError{fmt.Errorf("#%s is not on sale before %s: announce it then", o.Tag, o.Opens.UTC().Format("2006-01-02 15:04 UTC"))}
	}
	if why == offers.SoldOut {
		return usageError{fmt.Errorf("#%s is sold out: announce it when there are units again", o.Tag)}
	}
	return usageError{fmt.Errorf("the sale of #%s is over", o.Tag)}
}
