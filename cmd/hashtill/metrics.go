package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hashtill/bot/x"
	"hashtill/offers"
	"hashtill/store"
)

// metrics are the figures of this process, for Prometheus, at an address of their own:
// how a business goes is nobody else's to read. No label ever names a card, an e-mail, a
// handle or an account: only a state, a network or a kind of effect.
type metrics struct {
	system *system
	spent  func() x.Spending // nil: the network tells no prices
	moved  *prometheus.CounterVec
	paid   atomic.Int64 // purchases that became paid
	tries  *prometheus.HistogramVec
	lost   *prometheus.CounterVec
	server *http.Server
	listen net.Listener
}

var (
	inFlightDesc = prometheus.NewDesc("hashtill_effects_in_flight",
		"Effects that this process performs or has put off.", nil, nil)
	owedDesc = prometheus.NewDesc("hashtill_owed_seconds",
		"Since when the oldest effect of a kind is due that this process has in hand or has put off; absent where there is none.", []string{"kind"}, nil)
	listeningDesc = prometheus.NewDesc("hashtill_listening",
		"1 if this process hears what is posted now, else 0. One process at a time listens to a network: of several, the largest counts.", []string{"network"}, nil)
	waitingDesc = prometheus.NewDesc("hashtill_posts_waiting",
		"Posts that this process has heard and not begun with.", []string{"network"}, nil)

	haltedDesc = prometheus.NewDesc("hashtill_halted", "1 while the shop is halted: nothing is charged, and wishes wait.", nil, nil)
	offersDesc = prometheus.NewDesc("hashtill_offers", "Offers in the catalogue.", nil, nil)
	leftDesc   = prometheus.NewDesc("hashtill_x_posts_left", "What X still lets the account say in a window, as this process knows it.", []string{"window"}, nil)

	// What X asks for: see x.Spending.
	spentDesc    = prometheus.NewDesc("hashtill_x_spent_usd_total", "What X asks for all that this process has posted and read, at list prices.", nil, nil)
	repliesDesc  = prometheus.NewDesc("hashtill_x_replies_total", "Replies on X, without those with a link.", nil, nil)
	postsDesc    = prometheus.NewDesc("hashtill_x_posts_total", "Posts on X that answer nobody, without those with a link.", nil, nil)
	withLinkDesc = prometheus.NewDesc("hashtill_x_posts_with_link_total", "Replies and other posts on X with a link, which cost most.", nil, nil)
	readDesc     = prometheus.NewDesc("hashtill_x_posts_read_total", "Posts read on X, without mentions that were asked for.", nil, nil)
	mentionsDesc = prometheus.NewDesc("hashtill_x_mentions_read_total", "Mentions of the bot read on X by asking for them.", nil, nil)
	countsDesc   = prometheus.NewDesc("hashtill_x_counts_total", "Questions to X how many posts there are.", nil, nil)
	costDesc     = prometheus.NewDesc("hashtill_x_cost_per_purchase_usd",
		"What X asks for each purchase that became paid, both by this process since its start; NaN while none has. "+
			"Of several processes the quotient of the sums counts: "+
			`sum(hashtill_x_spent_usd_total)/sum(hashtill_purchases_total{to="paid"}).`, nil, nil)
)

// newMetrics listens where metrics_listen says, and counts from now on. spent is nil where
// the network tells no prices.
func newMetrics(s *system, address string, spent func() x.Spending) (*metrics, error) {
	m := &metrics{system: s, spent: spent}
	m.moved = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hashtill_purchases_total",
		Help: "Moves of purchases in this process, by the state that they came to.",
	}, []string{"to"})
	m.lost = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hashtill_purchases_lost_total",
		Help: "Purchases that ended unpaid in this process, by the state that they were in and the reason, where there is one.",
	}, []string{"from", "reason"})
	m.tries = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "hashtill_effect_seconds",
		Help:    "How long this process took to do what is owed, by kind and by whether it was done, put off or failed.",
		Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 40},
	}, []string{"kind", "outcome"})
	for _, state := range offers.States[1:] {
		m.moved.WithLabelValues(string(state)) // 0 is a figure, too
	}
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{m, m.moved, m.lost, m.tries, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	errorLog := slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: errorLog, MaxRequestsInFlight: 4}))
	m.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          errorLog,
	}
	var err error
	if m.listen, err = net.Listen("tcp", address); err != nil {
		return nil, fmt.Errorf("metrics_listen: %w: give a free address of this machine, such as 127.0.0.1:9090, or leave it empty for no metrics", err)
	}
	return m, nil
}

// validListen says what is wrong with an address to listen at.
func validListen(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return errors.New("is not an address to listen at, such as 127.0.0.1:9090")
	}
	return nil
}

// performed takes how an effect was done.
func (m *metrics) performed(kind string, err error, took time.Duration) {
	if m == nil {
		return
	}
	outcome := "done"
	if err != nil {
		outcome = "failed"
		if errors.As(err, new(*store.Later)) {
			outcome = "put off"
		}
	}
	m.tries.WithLabelValues(kind, outcome).Observe(took.Seconds())
}

// count takes a move of a purchase.
func (m *metrics) count(before, after offers.Purchase) {
	switch after.State {
	case offers.Expired, offers.Cancelled, offers.Refused:
		m.lost.WithLabelValues(string(before.State), string(after.Reason)).Inc()
	}
	m.moved.WithLabelValues(string(after.State)).Inc()
	if after.State == offers.Paid {
		m.paid.Add(1)
	}
}

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		inFlightDesc, owedDesc, listeningDesc, waitingDesc, haltedDesc, offersDesc, leftDesc,
		spentDesc, repliesDesc, postsDesc, withLinkDesc, readDesc, mentionsDesc, countsDesc, costDesc,
	} {
		to <- d
	}
}

// Collect implements [prometheus.Collector]. It asks nobody outside of this process.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	figure := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	s := m.system
	figure(inFlightDesc, prometheus.GaugeValue, float64(s.outbox.InFlight()))
	halted := 0.0
	if s.shop.IsHalted() {
		halted = 1
	}
	figure(haltedDesc, prometheus.GaugeValue, halted)
	figure(offersDesc, prometheus.GaugeValue, float64(s.shop.OfferCount()))
	for _, a := range s.allowances() {
		figure(leftDesc, prometheus.GaugeValue, float64(a.Left), strings.ReplaceAll(a.Name, " ", "_"))
	}
	now := s.now()
	for kind, l := range s.outbox.Lags() {
		figure(owedDesc, prometheus.GaugeValue, max(now.Sub(l.Since), 0).Seconds(), kind)
	}
	for network, l := range s.bot.Listening() {
		connected := 0.0
		if l.Connected {
			connected = 1
		}
		figure(listeningDesc, prometheus.GaugeValue, connected, network)
		figure(waitingDesc, prometheus.GaugeValue, float64(l.Waiting), network)
	}
	if m.spent == nil {
		return
	}
	spent := m.spent() // once, so that the figures agree
	dollars := float64(spent.MicroDollars) / 1e6
	for d, n := range map[*prometheus.Desc]int64{
		repliesDesc: spent.Replies, postsDesc: spent.Posts, withLinkDesc: spent.WithLink,
		readDesc: spent.PostsRead, mentionsDesc: spent.MentionsRead, countsDesc: spent.Counts,
	} {
		figure(d, prometheus.CounterValue, float64(n))
	}
	figure(spentDesc, prometheus.CounterValue, dollars)
	each := math.NaN()
	if paid := m.paid.Load(); paid > 0 {
		each = dollars / float64(paid)
	}
	figure(costDesc, prometheus.GaugeValue, each)
}
