package x

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"hashtill/bot"
)

// message is one line of the filtered stream, and also the answer to a look-up
// of one post (https://docs.x.com/x-api/fundamentals/data-dictionary).
type message struct {
	Data     *tweet
	Includes includes
	Errors   []problem // about what is missing in Includes, or why the stream ends

	partial bool         // Data lacks what matters of it, and must be looked up whole
	kind    bot.PostKind // of Data, by the event that brought it, if it does not tell itself; Original if it may
}

type includes struct {
	Users  []user
	Tweets []tweet
	Posts  []tweet // the name of 7 August 2026 for Tweets
}

type user struct {
	ID, Username string
	Protected    bool
}

// tweet is a post. Since 7 August 2026 X's OpenAPI description has two names for
// some fields; either is read.
type tweet struct {
	ID            string
	Text          string
	AuthorID      string `json:"author_id"`
	CreatedAt     string `json:"created_at"`
	Lang          string
	TweetHistory  []string `json:"edit_history_tweet_ids"`
	PostHistory   []string `json:"edit_history_post_ids"`
	TweetRefs     []ref    `json:"referenced_tweets"`
	PostRefs      []ref    `json:"referenced_posts"`
	Entities      *entities
	NoteTweet     *note `json:"note_tweet"` // the whole of a long post; the rest then holds its beginning
	NotePost      *note `json:"note_post"`
	Withheld      json.RawMessage
	InReplyToUser string `json:"in_reply_to_user_id"`
}

type ref struct{ Type, ID string }

type note struct {
	Text     string
	Entities *entities
}

type entities struct {
	Hashtags []struct{ Tag string }
	Mentions []struct{ ID, Username string }
}

// asked is the query that brings all that tweet and user have fields for.
var asked = url.Values{
	"tweet.fields": {"author_id,created_at,edit_history_tweet_ids,entities,in_reply_to_user_id,lang,note_tweet,referenced_tweets,withheld"},
	"user.fields":  {"protected,username"},
	"expansions":   {"author_id,referenced_tweets.id,referenced_tweets.id.author_id"},
}

// firstID is the number of the post's first version, by which it is known.
func (t *tweet) firstID() string {
	for _, history := range [][]string{t.TweetHistory, t.PostHistory} {
		if len(history) > 0 && isID(history[0]) {
			return history[0]
		}
	}
	return t.ID
}

func (t *tweet) refs() []ref { return within(slices.Concat(t.TweetRefs, t.PostRefs)) }

// within bounds what is looked at of a list that X has sent, so that nothing which
// may come in one message takes long. A post of X has far less of anything.
func within[T any](list []T) []T { return list[:min(len(list), 500)] }

// refers is the number of the post that t reposts, quotes or answers, by the
// type that X gives a reference; "" if there is none.
func (t *tweet) refers(kind string) string {
	for _, r := range t.refs() {
		if r.Type == kind || kind == "retweeted" && r.Type == "reposted" {
			return r.ID
		}
	}
	return ""
}

// errNoPost: a message without what makes a post.
var errNoPost = errors.New("no post in it")

// readMessage decodes a line. A message without Data tells something about the
// stream.
func readMessage(line []byte) (*message, error) {
	m := new(message)
	if err := decode(line, m); err != nil {
		return nil, err
	}
	if m.Data == nil && len(m.Errors) == 0 || m.Data != nil && (!isID(m.Data.ID) || !isID(m.Data.AuthorID)) {
		return nil, errNoPost
	}
	return m, nil
}

// tweet returns an included post, by the number of any of its versions.
func (in *includes) tweet(id string) *tweet {
	for _, list := range [][]tweet{in.Tweets, in.Posts} {
		for i := range list {
			if t := &list[i]; t.ID == id || slices.Contains(t.TweetHistory, id) || slices.Contains(t.PostHistory, id) {
				return t
			}
		}
	}
	return nil
}

func (in *includes) user(id string) user {
	for _, u := range in.Users {
		if u.ID == id {
			return u
		}
	}
	return user{}
}

// missing returns the posts that m refers to and does not bring, without those
// that X says it will not show.
func (m *message) missing() []string {
	var ids []string
	for _, r := range m.Data.refs() {
		hidden := slices.ContainsFunc(m.Errors, func(p problem) bool { return p.ResourceID == r.ID || p.Value == r.ID })
		if isID(r.ID) && !hidden && m.Includes.tweet(r.ID) == nil {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// hidden says whether the post is not for everybody's eyes.
func (m *message) hidden() bool {
	return len(m.Data.Withheld) > 0 && string(m.Data.Withheld) != "null" || m.Includes.user(m.Data.AuthorID).Protected
}

// reader turns X's posts into bot.Posts, for the account self called handle.
type reader struct{ self, handle string }

// post reads the post of a message, with what it reposts, quotes or answers.
func (rd reader) post(m *message) bot.Post {
	p := rd.own(m.Data, &m.Includes)
	kind, of := rd.relation(m.Data, &m.Includes)
	unsaid := kind == bot.Original && m.kind != kind
	if unsaid {
		kind = m.kind
	}
	p.Kind = kind
	p.Implied = (unsaid && kind == bot.Answer || m.Data.refers("replied_to") != "") && rd.implied(p)
	if kind == bot.Repost { // its text is another's, and cut
		p.Text, p.Tags, p.Names, p.Implied = "", nil, nil, false
	}
	if kind == bot.Original {
		return p
	}
	p.Of = &bot.Post{Network: name, ID: of}
	switch {
	case kind == bot.Answer && m.Data.InReplyToUser != "":
		p.Of.Author.ID = m.Data.InReplyToUser
	case unsaid: // the event is about the bot's account
		p.Of.Author.ID = rd.self
	}
	if t := m.Includes.tweet(of); t != nil {
		q := rd.own(t, &m.Includes)
		if q.Kind, of = rd.relation(t, &m.Includes); q.Kind != bot.Original {
			q.Of = &bot.Post{Network: name, ID: of}
		}
		p.Of = &q
	}
	return p
}

// relation says how a post stands to which other. A quote can be an answer at
// the same time: then what the bot has said is the one that matters.
func (rd reader) relation(t *tweet, in *includes) (bot.PostKind, string) {
	reposted, quoted, answered := t.refers("retweeted"), t.refers("quoted"), t.refers("replied_to")
	toBot := func(id string) bool {
		other := in.tweet(id)
		return other != nil && other.AuthorID == rd.self
	}
	switch {
	case reposted != "":
		return bot.Repost, reposted
	case quoted != "" && answered != "" && !toBot(quoted) && (toBot(answered) || t.InReplyToUser == rd.self):
		return bot.Answer, answered
	case quoted != "":
		return bot.Quote, quoted
	case answered != "":
		return bot.Answer, answered
	}
	return bot.Original, ""
}

// own reads a post without its relations.
func (rd reader) own(t *tweet, in *includes) bot.Post {
	text, found := t.Text, t.Entities
	for _, n := range []*note{t.NoteTweet, t.NotePost} {
		if n != nil && n.Text != "" {
			text, found = n.Text, n.Entities
		}
	}
	text = unescape(text)
	p := bot.Post{
		Network: name,
		ID:      t.firstID(),
		Edited:  t.firstID() != t.ID,
		Author:  bot.Author{ID: t.AuthorID, Handle: in.user(t.AuthorID).Username},
		At:      postedAt(t.CreatedAt, t.ID),
		Text:    text,
		Lang:    language(t.Lang),
	}
	if found == nil { // X leaves out what is empty, but not every sender is X
		p.Tags = bot.Tags(text)
		p.Names = rd.names(nil, text)
		return p
	}
	for _, h := range within(found.Hashtags) {
		if h.Tag != "" {
			p.Tags = append(p.Tags, h.Tag)
		}
	}
	for _, m := range within(found.Mentions) {
		id := m.ID
		if id == "" && strings.EqualFold(m.Username, rd.handle) {
			id = rd.self
		}
		p.Names = appendNew(p.Names, id)
	}
	return p
}

// names adds the bot's number if text calls it by its handle.
func (rd reader) names(ids []string, text string) []string {
	for i := 0; ; {
		at := strings.IndexByte(text[i:], '@')
		if at < 0 {
			return ids
		}
		at += i
		i = at + 1
		end := i
		for end < len(text) && isHandleByte(text[end]) {
			end++
		}
		if (at == 0 || !isHandleByte(text[at-1])) && strings.EqualFold(text[i:end], rd.handle) {
			return appendNew(ids, rd.self)
		}
	}
}

// implied says whether p names the bot only before its first word: where an answer is
// written, X puts the names of the thread there
// (https://docs.x.com/x-api/fundamentals/data-dictionary, display_text_range).
func (rd reader) implied(p bot.Post) bool {
	rest := strings.TrimSpace(p.Text)
	for strings.HasPrefix(rest, "@") || strings.HasPrefix(rest, "＠") {
		end := strings.IndexFunc(rest, unicode.IsSpace)
		if end < 0 {
			end = len(rest)
		}
		rest = strings.TrimSpace(rest[end:])
	}
	return slices.Contains(p.Names, rd.self) && len(rd.names(nil, rest)) == 0
}

func isHandleByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '_'
}

func appendNew(ids []string, id string) []string {
	if id == "" || slices.Contains(ids, id) {
		return ids
	}
	return append(ids, id)
}

// postedAt is the date of a post; where X does not tell, the one in its number,
// which counts milliseconds since 4 November 2010 above 22 lower bits.
func postedAt(created, id string) time.Time {
	if at, err := time.Parse(time.RFC3339, created); err == nil {
		return at.UTC()
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n>>22 + 1288834974657).UTC()
}

// language is a tag of BCP 47. X says und, zxx or q.. where it cannot tell, and
// has kept three names that were changed in 1989.
func language(lang string) string {
	switch {
	case lang == "und" || lang == "zxx" || strings.HasPrefix(lang, "q"):
		return ""
	case lang == "in":
		return "id"
	case lang == "iw":
		return "he"
	case lang == "ji":
		return "yi"
	}
	return lang
}
