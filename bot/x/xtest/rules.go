package xtest

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// This file reads and matches the rules of the filtered stream, as
// https://docs.x.com/x-api/posts/filtered-stream/integrate/build-a-rule and
// …/operators describe them. Only operators that can be told from what the
// stand-in knows are supported; others are refused as invalid.

// clause is a rule or a part of one.
type clause struct {
	match func(*subject) bool
	// anchor says that the clause can stand alone: it does not match nearly
	// everything. X refuses a rule without one, as is:retweet or -#tag.
	anchor bool
}

// subject is what rules look at in a post. A repost is matched by the original
// text too, a quote by the quoted text.
type subject struct {
	post                 *post
	texts                []string // lower case
	hashtags, mentions   map[string]bool
	from, to, retweetsOf []string // lower-case handle and id
}

// subject must be called with the lock held.
func (s *Server) subject(p *post) *subject {
	v := &subject{post: p, hashtags: map[string]bool{}, mentions: map[string]bool{}}
	names := func(accountID string) []string {
		if a := s.accounts[accountID]; a != nil {
			return []string{strings.ToLower(a.Handle), a.ID}
		}
		return nil
	}
	v.from, v.to = names(p.AuthorID), names(p.InReplyToUserID)
	parts := []*post{p}
	if original := s.posts[p.RepostOf]; original != nil {
		v.retweetsOf = names(original.AuthorID)
		parts = append(parts, original)
	}
	if quoted := s.posts[parts[len(parts)-1].Quote]; quoted != nil && !s.accounts[quoted.AuthorID].Protected {
		parts = append(parts, quoted)
	}
	for _, part := range parts {
		v.texts = append(v.texts, strings.ToLower(part.Text))
		for _, h := range part.Hashtags {
			v.hashtags[strings.ToLower(h.Tag)] = true
		}
		for _, m := range part.Mentions {
			v.mentions[strings.ToLower(m.Handle)] = true
		}
	}
	return v
}

// contains reports whether one of the texts has the words, not as part of
// longer words.
func (v *subject) contains(words string) bool {
	for _, text := range v.texts {
		for from := 0; ; {
			i := strings.Index(text[from:], words)
			if i < 0 {
				break
			}
			start, end := from+i, from+i+len(words)
			if isBoundary(text, start) && isBoundary(text, end) {
				return true
			}
			from = start + 1
		}
	}
	return false
}

// isBoundary reports whether no word runs across byte i of text.
func isBoundary(text string, i int) bool {
	before := []rune(text[:i])
	after := []rune(text[i:])
	return len(before) == 0 || len(after) == 0 || !isWordRune(before[len(before)-1]) || !isWordRune(after[0])
}

// parseRule reads a rule. The error is fit for the API's details.
func parseRule(value string) (clause, error) {
	p := &ruleParser{rest: []rune(value)}
	c, err := p.or()
	if err == nil && p.next() != 0 {
		err = p.errorf("no viable alternative at input '%c'", p.next())
	}
	if err == nil && !c.anchor {
		err = p.errorf("Rules must contain at least one positive, non-stopword clause that can stand alone")
	}
	return c, err
}

type ruleParser struct {
	rest []rune
	read int // runes already taken, for error positions
}

func (p *ruleParser) errorf(format string, args ...any) error {
	return fmt.Errorf(format+" (at position %d)", append(args, p.read+1)...)
}

func (p *ruleParser) take(n int) string {
	taken := p.rest[:n]
	p.rest, p.read = p.rest[n:], p.read+n
	return string(taken)
}

// next skips spaces and returns the rune that follows, 0 at the end.
func (p *ruleParser) next() rune {
	for len(p.rest) > 0 && unicode.IsSpace(p.rest[0]) {
		p.take(1)
	}
	if len(p.rest) == 0 {
		return 0
	}
	return p.rest[0]
}

// peekWord returns the word that follows without taking it.
func (p *ruleParser) peekWord() string {
	p.next()
	n := 0
	for n < len(p.rest) && !unicode.IsSpace(p.rest[n]) && !strings.ContainsRune(`()"`, p.rest[n]) {
		n++
	}
	return string(p.rest[:n])
}

// or reads clauses joined by OR, which binds less than AND. Every alternative
// must be able to stand alone.
func (p *ruleParser) or() (clause, error) {
	left, err := p.and()
	for err == nil && p.peekWord() == "OR" {
		p.take(2)
		var right clause
		right, err = p.and()
		a, b := left, right
		left = clause{anchor: a.anchor && b.anchor, match: func(v *subject) bool { return a.match(v) || b.match(v) }}
	}
	return left, err
}

// and reads clauses joined by spaces, at least one.
func (p *ruleParser) and() (clause, error) {
	left, err := p.primary()
	for err == nil && p.next() != 0 && p.next() != ')' && p.peekWord() != "OR" {
		var right clause
		right, err = p.primary()
		a, b := left, right
		left = clause{anchor: a.anchor || b.anchor, match: func(v *subject) bool { return a.match(v) && b.match(v) }}
	}
	return left, err
}

func (p *ruleParser) primary() (clause, error) {
	switch p.next() {
	case 0, ')':
		return clause{}, p.errorf("a clause is missing")
	case '(':
		p.take(1)
		c, err := p.or()
		if err == nil && p.next() != ')' {
			err = p.errorf("a ) is missing")
		}
		if err == nil {
			p.take(1)
		}
		return c, err
	case '-':
		p.take(1)
		if len(p.rest) == 0 || unicode.IsSpace(p.rest[0]) || p.rest[0] == '(' || p.rest[0] == '-' {
			return clause{}, p.errorf("- must stand before one operator, not before a space or a group")
		}
		c, err := p.operator()
		return clause{match: func(v *subject) bool { return !c.match(v) }}, err
	}
	return p.operator()
}

// operator reads one operator, keyword or quoted phrase.
func (p *ruleParser) operator() (clause, error) {
	if p.next() == '"' {
		phrase, err := p.quoted()
		return clause{anchor: true, match: func(v *subject) bool { return v.contains(phrase) }}, err
	}
	word := p.peekWord()
	if strings.EqualFold(word, "url:") {
		p.take(len(word))
		part, err := p.quoted()
		return clause{anchor: true, match: func(v *subject) bool { return v.links(part) }}, err
	}
	c, err := p.word(strings.ToLower(word))
	if err == nil {
		p.take(len([]rune(word)))
	}
	return c, err
}

// quoted reads what stands between quotes, in lower case.
func (p *ruleParser) quoted() (string, error) {
	if len(p.rest) == 0 || p.rest[0] != '"' {
		return "", p.errorf("a phrase in quotes is missing")
	}
	for n := 1; n < len(p.rest); n++ {
		if p.rest[n] == '"' {
			phrase := strings.ToLower(strings.Trim(p.take(n+1), `"`))
			if strings.TrimSpace(phrase) == "" {
				return "", p.errorf("the phrase is empty")
			}
			return phrase, nil
		}
	}
	return "", p.errorf(`a " is missing`)
}

// links reports whether one of the post's own links, expanded, has the part: the
// operator url: of
// https://docs.x.com/x-api/posts/filtered-stream/integrate/build-a-rule. A quote
// links to what it quotes.
func (v *subject) links(part string) bool {
	return slices.ContainsFunc(v.post.Links, func(l Link) bool { return strings.Contains(strings.ToLower(l.Expands), part) })
}

func (p *ruleParser) word(word string) (clause, error) {
	if word == "and" || word == "or" {
		return clause{}, p.errorf("Ambiguous use of %s as a keyword", word)
	}
	if name, ok := strings.CutPrefix(word, "@"); ok {
		if !isHandle(name) {
			return clause{}, p.errorf("'%s' is not a user name", name)
		}
		return clause{anchor: true, match: func(v *subject) bool { return v.mentions[name] }}, nil
	}
	if tag, ok := strings.CutPrefix(word, "#"); ok {
		if found := hashtags("#" + tag); len(found) != 1 || found[0].Tag != tag {
			return clause{}, p.errorf("'%s' is not a hashtag", tag)
		}
		return clause{anchor: true, match: func(v *subject) bool { return v.hashtags[tag] }}, nil
	}
	if name, value, ok := strings.Cut(word, ":"); ok {
		return p.named(name, value)
	}
	if word == "" || strings.IndexFunc(word, func(r rune) bool { return !isWordRune(r) && r < 0x2000 }) >= 0 {
		return clause{}, p.errorf("'%s' is not a keyword; put punctuation in quotes", word)
	}
	return clause{anchor: true, match: func(v *subject) bool { return v.contains(word) }}, nil
}

func (p *ruleParser) named(name, value string) (clause, error) {
	account := func(of func(*subject) []string) (clause, error) {
		if !isHandle(value) && !isID(value) {
			return clause{}, p.errorf("'%s' is neither a user name nor a user id", value)
		}
		return clause{anchor: true, match: func(v *subject) bool {
			names := of(v)
			return len(names) > 0 && (names[0] == value || names[1] == value)
		}}, nil
	}
	switch name {
	case "from":
		return account(func(v *subject) []string { return v.from })
	case "to":
		return account(func(v *subject) []string { return v.to })
	case "retweets_of":
		return account(func(v *subject) []string { return v.retweetsOf })
	case "conversation_id":
		if !isID(value) {
			return clause{}, p.errorf("'%s' is not a post id", value)
		}
		return clause{anchor: true, match: func(v *subject) bool { return v.post.ConversationID == value }}, nil
	}
	switch name + ":" + value {
	case "is:retweet":
		return clause{match: func(v *subject) bool { return v.post.RepostOf != "" }}, nil
	case "is:quote":
		return clause{match: func(v *subject) bool { return v.post.Quote != "" }}, nil
	case "is:reply":
		return clause{match: func(v *subject) bool { return v.post.ReplyTo != "" }}, nil
	case "has:hashtags":
		return clause{match: func(v *subject) bool { return len(v.post.Hashtags) > 0 }}, nil
	case "has:mentions":
		return clause{match: func(v *subject) bool { return len(v.post.Mentions) > 0 }}, nil
	case "has:links":
		return clause{match: func(v *subject) bool { return len(v.post.Links) > 0 }}, nil
	}
	return clause{}, p.errorf("Reference to invalid operator '%s'", name)
}
