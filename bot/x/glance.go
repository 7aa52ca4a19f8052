package x

import (
	"bytes"
	"slices"
	"time"
	"unicode/utf8"

	"hashtill/bot"
	"hashtill/offers"
)

// A glance looks at a raw line of the filtered stream and says whether anybody may need
// to hear its post. Of a stream that is as wide as X one post in a thousand is worth being
// decoded, and a look takes a small part of the time: hashtill bench hear tells.
//
// It may err in one direction only. What it turns away, decoding would find to be a post
// that mentions the bot nowhere, has nothing to do with a post of the bot's, and has among
// its hashtags neither one that is followed nor a code. So it knows the one way in which X
// writes its lines and takes every other way for a reason to decode: spaces, capitals in
// names, \u escapes, long histories of edits, errors. It walks through the line once, and
// looks at what decoding would keep; the members it takes in any order, and X's is the
// fastest. That takes two fifths off what it took to look for each list and each sign in
// the whole line, and then to walk through those lines that refer to other posts.
//
// One goroutine uses it.
type glance struct {
	self     string
	handle   []byte
	spotter  *bot.Spotter
	tags     *bot.TagIndex
	refs     []span // numbers of the posts that the post refers to
	included []span // and of those that come with it
	denied   []span // hashtags in the post's list that are not worth decoding
	again    int    // how many of them its text has told again
	lines    int
	passed   time.Time // when a line was let pass only so that the cursor moves
}

// A span is a part of a line. It needs no write barrier as a slice would.
type span struct{ from, to int }

func newGlance(self, handle string) *glance {
	return &glance{self: self, handle: []byte(handle), spotter: bot.NewSpotter(), refs: make([]span, 0, 4), included: make([]span, 0, 8), denied: make([]span, 0, 8)}
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
	if escaped(line) {
		return 0, true
	}
	posts, ok := g.look(line)
	return posts, !ok
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

// tagged says whether what stands behind a '#' or '＃' of a text is worth decoding.
func (g *glance) tagged(l line, from, end int) bool {
	for at := from; ; {
		i := bytes.IndexByte(l[at:end], '#')
		if i < 0 {
			break
		}
		at += i + 1
		if g.tagAt(l, at) {
			return true
		}
	}
	for at := from; ; { // U+FF03 is EF BC 83
		i := bytes.IndexByte(l[at:end], 0xef)
		if i < 0 {
			return false
		}
		at += i + 1
		if l[at] == 0xbc && l[at+1] == 0x83 && g.tagAt(l, at+2) {
			return true
		}
	}
}

// tagAt looks at the hashtag that may begin there, in a text. X lists hashtags before the
// text and in its order, and so most are the next of those that have been denied. That none
// is looked up twice takes a ninth off a look.
func (g *glance) tagAt(l line, from int) bool {
	if g.again < len(g.denied) {
		tag := g.denied[g.again]
		if end := from + tag.to - tag.from; end < len(l) && bytes.Equal(l[from:end], l[tag.from:tag.to]) && tagEnd(l, end) == end {
			g.again++
			return false
		}
	}
	n, may := g.spotter.Word(g.tags, l[from:])
	end := from + n
	if more := tagEnd(l, end); more > end {
		return g.spotter.May(g.tags, l[from:more])
	}
	return may && n > 0
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

// What is looked at in a line.
var (
	dataKey     = keyOf(`"data":{`)
	includesKey = keyOf(`"includes":{`)
	errorsKey   = keyOf(`"errors":`)
	rulesKey    = keyOf(`"matching_rules":[`)
	tweetsKey   = keyOf(`"tweets":[`)
	postsKey    = keyOf(`"posts":[`)
	usersKey    = keyOf(`"users":[`)

	authorKey    = keyOf(`"author_id":"`)
	createdKey   = keyOf(`"created_at":"`)
	editsKey     = keyOf(`"edit_history_tweet_ids":["`)
	postEditsKey = keyOf(`"edit_history_post_ids":["`)
	entitiesKey  = keyOf(`"entities":{`)
	idKey        = keyOf(`"id":"`)
	answeredKey  = keyOf(`"in_reply_to_user_id":"`)
	langKey      = keyOf(`"lang":"`)
	noteKey      = keyOf(`"note_tweet":{`)
	postNoteKey  = keyOf(`"note_post":{`)
	refsKey      = keyOf(`"referenced_tweets":[`)
	postRefsKey  = keyOf(`"referenced_posts":[`)
	textKey      = keyOf(`"text":"`)

	hashtagsKey = keyOf(`"hashtags":[`)
	mentionsKey = keyOf(`"mentions":[`)
	urlsKey     = keyOf(`"urls":[`)
	startKey    = keyOf(`"start":`)
	endKey      = keyOf(`"end":`)
	tagKey      = keyOf(`"tag":"`)
	usernameKey = keyOf(`"username":"`)
	typeKey     = keyOf(`"type":"`)
)

// look walks through the line, and says how many posts are in it. ok says that nothing in
// it is a reason to decode it.
func (g *glance) look(l line) (posts int, ok bool) {
	g.refs, g.included = g.refs[:0], g.included[:0]
	data, includes := false, false
	i := l.take(0, '{')
	for more := true; more; i, more = l.more(i, '}') {
		switch w := l.word(i); {
		case dataKey.begins(w):
			if data {
				return 0, false
			}
			data = true
			i = g.post(l, i+8, &g.refs)
		case includesKey.begins(w):
			if includes {
				return 0, false
			}
			includes = true
			i = g.includes(l, l.after(i, &includesKey))
		case rulesKey.begins(w):
			i = l.skip(l.after(i, &rulesKey) - 1)
		case errorsKey.begins(w):
			return 0, false
		default:
			i = l.other(i)
		}
	}
	if i != len(l) {
		return 0, false
	}
	for _, ref := range g.refs {
		same := func(id span) bool { return bytes.Equal(l[id.from:id.to], l[ref.from:ref.to]) }
		if !slices.ContainsFunc(g.included, same) { // it is looked up
			return 0, false
		}
	}
	return 1 + len(g.included), true
}

// includes takes what comes with a post.
func (g *glance) includes(l line, i int) int {
	for more := true; more; i, more = l.more(i, '}') {
		switch w := l.word(i); {
		case tweetsKey.begins(w):
			i = g.posts(l, l.after(i, &tweetsKey))
		case usersKey.begins(w):
			i = l.skip(l.after(i, &usersKey) - 1)
		case postsKey.begins(w):
			i = g.posts(l, l.after(i, &postsKey))
		default:
			i = l.other(i)
		}
	}
	return i
}

// posts takes the posts that come with one, which X writes in one list.
func (g *glance) posts(l line, i int) int {
	if len(g.included) > 0 {
		return nowhere
	}
	for more := true; more; i, more = l.more(i, ']') {
		i = g.post(l, l.take(i, '{'), nil)
	}
	return i
}

// post takes a post. What it refers to it puts into refs. Without these it is one that comes
// with another, and its number goes into included. It ends nowhere if it is the bot's, answers
// the bot, has been edited or has a hashtag worth decoding.
func (g *glance) post(l line, i int, refs *[]span) int {
	told := false
	g.denied, g.again = g.denied[:0], 0
	for more := true; more; i, more = l.more(i, '}') {
		switch w := l.word(i); {
		case authorKey.begins(w):
			i = g.stranger(l, l.after(i, &authorKey))
		case createdKey.begins(w):
			i = l.quote(l.after(i, &createdKey)) + 1
		case editsKey.begins(w):
			i = l.take(l.quote(l.either(i, &editsKey, &postEditsKey))+1, ']')
		case entitiesKey.begins(w):
			i = g.entities(l, l.after(i, &entitiesKey))
		case idKey.begins(w):
			from := i + 6
			i = l.quote(from)
			if refs == nil {
				if told || len(g.included) == cap(g.included) {
					return nowhere
				}
				told = true
				g.included = append(g.included, span{from, i})
			}
			i++
		case answeredKey.begins(w):
			i = g.stranger(l, l.after(i, &answeredKey))
		case langKey.begins(w):
			i = l.quote(i+8) + 1
		case refsKey.begins(w) && refs != nil:
			i = g.references(l, l.either(i, &refsKey, &postRefsKey), refs)
		case textKey.begins(w):
			i = g.text(l, i+8)
		case noteKey.begins(w):
			i = g.note(l, l.after(i, &noteKey))
		case postNoteKey.begins(w):
			i = g.note(l, l.after(i, &postNoteKey))
		default:
			i = l.other(i)
		}
	}
	return i
}

// stranger takes the number of an account, which must not be the bot's.
func (g *glance) stranger(l line, from int) int {
	end := l.quote(from)
	if end >= len(l) || string(l[from:end]) == g.self {
		return nowhere
	}
	return end + 1
}

func (g *glance) references(l line, i int, refs *[]span) int {
	if len(*refs) > 0 { // the other list of them was before
		return nowhere
	}
	for more := true; more; i, more = l.more(i, ']') {
		var ref span
		i = l.take(i, '{')
		for more := true; more; i, more = l.more(i, '}') {
			switch w := l.word(i); {
			case idKey.begins(w):
				ref = span{i + 6, l.quote(i + 6)}
				i = ref.to + 1
			case typeKey.begins(w):
				i = l.quote(l.after(i, &typeKey)) + 1
			default:
				return nowhere
			}
		}
		if i >= len(l) || len(*refs) == cap(*refs) {
			return nowhere
		}
		*refs = append(*refs, ref)
	}
	return i
}

// note takes the whole of a long post.
func (g *glance) note(l line, i int) int {
	for more := true; more; i, more = l.more(i, '}') {
		switch w := l.word(i); {
		case entitiesKey.begins(w):
			i = g.entities(l, l.after(i, &entitiesKey))
		case textKey.begins(w):
			i = g.text(l, i+8)
		default:
			i = l.other(i)
		}
	}
	return i
}

// text takes a text, which must neither name the bot nor have a hashtag worth decoding.
func (g *glance) text(l line, from int) int {
	end := l.textEnd(from)
	if end > len(l) {
		return nowhere
	}
	if g.named(l[from:end]) || g.tagged(l, from, end) {
		return nowhere
	}
	return end
}

func (g *glance) entities(l line, i int) int {
	for more := true; more; i, more = l.more(i, '}') {
		switch w := l.word(i); {
		case hashtagsKey.begins(w):
			i = g.hashtags(l, l.after(i, &hashtagsKey))
		case mentionsKey.begins(w):
			i = g.mentions(l, l.after(i, &mentionsKey))
		case urlsKey.begins(w):
			i = l.skip(l.after(i, &urlsKey) - 1)
		default:
			i = l.other(i)
		}
	}
	return i
}

// hashtags takes a list of hashtags, none of which may be worth decoding.
func (g *glance) hashtags(l line, i int) int {
	for more := true; more; i, more = l.more(i, ']') {
		i = l.take(i, '{')
		for more := true; more; i, more = l.more(i, '}') {
			switch w := l.word(i); {
			case startKey.begins(w):
				i = l.number(i + 8)
			case endKey.begins(w):
				i = l.number(i + 6)
			case tagKey.begins(w):
				i = g.tag(l, i+7)
			default:
				return nowhere
			}
		}
	}
	return i
}

// tag takes the name of a hashtag in a list. What no text can have behind a '#' is not
// remembered: a shorter one may stand there.
func (g *glance) tag(l line, from int) int {
	n, may := g.spotter.Word(g.tags, l[min(from, len(l)):])
	end := from + n
	if l.byte(end) != '"' {
		if end = l.quote(from); end >= len(l) || bytes.IndexByte(l[from:end], '\\') >= 0 {
			return nowhere
		}
		may = g.spotter.May(g.tags, l[from:end])
	}
	if may {
		return nowhere
	}
	if len(g.denied) < cap(g.denied) && tagEnd(l, from+n) == end {
		g.denied = append(g.denied, span{from, end})
	}
	return end + 1
}

// mentions takes a list of mentions, none of which may be of the bot or without a number.
func (g *glance) mentions(l line, i int) int {
	for more := true; more; i, more = l.more(i, ']') {
		told := false
		i = l.take(i, '{')
		for more := true; more; i, more = l.more(i, '}') {
			switch w := l.word(i); {
			case startKey.begins(w):
				i = l.number(i + 8)
			case endKey.begins(w):
				i = l.number(i + 6)
			case idKey.begins(w):
				told = l.byte(i+6) != '"'
				i = g.stranger(l, i+6)
			case usernameKey.begins(w):
				i = l.quote(l.after(i, &usernameKey)) + 1
			default:
				return nowhere
			}
		}
		if !told {
			return nowhere
		}
	}
	return i
}
