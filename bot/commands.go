package bot

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"hashtill/offers"
)

// commands are what may stand alone in a post to the bot, as spelled makes it. Stop
// has many spellings: somebody who wants to be left alone need not look up how.
var commands = map[string]IntentKind{
	"cancel": WantsCancel, "annuler": WantsCancel, "annule": WantsCancel, "annulez": WantsCancel,

	"stop": WantsStop, "stopp": WantsStop, "stopall": WantsStop, "quit": WantsStop,
	"arret": WantsStop, "arreter": WantsStop, "arrete": WantsStop, "arretez": WantsStop,
	"unsubscribe": WantsStop, "unsub": WantsStop, "unsubscribeme": WantsStop,
	"desabonner": WantsStop, "desabonne": WantsStop, "desabonnez": WantsStop, "desabonnement": WantsStop,
	"desabonnemoi": WantsStop, "desabonnezmoi": WantsStop, "medesabonner": WantsStop,
	"desinscrire": WantsStop, "desinscription": WantsStop, "desinscrismoi": WantsStop, "desinscrivezmoi": WantsStop,
	"optout": WantsStop, "leavemealone": WantsStop, "goaway": WantsStop,
	"laissemoitranquille": WantsStop, "laissezmoitranquille": WantsStop,
	"removeme": WantsStop, "stopreplying": WantsStop, "stopreplyingtome": WantsStop, "stopmessagingme": WantsStop, "stopcontactingme": WantsStop,
	"stopposting": WantsStop, "stoppostingtome": WantsStop, "stopspam": WantsStop, "stopspamming": WantsStop, "stopspammingme": WantsStop,
	"dontreply": WantsStop, "dontreplytome": WantsStop, "donotreply": WantsStop, "donotreplytome": WantsStop,
	"dontcontactme": WantsStop, "donotcontactme": WantsStop, "dontmessageme": WantsStop, "donotmessageme": WantsStop,
	"arretezdemerepondre": WantsStop, "arretedemerepondre": WantsStop, "arretezderepondre": WantsStop, "arretederepondre": WantsStop,
	"nemerepondezplus": WantsStop, "nemerepondsplus": WantsStop, "nemecontactezplus": WantsStop, "fichezmoilapaix": WantsStop, "fichemoilapaix": WantsStop,

	"start": WantsStart, "commencer": WantsStart, "commence": WantsStart, "unstop": WantsStart,

	"help": WantsHelp, "helpme": WantsHelp, "aide": WantsHelp, "aidemoi": WantsHelp, "aidezmoi": WantsHelp,
}

// courtesies do not make a command less alone.
var courtesies = setOf("please pls plz now thanks thank you merci svp stp sil te vous plait maintenant bot")

// refusals are the words that keep an answer to a code from confirming.
var refusals = setOf("no nope nah not don't dont didn't doesn't won't can't never cancel stop wait later wrong mistake error why how what when where who " +
	"non nan pas jamais annuler annule annulez arrete arretez attends attendez erreur pourquoi comment quoi quand combien qui trop nein nicht kein nao")

func setOf(words string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		set[spelled(w)] = true
	}
	return set
}

// spelled is what spellings of a word have in common: no case, no accents, and
// nothing but letters and digits. "Désabonne-moi" and "desabonnemoi" are one.
func spelled(word string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, norm.NFKD.String(offers.TagKey(word)))
}

// maxCommand bounds the words of a command, courtesies included.
const maxCommand = 8

// command is the one that words make together, and nothing else: "please stop",
// "opt out", "STOP STOP STOP".
func command(words []string) (IntentKind, bool) {
	if len(words) == 0 || len(words) > maxCommand {
		return Nothing, false
	}
	var said []string
	for _, w := range words {
		if w = spelled(w); w != "" && !courtesies[w] {
			said = append(said, w)
		}
	}
	kind, ok := commands[strings.Join(slices.Compact(said), "")]
	return kind, ok
}

// agrees says whether the words of an answer to a code confirm it. They need not: what
// they must not be is a refusal or a question.
func agrees(text string, words []string) bool {
	return !strings.ContainsAny(text, "?？؟👎❌✖🚫🛑⛔✋🙅") &&
		!slices.ContainsFunc(words, func(w string) bool { return refusals[spelled(w)] })
}
