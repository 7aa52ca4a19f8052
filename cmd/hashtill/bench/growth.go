package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"hashtill/offers"
	"hashtill/store/sqlite"
)

// Growth is hashtill bench growth.
type Growth struct {
	Open   int           `default:"100000" help:"How many purchases are under way."`
	Closed int           `default:"1000000" help:"How many purchases have ended."`
	Offers int           `default:"100000" help:"How many offers there are."`
	Steps  []float64     `default:"0.1,0.3,1" help:"At which parts of that it is measured."`
	For    time.Duration `default:"3s" help:"How long each turn of purchases lasts."`
	Turns  int           `default:"3" help:"How many turns each side has at each step; the median counts."`
	AtOnce int           `default:"256" help:"How many buy at once."`
	Buyers int           `default:"5000" help:"How many buyers there are."`
	Binary string        `placeholder:"FILE" help:"The hashtill whose start and memory are measured. Without one, this one."`
}

// Help is the rest of the help text.
func (Growth) Help() string {
	return `How much slower, larger and later it is when much has been sold. A store on SQLite
grows; at each step whole purchases go through it, in turns with one that has nothing
in it, and hashtill serve is started on it between stand-ins. The whole size that it is
meant for takes about 25 GB of disk and the better part of an hour:

  hashtill bench growth --open 1000000 --closed 10000000 --offers 1000000`
}

// defaultWorkers leaves it to the outbox how much it does at once, as hashtill serve does.
const defaultWorkers = 0

// A size is how large a store has become, and how it does.
type size struct {
	open, closed, offers int

	perSecond, empty float64       // purchases through it, and through an empty one in turns with it
	read             time.Duration // of the catalogue
	perOffer         float64       // bytes in memory
	start            time.Duration
	resident, most   float64 // bytes
	file             float64 // bytes
}

// Run measures.
func (c Growth) Run(r Run) (err error) {
	if len(c.Steps) == 0 || c.Turns < 1 || c.Offers < 1 {
		return errors.New("--steps, --turns and --offers: at least one")
	}
	if c.Binary == "" {
		if c.Binary, err = os.Executable(); err != nil {
			return err
		}
	}
	outside, err := newStandIns()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, outside.Close()) }()
	empty, err := newGround(r.Ctx, "sqlite")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, empty.close()) }()
	db, err := sqlite.Open(r.Ctx, outside.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	full := &ground{name: "sqlite", Store: db}

	var sides []*buying
	for _, g := range []*ground{empty, full} {
		b, err := newBuying(g, defaultWorkers, c.Buyers)
		if err != nil {
			return err
		}
		if err := b.open(r.Ctx, buyOffers(), c.Buyers); err != nil {
			return err
		}
		sides = append(sides, b)
	}
	l, err := newLoader(r, full)
	if err != nil {
		return err
	}
	var all []size
	for _, part := range c.Steps {
		s := size{open: int(part * float64(c.Open)), closed: int(part * float64(c.Closed)), offers: max(1, int(part*float64(c.Offers)))}
		if err := l.grow(r.Ctx, s); err != nil {
			return err
		}
		if err := c.measure(r, outside, empty, full, sides, &s); err != nil {
			return err
		}
		all = append(all, s)
	}
	c.print(r, all)
	return nil
}

// measure fills in how a store does.
func (c Growth) measure(r Run, outside *standIns, empty, full *ground, sides []*buying, s *size) (err error) {
	before, began := held(), time.Now()
	if _, err := sides[1].shop.Refresh(r.Ctx); err != nil {
		return err
	}
	s.read = time.Since(began)
	s.perOffer = max(0, held()-before) / float64(s.offers)
	s.file = fileSize(outside.store)

	var rates [2][]float64
	for turn := range c.Turns {
		r.progress("purchases, turn %d of %d", turn+1, c.Turns)
		for n, g := range []*ground{empty, full} {
			err := sides[n].run(r.Ctx, func(ctx context.Context) error {
				l, err := sides[n].full(ctx, g, c.AtOnce, c.For)
				rates[n] = append(rates[n], l.perSecond())
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	s.empty, s.perSecond = median(rates[0]), median(rates[1])

	r.progress("hashtill serve starts")
	p, err := outside.serve(r.Ctx, c.Binary, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	s.start = p.start
	if err := p.wait(r.Ctx, 2*settle); err != nil {
		return err
	}
	s.resident, s.most, err = p.memory()
	return err
}

// held is what is held in this process, in bytes, without what nobody refers to.
func held() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// fileSize is that of a SQLite file with its write-ahead log.
func fileSize(path string) (bytes float64) {
	files, _ := filepath.Glob(path + "*") // fails only for a bad pattern
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			bytes += float64(info.Size())
		}
	}
	return bytes
}

func (c Growth) print(r Run, all []size) {
	last := all[len(all)-1]
	r.print(fmt.Sprintf("Growth, on SQLite: %s open and %s closed purchases, %s offers", number(float64(last.open)), number(float64(last.closed)), number(float64(last.offers))),
		figure{what: "purchases, wish to receipt", value: last.perSecond, unit: "a second", against: "empty", limit: last.empty, note: "aim: at least 0.80"},
		figure{what: "start until ready", value: last.start.Seconds(), unit: "s", note: "aim: under 5"},
		figure{what: "resident", value: last.resident / megabyte, unit: "MB", note: "aim: under 300"},
		figure{what: "resident at most, since the start", value: last.most / megabyte, unit: "MB"},
		figure{what: "catalogue in memory, each offer", value: last.perOffer, unit: "bytes"},
		figure{what: "catalogue read in", value: last.read.Seconds(), unit: "s"},
		figure{what: "the file", value: last.file / megabyte, unit: "MB"},
	)
	plot := func(title string, aim string, of func(size) float64) {
		most := 0.0
		for _, s := range all {
			most = max(most, of(s))
		}
		fmt.Fprintf(r.Out, "%s (%s)\n", title, aim)
		for _, s := range all {
			bar := strings.Repeat("█", int(40*of(s)/max(most, 1e-9)+0.5))
			fmt.Fprintf(r.Out, "  %12s purchases, %9s offers  %-40s %s\n", number(float64(s.open+s.closed)), number(float64(s.offers)), bar, number(of(s)))
		}
		fmt.Fprintln(r.Out)
	}
	plot("Purchases a second, as a part of what goes through an empty store", "aim: 0.80", func(s size) float64 { return s.perSecond / max(s.empty, 1) })
	plot("Seconds until it is ready", "aim: 5", func(s size) float64 { return s.start.Seconds() })
	plot("MB resident", "aim: 300", func(s size) float64 { return s.resident / megabyte })
}

// manyOffer is the n-th of very many.
func manyOffer(n int) offers.Offer {
	o := offerOf(fmt.Sprintf("Many%07d", n), offers.Unlimited, offers.MaxQuantity)
	o.Title = fmt.Sprintf("Tour T-shirt, No. %d", n)
	return o
}
