package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
	"hashtill/store"
	"hashtill/store/redis/redistest"
	"hashtill/store/sqlite"
)

// What `go run ./cmd/dev kill` says. Without a binary the test's own one is killed.
var (
	killRuns    = flag.Int("kill-runs", 20, "how often the shop is killed")
	killCommits = flag.Int("kill-commits", 120, "how many commits a run has, on average")
	killSeed    = flag.Uint64("kill-seed", 1, "what is drawn depends on it")
	killBinary  = flag.String("kill-binary", "", "the hashtill to kill")
)

// TestKilledOnSQLite kills hashtill with kill -9 again and again while it sells as fast
// as it can, at random and at named points, and holds what is left to all that was
// acknowledged, and to the money at Stripe.
func TestKilledOnSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hashtill.db")
	newSiege(t, "sqlite:"+path, nil).run(t.Context())
}

// TestKilledOnRedis does the same on a Redis that writes each commit to its disk, and
// at times kills redis-server too.
func TestKilledOnRedis(t *testing.T) {
	server := redistest.Start(t, nil)
	newSiege(t, server.URL(), server).run(t.Context())
}

// A siege is one store, and one hashtill after the other that dies on it.
type siege struct {
	*outside
	*witness
	redis   *redistest.Server
	environ []string
	random  *rand.Rand
	cfg     Config
	dir     string
	start   time.Duration // from the beginning of a process until it serves
	armed   atomic.Pointer[trap]
	kills   map[string]int
	runs    int
}

func newSiege(t *testing.T, where string, server *redistest.Server) *siege {
	t.Helper()
	s := &siege{
		witness: newWitness(), redis: server,
		random: rand.New(rand.NewPCG(*killSeed, 0)), dir: t.TempDir(), kills: map[string]int{},
	}
	s.outside, s.cfg, s.environ = newLoaded(t, where)
	s.witness.stripe = s.outside.stripe
	s.open = func() (store.Store, error) { return openStore(context.Background(), s.cfg, silent) }
	s.newShop = func(st store.Store) (*offers.Shop, error) {
		shop, _, err := openShop(context.Background(), s.cfg, st, silent, time.Now)
		return shop, err
	}
	// A look that stays open would do for the next process what it must do itself: bring
	// the log of the dead one into order.
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	s.outside.stripe.AfterDeed(func(c stripetest.Call) {
		if trap := s.armed.Load(); trap != nil && trap.deed.MatchString(c.Method+" "+c.Path) && trap.left.Add(-1) == 0 {
			trap.kill()
		}
	})
	return s
}

// A trap kills after so many deeds of a kind at Stripe, before any is answered.
type trap struct {
	deed *regexp.Regexp
	left atomic.Int64
	kill func()
}

// A point is where a process dies.
type point struct {
	name  string
	crash string         // in its own store: "before commit", after so many
	deed  *regexp.Regexp // at Stripe
	also  string         // what else is done when so many commits were told
}

var (
	anywhere = point{name: "at random, under load"}
	starting = point{name: "at random, while it starts"}
	named    = []point{
		{name: "before a commit", crash: "before commit"},
		{name: "after a commit, before it is told", crash: "after commit"},
		{name: "before a lease", crash: "before lease"},
		{name: "after a lease, before any of it is done", crash: "after lease"},
		{name: "a payment made, not answered", deed: regexp.MustCompile(`^POST /v1/payment_intents$`)},
		{name: "a card charged, not answered", deed: regexp.MustCompile(`^POST /v1/payment_intents/[^/]+/confirm$`)},
		{name: "money paid back, not answered", deed: regexp.MustCompile(`^POST /v1/refunds$`)},
	}
	onSQLite = []point{{name: "during a backup, and the backup too", also: "backup"}}
	onRedis  = []point{
		{name: "with redis-server", also: "redis"},
		{name: "after redis-server alone was killed", also: "redis alone"},
	}
)

// draw chooses where the n-th process dies: every second at a named point.
func (s *siege) draw(n int) point {
	all := slices.Concat(named, onSQLite)
	if s.redis != nil {
		all = slices.Concat(named, onRedis)
	}
	switch {
	case n%2 == 1:
		return all[n/2%len(all)]
	case n%16 == 8:
		return starting
	}
	return anywhere
}

func (s *siege) run(ctx context.Context) {
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the seed was %d", *killSeed)
		}
	}()
	began, told := time.Now(), time.Now()
	for n := range *killRuns {
		at := s.draw(n)
		s.live(ctx, n, at)
		// The one who opens the store first after a death is now this process, now the
		// next hashtill.
		if s.random.IntN(2) == 0 {
			s.lookNow(ctx)
		}
		if len(s.complain) > 0 || s.t.Failed() {
			s.t.Errorf("run %d, killed %s", n, at.name)
			break
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			left := time.Duration(float64(time.Since(began)) / float64(n+1) * float64(*killRuns-n-1))
			fmt.Fprintf(s.t.Output(), "run %d of %d: %d commits, %d purchases, %d charges, no violation; about %s left\n",
				n+1, *killRuns, s.commits, len(s.bought), s.charges, left.Round(time.Second))
		}
	}
	s.lookNow(ctx)
	var states map[offers.State]int
	if len(s.complain) == 0 { // else much can follow from what is forgotten
		states = s.finish(ctx)
	}
	s.report(s.t.Output(), s.runs, s.kills, states)
	for _, complaint := range s.complain[:min(len(s.complain), 20)] {
		s.t.Error(complaint)
	}
}

func (s *siege) lookNow(ctx context.Context) {
	if err := s.look(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// load is the command that is killed.
func (s *siege) load(ctx context.Context, crash string, args ...string) *exec.Cmd {
	args = append([]string{"demo", "--load", "--json", "--for=0", "--config=" + s.config}, args...)
	binary := *killBinary
	if binary == "" || crash != "" {
		binary = os.Args[0]
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), s.environ...)
	if binary == os.Args[0] {
		cmd.Env = append(cmd.Env, loadCrash+"="+crash)
	}
	return cmd
}

// live has one process serve until it is killed.
func (s *siege) live(ctx context.Context, n int, at point) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	after := 1 + s.random.IntN(2**killCommits)
	crash := ""
	switch {
	case strings.HasSuffix(at.crash, "lease"):
		crash = fmt.Sprint(at.crash, " ", 1+after/16) // a lease hands out many
	case at.crash != "":
		crash = fmt.Sprint(at.crash, " ", after)
	}
	// So many at once that some come to their end before the process does.
	cmd := s.load(ctx, crash, fmt.Sprint("--buyers=", min(max(*killCommits/16, 4), 64)))
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	kill := func() { cmd.Process.Kill() }
	if at.deed != nil {
		trap := &trap{deed: at.deed, kill: kill}
		trap.left.Store(int64(1 + after/20)) // of a purchase's commits
		s.armed.Store(trap)
		defer s.armed.Store(nil)
	}
	if at == starting {
		timer := time.AfterFunc(time.Duration(s.random.Float64()*1.5*float64(s.start)), kill)
		defer timer.Stop()
	}
	var others sync.WaitGroup
	mine := 0
	for in := bufio.NewScanner(out); in.Scan(); {
		f, ok := s.take(in.Bytes())
		if !ok {
			continue // cut off by the kill
		}
		if f.Serving && s.start == 0 {
			s.start = time.Since(began)
		}
		if !f.Commit {
			continue
		}
		mine++
		switch {
		case mine == after && at.also == "backup":
			others.Go(func() { s.killDuringBackup(ctx, n, kill) })
		case mine == after && at.also == "redis":
			s.redis.Kill()
			kill()
		case mine == after && at.also == "redis alone":
			s.redis.Kill()
			s.redis.Restart()
			at.also, after = "", after+*killCommits
		case mine == after && (at == anywhere || at.name == onRedis[1].name):
			kill()
		case mine == 8**killCommits && at.also == "": // the point has not come
			at = anywhere
			kill()
		}
	}
	err = cmd.Wait()
	others.Wait()
	if at.also == "redis" {
		s.redis.Restart()
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ctx.Err() != nil || !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		s.t.Fatalf("run %d, to be killed %s after %d: it ended with %v after %d commits\n%s", n, at.name, after, err, mine, complaint.String())
	}
	s.kills[at.name]++
	s.runs++
}

// killDuringBackup begins a backup beside the process that serves, and kills both at
// some moment. A backup that has its name is whole.
func (s *siege) killDuringBackup(ctx context.Context, n int, kill func()) {
	path := filepath.Join(s.dir, fmt.Sprintf("backup-%d.db", n))
	cmd := s.load(ctx, "", "--help")
	cmd.Args = append(cmd.Args[:1], "store", "backup", "--config="+s.config, path)
	if err := cmd.Start(); err != nil {
		s.t.Error(err)
		return
	}
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); {
		_, begun := os.Stat(path + ".part")
		_, whole := os.Stat(path)
		if begun == nil || whole == nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
	kill()
	cmd.Process.Kill()
	cmd.Wait()
	if _, err := os.Stat(path); err == nil {
		db, err := sqlite.Open(ctx, path)
		if err == nil {
			err = errors.Join(db.Check(ctx), db.Close())
		}
		if err != nil {
			s.t.Errorf("a backup that has its name: %v", err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		s.t.Error(err)
	}
	os.Remove(path)
	os.Remove(path + ".part")
}

// finish has one more process do all that is owed, with nobody buying, and looks at
// everything.
func (s *siege) finish(ctx context.Context) (states map[offers.State]int) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second+time.Duration(*killRuns)*600*time.Millisecond)
	defer cancel()
	began := time.Now()
	tell := func(what string) {
		fmt.Fprintf(s.t.Output(), "%s after %s\n", what, time.Since(began).Round(100*time.Millisecond))
	}
	cmd := s.load(ctx, "", "--buyers=0")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	for in := bufio.NewScanner(out); in.Scan(); {
		s.take(in.Bytes())
	}
	if err := cmd.Wait(); err != nil {
		s.t.Fatalf("what was owed is not done: %v\n%s", err, complaint.String())
	}
	tell("all that is owed is done")
	s.lookNow(ctx)
	if states, err = s.lastLook(ctx); err != nil {
		s.t.Fatal(err)
	}
	tell("all that was acknowledged is looked for")
	for _, args := range [][]string{{"store", "check"}, {"reconcile", "--settle=0s", "--dry-run"}} {
		var said strings.Builder
		if code := run(ctx, append(args, "--config="+s.config), s.environ, &said, &said); code != exitOK {
			s.violation("hashtill %s: %d\n%s", strings.Join(args, " "), code, said.String())
		}
		tell("hashtill " + strings.Join(args, " "))
	}
	keys := map[string]map[string]bool{} // of what was asked of Stripe; no card of a load is declined
	for _, c := range s.outside.stripe.Calls() {
		about := c.Path + " " + c.Params.Get("metadata[purchase]")
		if c.Method != http.MethodPost || !strings.HasSuffix(c.Path, "/confirm") && strings.HasSuffix(about, " ") {
			continue
		}
		if keys[about] == nil {
			keys[about] = map[string]bool{}
		}
		if c.IdempotencyKey == "" && c.Status != http.StatusOK {
			continue // a request that the kill has cut off
		}
		// Behind the plus is the slot of a second key, which the till takes when the first
		// has brought an answer that decides nothing.
		key, _, _ := strings.Cut(c.IdempotencyKey, "+")
		if keys[about][key] = true; len(keys[about]) == 2 {
			s.violation("Stripe was asked for %s under %q", about, slices.Sorted(maps.Keys(keys[about])))
		}
	}
	return states
}
