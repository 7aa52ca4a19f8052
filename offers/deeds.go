package offers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"hashtill/store"
)

// A Deed is something that somebody of the shop did, for whoever has to answer for it. It
// is written down before it is done, so that none is missing.
type Deed struct {
	At       time.Time `json:"at"`
	Who      string    `json:"who"` // an address, or "token NAME", or "command line"
	Merchant string    `json:"merchant,omitempty"`
	What     string    `json:"what"` // such as "refund"
	Of       string    `json:"of,omitempty"`
	More     string    `json:"more,omitempty"` // such as an amount
}

// How long deeds are kept.
const keepDeeds = 400 * 24 * time.Hour

func deedPrefix(merchant string) string { return "deed/" + merchant + "/" }

// Write writes a deed down.
func (s *Shop) Write(ctx context.Context, d Deed) error {
	d.More = clipRunes(d.More, MaxNote)
	value, err := json.Marshal(d)
	if err != nil {
		return err
	}
	key := deedPrefix(d.Merchant) + fmt.Sprintf("%016x", d.At.UnixNano()) + "-" + strings.ToLower(rand.Text()[:8])
	if err := s.store.Commit(ctx, claim(shardOfMerchant(d.Merchant), key, value, d.At.Add(keepDeeds))); err != nil {
		return fmt.Errorf("write down that %s: %w", d.What, err)
	}
	return nil
}

// Deeds are the last of a merchant, the newest first; those of [Operator] are what was
// done for nobody in particular.
func (s *Shop) Deeds(ctx context.Context, merchant string, most int) (all []Deed, err error) {
	prefix := deedPrefix(merchant)
	err = s.scan(ctx, shardOfMerchant(merchant), prefix, func(r store.Record) error {
		var d Deed
		if !strings.Contains(r.Key[len(prefix):], "/") && json.Unmarshal(r.Value, &d) == nil { // else Check finds it
			all = append(all, d)
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b Deed) int { return b.At.Compare(a.At) })
	return all[:min(len(all), most)], err
}

func clipRunes(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most])
	}
	return s
}
