package model

import (
	"cmp"
	"fmt"
	"strings"
)

// A World is one state of all that is modelled.
type World struct {
	P       Purchase
	Owed    owed
	Workers [2]worker

	// Stripe.
	Payments  [2]payment // that were made for the purchase; there should be one
	Keys      uint8      // a bit for each attempt whose key Stripe knows
	Forgot    bool       // Stripe has forgotten a key, which it does once here
	Charges   uint8      // how often money was taken
	PaidBack  uint8      // halves of the total
	RefundKey uint8      // a bit for each refund that was made

	Barred bool // the buyer has said stop
	Rival  bool // somebody else has the unit

	// What has really happened, whatever was decided of it.
	OwnEcho   bool  // the buyer has posted the code
	Pressed   uint8 // a bit for each attempt that the buyer's press in time has begun
	TakenBack bool  // the buyer was told that the press is taken back
	Twice     bool  // an effect was owed that was owed already
}

// A payment is how one stands at Stripe.
type payment uint8

const (
	none payment = iota
	open
	failed // and open to another try
	atBank
	taken
	voided
)

func (p payment) String() string {
	return [...]string{"none", "open", "failed", "at the bank", "taken", "voided"}[p]
}

// An effect is one that can be owed.
type effect uint8

const (
	reply effect = iota
	mailCode
	prepare
	mailLink
	charge1
	charge2
	look    // the latest
	oldLook // any before
	void
	refund1
	refund2
	heed
	effects
)

var effectNames = [effects]string{"reply", "mail-code", "prepare", "mail-link", "charge/1", "charge/2", "look", "older look", "void", "refund/1", "refund/2", "heed"}

func (e effect) String() string { return effectNames[e] }

// owed has a bit for each effect.
type owed uint16

func (o owed) has(e effect) bool { return o&(1<<e) != 0 }

func (o owed) String() string {
	var names []string
	for e := range effects {
		if o.has(e) {
			names = append(names, e.String())
		}
	}
	return strings.Join(names, ", ")
}

// A worker performs one effect at a time.
type worker struct {
	Phase   phase
	Effect  effect
	Stale   bool  // its try is not the last any more
	Attempt uint8 // as it has read it
	Intent  uint8 // the same
	NoNews  bool  // it has read that a failure would say nothing new
	Out     out   // what came of the deed
}

type phase uint8

const (
	idle  phase = iota
	begin       // to commit that the charge begins
	act         // to do the deed
	done        // to commit what came of it
)

// An out is what came of a deed.
type out uint8

const (
	nothing out = iota
	well        // sent, mailed, made
	badly       // refused for good
	isTaken
	isFailed
	isAtBank
	isAtBankLatest // the same, and it counts as an answer to the latest look
	isVoided
	isBarred
)

// A move leads from a world to another.
type move struct {
	who  who
	what string
	to   World
}

// who makes a move: only those of the outbox, the clock and the stop that is under way
// are sure to come.
type who uint8

const (
	us      who = iota // sure to come
	outside            // may come at any moment, or never
	fault
)

func (w who) String() string { return [...]string{"", "", "FAULT: "}[w] }

// moves calls see with each move from a world. The model has the machine; with a careless
// habit the model does what the real thing must not.
func (w World) moves(m *Model, see func(move)) {
	w.clock(see)
	w.buyer(m, see)
	w.others(m, see)
	for i := range w.Workers {
		w.work(m, i, see)
	}
}

// after is the world once the purchase has had an event. It is the commit: where the
// unit is gone, what was decided is decided anew.
func (w World) after(m *Model, ev Event) (World, Answer) {
	p, a := m.decide(w.P, ev)
	if p.Held && !w.P.Held && w.Rival {
		ev.Bad = true
		p, a = m.decide(w.P, ev)
	}
	before := w.P
	w.P = p
	for _, name := range a.Owes {
		w.owe(name)
	}
	if before.State == Confirmed && (ev.Kind == CancelAsked || ev.Kind == ShopCancels) && p.State == Cancelled {
		w.TakenBack = true
	}
	return w, a
}

// owe owes an effect. A look that is not the latest any more is an older one.
func (w *World) owe(name string) {
	for e := range effects {
		if effectNames[e] != name {
			continue
		}
		if e == look && w.Owed.has(look) {
			w.Owed |= 1 << oldLook
			for i := range w.Workers {
				if k := &w.Workers[i]; k.Phase != idle && k.Effect == look {
					k.Effect = oldLook
				}
			}
		} else if w.Owed.has(e) {
			w.Twice = true
		}
		w.Owed |= 1 << e
	}
}

// clock is time that passes. It is told to the purchase at once: that the clock and not
// the sweeper decides is what the buyer's moves after it show.
func (w World) clock(see func(move)) {
	p := w.P
	pass := func(what string, flag func(*Purchase)) {
		to := w
		flag(&to.P)
		see(move{us, what, to})
	}
	waits := p.State != New && !p.State.ended() && p.State != Mailed && p.State != Declined
	if waits && !p.Late && (p.State != Confirmed || !p.Grace || p.GracePast) {
		pass("the deadline passes", func(p *Purchase) { p.Late = true })
	}
	switch p.State {
	case Mailed, Confirmed, Challenged, Declined:
		if !p.LinkLate {
			pass("the link's deadline passes", func(p *Purchase) { p.LinkLate = true })
		}
	}
	if p.State == Confirmed && p.Grace && !p.GracePast {
		pass("the grace passes", func(p *Purchase) { p.GracePast = true })
	}
	if p.JustLooked {
		pass("two seconds pass", func(p *Purchase) { p.JustLooked = false })
	}
}

// happens has an event come to the purchase.
func (w World) happens(m *Model, by who, what string, ev Event, also func(before World, after *World, a Answer)) move {
	to, a := w.after(m, ev)
	if also != nil {
		also(w, &to, a)
	}
	if a.Refused != "" {
		what += " (refused)"
	}
	return move{by, what, to}
}

// buyer is all that people do: the buyer, and who pretends to be.
func (w World) buyer(m *Model, see func(move)) {
	p := w.P
	if p.State == New {
		if w.Barred {
			return
		}
		see(w.happens(m, outside, "a wish", Event{Kind: WishHeard}, nil))
		see(w.happens(m, outside, "a wish for what cannot be had", Event{Kind: WishHeard, Bad: true}, nil))
		see(w.happens(m, outside, "a wish of somebody without a card", Event{Kind: WishHeard, Stranger: true}, nil))
		see(w.happens(m, outside, "a wish that is answered by mail", Event{Kind: WishHeard, ByMail: true}, nil))
		return
	}
	see(w.happens(m, outside, "the wish again", Event{Kind: WishHeard}, nil))
	if p.State == Invited && !w.Barred {
		see(w.happens(m, outside, "the buyer registers", Event{Kind: Enrolled}, nil))
		see(w.happens(m, outside, "the buyer registers, and the sale is over", Event{Kind: Enrolled, Bad: true}, nil))
	}
	if p.State == Asked || p.State == Coded || p.State == Echoed || p.State == Expired {
		see(w.happens(m, outside, "a stranger posts the code", Event{Kind: CodeEchoed, Stranger: true}, nil))
		see(w.happens(m, outside, "the buyer posts the code", Event{Kind: CodeEchoed}, func(before World, after *World, _ Answer) {
			after.OwnEcho = after.OwnEcho || !before.P.Late && after.P.State == Echoed
		}))
	}
	if !w.Barred && p.Attempt < 2 || p.State.ended() {
		press := func(what string, ev Event, inTime bool) {
			ev.Kind = LinkPressed
			see(w.happens(m, outside, what, ev, func(before World, after *World, _ Answer) {
				if inTime && after.P.Attempt > before.P.Attempt {
					after.Pressed |= 1 << after.P.Attempt
				}
			}))
		}
		press("the button is pressed", Event{}, !p.late())
		press("the button of an old link is pressed", Event{OldLink: true}, false)
		press("the button is pressed for a card that cannot be", Event{Bad: true}, false)
	}
	see(w.happens(m, outside, "a stranger cancels", Event{Kind: CancelAsked, Stranger: true}, nil))
	see(w.happens(m, outside, "the buyer cancels", Event{Kind: CancelAsked}, nil))
	if p.State == Challenged && p.Attempt == 1 && !w.Owed.has(oldLook) {
		see(w.happens(m, outside, "the buyer is back from the bank", Event{Kind: BankLeft}, nil))
	}
	if !p.State.ended() { // the cancellation that follows a stop is one like any other
		to := w
		to.Barred = !w.Barred
		see(move{outside, map[bool]string{true: "the buyer says stop", false: "the buyer says start"}[to.Barred], to})
	}
	if p.State.ended() {
		see(w.happens(m, outside, "a stranger withdraws", Event{Kind: Withdrawn, Stranger: true}, nil))
		see(w.happens(m, outside, "the buyer withdraws", Event{Kind: Withdrawn}, nil))
	}
}

// others are the merchant, the bank, Stripe's webhooks, whoever wants the same, and the
// one look that owes no effect: the sweep of the deadline.
func (w World) others(m *Model, see func(move)) {
	p := w.P
	if p.State != New && !p.State.ended() && p.late() {
		see(w.happens(m, us, "the deadline is seen to", Event{Kind: DeadlinePast}, nil))
	}
	see(w.happens(m, outside, "the shop cancels", Event{Kind: ShopCancels}, nil))
	if p.State.ended() {
		see(w.happens(m, outside, "the merchant refunds half", Event{Kind: RefundAsked, Amount: 1}, nil))
		see(w.happens(m, outside, "the merchant refunds all that is left", Event{Kind: RefundAsked}, nil))
		see(w.happens(m, outside, "the merchant refunds too much", Event{Kind: RefundAsked, Amount: 3}, nil))
		see(w.happens(m, outside, "the merchant ships", Event{Kind: Shipped}, nil))
	}
	if p.Intent > 0 {
		pay := w.Payments[p.Intent-1]
		if !w.Owed.has(heed) && p.State != Paid && p.State != Refunded {
			to := w
			to.Owed |= 1 << heed
			see(move{outside, "a webhook", to})
		}
		if pay == open || pay == failed || pay == atBank {
			to := w
			to.Payments[p.Intent-1] = voided
			see(move{fault, "the payment is cancelled by hand", to})
		}
	}
	for i, pay := range w.Payments {
		if pay == atBank {
			to := w
			to.take(i)
			see(move{outside, "the bank lets it through", to})
			to = w
			to.Payments[i] = failed
			see(move{outside, "the bank refuses", to})
		}
	}
	if w.Rival {
		to := w
		to.Rival = false
		see(move{outside, "somebody else gives the unit back", to})
	} else if !p.Held {
		to := w
		to.Rival = true
		see(move{outside, "somebody else takes the unit", to})
	}
	if !w.Forgot && w.Payments[0] != none && w.Payments[1] == none && w.Owed.has(prepare) {
		to := w
		to.Forgot = true
		see(move{fault, "Stripe forgets the key of the payment", to})
	}
}

// take takes the money of a payment.
func (w *World) take(i int) {
	w.Payments[i] = taken
	w.Charges++
}

func (w World) String() string {
	p := w.P
	s := cmp.Or(p.State.String(), "new")
	for _, flag := range []struct {
		name string
		is   bool
	}{{"held", p.Held}, {"late", p.late()}, {"begun", p.Begun}, {"barred", w.Barred}, {"the unit is somebody else's", w.Rival}} {
		if flag.is {
			s += ", " + flag.name
		}
	}
	return fmt.Sprintf("%s; attempt %d; payment %d is %s; owed: %s", s, p.Attempt, p.Intent, w.Payments[max(p.Intent, 1)-1], w.Owed)
}
