package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

type faultsCommand struct {
	Only     []string      `placeholder:"NAME" help:"Only these faults or groups of them, separated by commas."`
	Every    int           `default:"1" placeholder:"N" help:"Only each Nth fault of the table."`
	List     bool          `help:"Print the faults and try none."`
	Parallel int           `default:"2" help:"How many to try at once."`
	Timeout  time.Duration `default:"2m" help:"How long the tests may take with one fault."`
}

// Help is shown by --help.
func (faultsCommand) Help() string {
	return `Puts deliberate faults into the code, one at a time, and runs the tests that must
fail with it. The files of the checkout stay as they are. First the same tests must
pass without any fault; otherwise their failing would prove nothing. A test that
runs into the time-out has caught the fault too. Edit nothing meanwhile: a test may fail
by the edit then, and not by the fault.

The faults stand in cmd/dev/faults_table.go. One whose text has moved or which does
not compile has not been tried, and is a failure like one that no test has caught.

Examples:

  go run ./cmd/dev faults
  go run ./cmd/dev faults --only memory,outbox/panic-not-recovered
  go run ./cmd/dev faults --list`
}

// Run is the command.
func (c faultsCommand) Run(ctx context.Context, p *project) error {
	return c.tryAll(ctx, p, faultTable)
}

// A fault is a deliberate mistake: with it, one of its tests must fail.
type fault struct {
	name     string // group/what is wrong
	file     string // in the module, with slashes: Go, or embedded by Go
	old, new string // old stands in the file exactly once
	tests    testSet
}

// A testSet is tests of one package.
type testSet struct {
	pkg  string   // ./store
	run  string   // go test -run; all of the package if empty
	skip string   // go test -skip; none if empty
	env  []string // NAME=value
}

// String is the set as one would run it by hand.
func (t testSet) String() string {
	words := append(slices.Clone(t.env), "go", "test")
	if t.run != "" {
		words = append(words, "-run", quoted(t.run))
	}
	if t.skip != "" {
		words = append(words, "-skip", quoted(t.skip))
	}
	return strings.Join(append(words, t.pkg), " ")
}

func quoted(word string) string { return "'" + word + "'" }

// An answer is what trying a fault has shown.
type answer string

const (
	caught    answer = "caught"
	notCaught answer = "NOT CAUGHT"
	notTried  answer = "NOT TRIED" // the fault, or its tests without it, are to be mended first
)

// tryAll tries the chosen faults of a table.
func (c faultsCommand) tryAll(ctx context.Context, p *project, table []fault) error {
	if c.Parallel < 1 || c.Timeout <= 0 || c.Every < 0 {
		return fmt.Errorf("%w: --parallel, --timeout and --every must be more than 0", errUsage)
	}
	chosen, err := chooseFaults(table, c.Only)
	if err != nil {
		return err
	}
	if every := max(c.Every, 1); every > 1 {
		all := chosen
		chosen = nil
		for i := 0; i < len(all); i += every {
			chosen = append(chosen, all[i])
		}
	}
	if c.List {
		for _, f := range chosen {
			fmt.Fprintf(p.stdout, "%-34s %-24s %s\n", f.name, f.file, f.tests)
		}
		return nil
	}

	start := time.Now()
	r := &faultRun{project: p, parallel: c.Parallel, timeout: c.Timeout}
	sound := r.withoutFault(ctx, chosen)
	answers := make([]answer, len(chosen))
	r.each(ctx, len(chosen), func(i int) {
		f, began := chosen[i], time.Now()
		said := "its tests do not pass without it"
		answers[i] = notTried
		if sound[f.tests.String()] {
			answers[i], said = r.try(ctx, f)
		}
		if ctx.Err() == nil {
			r.print("%-10s  %-34s %6.1fs  %s\n", answers[i], f.name, time.Since(began).Seconds(), said)
		}
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}

	names := map[answer][]string{}
	for i, a := range answers {
		names[a] = append(names[a], chosen[i].name)
	}
	fmt.Fprintf(p.stdout, "%d faults: %d caught, %d not caught, %d not tried; %.0fs\n",
		len(chosen), len(names[caught]), len(names[notCaught]), len(names[notTried]), time.Since(start).Seconds())
	var complaints []string
	for _, a := range []answer{notCaught, notTried} {
		if len(names[a]) > 0 {
			complaints = append(complaints, strings.ToLower(string(a))+": "+strings.Join(names[a], ", "))
		}
	}
	if len(complaints) > 0 {
		return errors.New(strings.Join(complaints, "; "))
	}
	return nil
}

// chooseFaults returns the faults of those names or groups; without any, all.
func chooseFaults(table []fault, only []string) ([]fault, error) {
	if len(only) == 0 {
		return table, nil
	}
	unknown := slices.Clone(only)
	var chosen []fault
	for _, f := range table {
		group, _, _ := strings.Cut(f.name, "/")
		if slices.Contains(only, f.name) || slices.Contains(only, group) {
			chosen = append(chosen, f)
			unknown = slices.DeleteFunc(unknown, func(name string) bool { return name == f.name || name == group })
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%w: no fault and no group has the name %s; see --list", errUsage, strings.Join(unknown, ", "))
	}
	return chosen, nil
}

// A faultRun tries faults.
type faultRun struct {
	*project
	parallel int           // at once
	timeout  time.Duration // for the tests of one
	printing sync.Mutex
}

// print may be called from many goroutines.
func (r *faultRun) print(format string, args ...any) {
	r.printing.Lock()
	defer r.printing.Unlock()
	fmt.Fprintf(r.stdout, format, args...)
}

// each calls do for 0 to n-1, several at once, and begins none when ctx is done.
func (r *faultRun) each(ctx context.Context, n int, do func(i int)) {
	var all sync.WaitGroup
	defer all.Wait()
	slots := make(chan struct{}, r.parallel)
	for i := range n {
		slots <- struct{}{}
		if ctx.Err() != nil {
			return
		}
		all.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
}

// withoutFault runs the tests of all faults on the code as it is, and tells which
// of them pass, by their String.
func (r *faultRun) withoutFault(ctx context.Context, faults []fault) (sound map[string]bool) {
	var sets []testSet
	for _, f := range faults {
		if !slices.ContainsFunc(sets, func(t testSet) bool { return t.String() == f.tests.String() }) {
			sets = append(sets, f.tests)
		}
	}
	passes := make([]bool, len(sets))
	r.each(ctx, len(sets), func(i int) {
		began := time.Now()
		result, err := r.goTest(ctx, sets[i], "")
		if failing := result.failing(); err == nil && len(failing) > 0 {
			err = fmt.Errorf("without any fault fails: %s\n%s", strings.Join(failing, ", "), result.output)
		}
		took := time.Since(began).Seconds()
		switch {
		case ctx.Err() != nil:
		case err != nil:
			r.print("FAIL  %s  %.1fs\n%s\n", sets[i], took, indent(err.Error()))
		default:
			passes[i] = true
			r.print("ok    %s  %.1fs  %d tests, no fault yet\n", sets[i], took, result.begun)
		}
	})
	sound = map[string]bool{}
	for i, t := range sets {
		sound[t.String()] = passes[i]
	}
	return sound
}

// try runs the tests of a fault with it, and says which of them has caught it, or
// why none could.
func (r *faultRun) try(ctx context.Context, f fault) (answer, string) {
	dir, err := os.MkdirTemp("", "fault-")
	if err != nil {
		return notTried, err.Error()
	}
	defer os.RemoveAll(dir)
	overlay, err := r.overlay(dir, f)
	if err != nil {
		return notTried, err.Error()
	}
	result, err := r.goTest(ctx, f.tests, overlay)
	if err != nil {
		return notTried, fmt.Sprintf("mend the table: with this in %s\n%s", f.file, indent(err.Error()))
	}
	failing := result.failing()
	if len(failing) == 0 {
		return notCaught, fmt.Sprintf("%d tests pass: %s", result.begun, f.tests)
	}
	said := "by " + strings.Join(failing, ", ")
	switch {
	case result.timedOut:
		said += ", which ran out of time"
	case len(result.failed) == 0:
		said += ", which died"
	}
	return caught, said
}

// overlay writes to dir the mistaken copy of the fault's file, and the file for
// go test -overlay that puts it in the place of the right one. The go command
// honours it for embedded files too; a test holds it to that, as the scripts of
// package redis depend on it. What a program opens when it runs is not replaced.
func (p *project) overlay(dir string, f fault) (file string, err error) {
	original := filepath.Join(p.root, filepath.FromSlash(f.file))
	mistaken, err := f.put(original)
	if err != nil {
		return "", err
	}
	copied := filepath.Join(dir, filepath.Base(original))
	// https://pkg.go.dev/cmd/go#hdr-Compile_packages_and_dependencies, -overlay
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: copied}})
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, "overlay.json")
	return file, errors.Join(os.WriteFile(copied, []byte(mistaken), 0o600), os.WriteFile(file, replace, 0o600))
}

// put returns the text of the file at path with the fault in it.
func (f fault) put(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("fault %s no longer fits %s: mend the table: %w", f.name, f.file, err)
	}
	if n := strings.Count(string(text), f.old); n != 1 {
		return "", fmt.Errorf("fault %s no longer fits %s: mend the table: its text is there %d times", f.name, f.file, n)
	}
	if f.old == f.new {
		return "", fmt.Errorf("fault %s changes nothing: mend the table", f.name)
	}
	return strings.Replace(string(text), f.old, f.new, 1), nil
}

// compileTime is what may pass before the tests begin: the first build of a
// package with all that it needs, on a slow machine.
const compileTime = 5 * time.Minute

// A testResult is what go test -json has told of a package that compiles.
type testResult struct {
	begun    int      // tests and subtests
	failed   []string // in the order in which they ended: a subtest before its test
	open     []string // begun and never ended: the process died, or was stopped
	timedOut bool
	output   string
}

// failing names the tests that failed, without those that failed by a subtest.
// They are none if all passed.
func (r testResult) failing() []string {
	names := r.failed
	if len(names) == 0 {
		names = r.open
	}
	var leaves []string
	for _, name := range names {
		if !slices.ContainsFunc(names, func(other string) bool { return strings.HasPrefix(other, name+"/") }) {
			leaves = append(leaves, name)
		}
	}
	return leaves
}

// goTest runs tests, up to the first that fails. An error says that no test has
// come to an answer, whether it passes or fails. Vet stays out of it: a fault may
// look suspicious.
func (r *faultRun) goTest(ctx context.Context, tests testSet, overlay string) (testResult, error) {
	ctx, cancel := context.WithTimeout(ctx, compileTime+r.timeout)
	defer cancel()
	cmd := r.command(ctx, "go", "test", "-json", "-count=1", "-failfast", "-vet=off", "-timeout="+r.timeout.String(),
		"-overlay="+overlay, "-run="+tests.run, "-skip="+tests.skip, tests.pkg)
	cmd.Env = append(os.Environ(), tests.env...)
	var said, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complaint
	ran := cmd.Run()
	if ctx.Err() != nil {
		return testResult{}, fmt.Errorf("%s has not ended: %w", tests, ctx.Err())
	}
	result, err := readTestResult(&said)
	switch {
	case err != nil:
		return result, err
	case result.begun == 0 && ran != nil:
		return result, fmt.Errorf("%s begins no test: %w\n%s%s", tests, ran, result.output, complaint.String())
	case result.begun == 0:
		return result, fmt.Errorf("%s finds no test", tests)
	case (ran == nil) != (len(result.failing()) == 0):
		return result, fmt.Errorf("%s names %d tests that failed and ends with %v\n%s", tests, len(result.failing()), ran, complaint.String())
	}
	return result, nil
}

// readTestResult reads what go test -json says of one package. A package that
// does not compile is an error.
func readTestResult(said *bytes.Buffer) (testResult, error) {
	var r testResult
	var compiler, tests strings.Builder
	lines := json.NewDecoder(said)
	for lines.More() {
		var event struct{ Action, Test, Output string } // go doc test2json; go help buildjson
		if err := lines.Decode(&event); err != nil {
			return r, fmt.Errorf("go test -json: %w", err)
		}
		switch event.Action {
		case "build-output":
			compiler.WriteString(event.Output)
		case "build-fail":
			return r, fmt.Errorf("does not compile:\n%s", strings.TrimSpace(compiler.String()))
		case "output":
			tests.WriteString(event.Output)
			r.timedOut = r.timedOut || strings.HasPrefix(event.Output, "panic: test timed out after ")
		}
		if event.Test == "" {
			continue
		}
		switch event.Action {
		case "run":
			r.begun++
			r.open = append(r.open, event.Test)
		case "pass", "skip", "fail":
			r.open = slices.DeleteFunc(r.open, func(name string) bool { return name == event.Test })
			if event.Action == "fail" {
				r.failed = append(r.failed, event.Test)
			}
		}
	}
	r.output = tests.String()
	return r, nil
}
