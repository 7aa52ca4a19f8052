package offers

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"hashtill/store"
)

// What a merchant looks at is counted in the commits that it counts, so that it costs one
// small read however much was sold:
//
//   - the funnel of an offer: how many purchases came to each state, and why the others
//     did not;
//   - what was earned on a day;
//   - the orders, which are the purchases that were paid.

// A Stage is how far purchases of an offer came, as [Shop.Funnel] counts them: "wish", a
// [State] that they came to or, on the way to the payment, past, or for those that were
// lost "refused/REASON", "expired/STATE" and "cancelled/STATE", with the state that they
// were in.
type Stage string

// Wished is the stage of all.
const Wished Stage = "wish"

func funnelKey(offer string, stage Stage) string { return "funnel/" + offer + "/" + string(stage) }

func earnedKey(offer string, m Money, at time.Time) string {
	return "earned/" + offer + "/" + m.Currency + "/" + at.UTC().Format(time.DateOnly)
}

func orderPrefix(offer string) string { return "order/" + offer + "/" }

func orderKey(p Purchase) string { return orderPrefix(p.Offer) + string(p.ID) }

// way is the way of a purchase to its payment. Who is further counts at each stage before:
// a repost may come before we know that our reply stands, and a click before the mail
// server's answer.
var way = []State{Coded, Echoed, Mailed, Confirmed, Paid}

// reached is how many stages of the way the purchase has come, ever.
func (p Purchase) reached() int {
	for i, at := range []time.Time{p.PaidAt, p.ConfirmedAt, p.MailedAt, p.EchoedAt, p.CodedAt} {
		if !at.IsZero() {
			return len(way) - i
		}
	}
	return 0
}

// stage is what a move to the purchase counts as.
func stage(before, after Purchase) Stage {
	switch after.State {
	case Refused:
		return Stage(after.State) + "/" + Stage(after.Reason)
	case Expired, Cancelled:
		return Stage(after.State) + "/" + Stage(before.State)
	}
	return Stage(after.State)
}

// figures adds to a change what it counts.
func figures(c *store.Change, before, after Purchase) {
	count := func(key string, by int64) {
		c.Add = append(c.Add, store.Add{Key: key, By: by, Min: -store.MaxCount, Max: store.MaxCount})
	}
	if before.State == New && after.State != New {
		count(funnelKey(after.Offer, Wished), 1)
	}
	was, is := before.reached(), after.reached()
	for _, s := range way[was:max(was, is)] {
		count(funnelKey(after.Offer, Stage(s)), 1)
	}
	if after.Moves != before.Moves && !slices.Contains(way, after.State) {
		count(funnelKey(after.Offer, stage(before, after)), 1)
	}
	if before.PaidAt.IsZero() && !after.PaidAt.IsZero() {
		count(earnedKey(after.Offer, after.Total, after.PaidAt), after.Total.Minor)
		c.Put = append(c.Put, store.Put{Key: orderKey(after), Value: []byte(after.PaidAt.UTC().Format(time.RFC3339))})
	}
	back := map[string]int64{}
	for i, r := range after.Refunds {
		if made := i < len(before.Refunds) && !before.Refunds[i].MadeAt.IsZero(); !made && !r.MadeAt.IsZero() {
			back[earnedKey(after.Offer, r.Amount, r.MadeAt)] += r.Amount.Minor
		}
	}
	for key, minor := range back {
		count(key, -minor)
	}
}

// Funnel is how many purchases of an offer came to each stage, ever.
func (s *Shop) Funnel(ctx context.Context, offer string) (map[Stage]int64, error) {
	all := map[Stage]int64{}
	prefix := "funnel/" + offer + "/"
	err := s.scanCounts(ctx, store.ShardOf(offer), prefix, func(n store.Count) {
		all[Stage(strings.TrimPrefix(n.Key, prefix))] = n.N
	})
	return all, err
}

// Earned is money of one day of UTC: what was paid less what was paid back on that day.
type Earned struct {
	Day   string // 2026-11-21
	Money Money  // may be below 0
}

// Earned is what an offer has earned, by currency and day.
func (s *Shop) Earned(ctx context.Context, offer string) (all []Earned, err error) {
	prefix := "earned/" + offer + "/"
	err = s.scanCounts(ctx, store.ShardOf(offer), prefix, func(n store.Count) {
		if code, day, ok := strings.Cut(strings.TrimPrefix(n.Key, prefix), "/"); ok {
			all = append(all, Earned{day, Money{n.N, code}})
		}
	})
	return all, err
}

// An Order is a purchase that was paid.
type Order struct {
	ID     ID
	Offer  string
	PaidAt time.Time
}

// NewestFirst compares orders for a list that begins with the newest.
func NewestFirst(a, b Order) int {
	return cmp.Or(b.PaidAt.Compare(a.PaidAt), cmp.Compare(a.ID, b.ID))
}

// Orders are the purchases of an offer that were paid and are still kept, the newest
// first. All are read for it, a few bytes each: a store keeps no order.
func (s *Shop) Orders(ctx context.Context, offer string) (orders []Order, err error) {
	err = s.scan(ctx, store.ShardOf(offer), orderPrefix(offer), func(r store.Record) error {
		id, ok := ParseID(strings.TrimPrefix(r.Key, orderPrefix(offer)))
		at, err := time.Parse(time.RFC3339, string(r.Value))
		if ok && err == nil { // else Check finds it
			orders = append(orders, Order{id, offer, at})
		}
		return nil
	})
	slices.SortFunc(orders, NewestFirst)
	return orders, err
}

// scanCounts shows all counts of a shard under a prefix.
func (s *Shop) scanCounts(ctx context.Context, shard int, prefix string, see func(store.Count)) error {
	for cursor := ""; ; {
		counts, next, err := s.store.ScanCounts(ctx, shard, prefix, cursor, scanPage)
		if err != nil {
			return err
		}
		for _, n := range counts {
			see(n)
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}

// countEach reads a count of each variant of an offer.
func (s *Shop) countEach(ctx context.Context, o Offer, key func(offer, variant string) string) (map[string]int64, error) {
	names := o.Variants()
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = key(o.ID, name)
	}
	counts, err := s.store.Counts(ctx, o.Shard(), keys...)
	if err != nil {
		return nil, err
	}
	all := map[string]int64{}
	for i, name := range names {
		all[name] = counts[i]
	}
	return all, nil
}
