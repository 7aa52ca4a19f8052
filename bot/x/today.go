package x

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	// countPause is between two tries to count what was said today; it doubles up to
	// countPauseMost.
	countPause     = time.Minute
	countPauseMost = time.Hour
	// countLag is how long a post may take to be counted; X counts what is half a minute
	// old.
	countLag = time.Minute
)

// countToday asks X how often the account has replied in the last 24 hours, once. That is
// one request of $0.005 a process, where reading those replies would cost as much for each.
// Where X does not say, it is asked again later: nobody waits for an answer because of it.
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
	said, err := n.saidSince(ctx, now.Add(-day))
	if err != nil {
		b.countAt = now.Add(b.countWait)
		n.log.WarnContext(ctx, "cannot count today's replies; trying again", "wait", b.countWait, "err", err)
		b.countWait = min(2*b.countWait, countPauseMost)
		return
	}
	b.counted = true
	b.mu.Lock()
	defer b.mu.Unlock()
	// What was said here before is among it, but for what is not counted yet.
	b.said = slices.DeleteFunc(b.said, func(s saying) bool { return now.Sub(s.at) > countLag })
	b.said = slices.Concat(said, b.said)
	b.tell()
}

// saidSince counts the account's replies since a time, oldest first, by GET
// /2/tweets/counts/recent (https://docs.x.com/x-api/posts/get-count-of-recent-posts): X
// tells how many there were in each minute, and each passes for said at its end.
func (n *Network) saidSince(ctx context.Context, since time.Time) (said []saying, err error) {
	self, _, err := n.Self(ctx)
	if err != nil {
		return nil, err
	}
	query := url.Values{
		"query":       {"from:" + self + " is:reply"},
		"start_time":  {since.UTC().Format(time.RFC3339)},
		"granularity": {"minute"},
	}
	most := n.budget.perDay
	for len(said) < most {
		var page struct {
			Data []struct {
				End   time.Time
				Count int `json:"tweet_count"`
			}
			Meta struct {
				Next string `json:"next_token"`
			}
		}
		if err := n.call(ctx, asApp, http.MethodGet, "/2/tweets/counts/recent", query, nil, &page); err != nil {
			return nil, fmt.Errorf("count the account's own replies: %w", err)
		}
		n.bill.counted()
		for _, m := range page.Data {
			for range min(m.Count, most) { // more than that is as good as that
				said = append(said, saying{at: m.End})
			}
		}
		if page.Meta.Next == "" {
			break
		}
		query.Set("next_token", page.Meta.Next)
	}
	slices.SortFunc(said, func(a, b saying) int { return a.at.Compare(b.at) })
	return said[max(0, len(said)-most):], nil
}
