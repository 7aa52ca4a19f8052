package confirm

import (
	"html"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"hashtill/offers/words"
)

// held is what stays as it is in a message.
var held = regexp.MustCompile(`\{\{[^}]*\}\}`)

// arabic is a text in Arabic letters, which mean nothing, with its placeholders.
func arabic(s string) string {
	var b strings.Builder
	at := 0
	for _, span := range append(held.FindAllStringIndex(s, -1), []int{len(s), len(s)}) {
		for _, r := range s[at:span[0]] {
			if l := r | 0x20; l >= 'a' && l <= 'z' {
				r = 'ب' + (l-'a')%15
			}
			b.WriteRune(r)
		}
		b.WriteString(s[span[0]:span[1]])
		at = span[1]
	}
	return b.String()
}

// pseudo writes the file of a language that is none out of the English one: written from
// right to left, with six forms where it counts. english are the longer parts of the
// messages, none of which may be left on any page.
func pseudo(t *testing.T) (file []byte, english []string) {
	t.Helper()
	text, err := os.ReadFile("../offers/words/en.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var turn func(v any) any
	turn = func(v any) any {
		if s, ok := v.(string); ok {
			for _, part := range held.Split(s, -1) {
				if part = strings.TrimSpace(part); len(part) >= 8 {
					english = append(english, part)
				}
			}
			return arabic(s)
		}
		m := v.(map[string]any)
		for key, of := range m {
			m[key] = turn(of)
		}
		if other, counts := m["other"]; counts {
			for _, form := range []string{"zero", "one", "two", "few", "many"} {
				m[form] = other
			}
		}
		return m
	}
	file, err = yaml.Marshal(turn(doc))
	if err != nil {
		t.Fatal(err)
	}
	return file, english
}

// Another language is one file: with it all mails and all pages speak it, and are written
// from right to left where it is.
func TestAnotherLanguageIsOneFile(t *testing.T) {
	const lang = "ar"
	file, english := pseudo(t)
	forget, err := words.Also(lang, file)
	if err != nil {
		t.Fatal(err)
	}
	defer forget()
	speaks := func(t *testing.T, what, text string) {
		t.Helper()
		text = html.UnescapeString(text)
		for _, part := range english {
			if strings.Contains(text, part) {
				t.Errorf("%s says %q", what, part)
			}
		}
	}
	mail := func(name string, bring func(*world)) {
		t.Run("mail/"+name, func(t *testing.T) {
			w := newWorld(t)
			w.register(lang)
			bring(w)
			for _, m := range w.mailer.mails {
				if m.To != "ann@example.com" {
					continue
				}
				checkMail(t, m, lang)
				speaks(t, m.ID, m.Subject+"\n"+m.Text+"\n"+m.HTML)
			}
		})
	}
	page := func(name string, status int, play func(*world) *httptest.ResponseRecorder) {
		t.Run("page/"+name, func(t *testing.T) {
			w := newWorld(t)
			w.register(lang)
			rec := play(w)
			checkPage(t, rec, status, lang)
			speaks(t, name, rec.Body.String())
		})
	}
	for _, all := range []map[string]func(*world){letters, lineLetters} {
		for name, bring := range all {
			mail(name, bring)
		}
	}
	for name, letter := range afterwardsLetters {
		mail(name, letter.bring)
	}
	for _, s := range scenes {
		page(s.name, s.status, s.play)
	}
	for _, s := range afterwardsScenes {
		page(s.name, s.status, s.play)
	}
	for _, s := range lineScenes {
		page(s.name, s.status, s.play)
	}
	for _, s := range elsewhere {
		page(s.name, s.status, func(w *world) *httptest.ResponseRecorder { return s.play(w, lang) })
	}
	for name, s := range notMeScenes {
		page(name, s.status, s.play)
	}
	t.Run("page/join", func(t *testing.T) {
		j := newJoining(t, lang)
		look := func(p *phone, status int) {
			t.Helper()
			checkPage(t, p.rec, status, lang)
			speaks(t, "the page", p.rec.Body.String())
		}
		look(j.phone.get("/join"), 200)
		j.registers(j.phone)
		look(j.phone.get("/account"), 200)
		look(j.phone.post("/account/limits", "purchase", "much"), 422)
		look(j.phone.post("/account/freeze"), 200)
		look(j.phone.get("/account/leave"), 200)
	})
}
