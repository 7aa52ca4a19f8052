package x

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

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
	if weight(r.Text) > maxWeight {
		return "", bot.ErrTooLong
	}
	if again {
		if id, err := n.ownReply(ctx, r); err != nil || id != "" {
			return id, spoken(err)
		}
	}
	body := map[string]any{"text": r.Text, "reply": map[string]string{"in_reply_to_tweet_id": r.To}}
	var answer struct{ Data tweet }
	err := n.call(ctx, asBot, http.MethodPost, "/2/tweets", nil, body, &answer)
	if err == nil && answer.Data.ID == "" {
		err = errors.New("x: POST /2/tweets: the answer names no post")
	}
	if err == nil {
		return answer.Data.ID, nil
	}
	if e := new(apiError); errors.As(err, &e) && e.isDuplicate() {
		if id, lookErr := n.ownReply(ctx, r); lookErr != nil || id != "" {
			return id, spoken(lookErr)
		}
	}
	return "", spoken(err)
}

// isDuplicate recognises the refusal of a text that was posted before. X gives it
// no number and no type of its own; its words are all there is.
func (e *apiError) isDuplicate() bool {
	return e.status == http.StatusForbidden && e.problem != nil && strings.Contains(strings.ToLower(e.problem.Detail), "duplicate content")
}

// ownReply finds the bot's post that answers r.To with the words of r, "" if
// there is none. A reply is younger than what it answers, so the search ends
// there.
func (n *Network) ownReply(ctx context.Context, r bot.Reply) (string, error) {
	self, _, err := n.Self(ctx)
	if err != nil {
		return "", err
	}
	query := url.Values{
		"since_id":     {r.To},
		"max_results":  {"100"},
		"exclude":      {"retweets"},
		"tweet.fields": {"referenced_tweets"},
	}
	for range ownPages {
		var page struct {
			Data []tweet
			Meta struct {
				Next string `json:"next_token"`
			}
		}
		if err := n.call(ctx, asBot, http.MethodGet, "/2/users/"+self+"/tweets", query, nil, &page); err != nil {
			return "", err
		}
		for _, t := range page.Data {
			if t.refers("replied_to") == r.To && sameWords(t.Text, r.Text) {
				return t.firstID(), nil
			}
		}
		if page.Meta.Next == "" {
			break
		}
		query.Set("pagination_token", page.Meta.Next)
	}
	return "", nil
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
