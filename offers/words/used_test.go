package words

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// inTemplate is a message as a template says it.
var inTemplate = regexp.MustCompile(`Say "([^"]+)"`)

// literals are all strings in the program's source, tests apart, and what its templates say.
func literals(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	err = fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case strings.Contains(path, "/templates/"):
			text, err := os.ReadFile(filepath.Join(root, path))
			for _, found := range inTemplate.FindAllStringSubmatch(string(text), -1) {
				all[found[1]] = true
			}
			return err
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && len(s) < 80 {
					all[s] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// said tells whether the source can put a key together: it is there as it is, or as a
// beginning that ends with a dot ("reason."), a name ("sold_out"), and an end (".title").
func said(key string, source map[string]bool) bool {
	if source[key] {
		return true
	}
	for i, c := range key {
		if begin := key[:i+1]; c == '.' && source[begin] {
			rest := key[i+1:]
			if source[rest] {
				return true
			}
			for j := strings.IndexAny(rest, "._"); j > 0; {
				if source[rest[:j]] && source[rest[j:]] {
					return true
				}
				next := strings.IndexAny(rest[j+1:], "._")
				if next < 0 {
					break
				}
				j += 1 + next
			}
		}
	}
	return false
}

// There is no message that nobody says.
func TestEveryMessageIsUsed(t *testing.T) {
	source := literals(t)
	if len(source) < 1000 {
		t.Fatalf("only %d strings in the source", len(source))
	}
	for key := range messages(t, Languages[0]) {
		if !said(key, source) {
			t.Errorf("nobody says %s", key)
		}
	}
	for _, key := range []string{"mail.fly.subject", "reason.sold_out.titles", "page.confirm.fly"} {
		if said(key, source) {
			t.Errorf("somebody says %s", key)
		}
	}
}
