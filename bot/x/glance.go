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
// decoded, and a look takes a fortieth of the time: hashtill bench hear tells.
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
	seen    [8]span   // hashtags in the line's texts that are not worth decoding
	told    int       // how many of these there are
	again   int       // how many of them the line's lists have told again
	escapes bool      // there are some in the line
	lines   int
	passed  time.Time // when a line was let pass only so that the cursor moves
}

// A span is a part of a line. It needs no write barrier as a slice would.
type span struct{ from, to int }

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
	if g.escaped(line) || g.named(line) || g.tagged(line) {
		return 0, true
	}
	posts, refers, ok := g.lists(line)
	if !ok || refers && !g.strangers(line) {
		return 0, true
	}
	return max(posts, 1), false
}

// escaped says whether any character is written as \u.
func (g *glance) escaped(line []byte) bool {
	g.escapes = false
	for {
		i := bytes.IndexByte(line, '\\')
		if i < 0 {
			return false
		}
		g.escapes = true
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
	g.told, g.again = 0, 0
	for at := 0; ; {
		i := bytes.IndexByte(line[at:], '#')
		if i < 0 {
			break
		}
		at += i + 1
		if g.tagAt(line, at) {
			return true
		}
	}
	for at := 0; ; { // U+FF03 is EF BC 83
		i := bytes.IndexByte(line[at:], 0xef)
		if i < 0 {
			return false
		}
		at += i + 1
		if at+2 < len(line) && line[at] == 0xbc && line[at+1] == 0x83 && g.tagAt(line, at+2) {
			return true
		}
	}
}

// tagAt looks at the hashtag that may begin there.
func (g *glance) tagAt(line []byte, from int) bool {
	n, may := g.spotter.Word(g.tags, line[from:])
	end := from + n
	if end < len(line) && line[end] >= utf8.RuneSelf {
		if more := tagEnd(line, end); more > end {
			end, may = more, g.spotter.May(g.tags, line[from:more])
		}
	}
	if end == from {
		return false
	}
	if !may && g.told < len(g.seen) {
		g.seen[g.told] = span{from, end}
		g.told++
	}
	return may
}

// tagEnd is where the hashtag ends that goes on at i.
func tagEnd(line []byte, i int) int {
	for i < len(line) {
		r, size := utf8.DecodeRune(line[i:])
		if !offers.TagRune(r) {
			break
		}
		i += size
	}
	return i
}

// denied says whether a string that begins there is the next of the hashtags that have
// been denied, and where it ends. X lists them in the order of the text, and so none is
// asked for twice, which took an eighth off a look.
func (g *glance) denied(line []byte, from int) (end int, denied bool) {
	if g.again == g.told {
		return 0, false
	}
	seen := g.seen[g.again]
	end = from + seen.to - seen.from
	if end >= len(line) || line[end] != '"' || !bytes.Equal(line[from:end], line[seen.from:seen.to]) {
		return 0, false
	}
	g.again++
	return end, true
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
		before, s := line[:at], steps{line: line, escapes: g.escapes, at: i}
		switch end := line[at-len(`12345678":`) : at-2]; { // a comparison of eight bytes is one of numbers
		case string(end) == "weet_ids" && bytes.HasSuffix(before, []byte(`,"edit_history_tweet_ids":`)):
			s.string()
			s.take(']')
			posts++
		case string(end) == "hashtags" && bytes.HasSuffix(before, []byte(`{"hashtags":`)):
			g.hashtags(&s)
		case string(end) == `],"users` || string(end) == `:{"users` || string(end) == "ng_rules" && bytes.HasSuffix(before, []byte(`,"matching_rules":`)):
		case string(end) == "mentions" && bytes.HasSuffix(before, []byte(`,"mentions":`)):
			g.mentions(&s)
		default:
			name, ok := nameOf(before)
			if !ok {
				return 0, false, false
			}
			switch string(name) {
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
		}
		if s.bad {
			return 0, false, false
		}
		i = s.at
	}
}

// nameOf is the name of the list that begins behind before. ok says that X may write it so.
func nameOf(before []byte) (name []byte, ok bool) {
	end := len(before) - len(`":`)
	from := end
	for from > 0 && isKeyByte(before[from-1]) {
		from--
	}
	return before[from:end], from > 1 && before[from-1] == '"' && (before[from-2] == ',' || before[from-2] == '{')
}

// hashtags takes a list of hashtags. It is bad if one of them is worth decoding.
func (g *glance) hashtags(s *steps) {
	for s.element() {
		for {
			switch {
			case s.is(`"end":`), s.is(`"start":`):
				s.number()
			case s.is(`"tag":`):
				g.tag(s)
			default:
				s.bad = true
			}
			if s.bad || !s.is(",") {
				break
			}
		}
		s.take('}')
	}
}

// tag takes the name of a hashtag in a list.
func (g *glance) tag(s *steps) {
	if s.peek() == '"' {
		if end, denied := g.denied(s.line, s.at+1); denied {
			s.at = end + 1
			return
		}
	}
	tag := s.string()
	s.bad = s.bad || g.spotter.May(g.tags, tag)
}

// mentions takes a list of mentions. It is bad if one is of the bot, or without a number.
func (g *glance) mentions(s *steps) {
	for s.element() {
		told := false
		for {
			switch {
			case s.is(`"start":`), s.is(`"end":`):
				s.number()
			case s.is(`"id":`):
				id := s.string()
				s.bad = s.bad || len(id) == 0 || string(id) == g.self
				told = true
			case s.is(`"username":`):
				s.string()
			default:
				s.bad = true
			}
			if s.bad || !s.is(",") {
				break
			}
		}
		s.take('}')
		s.bad = s.bad || !told
	}
}

// strangers says whether all posts that the post refers to are in the line and none of
// the bot's.
func (g *glance) strangers(line []byte) bool {
	s := steps{line: line, escapes: g.escapes}
	var included [8][]byte
	refs, tweets := 0, 0
	var data, includes bool
	s.take('{')
	for first := true; s.next(&first, '}'); {
		switch key := s.key(); string(key) {
		case "data":
			s.bad = s.bad || data
			data = true
			_, refs = g.tweet(&s)
		case "includes":
			s.bad = s.bad || includes
			includes = true
			tweets = g.includes(&s, included[:])
		default:
			s.other(key)
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
		switch key := s.key(); string(key) {
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
			s.other(key)
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
		switch key := s.key(); string(key) {
		case "created_at", "edit_history_tweet_ids", "entities", "lang", "text": // they are plain
			s.skip()
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
			s.other(key)
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
