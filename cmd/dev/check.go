package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

type checkCommand struct{}

// Help is shown by --help.
func (checkCommand) Help() string {
	return `Runs, and prints with its time: gofmt, go vet, staticcheck, the direction of
imports between the rooms, the top level, go mod tidy, and govulncheck where its
database can be reached. All steps run, whatever fails.

Example:

  go run ./cmd/dev check`
}

// Run is the command.
func (checkCommand) Run(ctx context.Context, p *project) error { return p.check(ctx) }

func (p *project) check(ctx context.Context) error {
	return p.runSteps(ctx, []step{
		{"gofmt", p.checkFormat},
		{"vet", p.quiet("go", "vet", "./...")},
		{"staticcheck", p.quiet("go", "tool", "staticcheck", "./...")},
		{"imports", p.checkImports},
		{"top level", p.checkTopLevel},
		{"tidy", p.checkTidy},
		{"govulncheck", p.checkVulnerabilities},
	})
}

// quiet returns a step that shows what a command says only when it fails.
func (p *project) quiet(name string, args ...string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		said, err := p.output(ctx, name, args...)
		if err != nil && strings.TrimSpace(said) != "" {
			err = fmt.Errorf("%s\n%w", strings.TrimSpace(said), err)
		}
		return "", err
	}
}

// checkFormat names the Go files that gofmt would change. Like the go command it
// passes by testdata and folders that begin with a dot or an underscore.
func (p *project) checkFormat(ctx context.Context) (string, error) {
	var complaints []error
	files := 0
	err := filepath.WalkDir(p.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			name := entry.Name()
			if path != p.root && (name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				return filepath.SkipDir
			}
			return ctx.Err()
		}
		if filepath.Ext(path) != ".go" || !entry.Type().IsRegular() {
			return nil
		}
		files++
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		shown, err := filepath.Rel(p.root, path)
		if err != nil {
			return err
		}
		formatted, err := format.Source(source)
		if err != nil {
			complaints = append(complaints, fmt.Errorf("%s:%w", shown, err))
		} else if !bytes.Equal(source, formatted) {
			complaints = append(complaints, fmt.Errorf("%s: not formatted; run: gofmt -w %s", shown, shown))
		}
		return nil
	})
	return fmt.Sprintf("%d files", files), errors.Join(append(complaints, err)...)
}

// topLevel is all that may stand at the top level, besides dotfiles.
var topLevel = []string{
	"cmd", "bot", "offers", "confirm", "store",
	"config.example.yaml", "go.mod", "go.sum", "README.md", "LICENSE",
}

func (p *project) checkTopLevel(ctx context.Context) (string, error) {
	names, err := p.topLevelNames(ctx)
	if err != nil {
		return "", err
	}
	var strangers []string
	for _, name := range names {
		if !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) {
			strangers = append(strangers, name)
		}
	}
	if len(strangers) > 0 {
		return "", fmt.Errorf("does not belong at the top level: %s\nonly these do: %s, and dotfiles",
			strings.Join(strangers, ", "), strings.Join(topLevel, ", "))
	}
	return "", nil
}

// topLevelNames lists the top level: what git knows or would add, so that an
// ignored build output is no stranger, or, without git, all that is there.
func (p *project) topLevelNames(ctx context.Context) ([]string, error) {
	var names []string
	listed, err := p.output(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err == nil {
		for path := range strings.SplitSeq(listed, "\x00") {
			name, _, _ := strings.Cut(path, "/")
			if _, err := os.Lstat(filepath.Join(p.root, name)); name != "" && err == nil {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return slices.Compact(names), nil
	}
	entries, err := os.ReadDir(p.root)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

// checkTidy asks whether go mod tidy would change anything. Tidying also looks
// at the tests of dependencies; where their modules cannot be had, it settles
// for less and says so.
func (p *project) checkTidy(ctx context.Context) (string, error) {
	_, err := p.output(ctx, "go", "mod", "tidy", "-diff")
	if err == nil {
		return "", nil
	}
	diff, stillErr := p.output(ctx, "go", "mod", "tidy", "-e", "-diff")
	if diff != "" {
		return "", fmt.Errorf("%s\nrun: go mod tidy", strings.TrimSpace(diff))
	}
	if stillErr != nil {
		return "", err
	}
	reason, _, _ := strings.Cut(err.Error(), ": exit status")
	return "only with -e, for lack of a module:\n" + indent(reason), nil
}

// vulnerabilityProbe is how long to wait for the database of known holes. Where
// it does not answer, the check is left out and says so: most work is done
// without it, and the project's CI has it.
const vulnerabilityProbe = 5 * time.Second

func (p *project) checkVulnerabilities(ctx context.Context) (string, error) {
	database := "https://vuln.go.dev" // https://go.dev/doc/security/vuln/database
	if set := os.Getenv("GOVULNDB"); set != "" {
		database = set
	}
	if err := probe(ctx, database); err != nil {
		return fmt.Sprintf("NOT DONE: %s cannot be reached", database), nil
	}
	return p.quiet("go", "tool", "govulncheck", "./...")(ctx)
}

// probe asks whether a vulnerability database answers.
func probe(ctx context.Context, database string) error {
	if !strings.HasPrefix(database, "http") {
		return nil // a file: govulncheck itself says what is wrong with it
	}
	ctx, cancel := context.WithTimeout(ctx, vulnerabilityProbe)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(database, "/")+"/index/db.json", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}
