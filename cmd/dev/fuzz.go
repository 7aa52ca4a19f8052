package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

type fuzzCommand struct {
	Time  time.Duration `default:"30s" help:"How long to run each fuzz test."`
	Match string        `name:"run" placeholder:"REGEXP" help:"Run only the fuzz tests whose package and name (offers.FuzzCode) match."`
}

// Help is shown by --help.
func (fuzzCommand) Help() string {
	return `Finds every fuzz test of the module and runs one after the other. What fails is
written by go test to testdata/fuzz beside the test, to be kept and mended.

Examples:

  go run ./cmd/dev fuzz
  go run ./cmd/dev fuzz --time 5m --run 'offers\.FuzzCode'`
}

// Run is the command.
func (c fuzzCommand) Run(ctx context.Context, p *project) error {
	filter, err := regexp.Compile(c.Match)
	if err != nil {
		return fmt.Errorf("%w: --run: %w", errUsage, err)
	}
	if c.Time <= 0 {
		return fmt.Errorf("%w: --time must be more than 0", errUsage)
	}
	all, err := p.fuzzTests(ctx)
	if err != nil {
		return err
	}
	var chosen []fuzzTest
	for _, test := range all {
		if filter.MatchString(test.String()) {
			chosen = append(chosen, test)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("%w: none of %d fuzz tests matches %q", errUsage, len(all), c.Match)
	}

	var failed []string
	for i, test := range chosen {
		fmt.Fprintf(p.stdout, "[%d/%d] %s for %s\n", i+1, len(chosen), test, c.Time)
		cmd := p.command(ctx, "go", "test", "-run=^$", "-fuzz=^"+test.name+"$", "-fuzztime="+c.Time.String(), test.pkg)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = io.MultiWriter(p.stdout, &said), p.stderr
		err := cmd.Run()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil && !endedByTheClock(said.String()) {
			failed = append(failed, test.String())
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d fuzz tests failed: %s", len(failed), len(chosen), strings.Join(failed, ", "))
	}
	return nil
}

// endedByTheClock tells the end of the time from a failure: go test at times calls
// an input failed that was under way when the time ran out, and then writes none
// (https://github.com/golang/go/issues/75804, mended in Go 1.27).
func endedByTheClock(said string) bool {
	return strings.Contains(said, "context deadline exceeded") &&
		!strings.Contains(said, "Failing input written to") && !strings.Contains(said, "failure while testing seed corpus")
}

type fuzzTest struct{ pkg, name string }

func (f fuzzTest) String() string { return inModule(f.pkg) + "." + f.name }

// fuzzTests lists the fuzz tests of the module, in the order of its packages.
func (p *project) fuzzTests(ctx context.Context) ([]fuzzTest, error) {
	listed, err := p.output(ctx, "go", "test", "-list=^Fuzz", "./...")
	if err != nil {
		return nil, errors.Join(errors.New(strings.TrimSpace(listed)), err)
	}
	// The names of a package, one a line, are followed by: ok <package> <time>.
	var found []fuzzTest
	var names []string
	for line := range strings.Lines(listed) {
		switch fields := strings.Fields(line); {
		case len(fields) == 1 && strings.HasPrefix(fields[0], "Fuzz"):
			names = append(names, fields[0])
		case len(fields) > 1 && fields[0] == "ok":
			for _, name := range names {
				found = append(found, fuzzTest{fields[1], name})
			}
			names = nil
		}
	}
	return found, nil
}
