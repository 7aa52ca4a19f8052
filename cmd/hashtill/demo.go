package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"hashtill/store"
)

type demoCmd struct {
	Play    bool   `help:"Play it without a person, and exit 0 only if everything came out as it must."`
	JSON    bool   `name:"json" help:"With --play and --load: JSON, one event a line."`
	Listen  string `default:"localhost:8090" placeholder:"ADDRESS" help:"Where the demo's page is, on this machine only; a free port if that one is taken (${default})."`
	Pages   string `default:"localhost:8080" placeholder:"ADDRESS" help:"Where the buyers' pages are, on this machine only; a free port if that one is taken (${default})."`
	Verbose bool   `help:"Write all of the system's log to stderr."`

	Load   bool          `help:"Have many buyers buy at once, as fast as this machine can, and tell how fast that is. With --config, on the store and the stand-ins that it names; only addresses of this machine are taken."`
	Buyers int           `default:"64" help:"With --load: how many buy at once. With --config, 0 does only what is owed, and ends."`
	For    time.Duration `default:"10s" help:"With --load: for how long; 0 until it is stopped."`
}

// Help is the rest of the help text.
func (demoCmd) Help() string {
	return `Runs the whole system between local stand-ins for X, Stripe and a mail server.
There is one page on which you post, repost, read the mailbox and see the desk.
No real post is made, no real mail is sent, no real money moves, and nothing is
left when it ends.

  hashtill demo
  hashtill demo --play
  hashtill demo --play --json | jq -c 'select(.ok == false)'
  hashtill demo --load --for 30s`
}

// Run opens the stage, and closes it.
func (c demoCmd) Run(e *env) (err error) {
	if c.JSON && !c.Play && !c.Load || c.Play && c.Load {
		return usageError{errors.New("--json goes with --play or --load, and these not with each other")}
	}
	for flag, address := range map[string]string{"--listen": c.Listen, "--pages": c.Pages} {
		if !isLoopback(address) {
			return usageError{fmt.Errorf("%s=%s: the demo shows itself to this machine only; use an address such as localhost:8090", flag, address)}
		}
	}
	pages, err := freeAddress(c.Pages)
	if err != nil {
		return err
	}
	if c.Load && e.config != "" {
		return c.loadConfigured(e, func(st store.Store) store.Store { return st })
	}
	s, err := newStage(e.ctx, pages, c.newLog(e.err))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if c.Load {
		return c.loadStage(e, s)
	}
	if c.Play {
		return s.perform(e.ctx, func(ctx context.Context) error { return s.playAll(ctx, e.out, c.JSON) })
	}
	address, err := freeAddress(c.Listen)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer l.Close() // where it has served, it is closed already
	desk, err := s.deskLink(e.ctx)
	if err != nil {
		return err
	}
	err = s.perform(e.ctx, func(ctx context.Context) error {
		fmt.Fprintf(e.out, `Hashtill, the whole of it, between local stand-ins for X, Stripe and a mail server.
Nothing real is posted, mailed or charged.

  open       http://%s
  the shop   http://%s   (the buyers' pages; links in the mails lead there)
  the desk   %s   (the merchants' and the operator's; good once, the page has another)

Ctrl-C ends it and leaves nothing behind.
`, address, pages, desk)
		return newDemoPage(s).serve(ctx, l)
	})
	if e.ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		fmt.Fprintln(e.out, "\nThe demo is over.")
		return nil
	}
	return err
}

// newLog writes what goes wrong to a person who watches; a play tells of itself.
func (c demoCmd) newLog(w io.Writer) *slog.Logger {
	switch {
	case c.Verbose:
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	case c.Play, c.Load:
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// isLoopback says whether only this machine can reach an address host:port.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}
