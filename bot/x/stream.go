package x

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hashtill/bot"
)

const (
	queueLength = 1024             // messages between reading and handing over
	openTimeout = 30 * time.Second // for a stream to begin
)

// Listen implements [bot.Network] with the filtered stream
// (https://docs.x.com/x-api/stream/stream-filtered-posts). It returns an error
// if X refuses the credentials or they are another account's.
func (n *Network) Listen(ctx context.Context, heard func(context.Context, bot.Post) error) error {
	return relay(ctx, func(ctx context.Context, queue chan<- *message) error {
		return n.keepOpen(ctx, func(ctx context.Context) (bool, error) { return n.stream(ctx, queue) })
	}, func(ctx context.Context, m *message) { n.handOver(ctx, m, heard) })
}

// relay runs read and, beside it, deal with what read has put on its queue, one
// after the other. It returns what read returns, when both have ended.
func relay[T any](ctx context.Context, read func(context.Context, chan<- T) error, deal func(context.Context, T)) error {
	ctx, cancel := context.WithCancel(ctx)
	queue, done := make(chan T, queueLength), make(chan struct{})
	go func() {
		defer close(done)
		for item := range queue {
			if ctx.Err() == nil {
				deal(ctx, item)
			}
		}
	}()
	err := read(ctx, queue)
	cancel()
	close(queue)
	<-done
	return err
}

// put queues an item, or gives up with ctx.
func put[T any](ctx context.Context, queue chan<- T, item T) error {
	select {
	case queue <- item:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stream opens the stream once and reads it to its end. alive says that
// something came from it.
func (n *Network) stream(ctx context.Context, queue chan<- *message) (alive bool, err error) {
	if _, _, err := n.Self(ctx); err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opening := time.AfterFunc(openTimeout, func() { cancel(errSilent) })
	defer opening.Stop()
	r, err := n.newRequest(ctx, asApp, http.MethodGet, n.cfg.StreamURL+"/2/tweets/search/stream", asked, nil)
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
		refusal := n.refusal(asApp, resp)
		if refusal.status == http.StatusConflict {
			return false, n.restoreRules(ctx, refusal)
		}
		return false, refusal
	}
	n.log.InfoContext(ctx, "stream open")
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
		m, err := readMessage(line)
		switch {
		case err != nil:
			n.log.WarnContext(ctx, "stream message skipped", "err", wordless(err), "bytes", len(line))
		case m.Data == nil:
			n.log.WarnContext(ctx, "stream message about the stream", "problem", m.Errors[0].Title)
		case !m.hidden():
			if err := put(ctx, queue, m); err != nil {
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

// handOver completes a message and has it heard.
func (n *Network) handOver(ctx context.Context, m *message, heard func(context.Context, bot.Post) error) {
	self, handle, err := n.Self(ctx) // known since the stream was opened
	if err != nil || m.Data.AuthorID == self {
		return
	}
	n.complete(ctx, m)
	n.hear(ctx, reader{self, handle}.post(m), heard)
}

const (
	hearFirst = 250 * time.Millisecond
	hearMost  = 30 * time.Second
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
		a.log.ErrorContext(ctx, "post not dealt with, will be handed over again", "post", p.ID, "try", try+1, "err", err)
		if !sleep(ctx, doubled(hearFirst, try, hearMost)) {
			return
		}
	}
}

// lookUps is how often a post that was referred to is asked for. Without it the
// message still tells its number.
const lookUps = 3

// complete looks up the posts that m refers to and does not bring
// (https://docs.x.com/x-api/posts/get-posts-by-ids).
func (n *Network) complete(ctx context.Context, m *message) {
	ids := m.missing()
	if len(ids) == 0 {
		return
	}
	query := url.Values{"ids": {strings.Join(ids, ",")}}
	for name, values := range asked {
		query[name] = values
	}
	for try := range lookUps {
		var answer struct {
			Data     []tweet
			Includes includes
		}
		err := n.call(ctx, asApp, http.MethodGet, "/2/tweets", query, nil, &answer)
		if err == nil {
			m.Includes.Tweets = append(m.Includes.Tweets, answer.Data...)
			m.Includes.Users = append(m.Includes.Users, answer.Includes.Users...)
			return
		}
		n.log.WarnContext(ctx, "referenced post not looked up", "post", m.Data.ID, "try", try+1, "err", err)
		if e := new(apiError); errors.As(err, &e) && e.status/100 == 4 || try == lookUps-1 || !sleep(ctx, doubled(time.Second, try, hearMost)) {
			return
		}
	}
}
