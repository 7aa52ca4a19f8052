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

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
)

//go:embed *.yaml
var files embed.FS

// fallback is the language of those who read none of ours.
var fallback = language.English

// Languages are those there is a file for, the fallback first, as BCP 47 tags.
var Languages, bundle = load()

var matcher = func() language.Matcher {
	tags := make([]language.Tag, len(Languages))
	for i, l := range Languages {
		tags[i] = language.MustParse(l)
	}
	return language.NewMatcher(tags)
}()

func load() ([]string, *i18n.Bundle) {
	b := i18n.NewBundle(fallback)
	b.RegisterUnmarshalFunc("yaml", yaml.Unmarshal)
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the files are part of the program
	}
	languages := []string{fallback.String()}
	for _, e := range entries {
		if _, err := b.LoadMessageFileFS(files, e.Name()); err != nil {
			panic(fmt.Sprintf("words: %s: %v", e.Name(), err))
		}
		if lang := strings.TrimSuffix(e.Name(), path.Ext(e.Name())); lang != languages[0] {
			languages = append(languages, lang)
		}
	}
	return languages, b
}

// Words are those of one language.
type Words struct {
	Lang string // one of Languages
	say  *i18n.Localizer
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

// all are the words of each language, made once.
var all = func() map[string]Words {
	m := map[string]Words{}
	for _, l := range Languages {
		m[l] = Words{Lang: l, say: i18n.NewLocalizer(bundle, l)}
	}
	return m
}()

// maxPreference bounds what is read of a header, in bytes.
const maxPreference = 200

// For finds the language that suits a reader best. Each preference is a BCP 47 tag
// or an Accept-Language header, the first that says something counting most.
func For(preferences ...string) Words {
	lang := Languages[0]
	for _, p := range preferences {
		if w, ok := all[p]; ok {
			return w // nothing suits better
		}
		if len(p) > maxPreference { // what is cut in two would spoil the rest
			p = p[:strings.LastIndexByte(p[:maxPreference], ',')+1]
		}
		tags, _, err := language.ParseAcceptLanguage(strings.TrimRight(p, ", "))
		if err != nil || len(tags) == 0 {
			continue
		}
		if _, i, confidence := matcher.Match(tags...); confidence > language.No {
			lang = Languages[i]
			break
		}
	}
	return all[lang]
}

// Say is a message with its placeholders filled in. Where the message has plurals
// the argument Count chooses. A message that is not there reads as its key: a test
// sees to it that there is none.
func (w Words) Say(key string, args map[string]any) string {
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
