package world

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
)

// A kind of weather is something that may go wrong, or at least not as in fine weather.
type kind struct {
	name       string
	often      int  // it comes once in so many chances, in a world that has it
	memoryOnly bool // the store has to be one in memory
}

// weather is all of it. A run in which a kind has never come proves nothing of it.
var weather = []kind{
	{name: "grace"}, {name: "two processes"},

	{name: "died before a commit", often: 300}, {name: "died after a commit", often: 300}, {name: "died after a deed", often: 100},
	{name: "died at any time", often: 1}, {name: "stalled beyond its lease", often: 400}, {name: "process frozen", often: 1},
	{name: "listener replaced while it lived"},
	{name: "woken late", often: 12}, {name: "clock jump", often: 1},

	{name: "store error before", often: 60}, {name: "store answer lost", often: 60}, {name: "store away", often: 1},
	{name: "read failed", often: 200}, {name: "fail-over forgot commits", often: 1, memoryOnly: true},

	{name: "post twice", often: 6}, {name: "posts disordered"}, {name: "post missed by the stream", often: 8}, {name: "echo before the reply is known"},
	{name: "reply lost before", often: 15}, {name: "reply answer lost", often: 12}, {name: "reply later", often: 15}, {name: "reply refused", often: 30},
	{name: "wish edited", often: 15}, {name: "wish removed", often: 15},

	{name: "mail lost before", often: 15}, {name: "mail answer lost", often: 15}, {name: "mail slow", often: 10}, {name: "mail refused", often: 40},
	{name: "link scanned", often: 3},

	{name: "stripe lost before", often: 20}, {name: "stripe answer lost", often: 15}, {name: "stripe later", often: 25},
	{name: "declined"}, {name: "bank asks"}, {name: "bank answer late"}, {name: "processing"},
	{name: "webhook twice", often: 5}, {name: "webhook late", often: 6}, {name: "webhook never", often: 6}, {name: "webhooks disordered"},

	{name: "echo by another", often: 5}, {name: "code posted in words", often: 3}, {name: "late echo", often: 10}, {name: "late click", often: 8},
	{name: "click by an old link", often: 10}, {name: "clicked twice", often: 5}, {name: "another card", often: 6},
	{name: "cancelled in public", often: 15}, {name: "cancelled on the page", often: 15}, {name: "stop", often: 12}, {name: "stop and start", often: 3},
	{name: "registered later", often: 4}, {name: "frozen buyer", often: 20}, {name: "wish by a bot", often: 20},

	{name: "waiting list"}, {name: "late hold"}, {name: "window"}, {name: "countries"}, {name: "other currencies"}, {name: "delivery and tax"},
	{name: "other hashtag"}, {name: "alias"},
	{name: "joined a line"}, {name: "unit came back"}, {name: "turn"}, {name: "turn refused"}, {name: "wish behind a line"}, {name: "served for less"},
	{name: "wait over"}, {name: "held at the echo"}, {name: "held at the click"}, {name: "waits after the echo"}, {name: "not open yet"}, {name: "not sold there"},

	{name: "offer edited", often: 1}, {name: "stock cut", often: 1}, {name: "stock raised", often: 2}, {name: "offer closed", often: 1}, {name: "offer reopened", often: 1},
	{name: "closes earlier", often: 3}, {name: "hold changed", often: 3}, {name: "waiting list switched", often: 2},
	{name: "halted", often: 5}, {name: "died during a halt", often: 3}, {name: "charge put off by a halt"}, {name: "note", often: 8},
	{name: "refund of all", often: 8}, {name: "refund of a part", often: 8}, {name: "refund during the charge", often: 12},
	{name: "withdrawal", often: 12}, {name: "purchase shipped", often: 6},
}

// Weather are the names of all its kinds.
func Weather() (names []string) {
	for _, k := range weather {
		names = append(names, k.name)
	}
	return names
}

// A sky says what weather a world has. Each kind has dice of its own, so that a world
// without one kind is else the same.
type sky struct {
	seed  uint64
	pace  *rand.Rand // how long things take
	kinds map[string]*forecast
}

type forecast struct {
	kind
	dice *rand.Rand
	off  bool
}

// look draws which kinds a world has: about half of those that may come.
func (s *sky) look(seed uint64, may []string, inMemory bool) {
	s.seed, s.kinds = seed, make(map[string]*forecast, len(weather))
	s.pace = s.dice("pace")
	for _, k := range weather {
		f := &forecast{kind: k, dice: s.dice(k.name)}
		off := f.dice.IntN(2) == 0
		f.off = off || may != nil && !slices.Contains(may, k.name) || k.memoryOnly && !inMemory
		s.kinds[k.name] = f
	}
}

// dice are those of one matter.
func (s *sky) dice(matter string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(matter))
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

// may says that a world has a kind of weather at all.
func (w *world) may(kind string) bool {
	f, ok := w.kinds[kind]
	if !ok {
		panic("world: no weather is called " + kind)
	}
	return !f.off && !w.healed
}

// drawn says that a kind of weather comes now.
func (w *world) drawn(kind string) bool {
	return w.may(kind) && w.kinds[kind].dice.IntN(w.kinds[kind].often) == 0
}

// chance is drawn, and counts it.
func (w *world) chance(kind, of string) bool {
	if !w.drawn(kind) {
		return false
	}
	w.happens(kind, of)
	return true
}

// fair draws with others' dice once in n times, in worlds that have the kind.
func (w *world) fair(kind string, dice *rand.Rand, n int) bool {
	drawn := dice.IntN(n) == 0
	if !drawn || !w.may(kind) {
		return false
	}
	w.happens(kind, "")
	return true
}
