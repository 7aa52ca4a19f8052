package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"hashtill/offers"
	"hashtill/store"
	"hashtill/store/sqlite"
)

type storeCmd struct {
	Check   storeCheckCmd   `cmd:"" help:"Look whether everything in the store agrees."`
	Owed    storeOwedCmd    `cmd:"" help:"What is still to be done outside, and how old it is."`
	Copy    storeCopyCmd    `cmd:"" help:"Copy one store into another of any kind."`
	Backup  storeBackupCmd  `cmd:"" help:"Copy a SQLite store while it is in use."`
	Restore storeRestoreCmd `cmd:"" help:"Put a backup in the place of the SQLite store."`
}

// Help is the rest of the help text.
func (storeCmd) Help() string {
	return "For example:\n\n  hashtill store check\n  hashtill store backup tonight.db"
}

// withStore opens the configured store, which must be there.
func (e *env) withStore(do func(cfg Config, st store.Store, log *slog.Logger) error) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	return e.withStoreAt(cfg, cfg.Store, false, do)
}

// withStoreAt opens the store at an address; create says that it may be made.
func (e *env) withStoreAt(cfg Config, where string, create bool, do func(cfg Config, st store.Store, log *slog.Logger) error) (err error) {
	if where == "memory" {
		return usageError{errors.New("store: memory ends with the process that has it: name a sqlite:PATH or a redis://…")}
	}
	if path, ok := strings.CutPrefix(where, "sqlite:"); ok && !create {
		info, err := os.Stat(path)
		if err != nil {
			return usageError{fmt.Errorf("store: there is no database %q yet: hashtill serve, offer import and buyer add make it: %w", path, err)}
		}
		if info.Size() == 0 {
			return usageError{fmt.Errorf("store: %q is empty: it is no database, or was cut off: restore a backup", path)}
		}
	}
	cfg.Store = where
	log := newLog(cfg, e.err)
	st, err := openStore(e.ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return do(cfg, st, log)
}

// notServed refuses while a hashtill serve is at work on the store.
func (e *env) notServed(cfg Config, st store.Store, log *slog.Logger) error {
	shop, _, err := openShop(e.ctx, cfg, st, log, time.Now)
	if err != nil {
		return err
	}
	served, err := shop.Served(e.ctx)
	if err == nil && served {
		err = usageError{errors.New("a hashtill serve is using this store: stop all of them first")}
	}
	return err
}

// A progress tells people how far something is, at most every second.
type progress struct {
	to   io.Writer
	last time.Time
}

func (p *progress) say(format string, args ...any) {
	if now := time.Now(); now.Sub(p.last) >= time.Second {
		p.last = now
		fmt.Fprintf(p.to, format+"\n", args...)
	}
}

type storeCheckCmd struct {
	JSON bool `name:"json" help:"JSON, one finding a line."`
}

// Help is the rest of the help text.
func (storeCheckCmd) Help() string {
	return `Looks whether the file is sound (SQLite), and whether what is in the store agrees:
units counted are those that purchases hold, whoever has not finished is waited for,
nothing is left behind. It changes nothing, and hashtill serve may go on meanwhile.
Exits 1 if anything is found.

  hashtill store check --config hashtill.yaml`
}

// Run checks.
func (c storeCheckCmd) Run(e *env) error {
	return e.withStore(func(cfg Config, st store.Store, log *slog.Logger) error {
		if db, ok := st.(*sqlite.DB); ok {
			if err := db.Check(e.ctx); err != nil {
				return err
			}
		}
		shop, _, err := openShop(e.ctx, cfg, st, log, time.Now)
		if err != nil {
			return err
		}
		bar := progress{to: e.err, last: time.Now()}
		var all []offers.Finding
		err = shop.Check(e.ctx, func(shard int) { bar.say("checked %d of %d shards", shard+1, store.Shards) },
			func(f offers.Finding) error { all = append(all, f); return nil })
		if err != nil {
			return err
		}
		if len(all) == 0 {
			if !c.JSON {
				fmt.Fprintln(e.out, "everything agrees")
			}
			return nil
		}
		kinds := map[offers.FindingKind]int{}
		few := all[:0:0]
		for _, f := range all {
			if kinds[f.Kind]++; c.JSON || kinds[f.Kind] <= findingsShown {
				few = append(few, f)
			}
		}
		err = print(e.out, c.JSON, "SHARD\tWHAT\tKEY\tMEANS", few, func(f offers.Finding) []string {
			return []string{fmt.Sprint(f.Shard), string(f.Kind), f.Key, f.Text}
		})
		if len(few) < len(all) {
			fmt.Fprintf(e.err, "only the first %d of each kind are shown; --json shows all\n", findingsShown)
		}
		var sums []string
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			sums = append(sums, fmt.Sprintf("%d %s", kinds[kind], kind))
		}
		return errors.Join(err, fmt.Errorf("%d things do not agree (%s). Keep a copy of the store as it is. "+
			"If a backup agrees, restore it; if not, purchases that are stuck can be refunded or cancelled by hand at Stripe",
			len(all), strings.Join(sums, ", ")))
	})
}

// findingsShown is how many findings of a kind people are shown.
const findingsShown = 50

type storeBackupCmd struct {
	File string `arg:"" help:"The file to make; there must be none."`
}

// Help is the rest of the help text.
func (storeBackupCmd) Help() string {
	return `Copies a SQLite store as it is at one moment, while hashtill serve goes on. Bring
it back by hashtill store restore. Redis has backups of its own (BGSAVE, or a copy of
its append-only files).

  hashtill store backup /backup/$(date +%F).db`
}

// Run backs up.
func (c storeBackupCmd) Run(e *env) error {
	return e.withStore(func(cfg Config, st store.Store, _ *slog.Logger) error {
		db, ok := st.(*sqlite.DB)
		if !ok {
			return usageError{fmt.Errorf("the store is %s: back it up by Redis's own means (BGSAVE), or stop every hashtill serve and run: hashtill store copy %s://… sqlite:%s",
				storeKind(cfg.Store), storeKind(cfg.Store), c.File)}
		}
		bar := progress{to: e.err, last: time.Now()}
		err := db.Backup(e.ctx, c.File, func(done, total int) { bar.say("copied %d of %d pages", done, total) })
		if e.ctx.Err() != nil {
			return errors.New("stopped; there is no backup")
		}
		if err != nil {
			return err
		}
		info, err := os.Stat(c.File)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.out, "%s: %d bytes, checked\n", c.File, info.Size())
		return nil
	})
}

type storeCopyCmd struct {
	From string `arg:"" help:"A store as the key store names it (sqlite:PATH, redis://…)."`
	To   string `arg:"" help:"Another one, which must be empty."`
}

// Help is the rest of the help text.
func (storeCopyCmd) Help() string {
	return `Stop every hashtill serve first. All of it is copied, read again and compared.
Broken off, it goes on where it was when it is called again. Passwords and the like
of Redis are those of the configuration (redis.password_file, …).

  hashtill store copy sqlite:hashtill.db redis-cluster://10.0.0.1:6379,10.0.0.2:6379`
}

// Run copies.
func (c storeCopyCmd) Run(e *env) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	if c.From == c.To {
		return usageError{errors.New("a store cannot be copied into itself")}
	}
	return e.withStoreAt(cfg, c.From, false, func(fromCfg Config, from store.Store, log *slog.Logger) error {
		if err := e.notServed(fromCfg, from, log); err != nil {
			return err
		}
		return e.withStoreAt(cfg, c.To, true, func(_ Config, to store.Store, _ *slog.Logger) error {
			bar := progress{to: e.err, last: time.Now()}
			// An address can hold a password: the mark in the target has its hash.
			name := sha256.Sum256([]byte(c.From))
			report, err := store.Copy(e.ctx, hex.EncodeToString(name[:]), from, to, func(p store.CopyProgress) {
				bar.say("copied %d and compared %d of %d shards; %d rows read", p.Copied, p.Verified, store.Shards, p.Rows)
			})
			switch {
			case e.ctx.Err() != nil:
				return errors.New("stopped; the same command goes on from here")
			case errors.Is(err, store.ErrInvalid):
				return usageError{fmt.Errorf("%w (to empty a SQLite store, remove the file, its -wal and its -shm; a Redis that holds nothing else, FLUSHALL on each master)", err)}
			case err != nil:
				return err
			}
			if err := e.notServed(fromCfg, from, log); err != nil {
				return err // it was started meanwhile
			}
			fmt.Fprintf(e.out, "%d records, %d counts and %d effects are copied and compared (%d bytes)\n"+
				"now put the new address under the key store, and never serve the old one again\n",
				report.Records, report.Counts, report.Effects, report.Bytes)
			return nil
		})
	})
}

type storeRestoreCmd struct {
	File string `arg:"" help:"A backup (hashtill store backup)."`
}

// Help is the rest of the help text.
func (storeRestoreCmd) Help() string {
	return `Stop hashtill serve first. The backup is checked, the store is moved aside under a
name that tells when, and a copy of the backup takes its place. What has been sold
since the backup is then known to Stripe and in the file that was moved aside alone.

  hashtill store restore /backup/2026-11-21.db`
}

// Run restores.
func (c storeRestoreCmd) Run(e *env) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	path, ok := strings.CutPrefix(cfg.Store, "sqlite:")
	if !ok {
		return usageError{fmt.Errorf("the store is %s: only a SQLite store is restored so", storeKind(cfg.Store))}
	}
	return e.withStoreAt(cfg, "sqlite:"+c.File, false, func(_ Config, backup store.Store, log *slog.Logger) error {
		db := backup.(*sqlite.DB)
		if err := db.Check(e.ctx); err != nil {
			return err
		}
		aside := ""
		if _, err := os.Stat(path); err == nil {
			if err := e.withStoreAt(cfg, cfg.Store, false, e.notServed); errors.As(err, new(usageError)) {
				return err
			} // a store that cannot even be opened may well be why a backup is restored
			aside = path + time.Now().UTC().Format(".20060102T150405Z")
			// The log goes with its file: left behind, SQLite would play it into the backup.
			for _, part := range []string{"-wal", "-shm", ""} {
				if err := os.Rename(path+part, aside+part); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			fmt.Fprintf(e.out, "what was there is now %s\n", aside)
		}
		if err := db.Backup(e.ctx, path, nil); err != nil {
			return fmt.Errorf("%w (what was there is %s)", err, aside)
		}
		fmt.Fprintf(e.out, "%s is restored; see hashtill store check\n", path)
		return nil
	})
}
