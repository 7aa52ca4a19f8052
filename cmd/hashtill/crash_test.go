package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	"hashtill/bot/x/xtest"
	"hashtill/offers"
	"hashtill/store"
)

// crashAt, in the environment of this test's binary, makes it hashtill itself, on
// a store that kills the process around a commit: "7 before", "7 after", or "0"
// for never.
const crashAt = "CRASH_AT"

func TestMain(m *testing.M) {
	if at := os.Getenv(crashAt); at != "" {
		os.Exit(serveAndCrash(at))
	}
	if at, there := os.LookupEnv(loadCrash); there {
		os.Exit(loadAndCrash(at))
	}
	testscript.Main(m, map[string]func(){"hashtill": main})
}

func serveAndCrash(at string) int {
	var n int64
	var when string
	fmt.Sscan(at, &n, &when)
	e := &env{ctx: context.Background(), environ: os.Environ(), out: os.Stdout, err: os.Stderr, config: os.Args[1]}
	err := e.serve(
		func(st store.Store) store.Store { return &crashing{Store: st, at: n, before: when == "before"} },
		func(s *system) { // so that what the dead held is soon free again
			s.outbox.LeaseFor = time.Second
			s.shop.Silence = time.Second
		},
	)
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// loadCrash, in the environment of this test's binary, makes it hashtill itself, but
// where demo --load would be called, on a store that kills the process: "before commit
// 7", "after lease 3", or "" for never.
const loadCrash = "LOAD_CRASH"

func loadAndCrash(at string) int {
	ctx := context.Background()
	environ := slices.DeleteFunc(os.Environ(), func(e string) bool { return !strings.HasPrefix(e, envPrefix) })
	c := &crashing{}
	var when, what string
	if fmt.Sscan(at, &when, &what, &c.at); what == "" {
		return run(ctx, os.Args[1:], environ, os.Stdout, os.Stderr)
	}
	c.before, c.atLease = when == "before", what == "lease"
	var call cli
	parser, err := kong.New(&call)
	if err == nil {
		_, err = parser.Parse(os.Args[1:])
	}
	if err == nil {
		e := &env{ctx: ctx, environ: environ, out: os.Stdout, err: os.Stderr, config: call.Config}
		err = call.Demo.loadConfigured(e, func(st store.Store) store.Store { c.Store = st; return c })
	}
	fmt.Fprintln(os.Stderr, err)
	return exitFailed
}

// crashing is a store under which the process dies, as by kill -9.
type crashing struct {
	store.Store
	commits atomic.Int64
	at      int64
	before  bool

	atLease bool // count leases that hand something out, and not commits
	leases  atomic.Int64
}

// Lease counts those that hand something out; before one it cannot know.
func (c *crashing) Lease(ctx context.Context, now, until time.Time, limit int) ([]store.Lease, error) {
	if c.atLease && c.before && c.leases.Load() == c.at-1 {
		die()
	}
	leases, err := c.Store.Lease(ctx, now, until, limit)
	if c.atLease && len(leases) > 0 && c.leases.Add(1) == c.at {
		die()
	}
	return leases, err
}

// Commit counts those of purchases: the others come as time passes.
func (c *crashing) Commit(ctx context.Context, change store.Change) error {
	if len(change.Put) > 0 && (strings.HasPrefix(change.Put[0].Key, "held/") || strings.HasPrefix(change.Put[0].Key, "cursor/")) {
		return c.Store.Commit(ctx, change)
	}
	if c.atLease {
		return c.Store.Commit(ctx, change)
	}
	n := c.commits.Add(1)
	if n == c.at && c.before {
		die()
	}
	err := c.Store.Commit(ctx, change)
	if n == c.at {
		die()
	}
	return err
}

func die() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // nothing of this goroutine happens any more
}

// TestKilledBetweenCommits buys one thing again and again, and each time the
// process is killed around another commit: just before it, when the outside deed
// that it writes down is done, and just after it. A restart must end every
// purchase with one charge, one code and no unit lost.
func TestKilledBetweenCommits(t *testing.T) {
	const most = 18 // commits in the life of a purchase, and some more
	var mu sync.Mutex
	killed := map[int64]int{}
	t.Run("kill", func(t *testing.T) {
		for n := int64(1); n <= most; n++ {
			for _, when := range []string{"before", "after"} {
				t.Run(fmt.Sprintf("%s commit %d", when, n), func(t *testing.T) {
					t.Parallel()
					died := buyAndCrash(t, fmt.Sprint(n, " ", when))
					mu.Lock()
					defer mu.Unlock()
					if died {
						killed[n]++
					}
				})
			}
		}
	})
	if killed[10] != 2 || killed[most] != 0 {
		t.Errorf("killed around these commits: %v; want all of a purchase's, and then none", killed)
	}
}

// mortal is a hashtill serve in a process of its own.
type mortal struct {
	t      *testing.T
	config string
	env    []string // besides ours
	cmd    *exec.Cmd
	died   chan struct{}
	output strings.Builder
}

func (m *mortal) start(at string) {
	m.t.Helper()
	m.cmd = exec.Command(os.Args[0], m.config)
	m.cmd.Env = append(append(os.Environ(), m.env...), crashAt+"="+at)
	m.cmd.Stdout, m.cmd.Stderr = &m.output, &m.output
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	died := make(chan struct{})
	m.died = died
	cmd := m.cmd
	go func() { cmd.Wait(); close(died) }()
}

func (m *mortal) dead() bool {
	select {
	case <-m.died:
		return true
	default:
		return false
	}
}

func (m *mortal) kill() {
	m.cmd.Process.Kill()
	<-m.died
}

func buyAndCrash(t *testing.T, at string) (killed bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	w := newOutside(t, "v2")
	serving := &mortal{t: t, config: w.config}
	serving.start(at)
	defer func() {
		serving.kill()
		if t.Failed() {
			t.Log(serving.output.String())
		}
	}()

	// A patient buyer: does the next step, and does it again when the shop was
	// away meanwhile.
	var wish, echo xtest.Post
	var id offers.ID
	wished, echoed := false, false
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p, err := w.shop.Purchase(context.Background(), id)
			t.Fatalf("not done in time: %s %s, %v", p.State, p.Reason, err)
		case <-tick.C:
		}
		if serving.dead() {
			if killed {
				t.Fatalf("died a second time")
			}
			killed, wished, echoed = true, false, false
			serving.start("0")
			if err := w.x.WaitNoStream(ctx); err != nil {
				t.Fatal(err)
			}
		}
		var p offers.Purchase
		var err error
		if id != "" {
			if p, err = w.shop.Purchase(ctx, id); err != nil && !errors.Is(err, offers.ErrNotFound) {
				t.Fatal(err)
			}
		}
		switch p.State {
		case offers.New:
			if !wished && w.listening(ctx) {
				if wish, err = w.x.Post(w.buyer.ID, "@hashtill #BuyTee", xtest.PostOptions{}); err != nil {
					t.Fatal(err)
				}
				id = offers.NewID("x", wish.ID, "buytee")
				wished = true
			}
		case offers.Coded:
			if !echoed && w.listening(ctx) {
				if echo, err = w.x.Post(w.buyer.ID, "@hashtill "+p.Code.Hashtag(), xtest.PostOptions{}); err != nil {
					t.Fatal(err)
				}
				echoed = true
			}
		case offers.Mailed:
			w.press(ctx)
		case offers.Paid:
			if w.settled(ctx) {
				if p.Echo != echo.ID {
					t.Errorf("echoed by %s, not by %s", p.Echo, echo.ID)
				}
				w.check(p)
				return killed
			}
		}
	}
}
