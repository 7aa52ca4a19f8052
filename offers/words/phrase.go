package words

import (
	"fmt"
	"strings"

	"github.com/nicksnyder/go-i18n/v2/i18n"
)

// A phrase is a message without plurals, cut where its placeholders stand: so it is put
// together, and not executed as a template. A mail has thirty of them, and they took a
// twentieth of the time of a purchase (hashtill bench buy --store memory).
type phrase struct {
	texts []string // one more than names
	names []string
}

// phrasesOf are the messages of a file that can be phrases, by their keys.
func phrasesOf(file *i18n.MessageFile) map[string]phrase {
	all := make(map[string]phrase, len(file.Messages))
	for _, m := range file.Messages {
		plural := m.Zero + m.One + m.Two + m.Few + m.Many
		if p, ok := cutPhrase(m.Other); ok && m.Other != "" && plural == "" && m.LeftDelim == "" && m.RightDelim == "" {
			all[m.ID] = p
		}
	}
	return all
}

// cutPhrase cuts a message. ok says that its placeholders are names, and no more.
func cutPhrase(text string) (p phrase, ok bool) {
	for {
		before, rest, found := strings.Cut(text, "{{")
		p.texts = append(p.texts, before)
		if !found {
			return p, true
		}
		name, after, closed := strings.Cut(rest, "}}")
		name, field := strings.CutPrefix(name, ".")
		if !closed || !field || name == "" || strings.Trim(name, nameBytes) != "" {
			return phrase{}, false
		}
		p.names = append(p.names, name)
		text = after
	}
}

// nameBytes are those of a placeholder's name.
const nameBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// fill puts the phrase together. ok says that it is one, and nothing is missing.
func (p phrase) fill(args map[string]any) (text string, ok bool) {
	if len(p.names) == 0 {
		if len(p.texts) == 0 {
			return "", false
		}
		return p.texts[0], true
	}
	var b strings.Builder
	for i, name := range p.names {
		b.WriteString(p.texts[i])
		switch v := args[name].(type) {
		case nil:
			return "", false
		case string:
			b.WriteString(v)
		default:
			fmt.Fprint(&b, v)
		}
	}
	b.WriteString(p.texts[len(p.names)])
	return b.String(), true
}
