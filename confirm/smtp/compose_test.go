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
