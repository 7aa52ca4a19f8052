package confirm

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Mails of one kind differ in what their fields say, and not in their form: which parts
// there are, how many rows and notes. So the templates are executed once for each form, on
// marks instead of texts, and what comes out is cut at the marks: a skeleton. A letter is
// then written by putting its texts in, escaped as html/template does it. Executing the
// templates for each mail took a seventh of the CPU of a purchase (hashtill bench buy
// --store memory). A test holds every mail to what the templates write.

// A skeleton is a mail of one form, cut where its texts belong.
type skeleton struct{ html, text []piece }

// A piece is what stands before a text, and which text that is: its place in the order of
// letter.texts, -1 behind the last.
type piece struct {
	before string
	text   int
}

// maxSkeletons bounds how many forms are kept. There are some tens: addresses have few
// lines, and purchases few rows.
const maxSkeletons = 500

// skeletons are those of the forms that were written so far.
type skeletons struct {
	mu  sync.RWMutex
	all map[string]*skeleton
}

// texts shows all that a letter says, each behind a pointer to it, and whether the HTML
// has it as an address. A value of several lines is several texts.
func (l *letter) texts(see func(text *string, address bool)) {
	for _, s := range []*string{&l.Lang, &l.Dir, &l.Subject, &l.Hello, &l.Text, &l.Preheader, &l.Code, &l.Colon} {
		see(s, false)
	}
	see(&l.Picture, true)
	see(&l.PictureAlt, false)
	for i := range l.Rows {
		see(&l.Rows[i].Label, false)
		lines := strings.Split(l.Rows[i].Value, "\n")
		for n := range lines {
			see(&lines[n], false)
		}
		l.Rows[i].Value = strings.Join(lines, "\n")
	}
	see(&l.Button, false)
	see(&l.Link, true)
	for i := range l.Notes {
		see(&l.Notes[i], false)
	}
	see(&l.NotMe.Text, false)
	see(&l.NotMe.To, true)
	see(&l.NotMe.Label, false)
}

// form is what the templates ask of a letter beside its texts.
func (l *letter) form() string {
	b := make([]byte, 0, 64)
	for _, s := range []string{l.Code, l.Picture, l.Link, l.NotMe.To} {
		b = strconv.AppendBool(b, s != "")
	}
	for _, r := range l.Rows {
		b = append(append(b, ' '), r.Kind...)
		b = strconv.AppendInt(b, int64(strings.Count(r.Value, "\n")), 10)
	}
	return string(strconv.AppendInt(append(b, ' '), int64(len(l.Notes)), 10))
}

// mark stands for a text. The templates leave it as it is wherever it stands.
var mark = regexp.MustCompile(`mark(\d+)kram`)

// of is the skeleton of a letter's form.
func (s *skeletons) of(l letter, execute func(letter) (html, text string)) *skeleton {
	form := l.form()
	s.mu.RLock()
	made := s.all[form]
	s.mu.RUnlock()
	if made != nil {
		return made
	}
	l.Rows, l.Notes = slices.Clone(l.Rows), slices.Clone(l.Notes)
	n := 0
	l.texts(func(text *string, _ bool) {
		if *text != "" || text != &l.Code && text != &l.Picture && text != &l.Link && text != &l.NotMe.To { // whether these are there is the form
			*text = fmt.Sprintf("mark%dkram", n)
		}
		n++
	})
	html, text := execute(l)
	made = &skeleton{html: cutAtMarks(html), text: cutAtMarks(text)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil || len(s.all) == maxSkeletons {
		s.all = map[string]*skeleton{}
	}
	s.all[form] = made
	return made
}

func cutAtMarks(s string) (all []piece) {
	from := 0
	for _, at := range mark.FindAllStringSubmatchIndex(s, -1) {
		n, err := strconv.Atoi(s[at[2]:at[3]])
		if err != nil {
			panic(err) // digits, and few
		}
		all = append(all, piece{strings.Clone(s[from:at[0]]), n})
		from = at[1]
	}
	return append(all, piece{strings.Clone(s[from:]), -1})
}

// fill writes a letter that has the skeleton's form. ok says that it can: addresses with
// characters that html/template would look at more closely are its own matter.
func (s *skeleton) fill(l letter) (html, text string, ok bool) {
	texts := make([]string, 0, 48)
	size := 0
	ok = true
	l.Rows = slices.Clone(l.Rows) // texts puts values together again
	l.texts(func(text *string, address bool) {
		texts = append(texts, *text)
		size += len(*text)
		ok = ok && (!address || *text == "" || plainAddress(*text))
	})
	if !ok {
		return "", "", false
	}
	var h, t strings.Builder
	h.Grow(6000 + 2*size)
	t.Grow(500 + 2*size)
	for _, p := range s.html {
		h.WriteString(p.before)
		if p.text >= 0 {
			escaper.WriteString(&h, texts[p.text])
		}
	}
	for _, p := range s.text {
		t.WriteString(p.before)
		if p.text >= 0 {
			t.WriteString(texts[p.text])
		}
	}
	return h.String(), t.String(), true
}

// escaper escapes as html/template does it in texts and between quotation marks
// (https://pkg.go.dev/html/template, htmlReplacementTable).
var escaper = strings.NewReplacer("\x00", "\uFFFD", `"`, "&#34;", "&", "&amp;", "'", "&#39;", "+", "&#43;", "<", "&lt;", ">", "&gt;")

// plainAddress says that html/template would write an address as it is, but for "&".
func plainAddress(s string) bool {
	if !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "http://") {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~:/?#=&", c) >= 0:
		default:
			return false
		}
	}
	return true
}
