// Package xtest is a local stand-in for the X (formerly Twitter) API.
//
// It is an honest witness, not a mock: it is written from X's public
// documentation alone, knows nothing of the program that talks to it, and
// refuses what X refuses. Tests, crash tests and the demo put it in X's place
// by changing nothing but an address.
//
// # Who acts
//
// People act through methods: [Server.Post], [Server.Repost], [Server.Edit],
// [Server.Delete]. Programs act over HTTP and must sign in: OAuth 1.0a
// (HMAC-SHA1, RFC 5849) with the [Credentials] of an account, or the app-only
// [Server.Bearer] token. Every signature is verified, every nonce works once.
//
// # What is kept
//
//   - A reply by API is refused unless the author of the post mentions the
//     replying account or quotes one of its posts, or the reply stands under
//     one of the account's own posts (the rule of 23 February 2026).
//   - A text an account has already posted is refused as a duplicate; a text
//     of more than 280 weighted characters, or of none, is refused; so are
//     quotes by API, which are for Enterprise.
//   - Requests are counted per caller and endpoint, and every answer says in
//     x-rate-limit-* headers what is left. To OAuth 1.0a it also says, in
//     x-access-level, whether the token may write.
//   - Post ids are snowflakes: decimal strings above 2^53, strictly rising.
//   - Texts are as X delivers them: a reply starts with the @name it answers,
//     links become t.co links, a quote ends with one, a repost reads
//     "RT @name: …" and is cut at 140 characters, &, < and > are escaped.
//   - The filtered stream has one connection and needs rules. It delivers
//     posts that match a rule, with the fields that were asked for and no
//     others, and keeps alive with "\r\n". Protected accounts never appear.
//   - The X Activity API tells of mentions, replies, quotes and reposts of accounts that
//     were subscribed to, on two connections at most and at webhooks, which must answer
//     its check and whose deliveries are signed.
//   - With [Options].Classic the closed v1.1 endpoints answer too, for clients
//     that still speak them; without it they refuse as they do today.
//   - People sign in to apps on pages of the stand-in's own, by OAuth 2.0 with
//     PKCE or by OAuth 1.0a in three legs: see [Server.RegisterApp].
//
// # What is not kept
//
// Direct messages, media, other events of the X Activity API, search, the caps per
// day and refresh tokens are not here. The "Automated" label of an account is not
// part of X's public API and so never goes over the wire.
//
// # Trouble on demand
//
// [Server.Fail] makes requests fail before the deed, after it, slowly, or by
// cutting the connection. [Server.Disconnect], [Server.Cut],
// [Server.CutMidMessage], [Server.Silence], [Server.Duplicate],
// [Server.Disorder] and [Server.Send] trouble the stream. [Server.OnDeed] is
// called between a deed and its answer, where a crash hurts most.
//
// Sources: https://docs.x.com (API v2), the archived v1.1 reference at
// https://developer.x.com/en/docs/x-api/v1, and RFC 5849.
package xtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// ErrClosed is returned by waits that the end of the server has ended.
var ErrClosed = errors.New("xtest: server closed")

// Options say how the stand-in behaves. The zero value is X as it is today.
type Options struct {
	Listen      string            // address to listen on; default "127.0.0.1:0"
	Listener    net.Listener      // what to listen with in place of that: of pipes, say, for a test with a clock of its own
	Deliver     http.RoundTripper // carries what is delivered to webhooks; default one of its own
	Now         func() time.Time  // clock for ids, dates and rate limits; default time.Now
	Heartbeat   time.Duration     // silence after which a stream sends "\r\n"; default 20 s, by the machine's clock
	FreeReplies bool              // lift the reply rule of 23 February 2026, as for Enterprise apps
	Classic     bool              // serve the v1.1 endpoints that X has closed
	PostNames   bool              // speak the names of 7 August 2026: referenced_posts, edit_history_post_ids
	// Limits overrides the requests a caller has per window, by endpoint, as
	// in {"POST /2/tweets": 3}. The endpoints are those of [Server.Endpoints].
	Limits map[string]int
}

// Server is a running stand-in. Its methods may be called at any time, from
// any goroutine.
type Server struct {
	opts          Options
	endpoints     []endpoint
	consumerKey   string
	secret        string // of the consumer key
	bearer        string
	listener      net.Listener
	http          *http.Server
	ctx           context.Context // ended by Close
	cancel        context.CancelFunc
	running       sync.WaitGroup // the accept loop, every connection and webhook
	webhookClient *http.Client

	mu            sync.Mutex
	changed       chan struct{} // closed and replaced at every change people may wait for
	lastID        int64
	accounts      map[string]*account // by id
	order         []*post             // living posts, oldest first
	posts         map[string]*post    // the same by id
	answers       map[string]int      // good ones, by endpoint
	spent         map[string]*window
	nonces        map[string]time.Time
	rules         []rule
	streams       map[*stream]bool
	subscriptions []subscription
	webhooks      map[string]*webhook // by id
	sparse        bool
	faults        []*Fault
	onDeed        func(Deed)
	silent        bool
	duplicate     bool
	disorder      int
	cutMessage    bool
	signIn        signInState
}

// Start runs a stand-in until Close. It fails if it cannot listen.
func Start(opts Options) (*Server, error) {
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Heartbeat == 0 {
		opts.Heartbeat = 20 * time.Second
	}
	l := opts.Listener
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", opts.Listen); err != nil {
			return nil, fmt.Errorf("xtest: %w", err)
		}
	}
	if opts.Deliver == nil {
		opts.Deliver = new(http.Transport)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		opts:        opts,
		consumerKey: rand.Text(),
		secret:      rand.Text(),
		bearer:      "AAAA" + rand.Text(),
		listener:    l,
		ctx:         ctx,
		cancel:      cancel,
		changed:     make(chan struct{}),
		accounts:    make(map[string]*account),
		posts:       make(map[string]*post),
		answers:     make(map[string]int),
		spent:       make(map[string]*window),
		nonces:      make(map[string]time.Time),
		streams:     make(map[*stream]bool),
		signIn:      newSignInState(),
	}
	s.webhookClient = &http.Client{Transport: opts.Deliver, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	s.http = &http.Server{Handler: s.routes(), ConnState: s.connState}
	s.running.Go(func() { s.http.Serve(l) })
	return s, nil
}

// URL returns the base address, as "http://127.0.0.1:4711", without a slash at
// its end. It stands for https://api.x.com and for the hosts of v1.1.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Close cuts all connections and returns when every goroutine of the server
// has ended. It must not be called from [Server.OnDeed]'s function.
func (s *Server) Close() error {
	s.cancel()
	err := s.http.Close()
	s.running.Wait()
	s.webhookClient.CloseIdleConnections()
	if errors.Is(err, net.ErrClosed) { // closed before
		err = nil
	}
	return err
}

// connState counts connections, so that Close can wait for their goroutines.
func (s *Server) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.running.Add(1)
		if s.ctx.Err() != nil { // accepted while Close was closing the others
			c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		s.running.Done()
	}
}

// announce tells waiters to look again. The lock must be held.
func (s *Server) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// await returns nil once ok, called with the lock held, says so.
func (s *Server) await(ctx context.Context, ok func() bool) error {
	for {
		s.mu.Lock()
		done, changed := ok(), s.changed
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return ErrClosed
		}
	}
}

// snowflake returns a new id: milliseconds since 4 November 2010 in the upper
// bits, as X builds them. The lock must be held.
func (s *Server) snowflake() int64 {
	const epoch, least = 1288834974657, 1 << 32 // even a clock far in the past gets ids above 2^53
	id := max(s.opts.Now().UnixMilli()-epoch, least) << 22
	if id <= s.lastID { // same millisecond, or the clock went back
		id = s.lastID + 1
	}
	s.lastID = id
	return id
}
