package x

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	//lint:ignore SA1019 the classic shape is closed too, and needs nothing new
	"github.com/dghubble/go-twitter/twitter"

	"hashtill/bot"
)

// announcedPages bounds the search for an announcement: X shows the newest 800 posts of
// an account that answer nobody, 100 a page (https://docs.x.com/x-api/users/get-posts).
const announcedPages = 8

var (
	_ bot.Announcer = (*Network)(nil)
	_ bot.Announcer = (*Classic)(nil)
)

// news is an announcement as the budget knows it: replies come first.
func (a *account) news(text string) (bot.Reply, error) {
	if !a.cfg.Links {
		text = unlinked(text)
	}
	if weight(text) > maxWeight {
		return bot.Reply{}, bot.ErrTooLong
	}
	return bot.Reply{Text: text, For: bot.ForThanks}, nil
}

// Announce implements [bot.Announcer] with POST /2/tweets
// (https://docs.x.com/x-api/posts/create-post). It waits while more than half of the
// budget for posts is spent.
func (n *Network) Announce(ctx context.Context, text string, again bool) (string, error) {
	r, err := n.news(text)
	if err != nil {
		return "", err
	}
	if again {
		if id, err := n.ownPost(ctx, r.Text); err != nil || id != "" {
			return id, spoken(err)
		}
	}
	return n.create(ctx, r, map[string]any{"text": r.Text}, func() (string, error) { return n.ownPost(ctx, r.Text) })
}

// ownPost finds the bot's post with those words that answers nobody, "" if there is none.
func (n *Network) ownPost(ctx context.Context, text string) (string, error) {
	query := url.Values{"max_results": {"100"}, "exclude": {"retweets,replies"}}
	id, _, err := n.findOwn(ctx, query, announcedPages, func(t tweet) bool { return sameWords(t.Text, text) })
	return id, err
}

// Announce implements [bot.Announcer] with statuses/update.
func (c *Classic) Announce(ctx context.Context, text string, again bool) (string, error) {
	r, err := c.news(text)
	if err != nil {
		return "", err
	}
	if again {
		if id, err := c.ownPost(ctx, r.Text); err != nil || id != "" {
			return id, classicSpoken(err)
		}
	}
	var id string
	err = c.rationed(ctx, r, func() (header http.Header, err error) {
		id, header, err = c.update(ctx, r.Text, 0)
		return header, err
	})
	if e := new(apiError); errors.As(err, &e) && e.code() == codeDuplicate {
		if id, lookErr := c.ownPost(ctx, r.Text); lookErr != nil || id != "" {
			return id, classicSpoken(lookErr)
		}
	}
	return id, classicSpoken(err)
}

// ownPost is that of [Network], over statuses/user_timeline. There exclude_replies would
// leave pages empty before the last one.
func (c *Classic) ownPost(ctx context.Context, text string) (string, error) {
	params, err := c.ownTimeline(ctx)
	if err != nil {
		return "", err
	}
	for range ownPages {
		page, err := c.timeline(ctx, params)
		if err != nil || len(page) == 0 {
			return "", err
		}
		for i := range page {
			t := &page[i]
			if number(t.InReplyToStatusIDStr, t.InReplyToStatusID) == "" && sameWords(statusText(t), text) {
				return number(t.IDStr, t.ID), nil
			}
		}
		params.MaxID = page[len(page)-1].ID - 1
	}
	return "", nil
}

// ownTimeline asks for the bot's own posts, the newest first.
func (c *Classic) ownTimeline(ctx context.Context) (*twitter.UserTimelineParams, error) {
	self, _, err := c.Self(ctx)
	if err != nil {
		return nil, err
	}
	user, err := strconv.ParseInt(self, 10, 64)
	return &twitter.UserTimelineParams{UserID: user, Count: 200, TweetMode: "extended", IncludeRetweets: twitter.Bool(false)}, err
}
