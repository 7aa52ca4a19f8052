package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"hashtill/confirm"
	"hashtill/offers"
)

// Pages is hashtill bench pages.
type Pages struct {
	Rate      int           `default:"5000" help:"How many pages are asked for in a second, whatever becomes of those before."`
	For       time.Duration `default:"5s" help:"How long each turn lasts."`
	Turns     int           `default:"3" help:"How many turns each side has."`
	AtOnce    int           `default:"256" help:"How many connections ask, which stay open."`
	Purchases int           `default:"200" help:"How many purchases the pages are of."`
}

// Help is the rest of the help text.
func (Pages) Help() string {
	return `The page on which a purchase is confirmed, over loopback: the counter's own handler
behind a real server, the purchases on SQLite. Whoever asks is in the same process and
takes a part of the same cores. A page's time counts from when it should have been
asked for. In turns with it a handler is asked that always says the same. For example:

  hashtill bench pages --rate 5000 --for 10s`
}

// Run measures.
func (c Pages) Run(r Run) (err error) {
	if c.Rate < 1 || c.AtOnce < 1 || c.Turns < 1 || c.Purchases < 1 {
		return errors.New("--rate, --at-once, --turns and --purchases: at least 1")
	}
	g, err := newGround(r.Ctx, "sqlite")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	w := &waiting{moves: map[offers.ID]chan offers.Purchase{}}
	f, err := openFloor(g.Store, defaultWorkers, w.moved)
	if err != nil {
		return err
	}
	counter, err := confirm.New(confirm.Config{Shop: f.shop, Till: &f.outside, Mailer: &f.outside, Links: f.links,
		PublicURL: "https://shop.example", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	var paths []string
	r.progress("%d purchases go as far as the link", c.Purchases)
	err = f.run(r.Ctx, func(ctx context.Context) error {
		if err := f.open(ctx, []offers.Offer{offerOf("Bench", offers.Unlimited, offers.MaxQuantity)}, c.Purchases); err != nil {
			return err
		}
		for n := range c.Purchases {
			p, err := w.mail(ctx, f, n, "Bench")
			if err != nil {
				return err
			}
			paths = append(paths, "/c/"+f.links.Sign(p.ID, p.Round))
		}
		return nil
	})
	if err != nil {
		return err
	}

	ours, closeOurs, err := serveHere(counter.Handler())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeOurs()) }()
	page, err := fetch(r.Ctx, ours, paths[0])
	if err != nil {
		return err
	}
	plain, closePlain, err := serveHere(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closePlain()) }()

	var us, them asked
	for turn := range c.Turns {
		r.progress("turn %d of %d: %d pages a second for %s, twice", turn+1, c.Turns, c.Rate, c.For)
		for _, side := range []struct {
			address string
			to      *asked
		}{{plain, &them}, {ours, &us}} {
			if err := c.ask(r.Ctx, g, side.address, paths, side.to); err != nil {
				return err
			}
		}
	}
	slices.Sort(us.took)
	slices.Sort(them.took)
	against := func(what string, share float64, note string) figure {
		return figure{what: what, value: us.took.at(share), unit: "ms", against: "the same page, constant", limit: them.took.at(share), note: note}
	}
	r.print(fmt.Sprintf("The page to confirm on, %d bytes, %d a second over %d connections", len(page), c.Rate, c.AtOnce),
		figure{what: "answered", value: us.perSecond(), unit: "a second", against: "constant", limit: them.perSecond()},
		against("p50", 0.5, ""), against("p99", 0.99, "aim: under 20 ms"), against("the longest", 1, ""),
		figure{what: "CPU a page, with whoever asks", value: us.cpuEach(), unit: "µs", against: "constant", limit: them.cpuEach()})
	return nil
}

// asked is how pages were answered.
type asked struct {
	took latencies
	cpu  time.Duration // of this process
	in   time.Duration
}

func (a *asked) perSecond() float64 { return float64(len(a.took)) / a.in.Seconds() }
func (a *asked) cpuEach() float64 {
	return float64(a.cpu.Nanoseconds()) / 1000 / float64(max(len(a.took), 1))
}

// ask asks for pages at the rate.
func (c Pages) ask(ctx context.Context, g *ground, address string, paths []string, to *asked) error {
	began := g.spent()
	total := int64(float64(c.Rate) * c.For.Seconds())
	var next atomic.Int64
	var mu sync.Mutex
	all, ctx := errgroup.WithContext(ctx)
	for range c.AtOnce {
		all.Go(func() error {
			visitor, err := openBrowser(ctx, address)
			if err != nil {
				return err
			}
			defer visitor.Close()
			var mine latencies
			for {
				n := next.Add(1) - 1
				if n >= total || ctx.Err() != nil {
					mu.Lock()
					defer mu.Unlock()
					to.took = append(to.took, mine...)
					return ctx.Err()
				}
				due := began.at.Add(time.Duration(n) * time.Second / time.Duration(c.Rate))
				if !waitUntil(ctx, due) {
					return ctx.Err()
				}
				if _, err := visitor.get(paths[n%int64(len(paths))]); err != nil {
					return err
				}
				mine = append(mine, time.Since(due))
			}
		})
	}
	err := all.Wait()
	ended := g.spent()
	to.cpu += ended.cpu - began.cpu
	to.in += ended.at.Sub(began.at)
	return err
}

// waitUntil waits, and says whether ctx still runs.
func waitUntil(ctx context.Context, due time.Time) bool {
	wait := time.Until(due)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// A browser asks over one connection, one page after the other. It costs less than
// http.Client, whose time would stand in the figures.
type browser struct {
	net.Conn
	address string
	in      *bufio.Reader
	body    []byte
}

func openBrowser(ctx context.Context, address string) (*browser, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &browser{Conn: conn, address: address, in: bufio.NewReader(conn)}, nil
}

// get returns a page, which is good until the next.
func (b *browser) get(path string) ([]byte, error) {
	b.body = fmt.Appendf(b.body[:0], "GET %s HTTP/1.1\r\nHost: %s\r\nAccept-Language: fr-CH, fr;q=0.9, en;q=0.8\r\n\r\n", path, b.address)
	if _, err := b.Write(b.body); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(b.in, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	b.body = b.body[:0]
	for {
		if len(b.body) == cap(b.body) {
			b.body = slices.Grow(b.body, 16<<10)
		}
		n, err := resp.Body.Read(b.body[len(b.body):cap(b.body)])
		b.body = b.body[:len(b.body)+n]
		if err == io.EOF {
			return b.body, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func fetch(ctx context.Context, address, path string) (page []byte, err error) {
	b, err := openBrowser(ctx, address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	page, err = b.get(path)
	return slices.Clone(page), err
}

// serveHere has a handler answer on loopback, until it is closed.
func serveHere(h http.Handler) (address string, closeIt func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 40 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	return l.Addr().String(), func() error {
		err := server.Close()
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}, nil
}

// waiting hands the moves of purchases to those who wait for them.
type waiting struct {
	mu    sync.Mutex
	moves map[offers.ID]chan offers.Purchase
}

func (w *waiting) moved(_, after offers.Purchase) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.moves[after.ID]; c != nil {
		c <- after
	}
}

// until waits until a purchase has come to a state.
func (w *waiting) until(ctx context.Context, id offers.ID, want offers.State) (p offers.Purchase, err error) {
	w.mu.Lock()
	moves := w.moves[id]
	w.mu.Unlock()
	for {
		select {
		case p = <-moves:
		case <-ctx.Done():
			return p, ctx.Err()
		}
		switch {
		case p.State == want:
			return p, nil
		case p.State.Ended():
			return p, fmt.Errorf("purchase %s is %s for %q, and not %s", id, p.State, p.Reason, want)
		}
	}
}

// mostMoves is more than a purchase makes on its way to the link.
const mostMoves = 32

// mail brings a purchase of a buyer as far as the link.
func (w *waiting) mail(ctx context.Context, f *floor, buyer int, tag string) (p offers.Purchase, err error) {
	o, ok := f.shop.OfferByTag(tag)
	if !ok {
		return p, fmt.Errorf("#%s is not for sale", tag)
	}
	account, post := f.account(buyer), strconv.Itoa(6_000_000_000+buyer)
	id := offers.NewID(account.Network, post, o.ID)
	w.mu.Lock()
	w.moves[id] = make(chan offers.Purchase, mostMoves)
	w.mu.Unlock()
	if _, err := f.shop.Wish(ctx, offers.Wish{Post: post, Account: account, Handle: "buyer", Offer: o.ID}, time.Now()); err != nil {
		return p, err
	}
	if p, err = w.until(ctx, id, offers.Coded); err != nil {
		return p, err
	}
	if _, err := f.shop.Echo(ctx, p.Code, account, post+"1", time.Now()); err != nil {
		return p, err
	}
	return w.until(ctx, id, offers.Mailed)
}
