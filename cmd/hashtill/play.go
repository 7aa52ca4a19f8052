package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"hashtill/bot/x/xtest"
	"hashtill/confirm/smtp/smtptest"
	"hashtill/offers"
)

// A play is the demo without a person: the cast acts as buyers do, through X, the
// mailbox and the pages, and is watched.
type play struct {
	*stage
	out  io.Writer
	json bool
	http *http.Client

	mu      sync.Mutex // guards out
	results []result   // one for each story, and then the books'

	early, late sync.WaitGroup // stories before and after a quarter of an hour has passed
	passed      chan struct{}  // closed when it has
}

// A playEvent is one step, as --json prints it.
type playEvent struct {
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	Event  string    `json:"event"`
	Detail string    `json:"detail,omitempty"`
}

// A result is how a story came out.
type result struct {
	Who      string `json:"who"`
	Story    string `json:"story"`
	Expected string `json:"expected"`
	Got      string `json:"got"`
	OK       bool   `json:"ok"`
}

// storyTime is what the whole play may take, by the machine's clock.
const storyTime = 50 * time.Second

// playAll plays every story at once, and says whether all came out as they must.
func (s *stage) playAll(ctx context.Context, out io.Writer, asJSON bool) error {
	cookies, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	p := &play{stage: s, out: out, json: asJSON, passed: make(chan struct{}), http: &http.Client{
		Timeout: 30 * time.Second,
		Jar:     cookies, // one person of all signs in
		// Each step of a redirect is looked at, as on paper.
		CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
	}}
	ctx, cancel := context.WithTimeout(ctx, storyTime)
	defer cancel()
	p.say("stage", "opens", "everything here is local: no real post, no real mail, no real money")

	stories := []struct {
		who, story, want string
		act              func(context.Context, *person) (string, error)
		waits            bool // for the quarter of an hour
	}{
		{"ann", "completes", "paid, 2 units, $59.98, once", p.completes, false},
		{"chloe", "completes, in French", "paid, 1 unit, 59,80 €, once", p.completesInFrench, false},
		{"ben", "is not registered at first", "invited once, then paid $29.99", p.registersLater, false},
		{"hal", "has a card that is declined", "declined, nothing charged", p.isDeclined, false},
		{"dan", "has a code that eve reposts", "eve's repost moved nothing; paid by dan's own", p.isEchoedByAnother, false},
		{"fay", "wants the last unit, as gus does", "one paid, one told that it is sold out", p.wantsTheLast, false},
		{"jon", "clicks the same link twice", "paid, charged once", p.clicksTwice, false},
		{"kim", "is asked back by the bank", "challenged, then paid, once", p.isAskedByTheBank, false},
		{"cat", "reposts too late", "expired, told by mail, nothing charged", p.repostsLate, true},
		{"ida", "clicks after 15 minutes", "expired, unit back, nothing charged", p.clicksLate, true},
	}
	p.results = make([]result, len(stories))
	for i, st := range stories {
		group := &p.early
		if st.waits {
			group = &p.late
			p.early.Add(1) // until it waits
		}
		group.Go(func() {
			got, err := st.act(ctx, p.person(st.who))
			if err != nil {
				got = "failed: " + err.Error()
			}
			p.results[i] = result{st.who, st.story, st.want, got, err == nil && got == st.want}
		})
	}
	p.early.Wait()
	err = p.pass(ctx, 15*time.Minute+time.Second)
	p.say("clock", "goes forward", "15 minutes and a second")
	close(p.passed)
	p.late.Wait()
	err = errors.Join(err, p.outbox.WaitIdle(ctx))
	p.checkBooks(ctx)
	return errors.Join(err, p.close())
}

// waitForTheClock is where a late story waits. Whoever ends before it says so too.
func (p *play) waitForTheClock(ctx context.Context) error {
	p.early.Done()
	select {
	case <-p.passed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *play) say(who, event, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := playEvent{p.now().UTC(), who, event, detail}
	if p.json {
		json.NewEncoder(p.out).Encode(e)
		return
	}
	fmt.Fprintf(p.out, "%s  %-8s %-16s %s\n", e.At.Format("15:04:05.000"), who, event, oneLine(detail))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// close prints the closing table.
func (p *play) close() error {
	failed := 0
	tw := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	if !p.json {
		fmt.Fprintln(tw, "\n\tWHO\tSTORY\tCAME OUT")
	}
	for _, r := range p.results {
		mark := "ok"
		if !r.OK {
			mark = "FAILED"
			failed++
		}
		if p.json {
			json.NewEncoder(p.out).Encode(r)
			continue
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", mark, r.Who, r.Story, oneLine(r.Got))
		if !r.OK {
			fmt.Fprintf(tw, "\t\t\tshould be: %s\n", r.Expected)
		}
	}
	tw.Flush()
	if failed > 0 {
		return fmt.Errorf("%d of %d did not come out as they must", failed, len(p.results))
	}
	if !p.json {
		fmt.Fprintf(p.out, "\nall %d came out as they must; no real money moved\n", len(p.results))
	}
	return nil
}

// What a person does, and sees.

func (p *play) posts(who *person, text string) (xtest.Post, error) {
	p.say(who.Handle, "posts", text)
	return p.x.Post(who.ID, text, xtest.PostOptions{})
}

func (p *play) reposts(who *person, post xtest.Post) (xtest.Post, error) {
	p.say(who.Handle, "reposts", post.Text)
	return p.x.Repost(who.ID, post.ID)
}

// isAnswered waits for the bot's first reply to a post.
func (p *play) isAnswered(ctx context.Context, who *person, to xtest.Post) (xtest.Post, error) {
	reply, err := p.x.Wait(ctx, func(q xtest.Post) bool { return q.ReplyTo == to.ID && q.AuthorID == p.shopX.ID })
	if err != nil {
		return reply, fmt.Errorf("no reply: %w", err)
	}
	p.say(botHandle, "replies", reply.Text)
	return reply, nil
}

// getsMail waits for the n-th mail that a person is sent.
func (p *play) getsMail(ctx context.Context, who *person, n int) (smtptest.Message, error) {
	seen := 0
	m, err := p.smtp.Wait(ctx, func(m smtptest.Message) bool {
		if slices.Contains(m.To, who.Email) {
			seen++
		}
		return seen == n && slices.Contains(m.To, who.Email)
	})
	if err != nil {
		return m, fmt.Errorf("no mail: %w", err)
	}
	p.say(who.Handle, "gets mail", m.Subject)
	return m, nil
}

var linkInMail = regexp.MustCompile(`http://[^\s"<>]+/c/[A-Za-z0-9_.~-]+`)

func link(m smtptest.Message) (string, error) {
	if l := linkInMail.FindString(m.Text); l != "" {
		return l, nil
	}
	return "", fmt.Errorf("no link in the mail %q", m.Subject)
}

// getsLink is the link in the n-th mail that a person is sent.
func (p *play) getsLink(ctx context.Context, who *person, n int) (string, error) {
	m, err := p.getsMail(ctx, who, n)
	if err != nil {
		return "", err
	}
	return link(m)
}

// A page as a person reads it.
type page struct {
	status int
	head   string // its heading
	body   string
	at     *url.URL
	next   string // where it sends the browser by itself
}

var heading = regexp.MustCompile(`(?s)<h1[^>]*>(.*?)</h1>`)
var markup = regexp.MustCompile(`<[^>]*>`)

// browse sends a request as a browser does that stands on the same site.
func (p *play) browse(ctx context.Context, method, address string, form url.Values) (page, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return page{}, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	pg := page{status: resp.StatusCode, body: string(body), at: resp.Request.URL}
	_, pg.next, _ = strings.Cut(resp.Header.Get("Refresh"), "url=")
	if m := heading.FindStringSubmatch(pg.body); m != nil {
		pg.head = oneLine(html.UnescapeString(markup.ReplaceAllString(m[1], "")))
	}
	return pg, err
}

func (p *play) opens(ctx context.Context, who *person, address string) (page, error) {
	pg, err := p.browse(ctx, http.MethodGet, address, nil)
	p.say(who.Handle, "opens the link", pg.head)
	return pg, err
}

func (p *play) presses(ctx context.Context, who *person, address string) (page, error) {
	p.say(who.Handle, "presses the button", "")
	pg, err := p.browse(ctx, http.MethodPost, address, nil)
	p.say(who.Handle, "reads", pg.head)
	return pg, err
}

// becomes waits until the purchase is in a state.
func (p *play) becomes(ctx context.Context, id offers.ID, want offers.State) (offers.Purchase, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		pur, err := p.shop.Purchase(ctx, id)
		if err == nil && pur.State == want {
			return pur, nil
		}
		if err != nil && !errors.Is(err, offers.ErrNotFound) {
			return pur, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return pur, fmt.Errorf("purchase is %q, not %q: %w", pur.State, want, ctx.Err())
		}
	}
}

// charges is how often, and how much, was charged for a purchase at Stripe.
func (p *play) charges(id offers.ID) (n int, minor int64) {
	for _, c := range p.stripe.Charges() {
		if c.Metadata["purchase"] == string(id) {
			n++
			minor += c.Amount - c.Refunded
		}
	}
	return n, minor
}

// wishes goes as far as the reply.
func (p *play) wishes(ctx context.Context, who *person, text, offer string) (id offers.ID, reply xtest.Post, err error) {
	post, err := p.posts(who, text)
	if err != nil {
		return "", reply, err
	}
	reply, err = p.isAnswered(ctx, who, post)
	return offers.NewID("x", post.ID, offers.TagKey(offer)), reply, err
}

// untilLink goes from the wish to the link in the mail.
func (p *play) untilLink(ctx context.Context, who *person, text, offer string) (id offers.ID, address string, err error) {
	id, reply, err := p.wishes(ctx, who, text, offer)
	if err != nil {
		return id, "", err
	}
	if _, err := p.reposts(who, reply); err != nil {
		return id, "", err
	}
	address, err = p.getsLink(ctx, who, 1)
	return id, address, err
}

// once says that a purchase was charged once, and how much.
func (p *play) once(pur offers.Purchase, lang string) string {
	n, minor := p.charges(pur.ID)
	if n != 1 || minor != pur.Total.Minor {
		return fmt.Sprintf("charged %d times, %d in all", n, minor)
	}
	return strings.ReplaceAll(pur.Total.Format(lang), "\u00a0", " ") + ", once"
}
