package offers

import (
	"slices"
	"testing"
	"time"

	"hashtill/store"
)

func TestCodePosts(t *testing.T) {
	s := newShop(t, tee(10, 9))
	s.register(1)
	s.register(2)
	posts := []string{"1001", "999", "1002", "1003"}
	s.with[Reply] = func(Job) (Event, error) {
		post := posts[0]
		posts = posts[1:]
		return Event{Kind: ReplySent, Post: post}, nil
	}
	is := func(want ...string) {
		t.Helper()
		got, err := s.CodePosts(t.Context(), "x")
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("posts %q, %v; want %q", got, err, want)
		}
	}
	wish := func(n int, post string) Purchase {
		t.Helper()
		p := s.wish(n, post)
		s.settle()
		return s.is(p.ID, Coded)
	}
	is()
	first := wish(1, "1")
	wish(2, "2")
	wish(1, "3")
	is("999", "1001", "1002")
	if got, err := s.CodePosts(t.Context(), "y"); err != nil || len(got) > 0 {
		t.Fatalf("of another network: %q, %v", got, err)
	}
	if err := s.echo(first, account(1)); err != nil {
		t.Fatal(err)
	}
	is("999", "1002")
	if _, err := s.CancelAll(t.Context(), account(2), s.now); err != nil {
		t.Fatal(err)
	}
	is("1002")
	s.now = s.now.Add(s.Times.Echo)
	is() // too late, though nothing has swept

	// A code that went by mail stands in no post.
	s.with[Reply] = func(Job) (Event, error) { return Event{Kind: ReplyFailed}, nil }
	wish(1, "4")
	is()
	s.now = s.now.Add(24 * time.Hour)
	s.settle()
	for shard := range store.Shards {
		err := s.scan(t.Context(), shard, "open/", func(r store.Record) error {
			t.Errorf("%s is left", r.Key)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
