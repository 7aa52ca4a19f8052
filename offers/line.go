package offers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hashtill/store"
)

// Who comes when an offer is sold out waits in a line, if the offer has one
// ([Offer.Waitlist]): one for each variant, in the order in which they came. A purchase
// that waits holds nothing and costs nothing.
//
// When a unit comes back, by whatever commit, that commit owes that the line is served:
// the first whose quantity fits what is free gets the units, with a fresh window to
// confirm in, and then the next. Nobody overtakes: while there is a line, a new wish goes
// to its end, and so does a repost that is to hold its units. Joining owes that the
// line is served too, for the unit may have come back between the look that found none and
// the commit that joined.
//
// Where a line is switched off, nobody joins it any more. Who waits goes on waiting, beside
// whoever comes: what is free is given to them at a look every half minute.

// serveLine is the kind of the effect that gives units that came back to who waits.
const serveLine = "serve-line"

// lineEffect is the body of a serveLine. What is new is named by By: a purchase and its
// move, or the offer and its version.
type lineEffect struct {
	Offer string `json:"offer"`
	By    string `json:"by"`
}

func (e lineEffect) id() string { return serveLine + "/" + e.By }

// lookAgain is by what an offer's line is served that was switched off, and linePause how
// often that is.
const (
	lookAgain = "again"
	linePause = 30 * time.Second
)

func (e lineEffect) owed(now time.Time) (store.Effect, error) {
	body, err := json.Marshal(e)
	return store.Effect{ID: e.id(), Kind: serveLine, Due: now.Truncate(time.Millisecond), Body: body}, err
}

func waitingKey(offer, variant string) string { return "waiting/" + offer + "/" + variant }
func waitsKey(offer string, a Account) string { return "waits/" + offer + "/" + a.String() }

// wishedAt is when the buyer asked. AskedAt is when a unit came back, where one did.
func (p Purchase) wishedAt() time.Time {
	if p.TurnAt.IsZero() {
		return p.AskedAt
	}
	return p.LineSince
}

func linePrefix(offer, variant string) string { return "line/" + offer + "/" + variant + "/" }

func lineKey(p Purchase) string { return linePrefix(p.Offer, p.Variant) + string(p.ID) }

// line adds to a change what it does to the line of the purchase's variant. lined says that
// the offer has a line.
func line(c *store.Change, before, after Purchase, lined bool, now time.Time) error {
	joins, leaves := after.State == Waiting && before.State != Waiting, before.State == Waiting && after.State != Waiting
	switch {
	case joins:
		c.Put = append(c.Put, store.Put{Key: lineKey(after), Value: []byte(after.LineSince.UTC().Format(time.RFC3339Nano))})
		c.Add = append(c.Add, store.Add{Key: waitingKey(after.Offer, after.Variant), By: 1, Max: store.MaxCount})
	case leaves:
		c.Add = append(c.Add, store.Add{Key: waitsKey(after.Offer, after.Buyer), By: -int64(before.Quantity), Max: store.MaxCount})
		c.Put = append(c.Put, store.Put{Key: lineKey(before), Version: 1})
		c.Add = append(c.Add, store.Add{Key: waitingKey(after.Offer, after.Variant), By: -1, Max: store.MaxCount})
	}
	// Where one leaves who wanted more than was free, the next may want less.
	if joins || leaves || lined && after.Held < before.Held {
		e, err := lineEffect{after.Offer, fmt.Sprintf("%s/%d", after.ID, after.Moves)}.owed(now)
		if err != nil {
			return err
		}
		c.Owe = append(c.Owe, e)
	}
	return nil
}

// lineOf shows who waits for a variant, the first first, until see returns false. The
// whole line is read for it: a store keeps no order.
func (s *Shop) lineOf(ctx context.Context, offer, variant string, see func(Purchase) (more bool, err error)) error {
	line, err := s.inLine(ctx, offer, variant)
	if err != nil {
		return err
	}
	for _, id := range line {
		p, err := s.Purchase(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err != nil || p.State != Waiting {
			continue // it has left this moment
		}
		if more, err := see(p); err != nil || !more {
			return err
		}
	}
	return nil
}

// inLine names who waits for a variant, the first first.
func (s *Shop) inLine(ctx context.Context, offer, variant string) ([]ID, error) {
	type place struct {
		since time.Time
		id    ID
	}
	var line []place
	prefix := linePrefix(offer, variant)
	err := s.scan(ctx, store.ShardOf(offer), prefix, func(r store.Record) error {
		id, ok := ParseID(strings.TrimPrefix(r.Key, prefix))
		since, err := time.Parse(time.RFC3339Nano, string(r.Value))
		if ok && err == nil { // else it is of a variant whose name goes on, or Check finds it
			line = append(line, place{since, id})
		}
		return nil
	})
	slices.SortFunc(line, func(a, b place) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.id, b.id)) })
	ids := make([]ID, len(line))
	for i, at := range line {
		ids[i] = at.id
	}
	return ids, err
}

// PlaceOf is where a purchase stands in its line now, the next one being 1; 0: it does
// not wait.
func (s *Shop) PlaceOf(ctx context.Context, p Purchase) (int, error) {
	if p.State != Waiting {
		return 0, nil
	}
	line, err := s.inLine(ctx, p.Offer, p.Variant)
	return slices.Index(line, p.ID) + 1, err
}

// Line are those who wait for a variant of an offer, the next first; most is how many are
// shown at most.
func (s *Shop) Line(ctx context.Context, offer, variant string, most int) (line []Purchase, err error) {
	err = s.lineOf(ctx, offer, variant, func(p Purchase) (bool, error) {
		line = append(line, p)
		return len(line) < most, nil
	})
	return line, err
}

// Waiting is how many wait for each variant of an offer.
func (s *Shop) Waiting(ctx context.Context, o Offer) (map[string]int64, error) {
	return s.countEach(ctx, o, waitingKey)
}

// performLine serves the lines of an offer's variants.
func (s *Shop) performLine(ctx context.Context, l store.Lease) error {
	var body lineEffect
	if err := json.Unmarshal(l.Body, &body); err != nil {
		return fmt.Errorf("read effect %s: %w", l.ID, err)
	}
	o, err := s.reload(ctx, body.Offer) // the catalogue may not know yet that there is more of it
	left := false
	if err == nil {
		left, err = s.serve(ctx, o)
	}
	switch {
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	case !left || o.Waitlist:
		return s.settle(ctx, l)
	}
	// Purchases by the offer as it is now do not wake the line.
	again := lineEffect{o.ID, o.ID + "/" + lookAgain}
	due := s.Now().Add(linePause)
	if l.ID == again.id() {
		return s.putOff(ctx, l, due, "")
	}
	e, err := again.owed(due)
	if err != nil {
		return err
	}
	err = s.store.Commit(ctx, store.Change{Shard: l.Shard, Settle: []store.Settle{{ID: l.ID, Try: l.Try}}, Owe: []store.Effect{e}})
	if errors.Is(err, store.ErrConflict) { // it is owed already
		return s.settle(ctx, l)
	}
	return err
}

// lined says whether somebody waits for the same as a purchase.
func (s *Shop) lined(ctx context.Context, p Purchase) (bool, error) {
	n, err := s.store.Counts(ctx, p.ID.Shard(), waitingKey(p.Offer, p.Variant))
	return err == nil && n[0] > 0, err
}

// serve gives what is free of an offer to who waits for it, and says whether somebody is
// left.
func (s *Shop) serve(ctx context.Context, o Offer) (left bool, err error) {
	waiting, err := s.Waiting(ctx, o)
	if err != nil {
		return false, err
	}
	for _, variant := range o.Variants() {
		if waiting[variant] <= 0 {
			continue
		}
		raced := true
		for races := 0; raced; races++ {
			if races >= maxRaces {
				return false, fmt.Errorf("line of offer %s: lost %d races", o.ID, maxRaces)
			}
			if races > 0 {
				if o, err = s.reload(ctx, o.ID); err != nil {
					return false, err
				}
			}
			var some bool
			if raced, some, err = s.serveVariant(ctx, o, variant); err != nil {
				return false, err
			}
			left = left || some
		}
	}
	return left, nil
}

// serveVariant is serve for one variant. It ends where it was raced, which is where
// somebody else took what was free: what comes back meanwhile is not for who stands behind.
func (s *Shop) serveVariant(ctx context.Context, o Offer, variant string) (raced, left bool, err error) {
	taken, err := s.store.Counts(ctx, o.Shard(), takenKey(o.ID, variant))
	if err != nil {
		return false, false, err
	}
	free := int64(o.Stock[variant]) - taken[0]
	now := s.Now()
	over := o.Closed(now) == OfferClosed
	err = s.lineOf(ctx, o.ID, variant, func(p Purchase) (bool, error) {
		if over { // it ended earlier than it was to: who waits was promised nothing
			_, err := s.moveOn(ctx, p, Event{Kind: UnitBack, Reason: OfferClosed}, nil, now)
			return true, asRefusal(err)
		}
		if free <= 0 || int64(p.Quantity) > free {
			left = true
			return free > 0, nil // somebody behind may want less
		}
		after, err := s.moveOn(ctx, p, Event{Kind: UnitBack}, nil, s.Now())
		if asRefusal(err) != nil {
			return false, err
		}
		raced = after.State == Waiting
		free -= int64(after.Held)
		return !raced, nil
	})
	return raced, left, err
}

// The steps.

// waits: a purchase for which there is a line. Strangers do not wait: nobody should
// register for what is gone.
func (s *step) waits() bool {
	p := s.p
	if p.State == New {
		p = s.ev.Wish
	}
	return p.Waitlist && p.Registered && s.now.Before(p.WaitUntil)
}

func (s *step) waitInLine() {
	s.begin()
	s.p.LineSince = s.now
	if s.p.OnPage {
		s.p.Echo, s.p.EchoedAt = s.p.Wish, s.now
	}
	if s.p.CodeByMail {
		s.tell(OnWaitlist)
	}
}

func (s *step) tellWaiting() { s.tell(OnWaitlist) }

// waitEchoed: the units were to be held by the repost, and there are none.
func (s *step) waitEchoed() {
	s.p.Echo, s.p.EchoedAt = s.ev.Post, s.now
	s.p.LineSince = s.now
	s.tell(OnWaitlist)
}

func (s *step) waitOver() { s.tell(WaitOver) }

// gone: what was asked for cannot be had any more.
func (s *step) gone() {
	s.p.Reason = s.ev.Reason
	s.tell(s.ev.Reason)
}

// turn: a unit came back, and is held for a fresh window, whenever the offer's units are
// held else. The code goes by mail: who waits has had their public answer.
func (s *step) turn() {
	s.p.AskedAt, s.p.TurnAt = s.now, s.now
	s.p.Held = s.p.Quantity
	s.p.CodeByMail = true
	s.do(MailCode, 0)
}

// turnEchoed: the buyer has confirmed the wish before, and gets the link.
func (s *step) turnEchoed() {
	s.p.EchoedAt, s.p.TurnAt = s.now, s.now
	s.p.Held = s.p.Quantity
	s.do(Prepare, 0)
}
