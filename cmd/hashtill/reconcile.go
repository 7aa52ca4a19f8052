package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/stripe"
	"hashtill/offers"
	"hashtill/store"
)

// theBooks is what one process at a time reconciles.
const theBooks = "reconcile"

// wide is how far back is looked once a day, and at first: a dispute can come, and a
// refund by hand mostly does, within that time.
const wide = 90 * 24 * time.Hour

type reconcileCmd struct {
	Since  span          `default:"90d" help:"How far back to look: days (90d) or hours (36h)."`
	Settle time.Duration `default:"5m" help:"Leave alone what moved less than this ago."`
	DryRun bool          `help:"Change nothing, here or at Stripe."`
	JSON   bool          `name:"json" help:"JSON, one difference a line, and the sums at the end."`
}

// Help is the rest of the help text.
func (reconcileCmd) Help() string {
	return `Holds Stripe's payments to the store, and what is paid here to Stripe. Repaired is

  taken there, not paid here         looked at again, and then paid here
  a second charge of a paid purchase refunded whole
  could be taken, and never will be  cancelled at Stripe

Everything else is shown, with what to do: money that may be the only charge of
something shipped, as after a restored backup, a payment of a purchase that is not
here, another amount, a refund by hand, a dispute. hashtill serve does the same at its
start and every hour, and may go on meanwhile; what is to be looked at is owed then, and
hashtill serve does it.
Exits 0 if all agrees or is repaired or owed, and 1 if something is left to you.

  hashtill reconcile --since 30d --dry-run`
}

// A span is a time back that can be given in days.
type span time.Duration

// UnmarshalText reads "90d", or what time.ParseDuration does.
func (s *span) UnmarshalText(text []byte) error {
	var d time.Duration
	days, ok := strings.CutSuffix(string(text), "d")
	n, err := strconv.ParseUint(days, 10, 16)
	if d = time.Duration(n) * 24 * time.Hour; !ok {
		d, err = time.ParseDuration(string(text))
	}
	if err != nil || d <= 0 || d > 20*365*24*time.Hour {
		return fmt.Errorf("%q is no time back such as 90d or 36h", text)
	}
	*s = span(d)
	return nil
}

// Run reconciles.
func (c reconcileCmd) Run(e *env) error {
	if c.Settle < 0 {
		return usageError{fmt.Errorf("--settle: %s is less than nothing", c.Settle)}
	}
	return e.withStore(func(cfg Config, st store.Store, log *slog.Logger) error {
		if cfg.Log.Level == Default().Log.Level { // whose turn it is interests a service
			cfg.Log.Level = "warn"
			log = newLog(cfg, e.err)
		}
		shop, _, err := openShop(e.ctx, cfg, st, log, time.Now)
		if err != nil {
			return toMend(err)
		}
		till, err := stripe.New(stripe.Config{APIURL: cfg.Stripe.APIURL, Key: string(cfg.Stripe.Key), Rate: cfg.Stripe.Rate, EndpointRate: cfg.Stripe.EndpointRate, Log: log})
		if err != nil {
			return usageError{err}
		}
		bar := progress{to: e.err, last: time.Now()}
		var all []confirm.Difference
		var sums confirm.Reconciled
		waited := sayLater(log, "another process reconciles, as hashtill serve does at its start and every hour; waiting for it")
		defer waited()
		err = shop.Alone(e.ctx, theBooks, func(ctx context.Context) (err error) {
			waited()
			now := time.Now()
			from := now.Add(-time.Duration(c.Since))
			r := confirm.Reconciler{
				Shop: shop, Ledger: till, Till: till, Left: archived(cfg.Archive, from), Settle: c.Settle, DryRun: c.DryRun, Now: time.Now,
				Progress: func(payments int, begun time.Time) {
					bar.say("looked at %d payments, back to %s", payments, begun.UTC().Format(time.DateTime))
				},
			}
			all = nil
			sums, err = r.Reconcile(ctx, from, now.Add(clockSkew), func(d confirm.Difference) error { all = append(all, d); return nil })
			return err
		})
		if e.ctx.Err() != nil {
			return errors.New("stopped; the same command begins anew, and repairs nothing twice")
		}
		// What was done is told also where it ended early.
		return errors.Join(err, c.tell(e, all, sums, err == nil))
	})
}

// sayLater says something unless the returned function is called soon. When that
// returns, it is said or will not be.
func sayLater(log *slog.Logger, what string) (never func()) {
	said := make(chan struct{})
	timer := time.AfterFunc(time.Second, func() {
		defer close(said)
		log.Warn(what)
	})
	return sync.OnceFunc(func() {
		if !timer.Stop() {
			<-said
		}
	})
}

// clockSkew is how far Stripe's clock may be before ours.
const clockSkew = time.Minute

// tell prints what was found, and the sums of a whole run.
func (c reconcileCmd) tell(e *env, all []confirm.Difference, sums confirm.Reconciled, whole bool) error {
	var err error
	if len(all) > 0 {
		err = print(e.out, c.JSON, "WHAT\tPAYMENT\tPURCHASE\tMEANS\tDONE\tTO DO", all, func(d confirm.Difference) []string {
			return []string{string(d.Kind), d.Intent, cmp.Or(string(d.Purchase), "–"), d.Says, cmp.Or(d.Done, "–"), cmp.Or(d.Next, "–")}
		})
	}
	switch {
	case !whole:
	case c.JSON:
		err = errors.Join(err, json.NewEncoder(e.out).Encode(map[string]confirm.Reconciled{"reconciled": sums}))
	default:
		_, printed := fmt.Fprintln(e.out, sumsLine(sums))
		err = errors.Join(err, printed)
	}
	if sums.Open > 0 {
		err = errors.Join(err, fmt.Errorf("%d differences are left to you", sums.Open))
	}
	return err
}

// sumsLine tells of a whole run.
func sumsLine(r confirm.Reconciled) string {
	line := fmt.Sprintf("%d payments, %d of others, %d under way, %d of purchases in the archive: ", r.Payments, r.NotOurs, r.UnderWay, r.Gone)
	if r.Repaired+r.Owed+r.Open == 0 {
		line += "everything agrees"
	} else {
		line += fmt.Sprintf("%d differences repaired, %d owed (hashtill serve does it), %d left", r.Repaired, r.Owed, r.Open)
	}
	for _, code := range slices.Sorted(maps.Keys(r.Sums)) {
		s := r.Sums[code]
		money := func(minor int64) string { return offers.Money{Minor: minor, Currency: code}.Decimal() }
		line += fmt.Sprintf("; %s taken %s at Stripe, %s here, refunded %s at Stripe, %s here", code,
			money(s.TakenThere), money(s.TakenHere), money(s.RefundedThere), money(s.RefundedHere))
	}
	return line
}

// archived shows what the files of the archive have of a purchase; nil without an
// archive. They are read when it is first asked, from the month of from on: who has left
// before has no payment since.
//
// The first purchase that leaves makes the folder, so that a young shop has none; it is
// then confirm.ErrNoArchive if it is asked for, as where the folder is somewhere else.
func archived(dir string, from time.Time) func(offers.ID) ([]offers.Archived, error) {
	if dir == "" {
		return nil
	}
	read := sync.OnceValues(func() (map[offers.ID][]offers.Archived, error) { return readArchive(dir, from) })
	return func(id offers.ID) ([]offers.Archived, error) {
		lines, err := read()
		return lines[id], err
	}
}

func readArchive(dir string, from time.Time) (map[offers.ID][]offers.Archived, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w; that is so until the first purchase has left, or where archive in the configuration names another folder than before", confirm.ErrNoArchive, err)
	}
	if err != nil {
		return nil, err
	}
	gone := map[offers.ID][]offers.Archived{}
	first := "purchases-" + from.UTC().Format("2006-01")
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), "purchases-") || f.Name() < first {
			continue
		}
		err := readLines(filepath.Join(dir, f.Name()), func(line []byte) {
			var a offers.Archived
			if json.Unmarshal(line, &a) == nil { // else a crash has torn it, and it stands there again
				gone[a.ID] = append(gone[a.ID], offers.Archived{State: a.State, Intent: a.Intent, PaidAt: a.PaidAt})
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return gone, nil
}

func readLines(path string, see func(line []byte)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, store.MaxValue)
	for lines.Scan() {
		see(lines.Bytes())
	}
	return lines.Err()
}

// An auditor has the books reconciled at the start of this process, and every hour by
// one of all that share the store.
type auditor struct {
	shop    *offers.Shop
	books   confirm.Reconciler
	archive string
	now     func() time.Time
	log     *slog.Logger
}

const (
	auditEvery = time.Hour
	auditAgain = 5 * time.Minute // after a run that failed
	wideEvery  = 24 * time.Hour

	// narrow is how far before the last run the hourly one looks: Stripe tells by webhook
	// for three days, and what was begun before has been seen to its end since, or is
	// seen by the wide run of the day. So the hourly run costs a few pages of Stripe's
	// list, and does not read the whole store.
	narrow = 4 * 24 * time.Hour
)

// audits is what is remembered of the runs. It is kept in the store, and so goes back
// with it: after a restored backup all that it has forgotten is looked at again.
type audits struct {
	At   time.Time `json:"at"`   // of the last one
	Wide time.Time `json:"wide"` // of the last wide one
}

// since is from when on payments are looked at, and whether that is wide.
func (a audits) since(now time.Time) (from time.Time, isWide bool) {
	from = now.Add(-wide)
	isWide = now.Sub(a.Wide) >= wideEvery || a.Wide.After(now)
	if !isWide {
		from = now.Add(-narrow)
	}
	if before := a.At.Add(-narrow); !a.At.IsZero() && before.Before(from) {
		from = before
	}
	return from, isWide
}

// run goes on until ctx ends. Nothing that goes wrong ends it.
func (a *auditor) run(ctx context.Context) {
	for first := true; ; first = false {
		pause := auditAgain
		due, err := a.turn(ctx, first)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.log.Error("cannot reconcile with Stripe; trying again", "err", err)
		default:
			pause = min(max(due.Sub(a.now()), time.Second), auditEvery)
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
	}
}

// turn reconciles, unless another process has done it lately, and says when it is due
// next.
func (a *auditor) turn(ctx context.Context, first bool) (due time.Time, err error) {
	err = a.shop.Alone(ctx, theBooks, func(ctx context.Context) error {
		var last audits
		cursor, err := a.shop.Cursor(ctx, theBooks)
		if err != nil {
			return err
		}
		if cursor != "" {
			if err := json.Unmarshal([]byte(cursor), &last); err != nil {
				a.log.Error("what was kept of the last reconciliation cannot be read; all is looked at anew", "err", err)
			}
		}
		now := a.now()
		due = last.At.Add(auditEvery)
		if !first && now.Before(due) && !last.At.After(now) {
			return nil
		}
		from, isWide := last.since(now)
		books := a.books
		books.LedgerOnly, books.Left = !isWide, archived(a.archive, from)
		sums, err := books.Reconcile(ctx, from, now.Add(clockSkew), func(d confirm.Difference) error {
			a.tell(ctx, d)
			return nil
		})
		if err != nil {
			return err
		}
		level := slog.LevelInfo
		if sums.Open > 0 {
			level = slog.LevelWarn
		}
		a.log.Log(ctx, level, "reconciled with Stripe", "since", from.UTC(), "payments", sums.Payments, "under_way", sums.UnderWay,
			"repaired", sums.Repaired, "owed", sums.Owed, "left", sums.Open, "sums", sums.Sums)
		last.At, due = now, now.Add(auditEvery)
		if isWide {
			last.Wide = now
		}
		value, err := json.Marshal(last)
		if err != nil {
			return err
		}
		return a.shop.SetCursor(ctx, theBooks, string(value))
	})
	return due, err
}

// tell logs a difference.
func (a *auditor) tell(ctx context.Context, d confirm.Difference) {
	level := slog.LevelWarn
	if d.Loud {
		level = slog.LevelError
	}
	a.log.LogAttrs(ctx, level, "Stripe and the store do not agree", slog.String("kind", string(d.Kind)), slog.String("payment", d.Intent),
		slog.String("purchase", string(d.Purchase)), slog.String("says", d.Says), slog.String("done", d.Done), slog.String("next", d.Next))
}
