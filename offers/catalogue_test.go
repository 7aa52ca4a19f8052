package offers

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"hashtill/store"
)

// A catalogue of more than a page in some shards is read whole, and what has changed since,
// too; what was taken out of it is not there.
func TestRefreshOfManyPages(t *testing.T) {
	ctx, st := t.Context(), store.NewMemory()
	s, err := NewShop(st, Settings{CodeKey: make([]byte, 32), Times: DefaultTimes, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	load := func(from, to int, title string) {
		t.Helper()
		var rows [store.Shards]store.Rows
		flush := func(shard int) {
			rows[shard].Counts = []store.Count{{Key: offersCount, N: int64(to)}}
			if err := st.Load(ctx, shard, rows[shard]); err != nil {
				t.Fatal(err)
			}
			rows[shard] = store.Rows{}
		}
		for n := from; n < to; n++ {
			o := plainOffer()
			o.Tag, o.Title, o.Tags, o.Removed = fmt.Sprintf("Tag%d", n), title, nil, n%10 == 0
			o.ID = TagKey(o.Tag)
			shard := o.Shard()
			if shard%8 != 0 && n > 1000 { // eight shards are full, the others are not
				continue
			}
			want[o.ID] = !o.Removed
			value, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			rows[shard].Records = append(rows[shard].Records, store.Record{Key: offerKey(o.ID), Version: 1, Value: value})
			if len(rows[shard].Records) == store.MaxParts-1 {
				flush(shard)
			}
		}
		for shard := range rows {
			flush(shard)
		}
	}
	check := func(changed bool) {
		t.Helper()
		if got, err := s.Refresh(ctx); err != nil || got != changed {
			t.Fatalf("changed: %t, %v", got, err)
		}
		there := 0
		for id, is := range want {
			if o, ok := s.OfferByTag(id); ok != is || ok && o.ID != id {
				t.Fatalf("%s: %t, %+v", id, ok, o)
			}
			if is {
				there++
			}
		}
		if n := s.OfferCount(); n != there || len(s.Tags()) != n {
			t.Errorf("%d offers and %d hashtags, not %d", n, len(s.Tags()), there)
		}
	}
	load(0, 20*scanPage*8, "first")
	check(true)
	check(false)
	load(20*scanPage*8, 21*scanPage*8, "later")
	check(true)
}
