package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/bot/x/xtest"
	"hashtill/offers"
	"hashtill/store"
)

// hashtill serve, told by its configuration alone where X, Stripe and the mail
// server are, completes a purchase: by every way of hearing over API v2, and in the
// classic shape. What it logs is for an operator's eyes: nothing secret, nothing to worry
// about where all went well, and nothing again and again.
func TestServeCompletesAPurchase(t *testing.T) {
	for _, how := range []struct{ api, hear string }{
		{"v2", "stream"}, {"v2", "activity"}, {"v2", "webhook"}, {"v2", "poll"}, {"v1.1", "stream"},
	} {
		t.Run(how.api+" "+how.hear, func(t *testing.T) {
			w := newOutsideHearing(t, how.api, how.hear, "")
			ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
			defer stop()
			var log strings.Builder
			code := make(chan int)
			serving, end := context.WithCancel(ctx)
			go func() { code <- run(serving, []string{"serve", "--config", w.config}, nil, &log, &log) }()

			w.untilReady(ctx)
			wish, err := w.x.Post(w.buyer.ID, "@hashtill #BuyTee, please", xtest.PostOptions{})
			if err != nil {
				t.Fatal(err)
			}
			reply, err := w.x.Wait(ctx, func(p xtest.Post) bool { return p.ReplyTo == wish.ID })
			if err != nil {
				t.Fatalf("no reply: %v\n%s", err, log.String())
			}
			if _, err := w.x.Repost(w.buyer.ID, reply.ID); err != nil {
				t.Fatal(err)
			}
			id := offers.NewID("x", wish.ID, "buytee")
			w.until(ctx, id, offers.Mailed)
			w.press(ctx)
			w.until(ctx, id, offers.Paid)
			w.untilSettled(ctx)
			p, err := w.shop.Purchase(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			w.check(p)

			end()
			if got := <-code; got != exitOK {
				t.Errorf("exit code %d\n%s", got, log.String())
			}
			address, err := link(w.smtp.Mailbox(buyerEmail)[0])
			if err != nil {
				t.Fatal(err)
			}
			creds := w.x.Credentials(w.bot.ID)
			for _, secret := range []string{buyerEmail, w.stripe.Key(), w.x.Bearer(), creds.ConsumerSecret, creds.Token, creds.TokenSecret, path.Base(address)} {
				if strings.Contains(log.String(), secret) {
					t.Errorf("the log holds %q:\n%s", secret, log.String())
				}
			}
			if strings.Contains(log.String(), "level=WARN") || strings.Contains(log.String(), "level=ERROR") || strings.Count(log.String(), "\n") > 25 {
				t.Errorf("the log of a day without trouble:\n%s", log.String())
			}
		})
	}
}

// until waits for a state.
func (w *outside) until(ctx context.Context, id offers.ID, want offers.State) {
	w.t.Helper()
	w.poll(ctx, fmt.Sprintf("purchase is not %s", want), func() bool {
		p, err := w.shop.Purchase(ctx, id)
		return err == nil && p.State == want
	})
}

func (w *outside) untilSettled(ctx context.Context) {
	w.t.Helper()
	w.poll(ctx, "something is still owed", func() bool { return w.settled(ctx) })
}

func (w *outside) poll(ctx context.Context, complaint string, done func() bool) {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.t.Fatal(complaint)
		}
	}
}

// A refund that the operator decides is made by the running process.
func TestServeRefunds(t *testing.T) {
	w := newOutside(t, "v2")
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	var log, out strings.Builder
	done := make(chan int)
	serving, end := context.WithCancel(ctx)
	go func() { done <- run(serving, []string{"serve", "-c", w.config}, nil, &log, &log) }()
	defer func() { end(); <-done }()

	if err := w.x.WaitStream(ctx); err != nil {
		t.Fatal(err)
	}
	wish, err := w.x.Post(w.buyer.ID, "@hashtill #BuyTee", xtest.PostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id := offers.NewID("x", wish.ID, "buytee")
	w.until(ctx, id, offers.Coded)
	if code := run(ctx, []string{"purchase", "refund", "-c", w.config, string(id)}, nil, &out, &out); code != exitUsage {
		t.Errorf("an unpaid purchase was refunded: %d %s", code, out.String())
	}
	p, err := w.shop.Purchase(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.x.Repost(w.buyer.ID, p.Reply); err != nil {
		t.Fatal(err)
	}
	w.until(ctx, id, offers.Mailed)
	w.press(ctx)
	w.until(ctx, id, offers.Paid)
	command := func(want int, args ...string) string {
		var said strings.Builder
		if code := run(ctx, append(args, "-c", w.config), nil, &said, &said); code != want {
			t.Errorf("%v: %d %s", args, code, said.String())
		}
		return said.String()
	}
	command(exitUsage, "purchase", "refund", string(id), "--amount", "0")
	command(exitUsage, "purchase", "refund", string(id), "--amount", "1.234")
	if said := command(exitUsage, "purchase", "refund", string(id), "--amount", "150"); !strings.Contains(said, "149.99 USD") {
		t.Errorf("it does not say how much is left: %s", said)
	}
	command(exitUsage, "purchase", "ship", string(id), "--tracking", "two\nlines")
	command(exitOK, "purchase", "ship", string(id), "--tracking", "La Poste 6A1")
	command(exitUsage, "purchase", "ship", string(id))
	command(exitOK, "purchase", "refund", string(id), "--amount", "12.50", "--why", "a stain")
	w.poll(ctx, "the part is not refunded", func() bool { c := w.stripe.Charges(); return len(c) == 1 && c[0].Refunded == 1250 })
	if said := command(exitOK, "purchase", "show", string(id)); !strings.Contains(said, "La Poste 6A1") || !strings.Contains(said, "a stain") {
		t.Errorf("show: %s", said)
	}
	if said := command(exitOK, "purchase", "list"); !strings.Contains(said, "shipped") {
		t.Errorf("list: %s", said)
	}
	if said := command(exitOK, "purchase", "show", string(id), "--json"); !strings.Contains(said, `"minor": 1250`) {
		t.Errorf("show: %s", said)
	}
	for range 2 { // saying it twice makes one refund
		run(ctx, []string{"purchase", "refund", "-c", w.config, string(id)}, nil, &out, &out)
	}
	w.until(ctx, id, offers.Refunded)
	if c := w.stripe.Charges(); len(c) != 1 || c[0].Refunded != c[0].Amount {
		t.Errorf("charges: %+v", c)
	}
}

// What is done by hand in Stripe's dashboard is told by a webhook and noted on the
// purchase; what somebody else posts there is refused.
func TestServeHearsStripe(t *testing.T) {
	w := newOutside(t, "v2")
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	cfg, err := Load(w.config, nil)
	if err != nil {
		t.Fatal(err)
	}
	hook := cfg.PublicURL + "/stripe/webhook"
	var log strings.Builder
	done := make(chan int)
	serving, end := context.WithCancel(ctx)
	go func() { done <- run(serving, []string{"serve", "-c", w.config}, nil, &log, &log) }()
	defer func() { end(); <-done }()
	if err := w.x.WaitStream(ctx); err != nil {
		t.Fatal(err)
	}
	w.stripe.SetWebhookURL(hook)
	wish, err := w.x.Post(w.buyer.ID, "@hashtill #BuyTee", xtest.PostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id := offers.NewID("x", wish.ID, "buytee")
	w.until(ctx, id, offers.Coded)
	p, err := w.shop.Purchase(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.x.Repost(w.buyer.ID, p.Reply); err != nil {
		t.Fatal(err)
	}
	w.until(ctx, id, offers.Mailed)
	w.press(ctx)
	w.until(ctx, id, offers.Paid)
	if p, err = w.shop.Purchase(ctx, id); err != nil {
		t.Fatal(err)
	}
	post := func(address, key, body string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if key != "" {
			r.SetBasicAuth(key, "")
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	if status := post(hook, "", `{"id":"evt_1","type":"charge.dispute.created"}`); status != http.StatusBadRequest {
		t.Errorf("an unsigned event: %d", status)
	}
	if status := post(w.stripe.URL()+"/v1/refunds", w.stripe.Key(), url.Values{"payment_intent": {p.Intent}, "amount": {"100"}}.Encode()); status != http.StatusOK {
		t.Fatalf("a refund by hand: %d", status)
	}
	w.poll(ctx, "the refund by hand is not noted", func() bool {
		p, err := w.shop.Purchase(ctx, id)
		return err == nil && len(p.Notices) > 0 && p.State == offers.Paid
	})
}

// hashtill halt, on the store of a running serve, lets no charge begin; hashtill resume
// lets it go on.
func TestServeHalts(t *testing.T) {
	w := newOutside(t, "v2")
	ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
	defer stop()
	var log strings.Builder
	done := make(chan int)
	serving, end := context.WithCancel(ctx)
	go func() { done <- run(serving, []string{"serve", "-c", w.config}, nil, &log, &log) }()
	defer func() { end(); <-done }()

	if err := w.x.WaitStream(ctx); err != nil {
		t.Fatal(err)
	}
	wish, err := w.x.Post(w.buyer.ID, "@hashtill #BuyTee", xtest.PostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id := offers.NewID("x", wish.ID, "buytee")
	w.until(ctx, id, offers.Coded)
	p, err := w.shop.Purchase(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.x.Repost(w.buyer.ID, p.Reply); err != nil {
		t.Fatal(err)
	}
	w.until(ctx, id, offers.Mailed)
	command := func(args ...string) {
		var said strings.Builder
		if code := run(ctx, append(args, "-c", w.config), nil, &said, &said); code != exitOK {
			t.Fatalf("%v: %d %s", args, code, said.String())
		}
	}
	command("halt", "--why", "a wrong price")
	w.press(ctx)
	charge := offers.Effect{Kind: offers.Charge, Purchase: id, N: 1}.ID()
	w.poll(ctx, "the charge does not wait", func() bool {
		owed, _, err := w.store.Owed(ctx, id.Shard(), "", 100)
		return err == nil && slices.ContainsFunc(owed, func(o store.Owed) bool {
			return o.ID == charge && o.Try > 0 && strings.Contains(o.Note, "halted")
		})
	})
	if n := len(w.stripe.Charges()); n > 0 {
		t.Errorf("%d charges of a halted shop", n)
	}
	command("resume")
	w.until(ctx, id, offers.Paid)
	w.untilSettled(ctx)
}
