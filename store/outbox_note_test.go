package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"hashtill/store"
)

func TestOutboxNoteIsCutBetweenLetters(t *testing.T) {
	do := func(*post, context.Context, store.Lease) error {
		return errors.New("x" + strings.Repeat("é", store.MaxNote))
	}
	withPost(t, nil, do, func(p *post) {
		p.owe("mail", "e", 0)
		p.box.Nudge()
		synctest.Wait()
		if note := p.owed("e").Note; !utf8.ValidString(note) || len(note) != store.MaxNote-1 {
			p.Errorf("note of %d bytes, valid %v", len(note), utf8.ValidString(note))
		}
	})
}

// Who is told to come later has not failed: the first real failure is tried again
// soon, however often the effect was handed out, and by whichever outbox.
func TestOutboxLaterIsNoFailure(t *testing.T) {
	const named, poll = 20, 50 * time.Millisecond
	do := func(_ *post, _ context.Context, l store.Lease) error {
		if l.Try <= named {
			return &store.Later{At: time.Now().Add(time.Second), Err: errors.New("the budget is spent")}
		}
		return errors.New("409")
	}
	withPost(t, func(o *store.Outbox) { o.Poll = poll }, do, func(p *post) {
		p.owe("charge", "e", 0)
		for o := p.owed("e"); o.Try <= named; o = p.owed("e") {
			if o.Try > 0 && o.Note != fmt.Sprintf("later: the budget is spent [failed 0 of %d]", o.Try) {
				p.Fatalf("it stands as %+v", o)
			}
			pass(poll)
		}
		for failed, delay := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second} {
			o := p.owed("e")
			if want := fmt.Sprintf("409 [failed %d of %d]", failed+1, named+failed+1); o.Note != want {
				p.Fatalf("it stands as %+v, want %s", o, want)
			}
			if left := time.Until(o.Due); left > delay || o.Try != int64(named+failed+1) {
				p.Fatalf("after %d failures it is due in %v, want %v", failed+1, left, delay)
			}
			pass(time.Until(o.Due) + poll + time.Millisecond)
		}
	})
}

// What stands in a note is not always ours, and never makes the back-off longer or
// the note too long.
func TestOutboxStrangeNotes(t *testing.T) {
	for note, delay := range map[string]time.Duration{
		"x [failed 2 of 9]":   2 * time.Second,  // 2, and this time
		"x [failed 2 of 5]":   32 * time.Second, // 2, four that nobody told of, and this time
		"x [failed 9 of 9]":   256 * time.Second,
		"x [failed 9 of 8]":   256 * time.Second,
		"x [failed -9 of 9]":  256 * time.Second,
		"x [failed 2 of 99]":  256 * time.Second,
		"x [failed 2 of ]":    256 * time.Second,
		"x [failed 2 of 9] y": 256 * time.Second,
		strings.Repeat("é", store.MaxNote/2-20) + " [failed 0 of 9]": 500 * time.Millisecond,
	} {
		do := func(*post, context.Context, store.Lease) error {
			return errors.New(strings.Repeat("é", store.MaxNote))
		}
		withPost(t, nil, do, func(p *post) {
			now := time.Now()
			rows := store.Rows{Effects: []store.Owed{{Effect: store.Effect{ID: "e", Kind: "mail", Due: now}, Try: 9, Note: note}}}
			if err := p.box.Store.Load(t.Context(), store.ShardOf("e"), rows); err != nil {
				p.Fatal(err)
			}
			p.box.Nudge()
			synctest.Wait()
			if o := p.owed("e"); o.Due.Sub(now) != delay || len(o.Note) > store.MaxNote || !utf8.ValidString(o.Note) {
				p.Errorf("%q: due after %v, want %v; the note is %q", note, o.Due.Sub(now), delay, o.Note)
			}
		})
	}
}
