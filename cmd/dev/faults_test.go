package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// summer is a module with something to break.
var summer = map[string]string{
	"store/store.go": "package store\n\nimport _ \"embed\"\n\n//go:embed sum.lua\nvar script string\n\nfunc Sum(a, b int) int { return a + b }\n",
	"store/sum.lua":  "return a + b",
	"store/store_test.go": `package store

import (
	"os"
	"testing"
)

func TestSum(t *testing.T) {
	for name, sum := range map[string]int{"small": Sum(1, 1)} {
		t.Run(name, func(t *testing.T) {
			if sum != 2 {
				t.Error(sum)
			}
		})
	}
}

func TestBegun(t *testing.T) {
	t.Run("inside", func(t *testing.T) {
		if Sum(1, 1) != 2 {
			t.Error("wrong")
		}
	})
	t.Run("after", func(t *testing.T) {})
}

func TestScript(t *testing.T) {
	if script != "return a + b" {
		t.Error(script)
	}
}

func TestEnv(t *testing.T) {
	if os.Getenv("HERE") != "yes" {
		t.Error("not there")
	}
}
`,
}

// seconds is a time as it is printed.
var seconds = regexp.MustCompile(`[0-9]+\.[0-9]s`)

func TestFaults(t *testing.T) {
	root := write(t, summer)
	const code, script = "store/store.go", "store/sum.lua"
	inside := testSet{pkg: "./store", run: "^TestBegun$"}
	both := testSet{pkg: "./store", skip: "^TestEnv$"}
	none := testSet{pkg: "./store", run: "^TestNothing$"}
	red := testSet{pkg: "./store", run: "^TestEnv$"}
	env := testSet{pkg: "./store", run: "^TestEnv$", env: []string{"HERE=yes"}}
	table := []fault{
		{"good/wrong", code, "a + b", "a - b", inside},
		{"good/embedded", script, "a + b", "a - b", both},
		{"good/panics", code, "return a + b", "panic(a + b)", inside},
		{"good/dies", code, "return a + b", "go panic(a + b); select {}", inside},
		{"good/hangs", code, "return a + b", "select {}", inside},

		{"bad/harmless", code, "a + b", "b + a", both},
		{"bad/harmless-elsewhere", script, "a + b", "a - b", env},

		{"odd/moved", code, "a * b", "a + b", both},
		{"odd/twice", code, "int", "int64", both},
		{"odd/the-same", code, "a + b", "a + b", both},
		{"odd/no-file", "store/none.go", "a + b", "a - b", both},
		{"odd/no-go", code, "a + b", "a + c", both},
		{"odd/begins-nothing", code, "func Sum", "func init() { panic(1) }\n\nfunc Sum", both},
		{"odd/no-test", code, "a + b", "a - b", none},
		{"odd/red-before", code, "a + b", "a - b", red},
		{"odd/no-package", code, "a + b", "a - b", testSet{pkg: "./stores"}},
	}
	p, out := at(root)
	err := faultsCommand{Parallel: 1, Timeout: 2 * time.Second}.tryAll(t.Context(), p, table)
	const want = "not caught: bad/harmless, bad/harmless-elsewhere; not tried: odd/moved, odd/twice, odd/the-same, " +
		"odd/no-file, odd/no-go, odd/begins-nothing, odd/no-test, odd/red-before, odd/no-package"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	wantLines(t, seconds.ReplaceAllString(out.String(), "_s"),
		"ok go test -run '^TestBegun$' ./store _s 3 tests, no fault yet",
		"ok go test -skip '^TestEnv$' ./store _s 6 tests",
		"ok HERE=yes go test -run '^TestEnv$' ./store _s 1 tests",
		"FAIL go test -run '^TestNothing$' ./store _s", "go test -run '^TestNothing$' ./store finds no test",
		"FAIL go test -run '^TestEnv$' ./store _s", "without any fault fails: TestEnv", "=== RUN TestEnv", "store_test.go:35: not there",
		"FAIL go test ./stores _s", "does not compile:", "# ./stores",
		"caught good/wrong _s by TestBegun/inside",
		"caught good/embedded _s by TestScript",
		"caught good/panics _s by TestBegun/inside",
		"caught good/dies _s by TestBegun/inside, which died",
		"caught good/hangs _s by TestBegun/inside, which ran out of time",
		"NOT CAUGHT bad/harmless _s 6 tests pass: go test -skip '^TestEnv$' ./store",
		"NOT CAUGHT bad/harmless-elsewhere _s",
		"NOT TRIED odd/moved _s fault odd/moved no longer fits store/store.go: mend the table: its text is there 0 times",
		"NOT TRIED odd/twice _s fault odd/twice no longer fits store/store.go: mend the table: its text is there 2 times",
		"NOT TRIED odd/the-same _s fault odd/the-same changes nothing: mend the table",
		"NOT TRIED odd/no-file _s fault odd/no-file no longer fits store/none.go: mend the table:",
		"NOT TRIED odd/no-go _s mend the table: with this in store/store.go", "does not compile:",
		"NOT TRIED odd/begins-nothing _s mend the table", "go test -skip '^TestEnv$' ./store begins no test", "panic: 1",
		"NOT TRIED odd/no-test _s its tests do not pass without it",
		"NOT TRIED odd/red-before _s its tests do not pass without it",
		"NOT TRIED odd/no-package _s its tests do not pass without it",
		"16 faults: 5 caught, 2 not caught, 9 not tried",
	)
	for name, text := range summer {
		if now, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(now) != text {
			t.Errorf("%s was touched: %v", name, err)
		}
	}

	// All caught is a success, several at once too.
	p, out = at(root)
	err = faultsCommand{Parallel: 3, Timeout: time.Minute, Only: []string{"good/wrong", "good/embedded"}}.tryAll(t.Context(), p, table)
	if err != nil || !strings.Contains(out.String(), "2 faults: 2 caught, 0 not caught, 0 not tried") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestChooseFaults(t *testing.T) {
	table := []fault{{name: "a/one"}, {name: "a/two"}, {name: "b/one"}, {name: "aa/one"}}
	for only, want := range map[string]string{
		"":             "a/one a/two b/one aa/one",
		"a":            "a/one a/two",
		"b/one,a/two":  "a/two b/one",
		"a,a/one":      "a/one a/two",
		"one":          "no fault and no group has the name one;",
		"a,aaa,b/none": "no fault and no group has the name aaa, b/none;",
	} {
		chosen, err := chooseFaults(table, strings.FieldsFunc(only, func(r rune) bool { return r == ',' }))
		var names []string
		for _, f := range chosen {
			names = append(names, f.name)
		}
		got := strings.Join(names, " ")
		if err != nil && errors.Is(err, errUsage) {
			got = err.Error()
		}
		if !strings.Contains(got, want) || err == nil && got != want {
			t.Errorf("%q chose %s, %v", only, got, err)
		}
	}
}

func TestFaultsUsage(t *testing.T) {
	root := write(t, map[string]string{})
	for _, args := range [][]string{{"--only", "nothing"}, {"--parallel", "0"}, {"--timeout", "0s"}} {
		if code, _, stderr := dev(t, root, append([]string{"faults"}, args...)...); code != 2 || stderr == "" {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
	code, stdout, stderr := dev(t, root, "faults", "--list", "--only", "memory,outbox/share-ignored")
	if code != 0 || strings.Contains(stdout, "sqlite/") {
		t.Errorf("exit code %d, %s\n%s", code, stderr, stdout)
	}
	wantLines(t, stdout, "memory/guard-after-write store/memory.go go test -run '^TestMemory$' ./store", "outbox/share-ignored store/outbox.go")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, out := at(root)
	if err := (faultsCommand{Parallel: 1, Timeout: time.Minute}).tryAll(ctx, p, faultTable); !errors.Is(err, context.Canceled) || out.Len() > 0 {
		t.Errorf("cancelled: %v\n%s", err, out)
	}
}

// A fault whose text has moved is noticed here, before somebody tries it.
func TestFaultTableFits(t *testing.T) {
	names := map[string]bool{}
	for _, f := range faultTable {
		if group, what, ok := strings.Cut(f.name, "/"); !ok || group == "" || what == "" || names[f.name] {
			t.Errorf("%q is no name of a group and a fault, or is there twice", f.name)
		}
		names[f.name] = true
		if _, err := f.put(filepath.Join("..", "..", filepath.FromSlash(f.file))); err != nil {
			t.Error(err)
		}
	}
}
