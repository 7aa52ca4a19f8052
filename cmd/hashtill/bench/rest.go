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
	Settle time.Duration `default:"3s" help:"How long it is left alone before it is watched."`
	Binary string        `placeholder:"FILE" help:"The hashtill to measure. Without one, it is built as the README says."`
}

// Help is the rest of the help text.
func (Rest) Help() string {
	return "Starts hashtill serve on SQLite between stand-ins on this machine, with nothing to do, and measures its memory, " +
		"its share of a core, how soon it is ready, and how large the program is. It is built for that as the README says, by " +
		readmeBuild + ", which needs go and the source; where they are not, this program is measured.\n\n" +
		"  hashtill bench rest --for 1m"
}

// How the README builds the program: without paths of the machine that builds, and without
// what only a debugger reads, which is a third of the program.
const readmeBuild = "go build -trimpath -ldflags='-s -w'"

var buildFlags = []string{"-trimpath", "-ldflags=-s -w"}

// Run measures.
func (c Rest) Run(r Run) (err error) {
	if c.For < time.Second || c.Starts < 1 {
		return errors.New("--for: at least 1s; --starts: at least once")
	}
	outside, err := newStandIns()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, outside.Close()) }()
	binary, program := c.Binary, figure{what: "the program that was measured", unit: "MB", note: "aim: under 40"}
	if binary == "" {
		r.progress("building the program, as the README says and plainly")
		plain, err := build(r.Ctx, filepath.Join(outside.dir, "plain"))
		if err == nil {
			binary = filepath.Join(outside.dir, "hashtill")
			_, err = build(r.Ctx, binary, buildFlags...)
		}
		if err != nil {
			r.progress("this program is measured: %v", err)
			if binary, err = os.Executable(); err != nil {
				return err
			}
		} else {
			program.what, program.against, program.limit = "by "+readmeBuild, "plain go build", plain/megabyte
		}
	}

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
	share, err := p.share(r.Ctx, c.Settle, c.For)
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
	program.value = float64(size.Size()) / megabyte
	r.print("At rest, on SQLite",
		figure{what: "resident", value: resident / megabyte, unit: "MB", note: "aim: under 40"},
		figure{what: "resident at most, since the start", value: most / megabyte, unit: "MB"},
		figure{what: fmt.Sprintf("of a core, over %s", c.For), value: 100 * share, unit: "%", note: "aim: under 0.5"},
		figure{what: fmt.Sprintf("start until ready, median of %d", c.Starts), value: milliseconds(median(starts)), unit: "ms",
			against: "hashtill --help", limit: milliseconds(median(bare)), note: "aim: under 200"},
		program)
	return nil
}

// share is the part of one core that the process takes, when what comes of its start is over.
func (p *served) share(ctx context.Context, settle, watched time.Duration) (float64, error) {
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

// build builds the program, and returns how large it is, in bytes.
func build(ctx context.Context, path string, flags ...string) (bytes float64, err error) {
	args := append([]string{"build", "-o", path}, flags...)
	if out, err := exec.CommandContext(ctx, "go", append(args, "hashtill/cmd/hashtill")...).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go build: %w: %s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return float64(info.Size()), nil
}

// median is the middle one.
func median[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
