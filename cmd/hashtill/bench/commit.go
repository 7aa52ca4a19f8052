package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hashtill/offers"
	"hashtill/store"
)

// Commit is hashtill bench commit.
type Commit struct {
	Store  []string      `default:"sqlite,redis" enum:"sqlite,redis" help:"The back-ends to measure."`
	For    time.Duration `default:"3s" help:"How long each side of each measurement commits."`
	At     []int         `default:"1,64,1024" help:"How many commit at a time."`
	Offers int           `default:"64" help:"How many offers the purchases are of; 1: all are of one hot offer, in one shard."`
}

// Help is shown by --help.
func (Commit) Help() string {
	return `What is committed is what the shop commits when a registered buyer wishes for something: two checks, the
records of the purchase and of its code, two counts, and the reply, the intent and the deadline that are owed.
Every commit is durable before it counts.

It is held against the same statements, or a script of the same commands and no more, with nothing around
them: grouped and pipelined by hand, their arguments made before. Both sides take turns, in short rounds, and
the medians of the rounds are printed. Redis is also held against the same script over a whole group of
Changes of a shard.

A redis-server of its own is started, with appendfsync always; it must be in PATH.

  hashtill bench commit --store sqlite --at 64 --for 10s`
}

// Run measures and prints.
func (c Commit) Run(r Run) error {
	for _, at := range c.At {
		if at < 1 || at > 1<<14 {
			return fmt.Errorf("--at: %d at a time cannot be measured", at)
		}
	}
	if c.Offers < 1 || c.Offers > 10_000 {
		return errors.New("--offers: from 1 to 10,000")
	}
	dir, err := os.MkdirTemp("", "hashtill-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	wishes, err := newWishes(r.Ctx, c.Offers)
	if err != nil {
		return err
	}
	for _, name := range c.Store {
		var figures []figure
		for _, at := range c.At {
			r.progress("%s: %d at a time", name, at)
			var these []figure
			var err error
			if name == "redis" {
				these, err = c.redis(r.Ctx, dir, wishes, at)
			} else {
				these, err = c.sqlite(r.Ctx, dir, wishes, at)
			}
			if err != nil {
				return fmt.Errorf("%s, %d at a time: %w", name, at, err)
			}
			figures = append(figures, these...)
		}
		r.print(fmt.Sprintf("The first commit of a purchase on %s, %d offers (aim: 0.80 of bare)", name, c.Offers), figures...)
	}
	return nil
}

// wishes makes the Changes that a shop commits for wishes, each of them new.
type wishes struct {
	offers []offers.Offer
	buyers []offers.Account
	shop   *offers.Shop

	mu   sync.Mutex
	last int
	puts map[string]bool // the keys of all records: a code may be another's, which the shop would find out by its commit
}

// buyersAtBench are enough that one rarely buys the same twice.
const buyersAtBench = 4096

func newWishes(ctx context.Context, n int) (*wishes, error) {
	w := &wishes{puts: map[string]bool{}}
	for i := range n {
		tag := fmt.Sprint("BuyTee", i)
		w.offers = append(w.offers, offers.Offer{
			ID: offers.TagKey(tag), Tag: tag, Title: "Tour T-shirt, black", Seller: "Example Records Ltd",
			Price: offers.Money{Minor: 2999, Currency: "EUR"}, Stock: map[string]int{"": offers.Unlimited}, PerBuyer: offers.MaxQuantity,
			Terms:         strings.Repeat("Sent within three days, to any address in the Union; ", 8) + "ever.",
			SellerAddress: "1 Example Street\n12345 Springfield", SellerTaxNumber: "DE123456789", Tax: 19000, WithdrawalDays: 14,
		})
	}
	var err error
	if w.shop, err = w.open(ctx, &taker{Store: store.NewMemory()}); err != nil {
		return nil, err
	}
	for i := range buyersAtBench {
		a := offers.Account{Network: "x", ID: fmt.Sprint(1_700_000_000_000 + i*7919)}
		w.buyers = append(w.buyers, a)
		err := w.shop.Register(ctx, offers.Buyer{Account: a, Handle: fmt.Sprint("buyer", i), Lang: "en", Customer: fmt.Sprint("cus_", i),
			Email: offers.Email(fmt.Sprintf("buyer%d@example.com", i)),
			Cards: []offers.Card{{ID: "pm_1", Brand: "visa", Last4: "4242", Month: 12, Year: 2099}}}, time.Now())
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

// open opens a shop that sells the offers on a store.
func (w *wishes) open(ctx context.Context, st store.Store) (*offers.Shop, error) {
	shop, err := offers.NewShop(st, offers.Settings{CodeKey: []byte("a key for measurements"), Times: offers.DefaultTimes,
		Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return shop, shop.Import(ctx, w.offers, true)
}

// take makes the Changes of n wishes.
func (w *wishes) take(ctx context.Context, n int) ([]store.Change, error) {
	all := make([]store.Change, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, runtime.GOMAXPROCS(0))
	for i := range errs {
		wg.Go(func() {
			for k := next.Add(1) - 1; k < int64(n) && errs[i] == nil; k = next.Add(1) - 1 {
				for again := true; again && errs[i] == nil; {
					all[k], errs[i] = w.wish(ctx)
					again = !w.isNew(all[k])
				}
			}
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

// wish makes the Change of the next wish.
func (w *wishes) wish(ctx context.Context) (c store.Change, err error) {
	w.mu.Lock()
	w.last++
	nth := w.last
	w.mu.Unlock()
	buyer := nth * 61 % len(w.buyers)
	_, err = w.shop.Wish(context.WithValue(ctx, taken{}, &c), offers.Wish{
		Post: fmt.Sprint(1_900_000_000_000_000_000 + nth), Account: w.buyers[buyer], Handle: fmt.Sprint("buyer", buyer),
		Lang: "en", Offer: w.offers[nth%len(w.offers)].ID,
	}, time.Now())
	return c, err
}

// isNew says that no Change before has put a record of c.
func (w *wishes) isNew(c store.Change) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range c.Put {
		if w.puts[p.Key] {
			return false
		}
		w.puts[p.Key] = true
	}
	return true
}

// A taker is a store in which wishes are taken down, not committed.
type taker struct{ store.Store }

type taken struct{}

// Commit keeps the Change for whoever asked for it.
func (t *taker) Commit(ctx context.Context, c store.Change) error {
	if to, ok := ctx.Value(taken{}).(*store.Change); ok {
		*to = c
		return nil
	}
	return t.Store.Commit(ctx, c)
}

// commitAll commits Changes, so many at a time.
func commitAll(ctx context.Context, st store.Store, all []store.Change, at int) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range at {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)) && failed.Load() == nil; i = next.Add(1) - 1 {
				if err := st.Commit(ctx, all[i]); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// A side is one way of committing.
type side struct {
	commit func(ctx context.Context, all []store.Change) (time.Duration, error)
	rates  []float64 // commits per second, of each round
	bytes  float64   // written to the disk
	done   int
}

// inTurns has the sides commit in turns until each has for so long, and each in its
// own rounds of new Changes. written tells the bytes written to the disk so far.
func inTurns(ctx context.Context, w *wishes, at int, long time.Duration, written func() int64, sides ...*side) error {
	n := min(max(512, 32*at), 1<<14)
	spent := make([]time.Duration, len(sides))
	for round := 0; round < 4 || slices.Min(spent) < long; round++ {
		for i := range sides {
			i = (i + round) % len(sides) // nobody always goes first
			s := sides[i]
			all, err := w.take(ctx, n)
			if err != nil {
				return err
			}
			runtime.GC() // what was made for the round is not this side's to clear up
			before := written()
			took, err := s.commit(ctx, all)
			if err != nil {
				return err
			}
			after := written()
			if round == 0 {
				continue // everybody's first is slow
			}
			spent[i] += took
			s.rates = append(s.rates, float64(n)/took.Seconds())
			s.bytes += float64(after - before)
			s.done += n
		}
	}
	return nil
}

// rate is the median of the rounds.
func (s *side) rate() float64 {
	slices.Sort(s.rates)
	return s.rates[len(s.rates)/2]
}

// perCommit is the kilobytes written for each commit.
func (s *side) perCommit() float64 { return s.bytes / float64(s.done) / 1000 }
