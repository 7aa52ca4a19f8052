package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"hashtill/bot"
	"hashtill/offers"
)

// aimSale is how soon a burst is to be decided.
const aimSale = 10 * time.Second

// Sale is hashtill bench sale.
type Sale struct {
	Store   []string `help:"Where: sqlite, redis (with appendfsync always), memory." default:"sqlite"`
	Wishes  int      `help:"How many wishes come at once." default:"100000"`
	Units   int      `help:"How many units there are." default:"500"`
	Buyers  int      `help:"How many buyers there are." default:"20000"`
	AtOnce  int      `help:"How many wishes the bot deals with at once." default:"768"`
	Workers int      `help:"How many effects the outbox performs at once." default:"512"`
	Profile string   `help:"A file for a CPU profile of the burst." hidden:"" type:"path"`
}

// Help is the rest of the help text.
func (Sale) Help() string {
	return `A burst of wishes for one offer, of which there are far fewer units: until each wish
is decided, durably, and until each has its reply. The shop, the bot and the outbox are
those that serve. Wishes are begun with in the order in which they came; so many are
dealt with at once, and none is passed over by more than those. For example:

  hashtill bench sale --store sqlite,redis --wishes 100000 --units 500`
}

// Run measures.
func (c Sale) Run(r Run) error {
	for _, kind := range c.Store {
		if err := c.on(r, kind); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

// A sale is what became of the wishes.
type sale struct {
	mu      sync.Mutex
	won     int
	last    int // the last wish in the order of the posts that got a unit
	refused map[offers.Reason]int
	replies atomic.Int64
}

func (s *sale) moved(before, after offers.Purchase) {
	if before.State != offers.New {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if after.State == offers.Refused {
		s.refused[after.Reason]++
		return
	}
	s.won++
	if n, err := strconv.Atoi(strings.TrimPrefix(after.Wish, "5")); err == nil {
		s.last = max(s.last, n)
	}
}

func (c Sale) on(r Run, kind string) (err error) {
	g, err := newGround(r.Ctx, kind)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	s := &sale{refused: map[offers.Reason]int{}}
	f, err := openFloor(g.Store, c.Workers, s.moved)
	if err != nil {
		return err
	}
	f.said = func(bot.Reply) { s.replies.Add(1) }
	const tag = "BenchSale"
	o := offerOf(tag, c.Units, 1)
	var decided, answered time.Duration
	var cost spending
	var most uint64
	var held int64
	err = f.run(r.Ctx, func(ctx context.Context) error {
		r.progress("%s: %d buyers register", kind, c.Buyers)
		if err := f.open(ctx, []offers.Offer{o}, c.Buyers); err != nil {
			return err
		}
		if err := f.outbox.WaitIdle(ctx); err != nil {
			return err
		}
		r.progress("%s: %d wishes for %d units", kind, c.Wishes, c.Units)
		follow := peak()
		from := g.spent()
		if err := profiled(c.Profile, func() error { return c.burst(ctx, f, tag) }); err != nil {
			return err
		}
		decided = time.Since(from.at)
		if err := f.outbox.WaitIdle(ctx); err != nil {
			return err
		}
		answered = time.Since(from.at)
		to := g.spent()
		most = follow()
		cost = spending{cpu: to.cpu - from.cpu, server: to.server - from.server, written: to.written - from.written}
		taken, err := f.shop.Stocked(ctx, o)
		held = taken[""]
		return err
	})
	if err != nil {
		return err
	}
	limit, _, err := bare(r.Ctx, kind, c.AtOnce, int(f.store.putBytes.Load()/f.store.commits.Load()))
	if err != nil {
		return err
	}
	sum := s.won
	for _, n := range s.refused {
		sum += n
	}
	if s.won != min(c.Units, c.Wishes) || held != int64(s.won) || sum != c.Wishes {
		return fmt.Errorf("of %d units %d were promised and %d are counted; %d of %d wishes are decided", c.Units, s.won, held, sum, c.Wishes)
	}
	n := float64(c.Wishes)
	figures := []figure{
		{what: "until all are decided, durably", value: decided.Seconds(), unit: "s", note: fmt.Sprintf("%.2f × the aim of %s", decided.Seconds()/aimSale.Seconds(), aimSale)},
		{what: "wishes decided", value: n / decided.Seconds(), unit: "a second", against: "bare commits", limit: limit},
		{what: "until all replies have left", value: answered.Seconds(), unit: "s"},
		{what: "units promised and counted, none oversold", value: float64(s.won), unit: ""},
		{what: "wishes refused", value: float64(sum - s.won), unit: ""},
		{what: "the last wish that got a unit, in the order of posts", value: float64(s.last), unit: "th", note: fmt.Sprintf("passed over by %d at most", s.last-s.won)},
		{what: "most memory in use (heap and stacks)", value: float64(most) / megabyte, unit: "MB"},
		{what: "CPU per wish, its reply included", value: float64(cost.cpu.Microseconds()) / n, unit: "µs"},
		{what: "bytes written per wish, its reply included", value: float64(cost.written) / n, unit: "bytes"},
	}
	r.print(fmt.Sprintf("sale: %s, %d wishes for %d units, %d at once", kind, c.Wishes, c.Units, c.AtOnce), figures...)
	return nil
}

// burst has the bot hear all wishes, in their order.
func (c Sale) burst(ctx context.Context, f *floor, tag string) error {
	posts := make(chan int)
	g, ctx := errgroup.WithContext(ctx)
	for range c.AtOnce {
		g.Go(func() error {
			for n := range posts {
				if err := f.bot.Hear(ctx, &f.outside, f.wish(n, n%c.Buyers, tag)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(posts)
		for n := 1; n <= c.Wishes; n++ {
			select {
			case posts <- n:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return g.Wait()
}
