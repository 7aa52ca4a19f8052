package bench

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A hashtill that rests is measured, as the README builds it.
func TestRest(t *testing.T) {
	var out strings.Builder
	c := Rest{For: time.Second, Starts: 1, Settle: time.Millisecond}
	if err := c.Run(Run{Ctx: t.Context(), Out: &out, Err: io.Discard}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"resident", "of a core", "start until ready", `'-s -w'`} {
		line := regexp.MustCompile(want + `.* ([0-9.,]+) (MB|%|ms) `).FindStringSubmatch(out.String())
		if line == nil || line[1] == "0" {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if line := readmeBuild + " -o hashtill ./cmd/hashtill\n"; !strings.Contains(string(text), line) {
		t.Errorf("the README does not say %s", line)
	}
}
