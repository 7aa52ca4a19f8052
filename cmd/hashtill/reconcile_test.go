package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hashtill/bot/x/xtest"
	"hashtill/confirm"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
	"hashtill/store"
)

// reconcile calls the command, and returns its exit code and all that it prints.
func (w *outside) reconcile(ctx context.Context, args ...string) (int, string) {
	var out strings.Builder
	code := run(ctx, append([]string{"reconcile", "-c", w.config, "--settle", "0s"}, args...), nil, &out, &out)
	return code, out.String()
}

// serving runs hashtill serve until the returned function is called.
func (w *outside) serving(ctx context.Context) (end func()) {
	w.t.Helper()
	done := make(chan int)
	serving, stop := context.WithCancel(ctx)
	go func() { done <- run(serving, []string{"serve", "-c", w.config}, nil, io.Discard, io.Discard) }()
	if err := w.x.WaitStream(ctx); err != nil {
		w.t.Fatal(err)
	}
	return sync.OnceFunc(func() { stop(); <-done })
}

// untilMailed buys until the link is with the buyer.
func (w *outside) untilMailed(ctx context.Context) offers.Purchase {
	w.t.Helper()
	wish, err := w.x.Post(w.buyer.ID, "@hashtill #BuyTee", xtest.PostOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	id := offers.NewID("x", wish.ID, "buytee")
	w.until(ctx, id, offers.Coded)
	p, err := w.shop.Purchase(ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.x.Repost(w.buyer.ID, p.Reply); err != nil {
		w.t.Fatal(err)
	}
	w.until(ctx, id, offers.Mailed)
	if p, err = w.shop.Purchase(ctx, id); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// atStripe does something at Stripe by hand.
func (w *outside) atStripe(ctx context.Context, path string, form url.Values) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.stripe.URL()+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.SetBasicAuth(w.stripe.Key(), "")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		w.t.Fatalf("%s: %s %s", path, resp.Status, text)
	}
}

// Stripe has the money, and the store has forgotten: it was restored from a backup of
// the moment before. No answer and no webhook tells.
func TestReconcilePaysWhatABackupForgot(t *testing.T) {
	w := newOutside(t, "v2")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	end := w.serving(ctx)
	defer func() { end() }()
	p := w.untilMailed(ctx)
	w.untilSettledFor(ctx, p.ID)
	backup := filepath.Join(t.TempDir(), "backup.db")
	var out strings.Builder
	if code := run(ctx, []string{"store", "backup", "-c", w.config, backup}, nil, &out, &out); code != exitOK {
		t.Fatal(out.String())
	}
	w.press(ctx)
	w.until(ctx, p.ID, offers.Paid)
	end()
	w.store.Close()
	if code := run(ctx, []string{"store", "restore", "-c", w.config, backup}, nil, &out, &out); code != exitOK {
		t.Fatal(out.String())
	}
	cfg, err := Load(w.config, nil)
	if err != nil {
		t.Fatal(err)
	}
	if w.store, err = openStore(ctx, cfg, newLog(cfg, io.Discard)); err != nil {
		t.Fatal(err)
	}
	if w.shop, _, err = openShop(ctx, cfg, w.store, newLog(cfg, io.Discard), time.Now); err != nil {
		t.Fatal(err)
	}
	w.until(ctx, p.ID, offers.Mailed)

	before := w.kept(ctx)
	if code, said := w.reconcile(ctx, "--dry-run"); code != exitFailed || !strings.Contains(said, "paid_there") || !bytes.Equal(w.kept(ctx), before) {
		t.Errorf("dry run: %d %s", code, said)
	}
	if code, said := w.reconcile(ctx); code != exitOK || !strings.Contains(said, "paid_there") || !strings.Contains(said, "0 differences repaired, 1 owed (hashtill serve does it), 0 left") ||
		!strings.Contains(said, "USD taken 149.99 at Stripe, 0.00 here") {
		t.Errorf("%d %s", code, said)
	}
	end = w.serving(ctx)
	w.until(ctx, p.ID, offers.Paid)
	code, said := w.reconcile(ctx)
	if code != exitOK || !strings.Contains(said, "everything agrees; USD taken 149.99 at Stripe, 149.99 here, refunded 0.00 at Stripe, 0.00 here") {
		t.Errorf("again: %d %s", code, said)
	}
	if charges := w.stripe.Charges(); len(charges) != 1 || charges[0].Refunded != 0 {
		t.Errorf("charges: %+v", charges)
	}
}

// A backup from before the payment: the purchase has come to its end unpaid since, and
// nobody here knows that it was paid and shipped. The only charge stays what it is.
func TestReconcileLeavesTheOnlyChargeAlone(t *testing.T) {
	w := newOutside(t, "v2")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	end := w.serving(ctx)
	defer func() { end() }()
	p := w.untilMailed(ctx)
	w.press(ctx)
	w.until(ctx, p.ID, offers.Paid)
	w.untilSettledFor(ctx, p.ID)
	end()
	w.edit(ctx, p.ID, func(p *offers.Purchase) {
		p.State, p.Held, p.Intent, p.PaidAt, p.EndedAt = offers.Expired, 0, "", time.Time{}, time.Now()
	})
	before := w.kept(ctx)
	for range 2 {
		if code, said := w.reconcile(ctx); code != exitFailed || !strings.Contains(said, "paid_there") || !strings.Contains(said, "0 differences repaired, 0 owed (hashtill serve does it), 1 left") {
			t.Errorf("%d %s", code, said)
		}
	}
	if !bytes.Equal(w.kept(ctx), before) {
		t.Error("something was changed")
	}
	if charges := w.stripe.Charges(); len(charges) != 1 || charges[0].Refunded != 0 {
		t.Errorf("charges: %+v", charges)
	}
}

// edit changes a purchase behind everybody's back.
func (w *outside) edit(ctx context.Context, id offers.ID, change func(*offers.Purchase)) {
	w.t.Helper()
	p, err := w.shop.Purchase(ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	change(&p)
	value, err := json.Marshal(p)
	if err != nil {
		w.t.Fatal(err)
	}
	key := "purchase/" + string(id)
	recs, err := w.store.Get(ctx, id.Shard(), key)
	if err == nil {
		err = w.store.Commit(ctx, store.Change{Shard: id.Shard(), Put: []store.Put{{Key: key, Version: recs[0].Version, Value: value}}})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// untilSettledFor waits until nothing is owed that a backup would do again.
func (w *outside) untilSettledFor(ctx context.Context, id offers.ID) {
	w.t.Helper()
	w.poll(ctx, "something is still owed", func() bool {
		owed, _, err := w.store.Owed(ctx, id.Shard(), "", 100)
		return err == nil && !slices.ContainsFunc(owed, func(o store.Owed) bool { return o.Due.Before(time.Now().Add(time.Minute)) })
	})
}

// kept is all of the purchases' records.
func (w *outside) kept(ctx context.Context) []byte {
	w.t.Helper()
	var all []byte
	for shard := range store.Shards {
		recs, _, err := w.store.Scan(ctx, shard, "purchase/", "", 1000)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range recs {
			all = append(all, r.Value...)
		}
		owed, _, err := w.store.Owed(ctx, shard, "heed/", 1000)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, o := range owed {
			all = append(all, o.ID...)
		}
	}
	return all
}

// Somebody has charged a purchase a second time: it is refunded once, however often
// and however badly that goes.
func TestReconcileRefundsASecondCharge(t *testing.T) {
	w := newOutside(t, "v2")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	defer w.serving(ctx)()
	p := w.untilMailed(ctx)
	w.press(ctx)
	w.until(ctx, p.ID, offers.Paid)

	b, err := w.shop.Buyer(ctx, p.Buyer)
	if err != nil {
		t.Fatal(err)
	}
	extra := func(purchase string) {
		w.atStripe(ctx, "/v1/payment_intents", url.Values{
			"amount": {strconv.FormatInt(p.Total.Minor, 10)}, "currency": {"usd"}, "customer": {b.Customer}, "payment_method": {b.Cards[0].ID},
			"payment_method_types[]": {"card"}, "confirm": {"true"}, "metadata[purchase]": {purchase},
		})
	}
	extra(string(p.ID))
	w.stripe.Fail(stripetest.Fault{Method: http.MethodPost, Path: "/v1/refunds", When: stripetest.After, Drop: true, Times: -1})
	w.stripe.Fail(stripetest.Fault{Method: http.MethodGet, Path: "/v1/refunds", When: stripetest.After, Drop: true, Times: 2})
	code, said := w.reconcile(ctx)
	if code != exitFailed || !strings.Contains(said, "second_charge") || !strings.Contains(said, "1 left") {
		t.Errorf("refund without an answer: %d %s", code, said)
	}
	w.stripe.ClearFaults()
	for range 2 {
		if code, said = w.reconcile(ctx); code != exitOK {
			t.Errorf("%d %s", code, said)
		}
	}
	if !strings.Contains(said, "everything agrees; USD taken 299.98 at Stripe, 149.99 here, refunded 149.99 at Stripe, 0.00 here") {
		t.Errorf("in the end: %s", said)
	}
	charges := w.stripe.Charges()
	if len(charges) != 2 || charges[0].Refunded != 0 || charges[1].Refunded != p.Total.Minor {
		t.Errorf("charges: %+v", charges)
	}

	// A charge for what is not here is nobody's to refund.
	extra(string(offers.NewID("x", "999", "buytee")))
	for range 2 {
		if code, said = w.reconcile(ctx, "--json"); code != exitFailed || !strings.Contains(said, `"kind":"unknown_charge"`) || !strings.Contains(said, `"open":1`) {
			t.Errorf("%d %s", code, said)
		}
	}
	if charges = w.stripe.Charges(); charges[2].Refunded != 0 {
		t.Errorf("charges: %+v", charges)
	}
}

// A bookshelf is a ledger that tells how it was asked, and the log of who asks.
type bookshelf struct {
	began time.Time

	mu     sync.Mutex
	asked  []string // when, and how far back
	fail   error
	shows  []confirm.Entry
	logged strings.Builder
}

func (b *bookshelf) Payments(_ context.Context, from, to time.Time, see func(confirm.Entry) error) error {
	b.mu.Lock()
	b.asked = append(b.asked, time.Since(b.began).Round(time.Minute).String()+" "+to.Add(-clockSkew).Sub(from).Round(time.Minute).String())
	shows, err := b.shows, b.fail
	b.mu.Unlock()
	for _, e := range shows {
		err = errors.Join(err, see(e))
	}
	return err
}

func (b *bookshelf) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.logged.Write(line)
}

// set says what is shown from now on, and begins the notes anew.
func (b *bookshelf) set(fail error, shows ...confirm.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail, b.shows, b.asked = fail, shows, nil
	b.logged.Reset()
}

// notes are how it was asked since, and what was logged.
func (b *bookshelf) notes() ([]string, string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked), b.logged.String()
}

// At the start and every hour, by one of all, and whatever goes wrong.
func TestAuditor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		defer st.Close()
		b := &bookshelf{began: time.Now()}
		log := slog.New(slog.NewTextHandler(b, nil))
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		start := func() {
			shop, err := offers.NewShop(st, offers.Settings{CodeKey: make([]byte, 16), Times: offers.DefaultTimes, Log: log, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			a := &auditor{shop: shop, now: time.Now, log: log, books: confirm.Reconciler{Shop: shop, Ledger: b, Now: time.Now}}
			all.Go(func() { a.run(ctx) })
		}
		pass := func(d time.Duration) ([]string, string) {
			<-time.After(d)
			synctest.Wait()
			return b.notes()
		}
		const agree, differ = `level=INFO msg="reconciled with Stripe"`, `level=WARN msg="reconciled with Stripe"`

		// The first looks far, the others as far as the last has not.
		start()
		asked, logged := pass(150 * time.Minute)
		if want := []string{"0s 2160h0m0s", "1h0m0s 97h0m0s", "2h0m0s 97h0m0s"}; !slices.Equal(asked, want) || strings.Count(logged, agree) != 3 {
			t.Errorf("asked %q, want %q\n%s", asked, want, logged)
		}
		// Another process does it once at its start, and then one of the two does.
		b.set(nil)
		start()
		asked, _ = pass(150 * time.Minute) // to 5:00
		if want := []string{"2h30m0s 96h30m0s", "3h30m0s 97h0m0s", "4h30m0s 97h0m0s"}; !slices.Equal(asked, want) {
			t.Errorf("asked %q, want %q", asked, want)
		}
		// Stripe is away, and is asked again.
		b.set(errors.New("stripe is away"))
		asked, logged = pass(42 * time.Minute)
		if len(asked) < 3 || !strings.Contains(logged, `level=ERROR msg="cannot reconcile with Stripe; trying again"`) {
			t.Errorf("asked %q: %s", asked, logged)
		}
		// What was missed is looked at, and a difference is told.
		b.set(nil, confirm.Entry{Intent: "pi_1", Purchase: offers.NewID("x", "1", "buytee"), Status: confirm.Taken,
			Total: offers.Money{Minor: 1, Currency: "USD"}, Begun: b.began})
		asked, logged = pass(6 * time.Minute)
		if len(asked) == 0 || !strings.HasSuffix(asked[0], " 97h15m0s") || strings.Count(logged, differ) != 1 ||
			!strings.Contains(logged, `level=ERROR msg="Stripe and the store do not agree" kind=unknown_charge payment=pi_1`) {
			t.Errorf("asked %q: %s", asked, logged)
		}
		// Once a day it looks far again.
		b.set(nil)
		asked, _ = pass(24 * time.Hour)
		far := 0
		for _, a := range asked {
			if strings.HasSuffix(a, " 2160h0m0s") {
				far++
			}
		}
		if far != 1 || len(asked) < 23 || len(asked) > 25 {
			t.Errorf("in a day: %q", asked)
		}
		stop()
		all.Wait()
	})
}

// What was not looked at for long is looked at whole.
func TestAuditsSince(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, test := range []struct {
		last audits
		back time.Duration
		wide bool
	}{
		{audits{}, wide, true},
		{audits{At: ago(time.Hour), Wide: ago(time.Hour)}, narrow + time.Hour, false},
		{audits{At: ago(time.Hour), Wide: ago(24 * time.Hour)}, wide, true},
		{audits{At: ago(200 * 24 * time.Hour), Wide: ago(200 * 24 * time.Hour)}, 200*24*time.Hour + narrow, true},
		{audits{At: now.Add(time.Hour), Wide: now.Add(time.Hour)}, wide, true}, // the clock was put back
	} {
		if from, isWide := test.last.since(now); now.Sub(from) != test.back || isWide != test.wide {
			t.Errorf("%+v: %s back, wide %v; want %s, %v", test.last, now.Sub(from), isWide, test.back, test.wide)
		}
	}
}

// The archive says what has left, and how.
func TestArchived(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("purchases-2026-01.jsonl", `{"id":"old"}`+"\n")
	write("purchases-2026-03.jsonl", `{"id":"a","state":"paid","intent":"pi_1","paid_at":"2026-03-01T00:00:00Z","title":"`+strings.Repeat("x", 100_000)+`"}`+"\n"+
		`{"id":"tor`+"\n"+`{"id":"b","state":"expired"}`)
	write("purchases-2026-04.jsonl", `{"id":"a","state":"expired"}`+"\n")
	write("notes.txt", `{"id":"c"}`)
	left := archived(dir, time.Date(2026, 2, 20, 0, 0, 0, 0, time.UTC))
	expired := offers.Archived{State: offers.Expired}
	for id, want := range map[offers.ID][]offers.Archived{
		"a":   {{State: offers.Paid, Intent: "pi_1", PaidAt: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}, expired},
		"b":   {expired},
		"old": nil, "c": nil, "tor": nil,
	} {
		if got, err := left(id); !reflect.DeepEqual(got, want) || err != nil {
			t.Errorf("%s: %v %v", id, got, err)
		}
	}
	if archived("", time.Time{}) != nil {
		t.Error("no archive has an archive")
	}
	gone := filepath.Join(dir, "none")
	for range 2 { // also when it is asked again
		if got, err := archived(gone, time.Time{})("a"); got != nil || !errors.Is(err, confirm.ErrNoArchive) || !strings.Contains(err.Error(), gone) {
			t.Errorf("%v %v", got, err)
		}
	}
	file := filepath.Join(dir, "notes.txt")
	if _, err := archived(file, time.Time{})("a"); err == nil || errors.Is(err, confirm.ErrNoArchive) {
		t.Errorf("a file: %v", err)
	}
}

// Who waits for another process is told so, and who does not is not.
func TestSayLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bookshelf
		log := slog.New(slog.NewTextHandler(&b, nil))
		sayLater(log, "at once")()
		waited := sayLater(log, "waiting")
		<-time.After(2 * time.Second)
		waited()
		waited()
		if _, logged := b.notes(); strings.Count(logged, "level=WARN") != 1 || !strings.Contains(logged, "waiting") {
			t.Errorf("said %q", logged)
		}
	})
}
