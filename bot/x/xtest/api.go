package xtest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// createPost serves https://docs.x.com/x-api/posts/create-post.
func (s *Server) createPost(c *call) answer {
	var body struct {
		Text    *string `json:"text"`
		QuoteID string  `json:"quote_tweet_id"`
		Reply   *struct {
			InReplyTo string `json:"in_reply_to_tweet_id"`
		} `json:"reply"`
	}
	if refusal, ok := decode(c, &body); !ok {
		return refusal
	}
	if body.QuoteID != "" {
		return notPermitted
	}
	if body.Text == nil {
		return invalid("", "", "Requires at least one of the following fields: text, media, poll")
	}
	var replyTo string
	if body.Reply != nil {
		if replyTo = body.Reply.InReplyTo; !isID(replyTo) {
			return invalid("", "", "$.reply.in_reply_to_tweet_id: does not match the regex pattern ^[0-9]{1,19}$")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.writeByAPI(c.accountID, *body.Text, replyTo)
	switch {
	case errors.Is(err, errEmpty):
		return invalid("", "", "Requires at least one of the following fields: text, media, poll")
	case errors.Is(err, errTooLong):
		return invalid("", "", "Your Tweet text is too long. For more information on how Twitter determines text length see https://github.com/twitter/twitter-text.")
	case errors.Is(err, errNoPost):
		return noTarget
	case errors.Is(err, errNotEngaged):
		return notEngaged
	case errors.Is(err, errDuplicate):
		return duplicate
	case err != nil:
		return notPermitted
	}
	return answer{status: 201, body: object{"data": s.postObject(p, fields{})}, deed: &Deed{Post: p.copy()}}
}

// decode reads a JSON body into v, refusing fields v does not have.
func decode(c *call, v any) (refusal answer, ok bool) {
	if kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type")); kind != "application/json" {
		return invalid("", "", "The Content-Type must be application/json"), false
	}
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil || d.More() {
		return invalid("", "", "Requests bodies is not valid JSON of a form known here"), false
	}
	return answer{}, true
}

// deletePost serves https://docs.x.com/x-api/posts/delete-post.
func (s *Server) deletePost(c *call) answer {
	id := c.r.PathValue("id")
	s.mu.Lock()
	defer s.mu.Unlock()
	target := s.posts[id]
	switch err := s.remove(c.accountID, id); {
	case errors.Is(err, errNotAuthor):
		return about(403, "You are not authorized to delete this Tweet.")
	case err != nil:
		return answer{status: 200, body: object{"errors": []object{notFound("tweet", "id", id)}}}
	}
	return answer{status: 200, body: object{"data": object{"deleted": true}}, deed: &Deed{Post: target.copy()}}
}

// getPost serves https://docs.x.com/x-api/posts/get-post-by-id.
func (s *Server) getPost(c *call) answer {
	return s.onePost(c, func(p *post, f fields) answer {
		body := s.body([]*post{p}, f, c.accountID, nil)
		body["data"] = s.postObject(p, f)
		return answer{status: 200, body: body}
	})
}

// onePost serves what is about the post in the path, with the lock held, if the caller may
// see it.
func (s *Server) onePost(c *call, serve func(p *post, f fields) answer) answer {
	id := c.r.PathValue("id")
	f, refusal, refused := parseFields(c.query)
	if refused {
		return refusal
	}
	if !isID(id) {
		return invalidID("id", id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.visible(id, c.accountID)
	if p == nil {
		return answer{status: 200, body: object{"errors": []object{s.missing("id", id)}}}
	}
	return serve(p, f)
}

// getPosts serves https://docs.x.com/x-api/posts/get-posts-by-ids.
func (s *Server) getPosts(c *call) answer {
	f, refusal, refused := parseFields(c.query)
	if refused {
		return refusal
	}
	ids := strings.Split(c.query.Get("ids"), ",")
	if len(ids) > 100 {
		return invalid("ids", c.query.Get("ids"), "The number of values in the `ids` query parameter list ["+strconv.Itoa(len(ids))+"] is not between 1 and 100")
	}
	if i := slices.IndexFunc(ids, func(id string) bool { return !isID(id) }); i >= 0 {
		return invalidID("ids", ids[i])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*post
	var missing []object
	for _, id := range ids {
		if p := s.visible(id, c.accountID); p != nil {
			found = append(found, p)
		} else {
			missing = append(missing, s.missing("ids", id))
		}
	}
	return answer{status: 200, body: s.body(found, f, c.accountID, missing)}
}

// getMe serves https://docs.x.com/x-api/users/get-my-user. The confirmed address
// is for OAuth 2.0 tokens with the scope users.email, and for OAuth 1.0a, as of an
// app that may ask for addresses.
func (s *Server) getMe(c *call) answer {
	f, refusal, refused := parseFields(c.query)
	if refused {
		return refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	me := s.accounts[c.accountID]
	data := s.userObject(me, f)
	body := object{"data": data}
	switch {
	case !f.user["confirmed_email"]:
	case c.scopes != nil && !slices.Contains(c.scopes, "users.email"):
		body["errors"] = []object{hiddenField(me.ID, "confirmed_email")}
	case me.Email != "":
		data["confirmed_email"] = me.Email
	}
	return answer{status: 200, body: body}
}

// getUsage serves https://docs.x.com/x-api/usage/get-usage with the monthly cap of plans
// that pay per use. What is read here is not counted.
func (s *Server) getUsage(c *call) answer {
	known := []string{"cap_reset_day", "daily_client_app_usage", "daily_project_usage", "project_cap", "project_id", "project_usage"}
	if c.query.Has("usage.fields") {
		for name := range strings.SplitSeq(c.query.Get("usage.fields"), ",") {
			if !slices.Contains(known, name) {
				return invalid("usage.fields", name, "The `usage.fields` query parameter value ["+name+"] is not one of ["+strings.Join(known, ",")+"]")
			}
		}
	}
	return answer{status: 200, body: object{"data": object{
		"cap_reset_day": 10, "project_cap": "2000000", "project_id": "1369785403853424", "project_usage": "0",
	}}}
}

// getReposters serves https://docs.x.com/x-api/posts/get-reposted-by.
func (s *Server) getReposters(c *call) answer {
	return s.onePost(c, func(original *post, f fields) answer {
		page, meta, refusal, refused := s.page(c, 1, 100, func(p *post) bool {
			return p.RepostOf == original.ID && !s.accounts[p.AuthorID].Protected
		})
		if refused {
			return refusal
		}
		delete(meta, "newest_id") // these are users, whose ids say nothing
		delete(meta, "oldest_id")
		var users []object
		for _, p := range page {
			users = append(users, s.userObject(s.accounts[p.AuthorID], f))
		}
		body := object{"meta": meta}
		if len(users) > 0 {
			body["data"] = users
		}
		return answer{status: 200, body: body}
	})
}

// getPostsOf serves https://docs.x.com/x-api/users/get-posts.
func (s *Server) getPostsOf(c *call) answer {
	return s.timeline(c, 3200, func(p *post, userID string) bool { return p.AuthorID == userID })
}

// getMentions serves https://docs.x.com/x-api/users/get-mentions. Reposts are
// not mentions, and only the newest 800 are kept.
func (s *Server) getMentions(c *call) answer {
	return s.timeline(c, 800, func(p *post, userID string) bool { return p.mentioned(userID) && p.RepostOf == "" })
}

func (s *Server) timeline(c *call, keep int, match func(p *post, userID string) bool) answer {
	userID := c.r.PathValue("id")
	f, refusal, refused := parseFields(c.query)
	if refused {
		return refusal
	}
	if !isID(userID) {
		return invalidID("id", userID)
	}
	var from, to time.Time
	for name, t := range map[string]*time.Time{"start_time": &from, "end_time": &to} {
		if v := c.query.Get(name); v != "" {
			var err error
			if *t, err = time.Parse(time.RFC3339, v); err != nil {
				return invalid(name, v, "The `"+name+"` query parameter value ["+v+"] is not a valid RFC3339 date")
			}
		}
	}
	exclude := strings.Split(c.query.Get("exclude"), ",")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[userID] == nil {
		return answer{status: 200, body: object{"errors": []object{notFound("user", "id", userID)}}}
	}
	kept := 0
	page, meta, refusal, refused := s.page(c, 5, 10, func(p *post) bool {
		if p.old || !match(p, userID) || s.visible(p.ID, c.accountID) == nil {
			return false
		}
		if kept++; kept > keep {
			return false
		}
		return !(slices.Contains(exclude, "retweets") && p.RepostOf != "" || slices.Contains(exclude, "replies") && p.ReplyTo != "" ||
			!from.IsZero() && p.CreatedAt.Before(from) || !to.IsZero() && !p.CreatedAt.Before(to))
	})
	if refused {
		return refusal
	}
	body := s.body(page, f, c.accountID, nil)
	body["meta"] = meta
	return answer{status: 200, body: body}
}

// page returns the posts of one page, newest first, and its meta object.
func (s *Server) page(c *call, least, usual int, match func(*post) bool) (page []*post, meta object, refusal answer, refused bool) {
	size := usual
	if v := c.query.Get("max_results"); v != "" {
		var err error
		if size, err = strconv.Atoi(v); err != nil || size < least || size > 100 {
			return nil, nil, invalid("max_results", v, "The `max_results` query parameter value ["+v+"] is not between "+strconv.Itoa(least)+" and 100"), true
		}
	}
	before, since := c.query.Get("until_id"), c.query.Get("since_id")
	for name, id := range map[string]string{"until_id": before, "since_id": since} {
		if id != "" && !isID(id) {
			return nil, nil, invalidID(name, id), true
		}
	}
	if token := c.query.Get("pagination_token"); token != "" {
		id, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || !isID(string(id)) {
			return nil, nil, invalid("pagination_token", token, "The `pagination_token` query parameter value ["+token+"] is not valid"), true
		}
		before = string(id)
	}
	more := false
	for _, p := range slices.Backward(s.order) {
		if !match(p) || before != "" && !idLess(p.ID, before) || since != "" && !idLess(since, p.ID) {
			continue
		}
		if len(page) == size {
			more = true
			break
		}
		page = append(page, p)
	}
	meta = object{"result_count": len(page)}
	if len(page) > 0 {
		meta["newest_id"], meta["oldest_id"] = page[0].ID, page[len(page)-1].ID
	}
	if more {
		meta["next_token"] = base64.RawURLEncoding.EncodeToString([]byte(page[len(page)-1].ID))
	}
	return page, meta, answer{}, false
}

// body is the usual body of an answer with posts: data, includes, errors, each
// only if there are any.
func (s *Server) body(posts []*post, f fields, viewer string, errs []object) object {
	body := object{}
	if len(posts) > 0 {
		data := make([]object, len(posts))
		for i, p := range posts {
			data[i] = s.postObject(p, f)
		}
		body["data"] = data
	}
	includes, more := s.expand(posts, f, viewer)
	if len(includes) > 0 {
		body["includes"] = includes
	}
	if errs = append(errs, more...); len(errs) > 0 {
		body["errors"] = errs
	}
	return body
}

func invalidID(parameter, value string) answer {
	return invalid(parameter, value, "The `"+parameter+"` query parameter value ["+value+"] is not valid")
}
