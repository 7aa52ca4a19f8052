package bench

import (
	"context"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
	"hashtill/store"
)

// built is the program, built as the tests are, for which most of it is compiled already.
func built(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hashtill")
	if _, err := build(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// A small store grows in two steps: each has its row in the table, in the plots and in the
// files.
func TestGrowth(t *testing.T) {
	var out strings.Builder
	dir := t.TempDir()
	c := Growth{Open: 20, Closed: 60, Offers: 30, Steps: []float64{0, 1}, For: 50 * time.Millisecond, Turns: 1, AtOnce: 4, Buyers: 10,
		Settle: time.Millisecond, Binary: built(t), CSV: filepath.Join(dir, "growth.csv"), SVG: filepath.Join(dir, "growth.svg")}
	if err := c.Run(Run{Ctx: t.Context(), Out: &out, Err: io.Discard}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"20 open and 60 closed purchases, 30 offers", "× empty", "start until ready", "resident at most", "each offer",
		"purchases ÷ empty, aim 0.80", "start s, aim 5", "resident MB, aim 300", "80 purchases,        30 offers  █",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	text, err := os.ReadFile(c.CSV)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(rows) != 3 || len(rows[0]) != len(grown) || strings.Join(rows[2][:3], " ") != "20 60 30" {
		t.Errorf("%v: %q", err, rows)
	}
	for _, row := range rows[1:] {
		for i, cell := range row[2:] {
			if cell == "0" || strings.HasPrefix(cell, "-") {
				t.Errorf("%s is %s", rows[0][2+i], cell)
			}
		}
	}
	picture, err := os.ReadFile(c.SVG)
	if err != nil {
		t.Fatal(err)
	}
	circles, read := 0, xml.NewDecoder(strings.NewReader(string(picture)))
	for {
		token, err := read.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, picture)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			circles++
		}
	}
	if circles != 3*2 {
		t.Errorf("%d points are drawn, not 2 of each of 3 figures:\n%s", circles, picture)
	}
}

// A bar is as long as its figure says, and the aim is marked.
func TestPlot(t *testing.T) {
	var out strings.Builder
	plot(&out, column{"start", "s", func(s size) float64 { return s.start.Seconds() }, 5}, []size{{start: 10 * time.Second}, {start: 2 * time.Second}})
	lines := strings.Split(out.String(), "\n")
	for i, want := range []int{39, 8} { // the mark stands upon the longer one
		if n := strings.Count(lines[1+i], "█"); n != want {
			t.Errorf("%d of 40 are filled, not %d: %s", n, want, lines[1+i])
		}
		if before, _, ok := strings.Cut(lines[1+i], "│"); !ok || len([]rune(before)) != len([]rune(lines[1]))-len(" 10")-21 {
			t.Errorf("the aim is not in the middle: %s", lines[1+i])
		}
	}
}

// What is loaded are offers and purchases that the shop reads as its own, as many as were
// asked for and no more.
func TestLoader(t *testing.T) {
	ctx, st := t.Context(), store.NewMemory()
	l, err := newLoader(Run{Ctx: ctx, Out: io.Discard, Err: io.Discard}, &ground{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []size{{open: 30, closed: 50, offers: 7}, {open: 300, closed: 500, offers: 70}} {
		if err := l.grow(ctx, s); err != nil {
			t.Fatal(err)
		}
		f, err := openFloor(st, defaultWorkers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.shop.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		if n := f.shop.OfferCount(); n != s.offers {
			t.Errorf("%d offers, not %d", n, s.offers)
		}
		if o, ok := f.shop.OfferByTag("#many0000003"); !ok || o.Validate() != nil {
			t.Errorf("offer %+v", o)
		}
		kinds, states, owed := counted(ctx, t, f.shop, st)
		for kind, want := range map[string]int{"purchase": s.open + s.closed, "code": s.open + s.closed, "own": s.open + s.closed, "bought": s.open + s.closed, "offer": s.offers} {
			if kinds[kind] != want {
				t.Errorf("%d records or counts %s/, not %d", kinds[kind], kind, want)
			}
		}
		if owed != s.open+s.closed || states[offers.Mailed] != s.open || states[offers.Paid] != s.closed {
			t.Errorf("%d owed; states %v", owed, states)
		}
	}
}

// counted counts the rows of a store by what their keys begin with, and purchases by state.
func counted(ctx context.Context, t *testing.T, shop *offers.Shop, st store.Store) (kinds map[string]int, states map[offers.State]int, owed int) {
	t.Helper()
	kinds, states = map[string]int{}, map[offers.State]int{}
	for shard := range store.Shards {
		recs, _, err := st.Scan(ctx, shard, "", "", 1e6)
		counts, _, err2 := st.ScanCounts(ctx, shard, "", "", 1e6)
		effects, _, err3 := st.Owed(ctx, shard, "", 1e6)
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		owed += len(effects)
		for _, r := range recs {
			kind, rest, _ := strings.Cut(r.Key, "/")
			kinds[kind]++
			if kind != "purchase" {
				continue
			}
			p, err := shop.Purchase(ctx, offers.ID(rest))
			if err != nil || string(p.ID) != rest || strings.Contains(string(r.Value), modelPost) {
				t.Fatalf("%s: %+v, %v", r.Key, p, err)
			}
			states[p.State]++
		}
		for _, c := range counts {
			kind, _, _ := strings.Cut(c.Key, "/")
			kinds[kind]++
		}
	}
	return kinds, states, owed
}
