package x

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What X asks for, in millionths of a US dollar
// (https://docs.x.com/x-api/getting-started/pricing, August 2026).
const (
	replyPrice   = 10_000  // a reply to somebody who has mentioned the account
	postPrice    = 15_000  // a post that answers nobody
	linkPrice    = 200_000 // a post with a link
	readPrice    = 5_000   // a post that is read
	mentionPrice = 1_000   // a mention of the account that is read
	countPrice   = 5_000   // a count of posts, however many there are
)

// Spending is what a [Network] has posted and read since it was made. X counts a post
// that is read twice in a day once: what it really asks for may be less.
type Spending struct {
	Replies      int64 // without a link
	Posts        int64 // that answer nobody, without a link
	WithLink     int64 // replies and posts with a link
	PostsRead    int64
	MentionsRead int64 // of the account, by asking for them
	Counts       int64 // questions how many posts there are
	MicroDollars int64 // the price of all that, in millionths of a US dollar
}

// Dollars is the price as people write it: "1.25".
func (s Spending) Dollars() string {
	return fmt.Sprintf("%d.%02d", s.MicroDollars/1_000_000, s.MicroDollars/10_000%100)
}

// Spent tells what was posted and read. It asks nobody.
func (n *Network) Spent() Spending {
	n.bill.mu.Lock()
	defer n.bill.mu.Unlock()
	n.bill.sumUp()
	return n.bill.sum
}

// A bill counts what X asks for, and tells the log from hour to hour, as long as there is
// something to tell.
type bill struct {
	now func() time.Time
	log *slog.Logger

	passedOver atomic.Int64 // posts read that nobody needs to hear, not in sum yet

	mu     sync.Mutex
	sum    Spending
	logged time.Time // when the log was told, or counting began
}

// said counts a post with that text, a reply to the post to, or to none.
func (b *bill) said(text, to string) {
	switch {
	case linkPattern.MatchString(text):
		b.add(Spending{WithLink: 1, MicroDollars: linkPrice})
	case to == "":
		b.add(Spending{Posts: 1, MicroDollars: postPrice})
	default:
		b.add(Spending{Replies: 1, MicroDollars: replyPrice})
	}
}

// read counts the posts in an answer, those included with others as well.
func (b *bill) read(method, path string, data []byte) {
	if method != http.MethodGet || !strings.Contains(path, "/tweets") && !strings.Contains(path, "/mentions") || strings.HasSuffix(path, "/rules") || strings.Contains(path, "/counts/") {
		return
	}
	var answer struct {
		Data     json.RawMessage
		Includes struct{ Tweets, Posts []json.RawMessage }
	}
	if decode(data, &answer) != nil {
		return
	}
	var all []json.RawMessage
	found := int64(0)
	switch {
	case json.Unmarshal(answer.Data, &all) == nil:
		found = int64(len(all))
	case len(answer.Data) > 0:
		found = 1
	}
	more := int64(len(answer.Includes.Tweets) + len(answer.Includes.Posts))
	if strings.HasSuffix(path, "/mentions") {
		b.add(Spending{MentionsRead: found, PostsRead: more, MicroDollars: found*mentionPrice + more*readPrice})
	} else {
		b.add(Spending{PostsRead: found + more, MicroDollars: (found + more) * readPrice})
	}
}

// counted counts a question how many posts there are.
func (b *bill) counted() { b.add(Spending{Counts: 1, MicroDollars: countPrice}) }

// heard counts what a line of the stream has brought.
func (b *bill) heard(line []byte) { b.read(http.MethodGet, "/2/tweets/search/stream", line) }

// sumUp adds the posts that were passed over. mu is held.
func (b *bill) sumUp() {
	n := b.passedOver.Swap(0)
	b.sum.PostsRead += n
	b.sum.MicroDollars += n * readPrice
}

func (b *bill) add(s Spending) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sumUp()
	now := b.now()
	if b.logged.IsZero() {
		b.logged = now
	}
	b.sum.Replies += s.Replies
	b.sum.Posts += s.Posts
	b.sum.WithLink += s.WithLink
	b.sum.PostsRead += s.PostsRead
	b.sum.MentionsRead += s.MentionsRead
	b.sum.Counts += s.Counts
	b.sum.MicroDollars += s.MicroDollars
	if now.Sub(b.logged) >= time.Hour {
		b.logged = now
		b.log.Info("posted and read since the start", "replies", b.sum.Replies, "posts", b.sum.Posts, "with_link", b.sum.WithLink,
			"posts_read", b.sum.PostsRead, "mentions_read", b.sum.MentionsRead, "usd", b.sum.Dollars())
	}
}
