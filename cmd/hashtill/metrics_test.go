package main

import (
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"hashtill/bot/x/xtest"
	"hashtill/offers"
)

// pageAt reads a page.
func pageAt(ctx context.Context, t *testing.T, address string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// figures reads all of /metrics, by name with labels.
func figures(ctx context.Context, t *testing.T, address string) (all map[string]float64, text string) {
	t.Helper()
	status, text := pageAt(ctx, t, "http://"+address+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("GET /metrics: %d\n%s", status, text)
	}
	all = map[string]float64{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all[name] = v
	}
	return all, text
}

// hashtill serve tells what a purchase costs on X, at the address of the metrics alone,
// and says nothing there of who bought.
func TestMetricsOfAPurchase(t *testing.T) {
	w := newOutside(t, "v2")
	ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
	defer stop()
	at, err := freeAddress("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	code := make(chan int)
	serving, end := context.WithCancel(ctx)
	go func() {
		code <- run(serving, []string{"serve", "-c", w.config}, []string{"HASHTILL_METRICS_LISTEN=" + at}, &log, &log)
	}()
	w.untilReady(ctx)

	before, _ := figures(ctx, t, at)
	const paid, cost, spent = `hashtill_purchases_total{to="paid"}`, "hashtill_x_cost_per_purchase_usd", "hashtill_x_spent_usd_total"
	if each, ok := before[cost]; !ok || !math.IsNaN(each) {
		t.Errorf("nothing is paid, and each purchase costs %v", each)
	}
	if n, ok := before[paid]; !ok || n != 0 || before[`hashtill_listening{network="x"}`] != 1 {
		t.Errorf("before the first purchase: %v", before)
	}

	wish, err := w.x.Post(w.buyer.ID, "@hashtill #BuyTee", xtest.PostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := w.x.Wait(ctx, func(p xtest.Post) bool { return p.ReplyTo == wish.ID })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.x.Repost(w.buyer.ID, reply.ID); err != nil {
		t.Fatal(err)
	}
	id := offers.NewID("x", wish.ID, "buytee")
	w.until(ctx, id, offers.Mailed)
	w.press(ctx)
	w.until(ctx, id, offers.Paid)
	w.untilSettled(ctx)

	var after map[string]float64
	var text string
	w.poll(ctx, "no purchase is counted as paid", func() bool { // it is counted after its commit
		after, text = figures(ctx, t, at)
		return after[paid] > 0
	})
	if after[paid] != 1 || after[`hashtill_purchases_total{to="asked"}`] != 1 || after[`hashtill_purchases_total{to="refunded"}`] != 0 {
		t.Errorf("purchases after one:\n%s", text)
	}
	// The code and the thank-you, at $0.010 each, and what was read.
	if after["hashtill_x_replies_total"] != 2 || after["hashtill_x_posts_read_total"] < 1 || after[spent] < 0.025 {
		t.Errorf("X after one purchase:\n%s", text)
	}
	if after[cost] != after[spent] {
		t.Errorf("one purchase costs %v of %v", after[cost], after[spent])
	}
	for _, name := range []string{`hashtill_posts_waiting{network="x"}`, "hashtill_effects_in_flight", "go_goroutines"} {
		if _, ok := after[name]; !ok {
			t.Errorf("%s is not there", name)
		}
	}
	p, err := w.shop.Purchase(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []string{buyerEmail, w.buyer.Handle + `"`, `"` + w.buyer.ID, string(id), p.Code.Hashtag(), p.Intent} {
		if strings.Contains(text, private) {
			t.Errorf("the metrics hold %q:\n%s", private, text)
		}
	}

	cfg, err := Load(w.config, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := pageAt(ctx, t, cfg.PublicURL+"/metrics"); status != http.StatusNotFound {
		t.Errorf("the public address answers /metrics with %d", status)
	}
	if status, _ := pageAt(ctx, t, "http://"+at+"/readyz"); status != http.StatusNotFound {
		t.Errorf("the address of the metrics answers /readyz with %d", status)
	}
	end()
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d", got)
	}
	if !strings.Contains(log.String(), `msg="serving metrics" listen=`+at) {
		t.Errorf("the log does not tell where the metrics are:\n%s", log.String())
	}
	if l, err := net.Listen("tcp", at); err != nil {
		t.Errorf("the metrics are not ended: %v", err)
	} else {
		l.Close()
	}
}

// An address for the metrics that is none, or taken, ends the start with what to do, and
// leaves nothing listening.
func TestMetricsListenRefused(t *testing.T) {
	w := newOutside(t, "v2")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for address, want := range map[string]string{
		taken.Addr().String(): "give a free address of this machine, such as 127.0.0.1:9090",
		"9090":                `metrics_listen: "9090" is not an address to listen at, such as 127.0.0.1:9090`,
		"127.0.0.1:ninety":    "is not an address to listen at",
		"127.0.0.1:65536":     "is not an address to listen at",
	} {
		var said strings.Builder
		code := run(t.Context(), []string{"serve", "-c", w.config}, []string{"HASHTILL_METRICS_LISTEN=" + address}, &said, &said)
		if code == exitOK || !strings.Contains(said.String(), "metrics_listen") || !strings.Contains(said.String(), want) {
			t.Errorf("%s: exit code %d, want %q in\n%s", address, code, want, said.String())
		}
	}
	cfg, err := Load(w.config, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		t.Fatalf("the pages are listened for: %v", err)
	}
	l.Close()
}
