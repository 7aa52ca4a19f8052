package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"time"

	"hashtill/bot"
	"hashtill/bot/x"
	"hashtill/offers"
)

// Hear is hashtill bench hear.
type Hear struct {
	Posts  int `default:"20000" help:"How many different posts there are, about 840 bytes each."`
	Rounds int `default:"25" help:"How often they are heard in one measurement."`
}

// Help is shown by --help.
func (Hear) Help() string {
	return `Reads posts as X's filtered stream writes them, on one core, with catalogues of 1,
1,000 and 1,000,000 hashtags. One post in a thousand has one of them. The adapter for X
reads, matches and hands over, as it does when a shop is open; only the network is left
out. Beside it stand what the same lines cost whoever only looks for each '#', whoever
looks what follows it up in a map, and whoever decodes each line.

Examples:

  hashtill bench hear
  hashtill bench hear --posts 100000 --rounds 5`
}

const (
	hearSelf = "2244994945"
	hitEvery = 1000
)

// Run is the command.
func (c Hear) Run(r Run) error {
	if c.Posts < hitEvery || c.Rounds < 1 {
		return fmt.Errorf("--posts must be at least %d and --rounds 1", hitEvery)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, n := range []int{1, 1_000, 1_000_000} {
		if err := c.catalogue(r, n); err != nil {
			return err
		}
	}
	return nil
}

// catalogue measures with a catalogue of n hashtags.
func (c Hear) catalogue(r Run, n int) error {
	r.progress("writing %d posts for %d hashtags", c.Posts, n)
	tags := make([]string, n)
	known := make(map[string]bool, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("Buy%s%d", thing(i), i)
		known[strings.ToLower(tags[i])] = true
	}
	stream, planted := recorded(c.Posts, tags)
	var lines [][]byte
	for line := range bytes.Lines(stream) {
		lines = append(lines, bytes.TrimSpace(line))
	}

	perTag, err := indexSize(tags)
	if err != nil {
		return err
	}
	var scans, looks, ours []float64
	hits := 0
	for range 3 { // in turns, so that what else the machine does falls on all of them
		if err := r.Ctx.Err(); err != nil {
			return err
		}
		posts := float64(c.Rounds * len(lines))
		began := cpuTime()
		for range c.Rounds {
			scan(lines, nil)
		}
		scans = append(scans, posts/(cpuTime()-began).Seconds())
		began = cpuTime()
		found := 0
		for range c.Rounds {
			found += scan(lines, known)
		}
		looks = append(looks, posts/(cpuTime()-began).Seconds())
		if found < planted*c.Rounds {
			return fmt.Errorf("the scan finds %d hits of %d", found, planted*c.Rounds)
		}
		h, err := listen(r.Ctx, tags, true, stream, c.Rounds)
		if err != nil {
			return err
		}
		if h.hits != planted*c.Rounds {
			return fmt.Errorf("%d hits heard, %d planted", h.hits, planted*c.Rounds)
		}
		ours = append(ours, posts/h.took.Seconds())
		hits = h.hits
	}
	var misses []byte
	for i, line := range lines {
		if i%hitEvery != hitEvery/2 {
			misses = append(append(misses, line...), "\r\n"...)
		}
	}
	missed, err := listen(r.Ctx, tags, true, misses, c.Rounds)
	if err != nil {
		return err
	}
	began := cpuTime()
	for _, line := range lines {
		if err := json.Unmarshal(line, new(decoded)); err != nil {
			return err
		}
	}
	decoding := float64(len(lines)) / (cpuTime() - began).Seconds()
	whole, err := listen(r.Ctx, tags, false, stream, 1)
	if err != nil {
		return err
	}
	if whole.hits != planted {
		return fmt.Errorf("decoding finds %d hits, %d planted", whole.hits, planted)
	}

	speed := median(ours)
	figures := []figure{
		{what: "heard", value: speed, unit: "posts/s", against: "a look at each '#'", limit: median(scans), note: "the limit"},
		{what: "", value: speed, unit: "posts/s", against: "and what follows it looked up", limit: median(looks), note: "aim: 1,000,000 and 0.5 ×"},
		{what: "", value: speed, unit: "posts/s", against: "encoding/json alone", limit: decoding},
		{what: "", value: speed, unit: "posts/s", against: "heard by decoding all", limit: float64(len(lines)) / whole.took.Seconds()},
		{what: "hits found", value: float64(hits), unit: "posts", against: "planted", limit: float64(planted * c.Rounds), note: "decoding all finds as many"},
		{what: "allocations where nothing is a hit", value: missed.allocs / float64(c.Rounds*(len(lines)-planted)), unit: "a post", note: "aim: 0; one post a second is decoded all the same"},
	}
	if n >= 1000 { // of fewer the rest of the process is seen
		figures = append(figures, figure{what: "index", value: perTag, unit: "B/hashtag", note: "aim: 100"})
	}
	r.print(fmt.Sprintf("Hearing X with %s hashtags, %s posts of %d bytes, one core", number(float64(n)), number(float64(c.Rounds*len(lines))), len(stream)/len(lines)), figures...)
	return nil
}

// decoded is what whoever decodes a line must decode of it.
type decoded struct {
	Data struct {
		ID, Text, Lang string
		AuthorID       string `json:"author_id"`
		CreatedAt      string `json:"created_at"`
		Entities       struct {
			Hashtags []struct{ Tag string }
			Mentions []struct{ ID, Username string }
		}
		Refs []struct{ Type, ID string } `json:"referenced_tweets"`
	}
	Includes struct {
		Users  []struct{ ID, Username string }
		Tweets []struct {
			ID, Text string
			AuthorID string `json:"author_id"`
		}
	}
}

// scan looks at each '#', and with known at the ASCII letters behind it.
func scan(lines [][]byte, known map[string]bool) (found int) {
	var key [64]byte
	for _, line := range lines {
		for rest := line; ; {
			i := bytes.IndexByte(rest, '#')
			if i < 0 {
				break
			}
			rest = rest[i+1:]
			if known == nil {
				continue
			}
			n := 0
			for n < len(rest) && n < len(key) && (rest[n]|0x20 >= 'a' && rest[n]|0x20 <= 'z' || rest[n] >= '0' && rest[n] <= '9') {
				key[n] = rest[n] | 0x20
				n++
			}
			if known[string(key[:n])] {
				found++
			}
		}
	}
	return found
}

// indexSize is how many bytes of memory the index of the hashtags takes for each.
func indexSize(tags []string) (float64, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	index := bot.IndexTags(tags)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if !bot.NewSpotter().May(index, []byte(tags[0])) {
		return 0, errors.New("the index does not know its hashtags")
	}
	return float64(after.HeapAlloc-before.HeapAlloc) / float64(len(tags)), nil
}

// cpuTime is what the process has had of the CPU, so that a figure is that of one core
// whatever else runs on it.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return time.Duration(time.Now().UnixNano())
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// heard is what came of listening.
type heard struct {
	took   time.Duration
	hits   int
	allocs float64
}

// listen has the adapter for X hear the stream some times. What it hands over, the bot
// reads. Without follow the adapter does not know the hashtags and decodes each line.
func listen(ctx context.Context, tags []string, follow bool, stream []byte, rounds int) (h heard, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	source := &memory{stream: stream, left: rounds}
	n, err := x.New(x.Config{
		APIURL: "http://x.invalid", StreamURL: "http://x.invalid",
		ConsumerKey: "k", ConsumerSecret: "s", AccessToken: "t", AccessSecret: "u", BearerToken: "b",
		HTTP: &http.Client{Transport: source}, Hear: x.HearStream,
	})
	if err != nil {
		return heard{}, err
	}
	if follow {
		if err := n.Follow(ctx, tags); err != nil && !errors.As(err, new(*x.CatalogueError)) { // X has not that many rules
			return heard{}, err
		}
	}
	index := make(map[string]bool, len(tags))
	for _, tag := range tags {
		index[offers.TagKey(tag)] = true
	}
	offer := func(tag string) (offers.Offer, bool) { return offers.Offer{}, index[offers.TagKey(tag)] }
	var before, after runtime.MemStats
	runtime.GC()
	source.began = func() {
		runtime.ReadMemStats(&before)
		h.took = cpuTime()
	}
	err = n.Listen(ctx, "", func(_ context.Context, p bot.Post) error {
		if bot.Read(p, hearSelf, offer).Kind == bot.WantsOffer {
			h.hits++
		}
		if p.Text == lastText {
			h.took = cpuTime() - h.took
			runtime.ReadMemStats(&after)
			cancel()
		}
		return nil
	})
	h.allocs = float64(after.Mallocs - before.Mallocs)
	return h, err
}

// lastText ends a stream. It speaks to the bot, so that it is always heard.
const lastText = "@HatShop that was all"

// memory plays X: a stream from memory, and no more of the rest than it takes.
type memory struct {
	stream []byte
	left   int // rounds
	rest   []byte
	began  func()
	ended  bool
}

// RoundTrip implements [http.RoundTripper].
func (m *memory) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := func(body io.Reader) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: io.NopCloser(body)}, nil
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/users/me"):
		return answer(strings.NewReader(`{"data":{"id":"` + hearSelf + `","name":"Hat Shop","username":"HatShop"}}`))
	case strings.HasSuffix(r.URL.Path, "/search/stream"):
		if m.ended {
			return nil, errors.New("the stream is over")
		}
		m.began()
		return answer(m)
	}
	return answer(strings.NewReader(`{"data":[],"meta":{"result_count":0}}`))
}

// Read implements [io.Reader].
func (m *memory) Read(p []byte) (int, error) {
	if len(m.rest) == 0 {
		switch {
		case m.left > 0:
			m.rest = m.stream
			m.left--
		case !m.ended:
			m.ended = true
			m.rest = []byte(`{"data":{"author_id":"783214","edit_history_tweet_ids":["1"],"id":"1","text":"` + lastText + `"}}` + "\r\n")
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

// recorded writes posts as X's filtered stream does, with the fields that hashtill asks
// for: one in ten quotes another and two answer one, with that beside them; one in seven
// is Japanese, one in four has lines; there are up to three hashtags in each, and one of
// the catalogue's in one post of a thousand.
func recorded(n int, tags []string) (stream []byte, planted int) {
	r := rand.New(rand.NewPCG(1, uint64(len(tags))))
	var b bytes.Buffer
	write := json.NewEncoder(&b)
	write.SetEscapeHTML(false) // X does not
	for i := range n {
		id := fmt.Sprint(1_990_000_000_000_000_000 + r.Int64N(1e15))
		hit := ""
		if i%hitEvery == hitEvery/2 {
			hit = tags[r.IntN(len(tags))]
			planted++
		}
		p := newPost(r, id, hit)
		users := []any{userOf(r, p["author_id"].(string))}
		includes := map[string]any{}
		switch kind := r.IntN(10); {
		case hit != "" || kind > 2:
		default:
			other := newPost(r, fmt.Sprint(1_980_000_000_000_000_000+r.Int64N(1e15)), "")
			ref := "replied_to"
			if kind == 0 {
				ref = "quoted"
			} else {
				p["in_reply_to_user_id"] = other["author_id"]
			}
			p["referenced_tweets"] = []any{map[string]any{"type": ref, "id": other["id"]}}
			includes["tweets"] = []any{other}
			users = append(users, userOf(r, other["author_id"].(string)))
		}
		includes["users"] = users
		write.Encode(map[string]any{"data": p, "includes": includes,
			"matching_rules": []any{map[string]any{"id": fmt.Sprint(1_900_000_000_000_000_000 + r.Int64N(1e15)), "tag": "hashtill:" + hearSelf}}})
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("\n"), []byte("\r\n")), planted
}

func userOf(r *rand.Rand, id string) map[string]any {
	return map[string]any{"id": id, "name": []string{"Ann Example", "ベン", "🎈 Chris"}[r.IntN(3)], "username": fmt.Sprintf("someone%d", r.IntN(1e6)), "protected": false}
}

// newPost is one post, with a hashtag or some that nobody follows.
func newPost(r *rand.Rand, id, hit string) map[string]any {
	words, mark, lang := strings.Fields("the weather is so nice today that nobody wants to stay at home and work https://t.co/abcdefghij but what do I know"), " ", "en"
	if r.IntN(7) == 0 {
		words, mark, lang = strings.Fields("今日は とても いい天気 なので！ 誰も 家に いたく ない（笑） そう 思い ませんか？ 明日も 晴れ だと いい ですね"), "", "ja"
	}
	var text strings.Builder
	var hashtags, mentions, urls []any
	if r.IntN(4) == 0 {
		name := fmt.Sprintf("someone%d", r.IntN(1e6))
		text.WriteString("@" + name + " ")
		mentions = append(mentions, map[string]any{"start": 0, "end": len(name) + 1, "username": name, "id": fmt.Sprint(1 + r.Int64N(1e18))})
	}
	for range 12 + r.IntN(14) {
		text.WriteString(words[r.IntN(len(words))] + mark)
	}
	if r.IntN(4) == 0 {
		text.WriteString("\n\n")
	}
	names := make([]string, r.IntN(4))
	for i := range names {
		names[i] = fmt.Sprintf("%s%d", thing(r.IntN(1e6)), r.IntN(100))
		if lang == "ja" && r.IntN(2) == 0 {
			names[i] = words[r.IntN(3)] + "部"
		}
	}
	if hit != "" {
		names = []string{hit}
	}
	for _, name := range names {
		at := text.Len()
		text.WriteString(" #" + name)
		hashtags = append(hashtags, map[string]any{"start": at, "end": text.Len(), "tag": name})
	}
	if r.IntN(3) == 0 {
		at := text.Len()
		text.WriteString(" https://t.co/abcdefghij")
		urls = append(urls, map[string]any{"start": at, "end": text.Len(), "url": "https://t.co/abcdefghij",
			"expanded_url": "https://example.org/a/page/with/a/longer/name", "display_url": "example.org/a/page/with/a…"})
	}
	p := map[string]any{"id": id, "text": text.String(), "author_id": fmt.Sprint(1 + r.Int64N(1e18)), "created_at": "2026-11-20T10:00:02.000Z",
		"lang": lang, "edit_history_tweet_ids": []any{id}}
	entities := map[string]any{}
	for name, list := range map[string][]any{"hashtags": hashtags, "mentions": mentions, "urls": urls} {
		if len(list) > 0 {
			entities[name] = list
		}
	}
	if len(entities) > 0 {
		p["entities"] = entities
	}
	return p
}

// thing is a word for a number.
func thing(n int) string {
	parts := []string{"Hat", "Tee", "Mug", "Sock", "Scarf", "Badge", "Poster", "Ticket", "Record", "Candle"}
	return parts[n%10] + parts[n/10%10]
}
