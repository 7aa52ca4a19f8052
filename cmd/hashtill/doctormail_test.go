package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"hashtill/confirm/smtp"
)

// serveDNS answers questions for TXT records from a table, and says of all else that it is
// not there.
func serveDNS(t *testing.T, records map[string]string) (address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	records = maps.Clone(records)
	ended := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			buf := make([]byte, 1500)
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if err := m.Unpack(buf[:n]); err != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			if text, ok := records[q.Name.String()]; ok && q.Type == dnsmessage.TypeTXT {
				var parts []string
				for ; len(text) > 255; text = text[255:] {
					parts = append(parts, text[:255])
				}
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60},
					Body: &dnsmessage.TXTResource{TXT: append(parts, text)}}}
			} else {
				m.RCode = dnsmessage.RCodeNameError
			}
			if answer, err := m.Pack(); err == nil {
				conn.WriteTo(answer, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

func TestDoctorOfTheSender(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	file := filepath.Join(t.TempDir(), "dkim.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	signs, err := smtp.NewDKIM("s1", text)
	if err != nil {
		t.Fatal(err)
	}
	records := map[string]string{}
	examine := func(code int) []diagnosis {
		c := newClinic(t, "v2")
		c.set("MAIL_FROM=shop@shop.example")
		c.set("MAIL_DNS=%s", serveDNS(t, records))
		c.set("MAIL_DKIM_SELECTOR=s1")
		c.set("MAIL_DKIM_KEY_FILE=%s", file)
		c.secrets = append(c.secrets, string(text))
		return c.examine(code)
	}
	all := examine(1)
	want(t, all, "warn", "sender", "no SPF record", "v=spf1")
	want(t, all, "fail", "sender", "DNS has no key", signs.Record())
	want(t, all, "warn", "sender", "DMARC", "_dmarc.shop.example")

	records["shop.example."] = "v=spf1 +all"
	records["s1._domainkey.shop.example."] = "v=DKIM1; p=AAAA"
	records["_dmarc.shop.example."] = "v=DMARC1; p=reject"
	all = examine(1)
	want(t, all, "warn", "sender", "lets everybody send")
	want(t, all, "fail", "sender", "another key", signs.Record())
	want(t, all, "ok", "sender", "DMARC")

	records["shop.example."] = "v=spf1 mx -all"
	records["s1._domainkey.shop.example."] = signs.Record()
	all = examine(0)
	want(t, all, "ok", "sender", "SPF")
	want(t, all, "ok", "sender", "DKIM")
}
