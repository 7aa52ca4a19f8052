package bot

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"hashtill/offers"
)

// FuzzSpotter: of hashtags that count as the same, the index knows each if it knows one;
// and a code is one in whatever spelling Read takes.
func FuzzSpotter(f *testing.F) {
	code := string(offers.NewCode([]byte("key"), "id", 0))
	for _, tag := range []string{"", "#", "BuyHat", "＃BuyHat", "Größe", "GRÖSSE", "帽子", "ＢｕｙＴｅｅ", "İstanbul", "ΣΊΣΥΦΟΣ", "ﬀ", "ǅ", "K",
		"今日のカレー部_7", "か\u3099", "Ｂ帽", "帽B", "゛", "ヿ", "한글", "ᄒ\u1161\u11ab", "q\u0307\u0323", "\u0344", "ŉ", "\xff", code, strings.ToUpper(code), code[:3] + "\u0301_" + code[3:],
		strings.Repeat("a\u0300", 40), strings.Repeat("x", 500), strings.Repeat("é", 500)} {
		f.Add(tag)
	}
	s, none := NewSpotter(), IndexTags(nil)
	f.Fuzz(func(t *testing.T, raw string) {
		tag := strings.ToValidUTF8(raw, "\ufffd") // as encoding/json has it
		key := offers.TagKey(tag)
		if !s.May(IndexTags([]string{key}), []byte(tag)) && offers.TagKey(key) == key { // else it is no offer's
			t.Errorf("%q is not known by its key %q", tag, key)
		}
		if _, ok := firstCode([]string{tag}); ok && !s.May(none, []byte(raw)) {
			t.Errorf("%q is a code", raw)
		}
	})
}

// TestSteady: a hashtag that is steady is its own key, and cannot be a code.
func TestSteady(t *testing.T) {
	n := 0
	for r := rune(utf8.RuneSelf); r <= unicode.MaxRune; r++ {
		tag := "a" + string(r) + "_7"
		if !steady([]byte(tag)) {
			continue
		}
		n++
		if offers.TagKey(tag) != tag || !unicode.IsLetter(r) {
			t.Errorf("%U is taken for steady", r)
		}
	}
	if n < 20_000 {
		t.Errorf("only %d characters are steady", n)
	}
	for _, tag := range []string{"帽B", "#帽", "帽 ", "か\u3099", "\xff"} {
		if steady([]byte(tag)) {
			t.Errorf("%q is taken for steady", tag)
		}
	}
}

func TestTagIndex(t *testing.T) {
	const tags = 100_000
	var before, after runtime.MemStats
	list := make([]string, tags)
	for i := range list {
		list[i] = fmt.Sprintf("BuyThing%dNow", i)
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := IndexTags(list)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := float64(after.HeapAlloc-before.HeapAlloc) / tags; each > 100 {
		t.Errorf("%.0f bytes a hashtag", each)
	}
	s := NewSpotter()
	for _, tag := range list {
		if !s.May(x, []byte(strings.ToUpper(tag))) {
			t.Fatalf("%s is not known", tag)
		}
		if s.May(x, []byte(tag+"x")) {
			t.Fatalf("%sx is known", tag)
		}
	}
	if s.May(IndexTags(nil), []byte("hat")) {
		t.Error("an empty index knows a hashtag")
	}
	runtime.KeepAlive(list)
}
