package offers

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"hashtill/offers/model"
)

var showModel = flag.Bool("model", false, "print what the model has explored")

// notModelled are the rows that no run of the model comes to, and why.
var notModelled = map[string]string{
	"IntentMade when beside its payment":       "only after a store fell back is there another payment (Shop.Adopt)",
	"IntentFailed when beside its payment":     "the same",
	"RefundAsked when that was decided before": "only a form that is sent twice says which refund it asks for",
	"RefundAsked when in too many parts":       "a count, and two parts are enough for every interleaving",
	"Shipped when nothing is shipped of it":    "a promise of the offer; no move changes it",
	"Withdrawn when it was excluded":           "the same",
	"Withdrawn when after the last day":        "a date weeks later, which nothing else depends on",

	// Lines and late holds are played by the worlds of cmd/dev/world, and by TestLine.
	"WishHeard when it is sold out, and there is a line":  "of lines and late holds",
	"CodeEchoed when it is sold out, and there is a line": "of lines and late holds",
	"WishHeard when on a page, signed in":                 "it is a wish and an echo in one",

	"CodeEchoed when it cannot be had": "of lines and late holds",
	"CancelAsked when it has moved on": "of lines: who waits owes nothing",
	"Noted":                            "a text, which decides nothing",
}

// The machine of the model is this one: over every world that the model can come to it
// keeps every promise, it answers every event there as the model says, and no row of it
// was left out.
func TestModel(t *testing.T) {
	var seen []model.Purchase
	known := map[model.Purchase]bool{}
	used := make([]bool, len(table))
	m := model.Model{Most: 1_000_000, Decide: stepped, Seen: func(p model.Purchase, e model.Event) {
		if !known[p] {
			known[p] = true
			seen = append(seen, p)
		}
		now := t0
		before := concrete(p, now)
		if i := slices.IndexFunc(table, func(r row) bool {
			return slices.Contains(r.from, before.State) && r.on == EventKind(e.Kind) &&
				(r.when == nil || r.when.ok(&step{p: before, ev: event(p, e), now: now}))
		}); i >= 0 {
			used[i] = true
		}
	}}
	report := m.Explore()
	if *showModel {
		fmt.Println(report)
	}
	if report.Broken != nil {
		t.Error(report)
	}
	pairs := 0
	for _, p := range seen {
		for _, e := range modelEvents() {
			pairs++
			want, wanted := model.Decide(p, e)
			got, answered := stepped(p, e)
			if got != want || answered.Refused != wanted.Refused || !slices.Equal(answered.Owes, wanted.Owes) {
				t.Fatalf("%+v of %+v:\nStep:  %+v %+v\nmodel: %+v %+v", e, p, got, answered, want, wanted)
			}
		}
	}
	if *showModel {
		fmt.Printf("%d purchases, %d answers of Step compared\n", len(seen), pairs)
	}
	if report.Broken != nil {
		return // it was not explored to the end
	}
	for i, r := range table {
		if r.to == New && r.do == nil && r.refuse == "" && r.when == nil {
			continue // it only notes; that it does is compared above
		}
		if slices.Equal(r.from, in(Waiting)) {
			continue // who waits holds nothing and is owed no deed; a turn begins as a wish does
		}
		name := string(r.on)
		if r.when != nil {
			name += " when " + r.when.name
		}
		why, left := notModelled[name]
		if used[i] == left {
			t.Errorf("row %s, from %q to %q: the model comes to it: %t; why it does not: %q", name, r.from, r.to, used[i], why)
		}
	}
}

// stepped is Step as the machine of the model.
func stepped(p model.Purchase, e model.Event) (model.Purchase, model.Answer) {
	before, ev := concrete(p, t0), event(p, e)
	after, owe, err := Step(before, ev, t0)
	var no *Refusal
	if errors.As(err, &no) {
		return p, model.Answer{Refused: inModel(no.Reason, before, ev)}
	}
	var a model.Answer
	for _, eff := range owe {
		a.Owes = append(a.Owes, owedInModel(eff, before, after, ev))
	}
	slices.Sort(a.Owes)
	return abstract(after, t0), a
}

// Reasons that stand for any.
const someReason, itsOwn = CardExpired, Unreachable

func inModel(r Reason, p Purchase, ev Event) string {
	switch {
	case r == someReason && ev.Reason == r:
		return model.TheReason
	case r == itsOwn && p.Reason == r:
		return model.ItsReason
	}
	return string(r)
}

// owedInModel is an effect in the words of the model. What it does not say is checked
// here: the number, and when it is due.
func owedInModel(e Effect, before, after Purchase, ev Event) string {
	name, n, due := string(e.Kind), 0, time.Time{}
	switch e.Kind {
	case Charge:
		name, n = fmt.Sprintf("%s/%d", e.Kind, e.N), after.Attempt
		if after.Times.Grace > 0 {
			due = after.GraceEnds()
		}
	case Refunding, MailRefund:
		name, n = fmt.Sprintf("%s/%d", e.Kind, e.N), e.N
	case MailReason:
		name += "/" + inModel(e.Reason, before, ev)
	case MailLink:
		n = after.Round
	case Look:
		n, due = after.Looks, e.Due
	case Deadline:
		n, due = after.Moves, after.Deadline()
	}
	if e.N != n || !e.Due.Equal(due) {
		return fmt.Sprintf("%s as number %d, due %s", e.ID(), n, e.Due)
	}
	return name
}

// theLook is the latest of a purchase of the model.
const theLook = 7

// concrete is a purchase of the model as one here, at now.
func concrete(m model.Purchase, now time.Time) Purchase {
	p := someWish()
	p.Times.Keep = 0
	if m.Grace {
		p.Times.Grace = 5 * time.Minute
	}
	p.WithdrawalDays = 14
	if m.State == model.New {
		return Purchase{Buyer: p.Buyer, Times: p.Times}
	}
	since := func(late bool, long time.Duration) time.Time {
		if late {
			return now.Add(-long) // the very moment of a deadline is late
		}
		return now.Add(-time.Second)
	}
	p.State, p.Registered, p.CodeByMail = State(m.State.String()), m.Registered, m.ByMail
	if m.Held {
		p.Held = p.Quantity
	}
	if m.Intent > 0 {
		p.Intent = fmt.Sprintf("pi_%d", m.Intent)
	}
	p.Moves, p.Round, p.Attempt, p.Looks = 20, int(m.Round), int(m.Attempt), theLook
	p.AskedAt = since(m.Late, p.Times.Answer)
	if p.State == Invited {
		p.AskedAt = since(m.Late, p.Times.Invite)
	}
	p.CodedAt = since(m.Late, p.Times.Echo)
	p.EchoedAt = since(m.Late, p.Times.Answer)
	p.MailedAt = since(m.LinkLate, p.Times.Link)
	p.ConfirmedAt = since(m.GracePast, p.Times.Grace)
	if m.Late {
		p.ConfirmedAt = now.Add(-p.Times.Grace - p.Times.Answer)
	}
	if m.Begun {
		p.ChargingAt = now.Add(-time.Second)
	}
	p.ChallengedAt = since(m.Late, p.Times.Link)
	if p.LookedAt = since(true, lookPause); m.JustLooked {
		p.LookedAt = now.Add(-lookPause + 1)
	}
	switch {
	case m.Uncharged:
		p.Reason = NotCharged
	case p.State == Refused:
		p.Reason = itsOwn
	}
	if p.State == Paid || p.State == Refunded {
		p.PaidAt = now.Add(-time.Minute)
	}
	if m.Shipped {
		p.ShippedAt = now.Add(-time.Second)
	}
	if m.Withdrawn {
		p.WithdrawnAt = now.Add(-time.Second)
	}
	for i, halves := range m.Refunds {
		if halves == 0 {
			break
		}
		r := Refund{N: i + 1, Amount: halvesOf(p, halves), AskedAt: now}
		if m.RefundsMade[i] {
			r.MadeAt = now
		}
		p.Refunds = append(p.Refunds, r)
	}
	return p
}

func halvesOf(p Purchase, n uint8) Money {
	return Money{Minor: p.Total.Minor / 2 * int64(n), Currency: p.Total.Currency}
}

// modelled are the states of the model, in its order.
var modelled = slices.DeleteFunc(slices.Clone(States), func(s State) bool { return s == Waiting })

// abstract is what of a purchase is in the model, at now.
func abstract(p Purchase, now time.Time) model.Purchase {
	m := model.Purchase{State: model.State(slices.Index(modelled, p.State)), Registered: p.Registered, Grace: p.Times.Grace > 0,
		Held: p.Held > 0, Round: uint8(p.Round), Attempt: uint8(p.Attempt), Uncharged: p.Reason == NotCharged,
		Shipped: !p.ShippedAt.IsZero(), Withdrawn: !p.WithdrawnAt.IsZero()}
	if p.Intent != "" {
		m.Intent = p.Intent[len("pi_")] - '0'
	}
	if !p.State.Ended() && p.State != New {
		m.Late = !now.Before(p.Deadline())
	}
	switch p.State {
	case Asked:
		m.ByMail = p.CodeByMail
	case Mailed, Confirmed, Challenged, Declined:
		m.LinkLate = !now.Before(p.LinkEnds())
	}
	switch p.State {
	case Mailed, Declined:
		m.Late = false // it is the link's
	case Confirmed:
		m.Begun, m.GracePast = !p.ChargingAt.IsZero(), m.Grace && !now.Before(p.GraceEnds())
	case Challenged:
		m.JustLooked = now.Sub(p.LookedAt) < lookPause
	}
	for _, r := range p.Refunds[:min(len(p.Refunds), len(m.Refunds))] {
		m.Refunds[r.N-1] = uint8(r.Amount.Minor / (p.Total.Minor / 2))
		m.RefundsMade[r.N-1] = !r.MadeAt.IsZero()
	}
	return m
}

// event is one of the model as one here.
func event(p model.Purchase, e model.Event) Event {
	before := concrete(p, t0)
	ev := Event{Kind: EventKind(e.Kind), By: someWish().Buyer, Attempt: int(e.Attempt), N: int(e.N), Round: before.Round, Look: theLook}
	if e.Kind == model.WishHeard {
		ev.Wish = someWish()
		ev.Wish.Times, ev.Wish.Registered, ev.Wish.CodeByMail = before.Times, !e.Stranger, e.ByMail
	}
	if e.Stranger {
		ev.By.ID = "666"
	}
	if e.Bad || e.Kind == model.ChargeFailed || e.Kind == model.IntentFailed {
		ev.Reason = someReason
	}
	if e.OldLink {
		ev.Round--
	}
	if !e.Latest {
		ev.Look--
	}
	if e.Intent > 0 {
		ev.Intent = fmt.Sprintf("pi_%d", e.Intent)
	}
	if e.Amount > 0 {
		ev.Amount = halvesOf(someWish(), e.Amount)
	}
	return ev
}

// modelEvents are all that can happen to a purchase of the model.
func modelEvents() []model.Event {
	more := map[model.Kind][]model.Event{
		model.WishHeard:    {{Bad: true}, {Stranger: true}, {ByMail: true}, {Bad: true, ByMail: true}, {Bad: true, Stranger: true}},
		model.Enrolled:     {{Bad: true}},
		model.CodeEchoed:   {{Stranger: true}},
		model.IntentMade:   {{Intent: 1}, {Intent: 2}},
		model.LinkPressed:  {{OldLink: true}, {Bad: true}, {OldLink: true, Bad: true}},
		model.BankAsks:     {{Attempt: 1}, {Attempt: 2}, {Attempt: 1, Latest: true}, {Attempt: 2, Latest: true}},
		model.ChargeFailed: {{Attempt: 1}, {Attempt: 2}},
		model.ChargeBegins: {{Attempt: 1}, {Attempt: 2}},
		model.BuyerBarred:  {{Attempt: 1}, {Attempt: 2}},
		model.CancelAsked:  {{Stranger: true}},
		model.Withdrawn:    {{Stranger: true}},
		model.RefundAsked:  {{Amount: 1}, {Amount: 2}, {Amount: 3}},
		model.RefundMade:   {{N: 1}, {N: 2}},
	}
	var all []model.Event
	for _, k := range EventKinds {
		kind := model.Kind(k)
		if kind != model.IntentMade {
			all = append(all, model.Event{Kind: kind})
		}
		for _, e := range more[kind] {
			e.Kind = kind
			all = append(all, e)
		}
	}
	return all
}
