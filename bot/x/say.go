package x

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/unicode/norm"

	"hashtill/bot"
)

// ownPages bounds the search for an own reply: X shows the newest 3,200 posts of
// an account, 100 a page (https://docs.x.com/x-api/users/get-posts).
const ownPages = 32

// Say implements [bot.Network] with POST /2/tweets
// (https://docs.x.com/x-api/posts/create-post). X itself puts the address before
// the text of a reply, and does not count it.
func (n *Network) Say(ctx context.Context, r bot.Reply, again bool) (string, error) {
	if !isID(r.To) {
		return "", &bot.RefusedError{Why: "the post to answer is none of X's"}
	}
	if !n.cfg.Links {
		r.Text = unlinked(r.Text)
	}
	if weight(r.Text) > maxWeight {
		return "", bot.ErrTooLong
	}
	if again && !n.budget.unsent(r) {
		if id, err := n.ownReply(ctx, r); err != nil || id != "" {
			n.budget.forget(r.To)
			return id, spoken(err)
		}
	}
	n.countToday(ctx)
	body := map[string]any{"text": r.Text, "reply": map[string]string{"in_reply_to_tweet_id": r.To}}
	return n.create(ctx, r, body, func() (string, error) { return n.ownReply(ctx, r) })
}

// create makes a post, if the budget has one. Where X says that it was made before, own
// finds it.
func (n *Network) create(ctx context.Context, r bot.Reply, body map[string]any, own func() (string, error)) (string, error) {
	var answer struct{ Data tweet }
	err := n.rationed(ctx, r, func() (http.Header, error) {
		return n.exchange(ctx, asBot, http.MethodPost, "/2/tweets", nil, body, &answer)
	})
	if err == nil && answer.Data.ID == "" {
		err = errors.New("x: POST /2/tweets: the answer names no post")
	}
	if err == nil {
		n.bill.said(r.Text, r.To)
		return answer.Data.ID, nil
	}
	if e := new(apiError); errors.As(err, &e) && e.isDuplicate() {
		if id, lookErr := own(); lookErr != nil || id != "" {
			return id, spoken(lookErr)
		}
	}
	return "", n.budget.keepPlace(r, spoken(err))
}

// rationed makes a request to post if the budget has one, and tells it how that went.
func (a *account) rationed(ctx context.Context, r bot.Reply, post func() (http.Header, error)) error {
	if err := a.budget.take(ctx, r); err != nil {
		return err
	}
	header, err := post()
	if dial := new(net.OpError); header == nil && errors.As(err, &dial) && dial.Op == "dial" {
		a.budget.giveBack(r)
		return err
	}
	now := a.cfg.Now()
	var refused time.Time
	if e := new(apiError); errors.As(err, &e) {
		if e.status/100 == 4 {
			a.budget.notSaid(r)
		}
		if e.later.Sub(now) > longestWindow { // there is no such window
			e.later = now.Add(time.Minute)
		}
		if e.status == http.StatusTooManyRequests || e.code() == codeDailyLimit {
			refused = e.later
		}
	}
	a.budget.answered(header, clockAhead(header, now), refused)
	return err
}

// isDuplicate recognises the refusal of a text that was posted before.
func (e *apiError) isDuplicate() bool { return e.kind() == bot.Duplicate }

// kinds are the refusals of a post that X words in one way. It gives them no number and
// no type of their own: their words are all there is.
var kinds = []struct {
	words string
	kind  bot.RefusalKind
}{
	{"reply to this conversation is not allowed", bot.ReplyNotAllowed},
	{"duplicate content", bot.Duplicate},
	{"deleted or not visible to you", bot.PostGone},
}

// kind tells 403s apart by their detail.
func (e *apiError) kind() bot.RefusalKind {
	if e.status != http.StatusForbidden || e.problem == nil {
		return bot.OtherRefusal
	}
	detail := strings.ToLower(e.problem.Detail)
	for _, k := range kinds {
		if strings.Contains(detail, k.words) {
			return k.kind
		}
	}
	return bot.OtherRefusal
}

// ownReply finds the bot's post that answers r.To with the words of r, "" if
// there is none. A reply is younger than what it answers, so the search ends
// there. What was read once is remembered, for each post that is read costs.
func (n *Network) ownReply(ctx context.Context, r bot.Reply) (string, error) {
	n.own.mu.Lock()
	defer n.own.mu.Unlock()
	if n.own.upTo != "" && compareIDs(n.own.from, r.To) <= 0 {
		// Posts may show a while after they were made.
		id, err := n.readOwn(ctx, r, newest(n.own.from, before(n.own.upTo, overlap)))
		if id != "" || err != nil {
			return id, err
		}
		return n.own.find(r), nil
	}
	n.own.forget()
	return n.readOwn(ctx, r, r.To)
}

// readOwn reads the bot's posts after since, the newest first, until it finds r.
func (n *Network) readOwn(ctx context.Context, r bot.Reply, since string) (string, error) {
	query := url.Values{
		"since_id":     {since},
		"max_results":  {"100"},
		"exclude":      {"retweets"},
		"tweet.fields": {"referenced_tweets"},
	}
	var all []tweet
	id, ended, err := n.findOwn(ctx, query, ownPages, func(t tweet) bool {
		all = append(all, t)
		return t.refers("replied_to") == r.To && sameWords(t.Text, r.Text)
	})
	if ended {
		n.own.remember(since, all)
	}
	return id, err
}

// findOwn asks for the bot's posts, the newest first, until one is the one that is looked
// for, and returns its number. ended says that there are no more, and it was not among them.
func (n *Network) findOwn(ctx context.Context, query url.Values, pages int, is func(tweet) bool) (id string, ended bool, err error) {
	self, _, err := n.Self(ctx)
	if err != nil {
		return "", false, err
	}
	for range pages {
		var page struct {
			Data []tweet
			Meta struct {
				Next string `json:"next_token"`
			}
		}
		if err := n.call(ctx, asBot, http.MethodGet, "/2/users/"+self+"/tweets", query, nil, &page); err != nil {
			return "", false, err
		}
		for _, t := range page.Data {
			if is(t) {
				return t.firstID(), false, nil
			}
		}
		if page.Meta.Next == "" {
			return "", true, nil
		}
		query.Set("pagination_token", page.Meta.Next)
	}
	return "", false, nil
}

// ownPosts are the bot's posts after from and up to upTo, but for those of the last
// minutes that did not show yet.
type ownPosts struct {
	mu         sync.Mutex
	from, upTo string // "": nothing was read
	replies    map[string]tweet
}

// mostOwn bounds what is remembered: some megabytes.
const mostOwn = 10_000

func (o *ownPosts) forget() { o.from, o.upTo, o.replies = "", "", nil }

func (o *ownPosts) remember(since string, posts []tweet) {
	if o.upTo == "" {
		o.from, o.upTo, o.replies = since, since, map[string]tweet{}
	}
	for _, t := range posts {
		if isID(t.ID) {
			o.replies[t.ID] = t
			o.upTo = newest(o.upTo, t.ID)
		}
	}
	if len(o.replies) > mostOwn {
		o.forget()
	}
}

func (o *ownPosts) find(r bot.Reply) string {
	for _, t := range o.replies {
		if t.refers("replied_to") == r.To && sameWords(t.Text, r.Text) {
			return t.firstID()
		}
	}
	return ""
}

// sameWords says whether X shows the text said as shown: behind the names it is
// addressed to, escaped, with other links.
func sameWords(shown, said string) bool {
	return bare(unescape(shown)) == bare(said)
}

func bare(text string) string {
	words := strings.Fields(maskLinks(norm.NFC.String(text)))
	for len(words) > 0 && strings.HasPrefix(words[0], "@") {
		words = words[1:]
	}
	return strings.Join(words, " ")
}

// unescape undoes what X does to &, < and > in texts.
func unescape(text string) string { return escapes.Replace(text) }

var escapes = strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">")
