package offers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"hashtill/store"
)

// A Job is an effect to be performed, with what there is to know.
type Job struct {
	Effect   Effect
	Purchase Purchase
	Buyer    Buyer // the zero Buyer where the account has not registered
	Again    bool  // an earlier try may have done it
}

// An Act performs effects of a kind in the outside world, under the effect's ID,
// and returns what came of it. An error means that it is to be tried again; one
// that is final is an Event of its own.
type Act func(ctx context.Context, j Job) (Event, error)

// On says who performs a kind of effect. It is called before the outbox runs.
func (s *Shop) On(kind EffectKind, act Act) { s.acts[kind] = act }

// OnAnswer says who answers posts that are no wishes. A nil error settles the
// answer.
func (s *Shop) OnAnswer(act func(ctx context.Context, a Answer, again bool) error) { s.answer = act }

// needed says whether an effect still makes sense when its turn comes.
func needed(p Purchase, e Effect) bool {
	switch e.Kind {
	case Reply:
		if p.State == Waiting {
			return p.LineSince.Equal(p.AskedAt) // by its wish, which nobody has answered yet
		}
		// A code that goes by mail needs no reply. The invitation was one, or may have been:
		// why it came to nothing goes by mail.
		return p.State == Asked && !p.CodeByMail || p.State == Invited || p.State == Refused && p.Moves == 1
	case MailCode:
		return p.State == Asked
	case Prepare:
		return p.Intent == ""
	case MailLink:
		return p.State == Echoed && p.Round == e.N
	case Charge:
		return p.State == Confirmed && p.Attempt == e.N
	case Look:
		return p.State == Challenged
	case Void:
		return p.State.Ended() && p.State != Paid
	}
	return true
}

// follows: an effect that follows from a commit at once, and does no harm where the
// purchase has been moved by another process a moment ago (see recent).
func follows(kind EffectKind) bool {
	switch kind {
	case Reply, MailCode, Prepare, MailLink, MailReceipt, Thank, File:
		return true
	}
	return false
}

// speaks: an effect that says something to somebody who may have asked to be left
// alone. A receipt is owed all the same.
func speaks(kind EffectKind) bool {
	switch kind {
	case Reply, ReplyReason, Thank, MailCode, MailLink:
		return true
	}
	return false
}

// Perform does what is owed and commits the outcome: it is the outbox's Do. An
// error means that the effect is still owed.
func (s *Shop) Perform(ctx context.Context, l store.Lease) error {
	settle := &store.Settle{ID: l.ID, Try: l.Try}
	switch l.Kind {
	case replyAnswer:
		return s.performAnswer(ctx, l)
	case resumeWishes, cancelWishes:
		return s.performAccount(ctx, l)
	case lookCard:
		return s.performSaving(ctx, l)
	case dropCard:
		return s.performDetach(ctx, l)
	case leaveAccount:
		return s.performLeave(ctx, l)
	case announceOffer:
		return s.performAnnounce(ctx, l)
	case forgetSignup:
		return s.performForgetSignup(ctx, l)
	case forgetRecord:
		return s.performForget(ctx, l)
	case forgetSpent:
		return s.performForgetSpent(ctx, l)
	case string(Heed):
		return s.performHeed(ctx, l)
	case serveLine:
		if s.IsHalted() { // whose turn came now could not be told in time
			return s.putOff(ctx, l, s.Now().Add(haltPause), "the shop is halted")
		}
		return s.performLine(ctx, l)
	}
	e := Effect{Kind: EffectKind(l.Kind)}
	if err := json.Unmarshal(l.Body, &e); err != nil {
		return fmt.Errorf("read effect %s: %w", l.ID, err)
	}
	p, remembered := Purchase{}, false
	if e.Since > 0 && follows(e.Kind) {
		p, remembered = s.recent.since(e.Purchase, e.Since, s.Now())
	}
	halted, err := s.IsHalted(), error(nil)
	switch {
	case remembered:
	case e.Kind == Charge:
		p, halted, err = s.purchaseUnlessHalted(ctx, e.Purchase)
	default:
		p, err = s.Purchase(ctx, e.Purchase)
	}
	if err != nil {
		return err
	}
	if halted && waits(e.Kind) {
		return s.putOff(ctx, l, s.Now().Add(haltPause), "the shop is halted")
	}
	switch {
	case e.Kind == Deadline:
		return s.performDeadline(ctx, l, p)
	case e.Kind == File:
		return s.performFile(ctx, settle, p)
	}
	if remembered && !needed(p, e) { // that is for the store to say
		if p, err = s.Purchase(ctx, e.Purchase); err != nil {
			return err
		}
	}
	act := s.acts[e.Kind]
	if act == nil {
		return fmt.Errorf("nobody performs %s", e.Kind)
	}
	b, err := s.look(ctx, p.Buyer)
	if err != nil {
		return err
	}
	if !needed(p, e) || !b.Stopped.IsZero() && speaks(e.Kind) {
		_, err = s.moveOn(ctx, p, Event{Kind: EffectDone}, settle, s.Now())
		return err
	}
	if e.Kind == Charge {
		var begun bool
		if p, begun, err = s.beginCharge(ctx, l, p, b); err != nil || !begun {
			return err
		}
	}
	ev, err := act(ctx, Job{Effect: e, Purchase: p, Buyer: b, Again: l.Try > 1})
	if err != nil {
		return err
	}
	// What happened outside is written down even when the time to do it is over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	if ev.Kind == EffectDone { // whatever has become of the purchase: nothing has to be looked at
		return s.settle(ctx, l)
	}
	_, err = s.moveOn(ctx, p, ev, settle, s.Now())
	return asRefusal(err)
}

// beginCharge decides by a commit whether a charge begins that may still be taken
// back: from then on nobody can. Where it does not begin, what became of its effect
// is committed.
func (s *Shop) beginCharge(ctx context.Context, l store.Lease, p Purchase, b Buyer) (after Purchase, begun bool, err error) {
	now, settle := s.Now(), &store.Settle{ID: l.ID, Try: l.Try}
	if !now.Before(p.Deadline()) {
		// The outbox, or Stripe, was away for so long that nobody expects it any more: what
		// becomes of the purchase is the deadline's matter.
		_, err = s.move(ctx, p.ID, Event{Kind: EffectDone}, settle, now)
		return p, false, err
	}
	// An earlier try may be in flight, or have taken the money. Stripe decides that when
	// the payment is voided, and what was taken then goes back.
	if b.Barred() != "" {
		_, err = s.move(ctx, p.ID, Event{Kind: BuyerBarred, Attempt: p.Attempt}, settle, now)
		return p, false, err
	}
	if p.Times.Grace <= 0 || !p.ChargingAt.IsZero() {
		return p, true, nil
	}
	if p.Revocable(now) { // another machine's clock was ahead of ours
		return p, false, s.putOff(ctx, l, p.GraceEnds(), "")
	}
	attempt := p.Attempt
	if p, err = s.move(ctx, p.ID, Event{Kind: ChargeBegins, Attempt: attempt}, nil, now); err != nil {
		return p, false, err
	}
	if p.State == Confirmed && p.Attempt == attempt && !p.ChargingAt.IsZero() {
		return p, true, nil
	}
	_, err = s.move(ctx, p.ID, Event{Kind: EffectDone}, settle, now) // taken back this moment
	return p, false, err
}

// commitTime is what a commit of an outcome may take.
const commitTime = 10 * time.Second

// asRefusal: an event that the machine refuses is settled all the same.
func asRefusal(err error) error {
	var no *Refusal
	if errors.As(err, &no) {
		return nil
	}
	return err
}

// deadline is the effect that looks after a purchase's present deadline.
func deadline(p Purchase) Effect {
	return Effect{Kind: Deadline, Purchase: p.ID, N: p.Moves, Due: p.Deadline()}
}

func (s *Shop) performDeadline(ctx context.Context, l store.Lease, p Purchase) error {
	now := s.Now()
	if at := p.Deadline(); deadline(p).ID() == l.ID && now.Before(at) {
		// Another machine's clock was ahead of ours.
		return s.putOff(ctx, l, at, "")
	}
	ev := Event{Kind: DeadlinePast}
	switch {
	case deadline(p).ID() != l.ID:
		ev.Kind = EffectDone
	case p.State.Ended():
		return s.performRetire(ctx, l, p, now)
	}
	_, err := s.moveOn(ctx, p, ev, &store.Settle{ID: l.ID, Try: l.Try}, now)
	return err
}

// performFile notes the purchase under its buyer. The note comes first and the
// look at the buyer second, and Register does it the other way round: whichever is
// faster, one of them sees the other, and a waiting wish goes on.
func (s *Shop) performFile(ctx context.Context, settle *store.Settle, p Purchase) error {
	err := s.store.Commit(ctx, store.Change{Shard: p.Buyer.Shard(), Put: []store.Put{{Key: ownKey(p.Buyer, p.ID), Value: []byte{}}}})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	ev, err := s.enrolled(ctx, p)
	if err != nil {
		return err
	}
	if ev.Kind == EffectDone && p.State != Invited {
		// Nothing is to be done, whatever has become of the purchase since, unless it was
		// erased. To look at its version, too, lost a race against the reply in 94 of 100
		// purchases, and cost a commit and a read more.
		done := store.Change{Shard: p.ID.Shard(), Check: []store.Check{{Key: erasedKey(p.ID)}}, Settle: []store.Settle{*settle}}
		if err := s.store.Commit(ctx, done); !errors.As(err, new(*store.GuardError)) {
			return err
		}
	}
	_, err = s.moveOn(ctx, p, ev, settle, s.Now())
	if errors.Is(err, ErrNotFound) {
		// The buyer was erased meanwhile, and the note came too late to go with them.
		if _, removeErr := s.remove(ctx, p.Buyer.Shard(), ownKey(p.Buyer, p.ID)); removeErr != nil {
			return removeErr
		}
	}
	return asRefusal(err)
}

// enrolled is the event of a purchase whose buyer may have registered, or said
// stop, since the wish.
func (s *Shop) enrolled(ctx context.Context, p Purchase) (Event, error) {
	b, err := s.look(ctx, p.Buyer)
	switch {
	case err != nil:
		return Event{}, err
	case !b.Stopped.IsZero() && !p.wishedAt().After(b.Stopped):
		return Event{Kind: CancelAsked, By: p.Buyer}, nil // the stop came before this purchase was filed
	case p.State != Invited || !b.Known():
		return Event{Kind: EffectDone}, nil
	}
	ev := Event{Kind: Enrolled, Country: b.Country}
	o, err := s.offer(ctx, p.Offer)
	switch {
	case errors.Is(err, ErrNotFound):
		ev.Reason = OfferClosed
	case err != nil:
		return Event{}, err
	default:
		ev.Reason = cmp.Or(o.Closed(s.Now()), o.soldTo(b.Country))
	}
	if ev.Reason == "" && p.Waitlist {
		lined, err := s.lined(ctx, p)
		if err != nil {
			return Event{}, err
		}
		if lined {
			ev.Reason = SoldOut // nobody overtakes who waits
		}
	}
	return ev, nil
}

func (s *Shop) performAccount(ctx context.Context, l store.Lease) error {
	var body accountEffect
	if err := json.Unmarshal(l.Body, &body); err != nil {
		return fmt.Errorf("read effect %s: %w", l.ID, err)
	}
	var err error
	if l.Kind == cancelWishes {
		_, err = s.cancelUntil(ctx, body.Account, body.At, s.Now())
	} else {
		err = s.eachOwn(ctx, body.Account, func(p Purchase) error {
			ev, err := s.enrolled(ctx, p)
			if err == nil && ev.Kind != EffectDone {
				_, err = s.move(ctx, p.ID, ev, nil, s.Now())
			}
			return asRefusal(err)
		})
	}
	if err != nil {
		return err
	}
	return s.settle(ctx, l)
}

func (s *Shop) performAnswer(ctx context.Context, l store.Lease) error {
	var a Answer
	if err := json.Unmarshal(l.Body, &a); err != nil {
		return fmt.Errorf("read effect %s: %w", l.ID, err)
	}
	if s.answer == nil {
		return fmt.Errorf("nobody performs %s", l.Kind)
	}
	b, err := s.look(ctx, a.Account)
	if err != nil {
		return err
	}
	if !b.Stopped.IsZero() && a.Word != "stopped" {
		return s.settle(ctx, l)
	}
	if err := s.answer(ctx, a, l.Try > 1); err != nil {
		return err
	}
	return s.settle(ctx, l)
}

// putOff has an effect come again when it is due; note, which may be empty, is for people.
func (s *Shop) putOff(ctx context.Context, l store.Lease, due time.Time, note string) error {
	return s.store.Commit(ctx, store.Change{Shard: l.Shard, PutOff: []store.PutOff{{ID: l.ID, Try: l.Try, Due: due, Note: note}}})
}

// settle ends an effect that moves no purchase.
func (s *Shop) settle(ctx context.Context, l store.Lease) error {
	return s.store.Commit(ctx, store.Change{Shard: l.Shard, Settle: []store.Settle{{ID: l.ID, Try: l.Try}}})
}
