package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// write makes a module in a new folder; the go command stays on this machine.
func write(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "off")
	t.Setenv("GOVULNDB", "http://127.0.0.1:1") // nobody listens there
	root = t.TempDir()
	if _, ok := files["go.mod"]; !ok {
		files["go.mod"] = "module hashtill\n\ngo 1.26.0\n"
	}
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// at returns the project in root, and what it prints.
func at(root string) (*project, *bytes.Buffer) {
	var out bytes.Buffer
	return &project{root: root, stdout: &out, stderr: &out}, &out
}

// main as a user sees it, in root.
func dev(t *testing.T, root string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(root)
	var out, complaint bytes.Buffer
	code = run(t.Context(), args, &out, &complaint)
	return code, out.String(), complaint.String()
}

// wantLines fails unless each of want is the beginning of a line of got, spaces
// apart, in this order.
func wantLines(t *testing.T, got string, want ...string) {
	t.Helper()
	rest := want
	for line := range strings.Lines(got) {
		if len(rest) > 0 && strings.HasPrefix(strings.Join(strings.Fields(line), " "), rest[0]) {
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		t.Errorf("no line %q, in its place, in:\n%s", rest[0], got)
	}
}

func TestCheckReportsEveryFailure(t *testing.T) {
	root := write(t, map[string]string{
		"store/store.go":           "package store\n\nimport _ \"hashtill/offers\"\n",
		"offers/offers.go":         "package offers\n\nimport \"fmt\"\n\nfunc  Say() { fmt.Printf(\"%d\\n\", \"text\") }\n",
		"offers/testdata/ugly.go":  "package   ugly\n",
		"util/util.go":             "package util\n",
		".hidden/ugly.go":          "package   ugly\n",
		"notes.txt":                "",
		"README.md":                "",
		"confirm/page/broken.go.x": "package   ugly\n",
	})
	code, stdout, stderr := dev(t, root, "check")
	if code != 1 || !strings.Contains(stderr, "failed: gofmt, vet, staticcheck, imports, top level") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	wantLines(t, stdout,
		"FAIL gofmt", "offers/offers.go: not formatted",
		"FAIL vet", "offers/offers.go:5",
		"FAIL staticcheck", // the tool is not in this go.mod
		"FAIL imports", "store imports offers: store does not know", "util stands in no room",
		"FAIL top level", "does not belong at the top level: notes.txt, util",
		"ok tidy",
		"ok govulncheck 0.0s NOT DONE: http://127.0.0.1:1 cannot be reached",
	)
	if strings.Contains(stdout, "ugly") {
		t.Errorf("gofmt looked into testdata or a hidden folder:\n%s", stdout)
	}
}

func TestFormatNamesWhatDoesNotParse(t *testing.T) {
	p, _ := at(write(t, map[string]string{"bot/bot.go": "package bot\n\nfunc {\n", "cmd/dev/main.go": "package main\n"}))
	note, err := p.checkFormat(t.Context())
	if note != "2 files" || err == nil || !strings.HasPrefix(err.Error(), "bot/bot.go:3:") {
		t.Errorf("%q, %v", note, err)
	}
}

func TestTopLevelPassesByWhatGitIgnores(t *testing.T) {
	root := write(t, map[string]string{".gitignore": "/hashtill\n", "hashtill": "a build output", "LICENSE": ""})
	p, _ := at(root)
	if _, err := p.checkTopLevel(t.Context()); err == nil || !strings.Contains(err.Error(), "top level: hashtill") {
		t.Errorf("without git: %v", err)
	}
	if _, err := p.output(t.Context(), "git", "init", "--quiet"); err != nil {
		t.Logf("no git here: %v", err)
		return
	}
	if _, err := p.checkTopLevel(t.Context()); err != nil {
		t.Errorf("with git: %v", err)
	}
	if err := os.WriteFile(filepath.Join(root, "notes.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := p.checkTopLevel(t.Context()); err == nil || !strings.Contains(err.Error(), "top level: notes.txt\n") {
		t.Errorf("with git and a stranger: %v", err)
	}
}

func TestTidy(t *testing.T) {
	const used = "package store\n\nimport _ \"example.test/dep\"\n"
	const needs = "module hashtill\n\ngo 1.26.0\n\nrequire example.test/dep v0.0.0\n\nreplace example.test/dep => ./.dep\n"
	dep := func(test string) map[string]string {
		return map[string]string{
			"go.mod":           needs,
			"store/store.go":   used,
			".dep/go.mod":      "module example.test/dep\n\ngo 1.26.0\n",
			".dep/dep.go":      "package dep\n",
			".dep/dep_test.go": test,
		}
	}
	missing := "package dep\n\nimport _ \"example.test/not/to/be/had\"\n"

	p, _ := at(write(t, dep("package dep\n")))
	if note, err := p.checkTidy(t.Context()); note != "" || err != nil {
		t.Errorf("tidy: %q, %v", note, err)
	}
	p, _ = at(write(t, dep(missing)))
	if note, err := p.checkTidy(t.Context()); err != nil || !strings.Contains(note, "example.test/not/to/be/had") {
		t.Errorf("tidy but for the test of a dependency: %q, %v", note, err)
	}
	for _, test := range []string{"package dep\n", missing} {
		files := dep(test)
		files["store/store.go"] = "package store\n" // the requirement is not needed
		p, _ = at(write(t, files))
		if note, err := p.checkTidy(t.Context()); err == nil || !strings.Contains(err.Error(), "-require example.test/dep") {
			t.Errorf("not tidy: %q, %v", note, err)
		}
	}
}

func TestProbe(t *testing.T) {
	database := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v/index/db.json" {
			http.NotFound(w, r)
		}
	}))
	defer database.Close()
	for address, answers := range map[string]bool{
		database.URL + "/v/":   true,
		database.URL:           false,
		"http://127.0.0.1:1":   false,
		"file:///vulnerable":   true,
		"http://not a address": false,
	} {
		if err := probe(t.Context(), address); (err == nil) != answers {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestGoTestComesLast(t *testing.T) {
	p, out := at(write(t, map[string]string{
		"store/store.go":      "package store\n",
		"store/store_test.go": "package store\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) {}\nfunc TestTwo(t *testing.T) { t.Error(\"two\") }\n",
		"bot/bot.go":          "package bot\n",
	}))
	passes := testCommand{Timeout: time.Minute, Args: []string{"-run", "One"}}
	err := p.checkAndTest(t.Context(), passes.goTestArgs())
	if err == nil || err.Error() != "failed: staticcheck" { // the tool is not in this go.mod
		t.Errorf("error %v", err)
	}
	wantLines(t, out.String(), "FAIL staticcheck", "ok govulncheck", "go test -race -timeout=1m0s -run One ./...", "ok hashtill/store")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "ok  \thashtill/store") {
		t.Errorf("the last line is %q", last)
	}

	err = p.checkAndTest(t.Context(), testCommand{Timeout: time.Minute}.goTestArgs())
	if err == nil || !strings.Contains(err.Error(), "failed: staticcheck\ngo test: exit status 1") {
		t.Errorf("error %v", err)
	}
}

func TestGoTestArgs(t *testing.T) {
	for extra, want := range map[string]string{
		"":                          "test -race -timeout=15m0s ./...",
		"-run TestX -v":             "test -race -timeout=15m0s -run TestX -v ./...",
		"-v ./bot/...":              "test -race -timeout=15m0s -v ./bot/...",
		"hashtill/store -short":     "test -race -timeout=15m0s hashtill/store -short",
		"-run hashtillish -count=1": "test -race -timeout=15m0s -run hashtillish -count=1 ./...",
	} {
		c := testCommand{Timeout: 15 * time.Minute, Args: strings.Fields(extra)}
		if got := strings.Join(c.goTestArgs(), " "); got != want {
			t.Errorf("%q: %s, want %s", extra, got, want)
		}
	}
}

func TestInstall(t *testing.T) {
	const update = "update"
	const all = "install --yes --no-install-recommends gcc libc6-dev redis-server chromium fonts-noto-core"
	for _, test := range []struct {
		name   string
		root   bool
		has    string // executables and packages that are there
		breaks string // the apt-get command that fails
		runs   []string
		err    error
		prints string
	}{
		{name: "a fresh Debian", root: true, has: "apt-get", runs: []string{update, all}, prints: "needs gcc: the race detector needs cgo\n"},
		{name: "some", root: true, has: "apt-get gcc libc6-dev", runs: []string{update, "install --yes --no-install-recommends redis-server chromium fonts-noto-core"}},
		{name: "all", root: true, has: "apt-get gcc libc6-dev redis-server chromium fonts-noto-core"},
		{name: "all, not root", has: "apt-get gcc libc6-dev redis-server chromium fonts-noto-core"},
		{name: "not root", has: "apt-get", err: errUsage, prints: "\n  sudo apt-get update && sudo DEBIAN_FRONTEND=noninteractive apt-get " + all + "\n"},
		{name: "not Debian", root: true, prints: "no apt-get here"},
		{name: "no network", root: true, has: "apt-get", breaks: update, runs: []string{update}, err: errors.New("failed: apt-get")},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, out := at(t.TempDir())
			there := strings.Fields(test.has)
			var ran []string
			err := p.install(t.Context(), machine{
				root: test.root,
				lookPath: func(name string) (string, error) {
					if !slices.Contains(there, name) {
						return "", os.ErrNotExist
					}
					return "/usr/bin/" + name, nil
				},
				installed: func(_ context.Context, name string) bool { return slices.Contains(there, name) },
				aptGet: func(_ context.Context, args ...string) error {
					ran = append(ran, strings.Join(args, " "))
					if args[0] == test.breaks {
						return errors.New("unreachable")
					}
					return nil
				},
			})
			if !slices.Equal(ran, test.runs) {
				t.Errorf("ran %q, want %q", ran, test.runs)
			}
			if (err == nil) != (test.err == nil) || err != nil && !errors.Is(err, test.err) && err.Error() != test.err.Error() {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if !strings.Contains(out.String(), test.prints) {
				t.Errorf("printed %q, want %q in it", out, test.prints)
			}
		})
	}
}

func TestFuzz(t *testing.T) {
	const head = "package %s\n\nimport \"testing\"\n\n"
	fuzz := func(name, body string) string {
		return "func " + name + "(f *testing.F) {\n\tf.Add(1)\n\tf.Fuzz(func(t *testing.T, n int) {" + body + "})\n}\n"
	}
	root := write(t, map[string]string{
		"offers/offers_test.go": strings.Replace(head, "%s", "offers", 1) + fuzz("FuzzCode", "") + fuzz("FuzzCodes", " t.Error(n) ") + "func TestFuzzy(t *testing.T) {}\n",
		"store/store_test.go":   strings.Replace(head, "%s", "store", 1) + fuzz("FuzzKey", ""),
		"bot/bot.go":            "package bot\n",
	})
	code, stdout, stderr := dev(t, root, "fuzz", "--time", "100ms")
	if code != 1 || !strings.Contains(stderr, "1 of 3 fuzz tests failed: offers.FuzzCodes") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	wantLines(t, stdout, "[1/3] offers.FuzzCode for 100ms", "[2/3] offers.FuzzCodes", "FAIL", "[3/3] store.FuzzKey")

	code, stdout, stderr = dev(t, root, "fuzz", "--time", "100ms", "--run", `Code$|^store\.`)
	if code != 0 {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	wantLines(t, stdout, "[1/2] offers.FuzzCode for 100ms", "[2/2] store.FuzzKey for 100ms")

	for _, args := range [][]string{{"--run", "Nothing"}, {"--run", "("}, {"--time", "0s"}, {"--time", "soon"}} {
		if code, _, stderr := dev(t, root, append([]string{"fuzz"}, args...)...); code != 2 || stderr == "" {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
}

func TestEndedByTheClock(t *testing.T) {
	const clock = "--- FAIL: FuzzKey (0.11s)\n    context deadline exceeded\nFAIL\n"
	for said, want := range map[string]bool{
		clock: true,
		"--- FAIL: FuzzKey (0.01s)\n    key_test.go:11: 1\nFAIL\n":          false,
		clock + "Failing input written to testdata/fuzz/FuzzKey/1\n":        false,
		"failure while testing seed corpus entry: FuzzKey/seed#0\n" + clock: false,
	} {
		if got := endedByTheClock(said); got != want {
			t.Errorf("%q: %v", said, got)
		}
	}
}

func TestUsage(t *testing.T) {
	root := t.TempDir() // no module
	for _, command := range []string{"check", "test", "fuzz", "faults"} {
		if code, stdout, _ := dev(t, root, command, "--help"); code != 0 || !strings.Contains(stdout, "go run ./cmd/dev "+command) {
			t.Errorf("%s --help: exit code %d, without an example:\n%s", command, code, stdout)
		}
	}
	for _, args := range [][]string{{}, {"build"}, {"check", "--fast"}, {"check"}} {
		if code, _, stderr := dev(t, root, args...); code != 2 || !strings.HasPrefix(stderr, "dev: ") {
			t.Errorf("%q: exit code %d, %q", args, code, stderr)
		}
	}
}

func TestCancelledCheckStops(t *testing.T) {
	p, out := at(write(t, map[string]string{}))
	ctx, cancel := context.WithCancel(t.Context())
	done := 0
	err := p.runSteps(ctx, []step{
		{"one", func(context.Context) (string, error) { done++; cancel(); return "", nil }},
		{"two", func(context.Context) (string, error) { done++; return "", nil }},
	})
	if !errors.Is(err, context.Canceled) || done != 1 {
		t.Errorf("error %v after %d steps:\n%s", err, done, out)
	}
}
