package x

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"hashtill/bot"
)

const (
	mostWatched  = 1000 // posts whose reposts and quotes are looked for, the newest
	lookUpAtOnce = 100  // posts that X tells of in one answer
	echoPages    = 5    // of 100 reposts or quotes of one post
)

// An echoWatch looks for reposts and quotes of the bot's own posts, where nothing else
// tells of them.
//
// A look-up of the posts tells how often each was reposted and quoted, a hundred of them
// for one request (https://docs.x.com/x-api/posts/get-posts-by-ids); only where that has
// changed is asked by whom (https://docs.x.com/x-api/posts/get-reposted-by and
// …/get-quoted-posts), of which X takes 75 questions each in 15 minutes. GET
// /2/users/reposts_of_me tells no more than the look-up does, namely which posts of the
// bot's were reposted, for those alone that were, and takes fewer questions: it is not
// needed.
type echoWatch struct {
	mu    sync.Mutex // held while looking
	posts func(ctx context.Context) ([]string, error)
	known map[string]*echoed   // by post, of those that are watched
	spent map[string]time.Time // by endpoint: X takes no more before
}

// echoed is what is known of a post of the bot's.
type echoed struct {
	reposts, quotes echoCount
	handed          map[string]bool // accounts that reposted it and posts that quoted it
}

// An echoCount is one of X's counts of a post.
type echoCount struct {
	settled int       // when all that it counts had been asked for
	short   int       // when fewer were shown than it counts
	since   time.Time // when that was so first
}

// asked takes down that so many were shown where X counts some. X may count what it does
// not show yet: for lag it is asked again. What it shows to nobody it counts, too.
func (t *echoCount) asked(count, shown int, now time.Time) {
	switch {
	case shown >= count || t.short == count && now.Sub(t.since) >= lag:
		t.settled = count
	case t.short != count:
		t.short, t.since = count, now
	}
}

var _ bot.Watcher = (*Network)(nil)

// Watch implements [bot.Watcher]. The posts are looked at each time that listening was
// interrupted, and where it is by asking, or by a webhook, again and again.
func (n *Network) Watch(posts func(ctx context.Context) ([]string, error)) {
	n.watch.mu.Lock()
	defer n.watch.mu.Unlock()
	n.watch.posts = posts
}

// counted is a post with how often it was reposted and quoted.
type counted struct {
	tweet
	Metrics struct {
		Reposts int `json:"retweet_count"`
		Quotes  int `json:"quote_count"`
	} `json:"public_metrics"`
}

// echoes hands over the reposts and quotes of the watched posts that were not handed over
// before. An error says that some could not be asked for; the others were.
func (n *Network) echoes(ctx context.Context, hand func(*message) error) error {
	w := &n.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.posts == nil {
		return nil
	}
	posts, err := w.posts(ctx)
	if err != nil {
		return fmt.Errorf("ask which posts bear open codes: %w", err)
	}
	posts = slices.DeleteFunc(slices.Clone(posts), func(id string) bool { return !isID(id) })
	if len(posts) > mostWatched {
		n.log.WarnContext(ctx, "too many open codes to look for all of their reposts and quotes", "posts", len(posts), "looked_for", mostWatched)
		posts = posts[len(posts)-mostWatched:]
	}
	w.keepOnly(posts)
	var errs []error
	for batch := range slices.Chunk(posts, lookUpAtOnce) {
		found, err := n.lookAt(ctx, batch)
		if err != nil {
			errs = append(errs, err)
			break
		}
		for i := range found {
			if err := n.echoesOf(ctx, &found[i], hand); err != nil {
				errs = append(errs, err)
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return errs[0] // one of them tells enough, and perhaps when to come back
}

// keepOnly forgets posts that are not watched any more.
func (w *echoWatch) keepOnly(posts []string) {
	before := w.known
	w.known = make(map[string]*echoed)
	for _, id := range posts {
		if w.known[id] = before[id]; w.known[id] == nil {
			w.known[id] = &echoed{handed: make(map[string]bool)}
		}
	}
}

// lookAt looks posts of the bot's up. Those that are not there any more, or somebody
// else's, are left out.
func (n *Network) lookAt(ctx context.Context, ids []string) ([]counted, error) {
	self, _, err := n.Self(ctx)
	if err != nil {
		return nil, err
	}
	var answer struct{ Data []counted }
	query := url.Values{"ids": {strings.Join(ids, ",")}, "tweet.fields": {"author_id,created_at,edit_history_tweet_ids,entities,public_metrics,referenced_tweets"}}
	if err := n.within(ctx, "/2/tweets", "/2/tweets", query, &answer); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(answer.Data, func(c counted) bool {
		return !isID(c.ID) || c.AuthorID != self || n.watch.known[c.ID] == nil
	}), nil
}

// echoesOf hands over what is new about one post.
func (n *Network) echoesOf(ctx context.Context, post *counted, hand func(*message) error) error {
	e := n.watch.known[post.ID]
	var failed error
	// A code stands in an answer. Of an announcement only quotes matter: it may be reposted
	// a thousand times, and would spend the questions about codes.
	if post.refers("replied_to") != "" && post.Metrics.Reposts != e.reposts.settled {
		shown, err := n.repostsOf(ctx, post, e, hand)
		if err == nil {
			e.reposts.asked(post.Metrics.Reposts, shown, n.cfg.Now())
		}
		failed = err
	}
	if post.Metrics.Quotes != e.quotes.settled {
		shown, err := n.quotesOf(ctx, post, e, hand)
		if err == nil {
			e.quotes.asked(post.Metrics.Quotes, shown, n.cfg.Now())
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// repostsOf asks who has reposted a post, and says how many X has shown. X tells accounts,
// neither the number of the repost nor its date: it gets a number of our own, and no date.
func (n *Network) repostsOf(ctx context.Context, post *counted, e *echoed, hand func(*message) error) (shown int, err error) {
	query := url.Values{"max_results": {"100"}, "user.fields": {"protected,username"}}
	for range echoPages {
		var page struct {
			Data []user
			Meta struct {
				Next string `json:"next_token"`
			}
		}
		if err := n.within(ctx, "retweeted_by", "/2/tweets/"+post.ID+"/retweeted_by", query, &page); err != nil {
			return shown, err
		}
		shown += len(page.Data)
		for _, u := range page.Data {
			key := "by " + u.ID
			if !isID(u.ID) || u.Protected || e.handed[key] {
				continue
			}
			m := &message{
				Data:     &tweet{ID: repostID(post.ID, u.ID), AuthorID: u.ID, TweetRefs: []ref{{Type: "retweeted", ID: post.ID}}},
				Includes: includes{Users: []user{u}, Tweets: []tweet{post.tweet}},
			}
			if err := hand(m); err != nil {
				return shown, err
			}
			e.handed[key] = true
		}
		if page.Meta.Next == "" {
			return shown, nil
		}
		query.Set("pagination_token", page.Meta.Next)
	}
	return shown, nil
}

// repostID stands for the number of a repost that X does not tell. It is no number, and
// the same each time: an account can repost a post once.
func repostID(post, account string) string { return post + "-" + account }

// quotesOf asks for the quotes of a post, which have all that a post has, and says how many
// X has shown.
func (n *Network) quotesOf(ctx context.Context, post *counted, e *echoed, hand func(*message) error) (shown int, err error) {
	query := url.Values{"max_results": {"100"}}
	for name, values := range asked {
		query[name] = values
	}
	for range echoPages {
		var page postPage
		if err := n.within(ctx, "quote_tweets", "/2/tweets/"+post.ID+"/quote_tweets", query, &page); err != nil {
			return shown, err
		}
		shown += len(page.Data)
		for _, m := range page.messages() {
			if e.handed[m.Data.ID] {
				continue
			}
			if err := hand(m); err != nil {
				return shown, err
			}
			e.handed[m.Data.ID] = true
		}
		if page.Meta.Next == "" {
			return shown, nil
		}
		query.Set("pagination_token", page.Meta.Next)
	}
	return shown, nil
}

// postPage is an answer with posts.
type postPage struct {
	Data     []*tweet
	Includes includes
	Errors   []problem
	Meta     struct {
		Next string `json:"next_token"`
	}
}

// messages are its posts, without those that nobody may see.
func (p *postPage) messages() (all []*message) {
	for _, t := range p.Data {
		if t == nil || !isID(t.ID) || !isID(t.AuthorID) {
			continue
		}
		m := &message{Data: t, Includes: p.Includes, Errors: p.Errors}
		if !m.hidden() {
			all = append(all, m)
		}
	}
	return all
}

// within asks as the app or, where X takes no more of that, as the bot's account: X
// counts them apart. A way is not tried while X has said that its budget is spent, by a
// refusal or by the headers of its last answer; a refusal that will not change soon is
// taken for such a budget, too. So what cannot be asked costs nothing, and hinders
// nothing else.
func (n *Network) within(ctx context.Context, endpoint, path string, query url.Values, answer any) error {
	later := &apiError{request: "GET " + path, status: http.StatusTooManyRequests}
	for _, as := range []identity{asApp, asBot} {
		key, now := endpoint+" by "+string(as), n.cfg.Now()
		if until := n.watch.spent[key]; until.After(now) && until.Sub(now) <= mostRetry {
			if later.later.IsZero() || until.Before(later.later) {
				later.as, later.later = as, until
			}
			continue
		}
		header, err := n.exchange(ctx, as, http.MethodGet, path, query, nil, answer)
		until, refusal := time.Time{}, new(apiError)
		switch {
		case !errors.As(err, &refusal):
			if ahead := clockAhead(header, now); err == nil && header.Get("x-rate-limit-remaining") == "0" {
				until = limitReset(header, now.Add(-ahead)).Add(ahead)
			}
		case refusal.status == http.StatusTooManyRequests:
			until = refusal.later
		case refusal.final():
			n.log.WarnContext(ctx, "X does not tell of reposts and quotes", "endpoint", endpoint, "err", err)
			until = now.Add(mostRetry)
		}
		if n.watch.spent == nil {
			n.watch.spent = make(map[string]time.Time)
		}
		n.watch.spent[key] = until
		if err == nil || refusal.status == 0 || until.IsZero() {
			return err
		}
		if later.later.IsZero() || until.Before(later.later) {
			later.as, later.later = as, until
		}
	}
	return later
}
