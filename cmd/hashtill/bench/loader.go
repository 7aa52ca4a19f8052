package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"hashtill/offers"
	"hashtill/store"
)

// A loader fills a store with purchases. Each has the rows that one has which has come
// as far by itself; only the numbers differ.
type loader struct {
	run          Run
	to           store.Store
	mailed, paid model
	offers       int // how many there are by now
	open, closed int

	rows    [store.Shards]store.Rows
	written int
	began   time.Time
	told    time.Time
	total   int
}

// A model is a purchase to make others like it.
type model struct {
	id    offers.ID
	code  string
	value string // of its record
	at    int64  // the version of that
	owed  store.Owed
}

// What a model's numbers are. They stand nowhere else in its rows.
const (
	modelPost    = "6000000000"
	modelAccount = "1000000"
	modelOffer   = "many0000000"
	modelTag     = "Many0000000"
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
			*m = model{id: p.ID, code: string(p.Code), value: string(recs[0].Value), at: recs[0].Version, owed: owed[0]}
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

// atOnceLoaded is how many shards are written at once.
const atOnceLoaded = 32

// grow brings the store to a size.
func (l *loader) grow(ctx context.Context, s size) error {
	l.began, l.told, l.written = time.Now(), time.Now(), 0
	l.total = s.offers - l.offers + s.open - l.open + s.closed - l.closed
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnceLoaded)
	flush := func(shard int) {
		rows := l.rows[shard]
		l.rows[shard] = store.Rows{}
		if len(rows.Records)+len(rows.Counts)+len(rows.Effects) > 0 {
			g.Go(func() error { return l.to.Load(ctx, shard, rows) })
		}
	}
	// A purchase adds three rows to its own shard and one to another.
	roomy := func(shard int) {
		if r := l.rows[shard]; len(r.Records)+len(r.Counts)+len(r.Effects) > store.MaxParts-8 {
			flush(shard)
		}
	}
	done := func() error {
		l.written++
		if time.Since(l.told) > 5*time.Second {
			l.told = time.Now()
			left := time.Duration(float64(time.Since(l.began)) / float64(l.written) * float64(l.total-l.written))
			l.run.progress("%s of %s offers and purchases written; about %s left", number(float64(l.written)), number(float64(l.total)), left.Round(time.Second))
		}
		return ctx.Err()
	}
	for ; l.offers < s.offers && ctx.Err() == nil; l.offers++ {
		o := manyOffer(l.offers)
		value, err := json.Marshal(o)
		if err != nil {
			return err
		}
		rows := &l.rows[o.Shard()]
		rows.Records = append(rows.Records, store.Record{Key: "offer/" + o.ID, Version: 1, Value: value})
		roomy(o.Shard())
		if done() != nil {
			break
		}
	}
	for l.open < s.open && ctx.Err() == nil {
		roomy(l.add(l.mailed, l.open, "7", time.Now().Add(24*time.Hour)))
		l.open++
		done()
	}
	for l.closed < s.closed && ctx.Err() == nil {
		roomy(l.add(l.paid, l.closed, "8", time.Now().Add(400*24*time.Hour)))
		l.closed++
		done()
	}
	for shard := range store.Shards {
		// A count that has changed says that there are offers to be read.
		l.rows[shard].Counts = append(l.rows[shard].Counts, store.Count{Key: "offers", N: int64(1_000_000 + l.offers)})
		flush(shard)
	}
	return g.Wait()
}

// add writes down the n-th purchase like a model, and returns its shard.
func (l *loader) add(m model, n int, series string, due time.Time) int {
	post, account := series+fmt.Sprintf("%09d", n), series+fmt.Sprintf("%08d", n)
	nth := fmt.Sprintf("%07d", n*7919%l.offers)
	id := offers.NewID("x", post, "many"+nth)
	code := codeLike(m.code, series, n)
	other := strings.NewReplacer(string(m.id), string(id), modelPost, post, `"`+modelAccount+`"`, `"`+account+`"`,
		modelOffer, "many"+nth, modelTag, "Many"+nth, m.code, code)

	shard := id.Shard()
	rows := &l.rows[shard]
	rows.Records = append(rows.Records,
		store.Record{Key: "purchase/" + string(id), Version: m.at, Value: []byte(other.Replace(m.value))},
		store.Record{Key: "code/" + code, Version: 1, Value: []byte(id)})
	rows.Counts = append(rows.Counts, store.Count{Key: "bought/many" + nth + "/x:" + account, N: 1})
	owed := m.owed
	owed.ID, owed.Body, owed.Due = other.Replace(owed.ID), []byte(other.Replace(string(owed.Body))), due
	rows.Effects = append(rows.Effects, owed)
	// Of a buyer's own purchases, which stand in the buyer's shard, there is one row each.
	// Here it stands beside the purchase: that it is there is what counts.
	rows.Records = append(rows.Records, store.Record{Key: "own/x:" + account + "/" + string(id), Version: 1, Value: []byte{}})
	return shard
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
