package xtest

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file speaks API v1.1, which X closed in 2023, for clients that have not
// learned another tongue. It is served with Options.Classic only.
// https://developer.x.com/en/docs/x-api/v1

// mode is one of the shapes of a v1.1 post.
type mode int

const (
	compatible mode = iota // text, cut at 140 characters
	extended               // full_text, by tweet_mode=extended
	streamed               // text, and extended_tweet if it had to be cut
)

func modeOf(params url.Values) mode {
	if params.Get("tweet_mode") == "extended" {
		return extended
	}
	return compatible
}

// params joins form and query: v1.1 takes either.
func (c *call) params() url.Values {
	all := url.Values{}
	for _, values := range []url.Values{c.query, c.form} {
		for k, v := range values {
			all[k] = append(all[k], v...)
		}
	}
	return all
}

// updateStatus serves POST statuses/update. A reply needs the name of the
// answered account in its text, or auto_populate_reply_metadata; otherwise it
// is a post of its own.
func (s *Server) updateStatus(c *call) answer {
	params := c.params()
	text, replyTo := params.Get("status"), params.Get("in_reply_to_status_id")
	if strings.TrimSpace(text) == "" {
		return classicError(403, 170, "Missing required parameter: status.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if parent := s.posts[replyTo]; parent != nil && params.Get("auto_populate_reply_metadata") != "true" && parent.AuthorID != c.accountID {
		if !slices.ContainsFunc(s.mentions(text), func(m Mention) bool { return m.AccountID == parent.AuthorID }) {
			replyTo = ""
		}
	}
	p, err := s.writeByAPI(c.accountID, text, replyTo)
	switch {
	case errors.Is(err, errTooLong):
		return classicError(403, 186, "Tweet needs to be a bit shorter.")
	case errors.Is(err, errDuplicate):
		return classicError(403, 187, "Status is a duplicate.")
	case errors.Is(err, errNoPost):
		return classicError(403, 385, "You attempted to reply to a Tweet that is deleted or not visible to you.")
	case errors.Is(err, errNotEngaged):
		return classicError(403, 433, "The original Tweet author restricted who can reply to this Tweet.")
	case err != nil:
		return classicError(403, 170, "Missing required parameter: status.")
	}
	return answer{status: 200, body: s.status(p, modeOf(params)), deed: &Deed{Post: p.copy()}}
}

// openFilter serves POST statuses/filter by track: commas are OR, spaces AND.
// An account has one stream; a new one ends the old.
func (s *Server) openFilter(c *call) answer {
	track := [][]string{}
	for phrase := range strings.SplitSeq(c.params().Get("track"), ",") {
		if words := strings.Fields(strings.ToLower(phrase)); len(words) > 0 {
			track = append(track, words)
		}
	}
	if len(track) == 0 {
		return answer{status: 406, body: object{}} // at least one predicate is needed
	}
	notice, _ := json.Marshal(disconnectNotice(7, "admin logout"))
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.streams {
		if st.owner == c.accountID {
			st.push(frame{data: append(notice, "\r\n"...), end: true})
		}
	}
	return answer{stream: s.open(c, &stream{track: track, owner: c.accountID})}
}

func disconnectNotice(code int, reason string) object {
	return object{"disconnect": object{"code": code, "stream_name": "statuses/filter", "reason": reason}}
}

// verifyCredentials serves GET account/verify_credentials, with the e-mail address
// if it is asked for, as to an app that may ask for addresses.
func (s *Server) verifyCredentials(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	me := s.accounts[c.accountID]
	body := s.classicUser(me)
	if c.query.Get("include_email") == "true" {
		body["email"] = nil
		if me.Email != "" {
			body["email"] = me.Email
		}
	}
	return answer{status: 200, body: body}
}

// userTimeline serves GET statuses/user_timeline.
func (s *Server) userTimeline(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	who := s.accounts[c.accountID]
	if id := c.query.Get("user_id"); id != "" {
		who = s.accounts[id]
	} else if name := c.query.Get("screen_name"); name != "" {
		who = s.byHandle(name)
	}
	if who == nil {
		return classicError(404, 34, "Sorry, that page does not exist.")
	}
	return s.classicTimeline(c, func(p *post) bool {
		return p.AuthorID == who.ID &&
			(c.query.Get("exclude_replies") != "true" || p.ReplyTo == "") &&
			(c.query.Get("include_rts") != "false" || p.RepostOf == "")
	})
}

// mentionsTimeline serves GET statuses/mentions_timeline.
func (s *Server) mentionsTimeline(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.classicTimeline(c, func(p *post) bool { return p.mentioned(c.accountID) && p.RepostOf == "" })
}

// classicTimeline must be called with the lock held, like all below.
func (s *Server) classicTimeline(c *call, match func(*post) bool) answer {
	count, err := strconv.Atoi(c.query.Get("count"))
	if err != nil {
		count = 20
	}
	since, upTo := c.query.Get("since_id"), c.query.Get("max_id")
	page := []object{}
	for _, p := range slices.Backward(s.order) {
		if len(page) == min(count, 200) {
			break
		}
		if p.old || !match(p) || s.visible(p.ID, c.accountID) == nil ||
			since != "" && !idLess(since, p.ID) || upTo != "" && idLess(upTo, p.ID) {
			continue
		}
		page = append(page, s.status(p, modeOf(c.query)))
	}
	return answer{status: 200, body: page}
}

// showStatus serves GET statuses/show.
func (s *Server) showStatus(c *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := c.query.Get("id")
	p := s.visible(id, c.accountID)
	if p == nil && s.posts[id] != nil {
		return classicError(403, 179, "Sorry, you are not authorized to see this status.")
	}
	if p == nil {
		return classicError(404, 144, "No status found with that ID.")
	}
	return answer{status: 200, body: s.status(p, modeOf(c.query))}
}

// status is a post as v1.1 shows it.
func (s *Server) status(p *post, m mode) object {
	count := s.metrics(p)
	o := object{
		"id": json.Number(p.ID), "id_str": p.ID,
		"created_at":              p.CreatedAt.Format(time.RubyDate),
		"user":                    s.classicUser(s.accounts[p.AuthorID]),
		"in_reply_to_status_id":   number(p.ReplyTo),
		"in_reply_to_user_id":     number(p.InReplyToUserID),
		"in_reply_to_screen_name": nil,
		"retweet_count":           count.reposts, "reply_count": count.replies, "quote_count": count.quotes,
		"favorite_count": 0, "favorited": false, "retweeted": false,
		"is_quote_status": p.Quote != "", "lang": "und", "source": "", "truncated": false,
	}
	for name, id := range map[string]string{"in_reply_to_status_id_str": p.ReplyTo, "in_reply_to_user_id_str": p.InReplyToUserID} {
		o[name] = nil
		if id != "" {
			o[name] = id
		}
	}
	if a := s.accounts[p.InReplyToUserID]; a != nil {
		o["in_reply_to_screen_name"] = a.Handle
	}
	if original := s.posts[p.RepostOf]; original != nil {
		o["retweeted_status"] = s.status(original, m)
	}
	if p.Quote != "" {
		o["quoted_status_id"], o["quoted_status_id_str"] = json.Number(p.Quote), p.Quote
		if quoted := s.visible(p.Quote, ""); quoted != nil {
			o["quoted_status"] = s.status(quoted, m)
		}
	}
	full, points := escaper.Replace(p.Text), []rune(p.Text)
	whole := []int{0, len([]rune(full))}
	switch {
	case m == extended:
		o["full_text"], o["display_text_range"], o["entities"] = full, whole, p.classicEntities(len(points))
	case len(points) <= 140:
		o["text"], o["entities"] = full, p.classicEntities(len(points))
	default:
		short, _ := shorten("https://x.com/i/web/status/" + p.ID)
		const keep = 140 - len(" https://t.co/0123456789") - 1 // and the ellipsis
		o["text"] = escaper.Replace(string(points[:keep])) + "… " + short
		o["truncated"], o["entities"] = true, p.classicEntities(keep)
		if m == streamed {
			o["extended_tweet"] = object{"full_text": full, "display_text_range": whole, "entities": p.classicEntities(len(points))}
		}
	}
	return o
}

// classicEntities are the entities that end within the first n code points.
func (p *post) classicEntities(n int) object {
	at := offsets(p.Text)
	tags, names, urls := []object{}, []object{}, []object{}
	for _, h := range p.Hashtags {
		if h.End <= n {
			tags = append(tags, object{"indices": []int{at(h.Start), at(h.End)}, "text": h.Tag})
		}
	}
	for _, m := range p.Mentions {
		if m.End <= n {
			names = append(names, object{"indices": []int{at(m.Start), at(m.End)}, "screen_name": m.Handle, "name": m.Handle,
				"id": json.Number(m.AccountID), "id_str": m.AccountID})
		}
	}
	for _, l := range p.Links {
		if l.End <= n {
			_, display, _ := strings.Cut(l.Expands, "://")
			urls = append(urls, object{"indices": []int{at(l.Start), at(l.End)}, "url": l.URL, "expanded_url": l.Expands, "display_url": display})
		}
	}
	return object{"hashtags": tags, "user_mentions": names, "urls": urls, "symbols": []object{}}
}

func (s *Server) classicUser(a *account) object {
	posts := 0
	for _, p := range s.order {
		if p.AuthorID == a.ID && !p.old {
			posts++
		}
	}
	return object{
		"id": json.Number(a.ID), "id_str": a.ID, "name": a.Name, "screen_name": a.Handle, "description": a.Bio,
		"protected": a.Protected, "verified": false, "statuses_count": posts, "created_at": a.created.UTC().Format(time.RubyDate),
	}
}

// number is an id as a JSON number, null if there is none.
func number(id string) any {
	if id == "" {
		return nil
	}
	return json.Number(id)
}
