package model

import "slices"

// A Purchase is what the decisions about one depend on, and nothing else: no names, no
// amounts but halves of the total, and of the time only what has passed.
type Purchase struct {
	State State

	Registered bool // its buyer can be written to
	ByMail     bool // its code, which is still owed, goes by mail
	Grace      bool // a press can be taken back for a while
	Held       bool // it has its unit

	Intent  uint8 // which of Stripe's payments is its own; 0: none yet
	Round   uint8 // which link counts
	Attempt uint8 // presses of its button that were taken
	Begun   bool  // the charge has begun, and nobody takes the press back

	Late        bool // the deadline of its state has passed
	LinkLate    bool // the deadline of its link has
	GracePast   bool
	JustLooked  bool
	Uncharged   bool // it expired with a charge owed
	Shipped     bool
	Withdrawn   bool
	Refunds     [2]uint8 // halves of the total that each refund gives back; 0: there is none
	RefundsMade [2]bool
}

// A State is one of a purchase.
type State uint8

// States in the order of a purchase's life, as in package offers.
const (
	New State = iota
	Invited
	Asked
	Coded
	Echoed
	Mailed
	Confirmed
	Challenged
	Paid
	Declined
	Expired
	Cancelled
	Refused
	Refunded
)

// String is the state in the words of package offers.
func (s State) String() string {
	return [...]string{"", "invited", "asked", "coded", "echoed", "mailed", "confirmed", "challenged", "paid", "declined", "expired", "cancelled", "refused", "refunded"}[s]
}

// over: no money is asked for any more, and none was taken.
func (s State) over() bool { return s == Expired || s == Cancelled || s == Refused }

// ended: nothing is awaited any more.
func (s State) ended() bool { return s.over() || s == Paid || s == Refunded }

// A Kind is one of an event, in the words of package offers.
type Kind string

// Kinds of events.
const (
	WishHeard    Kind = "WishHeard"
	Enrolled     Kind = "Enrolled"
	ReplySent    Kind = "ReplySent"
	ReplyFailed  Kind = "ReplyFailed"
	CodeMailed   Kind = "CodeMailed"
	CodeUnmailed Kind = "CodeUnmailed"
	CodeEchoed   Kind = "CodeEchoed"
	IntentMade   Kind = "IntentMade"
	IntentFailed Kind = "IntentFailed"
	LinkMailed   Kind = "LinkMailed"
	LinkUnmailed Kind = "LinkUnmailed"
	LinkPressed  Kind = "LinkPressed"
	Charged      Kind = "Charged"
	BankAsks     Kind = "BankAsks"
	BankLeft     Kind = "BankLeft"
	ChargeFailed Kind = "ChargeFailed"
	IntentVoided Kind = "IntentVoided"
	DeadlinePast Kind = "DeadlinePast"
	CancelAsked  Kind = "CancelAsked"
	ShopCancels  Kind = "ShopCancels"
	RefundAsked  Kind = "RefundAsked"
	RefundMade   Kind = "RefundMade"
	Shipped      Kind = "Shipped"
	Withdrawn    Kind = "Withdrawn"
	ChargeBegins Kind = "ChargeBegins"
	BuyerBarred  Kind = "BuyerBarred"
	EffectDone   Kind = "EffectDone"
)

// An Event is what happened to a purchase.
type Event struct {
	Kind     Kind
	Bad      bool  // something stands against it: sold out, no such card
	Stranger bool  // it is by another account; of a wish: by one that is not registered
	ByMail   bool  // of a wish: nobody may answer it in public
	OldLink  bool  // the link pressed is not the one that counts
	Latest   bool  // the answer is to the latest look
	Intent   uint8 // Stripe's payment
	Attempt  uint8 // at the charge
	N        uint8 // of the refund
	Amount   uint8 // halves of the total to be refunded; 0: all that is left
}

// An Answer is what a decision answers: what is owed because of it, in the words of
// package offers without the purchase's id, or why it is refused.
type Answer struct {
	Owes    []string
	Refused string
}

// A Decider decides what an event makes of a purchase.
type Decider func(Purchase, Event) (Purchase, Answer)

// Reasons in answers that are not of one kind.
const (
	ItsReason = "the purchase's reason"
	TheReason = "the event's reason"
)

// decision is one on its way.
type decision struct {
	Purchase
	e Event
	a Answer
}

func (d *decision) owe(effects ...string) { d.a.Owes = append(d.a.Owes, effects...) }
func (d *decision) refuse(why string)     { d.a.Refused = why }

// tell owes a mail that says why; who is not registered has no address.
func (d *decision) tell(why string) {
	if d.Registered {
		d.owe("mail-reason/" + why)
	}
}

// enter moves to a state, and sets the clocks that are of no use there to zero, so that
// one purchase is not counted as many.
func (d *decision) enter(s State) {
	d.State, d.Late, d.JustLooked = s, false, false
	if s != Asked {
		d.ByMail = false
	}
	if s != Confirmed {
		d.Begun, d.GracePast = false, false
	}
	if !s.ended() && s != New {
		d.owe("deadline")
	} else {
		d.LinkLate = false
	}
}

// left is how many halves of the total are not given back, nor to be.
func (p Purchase) left() uint8 { return 2 - p.Refunds[0] - p.Refunds[1] }

// late: what the buyer may do in this state can only be done until its deadline.
func (p Purchase) late() bool {
	if p.State == Mailed || p.State == Declined {
		return p.LinkLate
	}
	return p.Late
}

// Decide is the machine: independent of offers.Step, and held against it by a test of
// package offers.
func Decide(p Purchase, e Event) (Purchase, Answer) {
	d := &decision{Purchase: p, e: e}
	switch e.Kind {
	case WishHeard, Enrolled, ReplySent, ReplyFailed, CodeMailed, CodeUnmailed, CodeEchoed:
		d.asking()
	case IntentMade, IntentFailed, LinkMailed, LinkUnmailed, LinkPressed:
		d.linking()
	case Charged, BankAsks, BankLeft, ChargeFailed, IntentVoided, ChargeBegins, BuyerBarred:
		d.charging()
	case DeadlinePast, CancelAsked, ShopCancels:
		d.ending()
	case RefundAsked, RefundMade, Shipped, Withdrawn:
		d.after()
	}
	if d.a.Refused != "" {
		return p, Answer{Refused: d.a.Refused}
	}
	slices.Sort(d.a.Owes)
	return d.Purchase, d.a
}

// asking is from the wish to the echo.
func (d *decision) asking() {
	switch e := d.e; {
	case e.Kind == WishHeard && d.State == New:
		d.Registered, d.ByMail = !e.Stranger, e.ByMail
		d.owe("file")
		if !d.ByMail {
			d.owe("reply")
		}
		switch {
		case e.Bad:
			if d.ByMail {
				d.tell(TheReason)
			}
			d.enter(Refused)
		case e.Stranger:
			d.enter(Invited)
		default:
			if d.ByMail {
				d.owe("mail-code")
			}
			d.Held = true
			d.enter(Asked)
		}
	case e.Kind == Enrolled && d.State == Invited && d.Late:
		d.enter(Expired)
	case e.Kind == Enrolled && d.State == Invited:
		d.Registered = true
		if e.Bad {
			d.tell(TheReason)
			d.enter(Refused)
			return
		}
		d.Held, d.ByMail = true, true
		d.owe("mail-code")
		d.enter(Asked)
	case e.Kind == ReplySent && d.State == Asked && !d.ByMail && !d.Late,
		e.Kind == CodeMailed && d.State == Asked && !d.Late:
		d.enter(Coded)
	case e.Kind == ReplyFailed && d.State == Asked && !d.ByMail:
		d.ByMail = true
		d.owe("mail-code")
	case e.Kind == ReplyFailed && d.State == Refused:
		d.tell(ItsReason)
	case e.Kind == CodeUnmailed && d.State == Asked:
		d.Held = false
		d.enter(Refused)
	case e.Kind == CodeEchoed && (d.State == Asked || d.State == Coded || d.State == Expired):
		switch {
		case e.Stranger:
			d.refuse("not_your_code")
		case d.State == Expired || d.Late:
			d.tell("code_expired")
		default:
			d.owe("prepare")
			d.enter(Echoed)
		}
	}
}

// linking is from the payment that is prepared to the press.
func (d *decision) linking() {
	another := d.Intent != 0 && d.Intent != d.e.Intent
	switch e := d.e; e.Kind {
	case IntentMade:
		switch {
		case another:
		case d.State == Echoed:
			d.Intent = e.Intent
			d.Round++
			d.owe("mail-link")
		case d.State.over() && d.Intent == 0:
			d.Intent = e.Intent
			d.owe("void")
		}
	case IntentFailed:
		switch {
		case another:
		case d.State == Echoed:
			d.Held = false
			d.tell(TheReason)
			d.enter(Refused)
		case d.State.over():
			d.Held = false
		}
	case LinkMailed:
		if d.State == Echoed && !d.Late {
			d.LinkLate = false
			d.enter(Mailed)
		}
	case LinkUnmailed:
		if d.State == Echoed {
			d.owe("reply-reason")
			d.void()
			d.enter(Refused)
		}
	case LinkPressed:
		d.press()
	}
}

func (d *decision) press() {
	switch d.State {
	case New, Invited, Asked, Coded:
		d.refuse("not_yet")
	case Echoed, Mailed, Declined:
		switch {
		case d.State == Echoed && d.Intent == 0:
			d.refuse("not_yet")
		case d.e.OldLink:
			d.refuse("link_replaced")
		case d.late():
			d.refuse("link_expired")
		case d.e.Bad:
			d.refuse(TheReason)
		default:
			if d.State == Echoed {
				d.LinkLate = false // its fifteen minutes begin with the press itself
			}
			d.Attempt++
			d.owe("charge/" + string('0'+rune(d.Attempt)))
			d.enter(Confirmed)
		}
	case Paid:
		d.refuse("already_paid")
	case Expired:
		d.refuse("link_expired")
	case Cancelled:
		d.refuse("cancelled")
	case Refused:
		d.refuse(ItsReason)
	case Refunded:
		d.refuse("refunded")
	}
}

// charging is what comes of a press.
func (d *decision) charging() {
	pressed := d.State == Confirmed || d.State == Challenged
	current := d.e.Attempt == d.Attempt
	switch e := d.e; {
	case e.Kind == Charged && d.State == Cancelled,
		e.Kind == Charged && d.State.over() && !d.Held:
		d.refund(0)
		d.enter(Paid)
	case e.Kind == Charged && d.State != New && !d.State.ended(),
		e.Kind == Charged && d.State.over():
		d.owe("mail-receipt", "thank")
		d.Uncharged = false
		d.enter(Paid)
	case e.Kind == BankAsks && d.State == Confirmed && current:
		d.owe("look")
		d.enter(Challenged)
	case e.Kind == BankAsks && d.State == Challenged && current && e.Latest:
		d.owe("look")
	case e.Kind == BankLeft && d.State == Challenged && !d.JustLooked:
		d.JustLooked = true
		d.owe("look")
	case e.Kind == ChargeFailed && pressed && current:
		d.tell(TheReason)
		d.enter(Declined)
	case e.Kind == IntentVoided && (pressed || d.State == Mailed || d.State == Declined):
		d.Held = false
		d.tell("card_unusable")
		d.enter(Refused)
	case e.Kind == IntentVoided && d.State.over():
		d.Held = false
		if d.Uncharged {
			d.tell("not_charged")
		}
	case e.Kind == ChargeBegins && d.State == Confirmed && current && !d.revocable():
		d.Begun = true
	case e.Kind == BuyerBarred && d.State == Confirmed && current:
		d.void()
		d.enter(Cancelled)
	}
}

// revocable: the press can be taken back.
func (p Purchase) revocable() bool {
	return p.State == Confirmed && p.Grace && !p.GracePast && !p.Begun
}

// void owes the cancellation at Stripe; the unit stays held until it has succeeded.
func (d *decision) void() {
	if d.Intent != 0 {
		d.owe("void")
	}
}

// ending is by the clock, the buyer or the shop.
func (d *decision) ending() {
	if d.e.Kind != DeadlinePast {
		before := d.State
		switch {
		case d.e.Stranger:
			d.refuse("not_your_code")
		case d.State == Invited, d.State == Asked, d.State == Coded:
			d.Held = false
			d.enter(Cancelled)
		case d.State == Paid, d.State == Confirmed && !d.revocable():
			d.refuse("too_late")
		case d.State != New && !d.State.ended():
			d.void()
			d.enter(Cancelled)
		}
		if d.e.Kind == ShopCancels && d.State != before {
			d.tell("shop_cancelled")
		}
		return
	}
	if d.State == New || d.State.ended() || !d.late() {
		return
	}
	switch d.State {
	case Asked, Coded:
		d.Held = false
	case Confirmed:
		d.Uncharged = true
	}
	d.void()
	if d.State == Asked || d.State == Echoed {
		d.tell("not_answered")
	}
	d.enter(Expired)
}

// after is after the payment.
func (d *decision) after() {
	if d.e.Kind == RefundMade {
		d.refundMade()
		return
	}
	switch e := d.e; {
	case e.Kind == Withdrawn && e.Stranger:
		d.refuse("not_your_code")
	case e.Kind == Withdrawn && d.Withdrawn && (d.State == Paid || d.State == Refunded):
	case d.State == Refunded:
		d.refuse("refunded")
	case d.State != Paid:
		d.refuse("not_paid")
	case e.Kind == Shipped && d.Shipped:
		d.refuse("shipped")
	case d.left() == 0:
		d.refuse("refunded")
	case e.Kind == Shipped:
		d.Shipped = true
		d.owe("mail-shipped")
	case e.Kind == Withdrawn:
		d.Withdrawn = true
		d.owe("mail-withdrawal")
		if !d.Shipped {
			d.refund(0)
		}
	case e.Amount > d.left():
		d.refuse("refund_too_much")
	default:
		d.refund(e.Amount)
	}
}

// refund owes halves of the total; 0: all that is left.
func (d *decision) refund(halves uint8) {
	if halves == 0 {
		halves = d.left()
	}
	n := 0
	if d.Refunds[0] > 0 {
		n = 1
	}
	d.Refunds[n] = halves
	d.owe("refund/" + string('1'+rune(n)))
}

func (d *decision) refundMade() {
	n := max(d.e.N, 1) - 1
	if d.State != Paid || d.Refunds[n] == 0 || d.RefundsMade[n] {
		return
	}
	d.RefundsMade[n] = true
	made := uint8(0)
	for i, halves := range d.Refunds {
		if d.RefundsMade[i] {
			made += halves
		}
	}
	several := d.Refunds[1] > 0
	if made < 2 || several {
		d.owe("mail-refund/" + string('1'+rune(n)))
	} else {
		d.tell("refunded")
	}
	if made == 2 {
		d.Held = false
		d.enter(Refunded)
	}
}
