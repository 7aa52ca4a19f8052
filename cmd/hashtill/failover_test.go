package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/bot/x/xtest"
	"hashtill/offers"
	"hashtill/store"
	"hashtill/store/redis/redistest"
)

// A diary is a log that can be read while it is written.
type diary struct {
	mu   sync.Mutex
	text strings.Builder
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(p)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

// serve runs hashtill serve in this process until the test ends.
func (w *outside) serve(environ ...string) *diary {
	w.t.Helper()
	var log diary
	ctx, stop := context.WithCancel(w.t.Context())
	ended := make(chan int)
	go func() { ended <- run(ctx, []string{"serve", "--config", w.config}, environ, &log, &log) }()
	w.t.Cleanup(func() {
		stop()
		if code := <-ended; code != exitOK {
			w.t.Errorf("serve ended with %d", code)
		}
		if w.t.Failed() {
			w.t.Log(log.String())
		}
	})
	return &log
}

// wishes posts wishes of accounts that nobody knows.
func (w *outside) wishes(from, to int) (posts []xtest.Post) {
	w.t.Helper()
	for i := from; i < to; i++ {
		who, err := w.x.AddAccount(xtest.Account{Handle: fmt.Sprint("stranger", i)})
		if err != nil {
			w.t.Fatal(err)
		}
		post, err := w.x.Post(who.ID, "@hashtill #BuyTee", xtest.PostOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		posts = append(posts, post)
	}
	return posts
}

// known counts the wishes that the store knows.
func (w *outside) known(ctx context.Context, posts []xtest.Post) (n int) {
	w.t.Helper()
	for _, post := range posts {
		_, err := w.shop.Purchase(ctx, offers.NewID("x", post.ID, "buytee"))
		if err == nil {
			n++
		} else if !errors.Is(err, offers.ErrNotFound) && ctx.Err() != nil {
			w.t.Fatal(err)
		}
	}
	return n
}

// answered counts the replies; nobody may have two.
func (w *outside) answered(posts []xtest.Post) (n int) {
	w.t.Helper()
	for _, post := range posts {
		replies := len(w.x.Replies(post.ID))
		if replies > 1 {
			w.t.Errorf("a wish has %d replies", replies)
		}
		n += replies
	}
	return n
}

// TestFailOverForgets has a master of a Redis Cluster die whose replica has not its
// last commits. Nobody was answered on the strength of these; the service goes on
// within 15 s, and what was forgotten is found again in the feed, under the same ids.
func TestFailOverForgets(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cluster := redistest.StartCluster(t, 3, 1, nil)
	w := newOutsideOn(t, "v2", cluster.URL())
	log := w.serve("HASHTILL_REDIS_WAIT=1")
	if err := w.x.WaitStream(ctx); err != nil {
		t.Fatal(err)
	}
	before := w.wishes(0, 20)
	w.poll(ctx, "the first wishes are not answered", func() bool { return w.answered(before) == len(before) })

	master := cluster.MasterOf(fmt.Sprintf("{s%d}:due", store.ShardOf("buytee")))
	replica := cluster.Replicas(master)[0]
	replica.Pause()
	master.Do("CLIENT", "KILL", "TYPE", "replica") // else what is on its way would still arrive
	during := w.wishes(20, 40)
	w.poll(ctx, "the wishes are not heard", func() bool { return w.known(ctx, during) == len(during) })
	if n := w.answered(during); n > 0 {
		t.Errorf("%d wishes were answered that only one server knew of", n)
	}
	master.Kill()
	died := time.Now()
	replica.Resume()
	w.poll(ctx, "nobody serves the dead master's shards", func() bool {
		quick, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := w.shop.Purchase(quick, offers.NewID("x", before[0].ID, "buytee"))
		return err == nil
	})
	forgotten := len(during) - w.known(ctx, during)
	after := w.wishes(40, 45)
	w.poll(ctx, "new wishes are not answered", func() bool { return w.known(ctx, after) == len(after) })
	away := time.Since(died)
	if away > 15*time.Second {
		t.Errorf("%v until wishes were taken again", away)
	}
	w.poll(ctx, "forgotten wishes are not found again", func() bool { return w.known(ctx, during) == len(during) })

	// The dead one comes back as a replica, and what was held back is done.
	master.Restart()
	all := append(append(before, during...), after...)
	w.poll(ctx, "not all are answered", func() bool { return w.answered(all) == len(all) })
	if forgotten == 0 || !strings.Contains(log.String(), "redis may have forgotten") || !strings.Contains(log.String(), "new_wishes") {
		t.Errorf("%d wishes were forgotten; the log must tell of it, and what was found again", forgotten)
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "caught up") || strings.Contains(line, "forgotten") {
			t.Log(strings.TrimSpace(line))
		}
	}
	t.Logf("of %d acknowledged wishes %d were forgotten and found again; %v from the kill to new wishes taken",
		len(before)+len(during), forgotten, away.Round(time.Millisecond))
}

// readyz is what the pages say of their own health.
func (w *outside) readyz(ctx context.Context) (status int, text string) {
	w.t.Helper()
	cfg, err := Load(w.config, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.PublicURL+"/readyz", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestStoreAway stops Redis under a running shop. The shop falls behind and says so,
// and when Redis is back it has lost nothing.
func TestStoreAway(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	server := redistest.Start(t, nil)
	w := newOutsideOn(t, "v2", server.URL())
	log := w.serve()
	if err := w.x.WaitStream(ctx); err != nil {
		t.Fatal(err)
	}
	before := w.wishes(0, 5)
	w.poll(ctx, "wishes are not answered", func() bool { return w.answered(before) == len(before) })
	w.poll(ctx, "not ready", func() bool {
		status, text := w.readyz(ctx)
		return status == http.StatusOK && strings.Contains(text, "x: listening")
	})

	var said strings.Builder
	if code := run(ctx, []string{"store", "copy", server.URL(), "sqlite:" + filepath.Join(t.TempDir(), "copy.db")}, nil, &said, &said); code != exitUsage || !strings.Contains(said.String(), "stop all of them") {
		t.Errorf("a store in use is copied: %d %s", code, said.String())
	}

	server.Pause()
	during := w.wishes(5, 15)
	w.poll(ctx, "readyz does not tell that the store is away", func() bool {
		status, text := w.readyz(ctx)
		return status == http.StatusServiceUnavailable && strings.Contains(text, "store: ")
	})
	w.poll(ctx, "the log does not tell that the bot is behind", func() bool { return strings.Contains(log.String(), "behind") })
	server.Resume()
	w.poll(ctx, "what was wished meanwhile is not answered", func() bool { return w.answered(during) == len(during) })
	w.poll(ctx, "not ready again", func() bool { status, _ := w.readyz(ctx); return status == http.StatusOK })
	for _, secret := range []string{w.x.Bearer(), w.stripe.Key(), "open-sesame"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestIdleIsCheap counts what a process asks of Redis while nothing happens: it
// polls each shard once a second, and the rest is little.
func TestIdleIsCheap(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server := redistest.Start(t, nil)
	w := newOutsideOn(t, "v2", server.URL())
	log := w.serve()
	if err := w.x.WaitStream(ctx); err != nil {
		t.Fatal(err)
	}
	// At its start it reads the whole store, to hold it to Stripe.
	w.poll(ctx, "not reconciled", func() bool { return strings.Contains(log.String(), "reconciled with Stripe") })
	commands := func() (n int) {
		for line := range strings.Lines(server.Do("INFO", "stats")) {
			fmt.Sscanf(line, "total_commands_processed:%d", &n)
		}
		return n
	}
	// What it looks for at its start may go on for a while: the quietest time counts.
	const window = 4 * time.Second
	perSecond := 0
	for n := range 3 {
		before := commands()
		select {
		case <-time.After(window):
		case <-ctx.Done():
		}
		if now := (commands() - before) / int(window/time.Second); n == 0 || now < perSecond {
			perSecond = now
		}
	}
	if perSecond < store.Shards/2 || perSecond > 2*store.Shards {
		t.Errorf("%d commands a second", perSecond)
	}
	t.Logf("an idle hashtill serve sends %d commands a second", perSecond)
}
