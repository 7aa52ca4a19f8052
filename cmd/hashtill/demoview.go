package main

import (
	"cmp"
	"context"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"

	"hashtill/bot/x/xtest"
	"hashtill/confirm/smtp/smtptest"
	"hashtill/offers"
	"hashtill/store"
)

// A demoView is all that the demo's page shows.
type demoView struct {
	view
	Notice string
	Now    time.Time
	Cast   []*person
	Card   string // the last four digits; "" is not registered
	Shop   string // the address of the shop's own pages
	Guide  guide

	Compose   composer
	Chips     []chip
	Posts     []postView
	Mails     []mailView
	Opened    *mailView
	Purchases []offers.Purchase
	Stock     []stockView
	Charges   []chargeView
	Taken     []string // by Stripe, a sum for each currency
	Owed      []owedView
	Switches  []switchView
}

// A guide says where the buyer stands and what to do next.
type guide struct {
	Step int // 1 post, 2 repost, 3 press; 4 is done
	Say  string
	At   string // where on the page, as "#mailbox"
	Bank string // the bank's page, where the buyer has to go there
}

type composer struct {
	Label, Text string
	To          *postView // answered or quoted
}

// Mode names what the composer is for: a text that was typed for one thing is not
// kept for another.
func (v demoView) Mode() string {
	return strings.Join([]string{v.Who.Handle, v.Reply, v.Quote, v.Fill}, " ")
}

type chip struct{ Tag, Variant, Price, Text string }

type postView struct {
	xtest.Post
	By         xtest.Account
	Hue        int       // of the author's picture
	OfBot      bool      // the shop's own
	Key        string    // of the entry: that of the repost where it is one
	Again      string    // the name of who reposted it, or ""
	Answers    *postView // the post that it answers
	Quotes     *postView
	Own        bool // the entry is the person's own to delete
	Reposted   bool // by the person who looks
	NextIsThis bool // to repost it is the person's next step
}

type mailView struct {
	smtptest.Message
	Sender string
	Copies int // that a mail reader shows as one
}

type stockView struct {
	Tag, Title, Price string
	Rows              []stockRow
}

type stockRow struct {
	Variant     string
	Left, Stock int64
}

type chargeView struct {
	For, Amount, Refunded string // For: the buyer's handle
	At                    time.Time
}

type owedView struct {
	store.Owed
	For string // the handle of whose purchase it is, or ""
}

type switchView struct {
	Name, Title, Says string
	On                bool
}

func everyPurchase(offers.Purchase) bool { return true }

// look gathers what the page shows to somebody.
func (d *demoPage) look(ctx context.Context, v view) (demoView, error) {
	all := demoView{view: v, Now: d.now(), Cast: d.cast, Shop: d.cfg.PublicURL}
	buyer, err := d.shop.Buyer(ctx, d.account(v.Who))
	if err != nil {
		return all, err
	}
	if buyer.Known() {
		all.Card = buyer.Cards[0].Last4
	}
	if all.Purchases, err = purchases(ctx, d.shop, everyPurchase); err != nil {
		return all, err
	}
	own := slices.IndexFunc(all.Purchases, func(p offers.Purchase) bool { return p.Buyer == d.account(v.Who) })
	var latest offers.Purchase
	if own >= 0 {
		latest = all.Purchases[own]
	}
	all.Guide = guideFor(v.Who, buyer.Known(), latest)
	all.Posts = d.posts(v.Who, latest)
	all.Compose = d.composer(v, latest)
	whose := map[string]string{}
	for _, p := range all.Purchases {
		whose[string(p.ID)] = p.Handle
	}
	all.Purchases = all.Purchases[:min(len(all.Purchases), demoShown)]

	for _, copies := range d.smtp.Folded(v.Who.Email) {
		m := mailView{Message: copies[0], Copies: len(copies), Sender: copies[0].From}
		if from, err := mail.ParseAddress(m.Header.Get("From")); err == nil && from.Name != "" {
			m.Sender = from.Name
		}
		if m.Seq == v.Mail {
			all.Opened = &m
		}
		all.Mails = append(all.Mails, m)
	}
	slices.Reverse(all.Mails)
	all.Mails = all.Mails[:min(len(all.Mails), demoShown)]

	for _, o := range d.shop.Offers() {
		held, err := d.shop.Stocked(ctx, o)
		if err != nil {
			return all, err
		}
		s := stockView{Tag: o.Tag, Title: o.Title, Price: o.Price.Format("en")}
		for _, name := range o.Variants() {
			s.Rows = append(s.Rows, stockRow{name, int64(o.Stock[name]) - held[name], int64(o.Stock[name])})
			all.Chips = append(all.Chips, chip{o.Tag, name, s.Price, strings.TrimSpace("@" + botHandle + " #" + o.Tag + " " + name)})
		}
		all.Stock = append(all.Stock, s)
	}
	slices.SortStableFunc(all.Chips, func(a, b chip) int { return cmp.Compare(a.Variant, b.Variant) }) // the simple ones first
	all.Charges, all.Taken = d.charged(whose)
	owed, err := d.owed(ctx)
	if err != nil {
		return all, err
	}
	slices.SortStableFunc(owed, func(a, b store.Owed) int { return a.Due.Compare(b.Due) })
	for _, o := range owed[:min(len(owed), demoShown)] {
		_, id, _ := strings.Cut(o.ID, "/")
		id, _, _ = strings.Cut(id, "/")
		all.Owed = append(all.Owed, owedView{o, whose[id]})
	}
	all.Switches = []switchView{
		{tripX, "X refuses replies", "The code then goes by mail to those who are registered.", d.tripped(tripX)},
		{tripMail, "The mail server is away", "Mails wait in the outbox; a link is valid from when its mail was taken.", d.tripped(tripMail)},
		{tripStripe, "Stripe is away", "Nothing is charged, nothing is lost; it is tried again.", d.tripped(tripStripe)},
	}
	return all, nil
}

// composer says what the person writes.
func (d *demoPage) composer(v view, latest offers.Purchase) composer {
	c := composer{Label: "Post as " + v.Who.Name, Text: v.Fill}
	if to, ok := d.x.Find(v.Reply + v.Quote); ok && (v.Reply == "" || v.Quote == "") {
		c.To = d.postView(to)
		c.Label = "Reply to @" + c.To.By.Handle
		if v.Quote != "" {
			c.Label = "Quote @" + c.To.By.Handle
		}
		if c.Text == "" {
			c.Text = "Yes, please!"
		}
		return c
	}
	if c.Text != "" {
		return c
	}
	switch latest.State {
	case offers.New, offers.Expired, offers.Cancelled, offers.Refused:
		c.Text = "@" + botHandle + " #BuyTee"
	case offers.Coded:
		if latest.CodeByMail || latest.Reply == "" {
			c.Text = "@" + botHandle + " " + latest.Code.Hashtag()
		}
	}
	return c
}

func (d *demoPage) postView(p xtest.Post) *postView {
	by, _ := d.x.Account(p.AuthorID)
	return &postView{Post: p, By: by, Key: p.ID, OfBot: p.AuthorID == d.shopX.ID,
		Hue: slices.IndexFunc(d.cast, func(c *person) bool { return c.ID == p.AuthorID }) % 6}
}

// posts is the timeline as a person sees it.
func (d *demoPage) posts(who *person, latest offers.Purchase) []postView {
	timeline := d.x.Timeline()
	reposted := map[string]bool{}
	for _, p := range timeline {
		if p.AuthorID == who.ID && p.RepostOf != "" {
			reposted[p.RepostOf] = true
		}
	}
	var all []postView
	for _, p := range timeline[:min(len(timeline), demoShown)] {
		shown := d.postView(p)
		if original, ok := d.x.Find(p.RepostOf); ok {
			again := shown.By
			shown = d.postView(original)
			shown.Key, shown.Again = p.ID, again.Name
		}
		shown.Own = p.AuthorID == who.ID
		shown.Reposted = reposted[shown.ID]
		shown.NextIsThis = latest.State == offers.Coded && !latest.CodeByMail && shown.ID == latest.Reply && shown.Again == ""
		if answered, ok := d.x.Find(shown.ReplyTo); ok {
			shown.Answers = d.postView(answered)
		}
		if quoted, ok := d.x.Find(shown.Quote); ok {
			shown.Quotes = d.postView(quoted)
		}
		all = append(all, *shown)
	}
	return all
}

// charged is what Stripe has taken, the newest first, and the sums.
func (d *demoPage) charged(whose map[string]string) (all []chargeView, taken []string) {
	sums := map[string]int64{}
	for _, c := range d.stripe.Charges() {
		in := strings.ToUpper(c.Currency)
		sums[in] += c.Amount - c.Refunded
		v := chargeView{For: "@" + whose[c.Metadata["purchase"]], Amount: offers.Money{Minor: c.Amount, Currency: in}.Format("en"), At: c.Created}
		if c.Refunded > 0 {
			v.Refunded = offers.Money{Minor: c.Refunded, Currency: in}.Format("en")
		}
		all = append(all, v)
	}
	slices.Reverse(all)
	for in, sum := range sums {
		taken = append(taken, offers.Money{Minor: sum, Currency: in}.Format("en"))
	}
	slices.Sort(taken)
	return all[:min(len(all), demoShown)], taken
}

// owed is all that the outbox still has to do, but to put away what is closed, a
// year from now.
func (d *demoPage) owed(ctx context.Context) ([]store.Owed, error) {
	var all []store.Owed
	for shard := range store.Shards {
		for cursor := ""; ; {
			some, next, err := d.store.Owed(ctx, shard, cursor, demoShown)
			if err != nil {
				return nil, err
			}
			for _, o := range some {
				if o.Due.Sub(d.clock.Now()) < offers.MaxPostAge {
					all = append(all, o)
				}
			}
			if cursor = next; cursor == "" {
				break
			}
		}
	}
	return all, nil
}

// guideFor says what somebody does next, by the last thing they asked for.
func guideFor(who *person, registered bool, p offers.Purchase) guide {
	say := func(step int, format string, args ...any) guide {
		at := []string{"", "#posts", "#mailbox", "#desk"}[step-1]
		return guide{Step: step, Say: fmt.Sprintf(format, args...), At: at}
	}
	why := strings.ReplaceAll(string(p.Reason), "_", " ")
	switch p.State {
	case offers.New:
		if !registered {
			return say(1, "%s has no card here yet. Press Post all the same and see what the shop answers.", who.Name)
		}
		return say(1, "The composer is ready: press Post. Or choose something else that is for sale first.")
	case offers.Invited:
		return say(1, "The shop knows no card of %s’s. Press “Register a card”, or walk through it as they would (below): the purchase then goes on by itself.", who.Name)
	case offers.Waiting:
		return say(1, "It is sold out, and %s waits in line. If one comes back, a mail brings the code.", who.Name)
	case offers.Asked:
		return say(1, "One unit is held for %s. The shop is about to answer.", who.Name)
	case offers.Coded:
		if p.CodeByMail || p.Reply == "" {
			g := say(2, "The code %s came by mail. Post it: the composer has it ready.", p.Code.Hashtag())
			g.At = "#composer"
			return g
		}
		return say(2, "The shop answered with the code %s. Press Repost on its post, within 15 minutes.", p.Code.Hashtag())
	case offers.Echoed:
		return say(3, "%s has confirmed in public. The mail with the link is on its way.", who.Name)
	case offers.Mailed:
		return say(3, "Open the mail and press the button in it; on the page behind it, press Buy.")
	case offers.Confirmed:
		return say(3, "The button was pressed; the card is being charged.")
	case offers.Challenged:
		g := say(3, "The bank asks %s whether that was really them.", who.Name)
		g.At, g.Bank = "", p.BankURL
		return g
	case offers.Paid:
		return say(4, "Paid, once: see the desk, and the receipt in the mailbox. Buy something else, or be somebody else.")
	case offers.Declined:
		return say(3, "Not charged: %s. The link in the mail is still good for another try.", why)
	case offers.Refunded:
		return say(4, "Paid, and paid back.")
	}
	if why == "" {
		why = "too late"
	}
	return say(1, "That purchase ended (%s: %s) and nothing was charged. Post again, or ask for something else.", p.State, why)
}

// A piece is a part of a text: a link, a @name or #tag, or neither.
type piece struct{ Text, Link, Mark string }

var marked = regexp.MustCompile(`https?://[^\s<>"]+|[@#][\p{L}\p{N}_]+`)

// pieces takes a text apart.
func pieces(text string) []piece {
	var all []piece
	at := 0
	for _, m := range marked.FindAllStringIndex(text, -1) {
		all = append(all, piece{Text: text[at:m[0]]})
		found := text[m[0]:m[1]]
		if found[0] == 'h' {
			all = append(all, piece{Link: found})
		} else {
			all = append(all, piece{Mark: found})
		}
		at = m[1]
	}
	return append(all, piece{Text: text[at:]})
}

func clockTime(t time.Time) string { return t.Local().Format("15:04:05") }

// left is how long it is until a moment, "14:05" or "23:59:00", and "" when it has
// come or there is none. The script counts on from there.
func left(until, now time.Time) string {
	d := until.Sub(now).Truncate(time.Second)
	switch {
	case until.IsZero() || d <= 0:
		return ""
	case d < time.Hour:
		return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}

// Hue is the colour of the picture of the one who acts.
func (v demoView) Hue() int { return slices.Index(v.Cast, v.Who) % 6 }
