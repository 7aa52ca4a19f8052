package confirm

import (
	"cmp"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

//go:embed templates/*
var templates embed.FS

// pages are the templates, parsed.
type pages struct {
	html *template.Template
	mail *mailTemplates
}

// newPages reads the templates, which are the same for all counters.
var newPages = sync.OnceValues(func() (*pages, error) {
	html, err := template.ParseFS(templates, "templates/page.html")
	if err != nil {
		return nil, err
	}
	mail, err := newMailTemplates()
	return &pages{html: html, mail: mail}, err
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
	Sections                []section
	Hint                    hint
}

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
type card struct{ Title, Price, Seller, How, Picture string }

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
	c.joinRoutes(page)
	page("/", func(http.ResponseWriter, *http.Request) error { return &offers.Refusal{Reason: pageNotFound} })
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		http.ServeFileFS(w, r, templates, "templates/style.css")
	})

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
	pageNotFound offers.Reason = "not_found"
	pageForeign  offers.Reason = "foreign"
	broken       offers.Reason = "broken"
)

// statuses of the reasons that are no matter of a purchase's state.
var statuses = map[offers.Reason]int{
	signInLost: http.StatusBadRequest, signInFailed: http.StatusForbidden,
	noLink: http.StatusNotFound, pageNotFound: http.StatusNotFound, pageForeign: http.StatusForbidden,
	offers.LinkExpired: http.StatusGone, offers.LinkReplaced: http.StatusGone, broken: http.StatusInternalServerError,
}

// secure sets what every answer carries.
func (c *Counter) secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src https:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Robots-Tag", "noindex")
		if c.https() {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r)
	})
}

// maxForm bounds what a form may send, in bytes: an address of 400 characters, each of
// which may be twelve bytes on the way.
const maxForm = 8 << 10

// log writes a line for each request: its pattern, for the path holds a token.
func (c *Counter) log(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		sw := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(sw, r)
		c.Log.Debug("request", "method", r.Method, "route", r.Pattern, "status", sw.status, "took", time.Since(began))
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the real writer.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// answer shows an error as a page. What is not for the buyer becomes an apology
// with a reference that stands in the log.
func (c *Counter) answer(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		return
	}
	say := words.For(r.Header.Get("Accept-Language"))
	var no *offers.Refusal
	if errors.As(err, &no) {
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
	if err := c.pages.html.Execute(&b, v); err != nil {
		c.Log.Error("page failed", "route", r.Pattern, "err", err)
		http.Error(w, "Something went wrong. Nothing was charged twice. Please try again.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", v.Lang)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprint(w, b.String())
	}
}

// home says what this is, and what can be bought.
func (c *Counter) home(w http.ResponseWriter, r *http.Request) error {
	say := words.For(r.Header.Get("Accept-Language"))
	v := view{Lang: say.Lang, Title: say.Say("page.home.title", nil), Text: say.Say("page.home.text", nil), OffersTitle: say.Say("page.home.offers", nil)}
	if c.SignIn != nil {
		v.Hint = hint{Text: say.Say("page.home.join", nil), To: "/join", Label: say.Say("page.home.join_button", nil)}
	}
	for _, o := range c.Shop.OnSale(c.Now(), maxShown) {
		v.Offers = append(v.Offers, card{Title: o.Title, Price: priceOf(say, o), Seller: o.Seller, Picture: o.Picture,
			How: say.Say("page.home.how", map[string]any{"Tag": "#" + o.Tag})})
	}
	if len(v.Offers) == 0 {
		v.OffersTitle, v.Note = "", say.Say("page.home.none", nil)
	}
	c.render(w, r, http.StatusOK, v)
	return nil
}

// priceOf is what one unit costs with its tax, and what the delivery does.
func priceOf(say words.Words, o offers.Offer) string {
	total, err := o.Total(1, o.Price.Currency)
	if err != nil {
		return o.Price.Format(say.Lang)
	}
	o.Delivery = nil
	unit, err := o.Total(1, o.Price.Currency)
	if err != nil || unit == total {
		return total.Format(say.Lang)
	}
	total.Minor -= unit.Minor
	return say.Say("page.home.delivery", map[string]any{"Price": unit.Format(say.Lang), "Amount": total.Format(say.Lang)})
}

// maxShown bounds the offers on the first page.
const maxShown = 100

// behind is the purchase behind the link of a request, with its buyer's words.
func (c *Counter) behind(r *http.Request) (p offers.Purchase, b offers.Buyer, say words.Words, round int, err error) {
	id, round, ok := c.Links.Verify(r.PathValue("token"))
	if !ok {
		return p, b, say, 0, &offers.Refusal{Reason: noLink}
	}
	if p, err = c.Shop.Purchase(r.Context(), id); errors.Is(err, offers.ErrNotFound) {
		return p, b, say, 0, &offers.Refusal{Reason: noLink} // forgotten since
	} else if err != nil {
		return p, b, say, 0, err
	}
	b, err = c.Shop.Buyer(r.Context(), p.Buyer)
	return p, b, words.For(b.Lang, p.Lang), round, err
}

// show shows a purchase as it stands. It changes nothing, however often and by
// whomever it is asked for.
func (c *Counter) show(w http.ResponseWriter, r *http.Request) error {
	p, b, say, round, err := c.behind(r)
	if err != nil {
		return err
	}
	here := "/c/" + r.PathValue("token")
	if r.URL.Query().Has("payment_intent") {
		// The bank sends the buyer here with Stripe's parameters, one of which is a
		// secret: they leave the address bar
		// (https://docs.stripe.com/payments/3d-secure/authentication-flow).
		http.Redirect(w, r, here+fromBank, http.StatusSeeOther)
		return nil
	}
	n := now{back: r.URL.RawQuery == fromBank[1:]}
	switch p.State {
	case offers.Waiting:
		n.place, err = c.Shop.PlaceOf(r.Context(), p)
	case offers.Confirmed:
		n.halted, err = c.halted(r.Context())
	}
	if err != nil {
		return err
	}
	status, v := c.stateView(say, p, b, round, here, n)
	c.render(w, r, status, v)
	return nil
}

// fromBank marks the address of a purchase's page for those who come from the
// bank's.
const fromBank = "?bank"

// now is what a purchase's page says beside what is kept with the purchase.
type now struct {
	back   bool // the buyer comes from the bank's page
	place  int  // in the line, where it waits
	halted bool // nothing is charged at the moment
}

// halted says whether the shop is halted.
func (c *Counter) halted(ctx context.Context) (bool, error) {
	h, err := c.Shop.Halted(ctx)
	return h != nil, err
}

// stateView is the page of a purchase, which stands at the path here.
func (c *Counter) stateView(say words.Words, p offers.Purchase, b offers.Buyer, round int, here string, n now) (int, view) {
	rows := details(say, p, b)
	bad := func(why offers.Reason) (int, view) {
		v := c.reasonView(say, why, reasonArgs(say, p.Over, p.QuietUntil))
		v.Rows = rows
		return cmp.Or(statuses[why], http.StatusOK), v
	}
	ok := func(v view) (int, view) {
		v.Lang, v.Rows = say.Lang, rows
		return http.StatusOK, v
	}
	over := !c.Now().Before(p.LinkEnds())
	if undecided(p) {
		return ok(c.stoppingView(say))
	}

	switch p.State {
	case offers.Confirmed:
		if p.Revocable(c.Now()) {
			v := c.graceView(say, p, here)
			if n.halted {
				v.Note += " " + say.Say("page.paused.text", nil)
			}
			return ok(v)
		}
		if n.halted {
			return ok(view{Kind: "wait", Title: say.Say("page.paused.title", nil), Text: say.Say("page.paused.text", nil), Refresh: graceRefresh})
		}
		return ok(view{Kind: "wait", Title: say.Say("page.wait.title", nil), Text: say.Say("page.wait.text", nil), Refresh: 2,
			Away: button{To: here, Label: say.Say("page.wait.again", nil), Quiet: true}})
	case offers.Challenged:
		goOn := button{To: here + "/bank", Label: say.Say("page.bank.back", nil), Quiet: !n.back}
		v := view{Kind: "wait", Title: say.Say("page.bank.title", nil), Text: say.Say("page.bank.text", nil),
			Away: button{To: p.BankURL, Label: say.Say("page.bank.button", nil), Quiet: n.back}, Buttons: []button{goOn}, Refresh: 5}
		if n.back {
			v.Title, v.Text, v.Refresh = say.Say("page.wait.title", nil), say.Say("page.wait.text", nil), 2
		}
		return ok(v)
	case offers.Paid:
		if p.Left().Minor <= 0 {
			return bad(offers.WasRefunded)
		}
		return ok(c.paidView(say, p, here))
	case offers.Refunded:
		return bad(offers.WasRefunded)
	case offers.Waiting:
		return ok(waitingView(say, p, n.place, here))
	case offers.Expired:
		switch {
		case p.Reason == offers.NotCharged:
			return bad(offers.NotCharged)
		case slices.Contains(p.Told, offers.WaitOver):
			return bad(offers.WaitOver)
		}
		return bad(offers.LinkExpired)
	case offers.Cancelled:
		if p.Reason == offers.ShopCancelled {
			return bad(offers.ShopCancelled)
		}
		return bad(offers.WasCancelled)
	case offers.Refused:
		return bad(p.Reason)
	case offers.Echoed, offers.Mailed, offers.Declined:
		switch {
		case b.Barred() != "":
			return bad(b.Barred())
		case round != p.Round:
			return bad(offers.LinkReplaced)
		case p.State != offers.Echoed && over:
			return bad(offers.LinkExpired)
		}
	default:
		return ok(view{Title: say.Say("page.soon.title", nil), Text: say.Say("page.soon.text", nil)})
	}

	if until, quiet := b.Quiet.At(c.Now()); quiet {
		return http.StatusOK, c.refusedView(say, p, b, here, offers.QuietHours, &offers.QuietHoursError{Until: until})
	}
	v := view{Lang: say.Lang, Title: say.Say("page.confirm.title", nil), Text: c.left(say, p), Note: say.Say("page.confirm.note", nil), Rows: rows}
	if unheld(p) {
		v.Text = say.Say("page.confirm.unheld", nil) + " " + v.Text
	}
	label := "page.confirm.button"
	if p.State == offers.Declined {
		_, v = bad(p.Reason)
		v.Note, label = c.left(say, p), "page.declined.again"
	}
	c.offerToPay(&v, say, p, b, here, label)
	return http.StatusOK, v
}

// waitingView says where a purchase stands in its line, and lets the buyer leave it.
func waitingView(say words.Words, p offers.Purchase, place int, here string) view {
	return view{Kind: "wait", Title: say.Say("page.waiting.title", nil), Text: say.Say("page.waiting.text", map[string]any{"Place": max(place, 1)}),
		Note:    say.Say("page.waiting.until", map[string]any{"Until": p.WaitUntil.UTC().Format(dateMinute)}),
		Buttons: []button{{To: here + "/cancel", Label: say.Say("page.waiting.leave", nil), Quiet: true}}}
}

// graceView lets the buyer take back what was confirmed, for as long as that can be.
func (c *Counter) graceView(say words.Words, p offers.Purchase, here string) view {
	left := p.GraceEnds().Sub(c.Now())
	unit, count := "seconds", int(math.Ceil(left.Seconds()))
	refresh := min(count+1, graceRefresh)
	if left > 2*time.Minute {
		unit, count = "minutes", int(math.Ceil(left.Minutes()))
	}
	return view{Kind: "wait", Title: say.Say("page.grace.title", nil),
		Text: say.Say("page.grace.text", map[string]any{"Total": p.Total.Format(say.Lang), "Until": p.GraceEnds().UTC().Format("15:04:05 UTC")}),
		Note: say.Say("page.grace."+unit, map[string]any{"Count": count}), Refresh: refresh,
		Buttons: []button{{To: here + "/cancel", Label: say.Say("page.grace.button", nil), Quiet: true}}}
}

// graceRefresh is how often the page looks again while a press can be taken back, in
// seconds: seldom enough to find the button.
const graceRefresh = 30

// reasonArgs are what the words for a limit and for quiet hours need.
func reasonArgs(say words.Words, over offers.OverLimit, quiet time.Time) map[string]any {
	return map[string]any{"Limit": over.Limit.Format(say.Lang), "Left": over.Left.Format(say.Lang), "Currency": over.Limit.Currency,
		"Until": quiet.Format("15:04 (UTC-07:00)")} // by the buyer's clocks
}

// left says until when the link is valid.
func (c *Counter) left(say words.Words, p offers.Purchase) string {
	ends := p.LinkEnds()
	if p.MailedAt.IsZero() { // the click is faster than the mail server's answer
		ends = c.Now().Add(p.Times.Link)
	}
	return say.Say("page.confirm.left", map[string]any{"Until": clockTime(ends), "Count": int(math.Ceil(ends.Sub(c.Now()).Minutes()))})
}

func clockTime(t time.Time) string { return t.UTC().Format("15:04 UTC") }

// details are the lines about a purchase.
func details(say words.Words, p offers.Purchase, b offers.Buyer) []line {
	var rows []line
	add := func(field, value string) {
		if value == "" {
			return
		}
		l := line{Label: say.Say("field."+field, nil), Value: value}
		if field == "total" || field == "number" {
			l.Kind = field
		}
		rows = append(rows, l)
	}
	add("item", p.Title)
	add("variant", p.Variant)
	add("quantity", fmt.Sprint(p.Quantity))
	rows = append(rows, charges(say, p)...)
	add("total", p.Total.Format(say.Lang))
	add("tax", taxIncluded(say, p))
	if p.Card.Last4 != "" {
		add("card", say.Say("field.card_ending", map[string]any{"Brand": brand(p.Card.Brand), "Last4": p.Card.Last4}))
	}
	if !p.PaidAt.IsZero() {
		add("paid", p.PaidAt.UTC().Format(dateMinute))
	}
	add("seller", seller(p))
	add("tax_number", p.SellerTaxNumber)
	if !p.Digital {
		add("address", b.Address)
	}
	add("terms", p.Terms)
	add("withdrawal", withdrawalRight(say, p))
	rows = append(rows, afterRows(say, p)...)
	add("number", string(p.ID))
	return rows
}

// brand is a card's brand as people write it; Stripe's list is at
// https://docs.stripe.com/api/payment_methods/object#payment_method_object-card-brand.
func brand(s string) string {
	names := map[string]string{"amex": "American Express", "diners": "Diners Club", "discover": "Discover", "jcb": "JCB",
		"mastercard": "Mastercard", "unionpay": "UnionPay", "visa": "Visa"}
	if name, ok := names[s]; ok {
		return name
	}
	return s
}

// backFromBank asks Stripe at once how it stands.
func (c *Counter) backFromBank(w http.ResponseWriter, r *http.Request) error {
	p, _, _, _, err := c.behind(r)
	if err != nil {
		return err
	}
	if _, err := c.Shop.BackFromBank(r.Context(), p.ID, c.Now()); err != nil {
		return err
	}
	c.waitFor(r.Context(), p.ID, offers.Challenged)
	http.Redirect(w, r, "/c/"+r.PathValue("token")+fromBank, http.StatusSeeOther)
	return nil
}

// LogValue keeps a view out of logs: it holds an address.
func (view) LogValue() slog.Value { return slog.StringValue("[page]") }
