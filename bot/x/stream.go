package x

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"hashtill/bot"
)

const openTimeout = 30 * time.Second // for a stream to begin

// Listen implements [bot.Network] with the source that [Config].Hear names. It returns
// an error if X refuses the credentials or they are another account's.
func (n *Network) Listen(ctx context.Context, since string, heard func(context.Context, bot.Post) error) error {
	h := &hearing[*message]{
		account:  n.account,
		number:   func(m *message) string { return m.Data.ID },
		mentions: n.mentions,
		read:     n.read,
		heard:    heard,
		echoes:   n.echoes,
	}
	open := n.filtered
	h.partly = n.noURLs.Load
	switch n.cfg.Hear {
	case HearActivity:
		open = n.activity
	case HearWebhook:
		open = n.webhook
	case HearPoll:
		open = n.poll
	}
	return h.listen(ctx, since, func(ctx context.Context) (bool, error) { return open(ctx, h) })
}

// filtered opens the filtered stream once and reads it to its end
// (https://docs.x.com/x-api/stream/stream-filtered-posts). alive says that something
// came from it.
func (n *Network) filtered(ctx context.Context, h *hearing[*message]) (alive bool, err error) {
	self, handle, err := n.Self(ctx)
	if err != nil {
		return false, err
	}
	g := newGlance(self, handle)
	alive, err = n.stream(ctx, h, "/2/tweets/search/stream", asked, func(line []byte) (*message, error) {
		if posts, may := g.may(line, n.wanted.Load()); !may && !g.due() {
			n.bill.passedOver.Add(int64(posts))
			return nil, nil
		}
		n.bill.heard(line)
		return readMessage(line)
	})
	if e := new(apiError); !alive && errors.As(err, &e) && e.status == http.StatusConflict {
		err = n.restoreRules(ctx, e)
	}
	return alive, err
}

// stream opens a stream of X's once and reads it to its end. read decodes a line; a nil
// message is of no interest.
func (n *Network) stream(ctx context.Context, h *hearing[*message], path string, query url.Values, read func(line []byte) (*message, error)) (alive bool, err error) {
	h.opening(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opening := time.AfterFunc(openTimeout, func() { cancel(errSilent) })
	defer opening.Stop()
	r, err := n.newRequest(ctx, asApp, http.MethodGet, n.cfg.StreamURL+path, query, nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Accept-Encoding", "identity") // compression would hold messages back
	resp, err := n.send(asApp, r)
	if err != nil {
		return false, because(ctx, err)
	}
	opening.Stop()
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false, n.refusal(asApp, resp)
	}
	defer h.opened(ctx)()
	in := newLines(resp.Body, func() { cancel(errSilent) })
	for {
		line, err := in.next()
		switch {
		case errors.Is(err, errOverlong):
			n.log.WarnContext(ctx, "stream message skipped", "err", err)
			alive = true
			continue
		case err != nil:
			return alive, because(ctx, err)
		}
		alive = true
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		m, err := read(line)
		switch {
		case err != nil:
			n.log.WarnContext(ctx, "stream message skipped", "err", wordless(err), "bytes", len(line))
		case m == nil:
		case m.Data == nil:
			n.log.WarnContext(ctx, "stream message about the stream", "problem", m.Errors[0].Title)
		case !m.hidden():
			if err := h.live(ctx, m); err != nil {
				return alive, err
			}
		}
	}
}

// because is the reason why ctx ended, or else why a stream did.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, io.EOF) {
		return errEnded
	}
	return err
}

// wordless is err without what people wrote.
func wordless(err error) error {
	if errors.Is(err, errNoPost) {
		return err
	}
	return errors.New("not a message of X")
}

// read completes a message and reads its post.
func (n *Network) read(ctx context.Context, m *message) (p bot.Post, ok bool) {
	self, handle, err := n.Self(ctx) // known since the stream was opened
	if err != nil || m.Data.AuthorID == self {
		return bot.Post{}, false
	}
	n.complete(ctx, m)
	return reader{self, handle}.post(m), true
}

// mentions asks for the posts that mention the bot
// (https://docs.x.com/x-api/users/get-mentions).
func (n *Network) mentions(ctx context.Context, since, next string, most int) (posts []*message, more string, err error) {
	self, _, err := n.Self(ctx)
	if err != nil {
		return nil, "", err
	}
	query := maps.Clone(asked)
	query.Set("max_results", "100")
	if most > 0 {
		query.Set("max_results", strconv.Itoa(max(most, 5))) // X gives no fewer
	}
	if since != noPost {
		query.Set("since_id", since)
	}
	if next != "" {
		query.Set("pagination_token", next)
	}
	var page postPage
	if err := n.call(ctx, asBot, http.MethodGet, "/2/users/"+self+"/mentions", query, nil, &page); err != nil {
		return nil, "", err
	}
	return page.messages(), page.Meta.Next, nil
}

const (
	hearFirst = 250 * time.Millisecond
	hearMost  = 4 * time.Second // so that the shop goes on soon after its store is back
)

// hear hands a post over until it is dealt with.
func (a *account) hear(ctx context.Context, p bot.Post, heard func(context.Context, bot.Post) error) {
	for try := 0; ; try++ {
		err := heard(ctx, p)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			return
		}
		if try == 0 {
			a.log.WarnContext(ctx, "post not dealt with; handing it over again until it is", "post", p.ID, "err", err)
		}
		if !sleep(ctx, doubled(hearFirst, try, hearMost)) {
			return
		}
	}
}

// A post that was referred to is asked for lookUps times. Without it the message still
// tells its number. One that was told of in part is asked for until lookUpTime is over, as
// long as X may answer yet: without it nobody knows what the rest says.
const (
	lookUps    = 3
	lookUpTime = 5 * time.Minute
)

// complete looks up the posts that m refers to and does not bring, and m's own if that
// does not tell which (https://docs.x.com/x-api/posts/get-posts-by-ids).
func (n *Network) complete(ctx context.Context, m *message) {
	if m.partial {
		patience, cancel := context.WithTimeout(ctx, lookUpTime)
		found := n.lookUp(patience, m.Data.ID, []string{m.Data.ID}, math.MaxInt)
		cancel()
		if found != nil && len(found.Data) == 1 && found.Data[0].ID == m.Data.ID {
			m.Data = &found.Data[0]
			m.add(found.Includes)
		}
	}
	ids := m.missing()
	if len(ids) == 0 {
		return
	}
	if found := n.lookUp(ctx, m.Data.ID, ids, lookUps); found != nil {
		m.Includes.Tweets = append(m.Includes.Tweets, found.Data...)
		m.add(found.Includes)
	}
}

// add adds what came with a look-up.
func (m *message) add(in includes) {
	m.Includes.Users = append(m.Includes.Users, in.Users...)
	m.Includes.Tweets = append(m.Includes.Tweets, in.Tweets...)
	m.Includes.Posts = append(m.Includes.Posts, in.Posts...)
}

// lookedUp is the answer to a look-up.
type lookedUp struct {
	Data     []tweet
	Includes includes
}

// lookUp looks posts up that matter to a post, so many times, nil if that fails.
func (n *Network) lookUp(ctx context.Context, post string, ids []string, tries int) *lookedUp {
	query := url.Values{"ids": {strings.Join(ids, ",")}}
	for name, values := range asked {
		query[name] = values
	}
	for try := range tries {
		answer := new(lookedUp)
		err := n.call(ctx, asApp, http.MethodGet, "/2/tweets", query, nil, answer)
		if err == nil {
			return answer
		}
		n.log.WarnContext(ctx, "referenced post not looked up", "post", post, "try", try+1, "err", err)
		if e := new(apiError); errors.As(err, &e) && e.status/100 == 4 || try == tries-1 || !sleep(ctx, doubled(time.Second, try, hearMost)) {
			break
		}
	}
	return nil
}
