package x

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hashtill/bot"
)

// ration is a budget on a clock that the test moves.
type ration struct {
	*budget
	t     *testing.T
	clock time.Time
	lines bytes.Buffer // of the log
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func newRation(t *testing.T, limit, perDay int) *ration {
	r := &ration{t: t, clock: noon}
	log := slog.New(slog.NewTextHandler(&r.lines, nil))
	r.budget = newBudget(Config{Now: func() time.Time { return r.clock }, RepliesPerDay: perDay}, log, limit, quarter)
	return r
}

// headers are what X tells of the window that ends at reset.
func headers(limit, left int, reset time.Time) http.Header {
	h := http.Header{}
	h.Set("x-rate-limit-limit", strconv.Itoa(limit))
	h.Set("x-rate-limit-remaining", strconv.Itoa(left))
	h.Set("x-rate-limit-reset", strconv.FormatInt(reset.Unix(), 10))
	return h
}

// take does not wait for what is on its way.
func (r *ration) take(reply bot.Reply) error {
	_, err := r.try(reply, true)
	return err
}

func (r *ration) may(reply bot.Reply) {
	r.t.Helper()
	if err := r.take(reply); err != nil {
		r.t.Errorf("%s at %s: %v", reply.To, r.clock, err)
	}
}

func (r *ration) mayNot(reply bot.Reply, until time.Time) {
	r.t.Helper()
	err, later := r.take(reply), new(bot.LaterError)
	if !errors.As(err, &later) {
		r.t.Errorf("%s at %s: %v", reply.To, r.clock, err)
	} else if off := later.At.Sub(until); off.Abs() > 2*time.Second {
		r.t.Errorf("%s must wait until %s, want %s", reply.To, later.At, until)
	}
}

func to(post int) bot.Reply { return bot.Reply{To: strconv.Itoa(1000 + post)} }

// says takes and has X answer.
func (r *ration) says(reply bot.Reply, h http.Header) {
	r.t.Helper()
	r.may(reply)
	r.answered(h, 0, time.Time{})
}

func TestBudgetIsNotExceeded(t *testing.T) {
	r := newRation(t, 10, 0)
	for i := range 10 {
		r.may(to(i)) // in flight
	}
	r.mayNot(to(10), noon.Add(quarter))
	for range 10 {
		r.answered(nil, 0, time.Time{}) // all answers are lost: they count
	}
	r.mayNot(to(10), noon.Add(quarter))
	r.clock = noon.Add(quarter + 2*time.Second)
	// What X tells wins over what was assumed.
	r.says(to(10), headers(50, 49, r.clock.Add(quarter)))
	r.says(to(11), headers(50, 48, r.clock.Add(quarter)))
	for i := range 48 {
		r.says(to(20+i), headers(50, 47-i, r.clock.Add(quarter)))
	}
	r.mayNot(to(99), r.clock.Add(quarter))
}

func TestBudgetLearnsOfOthers(t *testing.T) {
	r := newRation(t, 100, 0)
	reset := noon.Add(9 * time.Minute)
	r.says(to(1), headers(100, 3, reset)) // another process has said 96
	r.may(to(2))
	r.may(to(3))
	r.answered(headers(100, 1, reset), 0, time.Time{})
	r.answered(headers(100, 2, reset), 0, time.Time{}) // was overtaken
	r.may(to(4))
	r.mayNot(to(5), reset)
	r.forget(to(5).To)
	r.answered(headers(100, 0, reset), 0, time.Time{})

	// A request on its way over the reset may count on either side.
	r.clock = reset.Add(2 * time.Second)
	next := r.clock.Add(quarter)
	r.says(to(6), headers(100, 99, next))
	for i := range 98 {
		r.says(to(10+i), headers(100, 98-i, next))
	}
	r.may(to(200))
	r.clock = next.Add(2 * time.Second)
	for i := range 99 {
		r.may(to(300 + i))
	}
	r.mayNot(to(400), r.clock.Add(quarter))
}

func TestBudgetAfterARefusal(t *testing.T) {
	r := newRation(t, 100, 0)
	until := noon.Add(5 * time.Minute)
	r.may(to(1))
	r.answered(http.Header{}, 0, until)
	r.mayNot(to(2), until)
	r.clock = until
	r.may(to(2))

	// X never heard of what could not be sent.
	r = newRation(t, 1, 1)
	r.may(to(1))
	r.giveBack(to(1))
	r.may(to(1))

	// A clock of ours that is ahead does not begin the window early.
	r = newRation(t, 1, 0)
	r.may(to(1))
	r.answered(headers(1, 0, noon.Add(quarter-time.Hour)), time.Hour, time.Time{})
	r.mayNot(to(2), noon.Add(quarter))
}

// Headers that tell what cannot be let nobody say more than the limit.
func TestBudgetDoubtsHeaders(t *testing.T) {
	end := noon.Add(quarter)
	with := func(name, value string) func(said int) http.Header {
		return func(said int) http.Header {
			h := headers(10, max(10-said, 0), end)
			h.Set("x-rate-limit-"+name, value)
			if value == "" {
				h.Del("x-rate-limit-" + name)
			}
			return h
		}
	}
	for name, h := range map[string]func(said int) http.Header{
		"none":                   func(int) http.Header { return http.Header{} },
		"reset in milliseconds":  with("reset", strconv.FormatInt(end.UnixMilli(), 10)),
		"reset beyond time":      with("reset", strconv.FormatInt(math.MaxInt64, 10)),
		"reset too large":        with("reset", "99999999999999999999"),
		"reset in the past":      with("reset", strconv.FormatInt(noon.Add(-time.Hour).Unix(), 10)),
		"no reset":               with("reset", ""),
		"reset negative":         with("reset", "-5"),
		"a longer window":        with("reset", strconv.FormatInt(noon.Add(3*time.Hour).Unix(), 10)),
		"remaining not a number": with("remaining", "NaN"),
		"remaining negative":     with("remaining", "-1"),
		"remaining huge":         with("remaining", "999999999"),
		"remaining beyond int":   with("remaining", "9223372036854775807"),
		"limit negative":         with("limit", "-10"),
		"no limit":               with("limit", ""),
	} {
		t.Run(name, func(t *testing.T) {
			r, said := newRation(t, 10, 0), 0
			for i := range 40 {
				if r.take(to(i)) == nil {
					said++
					r.answered(h(said), 0, time.Time{})
				}
			}
			if said != 10 {
				t.Errorf("said %d, want 10", said)
			}
		})
	}

	// A window that X says is longer is as long, and begins anew only then.
	r := newRation(t, 10, 0)
	later := noon.Add(3 * time.Hour)
	r.says(to(1), headers(10, 0, later))
	r.clock = noon.Add(time.Hour)
	r.mayNot(to(2), later)
	r.clock = later.Add(2 * time.Second)
	r.may(to(2))
}

// Where nobody has told for a while what is left, requests go out one by one.
func TestBudgetAsksFirst(t *testing.T) {
	r := newRation(t, 100, 0)
	left := 100
	goes := func(want bool) {
		t.Helper()
		news, err := r.try(to(left), false)
		if err != nil || (news == nil) != want {
			t.Errorf("at %s, %d on their way: goes %v, %v; want %v", r.clock, r.inFlight, news == nil, err, want)
		}
	}
	answer := func() {
		left--
		r.answered(headers(100, left, noon.Add(quarter)), 0, time.Time{})
	}
	goes(true)
	goes(false)
	r.answered(nil, 0, time.Time{}) // it was lost
	goes(true)
	goes(false)
	answer()
	goes(true)
	goes(true)
	goes(false)
	answer()
	answer()
	for range 4 {
		goes(true)
	}
	goes(false)
	for range 4 {
		answer()
	}
	r.clock = r.clock.Add(current)
	goes(true)
	goes(false)
	answer()
	goes(true)
	answer()
	r.clock = noon.Add(-time.Hour) // put back
	goes(true)
	goes(false)

	// Nobody waits for ever, nor beyond the end.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.budget.take(ctx, to(1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What others with the account may be saying at this moment is left to them.
func TestBudgetLeavesRoomForOthers(t *testing.T) {
	r := newRation(t, 100, 0)
	end := noon.Add(quarter)
	r.says(to(1), headers(100, 99, end))
	r.says(to(2), headers(100, 12, end)) // others have said a lot
	r.ramp = 100
	onTheirWay := 0
	for news, err := r.try(to(3), false); news == nil && err == nil; news, err = r.try(to(3), false) {
		onTheirWay++
	}
	if onTheirWay != 12/ownShare {
		t.Errorf("%d on their way", onTheirWay)
	}
	for i := range onTheirWay {
		r.answered(headers(100, 4-i, end), 0, time.Time{})
	}
	for range 2 { // one by one to the end
		if news, err := r.try(to(4), false); news != nil || err != nil {
			t.Error(news, err)
		}
		if news, _ := r.try(to(5), false); news == nil && r.windows[0].left > 0 {
			t.Error("two on their way")
		}
		r.answered(headers(100, r.windows[0].left, end), 0, time.Time{})
	}
	r.mayNot(to(6), end)
}

// What was not said is not counted as said.
func TestBudgetCountsWhatWasSaid(t *testing.T) {
	r := newRation(t, 10, 3)
	word, news := to(2), bot.Reply{For: bot.ForThanks, Text: "on sale"}
	word.For = bot.ForCommand
	r.says(to(1), nil)
	r.may(news)
	r.giveBack(news) // counts for no day
	r.may(word)
	r.giveBack(word)
	if left := r.windows[0].left; left != 9 || len(r.said) != 1 || r.words != 0 || r.inFlight != 0 {
		t.Errorf("%d left, %d said, %d words, %d on their way", left, len(r.said), r.words, r.inFlight)
	}
	for i := range 5 { // X has refused them
		r.says(to(10+i), nil)
		r.notSaid(to(10 + i))
	}
	r.says(to(3), nil)
	r.says(to(4), nil)
	r.mayNot(to(5), noon.Add(day))
}

// A hundred thousand may wait, and nobody's question takes long.
func BenchmarkBudget(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			g := newBudget(Config{Now: func() time.Time { return noon }}, slog.New(slog.DiscardHandler), postsPerQuarter, quarter)
			for i := range n {
				g.expect(to(i).To)
			}
			for i := 0; b.Loop(); i++ {
				if _, err := g.try(to(i%n), true); err == nil {
					g.answered(nil, 0, time.Time{})
				}
			}
		})
	}
}

// The queue is in order whatever happens to it.
func TestQueue(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var q queue
	var want []place // in order
	find := func(post string) int { return slices.IndexFunc(want, func(p place) bool { return p.post == post }) }
	for step := range 20_000 {
		post := to(random.IntN(300)).To
		if step == 10_000 { // from here on they come in the order of their numbers, or to their places
			q, want = queue{}, nil
		}
		last := ""
		if len(q.places) > 0 {
			last = q.places[len(q.places)-1].post
		}
		i := find(post)
		switch random.IntN(5) {
		case 0, 1:
			if i < 0 && step >= 10_000 && compareIDs(post, last) < 0 {
				p := place{post: post, until: noon.Add(time.Hour * 24), waits: true}
				q.insert(p)
				at, _ := slices.BinarySearchFunc(want, post, func(p place, post string) int { return compareIDs(p.post, post) })
				want = slices.Insert(want, at, p)
			} else if i < 0 {
				p := place{post: post, until: noon.Add(time.Duration(random.IntN(step+100)) * time.Second)}
				q.append(p)
				want = append(want, p)
			}
		case 2:
			q.remove(post)
			if i >= 0 {
				want = slices.Delete(want, i, i+1)
			}
		case 3:
			if i >= 0 {
				q.comesAgain(post, want[i].until)
				want[i].waits = true
			}
		case 4:
			if random.IntN(50) == 0 {
				now := noon.Add(time.Duration(step) * time.Second)
				q.sweep(now)
				want = slices.DeleteFunc(want, func(p place) bool { return now.After(p.until) })
			}
		}
		if i = find(post); i < 0 != !q.has(post) || q.taken != len(want) {
			t.Fatalf("step %d: %s is at %d; %d in the queue, want %d", step, post, i, q.taken, len(want))
		} else if i >= 0 {
			waits := 0
			for _, p := range want[:i] {
				if p.waits {
					waits++
				}
			}
			if all, w := q.ahead(post); all != i || w != waits {
				t.Fatalf("step %d: %d, %d are before %s, want %d, %d", step, all, w, post, i, waits)
			}
		}
	}
}

// Whoever comes first is served first, in whatever order they ask.
func TestBudgetServesInOrder(t *testing.T) {
	r := newRation(t, 10, 0)
	for i := range 35 {
		r.expect(to(i).To)
	}
	mailed := func(i int) bot.Reply { w := to(i); w.By = noon.Add(30 * time.Second); return w }
	r.mayNot(mailed(12), noon.Add(quarter)) // and goes by mail
	r.mayNot(to(34), noon.Add(quarter))     // who is before it may yet go by mail
	r.mayNot(to(20), noon.Add(quarter))
	for _, i := range []int{9, 3, 0, 7, 8, 1, 2, 6, 5, 4} {
		r.says(to(i), nil)
	}
	r.mayNot(to(10), noon.Add(quarter))
	r.mayNot(mailed(11), noon.Add(quarter))

	r.clock = noon.Add(quarter + 2*time.Second)
	for i := 40; i < 48; i++ {
		r.expect(to(i).To)
	}
	// 10, 20 and 34 have waited, and their places are before the new ones. Nobody has
	// asked for the others in all this time: they have lost theirs.
	r.mayNot(to(47), r.clock.Add(quarter))
	r.may(to(46))
	r.may(to(34))
	r.may(to(10))
	r.may(to(20))

	// One that another process heard has the place of its number.
	r = newRation(t, 1, 0)
	r.expect(to(5).To)
	r.mayNot(to(6), noon.Add(quarter))
	r.may(to(4))
}

func TestBudgetKeepsAShareForWishes(t *testing.T) {
	r := newRation(t, 100, 0)
	word := func(i int) bot.Reply { w := to(i); w.For = bot.ForCommand; return w }
	thanks := func(i int) bot.Reply { w := to(i); w.For = bot.ForThanks; return w }
	for i := range 20 {
		r.says(word(i), nil)
	}
	r.mayNot(word(20), noon.Add(quarter))
	for i := range 20 {
		r.expect(to(500 + i).To)
	}
	for i := range 10 {
		r.says(thanks(30+i), nil)
	}
	r.mayNot(thanks(40), noon.Add(quarter)) // 70 are left, 20 of them are waited for
	for i := range 70 {
		r.says(to(500+i), nil)
	}
	r.mayNot(to(600), noon.Add(quarter))
	r.clock = noon.Add(quarter + 2*time.Second)
	r.says(word(20), nil)
	r.says(thanks(41), nil)
}

func TestBudgetOfADay(t *testing.T) {
	r := newRation(t, 100, 10)
	word := to(900)
	word.For = bot.ForCommand
	r.says(word, nil)
	r.says(word, nil)
	r.mayNot(word, noon.Add(day))
	for i := range 8 {
		r.clock = r.clock.Add(time.Hour)
		r.says(to(i), nil)
	}
	r.mayNot(to(8), noon.Add(day))
	r.clock = noon.Add(day)
	r.may(to(8))
	r.may(to(9))
	r.mayNot(to(10), noon.Add(day+time.Hour))

	// What others say shows in the windows.
	r = newRation(t, 100, 10)
	reset := noon.Add(quarter)
	r.says(to(1), headers(100, 50, reset)) // the timeline has told of those
	r.says(to(2), headers(100, 42, reset))
	r.may(to(3))
	r.mayNot(to(4), noon.Add(day))
}

func TestBudgetTellsTheLog(t *testing.T) {
	r := newRation(t, 10, 0)
	want := func(levels ...string) {
		t.Helper()
		var got []string
		for line := range strings.Lines(r.lines.String()) {
			got = append(got, strings.TrimPrefix(strings.Fields(line)[1], "level="))
		}
		if !slices.Equal(got, levels) {
			t.Errorf("the log has %q\n%s", got, r.lines.String())
		}
	}
	for i := range 7 {
		r.says(to(i), nil)
	}
	want()
	r.says(to(7), nil)
	want("WARN")
	r.says(to(8), nil)
	r.says(to(9), nil)
	r.mayNot(to(10), noon.Add(quarter))
	want("WARN", "WARN")
	r.clock = noon.Add(quarter + 2*time.Second)
	r.says(to(10), nil)
	want("WARN", "WARN", "INFO")
}
