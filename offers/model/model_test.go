package model

import (
	"strings"
	"testing"
)

// The model can see what it is there to see: with each of these habits, or rules, of
// another machine it finds the way to a broken promise.
func TestBroken(t *testing.T) {
	// but is the machine with one rule of another.
	but := func(rule func(p Purchase, e Event, to *Purchase, a *Answer)) Decider {
		return func(p Purchase, e Event) (Purchase, Answer) {
			to, a := Decide(p, e)
			rule(p, e, &to, &a)
			return to, a
		}
	}
	without := func(kind Kind, effect string) Decider {
		return but(func(_ Purchase, e Event, _ *Purchase, a *Answer) {
			if e.Kind != kind {
				return
			}
			var owes []string
			for _, name := range a.Owes {
				if name != effect {
					owes = append(owes, name)
				}
			}
			a.Owes = owes
		})
	}
	for name, c := range map[string]struct {
		m    Model
		want string
	}{
		"an old lease commits":     {Model{Decide: Decide, Careless: Careless{NoTry: true}}, ""},
		"keys are random":          {Model{Decide: Decide, Careless: Careless{RandomKey: true}}, "a purchase is charged once"},
		"no charge is owed":        {Model{Decide: without(LinkPressed, "charge/1")}, "what is confirmed is owed its charge"},
		"nobody looks at the bank": {Model{Decide: without(BankAsks, "look")}, "while the bank asks, Stripe is looked at"},
		"the void is forgotten":    {Model{Decide: without(DeadlinePast, "void")}, "what ended with a payment is owed its cancellation"},
		"late money is kept":       {Model{Decide: without(Charged, "refund/1")}, "a refund that was decided is owed until it is made"},
		"a link to no payment": {Model{Decide: but(func(p Purchase, e Event, to *Purchase, a *Answer) {
			if e.Kind == IntentMade && p.State.over() {
				*to, *a = p, Answer{}
			}
		})}, "what ended while its payment was being prepared waits for it"},
		"the unit is freed before the void": {Model{Decide: but(func(_ Purchase, e Event, to *Purchase, _ *Answer) {
			if e.Kind == DeadlinePast && to.State == Expired {
				to.Held = false
			}
		})}, "a unit is held until no payment can be taken for it"},
		"an echo by anybody": {Model{Decide: func(p Purchase, e Event) (Purchase, Answer) {
			e.Stranger = e.Stranger && e.Kind != CodeEchoed
			return Decide(p, e)
		}}, "nothing is charged without an echo by the buyer"},
		"a press at any time": {Model{Decide: func(p Purchase, e Event) (Purchase, Answer) {
			if e.Kind == LinkPressed {
				p.LinkLate, p.Late = false, false
			}
			return Decide(p, e)
		}}, "what is confirmed was pressed in time"},
		"taken back, and charged": {Model{Decide: but(func(p Purchase, e Event, to *Purchase, a *Answer) {
			if e.Kind == CancelAsked && p.State == Confirmed && !e.Stranger && p.Grace && p.Begun {
				to.State, a.Refused, a.Owes = Cancelled, "", []string{"void"}
			}
		})}, "nothing is charged after it was taken back"},
		"a deadline that nobody sees to": {Model{Decide: but(func(p Purchase, e Event, to *Purchase, a *Answer) {
			if e.Kind == DeadlinePast && p.State == Mailed {
				*to, *a = p, Answer{}
			}
		})}, "a purchase ends, and nothing stays owed"},
		"a bank that never answers": {Model{Calm: true, Decide: but(func(p Purchase, e Event, to *Purchase, a *Answer) {
			if e.Kind == DeadlinePast && p.State == Challenged {
				*to, *a = p, Answer{}
			}
		})}, "no circle is stayed on for ever"},
		"too much to explore": {Model{Most: 10, Decide: Decide}, "there are no more than 10 worlds"},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.m.Explore()
			if r.Broken == nil || !strings.Contains(r.Broken.Promise, c.want) {
				t.Errorf("want %q; got %s", c.want, r)
			}
		})
	}
}
