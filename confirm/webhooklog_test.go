package confirm_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// A stranger who posts without end does not fill the log.
func TestWebhookStrangers(t *testing.T) {
	c := open(t, visa)
	flood := func(n int) {
		t.Helper()
		for range n {
			if got := c.post([]byte("{}"), "t=1,v1=00"); got != http.StatusBadRequest {
				t.Fatalf("answered %d", got)
			}
		}
	}
	warned := func(times int, text string) {
		t.Helper()
		logged := c.logged.String()
		if got := strings.Count(logged, `msg="webhook refused"`); got != times || !strings.Contains(logged, text) {
			t.Errorf("warned %d times, want %d and %q:\n%s", got, times, text, logged)
		}
	}
	flood(20)
	warned(1, "unlogged=0")
	c.pass(59 * time.Second)
	flood(1)
	warned(1, "")
	c.pass(time.Second)
	flood(20)
	warned(2, "unlogged=20")
	c.pass(time.Hour)
	flood(1)
	warned(3, "unlogged=19")
}
