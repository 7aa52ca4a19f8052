package x

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"hashtill/bot"
)

// rulebook plays X's rules, and notes which hashtags were without a rule.
type rulebook struct {
	t      *testing.T
	rules  []rule
	lastID int
	noURLs bool // url: is refused
	posts  int  // requests that changed something
	needed []string
	gaps   []string // of needed, those without a rule after some request
}

func (b *rulebook) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case r.URL.Path == "/2/users/me":
		return respond(r, 200, me)
	case r.URL.Path != rulesPath:
		b.t.Errorf("unexpected request %s", r.URL)
	case r.Header.Get("Authorization") != "Bearer b":
		b.t.Errorf("signed in by %q", r.Header.Get("Authorization"))
	case r.Method == http.MethodGet:
		body, _ := json.Marshal(map[string]any{"data": b.rules})
		return respond(r, 200, string(body))
	}
	b.posts++
	var change struct {
		Add    []rule
		Delete struct{ IDs []string }
	}
	body, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(body, &change); err != nil {
		b.t.Error(err)
	}
	for _, r := range change.Add {
		if utf8.RuneCountInString(r.Value) > maxRule {
			b.t.Errorf("a rule of %d characters", utf8.RuneCountInString(r.Value))
		}
		if slices.ContainsFunc(b.rules, func(o rule) bool { return o.Value == r.Value }) {
			b.t.Errorf("rule %q is there already", r.Value)
		}
		b.lastID++
		r.ID = strconv.Itoa(b.lastID)
		b.rules = append(b.rules, r)
	}
	if b.noURLs && strings.Contains(string(body), "url:") {
		b.rules = b.rules[:len(b.rules)-1]
		return respond(r, 200, `{"errors":[{"title":"UnprocessableEntity","details":["Reference to invalid operator 'url'"]}]}`)
	}
	b.rules = slices.DeleteFunc(b.rules, func(r rule) bool { return slices.Contains(change.Delete.IDs, r.ID) })
	if len(b.rules) > maxRules {
		b.t.Errorf("%d rules", len(b.rules))
	}
	held := b.held()
	for _, tag := range b.needed {
		if !held[tag] {
			b.gaps = append(b.gaps, tag)
		}
	}
	return respond(r, 200, `{}`)
}

// held are the hashtags that have a rule.
func (b *rulebook) held() map[string]bool {
	held := make(map[string]bool)
	for _, r := range b.rules {
		for word := range strings.FieldsSeq(r.Value) {
			if tag, ok := strings.CutPrefix(strings.Trim(word, "()"), "#"); ok {
				held[tag] = true
			}
		}
	}
	return held
}

func (b *rulebook) network() *Network { return newNetwork(b.t, b.RoundTrip) }

var ours = ruleBook{meID, "HatShop"}

func TestFollow(t *testing.T) {
	b := &rulebook{t: t, rules: []rule{
		{ID: "a", Value: "cats", Tag: "somebody's"},
		{ID: "b", Value: "(#old OR #buyhat) -is:retweet -from:HatShop", Tag: ours.mark()},
		{ID: "c", Value: "dogs", Tag: "hashtill:1"}, // of another bot of the same app
		{ID: "d", Value: "#untagged"},
	}, lastID: 10, needed: []string{"buyhat"}}
	n := b.network()
	if err := n.Follow(t.Context(), []string{"BuyHat", "buyhat", "シャツ", "Cre\u0300me"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range b.rules {
		got = append(got, r.Value+" | "+r.Tag)
	}
	want := []string{
		"cats | somebody's", "dogs | hashtill:1", "#untagged | ",
		"(@HatShop OR to:HatShop) -is:retweet -from:HatShop | hashtill:2244994945",
		"retweets_of:HatShop | hashtill:2244994945",
		"(#buyhat OR #crème OR #シャツ) -is:retweet -from:HatShop | hashtill:2244994945",
		`(url:"x.com/HatShop/status" OR url:"twitter.com/HatShop/status") -is:retweet -from:HatShop | hashtill:2244994945`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("rules\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(b.gaps) > 0 {
		t.Errorf("unheard meanwhile: %q", b.gaps)
	}
	posts := b.posts
	if err := n.Follow(t.Context(), []string{"シャツ", "BUYHAT", "crème"}); err != nil || b.posts != posts {
		t.Errorf("the same again: %v, %d requests", err, b.posts-posts)
	}
	for _, bad := range []string{"", "a b", "1", "#a", "a OR b", `"`, "a#b"} {
		if err := n.Follow(t.Context(), []string{bad}); err == nil {
			t.Errorf("%q is followed", bad)
		}
	}
	if b.posts != posts {
		t.Error("what is no hashtag has changed the rules")
	}
}

// TestFollowWithoutURLs: where X does not take the rule about quotes, the rest is
// followed all the same, and the rule is not tried again.
func TestFollowWithoutURLs(t *testing.T) {
	b := &rulebook{t: t, noURLs: true}
	n := b.network()
	for range 2 {
		if err := n.Follow(t.Context(), []string{"BuyHat"}); err != nil {
			t.Fatal(err)
		}
	}
	if !b.held()["buyhat"] || len(b.rules) != 3 || b.posts != 2 {
		t.Errorf("%d rules after %d requests: %v", len(b.rules), b.posts, b.rules)
	}
}

// TestFollowLife changes a large catalogue over and over, and holds Follow to
// leaving no hashtag unheard, before, meanwhile and after.
func TestFollowLife(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	b := &rulebook{t: t}
	n := b.network()
	var tags []string
	for round := range 40 {
		before := tags
		tags = slices.DeleteFunc(slices.Clone(tags), func(string) bool { return random.IntN(10) == 0 })
		for range random.IntN(400) {
			tags = append(tags, fmt.Sprintf("buy%x", random.Uint64()>>random.IntN(60)))
		}
		slices.Sort(tags)
		tags = slices.Compact(tags)
		b.needed = slices.DeleteFunc(slices.Clone(before), func(tag string) bool { return !slices.Contains(tags, tag) })
		if err := n.Follow(t.Context(), tags); err != nil {
			t.Fatal(err)
		}
		if len(b.gaps) > 0 {
			t.Fatalf("round %d: unheard meanwhile: %q", round, b.gaps)
		}
		held := 0
		for _, r := range b.rules {
			for _, tag := range ours.unpack(r.Value) {
				if held++; !slices.Contains(tags, tag) {
					t.Fatalf("round %d: %q is followed", round, tag)
				}
			}
		}
		if held < len(tags) {
			t.Fatalf("round %d: %d of %d hashtags are followed", round, held, len(tags))
		}
	}
}

// TestFollowMany fills the rules to their last, beside others' rules.
func TestFollowMany(t *testing.T) {
	b := &rulebook{t: t}
	for i := range 400 {
		b.rules = append(b.rules, rule{ID: fmt.Sprint("f", i), Value: fmt.Sprint("cats", i)})
	}
	n := b.network()
	many := func(from, to int) (tags []string) {
		for i := from; i < to; i++ {
			tags = append(tags, fmt.Sprintf("thisisaverylonghashtag%06d", i))
		}
		return tags
	}
	// 28 characters, # and " OR ": 30 in a rule.
	if err := n.Follow(t.Context(), many(0, 15000)); err != nil {
		t.Fatal(err)
	}
	if err := n.Follow(t.Context(), many(5000, 17000)); err != nil {
		t.Fatal(err)
	}
	held := b.held()
	for _, tag := range many(5000, 17000) {
		if !held[tag] {
			t.Fatalf("%s is not followed", tag)
		}
	}
	before := slices.Clone(b.rules)
	err := n.Follow(t.Context(), many(0, 25000))
	if full := new(CatalogueError); !errors.As(err, &full) || full.Tags != 25000 || full.Limit != 597 || full.Rules <= full.Limit {
		t.Errorf("25,000 hashtags: %v", err)
	}
	if !slices.Equal(before, b.rules) {
		t.Error("a catalogue that does not fit has changed the rules")
	}
	if err := n.Follow(t.Context(), nil); err != nil || len(b.rules) != 403 {
		t.Errorf("%d rules are left, %v", len(b.rules), err)
	}
}

// TestFollowTooManyAtFirst leaves what is said to the bot heard where the catalogue never
// fitted, and says so.
func TestFollowTooManyAtFirst(t *testing.T) {
	b := &rulebook{t: t}
	for i := range maxRules - 2 {
		b.rules = append(b.rules, rule{ID: fmt.Sprint("f", i), Value: fmt.Sprint("cats", i)})
	}
	n := b.network()
	for range 2 {
		err := n.Follow(t.Context(), []string{"BuyHat"})
		if full := new(CatalogueError); !errors.As(err, &full) || !strings.Contains(err.Error(), "heard where it is said to the bot") {
			t.Errorf("Follow: %v", err)
		}
		for _, value := range ours.always() {
			if !slices.ContainsFunc(b.rules, func(r rule) bool { return r.Value == value && r.Tag == ours.mark() }) {
				t.Errorf("no rule %s", value)
			}
		}
	}
}

// TestFollowFarTooMany is told of a catalogue that is too large by far without having it all
// in memory again and again.
func TestFollowFarTooMany(t *testing.T) {
	var tags []string
	for i := range 100_000 {
		tags = append(tags, fmt.Sprintf("thisisaverylonghashtag%06d", i))
	}
	b := &rulebook{t: t, rules: []rule{{ID: "f", Value: "cats"}}}
	err := b.network().Follow(t.Context(), tags)
	if full := new(CatalogueError); !errors.As(err, &full) || full.Tags != len(tags) || full.Rules != len(ours.pack(tags)) || full.Limit != maxRules-4 {
		t.Errorf("100,000 hashtags: %v", err)
	}
	if len(b.rules) != 1+len(ours.always()) {
		t.Errorf("rules %v", b.rules)
	}
	if n := testing.AllocsPerRun(1, func() { _, err = ours.plan(b.rules, tags) }); err == nil || n > 100 {
		t.Errorf("%v after %v allocations", err, n)
	}
	fits := tags[:len(ours.share(tags)[0])*(maxRules-4)]
	if err := b.network().Follow(t.Context(), fits); err != nil || len(b.held()) != len(fits) {
		t.Errorf("%d hashtags, as many as there are rules for: %v, %d are followed", len(fits), err, len(b.held()))
	}
}

// TestPlain holds what is taken for a hashtag at a glance to what is one.
func TestPlain(t *testing.T) {
	for _, tag := range []string{"BuyHat", "a", "Z9", "9z", "a_b", "_a", "1", "", "a b", "a#b", "@a", "a[", "a\x60", "a{", "ä", "a.b", "a/b", "http", "a\x00"} {
		found := bot.Tags("#" + tag)
		if is := len(found) == 1 && found[0] == tag; isPlain(tag) && !is {
			t.Errorf("%q is plain, and no hashtag", tag)
		}
	}
	if !isPlain("BuyHat2026") {
		t.Error("#BuyHat2026 is not plain")
	}
}

// TestFollowScattered packs anew what lies scattered over too many rules, and
// leaves alone what is as it should be.
func TestFollowScattered(t *testing.T) {
	var tags []string
	for i := range 3000 {
		tags = append(tags, fmt.Sprintf("thisisaverylonghashtag%06d", i))
	}
	packed := ours.pack(tags)
	b := &rulebook{t: t, needed: ours.unpack(packed[0])}
	for i, value := range append(packed[:1:1], ours.always()...) {
		b.rules = append(b.rules, rule{ID: fmt.Sprint("p", i), Value: value, Tag: ours.mark()})
	}
	for i := range maxRules - len(b.rules) {
		b.rules = append(b.rules, rule{ID: fmt.Sprint("s", i), Value: ours.pack(tags[2000+i:][:1])[0], Tag: ours.mark()})
	}
	if err := b.network().Follow(t.Context(), tags); err != nil {
		t.Fatal(err)
	}
	if want := len(packed) + 3; len(b.rules) != want || len(b.held()) != len(tags) || len(b.gaps) > 0 {
		t.Errorf("%d rules, want %d; %d hashtags; unheard meanwhile %d", len(b.rules), want, len(b.held()), len(b.gaps))
	}
}

func TestPackUnpack(t *testing.T) {
	var tags []string
	for i := range 500 {
		tags = append(tags, strings.Repeat("帽", i%40+1)+strconv.Itoa(i))
	}
	var back []string
	for _, value := range ours.pack(tags) {
		if n := utf8.RuneCountInString(value); n > maxRule {
			t.Errorf("a rule of %d characters", n)
		}
		back = append(back, ours.unpack(value)...)
	}
	if !slices.Equal(tags, back) {
		t.Errorf("packed %q, unpacked %q", tags, back)
	}
	for _, value := range append(ours.always(), ours.quotes(), "", "(#a) -is:retweet -from:Other", "#a") {
		if got := ours.unpack(value); got != nil {
			t.Errorf("%q holds %q", value, got)
		}
	}
}
