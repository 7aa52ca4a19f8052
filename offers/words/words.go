// Package words is everything that a buyer reads, one file a language: en.yaml,
// fr.yaml. Another language is another file beside them; a test finds messages
// and placeholders that one has and another has not.
//
// Plurals follow Unicode CLDR, by github.com/nicksnyder/go-i18n.
package words

import (
	"embed"
	"fmt"
	"path"
	"strings"
	"sync/atomic"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
)

//go:embed *.yaml
var files embed.FS

// fallback is the language of those who read none of ours.
var fallback = language.English

// Languages are those there is a file for, the fallback first, as BCP 47 tags.
var Languages = func() []string {
	l, err := load(nil)
	if err != nil {
		panic(err) // the files are part of the program
	}
	known.Store(l)
	return l.languages
}()

// known is what can be read at the moment.
var known atomic.Pointer[library]

// A library is the words of all languages.
type library struct {
	languages []string
	matcher   language.Matcher
	all       map[string]Words
}

// load reads the program's files, and more of them, by their languages.
func load(more map[string][]byte) (*library, error) {
	b := i18n.NewBundle(fallback)
	b.RegisterUnmarshalFunc("yaml", yaml.Unmarshal)
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	l := &library{languages: []string{fallback.String()}, all: map[string]Words{}}
	plain := map[string]map[string]phrase{}
	for _, e := range entries {
		file, err := b.LoadMessageFileFS(files, e.Name())
		if err != nil {
			return nil, fmt.Errorf("words: %s: %w", e.Name(), err)
		}
		lang := strings.TrimSuffix(e.Name(), path.Ext(e.Name()))
		if lang != l.languages[0] {
			l.languages = append(l.languages, lang)
		}
		plain[lang] = phrasesOf(file)
	}
	for lang, text := range more {
		file, err := b.ParseMessageFileBytes(text, lang+".yaml")
		if err != nil {
			return nil, fmt.Errorf("words: %s: %w", lang, err)
		}
		l.languages = append(l.languages, lang)
		plain[lang] = phrasesOf(file)
	}
	tags := make([]language.Tag, len(l.languages))
	for i, lang := range l.languages {
		if tags[i], err = language.Parse(lang); err != nil {
			return nil, fmt.Errorf("words: %s: %w", lang, err)
		}
		l.all[lang] = Words{Lang: lang, plain: plain[lang], say: i18n.NewLocalizer(b, lang)}
	}
	l.matcher = language.NewMatcher(tags)
	return l, nil
}

// Also adds a language that is no part of the program, by the text of its file, until
// forget is called: for the tests that prove a language to be one file.
func Also(lang string, file []byte) (forget func(), err error) {
	l, err := load(map[string][]byte{lang: file})
	if err != nil {
		return nil, err
	}
	before := known.Swap(l)
	return func() { known.Store(before) }, nil
}

// Words are those of one language.
type Words struct {
	Lang  string // one of Languages
	plain map[string]phrase
	say   *i18n.Localizer // knows all messages
}

// rightToLeft are the scripts that are written so, where a language is (Unicode CLDR,
// scriptMetadata: those that are "rtl" and in use today).
var rightToLeft = map[string]bool{"Adlm": true, "Arab": true, "Aran": true, "Hebr": true, "Mand": true, "Nkoo": true, "Rohg": true, "Samr": true, "Syrc": true, "Thaa": true, "Yezi": true}

// Dir is the direction in which the language is written, as HTML's dir says it: ltr or rtl.
func (w Words) Dir() string {
	if script, _ := language.Make(w.Lang).Script(); rightToLeft[script.String()] {
		return "rtl"
	}
	return "ltr"
}

// maxPreference bounds what is read of a header, in bytes.
const maxPreference = 200

// For finds the language that suits a reader best. Each preference is a BCP 47 tag
// or an Accept-Language header, the first that says something counting most.
func For(preferences ...string) Words {
	l := known.Load()
	lang := l.languages[0]
	for _, p := range preferences {
		if w, ok := l.all[p]; ok {
			return w // nothing suits better
		}
		if len(p) > maxPreference { // what is cut in two would spoil the rest
			p = p[:strings.LastIndexByte(p[:maxPreference], ',')+1]
		}
		tags, _, err := language.ParseAcceptLanguage(strings.TrimRight(p, ", "))
		if err != nil || len(tags) == 0 {
			continue
		}
		if _, i, confidence := l.matcher.Match(tags...); confidence > language.No {
			lang = l.languages[i]
			break
		}
	}
	return l.all[lang]
}

// Say is a message with its placeholders filled in. Where the message has plurals
// the argument Count chooses. A message that is not there reads as its key: a test
// sees to it that there is none.
func (w Words) Say(key string, args map[string]any) string {
	if text, ok := w.plain[key].fill(args); ok {
		return text
	}
	if n, ok := args["Count"]; ok {
		// A message without plurals is an error here, and tried again below.
		text, err := w.say.Localize(&i18n.LocalizeConfig{MessageID: key, TemplateData: args, PluralCount: n})
		if err == nil {
			return text
		}
	}
	text, err := w.say.Localize(&i18n.LocalizeConfig{MessageID: key, TemplateData: args})
	if err != nil {
		return key
	}
	return text
}

// Has says whether there is such a message.
func (w Words) Has(key string) bool {
	_, err := w.say.Localize(&i18n.LocalizeConfig{MessageID: key})
	return err == nil
}
