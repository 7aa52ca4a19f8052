package world

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"

	"hashtill/bot"
	"hashtill/confirm"
	"hashtill/offers"
)

// A person is somebody with an account.
type person struct {
	account  offers.Account
	handle   string
	email    offers.Email
	customer string
	country  string
	cards    []offers.Card
	stopped  time.Time // when the shop had committed it; zero: it has not, or it was taken back
	barred   time.Time // the same of who is frozen or has said stop
	started  bool      // it was taken back once
	frozen   bool
}

// A want is a wish, and all that its author does about it.
type want struct {
	name    string
	who     *person
	ware    *ware
	variant string
	count   int
	named   string // the currency that the wish names
	unclear bool   // it names no variant where there are some
	dice    *rand.Rand
	robot   bool
	post    *said
	removed bool

	id      offers.ID
	last    offers.Purchase
	echoes  []string
	presses int     // of the button in time, by the link that counts
	clicks  int     // all of them
	mails   []*mail // with the link
	banked  bool
	retried bool
	heard   int  // how often the post was handed to us
	silence bool // nothing can be said to its author
	bounced bool // and no mail gets through
	acted   bool // the operator has seen that it is paid
	again   bool // the button was pressed once more, as there was no unit
	noted   int  // notes that were written about it

	total    offers.Money // what was promised by the wish
	came     int          // how far on the funnel
	joinedAt time.Time
	joined   int  // its place among all that ever joined a line; 0: it never did
	over     bool // its turn never came
}

// fine is a shop that nothing happens to.
func (w *world) fine() (*offers.Shop, error) {
	_, codeKey, err := confirm.ParseKeys(worldKeys)
	if err != nil {
		return nil, err
	}
	return offers.NewShop(w.base, offers.Settings{CodeKey: codeKey, Times: w.times, Thanks: true, Log: quiet, Now: func() time.Time { return w.now }})
}

func (w *world) makePeople(dice *rand.Rand) error {
	setup, err := w.fine()
	if err != nil {
		return err
	}
	for i := range 3 + dice.IntN(6) {
		p := &person{account: offers.Account{Network: "x", ID: fmt.Sprint(1001 + i)}, handle: fmt.Sprint("b", i),
			email: offers.Email(fmt.Sprintf("b%d@mail.example", i)), customer: fmt.Sprint("cus_", i)}
		for c := range 1 + dice.IntN(2) {
			p.cards = append(p.cards, offers.Card{ID: fmt.Sprintf("pm_%d_%d", i, c), Brand: "visa", Last4: "4242"})
		}
		p.country = pick(dice, countries)
		if w.may("mail refused") && dice.IntN(8) == 0 {
			p.email = offers.Email(fmt.Sprintf("nobody%d@mail.example", i))
		}
		w.people = append(w.people, p)
		if w.fair("registered later", dice, 4) {
			if dice.IntN(4) > 0 {
				w.after(between(dice, time.Minute, 45*time.Minute), nil, func() { w.register(p) })
			}
			continue
		}
		if err := setup.Register(w.ctx, p.buyer(), w.now); err != nil {
			return err
		}
	}
	return nil
}

func (p *person) buyer() offers.Buyer {
	return offers.Buyer{Account: p.account, Handle: p.handle, Email: p.email, Customer: p.customer, Cards: p.cards, Country: p.country}
}

func (w *world) register(p *person) {
	w.on(w.pace, func(l *life) {
		w.notes("%s registers", p.account.ID)
		if l.shop.Register(w.ctx, p.buyer(), l.clock()) != nil {
			w.after(5*time.Second, nil, func() { w.register(p) })
		}
	})
}

// makeWishes draws who will want what.
func (w *world) makeWishes() {
	burst := w.dice("burst").IntN(4) == 0
	for i := range w.Purchases {
		dice := w.dice(fmt.Sprint("wish ", i))
		v := &want{name: fmt.Sprint("wish ", i), dice: dice, who: pick(dice, w.people), ware: pick(dice, w.wares), count: 1 + dice.IntN(2)}
		v.variant = pick(dice, v.ware.offer.Variants())
		v.unclear = v.variant != "" && dice.IntN(25) == 0
		if others := v.ware.offer.Prices; len(others) > 0 && dice.IntN(3) == 0 {
			v.named = pick(dice, others).Currency
		}
		w.wants = append(w.wants, v)
		at := between(dice, 0, 12*time.Minute)
		if burst {
			at = between(dice, 0, 5*time.Second)
		}
		w.after(at, nil, func() { w.wish(v) })
	}
}

// wish: somebody posts the hashtag.
func (w *world) wish(v *want) {
	author := bot.Author{ID: v.who.account.ID, Handle: v.who.handle}
	if w.chance("wish by a bot", v.name) {
		author, v.robot = bot.Author{ID: robotID, Handle: "robot", Bot: true}, true
	}
	tag, called := w.spelled(v)
	words := func(count int) string { return fmt.Sprintf("@hashtill %s #%s x%d %s", called, tag, count, v.named) }
	p := bot.Post{Author: author, Text: words(v.count), Tags: []string{tag}, Names: []string{botID}, Lang: "en"}
	v.post = w.net.add(p)
	v.id = offers.NewID("x", v.post.ID, v.ware.offer.ID)
	if !v.robot {
		w.byID[v.id] = v
	}
	w.byPost[v.post.ID] = v
	w.notes("%s is %s by %s", v.name, v.post.ID, v.who.account.ID)
	w.counts["wishes"]++
	w.net.publish(v.post)
	if w.chance("wish edited", v.name) {
		w.after(between(v.dice, 2*time.Second, time.Minute), nil, func() {
			edit := *v.post
			edit.Text, edit.Edited = words(1+v.count%2), true
			w.net.publish(w.net.again(edit))
		})
	}
	if w.chance("wish removed", v.name) {
		w.after(between(v.dice, time.Second, 8*time.Minute), nil, func() {
			if w.healed {
				return
			}
			v.post.removed, v.removed = true, true
			w.net.publish(w.net.again(said{Post: bot.Post{ID: v.post.ID, Author: author, Kind: bot.Deletion}}))
		})
	}
	if w.chance("stop", v.name) {
		w.after(between(v.dice, time.Second, 15*time.Minute), nil, func() {
			w.says(v.who, "@hashtill stop")
			if w.chance("stop and start", v.name) {
				v.who.started = true
				w.after(between(v.dice, time.Minute, 5*time.Minute), nil, func() { w.says(v.who, "@hashtill start") })
			}
		})
	}
	if w.chance("frozen buyer", v.name) {
		w.after(between(v.dice, time.Second, 20*time.Minute), nil, func() {
			v.who.frozen = true
			w.on(v.dice, func(l *life) { l.shop.Freeze(w.ctx, v.who.account, offers.ByShop, l.clock()) })
		})
	}
}

// says: somebody says something to the bot.
func (w *world) says(p *person, text string) *said {
	if w.healed {
		return nil
	}
	return w.net.says(bot.Post{Author: bot.Author{ID: p.account.ID, Handle: p.handle}, Text: text, Tags: tagsOf(text), Names: []string{botID}, Lang: "en"})
}

// seen: a reply of the bot's is there for all to see.
func (n *network) seen(reply *said) {
	v := n.byPost[reply.to]
	code, ok := codeOf(reply.Text)
	if v == nil || !ok || v.robot {
		return
	}
	if n.chance("echo by another", v.name) {
		n.after(between(v.dice, 100*time.Millisecond, time.Minute), nil, func() {
			by := bot.Author{ID: strangeID, Handle: "stranger"}
			if other := pick(v.dice, n.people); other != v.who && v.dice.IntN(2) == 0 {
				by = bot.Author{ID: other.account.ID, Handle: other.handle}
			}
			n.repost(by, reply)
		})
	}
	v.after(n.world, v.echoTime(n.world), func() { n.echo(v, code, reply) })
}

// echoTime is how long somebody takes to repeat a code.
func (v *want) echoTime(w *world) time.Duration {
	if w.chance("late echo", v.name) {
		return between(v.dice, 14*time.Minute, 24*time.Minute)
	}
	if v.dice.IntN(3) == 0 {
		return between(v.dice, 0, 2*time.Second)
	}
	return between(v.dice, 2*time.Second, 9*time.Minute)
}

// after has somebody do something about their wish, while people do anything.
func (v *want) after(w *world, d time.Duration, do func()) {
	w.after(d, nil, func() {
		if !w.healed {
			do()
		}
	})
}

// echo: the author of a wish repeats its code; reply, where the code stands in public, may
// be nil.
func (n *network) echo(v *want, code offers.Code, reply *said) {
	by := bot.Author{ID: v.who.account.ID, Handle: v.who.handle}
	switch {
	case v.dice.IntN(12) == 0: // they have changed their mind
	case n.chance("cancelled in public", v.name):
		n.world.says(v.who, "@hashtill cancel "+code.Hashtag())
	case reply == nil || n.chance("code posted in words", v.name):
		if s := n.world.says(v.who, "@hashtill "+strings.ToLower(code.Hashtag())); s != nil {
			v.echoes = append(v.echoes, s.ID)
		}
	case v.dice.IntN(4) == 0:
		s := n.says(bot.Post{Author: by, Kind: bot.Quote, Of: &reply.Post, Text: "this!", Lang: "en"})
		v.echoes = append(v.echoes, s.ID)
	default:
		s := n.repost(by, reply)
		v.echoes = append(v.echoes, s.ID, "repost/"+reply.ID+"/"+by.ID)
	}
}

func (n *network) repost(by bot.Author, of *said) *said {
	return n.says(bot.Post{Author: by, Kind: bot.Repost, Of: &of.Post})
}

// arrives: a mail is in the reader's box, after a while.
func (m *post) arrives(a *mail, letter confirm.Mail) {
	kind, rest, _ := strings.Cut(a.id, "/")
	id, _, _ := strings.Cut(rest, "/")
	v := m.byID[offers.ID(id)]
	if v == nil {
		return
	}
	v.silence = false
	in := between(v.dice, 500*time.Millisecond, 20*time.Second)
	switch offers.EffectKind(kind) {
	case offers.MailCode:
		if code, ok := codeOf(letter.Text); ok {
			v.after(m.world, in+v.echoTime(m.world), func() { m.net.echo(v, code, nil) })
		}
	case offers.MailLink:
		v.mails = append(v.mails, a)
		if m.chance("link scanned", v.name) {
			v.after(m.world, in, func() { m.on(v.dice, func(l *life) { l.get(a.link) }) })
		}
		if len(v.mails) == 1 || v.dice.IntN(2) == 0 {
			v.after(m.world, in+v.clickTime(m.world), func() { m.click(v, a) })
		}
	case offers.MailReason:
		if a.link != "" && !v.retried && len(v.mails) > 0 {
			v.retried = true
			v.after(m.world, in+between(v.dice, 5*time.Second, 5*time.Minute), func() { m.click(v, v.mails[len(v.mails)-1]) })
		}
	}
}

func (v *want) clickTime(w *world) time.Duration {
	if w.chance("late click", v.name) {
		if v.dice.IntN(2) == 0 { // when it may not be swept yet
			return between(v.dice, 15*time.Minute, 16*time.Minute)
		}
		return between(v.dice, 14*time.Minute+30*time.Second, 22*time.Minute)
	}
	return between(v.dice, 3*time.Second, 7*time.Minute)
}

// click: somebody presses the button behind the link.
func (w *world) click(v *want, a *mail) {
	link, valid := a.link, true
	form := url.Values{}
	switch {
	case w.chance("cancelled on the page", v.name):
		w.on(v.dice, func(l *life) { l.form(link+"/cancel", url.Values{}) })
		return
	case w.chance("click by an old link", v.name):
		links, _, _ := confirm.ParseKeys(worldKeys)
		link, valid = "/c/"+links.Sign(v.id, v.last.Round-1), false
	case len(v.who.cards) > 1 && w.chance("another card", v.name):
		form.Set("card", v.who.cards[1].ID)
	}
	times := 1
	if w.chance("clicked twice", v.name) {
		times = 2
	}
	for range times {
		w.on(v.dice, func(l *life) { w.press(l, v, link, form, valid) })
	}
}

func (w *world) press(l *life, v *want, link string, form url.Values, valid bool) {
	in := w.inTime(v)
	if v.clicks++; valid && in {
		v.presses++
	}
	w.notes("%s: presses, in time: %t", v.name, in)
	before := v.last
	status := l.form(link, form)
	w.notes("%s: the page says %d", v.name, status)
	if p := v.last; p.State == offers.Mailed && p.Hold == offers.HoldAtClick && valid && !v.again {
		v.again = true // there was no unit, and one may come back
		v.after(w, between(v.dice, 20*time.Second, 6*time.Minute), func() { w.click(v, v.mails[len(v.mails)-1]) })
	}
	if !valid && v.last.Attempt != before.Attempt && v.clicks == 1 {
		w.violated("%s was confirmed by a link that does not count", v.name)
	}
}

// atBank: the bank asks the buyer.
func (w *world) atBank(v *want, intent string) {
	if v.banked {
		return
	}
	v.banked = true
	in := between(v.dice, 3*time.Second, 4*time.Minute)
	if w.may("bank answer late") && v.dice.IntN(6) == 0 {
		w.happens("bank answer late", v.name)
		in = between(v.dice, 13*time.Minute, 20*time.Minute)
	}
	never, agrees := v.dice.IntN(8) == 0, v.dice.IntN(4) > 0
	v.after(w, in, func() {
		v.banked = false
		p := w.stripe.payment(intent)
		if never || p == nil || p.status != confirm.AtBank {
			return
		}
		if agrees {
			w.stripe.take(p)
		} else {
			p.status, p.reason = confirm.Failed, offers.AuthenticationFailed
			w.stripe.tells(p)
		}
		if len(v.mails) > 0 {
			w.on(v.dice, func(l *life) { l.form(v.mails[len(v.mails)-1].link+"/bank", url.Values{}) })
		}
	})
}

// operate: the operator has something to do with what is paid, or about to be.
func (w *world) operate(v *want, state offers.State) {
	refund := func(amount offers.Money) func(l *life) {
		return func(l *life) { l.shop.RefundPurchase(w.ctx, v.id, amount, "", l.clock()) }
	}
	soon := between(v.dice, 0, 10*time.Minute)
	do := func(d time.Duration, act func(l *life)) { v.after(w, d, func() { w.on(v.dice, act) }) }
	if state == offers.Confirmed {
		if w.chance("refund during the charge", v.name) {
			do(between(v.dice, 0, 200*time.Millisecond), refund(offers.Money{}))
		}
		return
	}
	if v.acted {
		return
	}
	v.acted = true
	if w.chance("note", v.name) {
		do(soon, func(l *life) {
			if _, err := l.shop.Note(w.ctx, v.id, "operator", "call back", l.clock()); err == nil {
				v.noted++
			}
		})
	}
	if w.chance("refund of a part", v.name) {
		part := offers.Money{Minor: (1 + v.dice.Int64N(v.last.Total.Minor/20)) * 10, Currency: v.last.Total.Currency}
		do(soon, refund(part))
	}
	if w.chance("refund of all", v.name) {
		do(soon, refund(offers.Money{}))
	}
	if w.chance("purchase shipped", v.name) {
		do(soon/2, func(l *life) { l.shop.Ship(w.ctx, v.id, "1Z 999", l.clock()) })
	}
	if w.chance("withdrawal", v.name) && len(v.mails) > 0 {
		do(soon, func(l *life) { l.form(v.mails[0].link+"/withdraw", url.Values{}) })
	}
}

// brew arranges what comes at some moment of the world.
func (w *world) brew() {
	at := func(kind string, do func(dice *rand.Rand, l *life)) {
		if !w.may(kind) {
			return
		}
		dice := w.kinds[kind].dice
		for range 1 + dice.IntN(3) {
			p := pick(dice, w.procs)
			w.after(between(dice, time.Second, 40*time.Minute), nil, func() {
				if l := p.life; !w.healed && l != nil && !l.dead {
					do(dice, l)
				}
			})
		}
	}
	at("died at any time", func(_ *rand.Rand, l *life) { l.die("died at any time", "") })
	at("process frozen", func(dice *rand.Rand, l *life) {
		w.happens("process frozen", l.name)
		d := between(dice, time.Second, 100*time.Second)
		w.stalls = max(w.stalls, d)
		l.frozen = w.now.Add(d)
		if d > 10*time.Second {
			l.replaced(10 * time.Second)
		}
	})
	at("store away", func(dice *rand.Rand, l *life) {
		w.happens("store away", l.name)
		l.awayUntil = w.now.Add(between(dice, time.Second, 3*time.Minute))
	})
	at("clock jump", func(dice *rand.Rand, l *life) {
		w.happens("clock jump", l.name)
		l.process.skew = between(dice, -90*time.Second, 90*time.Second)
		w.skew = max(w.skew, l.process.skew.Abs())
	})
	at("fail-over forgot commits", func(*rand.Rand, *life) { w.failOver() })
	w.brewEdits(at)
	w.brewHalt()
}

// unanswered: the network does not let the bot answer.
func (n *network) unanswered(r bot.Reply) {
	if v := n.byPost[r.To]; v != nil {
		v.silence = true
	}
}

// refused: nobody can be reached by that mail.
func (m *post) refused(letter confirm.Mail) {
	_, rest, _ := strings.Cut(letter.ID, "/")
	id, _, _ := strings.Cut(rest, "/")
	if v := m.byID[offers.ID(id)]; v != nil {
		v.silence, v.bounced = true, true
	}
}

func (w *world) someone(account string) *person {
	i := slices.IndexFunc(w.people, func(p *person) bool { return p.account.ID == account })
	if i < 0 {
		return nil
	}
	return w.people[i]
}
