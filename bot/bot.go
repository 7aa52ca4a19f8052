// Package bot hears networks and speaks on them. It turns a post into an intent,
// hands the intent to the shop, and says in public what the shop owes.
//
// # Words
//
//   - A [Network] is a place where people post; adapters are leaves beside this
//     package (bot/x).
//   - A [Post] is what somebody said there, a [Reply] what the bot says.
//   - An [Intent] is what a post wants, by the fixed grammar of [Read].
//
// # Promises
//
//   - A post counts once, whatever brings it and however often.
//   - Of all processes on one store, one listens to a network. Where it stops, another
//     goes on; what was said in between is looked for.
//   - What the shop cannot take waits, in bounded memory, and the log says so.
//   - One public reply to a wish; a reply that may have been made is looked for
//     before it is made again.
//   - "stop" is obeyed at once and remembered.
//   - A wish whose post is removed before its link is mailed is none any more: where the
//     network tells ([Deletion]), and else where it can be asked ([Bot.UnlessWithdrawn]).
//
// The package knows no cards and no pages.
package bot

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// A Shop is what the bot needs of offers.Shop.
type Shop interface {
	OfferByTag(tag string) (offers.Offer, bool)
	Tags() []string
	Wish(ctx context.Context, w offers.Wish, now time.Time) (offers.Purchase, error)
	Echo(ctx context.Context, c offers.Code, by offers.Account, post string, now time.Time) (offers.Purchase, error)
	CancelCode(ctx context.Context, c offers.Code, by offers.Account, now time.Time) (offers.Purchase, error)
	CancelAll(ctx context.Context, a offers.Account, now time.Time) (int, error)
	CancelWish(ctx context.Context, a offers.Account, post string, now time.Time) (int, error)
	Stop(ctx context.Context, a offers.Account, now time.Time) error
	Start(ctx context.Context, a offers.Account, now time.Time) error
	OweAnswer(ctx context.Context, a offers.Answer) error
	Answered(ctx context.Context, a offers.Account, post string) (bool, error)
	Wished(ctx context.Context, a offers.Account, post string) (bool, error)
	Alone(ctx context.Context, name string, do func(ctx context.Context) error) error
	Cursor(ctx context.Context, network string) (string, error)
	SetCursor(ctx context.Context, network, cursor string) error
	On(kind offers.EffectKind, act offers.Act)
	OnAnswer(act func(ctx context.Context, a offers.Answer, again bool) error)
	OnAnnounce(act func(ctx context.Context, a offers.Announcement, o offers.Offer, again bool) (post, refused string, err error))
}

// A Bot serves one shop on some networks.
type Bot struct {
	Shop          Shop
	Networks      []Network
	ThanksProduct bool // the public thank-you names the product
	Bare          Bare // what an offer's hashtag means that is not said to the bot
	Now           func() time.Time
	Log           *slog.Logger

	follow    chan struct{} // the catalogue has changed
	listeners []*listener   // one for each of the Networks
}

// A Bare says what becomes of a post with an offer's hashtag that does not speak to
// the bot.
type Bare string

const (
	// BareMail: a registered buyer's is a wish, answered by mail from the start; nobody
	// else's is. X refuses replies to whoever has not mentioned or quoted the bot, and
	// does not want everybody who uses a word to be answered. The zero Bare means it too.
	BareMail Bare = "mail"
	// BareOff: it is no wish.
	BareOff Bare = "off"
	// BareReply: it is a wish like any other, where the network lets everybody be answered.
	BareReply Bare = "reply"
)

// Register makes the bot perform what the shop owes in public. It is called before
// the outbox and Run.
func (b *Bot) Register() {
	b.follow = make(chan struct{}, 1)
	b.listeners = nil
	for _, n := range b.Networks {
		b.listeners = append(b.listeners, &listener{Bot: b, n: n})
		b.watch(n)
	}
	b.Shop.On(offers.Reply, b.reply)
	b.Shop.On(offers.ReplyReason, b.replyReason)
	b.Shop.On(offers.Thank, b.thank)
	b.Shop.OnAnswer(b.answer)
	b.Shop.OnAnnounce(b.announce)
}

// Hear deals with one post for good, or returns an error if it must come again. A
// post of more than [offers.MaxPostAge] means nothing any more.
func (b *Bot) Hear(ctx context.Context, n Network, p Post) error {
	_, err := b.hear(ctx, n, p)
	return err
}

// hear is Hear; fresh says that the post is a wish that the shop had not heard of.
func (b *Bot) hear(ctx context.Context, n Network, p Post) (fresh bool, err error) {
	now := b.Now()
	if !p.At.IsZero() && now.Sub(p.At) > offers.MaxPostAge {
		b.Log.Warn("a post came too late to count", "network", n.Name(), "post", p.ID, "said", p.At)
		return false, nil
	}
	said := now // when its author said it, where that was not just now
	if p.Missed && !p.At.IsZero() && p.At.Before(now) {
		said = p.At
	}
	self, _, err := n.Self(ctx)
	if err != nil {
		return false, err
	}
	in := Read(p, self, b.Shop.OfferByTag)
	bare := in.Kind == WantsOffer && !in.Addressed
	if in.Kind == Nothing || bare && b.Bare == BareOff {
		return false, nil
	}
	by := offers.Account{Network: n.Name(), ID: p.Author.ID}
	answer := offers.Answer{Post: p.ID, Account: by, Handle: p.Author.Handle, Lang: p.Lang}

	// A post counts once: a command by its answer, a wish by its purchase. Only a
	// wish that was edited into another one needs a look at what there is.
	seen := false
	switch {
	case in.Kind == WantsOffer && p.Edited:
		seen, err = b.Shop.Wished(ctx, by, p.ID)
	case in.Kind == WantsStop && p.Edited: // whatever it said before: stop is obeyed at once
	case in.Kind != WantsOffer && in.Kind != RepeatsCode && in.Kind != WithdrawsWish:
		seen, err = b.Shop.Answered(ctx, by, p.ID)
	}
	if seen || err != nil {
		return false, err
	}

	switch in.Kind {
	case WantsOffer:
		undo := func() {}
		if orderly, ok := n.(Orderly); ok && (!bare || b.Bare == BareReply) {
			undo = orderly.Expect(p.ID) // before the answer is owed
		}
		var purchase offers.Purchase
		purchase, err = b.Shop.Wish(ctx, offers.Wish{
			Post: p.ID, Account: by, Handle: p.Author.Handle, Lang: p.Lang,
			Offer: in.Offer.ID, Quantity: in.Quantity, Words: in.Words, ByMail: bare && b.Bare != BareReply,
		}, now)
		if fresh = err == nil && purchase.AskedAt.Equal(now); !fresh {
			undo()
		}
		if errors.Is(err, offers.ErrNotFound) {
			err = nil // taken out of the catalogue this moment
		}
	case RepeatsCode:
		_, err = b.Shop.Echo(ctx, in.Code, by, p.ID, said) // in time is in time, whenever we hear of it
	case WantsCancel:
		if in.Code != "" {
			var purchase offers.Purchase
			if purchase, err = b.Shop.CancelCode(ctx, in.Code, by, now); purchase.State == offers.Cancelled {
				answer.Count = 1
			}
		} else {
			answer.Count, err = b.Shop.CancelAll(ctx, by, now)
		}
		answer.Word = "cancelled"
		if answer.Count == 0 {
			answer.Word = "nothing_to_cancel"
		}
	case WantsStop:
		answer.Word = "stopped"
		err = b.Shop.Stop(ctx, by, now)
	case WantsStart:
		answer.Word = "started"
		err = b.Shop.Start(ctx, by, said) // a later stop that was heard before holds
	case WantsHelp:
		answer.Word = "help"
	case WithdrawsWish:
		_, err = b.Shop.CancelWish(ctx, by, p.ID, now)
	}

	var no *offers.Refusal
	if errors.As(err, &no) {
		b.Log.Info("refused", "network", n.Name(), "post", p.ID, "reason", string(no.Reason))
		answer.Word, err = string(no.Reason), nil
		if no.Reason == offers.BuyerStopped {
			return false, nil // they asked to be left alone
		}
	}
	if errors.Is(err, offers.ErrInvalid) {
		b.Log.Error("post cannot be dealt with", "network", n.Name(), "post", p.ID, "err", err)
		return false, nil
	}
	if err != nil || answer.Word == "" || !in.Addressed {
		return fresh, err
	}
	return fresh, b.Shop.OweAnswer(ctx, answer)
}

// Names of the shop's are cut so that every reply fits, whatever the language:
// these are weights as X counts them, at most 2 for a character.
const (
	maxTitle   = 40
	maxChoices = 80
	linkWeight = 23
)

// clip cuts a text to a weight; the dots that say so weigh 2.
func clip(s string, most int) string {
	weight, room := 0, 0
	for i, r := range s {
		if weight <= most-2 {
			room = i
		}
		weight += heavy(r)
		if r == '.' {
			weight += linkWeight // "250.ml" may pass for a link
		}
		if weight > most {
			return s[:room] + "…"
		}
	}
	return s
}

// heavy is the most that a character weighs.
func heavy(r rune) int {
	if r > '\u10ff' {
		return 2
	}
	return 1
}

// listed names as many choices as fit a weight, none of them in part where one fits whole.
func listed(choices []string, most int) string {
	all := strings.Join(choices, ", ")
	text := clip(all, most)
	for n := len(choices) - 1; n > 0 && text != all; n-- {
		some := strings.Join(choices[:n], ", ") + ", …"
		if clip(some, most) == some {
			return some
		}
	}
	return text
}

// ref is a short reference that tells texts apart: networks refuse a reply that
// reads like the one before.
func ref(id string) string { return id[max(0, len(id)-6):] }

// reply says what the state of the purchase asks for.
func (b *Bot) reply(ctx context.Context, j offers.Job) (offers.Event, error) {
	p := j.Purchase
	w := words.For(p.Lang)
	args := map[string]any{"Title": clip(p.Title, maxTitle), "Ref": ref(string(p.ID))}
	var text string
	switch p.State {
	case offers.Asked:
		args["Total"] = p.Total.Format(w.Lang)
		args["Code"] = p.Code.Hashtag()
		args["Minutes"] = int(math.Round(p.Times.Echo.Minutes()))
		text = w.Say("reply.code", args)
	case offers.Invited:
		text = w.Say("reply.invite", args)
	case offers.Waiting:
		args["Place"] = p.Place
		text = w.Say("reply.waiting", args)
	default:
		args["Choices"] = listed(p.Choices, maxChoices)
		text = w.Say("reply.refused."+string(p.Reason), args)
	}
	r := Reply{To: p.Wish, Handle: p.Handle, Text: text}
	if p.State != offers.Invited && p.Registered {
		r.By = b.Now().Add(patience) // there is mail
	}
	ev, err := b.say(ctx, p, r, j.Again)
	if later := (*LaterError)(nil); errors.As(err, &later) && !r.By.IsZero() && later.At.After(r.By) {
		b.Log.Debug("reply not in time; it goes by mail", "purchase", string(p.ID), "network", p.Buyer.Network, "until", later.At)
		return offers.Event{Kind: offers.ReplyFailed}, nil
	}
	return ev, err
}

// patience is how long a code, or why there is none, may wait for the network before it
// goes by mail to those who have registered. Others wait: they have no address yet.
const patience = 30 * time.Second

func (b *Bot) replyReason(ctx context.Context, j offers.Job) (offers.Event, error) {
	p := j.Purchase
	text := words.For(p.Lang).Say("reply.unreachable_mail", map[string]any{"Ref": ref(string(p.ID))})
	// What confirmed it may be a repost, which nobody can answer.
	_, err := b.say(ctx, p, Reply{To: p.Wish, Handle: p.Handle, Text: text}, j.Again)
	return offers.Event{Kind: offers.EffectDone}, err
}

func (b *Bot) thank(ctx context.Context, j offers.Job) (offers.Event, error) {
	p := j.Purchase
	key := "reply.thanks"
	if b.ThanksProduct {
		key = "reply.thanks_product"
	}
	text := words.For(p.Lang).Say(key, map[string]any{"Title": clip(p.Title, maxTitle), "Ref": ref(string(p.ID))})
	_, err := b.say(ctx, p, Reply{To: p.Wish, Handle: p.Handle, Text: text, For: ForThanks}, j.Again)
	if later := (*LaterError)(nil); errors.As(err, &later) {
		b.Log.Debug("no public thanks: others need the replies more", "purchase", string(p.ID), "network", p.Buyer.Network, "why", later.Why)
		err = nil
	}
	return offers.Event{Kind: offers.EffectDone}, err
}

// say posts for a purchase. A final no is an event like any other.
func (b *Bot) say(ctx context.Context, p offers.Purchase, r Reply, again bool) (offers.Event, error) {
	post, err := b.post(ctx, p.Buyer.Network, r, again)
	var no *RefusedError
	switch {
	case errors.Is(err, ErrTooLong):
		b.Log.Error("reply does not fit", "purchase", string(p.ID), "network", p.Buyer.Network)
		return offers.Event{Kind: offers.ReplyFailed}, nil
	case errors.As(err, &no) && no.Kind == PostGone && (p.State == offers.Asked || p.State == offers.Invited) && b.withdrawn(ctx, p):
		return offers.Event{Kind: offers.CancelAsked, By: p.Buyer}, nil
	case errors.As(err, &no):
		b.Log.Warn("reply refused", "purchase", string(p.ID), "network", p.Buyer.Network, "kind", string(no.Kind), "why", no.Why, "advice", no.Advice())
		return offers.Event{Kind: offers.ReplyFailed}, nil
	case err != nil:
		return offers.Event{}, err
	}
	return offers.Event{Kind: offers.ReplySent, Post: post}, nil
}

func (b *Bot) post(ctx context.Context, network string, r Reply, again bool) (string, error) {
	for _, n := range b.Networks {
		if n.Name() == network {
			return n.Say(ctx, r, again)
		}
	}
	return "", &RefusedError{Why: "network " + network + " is not configured"}
}

func (b *Bot) answer(ctx context.Context, a offers.Answer, again bool) error {
	text := words.For(a.Lang).Say("reply."+a.Word, map[string]any{"Count": a.Count, "Ref": ref(a.Post)})
	_, err := b.post(ctx, a.Account.Network, Reply{To: a.Post, Handle: a.Handle, Text: text, For: ForCommand}, again)
	var no *RefusedError
	if errors.As(err, &no) || errors.Is(err, ErrTooLong) {
		b.Log.Warn("answer refused", "network", a.Account.Network, "post", a.Post, "err", err)
		return nil
	}
	return err
}
