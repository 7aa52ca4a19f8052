package x

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	//lint:ignore SA1019 the classic shape is closed too, and needs nothing new
	"github.com/dghubble/go-twitter/twitter"

	"hashtill/bot"
)

// Classic is a server that speaks the classic API v1.1 as X did until 2023
// (https://developer.x.com/en/docs/x-api/v1). One stream is open at a time; to
// change what is followed it must be opened anew, and of what is posted in between
// only mentions are heard. Quotes of the bot's posts are heard only if they mention the bot
// or hold a followed hashtag. The classic API does not tell that a post is a version of
// another: an edited wish is one more wish, which asks for an echo of its own.
type Classic struct {
	*account

	follow sync.Mutex // guards what follows
	tags   []string
	anew   context.CancelCauseFunc // ends the open stream, nil if none is
}

var _ bot.Network = (*Classic)(nil)

// What statuses/filter takes
// (https://developer.x.com/en/docs/x-api/v1/tweets/filter-realtime/guides/basic-stream-parameters).
const (
	maxTracks = 400
	maxTrack  = 60 // bytes
)

// NewClassic returns a network in the classic shape. It talks to nobody yet; the
// error lists all that is wrong with the configuration. APIURL and StreamURL
// stand for https://api.twitter.com and https://stream.twitter.com.
func NewClassic(cfg Config) (*Classic, error) {
	a, err := newAccount(cfg, false)
	if err != nil {
		return nil, err
	}
	a.budget = newBudget(a.cfg, a.log, classicPosts, classicWindow)
	c := &Classic{account: a}
	a.whoami = c.verify
	return c, nil
}

// verify asks GET account/verify_credentials.
func (c *Classic) verify(ctx context.Context) (id, handle string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	api, seen := c.client(ctx)
	u, _, err := api.Accounts.VerifyCredentials(&twitter.AccountVerifyParams{SkipStatus: twitter.Bool(true)})
	if err := seen.outcome(err); err != nil {
		return "", "", err
	}
	return number(u.IDStr, u.ID), u.ScreenName, nil
}

// Follow implements [bot.Network] with the track parameter of statuses/filter.
// It returns before the stream is open again.
func (c *Classic) Follow(ctx context.Context, tags []string) error {
	clean, err := cleanTags(tags)
	if err != nil {
		return err
	}
	if len(clean) > maxTracks-1 { // one for the bot's handle
		return &CatalogueError{Tags: len(clean), Rules: len(clean), Limit: maxTracks - 1}
	}
	for _, tag := range clean {
		if len(tag)+1 > maxTrack {
			return fmt.Errorf("x: hashtag %q is longer than the %d bytes that can be followed", tag, maxTrack-1)
		}
	}
	c.follow.Lock()
	defer c.follow.Unlock()
	if slices.Equal(c.tags, clean) {
		return nil
	}
	c.tags = clean
	if c.anew != nil {
		c.anew(errAnew)
	}
	return nil
}

// Listen implements [bot.Network] with statuses/filter: hashtags and the bot's
// handle by track, reposts of and answers to its posts by follow.
func (c *Classic) Listen(ctx context.Context, since string, heard func(context.Context, bot.Post) error) error {
	h := &hearing[*twitter.Tweet]{
		account:  c.account,
		number:   func(t *twitter.Tweet) string { return number(t.IDStr, t.ID) },
		mentions: c.mentions,
		read:     c.read,
		heard:    heard,
	}
	return h.listen(ctx, since, func(ctx context.Context) (bool, error) { return c.stream(ctx, h) })
}

// stream opens the stream once and reads it to its end.
//
// go-twitter's Stream reconnects by itself, with waits that nothing but its Stop
// ends, and Stop races with the connection it closes. So the transport gives each
// Stream one connection, and the end of ctx ends that, and with it the Stream.
func (c *Classic) stream(ctx context.Context, h *hearing[*twitter.Tweet]) (alive bool, err error) {
	self, handle, err := c.Self(ctx)
	if err != nil {
		return false, err
	}
	h.opening(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.follow.Lock()
	c.anew = cancel
	track := []string{"@" + handle}
	for _, tag := range c.tags {
		track = append(track, "#"+tag)
	}
	c.follow.Unlock()
	defer func() {
		c.follow.Lock()
		c.anew = nil
		c.follow.Unlock()
	}()

	ended := func() {}
	defer func() { ended() }()
	api, seen := c.streamClient(ctx, cancel, func() { ended = h.opened(ctx) })
	stream, err := api.Streams.Filter(&twitter.StreamFilterParams{Track: track, Follow: []string{self}})
	if err != nil {
		return false, err
	}
	demux := twitter.NewSwitchDemux()
	demux.Tweet = func(t *twitter.Tweet) {
		if err := check(t); err != nil {
			c.log.WarnContext(ctx, "stream message skipped", "err", err)
		} else if !hidden(t) {
			h.live(ctx, t) // where it fails, the stream ends too
		}
	}
	demux.StatusDeletion = func(d *twitter.StatusDeletion) {
		if d == nil {
			return
		}
		if post, author := number(d.IDStr, d.ID), number(d.UserIDStr, d.UserID); post != "" && author != "" {
			h.remove(ctx, post, author)
		}
	}
	demux.StreamLimit = func(l *twitter.StreamLimit) {
		if l != nil {
			c.log.WarnContext(ctx, "posts were not delivered", "posts", l.Track)
		}
	}
	demux.StreamDisconnect = func(d *twitter.StreamDisconnect) {
		if d != nil {
			c.log.WarnContext(ctx, "stream message about the stream", "problem", d.Reason)
		}
	}
	demux.Warning = func(w *twitter.StallWarning) {
		if w != nil {
			c.log.WarnContext(ctx, "stream message about the stream", "problem", w.Code)
		}
	}
	demux.Other = func(m any) {
		if err, ok := m.(error); !ok || !errors.As(err, new(*streamEnd)) {
			c.log.WarnContext(ctx, "stream message skipped", "err", "not a message of the classic API")
		}
	}
	demux.HandleChan(stream.Messages) // closed at the end of the stream
	return seen.streamOutcome(ctx)
}

// read reads a post and completes it.
func (c *Classic) read(ctx context.Context, t *twitter.Tweet) (p bot.Post, ok bool) {
	self, handle, err := c.Self(ctx) // known since the stream was opened
	if err != nil || number(t.User.IDStr, t.User.ID) == self {
		return bot.Post{}, false
	}
	p = reader{self, handle}.status(t)
	// What else is answered matters only where it may have brought the bot's name.
	if p.Kind == bot.Answer && (p.Of.Author.ID == self || p.Implied) {
		c.complete(ctx, reader{self, handle}, &p)
	}
	return p, true
}

// mentions asks for the posts that mention the bot
// (https://developer.x.com/en/docs/x-api/v1/tweets/timelines/api-reference/get-statuses-mentions_timeline).
// The last page is the one that is empty.
func (c *Classic) mentions(ctx context.Context, since, next string, most int) (page []*twitter.Tweet, more string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	params := &twitter.MentionTimelineParams{Count: 200, TweetMode: "extended"}
	if most > 0 {
		params.Count = most
	}
	if params.SinceID, err = strconv.ParseInt(since, 10, 64); err != nil {
		return nil, "", err
	}
	if next != "" {
		if params.MaxID, err = strconv.ParseInt(next, 10, 64); err != nil {
			return nil, "", err
		}
	}
	api, seen := c.client(ctx)
	all, _, err := api.Timelines.MentionTimeline(params)
	if err := seen.outcome(err); err != nil {
		return nil, "", err
	}
	for i := range all {
		t := &all[i]
		if check(t) != nil {
			continue
		}
		if id, err := strconv.ParseInt(number(t.IDStr, t.ID), 10, 64); err == nil {
			more = strconv.FormatInt(id-1, 10)
		}
		if !hidden(t) {
			page = append(page, t)
		}
	}
	return page, more, nil
}

// complete looks up the post that p answers. Without it p still tells its
// number.
func (c *Classic) complete(ctx context.Context, rd reader, p *bot.Post) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	id, err := strconv.ParseInt(p.Of.ID, 10, 64)
	if err != nil {
		return
	}
	api, seen := c.client(ctx)
	t, _, err := api.Statuses.Show(id, &twitter.StatusShowParams{TweetMode: "extended"})
	if err := seen.outcome(err); err != nil {
		c.log.WarnContext(ctx, "referenced post not looked up", "post", p.ID, "err", err)
		return
	}
	if check(t) == nil && !hidden(t) {
		of := rd.status(t)
		p.Of = &of
	}
}

// Say implements [bot.Network] with statuses/update. The text begins with the
// address, which makes it an answer.
func (c *Classic) Say(ctx context.Context, r bot.Reply, again bool) (string, error) {
	to, err := strconv.ParseInt(r.To, 10, 64)
	if err != nil || !isID(r.To) {
		return "", &bot.RefusedError{Why: "the post to answer is none of X's"}
	}
	if !c.cfg.Links {
		r.Text = unlinked(r.Text)
	}
	text := r.Text
	if r.Handle != "" {
		text = "@" + strings.TrimPrefix(r.Handle, "@") + " " + text
	}
	if weight(text) > maxWeight {
		return "", bot.ErrTooLong
	}
	if again && !c.budget.unsent(r) {
		if id, err := c.ownReply(ctx, r, to); err != nil || id != "" {
			c.budget.forget(r.To)
			return id, classicSpoken(err)
		}
	}
	var id string
	err = c.rationed(ctx, r, func() (header http.Header, err error) {
		id, header, err = c.update(ctx, text, to)
		return header, err
	})
	if e := new(apiError); errors.As(err, &e) && e.code() == codeDuplicate {
		if id, lookErr := c.ownReply(ctx, r, to); lookErr != nil || id != "" {
			return id, classicSpoken(lookErr)
		}
	}
	return id, c.budget.keepPlace(r, classicSpoken(err))
}

func (c *Classic) update(ctx context.Context, text string, to int64) (id string, header http.Header, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	api, seen := c.client(ctx)
	t, _, err := api.Statuses.Update(text, &twitter.StatusUpdateParams{InReplyToStatusID: to})
	if err := seen.outcome(err); err != nil {
		return "", seen.header, err
	}
	if number(t.IDStr, t.ID) == "" {
		return "", seen.header, errors.New("x: POST statuses/update: the answer names no post")
	}
	return number(t.IDStr, t.ID), seen.header, nil
}

// ownReply is that of [Network], over statuses/user_timeline.
func (c *Classic) ownReply(ctx context.Context, r bot.Reply, to int64) (string, error) {
	params, err := c.ownTimeline(ctx)
	if err != nil {
		return "", err
	}
	params.SinceID = to
	for range ownPages {
		page, err := c.timeline(ctx, params)
		if err != nil || len(page) == 0 {
			return "", err
		}
		for i := range page {
			t := &page[i]
			if number(t.InReplyToStatusIDStr, t.InReplyToStatusID) == r.To && sameWords(statusText(t), r.Text) {
				return number(t.IDStr, t.ID), nil
			}
		}
		params.MaxID = page[len(page)-1].ID - 1
	}
	return "", nil
}

func (c *Classic) timeline(ctx context.Context, params *twitter.UserTimelineParams) ([]twitter.Tweet, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	api, seen := c.client(ctx)
	page, _, err := api.Timelines.UserTimeline(params)
	return page, seen.outcome(err)
}

// The numbers of the classic API's refusals
// (https://developer.x.com/en/support/x-api/error-troubleshooting).
const (
	codeRateLimit  = 88
	codeDailyLimit = 185 // posts of a day; counted anew every half hour
	codeTooLong    = 186
	codeDuplicate  = 187
)

// classicSpoken is spoken for the classic API, which numbers its refusals.
func classicSpoken(err error) error {
	e := new(apiError)
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.code() == codeTooLong:
		return bot.ErrTooLong
	case e.code() == codeRateLimit || e.code() == codeDailyLimit:
		return &bot.LaterError{At: e.later, Why: e.Error()}
	}
	return spoken(err)
}
