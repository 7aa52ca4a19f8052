package smtptest_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wneessen/go-mail"

	"hashtill/confirm/smtp/smtptest"
)

const (
	shop = "shop@example.test"
	ann  = "ann@example.test"
	bob  = "bob@example.test"
)

func start(t *testing.T, options smtptest.Options) *smtptest.Server {
	t.Helper()
	server, err := smtptest.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return server
}

func inject(t *testing.T, server *smtptest.Server, f smtptest.Fault) {
	t.Helper()
	if err := server.Inject(f); err != nil {
		t.Fatal(err)
	}
}

// client returns go-mail, the independent peer, set up for server.
func client(t *testing.T, server *smtptest.Server, options ...mail.Option) *mail.Client {
	t.Helper()
	all := append([]mail.Option{
		mail.WithPort(server.Port()),
		mail.WithTLSPolicy(mail.NoTLS),
		mail.WithTimeout(10 * time.Second),
		mail.WithHELO("localhost"),
	}, options...)
	c, err := mail.NewClient(server.Host(), all...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func trust(server *smtptest.Server) mail.Option {
	return mail.WithTLSConfig(&tls.Config{
		RootCAs:    server.CertPool(),
		ServerName: server.Host(),
		MinVersion: tls.VersionTLS12,
	})
}

func letter(t *testing.T, to ...string) *mail.Msg {
	t.Helper()
	m := mail.NewMsg()
	if err := errors.Join(m.From(shop), m.To(to...)); err != nil {
		t.Fatal(err)
	}
	m.SetMessageIDWithValue("effect-17@example.test")
	m.Subject("Your link – 15 minutes")
	m.SetBodyString(mail.TypeTextPlain, "Öffne https://example.test/l/abc\r\n.\r\nund kaufe.\r\n")
	m.AddAlternativeString(mail.TypeTextHTML, "<p>Öffne <a href=\"https://example.test/l/abc\">dies</a></p>")
	return m
}

func send(t *testing.T, c *mail.Client, m *mail.Msg) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return c.DialAndSendWithContext(ctx, m)
}

func TestModesAndAuth(t *testing.T) {
	credentials := smtptest.Options{Username: "till", Password: "s3cret"}
	login := func(kind mail.SMTPAuthType, password string) []mail.Option {
		return []mail.Option{mail.WithSMTPAuth(kind), mail.WithUsername("till"), mail.WithPassword(password)}
	}
	for _, test := range []struct {
		name    string
		tls     smtptest.TLSMode
		auth    bool
		options []mail.Option
		code    string // in the error; "" means delivered
	}{
		{name: "open", tls: smtptest.NoTLS},
		{name: "zero mode", tls: ""},
		{name: "plain", tls: smtptest.NoTLS, auth: true, options: login(mail.SMTPAuthPlain, "s3cret")},
		{name: "login", tls: smtptest.NoTLS, auth: true, options: login(mail.SMTPAuthLogin, "s3cret")},
		{name: "wrong plain", tls: smtptest.NoTLS, auth: true, options: login(mail.SMTPAuthPlain, "guess"), code: `535 "5.7.8`},
		{name: "wrong login", tls: smtptest.NoTLS, auth: true, options: login(mail.SMTPAuthLogin, "guess"), code: `535 "5.7.8`},
		{name: "no auth", tls: smtptest.NoTLS, auth: true, code: `530 "5.7.0`},
		{name: "auth not asked for", tls: smtptest.NoTLS, options: login(mail.SMTPAuthPlain, "s3cret"), code: "does not support SMTP AUTH"},
		{name: "starttls", tls: smtptest.StartTLS, options: []mail.Option{mail.WithTLSPolicy(mail.TLSMandatory)}},
		{name: "starttls plain", tls: smtptest.StartTLS, auth: true, options: append(login(mail.SMTPAuthPlain, "s3cret"), mail.WithTLSPolicy(mail.TLSMandatory))},
		{name: "starttls forgotten", tls: smtptest.StartTLS, code: `530 "5.7.0`},
		{name: "starttls auth in the clear", tls: smtptest.StartTLS, auth: true, options: login(mail.SMTPAuthPlainNoEnc, "s3cret"), code: "does not support SMTP AUTH"},
		{name: "implicit", tls: smtptest.ImplicitTLS, options: []mail.Option{mail.WithSSL()}},
		{name: "implicit login", tls: smtptest.ImplicitTLS, auth: true, options: append(login(mail.SMTPAuthLogin, "s3cret"), mail.WithSSL())},
		{name: "implicit wrong", tls: smtptest.ImplicitTLS, auth: true, options: append(login(mail.SMTPAuthLogin, "S3CRET"), mail.WithSSL()), code: `535 "5.7.8`},
	} {
		t.Run(test.name, func(t *testing.T) {
			options := smtptest.Options{}
			if test.auth {
				options = credentials
			}
			options.TLS = test.tls
			server := start(t, options)
			m := letter(t, ann)
			err := send(t, client(t, server, append([]mail.Option{trust(server)}, test.options...)...), m)
			if test.code != "" {
				if err == nil || !strings.Contains(err.Error(), test.code) {
					t.Fatalf("error %v, want %q", err, test.code)
				}
				if n := len(server.Messages()); n != 0 {
					t.Fatalf("%d mails kept of a refused sender", n)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := server.Messages()
			if len(got) != 1 || !m.IsDelivered() {
				t.Fatalf("%d mails, delivered %v", len(got), m.IsDelivered())
			}
			encrypted := test.tls == smtptest.StartTLS || test.tls == smtptest.ImplicitTLS
			if got[0].TLS != encrypted || (got[0].User == "till") != test.auth {
				t.Errorf("kept with TLS %v, user %q", got[0].TLS, got[0].User)
			}
		})
	}
}

func TestUnknownCertificateIsNotTrusted(t *testing.T) {
	server, other := start(t, smtptest.Options{TLS: smtptest.ImplicitTLS}), start(t, smtptest.Options{TLS: smtptest.StartTLS})
	err := send(t, client(t, server, mail.WithSSL(), trust(other)), letter(t, ann))
	var unknown *tls.CertificateVerificationError
	if !errors.As(err, &unknown) {
		t.Errorf("error %v, want an unknown authority", err)
	}
	if block := server.CertPEM(); !bytes.HasPrefix(block, []byte("-----BEGIN CERTIFICATE-----")) {
		t.Errorf("CertPEM = %q", block)
	}
	plain := start(t, smtptest.Options{})
	if plain.CertPool() != nil || plain.CertPEM() != nil {
		t.Error("a server without TLS has a certificate")
	}
}

func TestWhatAReaderSees(t *testing.T) {
	at := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	server := start(t, smtptest.Options{Now: func() time.Time { return at }})
	if err := send(t, client(t, server), letter(t, ann, bob)); err != nil {
		t.Fatal(err)
	}
	m := server.Messages()[0]
	if m.Err != nil {
		t.Error(m.Err)
	}
	for _, field := range []struct{ name, got, want string }{
		{"from", m.From, shop},
		{"to", strings.Join(m.To, " "), ann + " " + bob},
		{"id", m.MessageID, "effect-17@example.test"},
		{"subject", m.Subject, "Your link – 15 minutes"},
		{"text", m.Text, "Öffne https://example.test/l/abc\n.\nund kaufe.\n"},
		{"html", m.HTML, `<p>Öffne <a href="https://example.test/l/abc">dies</a></p>`},
		{"header", m.Header.Get("Message-ID"), "<effect-17@example.test>"},
		{"time", m.ReceivedAt.String(), at.String()},
	} {
		if field.got != field.want {
			t.Errorf("%s = %q, want %q", field.name, field.got, field.want)
		}
	}
	if !bytes.Contains(m.Raw, []byte("\r\n.\r\n")) || bytes.Contains(m.Raw, []byte("\r\n..\r\n")) {
		t.Error("raw mail does not hold the line with one dot as the sender wrote it")
	}
	if n := len(server.Mailbox("BOB@example.test")); n != 1 {
		t.Errorf("%d mails for BOB, want 1", n)
	}
	if n := len(server.Mailbox(shop)); n != 0 {
		t.Errorf("%d mails for the sender, want 0", n)
	}
}

func TestFolded(t *testing.T) {
	server := start(t, smtptest.Options{})
	c := client(t, server)
	other := letter(t, ann)
	other.SetMessageIDWithValue("effect-18@example.test")
	for _, m := range []*mail.Msg{letter(t, ann), other, letter(t, bob), letter(t, ann)} {
		if err := send(t, c, m); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // no Message-ID: never a copy
		talk(t, server, "EHLO a", "MAIL FROM:<a@b>", "RCPT TO:<"+ann+">", "DATA", "Subject: none\r\n\r\n.", "QUIT")
	}
	var got []string
	for _, copies := range server.Folded(ann) {
		got = append(got, fmt.Sprintf("%s×%d", copies[0].MessageID, len(copies)))
	}
	want := "effect-17@example.test×2 effect-18@example.test×1 ×1 ×1"
	if strings.Join(got, " ") != want {
		t.Errorf("folded %q, want %q", got, want)
	}
}

func TestWait(t *testing.T) {
	server := start(t, smtptest.Options{})
	looking := make(chan struct{})
	sent := make(chan error, 1)
	c, m := client(t, server), letter(t, bob)
	go func() {
		<-looking
		sent <- send(t, c, m)
	}()
	if err := send(t, client(t, server), letter(t, ann)); err != nil {
		t.Fatal(err)
	}
	var seen []int
	got, err := server.Wait(t.Context(), func(m smtptest.Message) bool {
		if seen = append(seen, m.Seq); m.Seq == 1 {
			close(looking) // the second comes while Wait waits, or just before
		}
		return m.To[0] == bob
	})
	if err != nil || got.Seq != 2 || fmt.Sprint(seen) != "[1 2]" {
		t.Errorf("Wait = mail %d, %v after looking at %v", got.Seq, err, seen)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	never := func(smtptest.Message) bool { return false }
	if _, err := server.Wait(ctx, never); !errors.Is(err, gone) {
		t.Errorf("Wait = %v, want the cause of ctx", err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := server.Wait(context.Background(), never)
		waited <- err
	}()
	server.Close()
	if err := <-waited; !errors.Is(err, smtptest.ErrClosed) {
		t.Errorf("Wait = %v, want ErrClosed", err)
	}
	if n := len(server.Messages()); n != 2 {
		t.Errorf("%d mails after Close, want 2", n)
	}
}

func TestBounds(t *testing.T) {
	server := start(t, smtptest.Options{MaxBytes: 4000, MaxRecipients: 2})
	c := client(t, server)

	big := letter(t, ann)
	big.SetBodyString(mail.TypeTextPlain, strings.Repeat("all work and no play\r\n", 300))
	if err := send(t, c, big); err == nil || !strings.Contains(err.Error(), `552 "5.3.4`) {
		t.Errorf("too large: %v", err)
	}
	if err := send(t, c, letter(t, ann, bob, shop)); err == nil || !strings.Contains(err.Error(), `452 "4.5.3`) {
		t.Errorf("too many recipients: %v", err)
	}
	if n := len(server.Messages()); n != 0 {
		t.Errorf("%d mails kept beyond the bounds", n)
	}

	body := func(text string) []string {
		return talk(t, server, "EHLO a", "MAIL FROM:<a@b>", "RCPT TO:<"+ann+">", "DATA", "Subject: x\r\n\r\n"+text+"\r\n.", "NOOP")
	}
	for _, test := range []struct {
		name, text, code string
	}{
		{"the longest line", strings.Repeat("x", 998), "250 2.0.0"},
		{"one more", strings.Repeat("x", 999), "500 5.5.2"},
		{"far more", strings.Repeat("x", 3900), "500 5.5.2"},
		{"bare LF", "a\nb", "550 5.5.2"},
		{"bare CR", "a\rb", "550 5.5.2"},
		{"a smuggled end", "a\n.\nMAIL FROM:<x@y>", "550 5.5.2"},
	} {
		if replies := body(test.text); !strings.HasPrefix(replies[5], test.code) {
			t.Errorf("%s: %q, want %s", test.name, replies[5], test.code)
		}
	}
	if n := len(server.Messages()); n != 1 {
		t.Errorf("%d mails kept, want the one with the longest line", n)
	}
}

func TestRawProtocol(t *testing.T) {
	plain := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	server := start(t, smtptest.Options{Username: "till", Password: "s3cret"})
	for _, test := range []struct {
		name string
		say  []string
		want string // how the last reply begins
	}{
		{"MAIL before AUTH", []string{"EHLO a", "MAIL FROM:<a@b>"}, "530 5.7.0"},
		{"RCPT before MAIL", []string{"EHLO a", "RCPT TO:<a@b>"}, "502"},
		{"a failed AUTH opens nothing", []string{"EHLO a", "AUTH PLAIN " + plain("\x00till\x00no"), "MAIL FROM:<a@b>"}, "530 5.7.0"},
		{"another user", []string{"EHLO a", "AUTH PLAIN " + plain("\x00root\x00s3cret")}, "535 5.7.8"},
		{"another identity", []string{"EHLO a", "AUTH PLAIN " + plain("root\x00till\x00s3cret")}, "535 5.7.8"},
		{"PLAIN", []string{"EHLO a", "AUTH PLAIN " + plain("\x00till\x00s3cret"), "MAIL FROM:<a@b>"}, "250"},
		{"LOGIN with an initial response", []string{"EHLO a", "AUTH LOGIN " + plain("till"), plain("s3cret")}, "235"},
		{"LOGIN in three steps", []string{"EHLO a", "AUTH LOGIN", plain("till"), plain("s3cret")}, "235"},
		{"RSET keeps who authenticated", []string{"EHLO a", "AUTH PLAIN " + plain("\x00till\x00s3cret"), "RSET", "MAIL FROM:<>"}, "250"},
		{"an unknown mechanism", []string{"EHLO a", "AUTH GSSAPI"}, "504"},
		{"a non-ASCII address", []string{"EHLO a", "AUTH PLAIN " + plain("\x00till\x00s3cret"), "MAIL FROM:<ö@b>"}, "553 5.6.7"},
		{"the same with SMTPUTF8", []string{"EHLO a", "AUTH PLAIN " + plain("\x00till\x00s3cret"), "MAIL FROM:<ö@b> SMTPUTF8"}, "250"},
	} {
		replies := talk(t, server, test.say...)
		if last := replies[len(replies)-1]; !strings.HasPrefix(last, test.want) {
			t.Errorf("%s: %q, want %s", test.name, replies, test.want)
		}
	}
}

func TestBDAT(t *testing.T) { // go-smtp offers CHUNKING (RFC 3030), so a client may use it
	server := start(t, smtptest.Options{})
	replies := talk(t, server, "EHLO a", "MAIL FROM:<a@b>", "RCPT TO:<"+ann+">",
		"BDAT 20\r\nSubject: in chunks", "BDAT 9 LAST\r\n\r\nhello")
	if len(server.Messages()) != 1 || server.Messages()[0].Subject != "in chunks" {
		t.Errorf("kept %v after %q", server.Messages(), replies)
	}
}

func TestUnreadableMailIsKept(t *testing.T) {
	server := start(t, smtptest.Options{})
	talk(t, server, "EHLO a", "MAIL FROM:<a@b>", "RCPT TO:<"+ann+">", "DATA",
		"Subject: =?x-unknown?q?a?=\r\nMessage-ID: <<odd>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=x-unknown\r\n\r\nhi\r\n.", "QUIT")
	got := server.Messages()
	if len(got) != 1 || got[0].Err == nil {
		t.Fatalf("kept %+v, want one mail with its error", got)
	}
}

func TestStartRefuses(t *testing.T) {
	for _, options := range []smtptest.Options{
		{Addr: "0.0.0.0:0"},
		{Addr: "127.0.0.1"},
		{TLS: "ssl"},
		{Username: "till"},
		{Password: "s3cret"},
		{MaxBytes: -1},
	} {
		if server, err := smtptest.Start(options); err == nil {
			server.Close()
			t.Errorf("%+v was taken", options)
		}
	}
}

// talk says each line, waiting for the reply to it, and returns the greeting
// and the last line of every reply.
func talk(t *testing.T, server *smtptest.Server, say ...string) []string {
	t.Helper()
	c, err := net.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	var replies []string
	for i := 0; ; i++ {
		for {
			line, err := in.ReadString('\n')
			if err == io.EOF && i == len(say) { // QUIT, or the server hung up after its last word
				return replies
			}
			if err != nil {
				t.Fatalf("after %q: %v", replies, err)
			}
			if len(line) > 3 && line[3] == ' ' {
				replies = append(replies, strings.TrimSpace(line))
				break
			}
		}
		if i == len(say) {
			return replies
		}
		if _, err := io.WriteString(c, say[i]+"\r\n"); err != nil {
			t.Fatal(err)
		}
	}
}
