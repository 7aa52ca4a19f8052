package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// The binary that is killed is one that was just built, and it is gone afterwards.
func TestKillBuilds(t *testing.T) {
	p, _ := at(write(t, map[string]string{"cmd/hashtill/main.go": "package main\n\nfunc main() {}\n"}))
	binary := ""
	err := killCommand{Runs: 7, Store: "redis", Commits: 9, Seed: 5}.killing(t.Context(), p, func(args []string) error {
		for _, want := range []string{"-run=^TestKilledOnRedis$", "-kill-runs=7", "-kill-commits=9", "-kill-seed=5", "./cmd/hashtill"} {
			if !slices.Contains(args, want) {
				t.Errorf("%q is not among %q", want, args)
			}
		}
		binary = strings.TrimPrefix(args[len(args)-1], "-kill-binary=")
		_, err := os.Stat(binary)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(binary); err == nil {
		t.Errorf("%s is left", binary)
	}
	if (killCommand{Seed: 5}).seeded().Seed != 5 || (killCommand{}).seeded().Seed == 0 {
		t.Error("a seed that is given counts, and without one is drawn")
	}
	if err := (killCommand{Runs: 0, Commits: 1}).Run(t.Context(), p); !errors.Is(err, errUsage) {
		t.Errorf("no runs: %v", err)
	}
}
