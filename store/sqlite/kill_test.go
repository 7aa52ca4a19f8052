package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/store"
)

// childPath tells this test binary that it is the child of TestKilled.
const childPath = "HASHTILL_TEST_KILLED"

// TestKilled kills a process with SIGKILL while many goroutines of it commit, in
// several rounds on one file. Everything that it acknowledged must be there, whole.
// It says nothing about a loss of power.
func TestKilled(t *testing.T) {
	if path := os.Getenv(childPath); path != "" {
		commitUntilKilled(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "hashtill.db")
	acked := map[string]int{}
	const rounds = 20
	for round := range rounds {
		before := len(acked)
		for _, line := range killedAfter(t, path, 100+20*round) {
			acked[line]++
		}
		if len(acked) == before {
			t.Fatalf("round %d: the child acknowledged nothing", round)
		}
		verifyKilled(t, path, acked)
	}
	t.Logf("%d acknowledged commits in %d rounds", len(acked), rounds)
}

// killedAfter runs the child until it has acknowledged that many commits, kills
// it, and returns all that it had acknowledged when it died.
func killedAfter(t *testing.T, path string, acks int) (lines []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilled$")
	child.Env = append(os.Environ(), childPath+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(out); in.Scan(); {
		if lines = append(lines, in.Text()); len(lines) == acks {
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := child.Wait(); err == nil || ctx.Err() != nil || len(lines) < acks {
		t.Fatalf("the child ended by itself: %v, after %d of %d", err, len(lines), acks)
	}
	return lines
}

// commitUntilKilled is the child: it writes a line for every Change whose Commit
// has returned nil. A "made" Change makes a record, owes an effect and counts one;
// a "settled" one settles that effect, makes a record and counts one. An "added"
// one only counts one, without a guard that would keep it from happening twice.
func commitUntilKilled(t *testing.T, path string) {
	db := open(t, path)
	ctx := t.Context()
	ack := func(what string) {
		// One write, no buffer: what is acknowledged is in the pipe at once.
		fmt.Fprintln(os.Stdout, what)
	}
	run := fmt.Sprint(os.Getpid(), ":")
	var all sync.WaitGroup
	for worker := range 32 {
		all.Go(func() {
			for n := 0; ; n++ {
				name := fmt.Sprint(run, worker, ":", n)
				err := db.Commit(ctx, store.Change{
					Shard: worker % 4,
					Put:   []store.Put{{Key: "made:" + name, Value: make([]byte, 200)}},
					Owe:   []store.Effect{{ID: name, Due: time.UnixMilli(int64(n))}},
					Add:   []store.Add{{Key: "made", By: 1, Max: 1 << 40}},
				})
				if err != nil {
					t.Error(err)
					return
				}
				ack(fmt.Sprint(worker%4, " made:", name))
			}
		})
	}
	for worker := range 8 {
		all.Go(func() {
			key := fmt.Sprint("added:", run, worker)
			for {
				err := db.Commit(ctx, store.Change{Shard: worker % 4, Add: []store.Add{{Key: key, By: 1, Max: 1 << 40}}})
				if err != nil {
					t.Error(err)
					return
				}
				ack(fmt.Sprint(worker%4, " ", key))
			}
		})
	}
	for range 4 {
		all.Go(func() {
			for {
				now := time.Now()
				leases, err := db.Lease(ctx, now, now.Add(time.Hour), 10)
				if err != nil {
					t.Error(err)
					return
				}
				for _, l := range leases {
					err := db.Commit(ctx, store.Change{
						Shard:  l.Shard,
						Settle: []store.Settle{{ID: l.ID, Try: l.Try}},
						Put:    []store.Put{{Key: "settled:" + l.ID, Value: []byte("v")}},
						Add:    []store.Add{{Key: "settled", By: 1, Max: 1 << 40}},
					})
					if err != nil {
						t.Error(err)
						return
					}
					ack(fmt.Sprint(l.Shard, " settled:", l.ID))
				}
			}
		})
	}
	all.Wait()
}

// verifyKilled opens what the child left behind.
func verifyKilled(t *testing.T, path string, acked map[string]int) {
	t.Helper()
	db := open(t, path)
	there := map[string]int{} // how often each thing has happened
	for shard := range 4 {
		recs, _, err := db.Scan(t.Context(), shard, "", "", 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			there[fmt.Sprint(shard, " ", r.Key)] = 1
		}
		owed, _, err := db.Owed(t.Context(), shard, "", 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range owed {
			if there[fmt.Sprint(shard, " made:", o.ID)] == 0 || there[fmt.Sprint(shard, " settled:", o.ID)] > 0 {
				t.Errorf("effect %s is owed without its record, or though settled", o.ID)
			}
		}
		made, settled := 0, 0
		for _, r := range recs {
			if strings.HasPrefix(r.Key, "made:") {
				made++
			} else {
				settled++
			}
		}
		counts, err := db.Counts(t.Context(), shard, "made", "settled")
		if err != nil || counts[0] != int64(made) || counts[1] != int64(settled) || len(owed) != made-settled {
			t.Errorf("shard %d: %d made, %d settled, %d owed, counts %v, %v: not whole", shard, made, settled, len(owed), counts, err)
		}
		adds, _, err := db.ScanCounts(t.Context(), shard, "added:", "", 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range adds {
			there[fmt.Sprint(shard, " ", c.Key)] = int(c.N)
		}
	}
	for line, times := range acked {
		if there[line] < times {
			t.Errorf("acknowledged %d times, happened %d times: %s", times, there[line], line)
		}
	}
	for line, times := range there {
		// At most one Add of each worker was under way when it died.
		if strings.Contains(line, " added:") && times > acked[line]+1 {
			t.Errorf("acknowledged %d times, happened %d times: %s", acked[line], times, line)
		}
	}
	if err := errors.Join(db.Check(t.Context()), db.Close()); err != nil {
		t.Error(err)
	}
}
