package offers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hashtill/store"
)

// A FindingKind is what is wrong.
type FindingKind string

const (
	Miscounted FindingKind = "miscounted" // a count is not the sum of what it counts
	Overpaid   FindingKind = "overpaid"   // the refunds of a purchase do not fit what was paid
	Stuck      FindingKind = "stuck"      // a purchase waits for an effect that is not owed
	Orphan     FindingKind = "orphan"     // it belongs to a purchase that is not there
	Unfiled    FindingKind = "unfiled"    // its buyer's purchases do not name it
	WrongCode  FindingKind = "wrong_code" // a code and its purchase do not name each other
	Misplaced  FindingKind = "misplaced"  // it is in a shard where nobody looks for it
	Unknown    FindingKind = "unknown"    // nobody knows what it is
	Unreadable FindingKind = "unreadable"
)

// A Finding is something in the store that should not be so.
type Finding struct {
	Kind  FindingKind `json:"kind"`
	Shard int         `json:"shard"`
	Key   string      `json:"key"`  // of the record, the count or the effect
	Text  string      `json:"text"` // what it means, for a person
}

// checkReads is how often a shard is read before a finding in it counts.
const checkReads = 4

// Check looks through the whole store for what should not be so, and shows it to
// found, shard by shard; progress, if it is not nil, is called after each shard.
// An error of found ends the check and is returned.
//
// It may run while others serve: a shard in which something was found is read
// again a few times, and only what was found every time counts. A count that is
// busy all the time is not judged then.
//
// It remembers a line or two for each purchase of a shard at a time.
func (s *Shop) Check(ctx context.Context, progress func(shard int), found func(Finding) error) error {
	for shard := range store.Shards {
		var still map[Finding]Finding
		for read := range checkReads {
			got, err := s.checkShard(ctx, shard)
			if err != nil {
				return fmt.Errorf("check shard %d: %w", shard, err)
			}
			if read > 0 {
				maps.DeleteFunc(got, func(f, _ Finding) bool { _, before := still[f]; return !before })
			}
			if still = got; len(still) == 0 {
				break
			}
		}
		all := slices.SortedFunc(maps.Values(still), func(a, b Finding) int {
			return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Kind, b.Kind))
		})
		for _, f := range all {
			if err := found(f); err != nil {
				return err
			}
		}
		if progress != nil {
			progress(shard)
		}
	}
	return nil
}

// A shardCheck is one reading of a shard.
type shardCheck struct {
	shop  *Shop
	shard int
	found map[Finding]Finding // by themselves without their text

	owed      map[string]ID    // of which purchase, by the effect's id
	forgets   map[string]bool  // the effects owed that forget what was spent
	purchases map[ID]Code      // those that are there
	codes     map[Code]ID      // the records of codes
	counts    map[string]int64 // as they were before the purchases were read
	sums      map[string]int64 // as the purchases have it
	blind     bool             // a purchase cannot be read, so that sums say nothing

	blindSpent bool // the same of what is spent

	listed map[string]ID   // what stands in lines and among orders
	lists  map[string]bool // what should stand there, as the purchases have it
}

func (s *Shop) checkShard(ctx context.Context, shard int) (map[Finding]Finding, error) {
	c := &shardCheck{
		shop: s, shard: shard, found: map[Finding]Finding{}, owed: map[string]ID{}, forgets: map[string]bool{}, purchases: map[ID]Code{},
		codes: map[Code]ID{}, counts: map[string]int64{}, sums: map[string]int64{},
		listed: map[string]ID{}, lists: map[string]bool{},
	}
	if err := c.shop.scanCounts(ctx, c.shard, "", func(n store.Count) { c.counts[n.Key] = n.N }); err != nil {
		return nil, err
	}
	if err := s.eachOwed(ctx, shard, func(o store.Owed) error { c.effect(o.Effect); return nil }); err != nil {
		return nil, err
	}
	if err := c.readRecords(ctx); err != nil {
		return nil, err
	}
	for id, purchase := range c.owed {
		if _, there := c.purchases[purchase]; !there {
			c.finds(Orphan, id, "this effect is owed for purchase %s, which is not there: it can never be done", purchase)
		}
	}
	c.checkCodes()
	c.checkLists()
	return c.found, c.checkCounts(ctx)
}

func (c *shardCheck) finds(kind FindingKind, key, format string, args ...any) {
	f := Finding{Kind: kind, Shard: c.shard, Key: key}
	named := f
	f.Text = fmt.Sprintf(format, args...)
	c.found[named] = f
}

// placed says whether what belongs to that shard is here, and finds it otherwise.
func (c *shardCheck) placed(key string, shard int) bool {
	if shard != c.shard {
		c.finds(Misplaced, key, "this belongs to shard %d: nobody looks for it here", shard)
	}
	return shard == c.shard
}

// effect looks at something that is owed.
func (c *shardCheck) effect(o store.Effect) {
	unreadable := func(err error) {
		c.finds(Unreadable, o.ID, "this effect cannot be read, so that it is never done: %v", err)
	}
	kind := EffectKind(o.Kind)
	switch {
	case o.Kind == forgetRecord:
		var body forgetEffect
		if err := json.Unmarshal(o.Body, &body); err != nil || o.ID != body.id() {
			unreadable(cmp.Or(err, errOtherName))
		}
	case o.Kind == forgetSpent:
		var body spentEffect
		if err := json.Unmarshal(o.Body, &body); err != nil || o.ID != body.id() {
			unreadable(cmp.Or(err, errOtherName))
		} else if c.placed(o.ID, body.Account.Shard()) {
			c.forgets[o.ID] = true
		}
	case slices.Contains([]string{replyAnswer, resumeWishes, cancelWishes, lookCard, dropCard, leaveAccount, forgetSignup}, o.Kind):
		if whose, ok := accountOf(o); !ok || whose == (Account{}) {
			unreadable(errors.New("it names no account"))
		} else {
			c.placed(o.ID, whose.Shard())
		}
	case o.Kind == announceOffer:
		c.announceEffect(o)
	case o.Kind == serveLine:
		var body lineEffect
		if err := json.Unmarshal(o.Body, &body); err != nil || o.ID != body.id() {
			unreadable(cmp.Or(err, errOtherName))
		} else {
			c.placed(o.ID, store.ShardOf(body.Offer))
		}
	case kind == Heed:
		var body heedEffect
		if err := json.Unmarshal(o.Body, &body); err != nil || o.ID != body.id() {
			unreadable(cmp.Or(err, errOtherName))
		} else if id, ok := ParseID(string(body.Purchase)); !ok {
			unreadable(errors.New("it names no purchase"))
		} else {
			c.placed(o.ID, id.Shard()) // where the purchase has gone, it settles itself
		}
	case slices.Contains(EffectKinds, kind):
		e := Effect{Kind: kind}
		if err := json.Unmarshal(o.Body, &e); err != nil || e.ID() != o.ID {
			unreadable(cmp.Or(err, errOtherName))
		} else if id, ok := ParseID(string(e.Purchase)); !ok {
			unreadable(errors.New("it names no purchase"))
		} else if c.placed(o.ID, id.Shard()) {
			c.owed[o.ID] = id
		}
	default:
		c.finds(Unknown, o.ID, "nobody performs effects of the kind %q", o.Kind)
	}
}

// errOtherName: a value that says it stands elsewhere.
var errOtherName = errors.New("it says that it is another one")

// checkCodes holds the records of codes to the purchases.
func (c *shardCheck) checkCodes() {
	for code, id := range c.codes {
		if whose, there := c.purchases[id]; !there {
			c.finds(Orphan, codeKey(code), "this code belongs to purchase %s, which is not there", id)
		} else if whose != code && whose != unreadCode {
			c.finds(WrongCode, codeKey(code), "this code leads to purchase %s, which has another", id)
		}
	}
	for id, code := range c.purchases {
		if code != "" && code != unreadCode && c.codes[code] != id {
			c.finds(WrongCode, codeKey(code), "this code of purchase %s does not lead there: whoever reposts it is told that it is unknown, or another's", id)
		}
	}
}

// checkLists holds lines and orders to the purchases. A purchase that was paid before
// there were orders stands in none.
func (c *shardCheck) checkLists() {
	for key, id := range c.listed {
		if !c.lists[key] && !c.blind {
			c.finds(Orphan, key, "this names purchase %s, which is not there or not so", id)
		}
	}
	for key := range c.lists {
		if _, there := c.listed[key]; !there && strings.HasPrefix(key, "line/") {
			c.finds(Stuck, key, "this purchase waits, and does not stand in the line: its turn never comes")
		}
	}
}

// unreadCode stands for the code of a purchase that cannot be read.
const unreadCode Code = "?"

// checkCounts holds the counts to the sums. It reads them again: where a count has
// changed since it was read before the purchases, nothing can be said.
func (c *shardCheck) checkCounts(ctx context.Context) error {
	for key, n := range c.counts {
		of, ok := strings.CutPrefix(key, "sold/")
		if offer, _, _ := strings.Cut(of, "/"); ok && store.ShardOf(offer) == c.shard {
			c.sums["taken/"+of] += n
		}
	}
	now := map[string]int64{}
	if err := c.shop.scanCounts(ctx, c.shard, "", func(n store.Count) { now[n.Key] = n.N }); err != nil {
		return err
	}
	keys := slices.AppendSeq(slices.Collect(maps.Keys(now)), maps.Keys(c.sums))
	for _, key := range keys {
		prefix, of, _ := strings.Cut(key, "/")
		offer, rest, _ := strings.Cut(of, "/")
		switch prefix {
		case "taken", "bought", "sold":
			if !c.placed(key, store.ShardOf(offer)) || c.blind || prefix == "sold" || now[key] != c.counts[key] || now[key] == c.sums[key] {
				continue
			}
			if prefix == "taken" {
				c.finds(Miscounted, key, "%d units of the offer count as out, but purchases hold and were sold %d: %s", now[key], c.sums[key],
					either(now[key] > c.sums[key], "the difference can never be sold", "more can be sold than there are"))
			} else {
				c.finds(Miscounted, key, "%d units count for account %s, but its purchases hold %d: %s", now[key], rest, c.sums[key],
					either(now[key] > c.sums[key], "it can buy less than it may", "it can buy more than it may, and its purchases cannot end"))
			}
		case "waiting":
			if c.placed(key, store.ShardOf(offer)) && !c.blind && now[key] == c.counts[key] && now[key] != c.sums[key] {
				c.finds(Miscounted, key, "%d purchases count as waiting, and %d wait: %s", now[key], c.sums[key],
					either(now[key] > c.sums[key], "who comes is sent to the end of a line that is not there", "who comes may overtake"))
			}
		case "waits":
			if c.placed(key, store.ShardOf(offer)) && !c.blind && now[key] == c.counts[key] && now[key] != c.sums[key] {
				c.finds(Miscounted, key, "%d units count as waited for by account %s, and %d are", now[key], rest, c.sums[key])
			}
		case "funnel", "earned":
			c.placed(key, store.ShardOf(offer))
		case "spent":
			account, ok := accountOfSpent(of)
			if !ok {
				c.finds(Unreadable, key, "this names no account, currency and period")
			} else if c.placed(key, shardOfAccount(account)) && !c.blindSpent && now[key] == c.counts[key] && now[key] != c.sums[key] {
				c.finds(Miscounted, key, "%d counts as spent, but the purchases that count come to %d: %s", now[key], c.sums[key],
					either(now[key] > c.sums[key], "the account can spend less than its limit", "it can spend more than its limit"))
			}
		case "offers", "store", "held", "cursor":
		default:
			c.finds(Unknown, key, "nobody knows this count")
		}
	}
	return nil
}

func either(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}
