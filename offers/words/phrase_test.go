package words

import (
	"testing"

	"github.com/nicksnyder/go-i18n/v2/i18n"
)

// A phrase reads as go-i18n has it.
func TestPhrases(t *testing.T) {
	type id string
	args := map[string]any{}
	for _, lang := range Languages {
		for _, text := range messages(t, lang) {
			p, ok := cutPhrase(text)
			if !ok {
				t.Errorf("%s: %q is no phrase", lang, text)
			}
			for i, name := range p.names {
				args[name] = []any{"<b> & {{.Title}}", id("abc"), 12, int64(-3)}[i%4]
			}
		}
	}
	for _, lang := range Languages {
		w := For(lang)
		for key := range messages(t, lang) {
			want, err := w.say.Localize(&i18n.LocalizeConfig{MessageID: key, TemplateData: args})
			if got := w.Say(key, withoutCount(args)); err == nil && got != want && len(forms(t, lang)[key]) == 1 {
				t.Errorf("%s: %s reads %q, want %q", lang, key, got, want)
			}
			if text, ok := w.plain[key].fill(args); ok && text != want {
				t.Errorf("%s: %s as a phrase: %q, want %q", lang, key, text, want)
			}
		}
	}
	for text, want := range map[string]bool{
		"": true, "a": true, "{{.A}}": true, "a {{.A}} b {{.Bc}}": true, "}}": true,
		"{{": false, "{{.}}": false, "{{.A": false, "{{ .A }}": false, "{{.A.B}}": false, "{{if .A}}a{{end}}": false, `{{"a"}}`: false,
	} {
		if _, ok := cutPhrase(text); ok != want {
			t.Errorf("%q: a phrase: %v", text, ok)
		}
	}
	if _, ok := (phrase{texts: []string{"", ""}, names: []string{"A"}}).fill(nil); ok {
		t.Error("filled with nothing")
	}
	if _, ok := (phrase{}).fill(nil); ok {
		t.Error("no phrase is filled")
	}
}

func withoutCount(args map[string]any) map[string]any {
	rest := map[string]any{}
	for name, v := range args {
		if name != "Count" {
			rest[name] = v
		}
	}
	return rest
}
