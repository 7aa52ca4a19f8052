package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"hashtill/bot"
	"hashtill/confirm"
	"hashtill/offers"
	"hashtill/store"
	"hashtill/store/sqlite"
)

// A floor is a whole shop in this process: the shop, the outbox, the bot and the counter
// are those that serve. Only whoever is outside is a stand-in: the network, the till and
// the mail server answer at once.
type floor struct {
	outside
	store  *metered
	shop   *offers.Shop
	bot    *bot.Bot
	outbox *store.Outbox
	links  *confirm.Links
}

// openFloor opens a shop on a store, with so many workers in its outbox. moved is told of
// every purchase that moves.
func openFloor(st store.Store, workers int, moved func(before, after offers.Purchase)) (*floor, error) {
	log := slog.New(slog.DiscardHandler)
	links, codeKey, err := confirm.ParseKeys(confirm.NewKeys())
	if err != nil {
		return nil, err
	}
	f := &floor{store: &metered{Store: st}, links: links}
	f.shop, err = offers.NewShop(f.store, offers.Settings{
		CodeKey: codeKey, Times: offers.DefaultTimes, Thanks: true, Log: log, Now: time.Now, Moved: moved,
	})
	if err != nil {
		return nil, err
	}
	f.bot = &bot.Bot{Shop: f.shop, Networks: []bot.Network{&f.outside}, Now: time.Now, Log: log}
	f.bot.Register()
	counter, err := confirm.New(confirm.Config{
		Shop: f.shop, Till: &f.outside, Mailer: &f.outside, Links: links, PublicURL: "https://shop.example", Now: time.Now, Log: log,
		BeforeLink: f.bot.UnlessWithdrawn,
	})
	if err != nil {
		return nil, err
	}
	counter.Register(f.shop)
	f.outbox = &store.Outbox{Workers: workers, Store: f.store, Do: f.shop.Perform, Log: log, Group: func(kind string) string {
		if kind == string(offers.Prepare) || kind == string(offers.Charge) {
			return "stripe"
		}
		return kind
	}}
	f.shop.Owing = f.outbox.Nudge
	return f, nil
}

// registerAtOnce is how many buyers are registered at once.
const registerAtOnce = 512

// account is the n-th buyer's.
func (f *floor) account(n int) offers.Account {
	return offers.Account{Network: f.Name(), ID: strconv.Itoa(1_000_000 + n)}
}

// open puts up offers, and registers buyers.
func (f *floor) open(ctx context.Context, all []offers.Offer, buyers int) error {
	if err := f.shop.Import(ctx, all, true); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(registerAtOnce)
	for n := range buyers {
		g.Go(func() error {
			return f.shop.Register(ctx, offers.Buyer{
				Account: f.account(n), Handle: "buyer" + strconv.Itoa(n), Email: offers.Email("buyer" + strconv.Itoa(n) + "@mail.example"), Lang: "en",
				Customer: "cus_" + strconv.Itoa(n), Cards: []offers.Card{{ID: "pm_" + strconv.Itoa(n), Brand: "visa", Last4: "4242", Month: 12, Year: 2040}},
			}, time.Now())
		})
	}
	return g.Wait()
}

// offerOf is what is for sale under a hashtag.
func offerOf(tag string, stock, perBuyer int) offers.Offer {
	return offers.Offer{
		ID: offers.TagKey(tag), Tag: tag, Title: "Tour T-shirt", Seller: "Bench Records", PerBuyer: perBuyer, Stock: map[string]int{"": stock},
		Price: offers.Money{Minor: 2999, Currency: "USD"}, Terms: "Nothing is sold, and no real money moves.",
		SellerAddress: "1 Example Street\nSpringfield", SellerTaxNumber: "BENCH 123", Tax: 20000, WithdrawalDays: offers.DefaultWithdrawalDays,
	}
}

// wish is a post that asks the bot for an offer.
func (f *floor) wish(n, buyer int, tag string) bot.Post {
	return bot.Post{
		Network: f.Name(), ID: strconv.Itoa(5_000_000_000 + n), At: time.Now(), Lang: "en",
		Author: bot.Author{ID: f.account(buyer).ID, Handle: "buyer" + strconv.Itoa(buyer)},
		Text:   "@bench #" + tag, Tags: []string{tag}, Names: []string{botID},
	}
}

// botID is the bot's own account.
const botID = "999"

// An outside is the network, the till and the mail server. They answer at once, and tell
// what was said and mailed.
type outside struct {
	said   func(bot.Reply)
	mailed func(confirm.Mail)
}

var (
	_ bot.Network    = (*outside)(nil)
	_ confirm.Till   = (*outside)(nil)
	_ confirm.Mailer = (*outside)(nil)
)

func (*outside) Name() string                                        { return "x" }
func (*outside) Self(context.Context) (id, handle string, err error) { return botID, "bench", nil }
func (*outside) Status() bot.Status                                  { return bot.Status{Connected: true} }
func (*outside) Follow(context.Context, []string) error              { return nil }

// Listen hears nothing: posts are handed to the bot by whoever measures.
func (*outside) Listen(ctx context.Context, _ string, _ func(context.Context, bot.Post) error) error {
	<-ctx.Done()
	return nil
}

func (o *outside) Say(_ context.Context, r bot.Reply, _ bool) (post string, err error) {
	if o.said != nil {
		o.said(r)
	}
	return "7" + r.To, nil
}

func (o *outside) Send(_ context.Context, m confirm.Mail) error {
	if o.mailed != nil {
		o.mailed(m)
	}
	return nil
}

func (*outside) Prepare(_ context.Context, p confirm.Payment) (intent string, err error) {
	return "pi_" + string(p.Purchase), nil
}

func (*outside) Confirm(context.Context, string, string, string, string) (confirm.Standing, error) {
	return confirm.Standing{Status: confirm.Taken}, nil
}

func (*outside) Look(context.Context, string) (confirm.Standing, error) {
	return confirm.Standing{Status: confirm.Taken}, nil
}

func (*outside) Void(context.Context, string, string) (confirm.Standing, error) {
	return confirm.Standing{Status: confirm.Voided}, nil
}

func (*outside) Refund(context.Context, confirm.Refund) error { return nil }

// A metered store counts what is asked of it.
type metered struct {
	store.Store
	commits, failed, reads, leases, leased atomic.Int64
	puts, putBytes, owed                   atomic.Int64
}

// Commit commits and counts.
func (m *metered) Commit(ctx context.Context, c store.Change) error {
	err := m.Store.Commit(ctx, c)
	if err != nil {
		m.failed.Add(1)
		return err
	}
	m.commits.Add(1)
	m.owed.Add(int64(len(c.Owe)))
	m.puts.Add(int64(len(c.Put)))
	for _, p := range c.Put {
		m.putBytes.Add(int64(len(p.Value)))
	}
	return nil
}

// Get reads and counts.
func (m *metered) Get(ctx context.Context, shard int, keys ...string) ([]store.Record, error) {
	m.reads.Add(1)
	return m.Store.Get(ctx, shard, keys...)
}

// Counts reads and counts.
func (m *metered) Counts(ctx context.Context, shard int, keys ...string) ([]int64, error) {
	m.reads.Add(1)
	return m.Store.Counts(ctx, shard, keys...)
}

// Lease leases and counts.
func (m *metered) Lease(ctx context.Context, now, until time.Time, limit int) ([]store.Lease, error) {
	leases, err := m.Store.Lease(ctx, now, until, limit)
	m.leases.Add(1)
	m.leased.Add(int64(len(leases)))
	return leases, err
}

// A ground is a store for one measurement, with nothing in it, and what it costs outside
// of this process.
type ground struct {
	name string
	store.Store
	server  int    // the process of its server, 0 where it is this one
	address string // where that listens
	close   func() error
}

// newGround makes a store of a kind: memory, sqlite, or redis, which is a redis-server of
// its own with appendfsync always.
func newGround(ctx context.Context, kind string) (g *ground, err error) {
	dir, err := os.MkdirTemp("", "hashtill-bench")
	if err != nil {
		return nil, err
	}
	g = &ground{name: kind, close: func() error { return nil }}
	switch kind {
	case "memory":
		g.Store = store.NewMemory()
	case "sqlite":
		g.Store, err = sqlite.Open(ctx, filepath.Join(dir, "hashtill.db"))
	case "redis":
		err = g.openRedis(ctx, dir)
	default:
		err = fmt.Errorf("%q is none of memory, sqlite and redis", kind)
	}
	if err != nil {
		return nil, errors.Join(err, g.close(), os.RemoveAll(dir))
	}
	stop := g.close
	g.close = func() error { return errors.Join(g.Store.Close(), stop(), os.RemoveAll(dir)) }
	return g, nil
}

// spending is what a measurement has cost by a moment.
type spending struct {
	at      time.Time
	cpu     time.Duration // of this process
	server  time.Duration // of the store's own process
	written int64         // bytes to the disk, of both
}

// spent reads what was spent until now, by Linux's accounts (getrusage(2), proc(5)).
func (g *ground) spent() spending {
	s := spending{at: time.Now()}
	var self syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &self) == nil {
		s.cpu = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	}
	s.written = writtenBy("self")
	if g.server != 0 {
		s.written += writtenBy(strconv.Itoa(g.server))
		s.server, _ = cpuOf(g.server)
	}
	return s
}

// writtenBy is what a process has had written to the disk; 0 where the system does not tell.
func writtenBy(pid string) int64 {
	text, err := os.ReadFile("/proc/" + pid + "/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "write_bytes: "); ok {
			bytes, _ := strconv.ParseInt(n, 10, 64)
			return bytes
		}
	}
	return 0
}

// peak follows the memory in use until stop is called, which returns the most that the
// heap held.
func peak() (stop func() (bytes uint64)) {
	done := make(chan struct{})
	var most uint64
	var following sync.WaitGroup
	following.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse+m.StackInuse)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() uint64 {
		close(done)
		following.Wait()
		return most
	}
}

// profiled does something, and writes a CPU profile of that into a file, if one is named.
func profiled(path string, do func() error) (err error) {
	if path == "" {
		return do()
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return do()
}

// bareFor is for how long the bare store is measured.
const bareFor = 3 * time.Second

// bare is how many Changes a second a store takes with nothing around it: each writes a
// record of so many bytes anew, owes an effect and drops the one before, which is about
// what a commit of a purchase does. So many go on at once. cpu is what each costs, in
// microseconds, of the server too: on a machine that others use it is the better measure.
func bare(ctx context.Context, kind string, atOnce, valueBytes int) (perSecond, cpu float64, err error) {
	g, err := newGround(ctx, kind)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	from := g.spent()
	var done atomic.Int64
	value := []byte(strings.Repeat("x", max(valueBytes, 1)))
	body := []byte(`{"purchase":"00-0123456789abcdefghijklmn"}`)
	began := time.Now()
	all, ctx := errgroup.WithContext(ctx)
	for n := range atOnce {
		all.Go(func() error {
			for turn := int64(0); time.Since(began) < bareFor; turn++ {
				// A purchase is written about five times.
				key := fmt.Sprintf("purchase/%d-%d", n, turn/5)
				c := store.Change{
					Shard: (n + int(turn/5)) % store.Shards,
					Put:   []store.Put{{Key: key, Version: turn % 5, Value: value}},
					Owe:   []store.Effect{{ID: fmt.Sprintf("deadline/%s/%d", key, turn), Kind: "deadline", Due: began.Add(time.Hour), Body: body}},
				}
				if turn%5 > 0 {
					c.Drop = []string{fmt.Sprintf("deadline/%s/%d", key, turn-1)}
				}
				if err := g.Commit(ctx, c); err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})
	}
	err = all.Wait()
	to := g.spent()
	n := float64(max(done.Load(), 1))
	return n / to.at.Sub(from.at).Seconds(), float64((to.cpu + to.server - from.cpu - from.server).Microseconds()) / n, err
}

// run has the outbox work while do does something.
func (f *floor) run(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.outbox.Run(ctx) })
	g.Go(func() error {
		defer cancel()
		return do(ctx)
	})
	return g.Wait()
}
