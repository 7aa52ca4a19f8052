package smtp

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"hashtill/confirm"
	"hashtill/confirm/smtp/smtptest"
)

func pemOf(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// What the server received bears a signature that its domain's record confirms, and that no
// change of what it covers survives.
func TestDKIM(t *testing.T) {
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, short, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]any{"rsa": long, "ed25519": short} {
		t.Run(name, func(t *testing.T) {
			signs, err := NewDKIM("shop1", pemOf(t, key))
			if err != nil {
				t.Fatal(err)
			}
			server, err := smtptest.Start(smtptest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			m, err := New(Config{Host: server.Host(), Port: server.Port(), TLS: NoTLS, DKIM: signs,
				From: netmail.Address{Name: "Shop", Address: "shop@shop.example"}, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
			if err != nil {
				t.Fatal(err)
			}
			err = m.Send(t.Context(), confirm.Mail{ID: "mail-link/07-abc/1", To: "ann@example.com", Lang: "fr", Subject: "Votre achat: é",
				Text: "Bonjour,\n\n.une ligne\n" + strings.Repeat("long ", 100), HTML: "<p>Bonjour</p>\n",
				Thread: "07-abc", Unsubscribe: "https://shop.example/leave-line/" + strings.Repeat("x", 100)})
			if err != nil {
				t.Fatal(err)
			}
			raw := server.Mailbox("ann@example.com")[0].Raw
			verify := func(raw []byte) error {
				all, err := dkim.VerifyWithOptions(bytes.NewReader(raw), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
					if name != "shop1._domainkey.shop.example" {
						return nil, fmt.Errorf("asked for %s", name)
					}
					return []string{signs.Record()}, nil
				}})
				if err != nil {
					return err
				}
				if len(all) != 1 || all[0].Domain != "shop.example" {
					return fmt.Errorf("signatures %+v", all)
				}
				return all[0].Err
			}
			if err := verify([]byte(raw)); err != nil {
				t.Fatalf("%v in\n%s", err, raw)
			}
			for from, to := range map[string]string{
				"Bonjour": "Au revoir", "To: ": "To: <b@example.com>, ", "From: ": "From: Bank <b@b.example>\r\nFrom: ", "Subject: ": "Subject: Re ",
				"<https://shop.example/leave": "<https://b.example/leave", "One-Click": "Two-Clicks", "In-Reply-To: <": "In-Reply-To: <b", "References: <": "References: <b",
				"MIME-Version: 1.0\r\n": "MIME-Version: 1.0\r\nReply-To: b@example.com\r\n",
			} {
				if changed := strings.Replace(string(raw), from, to, 1); changed == string(raw) || verify([]byte(changed)) == nil {
					t.Errorf("%q in the place of %q is not noticed", to, from)
				}
			}
		})
	}
}

func TestNewDKIM(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(small)})
	if _, err := NewDKIM("s", pkcs1); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		selector string
		key      string
	}{{"", string(pkcs1)}, {"a b", string(pkcs1)}, {"s", "none"}, {"s", "-----BEGIN X-----\nAAAA\n-----END X-----\n"}} {
		if _, err := NewDKIM(c.selector, []byte(c.key)); err == nil || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%q: %v", c.selector, err)
		}
	}
}
