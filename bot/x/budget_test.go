package x

import (
	"bytes"
	"errors"
	"log/slog"
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
	r.answered(h, 0, time.Time{}, false)
}

func TestBudgetIsNotExceeded(t *testing.T) {
	r := newRation(t, 10, 0)
	for i := range 10 {
		r.may(to(i)) // in flight
	}
	r.mayNot(to(10), noon.Add(quarter))
	for range 10 {
		r.answered(nil, 0, time.Time{}, false) // all answers are lost: they count
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
	r.answered(headers(100, 1, reset), 0, time.Time{}, false)
	r.answered(headers(100, 2, reset), 0, time.Time{}, false) // was overtaken
	r.may(to(4))
	r.mayNot(to(5), reset)
	r.forget(to(5).To)
	r.answered(headers(100, 0, reset), 0, time.Time{}, false)

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
	r.answered(http.Header{}, 0, until, false)
	r.mayNot(to(2), until)
	r.clock = until
	r.may(to(2))

	// X never heard of what could not be sent.
	r = newRation(t, 1, 1)
	r.may(to(1))
	r.answered(nil, 0, time.Time{}, true)
	r.may(to(1))

	// A clock of ours that is ahead does not begin the window early.
	r = newRation(t, 1, 0)
	r.may(to(1))
	r.answered(headers(1, 0, noon.Add(quarter-time.Hour)), time.Hour, time.Time{}, false)
	r.mayNot(to(2), noon.Add(quarter))
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
