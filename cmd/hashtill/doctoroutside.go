package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"hashtill/bot/x"
	"hashtill/confirm/stripe"
)

// How far this machine's clock may be off another's. X refuses what is signed five
// minutes off, and links and deadlines go by this clock.
const (
	clockWarns = 2 * time.Second
	clockFails = time.Minute
)

// A dated transport notes how far this machine's clock is off the other's, by the Date
// of its answers. That is in whole seconds, and was written between the question and
// the answer, so that each answer leaves a range, and all of them the one they share.
type dated struct {
	next http.RoundTripper

	mu          sync.Mutex
	known       bool
	least, most time.Duration // ours minus theirs
}

func newDated() *dated { return &dated{next: http.DefaultTransport.(*http.Transport).Clone()} }

// RoundTrip implements [http.RoundTripper].
func (t *dated) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		t.note(began.Sub(date)-time.Second, time.Since(date))
	}
	return resp, nil
}

func (t *dated) note(least, most time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known {
		least, most = max(least, t.least), min(most, t.most)
	}
	t.known, t.least, t.most = true, least, most
}

// off is how far our clock is ahead at least, behind where it is negative. Servers behind
// one address can differ: then it is what they differ by, or less.
func (t *dated) off() (off time.Duration, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.least > 0:
		off = t.least
	case t.most < 0:
		off = t.most
	}
	return off, t.known
}

// lookAtClock says what the answers of a service have told of the time.
func (d *doctor) lookAtClock(service string, t *dated) {
	const next = "let this machine keep its time by NTP (timedatectl set-ntp true)"
	off, known := t.off()
	side := "ahead of"
	if off < 0 {
		side = "behind"
	}
	switch amount := off.Abs().Round(time.Second); {
	case !known:
		return // it has not answered, which is told
	case off.Abs() > clockFails:
		d.fail("clock", next, "this machine is %s %s %s", amount, side, service)
	case off.Abs() > clockWarns:
		d.warn("clock", next, "this machine is %s %s %s", amount, side, service)
	default:
		d.ok("clock", "this machine agrees with %s", service)
	}
}

func (d *doctor) lookAtStripe(ctx context.Context) {
	log, clock := slog.New(slog.DiscardHandler), newDated()
	defer clock.next.(*http.Transport).CloseIdleConnections()
	c := stripeConfig(d.cfg, log, time.Now)
	c.HTTP = &http.Client{Transport: clock}
	till, err := stripe.New(c)
	live := false
	if err == nil {
		live, err = till.Live(ctx)
	}
	d.lookAtClock("Stripe", clock)
	switch {
	case err != nil:
		d.fail("Stripe", "", "%v", why(ctx, err))
		return
	case live:
		d.ok("Stripe", "accepts the key, in live mode: real money is taken")
	default:
		d.ok("Stripe", "accepts the key, in test mode: no real money is taken")
	}
	allowed, each := 100, 25
	if !live {
		allowed = 25
	}
	switch c := d.cfg.Stripe; {
	case c.Rate > allowed || c.EndpointRate > each:
		d.warn("Stripe", "ask Stripe whether the account has more, or set 0",
			"stripe.rate %d and stripe.endpoint_rate %d are above what it allows by default, %d and %d requests a second", c.Rate, c.EndpointRate, allowed, each)
	default:
		if c.Rate > 0 {
			allowed = c.Rate
		}
		if c.EndpointRate > 0 {
			each = c.EndpointRate
		}
		d.ok("Stripe", "at most %d requests a second are sent, %d to each endpoint", allowed, each)
	}
	if d.cfg.Stripe.WebhookSecret == "" {
		d.warn("Stripe", fmt.Sprintf("make a webhook at %s/stripe/webhook in Stripe's dashboard, and name its secret in stripe.webhook_secret_file", d.cfg.PublicURL),
			"there is no webhook: payments are known by asking alone, and refunds and disputes made at Stripe once an hour")
		return
	}
	for _, secret := range strings.Fields(string(d.cfg.Stripe.WebhookSecret)) {
		if !strings.HasPrefix(secret, "whsec_") {
			d.fail("Stripe", "copy the signing secret of the webhook from Stripe's dashboard", "stripe.webhook_secret_file holds what is no signing secret (whsec_…)")
			return
		}
	}
	d.ok("Stripe", "the webhook's secret is set; whether the webhook is there, the dashboard shows")
}

// An examiner is X in either shape.
type examiner interface {
	Examine(context.Context) (x.Account, error)
}

func (d *doctor) lookAtX(ctx context.Context) {
	log, clock := slog.New(slog.DiscardHandler), newDated()
	defer clock.next.(*http.Transport).CloseIdleConnections()
	c := xConfig(d.cfg, log, time.Now)
	c.HTTP = &http.Client{Transport: clock}
	var patient examiner
	var err error
	var v2 *x.Network
	if d.cfg.X.API == "v1.1" {
		patient, err = x.NewClassic(c)
	} else {
		v2, err = x.New(c)
		patient = v2
	}
	if err != nil { // diagnosable has opened it
		d.fail("X account", "", "%v", err)
		return
	}
	me, err := patient.Examine(ctx)
	d.lookAtClock("X", clock)
	if err != nil {
		d.fail("X account", "", "%v", why(ctx, err))
	} else {
		d.account(me)
	}
	if v2 == nil {
		return
	}
	d.usage(ctx, v2)
	if err != nil {
		return // whose rules they are is not known
	}
	switch d.cfg.X.Hear {
	case "stream":
		d.rules(ctx, v2)
	case "activity", "webhook":
		d.activity(ctx, v2)
	default:
		d.ok("X hearing", "mentions are asked for every %s; hashtags alone are not heard", d.cfg.X.PollEvery)
	}
}

// account tells what X says of the bot.
func (d *doctor) account(me x.Account) {
	if d.cfg.X.Handle == "" {
		d.warn("X account", "set x.handle to "+me.Handle+", so that another access token is refused", "the access token is that of @%s (%s), and x.handle names nobody", me.Handle, me.ID)
	} else {
		d.ok("X account", "the access token is that of @%s (%s)", me.Handle, me.ID)
	}
	switch {
	case strings.HasPrefix(string(me.Access), string(x.AccessWrite)):
		d.ok("X permission", "the access token may read and write")
	case me.Access == "":
		d.warn("X permission", "look at it yourself: developer portal, User authentication settings, App permissions: Read and write", "X does not say whether the access token may write")
	default:
		d.fail("X permission", "set App permissions to Read and write in the developer portal (User authentication settings), then make the access token anew: an old one keeps its rights",
			"the access token may not write (%s)", me.Access)
	}
	if me.Protected {
		d.fail("X account", "switch off Protect your posts (Privacy and safety, Audience)", "@%s is protected: buyers cannot see or repost its codes", me.Handle)
	}
	if strings.TrimSpace(me.Bio) == "" {
		d.warn("X account", "name in the bio who runs the bot, as X asks of automated accounts", "@%s has no bio", me.Handle)
	} else {
		d.ok("X account", "its bio is %q; look at it yourself: it has to name who runs the bot", me.Bio)
	}
	d.warn("X account", "look at it yourself: Settings, Your account, Automation: the account needs the label Automated", "X does not tell programs whether an account is labelled")
}

// usage tells what the plan has left, and shows whether the bearer token works.
func (d *doctor) usage(ctx context.Context, n *x.Network) {
	u, err := n.Usage(ctx)
	if err != nil {
		d.fail("X bearer", "", "%v", why(ctx, err))
		return
	}
	d.ok("X bearer", "X takes the app's bearer token")
	reset := ""
	if u.ResetDay > 0 {
		reset = fmt.Sprintf("; they begin anew on day %d of the month", u.ResetDay)
	}
	const next = "take a larger plan in the developer portal, or hear less (x.hear, x.bare)"
	switch {
	case u.Cap == 0:
		d.warn("X plan", "look at it yourself: developer portal, Usage", "X does not say how many posts the plan may read")
	case u.Posts >= u.Cap:
		d.fail("X plan", next, "all of the plan's %d posts a month have been read%s", u.Cap, reset)
	case u.Posts >= u.Cap/10*8:
		d.warn("X plan", next, "%d of the plan's %d posts a month have been read%s", u.Posts, u.Cap, reset)
	default:
		d.ok("X plan", "%d of the plan's %d posts a month have been read%s", u.Posts, u.Cap, reset)
	}
	replies := fmt.Sprintf("%d replies in 24 hours (x.replies_per_day)", d.cfg.X.RepliesPerDay)
	if d.cfg.X.RepliesPerDay == 0 {
		replies = "any number of replies in 24 hours (x.replies_per_day)"
	}
	d.ok("X plan", "the account is taken to have %s; how many posts X takes in 15 minutes, it says only when one is made", replies)
}

// rules tells how the filtered stream stands to the catalogue.
func (d *doctor) rules(ctx context.Context, n *x.Network) {
	r, err := n.ExamineRules(ctx, d.tags)
	used := fmt.Sprintf("%d of %d rules are used, %d of them by others", r.Used, r.Limit, r.Foreign)
	switch {
	case errors.As(err, new(*x.CatalogueError)):
		d.fail("X rules", "", "%s: %v", used, err)
	case err != nil:
		d.fail("X rules", "", "%v", why(ctx, err))
	case r.Missing+r.Needless == 0:
		d.ok("X rules", "%s; they are in step with %d hashtags", used, len(d.tags))
	case d.served:
		d.warn("X rules", "look again in a minute; then the log of hashtill serve says why", "%s; %d are missing and %d needless for %d hashtags", used, r.Missing, r.Needless, len(d.tags))
	default:
		d.ok("X rules", "%s; hashtill serve will add %d and delete %d for %d hashtags, and they fit", used, r.Missing, r.Needless, len(d.tags))
	}
}

// activity tells which subscriptions there are.
func (d *doctor) activity(ctx context.Context, n *x.Network) {
	have, need, err := n.ExamineActivity(ctx)
	switch missing := len(need) - len(have); {
	case err != nil:
		d.fail("X activity", "", "%v", why(ctx, err))
	case missing == 0:
		d.ok("X activity", "all %d subscriptions are there", len(need))
	case d.served:
		d.warn("X activity", "look again in a minute; then the log of hashtill serve says why", "%d of %d subscriptions are missing", missing, len(need))
	default:
		d.ok("X activity", "hashtill serve will make %d of %d subscriptions", missing, len(need))
	}
}

// lookAtSignIn sees whether the page is there that asks buyers who they are.
func (d *doctor) lookAtSignIn(ctx context.Context) {
	page := d.cfg.X.AuthorizeURL
	switch {
	case d.cfg.X.SignIn == "off":
		d.warn("sign-in", "set x.sign_in, or register buyers by hashtill buyer add", "buyers cannot register at %s/join", d.cfg.PublicURL)
		return
	case page == "" && d.cfg.X.SignIn == "oauth2":
		page = "https://x.com/i/oauth2/authorize"
	case page == "":
		page = strings.TrimSuffix(d.cfg.X.APIURL, "/") + "/oauth/authenticate"
	}
	status, _, err := get(ctx, page)
	switch {
	case err != nil:
		d.fail("sign-in", "check x.authorize_url and x.api_url", "%s: %v", page, why(ctx, err))
	case status >= 500 || status == http.StatusNotFound || status == http.StatusGone:
		d.fail("sign-in", "check x.authorize_url and x.api_url", "%s answers %d %s", page, status, http.StatusText(status))
	default:
		d.ok("sign-in", "%s answers (%s); look at it yourself: the developer portal has to allow the callback %s/join/x, and the request of e-mail addresses", page, d.cfg.X.SignIn, d.cfg.PublicURL)
	}
}

// lookAtPages asks for our own pages, from where buyers reach them.
func (d *doctor) lookAtPages(ctx context.Context) {
	const next = "check public_url and listen, and the proxy between them"
	status, text, err := get(ctx, d.cfg.PublicURL+"/readyz")
	ours := strings.HasPrefix(text, "store: ")
	switch lines := strings.TrimSpace(text); {
	case ours && status == http.StatusOK:
		d.ok("pages", "%s is served and does its work", d.cfg.PublicURL)
	case ours:
		d.fail("pages", "see the log of hashtill serve", "%s is served and does not do its work: %s", d.cfg.PublicURL, lines)
	case err == nil:
		d.fail("pages", next, "%s answers %d, and not with the pages of hashtill serve", d.cfg.PublicURL, status)
	case d.served:
		d.fail("pages", next, "a hashtill serve runs, and %s does not lead to it: %v", d.cfg.PublicURL, why(ctx, err))
	default:
		d.warn("pages", "hashtill serve --config FILE", "not running: nothing answers at %s", d.cfg.PublicURL)
	}
	if plain(d.cfg.PublicURL) {
		d.warn("pages", "put a proxy that speaks HTTPS before listen, and write https:// into public_url", "%s is not encrypted, and the links in the mails lead there", d.cfg.PublicURL)
	}
}

// get asks for the beginning of a page.
func get(ctx context.Context, address string) (status int, text string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	return resp.StatusCode, string(body), err
}
