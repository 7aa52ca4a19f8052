package xtest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// The X Activity API tells of what happens to accounts that are subscribed to. Here are
// the four events about posts that others make. X shows examples of mentions alone
// (https://docs.x.com/x-api/activity/event-payloads); that the payload of the others is a
// post, too, is assumed, as is the form of the answers about subscriptions.
var activityTypes = []string{"post.mention.create", "post.reply.create", "post.quote.create", "post.repost.create"}

const (
	maxActivityStreams = 2
	maxSubscriptions   = 1500
)

type subscription struct {
	id, event, userID, tag, webhookID string
}

func (p subscription) object() object {
	o := object{"subscription_id": p.id, "event_type": p.event, "filter": object{"user_id": p.userID}}
	if p.tag != "" {
		o["tag"] = p.tag
	}
	if p.webhookID != "" {
		o["webhook_id"] = p.webhookID
	}
	return o
}

// matches says whether a subscription is to a post. Accounts do not cause events of
// their own.
func (p subscription) matches(s *Server, made *post) bool {
	of := func(id string) bool { return s.posts[id] != nil && s.posts[id].AuthorID == p.userID }
	if made.AuthorID == p.userID {
		return false
	}
	switch p.event {
	case "post.mention.create":
		return made.RepostOf == "" && made.mentioned(p.userID)
	case "post.reply.create":
		return of(made.ReplyTo)
	case "post.quote.create":
		return of(made.Quote)
	}
	return of(made.RepostOf)
}

// activityEndpoints are those of the X Activity API and its webhooks.
func (s *Server) activityEndpoints() []endpoint {
	return []endpoint{
		{pattern: "GET /2/activity/stream", app: true, limit: 450, params: []string{"backfill_minutes", "start_time", "end_time"}, serve: s.openActivity},
		{pattern: "GET /2/activity/subscriptions", user: true, app: true, limit: 500, params: []string{"max_results", "pagination_token"}, serve: s.getSubscriptions},
		{pattern: "POST /2/activity/subscriptions", user: true, scopes: []string{"tweet.read"}, limit: 500, serve: s.subscribe},
		{pattern: "DELETE /2/activity/subscriptions/{id}", user: true, app: true, scopes: []string{"tweet.read"}, limit: 500, serve: s.unsubscribe},
		{pattern: "GET /2/webhooks", app: true, limit: 450, serve: s.getWebhooks},
		{pattern: "POST /2/webhooks", app: true, limit: 450, serve: s.addWebhook},
		{pattern: "PUT /2/webhooks/{id}", app: true, limit: 450, serve: s.checkWebhook},
	}
}

// openActivity serves https://docs.x.com/x-api/activity/activity-stream.
func (s *Server) openActivity(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := 0
	for st := range s.streams {
		if st.activity {
			open++
		}
	}
	if open >= maxActivityStreams {
		return connectionProblem(429, "TooManyConnections", "This stream is currently at the maximum allowed connection limit.")
	}
	return answer{stream: s.open(c, &stream{activity: true})}
}

// getSubscriptions serves https://docs.x.com/x-api/activity/get-x-activity-subscriptions.
func (s *Server) getSubscriptions(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var data []object
	for _, p := range s.subscriptions {
		data = append(data, p.object())
	}
	body := object{"meta": object{"result_count": len(data), "total_subscriptions": len(data)}}
	if len(data) > 0 {
		body["data"] = data
	}
	return answer{status: 200, body: body}
}

// subscribe serves https://docs.x.com/x-api/activity/create-x-activity-subscription. The
// events here are private to an account, and so only it may ask for them.
func (s *Server) subscribe(c *call) answer {
	var body struct {
		EventType string `json:"event_type"`
		Filter    struct {
			UserID string `json:"user_id"`
		} `json:"filter"`
		Tag       string `json:"tag"`
		WebhookID string `json:"webhook_id"`
	}
	if refusal, ok := decode(c, &body); !ok {
		return refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := subscription{event: body.EventType, userID: body.Filter.UserID, tag: body.Tag, webhookID: body.WebhookID}
	switch {
	case !slices.Contains(activityTypes, p.event):
		return invalid("event_type", p.event, "The event type is none that is known here")
	case len(p.tag) > 200:
		return invalid("tag", p.tag, "The tag has more than 200 characters")
	case p.userID != c.accountID:
		return about(403, "You are not authorized to subscribe to private events of this user.")
	case p.webhookID != "" && s.webhooks[p.webhookID] == nil:
		return invalid("webhook_id", p.webhookID, "There is no such webhook")
	case len(s.subscriptions) >= maxSubscriptions:
		return about(403, "The limit of subscriptions is reached.")
	case slices.ContainsFunc(s.subscriptions, func(o subscription) bool { return o.event == p.event && o.userID == p.userID }):
		return answer{status: 409, body: object{"title": "Conflict", "detail": "A duplicate subscription exists.", "type": "about:blank", "status": 409}}
	}
	p.id = strconv.FormatInt(s.snowflake(), 10)
	s.subscriptions = append(s.subscriptions, p)
	s.announce()
	return answer{status: 200, body: object{"data": object{"subscription": p.object()}}, deed: &Deed{}}
}

// unsubscribe serves https://docs.x.com/x-api/activity/deletes-x-activity-subscription.
func (s *Server) unsubscribe(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.subscriptions, func(p subscription) bool { return p.id == c.r.PathValue("id") })
	if i < 0 {
		return about(404, "There is no such subscription.")
	}
	s.subscriptions = slices.Delete(s.subscriptions, i, i+1)
	return answer{status: 200, body: object{"data": object{"deleted": true}}, deed: &Deed{}}
}

// Subscriptions lists what programs have subscribed to, as "post.reply.create 4711 tag".
func (s *Server) Subscriptions() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.subscriptions {
		list = append(list, strings.TrimSpace(p.event+" "+p.userID+" "+p.tag))
	}
	return list
}

// deliverActivity tells of a new post whoever has subscribed to it. The lock must be
// held.
func (s *Server) deliverActivity(p *post) {
	if s.accounts[p.AuthorID].Protected {
		return
	}
	for _, sub := range s.subscriptions {
		if !sub.matches(s, p) {
			continue
		}
		f := fields{
			post:   map[string]bool{"author_id": true, "conversation_id": true, "created_at": true, "entities": true, "in_reply_to_user_id": true, "lang": true, "public_metrics": true, "referenced_tweets": !s.sparse},
			user:   map[string]bool{"protected": true},
			expand: map[string]bool{"author_id": true, "in_reply_to_user_id": true},
		}
		payload := s.postObject(p, f)
		if s.sparse {
			delete(payload, "edit_history_tweet_ids")
			delete(payload, "edit_history_post_ids")
		}
		includes, _ := s.expand([]*post{p}, f, "")
		includes["tweets"] = []object{payload}
		data := object{
			"event_uuid": strconv.FormatInt(s.snowflake(), 10), "event_type": sub.event,
			"filter": object{"user_id": sub.userID}, "payload": payload, "includes": includes,
		}
		if sub.tag != "" {
			data["tag"] = sub.tag
		}
		body, err := json.Marshal(object{"data": data})
		if err != nil {
			panic(err) // a bug, as in write
		}
		for st := range s.streams {
			if st.activity {
				s.send(st, frame{data: append(slices.Clone(body), "\r\n"...)})
			}
		}
		if w := s.webhooks[sub.webhookID]; w != nil && w.valid && !s.silent {
			w.queue(body)
		}
	}
}

// Sparse makes activity events leave out which posts a post refers to and is a version of,
// or ends that: X does not document whether they tell.
func (s *Server) Sparse(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sparse = on
}
