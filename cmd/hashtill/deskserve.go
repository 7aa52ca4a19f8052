package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"hashtill/bot"
	"hashtill/bot/x"
	"hashtill/cmd/hashtill/api"
	"hashtill/cmd/hashtill/desk"
	"hashtill/confirm"
	"hashtill/offers"
)

// openDesk makes the desk, and listens for it.
func (s *system) openDesk(mailer confirm.Mailer) (err error) {
	proxies, err := s.cfg.proxies()
	if err != nil {
		return err
	}
	d, err := desk.New(desk.Config{
		Proxies: proxies,
		Shop:    s.shop, Mailer: mailer, URL: s.cfg.Desk.URL, Pages: s.cfg.PublicURL, Log: s.log, Now: s.now,
		Followed: s.bot.Follow, Announce: s.announceEverywhere, States: s.states,
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /healthz", healthy)
	mux.Handle("/api/", (&api.API{Shop: s.shop, Now: s.now, Log: s.log, Followed: s.bot.Follow}).Handler())
	mux.Handle("/", d.Handler())
	s.desk = &http.Server{
		Handler:           s.traces.handler("desk", mux),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      40 * time.Second, // a page that moves, and a large file, set their own again and again
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          s.pages.ErrorLog,
	}
	s.desk.RegisterOnShutdown(d.Close) // pages that move would hold it up
	if s.deskListen, err = net.Listen("tcp", s.cfg.Desk.Listen); err != nil {
		return fmt.Errorf("desk.listen: %w", err)
	}
	return nil
}

// healthy answers GET /healthz: the process answers. Whether it does its work is for
// /readyz to say.
func healthy(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintln(w, "ok")
}

// announceEverywhere owes that a post about an offer is made on each network, in the
// language that the shop speaks by default.
func (s *system) announceEverywhere(ctx context.Context, o offers.Offer) error {
	for _, n := range s.bot.Networks {
		if _, err := s.shop.Announce(ctx, o.ID, n.Name(), "en", false, s.now()); err != nil {
			return err
		}
	}
	return nil
}

// states are the parts of the system and how they are.
func (s *system) states(ctx context.Context) []desk.State {
	var all []desk.State
	add := func(name string, err error, fine string) {
		st := desk.State{Name: name, OK: err == nil, Text: fine}
		if err != nil {
			st.Text = err.Error()
		}
		all = append(all, st)
	}
	add("Store", s.storeWorks(ctx), fmt.Sprintf("works, %d effects under way", s.outbox.InFlight()))
	listening := s.bot.Listening()
	for _, network := range slices.Sorted(maps.Keys(listening)) {
		fine, err := heard(listening[network])
		add("Hearing "+network, err, fine)
	}
	for _, a := range s.allowances() {
		fine := fmt.Sprintf("%d of %d left", a.Left, a.Limit)
		if !a.Resets.IsZero() {
			fine += ", until " + a.Resets.UTC().Format("15:04 UTC")
		}
		var err error
		if a.Left == 0 {
			err = errors.New(fine)
		}
		add("Budget: "+a.Name, err, fine)
	}
	lags := s.outbox.Lags()
	for _, part := range []struct {
		name  string
		kinds []offers.EffectKind
	}{
		{"Mail", []offers.EffectKind{offers.MailCode, offers.MailLink, offers.MailReceipt, offers.MailReason, offers.MailRefund, offers.MailShipped, offers.MailWithdrawal}},
		{"Stripe", payments},
		{"Replies", []offers.EffectKind{offers.Reply, offers.ReplyReason, offers.Thank}},
		{"Merchants' machines", []offers.EffectKind{offers.TellMerchant}},
	} {
		late, oldest := 0, time.Duration(0)
		for _, kind := range part.kinds {
			if l, ok := lags[string(kind)]; ok {
				late += l.Effects
				oldest = max(oldest, s.now().Sub(l.Since))
			}
		}
		var err error
		if oldest > paymentsLate {
			err = fmt.Errorf("late: %d wait, the oldest for %s", late, oldest.Round(time.Second))
		}
		add(part.name, err, "in time")
	}
	return all
}

// allowances are what the networks still let the bot say.
func (s *system) allowances() (all []x.Allowance) {
	for _, n := range s.bot.Networks {
		if budgeted, ok := n.(interface{ Allowances() []x.Allowance }); ok {
			all = append(all, budgeted.Allowances()...)
		}
	}
	return all
}

var (
	errListener    = errors.New("cannot be listened to by this process; the log says why")
	errUnconnected = errors.New("not connected")
)

// heard is how it is to listen to a network.
func heard(l bot.Listening) (fine string, err error) {
	switch {
	case !l.Held && l.Failed:
		err = errListener
	case !l.Held:
		fine = "not listened to by this process"
	case l.Behind:
		err = fmt.Errorf("behind: %d posts wait, the one in hand is %s old", l.Waiting, l.Age.Round(time.Second))
	case !l.Connected:
		err = errUnconnected
	default:
		fine = "listening"
	}
	return fine, err
}
