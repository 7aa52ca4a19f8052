package x

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// countToday counts what the account has said in the last 24 hours, once, by its own
// timeline (https://docs.x.com/x-api/users/get-posts). Where that cannot be read it is
// tried again later: nobody waits for an answer because of it.
func (n *Network) countToday(ctx context.Context) {
	b := n.budget
	if b.perDay == 0 {
		return
	}
	b.counting.Lock()
	defer b.counting.Unlock()
	now := b.now()
	if b.counted || now.Before(b.countAt) {
		return
	}
	b.countAt = now.Add(countPause)
	said, err := n.saidSince(ctx, now.Add(-day))
	if err != nil {
		n.log.WarnContext(ctx, "cannot count today's replies; trying again", "wait", countPause, "err", err)
		return
	}
	b.counted = true
	b.mu.Lock()
	defer b.mu.Unlock()
	// What was said here before is among it, but for what was on its way.
	b.said = slices.DeleteFunc(b.said, func(s saying) bool { return now.Sub(s.at) > callTimeout })
	b.said = slices.Concat(said, b.said)
	b.tell()
}

// saidSince reads when the account has replied since a time, oldest first: as many as
// it may in a day.
func (n *Network) saidSince(ctx context.Context, since time.Time) (said []saying, err error) {
	self, _, err := n.Self(ctx)
	if err != nil {
		return nil, err
	}
	query := url.Values{
		"start_time":   {since.UTC().Format(time.RFC3339)},
		"max_results":  {"100"},
		"exclude":      {"retweets"},
		"tweet.fields": {"created_at,referenced_tweets"},
	}
	for len(said) < n.budget.perDay {
		var page struct {
			Data []tweet
			Meta struct {
				Next string `json:"next_token"`
			}
		}
		if err := n.call(ctx, asBot, http.MethodGet, "/2/users/"+self+"/tweets", query, nil, &page); err != nil {
			return nil, fmt.Errorf("read the account's own posts: %w", err)
		}
		for _, t := range page.Data {
			if t.refers("replied_to") != "" {
				said = append(said, saying{at: postedAt(t.CreatedAt, t.ID)})
			}
		}
		if page.Meta.Next == "" {
			break
		}
		query.Set("pagination_token", page.Meta.Next)
	}
	slices.SortFunc(said, func(a, b saying) int { return a.at.Compare(b.at) })
	return said, nil
}
