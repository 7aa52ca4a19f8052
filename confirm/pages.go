package confirm

import (
	"cmp"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"hashtill/offers"
	"hashtill/offers/words"
)

//go:embed templates/*
var templates embed.FS

// pages are the templates, parsed.
type pages struct {
	html    *template.Template
	mail    *mailTemplates
	version string // of style and script, by what is in them
}

// newPages reads the templates, which are the same for all counters.
var newPages = sync.OnceValues(func() (*pages, error) {
	html, err := template.ParseFS(templates, "templates/page.html")
	if err != nil {
		return nil, err
	}
	mail, err := newMailTemplates()
	if err != nil {
		return nil, err
	}
	version, err := versionOf("style.css", "page.js")
	return &pages{html: html, mail: mail, version: version}, err
})

// A view is a page as its template takes it: a heading, a sentence, what it is
// about, and what can be done.
type view struct {
	Lang, Title, Text, Note string
	Kind                    string // a class for its look: "good", "bad", "wait" or ""
	Rows                    []line
	Buttons                 []button // each a form of its own
	Away                    button   // a link to elsewhere
	Refresh                 int      // seconds until the page looks again; 0: never
	Offers                  []card
	OffersTitle             string
	Problem                 string // what was wrong with what was typed
	Wrong                   string // the names of the fields in which, with spaces around them
	Sections                []section
	Hint                    hint
	About                   string  // what the page is about, behind the heading in its title
	State                   string  // how that stands, before the heading
	Nav                     []line  // where else to go: a label, and the address as its value
	Picture                 picture // of what the page is about
	Social                  *social // what other sites show of the page; nil: it is for nobody else
	Watch                   watch
	Countdown               *countdown
}

// A picture is somebody else's, at an https address. Alt says what is on it.
type picture struct{ Src, Alt string }

// A hint says what else can be done, and where.
type hint struct{ Text, To, Label string }

// A line says one thing about a purchase.
type line struct {
	Label, Value string
	Kind         string // a class for its look: "total", "number" or ""
}

// A button sends a form, or leads away.
type button struct {
	To, Label string
	Quiet     bool
	Card      string   // sent with the form
	Legend    string   // of the cards
	Cards     []choice // to choose one from, sent with the form
}

// A section is a part of a page with a heading of its own.
type section struct {
	Title, Text string
	Forms       []form
	Links       []line // a label, and the address as its value
}

// A form asks for something.
type form struct {
	To, Legend, Hint, Consent, Button string
	Label                             string // of the button, for those who hear the page
	Quiet, Narrow                     bool   // Narrow: a line with a small button
	Hidden                            hidden
	Fields                            []field
}

// hidden is what a form sends without asking.
type hidden struct{ Name, Value string }

// A field is where something is typed.
type field struct {
	Name, Label, Hint, Value string
	Type, Auto, Mode         string // HTML's type, autocomplete and inputmode
	Max, Lines               int    // characters; lines, 0 for an input of one
	Required                 bool
	Options                  []option // to choose one from, instead of typing
}

// A card is an offer on the first page.
type card struct{ To, Title, Price, Seller, How, Picture string }

// Handler serves the buyers' pages. All its routes are here.
func (c *Counter) Handler() http.Handler {
	mux := http.NewServeMux()
	page := func(pattern string, h func(w http.ResponseWriter, r *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { c.answer(w, r, h(w, r)) })
	}
	page("GET /{$}", c.home)
	page("GET /c/{token}", c.show)
	page("POST /c/{token}", c.press)
	page("POST /c/{token}/cancel", c.cancel)
	page("POST /c/{token}/bank", c.backFromBank)
	page("GET /c/{token}/withdraw", c.askWithdraw)
	page("POST /c/{token}/withdraw", c.withdraw)
	page("GET /c/{token}/now", c.stands)
	page("GET /o/{tag}", c.offer)
	c.notMeRoutes(page)
	c.movedRoutes(page)
	c.leaveLineRoutes(page)
	c.joinRoutes(page)
	page("/", func(http.ResponseWriter, *http.Request) error { return &offers.Refusal{Reason: pageNotFound} })
	mux.HandleFunc("GET /style.css", c.static("templates/style.css"))
	mux.HandleFunc("GET /page.js", c.static("templates/page.js"))

	sameOrigin := http.NewCrossOriginProtection()
	if u, err := url.Parse(c.PublicURL); err == nil && u.Host != "" {
		// A proxy may call us by another name than buyers do.
		sameOrigin.AddTrustedOrigin(u.Scheme + "://" + u.Host) // fails only for what is no origin
	}
	sameOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.answer(w, r, &offers.Refusal{Reason: pageForeign})
	}))
	all := http.NewServeMux()
	all.Handle("/", c.secure(sameOrigin.Handler(mux)))
	if c.Webhook != nil {
		all.HandleFunc("POST /stripe/webhook", c.webhook)
	}
	return c.log(all)
}

// Reasons that only pages have.
const (
	noLink       offers.Reason = "no_link"
	linkAway     offers.Reason = "link_away" // the browser does not know the link any more
	pageNotFound offers.Reason = "not_found"
	pageForeign  offers.Reason = "foreign"
	broken       offers.Reason = "broken"
)

// statuses of the reasons that are no matter of a purchase's state.
var statuses = map[offers.Reason]int{
	signInLost: http.StatusBadRequest, signInFailed: http.StatusForbidden,
	noLink: http.StatusNotFound, linkAway: http.StatusForbidden, tooMany: http.StatusTooManyRequests, pageNotFound: http.StatusNotFound, pageForeign: http.StatusForbidden,
	offers.LinkExpired: http.StatusGone, notMeOver: http.StatusGone, notMeUsed: http.StatusGone, movedOver: http.StatusGone, offers.LinkReplaced: http.StatusGone, broken: http.StatusInternalServerError,
}

// answer shows an error as a page. What is not for the buyer becomes an apology
// with a reference that stands in the log.
func (c *Counter) answer(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		return
	}
	say := words.For(r.Header.Get("Accept-Language"))
	var no *offers.Refusal
	var often *TooManyError
	switch {
	case errors.As(err, &often):
		retryAfter(w, often)
		c.render(w, r, statusOf(tooMany), c.reasonView(say, tooMany, map[string]any{"Count": often.seconds()}))
		return
	case errors.As(err, &no):
		c.render(w, r, statusOf(no.Reason), c.reasonView(say, no.Reason, nil))
		return
	}
	ref := rand.Text()[:8]
	c.Log.Error("page failed", "route", r.Pattern, "ref", ref, "err", err)
	c.render(w, r, http.StatusInternalServerError, c.reasonView(say, broken, map[string]any{"Ref": ref}))
}

// statusOf is the status of a refused request.
func statusOf(why offers.Reason) int { return cmp.Or(statuses[why], http.StatusConflict) }

func (c *Counter) reasonView(say words.Words, why offers.Reason, args map[string]any) view {
	kind := "bad"
	switch why {
	case offers.AlreadyPaid, offers.WasRefunded:
		kind = "good"
	case offers.WasCancelled, offers.BuyerStopped, offers.BuyerFrozen, offers.QuietHours: // as the buyer wished
		kind = ""
	}
	return view{Lang: say.Lang, Kind: kind, Title: say.Say("reason."+string(why)+".title", nil), Text: say.Say("reason."+string(why)+".text", args)}
}

func (c *Counter) render(w http.ResponseWriter, r *http.Request, status int, v view) {
	var b strings.Builder
	if err := c.pages.html.Execute(&b, page{v, words.For(v.Lang), c.pages.version}); err != nil {
		c.Log.Error("page failed", "route", r.Pattern, "err", err)
		http.Error(w, "Something went wrong. Nothing was charged twice. Please try again.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.Lang)
	if v.shows() {
		h.Set("Content-Security-Policy", policyWithPictures)
	}
	if v.Social != nil {
		h.Del("X-Robots-Tag") // who looks for it may find it
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprint(w, b.String())
	}
}

// LogValue keeps a view out of logs: it holds an address.
func (view) LogValue() slog.Value { return slog.StringValue("[page]") }
