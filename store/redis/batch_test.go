package redis_test

import (
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"hashtill/store/redis"
	"hashtill/store/redis/redistest"
)

// A batch that comes late, after it was given up and a later one was done, does
// nothing; and the same batch twice is done once.
func TestBatchNumbers(t *testing.T) {
	server := redistest.Start(t, nil)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	defer client.Close()
	call := func(number, by string) string {
		answer, err := client.Eval(t.Context(), redis.CommitLua, []string{"{s0}:last:p", "{s0}:due", "{s0}:c:n", "{s0}:i:1"},
			number, "60000", packed("\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00", "\x01", "0", "100", by, "cn")).Text()
		if err != nil {
			return err.Error()
		}
		return answer
	}
	for _, c := range []struct{ number, by, answer, n string }{
		{"1", "1", "ok", "1"},
		{"1", "1", "ok", "1"},
		{"3", "10", "ok", "11"},
		{"3", "10", "ok", "11"},
		{"2", "20", "LATE", "11"},
		{"4", "99", "ok", "110"},
		{"5", "1", "b1", "110"},
	} {
		if got := call(c.number, c.by); !strings.Contains(got, c.answer) || server.Do("GET", "{s0}:c:n") != c.n {
			t.Errorf("batch %s: %q and %s, want %q and %s", c.number, got, server.Do("GET", "{s0}:c:n"), c.answer, c.n)
		}
	}
}

// What the Changes of one batch do to the same effect, one after the other, stands as if
// each had come alone: an id that was settled or dropped is owed again.
func TestOwedAgainInOneBatch(t *testing.T) {
	server := redistest.Start(t, nil)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	defer client.Close()
	const sizes = "\x00\x00\x00\x00\x00\x00\x00\x00\x00" // and the drops
	owe := func(due string) []string {
		return []string{"\x01" + sizes, "\x01", due, "e", "kind", "body"}
	}
	drop := []string{sizes + "\x01", "\x01", "e"}
	effect := []string{"{s0}:e:e", "{s0}:i:1"}
	for n, c := range []struct {
		changes [][]string
		due     string
	}{
		{[][]string{owe("5"), drop, owe("7")}, "7"},
		{[][]string{drop}, ""},
		{[][]string{owe("5"), drop}, ""},
		{[][]string{owe("5")}, "5"},
		{[][]string{drop, owe("6")}, "6"},
		{[][]string{drop, owe("7"), drop, owe("8")}, "8"},
	} {
		keys, args := []string{"{s0}:last:p", "{s0}:due"}, []string{}
		for _, change := range c.changes {
			keys, args = append(keys, effect...), append(args, change...)
		}
		answer, err := client.Eval(t.Context(), redis.CommitLua, keys, n+1, 60000, packed(args...)).Text()
		if want := strings.TrimSpace(strings.Repeat("ok ", len(c.changes))); err != nil || answer != want {
			t.Fatalf("batch %d: %q, %v", n, answer, err)
		}
		if due := server.Do("ZSCORE", "{s0}:due", "e"); due != c.due {
			t.Errorf("after batch %d it is due at %q, want %q", n, due, c.due)
		}
	}
}

// packed is an array of short strings as MessagePack has it.
func packed(short ...string) string {
	all := "\xdc\x00" + string([]byte{byte(len(short))})
	for _, s := range short {
		all += string([]byte{0xa0 | byte(len(s))}) + s
	}
	return all
}

// A key that a hand has spoiled ends a batch in its middle. What was done before stays
// done, and what it owes is due.
func TestSpoiledKey(t *testing.T) {
	server := redistest.Start(t, nil)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	defer client.Close()
	server.Do("SET", "{s0}:e:spoiled", "by hand")
	owe := []string{"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", "\x01", "5", "e", "kind", "body"}
	settle := []string{"\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00", "\x01", "1", "spoiled"}
	keys := []string{"{s0}:last:p", "{s0}:due", "{s0}:e:e", "{s0}:i:1", "{s0}:e:spoiled", "{s0}:i:2"}
	err := client.Eval(t.Context(), redis.CommitLua, keys, 1, 60000, packed(append(owe, settle...)...)).Err()
	if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("it is answered by %v", err)
	}
	if kind, due := server.Do("HGET", "{s0}:e:e", "kind"), server.Do("ZSCORE", "{s0}:due", "e"); kind != "kind" || due != "5" {
		t.Errorf("an effect of kind %q is due at %q", kind, due)
	}
}
