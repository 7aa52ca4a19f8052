package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"hashtill/confirm"
	"hashtill/offers"
	"hashtill/store"
)

type haltCmd struct {
	Why    string `help:"Why, for people to read."`
	By     string `help:"Who halts it; the user of this machine if left out."`
	Status bool   `help:"Only tell whether the shop is halted."`
}

// Help is the rest of the help text.
func (haltCmd) Help() string {
	return `Stops all charging at once, of all hashtill serve that share the store: no charge
begins any more. What is on its way to Stripe at that moment may still be taken.
Wishes are heard and wait; those that wait for longer than times.answer expire, and
their buyers are told that nothing was charged. Refunds go on.

  hashtill halt --why "the wrong price"
  hashtill halt --status
  hashtill resume`
}

// Run halts, or tells.
func (c haltCmd) Run(e *env) error {
	return e.withHalt(func(shop *offers.Shop) error {
		before, err := shop.Halted(e.ctx)
		if err != nil {
			return err
		}
		if c.Status {
			if before == nil {
				_, err = fmt.Fprintln(e.out, "the shop is not halted")
			} else {
				_, err = fmt.Fprintln(e.out, "the shop is halted", haltedBy(before))
			}
			return err
		}
		// Again, even if it is: a halt before may have come to a part of the shop alone.
		err = shop.Halt(e.ctx, offers.Halt{At: time.Now().UTC(), By: cmp.Or(c.By, e.user()), Why: c.Why})
		if errors.Is(err, offers.ErrInvalid) {
			return usageError{err}
		} else if err != nil {
			return err
		}
		if before != nil {
			fmt.Fprintln(e.out, "the shop was halted before,", haltedBy(before))
		}
		_, err = fmt.Fprint(e.out, `the shop is halted: no charge begins from now on, and wishes wait
what was on its way to Stripe may still be taken: hashtill purchase list --state charging
hashtill resume lifts the halt
`)
		return err
	})
}

// haltedBy says since when a shop is halted, by whom and why.
func haltedBy(h *offers.Halt) string {
	s := "since " + h.At.UTC().Format("2006-01-02 15:04:05 UTC") + " by " + cmp.Or(h.By, "somebody")
	if h.Why != "" {
		s += ": " + h.Why
	}
	return s
}

type resumeCmd struct{}

// Help is the rest of the help text.
func (resumeCmd) Help() string {
	return "Lifts what hashtill halt has done. What waits goes on within seconds.\n\n  hashtill resume"
}

// Run resumes.
func (resumeCmd) Run(e *env) error {
	return e.withHalt(func(shop *offers.Shop) error {
		before, err := shop.Halted(e.ctx)
		if err != nil {
			return err
		}
		if err := shop.Resume(e.ctx); err != nil { // also where only a part is halted
			return err
		}
		if before == nil {
			_, err = fmt.Fprintln(e.out, "the shop was not halted")
			return err
		}
		_, err = fmt.Fprintln(e.out, "the halt is lifted; the shop was halted", haltedBy(before))
		return err
	})
}

// withHalt opens the shop for the two. It reads no offers and needs no keys, for nothing
// may stand in the way of a halt, and a million offers would take seconds.
func (e *env) withHalt(do func(*offers.Shop) error) error {
	return e.withStore(func(cfg Config, st store.Store, log *slog.Logger) error {
		_, codeKey, err := confirm.ParseKeys(confirm.NewKeys())
		if err != nil {
			return err
		}
		shop, err := offers.NewShop(st, offers.Settings{CodeKey: codeKey, Times: offers.DefaultTimes, Log: log, Now: time.Now})
		if err != nil {
			return err
		}
		return do(shop)
	})
}

// user is who calls, as far as the environment says.
func (e *env) user() string {
	for _, name := range []string{"SUDO_USER", "USER", "USERNAME"} {
		for _, v := range e.environ {
			if s, ok := strings.CutPrefix(v, name+"="); ok && s != "" {
				return s
			}
		}
	}
	return "the operator"
}
