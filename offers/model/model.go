package model

import (
	"fmt"
	"slices"
	"strings"
)

// A Model is what is explored.
type Model struct {
	Decide   Decider  // [Decide], or another that is to be tried
	Calm     bool     // without faults
	Careless Careless // habits that the real thing must not have
	Most     int      // worlds visited at most; 0: all there are

	// Seen, if not nil, is told of every decision that is asked for, once.
	Seen func(Purchase, Event)

	memory map[question]decided
}

// Careless are habits that break a promise: with each of them Explore finds how.
type Careless struct {
	NoTry     bool // whoever holds an old lease commits all the same
	RandomKey bool // Stripe is asked under another key each time
}

type question struct {
	p Purchase
	e Event
}

type decided struct {
	p Purchase
	a Answer
}

// decide asks the machine, once for each question.
func (m *Model) decide(p Purchase, e Event) (Purchase, Answer) {
	q := question{p, e}
	known, ok := m.memory[q]
	if !ok {
		known.p, known.a = m.Decide(p, e)
		m.memory[q] = known
		if m.Seen != nil {
			m.Seen(p, e)
		}
	}
	return known.p, known.a
}

// A Report is what an exploration has found.
type Report struct {
	Worlds    int    // that can be reached
	Moves     int    // between them
	Depth     int    // steps to the farthest
	Decisions int    // different ones that the machine was asked for
	Broken    *Trace // nil: every promise holds
}

// String is a line of numbers, and the trace below it.
func (r Report) String() string {
	s := fmt.Sprintf("%d worlds, %d moves, depth %d, %d decisions", r.Worlds, r.Moves, r.Depth, r.Decisions)
	if r.Broken == nil {
		return s + ": every promise holds"
	}
	return s + "\n" + r.Broken.String()
}

// A Trace is a shortest way to a broken promise.
type Trace struct {
	Promise string
	Steps   []string
}

// String is the promise, and a line for each step.
func (t Trace) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "BROKEN: %s\n", t.Promise)
	for i, s := range t.Steps {
		fmt.Fprintf(&b, "%4d  %s\n", i+1, s)
	}
	return b.String()
}

// Explore visits every world that can be reached, until a promise is broken.
func (m *Model) Explore() Report {
	m.memory = map[question]decided{}
	x := &explorer{m: m, number: map[World]int32{}}
	for _, grace := range []bool{false, true} {
		x.reach(World{P: Purchase{Grace: grace}}, -1, "")
	}
	for at := 0; at < len(x.worlds) && x.report.Broken == nil; at++ {
		if m.Most > 0 && at >= m.Most {
			x.broken(int32(at), fmt.Sprintf("there are no more than %d worlds", m.Most))
		}
		x.sure = append(x.sure, int32(len(x.steps)))
		w := x.worlds[at]
		w.moves(m, func(mv move) {
			if mv.who != fault || !m.Calm {
				x.move(int32(at), mv)
			}
		})
		if len(x.steps) == int(x.sure[at]) && !w.settled() {
			x.broken(int32(at), "a purchase ends, and nothing stays owed")
		}
	}
	x.sure = append(x.sure, int32(len(x.steps)))
	if x.report.Broken == nil {
		x.seeCircles()
	}
	x.report.Worlds, x.report.Decisions = len(x.worlds), len(m.memory)
	return x.report
}

// An explorer is one exploration on its way.
type explorer struct {
	m      *Model
	report Report
	worlds []World // in the order in which they were reached
	number map[World]int32
	from   []int32  // the world that each was first reached from; -1: none
	by     []string // by which move
	depth  []int32

	// The moves that are sure to come, without those that change nothing: those of world
	// n are steps[sure[n]:sure[n+1]].
	sure  []int32
	steps []step
}

type step struct {
	to   int32
	what string
}

func (x *explorer) reach(w World, from int32, by string) int32 {
	w.tidy(x.m)
	n, known := x.number[w]
	if known {
		return n
	}
	n = int32(len(x.worlds))
	x.number[w] = n
	x.worlds, x.from, x.by = append(x.worlds, w), append(x.from, from), append(x.by, by)
	depth := int32(0)
	if from >= 0 {
		depth = x.depth[from] + 1
	}
	x.depth = append(x.depth, depth)
	x.report.Depth = max(x.report.Depth, int(depth))
	if promise := w.broken(); promise != "" {
		x.broken(n, promise)
	}
	return n
}

func (x *explorer) move(at int32, mv move) {
	to := x.reach(mv.to, at, mv.who.String()+mv.what)
	if to == at {
		return
	}
	x.report.Moves++
	if mv.who == us {
		x.steps = append(x.steps, step{to, mv.what})
	}
}

// broken notes a promise that does not hold in a world, with the way to it.
func (x *explorer) broken(n int32, promise string) {
	if x.report.Broken != nil {
		return
	}
	steps := []string{"= " + x.worlds[n].String()}
	for ; x.from[n] >= 0; n = x.from[n] {
		steps = append(steps, x.by[n])
	}
	slices.Reverse(steps)
	x.report.Broken = &Trace{promise, steps}
}
