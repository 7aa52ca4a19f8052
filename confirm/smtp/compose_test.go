package smtp

import (
	"bytes"
	"errors"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message/mail"

	"hashtill/confirm"
	"hashtill/offers"
)

func TestMessageID(t *testing.T) {
	for id, want := range map[string]string{
		"mail-link/07-abc/1": "mail-link/07-abc/1@d.example",
		"a.b..c":             "a=2Eb=2E=2Ec@d.example",
		"a=2Eb":              "a=3D2Eb@d.example",
		"a b<c>@d\r\n":       "a=20b=3Cc=3E=40d=0D=0A@d.example",
	} {
		if got := messageID(id, "d.example"); got != want {
			t.Errorf("messageID(%q) = %q, want %q", id, got, want)
		}
	}
}

func FuzzMessageID(f *testing.F) {
	f.Add("a.b", "a=2Eb")
	f.Add("mail/1", "mail/2")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := messageID(a, "d.example"), messageID(b, "d.example")
		if (x == y) != (a == b) {
			t.Errorf("%q has %q, %q has %q", a, x, b, y)
		}
		if strings.ContainsAny(x, " \r\n<>\"(),:;[\\]") || strings.Count(x, "@") != 1 {
			t.Errorf("%q", x)
		}
	})
}

// The mails of a purchase are one conversation, in which no mail answers itself; and who
// can unsubscribe can do so by one click (RFC 8058, section 3.1).
func TestThreadAndUnsubscribe(t *testing.T) {
	m, err := New(Config{Host: "localhost", Port: 25, TLS: NoTLS, From: netmail.Address{Address: "shop@shop.example"}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	head := func(c confirm.Mail) netmail.Header {
		t.Helper()
		c.To, c.Text = "ann@example.com", "text"
		msg, err := m.compose(c)
		if err != nil {
			t.Fatal(err)
		}
		var raw bytes.Buffer
		if _, err := msg.WriteTo(&raw); err != nil {
			t.Fatal(err)
		}
		parsed, err := netmail.ReadMessage(&raw)
		if err != nil {
			t.Fatal(err)
		}
		return parsed.Header
	}
	address := "https://shop.example/leave-line/1.07-" + strings.Repeat("a", 24) + ".0." + strings.Repeat("b", 26)
	first := head(confirm.Mail{ID: "mail-link/07-abc/1", Thread: "07-abc"})
	second := head(confirm.Mail{ID: "mail-receipt/07-abc", Thread: "07-abc", Unsubscribe: address})
	other, alone := head(confirm.Mail{ID: "mail-link/07-abd/1", Thread: "07-abd"}), head(confirm.Mail{ID: "proof/1"})
	for _, name := range []string{"References", "In-Reply-To"} {
		switch of := first.Get(name); {
		case of != "<thread/07-abc@shop.example>" || of == first.Get("Message-ID") || second.Get(name) != of:
			t.Errorf("%s: %q and %q", name, of, second.Get(name))
		case other.Get(name) == of || alone.Get(name) != "":
			t.Errorf("%s of others: %q, %q", name, other.Get(name), alone.Get(name))
		}
	}
	if got := second.Get("List-Unsubscribe"); got != "<"+address+">" || second.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
		t.Errorf("unsubscribed at %s by %s", got, second.Get("List-Unsubscribe-Post"))
	}
	if _, there := first["List-Unsubscribe"]; there {
		t.Error("what nobody may unsubscribe from says how to")
	}
	for _, bad := range []string{"http://shop.example/x", "https://shop.example/x>, <https://b.example", "https://shop.example/\r\nBcc: b@example.com", "mailto:shop@shop.example", "https://shop.example/é"} {
		if _, err := m.compose(confirm.Mail{ID: "1", To: "ann@example.com", Text: "text", Unsubscribe: bad}); err == nil || strings.Contains(err.Error(), "shop.example") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzCompose: whatever is in a mail, there is one of each header, the reader is the
// one who was meant, and the text is the text.
func FuzzCompose(f *testing.F) {
	f.Add("id", "ann@example.com", "en", "Subject", "Text", "<p>HTML</p>")
	f.Add("a\r\nb", "ann@example.com\r\nBcc: b@example.com", "en\r\nX: y", "a\r\nBcc: b@example.com\r\n\r\nx", ".\r\n.\r\n", "")
	f.Add("id", "zoë@example.com", "fr-CH", "日本語 =?utf-8?q?x?=", "a\rb\nc\r\n", "\x00")
	m, err := New(Config{Host: "localhost", Port: 25, TLS: NoTLS, From: netmail.Address{Name: "Shop", Address: "shop@shop.example"}, Now: func() time.Time { return time.Unix(0, 0) }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, to, lang, subject, text, html string) {
		msg, err := m.compose(confirm.Mail{ID: id, To: offers.Email(to), Lang: lang, Subject: subject, Text: text, HTML: html})
		if err != nil {
			var refused *confirm.RefusedError
			if id != "" && text != "" && !errors.As(err, &refused) || strings.Contains(err.Error(), "@") {
				t.Errorf("got %v", err)
			}
			return
		}
		var raw bytes.Buffer
		if _, err := msg.WriteTo(&raw); err != nil {
			t.Fatal(err)
		}
		head, _, _ := bytes.Cut(raw.Bytes(), []byte("\r\n\r\n"))
		known := map[string]int{}
		for line := range bytes.SplitSeq(head, []byte("\r\n")) {
			if len(line) > 998 || bytes.ContainsAny(line, "\r\n") {
				t.Errorf("line %q", line)
			}
			if len(line) > 0 && line[0] != ' ' {
				name, _, _ := bytes.Cut(line, []byte(":"))
				known[string(name)]++
			}
		}
		for name, n := range known {
			switch name {
			case "Auto-Submitted", "Content-Language", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Subject", "To":
				if n != 1 {
					t.Errorf("%d of header %s", n, name)
				}
			default:
				t.Errorf("header %q in\n%s", name, head)
			}
		}
		parsed, err := mail.CreateReader(&raw)
		if err != nil {
			t.Fatalf("%v in\n%s", err, head)
		}
		readers, err := parsed.Header.AddressList("To")
		if err != nil || len(readers) != 1 || readers[0].Address != to {
			t.Errorf("to %v, %v", readers, err)
		}
	})
}
