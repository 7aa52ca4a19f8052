package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

type testCommand struct {
	Timeout time.Duration `default:"15m" help:"How long the tests of one package may take."`
	Args    []string      `arg:"" optional:"" help:"After --: flags and packages for go test; without a package, all."`
}

// Help is shown by --help.
func (testCommand) Help() string {
	return `On Debian, first installs the packages that the tests need and that are missing;
this takes root. Brings axe-core from the npm registry. Then does what check does, and runs go test -race, also when a
check has failed. At last, if all is well and nothing stands after --, plays 10,000
random histories of a shop and 20,000 worlds, which the race detector would make slow,
kills the built binary 100 times on SQLite and 20 times on Redis, as kill does, and puts
in each fourth of the deliberate faults and sees that the tests catch it, as faults does.

Examples:

  go run ./cmd/dev test
  go run ./cmd/dev test -- -run TestStep -v ./offers/...`
}

// Run is the command.
func (c testCommand) Run(ctx context.Context, p *project) error {
	if err := p.install(ctx, p.thisMachine()); err != nil {
		return err
	}
	if err := p.runSteps(ctx, []step{{"axe-core", p.installAxe}}); err != nil {
		return err
	}
	if err := p.checkAndTest(ctx, c.goTestArgs()); err != nil || len(c.Args) > 0 {
		return err
	}
	steps := append([]step{{"histories", p.playHistories}, {"worlds", p.playWorlds}}, p.killSteps()...)
	if err := p.runSteps(ctx, steps); err != nil {
		return err
	}
	return faultsCommand{Every: testEvery, Parallel: 2, Timeout: 2 * time.Minute}.Run(ctx, p)
}

// testEvery: each fourth fault is tried by test, so that it ends in time; faults tries all.
const testEvery = 4

func (p *project) checkAndTest(ctx context.Context, args []string) error {
	checked := p.check(ctx)
	if ctx.Err() != nil {
		return checked
	}
	// The lines of go test come last, so that a reader of a log sees them.
	fmt.Fprintf(p.stdout, "      go %s\n", strings.Join(args, " "))
	cmd := p.command(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1") // the race detector needs it
	if err := cmd.Run(); err != nil {
		return errors.Join(checked, fmt.Errorf("go test: %w", err))
	}
	return checked
}

// histories are the arguments of go test for the random histories of package confirm.
var histories = []string{"test", "-count=1", "-timeout=15m", "-v", "-run=^TestHistories$", "./confirm", "-histories=10000"}

// playHistories plays them, and notes what has happened in them.
func (p *project) playHistories(ctx context.Context) (note string, err error) {
	out, err := p.output(ctx, "go", histories...)
	if err != nil {
		return "", fmt.Errorf("%s\n%w", out, err)
	}
	for line := range strings.Lines(out) {
		if _, said, ok := strings.Cut(line, "_test.go:"); ok {
			_, note, _ = strings.Cut(strings.TrimSpace(said), " ")
		}
	}
	return note, nil
}

func (c testCommand) goTestArgs() []string {
	args := append([]string{"test", "-race", "-timeout=" + c.Timeout.String()}, c.Args...)
	for _, arg := range c.Args {
		if arg == "." || strings.HasPrefix(arg, "./") || arg == module || strings.HasPrefix(arg, module+"/") {
			return args // the caller has named packages
		}
	}
	return append(args, "./...")
}

// A debianPackage is something that the tests need.
type debianPackage struct {
	name       string
	executable string // shows that it is there; without one dpkg-query is asked
	why        string
}

var debianPackages = []debianPackage{
	{"gcc", "gcc", "the race detector needs cgo"},
	{"libc6-dev", "", "the headers that cgo compiles against"},
	{"redis-server", "redis-server", "the tests of store/redis start servers of their own"},
	{"chromium", "chromium", "the tests of the web pages drive a real browser"},
	{"fonts-noto-core", "", "the pages show names in many scripts"},
}

// A machine is what install needs of the system; tests make their own.
type machine struct {
	root      bool
	lookPath  func(executable string) (string, error)
	installed func(ctx context.Context, pkg string) bool
	aptGet    func(ctx context.Context, args ...string) error
}

func (p *project) thisMachine() machine {
	return machine{
		root:      os.Geteuid() == 0,
		lookPath:  exec.LookPath,
		installed: p.dpkgInstalled,
		aptGet:    p.aptGet,
	}
}

// install installs the missing debianPackages. Without root it fails with the
// command to run. On another system it does nothing: the tests themselves say
// what they miss.
func (p *project) install(ctx context.Context, m machine) error {
	if _, err := m.lookPath("apt-get"); err != nil {
		fmt.Fprintln(p.stdout, "no apt-get here: nothing is installed; the tests need", strings.Join(packageNames(debianPackages), ", "))
		return nil
	}
	var missing []debianPackage
	for _, pkg := range debianPackages {
		there := false
		if pkg.executable != "" {
			_, err := m.lookPath(pkg.executable)
			there = err == nil
		} else {
			there = m.installed(ctx, pkg.name)
		}
		if !there {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	for _, pkg := range missing {
		fmt.Fprintf(p.stdout, "needs %s: %s\n", pkg.name, pkg.why)
	}
	install := append([]string{"install", "--yes", "--no-install-recommends"}, packageNames(missing)...)
	if !m.root {
		fmt.Fprintf(p.stdout, "run:\n\n  sudo apt-get update && sudo DEBIAN_FRONTEND=noninteractive apt-get %s\n\n", strings.Join(install, " "))
		return fmt.Errorf("%w: packages are missing, and installing them takes root", errUsage)
	}
	return p.runSteps(ctx, []step{{"apt-get", func(ctx context.Context) (string, error) {
		if err := m.aptGet(ctx, "update"); err != nil {
			return "", err
		}
		return "", m.aptGet(ctx, install...)
	}}})
}

func packageNames(packages []debianPackage) []string {
	var names []string
	for _, pkg := range packages {
		names = append(names, pkg.name)
	}
	return names
}

func (p *project) dpkgInstalled(ctx context.Context, name string) bool {
	status, err := p.output(ctx, "dpkg-query", "--show", "--showformat=${db:Status-Abbrev}", name)
	return err == nil && strings.HasPrefix(status, "ii")
}

func (p *project) aptGet(ctx context.Context, args ...string) error {
	cmd := p.command(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w", strings.Join(args, " "), err)
	}
	return nil
}
