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

// commands are the words that stand alone in a post to the bot.
var commands = map[string]IntentKind{
	"cancel": WantsCancel, "annuler": WantsCancel, "annule": WantsCancel,
	"stop": WantsStop, "unsubscribe": WantsStop, "arrêter": WantsStop, "arrête": WantsStop,
	"start": WantsStart, "commencer": WantsStart,
	"help": WantsHelp, "aide": WantsHelp,
}

// Read says what a post wants of the bot whose account number is self. The grammar
// is fixed; nothing is guessed between a post and money:
//
//   - Posts by the bot and by other bots want nothing.
//   - A repost of a post of the bot's that bears a code repeats the code. Any other
//     repost wants nothing.
//   - A post that speaks to the bot (it mentions it, or answers or quotes a post of
//     its) and has a command as its only word is that command: cancel, stop, start,
//     help. More words are talk: X puts the names of a whole thread before an
//     answer, and "stop it" is not said to the bot.
//   - A post with a code among its hashtags repeats the code; so does a quote of the
//     bot's post that bears one. An answer has to bear it itself.
//   - A post with the hashtag of an offer wants it, "x2" says how many, and all other
//     words may name a variant. An answer to or a quote of somebody else's post
//     wants it only if it speaks to the bot.
//
// Of several codes or offers in one post the first counts. Words inside a quoted
// post are not the author's and never count.
func Read(p Post, self string, offer func(tag string) (offers.Offer, bool)) Intent {
	if p.Author.ID == "" || p.Author.ID == self || p.Author.Bot {
		return Intent{}
	}
	ofOurs := p.Of != nil && p.Of.Author.ID == self
	if p.Kind == Repost {
		if ofOurs {
			if c, ok := firstCode(p.Of.Tags); ok {
				return Intent{Kind: RepeatsCode, Code: c}
			}
		}
		return Intent{}
	}

	in := Intent{Addressed: slices.Contains(p.Names, self) || ofOurs}
	code, hasCode := firstCode(p.Tags)
	if !hasCode && ofOurs {
		code, hasCode = firstCode(p.Of.Tags)
	}
	in.Quantity, in.Words = wordsOf(p.Text)
	if kind, ok := command(in.Words); ok && in.Addressed {
		in.Kind, in.Code = kind, code
		return in
	}
	for _, tag := range p.Tags {
		if commands[offers.TagKey(tag)] == WantsHelp && in.Addressed {
			in.Kind = WantsHelp
			return in
		}
	}
	if own, ok := firstCode(p.Tags); ok {
		in.Kind, in.Code = RepeatsCode, own
		return in
	}
	for _, tag := range p.Tags {
		o, ok := offer(tag)
		if ok && (in.Addressed || p.Kind == Original) {
			in.Kind, in.Offer = WantsOffer, o
			return in
		}
	}
	if hasCode && p.Kind == Quote {
		// Only whom the code belongs to means anything by that.
		in.Kind, in.Code, in.Addressed = RepeatsCode, code, false
		return in
	}
	return Intent{}
}

func firstCode(tags []string) (offers.Code, bool) {
	for _, tag := range tags {
		if c, ok := offers.ParseCode(tag); ok {
			return c, true
		}
	}
	return "", false
}

// maxWords bounds what is read of a post.
const maxWords = 100

// command is the one that stands alone among the words.
func command(words []string) (IntentKind, bool) {
	if len(words) != 1 {
		return Nothing, false
	}
	kind, ok := commands[offers.TagKey(words[0])]
	return kind, ok
}

// wordsOf takes a text apart: how many are wanted, and the words that are neither
// mentions nor hashtags nor addresses.
func wordsOf(text string) (quantity int, rest []string) {
	for i, field := range strings.Fields(text) {
		if i >= maxWords {
			break
		}
		if strings.HasPrefix(field, "@") || strings.HasPrefix(field, "＠") || strings.HasPrefix(field, "#") ||
			strings.HasPrefix(field, "＃") || strings.Contains(field, "://") {
			continue
		}
		w := offers.Word(field)
		if w == "" {
			continue
		}
		if n, ok := offers.ParseTimes(w); ok {
			if quantity == 0 {
				quantity = n
			}
			continue
		}
		rest = append(rest, w)
	}
	return quantity, rest
}
