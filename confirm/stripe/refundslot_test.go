package stripe

import (
	"net/http"
	"testing"
	"time"

	"hashtill/confirm"
	"hashtill/offers"
)

// A second key is never sent when its slot is about to end or is over, however long the
// answer to the first took: the next try may use the next slot's key at any moment.
func TestRefundSlotIsOver(t *testing.T) {
	for name, c := range map[string]struct {
		begun string // the minute and second
		takes time.Duration
		sent  int // refunds asked for
	}{
		"well within":     {"02:00", time.Second, 2},
		"just within":     {"03:38", 21 * time.Second, 2},
		"into the rest":   {"03:50", 21 * time.Second, 1},
		"within the rest": {"04:10", 21 * time.Second, 1},
		"beyond the slot": {"04:40", 21 * time.Second, 1},
		"far beyond":      {"02:00", 5 * time.Minute, 1},
	} {
		t.Run(name, func(t *testing.T) {
			now, err := time.Parse("2006-01-02 15:04:05", "2026-11-21 12:"+c.begun)
			if err != nil {
				t.Fatal(err)
			}
			g := &gauge{}
			var keys []string
			g.next = func(r *http.Request) *http.Response {
				if r.Method != http.MethodPost {
					return say(r, 200, `{"object":"list","data":[]}`)
				}
				keys = append(keys, r.Header.Get("Idempotency-Key"))
				if len(keys) == 1 {
					now = now.Add(c.takes)
				}
				res := say(r, 500, `{"error":{"type":"api_error"}}`)
				res.Header.Set("Idempotent-Replayed", "true")
				return res
			}
			till := gauged(t, g, Config{Now: func() time.Time { return now }})
			till.Hasten()
			err = till.Refund(t.Context(), confirm.Refund{Purchase: "p", Key: "refund/1", Intent: "pi_1", Amount: offers.Money{Minor: 100, Currency: "EUR"}})
			if err == nil || len(keys) != c.sent {
				t.Errorf("refunded under %q: %v", keys, err)
			}
		})
	}
}
