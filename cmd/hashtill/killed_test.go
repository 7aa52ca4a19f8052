package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/offers"
	"hashtill/store"
	"hashtill/store/redis/redistest"
)

// A rush is a shop with many buyers at once and an outside world that says yes to
// everything: purchases as fast as the store takes them.
type rush struct {
	shop   *offers.Shop
	outbox *store.Outbox
	ack    func(offers.ID, offers.State) // what the shop has acknowledged
	name   string                        // makes the posts of this rush its own
}

const rushOffers = 8

func newRush(ctx context.Context, st store.Store, name string, ack func(offers.ID, offers.State)) (*rush, error) {
	shop, err := offers.NewShop(st, offers.Settings{
		CodeKey: []byte("the key of a test, and no more"), Times: offers.DefaultTimes, Thanks: true,
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	// What the dead held is soon due again.
	r := &rush{shop: shop, ack: ack, name: name, outbox: &store.Outbox{
		Store: st, Do: shop.Perform, Log: shop.Log, LeaseFor: 2 * time.Second, Poll: 50 * time.Millisecond,
	}}
	shop.Owing = r.outbox.Nudge
	for kind, event := range map[offers.EffectKind]offers.EventKind{
		offers.Reply: offers.ReplySent, offers.MailCode: offers.CodeMailed, offers.Prepare: offers.IntentMade,
		offers.MailLink: offers.LinkMailed, offers.Charge: offers.Charged, offers.Void: offers.IntentVoided,
		offers.MailReceipt: offers.EffectDone, offers.MailRefund: offers.EffectDone, offers.Thank: offers.EffectDone, offers.MailReason: offers.EffectDone,
		offers.Refunding: offers.RefundMade,
	} {
		shop.On(kind, func(_ context.Context, j offers.Job) (offers.Event, error) {
			return offers.Event{Kind: event, Post: "reply", Intent: "pi_" + string(j.Purchase.ID), Attempt: j.Purchase.Attempt}, nil
		})
	}
	var all []offers.Offer
	for i := range rushOffers {
		tag := fmt.Sprint("Rush", i)
		all = append(all, offers.Offer{
			ID: offers.TagKey(tag), Tag: tag, Title: tag, Seller: "Example Records", Price: offers.Money{Minor: 100, Currency: "USD"},
			Stock: map[string]int{"": offers.Unlimited}, PerBuyer: offers.MaxQuantity,
		})
	}
	return r, shop.Import(ctx, all, false)
}

// run goes on until ctx ends.
func (r *rush) run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { r.outbox.Run(ctx) })
	for buyer := range 24 {
		all.Go(func() {
			account := offers.Account{Network: "x", ID: fmt.Sprint(r.name, "-", buyer)}
			r.insist(ctx, func() error {
				return r.shop.Register(ctx, offers.Buyer{Account: account, Email: "ann@mail.example", Customer: "cus_1", Cards: []offers.Card{{ID: "pm_1"}}}, time.Now())
			})
			for n := 0; ctx.Err() == nil; n++ {
				r.buy(ctx, account, fmt.Sprint(r.name, "-", buyer, "-", n), offers.TagKey(fmt.Sprint("Rush", (buyer+n)%rushOffers)), n)
			}
		})
	}
	all.Wait()
}

// insist does a step until it is answered; its outcome may have been unknown before.
func (r *rush) insist(ctx context.Context, step func() error) (err error) {
	for ctx.Err() == nil {
		if err = step(); err == nil || errors.As(err, new(*offers.Refusal)) {
			return err
		}
	}
	return ctx.Err()
}

// buy goes the way of a purchase; every third is cancelled, every fifth refunded.
func (r *rush) buy(ctx context.Context, by offers.Account, post, offer string, n int) {
	var p offers.Purchase
	step := func(do func() (offers.Purchase, error)) bool {
		err := r.insist(ctx, func() error {
			next, err := do()
			if err == nil {
				p = next
			}
			return err
		})
		if err == nil {
			r.ack(p.ID, p.State)
		}
		return err == nil
	}
	until := func(want offers.State) bool {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for p.State != want && !p.State.Ended() {
			select {
			case <-ctx.Done():
				return false
			case <-tick.C:
			}
			if now, err := r.shop.Purchase(ctx, p.ID); err == nil {
				p = now
			}
		}
		return p.State == want
	}
	if !step(func() (offers.Purchase, error) {
		return r.shop.Wish(ctx, offers.Wish{Post: post, Account: by, Handle: "ann", Offer: offer}, time.Now())
	}) || !until(offers.Coded) {
		return
	}
	if n%3 == 0 {
		step(func() (offers.Purchase, error) { return r.shop.Cancel(ctx, p.ID, by, time.Now()) })
		return
	}
	if !step(func() (offers.Purchase, error) { return r.shop.Echo(ctx, p.Code, by, post+"-echo", time.Now()) }) ||
		!until(offers.Mailed) ||
		!step(func() (offers.Purchase, error) { return r.shop.Press(ctx, p.ID, p.Round, "", time.Now()) }) ||
		!until(offers.Paid) {
		return
	}
	r.ack(p.ID, p.State)
	if n%5 == 0 && step(func() (offers.Purchase, error) {
		return r.shop.RefundPurchase(ctx, p.ID, offers.Money{}, "", time.Now())
	}) {
		until(offers.Refunded)
	}
}

// rank is how far a purchase has come: what was acknowledged can only be behind.
func rank(s offers.State) int {
	return slices.Index([]offers.State{offers.New, offers.Asked, offers.Coded, offers.Echoed, offers.Mailed, offers.Confirmed,
		offers.Paid, offers.Refunded, offers.Cancelled}, s)
}

// checkRush holds a shop to all that was acknowledged, and to itself.
func checkRush(t *testing.T, shop *offers.Shop, acked map[offers.ID]offers.State) {
	t.Helper()
	for id, state := range acked {
		p, err := shop.Purchase(t.Context(), id)
		if err != nil || rank(p.State) < rank(state) {
			t.Errorf("purchase %s was acknowledged as %s and is %q, %v", id, state, p.State, err)
		}
	}
	err := shop.Check(t.Context(), nil, func(f offers.Finding) error {
		t.Errorf("store check: %v", f)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// rushStore, in the environment of this test's binary, makes it a rush on the store
// with that address, which tells what was acknowledged, a line each, until it is
// killed.
const rushStore = "RUSH_STORE"

func rushUntilKilled(where string) int {
	ctx := context.Background()
	cfg := Default()
	cfg.Store = where
	st, err := openStore(ctx, cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		var r *rush
		r, err = newRush(ctx, st, fmt.Sprint(os.Getpid()), func(id offers.ID, s offers.State) {
			fmt.Fprintln(os.Stdout, id, s) // one write, no buffer
		})
		if err == nil {
			r.run(ctx)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

const kills = 20

// TestProcessKilledUnderLoad kills the process 20 times with kill -9 while it sells
// as fast as it can, on SQLite.
func TestProcessKilledUnderLoad(t *testing.T) {
	where := "sqlite:" + filepath.Join(t.TempDir(), "hashtill.db")
	acked := map[offers.ID]offers.State{}
	lines := 0
	for range kills {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), rushStore+"="+where)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		mine := 0
		for in := bufio.NewScanner(out); in.Scan(); {
			id, state, ok := strings.Cut(in.Text(), " ")
			if !ok {
				continue // cut by the kill
			}
			if s := offers.State(state); rank(s) > rank(acked[offers.ID(id)]) {
				acked[offers.ID(id)] = s
			}
			if mine++; mine == 100 {
				cmd.Process.Kill()
			}
		}
		if err := cmd.Wait(); err == nil || ctx.Err() != nil || mine < 100 {
			t.Fatalf("it ended by itself after %d: %v", mine, err)
		}
		cancel()
		lines += mine
	}
	cfg := Default()
	cfg.Store = where
	st, err := openStore(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	finishRush(t, st, acked)
	var out strings.Builder
	if code := run(t.Context(), []string{"store", "check"}, []string{"HASHTILL_STORE=" + where}, &out, &out); code != exitOK {
		t.Errorf("hashtill store check: %d\n%s", code, out.String())
	}
	t.Logf("%d answers for %d purchases over %d kills, none lost", lines, len(acked), kills)
}

// finishRush lets what is owed be done, and checks.
func finishRush(t *testing.T, st store.Store, acked map[offers.ID]offers.State) {
	t.Helper()
	r, err := newRush(t.Context(), st, "last", nil)
	if err != nil {
		t.Fatal(err)
	}
	checkRush(t, r.shop, acked) // as it was left
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error)
	serving, end := context.WithCancel(ctx)
	go func() { ended <- r.outbox.Run(serving) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for owed := 1; owed > 0; <-tick.C {
		if ctx.Err() != nil {
			t.Fatalf("%d effects are still owed and due", owed)
		}
		owed = 0
		for shard := range store.Shards {
			page, _, err := st.Owed(ctx, shard, "", 10_000)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range page {
				if o.Due.Before(time.Now().Add(time.Minute)) { // the others wait for a deadline
					owed++
				}
			}
		}
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	checkRush(t, r.shop, acked)
}

// TestRedisKilledUnderLoad kills redis-server (appendfsync always) 20 times with
// kill -9 under the same load.
func TestRedisKilledUnderLoad(t *testing.T) {
	server := redistest.Start(t, nil)
	cfg := Default()
	cfg.Store = server.URL()
	st, err := openStore(t.Context(), cfg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var mu sync.Mutex
	acked := map[offers.ID]offers.State{}
	lines, grown := 0, make(chan struct{}, 1)
	r, err := newRush(t.Context(), st, "rush", func(id offers.ID, s offers.State) {
		mu.Lock()
		defer mu.Unlock()
		if rank(s) > rank(acked[id]) {
			acked[id] = s
		}
		if lines++; lines%100 == 0 {
			select {
			case grown <- struct{}{}:
			default:
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan struct{})
	go func() { defer close(done); r.run(ctx) }()
	for range kills {
		select {
		case <-grown:
		case <-time.After(time.Minute):
			t.Fatal("nothing goes on")
		}
		server.Kill()
		server.Restart()
	}
	stop()
	<-done
	finishRush(t, st, acked)
	t.Logf("%d answers for %d purchases over %d kills, none lost", lines, len(acked), kills)
}
