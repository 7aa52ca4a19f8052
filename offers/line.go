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
// to its end. Joining owes that the line is served too, for the unit may have come back
// between the look that found none and the commit that joined.

// serveLine is the kind of the effect that gives units that came back to who waits.
const serveLine = "serve-line"

// lineEffect is the body of a serveLine. What is new is named by By: a purchase and its
// move, or the offer and its version.
type lineEffect struct {
	Offer string `json:"offer"`
	By    string `json:"by"`
}

func (e lineEffect) id() string { return serveLine + "/" + e.By }

func (e lineEffect) owed(now time.Time) (store.Effect, error) {
	body, err := json.Marshal(e)
	return store.Effect{ID: e.id(), Kind: serveLine, Due: now.Truncate(time.Millisecond), Body: body}, err
}

func waitingKey(offer, variant string) string { return "waiting/" + offer + "/" + variant }
func linePrefix(offer, variant string) string { return "line/" + offer + "/" + variant + "/" }

func lineKey(p Purchase) string { return linePrefix(p.Offer, p.Variant) + string(p.ID) }

// line adds to a change what it does to the line of the purchase's variant.
func line(c *store.Change, before, after Purchase, now time.Time) error {
	joins, leaves := after.State == Waiting && before.State != Waiting, before.State == Waiting && after.State != Waiting
	switch {
	case joins:
		c.Put = append(c.Put, store.Put{Key: lineKey(after), Value: []byte(after.LineSince.UTC().Format(time.RFC3339Nano))})
		c.Add = append(c.Add, store.Add{Key: waitingKey(after.Offer, after.Variant), By: 1, Max: store.MaxCount})
	case leaves:
		c.Put = append(c.Put, store.Put{Key: lineKey(before), Version: 1})
		c.Add = append(c.Add, store.Add{Key: waitingKey(after.Offer, after.Variant), By: -1, Max: store.MaxCount})
	}
	// Where one leaves who wanted more than was free, the next may want less.
	if after.Waitlist && (joins || leaves || after.Held < before.Held) {
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
	if err != nil {
		return err
	}
	slices.SortFunc(line, func(a, b place) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.id, b.id)) })
	for _, at := range line {
		p, err := s.Purchase(ctx, at.id)
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
	o, err := s.offer(ctx, body.Offer)
	if err == nil {
		err = s.serve(ctx, o)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return s.settle(ctx, l)
}

// serve gives what is free of an offer to who waits for it.
func (s *Shop) serve(ctx context.Context, o Offer) error {
	waiting, err := s.Waiting(ctx, o)
	if err != nil {
		return err
	}
	taken, err := s.Stocked(ctx, o)
	if err != nil {
		return err
	}
	for _, variant := range o.Variants() {
		if waiting[variant] <= 0 {
			continue
		}
		free := int64(o.Stock[variant]) - taken[variant]
		err := s.lineOf(ctx, o.ID, variant, func(p Purchase) (bool, error) {
			if free <= 0 {
				return false, nil
			}
			if int64(p.Quantity) > free {
				return true, nil // somebody behind may want less
			}
			after, err := s.moveOn(ctx, p, Event{Kind: UnitBack}, nil, s.Now())
			if asRefusal(err) != nil {
				return false, err
			}
			if after.Held > 0 {
				free -= int64(after.Held)
			}
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
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
