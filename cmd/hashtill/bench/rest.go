package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// Rest measures a hashtill that has nothing to do.
type Rest struct {
	For    time.Duration `default:"20s" help:"How long it is watched."`
	Starts int           `default:"7" help:"How often it is started; the median counts."`
	Binary string        `placeholder:"FILE" help:"The hashtill to measure. Without one, this one."`
}

// Help is the rest of the help text.
func (Rest) Help() string {
	return "Starts hashtill serve on SQLite between stand-ins on this machine, with nothing to do, and measures its memory, " +
		"its share of a core, how soon it is ready, and how large the program is. In a checkout of the source, with go in PATH, " +
		"the program is built anew too.\n\n" +
		"  hashtill bench rest --for 1m"
}

// settle is how long a process is left alone before it is watched: what comes of its
// start is over.
const settle = 3 * time.Second

// Run measures.
func (c Rest) Run(r Run) (err error) {
	if c.For < time.Second || c.Starts < 1 {
		return errors.New("--for: at least 1s; --starts: at least once")
	}
	binary := c.Binary
	if binary == "" {
		if binary, err = os.Executable(); err != nil {
			return err
		}
	}
	outside, err := newStandIns()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, outside.Close()) }()

	var starts, bare []time.Duration
	var p *served
	for n := range c.Starts + 1 { // the first one makes the store, and is not counted
		began := time.Now()
		if err := exec.CommandContext(r.Ctx, binary, "--help").Run(); err != nil {
			return err
		}
		bare = append(bare, time.Since(began))
		if p, err = outside.serve(r.Ctx, binary, true); err != nil {
			return err
		}
		if n > 0 {
			starts = append(starts, p.start)
		}
		if n < c.Starts {
			if err := p.stop(); err != nil {
				return fmt.Errorf("hashtill serve has ended: %w\n%s", err, p.said)
			}
		}
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	r.progress("started %d times; watching it for %s", c.Starts+1, c.For)
	share, err := p.share(r.Ctx, c.For)
	if err != nil {
		return err
	}
	resident, most, err := p.memory()
	if err != nil {
		return err
	}
	size, err := os.Stat(binary)
	if err != nil {
		return err
	}
	figures := []figure{
		{what: "resident", value: resident / megabyte, unit: "MB", note: "aim: under 40"},
		{what: "resident at most, since the start", value: most / megabyte, unit: "MB"},
		{what: fmt.Sprintf("of a core, over %s", c.For), value: 100 * share, unit: "%", note: "aim: under 0.5"},
		{what: fmt.Sprintf("start until ready, median of %d", c.Starts), value: milliseconds(median(starts)), unit: "ms",
			against: "hashtill --help", limit: milliseconds(median(bare)), note: "aim: under 200"},
		{what: "the program that was measured", value: float64(size.Size()) / megabyte, unit: "MB", note: "aim: under 40"},
	}
	r.progress("building the program anew, if go and its source are here")
	built, err := sizes(r.Ctx, outside.dir)
	if err != nil {
		r.progress("it is not built anew: %v", err)
	}
	r.print("At rest, on SQLite", append(figures, built...)...)
	return nil
}

// share is the part of one core that the process takes.
func (p *served) share(ctx context.Context, watched time.Duration) (float64, error) {
	if err := p.wait(ctx, settle); err != nil {
		return 0, err
	}
	before, err := cpuOf(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := p.wait(ctx, watched); err != nil {
		return 0, err
	}
	after, err := cpuOf(p.cmd.Process.Pid)
	return float64(after-before) / float64(time.Since(began)), err
}

// sizes builds the program plainly, and as it is given away.
func sizes(ctx context.Context, dir string) (figures []figure, err error) {
	for _, b := range []struct {
		name  string
		flags []string
	}{
		{"go build", nil},
		{"go build -trimpath -ldflags='-s -w'", []string{"-trimpath", "-ldflags=-s -w"}},
	} {
		path := filepath.Join(dir, "built")
		args := append([]string{"build", "-o", path}, b.flags...)
		if out, err := exec.CommandContext(ctx, "go", append(args, "hashtill/cmd/hashtill")...).CombinedOutput(); err != nil {
			return figures, fmt.Errorf("go build: %w: %s", err, out)
		}
		info, err := os.Stat(path)
		if err != nil {
			return figures, err
		}
		figures = append(figures, figure{what: b.name, value: float64(info.Size()) / megabyte, unit: "MB", note: "aim: under 40"})
	}
	return figures, nil
}

// median is the middle one.
func median[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
