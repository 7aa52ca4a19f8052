package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"hashtill/offers"
	"hashtill/store"
)

// A loader fills a store with purchases. Each has the rows that one has which has come
// as far by itself; only the numbers differ.
//
// It writes shard by shard in the order of the keys, as a tree takes them best: where they
// came in the order of the purchases, from a million on each row had a page of its own to be
// read and written, and ten millions would have taken hours.
type loader struct {
	run          Run
	to           store.Store
	mailed, paid model
	offers       int // how many there are by now
	open, closed int

	mu             sync.Mutex
	written, total int
	began, told    time.Time
}

// A model is a purchase to make others like it.
type model struct {
	code        string
	at          int64      // the version of its record
	owed        store.Owed // without what is written below
	value       pattern    // of its record
	owedID, owe pattern    // of its effect
}

// What a model's numbers are. They stand nowhere else in its rows.
const (
	modelPost    = "6000000000"
	modelAccount = `"1000000"`   // "1000000" begins other numbers
	modelTag     = "Many0000000" // that of the first of the many offers
)

func newLoader(r Run, g *ground) (*loader, error) {
	l := &loader{run: r, to: g.Store}
	memory := store.NewMemory()
	w := &waiting{moves: map[offers.ID]chan offers.Purchase{}}
	f, err := openFloor(memory, defaultWorkers, w.moved)
	if err != nil {
		return nil, err
	}
	return l, f.run(r.Ctx, func(ctx context.Context) error {
		if err := f.open(ctx, []offers.Offer{manyOffer(0)}, 1); err != nil {
			return err
		}
		p, err := w.mail(ctx, f, 0, modelTag)
		if err != nil {
			return err
		}
		look := func(m *model) error {
			if err := f.outbox.WaitIdle(ctx); err != nil {
				return err
			}
			recs, err := memory.Get(ctx, p.ID.Shard(), "purchase/"+string(p.ID))
			owed, _, err2 := memory.Owed(ctx, p.ID.Shard(), "", 2)
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			if len(owed) != 1 {
				return fmt.Errorf("a purchase at rest owes %d effects, not its deadline", len(owed))
			}
			is := numbers{string(p.ID), modelPost, modelAccount, manyID(0), modelTag, string(p.Code)}
			*m = model{code: string(p.Code), at: recs[0].Version, owed: owed[0],
				value: is.in(string(recs[0].Value)), owedID: is.in(owed[0].ID), owe: is.in(string(owed[0].Body))}
			return nil
		}
		if err := look(&l.mailed); err != nil {
			return err
		}
		if _, err := f.shop.Press(ctx, p.ID, p.Round, "", time.Now()); err != nil {
			return err
		}
		if _, err := w.until(ctx, p.ID, offers.Paid); err != nil {
			return err
		}
		return look(&l.paid)
	})
}

// Numbers are what differs between two purchases: id, post, account in quotes, offer,
// hashtag and code.
type numbers [6]string

// A pattern is a text in pieces: every second one is which of the numbers stands there.
type pattern []string

// in makes a pattern of a text with these numbers.
func (is numbers) in(text string) (p pattern) {
	from := 0
	for at := 0; at < len(text); at++ {
		for i, number := range is {
			if strings.HasPrefix(text[at:], number) {
				p = append(p, text[from:at], strconv.Itoa(i))
				from, at = at+len(number), at+len(number)-1
				break
			}
		}
	}
	return append(p, text[from:])
}

// with is the text with other numbers.
func (p pattern) with(others numbers) string {
	var b strings.Builder
	for i, piece := range p {
		if i%2 == 1 {
			piece = others[piece[0]-'0']
		}
		b.WriteString(piece)
	}
	return b.String()
}

// atOnceLoaded is how many shards are written at once, for their rows to share commits.
const atOnceLoaded = 16

// grow brings the store to a size.
func (l *loader) grow(ctx context.Context, s size) error {
	l.began, l.told, l.written = time.Now(), time.Now(), 0
	l.total = s.offers - l.offers + len(rowsOfPurchase)*(s.open-l.open+s.closed-l.closed)
	var parts [store.Shards]part
	for n := l.offers; n < s.offers; n++ {
		p := &parts[manyShard(n)]
		p.offers = append(p.offers, n)
	}
	l.offers = s.offers
	for n := l.open; n < s.open; n++ {
		p := &parts[manyShard(l.offerOf(n))]
		p.open = append(p.open, n)
	}
	for n := l.closed; n < s.closed; n++ {
		p := &parts[manyShard(l.offerOf(n))]
		p.closed = append(p.closed, n)
	}
	l.open, l.closed = s.open, s.closed
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnceLoaded)
	for shard, p := range parts {
		g.Go(func() error { return l.load(ctx, shard, p) })
	}
	return g.Wait()
}

// offerOf is which offer the n-th purchase is of.
func (l *loader) offerOf(n int) int { return n * 7919 % l.offers }

func manyID(offer int) string { return fmt.Sprintf("many%07d", offer) }
func manyShard(offer int) int { return store.ShardOf(manyID(offer)) }

// A part is what is new in a shard: numbers of offers and purchases.
type part struct{ offers, open, closed []int }

// load writes a part.
func (l *loader) load(ctx context.Context, shard int, p part) error {
	err := l.write(ctx, shard, len(p.offers), func(to *store.Rows, i int) error {
		o := manyOffer(p.offers[i])
		value, err := json.Marshal(o)
		to.Records = append(to.Records, store.Record{Key: "offer/" + o.ID, Version: 1, Value: value})
		return err
	})
	if err != nil {
		return err
	}
	var all []similar
	for _, n := range p.open {
		all = append(all, l.similar(&l.mailed, n, "7", time.Now().Add(24*time.Hour)))
	}
	for _, n := range p.closed {
		all = append(all, l.similar(&l.paid, n, "8", time.Now().Add(400*24*time.Hour)))
	}
	for _, row := range rowsOfPurchase {
		for i := range all {
			all[i].key = row.key(all[i])
		}
		slices.SortFunc(all, func(a, b similar) int { return cmp.Compare(a.key, b.key) })
		err := l.write(ctx, shard, len(all), func(to *store.Rows, i int) error { row.add(to, all[i]); return nil })
		if err != nil {
			return err
		}
	}
	// A count that has changed says that there are offers to be read.
	return l.to.Load(ctx, shard, store.Rows{Counts: []store.Count{{Key: "offers", N: int64(1_000_000 + l.offers)}}})
}

// write writes n rows, as many at once as the store takes.
func (l *loader) write(ctx context.Context, shard, n int, add func(to *store.Rows, i int) error) error {
	for from := 0; from < n; from += store.MaxParts {
		var rows store.Rows
		to := min(from+store.MaxParts, n)
		for i := from; i < to; i++ {
			if err := add(&rows, i); err != nil {
				return err
			}
		}
		if err := l.to.Load(ctx, shard, rows); err != nil {
			return err
		}
		l.tell(to - from)
	}
	return nil
}

// tell tells now and then how far it is.
func (l *loader) tell(rows int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written += rows
	if time.Since(l.told) < 5*time.Second {
		return
	}
	l.told = time.Now()
	left := time.Duration(float64(time.Since(l.began)) / float64(l.written) * float64(l.total-l.written))
	l.run.progress("%s of %s rows written; about %s left", number(float64(l.written)), number(float64(l.total)), left.Round(time.Second))
}

// A similar purchase is like a model, with other numbers.
type similar struct {
	like                     *model
	id, post, account, offer string
	code                     string
	due                      time.Time
	key                      string // of the row that is written now
}

// similar is the n-th purchase like a model.
func (l *loader) similar(like *model, n int, series string, due time.Time) similar {
	s := similar{like: like, post: fmt.Sprintf("%s%09d", series, n), account: fmt.Sprintf("%s%08d", series, n),
		offer: manyID(l.offerOf(n)), code: codeLike(like.code, series, n), due: due}
	s.id = string(offers.NewID("x", s.post, s.offer))
	return s
}

func (s similar) numbers() numbers {
	return numbers{s.id, s.post, `"` + s.account + `"`, s.offer, "M" + s.offer[1:], s.code}
}

// rowsOfPurchase are the rows that each purchase has, each kind by its keys.
//
// Of a buyer's own purchases, which stand in the buyer's shard, there is one row each.
// Here it stands beside the purchase: that it is there is what counts.
var rowsOfPurchase = []struct {
	key func(similar) string
	add func(to *store.Rows, s similar)
}{
	{func(s similar) string { return "code/" + s.code }, func(to *store.Rows, s similar) {
		to.Records = append(to.Records, store.Record{Key: s.key, Version: 1, Value: []byte(s.id)})
	}},
	{func(s similar) string { return "own/x:" + s.account + "/" + s.id }, func(to *store.Rows, s similar) {
		to.Records = append(to.Records, store.Record{Key: s.key, Version: 1, Value: []byte{}})
	}},
	{func(s similar) string { return "purchase/" + s.id }, func(to *store.Rows, s similar) {
		to.Records = append(to.Records, store.Record{Key: s.key, Version: s.like.at, Value: []byte(s.like.value.with(s.numbers()))})
	}},
	{func(s similar) string { return "bought/" + s.offer + "/x:" + s.account }, func(to *store.Rows, s similar) {
		to.Counts = append(to.Counts, store.Count{Key: s.key, N: 1})
	}},
	{func(s similar) string { return s.like.owedID.with(s.numbers()) }, func(to *store.Rows, s similar) {
		owed := s.like.owed
		owed.ID, owed.Body, owed.Due = s.key, []byte(s.like.owe.with(s.numbers())), s.due
		to.Effects = append(to.Effects, owed)
	}},
}

// codeLike is another code of the same length. It belongs to no shard in particular, for
// nobody repeats it.
func codeLike(code, series string, n int) string {
	letters := []byte("bdfgjklmnprstvz")
	out := []byte(series + code[1:])
	for i := 1; i < len(out); i++ {
		out[i] = letters[n%len(letters)]
		n /= len(letters)
	}
	return string(out)
}
