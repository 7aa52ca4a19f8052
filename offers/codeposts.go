package offers

import (
	"cmp"
	"context"
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
func (s *Shop) CodePosts(ctx context.Context, network string) ([]string, error) {
	now := s.Now()
	var posts []string
	for shard := range store.Shards {
		err := s.scan(ctx, shard, "open/"+network+"/", func(r store.Record) error {
			id, _ := ParseID(r.Key[strings.LastIndexByte(r.Key, '/')+1:])
			if id == "" {
				return nil // Check finds it
			}
			p, err := s.Purchase(ctx, id)
			if err == nil && p.showsCode() && now.Before(p.Deadline()) {
				posts = append(posts, p.Reply)
			}
			return nil // one that cannot be read is found by Check, and is in nobody's way
		})
		if err != nil {
			return nil, err
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

// codePostRecord looks at the record of a public post.
func (c *shardCheck) codePostRecord(r store.Record, name string) {
	_, id, _ := strings.Cut(name, "/")
	if _, ok := ParseID(id); !ok || len(r.Value) == 0 {
		c.finds(Unreadable, r.Key, "this names no post and purchase")
		return
	}
	c.placed(r.Key, ID(id).Shard())
}
