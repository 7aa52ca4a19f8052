package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

type killCommand struct {
	Runs    int    `default:"1000" help:"How often hashtill is killed."`
	Store   string `default:"sqlite" enum:"sqlite,redis" help:"On which store: ${enum}."`
	Commits int    `default:"1000" help:"How many commits a run has, about."`
	Seed    uint64 `help:"Draws where each run ends; a random one is drawn and printed without it."`
}

// Help is shown by --help.
func (killCommand) Help() string {
	return `Builds hashtill and kills it with kill -9 again and again while it carries the load of
hashtill demo --load on one SQLite file, or on a redis-server of its own: half of the
runs at random, the others at named points, such as when a card was charged and nothing
of that is written down. The buyers' records, what was acknowledged, and the stand-in of
Stripe live in another process. After each death, and at the end when all that is owed
is done, the store is held to them; a table tells what happened.

A seed draws the same points again. What the processes do up to them is theirs.

Examples:

  go run ./cmd/dev kill
  go run ./cmd/dev kill --store redis --runs 100 --seed 7`
}

// Run is the command.
func (c killCommand) Run(ctx context.Context, p *project) error {
	if c.Runs < 1 || c.Commits < 1 {
		return fmt.Errorf("%w: --runs and --commits must be more than 0", errUsage)
	}
	cmd := c.seeded()
	fmt.Fprintf(p.stdout, "go run ./cmd/dev kill --store %s --runs %d --commits %d --seed %d\n", cmd.Store, cmd.Runs, cmd.Commits, cmd.Seed)
	return cmd.killing(ctx, p, func(args []string) error {
		test := p.command(ctx, "go", args...)
		test.Stdout, test.Stderr = p.stdout, p.stderr
		return test.Run()
	})
}

func (c killCommand) seeded() killCommand {
	if c.Seed == 0 {
		c.Seed = 1 + rand.Uint64N(1_000_000)
	}
	return c
}

// killing builds the binary, and calls run with the arguments of the go command that
// kills it.
func (c killCommand) killing(ctx context.Context, p *project, run func(args []string) error) error {
	dir, err := os.MkdirTemp("", "kill-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "hashtill")
	if _, err := p.output(ctx, "go", "build", "-o", binary, "./cmd/hashtill"); err != nil {
		return err
	}
	test := map[string]string{"sqlite": "^TestKilledOnSQLite$", "redis": "^TestKilledOnRedis$"}[c.Store]
	return run([]string{"test", "-count=1", "-timeout=0", "-v", "-run=" + test, "./cmd/hashtill",
		fmt.Sprint("-kill-runs=", c.Runs), fmt.Sprint("-kill-commits=", c.Commits), fmt.Sprint("-kill-seed=", c.Seed), "-kill-binary=" + binary})
}

// kills are the runs that belong to the test command.
var kills = []killCommand{{Runs: 100, Store: "sqlite", Commits: 400}, {Runs: 20, Store: "redis", Commits: 300}}

// killSteps play them, and note the sums of the table.
func (p *project) killSteps() (steps []step) {
	for _, c := range kills {
		steps = append(steps, step{"kill " + c.Store, func(ctx context.Context) (note string, err error) {
			c := c.seeded()
			err = c.killing(ctx, p, func(args []string) error {
				out, err := p.output(ctx, "go", args...)
				if err != nil {
					return fmt.Errorf("seed %d\n%s\n%w", c.Seed, out, err)
				}
				note = fmt.Sprintf("seed %d", c.Seed)
				for line := range strings.Lines(out) {
					fields := strings.Fields(line)
					for _, sum := range []string{"runs", "acknowledged commits", "charges", "violations"} {
						if len(fields) > 1 && strings.HasPrefix(strings.Join(fields, " "), sum) {
							note += fmt.Sprintf(", %s %s", sum, fields[len(fields)-1])
						}
					}
				}
				return nil
			})
			return note, err
		}})
	}
	return steps
}
