package bench

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"hashtill/bot"
	"hashtill/confirm"
	"hashtill/offers"
)

// aimBuy is how many purchases a second are to go through.
const aimBuy = 2500

// Buy is hashtill bench buy.
type Buy struct {
	Store   []string      `help:"Where: sqlite, redis (with appendfsync always), memory." default:"sqlite"`
	For     time.Duration `help:"For how long, after a start of a second." default:"60s"`
	AtOnce  int           `help:"How many buy at once." default:"768"`
	Workers int           `help:"How many effects the outbox performs at once." default:"512"`
	Buyers  int           `help:"How many buyers there are." default:"10000"`
	Half    time.Duration `help:"How long to measure the time to the reply, at half of what went through; 0: not." default:"15s"`
	Profile string        `help:"A file for a CPU profile of the time at full load." hidden:"" type:"path"`
}

// Help is the rest of the help text.
func (Buy) Help() string {
	return `Whole purchases, from the wish to the receipt, as often as it goes. The shop, the
bot, the counter and the outbox are those that serve, and every commit is durable; only
the network, Stripe and the mail server are stand-ins within this process, which answer
at once. For example:

  hashtill bench buy --store sqlite,redis --for 60s`
}

// Run measures.
func (c Buy) Run(r Run) error {
	for _, kind := range c.Store {
		if err := c.on(r, kind); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

func (c Buy) on(r Run, kind string) (err error) {
	g, err := newGround(r.Ctx, kind)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	b, err := newBuying(g, c.Workers, c.Buyers)
	if err != nil {
		return err
	}
	f := b.floor
	r.progress("%s: %d buyers register", kind, c.Buyers)
	var full load
	var half latencies
	err = f.run(r.Ctx, func(ctx context.Context) error {
		if err := b.open(ctx, buyOffers(), c.Buyers); err != nil {
			return err
		}
		if err := f.outbox.WaitIdle(ctx); err != nil {
			return err
		}
		r.progress("%s: %d buy at once for %s", kind, c.AtOnce, c.For)
		err := profiled(c.Profile, func() (err error) {
			full, err = b.full(ctx, g, c.AtOnce, c.For)
			return err
		})
		if err != nil {
			return err
		}
		if c.Half > 0 {
			rate := full.perSecond() / 2
			r.progress("%s: %.0f wishes a second for %s", kind, rate, c.Half)
			half, err = b.paced(ctx, rate, c.Half)
		}
		return err
	})
	if err != nil {
		return err
	}
	r.progress("%s: bare commits", kind)
	limit, cpu, err := bare(r.Ctx, kind, c.AtOnce, int(full.putBytes/max(full.commits, 1)))
	if err != nil {
		return err
	}
	n := float64(full.bought)
	perPurchase := float64(full.commits) / n
	figures := []figure{
		{what: "purchases, wish to receipt", value: full.perSecond(), unit: "a second", against: "bare commits ÷ commits per purchase", limit: limit / perPurchase,
			note: fmt.Sprintf("%.2f × the aim of %s", full.perSecond()/aimBuy, number(aimBuy))},
		{what: "as many as all cores have time for", value: float64(runtime.NumCPU()) * n / (full.cpu + full.server).Seconds(), unit: "a second",
			note: fmt.Sprintf("%d cores, of which it had %.2f", runtime.NumCPU(), (full.cpu+full.server).Seconds()/full.took.Seconds())},
		{what: "commits", value: float64(full.commits) / full.took.Seconds(), unit: "a second", against: "bare commits", limit: limit},
		{what: "commits per purchase", value: perPurchase, unit: ""},
		{what: "commits that lost a race, per purchase", value: float64(full.failed) / n, unit: ""},
		{what: "reads per purchase", value: float64(full.reads) / n, unit: ""},
		{what: "effects per lease", value: float64(full.leased) / float64(max(full.leases, 1)), unit: ""},
		{what: "CPU per purchase", value: float64((full.cpu + full.server).Microseconds()) / n, unit: "µs", against: "that of its commits, bare", limit: cpu * perPurchase},
	}
	if g.server != 0 {
		figures = append(figures, figure{what: "of which the store's server", value: float64(full.server.Microseconds()) / n, unit: "µs"})
	}
	figures = append(figures, figure{what: "bytes written per purchase", value: float64(full.written) / n, unit: "bytes", against: "values of records", limit: float64(full.putBytes) / n})
	if c.Half > 0 {
		figures = append(figures,
			figure{what: "wish heard → reply leaving, p50, half load", value: half.at(0.5), unit: "ms"},
			figure{what: "wish heard → reply leaving, p99, half load", value: half.at(0.99), unit: "ms", note: "aim: under 50 ms"},
			figure{what: "wish heard → reply leaving, the longest", value: half.at(1), unit: "ms"})
	}
	r.print(fmt.Sprintf("buy: %s, %d at once, %d purchases in %s", kind, c.AtOnce, full.bought, full.took.Round(10*time.Millisecond)), figures...)
	return nil
}

// buyOffers are enough of them for their purchases to stand in many shards.
func buyOffers() (all []offers.Offer) {
	for n := range 32 {
		all = append(all, offerOf("Bench"+strconv.Itoa(n), offers.Unlimited, offers.MaxQuantity))
	}
	return all
}

// A buying has many buy at once.
type buying struct {
	*floor
	buyers int
	wanted int // how many of the offers are asked for
	posts  atomic.Int64
	visits [64]visits
}

// visits are the purchases under way, by their ids and by the posts of their wishes.
type visits struct {
	mu sync.Mutex
	of map[string]*visit
}

// A visit is one purchase under way, as its buyer sees it.
type visit struct {
	began   time.Time
	reply   atomic.Pointer[bot.Reply]
	replied time.Duration
	link    atomic.Pointer[string]
	coded   chan struct{} // each is closed once
	mailed  chan struct{}
	receipt chan struct{}
	ended   chan struct{} // without being paid
}

func newBuying(g *ground, workers, buyers int) (b *buying, err error) {
	b = &buying{buyers: buyers, wanted: 32}
	for i := range b.visits {
		b.visits[i].of = map[string]*visit{}
	}
	if b.floor, err = openFloor(g.Store, workers, b.moved); err != nil {
		return nil, err
	}
	b.said, b.outside.mailed = b.hearReply, b.readMail
	return b, nil
}

func (b *buying) at(key string) *visits {
	n, _ := strconv.Atoi(key[max(0, len(key)-3):])
	if key[0] != '5' { // an id ends in digits of base 32
		n = int(key[len(key)-1]) + int(key[len(key)-2])
	}
	return &b.visits[n%len(b.visits)]
}

func (b *buying) visit(key string) *visit {
	v := b.at(key)
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.of[key]
}

func (b *buying) put(key string, one *visit) {
	v := b.at(key)
	v.mu.Lock()
	defer v.mu.Unlock()
	if one == nil {
		delete(v.of, key)
		return
	}
	v.of[key] = one
}

// hearReply is a reply that leaves.
func (b *buying) hearReply(r bot.Reply) {
	if v := b.visit(r.To); v != nil && v.reply.CompareAndSwap(nil, &r) {
		v.replied = time.Since(v.began)
	}
}

// linkInMail is the link as a mail's text has it.
var linkInMail = regexp.MustCompile(`https://shop\.example/c/([A-Za-z0-9_.~-]+)`)

// readMail is a mail that leaves.
func (b *buying) readMail(m confirm.Mail) {
	kind, rest, _ := strings.Cut(m.ID, "/")
	id, _, _ := strings.Cut(rest, "/")
	v := b.visit(id)
	switch {
	case v == nil:
	case kind == string(offers.MailLink):
		if found := linkInMail.FindStringSubmatch(m.Text); found != nil {
			v.link.Store(&found[1])
		}
	case kind == string(offers.MailReceipt):
		close(v.receipt)
	}
}

// moved is a purchase that has moved, durably.
func (b *buying) moved(_, after offers.Purchase) {
	v := b.visit(string(after.ID))
	if v == nil {
		return
	}
	switch after.State {
	case offers.Coded:
		close(v.coded)
	case offers.Mailed:
		close(v.mailed)
	case offers.Expired, offers.Cancelled, offers.Refused, offers.Declined:
		close(v.ended)
	}
}

// buy goes the way of one purchase. since is when its wish was said.
func (b *buying) buy(ctx context.Context, since time.Time) (v *visit, err error) {
	n := int(b.posts.Add(1))
	tag := "Bench" + strconv.Itoa(n%b.wanted)
	post := b.wish(n, n*7919%b.buyers, tag)
	id := offers.NewID(b.Name(), post.ID, offers.TagKey(tag))
	v = &visit{began: since, coded: make(chan struct{}), mailed: make(chan struct{}), receipt: make(chan struct{}), ended: make(chan struct{})}
	b.put(string(id), v)
	b.put(post.ID, v)
	defer b.put(string(id), nil)
	defer b.put(post.ID, nil)
	until := func(what string, news chan struct{}) error {
		select {
		case <-news:
			return nil
		case <-v.ended:
			return fmt.Errorf("purchase %s ended before it was %s", id, what)
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	if err := b.bot.Hear(ctx, &b.outside, post); err != nil {
		return v, err
	}
	if err := until("coded", v.coded); err != nil {
		return v, err
	}
	reply := v.reply.Load()
	var tags []string
	for word := range strings.FieldsSeq(reply.Text) {
		if tag, ok := strings.CutPrefix(word, "#"); ok {
			tags = append(tags, strings.TrimRight(tag, ".,:;!"))
		}
	}
	echo := bot.Post{
		Network: b.Name(), ID: post.ID + "1", Author: post.Author, At: time.Now(), Kind: bot.Repost,
		Of: &bot.Post{Network: b.Name(), ID: "7" + post.ID, Author: bot.Author{ID: botID, Handle: "bench"}, Text: reply.Text, Tags: tags},
	}
	if err := b.bot.Hear(ctx, &b.outside, echo); err != nil {
		return v, err
	}
	if err := until("mailed", v.mailed); err != nil {
		return v, err
	}
	link := v.link.Load()
	if link == nil {
		return v, fmt.Errorf("purchase %s: no link in the mail", id)
	}
	linked, round, ok := b.links.Verify(*link)
	if !ok || linked != id {
		return v, fmt.Errorf("purchase %s: the mail's link leads elsewhere", id)
	}
	if _, err := b.shop.Press(ctx, id, round, "", time.Now()); err != nil {
		return v, err
	}
	return v, until("paid", v.receipt)
}

// A load is what went through, and what it cost.
type load struct {
	bought, commits, failed, reads, leases, leased, putBytes int64
	spending
	took time.Duration
}

func (l load) perSecond() float64 { return float64(l.bought) / l.took.Seconds() }

// full has so many buy at once, again and again, until that time is over and all that is
// owed is done.
func (b *buying) full(ctx context.Context, g *ground, atOnce int, last time.Duration) (l load, err error) {
	var bought atomic.Int64
	for _, d := range []time.Duration{time.Second, last} { // the first is the start
		from := load{
			bought: bought.Load(), commits: b.store.commits.Load(), failed: b.store.failed.Load(), reads: b.store.reads.Load(),
			leases: b.store.leases.Load(), leased: b.store.leased.Load(), putBytes: b.store.putBytes.Load(), spending: g.spent(),
		}
		all, going := errgroup.WithContext(ctx)
		for range atOnce {
			all.Go(func() error {
				for now := time.Now(); now.Sub(from.at) < d; now = time.Now() {
					if _, err := b.buy(going, now); err != nil {
						return err
					}
					bought.Add(1)
				}
				return nil
			})
		}
		if err := all.Wait(); err != nil {
			return l, err
		}
		if err := b.outbox.WaitIdle(ctx); err != nil {
			return l, err
		}
		to := g.spent()
		l = load{
			bought: bought.Load() - from.bought, commits: b.store.commits.Load() - from.commits, failed: b.store.failed.Load() - from.failed,
			reads: b.store.reads.Load() - from.reads, leases: b.store.leases.Load() - from.leases, leased: b.store.leased.Load() - from.leased,
			putBytes: b.store.putBytes.Load() - from.putBytes, took: to.at.Sub(from.at),
			spending: spending{cpu: to.cpu - from.cpu, server: to.server - from.server, written: to.written - from.written},
		}
	}
	return l, nil
}

// latencies are in their order.
type latencies []time.Duration

// at is the one that so many are not longer than, in milliseconds.
func (l latencies) at(share float64) float64 {
	if len(l) == 0 {
		return 0
	}
	return float64(l[min(int(share*float64(len(l))), len(l)-1)].Microseconds()) / 1000
}

// paced begins so many purchases a second, whatever becomes of those before, and tells
// how long each wish waited for its reply since it was due to be said.
func (b *buying) paced(ctx context.Context, perSecond float64, last time.Duration) (all latencies, err error) {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for n := 0; ; n++ {
		due := began.Add(time.Duration(float64(n) / perSecond * float64(time.Second)))
		if due.Sub(began) >= last || !waitUntil(ctx, due) {
			break
		}
		g.Go(func() error {
			v, err := b.buy(ctx, due)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, v.replied)
			}
			return err
		})
	}
	err = g.Wait()
	slices.Sort(all)
	return all, err
}
