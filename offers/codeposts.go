package offers

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"hashtill/store"
)

// A code that is public waits for its post to be reposted or quoted. Where a network does
// not tell of that by itself, it is asked about the posts that are out: they stand under
// a prefix of their own, from the commit that makes the code public until the one that
// moves the purchase on, so that nobody has to read all purchases for them.

func codePostKey(p Purchase) string { return "open/" + p.Buyer.Network + "/" + string(p.ID) }

// showsCode says that the purchase's code stands in a public post of ours and is waited for.
func (p Purchase) showsCode() bool { return p.State == Coded && p.Reply != "" && !p.CodeByMail }

// codePost adds to a change what it does to the purchase's public post.
func codePost(c *store.Change, before, after Purchase) {
	switch {
	case !before.showsCode() && after.showsCode():
		c.Put = append(c.Put, store.Put{Key: codePostKey(after), Value: []byte(after.Reply)})
	case before.showsCode() && !after.showsCode():
		c.Put = append(c.Put, store.Put{Key: codePostKey(before), Version: 1})
	}
}

// CodePosts are the posts of ours on a network that matter now: those whose codes can
// still be repeated, and the announcements of what is on sale, in the order of their
// numbers.
//
// Purchases and announcements stand in the shard of their offer. A shard in which there
// never was an offer, as far as the catalogue knows, is not read: on Redis the scan of a
// prefix is a command for each page of the index.
func (s *Shop) CodePosts(ctx context.Context, network string) ([]string, error) {
	var posts []string
	shards := s.catalogue.shards(s.Now())
	for _, shard := range slices.Sorted(maps.Keys(shards)) { // so that a simulation is the same again
		open, err := s.openPosts(ctx, shard, network)
		if err != nil {
			return nil, err
		}
		posts = append(posts, open...)
		if !shards[shard] {
			continue
		}
		announced, err := s.announcedPosts(ctx, shard, network)
		if err != nil {
			return nil, err
		}
		posts = append(posts, announced...)
	}
	// Numbers of posts grow with time and have no zeros in front.
	slices.SortFunc(posts, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return posts, nil
}

// openPosts are those in a shard that show a code which can still be repeated.
func (s *Shop) openPosts(ctx context.Context, shard int, network string) (posts []string, err error) {
	var keys []string
	err = s.scan(ctx, shard, "open/"+network+"/", func(r store.Record) error {
		if id, ok := ParseID(r.Key[strings.LastIndexByte(r.Key, '/')+1:]); ok { // else Check finds it
			keys = append(keys, purchaseKey(id))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	now := s.Now()
	for some := range slices.Chunk(keys, scanPage) {
		recs, err := s.store.Get(ctx, shard, some...)
		if err != nil {
			return nil, err
		}
		for _, r := range recs {
			// One that cannot be read is found by Check, and is in nobody's way.
			if p, err := readPurchase(r); err == nil && p.showsCode() && now.Before(p.Deadline()) {
				posts = append(posts, p.Reply)
			}
		}
	}
	return posts, nil
}

// codePostRecord looks at the record of a public post.
func (c *shardCheck) codePostRecord(r store.Record, name string) {
	_, id, _ := strings.Cut(name, "/")
	if _, ok := ParseID(id); !ok || len(r.Value) == 0 {
		c.finds(Unreadable, r.Key, "this names no post and purchase")
		return
	}
	c.placed(r.Key, ID(id).Shard())
}
