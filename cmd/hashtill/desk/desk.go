// Package desk is where merchants and the operator work: offers and stock, a running
// sale as it moves, orders, money, and what is owed and stuck. It has an address of its
// own, beside the buyers' pages.
//
// # Who may do what
//
// People sign in by a link that is mailed to them, and have a [offers.Role] for one or
// several merchants; those who run the whole have one for all. Every address that shows
// or changes anything of a merchant begins with /m/MERCHANT/, and the one place that lets
// a request through ([Desk.guard]) holds it to the role that its route asks for. What a
// page then loads it loads by [call.offer] and [call.purchase], which find nothing of
// another merchant's. Who may not see a thing is told that it is not there.
//
// The operator's own offers, and those of nobody, stand under /m/-/. What concerns the
// whole stands under /op/.
//
// # Promises
//
//   - GET changes nothing. What changes something is a POST with the token of its
//     session, from this site.
//   - A refund, and what lets people or machines in, asks for the second factor, given
//     within ten minutes.
//   - What somebody does is written down before it is done ([offers.Deed]).
//   - It works without scripts; with them, what moves is seen to move.
package desk

import (
	"bytes"
	"context"
	"crypto/subtle"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"hashtill/confirm"
	"hashtill/offers"
)

// Config is what a desk works with.
type Config struct {
	Shop   *offers.Shop
	Mailer confirm.Mailer // for links to sign in
	URL    string         // where the desk is seen, such as https://desk.example.com
	Pages  string         // where buyers' pages are seen
	Log    *slog.Logger
	Now    func() time.Time

	// Proxies are where our reverse proxies stand: what they add to X-Forwarded-For is
	// believed.
	Proxies []netip.Prefix

	// Followed is called when an offer was changed here, so that the bot follows at once.
	Followed func()
	// Announce owes that a post is made about an offer.
	Announce func(ctx context.Context, o offers.Offer) error
	// States are the parts of the system and how they are, for the operator. It may be
	// asked every few seconds.
	States func(ctx context.Context) []State
}

// A State is how a part of the system is.
type State struct {
	Name string // such as "Mail"
	OK   bool
	Text string // in a few words
}

// A Desk serves the desk's pages.
type Desk struct {
	Config
	html  *template.Template
	calls map[string]route // by pattern

	edits   sync.Mutex     // what looks at offers or people before it changes them goes one by one
	mailing sync.WaitGroup // links on their way
	doors   doors
	live    live
	closed  chan struct{}
	close   func()
}

// A route is something that can be asked for.
type route struct {
	pattern string      // of a http.ServeMux
	needs   offers.Role // at the merchant in the path; "": to be signed in. An address under /op/ needs it everywhere
	open    bool        // to everybody
	factor  bool        // the second factor, given lately
	do      func(c *call) error
}

// A call is one request that was let through.
type call struct {
	*Desk
	w        http.ResponseWriter
	r        *http.Request
	person   offers.Person
	token    string // of the session
	shift    offers.Shift
	role     offers.Role // at merchant
	merchant string      // of the path; [offers.Operator] for "-"
	shop     string      // the merchant's name, for people
	title    string      // of the page
}

// factorTime is for how long the second factor counts.
const factorTime = 10 * time.Minute

//go:embed templates/* static/*
var files embed.FS

// New makes a desk.
func New(c Config) (*Desk, error) {
	d := &Desk{Config: c, calls: map[string]route{}, closed: make(chan struct{}), doors: newDoors()}
	d.close = sync.OnceFunc(func() { close(d.closed) })
	var err error
	if d.html, err = template.New("").Funcs(functions).ParseFS(files, "templates/*.html"); err != nil {
		return nil, err
	}
	for _, all := range [][]route{signInRoutes, offerRoutes, saleRoutes, orderRoutes, moneyRoutes, peopleRoutes, operatorRoutes} {
		for _, r := range all {
			d.calls[r.pattern] = r
		}
	}
	return d, nil
}

// Close ends the pages that move, which else end with their browsers, and waits for mails
// that are on their way.
func (d *Desk) Close() {
	d.close()
	d.mailing.Wait()
}

// Handler answers the desk's requests. What else is to be answered at its address, such as
// the API, is added beside it.
func (d *Desk) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, r := range d.calls {
		mux.Handle(pattern, d.guard(r))
	}
	mux.Handle("/", d.guard(route{open: true, do: func(*call) error { return errNotThere }}))
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // it is embedded
	}
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))
	return http.NewCrossOriginProtection().Handler(bounded(secured(mux)))
}

// maxForm bounds what a form may send, in bytes: a catalogue of some thousand offers.
const maxForm = 4 << 20

func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r)
	})
}

// secured sets what every answer has. Pictures of offers come from anywhere, by https.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' https: data:; "+
			"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}

// errNotThere: nothing is there, as far as whoever asks is concerned.
var errNotThere = errors.New("not there")

// A formError is what was wrong with what somebody sent.
type formError struct{ text string }

func (e *formError) Error() string { return e.text }

// guard lets a request through to who may make it.
func (d *Desk) guard(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Desk: d, w: w, r: r}
		err := c.enter(rt)
		if err == nil {
			err = rt.do(c)
		}
		if err != nil {
			c.fail(err)
		}
	})
}

// errSignIn: whoever asks has to sign in first; errFactor: to give the second factor.
var (
	errSignIn = errors.New("sign in first")
	errFactor = errors.New("give the second factor first")
)

// enter finds out who asks, and whether they may.
func (c *call) enter(rt route) error {
	ctx, now := c.r.Context(), c.Now()
	cookie, err := c.r.Cookie(c.cookieName())
	if err == nil {
		c.token = cookie.Value
		if c.shift, err = c.Shop.Shift(ctx, c.token, now); err == nil {
			c.person, err = c.Shop.Person(ctx, c.shift.Email)
		}
		if err == nil && c.person.Since.After(c.shift.Begun()) { // of who was removed, and added again
			c.person, err = offers.Person{}, offers.ErrNotFound
		}
		if err != nil && !errors.Is(err, offers.ErrNotFound) {
			return err
		}
	}
	signedIn := err == nil
	switch {
	case rt.open && !signedIn:
		return nil
	case !signedIn:
		return errSignIn
	}
	if merchant := c.r.PathValue("merchant"); merchant != "" {
		c.merchant = merchant
		if merchant == "-" {
			c.merchant = offers.Operator
		} else if !offers.ValidMerchantID(merchant) {
			return errNotThere
		}
	}
	c.role = c.person.Role(c.merchant)
	if !rt.open && rt.needs != "" && !atLeast(c.role, rt.needs) {
		return errNotThere
	}
	if c.merchant != offers.Operator {
		m, err := c.Shop.Merchant(ctx, c.merchant)
		if err != nil {
			return err
		}
		c.shop = m.Name
	}
	if c.r.Method == http.MethodPost && !rt.open {
		if err := c.r.ParseMultipartForm(maxForm); err != nil && !errors.Is(err, http.ErrNotMultipart) {
			return &formError{"That was too much, or not a form."}
		}
		if subtle.ConstantTimeCompare([]byte(c.r.PostFormValue("csrf")), []byte(c.shift.CSRF)) != 1 {
			return &formError{"This form is too old. Please go back, load the page again, and send it once more."}
		}
	}
	if rt.factor && (c.shift.FactorAt.IsZero() || now.Sub(c.shift.FactorAt) > factorTime || c.person.Factor == "") {
		return errFactor
	}
	return nil
}

// atLeast says whether a role may do what another may.
func atLeast(have, need offers.Role) bool {
	for _, r := range offers.Roles { // the mightiest first
		if have == r {
			return true
		}
		if need == r {
			return false
		}
	}
	return false
}

// fail answers an error.
func (c *call) fail(err error) {
	var form *formError
	var refused *offers.Refusal
	switch {
	case errors.Is(err, errSignIn):
		http.Redirect(c.w, c.r, "/sign-in"+c.back(), http.StatusSeeOther)
	case errors.Is(err, errFactor):
		to := c.back()
		if c.r.Method != http.MethodGet {
			to = "?again&" + strings.TrimPrefix(to, "?")
		}
		http.Redirect(c.w, c.r, "/factor"+strings.TrimSuffix(to, "&"), http.StatusSeeOther)
	case errors.Is(err, errNotThere), errors.Is(err, offers.ErrNotFound):
		c.status(http.StatusNotFound, "There is nothing here", "Or you may not see it. The link may be old.")
	case errors.As(err, &form):
		c.status(http.StatusBadRequest, "That did not work", form.text)
	case errors.As(err, &refused):
		c.status(http.StatusConflict, "That cannot be done", refusals[refused.Reason])
	case errors.Is(err, offers.ErrInvalid):
		c.status(http.StatusBadRequest, "That did not work", strings.TrimPrefix(err.Error(), offers.ErrInvalid.Error()+": "))
	case c.r.Context().Err() != nil: // they have gone
	default:
		c.Log.Error("the desk failed", "path", c.r.Pattern, "err", err)
		c.status(http.StatusInternalServerError, "Something went wrong here", "Nothing is lost. Please try again in a moment.")
	}
}

// refusals are why something cannot be done, for people of the shop.
var refusals = map[offers.Reason]string{
	offers.WasRefunded:   "All of it was paid back already.",
	offers.RefundTooMuch: "So much is not left of it.",
	offers.RefundsMany:   "It was paid back in too many parts already. All that is left can still go back.",
	offers.NotPaid:       "It is not paid.",
	offers.WasShipped:    "It is marked as shipped already.",
	offers.NotShipped:    "Nothing is shipped of it: it is digital.",
	offers.TooLate:       "It is too late to cancel it: the payment is confirmed. It can be refunded.",
}

// page writes a page: a template, with the call and what it shows.
func (c *call) page(name string, what any) error { return c.pageWith(http.StatusOK, name, what) }

func (c *call) pageWith(code int, name string, what any) error {
	var b bytes.Buffer
	err := c.html.ExecuteTemplate(&b, name, struct {
		C *call
		V any
	}{c, what})
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	c.w.WriteHeader(code)
	_, err = b.WriteTo(c.w)
	return nilIfGone(c.r, err)
}

func nilIfGone(r *http.Request, err error) error {
	if r.Context().Err() != nil {
		return nil
	}
	return err
}

// status is a page that says one thing.
func (c *call) status(code int, title, text string) {
	if err := c.pageWith(code, "status.html", map[string]string{"Title": title, "Text": text}); err != nil {
		c.Log.Error("the desk failed", "path", c.r.Pattern, "err", err)
	}
}

// done leads the browser on after a change, to an address of the desk's own.
func (c *call) done(path string) error {
	http.Redirect(c.w, c.r, path, http.StatusSeeOther)
	return nil
}

// writes writes down what is about to be done.
func (c *call) writes(what, of, more string) error {
	return c.Shop.Write(c.r.Context(), offers.Deed{At: c.Now(), Who: string(c.person.Email), Merchant: c.merchant, What: what, Of: of, More: more})
}

// Base is the beginning of the addresses of the call's merchant.
func (c *call) Base() string {
	if c.merchant == offers.Operator {
		return "/m/-"
	}
	return "/m/" + c.merchant
}

// offer loads the offer of an id, if it is the merchant's.
func (c *call) offer(id string) (offers.Offer, error) {
	o, ok := c.Shop.OfferByTag(id)
	if !ok || o.Merchant != c.merchant || o.ID != offers.TagKey(id) {
		return offers.Offer{}, errNotThere
	}
	return o, nil
}

// purchase loads the purchase of an id, if it is of an offer of the merchant's.
func (c *call) purchase(id string) (offers.Purchase, error) {
	parsed, ok := offers.ParseID(id)
	if !ok {
		return offers.Purchase{}, errNotThere
	}
	p, err := c.Shop.Purchase(c.r.Context(), parsed)
	if err == nil && p.Merchant != c.merchant {
		err = errNotThere
	}
	return p, err
}

// cookieName is that of the session's cookie (see package confirm).
func (d *Desk) cookieName() string {
	if strings.HasPrefix(d.URL, "https://") {
		return "__Host-hashtill-desk"
	}
	return "hashtill-desk"
}
