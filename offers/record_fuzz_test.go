package offers

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"hashtill/store"
)

// FuzzPurchase reads any record as a purchase: of what somebody has tampered with, too,
// every event has an answer, a refusal changes nothing, and no more is owed back than
// was paid.
func FuzzPurchase(f *testing.F) {
	for _, s := range States {
		p := someWish()
		p.State = s
		value, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value, "pi_1", int64(1), 1)
	}
	f.Fuzz(func(t *testing.T, value []byte, intent string, amount int64, n int) {
		p, err := readPurchase(store.Record{Key: "purchase/07-0", Version: 1, Value: value})
		if err != nil {
			return
		}
		p.Deadline()
		p.WithdrawalEnds()
		p.miscounted()
		for _, k := range EventKinds {
			ev := Event{Kind: k, Wish: someWish(), By: p.Buyer, Intent: intent, Amount: Money{amount, p.Total.Currency}, N: n, Round: n, Attempt: n, Look: n}
			after, owe, err := Step(p, ev, t0.Add(time.Hour))
			var no *Refusal
			switch {
			case errors.As(err, &no) && (len(owe) > 0 || !reflect.DeepEqual(after, p)):
				t.Errorf("%s was refused and changed something", k)
			case err == nil && p.Left().Minor >= 0 && after.Left().Minor < 0 && k != WishHeard:
				t.Errorf("%s: %s are left of %s", k, after.Left(), p.Left())
			}
		}
	})
}

// FuzzParseID: an id has one spelling, and one shard.
func FuzzParseID(f *testing.F) {
	f.Add(string(NewID("x", "1", "tee")))
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := ParseID(s); ok && (string(id) != s || id.Shard() < 0 || id.Shard() >= store.Shards) {
			t.Errorf("%q is read as %q of shard %d", s, id, id.Shard())
		}
	})
}
