package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
	"hashtill/store"
)

// A witness lives in another process than the shop that is killed. It has read what
// the shop told before each death, and holds the store and Stripe to it.
type witness struct {
	stripe  *stripetest.Server
	open    func() (store.Store, error)
	newShop func(store.Store) (*offers.Shop, error)

	commits  int64
	found    int64              // of them, by the records that they wrote
	versions map[string]int64   // what the records are acknowledged to have reached
	removed  map[string]bool    // records that may be there or not
	lately   map[string]int64   // the same as versions, since the last look
	written  []map[string]int64 // by each commit since the last look
	settled  map[string]int64   // effects that are done with, and by which try
	putOff   map[string]int64

	bought   map[offers.ID]*heardOf
	charges  int
	complain []string // the violations
}

// heardOf is what was told of one purchase.
type heardOf struct {
	buyer                       string
	wished, echoed, pressed     bool
	mayBeCancelled, mayBeRefund bool
	state                       offers.State // the furthest that was acknowledged
	charged                     int
}

func newWitness() *witness {
	return &witness{
		versions: map[string]int64{}, removed: map[string]bool{}, lately: map[string]int64{},
		settled: map[string]int64{}, putOff: map[string]int64{}, bought: map[offers.ID]*heardOf{},
	}
}

func (w *witness) violation(format string, args ...any) {
	w.complain = append(w.complain, fmt.Sprintf(format, args...))
}

// inShard is a name that is one in the whole store.
func inShard(shard int, key string) string { return fmt.Sprintf("%02d %s", shard, key) }

// take reads a line. One that the kill has cut off is nobody's acknowledgement.
func (w *witness) take(line []byte) (f fact, ok bool) {
	if json.Unmarshal(line, &f) != nil {
		return f, false
	}
	if f.Commit {
		w.takeCommit(f)
	}
	if f.Purchase == "" {
		return f, true
	}
	h := w.bought[f.Purchase]
	if h == nil {
		h = &heardOf{buyer: f.Buyer}
		w.bought[f.Purchase] = h
	}
	if f.Buyer != "" && f.Buyer != h.buyer {
		w.violation("purchase %s: %s by %s, who did not wish it", f.Purchase, f.Does, f.Buyer)
	}
	switch f.Does {
	case "wish":
		h.wished = true
	case "echo":
		h.echoed = true
	case "press":
		h.pressed = true
	case "cancel":
		h.mayBeCancelled = true
	case "refund":
		h.mayBeRefund = true
	}
	if rank(f.State) > rank(h.state) {
		h.state = f.State
	}
	return f, true
}

func (w *witness) takeCommit(f fact) {
	w.commits++
	put := map[string]int64{}
	for key, version := range f.Put {
		name := inShard(f.Shard, key)
		if version == 0 {
			w.removed[name] = true
			continue
		}
		put[name] = version
		w.versions[name] = max(w.versions[name], version)
		w.lately[name] = max(w.lately[name], version)
	}
	w.written = append(w.written, put)
	for id, try := range f.Settled {
		w.settled[inShard(f.Shard, id)] = try
	}
	for id, try := range f.PutOff {
		w.putOff[inShard(f.Shard, id)] = max(w.putOff[inShard(f.Shard, id)], try)
	}
}

// look opens the store as the dead left it, or while the next one serves it, and
// compares what was acknowledged since the last look.
func (w *witness) look(ctx context.Context) error {
	st, err := w.open()
	if err != nil {
		return err
	}
	defer st.Close()
	there, err := w.readVersions(ctx, st, w.lately)
	if err != nil {
		return err
	}
	w.hold(there, w.lately)
	for _, put := range w.written {
		whole := true
		for name, version := range put {
			whole = whole && w.holds(there, name, version)
		}
		if whole {
			w.found++
		}
	}
	w.lately, w.written = map[string]int64{}, nil
	w.holdCharges()
	return nil
}

func (w *witness) hold(there, told map[string]int64) {
	for name, version := range told {
		if !w.holds(there, name, version) {
			w.violation("acknowledged and forgotten: record %s at version %d is at %d", name, version, there[name])
		}
	}
}

// holds says whether a record is where it was acknowledged to be, or further. The note
// that a code is open goes with a later commit, which the dead may not have told of.
func (w *witness) holds(there map[string]int64, name string, version int64) bool {
	return there[name] >= version || w.removed[name] || there[name] == 0 && strings.HasPrefix(name[3:], "open/")
}

// readVersions reads the records that are named.
func (w *witness) readVersions(ctx context.Context, st store.Store, named map[string]int64) (map[string]int64, error) {
	byShard := map[int][]string{}
	for name := range named {
		var shard int
		fmt.Sscanf(name[:2], "%d", &shard)
		byShard[shard] = append(byShard[shard], name[3:])
	}
	there := map[string]int64{}
	for shard, keys := range byShard {
		for some := range slices.Chunk(keys, 500) {
			recs, err := st.Get(ctx, shard, some...)
			if err != nil {
				return nil, err
			}
			for _, r := range recs {
				there[inShard(shard, r.Key)] = r.Version
			}
		}
	}
	return there, nil
}

// holdCharges looks at all the money that Stripe has taken.
func (w *witness) holdCharges() {
	charges := w.stripe.Charges()
	for _, c := range charges[w.charges:] {
		id := offers.ID(c.Metadata["purchase"])
		h := w.bought[id]
		switch {
		case h == nil || !h.wished || !h.echoed || !h.pressed:
			w.violation("purchase %s was charged without wish, echo and click: %+v", id, h)
			continue
		case h.mayBeCancelled:
			w.violation("purchase %s was cancelled and charged", id)
		}
		if h.charged++; h.charged > 1 {
			w.violation("purchase %s was charged %d times", id, h.charged)
		}
	}
	w.charges = len(charges)
}

// lastLook holds the whole store, when nothing is owed any more, to all that was ever
// acknowledged, to Stripe and to itself.
func (w *witness) lastLook(ctx context.Context) (states map[offers.State]int, err error) {
	st, err := w.open()
	if err != nil {
		return nil, err
	}
	defer st.Close()
	there, err := w.readVersions(ctx, st, w.versions)
	if err != nil {
		return nil, err
	}
	w.hold(there, w.versions)
	if err := w.holdOwed(ctx, st); err != nil {
		return nil, err
	}
	shop, err := w.newShop(st)
	if err != nil {
		return nil, err
	}
	if states, err = w.holdPurchases(ctx, shop); err != nil {
		return nil, err
	}
	for _, o := range shop.Offers() {
		taken, err := shop.Stocked(ctx, o)
		if err != nil {
			return nil, err
		}
		for variant, n := range taken {
			if n < 0 || o.Stock[variant] != offers.Unlimited && n > int64(o.Stock[variant]) {
				w.violation("%s: %d units are taken of %d", o.Tag, n, o.Stock[variant])
			}
		}
	}
	return states, shop.Check(ctx, nil, func(f offers.Finding) error {
		w.violation("store check: %v", f)
		return nil
	})
}

// holdOwed: what was settled is not owed under the same try, and what was put off has
// not gone back to a try before.
func (w *witness) holdOwed(ctx context.Context, st store.Store) error {
	for shard := range store.Shards {
		for cursor, more := "", true; more; more = cursor != "" {
			page, next, err := st.Owed(ctx, shard, cursor, 1000)
			if err != nil {
				return err
			}
			for _, o := range page {
				name := inShard(shard, o.ID)
				if try, done := w.settled[name]; done && o.Try >= try && o.Try > 0 {
					w.violation("acknowledged as settled by try %d and owed: %s", try, name)
				}
				if o.Try < w.putOff[name] {
					w.violation("acknowledged as put off at try %d and owed at try %d: %s", w.putOff[name], o.Try, name)
				}
			}
			cursor = next
		}
	}
	return nil
}

// holdPurchases compares every purchase with what was told of it and with the money,
// and counts them by state.
func (w *witness) holdPurchases(ctx context.Context, shop *offers.Shop) (states map[offers.State]int, err error) {
	w.holdCharges()
	type money struct{ taken, back int64 }
	atStripe := map[offers.ID]money{}
	for _, c := range w.stripe.Charges() {
		id := offers.ID(c.Metadata["purchase"])
		m := atStripe[id]
		atStripe[id] = money{m.taken + c.Amount, m.back + c.Refunded}
	}
	states = map[offers.State]int{}
	missing := maps.Clone(w.bought)
	err = shop.EachPurchase(ctx, func(p offers.Purchase) error {
		delete(missing, p.ID)
		states[p.State]++
		h := w.bought[p.ID]
		var here money
		if !p.PaidAt.IsZero() {
			made, _ := p.PaidBack()
			here = money{p.Total.Minor, made.Minor}
		}
		sold := p.State == offers.Paid || p.State == offers.Refunded
		switch {
		case h == nil:
			w.violation("purchase %s is nobody's", p.ID)
			return nil
		case rank(p.State) < rank(h.state) && p.State != offers.Expired && p.State != offers.Refused:
			w.violation("purchase %s was acknowledged as %s and is %s", p.ID, h.state, p.State)
		case (h.state == offers.Confirmed || h.state == offers.Paid || h.state == offers.Refunded) && !sold:
			w.violation("purchase %s was confirmed and is forgotten: it is %s", p.ID, p.State)
		case !p.State.Ended():
			w.violation("purchase %s has not ended: it is %s", p.ID, p.State)
		case !sold && p.Held != 0 || p.State == offers.Paid && p.Held != p.Quantity:
			w.violation("purchase %s is %s and holds %d units", p.ID, p.State, p.Held)
		}
		if here != atStripe[p.ID] {
			w.violation("purchase %s is %s: taken and given back %v here, %v at Stripe", p.ID, p.State, here, atStripe[p.ID])
		}
		if p.State == offers.Refunded && !h.mayBeRefund {
			w.violation("purchase %s was refunded, which nobody asked for: %s", p.ID, p.Reason)
		}
		return nil
	})
	for id, h := range missing {
		if h.state != offers.New {
			w.violation("purchase %s was acknowledged as %s and is not there", id, h.state)
		}
	}
	return states, err
}

// rank is how far a purchase has come: what was acknowledged can only be behind.
func rank(s offers.State) int {
	return slices.Index([]offers.State{offers.New, offers.Asked, offers.Coded, offers.Echoed, offers.Mailed, offers.Confirmed,
		offers.Paid, offers.Refunded, offers.Cancelled, offers.Expired, offers.Refused}, s)
}

// report is the table at the end.
func (w *witness) report(out io.Writer, runs int, kills map[string]int, states map[offers.State]int) {
	line := func(what string, n int64) { fmt.Fprintf(out, "%-46s %10d\n", what, n) }
	line("runs, each ended by kill -9", int64(runs))
	for _, point := range slices.Sorted(maps.Keys(kills)) {
		line("  "+point, int64(kills[point]))
	}
	line("acknowledged commits", w.commits)
	line("  whose records were found again", w.found)
	line("purchases told of", int64(len(w.bought)))
	for _, state := range offers.States {
		if states[state] > 0 {
			line("  "+string(state), int64(states[state]))
		}
	}
	line("charges at Stripe", int64(w.charges))
	line("violations", int64(len(w.complain)))
}

var silent = slog.New(slog.DiscardHandler)
