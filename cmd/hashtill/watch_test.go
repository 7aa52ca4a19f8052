package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"hashtill/offers"
)

// The example alerts and the example dashboard ask for figures that there are.
func TestWatchFiles(t *testing.T) {
	known := map[string]bool{}
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`"(hashtill_\w+)"`).FindAllStringSubmatch(string(source), -1) {
		known[m[1]] = true
	}
	texts := map[string]string{}
	for _, name := range []string{"alerts.yaml", "dashboard.json"} {
		text, err := os.ReadFile(filepath.Join("watch", name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
		found := regexp.MustCompile(`hashtill_\w+`).FindAllString(string(text), -1)
		for _, figure := range found {
			if base := regexp.MustCompile(`_(count|bucket|sum)$`).ReplaceAllString(figure, ""); !known[figure] && !known[base] {
				t.Errorf("%s asks for %s, which there is not", name, figure)
			}
		}
		if len(found) < 10 {
			t.Errorf("%s asks for %d figures", name, len(found))
		}
		for _, m := range regexp.MustCompile(`to=~?\\?"([\w|]+)`).FindAllStringSubmatch(string(text), -1) {
			for state := range strings.SplitSeq(m[1], "|") {
				if !isState(state) {
					t.Errorf("%s asks for the state %q", name, state)
				}
			}
		}
	}
	var alerts struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(texts["alerts.yaml"]), &alerts); err != nil {
		t.Fatal(err)
	}
	for _, r := range alerts.Groups[0].Rules {
		if r.Alert == "" || r.Expr == "" || r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
			t.Errorf("alert %q does not say what it means and what to do", r.Alert)
		}
	}
	if !json.Valid([]byte(texts["dashboard.json"])) {
		t.Error("the dashboard is not JSON")
	}
}

func isState(s string) bool {
	for _, state := range offers.States[1:] {
		if string(state) == s {
			return true
		}
	}
	return false
}
