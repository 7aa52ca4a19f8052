package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"hashtill/confirm"
	"hashtill/offers"
	"hashtill/store/sqlite"
)

// onDisk is a shop whose store commands can open between its uses.
func onDisk(t *testing.T, use func(shop *offers.Shop)) (command func(want int, args ...string) string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hashtill.db")
	st, err := sqlite.Open(t.Context(), path, views...)
	if err != nil {
		t.Fatal(err)
	}
	_, codeKey, err := confirm.ParseKeys(confirm.NewKeys())
	if err != nil {
		t.Fatal(err)
	}
	shop, err := offers.NewShop(st, offers.Settings{CodeKey: codeKey, Times: offers.DefaultTimes, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	use(shop)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return func(want int, args ...string) string {
		t.Helper()
		var said strings.Builder
		if code := run(t.Context(), args, []string{"HASHTILL_STORE=sqlite:" + path}, &said, &said); code != want {
			t.Errorf("%v: exit code %d\n%.2000s", args, code, said.String())
		}
		return said.String()
	}
}

// Who waits is shown in order, for each variant.
func TestOfferLine(t *testing.T) {
	command := onDisk(t, func(shop *offers.Shop) {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		o := offers.Offer{ID: "buytee", Tag: "BuyTee", Title: "Tee", Seller: "S", Price: offers.Money{Minor: 100, Currency: "USD"},
			Stock: map[string]int{"M": 0, "L": 0}, PerBuyer: 2, Waitlist: true}
		must(shop.Import(t.Context(), []offers.Offer{o}, true))
		now := time.Now()
		for i, words := range []string{"M", "x2 M", "L", "M"} {
			a := offers.Account{Network: "x", ID: fmt.Sprint(1000 + i)}
			must(shop.Register(t.Context(), offers.Buyer{Account: a, Email: "b@example.com", Customer: "cus_1", Cards: []offers.Card{{ID: "pm_1"}}}, now))
			w := offers.Wish{Post: fmt.Sprint("post", i), Account: a, Handle: fmt.Sprint("buyer", i), Offer: "buytee", Quantity: 1, Words: strings.Fields(words)}
			if strings.HasPrefix(words, "x2") {
				w.Quantity = 2
			}
			p, err := shop.Wish(t.Context(), w, now.Add(time.Duration(i)*time.Second))
			must(err)
			if p.State != offers.Waiting {
				t.Fatalf("%s does not wait: %s %s", words, p.State, p.Reason)
			}
		}
	})
	said := command(exitOK, "offer", "line", "buytee")
	if !regexp.MustCompile(`(?s)L +1 +@buyer2 +1 .*\nM +1 +@buyer0 +1 .*\nM +2 +@buyer1 +2 .*\nM +3 +@buyer3 +1 `).MatchString(said) {
		t.Error(said)
	}
	if said := command(exitOK, "offer", "line", "buytee", "--variant", "M", "--most", "1", "--json"); strings.Count(said, "\n") != 1 ||
		!strings.Contains(said, `"variant":"M","place":1,"handle":"buyer0"`) {
		t.Error(said)
	}
	if said := command(exitOK, "offer", "list"); !strings.Contains(said, "wish     4") {
		t.Error(said)
	}
	if said := command(exitOK, "offer", "show", "BuyTee"); !regexp.MustCompile(`M +0 +0 +3\n`).MatchString(said) {
		t.Error(said)
	}
}

// An import of many with 50 faults tells all 50 and changes nothing; mended, it is done, and
// an export gives it back.
func TestImportMany(t *testing.T) {
	const many = 5000
	command := onDisk(t, func(*offers.Shop) {})
	dir := t.TempDir()
	write := func(name string, faults int) string {
		var text bytes.Buffer
		for i := range many {
			title := "Tour T-shirt"
			if i%(many/50) == 3 && faults > 0 {
				title, faults = "#", faults-1
			}
			fmt.Fprintf(&text, "- {tag: Item%dx, title: %q, seller: Example Records, price: 149.99, currency: USD, variants: {M black: 10, L black: 5}}\n", i, title)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	said := command(exitUsage, "offer", "import", write("faulty.yaml", 50))
	for i := range 50 {
		if at := fmt.Sprintf("line %d, column ", i*many/50+4); strings.Count(said, at) != 1 {
			t.Errorf("no fault in %s", at)
		}
	}
	if n := strings.Count(said, "\n"); n != 51 {
		t.Errorf("%d lines:\n%.3000s", n, said)
	}
	if said := command(exitOK, "offer", "export"); said != "[]\n" {
		t.Errorf("something was imported: %.2000s", said)
	}
	if said := command(exitOK, "offer", "import", write("mended.yaml", 0)); !strings.Contains(said, fmt.Sprint(many, " added")) {
		t.Error(said)
	}
	exported := filepath.Join(dir, "exported.csv")
	if err := os.WriteFile(exported, []byte(command(exitOK, "offer", "export", "--format", "csv")), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := command(exitOK, "offer", "import", "--only", "--dry-run", exported); !strings.Contains(said, fmt.Sprintf("0 added, 0 changed, 0 removed, %d unchanged", many)) {
		t.Errorf("%.2000s", said)
	}
}
