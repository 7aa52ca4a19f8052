package desk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"hashtill/offers"
)

var saleRoutes = []route{
	{pattern: "GET /m/{merchant}/sale/{offer}", needs: offers.Viewer, do: (*call).sale},
	{pattern: "GET /m/{merchant}/sale/{offer}/live", needs: offers.Viewer, do: (*call).moving},
}

// A sale is how the sale of an offer goes.
type sale struct {
	listed
	At     time.Time
	Steps  []saleStep
	Lost   []lost
	Losses int64
	Lines  []waitingLine
}

// A saleStep is how many purchases came so far.
type saleStep struct {
	Name string
	N    int64
	Part int64 // of all wishes, in percent
}

// lost is how many were lost for one reason.
type lost struct {
	Why string
	N   int64
}

// A waitingLine is who waits for a variant.
type waitingLine struct {
	Variant string
	All     int64
	Next    []offers.Purchase
	More    int64 // who are not shown
}

// shownWaiting is how many of a line are shown.
const shownWaiting = 10

// saleSteps are the steps of a sale.
var saleSteps = []struct {
	name  string
	stage offers.Stage
}{
	{"Wishes", offers.Wished}, {"Codes given", offers.Stage(offers.Coded)}, {"Codes reposted", offers.Stage(offers.Echoed)},
	{"Links mailed", offers.Stage(offers.Mailed)}, {"Button pressed", offers.Stage(offers.Confirmed)}, {"Paid", offers.Stage(offers.Paid)},
}

// look reads how the sale of an offer goes. lines: those that were read before, to be
// taken as they are; nil: they are read.
func (c *call) look(ctx context.Context, o offers.Offer, lines []waitingLine) (v sale, err error) {
	v.At = c.Now()
	if v.listed, err = c.stand(o); err != nil {
		return v, err
	}
	funnel, err := c.Shop.Funnel(ctx, o.ID)
	if err != nil {
		return v, err
	}
	wishes := funnel[offers.Wished]
	for _, s := range saleSteps {
		n := funnel[s.stage]
		v.Steps = append(v.Steps, saleStep{s.name, n, min(n*100/max(wishes, 1), 100)})
	}
	for stage, n := range funnel {
		if strings.Contains(string(stage), "/") && n > 0 {
			v.Losses += n
			why := lostWords(stage)
			if i := slices.IndexFunc(v.Lost, func(l lost) bool { return l.Why == why }); i >= 0 {
				v.Lost[i].N += n
			} else {
				v.Lost = append(v.Lost, lost{why, n})
			}
		}
	}
	sortBy(v.Lost, func(l lost) string { return l.Why })
	slices.SortStableFunc(v.Lost, func(a, b lost) int { return int(b.N - a.N) })
	if v.Lines = lines; lines != nil {
		return v, nil
	}
	v.Lines = []waitingLine{}
	for _, variant := range v.Variants {
		if variant.Waiting <= 0 {
			continue
		}
		next, err := c.Shop.Line(ctx, o.ID, variant.Name, shownWaiting)
		if err != nil {
			return v, err
		}
		v.Lines = append(v.Lines, waitingLine{variant.Name, variant.Waiting, next, max(variant.Waiting-int64(len(next)), 0)})
	}
	return v, nil
}

// lostWords say why purchases were lost, for people.
func lostWords(stage offers.Stage) string {
	how, why, _ := strings.Cut(string(stage), "/")
	if words, ok := lostReasons[string(stage)]; ok {
		return words
	}
	if how == "cancelled" {
		return "Taken back by the buyer"
	}
	words := strings.ReplaceAll(why, "_", " ")
	if how == "expired" {
		return "Too late: " + words
	}
	return strings.ToUpper(words[:min(1, len(words))]) + words[min(1, len(words)):]
}

var lostReasons = map[string]string{
	"refused/sold_out": "Sold out", "refused/not_open_yet": "Before it opened", "refused/offer_closed": "After it closed",
	"refused/limit_reached": "More than one buyer may have", "refused/which_variant": "It was not clear which variant",
	"refused/not_registered": "Not registered", "refused/mail_refused": "Their mail server takes no mail of ours",
	"refused/unreachable": "Neither reply nor mail got through", "refused/not_answered": "We could not answer in time",
	"refused/card_unusable": "The card cannot be used", "refused/declined": "The bank said no", "refused/stopped": "They have stopped buying here",
	"refused/frozen": "Their account is frozen", "refused/quiet_hours": "In their quiet hours", "refused/not_charged": "The charge took too long",
	"refused/wait_over": "No unit came back in time", "refused/country_needed": "Their country is not known",
	"refused/not_sold_there": "Not sold in their country", "refused/over_purchase": "Above what they spend at once",
	"refused/over_day": "Above what they spend in a day", "refused/over_month": "Above what they spend in a month",
	"refused/over_currency": "They spend nothing in this currency", "refused/insufficient_funds": "Not enough money on the card",
	"refused/expired_card": "The card has expired", "refused/code_expired": "The code was not reposted in time",
	"refused/link_expired": "The button was not pressed in time", "refused/authentication_failed": "The bank was not satisfied",
	"expired/invited": "Did not register in time", "expired/waiting": "Waited, and no unit came back", "expired/asked": "We could not answer in time",
	"expired/coded": "The code was not reposted in time", "expired/echoed": "The link could not be mailed in time",
	"expired/mailed": "The button was not pressed in time", "expired/declined": "The bank said no", "expired/confirmed": "The charge took too long",
	"expired/challenged": "The bank’s question was not answered",
}

func (c *call) sale() error {
	o, err := c.offer(c.r.PathValue("offer"))
	if err != nil {
		return err
	}
	v, err := c.look(c.r.Context(), o, nil)
	if err != nil {
		return err
	}
	c.title = "Sale of #" + o.Tag
	return c.page("sale.html", v)
}

// Pages that move. Each has a stream of events (https://html.spec.whatwg.org/#server-sent-events)
// that brings what has changed on it, as HTML.

// live is what the desk's streams share: the figures of each offer are read once for all
// who look at it, and there are only so many streams.
type live struct {
	mu     sync.Mutex
	all    int
	people map[offers.Email]int
	views  map[string]*view // by offer
}

// A view is the moving part of a page, as it was written last.
type view struct {
	streams int // under the mutex of live

	mu      sync.Mutex
	at      time.Time
	html    []byte
	lines   []waitingLine
	linesAt time.Time
}

// Bounds of streams.
const (
	maxStreams    = 500
	maxOwnStreams = 8                // of one person
	streamTime    = 10 * time.Minute // then the browser asks again
	lookEvery     = time.Second
	pulseEvery    = 15 // looks; for proxies that end what is silent
)

// join counts a stream in; false: there are too many.
func (l *live) join(who offers.Email, offer string) (*view, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxStreams || l.people[who] >= maxOwnStreams {
		return nil, false
	}
	if l.views == nil {
		l.views, l.people = map[string]*view{}, map[offers.Email]int{}
	}
	v := l.views[offer]
	if v == nil {
		v = &view{}
		l.views[offer] = v
	}
	l.all++
	l.people[who]++
	v.streams++
	return v, true
}

func (l *live) leave(who offers.Email, offer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.people[who]--; l.people[who] == 0 {
		delete(l.people, who)
	}
	if v := l.views[offer]; v != nil {
		if v.streams--; v.streams == 0 {
			delete(l.views, offer)
		}
	}
}

// moving is the stream of a sale's page.
func (c *call) moving() error {
	o, err := c.offer(c.r.PathValue("offer"))
	if err != nil {
		return err
	}
	v, ok := c.live.join(c.person.Email, o.ID)
	if !ok {
		c.w.Header().Set("Retry-After", "60")
		c.w.WriteHeader(http.StatusServiceUnavailable)
		return nil
	}
	defer c.live.leave(c.person.Email, o.ID)
	c.w.Header().Set("Content-Type", "text/event-stream")
	c.w.Header().Set("X-Accel-Buffering", "no") // of nginx
	stream := http.NewResponseController(c.w)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	end := time.NewTimer(streamTime)
	defer end.Stop()
	var shown []byte
	for n := 0; ; n++ {
		html, err := c.seen(v, o.ID)
		var event []byte
		switch {
		case errors.Is(err, errNotThere): // no longer theirs to see
			event = []byte("event: gone\ndata: .\n\n")
		case c.r.Context().Err() != nil:
			return nil
		case err != nil:
			c.Log.Error("the desk failed", "path", c.r.Pattern, "err", err)
			return nil // the browser asks again
		case !bytes.Equal(html, shown):
			event, shown = eventOf(html), html
		case n%pulseEvery == 0:
			event = []byte(":\n\n")
		}
		if len(event) > 0 {
			// The server's own limit is one for pages that end.
			if err := stream.SetWriteDeadline(time.Now().Add(30 * time.Second)); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return nil
			}
			if _, werr := c.w.Write(event); werr != nil || stream.Flush() != nil || err != nil {
				return nil // they have gone
			}
		}
		select {
		case <-tick.C:
		case <-end.C:
			return nil
		case <-c.closed:
			return nil
		case <-c.r.Context().Done():
			return nil
		}
	}
}

// eventOf is an event that carries some lines.
func eventOf(html []byte) []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(html) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			fmt.Fprintf(&b, "data: %s\n", line)
		}
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// seen is the moving part of a sale's page as it is now, not older than a look takes. It
// is for whoever may still see it: a session ends, and people change.
func (c *call) seen(v *view, offer string) ([]byte, error) {
	ctx, now := c.r.Context(), c.Now()
	sh, err := c.Shop.Shift(ctx, c.token, now)
	if err == nil {
		c.person, err = c.Shop.Person(ctx, sh.Email)
	}
	if errors.Is(err, offers.ErrNotFound) || err == nil && !atLeast(c.person.Role(c.merchant), offers.Viewer) {
		return nil, errNotThere
	}
	if err != nil {
		return nil, err
	}
	o, err := c.offer(offer)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if now.Sub(v.at) < lookEvery*9/10 && v.html != nil {
		return v.html, nil
	}
	lines := v.lines
	var waiting int64
	for _, l := range lines {
		waiting += l.All
	}
	// A line is read whole: a long one not each second.
	if now.Sub(v.linesAt) >= lookEvery*9/10+time.Duration(waiting)*10*time.Millisecond {
		lines = nil
	}
	s, err := c.look(ctx, o, lines)
	if err != nil {
		return nil, err
	}
	if lines == nil {
		v.linesAt = now
	}
	v.lines = s.Lines
	var b bytes.Buffer
	if err := c.html.ExecuteTemplate(&b, "live", s); err != nil {
		return nil, err
	}
	v.at, v.html = now, b.Bytes()
	return v.html, nil
}
