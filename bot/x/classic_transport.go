package x

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	//lint:ignore SA1019 the classic shape is closed too, and needs nothing new
	"github.com/dghubble/go-twitter/twitter"
)

// classicTransport is beneath one go-twitter client. It puts the configured
// address in the place of the hosts that go-twitter has built in, before the
// request is signed; binds requests to a context, which go-twitter does not know;
// and keeps what go-twitter does not tell of an answer.
type classicTransport struct {
	*account
	ctx     context.Context
	refused *apiError
	header  http.Header // of the answer; nil if none has come

	// Of a stream.
	giveUp   context.CancelCauseFunc
	onOpen   func() // called before anything is read
	opened   atomic.Bool
	alive    atomic.Bool
	openFail error
}

// client returns go-twitter for one call within ctx.
func (a *account) client(ctx context.Context) (*twitter.Client, *classicTransport) {
	t := &classicTransport{account: a, ctx: ctx}
	return twitter.NewClient(&http.Client{Transport: t, CheckRedirect: noRedirect}), t
}

// streamClient returns go-twitter for one connection of a stream within ctx,
// which giveUp ends. It calls onOpen when the connection is there.
func (a *account) streamClient(ctx context.Context, giveUp context.CancelCauseFunc, onOpen func()) (*twitter.Client, *classicTransport) {
	api, t := a.client(ctx)
	t.giveUp, t.onOpen = giveUp, onOpen
	return api, t
}

// streamEnd ends a go-twitter Stream.
type streamEnd struct{ err error }

func (e *streamEnd) Error() string { return e.err.Error() }
func (e *streamEnd) Unwrap() error { return e.err }

// RoundTrip implements http.RoundTripper.
func (t *classicTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.cfg.APIURL
	if r.URL.Host == "stream.twitter.com" {
		base = t.cfg.StreamURL
	}
	to, err := url.Parse(base + r.URL.EscapedPath())
	if err != nil {
		return nil, err
	}
	to.RawQuery = r.URL.RawQuery
	r = r.Clone(t.ctx)
	r.URL, r.Host = to, to.Host
	if t.giveUp != nil {
		return t.openStream(r)
	}
	resp, err := t.signed.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	t.header = resp.Header
	if resp.StatusCode/100 != 2 {
		t.keepRefusal(resp)
	}
	resp.Body = &boundedBody{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}

// boundedBody reads a part of a body and closes the whole.
type boundedBody struct {
	io.Reader
	io.Closer
}

// keepRefusal reads an answer other than 2xx, and leaves it to be read.
func (t *classicTransport) keepRefusal(resp *http.Response) {
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	resp.Body.Close()
	if err != nil {
		data = nil
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	t.refused = t.refusal(asBot, resp)
	if t.refused.later.IsZero() {
		t.refused.later = t.cfg.Now().Add(30 * time.Minute) // for a daily limit: counted anew every half hour
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
}

// openStream opens the one connection of a stream. Everything but a stream is an
// error, which makes go-twitter give up.
func (t *classicTransport) openStream(r *http.Request) (*http.Response, error) {
	if t.opened.Swap(true) {
		return nil, &streamEnd{errEnded}
	}
	opening := time.AfterFunc(openTimeout, func() { t.giveUp(errSilent) })
	defer opening.Stop()
	r.Header.Set("Accept-Encoding", "identity") // compression would hold messages back
	resp, err := t.signed.RoundTrip(r)
	if err != nil {
		t.openFail = err
		return nil, &streamEnd{err}
	}
	if resp.StatusCode != http.StatusOK {
		t.keepRefusal(resp)
		t.openFail = t.refused
		return nil, &streamEnd{t.refused}
	}
	t.onOpen()
	resp.Body = &streamBody{t: t, in: newLines(resp.Body, func() { t.giveUp(errSilent) }), body: resp.Body}
	return resp, nil
}

// streamOutcome is how a stream went, once go-twitter has closed its messages.
func (t *classicTransport) streamOutcome(ctx context.Context) (alive bool, err error) {
	if err = t.openFail; err == nil {
		err = io.EOF
	}
	return t.alive.Load(), because(ctx, err)
}

// outcome is how a call went, of which go-twitter tells err: it knows nothing of
// a refusal without words, and of any refusal only the words.
func (t *classicTransport) outcome(err error) error {
	if t.refused != nil {
		return t.refused
	}
	return err
}

// streamBody hands go-twitter, which reads lines of any length, whole lines
// within bounds.
type streamBody struct {
	t    *classicTransport
	in   *lines
	body io.Closer
	rest []byte
}

func (b *streamBody) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		line, err := b.in.next()
		switch {
		case errors.Is(err, errOverlong):
			b.t.log.WarnContext(b.t.ctx, "stream message skipped", "err", err)
			b.t.alive.Store(true)
			continue
		case err != nil:
			return 0, err
		}
		b.t.alive.Store(true)
		b.rest = append(line, "\r\n"...)
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *streamBody) Close() error { return b.body.Close() }

// code is the number of a refusal of the classic API, 0 if it has none.
func (e *apiError) code() int {
	if e.problem == nil {
		return 0
	}
	for _, p := range e.problem.Errors {
		if p.Code != 0 {
			return p.Code
		}
	}
	return 0
}
