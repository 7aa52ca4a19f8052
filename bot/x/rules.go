package x

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"hashtill/bot"
)

// What an account that pays per use may have
// (https://docs.x.com/x-api/posts/filtered-stream/introduction), and how many
// rules one request changes.
const (
	maxRules   = 1000
	maxRule    = 1024 // characters
	rulesBatch = 100
)

// A CatalogueError says that the hashtags do not fit the stream's rules.
type CatalogueError struct {
	Tags         int // to be followed
	Rules, Limit int // needed for them, and left for them
}

func (e *CatalogueError) Error() string {
	return fmt.Sprintf("x: %d hashtags need %d rules of the filtered stream, and %d are left: what does not fit is heard where it is said to the bot; follow fewer hashtags, have people mention the bot, or take a plan with more rules",
		e.Tags, e.Rules, e.Limit)
}

// rule is a rule as X keeps it.
type rule struct {
	ID    string `json:"id,omitempty"`
	Value string `json:"value"`
	Tag   string `json:"tag,omitempty"`
}

// ruleBook writes and reads the rules of one bot.
type ruleBook struct{ self, handle string }

// mark is the tag of the rules that are ours to delete.
func (b ruleBook) mark() string { return "hashtill:" + b.self }

// always are the rules that no catalogue changes.
func (b ruleBook) always() []string {
	h := b.handle
	return []string{
		"(@" + h + " OR to:" + h + ") -is:retweet -from:" + h,
		"retweets_of:" + h,
	}
}

// quotes is the rule that hears quotes of the bot's posts: a quote ends in a link
// to what it quotes.
func (b ruleBook) quotes() string {
	h := b.handle
	return fmt.Sprintf(`(url:"x.com/%s/status" OR url:"twitter.com/%s/status") -is:retweet -from:%s`, h, h, h)
}

const ruleStart, ruleOr = "(", " OR "

func (b ruleBook) end() string { return ") -is:retweet -from:" + b.handle }

// share deals hashtags out to rules, as many to each as it holds, in the order given.
func (b ruleBook) share(tags []string) (rules [][]string) {
	room := maxRule - len(ruleStart) - utf8.RuneCountInString(b.end())
	first, length := 0, 0
	for i, tag := range tags {
		n := 1 + utf8.RuneCountInString(tag)
		if length > 0 && length+len(ruleOr)+n > room {
			rules = append(rules, tags[first:i])
			first, length = i, 0
		}
		if length > 0 {
			length += len(ruleOr)
		}
		length += n
	}
	if first < len(tags) {
		rules = append(rules, tags[first:])
	}
	return rules
}

// pack writes the rules that share has dealt hashtags out to.
func (b ruleBook) pack(tags []string) (rules []string) {
	for _, some := range b.share(tags) {
		rules = append(rules, ruleStart+"#"+strings.Join(some, ruleOr+"#")+b.end())
	}
	return rules
}

// unpack reads the hashtags of a rule that pack wrote, nil for any other rule.
func (b ruleBook) unpack(value string) []string {
	body, ok := strings.CutPrefix(value, ruleStart+"#")
	if !ok {
		return nil
	}
	if body, ok = strings.CutSuffix(body, b.end()); !ok {
		return nil
	}
	return strings.Split(body, ruleOr+"#")
}

// plan is how to get from the rules at X to those that are wanted. As long as
// all new rules have room beside the old ones, no hashtag goes unheard meanwhile.
type plan struct {
	add    []string
	remove []rule
}

// plan keeps rules that hold nothing unwanted, and packs what they leave out.
// If that does not fit beside the rules that are not ours, everything is packed
// anew; if that does not fit either, it is a *CatalogueError. The tags are as cleanTags
// returns them.
func (b ruleBook) plan(have []rule, tags []string) (plan, error) {
	// What two rules in a row hold is too much for one. So where it is dealt out to more than
	// twice the rules that there are, no way of packing helps, and there is no need for sets
	// of it, which took 80 MB and 0.4 s for a million hashtags.
	if n := len(b.share(tags)); n > 2*maxRules {
		return plan{}, &CatalogueError{Tags: len(tags), Rules: n, Limit: b.room(have)}
	}
	wanted := make(map[string]bool)
	for _, tag := range tags {
		wanted[tag] = true
	}
	missing := make(map[string]bool)
	for tag := range wanted {
		missing[tag] = true
	}
	always := make(map[string]bool)
	for _, value := range b.always() {
		always[value] = true
	}
	var p plan
	kept := 0
	for _, r := range have {
		switch held := b.unpack(r.Value); {
		case r.Tag != b.mark(): // not ours
		case always[r.Value]:
			delete(always, r.Value)
		case r.Value == b.quotes():
		case len(held) > 0 && !slices.ContainsFunc(held, func(t string) bool { return !wanted[t] }) &&
			slices.ContainsFunc(held, func(t string) bool { return missing[t] }):
			kept++
			for _, t := range held {
				delete(missing, t)
			}
		default:
			p.remove = append(p.remove, r)
		}
	}
	room := b.room(have)
	p.add = b.pack(sorted(missing))
	if kept+len(p.add) > room {
		p.add = b.pack(sorted(wanted))
		if len(p.add) > room {
			return plan{}, &CatalogueError{Tags: len(wanted), Rules: len(p.add), Limit: room}
		}
		stays := slices.Concat(p.add, b.always(), []string{b.quotes()})
		p.remove = slices.DeleteFunc(slices.Clone(have), func(r rule) bool {
			return r.Tag != b.mark() || slices.Contains(stays, r.Value)
		})
		p.add = slices.DeleteFunc(p.add, func(value string) bool {
			return slices.ContainsFunc(have, func(r rule) bool { return r.Tag == b.mark() && r.Value == value })
		})
	}
	for _, value := range b.always() {
		if always[value] {
			p.add = slices.Insert(p.add, 0, value)
		}
	}
	return p, nil
}

// room is how many rules hashtags may have beside those that are not ours, those that no
// catalogue changes, and the one for quotes.
func (b ruleBook) room(have []rule) int {
	room := maxRules - len(b.always()) - 1
	for _, r := range have {
		if r.Tag != b.mark() {
			room--
		}
	}
	return room
}

func sorted(set map[string]bool) []string {
	var list []string
	for s := range set {
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}

// Follow implements [bot.Network] with the rules of the filtered stream
// (https://docs.x.com/x-api/stream/update-stream-rules). A catalogue that does not fit is
// a *CatalogueError. Then the hashtags that were followed before still are, and what is
// said to the bot is heard whatever its hashtags.
//
// The other sources hear hashtags only where they are said to the bot, so that there
// Follow has nothing to do.
func (n *Network) Follow(ctx context.Context, tags []string) error {
	if len(tags) > manyTags {
		defer debug.FreeOSMemory()
	}
	clean, err := cleanTags(tags)
	if err != nil {
		n.wanted.Store(nil) // the catalogue is not what it was
		return err
	}
	n.follow.Lock()
	defer n.follow.Unlock()
	n.wanted.Store(bot.IndexTags(tags)) // before X brings any, and whether or not it will
	if n.cfg.Hear != HearStream {
		if n.tags == nil {
			n.log.InfoContext(ctx, "hashtags are heard only where they are said to the bot", "source", n.cfg.Hear)
		}
		n.tags = []string{} // for them no rules are restored
		return nil
	}
	err = n.keepRules(ctx, clean)
	if tooMany := new(CatalogueError); errors.As(err, &tooMany) {
		err = errors.Join(err, n.keepAlways(ctx))
	}
	if err != nil {
		return fmt.Errorf("follow %d hashtags: %w", len(clean), spoken(err))
	}
	n.tags = clean
	return nil
}

// manyTags are so many that what Follow does with them takes memory that counts: three
// times what is kept of a million. It is given back at once, for nothing comes that needs it,
// and unasked the runtime keeps it for minutes.
const manyTags = 100_000

// cleanTags are tags in the one form in which rules hold them: X compares without
// regard to case, in Unicode's form C. They are sorted, and each is there once.
func cleanTags(tags []string) ([]string, error) {
	clean := make([]string, 0, len(tags))
	for _, tag := range tags {
		if isPlain(tag) { // as nearly all are in a large catalogue: a fifth of the time
			clean = append(clean, strings.ToLower(tag))
			continue
		}
		if found := bot.Tags("#" + tag); len(found) != 1 || found[0] != tag {
			return nil, fmt.Errorf("x: %q is no hashtag", tag)
		}
		clean = append(clean, norm.NFC.String(strings.ToLower(tag)))
	}
	slices.Sort(clean)
	return slices.Compact(clean), nil
}

// isPlain says of a text whether it is letters and digits of ASCII, a letter first, and so
// a hashtag.
func isPlain(tag string) bool {
	for i := range len(tag) {
		c := tag[i] | 0x20 // lower case, if it is a letter
		if (c < 'a' || c > 'z') && (i == 0 || tag[i] < '0' || tag[i] > '9') {
			return false
		}
	}
	return tag != ""
}

// restoreRules sets the rules that a stream was refused for lack of.
func (n *Network) restoreRules(ctx context.Context, refusal *apiError) error {
	n.follow.Lock()
	defer n.follow.Unlock()
	rules, err := n.getRules(ctx)
	if err != nil {
		return err
	}
	if len(rules) > 0 && n.tags == nil { // set meanwhile, or by another; not ours to change before Follow
		return refusal
	}
	if err := n.keepRules(ctx, n.tags); err != nil {
		return err
	}
	if len(rules) > 0 {
		return refusal
	}
	return errRules
}

// keepRules makes the rules at X those that tags need.
func (n *Network) keepRules(ctx context.Context, tags []string) error {
	self, handle, err := n.Self(ctx)
	if err != nil {
		return err
	}
	book := ruleBook{self, handle}
	have, err := n.getRules(ctx)
	if err != nil {
		return err
	}
	p, err := book.plan(have, tags)
	if err != nil {
		return err
	}
	if err := n.carryOut(ctx, book, p, len(have)); err != nil {
		return err
	}
	quoted := func(r rule) bool { return r.Value == book.quotes() }
	if !n.noURLs.Load() && !slices.ContainsFunc(have, quoted) {
		err := n.addRules(ctx, book, []string{book.quotes()})
		if e := new(ruleError); errors.As(err, &e) {
			n.log.WarnContext(ctx, "quotes of the bot's posts are asked for each minute where they hold neither a followed hashtag nor the bot's name", "err", err)
			n.noURLs.Store(true)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	if len(p.add)+len(p.remove) > 0 {
		n.log.InfoContext(ctx, "stream rules changed", "hashtags", len(tags), "added", len(p.add), "deleted", len(p.remove))
	}
	return nil
}

// keepAlways adds the rules that no catalogue changes, where they are not there.
func (n *Network) keepAlways(ctx context.Context) error {
	self, handle, err := n.Self(ctx)
	if err != nil {
		return err
	}
	book := ruleBook{self, handle}
	have, err := n.getRules(ctx)
	if err != nil {
		return err
	}
	p := plan{add: slices.DeleteFunc(book.always(), func(value string) bool {
		return slices.ContainsFunc(have, func(r rule) bool { return r.Tag == book.mark() && r.Value == value })
	})}
	return n.carryOut(ctx, book, p, len(have))
}

// carryOut performs a plan, with total rules at X now. Where there is no room for
// all new rules beside the old ones, it goes in turns.
func (n *Network) carryOut(ctx context.Context, book ruleBook, p plan, total int) error {
	for len(p.add)+len(p.remove) > 0 {
		room := min(maxRules-total, rulesBatch, len(p.add))
		if room > 0 {
			if err := n.addRules(ctx, book, p.add[:room]); err != nil {
				return err
			}
			p.add, total = p.add[room:], total+room
			continue
		}
		// All added, or no room: make some.
		batch := min(rulesBatch, len(p.remove))
		if batch == 0 {
			return fmt.Errorf("x: no room for %d rules of the filtered stream", len(p.add))
		}
		if err := n.deleteRules(ctx, p.remove[:batch]); err != nil {
			return err
		}
		p.remove, total = p.remove[batch:], total-batch
	}
	return nil
}

const rulesPath = "/2/tweets/search/stream/rules"

// getRules lists the rules at X (https://docs.x.com/x-api/stream/get-stream-rules).
func (n *Network) getRules(ctx context.Context) ([]rule, error) {
	var all []rule
	query := url.Values{}
	for range maxRules {
		var page struct {
			Data []rule
			Meta struct {
				Next string `json:"next_token"`
			}
		}
		if err := n.call(ctx, asApp, http.MethodGet, rulesPath, query, nil, &page); err != nil {
			return nil, err
		}
		if all = append(all, page.Data...); page.Meta.Next == "" {
			break
		}
		query.Set("pagination_token", page.Meta.Next)
	}
	return all, nil
}

// ruleError: X does not take a rule.
type ruleError struct{ problem problem }

func (e *ruleError) Error() string { return "x: rule refused: " + e.problem.String() }

func (n *Network) addRules(ctx context.Context, book ruleBook, values []string) error {
	add := make([]rule, len(values))
	for i, v := range values {
		add[i] = rule{Value: v, Tag: book.mark()}
	}
	var answer struct{ Errors []problem }
	err := n.call(ctx, asApp, http.MethodPost, rulesPath, nil, map[string]any{"add": add}, &answer)
	if e := new(apiError); errors.As(err, &e) && e.problem != nil && (e.status == http.StatusBadRequest || e.status == http.StatusUnprocessableEntity) {
		return &ruleError{*e.problem}
	}
	for _, p := range answer.Errors {
		if !strings.EqualFold(p.Title, "DuplicateRule") { // there already: as good
			return &ruleError{p}
		}
	}
	return err
}

func (n *Network) deleteRules(ctx context.Context, rules []rule) error {
	ids := make([]string, len(rules))
	for i, r := range rules {
		ids[i] = r.ID
	}
	// A rule that is gone already is as good as deleted, so errors within a
	// successful answer do not matter.
	return n.call(ctx, asApp, http.MethodPost, rulesPath, nil, map[string]any{"delete": map[string]any{"ids": ids}}, new(struct{}))
}
