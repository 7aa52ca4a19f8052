package offers

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"hashtill/store"
)

func TestCodeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offer := rapid.StringN(1, 20, 40).Draw(t, "offer")
		id := NewID("x", rapid.StringMatching(`[0-9]{19}`).Draw(t, "post"), offer)
		key := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")
		nonce := rapid.IntRange(0, 9).Draw(t, "nonce")
		c := NewCode(key, id, nonce)
		if !regexp.MustCompile(`^([bdfghjklmnprstvz][aiou]){5}[a-z23]$`).MatchString(string(c)) {
			t.Fatalf("%q cannot be said aloud", c)
		}
		if c.Shard() != id.Shard() || c.Shard() != store.ShardOf(offer) {
			t.Fatalf("code in shard %d, purchase in %d, offer in %d", c.Shard(), id.Shard(), store.ShardOf(offer))
		}
		for _, typed := range []string{string(c), c.Hashtag(), strings.ToUpper(string(c)), "＃" + string(c)} {
			if back, ok := ParseCode(typed); !ok || back != c {
				t.Fatalf("%q was read as %q, %v", typed, back, ok)
			}
		}
		if NewCode(key, id, nonce) != c {
			t.Fatal("the same purchase got another code")
		}
		if NewCode(key, id, nonce+1) == c {
			t.Fatal("the next nonce gave the same code")
		}
	})
}

// Every single slip of the finger is noticed.
func TestCodeNoticesSlips(t *testing.T) {
	c := string(NewCode([]byte("key"), NewID("x", "1", "tee"), 0))
	for i := range c {
		for _, r := range "abcdefghijklmnopqrstuvwxyz0123456789" {
			slip := c[:i] + string(r) + c[i+1:]
			if _, ok := ParseCode(slip); ok && slip != c {
				t.Errorf("%q passes for %q", slip, c)
			}
		}
		if i > 0 {
			slip := c[:i-1] + c[i:i+1] + c[i-1:i] + c[i+1:]
			if _, ok := ParseCode(slip); ok && slip != c {
				t.Errorf("%q passes for %q", slip, c)
			}
		}
	}
}

func FuzzParseCode(f *testing.F) {
	f.Add("bozulapitak")
	f.Add("#")
	f.Add("＃ＢＯＺＵ")
	f.Fuzz(func(t *testing.T, s string) {
		if c, ok := ParseCode(s); ok {
			if again, ok := ParseCode(c.Hashtag()); !ok || again != c {
				t.Errorf("%q is read as %q, that as %q", s, c, again)
			}
		}
	})
}
