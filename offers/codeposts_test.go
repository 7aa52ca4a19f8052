package offers

import (
	"context"
	"slices"
	"strconv"
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

// scans counts what is read of the store.
type scans struct {
	store.Store
	scans, gets int
}

func (c *scans) Scan(ctx context.Context, shard int, prefix, cursor string, limit int) ([]store.Record, string, error) {
	c.scans++
	return c.Store.Scan(ctx, shard, prefix, cursor, limit)
}

func (c *scans) Get(ctx context.Context, shard int, keys ...string) ([]store.Record, error) {
	c.gets++
	return c.Store.Get(ctx, shard, keys...)
}

// Looking for public posts reads the shards of offers alone, and each once.
func TestCodePostsReadsLittle(t *testing.T) {
	count := &scans{Store: store.NewMemory()}
	s := newShopOn(t, count, tee(100, 9))
	n := 1000
	s.with[Reply] = func(Job) (Event, error) { n++; return Event{Kind: ReplySent, Post: strconv.Itoa(n)}, nil }
	for i := range 20 {
		s.register(i)
		s.wish(i, strconv.Itoa(i+1))
	}
	s.settle()
	look := func() {
		t.Helper()
		count.scans, count.gets = 0, 0
		if posts, err := s.CodePosts(t.Context(), "x"); err != nil || len(posts) != 20 {
			t.Fatalf("%d posts, %v", len(posts), err)
		}
		if count.scans > 2 || count.gets > 1 {
			t.Errorf("%d scans, %d reads of 20 purchases of one offer", count.scans, count.gets)
		}
	}
	look()
	// Codes of an offer that was taken away are still repeated.
	if err := s.RemoveOffer(t.Context(), "buytee"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	look()
}
