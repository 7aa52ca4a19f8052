package bench

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"hashtill/store"
)

// Machines is hashtill bench machines.
type Machines struct {
	For       time.Duration `default:"5s" help:"How long each turn of purchases lasts."`
	Turns     int           `default:"3" help:"How many turns each side has; the median counts."`
	AtOnce    int           `default:"768" help:"How many buy at once, of each process."`
	Buyers    int           `default:"5000" help:"How many buyers there are."`
	Masters   []int         `default:"1,8,64" help:"How many Redis masters share the 64 shards."`
	Processes []int         `default:"1,4,16,64" help:"How many processes there are."`
	Cores     int           `default:"2" help:"How many cores each process has to itself."`
	Hot       []float64     `default:"0,0.5,1" help:"Which part of all wishes is for one offer."`
}

// Help is the rest of the help text.
func (Machines) Help() string {
	return `What the first machine that is not enough any more is, and what another one brings.
Measured on one Redis, a redis-server of its own with appendfsync always: what a
purchase costs in CPU, here and there, and in requests. Simulated with that: how many
purchases go through as masters and processes are added, when all want different things
and when many want the same. A master works on one thing at a time; a hot offer stands
in one shard, and a shard on one master. The time on the network between them is not in
it, for it delays and does not limit. For example:

  hashtill bench machines --masters 1,8,64 --processes 1,16,64`
}

// A cost is what one purchase takes.
type cost struct {
	perSecond float64
	here      time.Duration // CPU of the process
	redis     time.Duration // CPU of Redis
	requests  float64       // to Redis
	written   float64       // bytes
	sameShard float64       // which part of what is asked of the store is of the offer's shard
}

// Run measures and simulates.
func (c Machines) Run(r Run) error {
	if c.Turns < 1 || c.Cores < 1 {
		return errors.New("--turns and --cores: at least 1")
	}
	var spread, hot []cost
	for turn := range c.Turns {
		r.progress("turn %d of %d: purchases of many offers, and of one, %s each", turn+1, c.Turns, c.For)
		for _, side := range []struct {
			wanted int
			to     *[]cost
		}{{32, &spread}, {1, &hot}} {
			one, err := c.measure(r.Ctx, side.wanted)
			if err != nil {
				return err
			}
			*side.to = append(*side.to, one)
		}
	}
	s, h := middle(spread), middle(hot)
	against := func(what string, of func(cost) float64, unit string) figure {
		return figure{what: what, value: of(h), unit: unit, against: "32 offers", limit: of(s)}
	}
	r.print("Machines: a purchase on one Redis, all of one offer",
		against("purchases, all on this machine", func(c cost) float64 { return c.perSecond }, "a second"),
		against("CPU of the process", func(c cost) float64 { return microseconds(c.here) }, "µs"),
		against("CPU of Redis", func(c cost) float64 { return microseconds(c.redis) }, "µs"),
		against("requests to Redis", func(c cost) float64 { return c.requests }, ""),
		against("bytes written", func(c cost) float64 { return c.written }, "bytes"),
		against("calls of the store for the busiest shard", func(c cost) float64 { return 100 * c.sameShard }, "%"),
	)
	c.simulate(r, s, h)
	return nil
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// middle takes the median of each.
func middle(all []cost) (m cost) {
	of := func(what func(cost) float64) float64 {
		values := make([]float64, len(all))
		for i, one := range all {
			values[i] = what(one)
		}
		return median(values)
	}
	m.perSecond = of(func(c cost) float64 { return c.perSecond })
	m.here = time.Duration(of(func(c cost) float64 { return float64(c.here) }))
	m.redis = time.Duration(of(func(c cost) float64 { return float64(c.redis) }))
	m.requests = of(func(c cost) float64 { return c.requests })
	m.written = of(func(c cost) float64 { return c.written })
	m.sameShard = of(func(c cost) float64 { return c.sameShard })
	return m
}

// measure buys so many different things.
func (c Machines) measure(ctx context.Context, wanted int) (_ cost, err error) {
	g, err := newGround(ctx, "redis")
	if err != nil {
		return cost{}, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	client := redis.NewClient(&redis.Options{Addr: g.address})
	defer func() { err = errors.Join(err, client.Close()) }()
	shards := &byShard{Store: g.Store}
	b, err := newBuying(&ground{name: g.name, Store: shards}, defaultWorkers, c.Buyers)
	if err != nil {
		return cost{}, err
	}
	b.wanted = wanted
	var l load
	var requests float64
	err = b.run(ctx, func(ctx context.Context) error {
		if err := b.open(ctx, buyOffers(), c.Buyers); err != nil {
			return err
		}
		if _, err := b.full(ctx, g, c.AtOnce, time.Second); err != nil {
			return err
		}
		shards.reset()
		before, bought, err := requestsOf(ctx, client), b.posts.Load(), error(nil)
		if l, err = b.full(ctx, g, c.AtOnce, c.For); err != nil {
			return err
		}
		requests = (requestsOf(ctx, client) - before) / float64(b.posts.Load()-bought)
		return nil
	})
	if err != nil || l.bought == 0 {
		return cost{}, errors.Join(err, ctx.Err())
	}
	n := float64(l.bought)
	return cost{
		perSecond: l.perSecond(), here: time.Duration(float64(l.cpu) / n), redis: time.Duration(float64(l.server) / n),
		requests: requests, written: float64(l.written) / n, sameShard: shards.busiest(),
	}, nil
}

// fromClients are the commands that come from clients; all others are what scripts do. A
// transaction counts once, by its EXEC.
var fromClients = regexp.MustCompile(`cmdstat_(?:evalsha|fcall|mget|exec):calls=(\d+)`)

// requestsOf is how many requests a Redis has answered
// (https://redis.io/docs/latest/commands/info/), 0 where it does not say.
func requestsOf(ctx context.Context, client *redis.Client) (n float64) {
	text, err := client.Info(ctx, "commandstats").Result()
	if err != nil {
		return 0
	}
	for _, found := range fromClients.FindAllStringSubmatch(text, -1) {
		calls, _ := strconv.ParseFloat(found[1], 64) // digits
		n += calls
	}
	return n
}

// byShard counts what is asked of each shard.
type byShard struct {
	store.Store
	calls [store.Shards]atomic.Int64
}

// Commit commits and counts.
func (s *byShard) Commit(ctx context.Context, c store.Change) error {
	s.calls[c.Shard].Add(1)
	return s.Store.Commit(ctx, c)
}

// Get reads and counts.
func (s *byShard) Get(ctx context.Context, shard int, keys ...string) ([]store.Record, error) {
	s.calls[shard].Add(1)
	return s.Store.Get(ctx, shard, keys...)
}

// Counts reads and counts.
func (s *byShard) Counts(ctx context.Context, shard int, keys ...string) ([]int64, error) {
	s.calls[shard].Add(1)
	return s.Store.Counts(ctx, shard, keys...)
}

func (s *byShard) reset() {
	for i := range s.calls {
		s.calls[i].Store(0)
	}
}

// busiest is which part of all calls the busiest shard has.
func (s *byShard) busiest() float64 {
	all, most := int64(0), int64(0)
	for i := range s.calls {
		n := s.calls[i].Load()
		all, most = all+n, max(most, n)
	}
	return float64(most) / float64(max(all, 1))
}
