package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"hashtill/offers"
	"hashtill/store"
)

type storeOwedCmd struct {
	JSON bool `name:"json" help:"JSON, one kind a line."`
}

// Help is the rest of the help text.
func (storeOwedCmd) Help() string {
	return `What is owed to the outside world, by kind: how many there are, how many of them are
due by now, for how long the oldest has been, and how often the one that was tried
most often has been. What fails is due again a little later each time, so that many
tries tell more than the age. It reads all that is owed, and hashtill serve may go on
meanwhile; GET /readyz says the same of payments at no cost.

  hashtill store owed --config hashtill.yaml`
}

// Run reads and shows.
func (c storeOwedCmd) Run(e *env) error {
	return e.withStore(func(_ Config, st store.Store, _ *slog.Logger) error {
		bar := progress{to: e.err, last: time.Now()}
		now := time.Now()
		all, err := offers.OwedByKind(e.ctx, st, now, func(shard int) { bar.say("read %d of %d shards", shard+1, store.Shards) })
		if err != nil {
			return err
		}
		return print(e.out, c.JSON, "WHAT\tOWED\tDUE\tOLDEST DUE FOR\tMOST TRIES", all, func(k offers.OwedKind) []string {
			age := ""
			if !k.Oldest.IsZero() {
				age = now.Sub(k.Oldest).Round(time.Second).String()
			}
			return []string{k.Kind, fmt.Sprint(k.Owed), fmt.Sprint(k.Due), age, fmt.Sprint(k.Tries)}
		})
	})
}

// payments are the kinds of effects that ask Stripe for something.
var payments = []offers.EffectKind{offers.Prepare, offers.Charge, offers.Look, offers.Void, offers.Refunding, offers.Heed}

// service names what performs a kind of effect: when Stripe hangs, all that is asked of
// it shares one share of the outbox's workers, and replies and mails go on.
func service(kind string) string {
	if slices.Contains(payments, offers.EffectKind(kind)) || slices.Contains(cards, kind) {
		return "stripe"
	}
	return kind
}

// cards are the kinds of what package offers owes Stripe for a buyer, rather than for a
// purchase: to look whether a card was saved, to remove one, to delete the customer.
var cards = []string{"card", "detach", "leave"}

// paymentsLate is how old a payment's effect may be before somebody has to know.
const paymentsLate = time.Minute

// latePayments says how many payments this process has in hand or has put off, and for
// how long the oldest, if that is too long.
func (s *system) latePayments() (waiting int, oldest time.Duration, late bool) {
	lags, now := s.outbox.Lags(), s.now()
	for _, kind := range payments {
		if l, ok := lags[string(kind)]; ok {
			waiting += l.Effects
			oldest = max(oldest, now.Sub(l.Since))
		}
	}
	return waiting, oldest.Round(time.Second), oldest > paymentsLate
}

// watchPayments tells the log, every minute in which payments are late and once when
// they no longer are.
func (s *system) watchPayments(ctx context.Context) {
	tick := time.NewTicker(paymentsLate)
	defer tick.Stop()
	for before := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		waiting, oldest, late := s.latePayments()
		switch {
		case late:
			s.log.Warn("payments are late: is Stripe away, or its key wrong?", "waiting", waiting, "oldest", oldest)
		case before:
			s.log.Info("payments are in time again")
		}
		before = late
	}
}
