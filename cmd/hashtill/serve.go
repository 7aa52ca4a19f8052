package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"hashtill/bot"
	"hashtill/bot/x"
	"hashtill/cmd/hashtill/api"
	"hashtill/confirm"
	"hashtill/confirm/smtp"
	"hashtill/confirm/stripe"
	"hashtill/offers"
	"hashtill/store"
	"hashtill/store/redis"
	"hashtill/store/sqlite"
)

// A system is everything that serves, wired together. `hashtill serve`, the demo
// and the tests all run this one.
type system struct {
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	store  *watched
	shop   *offers.Shop
	bot    *bot.Bot
	outbox *store.Outbox
	audit  *auditor
	pages  *http.Server
	listen net.Listener

	metrics *metrics // nil: there are none
	traces  *traces  // nil: there are none

	desk       *http.Server // nil: there is none
	deskListen net.Listener
}

// openStore opens what the key store names. A store that does not answer has failed;
// any other error is the operator's to mend.
func openStore(ctx context.Context, cfg Config, log *slog.Logger) (store.Store, error) {
	st, err := openStoreAt(ctx, cfg, log)
	return st, toMend(err)
}

// toMend is the usageError of an error at the start, unless something outside did
// not answer: then trying again may do.
func toMend(err error) error {
	if err == nil || errors.As(err, new(net.Error)) || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return err
	}
	return usageError{err}
}

func openStoreAt(ctx context.Context, cfg Config, log *slog.Logger) (store.Store, error) {
	kind, rest, _ := strings.Cut(cfg.Store, ":")
	switch {
	case cfg.Store == "memory":
		return store.NewMemory(), nil
	case kind == "sqlite" && rest != "":
		return sqlite.Open(ctx, rest, views...)
	case isRedis(kind):
		c := redis.Config{URL: cfg.Store, Password: string(cfg.Redis.Password), Wait: cfg.Redis.Wait, AllowLoss: cfg.Redis.AllowLoss, Log: log}
		if cfg.Redis.CAFile != "" {
			pem, err := os.ReadFile(cfg.Redis.CAFile)
			if err != nil {
				return nil, fmt.Errorf("redis.ca_file: %w", err)
			}
			if c.RootCAs, err = x509.SystemCertPool(); err != nil {
				return nil, err
			}
			if !c.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("redis.ca_file: %s holds no certificate (PEM)", cfg.Redis.CAFile)
			}
		}
		return redis.Open(ctx, c)
	}
	return nil, fmt.Errorf("store: %q is none of sqlite:PATH, redis://…, redis-cluster://… and memory", kind)
}

func isRedis(kind string) bool {
	return slices.Contains([]string{"redis", "rediss", "redis-cluster", "rediss-cluster"}, kind)
}

// views show the store to people who ask it in SQL (see package sqlite).
var views = []sqlite.View{{
	Name: "purchase", Prefix: "purchase/", Columns: []sqlite.Column{
		{Name: "id", Path: "$.id"}, {Name: "state", Path: "$.state"}, {Name: "reason", Path: "$.reason"},
		{Name: "network", Path: "$.buyer.network"}, {Name: "account", Path: "$.buyer.id"}, {Name: "handle", Path: "$.handle"},
		{Name: "offer", Path: "$.offer"}, {Name: "title", Path: "$.title"}, {Name: "variant", Path: "$.variant"},
		{Name: "quantity", Path: "$.quantity"}, {Name: "held", Path: "$.held"},
		{Name: "total_minor", Path: "$.total.minor"}, {Name: "currency", Path: "$.total.currency"},
		{Name: "intent", Path: "$.intent"}, {Name: "wish", Path: "$.wish"},
		{Name: "asked_at", Path: "$.asked_at"}, {Name: "paid_at", Path: "$.paid_at"}, {Name: "ended_at", Path: "$.ended_at"},
	},
}}

// openShop opens the shop as the commands need it that only look and edit.
func openShop(ctx context.Context, cfg Config, st store.Store, log *slog.Logger, now func() time.Time) (*offers.Shop, *confirm.Links, error) {
	if err := store.Unfinished(ctx, st); err != nil {
		return nil, nil, usageError{err}
	}
	if cfg.Keys == "" {
		// Commands that make no codes and sign no links do without the keys.
		cfg.Keys = Secret(confirm.NewKeys())
	}
	links, codeKey, err := confirm.ParseKeys(string(cfg.Keys))
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	settings := offers.Settings{
		CodeKey: codeKey, Thanks: cfg.Thanks != "off", Log: log, Now: now,
		Times: cfg.times(),
	}
	if settings.Limits, err = cfg.limits(); err != nil {
		return nil, nil, err
	}
	if cfg.Archive != "" {
		settings.Archive = (&archive{dir: cfg.Archive, now: now}).add
	}
	shop, err := offers.NewShop(st, settings)
	if err != nil {
		return nil, nil, err
	}
	_, err = shop.Refresh(ctx)
	return shop, links, err
}

// open wires a system on an open store. Every error is the operator's to mend.
func open(ctx context.Context, cfg Config, below store.Store, log *slog.Logger, now func() time.Time) (*system, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	st := &watched{Store: below, now: now}
	shop, links, err := openShop(ctx, cfg, st, log, now)
	if err != nil {
		return nil, err
	}
	if cfg.Offers != "" {
		all, err := readOffers(cfg.Offers)
		if err != nil {
			return nil, err
		}
		if err := shop.Import(ctx, all, true); err != nil {
			return nil, fmt.Errorf("%s: %w", cfg.Offers, err)
		}
	}
	till, err := stripe.New(stripeConfig(cfg, log, now))
	if err != nil {
		return nil, err
	}
	mailer, err := openMailer(cfg, now)
	if err != nil {
		return nil, err
	}
	network, err := openX(cfg, log, now)
	if err != nil {
		return nil, err
	}

	s := &system{cfg: cfg, log: log, now: now, store: st, shop: shop}
	s.bot = &bot.Bot{Shop: shop, Networks: []bot.Network{network}, ThanksProduct: cfg.Thanks == "product", Bare: bot.Bare(cfg.X.Bare), Now: now, Log: log}
	s.bot.Register()
	cc := confirm.Config{Shop: shop, Till: till, Mailer: mailer, Links: links, PublicURL: cfg.PublicURL, Now: now, Log: log}
	if cfg.Stripe.WebhookSecret != "" {
		cc.Webhook = stripe.NewWebhook(till, strings.Fields(string(cfg.Stripe.WebhookSecret)))
	}
	if cc.SignIn, err = signInWith(cfg, log, now); err != nil {
		return nil, err
	}
	cc.Wallet, cc.Limits = stripe.NewWallet(till), shop.Limits
	cc.Terms = confirm.Terms{Version: cfg.Terms.Version, URL: cfg.Terms.URL}
	cc.BeforeLink = s.bot.UnlessWithdrawn
	if cc.Proxies, err = cfg.proxies(); err != nil {
		return nil, err
	}
	counter, err := confirm.New(cc)
	if err != nil {
		return nil, err
	}
	counter.Register(shop)
	(&api.Teller{Shop: shop, Now: now, Log: log, Inside: cfg.Desk.HooksInside}).Register()
	s.outbox = &store.Outbox{Store: st, Do: s.perform, Group: service, Now: now, Log: log}
	shop.Owing = s.outbox.Nudge
	s.audit = &auditor{
		shop: shop, archive: cfg.Archive, now: now, log: log,
		books: confirm.Reconciler{Shop: shop, Ledger: till, Till: till, Settle: confirm.DefaultSettle, Now: now},
	}
	if forgetful, ok := below.(interface{ OnForgotten(func()) }); ok {
		forgetful.OnForgotten(s.bot.Again)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /healthz", healthy)
	if hooked, ok := network.(*x.Network); ok && cfg.X.Hear == "webhook" {
		at, err := url.Parse(cfg.X.WebhookURL)
		if err != nil {
			return nil, err
		}
		mux.Handle(at.EscapedPath(), hooked.WebhookHandler())
	}
	mux.Handle("/", counter.Handler())
	if cfg.Traces.URL != "" {
		s.traces = newTraces(cfg.Traces.URL, cfg.Traces.Share)
	}
	s.pages = &http.Server{
		Handler:           s.traces.handler("page", mux),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      40 * time.Second, // a press waits a while for its outcome
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	if s.listen, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if cfg.MetricsListen != "" {
		var spent func() x.Spending
		if priced, ok := network.(*x.Network); ok {
			spent = priced.Spent
		}
		if s.metrics, err = newMetrics(s, cfg.MetricsListen, spent); err != nil {
			s.unlisten()
			return nil, err
		}
		shop.Moved = s.metrics.count
	}
	if cfg.Desk.URL != "" {
		if err := s.openDesk(mailer); err != nil {
			s.unlisten()
			return nil, err
		}
	}
	return s, nil
}

// unlisten closes what open listens at. Where the system has run, it is closed already.
func (s *system) unlisten() {
	s.listen.Close()
	if s.metrics != nil {
		s.metrics.listen.Close()
	}
	if s.deskListen != nil {
		s.deskListen.Close()
	}
}

func stripeConfig(cfg Config, log *slog.Logger, now func() time.Time) stripe.Config {
	return stripe.Config{
		APIURL: cfg.Stripe.APIURL, Key: string(cfg.Stripe.Key),
		Rate: cfg.Stripe.Rate, EndpointRate: cfg.Stripe.EndpointRate, Log: log, Now: now,
	}
}

func openMailer(cfg Config, now func() time.Time) (*smtp.Mailer, error) {
	from, err := mail.ParseAddress(cfg.Mail.From)
	if err != nil {
		return nil, fmt.Errorf("mail.from: %w", err)
	}
	var signs *smtp.DKIM
	if cfg.Mail.DKIMKey != "" {
		if signs, err = smtp.NewDKIM(cfg.Mail.DKIMSelector, []byte(cfg.Mail.DKIMKey)); err != nil {
			return nil, err
		}
	}
	return smtp.New(smtp.Config{
		DKIM: signs,
		Host: cfg.SMTP.Host, Port: cfg.SMTP.Port, TLS: cfg.SMTP.TLS,
		Username: cfg.SMTP.Username, Password: string(cfg.SMTP.Password), From: *from, Now: now,
	})
}

func xConfig(cfg Config, log *slog.Logger, now func() time.Time) x.Config {
	return x.Config{
		APIURL: cfg.X.APIURL, StreamURL: cfg.X.StreamURL, Handle: cfg.X.Handle,
		ConsumerKey: string(cfg.X.ConsumerKey), ConsumerSecret: string(cfg.X.ConsumerSecret),
		AccessToken: string(cfg.X.AccessToken), AccessSecret: string(cfg.X.AccessSecret),
		BearerToken: string(cfg.X.BearerToken), Log: log, Now: now,
		Hear: x.Source(cfg.X.Hear), PollEvery: cfg.X.PollEvery, WebhookURL: cfg.X.WebhookURL,
		RepliesPerDay: cfg.X.RepliesPerDay, Links: cfg.X.ReplyLinks,
	}
}

func openX(cfg Config, log *slog.Logger, now func() time.Time) (bot.Network, error) {
	if cfg.X.API == "v1.1" {
		return x.NewClassic(xConfig(cfg, log, now))
	}
	return x.New(xConfig(cfg, log, now))
}

// perform does what is owed. A time that a network or the till names is the outbox's
// next try.
func (s *system) perform(ctx context.Context, l store.Lease) error {
	began := s.now()
	err := s.traces.perform(ctx, l, func(ctx context.Context) error { return s.do(ctx, l) })
	s.metrics.performed(l.Kind, err, s.now().Sub(began))
	return err
}

func (s *system) do(ctx context.Context, l store.Lease) error {
	err := s.shop.Perform(ctx, l)
	if later := (*bot.LaterError)(nil); errors.As(err, &later) {
		return &store.Later{At: later.At, Err: err}
	}
	if later := (*confirm.LaterError)(nil); errors.As(err, &later) {
		return &store.Later{At: later.At, Err: err}
	}
	return err
}

// refreshEvery is how soon an offer that another process changed is seen.
const refreshEvery = 5 * time.Second

// run serves until ctx ends, and then finishes what is under way.
func (s *system) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.outbox.Run(ctx) })
	g.Go(func() error { return s.bot.Run(ctx) })
	g.Go(func() error { s.watchPayments(ctx); return nil })
	g.Go(func() error { s.audit.run(ctx); return nil })
	serveUntil(ctx, g, s.pages, s.listen)
	if s.metrics != nil {
		serveUntil(ctx, g, s.metrics.server, s.metrics.listen)
		s.log.Info("serving metrics", "listen", s.metrics.listen.Addr().String())
	}
	if s.desk != nil {
		serveUntil(ctx, g, s.desk, s.deskListen)
		s.log.Info("serving the desk", "desk", s.cfg.Desk.URL, "listen", s.deskListen.Addr().String())
	}
	g.Go(func() error {
		tick := time.NewTicker(refreshEvery)
		defer tick.Stop()
		failing := false
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			changed, err := s.shop.Refresh(ctx)
			if err != nil && !failing && ctx.Err() == nil {
				s.log.Error("cannot read the offers; trying again", "err", err)
			}
			failing = err != nil
			if changed {
				s.bot.Follow()
			}
		}
	})
	s.log.Info("serving", "pages", s.cfg.PublicURL, "listen", s.listen.Addr().String(), "store", storeKind(s.cfg.Store), "offers", s.shop.OfferCount())
	err := g.Wait()
	if lost := s.traces.close(); lost != nil {
		s.log.Warn("the last traces did not reach their collector")
	}
	s.log.Info("stopped", "err", err)
	return err
}

// serveUntil has a server of the group answer until ctx ends, and then what is under way.
func serveUntil(ctx context.Context, g *errgroup.Group, server *http.Server, l net.Listener) {
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return server.Shutdown(ctx)
	})
}

// storeKind is what of the store's address may be logged: a URL can hold a password.
func storeKind(where string) string {
	kind, _, _ := strings.Cut(where, ":")
	return kind
}
