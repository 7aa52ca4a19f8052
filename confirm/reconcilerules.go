package confirm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"hashtill/offers"
)

// A DifferenceKind is in what ledger and store do not agree.
type DifferenceKind string

const (
	PaidThere     DifferenceKind = "paid_there"     // taken there, not paid here
	SecondCharge  DifferenceKind = "second_charge"  // taken there beside the purchase's own payment
	LeftOpen      DifferenceKind = "left_open"      // could be taken there, and never will be
	VoidedThere   DifferenceKind = "voided_there"   // can never be taken there, and is waited for here
	NotTaken      DifferenceKind = "not_taken"      // paid here, not taken there
	NotInLedger   DifferenceKind = "not_in_ledger"  // paid here, not known there
	OtherAmount   DifferenceKind = "other_amount"   // another amount or currency
	RefundedMore  DifferenceKind = "refunded_more"  // there than here
	RefundedLess  DifferenceKind = "refunded_less"  // there than here
	DisputedThere DifferenceKind = "disputed"       // there, and nobody has told
	UnknownCharge DifferenceKind = "unknown_charge" // taken there, for a purchase that is not here
	UnknownOpen   DifferenceKind = "unknown_open"   // begun there, for a purchase that is not here
	Misnamed      DifferenceKind = "misnamed"       // for what can be no purchase
	Unreadable    DifferenceKind = "unreadable"     // the purchase, here
)

// openTooLong is how long a payment may be open for a purchase that is not here: a
// store that has forgotten its last moments finds the purchase in the feed again.
const openTooLong = 24 * time.Hour

// A sighting is a payment of the ledger and the purchase that it names.
type sighting struct {
	e     Entry
	valid bool // it names what can be a purchase
	known bool // and is here
	p     offers.Purchase
	now   time.Time

	unreadable error             // it is here, and cannot be read
	left       []offers.Archived // what the archive has of it, if it is not here
	noArchive  error             // there is none to be asked
	asked      error             // the till, about the payment: it does not know of it, or does not answer
}

// own: it is the only payment of the purchase that is ever confirmed.
func (s sighting) own() bool { return s.known && s.p.Intent != "" && s.p.Intent == s.e.Intent }

// other: the purchase has another payment.
func (s sighting) other() bool { return s.known && s.p.Intent != "" && s.p.Intent != s.e.Intent }

// forgotten: the purchase has none. It is not prepared yet, or the store has forgotten.
func (s sighting) forgotten() bool { return s.known && s.p.Intent == "" }

func (s sighting) unknown() bool { return s.valid && !s.known }

func (s sighting) taken() bool { return s.e.Status == Taken }

// keeps: it was taken, and not all of it was given back.
func (s sighting) keeps() bool { return s.taken() && s.e.Refunded.Minor < s.e.Total.Minor }

// open: somebody could still take it.
func (s sighting) open() bool { return slices.Contains([]Status{Open, AtBank, Failed}, s.e.Status) }

func (s sighting) paid() bool { return !s.p.PaidAt.IsZero() }

// over: it has ended and was never paid.
func (s sighting) over() bool { return s.p.State.Ended() && !s.paid() }

// gone: its purchase has left the store, and what is there of the payment was as it
// should be. That it once ended unpaid explains no money: the line may be of a purchase
// that was not archived by the store in which it was paid.
func (s sighting) gone() bool {
	return len(s.left) > 0 && (!s.keeps() && !s.open() || slices.ContainsFunc(s.left, func(a offers.Archived) bool {
		return !a.PaidAt.IsZero() && a.Intent == s.e.Intent
	}))
}

// givesBack: the shop's answer to a look that finds the payment taken is, or may be by
// the time of the look, that it comes too late and is refunded. Ended, that is so where
// no units are held, or the buyer has cancelled. Before the code has come back, the
// units are given back at the deadline with no question to Stripe.
//
// While a shop runs, all that comes too late is found and refunded without being
// reconciled. What is left over to be found here is the money of a purchase which the
// store once knew to be paid, as the parcel may be gone.
func (s sighting) givesBack() bool {
	switch s.p.State {
	case offers.Expired, offers.Refused:
		return s.p.Held == 0
	case offers.Invited, offers.Asked, offers.Coded, offers.Cancelled:
		return true
	}
	return false
}

// paidBack is what was paid back by us, and what is owed besides, in the minor unit.
func (s sighting) paidBack() (made, owed int64) {
	back, due := s.p.PaidBack()
	return back.Minor, due.Minor
}

// noticed: we were told that it is disputed.
func (s sighting) noticed() bool {
	return slices.ContainsFunc(s.p.Notices, func(n offers.Notice) bool {
		return strings.HasPrefix(n.Type, "charge.dispute.") || n.Type == "reconcile.dispute"
	})
}

// moved is when the payment or its purchase last did.
func (s sighting) moved() time.Time {
	last := s.e.Begun
	times := []time.Time{s.p.AskedAt, s.p.CodedAt, s.p.EchoedAt, s.p.MailedAt, s.p.ConfirmedAt, s.p.ChargingAt,
		s.p.ChallengedAt, s.p.PaidAt, s.p.EndedAt}
	for _, r := range s.p.Refunds {
		times = append(times, r.AskedAt, r.MadeAt)
	}
	for _, at := range times {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// here says where the purchase is that is not in the store, for a person.
func (s sighting) here() string {
	switch {
	case s.noArchive != nil:
		return fmt.Sprintf("is not here (nor could the archive be asked: %v)", s.noArchive)
	case len(s.left) == 0:
		return "is not here"
	}
	last := s.left[len(s.left)-1]
	if last.PaidAt.IsZero() {
		return fmt.Sprintf("has left the store, %s and not paid", last.State)
	}
	return "has left the store, paid by another payment"
}

// stands says where the purchase is, for a person.
func (s sighting) stands() string { return "here the purchase is " + string(s.p.State) }

// A rule is one way not to agree, and what may be done about it.
type rule struct {
	kind   DifferenceKind
	loud   bool
	when   func(sighting) bool
	still  func(*reconciling, context.Context, sighting) (bool, error) // nil, or asks again
	says   func(sighting) string
	repair func(*reconciling, context.Context, sighting) (deed, error) // nil: left to a person
	would  string                                                      // what the repair does
	person bool                                                        // somebody has to look, repaired or not
	next   string                                                      // what a person has to do, if it is left to one
}

// ledgerRules are what a payment in the ledger is held to. A payment can break more
// than one of them.
var ledgerRules = []rule{
	{
		kind:   PaidThere,
		when:   func(s sighting) bool { return s.own() && s.keeps() && !s.paid() && !s.givesBack() },
		says:   sayTaken,
		repair: (*reconciling).look, would: "it is looked at, and becomes paid",
		next: "see that the store takes commits, and run this again",
	},
	{
		kind: PaidThere,
		when: func(s sighting) bool {
			return s.forgotten() && s.keeps() && !s.paid() && !s.givesBack() && s.e.Total == s.p.Total
		},
		says:   sayTaken,
		repair: (*reconciling).adopt, would: "it becomes the payment of the purchase, and is looked at",
		next: "see that the store takes commits, and run this again",
	},
	{
		kind: PaidThere, loud: true,
		when: func(s sighting) bool {
			return (s.own() || s.forgotten() && s.e.Total == s.p.Total) && s.keeps() && !s.paid() && s.givesBack()
		},
		says: sayTaken,
		next: "find out whether the buyer has got it: a restored backup has forgotten what was paid and shipped after it; if not, and it will not be sent, refund the payment in Stripe's dashboard",
	},
	{
		kind: SecondCharge, loud: true,
		when:   func(s sighting) bool { return s.other() && s.keeps() && s.paid() },
		says:   saySecond,
		repair: (*reconciling).refund, would: "it is refunded whole, if the purchase's own payment was taken too",
		next: "look at both payments in Stripe's dashboard: if the buyer was charged twice, refund this one",
	},
	{
		kind: SecondCharge, loud: true,
		when: func(s sighting) bool { return s.other() && s.keeps() && !s.paid() },
		says: func(s sighting) string { return saySecond(s) + ", which is not paid; " + s.stands() },
		next: "find out whether the buyer has paid by this payment and got it: a restored backup has forgotten what was paid and shipped after it; if not, and it will not be sent, refund the payment in Stripe's dashboard",
	},
	{
		kind:   LeftOpen,
		when:   func(s sighting) bool { return s.open() && (s.other() || s.known && s.over()) },
		says:   func(s sighting) string { return "the payment could still be taken; " + s.stands() },
		repair: (*reconciling).void, would: "it is cancelled at Stripe",
		next: "cancel it in Stripe's dashboard",
	},
	{
		kind: VoidedThere,
		when: func(s sighting) bool {
			return s.own() && s.e.Status == Voided && !s.paid() && (!s.over() || s.p.Held > 0)
		},
		says:   func(s sighting) string { return "the payment was cancelled at Stripe; " + s.stands() },
		repair: (*reconciling).look, would: "it is looked at, and the units go back",
		next: "see that the store takes commits, and run this again",
	},
	{
		kind: NotTaken, loud: true,
		when:  func(s sighting) bool { return s.own() && s.paid() && !s.taken() },
		still: (*reconciling).untaken,
		says: func(s sighting) string {
			return fmt.Sprintf("here %s are paid; at Stripe the payment is %s", s.p.Total, s.e.Status)
		},
		next: "do not ship it, or ask the buyer to pay again; see that stripe.key_file is the key of this shop's account",
	},
	{
		kind: OtherAmount, loud: true,
		when: func(s sighting) bool {
			return (s.own() || s.forgotten()) && s.e.Status != Voided && s.e.Total != s.p.Total
		},
		says: func(s sighting) string {
			return fmt.Sprintf("at Stripe the payment is of %s, here the purchase is of %s", s.e.Total, s.p.Total)
		},
		next: "find out who has changed the payment; refund what is too much in Stripe's dashboard",
	},
	{
		kind: RefundedMore,
		when: func(s sighting) bool {
			made, owed := s.paidBack()
			return s.own() && s.taken() && s.paid() && s.e.Refunded.Minor > made+owed
		},
		says: sayRefunded,
		next: "it was refunded at Stripe by hand: if that is all of it, hashtill purchase refund writes it down here and pays nothing twice",
	},
	{
		kind: RefundedLess, loud: true,
		when: func(s sighting) bool {
			made, _ := s.paidBack()
			return s.own() && s.taken() && s.paid() && s.e.Refunded.Minor < made
		},
		says: sayRefunded,
		next: "the refund has failed since, as for a card that was closed: see the payment in Stripe's dashboard, and pay the buyer another way",
	},
	{
		kind:   DisputedThere,
		when:   func(s sighting) bool { return s.own() && s.e.Disputed && !s.noticed() },
		says:   func(s sighting) string { return "the buyer's bank disputes the payment; " + s.stands() },
		repair: (*reconciling).note, would: "it is noted on the purchase", person: true,
		next: "answer it in Stripe's dashboard before it is decided",
	},
	{
		kind: UnknownCharge, loud: true,
		when: func(s sighting) bool { return s.unknown() && s.keeps() },
		says: func(s sighting) string {
			return fmt.Sprintf("Stripe has taken %s for a purchase that %s", s.e.Total, s.here())
		},
		next: "look for the purchase in the archives of other machines and in backups, and whether its buyer was erased; if nobody knows of it, refund the payment in Stripe's dashboard",
	},
	{
		kind: UnknownOpen,
		when: func(s sighting) bool { return s.unknown() && s.open() && s.now.Sub(s.e.Begun) > openTooLong },
		says: func(s sighting) string { return "the payment was begun for a purchase that " + s.here() },
		next: "if no other shop of yours has begun it, cancel it in Stripe's dashboard",
	},
	{
		kind: Misnamed,
		when: func(s sighting) bool { return !s.valid && (s.keeps() || s.open()) },
		says: func(sighting) string { return "its metadata name a purchase, by what can be no purchase's id" },
		next: "find out who has begun it: payments of others must not have metadata of that name",
	},
}

// notInLedger is for a paid purchase whose payment was not seen.
var notInLedger = rule{
	kind: NotInLedger, loud: true,
	says: func(s sighting) string {
		if s.p.Intent == "" {
			return fmt.Sprintf("here %s are paid, by no payment", s.p.Total)
		}
		return fmt.Sprintf("here %s are paid, by a payment that Stripe does not have or has not taken", s.p.Total)
	},
	next: "see that stripe.key_file is the key of this shop's account and mode (test or live); if it is, do not ship the purchase",
}

// unreadable is for a purchase of which nothing else can be said.
var unreadable = rule{
	kind: Unreadable, loud: true,
	says: func(s sighting) string {
		return fmt.Sprintf("the purchase cannot be read, and nothing is known of its payment: %v", s.unreadable)
	},
	next: "hashtill store check shows all such records; bring them back from a backup",
}

func sayTaken(s sighting) string {
	says := fmt.Sprintf("Stripe has taken %s; %s", s.e.Total, s.stands())
	if s.forgotten() {
		says += ", and has no payment"
	}
	return says
}

func saySecond(s sighting) string {
	return fmt.Sprintf("Stripe has taken %s beside the purchase's own payment %s", s.e.Total, s.p.Intent)
}

func sayRefunded(s sighting) string {
	made, _ := s.paidBack()
	return fmt.Sprintf("%s were refunded at Stripe, %s here", s.e.Refunded, offers.Money{Minor: made, Currency: s.p.Total.Currency})
}
