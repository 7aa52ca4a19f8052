package main

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"
)

// The whole demo plays itself, and every line of --json is an object.
func TestDemoPlays(t *testing.T) {
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"demo", "--play", "--json"}, nil, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s\n%s", code, errs.String(), out.String())
	}
	results := 0
	lines := bufio.NewScanner(strings.NewReader(out.String()))
	for lines.Scan() {
		var line struct {
			Who, Event, Story string
			OK                bool
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Who == "" || (line.Event == "") == (line.Story == "") {
			t.Errorf("%s: %v", lines.Text(), err)
		}
		if line.Story != "" {
			results++
			if !line.OK {
				t.Errorf("failed: %s", lines.Text())
			}
		}
	}
	if results != 12 {
		t.Errorf("%d results, want ten stories and two books", results)
	}
}

// A story that comes out otherwise fails the play.
func TestPlayFailsOnAWrongOutcome(t *testing.T) {
	var out strings.Builder
	p := &play{out: &out, results: []result{{"ann", "completes", "paid", "paid", true}, {"hal", "is declined", "declined", "paid", false}}}
	if err := p.close(); err == nil || !strings.Contains(out.String(), "should be: declined") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
