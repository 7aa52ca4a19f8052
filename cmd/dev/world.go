package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hashtill/cmd/dev/world"
	"hashtill/store"
	"hashtill/store/sqlite"
)

type worldCommand struct {
	Seeds     uint64   `default:"20000" help:"How many worlds are played."`
	Seed      uint64   `default:"1" help:"The seed of the first."`
	Purchases int      `default:"20" help:"How many purchases are wished for in each."`
	Weather   []string `placeholder:"KIND" help:"Only these kinds of weather may come, separated by commas; none for fine weather. All of them by default."`
	Store     string   `default:"memory" enum:"memory,sqlite" help:"What the worlds stand on."`
	Trace     bool     `help:"Print what happens, line by line."`
}

// Help is shown by --help.
func (worldCommand) Help() string {
	return `Plays a whole shop against a world that tries to break every promise: crashes
between any two steps, lost and late answers, posts twice and in disorder, declines,
clocks that jump, a store that fails or forgets. Everything follows from the seed. What
is held to the promises, and what is checked, stands in the package comment of
cmd/dev/world.

A world that goes wrong is made smaller, and the line that plays it again is printed.
A run of 1,000 worlds or more in which some kind of weather has never come fails too:
it would prove nothing.

Examples:

  go run ./cmd/dev world
  go run ./cmd/dev world --seeds 1000000
  go run ./cmd/dev world --seeds 1 --seed 4711 --trace`
}

// playWorlds plays those of the test command.
func (p *project) playWorlds(ctx context.Context) (note string, err error) {
	var said strings.Builder
	c := worldCommand{Seeds: 20_000, Seed: 1, Purchases: 20, Store: "memory"}
	total, err := c.play(ctx, &project{root: p.root, stdout: &said, stderr: p.stderr}, io.Discard)
	if err != nil {
		return "", fmt.Errorf("%s%w", said.String(), err)
	}
	return total.line(), nil
}

// enoughWorlds have had every kind of weather.
const enoughWorlds = 1000

// Run is the command.
func (c worldCommand) Run(ctx context.Context, p *project) error {
	total, err := c.play(ctx, p, p.stderr)
	if total != nil {
		total.print(p.stdout)
	}
	return err
}

// worlds are what became of many.
type worlds struct {
	played     uint64
	violations int
	counts     map[string]int
	took       time.Duration
}

// play plays them all, as many at once as there are cores. progress has a line now and
// then.
func (c worldCommand) play(ctx context.Context, p *project, progress io.Writer) (*worlds, error) {
	for _, kind := range c.Weather {
		if kind != "none" && !slices.Contains(world.Weather(), kind) {
			return nil, fmt.Errorf("%w: --weather: there is no %q; there are %s", errUsage, kind, strings.Join(world.Weather(), ", "))
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a world is small, and soon gone
	var (
		total  = &worlds{counts: map[string]int{}}
		began  = time.Now()
		next   atomic.Uint64
		mu     sync.Mutex
		failed []world.Report
		all    sync.WaitGroup
		done   = make(chan struct{})
	)
	for range min(runtime.GOMAXPROCS(0), int(min(c.Seeds, 64))) {
		all.Go(func() {
			for ctx.Err() == nil {
				n := next.Add(1) - 1
				if n >= c.Seeds {
					return
				}
				r := world.Run(c.options(c.Seed+n, c.Trace))
				mu.Lock()
				total.played++
				for kind, n := range r.Counts {
					total.counts[kind] += n
				}
				if c.Trace {
					fmt.Fprintln(p.stdout, strings.Join(r.Trace, "\n"))
				}
				if total.violations += len(r.Violations); len(r.Violations) > 0 {
					failed = append(failed, r)
				}
				enough := len(failed) >= maxFailedWorlds
				mu.Unlock()
				if enough {
					return
				}
			}
		})
	}
	go func() {
		defer close(done)
		all.Wait()
	}()
	for tick := time.NewTicker(progressEvery); ; {
		select {
		case <-done:
			tick.Stop()
			total.took = time.Since(began)
			return total, c.verdict(ctx, p, total, failed)
		case <-tick.C:
			mu.Lock()
			left := time.Duration(float64(time.Since(began)) / float64(max(total.played, 1)) * float64(c.Seeds-total.played))
			fmt.Fprintf(progress, "      %s of %s worlds, violations %d, about %s left\n", grouped(int(total.played)), grouped(int(c.Seeds)), total.violations, left.Round(time.Second))
			mu.Unlock()
		}
	}
}

const (
	maxFailedWorlds = 3
	progressEvery   = 10 * time.Second
)

func (c worldCommand) options(seed uint64, trace bool) world.Options {
	o := world.Options{Seed: seed, Purchases: c.Purchases, Trace: trace}
	if len(c.Weather) > 0 {
		o.Weather = slices.DeleteFunc(slices.Clone(c.Weather), func(k string) bool { return k == "none" })
		if o.Weather == nil {
			o.Weather = []string{}
		}
	}
	if c.Store == "sqlite" {
		o.Store = openSQLite
	}
	return o
}

// openSQLite opens a store that is gone with the world.
func openSQLite() (store.Store, error) {
	dir, err := os.MkdirTemp("", "world")
	if err != nil {
		return nil, err
	}
	st, err := sqlite.Open(context.Background(), filepath.Join(dir, "world.db"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return tidied{st, dir}, nil
}

// tidied removes its folder when it is closed.
type tidied struct {
	store.Store
	dir string
}

// Close implements [store.Store].
func (t tidied) Close() error { return errors.Join(t.Store.Close(), os.RemoveAll(t.dir)) }

// verdict says what was wrong, and how to see it again.
func (c worldCommand) verdict(ctx context.Context, p *project, total *worlds, failed []world.Report) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	slices.SortFunc(failed, func(a, b world.Report) int { return cmp.Compare(a.Seed, b.Seed) })
	for _, r := range failed {
		fmt.Fprintf(p.stdout, "world %d:\n%s\n", r.Seed, indent(strings.Join(r.Violations, "\n")))
		small := world.Shrink(c.options(r.Seed, false))
		weather := strings.Join(small.Weather, ",")
		if weather == "" {
			weather = "none"
		}
		fmt.Fprintf(p.stdout, "      the same again, made small:\n      go run ./cmd/dev world --seeds 1 --seed %d --purchases %d --store %s --weather %q --trace\n", r.Seed, small.Purchases, c.Store, weather)
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d violations in %d worlds", total.violations, len(failed))
	}
	missing := world.Missing(total.counts, c.Store == "memory")
	if total.played >= enoughWorlds && len(c.Weather) == 0 && len(missing) > 0 {
		return fmt.Errorf("this proves nothing: it has never come to %s", strings.Join(missing, ", "))
	}
	return nil
}

// line is what they come to.
func (t *worlds) line() string {
	return fmt.Sprintf("worlds %s, purchases %s, charges %s, violations %d, %.0f s",
		grouped(int(t.played)), grouped(t.counts["purchases"]), grouped(t.counts["charges"]), t.violations, t.took.Seconds())
}

// print prints them as a table.
func (t *worlds) print(to io.Writer) {
	fmt.Fprintf(to, "%s\n\n", t.line())
	for _, kind := range world.Endings {
		fmt.Fprintf(to, "  %-34s %12s\n", kind, grouped(t.counts[kind]))
	}
	fmt.Fprintf(to, "\n  weather %35s\n", "times")
	for _, kind := range world.Weather() {
		fmt.Fprintf(to, "  %-34s %12s\n", kind, grouped(t.counts[kind]))
	}
	for _, kind := range slices.Sorted(maps.Keys(t.counts)) {
		if !slices.Contains(world.Endings, kind) && !slices.Contains(world.Weather(), kind) {
			fmt.Fprintf(to, "  %-34s %12s\n", kind, grouped(t.counts[kind]))
		}
	}
}

// grouped writes a number with commas.
func grouped(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
