package confirm

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"hashtill/offers"
)

func newLinks(t testing.TB, text string) (*Links, []byte) {
	t.Helper()
	l, codeKey, err := ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return l, codeKey
}

func TestLinkRoundTrip(t *testing.T) {
	l, _ := newLinks(t, NewKeys())
	other, _ := newLinks(t, NewKeys())
	rapid.Check(t, func(t *rapid.T) {
		id := offers.NewID("x", rapid.StringN(1, 20, 20).Draw(t, "post"), rapid.StringN(1, 20, 20).Draw(t, "offer"))
		round := rapid.IntRange(0, maxRound).Draw(t, "round")
		token := l.Sign(id, round)
		if gotID, gotRound, ok := l.Verify(token); !ok || gotID != id || gotRound != round {
			t.Fatalf("%s reads as %s %d %v", token, gotID, gotRound, ok)
		}
		if _, _, ok := other.Verify(token); ok {
			t.Fatal("another shop's key accepts it")
		}
		i := rapid.IntRange(0, len(token)-1).Draw(t, "at")
		with := rapid.SampledFrom(strings.Split("0123456789abcdefghijklmnopqrstuvwxyzABCDEFV.-+ ", "")).Draw(t, "with")
		if forged := token[:i] + with + token[i+1:]; forged != token {
			if _, _, ok := l.Verify(forged); ok {
				t.Fatalf("%s passes for %s", forged, token)
			}
		}
	})
}

func TestKeysRotate(t *testing.T) {
	old, oldCode := newLinks(t, "code aaaaaaaaaaaaaaaaaaaa\n1 bbbbbbbbbbbbbbbbbbbb\n")
	token := old.Sign(offers.NewID("x", "1", "tee"), 1)
	both, newCode := newLinks(t, "# new\n2 cccccccccccccccccccc\n1 bbbbbbbbbbbbbbbbbbbb # old\ncode aaaaaaaaaaaaaaaaaaaa")
	if _, _, ok := both.Verify(token); !ok {
		t.Error("a link that is out died with the rotation")
	}
	if _, _, ok := old.Verify(both.Sign(offers.NewID("x", "1", "tee"), 1)); ok {
		t.Error("the new key does not sign")
	}
	if string(oldCode) != string(newCode) {
		t.Error("the codes changed")
	}
	gone, _ := newLinks(t, "2 cccccccccccccccccccc\ncode aaaaaaaaaaaaaaaaaaaa")
	if _, _, ok := gone.Verify(token); ok {
		t.Error("a removed key is still good")
	}
}

func TestParseKeysRefuses(t *testing.T) {
	for _, text := range []string{
		"", "code aaaaaaaaaaaaaaaaaaaa", "1 aaaaaaaaaaaaaaaaaaaa", "code short\n1 aaaaaaaaaaaaaaaaaaaa",
		"code aaaaaaaaaaaaaaaaaaaa\n1 bbbbbbbbbbbbbbbbbbbb\n1 cccccccccccccccccccc",
		"code aaaaaaaaaaaaaaaaaaaa\ncode bbbbbbbbbbbbbbbbbbbb\n1 cccccccccccccccccccc",
		"code aaaaaaaaaaaaaaaaaaaa\n1.2 bbbbbbbbbbbbbbbbbbbb", "code aaaaaaaaaaaaaaaaaaaa and more\n1 bbbbbbbbbbbbbbbbbbbb",
	} {
		if _, _, err := ParseKeys(text); err == nil {
			t.Errorf("%q was accepted", text)
		} else if strings.Contains(err.Error(), "aaaa") || strings.Contains(err.Error(), "bbbb") {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	l, _ := newLinks(f, "code aaaaaaaaaaaaaaaaaaaa\n1 bbbbbbbbbbbbbbbbbbbb\n")
	f.Add(l.Sign(offers.NewID("x", "1", "tee"), 1))
	f.Add("1.07-0.1.")
	f.Fuzz(func(t *testing.T, token string) {
		if id, round, ok := l.Verify(token); ok && l.Sign(id, round) != token {
			t.Errorf("%q is a second spelling", token)
		}
	})
}
