package offers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hashtill/store"
)

var (
	// ErrNotFound: there is no such purchase, buyer or offer.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: what was asked can never be kept; asking again does not help.
	ErrInvalid = store.ErrInvalid
)

// Settings of a Shop.
type Settings struct {
	CodeKey []byte // makes the codes; at least 16 bytes
	Times   Times
	Limits  Limits // that no buyer goes above
	Thanks  bool   // promise a public thank-you with each purchase
	Log     *slog.Logger

	// Now is read only to date the outcome of an effect, since when one is owed, and
	// what is to be forgotten later; whoever brings an event brings its time.
	Now func() time.Time

	// Archive keeps one line of JSON (an [Archived], without a line break) of a
	// purchase that is about to leave the store. When it returns nil the line is
	// durable. It may be given a line more than once: the id tells. Where Archive is
	// nil nothing is kept.
	Archive func(ctx context.Context, line []byte) error

	// Silence is how long a process that does something alone ([Shop.Alone]) may
	// not be heard of before another takes over; 0: 10 seconds. All that share a
	// store agree on it.
	Silence time.Duration

	// Owing is called after each commit that owes something, to wake the outbox.
	Owing func()

	// Moved is called after each commit of this Shop that moved a purchase, with it as it
	// was and as it is now; where the purchase is new, before is zero. It is called by
	// whoever moved the purchase, many at a time: it must be quick, and change neither. Nil:
	// nobody is told. A commit whose answer was lost is not told either.
	Moved func(before, after Purchase)
}

// A Shop takes what happens, decides by [Step], and commits the decision with all
// that goes with it. It may be used from many goroutines, and many Shops may share
// a store.
type Shop struct {
	Settings
	store     store.Store
	catalogue catalogue
	recent    recent
	decoded   decoded
	turned    atomic.Int64         // when these were, by the seconds of Unix
	halt      atomic.Pointer[Halt] // as it was read last
	sellers   sync.Map             // whose an offer was that has sold, by id ([Shop.MerchantOf])
	soldOut   sync.Map             // the keys of counts that were found full: it is worth a look before the next try
	acts      map[EffectKind]Act
	answer    func(ctx context.Context, a Answer, again bool) error
	saving    func(ctx context.Context, a Account, page string) (over bool, err error)
	detach    func(ctx context.Context, card string) error
	left      func(ctx context.Context, customer string) error
	announce  func(ctx context.Context, a Announcement, o Offer, again bool) (post, refused string, err error)
}

// NewShop opens the shop on a store. Load its catalogue with [Shop.Refresh].
func NewShop(st store.Store, s Settings) (*Shop, error) {
	if len(s.CodeKey) < 16 || s.Now == nil || s.Log == nil {
		return nil, errors.New("offers: a shop needs a key of at least 16 bytes for its codes, a clock and a log")
	}
	if err := s.Times.Validate(); err != nil {
		return nil, fmt.Errorf("offers: times: %w", err)
	}
	if err := s.Limits.Validate(Limits{}); err != nil {
		return nil, fmt.Errorf("offers: limits: %w", err)
	}
	return &Shop{Settings: s, store: st, acts: map[EffectKind]Act{}}, nil
}

// maxRaces bounds how often one decision is taken anew because others were faster.
const maxRaces = 64

// Echo takes a code that an account posted.
func (s *Shop) Echo(ctx context.Context, c Code, by Account, post string, now time.Time) (Purchase, error) {
	id, err := s.byCode(ctx, c)
	if err != nil {
		return Purchase{}, err
	}
	before, err := s.latest(ctx, id)
	if err != nil {
		return Purchase{}, err
	}
	ev := Event{Kind: CodeEchoed, By: by, Post: post}
	if before.Waitlist && before.Hold == HoldAtEcho && before.Held == 0 {
		switch lined, err := s.lined(ctx, before); {
		case err != nil:
			return Purchase{}, err
		case lined:
			ev.Reason = SoldOut // nobody overtakes who waits
		}
	}
	return s.moveOn(ctx, before, ev, nil, now)
}

// latest is a purchase as it was a moment ago.
func (s *Shop) latest(ctx context.Context, id ID) (Purchase, error) {
	if p, known := s.recent.since(id, 0, s.Now()); known {
		return p, nil
	}
	return s.Purchase(ctx, id)
}

func (s *Shop) byCode(ctx context.Context, c Code) (ID, error) {
	recs, err := s.store.Get(ctx, c.Shard(), codeKey(c))
	if err != nil {
		return "", err
	}
	if recs[0].Version == 0 {
		return "", &Refusal{CodeUnknown}
	}
	return ID(recs[0].Value), nil
}

// Press takes the press of the button behind link round of a purchase, to be paid with
// one of its buyer's cards; "" is the one that it has. An *[OverLimit] says which limit
// stands in the way, and a *[Refusal] for CardUnknown or CardExpired that it cannot be
// that card, and a *[QuietHoursError] until when nothing is sold; the button may be
// pressed again.
func (s *Shop) Press(ctx context.Context, id ID, round int, card string, now time.Time) (Purchase, error) {
	p, err := s.Purchase(ctx, id)
	if err != nil {
		return Purchase{}, err
	}
	b, err := s.look(ctx, p.Buyer)
	if err != nil {
		return Purchase{}, err
	}
	if why := b.Barred(); why != "" && !p.State.Ended() {
		return p, &Refusal{why}
	}
	ev := Event{Kind: LinkPressed, Round: round}
	ev.Card, ev.Reason = b.choose(p, card, now)
	after, _, err := Step(p, ev, now)
	if err != nil || after.Moves == p.Moves {
		// Only what is counted may move: where it could a moment later, it is pressed again.
		return p, err
	}
	if err := s.count(ctx, p, b, now); err != nil {
		return p, err
	}
	p, err = s.moveOn(ctx, p, ev, nil, now)
	if errors.Is(err, ErrNotFound) { // erased this moment, and so is what was counted
		_, uncounted := s.uncount(ctx, b.Account, id, nil)
		err = errors.Join(err, uncounted)
	}
	return p, err
}

// BackFromBank takes note that the buyer has come back from the bank's page: it is
// time to ask Stripe.
func (s *Shop) BackFromBank(ctx context.Context, id ID, now time.Time) (Purchase, error) {
	return s.move(ctx, id, Event{Kind: BankLeft}, nil, now)
}

// Cancel takes back one purchase, for the account that made it.
func (s *Shop) Cancel(ctx context.Context, id ID, by Account, now time.Time) (Purchase, error) {
	return s.move(ctx, id, Event{Kind: CancelAsked, By: by}, nil, now)
}

// CancelByShop takes back a purchase that is not paid, and owes its buyer a mail about
// it. A *[Refusal] says that it is too late; what has ended stays as it was.
func (s *Shop) CancelByShop(ctx context.Context, id ID, who string, now time.Time) (Purchase, error) {
	return s.move(ctx, id, Event{Kind: ShopCancels, Who: who}, nil, now)
}

// PurchaseOfCode reads the purchase that a code belongs to. A *[Refusal] says that there
// is none.
func (s *Shop) PurchaseOfCode(ctx context.Context, c Code) (Purchase, error) {
	id, err := s.byCode(ctx, c)
	if err != nil {
		return Purchase{}, err
	}
	return s.Purchase(ctx, id)
}

// LeaveLine takes back a purchase that waits for a unit, for the account that made it. Where
// its turn has come it stays as it is.
func (s *Shop) LeaveLine(ctx context.Context, id ID, by Account, now time.Time) (Purchase, error) {
	return s.move(ctx, id, Event{Kind: CancelAsked, By: by, From: Waiting}, nil, now)
}

// CancelCode takes back the purchase that a code belongs to.
func (s *Shop) CancelCode(ctx context.Context, c Code, by Account, now time.Time) (Purchase, error) {
	id, err := s.byCode(ctx, c)
	if err != nil {
		return Purchase{}, err
	}
	return s.Cancel(ctx, id, by, now)
}

// CancelAll takes back all that an account has asked for until now and not yet
// confirmed, and says how many there were.
func (s *Shop) CancelAll(ctx context.Context, a Account, now time.Time) (int, error) {
	return s.cancelUntil(ctx, a, now, now)
}

// CancelWish takes back what an account has asked for by a post that it has removed,
// unless the button was pressed, and says how many there were.
func (s *Shop) CancelWish(ctx context.Context, a Account, post string, now time.Time) (int, error) {
	return s.cancelEach(ctx, a, now, func(p Purchase) bool {
		return p.Wish == post && p.State != Confirmed && p.State != Challenged
	})
}

func (s *Shop) cancelUntil(ctx context.Context, a Account, until, now time.Time) (int, error) {
	return s.cancelEach(ctx, a, now, func(p Purchase) bool { return !p.wishedAt().After(until) })
}

func (s *Shop) cancelEach(ctx context.Context, a Account, now time.Time, which func(Purchase) bool) (int, error) {
	n := 0
	err := s.eachOwn(ctx, a, func(p Purchase) error {
		if p.State.Ended() || !which(p) {
			return nil
		}
		after, err := s.Cancel(ctx, p.ID, a, now)
		if err == nil && after.State == Cancelled {
			n++
		}
		return asRefusal(err)
	})
	return n, err
}

// Purchase reads one. ErrNotFound says that there is none.
func (s *Shop) Purchase(ctx context.Context, id ID) (Purchase, error) {
	recs, err := s.store.Get(ctx, id.Shard(), purchaseKey(id))
	if err != nil {
		return Purchase{}, err
	}
	if recs[0].Version == 0 {
		return Purchase{}, fmt.Errorf("purchase %s: %w", id, ErrNotFound)
	}
	return s.recent.read(id, recs[0])
}

// scanPage is how many records are read at a time.
const scanPage = 500

// EachPurchase shows all purchases, shard by shard. It may show one twice. A record
// that cannot be read is left out; when all others were shown, ErrInvalid says which was
// the first. An error of see ends it and is returned.
func (s *Shop) EachPurchase(ctx context.Context, see func(Purchase) error) error {
	var first error
	unread := 0
	for shard := range store.Shards {
		err := s.scan(ctx, shard, "purchase/", func(r store.Record) error {
			p, err := readPurchase(r)
			if err != nil {
				if unread++; unread == 1 {
					first = err
				}
				return nil
			}
			return see(p)
		})
		if err != nil {
			return err
		}
	}
	if unread > 1 {
		return fmt.Errorf("%w, and %d purchases more", first, unread-1)
	}
	return first
}

// scan shows all records of a shard under a prefix.
func (s *Shop) scan(ctx context.Context, shard int, prefix string, see func(store.Record) error) error {
	for cursor := ""; ; {
		recs, next, err := s.store.Scan(ctx, shard, prefix, cursor, scanPage)
		if err != nil {
			return err
		}
		for _, r := range recs {
			if err := see(r); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}

// eachOwn shows the purchases of an account.
func (s *Shop) eachOwn(ctx context.Context, a Account, see func(Purchase) error) error {
	return s.scan(ctx, a.Shard(), ownPrefix(a), func(r store.Record) error {
		id, ok := ParseID(strings.TrimPrefix(r.Key, ownPrefix(a)))
		if !ok {
			return fmt.Errorf("offers: stray record %s", r.Key)
		}
		p, err := s.Purchase(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			return nil // it has left the store this moment
		case err != nil:
			return err
		}
		return see(p)
	})
}

// move decides and commits until nobody else is faster: the one way in which a
// purchase changes. settle is the effect that caused the event, if one did; it is
// settled in the same commit, whatever the answer.
func (s *Shop) move(ctx context.Context, id ID, ev Event, settle *store.Settle, now time.Time) (Purchase, error) {
	var before Purchase
	if ev.Kind != WishHeard { // usually new: its commit finds out
		var err error
		if before, err = s.latest(ctx, id); err != nil {
			return Purchase{}, err
		}
	}
	before.ID = id
	return s.moveOn(ctx, before, ev, settle, now)
}

// moveOn is move, from a purchase as it was read a while ago. Whether it still is so is
// looked at by the commit: nobody has to read it once more for that.
func (s *Shop) moveOn(ctx context.Context, before Purchase, ev Event, settle *store.Settle, now time.Time) (Purchase, error) {
	id := before.ID
	now = now.Round(0) // what is remembered must not tell the time by another clock than what is read
	if before.State == New {
		before = Purchase{}
	}
	stale := false
	for nonce, races := 0, 0; races < maxRaces; races++ {
		if stale {
			var err error
			if before, err = s.Purchase(ctx, id); err != nil {
				return Purchase{}, err
			}
		}
		after, owe, refusal := Step(before, ev, now)
		if refusal != nil && before.remembered {
			stale = true
			continue
		}
		if refusal != nil && settle == nil {
			return before, refusal
		}
		c, err := s.change(ctx, before, &after, owe, settle, nonce)
		if errors.Is(err, ErrNotFound) && before.State != New && ev.Reason == "" {
			ev.Reason = OfferClosed // taken out of the catalogue, and its units were not held yet
			continue
		}
		if err != nil {
			return Purchase{}, err
		}
		if len(c.Put) == 0 && before.remembered && ev.Kind != EffectDone { // which is done whatever the purchase is
			stale = true
			continue
		}
		if len(c.Put) == 0 && before.State != New {
			c.Check = append(c.Check, store.Check{Key: purchaseKey(id), Version: before.version})
		}
		if len(c.Put) == 0 && settle == nil {
			return after, refusal
		}
		err = s.store.Commit(ctx, c)
		var guard *store.GuardError
		switch {
		case err == nil:
			after.remembered = false
			if len(c.Put) > 0 && c.Put[0].Key == purchaseKey(id) {
				s.recent.keep(after, c.Put[0].Value, s.Now())
			}
			s.committed(ctx, before, after, ev, c)
			return after, refusal
		case !errors.As(err, &guard):
			s.recent.forget() // how the commit has ended is not known, and a store that fails over may have forgotten others
			return Purchase{}, fmt.Errorf("%s of purchase %s: %w", ev.Kind, id, err)
		case guard.Err == store.ErrBound && strings.HasPrefix(guard.Key, "waits/"):
			ev.Reason = LimitReached
		case guard.Err == store.ErrBound && after.Held <= before.Held:
			// Less was counted than is given back: somebody has to look.
			return Purchase{}, fmt.Errorf("%s of purchase %s: %w", ev.Kind, id, err)
		case guard.Err == store.ErrBound && strings.HasPrefix(guard.Key, "taken/"):
			ev.Reason = SoldOut
			s.soldOut.Store(guard.Key, nil)
		case guard.Err == store.ErrBound:
			ev.Reason = LimitReached
		case guard.Key == purchaseKey(id):
			stale = true
		case guard.Key == erasedKey(id):
			return Purchase{}, &Refusal{BuyerStopped}
		case strings.HasPrefix(guard.Key, "code/"):
			nonce++
		case guard.Key == offerKey(after.Offer) && ev.Kind == WishHeard:
			return Purchase{}, ErrOfferChanged
		case guard.Key == offerKey(after.Offer):
			o, err := s.reload(ctx, after.Offer)
			switch {
			case errors.Is(err, ErrNotFound) && after.Held > before.Held:
				ev.Reason = OfferClosed
			case errors.Is(err, ErrNotFound): // and what comes back goes to nobody
			case err != nil:
				return Purchase{}, err
			case ev.Kind == Enrolled:
				ev.Reason = cmp.Or(o.Closed(now), o.soldTo(ev.Country))
			}
		default: // the effect is not ours any more: its next try brings the event
			return Purchase{}, fmt.Errorf("%s of purchase %s: %w", ev.Kind, id, err)
		}
	}
	return Purchase{}, fmt.Errorf("%s of purchase %s: lost %d races", ev.Kind, id, maxRaces)
}

// change is what a decision does to the purchase's shard.
func (s *Shop) change(ctx context.Context, before Purchase, after *Purchase, owe []Effect, settle *store.Settle, nonce int) (store.Change, error) {
	c := store.Change{Shard: after.ID.Shard()}
	if settle != nil {
		c.Settle = []store.Settle{*settle}
	}
	lined := after.Waitlist
	if units := int64(after.Held - before.Held); units != 0 {
		most, mostBought := int64(math.MaxInt64), int64(math.MaxInt64)
		if units > 0 {
			o, err := s.offer(ctx, after.Offer)
			if err != nil {
				return c, err
			}
			if before.State == New {
				o.version = after.offerVersion // the one that was considered
			}
			c.Check = []store.Check{{Key: offerKey(o.ID), Version: o.version}}
			most, mostBought = int64(o.Stock[after.Variant]), int64(o.PerBuyer)
		} else if !lined { // by its wish; but the offer may have a line since
			o, err := s.offer(ctx, after.Offer)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return c, err
			}
			if lined = o.Waitlist; err == nil {
				c.Check = []store.Check{{Key: offerKey(o.ID), Version: o.version}}
			}
		}
		c.Add = []store.Add{
			{Key: takenKey(after.Offer, after.Variant), By: units, Max: most},
			{Key: boughtKey(after.Offer, after.Buyer), By: units, Max: mostBought},
		}
	}
	if before.State == New {
		c.Check = append(c.Check, store.Check{Key: erasedKey(after.ID)})
	}
	if after.State == Asked && after.Code == "" {
		after.Code = NewCode(s.CodeKey, after.ID, nonce)
		c.Put = append(c.Put, store.Put{Key: codeKey(after.Code), Value: []byte(after.ID)})
	}
	if !reflect.DeepEqual(before, *after) {
		value, err := json.Marshal(after)
		if err != nil {
			return c, err
		}
		// The purchase goes first: where both it and the code are there already, it
		// is the purchase that tells.
		c.Put = append([]store.Put{{Key: purchaseKey(after.ID), Version: before.version, Value: value}}, c.Put...)
		after.version = before.version + 1
	}
	codePost(&c, before, *after)
	if after.State == Waiting && before.State != Waiting {
		o, err := s.offer(ctx, after.Offer)
		if err != nil {
			return c, err
		}
		// Places are as many as units can be bought: nobody waits in the place of others.
		c.Add = append(c.Add, store.Add{Key: waitsKey(after.Offer, after.Buyer), By: int64(after.Quantity), Max: int64(o.PerBuyer)})
	}
	if err := line(&c, before, *after, lined, s.Now()); err != nil {
		return c, err
	}
	figures(&c, before, *after)
	if after.Moves != before.Moves && !before.Deadline().IsZero() {
		if id := deadline(before).ID(); settle == nil || settle.ID != id {
			c.Drop = append(c.Drop, id)
		}
	}
	for _, e := range owe {
		e.Since = after.version
		body, err := json.Marshal(e)
		if err != nil {
			return c, err
		}
		due := e.Due
		if due.IsZero() {
			due = s.Now().Truncate(time.Millisecond) // at once; the date tells since when it is owed
		}
		c.Owe = append(c.Owe, store.Effect{ID: e.ID(), Kind: string(e.Kind), Due: due, Body: body})
	}
	return c, nil
}

// committed tells the log, whoever follows the moves, and the outbox.
func (s *Shop) committed(ctx context.Context, before, after Purchase, ev Event, c store.Change) {
	if after.Moves != before.Moves && s.Log.Enabled(ctx, slog.LevelInfo) {
		line := []slog.Attr{slog.String("purchase", string(after.ID)), slog.String("offer", after.Offer),
			slog.String("network", after.Buyer.Network), slog.String("event", string(ev.Kind))}
		if before.State != New {
			line = append(line, slog.String("from", string(before.State)))
		}
		line = append(line, slog.String("to", string(after.State)))
		if after.Reason != "" {
			line = append(line, slog.String("reason", string(after.Reason)))
		}
		s.Log.LogAttrs(ctx, slog.LevelInfo, "purchase", line...)
	}
	if after.Moves != before.Moves && s.Moved != nil {
		s.Moved(before, after)
	}
	s.tellOperator(ctx, before, after)
	s.owing(c)
}

func (s *Shop) owing(c store.Change) {
	if len(c.Owe) > 0 && s.Owing != nil {
		s.Owing()
	}
}
