package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// axeScript is axe-core, as the project's own tool has brought it.
var axeScript = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "run", "hashtill/cmd/dev", "axe").Output()
	if err != nil {
		return "", fmt.Errorf("go run ./cmd/dev axe: %w", err)
	}
	text, err := os.ReadFile(strings.TrimSpace(string(out)))
	return string(text), err
})

// accessible looks at the page that a browser shows with axe-core, by the rules of WCAG 2.2
// AA and by what axe holds for good practice.
func accessible(t *testing.T, page context.Context, name string) {
	t.Helper()
	script, err := axeScript()
	if err != nil {
		t.Fatal(err)
	}
	do := chromedp.Do(page,
		chromedp.Evaluate[chromedp.Void]("window.axe || (() => {"+script+"})(); undefined"),
		chromedp.Evaluate[chromedp.Void](`delete window.axeFound; axe.run(document, {
			runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"],
		}).then(r => { window.axeFound = JSON.stringify({passes: r.passes.length, violations: r.violations.map(v => ({
			id: v.id, help: v.help, nodes: v.nodes.map(n => n.html + " " + n.failureSummary)}))}) },
			e => { window.axeFound = JSON.stringify({failed: String(e)}) }); undefined`))
	if do != nil {
		t.Fatal(do)
	}
	text, err := chromedp.Run(page, chromedp.Poll[string]("window.axeFound"))
	var found struct {
		Failed     string
		Passes     int
		Violations []struct {
			ID, Help string
			Nodes    []string
		}
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &found)
	}
	if err != nil || found.Failed != "" || found.Passes == 0 {
		t.Fatalf("axe on %s: %v %s", name, err, text)
	}
	for _, v := range found.Violations {
		t.Errorf("%s: %s: %s\n\t%s", name, v.ID, v.Help, strings.Join(v.Nodes, "\n\t"))
	}
}
