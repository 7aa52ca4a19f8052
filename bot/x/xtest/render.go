package xtest

import (
	"net/url"
	"slices"
	"strings"
)

// The fields and expansions of https://docs.x.com/x-api/fundamentals/fields.
// Those that never have a value here are known, and left out as X leaves out
// what is empty.
var (
	postFields = strings.Fields("article attachments author_id card_uri community_id context_annotations conversation_id created_at " +
		"display_text_range edit_controls edit_history_tweet_ids edit_history_post_ids entities geo id in_reply_to_user_id lang media_metadata " +
		"note_tweet possibly_sensitive public_metrics referenced_tweets referenced_posts reply_settings scopes source suggested_source_links text withheld")
	userFields = strings.Fields("affiliation confirmed_email connection_status created_at description entities id is_identity_verified location most_recent_tweet_id " +
		"name parody pinned_tweet_id profile_banner_url profile_image_url protected public_metrics receives_your_dm subscription_type url username " +
		"verified verified_followers_count verified_type withheld")
	expansions = strings.Fields("article.cover_media article.media_entities attachments.media_keys attachments.media_source_tweet attachments.poll_ids author_id " +
		"edit_history_tweet_ids entities.mentions.username geo.place_id in_reply_to_user_id entities.note.mentions.username " +
		"referenced_tweets.id referenced_tweets.id.author_id referenced_posts.id referenced_posts.id.author_id pinned_tweet_id")
)

// fields is what a request has asked for.
type fields struct {
	post, user, expand map[string]bool
}

// parseFields reads tweet.fields, user.fields and expansions; post.fields and
// the names in "posts" are the names of 7 August 2026 for the same. If
// something is not known, refused is true and a the answer.
func parseFields(query url.Values) (f fields, a answer, refused bool) {
	f = fields{post: map[string]bool{}, user: map[string]bool{}, expand: map[string]bool{}}
	for _, p := range []struct {
		name  string
		known []string
		into  map[string]bool
	}{
		{"tweet.fields", postFields, f.post}, {"post.fields", postFields, f.post},
		{"user.fields", userFields, f.user}, {"expansions", expansions, f.expand},
	} {
		if query.Get(p.name) == "" {
			continue
		}
		for name := range strings.SplitSeq(query.Get(p.name), ",") {
			if !slices.Contains(p.known, name) {
				return f, invalid(p.name, name, "The `"+p.name+"` query parameter value ["+name+"] is not one of ["+strings.Join(p.known, ",")+"]"), true
			}
			p.into[strings.Replace(name, "referenced_posts", "referenced_tweets", 1)] = true
		}
	}
	// An expansion brings the field it expands.
	for name := range f.expand {
		field, _, _ := strings.Cut(name, ".")
		f.post[field] = true
	}
	return f, answer{}, false
}

// The rest of this file is called with the lock held.

// postObject is a post as API v2 shows it.
// https://docs.x.com/x-api/fundamentals/data-dictionary
func (s *Server) postObject(p *post, f fields) object {
	history, references := "edit_history_tweet_ids", "referenced_tweets"
	if s.opts.PostNames {
		history, references = "edit_history_post_ids", "referenced_posts"
	}
	o := object{"id": p.ID, "text": escaper.Replace(p.Text), history: p.EditHistory}
	if f.post["author_id"] {
		o["author_id"] = p.AuthorID
	}
	if f.post["conversation_id"] {
		o["conversation_id"] = p.ConversationID
	}
	if f.post["created_at"] {
		o["created_at"] = p.CreatedAt.Format("2006-01-02T15:04:05.000Z")
	}
	if f.post["in_reply_to_user_id"] && p.InReplyToUserID != "" {
		o["in_reply_to_user_id"] = p.InReplyToUserID
	}
	if f.post["lang"] {
		o["lang"] = "und" // what X says when it cannot tell
	}
	if refs := p.references(); f.post["referenced_tweets"] && len(refs) > 0 {
		o[references] = refs
	}
	if e := p.entities(); f.post["entities"] && len(e) > 0 {
		o["entities"] = e
	}
	if f.post["public_metrics"] {
		m := s.metrics(p)
		o["public_metrics"] = object{"retweet_count": m.reposts, "reply_count": m.replies, "quote_count": m.quotes,
			"like_count": 0, "bookmark_count": 0, "impression_count": 0}
	}
	return o
}

func (p *post) references() []object {
	var refs []object
	for _, r := range [][2]string{{"retweeted", p.RepostOf}, {"quoted", p.Quote}, {"replied_to", p.ReplyTo}} {
		if r[1] != "" {
			refs = append(refs, object{"type": r[0], "id": r[1]})
		}
	}
	return refs
}

func (p *post) entities() object {
	at, o := offsets(p.Text), object{}
	var tags, names, urls []object
	for _, h := range p.Hashtags {
		tags = append(tags, object{"start": at(h.Start), "end": at(h.End), "tag": h.Tag})
	}
	for _, m := range p.Mentions {
		names = append(names, object{"start": at(m.Start), "end": at(m.End), "username": m.Handle, "id": m.AccountID})
	}
	for _, l := range p.Links {
		_, display, _ := strings.Cut(l.Expands, "://")
		urls = append(urls, object{"start": at(l.Start), "end": at(l.End), "url": l.URL, "expanded_url": l.Expands, "display_url": display})
	}
	for name, list := range map[string][]object{"hashtags": tags, "mentions": names, "urls": urls} {
		if len(list) > 0 {
			o[name] = list
		}
	}
	return o
}

type metrics struct{ reposts, replies, quotes int }

func (s *Server) metrics(p *post) (m metrics) {
	for _, other := range s.order {
		switch {
		case other.old:
		case other.RepostOf == p.ID:
			m.reposts++
		case other.ReplyTo == p.ID:
			m.replies++
		case other.Quote == p.ID:
			m.quotes++
		}
	}
	return m
}

// userObject is an account as API v2 shows it.
func (s *Server) userObject(a *account, f fields) object {
	o := object{"id": a.ID, "name": a.Name, "username": a.Handle}
	for name, value := range map[string]any{
		"created_at":  a.created.UTC().Format("2006-01-02T15:04:05.000Z"),
		"description": a.Bio,
		"protected":   a.Protected,
		"verified":    false,
	} {
		if f.user[name] {
			o[name] = value
		}
	}
	return o
}

// expand returns what the expansions of some posts bring, and the errors about
// posts that are not there for the viewer.
func (s *Server) expand(posts []*post, f fields, viewer string) (includes object, errors []object) {
	includes = object{}
	var users, tweets []object
	seen := map[string]bool{}
	addUser := func(id string) {
		if a := s.accounts[id]; a != nil && !seen[id] {
			seen[id] = true
			users = append(users, s.userObject(a, f))
		}
	}
	for _, p := range posts {
		if f.expand["author_id"] {
			addUser(p.AuthorID)
		}
		if f.expand["in_reply_to_user_id"] {
			addUser(p.InReplyToUserID)
		}
		if f.expand["entities.mentions.username"] {
			for _, m := range p.Mentions {
				addUser(m.AccountID)
			}
		}
		for _, id := range []string{p.RepostOf, p.Quote, p.ReplyTo} {
			deep := f.expand["referenced_tweets.id.author_id"]
			if id == "" || !deep && !f.expand["referenced_tweets.id"] {
				continue
			}
			target := s.visible(id, viewer)
			if target == nil {
				errors = append(errors, s.missing("referenced_tweets.id", id))
				continue
			}
			if !seen[id] {
				seen[id] = true
				tweets = append(tweets, s.postObject(target, f))
			}
			if deep {
				addUser(target.AuthorID)
			}
		}
	}
	if len(users) > 0 {
		includes["users"] = users
	}
	if len(tweets) > 0 {
		includes["tweets"] = tweets
	}
	return includes, errors
}

// missing is the error about a post that a viewer cannot have.
func (s *Server) missing(parameter, id string) object {
	if s.posts[id] != nil {
		return hidden(parameter, id)
	}
	return notFound("tweet", parameter, id)
}
