package x

import (
	"bytes"
	"time"
	"unicode/utf8"

	"hashtill/bot"
	"hashtill/offers"
)

// A glance looks at a raw line of the filtered stream and says whether anybody may need
// to hear its post. Of a stream that is as wide as X one post in a thousand is worth being
// decoded, and a look takes a fifteenth of the time: hashtill bench hear tells.
//
// It may err in one direction only. What it turns away, decoding would find to be a post
// that mentions the bot nowhere, has nothing to do with a post of the bot's, and has among
// its hashtags neither one that is followed nor a code. So it knows the one way in which X
// writes its lines and takes every other way for a reason to decode: another order,
// spaces, capitals in names, \u escapes, long histories of edits, errors. What it looks
// for it looks for in the whole line, by bytes that stand nowhere else: a '#' may begin a
// hashtag, a '@' the bot's name, a '[' one of the lists that X makes of these. Only lines
// that refer to other posts are walked through.
//
// One goroutine uses it.
type glance struct {
	self    string
	handle  []byte
	spotter *bot.Spotter
	tags    *bot.TagIndex
	refs    [4][]byte // posts that the post refers to
	seen    [4][]byte // hashtags in the line's texts, which its lists repeat
	lines   int
	passed  time.Time // when a line was let pass only so that the cursor moves
}

func newGlance(self, handle string) *glance {
	return &glance{self: self, handle: []byte(handle), spotter: bot.NewSpotter()}
}

// The cursor moves with the posts that are let pass: one at least of each second and
// passEvery lines. The time is asked for once in as many, as that takes as long as a tenth
// of a look.
const (
	passEvery = 16
	passPause = time.Second
)

// due says whether a line is to be let pass whatever it holds.
func (g *glance) due() bool {
	if g.lines++; g.lines%passEvery != 0 || time.Since(g.passed) < passPause {
		return false
	}
	g.passed = time.Now()
	return true
}

// may says whether the line must be decoded, and else how many posts X has sent in it.
func (g *glance) may(line []byte, tags *bot.TagIndex) (posts int, may bool) {
	if tags == nil || !bytes.HasPrefix(line, []byte(`{"data":{"`)) || line[len(line)-1] != '}' {
		return 0, true
	}
	g.tags = tags
	if escaped(line) || g.named(line) || g.tagged(line) {
		return 0, true
	}
	posts, refers, ok := g.lists(line)
	if !ok || refers && !g.strangers(line) {
		return 0, true
	}
	return max(posts, 1), false
}

// escaped says whether any character is written as \u.
func escaped(line []byte) bool {
	for {
		i := bytes.IndexByte(line, '\\')
		if i < 0 {
			return false
		}
		if i+1 == len(line) || line[i+1] == 'u' {
			return true
		}
		line = line[i+2:]
	}
}

// named says whether a name behind an '@' begins as the bot's.
func (g *glance) named(line []byte) bool {
	for {
		i := bytes.IndexByte(line, '@')
		if i < 0 {
			return false
		}
		if line = line[i+1:]; len(line) >= len(g.handle) && bytes.EqualFold(line[:len(g.handle)], g.handle) {
			return true
		}
	}
}

// tagged says whether what stands behind a '#' or '＃' is worth decoding.
func (g *glance) tagged(line []byte) bool {
	clear(g.seen[:])
	for rest := line; ; {
		i := bytes.IndexByte(rest, '#')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		if g.tagAt(rest) {
			return true
		}
	}
	for rest := line; ; { // U+FF03 is EF BC 83
		i := bytes.IndexByte(rest, 0xef)
		if i < 0 {
			return false
		}
		if rest = rest[i+1:]; len(rest) > 2 && rest[0] == 0xbc && rest[1] == 0x83 && g.tagAt(rest[2:]) {
			return true
		}
	}
}

// tagAt looks at the hashtag that text may begin with.
func (g *glance) tagAt(text []byte) bool {
	end := 0
	for end < len(text) {
		if c := text[end]; c < utf8.RuneSelf {
			if !isHandleByte(c) {
				break
			}
			end++
			continue
		}
		r, size := utf8.DecodeRune(text[end:])
		if !offers.TagRune(r) {
			break
		}
		end += size
	}
	if end == 0 {
		return false
	}
	copy(g.seen[1:], g.seen[:])
	g.seen[0] = text[:end]
	return g.spotter.May(g.tags, text[:end])
}

// denied says whether tag was among those that were not worth decoding.
func (g *glance) denied(tag []byte) bool {
	for _, seen := range g.seen {
		if bytes.Equal(seen, tag) {
			return true
		}
	}
	return false
}

// lists looks at all lists in the line. ok says that they hold no reason to decode it;
// refers, that the post or another one in it refers to a post.
func (g *glance) lists(line []byte) (posts int, refers, ok bool) {
	for i := 0; ; {
		at := bytes.IndexByte(line[i:], '[')
		if at < 0 {
			return posts, refers, true
		}
		at += i
		i = at + 1
		if line[at-1] != ':' || line[at-2] != '"' {
			if before := bytes.TrimRight(line[:at], " \t\r\n"); before[len(before)-1] == ':' {
				return 0, false, false
			}
			continue // in a text
		}
		from := at - 3
		for from > 0 && isKeyByte(line[from]) {
			from--
		}
		if line[from] != '"' || line[from-1] != ',' && line[from-1] != '{' { // not as X writes it
			return 0, false, false
		}
		s := steps{line: line, at: i}
		switch string(line[from+1 : at-2]) {
		case "hashtags":
			g.hashtags(&s)
		case "mentions":
			g.mentions(&s)
		case "edit_history_tweet_ids", "edit_history_post_ids":
			s.string()
			s.take(']')
			posts++
		case "referenced_tweets", "referenced_posts":
			refers = true
		case "errors":
			return 0, false, false
		}
		if s.bad {
			return 0, false, false
		}
		i = s.at
	}
}

// hashtags takes a list of hashtags. It is bad if one of them is worth decoding.
func (g *glance) hashtags(s *steps) {
	for s.element() {
		for s.member() {
			switch string(s.key()) {
			case "tag":
				tag := s.string()
				s.bad = s.bad || !g.denied(tag) && g.spotter.May(g.tags, tag)
			case "start", "end":
				s.number()
			default:
				s.bad = true
			}
		}
	}
}

// mentions takes a list of mentions. It is bad if one is of the bot, or without a number.
func (g *glance) mentions(s *steps) {
	for s.element() {
		told := false
		for s.member() {
			switch string(s.key()) {
			case "id":
				id := s.string()
				s.bad = s.bad || len(id) == 0 || string(id) == g.self
				told = true
			case "username":
				s.string()
			case "start", "end":
				s.number()
			default:
				s.bad = true
			}
		}
		s.bad = s.bad || !told
	}
}

// strangers says whether all posts that the post refers to are in the line and none of
// the bot's.
func (g *glance) strangers(line []byte) bool {
	s := steps{line: line}
	var included [8][]byte
	refs, tweets := 0, 0
	var data, includes bool
	s.take('{')
	for first := true; s.next(&first, '}'); {
		switch string(s.key()) {
		case "data":
			s.bad = s.bad || data
			data = true
			_, refs = g.tweet(&s)
		case "includes":
			s.bad = s.bad || includes
			includes = true
			tweets = g.includes(&s, included[:])
		default:
			s.skip()
		}
	}
	if s.bad || s.at != len(line) {
		return false
	}
	for _, ref := range g.refs[:refs] {
		found := false
		for _, id := range included[:tweets] {
			found = found || bytes.Equal(id, ref)
		}
		if !found { // it is looked up
			return false
		}
	}
	return true
}

// includes takes what comes with a post, and says how many posts are in it.
func (g *glance) includes(s *steps, ids [][]byte) (n int) {
	s.take('{')
	told := false
	for first := true; s.next(&first, '}'); {
		switch string(s.key()) {
		case "tweets", "posts":
			s.bad = s.bad || told
			told = true
			refs := g.refs
			s.take('[')
			for s.element0() {
				id, _ := g.tweet(s)
				if s.bad = s.bad || n == len(ids); s.bad {
					return 0
				}
				ids[n] = id
				n++
			}
			g.refs = refs
		default:
			s.skip()
		}
	}
	return n
}

// tweet takes a post, and tells its number and how many references it has put into refs.
// It is bad if it is the bot's or answers the bot.
func (g *glance) tweet(s *steps) (id []byte, refs int) {
	s.take('{')
	told := false
	for first := true; s.next(&first, '}'); {
		switch string(s.key()) {
		case "id":
			s.bad = s.bad || id != nil
			id = s.string()
		case "author_id", "in_reply_to_user_id":
			s.bad = s.bad || string(s.string()) == g.self
		case "referenced_tweets", "referenced_posts":
			s.bad = s.bad || told
			told = true
			refs = g.references(s)
		default:
			s.skip()
		}
	}
	return id, refs
}

func (g *glance) references(s *steps) (n int) {
	s.take('[')
	for s.element() {
		if n == len(g.refs) {
			s.bad = true
			return 0
		}
		g.refs[n] = nil
		for s.member() {
			switch string(s.key()) {
			case "id":
				g.refs[n] = s.string()
			case "type":
				s.string()
			default:
				s.bad = true
			}
		}
		n++
	}
	return n
}
