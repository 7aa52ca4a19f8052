// Command hashtill lets people buy by posting a hashtag.
//
// This package is the only place that knows all the rooms: it reads the
// configuration, opens the adapters that it names, and puts them together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // buyers' zones, wherever this runs

	"github.com/alecthomas/kong"

	"hashtill/cmd/hashtill/bench"
	"hashtill/confirm"
	"hashtill/offers"
	"hashtill/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// Exit codes of every command.
const (
	exitOK     = 0
	exitFailed = 1 // it was tried, and went wrong
	exitUsage  = 2 // the call, the configuration or a file is wrong; nothing was done
)

// A usageError is for whoever called to mend.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// env is what a command works with.
type env struct {
	ctx      context.Context
	environ  []string
	out, err io.Writer
	config   string
}

// cli is the command line.
type cli struct {
	Config string `short:"c" placeholder:"FILE" help:"Configuration file. Every key can also be given by the environment (HASHTILL_…)."`

	Serve    serveCmd    `cmd:"" help:"Run the bot, the pages and the outbox."`
	Doctor   doctorCmd   `cmd:"" help:"Check the configuration, the credentials, the clock and all that is outside."`
	Demo     demoCmd     `cmd:"" help:"Try the whole system on this machine: nothing to sign up for, no real money."`
	Offer    offerCmd    `cmd:"" help:"List, show and import what is for sale."`
	Merchant merchantCmd `cmd:"" help:"Who sells, and who signs in at the desk."`
	Purchase purchaseCmd `cmd:"" help:"List, show and refund purchases."`
	Buyer    buyerCmd    `cmd:"" help:"List, show and add buyers."`
	Store    storeCmd    `cmd:"" help:"Check, copy and back up what is kept."`
	Keys     keysCmd     `cmd:"" help:"Make the keys that sign links and make codes."`

	Halt      haltCmd       `cmd:"" help:"Stop all charging at once; wishes wait."`
	Resume    resumeCmd     `cmd:"" help:"Lift the halt."`
	Reconcile reconcileCmd  `cmd:"" help:"Hold Stripe's payments to the store."`
	Bench     bench.Command `cmd:"" help:"Measure how fast it is on this machine."`
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args, environ []string, out, errOut io.Writer) (code int) {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("hashtill"),
		kong.Description("People buy by posting a hashtag. Try it first:\n\n  hashtill demo"),
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		fmt.Fprintln(errOut, "hashtill:", err)
		return exitFailed
	}
	call, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err == nil {
		collecting, stop := context.WithCancel(ctx)
		defer stop()
		go collectByLoad(collecting)
		err = call.Run(&env{ctx: ctx, environ: environ, out: out, err: errOut, config: c.Config}, bench.Run{Ctx: ctx, Out: out, Err: errOut})
	} else {
		err = usageError{fmt.Errorf("%w (see hashtill --help)", err)}
	}
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(usageError)):
		code = exitUsage
	default:
		code = exitFailed
	}
	fmt.Fprintf(errOut, "hashtill: %v\n", err)
	return code
}

// load reads the configuration.
func (e *env) load() (Config, error) {
	cfg, err := Load(e.config, e.environ)
	if err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

// withShop opens the store and the shop for a command that looks or edits. create
// says that the command may begin a new store.
func (e *env) withShop(create bool, do func(cfg Config, shop *offers.Shop) error) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	return e.withStoreAt(cfg, cfg.Store, create, func(cfg Config, st store.Store, log *slog.Logger) error {
		shop, _, err := openShop(e.ctx, cfg, st, log, time.Now)
		if err != nil {
			return toMend(err)
		}
		return do(cfg, shop)
	})
}

type serveCmd struct{}

// Help is the rest of the help text.
func (serveCmd) Help() string {
	return "Serves until it is told to stop (SIGTERM, Ctrl-C), and then finishes what is under way.\n\n" +
		"  hashtill serve --config hashtill.yaml"
}

// Run serves.
func (serveCmd) Run(e *env) error {
	return e.serve(func(st store.Store) store.Store { return st }, func(*system) {})
}

// serve runs the system on the configured store. A test may stand between the two
// (under), and set what no configuration does (tune).
func (e *env) serve(under func(store.Store) store.Store, tune func(*system)) (err error) {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	log := newLog(cfg, e.err)
	st, err := openStore(e.ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	s, err := open(e.ctx, cfg, under(st), log, time.Now)
	if err != nil {
		return toMend(err)
	}
	tune(s)
	return s.run(e.ctx)
}

func newLog(cfg Config, w io.Writer) *slog.Logger {
	var level slog.Level
	level.UnmarshalText([]byte(cfg.Log.Level)) // Validate has seen that it is one
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

type keysCmd struct{}

// Help is the rest of the help text.
func (keysCmd) Help() string {
	return "Prints a new keys file. Keep it as you keep a password.\n\n  (umask 077; hashtill keys > hashtill.keys)"
}

// Run prints.
func (keysCmd) Run(e *env) error {
	_, err := io.WriteString(e.out, confirm.NewKeys())
	return err
}
