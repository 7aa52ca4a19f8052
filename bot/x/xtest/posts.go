package xtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Post is one post, reply, quote or repost.
type Post struct {
	ID              string
	AuthorID        string
	Text            string // as X shows it, but not yet escaped for its API
	CreatedAt       time.Time
	ConversationID  string   // id of the first post of the thread
	ReplyTo         string   // id of the post this one answers, or ""
	InReplyToUserID string   // author of that post
	Quote           string   // id of the quoted post, or ""
	RepostOf        string   // id of the reposted post, or ""
	EditHistory     []string // ids of all versions, oldest first
	Hashtags        []Hashtag
	Mentions        []Mention
	Links           []Link
}

// PostOptions say what a new post refers to, by post id.
type PostOptions struct {
	ReplyTo, Quote string
}

// Deed is something a program did by API.
type Deed struct {
	Name string // the endpoint, as "POST /2/tweets"
	Post Post   // the post made or deleted; zero for rule changes
}

// post is a Post and what only the server needs to know.
type post struct {
	Post
	sent string // the text as it was sent, by which duplicates are known
	old  bool   // an edited version has taken its place
}

// What stands in the way of a deed.
var (
	errNoAccount  = errors.New("xtest: no such account")
	errNoPost     = errors.New("xtest: no such post, or it is not visible to the account")
	errEmpty      = errors.New("xtest: the text is empty")
	errTooLong    = fmt.Errorf("xtest: the text has more than %d weighted characters", maxWeight)
	errDuplicate  = errors.New("xtest: the account has already posted this text")
	errNotEngaged = errors.New("xtest: the author of the post has not mentioned or quoted the account")
	errReposted   = errors.New("xtest: the account has already reposted this post")
	errNotAuthor  = errors.New("xtest: the post is somebody else's")
	errRepost     = errors.New("xtest: a repost cannot be edited")
)

// Post posts a text as a person would. It fails if the account, or a post it
// refers to, is not there for it, or if the text is empty or too long. The
// reply rule and the duplicate rule bind programs only.
func (s *Server) Post(accountID, text string, opts PostOptions) (Post, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.write(accountID, text, opts)
	if err != nil {
		return Post{}, err
	}
	return p.copy(), nil
}

// Repost reposts a post, or the original of a repost. It fails if either is
// not there, the post is protected, or the account has reposted it before.
func (s *Server) Repost(accountID, postID string) (Post, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	author, original := s.accounts[accountID], s.posts[postID]
	if author == nil {
		return Post{}, errNoAccount
	}
	if original != nil && original.RepostOf != "" {
		original = s.posts[original.RepostOf]
	}
	if original == nil || s.accounts[original.AuthorID].Protected {
		return Post{}, errNoPost
	}
	for _, p := range s.order {
		if p.AuthorID == accountID && p.RepostOf == original.ID {
			return Post{}, errReposted
		}
	}
	text := []rune("RT @" + s.accounts[original.AuthorID].Handle + ": " + original.Text)
	if len(text) > 140 {
		text = append(text[:139], '…')
	}
	p := &post{Post: Post{AuthorID: accountID, Text: string(text), RepostOf: original.ID}}
	s.publish(p)
	return p.copy(), nil
}

// Edit replaces the text of a post by a new version with a new id, as X does.
// The old version can still be looked up by its id.
func (s *Server) Edit(postID, text string) (Post, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.posts[postID]
	if old == nil || old.old {
		return Post{}, errNoPost
	}
	if old.RepostOf != "" {
		return Post{}, errRepost
	}
	p, err := s.compose(s.accounts[old.AuthorID], text, PostOptions{ReplyTo: old.ReplyTo, Quote: old.Quote})
	if err != nil {
		return Post{}, err
	}
	old.old = true
	p.ConversationID = old.ConversationID
	p.EditHistory = slices.Clone(old.EditHistory)
	s.publish(p)
	for _, id := range p.EditHistory {
		s.posts[id].EditHistory = p.EditHistory
	}
	return p.copy(), nil
}

// Delete removes a post of the account, with its other versions and reposts.
func (s *Server) Delete(accountID, postID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remove(accountID, postID)
}

// Timeline returns all living posts, newest first, without replaced versions.
func (s *Server) Timeline() []Post {
	return s.list(func(p *post) bool { return !p.old })
}

// Replies returns the posts that answer a post, newest first.
func (s *Server) Replies(postID string) []Post {
	return s.list(func(p *post) bool { return !p.old && p.ReplyTo == postID })
}

// Find returns a living post by id; ok is false if there is none.
func (s *Server) Find(postID string) (p Post, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.posts[postID]; found != nil {
		return found.copy(), true
	}
	return Post{}, false
}

// Wait returns the oldest living post that match accepts, and waits for one if
// there is none yet. It fails with ctx or with ErrClosed. match must not call
// the server.
func (s *Server) Wait(ctx context.Context, match func(Post) bool) (Post, error) {
	var found Post
	err := s.await(ctx, func() bool {
		for _, p := range s.order {
			if match(p.copy()) {
				found = p.copy()
				return true
			}
		}
		return false
	})
	return found, err
}

func (s *Server) list(match func(*post) bool) []Post {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Post
	for _, p := range slices.Backward(s.order) {
		if match(p) {
			found = append(found, p.copy())
		}
	}
	return found
}

func (p *post) copy() Post {
	c := p.Post
	c.EditHistory = slices.Clone(c.EditHistory)
	c.Hashtags = slices.Clone(c.Hashtags)
	c.Mentions = slices.Clone(c.Mentions)
	c.Links = slices.Clone(c.Links)
	return c
}

// mentioned reports whether the post mentions an account.
func (p *post) mentioned(accountID string) bool {
	return slices.ContainsFunc(p.Mentions, func(m Mention) bool { return m.AccountID == accountID })
}

// The rest of this file is called with the lock held.

// write composes a post and publishes it.
func (s *Server) write(accountID, text string, opts PostOptions) (*post, error) {
	author := s.accounts[accountID]
	if author == nil {
		return nil, errNoAccount
	}
	p, err := s.compose(author, text, opts)
	if err != nil {
		return nil, err
	}
	s.publish(p)
	return p, nil
}

// writeByAPI is write under the rules that bind programs.
func (s *Server) writeByAPI(accountID, text string, replyTo string) (*post, error) {
	p, err := s.compose(s.accounts[accountID], text, PostOptions{ReplyTo: replyTo})
	if err != nil {
		return nil, err
	}
	if replyTo != "" && !s.opts.FreeReplies && !s.engaged(s.posts[replyTo], accountID) {
		return nil, errNotEngaged
	}
	for _, other := range s.order {
		if other.AuthorID == accountID && other.sent == p.sent && other.RepostOf == "" && !other.old {
			return nil, errDuplicate
		}
	}
	s.publish(p)
	return p, nil
}

// engaged is the rule of 23 February 2026.
func (s *Server) engaged(target *post, accountID string) bool {
	if target.AuthorID == accountID || target.mentioned(accountID) {
		return true
	}
	if quoted := s.posts[target.Quote]; quoted != nil && quoted.AuthorID == accountID {
		return true
	}
	root := s.posts[target.ConversationID]
	return root != nil && root.AuthorID == accountID
}

// compose makes a post that is not yet published.
func (s *Server) compose(author *account, text string, opts PostOptions) (*post, error) {
	text = strings.TrimSpace(norm.NFC.String(text))
	if text == "" || !utf8.ValidString(text) {
		return nil, errEmpty
	}
	if weight(text) > maxWeight {
		return nil, errTooLong
	}
	p := &post{sent: text, Post: Post{AuthorID: author.ID, ReplyTo: opts.ReplyTo, Quote: opts.Quote}}
	if opts.ReplyTo != "" {
		parent := s.visible(opts.ReplyTo, author.ID)
		if parent == nil || parent.RepostOf != "" {
			return nil, errNoPost
		}
		p.InReplyToUserID = parent.AuthorID
		p.ConversationID = parent.ConversationID
		names := s.mentions(text)
		if parent.AuthorID != author.ID && !slices.ContainsFunc(names, func(m Mention) bool { return m.AccountID == parent.AuthorID }) {
			text = "@" + s.accounts[parent.AuthorID].Handle + " " + text
		}
	}
	if opts.Quote != "" {
		quoted := s.visible(opts.Quote, author.ID)
		if quoted == nil || quoted.RepostOf != "" {
			return nil, errNoPost
		}
		text += " https://x.com/" + s.accounts[quoted.AuthorID].Handle + "/status/" + quoted.ID
	}
	p.Text, p.Links = shorten(text)
	return p, nil
}

// publish gives a post its id, date and entities, and delivers it.
func (s *Server) publish(p *post) {
	p.ID = strconv.FormatInt(s.snowflake(), 10)
	p.CreatedAt = s.opts.Now().UTC().Truncate(time.Millisecond)
	if p.ConversationID == "" {
		p.ConversationID = p.ID
	}
	p.EditHistory = append(p.EditHistory, p.ID)
	p.Hashtags = hashtags(p.Text)
	p.Mentions = s.mentions(p.Text)
	s.posts[p.ID] = p
	s.order = append(s.order, p)
	s.deliver(p)
	s.announce()
}

func (s *Server) remove(accountID, postID string) error {
	target := s.posts[postID]
	if target == nil {
		return errNoPost
	}
	if target.AuthorID != accountID {
		return errNotAuthor
	}
	gone := target.EditHistory
	s.deliverRemoval(target)
	s.order = slices.DeleteFunc(s.order, func(p *post) bool {
		if slices.Contains(gone, p.ID) || slices.Contains(gone, p.RepostOf) {
			delete(s.posts, p.ID)
			return true
		}
		return false
	})
	s.announce()
	return nil
}

// visible returns a post if the account (or "" for an app) may see it, or nil.
func (s *Server) visible(postID, accountID string) *post {
	p := s.posts[postID]
	if p == nil || s.accounts[p.AuthorID].Protected && p.AuthorID != accountID {
		return nil
	}
	return p
}
