package bench

import (
	"io"
	"strings"
	"testing"
	"time"
)

// Pages are asked for, answered and measured, each turn.
func TestPages(t *testing.T) {
	var out strings.Builder
	c := Pages{Rate: 200, For: 250 * time.Millisecond, Turns: 2, AtOnce: 8, Purchases: 3}
	if err := c.Run(Run{Ctx: t.Context(), Out: &out, Err: io.Discard}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"p99", "constant", "CPU a page"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
