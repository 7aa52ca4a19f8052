package main

import (
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hashtill/bot/x/xtest"
	"hashtill/offers"
)

// The running hashtill serve posts what offer announce owes, a quote of that post with the
// hashtag is a wish, and what is imported meanwhile is heard, and followed by X's rules.
func TestServeAnnounces(t *testing.T) {
	w := newOutside(t, "v2")
	ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
	defer stop()
	var log strings.Builder
	done := make(chan int)
	serving, end := context.WithCancel(ctx)
	go func() { done <- run(serving, []string{"serve", "-c", w.config}, nil, &log, &log) }()
	defer func() { end(); <-done }()
	w.untilReady(ctx)
	command := func(want int, args ...string) string {
		t.Helper()
		var said strings.Builder
		if code := run(ctx, append(args, "-c", w.config), nil, &said, &said); code != want {
			t.Errorf("%v: %d %s", args, code, said.String())
		}
		return said.String()
	}
	coded := func(wish xtest.Post, offer string) {
		t.Helper()
		w.until(ctx, offers.NewID("x", wish.ID, offer), offers.Coded)
	}
	post := func(text string, opts xtest.PostOptions) xtest.Post {
		t.Helper()
		p, err := w.x.Post(w.buyer.ID, text, opts)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}

	command(exitUsage, "offer", "announce", "BuyMug")
	text := command(exitOK, "offer", "announce", "BuyTee")
	announced, err := w.x.Wait(ctx, func(p xtest.Post) bool { return p.AuthorID == w.bot.ID && p.ReplyTo == "" })
	if err != nil {
		t.Fatalf("not announced: %v", err)
	}
	// What the command cannot know is the name of the account.
	if said := strings.ReplaceAll(text, "@BOT", "@hashtill"); !strings.Contains(said, announced.Text) || !strings.Contains(announced.Text, "149.99") {
		t.Errorf("the command said %q, and serve posted %q", text, announced.Text)
	}
	if said := command(exitUsage, "offer", "announce", "BuyTee"); !strings.Contains(said, "--again") {
		t.Errorf("a second time: %s", said)
	}
	wish := post("#BuyTee for me", xtest.PostOptions{Quote: announced.ID})
	coded(wish, "buytee")
	if replies := w.x.Replies(wish.ID); len(replies) != 1 {
		t.Errorf("a quote of the announcement has %d replies", len(replies))
	}
	post("look at that", xtest.PostOptions{Quote: announced.ID}) // no wish

	more := filepath.Join(t.TempDir(), "more.yaml")
	if err := os.WriteFile(more, []byte("- {tag: BuyMug, title: Mug, seller: Example Records, price: 9, currency: USD, stock: 10, per_buyer: 2}"), 0o600); err != nil {
		t.Fatal(err)
	}
	command(exitOK, "offer", "import", more)
	w.poll(ctx, "the rules do not follow the catalogue", func() bool { return strings.Contains(strings.ToLower(w.rules(ctx)), "#buymug") })
	coded(post("#BuyMug", xtest.PostOptions{}), "buymug") // not said to the bot: by mail
	coded(post("@hashtill #BuyMug", xtest.PostOptions{}), "buymug")

	more = filepath.Join(t.TempDir(), "more.csv")
	if err := os.WriteFile(more, []byte("tag;tags;title;seller;price;currency;stock\nBuyCup;Tasse;Cup;Example Records;9,50;USD;10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command(exitOK, "offer", "import", more)
	w.poll(ctx, "the rules do not follow the other hashtags", func() bool { return strings.Contains(strings.ToLower(w.rules(ctx)), "#tasse") })
	coded(post("@hashtill #Tasse", xtest.PostOptions{}), "buycup")

	wishes := 0
	if err := w.shop.EachPurchase(ctx, func(offers.Purchase) error { wishes++; return nil }); err != nil || wishes != 4 {
		t.Errorf("%d wishes, %v", wishes, err)
	}
}

// rules are those of the filtered stream, as X tells them.
func (w *outside) rules(ctx context.Context) string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.x.URL()+"/2/tweets/search/stream/rules", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.x.Bearer())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// The catalogue file that the help shows can be copied.
func TestImportHelp(t *testing.T) {
	var out strings.Builder
	if code := run(t.Context(), []string{"offer", "import", "--help"}, nil, &out, &out); code != exitOK {
		t.Fatal(code, out.String())
	}
	_, example, _ := strings.Cut(out.String(), "# offers.yaml\n")
	example, _, _ = strings.Cut(example, "\n\n")
	all, err := offers.ReadYAML(strings.NewReader(example))
	if err != nil || len(all) != 1 || all[0].Tag != "BuyTee" || all[0].PerBuyer != 2 {
		t.Errorf("%v, %+v in:\n%s", err, all, out.String())
	}
	_, example, _ = strings.Cut(out.String(), "# offers.csv\n")
	example, _, _ = strings.Cut(example, "\n\n")
	sheet, err := offers.ReadCSV(strings.NewReader(example))
	if err != nil || len(sheet) != 1 || sheet[0].Price != all[0].Price || !maps.Equal(sheet[0].Stock, all[0].Stock) {
		t.Errorf("%v, %+v in:\n%s", err, sheet, out.String())
	}
}
