package bot

import (
	"slices"
	"strings"

	"hashtill/offers"
)

// An IntentKind is what a post wants of the bot.
type IntentKind int

const (
	Nothing IntentKind = iota
	WantsOffer
	RepeatsCode
	WantsCancel // of the purchase of Code, or of all where there is none
	WantsStop
	WantsStart
	WantsHelp
	WithdrawsWish // by having removed its post
)

// An Intent is what a post means by the fixed grammar of [Read].
type Intent struct {
	Kind      IntentKind
	Offer     offers.Offer
	Quantity  int      // 0 where none is named
	Words     []string // that may name a variant
	Code      offers.Code
	Addressed bool // the post speaks to the bot, so that an answer is welcome
}

// Read says what a post wants of the bot whose account number is self. The grammar
// is fixed; nothing is guessed between a post and money:
//
//   - Posts by the bot and by other bots want nothing.
//   - That a post was removed withdraws what it wished for.
//   - A repost of a post of the bot's that bears a code repeats the code. Any other
//     repost wants nothing.
//   - A post speaks to the bot if it mentions it, or answers or quotes a post of its.
//     In an answer to somebody else, a name that the network itself has put before the
//     words ([Post.Implied]) is no mention; where it may be either, it is none.
//   - A post that speaks to the bot and has a command as its only words, courtesies
//     aside, is that command: cancel, stop, start, help. More words are talk: "stop
//     it" is not said to the bot. Stop is obeyed in a thread, too, where it cannot be
//     told whom it is said to.
//   - A post with a code among its hashtags repeats the code; so does a quote of the
//     bot's post that bears one, and an answer to it that is no refusal and no
//     question. An answer need not say yes: nothing is paid before the press of a
//     button, so that a yes which was none costs a mail, and a yes that was not
//     understood costs the purchase.
//   - A post with the hashtag of an offer wants it, "x2" says how many, and all other
//     words may name a variant. An answer to or a quote of somebody else's post
//     wants it only if it speaks to the bot.
//
// Of several codes or offers in one post the first counts. Words inside a quoted
// post are not the author's and never count: an answer to or a quote of an offer's
// post has to bear the hashtag itself.
func Read(p Post, self string, offer func(tag string) (offers.Offer, bool)) Intent {
	if p.Author.ID == "" || p.Author.ID == self || p.Author.Bot {
		return Intent{}
	}
	tags := p.Tags[:min(len(p.Tags), maxTags)]
	ofOurs := p.Of != nil && p.Of.Author.ID == self
	switch p.Kind {
	case Deletion:
		return Intent{Kind: WithdrawsWish}
	case Repost:
		if ofOurs {
			if c, ok := firstCode(p.Of.Tags); ok {
				return Intent{Kind: RepeatsCode, Code: c}
			}
		}
		return Intent{}
	}

	named := slices.Contains(p.Names, self)
	in := Intent{Addressed: ofOurs || named && !carried(p, self)}
	code, hasCode := firstCode(tags)
	if !hasCode && ofOurs {
		code, hasCode = firstCode(p.Of.Tags)
	}
	in.Quantity, in.Words = wordsOf(p.Text)
	kind, ok := command(in.Words)
	if len(in.Words) == 0 && len(tags) == 1 { // as a hashtag, unless something is sold by it
		if _, sold := offer(tags[0]); !sold {
			kind, ok = command(tags)
		}
	}
	if ok && (in.Addressed || named && kind == WantsStop) {
		in.Kind, in.Code, in.Addressed = kind, code, true
		return in
	}
	for _, tag := range tags {
		if commands[spelled(tag)] == WantsHelp && in.Addressed {
			in.Kind = WantsHelp
			return in
		}
	}
	if own, ok := firstCode(tags); ok {
		in.Kind, in.Code = RepeatsCode, own
		return in
	}
	for _, tag := range tags {
		o, ok := offer(tag)
		if ok && (in.Addressed || p.Kind == Original) {
			in.Kind, in.Offer = WantsOffer, o
			return in
		}
	}
	if hasCode && (p.Kind == Quote || p.Kind == Answer && agrees(p.Text, in.Words)) {
		// Only whom the code belongs to means anything by that.
		in.Kind, in.Code, in.Addressed = RepeatsCode, code, false
		return in
	}
	return Intent{}
}

// carried says whether the bot's name may stand in an answer only because it stands
// in what is answered, so that nobody has written it.
func carried(p Post, self string) bool {
	known := p.Kind == Answer && p.Of != nil && p.Of.Text != ""
	return p.Implied && (!known || slices.Contains(p.Of.Names, self))
}

// firstCode is the first of the tags that is a code, however it is spelled: what a
// keyboard makes of one is not its author's fault, and a code has a check of its own.
func firstCode(tags []string) (offers.Code, bool) {
	for _, tag := range tags {
		if c, ok := offers.ParseCode(spelled(tag)); ok {
			return c, true
		}
	}
	return "", false
}

// What is read of a post. X's longest has 25,000 characters, and nobody wishes with
// so many.
const (
	maxWords = 100
	maxTags  = 100
	maxWord  = 200 // bytes
)

// wordsOf takes a text apart: how many are wanted, and the words that are neither
// mentions nor hashtags nor addresses. What stands right behind those counts: "#BuyTee,x2".
func wordsOf(text string) (quantity int, rest []string) {
	n := 0
	for field := range strings.FieldsSeq(plainWords(text)) {
		if n++; n > maxWords {
			break
		}
		if len(field) > maxWord || strings.HasPrefix(field, "@") || strings.HasPrefix(field, "＠") || strings.HasPrefix(field, "#") ||
			strings.HasPrefix(field, "＃") || strings.Contains(field, "://") {
			continue
		}
		w := offers.Word(field)
		if w == "" {
			continue
		}
		if times, ok := offers.ParseTimes(w); ok {
			if quantity == 0 {
				quantity = times
			}
			continue
		}
		rest = append(rest, w)
	}
	return quantity, rest
}
