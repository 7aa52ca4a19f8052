package x

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"hashtill/bot"
)

// What the X Activity API tells of an account
// (https://docs.x.com/x-api/activity/introduction). A reply's implied mention is no
// mention to it, and so replies are asked for by themselves.
const (
	mentionEvent = "post.mention.create"
	replyEvent   = "post.reply.create"
	quoteEvent   = "post.quote.create"
	repostEvent  = "post.repost.create"
)

var activityEvents = []string{mentionEvent, replyEvent, quoteEvent, repostEvent}

// activityEvent is one delivery, of the stream or the webhook
// (https://docs.x.com/x-api/activity/event-payloads). X shows examples of mentions only.
// Assumed is that the payload is a post in the other three as well, of whoever replies,
// quotes or reposts; what it then lacks is looked up by its number.
type activityEvent struct {
	Data *struct {
		Type   string `json:"event_type"`
		Filter struct {
			UserID string `json:"user_id"`
		}
		Payload  *tweet
		Includes includes
	}
	Errors []problem
}

// readEvent decodes a delivery for the account self. A message without Data tells
// something about the stream; nil is of no interest.
func readEvent(line []byte, self string) (*message, error) {
	e := new(activityEvent)
	if err := decode(line, e); err != nil {
		return nil, err
	}
	switch {
	case e.Data == nil && len(e.Errors) > 0:
		return &message{Errors: e.Errors}, nil
	case e.Data == nil:
		return nil, errNoPost
	case !slices.Contains(activityEvents, e.Data.Type) || e.Data.Filter.UserID != self:
		return nil, nil // of another subscription of the app
	}
	t := e.Data.Payload
	if t == nil || !isID(t.ID) || !isID(t.AuthorID) {
		return nil, errNoPost
	}
	m := &message{Data: t, Includes: e.Data.Includes, Errors: e.Errors, kind: lacks(t, e.Data.Type)}
	m.partial = m.kind != bot.Original || len(t.TweetHistory)+len(t.PostHistory) == 0
	return m, nil
}

// lacks says what a post is, by its event, where it does not tell of which other.
func lacks(t *tweet, event string) bot.PostKind {
	switch {
	case event == replyEvent && t.refers("replied_to") == "":
		return bot.Answer
	case event == quoteEvent && t.refers("quoted") == "":
		return bot.Quote
	case event == repostEvent && t.refers("retweeted") == "":
		return bot.Repost
	case event == mentionEvent && t.InReplyToUser != "" && t.refers("replied_to") == "":
		return bot.Answer
	}
	return bot.Original
}

// activity keeps the subscriptions, opens the stream of the X Activity API once and reads
// it to its end (https://docs.x.com/x-api/activity/activity-stream).
func (n *Network) activity(ctx context.Context, h *hearing[*message]) (alive bool, err error) {
	self, _, err := n.Self(ctx)
	if err != nil {
		return false, err
	}
	if err := n.subscribe(ctx, ""); err != nil {
		return false, err
	}
	return n.stream(ctx, h, "/2/activity/stream", nil, func(line []byte) (*message, error) {
		n.bill.heard(line)
		return readEvent(line, self)
	})
}

// subscription is one as X keeps it.
type subscription struct {
	ID     string `json:"subscription_id"`
	Type   string `json:"event_type"`
	Filter struct {
		UserID string `json:"user_id"`
	}
	Tag       string
	WebhookID string `json:"webhook_id"`
}

const subscriptionsPath = "/2/activity/subscriptions"

// subscribe makes X tell of the bot's account, on the stream, and at a webhook if one is
// given (https://docs.x.com/x-api/activity/quickstart). Only subscriptions that carry the
// tag "hashtill:" and the bot's account number are ever deleted.
//
// X asks for the consent of the account, as these events are private to it. That the
// bot's access token of OAuth 1.0a is taken for it is reported by others; X itself names
// OAuth 2.0.
func (n *Network) subscribe(ctx context.Context, webhook string) error {
	self, handle, err := n.Self(ctx)
	if err != nil {
		return err
	}
	have, err := n.subscriptions(ctx)
	if err != nil {
		return err
	}
	mark := ruleBook{self, handle}.mark()
	missing := slices.Clone(activityEvents)
	for _, s := range have {
		i := slices.Index(missing, s.Type)
		switch serves := i >= 0 && s.Filter.UserID == self && (webhook == "" || s.WebhookID == webhook); {
		case serves: // whoever has made it
			missing = slices.Delete(missing, i, i+1)
		case s.Tag == mark && s.ID != "":
			if err := n.call(ctx, asBot, http.MethodDelete, subscriptionsPath+"/"+url.PathEscape(s.ID), nil, nil, new(struct{})); err != nil {
				return fmt.Errorf("delete a subscription: %w", err)
			}
		}
	}
	for _, event := range missing {
		body := map[string]any{"event_type": event, "filter": map[string]string{"user_id": self}, "tag": mark}
		if webhook != "" {
			body["webhook_id"] = webhook
		}
		if err := n.call(ctx, asBot, http.MethodPost, subscriptionsPath, nil, body, new(struct{})); err != nil && !exists(err) {
			return fmt.Errorf("subscribe to %s: %w", event, err)
		}
	}
	if len(missing) > 0 {
		n.log.InfoContext(ctx, "subscribed to what is said to the account", "events", missing)
	}
	return nil
}

// exists recognises the refusal of what is there already: X does not document it.
func exists(err error) bool {
	e := new(apiError)
	return errors.As(err, &e) && (e.status == http.StatusConflict ||
		e.status/100 == 4 && e.problem != nil && strings.Contains(strings.ToLower(e.problem.String()), "duplicate"))
}

// subscriptions lists those of the app.
func (n *Network) subscriptions(ctx context.Context) (all []subscription, err error) {
	query := url.Values{}
	for range 20 { // an app that pays per use has 1,500 at most
		var page struct {
			Data []subscription
			Meta struct {
				Next string `json:"next_token"`
			}
		}
		if err := n.call(ctx, asApp, http.MethodGet, subscriptionsPath, query, nil, &page); err != nil {
			return nil, err
		}
		if all = append(all, page.Data...); page.Meta.Next == "" {
			break
		}
		query.Set("pagination_token", page.Meta.Next)
	}
	return all, nil
}
