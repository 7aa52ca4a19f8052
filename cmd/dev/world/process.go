package world

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"hashtill/bot"
	"hashtill/confirm"
	"hashtill/offers"
	"hashtill/store"
)

// A process is one of ours: it may die, and is started again.
type process struct {
	*world
	name      string
	life      *life
	skew      time.Duration // how far its clock is ahead
	awayUntil time.Time     // when it reaches the store again
}

// A life is a process from its start to its death. All that it knows dies with it.
type life struct {
	*process
	dead   bool
	open   bool      // it has read the catalogue, and serves
	frozen time.Time // until then nothing of it goes on

	shop    *offers.Shop
	outbox  *store.Outbox
	bot     *bot.Bot
	counter *confirm.Counter
	pages   http.Handler
	line    *line
	turning bool // a look for what is due is on its way
	charges []*charging
}

var (
	errDead = errors.New("the process is dead")
	errLost = errors.New("no answer")
	errAway = errors.New("the store cannot be reached")
)

const worldKeys = "code aaaaaaaaaaaaaaaaaaaaaaaaaa\n1 bbbbbbbbbbbbbbbbbbbbbbbbbb\n"

// leaseFor is how long an effect is leased.
const leaseFor = time.Minute

// clock is the process's own.
func (p *process) clock() time.Time { return p.now.Add(p.skew) }

// start begins a life.
func (p *process) start() error {
	l := &life{process: p}
	links, codeKey, err := confirm.ParseKeys(worldKeys)
	if err != nil {
		return err
	}
	l.shop, err = offers.NewShop(ground{l}, offers.Settings{CodeKey: codeKey, Times: p.times, Thanks: true, Log: quiet, Now: p.clock})
	if err != nil {
		return err
	}
	jitter := p.dice("jitter of " + p.name)
	l.outbox = &store.Outbox{
		Store: ground{l}, Do: l.perform, Now: p.clock, Log: quiet, LeaseFor: leaseFor, Rand: jitter.Float64,
		Go: func(do func()) { p.after(0, l, do) },
	}
	l.shop.Owing = func() { l.wake(0) }
	l.line = &line{network: p.net, life: l}
	l.bot = &bot.Bot{Shop: l.shop, Networks: []bot.Network{l.line}, Now: p.clock, Log: quiet}
	l.bot.Register()
	l.counter, err = confirm.New(confirm.Config{
		Shop: unhurried{l.shop}, Till: till{p.stripe, l}, Mailer: mailer{p.post, l}, Links: links, BeforeLink: l.bot.UnlessWithdrawn,
		PublicURL: shopURL, Now: p.clock, Log: quiet,
	})
	if err != nil {
		return err
	}
	l.counter.Register(l.shop)
	l.shop.OnDetach(func(context.Context, string) error { return nil })
	l.shop.OnLeft(func(context.Context, string) error { return nil })
	l.pages = l.counter.Handler()
	p.life = l
	p.notes("%s: starts", p.name)
	p.after(0, l, func() {
		if l.refresh() {
			l.open = true
			l.wake(0)
		}
	})
	return nil
}

const shopURL = "https://shop.example"

// unhurried is a shop whose pages do not wait for what comes of a press: nobody would
// bring the time.
type unhurried struct{ *offers.Shop }

// Purchase implements [confirm.Shop].
func (u unhurried) Purchase(ctx context.Context, id offers.ID) (offers.Purchase, error) {
	if _, hurries := ctx.Deadline(); hurries {
		return offers.Purchase{}, errLost
	}
	return u.Shop.Purchase(ctx, id)
}

// refresh reads the catalogue until it can.
func (l *life) refresh() bool {
	for {
		if _, err := l.shop.Refresh(l.ctx); err == nil {
			return true
		}
		if !l.wait(time.Second) {
			return false
		}
	}
}

// wake has the outbox look for what is due.
func (l *life) wake(in time.Duration) {
	if l.turning && in == 0 {
		return
	}
	if in == 0 {
		l.turning = true
	}
	l.after(in, l, func() {
		if in == 0 {
			l.turning = false
		}
		found, err := l.outbox.Turn(l.ctx)
		switch {
		case l.dead:
		case err != nil:
			l.wake(time.Second)
		case found > 0:
			l.wake(0)
		}
	})
}

// die ends the life, as kill -9 does, and begins another one later.
func (l *life) die(kind, of string) {
	l.happens(kind, l.name+" "+of)
	l.dead = true
	d := l.kinds[kind].dice
	l.after(between(d, 200*time.Millisecond, 20*time.Second), nil, func() {
		if err := l.process.start(); err != nil {
			l.violated("%v", err)
		}
	})
	l.replaced(between(d, 10*time.Second, 15*time.Second))
}

// replaced has another life listen, or the next one of the same process.
func (l *life) replaced(in time.Duration) {
	if l.net.listener == l {
		l.after(in, nil, l.net.takeOver)
	}
}

// step is where a life gives way: it waits for somebody else.
func (l *life) step() error {
	if l.dead {
		return errDead
	}
	d := time.Duration(0)
	if n := l.pace.IntN(8); n < 3 {
		d = time.Duration(1+l.pace.IntN(30)) * time.Millisecond
	}
	if l.chance("stalled beyond its lease", l.name) {
		d = between(l.kinds["stalled beyond its lease"].dice, 20*time.Second, 3*leaseFor)
		l.stalls = max(l.stalls, d)
	}
	if d > 0 && !l.wait(d) {
		return errDead
	}
	return nil
}

// get and post ask for a page of ours, as a browser does.
func (l *life) get(path string) int {
	return l.ask(httptest.NewRequest(http.MethodGet, shopURL+path, nil))
}

func (l *life) form(path string, v url.Values) int {
	r := httptest.NewRequest(http.MethodPost, shopURL+path, strings.NewReader(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", shopURL)
	return l.ask(r)
}

func (l *life) ask(r *http.Request) int {
	rec := httptest.NewRecorder()
	l.pages.ServeHTTP(rec, r)
	if l.dead {
		return 0
	}
	return rec.Code
}

// anyone is a life that is there now, nil if there is none.
func (w *world) anyone(p interface{ IntN(int) int }) *life {
	var there []*life
	for _, proc := range w.procs {
		if l := proc.life; l != nil && l.open && !l.dead && !w.now.Before(l.frozen) {
			there = append(there, l)
		}
	}
	if len(there) == 0 {
		return nil
	}
	return there[p.IntN(len(there))]
}

// on has a life that is there do something, as soon as there is one.
func (w *world) on(d interface{ IntN(int) int }, do func(l *life)) {
	l := w.anyone(d)
	if l == nil {
		w.after(time.Second, nil, func() { w.on(d, do) })
		return
	}
	w.after(0, l, func() { do(l) })
}
