package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/maphash"
	"html/template"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"hashtill/bot/x/xtest"
	"hashtill/confirm/smtp/smtptest"
	"hashtill/confirm/stripe/stripetest"
)

//go:embed demo
var demoFiles embed.FS

// A demoPage is the one page of the demo: timeline, mailbox, desk and controls of
// a stage. It is rendered whole for each request, and works without a script; the
// script only fetches the parts anew when it hears that something has changed.
// GET changes nothing.
//
//	GET  /            the page
//	GET  /parts       the same without the frame around it, for the script
//	GET  /mail        one mail, for the frame in which it is shown
//	GET  /events      a line whenever something has changed
//	POST /post /repost /delete /register /pass /switch    do, and go back to /
//
// Who acts, and what is open, stands in each address: as, mail, reply, quote, fill.
type demoPage struct {
	*stage
	changes changes
	seed    maphash.Seed
	acts    atomic.Int64 // what was done on the page, so that each deed is a change

	mu    sync.Mutex
	trips map[string]bool // switches that are on
}

func newDemoPage(s *stage) *demoPage {
	return &demoPage{stage: s, seed: maphash.MakeSeed(), trips: map[string]bool{}, changes: changes{listeners: map[chan struct{}]bool{}}}
}

const (
	demoBody   = 16 << 10 // most bytes of a form
	demoPass   = 15*time.Minute + time.Second
	demoShown  = 100 // most posts, mails, purchases and effects shown
	demoListen = 32  // most browsers that listen at once
)

// serve serves the page until ctx ends, and returns when nothing of it runs.
func (d *demoPage) serve(ctx context.Context, l net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	server := &http.Server{
		Handler:           d.handler(),
		BaseContext:       func(net.Listener) context.Context { return ctx }, // listeners end with the stage
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      40 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			return server.Close() // a browser holds a connection open that it does not use
		}
		return nil
	})
	g.Go(func() error {
		d.changes.run(ctx, d.fingerprint)
		return nil
	})
	return g.Wait()
}

// demoPolicy allows the page its own script and style and nothing from outside.
const demoPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// mailPolicy shows a mail as a mail reader does: its own style, no script, nothing
// from outside, and links that open elsewhere.
const mailPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'; " +
	"sandbox allow-popups allow-popups-to-escape-sandbox"

func (d *demoPage) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", d.show("page"))
	mux.HandleFunc("GET /parts", d.show("parts"))
	mux.HandleFunc("GET /mail", d.showMail)
	mux.HandleFunc("GET /events", d.events)
	files, err := fs.Sub(demoFiles, "demo")
	if err != nil {
		panic(err) // the folder is embedded
	}
	mux.Handle("GET /style.css", http.FileServerFS(files))
	mux.Handle("GET /script.js", http.FileServerFS(files))
	for path, do := range map[string]deed{
		"/post": d.post, "/repost": d.repost, "/delete": d.remove,
		"/register": d.registerCard, "/pass": d.passTime, "/switch": d.trip,
	} {
		mux.HandleFunc("POST "+path, d.act(do))
	}
	mux.HandleFunc("POST /desk", func(w http.ResponseWriter, r *http.Request) {
		link, err := d.deskLink(r.Context())
		if err != nil {
			http.Error(w, "That did not work: "+err.Error(), http.StatusInternalServerError)
			return
		}
		http.Redirect(w, r, link, http.StatusSeeOther)
	})
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", strings.Replace(demoPolicy, "form-action 'self'", "form-action 'self' "+d.cfg.Desk.URL, 1))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, demoBody)
		guarded.ServeHTTP(w, r)
	})
}

var demoTemplates = template.Must(template.New("").Funcs(template.FuncMap{
	"pieces": pieces, "clock": clockTime, "left": left, "plain": func(s any) string { return strings.ReplaceAll(fmt.Sprint(s), "_", " ") },
}).ParseFS(demoFiles, "demo/*.html"))

func (d *demoPage) show(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d.render(w, r, name, http.StatusOK, "")
	}
}

// render writes the page, or its parts, with a notice of what went wrong.
func (d *demoPage) render(w http.ResponseWriter, r *http.Request, name string, status int, notice string) {
	all, err := d.look(r.Context(), d.viewOf(r.URL.Query()))
	if err != nil {
		d.log.Error("the demo's page cannot be shown", "err", err)
		http.Error(w, "The page cannot be shown; the terminal says why.", http.StatusInternalServerError)
		return
	}
	all.Notice = notice
	if r.Method == http.MethodPost {
		all.Compose.Text = r.PostForm.Get("text") // what was typed is not lost
	}
	var page bytes.Buffer
	if err := demoTemplates.ExecuteTemplate(&page, name+".html", all); err != nil {
		d.log.Error("the demo's page cannot be shown", "err", err)
		http.Error(w, "The page cannot be shown; the terminal says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	page.WriteTo(w)
}

var headOfMail = regexp.MustCompile(`(?i)<head(\s[^>]*)?>`)

// showMail writes one mail of the person's for the frame: alone under an address of
// its own, because the page's policy would forbid a mail its style.
func (d *demoPage) showMail(w http.ResponseWriter, r *http.Request) {
	v := d.viewOf(r.URL.Query())
	m, ok := d.mailOf(v.Who, v.Mail)
	if !ok || m.HTML == "" {
		http.NotFound(w, r)
		return
	}
	const away = `<base target="_blank">`
	text, head := m.HTML, headOfMail.FindStringIndex(m.HTML)
	if head != nil {
		text = text[:head[1]] + away + text[head[1]:]
	} else {
		text = away + text
	}
	w.Header().Set("Content-Security-Policy", mailPolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, text)
}

// mailOf finds a mail of a person's by its number.
func (d *demoPage) mailOf(who *person, seq int) (smtptest.Message, bool) {
	for _, m := range d.smtp.Mailbox(who.Email) {
		if m.Seq == seq {
			return m, true
		}
	}
	return smtptest.Message{}, false
}

// A deed is something done on the page; its error is for the person who did it.
type deed func(ctx context.Context, v view, form url.Values) error

func (d *demoPage) act(do deed) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, "That was too much, or no form.", http.StatusBadRequest)
			return
		}
		v := d.viewOf(r.URL.Query())
		if err := do(r.Context(), v, r.PostForm); err != nil {
			said := strings.TrimPrefix(err.Error(), "xtest: ")
			d.render(w, r, "page", http.StatusUnprocessableEntity, "That did not work: "+said+".")
			return
		}
		d.acts.Add(1)
		http.Redirect(w, r, v.To("/"), http.StatusSeeOther)
	}
}

func (d *demoPage) post(_ context.Context, v view, form url.Values) error {
	_, err := d.x.Post(v.Who.ID, form.Get("text"), xtest.PostOptions{ReplyTo: v.Reply, Quote: v.Quote})
	return err
}

func (d *demoPage) repost(_ context.Context, v view, form url.Values) error {
	_, err := d.x.Repost(v.Who.ID, form.Get("id"))
	return err
}

func (d *demoPage) remove(_ context.Context, v view, form url.Values) error {
	return d.x.Delete(v.Who.ID, form.Get("id"))
}

func (d *demoPage) registerCard(ctx context.Context, v view, _ url.Values) error {
	buyer, err := d.shop.Buyer(ctx, d.account(v.Who))
	if err != nil || buyer.Known() {
		return err
	}
	return d.register(ctx, v.Who)
}

func (d *demoPage) passTime(ctx context.Context, _ view, _ url.Values) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return d.pass(ctx, demoPass)
}

// The switches of the page, and what they do to the stand-ins.
const (
	tripX      = "x"
	tripMail   = "mail"
	tripStripe = "stripe"
)

// refusedReply is X's answer to a reply that its rule of 23 February 2026 forbids.
const refusedReply = `{"detail":"Reply to this conversation is not allowed because you have not been mentioned or otherwise engaged by the author of the post you are replying to.","type":"about:blank","title":"Forbidden","status":403}`

func (d *demoPage) trip(_ context.Context, _ view, form url.Values) error {
	name, on := form.Get("name"), form.Get("on") == "true"
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.trips[name] == on {
		return nil
	}
	switch name {
	case tripX:
		d.x.Heal()
		if on {
			d.x.Fail(xtest.Fault{Method: http.MethodPost, Path: "/2/tweets", Times: -1, Status: http.StatusForbidden,
				Header: http.Header{"Content-Type": {"application/problem+json"}}, Body: refusedReply})
		}
	case tripMail:
		d.smtp.Heal()
		if on {
			if err := d.smtp.Inject(smtptest.Fault{At: smtptest.Connect, Code: 421}); err != nil {
				return err
			}
		}
	case tripStripe:
		d.stripe.ClearFaults()
		if on {
			d.stripe.Fail(stripetest.Fault{Times: -1, Status: http.StatusServiceUnavailable})
		}
	default:
		return fmt.Errorf("there is no switch %q", name)
	}
	d.trips[name] = on
	return nil
}

// tripped says which switches are on.
func (d *demoPage) tripped(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.trips[name]
}

// events tells a browser of each change, until it goes or the stage ends.
func (d *demoPage) events(w http.ResponseWriter, r *http.Request) {
	changed, leave, ok := d.changes.join()
	if !ok {
		http.Error(w, "Too many pages listen.", http.StatusServiceUnavailable)
		return
	}
	defer leave()
	conn := http.NewResponseController(w)
	conn.SetReadDeadline(time.Time{}) // the server's would end the stream
	w.Header().Set("Content-Type", "text/event-stream")
	tell := func(line string) bool {
		conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, err := io.WriteString(w, line)
		return err == nil && conn.Flush() == nil
	}
	beat := time.NewTicker(15 * time.Second)
	defer beat.Stop()
	for line := "retry: 1000\ndata: here\n\n"; tell(line); {
		select {
		case <-r.Context().Done():
			return
		case <-changed:
			line = "data: changed\n\n"
		case <-beat.C:
			line = ":\n\n"
		}
	}
}

// changes wakes those who listen when what they look at is not what it was. It
// looks only while somebody listens.
type changes struct {
	mu        sync.Mutex
	listeners map[chan struct{}]bool
}

// demoPoll is how often is looked for a change.
const demoPoll = 250 * time.Millisecond

// run looks until ctx ends.
func (c *changes) run(ctx context.Context, fingerprint func(context.Context) uint64) {
	tick := time.NewTicker(demoPoll)
	defer tick.Stop()
	var last uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.mu.Lock()
		alone := len(c.listeners) == 0
		c.mu.Unlock()
		if alone {
			continue
		}
		now := fingerprint(ctx)
		if now == last {
			continue
		}
		last = now
		c.mu.Lock()
		for l := range c.listeners {
			select {
			case l <- struct{}{}:
			default: // it has not looked since the last change, and will see both
			}
		}
		c.mu.Unlock()
	}
}

// join listens until leave is called; not ok: too many do.
func (c *changes) join() (changed <-chan struct{}, leave func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.listeners) >= demoListen {
		return nil, nil, false
	}
	l := make(chan struct{}, 1)
	c.listeners[l] = true
	return l, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.listeners, l)
	}, true
}

// fingerprint is different when anything is that the page shows, and 0 when that
// cannot be known.
func (d *demoPage) fingerprint(ctx context.Context) uint64 {
	all, err := purchases(ctx, d.shop, everyPurchase)
	owed, owedErr := d.owed(ctx)
	if err := errors.Join(err, owedErr); err != nil {
		if ctx.Err() == nil {
			d.log.Error("the demo's page cannot look at the store", "err", err)
		}
		return 0
	}
	var h maphash.Hash
	h.SetSeed(d.seed)
	fmt.Fprint(&h, d.acts.Load(), len(d.smtp.Messages()), all, owed, d.stripe.Charges())
	for _, p := range d.x.Timeline() {
		io.WriteString(&h, p.ID)
	}
	return h.Sum64()
}

// A view is who looks at what; it stands in every address of the page.
type view struct {
	Who          *person
	Mail         int    // the number of the opened mail, or 0
	Text         bool   // the mail as text
	Reply, Quote string // the post that the composer answers or quotes
	Fill         string // what the composer shall begin with
}

// viewOf reads an address. What it does not say or says wrongly is as it begins.
func (d *demoPage) viewOf(q url.Values) view {
	v := view{Who: d.person(q.Get("as")), Text: q.Get("text") != "", Reply: q.Get("reply"), Quote: q.Get("quote"), Fill: q.Get("fill")}
	if v.Who == nil {
		v.Who = d.cast[0]
	}
	v.Mail, _ = strconv.Atoi(q.Get("mail"))
	if len(v.Fill) > 1000 {
		v.Fill = ""
	}
	return v
}

// To is the address of path, for the same person with the same mail open.
func (v view) To(path string) string { return v.with(path, "") }

// with is To with one more thing said.
func (v view) with(path, key string, value ...string) string {
	q := url.Values{"as": {v.Who.Handle}}
	if v.Mail != 0 {
		q.Set("mail", strconv.Itoa(v.Mail))
	}
	if v.Text {
		q.Set("text", "1")
	}
	if key != "" {
		q[key] = slices.DeleteFunc(value, func(s string) bool { return s == "" })
	}
	return path + "?" + q.Encode()
}

// Answering is the page with a composer that answers a post, Quoting with one that
// quotes it, Filled with one that begins with a text.
func (v view) Answering(post string) string { return v.with("/", "reply", post) + "#composer" }

// Quoting: see Answering.
func (v view) Quoting(post string) string { return v.with("/", "quote", post) + "#composer" }

// Filled: see Answering.
func (v view) Filled(text string) string { return v.with("/", "fill", text) + "#composer" }

// Opening is the page with a mail opened.
func (v view) Opening(seq int) string { return v.with("/", "mail", strconv.Itoa(seq)) + "#opened" }

// Closing is the page without a mail.
func (v view) Closing() string { v.Mail, v.Text = 0, false; return v.To("/") + "#mailbox" }

// AsText is the opened mail as text, or no longer.
func (v view) AsText(on bool) string { v.Text = on; return v.To("/") + "#opened" }

// Posting is where the composer sends to.
func (v view) Posting() string {
	switch {
	case v.Reply != "":
		return v.with("/post", "reply", v.Reply)
	case v.Quote != "":
		return v.with("/post", "quote", v.Quote)
	}
	return v.To("/post")
}
