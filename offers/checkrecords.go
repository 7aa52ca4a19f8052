package offers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"hashtill/store"
)

// readRecords looks at all records of the shard, a page at a time; what they name
// in other shards is read page by page too.
func (c *shardCheck) readRecords(ctx context.Context) error {
	for cursor := ""; ; {
		recs, next, err := c.shop.store.Scan(ctx, c.shard, "", cursor, scanPage)
		if err != nil {
			return err
		}
		filed, owned, needed := elsewhere{}, elsewhere{}, elsewhere{}
		for _, r := range recs {
			c.record(r, filed, owned, needed)
		}
		if err := c.checkNeeded(ctx, needed); err != nil {
			return err
		}
		if err := c.checkFiled(ctx, filed); err != nil {
			return err
		}
		if err := c.checkOwned(ctx, owned); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}

// elsewhere are the records in other shards that records of this one name.
type elsewhere map[int][]named

// named is the key of a record, and that of the one that names it.
type named struct{ key, by string }

func (e elsewhere) add(shard int, key, by string) { e[shard] = append(e[shard], named{key, by}) }

// record looks at one record.
func (c *shardCheck) record(r store.Record, filed, owned, needed elsewhere) {
	unreadable := func(what string, err error) {
		c.finds(Unreadable, r.Key, "this %s cannot be read: %v", what, err)
	}
	prefix, name, _ := strings.Cut(r.Key, "/")
	switch prefix {
	case "purchase":
		c.purchase(r, filed, needed)
	case "offer":
		if !c.placed(r.Key, store.ShardOf(name)) {
			return
		}
		if o, err := readOffer(r); err != nil {
			unreadable("offer", err)
		} else if o.ID != name {
			unreadable("offer", errOtherName)
		}
	case "buyer":
		if !c.placed(r.Key, shardOfAccount(name)) {
			return
		}
		if b, err := readBuyer(r); err != nil {
			unreadable("buyer", err)
		} else if b.Account.String() != name {
			unreadable("buyer", errOtherName)
		}
	case "code":
		code, ok := ParseCode(name)
		if !ok || string(code) != name {
			c.finds(Unreadable, r.Key, "this is no code")
		} else if c.placed(r.Key, code.Shard()) {
			c.codes[code] = ID(r.Value)
		}
	case "own":
		i := strings.LastIndexByte(name, '/')
		id, ok := ParseID(name[i+1:])
		if !ok || i < 1 {
			c.finds(Unreadable, r.Key, "this names no account and purchase")
		} else if c.placed(r.Key, shardOfAccount(name[:i])) {
			owned.add(id.Shard(), purchaseKey(id), r.Key)
		}
	case "counted":
		c.countedRecord(r, name)
	case "erased":
		if id, ok := ParseID(name); !ok {
			c.finds(Unreadable, r.Key, "this names no purchase")
		} else {
			c.placed(r.Key, id.Shard())
		}
	case "signup":
		if !c.placed(r.Key, shardOfAccount(name)) {
			return
		}
		if u, err := readSignup(r, Account{}); err != nil {
			unreadable("sign-up", err)
		} else if u.Account.String() != name {
			unreadable("sign-up", errOtherName)
		}
	case "session":
		if se, err := readSession(r); err != nil {
			unreadable("session", err)
		} else {
			c.placed(r.Key, se.Account.Shard())
		}
	case "merchant":
		if !c.placed(r.Key, store.ShardOf(r.Key)) {
			return
		}
		if m, err := readMerchant(r); err != nil {
			unreadable("merchant", err)
		} else if m.ID != name {
			unreadable("merchant", errOtherName)
		}
	case "staff":
		if !c.placed(r.Key, store.ShardOf(r.Key)) {
			return
		}
		if p, err := readPerson(r); err != nil {
			unreadable("person", err)
		} else if staffKey(p.Email) != r.Key {
			unreadable("person", errOtherName)
		}
	case "machine", "shift":
		c.placed(r.Key, store.ShardOf(r.Key))
	case "deed":
		merchant, _, _ := strings.Cut(name, "/")
		c.placed(r.Key, shardOfMerchant(merchant))
	case "order", "line":
		id, ok := ParseID(name[strings.LastIndexByte(name, '/')+1:])
		if !ok {
			c.finds(Unreadable, r.Key, "this names no purchase")
		} else if c.placed(r.Key, id.Shard()) {
			c.listed[r.Key] = id
		}
	case "open":
		c.codePostRecord(r, name)
	case "announced":
		c.announcedRecord(r)
	case "proofs":
		c.placed(r.Key, store.ShardOf(r.Key))
	case "aside":
		c.placed(r.Key, store.ShardOf(name))
	case "answer", "event", "store", "held", "cursor", "doctor", haltKey:
	default:
		c.finds(Unknown, r.Key, "nobody knows this record")
	}
}

// countedRecord looks at a purchase that counts against its buyer's limits. That the
// purchase is there is not needed: one that was sold may leave before its month is over.
func (c *shardCheck) countedRecord(r store.Record, name string) {
	i := strings.LastIndexByte(name, '/')
	id, ok := ParseID(name[i+1:])
	if !ok || i < 1 {
		c.finds(Unreadable, r.Key, "this names no account and purchase")
		return
	}
	account := name[:i]
	if !c.placed(r.Key, shardOfAccount(account)) {
		return
	}
	n, err := readCounted(r.Value)
	if err != nil {
		c.finds(Unreadable, r.Key, "this cannot be read, and what is spent in its shard cannot be checked before it is put right: %v", err)
		c.blindSpent = true
		return
	}
	network, number, _ := strings.Cut(account, ":")
	whose := Account{network, number}
	day, month := n.keys(whose)
	c.sums[day] += n.Total.Minor
	c.sums[month] += n.Total.Minor
	if !c.forgets[spentEffect{whose, id, n.month()}.id()] {
		c.finds(Stuck, r.Key, "nobody forgets this when its month is over: it stays for ever")
	}
}

// accountOfSpent is the account of a count of what is spent: "ACCOUNT/USD/2026-11".
func accountOfSpent(name string) (string, bool) {
	for range 2 {
		i := strings.LastIndexByte(name, '/')
		if i < 1 {
			return "", false
		}
		name = name[:i]
	}
	return name, true
}

// shardOfAccount is where what belongs to an account lives, by its string.
func shardOfAccount(account string) int { return store.ShardOf("account/" + account) }

// purchase looks at a purchase, notes what it holds, has it looked for among its
// buyer's, and has looked for what it needs to go on.
func (c *shardCheck) purchase(r store.Record, filed, needed elsewhere) {
	id, ok := ParseID(strings.TrimPrefix(r.Key, "purchase/"))
	if !ok {
		c.finds(Unreadable, r.Key, "this is no purchase's id")
		return
	}
	if !c.placed(r.Key, id.Shard()) {
		return
	}
	p, err := readPurchase(r)
	switch {
	case err != nil:
	case p.ID != id:
		err = errOtherName
	case !slices.Contains(States[1:], p.State):
		err = fmt.Errorf("there is no state %q", p.State)
	case store.ShardOf(p.Offer) != id.Shard():
		err = fmt.Errorf("offer %s belongs to another shard", p.Offer)
	}
	if err != nil {
		c.finds(Unreadable, r.Key, "this purchase cannot be read, and the counts of its shard cannot be checked before it is put right: %v", err)
		c.purchases[id], c.blind = unreadCode, true
		return
	}
	c.purchases[id] = p.Code
	if held := int64(p.Held); held != 0 {
		c.sums[takenKey(p.Offer, p.Variant)] += held
		c.sums[boughtKey(p.Offer, p.Buyer)] += held
	}
	if p.State == Waiting {
		c.sums[waitingKey(p.Offer, p.Variant)]++
		c.sums[waitsKey(p.Offer, p.Buyer)] += int64(p.Quantity)
		c.lists[lineKey(p)] = true
	}
	if !p.PaidAt.IsZero() {
		c.lists[orderKey(p)] = true
	}
	if why := p.miscounted(); why != "" {
		c.finds(Overpaid, r.Key, "this purchase is %s, but %s: see its payment in Stripe's dashboard", p.State, why)
	}
	if why := c.waitsFor(p); why != "" {
		c.finds(Stuck, r.Key, "this purchase is %s, but %s", p.State, why)
	}
	if !p.State.Ended() {
		needed.add(c.shard, offerKey(p.Offer), r.Key)
		if p.Registered {
			needed.add(p.Buyer.Shard(), buyerKey(p.Buyer), r.Key)
		}
	}
	// One that is about to leave the store is taken from its buyer's list first.
	leaves := p.State.Ended() && !p.Deadline().IsZero() && !c.shop.Now().Before(p.Deadline())
	if _, filing := c.owed[Effect{Kind: File, Purchase: id}.ID()]; !filing && !leaves {
		filed.add(p.Buyer.Shard(), ownKey(p.Buyer, id), r.Key)
	}
}

// waitsFor says what the purchase waits for that is not owed, or "".
func (c *shardCheck) waitsFor(p Purchase) string {
	owes := func(e Effect) bool {
		e.Purchase = p.ID
		_, owed := c.owed[e.ID()]
		return owed
	}
	switch {
	case !p.Deadline().IsZero() && !owes(deadline(p)):
		return "nobody looks after its deadline: it stays so for ever"
	case p.State == Confirmed && c.shop.Now().Before(p.Deadline()) && !owes(Effect{Kind: Charge, N: p.Attempt}):
		return "its charge is not owed: the buyer has pressed and nothing happens"
	case p.State.Ended() && p.State != Paid && p.Held > 0 && !owes(Effect{Kind: Void}) && !owes(Effect{Kind: Prepare}):
		return "nobody cancels its payment: its units never come back"
	}
	for _, r := range p.Refunds {
		if r.MadeAt.IsZero() && !owes(Effect{Kind: Refunding, N: r.N}) {
			return "its refund is decided and not owed: the buyer never gets it"
		}
	}
	return ""
}

// getChunk is how many records are asked for at once.
const getChunk = 100

// look reads the keys and shows each record with the key of the one that names it.
func (c *shardCheck) look(ctx context.Context, at elsewhere, see func(r store.Record, by string)) error {
	for shard, all := range at {
		for some := range slices.Chunk(all, getChunk) {
			keys := make([]string, len(some))
			for i, n := range some {
				keys[i] = n.key
			}
			recs, err := c.shop.store.Get(ctx, shard, keys...)
			if err != nil {
				return err
			}
			for i, r := range recs {
				see(r, some[i].by)
			}
		}
	}
	return nil
}

// checkFiled: the purchases stand among their buyers' own.
func (c *shardCheck) checkFiled(ctx context.Context, filed elsewhere) error {
	return c.look(ctx, filed, func(r store.Record, by string) {
		if r.Version == 0 {
			c.finds(Unfiled, by, "%s is missing: the buyer's commands pass this purchase by", r.Key)
		}
	})
}

// checkNeeded: what a purchase that is under way needs is there.
func (c *shardCheck) checkNeeded(ctx context.Context, needed elsewhere) error {
	return c.look(ctx, needed, func(r store.Record, by string) {
		if r.Version == 0 {
			c.finds(Stuck, by, "this purchase is under way, but %s is missing", r.Key)
		}
	})
}

// checkOwned: what stands among an account's own is a purchase of that account.
func (c *shardCheck) checkOwned(ctx context.Context, owned elsewhere) error {
	return c.look(ctx, owned, func(r store.Record, by string) {
		if r.Version == 0 {
			c.finds(Orphan, by, "this names %s, which is not there", r.Key)
			return
		}
		if p, err := readPurchase(r); err == nil && ownKey(p.Buyer, p.ID) != by {
			c.finds(Orphan, by, "this names %s, which is another account's", r.Key)
		}
	})
}
