package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"hashtill/offers"
	"hashtill/store/sqlite"
)

// Growth is hashtill bench growth.
type Growth struct {
	Open   int           `default:"100000" help:"How many purchases are under way."`
	Closed int           `default:"1000000" help:"How many purchases have ended."`
	Offers int           `default:"100000" help:"How many offers there are."`
	Steps  []float64     `default:"0,0.1,0.3,1" help:"At which parts of that it is measured."`
	For    time.Duration `default:"3s" help:"How long each turn of purchases lasts."`
	Turns  int           `default:"3" help:"How many turns each side has at each step; the median counts."`
	AtOnce int           `default:"256" help:"How many buy at once."`
	Buyers int           `default:"5000" help:"How many buyers there are."`
	Settle time.Duration `default:"6s" help:"How long a hashtill that has started is left alone before its memory is read."`
	Binary string        `placeholder:"FILE" help:"The hashtill whose start and memory are measured. Without one, this one."`
	CSV    string        `name:"csv" placeholder:"FILE" help:"Write the table there too."`
	SVG    string        `name:"svg" placeholder:"FILE" help:"Write the plot there too."`
}

// Help is the rest of the help text.
func (Growth) Help() string {
	return `How much slower, larger and later it is when much has been sold. A store on SQLite
grows; at each step whole purchases go through it, in turns with one that has nothing
in it, and hashtill serve is started on it between stand-ins. The whole size that it is
meant for takes about 25 GB of disk, in the folder that TMPDIR names, and the better part
of an hour:

  hashtill bench growth --open 1000000 --closed 10000000 --offers 1000000 --svg growth.svg`
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
	cpu              time.Duration // that the start took
	resident, most   float64       // bytes
	file             float64       // bytes
}

// ratio is which part of what goes through an empty store goes through this one.
func (s size) ratio() float64 { return s.perSecond / max(s.empty, 1) }

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
		// Else the next checkpoint would wait until the system has written all that.
		syscall.Sync()
		if err := c.measure(r, outside, empty, full, sides, &s); err != nil {
			return err
		}
		all = append(all, s)
	}
	printGrowth(r, all)
	return writeGrowth(all, c.CSV, c.SVG)
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
	if s.cpu, err = cpuOf(p.cmd.Process.Pid); err != nil {
		return err
	}
	if err := p.wait(r.Ctx, c.Settle); err != nil {
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

// manyOffer is the n-th of very many.
func manyOffer(n int) offers.Offer {
	o := offerOf(fmt.Sprintf("Many%07d", n), offers.Unlimited, offers.MaxQuantity)
	o.Title = fmt.Sprintf("Tour T-shirt, No. %d", n)
	return o
}
