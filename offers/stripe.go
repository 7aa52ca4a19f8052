package offers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"hashtill/store"
)

// What Stripe tells by itself, about a payment or about anything else, comes twice,
// late and out of order, and whoever has got hold of the webhook's secret can make it
// up. So it is never believed: it is a hint to ask Stripe how the payment stands, and
// that answer moves the purchase, by the events that there are anyway.

// Heed asks how a payment stands of which Stripe has told something. It is owed by
// [Shop.Hear] and never by [Step], once for each event.
const Heed EffectKind = "heed"

// A Topic is what Stripe tells of.
type Topic int

const (
	Otherwise  Topic = iota // nothing that we know what to make of
	Payment                 // a payment may stand otherwise than before
	Afterwards              // something happened to a payment that was taken: a refund, a dispute
)

// A Hint is all that is used of what Stripe tells.
type Hint struct {
	Event    string // Stripe's id of it, the same however often it is told
	Type     string // such as payment_intent.succeeded
	Object   string // Stripe's id of what it is about
	Topic    Topic
	Intent   string // the payment; "" if it names none
	Purchase ID     // as the payment's metadata has it; "" if it names none
}

// A Notice is what Stripe has told of a payment after it was taken.
type Notice struct {
	Type   string    `json:"type"`   // such as charge.dispute.created
	Object string    `json:"object"` // Stripe's id of the charge, the refund or the dispute
	At     time.Time `json:"at"`     // when we were told
}

// aside is the value of what nothing is made of.
type aside struct {
	Type   string    `json:"type"`
	Object string    `json:"object,omitempty"`
	At     time.Time `json:"at"`
}

// How long it is remembered what Stripe has told. Stripe tells again what was not
// accepted for up to three days, and whoever wants to can send an event again from its
// dashboard for some days more (https://docs.stripe.com/webhooks#automatic-retries).
// What was set aside waits for somebody to look at it.
const (
	eventMemory = 8 * 24 * time.Hour
	asideMemory = 30 * 24 * time.Hour
)

// Bounds of what others make.
const (
	maxEventID = 100 // bytes of an event's id
	maxTold    = 100 // bytes of another word of Stripe's that is kept
	maxNotices = 20  // notices of a purchase; the oldest make way
)

// Hear takes what Stripe tells. When it returns nil that is durable, and Stripe need
// not tell it again; telling it again does nothing.
//
// A hint at a purchase's own payment owes a look at it ([Heed]); what happened
// afterwards is noted on the purchase ([Purchase.Notices]) and moves nothing. What
// belongs to no purchase here, or to another payment than the purchase's own, or is of
// a kind that nobody knows, is set aside.
func (s *Shop) Hear(ctx context.Context, h Hint, now time.Time) error {
	if !validEvent(h.Event) {
		return fmt.Errorf("%w: an event with an id that is none of Stripe's", ErrInvalid)
	}
	h.Type, h.Object = clip(h.Type), clip(h.Object)
	id, ok := ParseID(string(h.Purchase))
	if !ok || h.Topic == Otherwise || h.Intent == "" {
		return s.setAside(ctx, h, now)
	}
	for range maxRaces {
		p, err := s.Purchase(ctx, id)
		if errors.Is(err, ErrNotFound) || err == nil && p.Intent != h.Intent {
			return s.setAside(ctx, h, now)
		}
		if err != nil {
			return err
		}
		c := claim(id.Shard(), "event/"+h.Event, []byte{}, now.Add(eventMemory))
		if h.Topic == Payment {
			c.Owe = append(c.Owe, heedEffect{id, h.Event}.owed())
		} else {
			p.Notices = append(slices.Clone(p.Notices), Notice{Type: h.Type, Object: h.Object, At: now})
			p.Notices = p.Notices[max(0, len(p.Notices)-maxNotices):]
			value, err := json.Marshal(p)
			if err != nil {
				return err
			}
			c.Put = append(c.Put, store.Put{Key: purchaseKey(id), Version: p.version, Value: value})
		}
		err = s.store.Commit(ctx, c)
		var guard *store.GuardError
		switch {
		case err == nil:
			s.heard(ctx, h, p)
			s.owing(c)
			return nil
		case !errors.Is(err, store.ErrConflict):
			return fmt.Errorf("hear %s of purchase %s: %w", h.Event, id, err)
		case errors.As(err, &guard) && guard.Key != purchaseKey(id):
			return nil // heard already
		}
	}
	return fmt.Errorf("hear %s of purchase %s: lost %d races", h.Event, id, maxRaces)
}

// Adopt gives a purchase that has no payment the one that Stripe has for it: what was
// forgotten by a store that fell back. It moves nothing; whoever adopts has the payment
// looked at ([Shop.Hear]). ErrInvalid says that the purchase has another payment.
func (s *Shop) Adopt(ctx context.Context, id ID, intent string) error {
	if !validEvent(intent) {
		return fmt.Errorf("%w: a payment with an id that is none of Stripe's", ErrInvalid)
	}
	for range maxRaces {
		p, err := s.Purchase(ctx, id)
		switch {
		case err != nil:
			return err
		case p.Intent == intent:
			return nil
		case p.Intent != "":
			return fmt.Errorf("%w: purchase %s has another payment", ErrInvalid, id)
		}
		p.Intent = intent
		value, err := json.Marshal(p)
		if err != nil {
			return err
		}
		err = s.store.Commit(ctx, store.Change{Shard: id.Shard(), Put: []store.Put{{Key: purchaseKey(id), Version: p.version, Value: value}}})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("adopt payment %s: lost %d races", intent, maxRaces)
}

// heard tells the operator of what was not decided here.
func (s *Shop) heard(ctx context.Context, h Hint, p Purchase) {
	level := slog.LevelDebug
	if h.Topic == Afterwards {
		level = slog.LevelInfo
		if len(p.Refunds) == 0 {
			level = slog.LevelWarn
		}
	}
	s.Log.LogAttrs(ctx, level, "stripe tells", slog.String("purchase", string(p.ID)), slog.String("type", h.Type), slog.String("event", h.Event))
}

// setAside keeps what nothing is made of for somebody to look at.
func (s *Shop) setAside(ctx context.Context, h Hint, now time.Time) error {
	value, err := json.Marshal(aside{h.Type, h.Object, now})
	if err != nil {
		return err
	}
	c := claim(store.ShardOf(h.Event), "aside/"+h.Event, value, now.Add(asideMemory))
	err = s.store.Commit(ctx, c)
	switch {
	case errors.Is(err, store.ErrConflict):
		return nil // there already
	case err != nil:
		return fmt.Errorf("set %s aside: %w", h.Event, err)
	}
	s.Log.LogAttrs(ctx, slog.LevelInfo, "stripe tells of nothing that is ours: set aside", slog.String("type", h.Type), slog.String("event", h.Event))
	return nil
}

// claim makes a record that must be new, and owes that it is forgotten.
func claim(shard int, key string, value []byte, until time.Time) store.Change {
	return store.Change{
		Shard: shard,
		Put:   []store.Put{{Key: key, Value: value}},
		Owe:   []store.Effect{forgetAt(key, until)},
	}
}

// validEvent says whether an id can be one of Stripe's, and part of a key.
func validEvent(id string) bool {
	for _, c := range []byte(id) {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return id != "" && len(id) <= maxEventID
}

func clip(s string) string { return s[:min(len(s), maxTold)] }

// heedEffect is the body of a [Heed].
type heedEffect struct {
	Purchase ID     `json:"purchase"`
	Event    string `json:"event"`
}

func (e heedEffect) id() string { return string(Heed) + "/" + string(e.Purchase) + "/" + e.Event }

func (e heedEffect) owed() store.Effect {
	body, err := json.Marshal(e)
	if err != nil {
		panic(err) // two strings
	}
	return store.Effect{ID: e.id(), Kind: string(Heed), Body: body}
}

// performHeed has it looked how the payment stands, and moves the purchase by that.
// Nothing that Stripe could say moves one that is paid, or that has left the store.
func (s *Shop) performHeed(ctx context.Context, l store.Lease) error {
	var body heedEffect
	if err := json.Unmarshal(l.Body, &body); err != nil {
		return fmt.Errorf("read effect %s: %w", l.ID, err)
	}
	p, err := s.Purchase(ctx, body.Purchase)
	if errors.Is(err, ErrNotFound) || err == nil && (p.State == Paid || p.State == Refunded) {
		return s.settle(ctx, l)
	}
	if err != nil {
		return err
	}
	act := s.acts[Heed]
	if act == nil {
		return fmt.Errorf("nobody performs %s", Heed)
	}
	ev, err := act(ctx, Job{Effect: Effect{Kind: Heed, Purchase: p.ID}, Purchase: p, Again: l.Try > 1})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	_, err = s.move(ctx, p.ID, ev, &store.Settle{ID: l.ID, Try: l.Try}, s.Now())
	return asRefusal(err)
}
