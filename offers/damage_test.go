package offers

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"hashtill/store"
)

// damaged is a shop to which something is done by hand that no Shop does.
type damaged struct {
	*shop
	here, theirs, far int      // shards: of the offer, of account 1, and of neither
	confirmed         Purchase // its charge is owed
	coded, paid       Purchase
	ended             Purchase // its void is owed
	refunding         Purchase // its refund is owed
}

func newDamaged(t *testing.T) *damaged {
	s := newShop(t, tee(20, 10))
	s.register(1)
	d := &damaged{shop: s, here: store.ShardOf("buytee"), theirs: account(1).Shard()}
	for d.far == d.here || d.far == d.theirs {
		d.far++
	}
	d.paid, d.refunding = s.buy(1, "paid"), s.buy(1, "refunding")
	d.coded, d.ended, d.confirmed = s.wish(1, "coded"), s.wish(1, "ended"), s.wish(1, "confirmed")
	s.settle()
	for _, p := range []Purchase{d.ended, d.confirmed} {
		if err := s.echo(p, account(1)); err != nil {
			t.Fatal(err)
		}
	}
	s.settle()
	if _, err := s.Cancel(t.Context(), d.ended.ID, account(1), s.now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Press(t.Context(), d.confirmed.ID, 1, "", s.now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RefundPurchase(t.Context(), d.refunding.ID, Money{}, "", s.now); err != nil {
		t.Fatal(err)
	}
	if err := s.OweAnswer(t.Context(), Answer{Post: "9", Account: account(1), Word: "help"}); err != nil {
		t.Fatal(err)
	}
	s.clean()
	return d
}

func (d *damaged) load(shard int, rows store.Rows) {
	d.t.Helper()
	if err := d.st.Load(d.t.Context(), shard, rows); err != nil {
		d.t.Fatal(err)
	}
}

func (d *damaged) put(shard int, key, value string) {
	d.t.Helper()
	d.load(shard, store.Rows{Records: []store.Record{{Key: key, Version: 1, Value: []byte(value)}}})
}

func (d *damaged) edit(p Purchase, edit func(*Purchase)) {
	d.t.Helper()
	p, err := d.Purchase(d.t.Context(), p.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	edit(&p)
	value, err := json.Marshal(p)
	if err != nil {
		d.t.Fatal(err)
	}
	d.put(d.here, purchaseKey(p.ID), string(value))
}

func (d *damaged) read(shard int, key string) string {
	d.t.Helper()
	recs, err := d.st.Get(d.t.Context(), shard, key)
	if err != nil || recs[0].Version == 0 {
		d.t.Fatalf("read %s: %v", key, err)
	}
	return string(recs[0].Value)
}

func (d *damaged) count(shard int, key string, by int64) {
	d.t.Helper()
	counts, err := d.st.Counts(d.t.Context(), shard, key)
	if err != nil {
		d.t.Fatal(err)
	}
	d.load(shard, store.Rows{Counts: []store.Count{{Key: key, N: counts[0] + by}}})
}

func (d *damaged) owe(shard int, id, kind, body string) {
	d.t.Helper()
	d.load(shard, store.Rows{Effects: []store.Owed{{Effect: store.Effect{ID: id, Kind: kind, Body: []byte(body), Due: d.now}}}})
}

func (d *damaged) drop(p Purchase, e Effect) {
	d.t.Helper()
	e.Purchase = p.ID
	before := len(dump(d.t, d.st))
	if err := d.st.Commit(d.t.Context(), store.Change{Shard: p.ID.Shard(), Drop: []string{e.ID()}}); err != nil {
		d.t.Fatal(err)
	}
	if len(dump(d.t, d.st)) != before-1 {
		d.t.Fatalf("%s was not owed", e.ID())
	}
}

func (d *damaged) takeAway(shard int, key string) {
	d.t.Helper()
	if n, err := d.remove(d.t.Context(), shard, key); n != 1 || err != nil {
		d.t.Fatalf("remove %s: %d, %v", key, n, err)
	}
}

// Each damage is found, and nothing else is.
func TestCheckFindsEachDamage(t *testing.T) {
	// A purchase and a code that are not there.
	nobody := NewID("x", "nobody", "buytee")
	nobodysCode := NewCode([]byte("another key of the codes"), nobody, 0)

	for name, damage := range map[string]func(d *damaged) (kind FindingKind, key string){
		"too many taken": func(d *damaged) (FindingKind, string) {
			d.count(d.here, "taken/buytee/", 1)
			return Miscounted, "taken/buytee/"
		},
		"too few taken": func(d *damaged) (FindingKind, string) {
			d.count(d.here, "taken/buytee/", -1)
			return Miscounted, "taken/buytee/"
		},
		"none taken": func(d *damaged) (FindingKind, string) {
			d.count(d.here, "taken/buytee/", -5)
			return Miscounted, "taken/buytee/"
		},
		"taken of a variant that nobody has": func(d *damaged) (FindingKind, string) {
			d.count(d.here, "taken/buytee/L/XL", 1)
			return Miscounted, "taken/buytee/L/XL"
		},
		"too many sold": func(d *damaged) (FindingKind, string) {
			d.count(d.here, "sold/buytee/", 1)
			return Miscounted, "taken/buytee/"
		},
		"too few bought": func(d *damaged) (FindingKind, string) {
			d.count(d.here, "bought/buytee/x:1001", -1)
			return Miscounted, "bought/buytee/x:1001"
		},
		"bought by somebody who has nothing": func(d *damaged) (FindingKind, string) {
			d.count(d.here, "bought/buytee/x:1/2", 1)
			return Miscounted, "bought/buytee/x:1/2"
		},
		"an open purchase without its deadline": func(d *damaged) (FindingKind, string) {
			d.drop(d.coded, deadline(d.is(d.coded.ID, Coded)))
			return Stuck, purchaseKey(d.coded.ID)
		},
		"an ended purchase without its deadline": func(d *damaged) (FindingKind, string) {
			d.drop(d.paid, deadline(d.paid))
			return Stuck, purchaseKey(d.paid.ID)
		},
		"a press without its charge": func(d *damaged) (FindingKind, string) {
			d.drop(d.confirmed, Effect{Kind: Charge, N: 1})
			return Stuck, purchaseKey(d.confirmed.ID)
		},
		"held units without a cancellation": func(d *damaged) (FindingKind, string) {
			d.drop(d.ended, Effect{Kind: Void})
			return Stuck, purchaseKey(d.ended.ID)
		},
		"a decision without its refund": func(d *damaged) (FindingKind, string) {
			d.drop(d.refunding, Effect{Kind: Refunding, N: 1})
			return Stuck, purchaseKey(d.refunding.ID)
		},
		"more given back than was paid": func(d *damaged) (FindingKind, string) {
			d.edit(d.refunding, func(p *Purchase) { p.Refunds[0].Amount.Minor++ })
			return Overpaid, purchaseKey(d.refunding.ID)
		},
		"more given back than a number can say": func(d *damaged) (FindingKind, string) {
			d.edit(d.paid, func(p *Purchase) {
				most := Money{math.MaxInt64, "USD"}
				p.Refunds = []Refund{{N: 1, Amount: most, MadeAt: t0}, {N: 2, Amount: most, MadeAt: t0}}
			})
			return Overpaid, purchaseKey(d.paid.ID)
		},
		"an effect of no purchase": func(d *damaged) (FindingKind, string) {
			d.owe(d.here, "thank/"+string(nobody), "thank", `{"purchase":"`+string(nobody)+`"}`)
			return Orphan, "thank/" + string(nobody)
		},
		"an effect of an unknown kind": func(d *damaged) (FindingKind, string) {
			d.owe(d.here, "sing/1", "sing", `{}`)
			return Unknown, "sing/1"
		},
		"an effect that is not JSON": func(d *damaged) (FindingKind, string) {
			d.owe(d.here, "thank/1", "thank", `{`)
			return Unreadable, "thank/1"
		},
		"an effect under another's id": func(d *damaged) (FindingKind, string) {
			d.owe(d.here, "thank/1", "thank", `{"purchase":"`+string(d.paid.ID)+`"}`)
			return Unreadable, "thank/1"
		},
		"an effect in another shard": func(d *damaged) (FindingKind, string) {
			d.owe(d.far, "thank/"+string(d.paid.ID), "thank", `{"purchase":"`+string(d.paid.ID)+`"}`)
			return Misplaced, "thank/" + string(d.paid.ID)
		},
		"an account's effect in another shard": func(d *damaged) (FindingKind, string) {
			d.owe(d.far, "resume/x:1001/9", resumeWishes, `{"account":{"network":"x","id":"1001"}}`)
			return Misplaced, "resume/x:1001/9"
		},
		"an account's effect of nobody": func(d *damaged) (FindingKind, string) {
			d.owe(d.far, "resume/x:1001/9", resumeWishes, `{}`)
			return Unreadable, "resume/x:1001/9"
		},
		"a memory of another record": func(d *damaged) (FindingKind, string) {
			d.owe(d.far, "forget/answer/x/1", forgetRecord, `{"key":"buyer/x:1001"}`)
			return Unreadable, "forget/answer/x/1"
		},
		"a code of no purchase": func(d *damaged) (FindingKind, string) {
			d.put(d.here, codeKey(nobodysCode), string(nobody))
			return Orphan, codeKey(nobodysCode)
		},
		"a code of a purchase with another": func(d *damaged) (FindingKind, string) {
			d.put(d.here, codeKey(nobodysCode), string(d.coded.ID))
			return WrongCode, codeKey(nobodysCode)
		},
		"a code that leads elsewhere": func(d *damaged) (FindingKind, string) {
			d.put(d.here, codeKey(d.coded.Code), string(d.paid.ID))
			return WrongCode, codeKey(d.coded.Code)
		},
		"a purchase without its code": func(d *damaged) (FindingKind, string) {
			d.takeAway(d.here, codeKey(d.coded.Code))
			return WrongCode, codeKey(d.coded.Code)
		},
		"a code in another shard": func(d *damaged) (FindingKind, string) {
			d.put(d.far, codeKey(d.coded.Code), string(d.coded.ID))
			return Misplaced, codeKey(d.coded.Code)
		},
		"no code": func(d *damaged) (FindingKind, string) {
			d.put(d.here, "code/x", string(d.coded.ID))
			return Unreadable, "code/x"
		},
		"a note of no purchase": func(d *damaged) (FindingKind, string) {
			d.put(d.theirs, ownKey(account(1), nobody), "")
			return Orphan, ownKey(account(1), nobody)
		},
		"a note of another's purchase": func(d *damaged) (FindingKind, string) {
			d.put(account(2).Shard(), ownKey(account(2), d.paid.ID), "")
			return Orphan, ownKey(account(2), d.paid.ID)
		},
		"a note in another shard": func(d *damaged) (FindingKind, string) {
			d.put(d.far, ownKey(account(1), d.paid.ID), "")
			return Misplaced, ownKey(account(1), d.paid.ID)
		},
		"a note without a purchase": func(d *damaged) (FindingKind, string) {
			d.put(d.far, "own/x:1001", "")
			return Unreadable, "own/x:1001"
		},
		"a purchase without its note": func(d *damaged) (FindingKind, string) {
			d.takeAway(d.theirs, ownKey(account(1), d.paid.ID))
			return Unfiled, purchaseKey(d.paid.ID)
		},
		"an unknown record": func(d *damaged) (FindingKind, string) {
			d.put(d.far, "basket/1", "eggs")
			return Unknown, "basket/1"
		},
		"an unknown count": func(d *damaged) (FindingKind, string) {
			d.count(d.far, "eggs", 1)
			return Unknown, "eggs"
		},
		"a count in another shard": func(d *damaged) (FindingKind, string) {
			d.count(d.far, "bought/buytee/x:1001", 1)
			return Misplaced, "bought/buytee/x:1001"
		},
		"a sale in another shard": func(d *damaged) (FindingKind, string) {
			d.count(d.far, "sold/buytee/", 1)
			return Misplaced, "sold/buytee/"
		},
		"a purchase in another shard": func(d *damaged) (FindingKind, string) {
			d.put(d.far, purchaseKey(d.paid.ID), d.read(d.here, purchaseKey(d.paid.ID)))
			return Misplaced, purchaseKey(d.paid.ID)
		},
		"a purchase that is not JSON": func(d *damaged) (FindingKind, string) {
			d.put(d.here, purchaseKey(d.paid.ID), "{")
			return Unreadable, purchaseKey(d.paid.ID)
		},
		"a purchase in no state": func(d *damaged) (FindingKind, string) {
			key := purchaseKey(d.paid.ID)
			d.put(d.here, key, strings.Replace(d.read(d.here, key), `"paid"`, `"dreamt"`, 1))
			return Unreadable, key
		},
		"a purchase of an offer of another shard": func(d *damaged) (FindingKind, string) {
			key := purchaseKey(d.paid.ID)
			d.put(d.here, key, strings.Replace(d.read(d.here, key), `"offer":"buytee"`, `"offer":"buycap"`, 1))
			return Unreadable, key
		},
		"a purchase under no id": func(d *damaged) (FindingKind, string) {
			d.put(d.here, "purchase/1", d.read(d.here, purchaseKey(d.paid.ID)))
			return Unreadable, "purchase/1"
		},
		"an offer in another shard": func(d *damaged) (FindingKind, string) {
			d.put(d.far, "offer/buytee", d.read(d.here, "offer/buytee"))
			return Misplaced, "offer/buytee"
		},
		"an offer that is not JSON": func(d *damaged) (FindingKind, string) {
			d.put(d.here, "offer/buytee", "{")
			return Unreadable, "offer/buytee"
		},
		"an offer under another id": func(d *damaged) (FindingKind, string) {
			d.put(store.ShardOf("buycap"), "offer/buycap", d.read(d.here, "offer/buytee"))
			return Unreadable, "offer/buycap"
		},
		"a buyer in another shard": func(d *damaged) (FindingKind, string) {
			d.put(d.far, "buyer/x:1001", d.read(d.theirs, "buyer/x:1001"))
			return Misplaced, "buyer/x:1001"
		},
		"a buyer that is not JSON": func(d *damaged) (FindingKind, string) {
			d.put(d.theirs, "buyer/x:1001", "[]")
			return Unreadable, "buyer/x:1001"
		},
		"a buyer under another number": func(d *damaged) (FindingKind, string) {
			d.put(account(2).Shard(), buyerKey(account(2)), d.read(d.theirs, "buyer/x:1001"))
			return Unreadable, buyerKey(account(2))
		},
		"an erasure in another shard": func(d *damaged) (FindingKind, string) {
			d.put(d.far, erasedKey(nobody), "")
			return Misplaced, erasedKey(nobody)
		},
		"an erasure of nothing": func(d *damaged) (FindingKind, string) {
			d.put(d.far, "erased/1", "")
			return Unreadable, "erased/1"
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDamaged(t)
			kind, key := damage(d)
			if found, want := d.findings(), fmt.Sprintf("%s %s", kind, key); len(found) != 1 || found[0] != want {
				t.Errorf("found:\n%s\nwant: %s", strings.Join(found, "\n"), want)
			}
		})
	}
}

// What belongs to others who share the store is left alone.
func TestCheckKnowsItsNeighbours(t *testing.T) {
	d := newDamaged(t)
	for _, prefix := range []string{"store/", "held/", "cursor/"} {
		d.put(3, prefix+"1", "")
		d.count(3, prefix+"1", 1)
	}
	d.clean()
}

func TestCheckEndsWhenItIsTold(t *testing.T) {
	d := newDamaged(t)
	d.put(3, "basket/1", "")
	d.put(5, "basket/2", "")
	var shards []int
	enough := errors.New("enough")
	err := d.Check(t.Context(), func(shard int) { shards = append(shards, shard) }, func(Finding) error { return enough })
	if !errors.Is(err, enough) || !slices.Equal(shards, []int{0, 1, 2}) {
		t.Errorf("%v after the shards %v", err, shards)
	}
	shards = nil
	if err := d.Check(t.Context(), func(shard int) { shards = append(shards, shard) }, func(Finding) error { return nil }); err != nil || len(shards) != store.Shards {
		t.Errorf("%v after the shards %v", err, shards)
	}
}

// What is under way needs its offer and its buyer.
func TestCheckFindsWhatIsMissing(t *testing.T) {
	for key, shard := range map[string]func(*damaged) int{
		"offer/buytee": func(d *damaged) int { return d.here },
		"buyer/x:1001": func(d *damaged) int { return d.theirs },
	} {
		d := newDamaged(t)
		d.takeAway(shard(d), key)
		found := map[string]bool{}
		err := d.Check(t.Context(), nil, func(f Finding) error {
			if f.Kind != Stuck || !strings.Contains(f.Text, key) {
				t.Errorf("without %s: %+v", key, f)
			}
			found[f.Key] = true
			return nil
		})
		if err != nil || len(found) != 2 || !found[purchaseKey(d.coded.ID)] || !found[purchaseKey(d.confirmed.ID)] {
			t.Errorf("without %s: %v, %v; want the two that are under way", key, found, err)
		}
	}
}
