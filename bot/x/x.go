// Package x hears posts on X and replies there.
//
// # Two shapes
//
// [New] speaks API v2, X as it is: the filtered stream for hearing, POST
// /2/tweets for speaking. [NewClassic] speaks API v1.1, which X has closed and
// which other servers may still offer. Both are a [bot.Network], are named "x",
// and keep the same promises; bot/networktest holds them to these.
//
// # What carries what
//
// github.com/dghubble/oauth1 signs every request that acts as the bot's account.
// github.com/dghubble/go-twitter carries the classic shape whole: its Statuses,
// Timelines, Accounts and Streams services, its SwitchDemux, its Tweet. A
// RoundTripper beneath it puts the configured address in the place of the hosts
// that it has built in.
//
// Over v2 a thin client on net/http does the work. go-twitter's types have no
// field for what is read there: the author's number without an expansion, the
// history of edits, referenced posts that come beside the post and not in it.
//
// # Hearing
//
// [Config].Hear says how posts are heard: by the filtered stream, by the X Activity API's
// stream or its webhook, or by asking again and again. Whatever the source, posts go
// through one queue, bring the same cursors, and count by their first number. Only the
// filtered stream brings hashtags that are not said to the bot.
//
// The rules of the filtered stream live at X. Follow keeps them in step with the
// catalogue: new ones are added before old ones go, and only rules that carry
// the tag "hashtill:" and the bot's account number are ever deleted. Heard are
// mentions of and answers to the bot, reposts and quotes of its posts, and the
// followed hashtags; not heard are reposts of other people's posts, and the bot
// itself. Rules outlive the program, so Follow is called once at the start, even
// for no hashtags. Quotes that hold neither a hashtag nor the bot's name are found
// by their link, where X takes a rule with url:; where not, they are asked for each
// minute, and the log says so.
//
// A line of the filtered stream is looked at before it is decoded: those that nobody needs
// to hear, which a rule of another's or a change of the catalogue may bring in any number,
// are only counted, but for one a second, which moves the cursor. Nothing is turned away
// that mentions the bot, is about a post of its, or has a followed hashtag or a code.
//
// One goroutine reads the stream, another hands the posts over, one at a time;
// between them stands a queue of bounded length. When that is full, reading
// waits. A line that cannot be read is logged without its content, and skipped.
// The stream is opened anew with the waits that X asks for
// (https://docs.x.com/x-api/fundamentals/handling-disconnections). Each time it is
// open, the bot's mentions since the last known post are read page by page, from two
// minutes before it: what was posted while nobody listened comes late, and some of
// what was heard comes again; half a minute later once more, for what X showed late. X
// tells of the last 800 mentions. The waits outlive Listen.
//
// As long as a source is open it tells of reposts, quotes and answers itself: the filtered
// stream by the rules retweets_of: and url:, the X Activity API by events of their own, the
// classic stream as they hold the bot's name. Those that were missed, and where it is asked
// all of them, are looked for by the posts that Watch names, those with open codes; over
// the classic API nobody can be asked. X may count an echo before it shows it, and is then
// asked again. X does not tell when a repost was made that is found so: it is handed
// over without a date, and a deadline is judged by when it was found. X takes 75 such
// questions in 15 minutes as the app and as many as the account; they are put only where
// X's count of reposts or quotes has changed.
//
// The X Activity API is subscribed to for the bot's account, and only subscriptions that
// carry the same tag as the rules are ever deleted. What its webhook brings moves no
// cursor, as X may fail to deliver; a look each minute does.
//
// Withheld posts and those of protected accounts are passed over. X does not
// tell which accounts are labelled as automated, so Author.Bot is always false.
//
// # Speaking
//
// X knows no idempotency key. After a reply whose outcome is unknown, Say with
// again looks through the bot's own newer posts for one that answers the same
// post with the same words. So a second try must say what the first one said.
// What only waited for the budget was not said and is not looked for, and what was read
// is remembered: each post that is read costs.
// X refuses a text that the account has posted before, which is a second net.
//
// Since 23 February 2026 X refuses replies to people who have neither mentioned
// nor quoted the bot; that is a *bot.RefusedError, as is every other 403. X tells its
// refusals apart by their words alone, and so does RefusedError.Kind.
//
// What may be said is counted before it is said: by X's windows of 15 minutes and of a
// day, as its headers tell, and by [Config].RepliesPerDay. What there is no budget for is
// a *bot.LaterError, and no request; wishes are served in the order in which Expect has
// named them. The log tells before the budget is spent, when it is, and when it is back.
//
// A post with a link costs twenty times as much as a reply. Unless [Config].Links, what X
// would take for a link is parted by a space: "shop. example". Network.Spent tells what
// was posted and read, and what X asks for it.
//
// # Signing in
//
// [NewSignIn] lets people prove which account is theirs by OAuth 2.0 with PKCE,
// [NewClassicSignIn] by OAuth 1.0a. Both ask who it is and for the e-mail address,
// once, and never for a right to write. Nothing is kept here: Begin hands the
// caller what Finish needs, and the person's token is dropped as soon as X has said
// whose it is.
package x

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dghubble/oauth1"

	"hashtill/bot"
)

const name = "x"

// Config says how to reach X and as whom. All but the credentials may be left
// out.
type Config struct {
	APIURL    string // default https://api.x.com
	StreamURL string // default https://api.x.com
	Handle    string // whom the access token must belong to, without '@'; "" for anybody

	// Of the app and of the bot's account, from the developer portal. The bearer
	// token is the app's; the classic shape does without.
	ConsumerKey, ConsumerSecret string
	AccessToken, AccessSecret   string
	BearerToken                 string

	// Hear is how posts are heard over API v2; "" is [HearStream].
	Hear Source
	// PollEvery is the time between two looks of [HearPoll]; 0 is 5 s, and X takes one in
	// 3 s. Reposts and quotes are looked for half as often.
	PollEvery time.Duration
	// WebhookURL is where X reaches [Network.WebhookHandler], for [HearWebhook]: an
	// address with https and no port.
	WebhookURL string

	// RepliesPerDay is how many replies X takes of the account in 24 hours; 0 if that need
	// not be watched. X does not say, but others report 200 of an account that is not
	// verified, 2,400 of one that is. X is asked once, at the start, what was said before:
	// that costs half a cent.
	RepliesPerDay int

	// Links lets replies hold what X takes for a link. A post with one costs twenty times
	// as much. Else addresses in the names of offers are parted by a space.
	Links bool

	HTTP *http.Client // whose transport is used; default one of its own
	Log  *slog.Logger // default none
	Now  func() time.Time
}

// A Source is a way to hear posts.
type Source string

const (
	HearStream   Source = "stream"   // the filtered stream: the only one that brings hashtags which do not speak to the bot
	HearActivity Source = "activity" // the stream of the X Activity API
	HearWebhook  Source = "webhook"  // the webhook of the X Activity API, and a look each minute for what it may have missed
	HearPoll     Source = "poll"     // asking, again and again: every account may do that
)

// account is what both shapes share: the configuration, the signing client and
// who the bot is.
type account struct {
	cfg    Config
	base   http.RoundTripper
	signed http.RoundTripper // base behind OAuth 1.0a
	log    *slog.Logger
	whoami func(context.Context) (id, handle string, err error)
	budget *budget
	bill   bill

	backoff   backoff      // of Listen
	connected atomic.Bool  // a stream is open
	waiting   atomic.Int64 // posts queued

	mu         sync.Mutex
	id, handle string // "" until known
}

// newAccount fills in the defaults and checks the rest.
func newAccount(cfg Config, bearer bool) (*account, error) {
	var errs []error
	for _, u := range []*string{&cfg.APIURL, &cfg.StreamURL} {
		if *u == "" {
			*u = "https://api.x.com"
		}
		*u = strings.TrimSuffix(*u, "/")
		if parsed, err := url.Parse(*u); err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			errs = append(errs, fmt.Errorf("x: %q is no http address", *u))
		}
	}
	for _, c := range []struct {
		name, value string
		needed      bool
	}{
		{"consumer key", cfg.ConsumerKey, true}, {"consumer secret", cfg.ConsumerSecret, true},
		{"access token", cfg.AccessToken, true}, {"access secret", cfg.AccessSecret, true},
		{"bearer token", cfg.BearerToken, bearer},
	} {
		if c.needed && c.value == "" {
			errs = append(errs, fmt.Errorf("x: the %s is missing: create it in X's developer portal under Keys and tokens", c.name))
		}
	}
	if cfg.RepliesPerDay < 0 {
		errs = append(errs, fmt.Errorf("x: %d replies a day are less than none", cfg.RepliesPerDay))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &account{cfg: cfg, log: cfg.Log.With("network", name)}
	a.budget = newBudget(cfg, a.log, postsPerQuarter, quarter)
	a.bill.now, a.bill.log = cfg.Now, a.log
	switch {
	case cfg.HTTP == nil:
		a.base = http.DefaultTransport.(*http.Transport).Clone()
	case cfg.HTTP.Transport == nil:
		a.base = http.DefaultTransport
	default:
		a.base = cfg.HTTP.Transport
	}
	oauth := oauth1.NewConfig(cfg.ConsumerKey, cfg.ConsumerSecret)
	oauth.Endpoint = oauth1.Endpoint{ // of no use for signing; so that nothing points elsewhere
		RequestTokenURL: cfg.APIURL + "/oauth/request_token",
		AuthorizeURL:    cfg.APIURL + "/oauth/authorize",
		AccessTokenURL:  cfg.APIURL + "/oauth/access_token",
	}
	ctx := context.WithValue(context.Background(), oauth1.HTTPClient, &http.Client{Transport: a.base})
	a.signed = oauth1.NewClient(ctx, oauth, oauth1.NewToken(cfg.AccessToken, cfg.AccessSecret)).Transport
	return a, nil
}

// Name implements [bot.Network].
func (a *account) Name() string { return name }

// Self implements [bot.Network]. It fails also if the access token belongs to
// another account than configured.
func (a *account) Self(ctx context.Context) (id, handle string, err error) {
	a.mu.Lock()
	id, handle = a.id, a.handle
	a.mu.Unlock()
	if id != "" {
		return id, handle, nil
	}
	if id, handle, err = a.whoami(ctx); err != nil {
		return "", "", fmt.Errorf("ask who the bot is: %w", err)
	}
	if err := a.settle(id, handle); err != nil {
		return "", "", err
	}
	return id, handle, nil
}

// settle takes down whom the access token belongs to. It fails for another account than
// configured.
func (a *account) settle(id, handle string) error {
	if !isID(id) || handle == "" {
		return errors.New("ask who the bot is: the answer names no account")
	}
	if want := strings.TrimPrefix(a.cfg.Handle, "@"); want != "" && !strings.EqualFold(want, handle) {
		return &otherAccountError{want: want, got: handle}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.id, a.handle = id, handle
	return nil
}

// Status implements [bot.Network].
func (a *account) Status() bot.Status {
	return bot.Status{Connected: a.connected.Load(), Waiting: int(a.waiting.Load())}
}

// otherAccountError: the credentials are somebody else's.
type otherAccountError struct{ want, got string }

func (e *otherAccountError) Error() string {
	return fmt.Sprintf("x: the access token belongs to @%s, not to @%s: set x.handle to %s, or create an access token while signed in as @%s",
		e.got, e.want, e.got, e.want)
}

// Network is X over API v2.
type Network struct {
	*account
	own      ownPosts
	follow   sync.Mutex                   // held while the rules at X are changed
	tags     []string                     // followed last; under follow
	wanted   atomic.Pointer[bot.TagIndex] // hashtags for which posts are heard, nil: all posts are
	noURLs   atomic.Bool                  // X has refused the rule about quotes
	watch    echoWatch
	receiver receiver
}

var _ bot.Network = (*Network)(nil)

// New returns X over API v2. It talks to nobody yet; the error lists all that is
// wrong with the configuration.
func New(cfg Config) (*Network, error) {
	hearErr := cfg.hearing()
	a, err := newAccount(cfg, true)
	if err := errors.Join(err, hearErr); err != nil {
		return nil, err
	}
	n := &Network{account: a}
	a.whoami = n.me
	return n, nil
}

// me asks GET /2/users/me (https://docs.x.com/x-api/users/get-my-user).
func (n *Network) me(ctx context.Context) (id, handle string, err error) {
	var answer struct{ Data user }
	if err := n.call(ctx, asBot, http.MethodGet, "/2/users/me", nil, nil, &answer); err != nil {
		return "", "", err
	}
	return answer.Data.ID, answer.Data.Username, nil
}

// isID says whether s has the form of a number of X: 1 to 19 digits.
func isID(s string) bool {
	return len(s) >= 1 && len(s) <= 19 && strings.Trim(s, "0123456789") == ""
}
