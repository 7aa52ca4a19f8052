package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"hashtill/bot/x/xtest"
	"hashtill/offers"
	"hashtill/store"
)

// A load has many buyers buy at once, as fast as the store and the till take it. The
// payments are real ones, made at the stand-in of Stripe; a reply and a mail count as
// sent at once. So the figures are those of this machine, its disk or its Redis, and
// not those of a network.
type load struct {
	*system
	name   string // of this process's posts
	buyers []offers.Buyer
	all    []offers.Offer
	tell   func(fact) // of what is done and what is kept; nil: nobody listens

	bought  atomic.Int64
	commits *commits
}

// A fact is a line of what a load tells. What a buyer is about to do is told before
// it is done; all else when it has happened and is durable.
type fact struct {
	Serving bool `json:"serving,omitempty"` // the store is open, and what is owed is being done

	Buyer    string       `json:"buyer,omitempty"` // is about to do this
	Does     string       `json:"does,omitempty"`  // wish, echo, press, cancel or refund
	Purchase offers.ID    `json:"purchase,omitempty"`
	State    offers.State `json:"state,omitempty"` // what the shop has answered

	// One commit that has succeeded.
	Commit  bool             `json:"commit,omitempty"`
	Shard   int              `json:"shard,omitempty"`
	Put     map[string]int64 `json:"put,omitempty"`     // the records at their new versions, 0 for one that is removed
	Settled map[string]int64 `json:"settled,omitempty"` // effects that were ended, and by which try
	PutOff  map[string]int64 `json:"putoff,omitempty"`
	Owed    []string         `json:"owed,omitempty"`
}

// factsTo writes facts, a line each, in one write: whoever reads a pipe has all that
// was told when this process dies.
func factsTo(w io.Writer) func(fact) {
	var mu sync.Mutex
	return func(f fact) {
		line, err := json.Marshal(f)
		if err != nil {
			return // a fact has nothing that cannot be written
		}
		mu.Lock()
		defer mu.Unlock()
		w.Write(append(line, '\n'))
	}
}

// commits is a store that tells of its commits as they succeed.
type commits struct {
	store.Store
	tell  func(fact)
	count atomic.Int64

	mu      sync.Mutex
	waiting map[string]chan struct{} // closed when the record is written
}

// Commit commits, counts and tells.
func (c *commits) Commit(ctx context.Context, change store.Change) error {
	if err := c.Store.Commit(ctx, change); err != nil {
		return err
	}
	c.count.Add(1)
	if c.tell != nil {
		c.tell(factOf(change))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range change.Put {
		if news := c.waiting[p.Key]; news != nil {
			close(news)
			delete(c.waiting, p.Key)
		}
	}
	return nil
}

// written is closed when the record of that key has been written in this process.
func (c *commits) written(key string) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := c.waiting[key]
	if news == nil {
		news = make(chan struct{})
		c.waiting[key] = news
	}
	return news
}

func factOf(change store.Change) fact {
	f := fact{Commit: true, Shard: change.Shard, Put: map[string]int64{}, Settled: map[string]int64{}, PutOff: map[string]int64{}}
	for _, p := range change.Put {
		f.Put[p.Key] = p.Version + 1
		if p.Value == nil {
			f.Put[p.Key] = 0
		}
	}
	for _, s := range change.Settle {
		f.Settled[s.ID] = s.Try
	}
	for _, p := range change.PutOff {
		f.PutOff[p.ID] = p.Try
	}
	for _, e := range change.Owe {
		f.Owed = append(f.Owed, e.ID)
	}
	return f
}

// newLoad makes a load of a system that does not serve yet. The buyers are those who
// are registered, and they buy all that is for sale.
func newLoad(ctx context.Context, s *system, tell func(fact)) (*load, error) {
	l := &load{system: s, name: fmt.Sprintf("%d-%d", os.Getpid(), s.now().UnixNano()), tell: tell}
	l.commits = &commits{Store: s.store.Store, tell: tell, waiting: map[string]chan struct{}{}}
	s.store.Store = l.commits
	if l.tell == nil {
		l.tell = func(fact) {}
	}
	// What a process that died held is due again this soon.
	s.outbox.LeaseFor, s.outbox.Poll = 2*time.Second, 50*time.Millisecond
	for kind, event := range map[offers.EffectKind]offers.EventKind{
		offers.Reply: offers.ReplySent, offers.MailCode: offers.CodeMailed, offers.MailLink: offers.LinkMailed,
		offers.ReplyReason: offers.EffectDone, offers.Thank: offers.EffectDone, offers.MailReceipt: offers.EffectDone,
		offers.MailReason: offers.EffectDone, offers.MailRefund: offers.EffectDone,
	} {
		s.shop.On(kind, func(_ context.Context, j offers.Job) (offers.Event, error) {
			return offers.Event{Kind: event, Post: "reply-" + string(j.Purchase.ID)}, nil
		})
	}
	err := s.shop.EachBuyer(ctx, func(b offers.Buyer) error {
		if b.Known() {
			l.buyers = append(l.buyers, b)
		}
		return nil
	})
	slices.SortFunc(l.buyers, func(a, b offers.Buyer) int { return cmp.Compare(a.Account.String(), b.Account.String()) })
	l.all = s.shop.Offers()
	if err == nil && (len(l.buyers) == 0 || len(l.all) == 0) {
		err = usageError{errors.New("a load needs buyers who are registered, and something for sale")}
	}
	return l, err
}

// run has so many buy at once until ctx ends, and lets what is under way end. Without
// any it does what is owed, and returns when nothing is that falls due soon.
func (l *load) run(ctx context.Context, atOnce int) error {
	g, ctx := errgroup.WithContext(ctx)
	serving, stop := context.WithCancel(ctx)
	g.Go(func() error { return l.outbox.Run(serving) })
	l.tell(fact{Serving: true})
	g.Go(func() error {
		defer stop()
		if atOnce == 0 {
			return l.untilDone(ctx)
		}
		var all sync.WaitGroup
		for n := range atOnce {
			all.Go(func() { l.buyAgainAndAgain(ctx, n, atOnce) })
		}
		all.Wait()
		return nil
	})
	return g.Wait()
}

// soon is what untilDone waits for: no window of a purchase that a load has to see to
// its end is longer, unless the configuration says so.
const soon = time.Hour

func (l *load) untilDone(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		owed, err := l.owedBefore(ctx, l.now().Add(soon))
		if err != nil || owed == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d effects are still owed", owed)
		}
	}
}

func (l *load) owedBefore(ctx context.Context, when time.Time) (n int, err error) {
	for shard := range store.Shards {
		for cursor, more := "", true; more; more = cursor != "" {
			var page []store.Owed
			if page, cursor, err = l.store.Owed(ctx, shard, cursor, 1000); err != nil {
				return n, err
			}
			for _, o := range page {
				if o.Due.Before(when) {
					n++
				}
			}
		}
	}
	return n, nil
}

// buyAgainAndAgain is one of atOnce who buy at once. Each purchase is another buyer's,
// so that the limits of what one may have are long in coming.
func (l *load) buyAgainAndAgain(ctx context.Context, n, atOnce int) {
	start := int(l.now().UnixNano() / int64(time.Millisecond))
	for turn := 0; ctx.Err() == nil; turn++ {
		nth := n + turn*atOnce
		b := l.buyers[(start+nth)%len(l.buyers)]
		o := l.all[(start/7+nth)%len(l.all)]
		l.buy(ctx, b.Account, fmt.Sprint(l.name, "-", nth), o.ID, nth)
	}
}

// insist does a step until it is answered; its outcome may have been unknown before.
func (l *load) insist(ctx context.Context, step func() error) (err error) {
	for wait := time.Millisecond; ctx.Err() == nil; wait = min(2*wait, time.Second) {
		if err = step(); err == nil || errors.As(err, new(*offers.Refusal)) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return ctx.Err()
}

// buy goes the way of a purchase. Every seventh is cancelled, every ninth given up in
// silence at the code and every eleventh at the link; of those that are paid every
// fifth is paid back.
func (l *load) buy(ctx context.Context, by offers.Account, post, offer string, n int) {
	p := offers.Purchase{ID: offers.NewID(by.Network, post, offer)}
	step := func(does string, do func() (offers.Purchase, error)) bool {
		l.tell(fact{Buyer: by.ID, Does: does, Purchase: p.ID})
		err := l.insist(ctx, func() error {
			next, err := do()
			if err == nil {
				p = next
			}
			return err
		})
		if err == nil {
			l.tell(fact{Purchase: p.ID, State: p.State})
		}
		return err == nil
	}
	until := func(want offers.State) bool {
		for p.State != want && !p.State.Ended() && ctx.Err() == nil {
			news := l.commits.written("purchase/" + string(p.ID))
			if now, err := l.shop.Purchase(ctx, p.ID); err == nil {
				p = now
			}
			if p.State == want || p.State.Ended() {
				break
			}
			select {
			case <-ctx.Done():
			case <-news:
			case <-time.After(time.Second): // another process may have written it
			}
		}
		return p.State == want
	}
	if !step("wish", func() (offers.Purchase, error) {
		return l.shop.Wish(ctx, offers.Wish{Post: post, Account: by, Handle: "buyer" + by.ID, Offer: offer}, l.now())
	}) || !until(offers.Coded) {
		return
	}
	switch {
	case n%7 == 6:
		step("cancel", func() (offers.Purchase, error) { return l.shop.Cancel(ctx, p.ID, by, l.now()) })
		return
	case n%9 == 8:
		return
	}
	if !step("echo", func() (offers.Purchase, error) { return l.shop.Echo(ctx, p.Code, by, post+"-echo", l.now()) }) ||
		!until(offers.Mailed) || n%11 == 10 ||
		!step("press", func() (offers.Purchase, error) { return l.shop.Press(ctx, p.ID, p.Round, "", l.now()) }) ||
		!until(offers.Paid) {
		return
	}
	l.bought.Add(1)
	l.tell(fact{Purchase: p.ID, State: p.State})
	if n%5 == 4 && step("refund", func() (offers.Purchase, error) {
		return l.shop.RefundPurchase(ctx, p.ID, offers.Money{}, "", l.now())
	}) && until(offers.Refunded) {
		l.tell(fact{Purchase: p.ID, State: p.State})
	}
}

// loadStage has the demo's own shop carry a load.
func (c demoCmd) loadStage(e *env, s *stage) error {
	if c.Buyers < 1 {
		return usageError{errors.New("--buyers: at least one buys")}
	}
	all := stageOffers()
	for n := range 8 {
		o := all[0]
		o.Tag = fmt.Sprint("Load", n)
		o.ID, o.Stock, o.PerBuyer = offers.TagKey(o.Tag), map[string]int{"": offers.Unlimited}, offers.MaxQuantity
		all = append(all, o)
	}
	if err := s.shop.Import(e.ctx, all, true); err != nil {
		return err
	}
	for n := range 4 * c.Buyers {
		p := person{Account: xtest.Account{Handle: fmt.Sprint("buyer", n)}, Lang: "en", Card: "4242424242424242"}
		if err := s.enter(e.ctx, p); err != nil {
			return err
		}
	}
	return c.load(e, s.system)
}

// loadConfigured has a configured shop carry a load: its store, between the stand-ins
// that it names. A test may stand between the shop and the store (under).
func (c demoCmd) loadConfigured(e *env, under func(store.Store) store.Store) (err error) {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	for key, address := range map[string]string{"x.api_url": cfg.X.APIURL, "x.stream_url": cfg.X.StreamURL, "stripe.api_url": cfg.Stripe.APIURL,
		"smtp.host": "//" + net.JoinHostPort(cfg.SMTP.Host, "25")} {
		if u, err := url.Parse(address); err != nil || u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback() {
			return usageError{fmt.Errorf("%s: a load is for stand-ins on this machine, not for %s", key, address)}
		}
	}
	log := c.newLog(e.err)
	st, err := openStore(e.ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	s, err := open(e.ctx, cfg, under(st), log, time.Now)
	if err != nil {
		return toMend(err)
	}
	defer s.unlisten()
	return c.load(e, s)
}

// load buys, and tells what came of it.
func (c demoCmd) load(e *env, s *system) error {
	var tell func(fact)
	if c.JSON {
		tell = factsTo(e.out)
	}
	l, err := newLoad(e.ctx, s, tell)
	if err != nil {
		return err
	}
	ctx, stop := e.ctx, context.CancelFunc(func() {})
	if c.For > 0 && c.Buyers > 0 {
		ctx, stop = context.WithTimeout(ctx, c.For)
	}
	defer stop()
	began := time.Now()
	err = l.run(ctx, c.Buyers)
	if took := time.Since(began); err == nil && !c.JSON {
		commits, bought := l.commits.count.Load(), l.bought.Load()
		fmt.Fprintf(e.out, "%d commits and %d purchases in %s: %.0f commits and %.0f purchases a second\n", commits, bought,
			took.Round(time.Millisecond), float64(commits)/took.Seconds(), float64(bought)/took.Seconds())
	}
	return err
}
