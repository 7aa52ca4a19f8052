// Command dev is the project's own tool, run from the root of a checkout:
//
//	go run ./cmd/dev check    formatting, vet, staticcheck, the direction of imports, go.mod, known holes
//	go run ./cmd/dev test     installs what the tests need (Debian), checks, then tests with the race detector
//	go run ./cmd/dev fuzz     runs every fuzz test for a while
//	go run ./cmd/dev world    plays a shop in many worlds that try to break its promises
//	go run ./cmd/dev faults   puts faults into the code, each of which a test must catch
//	go run ./cmd/dev model    explores every state that a purchase can come to
//	go run ./cmd/dev axe      brings what looks at the pages for who reads them otherwise
//	go run ./cmd/dev kill     kills the built binary with kill -9 while it sells, and looks what is left
//
// It needs Go and nothing else; test brings the rest. It exits with 0 when all
// is well, with 1 when a step failed, and with 2 when it was called wrongly or
// something is missing that only the caller can install.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

const module = "hashtill"

// errUsage marks an error that the caller must mend; it becomes exit code 2.
var errUsage = errors.New("usage")

type cli struct {
	Check  checkCommand  `cmd:"" help:"Check the code without running it."`
	Test   testCommand   `cmd:"" help:"Install what the tests need, check, and test everything with the race detector."`
	Fuzz   fuzzCommand   `cmd:"" help:"Run every fuzz test for a while."`
	World  worldCommand  `cmd:"" help:"Play a shop in many worlds that try to break its promises, each of them drawn from a seed."`
	Faults faultsCommand `cmd:"" help:"Put deliberate faults into the code, each of which a test must catch."`
	Model  modelCommand  `cmd:"" help:"Explore every state that a purchase can come to."`
	Axe    axeCommand    `cmd:"" help:"Print where axe-core is, which looks at the pages for who reads them otherwise."`
	Kill   killCommand   `cmd:"" help:"Kill the built binary with kill -9 while it sells, and look what is left."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the command; it returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	exited := false
	code := 0
	var commands cli
	parser, err := kong.New(&commands,
		kong.Name("dev"),
		kong.Description("The project's own tool. Run it from the root of a checkout: go run ./cmd/dev <command>"),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { exited, code = true, c }),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintln(stderr, "dev:", err)
		return 2
	}
	parsed, err := parser.Parse(doubled(args))
	if exited { // --help has been printed
		return code
	}
	if err != nil {
		fmt.Fprintf(stderr, "dev: %v\nTry: go run ./cmd/dev --help\n", err)
		return 2
	}
	root, err := findRoot(ctx)
	if err == nil {
		err = parsed.Run(&project{root: root, stdout: stdout, stderr: stderr})
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "dev:", err)
		return 2
	default:
		fmt.Fprintln(stderr, "dev:", err)
		return 1
	}
}

// doubled takes "-seeds" for "--seeds", as the tools of Go do; no flag here is of one
// letter but -h.
func doubled(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if len(arg) > 2 && arg[0] == '-' && arg[1] != '-' {
			args[i] = "-" + arg
		}
	}
	return args
}

// findRoot returns the folder of the main module.
func findRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if filepath.Base(file) != "go.mod" {
		return "", fmt.Errorf("%w: run it from the root of a checkout; here is no go.mod", errUsage)
	}
	return filepath.Dir(file), nil
}

// A project is the checkout that is worked on, and where to report.
type project struct {
	root           string
	stdout, stderr io.Writer
}

// command prepares a command in the root. A cancelled ctx interrupts it, and
// kills it when it does not stop.
func (p *project) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = p.root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// output runs a command and returns what it printed on stdout. The error is what
// it said on stderr, where it said something.
func (p *project) output(ctx context.Context, name string, args ...string) (stdout string, err error) {
	var out, complaint strings.Builder
	cmd := p.command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
		if said := strings.TrimSpace(complaint.String()); said != "" {
			err = fmt.Errorf("%s\n%w", said, err)
		}
	}
	return out.String(), err
}

// A step is one thing to do. Its note, where there is one, stands beside "ok".
type step struct {
	name string
	do   func(context.Context) (note string, err error)
}

// runSteps does all steps, prints each with its time, and fails with the names
// of those that failed.
func (p *project) runSteps(ctx context.Context, steps []step) error {
	var failed []string
	for _, s := range steps {
		start := time.Now()
		note, err := s.do(ctx)
		took := time.Since(start).Seconds()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			failed = append(failed, s.name)
			fmt.Fprintf(p.stdout, "FAIL  %-11s %6.1fs\n%s\n", s.name, took, indent(err.Error()))
			continue
		}
		fmt.Fprintf(p.stdout, "ok    %-11s %6.1fs", s.name, took)
		if note != "" {
			fmt.Fprintf(p.stdout, "  %s", note)
		}
		fmt.Fprintln(p.stdout)
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

func indent(text string) string {
	return "      " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      ")
}
