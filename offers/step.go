package offers

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// step is one decision on its way.
type step struct {
	p   Purchase
	ev  Event
	now time.Time
	owe []Effect
}

// A guard is a condition of a row, named for the diagram.
type guard struct {
	name string
	ok   func(*step) bool
}

// A row answers an event in some states. Where several rows fit, the first whose
// guard holds does. It moves the purchase on (to), or notes something (to is
// empty), or refuses with a reason.
type row struct {
	from   []State
	on     EventKind
	when   *guard
	to     State
	do     func(*step)
	refuse Reason
}

// itsReason refuses with what the purchase itself was refused for, theReason with
// what the event says.
const itsReason, theReason Reason = "its reason", "the reason"

func in(states ...State) []State { return states }

var (
	impossible  = &guard{"it cannot be had", func(s *step) bool { return s.ev.Reason != "" }}
	stranger    = &guard{"no card is registered", func(s *step) bool { return !s.ev.Wish.Registered }}
	reachable   = &guard{"the buyer has an address", func(s *step) bool { return s.p.Registered }}
	someoneElse = &guard{"by another account", func(s *step) bool { return s.ev.By != s.p.Buyer }}
	late        = &guard{"after the deadline", func(s *step) bool { return !s.now.Before(s.p.Deadline()) }}
	unprepared  = &guard{"no payment is prepared yet", func(s *step) bool { return s.p.Intent == "" }}
	hasPayment  = &guard{"beside its payment", func(s *step) bool { return s.p.Intent != "" && s.p.Intent != s.ev.Intent }}
	byMail      = &guard{"the code goes by mail", func(s *step) bool { return s.p.CodeByMail }}
	oldAttempt  = &guard{"of an attempt before the last", func(s *step) bool { return s.ev.Attempt != s.p.Attempt }}
	justLooked  = &guard{"when it was just looked", func(s *step) bool { return s.now.Sub(s.p.LookedAt) < lookPause }}
	noSuchCard  = &guard{"with a card that cannot be chosen", func(s *step) bool { return s.ev.Reason != "" }}
	oldLink     = &guard{"by a link that was replaced", func(s *step) bool { return s.ev.Round != s.p.Round }}
	holds       = &guard{"units are held", func(s *step) bool { return s.p.Held > 0 }}
	sold        = &guard{"it is sold out, and there is a line", func(s *step) bool { return s.ev.Reason == SoldOut && s.waits() }}
	noRoom      = &guard{"it is still sold out", func(s *step) bool { return s.ev.Reason == SoldOut }}
	movedOn     = &guard{"it has moved on", func(s *step) bool { return s.ev.From != New && s.ev.From != s.p.State }}
	onPage      = &guard{"on a page, signed in", func(s *step) bool { return s.ev.Wish.OnPage }}
	echoedOnce  = &guard{"its code was repeated before", func(s *step) bool { return s.p.Echo != "" }}
	inGrace     = &guard{"within the grace", func(s *step) bool { return s.p.Revocable(s.now) }}
)

var ended = in(Expired, Cancelled, Refused)
var beforePay = in(Invited, Waiting, Asked, Coded, Echoed, Mailed, Declined, Confirmed, Challenged)
var unpaid = slices.Concat(in(New), beforePay, ended)

// table is the whole machine. Every state and event has a row; a test holds it to
// that, and to the diagram in the package comment.
var table = []row{
	{from: in(New), on: WishHeard, when: sold, to: Waiting, do: (*step).waitInLine},
	{from: in(New), on: WishHeard, when: impossible, to: Refused, do: (*step).refuseWish},
	{from: in(New), on: WishHeard, when: stranger, to: Invited, do: (*step).invite},
	{from: in(New), on: WishHeard, when: onPage, to: Echoed, do: (*step).askOnPage},
	{from: in(New), on: WishHeard, to: Asked, do: (*step).ask},

	{from: in(Invited), on: Enrolled, when: late, to: Expired},
	{from: in(Invited), on: Enrolled, when: impossible, to: Refused, do: (*step).tellEnrolled},
	{from: in(Invited), on: Enrolled, to: Asked, do: (*step).enrol},

	{from: in(Waiting), on: ReplyFailed, do: (*step).tellWaiting},
	{from: in(Waiting), on: UnitBack, when: late, to: Expired, do: (*step).waitOver},
	{from: in(Waiting), on: UnitBack, when: noRoom},
	{from: in(Waiting), on: UnitBack, when: impossible, to: Refused, do: (*step).gone},
	{from: in(Waiting), on: UnitBack, when: echoedOnce, to: Echoed, do: (*step).turnEchoed},
	{from: in(Waiting), on: UnitBack, to: Asked, do: (*step).turn},

	{from: in(Asked), on: ReplySent, when: late, do: (*step).noteReply},
	{from: in(Asked), on: ReplySent, when: byMail, do: (*step).noteReply}, // it was the invitation
	{from: in(Asked), on: ReplySent, to: Coded, do: (*step).code},
	{from: in(Asked), on: ReplyFailed, do: (*step).mailCode},
	{from: in(Asked), on: CodeMailed, when: late},
	{from: in(Asked), on: CodeMailed, to: Coded, do: (*step).code},
	{from: in(Asked), on: CodeUnmailed, to: Refused, do: (*step).unreachable},
	{from: in(Refused), on: ReplyFailed, when: reachable, do: (*step).tellReason},

	{from: in(Asked, Coded), on: CodeEchoed, when: someoneElse, refuse: NotYourCode},
	{from: in(Asked, Coded), on: CodeEchoed, when: late, do: (*step).tellCodeExpired},
	{from: in(Asked, Coded), on: CodeEchoed, when: sold, to: Waiting, do: (*step).waitEchoed},
	{from: in(Asked, Coded), on: CodeEchoed, when: impossible, to: Refused, do: (*step).gone},
	{from: in(Asked, Coded), on: CodeEchoed, to: Echoed, do: (*step).echo},
	{from: in(Expired), on: CodeEchoed, when: someoneElse, refuse: NotYourCode},
	{from: in(Expired), on: CodeEchoed, do: (*step).tellCodeExpired},

	{from: append(in(Echoed), ended...), on: IntentMade, when: hasPayment}, // it was adopted meanwhile
	{from: append(in(Echoed), ended...), on: IntentFailed, when: hasPayment},
	{from: in(Echoed), on: IntentMade, do: (*step).prepared},
	{from: in(Echoed), on: IntentFailed, to: Refused, do: (*step).cardUnusable},
	{from: in(Echoed), on: LinkMailed, when: late},
	{from: in(Echoed), on: LinkMailed, to: Mailed, do: (*step).mailed},
	{from: in(Echoed), on: LinkUnmailed, to: Refused, do: (*step).mailRefused},
	{from: ended, on: IntentMade, do: (*step).voidLateIntent},
	{from: ended, on: IntentFailed, do: (*step).release},

	{from: in(Echoed), on: LinkPressed, when: unprepared, refuse: NotYet},
	{from: in(Echoed, Mailed, Declined), on: LinkPressed, when: oldLink, refuse: LinkReplaced},
	{from: in(Echoed, Mailed, Declined), on: LinkPressed, when: late, refuse: LinkExpired},
	{from: in(Echoed, Mailed, Declined), on: LinkPressed, when: noSuchCard, refuse: theReason},
	{from: in(Echoed), on: LinkPressed, to: Confirmed, do: (*step).confirmUnmailed},
	{from: in(Mailed, Declined), on: LinkPressed, to: Confirmed, do: (*step).confirm},
	{from: in(New, Invited, Waiting, Asked, Coded), on: LinkPressed, refuse: NotYet},
	{from: in(Confirmed, Challenged), on: LinkPressed}, // pressed twice: it is on its way
	{from: in(Paid), on: LinkPressed, refuse: AlreadyPaid},
	{from: in(Expired), on: LinkPressed, refuse: LinkExpired},
	{from: in(Cancelled), on: LinkPressed, refuse: WasCancelled},
	{from: in(Refused), on: LinkPressed, refuse: itsReason},
	{from: in(Refunded), on: LinkPressed, refuse: WasRefunded},

	{from: in(Confirmed, Challenged), on: BankAsks, when: oldAttempt},
	{from: in(Confirmed), on: BankAsks, to: Challenged, do: (*step).challenge},
	{from: in(Challenged), on: BankLeft, when: justLooked},
	{from: in(Challenged), on: BankLeft, do: (*step).look},
	{from: in(Challenged), on: BankAsks, do: (*step).stillAtBank},
	{from: beforePay, on: Charged, to: Paid, do: (*step).paid},
	{from: in(Expired, Refused), on: Charged, when: holds, to: Paid, do: (*step).paid},
	{from: ended, on: Charged, to: Paid, do: (*step).paidTooLate}, // what was taken after all goes back
	{from: in(Confirmed, Challenged), on: ChargeFailed, when: oldAttempt},
	{from: in(Confirmed, Challenged), on: ChargeFailed, to: Declined, do: (*step).declined},

	{from: in(Invited), on: DeadlinePast, when: late, to: Expired},
	{from: in(Waiting), on: DeadlinePast, when: late, to: Expired, do: (*step).waitOver},
	{from: in(Asked), on: DeadlinePast, when: late, to: Expired, do: (*step).unanswered},
	{from: in(Coded), on: DeadlinePast, when: late, to: Expired, do: (*step).release},
	{from: in(Echoed), on: DeadlinePast, when: late, to: Expired, do: (*step).unmailed},
	{from: in(Mailed, Declined, Challenged), on: DeadlinePast, when: late, to: Expired, do: (*step).void},
	{from: in(Confirmed), on: DeadlinePast, when: late, to: Expired, do: (*step).uncharged},
	{from: ended, on: IntentVoided, do: (*step).voided},
	{from: in(Mailed, Declined, Confirmed, Challenged), on: IntentVoided, to: Refused, do: (*step).cardUnusable}, // by hand, at Stripe

	{from: States, on: CancelAsked, when: someoneElse, refuse: NotYourCode},
	{from: States, on: CancelAsked, when: movedOn},
	{from: in(Invited, Waiting), on: CancelAsked, to: Cancelled},
	{from: in(Asked, Coded), on: CancelAsked, to: Cancelled, do: (*step).release},
	{from: in(Echoed, Mailed, Declined, Challenged), on: CancelAsked, to: Cancelled, do: (*step).void},
	{from: in(Confirmed), on: CancelAsked, when: inGrace, to: Cancelled, do: (*step).void},
	{from: in(Confirmed, Paid), on: CancelAsked, refuse: TooLate},
	{from: in(Invited, Waiting, Asked, Coded), on: ShopCancels, to: Cancelled, do: (*step).shopReleases},
	{from: in(Echoed, Mailed, Declined, Challenged), on: ShopCancels, to: Cancelled, do: (*step).shopCancels},
	{from: in(Confirmed), on: ShopCancels, when: inGrace, to: Cancelled, do: (*step).shopCancels},
	{from: in(Confirmed, Paid), on: ShopCancels, refuse: TooLate},

	// The commit of ChargeBegins is where charging and taking back are decided.
	{from: in(Confirmed), on: ChargeBegins, when: inGrace},
	{from: in(Confirmed), on: ChargeBegins, when: oldAttempt},
	{from: in(Confirmed), on: ChargeBegins, do: (*step).begins},
	{from: in(Confirmed), on: BuyerBarred, when: oldAttempt},
	{from: in(Confirmed), on: BuyerBarred, to: Cancelled, do: (*step).void},

	{from: in(Paid, Refunded), on: RefundAsked, when: decidedBefore}, // pressed twice
	{from: in(Paid), on: RefundAsked, when: nothingLeft, refuse: WasRefunded},
	{from: in(Paid), on: RefundAsked, when: notLeft, refuse: RefundTooMuch},
	{from: in(Paid), on: RefundAsked, when: manyRefunds, refuse: RefundsMany},
	{from: in(Paid), on: RefundAsked, do: (*step).refundAsked},
	{from: in(Paid), on: RefundMade, when: allBack, to: Refunded, do: (*step).refunded},
	{from: in(Paid), on: RefundMade, do: (*step).partBack},
	{from: in(Refunded), on: RefundAsked, refuse: WasRefunded},
	{from: unpaid, on: RefundAsked, refuse: NotPaid},

	{from: in(Paid), on: Shipped, when: digital, refuse: NotShipped},
	{from: in(Paid), on: Shipped, when: wasShipped, refuse: WasShipped},
	{from: in(Paid), on: Shipped, when: nothingLeft, refuse: WasRefunded},
	{from: in(Paid), on: Shipped, do: (*step).ship},
	{from: in(Refunded), on: Shipped, refuse: WasRefunded},
	{from: unpaid, on: Shipped, refuse: NotPaid},

	{from: States, on: Withdrawn, when: someoneElse, refuse: NotYourCode},
	{from: in(Paid, Refunded), on: Withdrawn, when: wasWithdrawn}, // pressed twice
	{from: in(Paid), on: Withdrawn, when: nothingLeft, refuse: WasRefunded},
	{from: in(Paid), on: Withdrawn, when: noWithdrawal, refuse: NoWithdrawal},
	{from: in(Paid), on: Withdrawn, when: withdrawsLate, refuse: WithdrawalOver},
	{from: in(Paid), on: Withdrawn, do: (*step).withdraw},
	{from: in(Refunded), on: Withdrawn, refuse: WasRefunded},
	{from: unpaid, on: Withdrawn, refuse: NotPaid},

	// What comes too late, twice or out of order is noted and moves nothing.
	{from: States, on: WishHeard},
	{from: States, on: Enrolled},
	{from: States, on: ReplySent, do: (*step).noteReply},
	{from: States, on: ReplyFailed},
	{from: States, on: CodeMailed},
	{from: States, on: CodeUnmailed},
	{from: States, on: CodeEchoed},
	{from: States, on: IntentMade},
	{from: States, on: IntentFailed},
	{from: States, on: LinkMailed},
	{from: States, on: LinkUnmailed},
	{from: States, on: Charged},
	{from: States, on: BankAsks},
	{from: States, on: BankLeft},
	{from: States, on: ChargeFailed},
	{from: States, on: IntentVoided},
	{from: States, on: DeadlinePast},
	{from: States, on: CancelAsked},
	{from: States, on: ShopCancels},
	{from: States, on: RefundMade},
	{from: States, on: ChargeBegins},
	{from: States, on: BuyerBarred},
	{from: States, on: UnitBack},
	{from: States, on: Noted, do: (*step).note},
	{from: States, on: EffectDone},
}

// byCase finds the rows of a state and event, in the table's order.
var byCase = func() map[State]map[EventKind][]row {
	m := map[State]map[EventKind][]row{}
	for _, r := range table {
		for _, s := range r.from {
			if m[s] == nil {
				m[s] = map[EventKind][]row{}
			}
			m[s][r.on] = append(m[s][r.on], r)
		}
	}
	return m
}()

// Step decides what an event at now makes of a purchase: the purchase afterwards
// and what is owed because of it. It is pure. A *[Refusal] is an answer to
// whoever caused the event; the purchase is then as it was.
//
// The zero Purchase and a WishHeard begin one.
func Step(p Purchase, ev Event, now time.Time) (Purchase, []Effect, error) {
	s := step{p: p, ev: ev, now: now}
	for _, r := range byCase[p.State][ev.Kind] {
		if r.when != nil && !r.when.ok(&s) {
			continue
		}
		switch r.refuse {
		case "":
		case itsReason:
			return p, nil, &Refusal{p.Reason}
		case theReason:
			return p, nil, &Refusal{ev.Reason}
		default:
			return p, nil, &Refusal{r.refuse}
		}
		s.p.Told, s.p.Refunds = slices.Clone(p.Told), slices.Clone(p.Refunds)
		if r.do != nil {
			r.do(&s)
		}
		if r.to != New {
			s.move(r.to)
		}
		return s.p, s.owe, nil
	}
	return p, nil, fmt.Errorf("offers: no answer to %s in state %q", ev.Kind, p.State)
}

// move enters a state, which may have a deadline.
func (s *step) move(to State) {
	s.p.State = to
	s.p.Moves++
	if to != Challenged {
		s.p.BankURL = "" // it can hold a secret of the payment
	}
	if to.Ended() {
		s.p.EndedAt = s.now
	}
	if at := s.p.Deadline(); !at.IsZero() {
		s.owe = append(s.owe, Effect{Kind: Deadline, Purchase: s.p.ID, N: s.p.Moves, Due: at})
	}
}

func (s *step) do(kind EffectKind, n int) {
	s.owe = append(s.owe, Effect{Kind: kind, Purchase: s.p.ID, N: n})
}

// tell owes a mail that says why it does not go on, once for each reason.
func (s *step) tell(why Reason) {
	if s.p.Registered && !slices.Contains(s.p.Told, why) {
		s.p.Told = append(s.p.Told, why)
		s.owe = append(s.owe, Effect{Kind: MailReason, Purchase: s.p.ID, Reason: why})
	}
}

func (s *step) begin() {
	s.p = s.ev.Wish
	s.p.AskedAt = s.now
	if !s.p.CodeByMail {
		s.do(Reply, 0)
	}
	s.do(File, 0)
}

func (s *step) refuseWish() {
	s.begin()
	s.p.Reason = s.ev.Reason
	if s.p.Over.Reason == s.ev.Reason || s.ev.Reason == QuietHours || s.p.CodeByMail {
		s.tell(s.ev.Reason) // the public reply says no amounts and no hours
	}
}

func (s *step) invite() {
	s.begin()
	s.p.Reason = NotRegistered
}

func (s *step) ask() {
	s.begin()
	s.hold(HoldAtWish)
	if s.p.CodeByMail {
		s.do(MailCode, 0)
	}
}

// askOnPage: who is signed in and presses the button of an offer's page has wished and
// confirmed it in one, and needs no code. What charges is the link in the mail, as ever.
func (s *step) askOnPage() {
	s.begin()
	s.p.Echo, s.p.EchoedAt = s.p.Wish, s.now
	s.hold(HoldAtWish)
	s.hold(HoldAtEcho)
	s.do(Prepare, 0)
}

// enrol goes on as if the wish had just been heard, except that the code goes by
// mail: the public reply was the invitation.
func (s *step) enrol() {
	s.p.Reason = ""
	s.p.Registered = true
	s.p.AskedAt = s.now
	s.hold(HoldAtWish)
	s.mailCode()
}

func (s *step) tellEnrolled() {
	s.p.Registered = true
	s.p.Reason = s.ev.Reason
	s.tell(s.ev.Reason)
}

func (s *step) noteReply() {
	if s.p.Reply == "" {
		s.p.Reply = s.ev.Post
	}
}

func (s *step) code() {
	s.noteReply()
	s.p.CodedAt = s.now
}

func (s *step) mailCode() {
	if !s.p.CodeByMail {
		s.p.CodeByMail = true
		s.do(MailCode, 0)
	}
}

func (s *step) unreachable() {
	s.p.Reason = Unreachable
	s.release()
}

func (s *step) tellReason()      { s.tell(s.p.Reason) }
func (s *step) tellCodeExpired() { s.tell(CodeExpired) }

// echo may come while the reply is still on its way to us: the code was public
// before we knew it.
func (s *step) echo() {
	s.p.Echo = s.ev.Post
	s.p.EchoedAt = s.now
	s.hold(HoldAtEcho)
	s.do(Prepare, 0)
}

func (s *step) prepared() {
	s.p.Intent, s.p.Card = s.ev.Intent, s.ev.Card
	s.p.Round++
	s.do(MailLink, s.p.Round)
}

func (s *step) mailed() { s.p.MailedAt = s.now }

func (s *step) cardUnusable() {
	s.p.Reason = cmp.Or(s.ev.Reason, CardUnusable)
	s.release()
	s.tell(s.p.Reason)
}

func (s *step) mailRefused() {
	s.p.Reason = MailRefused
	s.do(ReplyReason, 0)
	s.void()
}

// confirmUnmailed: the click is here before the mail server's answer is.
func (s *step) confirmUnmailed() {
	s.p.MailedAt = s.now
	s.confirm()
}

func (s *step) confirm() {
	s.p.Reason = ""
	if s.ev.Card.ID != "" {
		s.p.Card = s.ev.Card
	}
	s.hold(HoldAtClick)
	s.p.ConfirmedAt = s.now
	s.p.ChargingAt = time.Time{}
	s.p.Attempt++
	s.do(Charge, s.p.Attempt)
	if s.p.Times.Grace > 0 {
		s.owe[len(s.owe)-1].Due = s.p.GraceEnds()
	}
}

func (s *step) begins() {
	if s.p.ChargingAt.IsZero() {
		s.p.ChargingAt = s.now
	}
}

func (s *step) challenge() {
	s.p.ChallengedAt = s.now
	s.p.BankURL = s.ev.URL
	s.lookIn(firstLook)
}

// Stripe is asked again and again how it stands at the bank, ever less often, so
// that nothing depends on the buyer's browser coming back.
const (
	firstLook, lastLook = 5 * time.Second, 80 * time.Second
	lookPause           = 2 * time.Second // between two looks that the buyer asks for
)

// stillAtBank is the answer to a look. Only the latest one begets another.
func (s *step) stillAtBank() {
	s.p.BankURL = s.ev.URL
	if s.ev.Look == s.p.Looks {
		s.lookIn(min(firstLook<<min(max(s.p.Looks, 0), 8), lastLook))
	}
}

func (s *step) look() {
	s.p.LookedAt = s.now
	s.lookIn(0)
}

func (s *step) lookIn(d time.Duration) {
	s.p.Looks++
	s.do(Look, s.p.Looks)
	if d > 0 {
		s.owe[len(s.owe)-1].Due = s.now.Add(d)
	}
}

func (s *step) paid() {
	s.p.Reason = ""
	s.p.PaidAt = s.now
	s.do(MailReceipt, 0)
	if s.p.Thanks {
		s.do(Thank, 0)
	}
	s.tellMerchant(ToldPaid)
}

// paidTooLate: the money came although the purchase had ended, and nothing is
// promised for it any more.
func (s *step) paidTooLate() {
	s.p.PaidAt = s.now
	s.refund(Money{}, "paid too late")
}

func (s *step) declined() {
	s.p.Reason = s.ev.Reason
	s.tell(s.ev.Reason)
}

// unanswered and unmailed: the network or the mail server was away for too long.
func (s *step) unanswered() {
	s.release()
	s.tell(NotAnswered)
}

func (s *step) unmailed() {
	s.void()
	s.tell(NotAnswered)
}

// uncharged: no charge could be made in the time in which its buyer may expect one. A
// try of which nothing is known may still have taken the money: only the cancellation
// at Stripe tells.
func (s *step) uncharged() {
	s.p.Reason = NotCharged
	s.void()
}

// voided says what is certain only now.
func (s *step) voided() {
	s.release()
	if s.p.Reason == NotCharged {
		s.tell(NotCharged)
	}
}

// hold takes the units, where this is the moment and they are not held already.
func (s *step) hold(at Hold) {
	if s.p.Hold.is(at) {
		s.p.Held = s.p.Quantity
	}
}

// release gives the units back. It is only reached where no payment can be taken
// any more.
func (s *step) release() { s.p.Held = 0 }

// void owes the cancellation at Stripe; only its success gives the units back.
// Where the payment is still being prepared, its answer will find the purchase
// ended and owe the cancellation then.
func (s *step) void() {
	if s.p.Intent != "" {
		s.do(Void, 0)
	}
}

// shopCancels: the buyer did not ask for it, and is told.
func (s *step) shopCancels() {
	s.p.Reason = ShopCancelled
	s.void()
	s.tell(ShopCancelled)
}

func (s *step) shopReleases() {
	s.release()
	s.shopCancels()
}

func (s *step) voidLateIntent() {
	if s.p.Intent == "" {
		s.p.Intent = s.ev.Intent
		s.do(Void, 0)
	}
}
