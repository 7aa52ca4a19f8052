package x

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"hashtill/bot"
)

// BenchmarkHear looks at lines of the filtered stream that nobody needs to hear, with
// catalogues of that many hashtags. The limit is to look for each '#', and decode is what
// is saved.
func BenchmarkHear(b *testing.B) {
	lines := make([][]byte, 1000)
	for i := range lines {
		text := fmt.Sprintf("so much weather today, and more to come #weather%d #Tuesday%d [1]\\nhttps://t.co/abcdefghij", i*7919%10007, i)
		lines[i] = []byte(plainPost(text, hashtagsIn(fmt.Sprint("weather", i*7919%10007), fmt.Sprint("Tuesday", i))))
		if i%4 == 0 {
			lines[i] = []byte(relatedPost("replied_to", `"in_reply_to_user_id":"12",`, strangerPost))
		}
	}
	b.Run("limit", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			for rest := lines[i%len(lines)]; ; {
				at := bytes.IndexByte(rest, '#')
				if at < 0 {
					break
				}
				rest = rest[at+1:]
			}
		}
	})
	for _, n := range []int{1, 1_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tags := make([]string, n)
			for i := range tags {
				tags[i] = fmt.Sprintf("BuyThing%d", i)
			}
			g, index := newGlance(meID, "HatShop"), bot.IndexTags(tags)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, may := g.may(lines[i%len(lines)], index); may {
					b.Fatalf("no miss: %s", lines[i%len(lines)])
				}
			}
		})
	}
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := json.Unmarshal(lines[i%len(lines)], new(message)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
