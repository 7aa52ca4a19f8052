package smtp_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/smtp"
	"hashtill/confirm/smtp/smtptest"
	"hashtill/offers"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const ann = "ann@example.com"

func letter() confirm.Mail {
	return confirm.Mail{ID: "mail-link/07-0123456789abcdefghijklmn/1", To: ann, Lang: "fr", Subject: "Confirmez : 149,99 $US – lampe 💡",
		Text: "Bonjour Zoé,\nvoici le lien :\nhttps://shop.example/l/abc=\n.\n", HTML: "<p>Bonjour Zoé, <a href=\"https://shop.example/l/abc=\">voici</a></p>\n"}
}

func serve(t *testing.T, o smtptest.Options) *smtptest.Server {
	t.Helper()
	srv, err := smtptest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	return srv
}

// config suits a server.
func config(srv *smtptest.Server, o smtptest.Options) smtp.Config {
	c := smtp.Config{Host: srv.Host(), Port: srv.Port(), TLS: string(o.TLS), Username: o.Username, Password: o.Password,
		From: netmail.Address{Name: "Zoë’s Shop", Address: "shop@shop.example"}, RootCAs: srv.CertPool(),
		Timeout: 20 * time.Second, Now: func() time.Time { return noon }}
	if c.TLS == "" {
		c.TLS = smtp.NoTLS
	}
	return c
}

func mailer(t *testing.T, c smtp.Config) *smtp.Mailer {
	t.Helper()
	m, err := smtp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// final says whether an error is, and that it holds nothing private.
func final(t *testing.T, err error) bool {
	t.Helper()
	if err == nil {
		return false
	}
	for _, private := range []string{"ann", "@", "lampe", "hunter2", "mail-link"} {
		if strings.Contains(err.Error(), private) {
			t.Errorf("%q in %q", private, err)
		}
	}
	var refused *confirm.RefusedError
	if !errors.As(err, &refused) {
		return false
	}
	if refused.Reason != offers.MailRefused {
		t.Errorf("refused because of %q", refused.Reason)
	}
	return true
}

func TestSend(t *testing.T) {
	for _, mode := range []smtptest.TLSMode{smtptest.NoTLS, smtptest.StartTLS, smtptest.ImplicitTLS} {
		for _, login := range []smtptest.Options{{}, {Username: "shop", Password: "hunter2"}} {
			t.Run(fmt.Sprintf("%s %s", mode, login.Username), func(t *testing.T) {
				o := login
				o.TLS = mode
				srv := serve(t, o)
				m := mailer(t, config(srv, o))
				if err := m.Check(t.Context()); err != nil {
					t.Fatal(err)
				}
				sent := letter()
				if err := m.Send(t.Context(), sent); err != nil {
					t.Fatal(err)
				}
				got := srv.Mailbox(ann)
				if len(got) != 1 || len(srv.Messages()) != 1 {
					t.Fatalf("%d mails arrived", len(got))
				}
				k := got[0]
				if k.Err != nil || k.Subject != sent.Subject || k.Text != sent.Text || k.HTML != sent.HTML {
					t.Errorf("arrived: %+v", k)
				}
				if k.From != "shop@shop.example" || k.User != o.Username || k.TLS != (mode != smtptest.NoTLS) {
					t.Errorf("from %q, user %q, TLS %t", k.From, k.User, k.TLS)
				}
				if k.MessageID != sent.ID+"@shop.example" {
					t.Errorf("Message-ID %q", k.MessageID)
				}
				for name, want := range map[string]string{
					"Auto-Submitted": "auto-generated", "Content-Language": "fr", "Date": "Sat, 21 Nov 2026 12:00:00 +0000", "To": "<" + ann + ">",
					"MIME-Version": "1.0", "User-Agent": "", "X-Mailer": "",
				} {
					if h := k.Header.Get(name); h != want {
						t.Errorf("%s: %q, want %q", name, h, want)
					}
				}
				if from, err := k.Header.AddressList("From"); err != nil || len(from) != 1 || from[0].Name != "Zoë’s Shop" || from[0].Address != "shop@shop.example" {
					t.Errorf("From: %v, %v", from, err)
				}
				for i, b := range k.Raw {
					if b >= 0x80 {
						t.Fatalf("octet %d is not ASCII", i)
					}
				}
				if kind := k.Header.Get("Content-Type"); !strings.HasPrefix(kind, "multipart/alternative") {
					t.Errorf("Content-Type: %s", kind)
				}
			})
		}
	}
}

func TestSendPlain(t *testing.T) {
	srv := serve(t, smtptest.Options{})
	m := mailer(t, config(srv, smtptest.Options{}))
	mail := letter()
	mail.HTML, mail.Lang = "", "not a\r\nlanguage"
	if err := m.Send(t.Context(), mail); err != nil {
		t.Fatal(err)
	}
	k := srv.Messages()[0]
	if k.Text != mail.Text || k.HTML != "" || k.Header.Has("Content-Language") || !strings.HasPrefix(k.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("arrived: %s", k.Raw)
	}
}

// What goes wrong, how it is answered, and how many copies the reader has after one
// more try without the fault.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault  smtptest.Fault
		ok     bool // the try succeeds
		final  bool // its error is final
		copies int  // after the second try, which is only made after an error that is not final
	}{
		"busy":                    {fault: smtptest.Fault{At: smtptest.Connect, Code: 421}, copies: 1},
		"blocked":                 {fault: smtptest.Fault{At: smtptest.Connect, Code: 554}, copies: 1},
		"cut at once":             {fault: smtptest.Fault{At: smtptest.Connect, Cut: true}, copies: 1},
		"no such mailbox":         {fault: smtptest.Fault{At: smtptest.Recipient, Code: 550}, final: true},
		"mailbox full":            {fault: smtptest.Fault{At: smtptest.Recipient, Code: 552}, final: true},
		"another 5xx":             {fault: smtptest.Fault{At: smtptest.Recipient, Code: 571}, final: true},
		"no login, told at RCPT":  {fault: smtptest.Fault{At: smtptest.Recipient, Code: 530}, copies: 1},
		"greylisted":              {fault: smtptest.Fault{At: smtptest.Recipient, Greylist: true}, copies: 1},
		"mailbox busy":            {fault: smtptest.Fault{At: smtptest.Recipient, Code: 450}, copies: 1},
		"going down at RCPT":      {fault: smtptest.Fault{At: smtptest.Recipient, Code: 421}, copies: 1},
		"cut at RCPT":             {fault: smtptest.Fault{At: smtptest.Recipient, Cut: true}, copies: 1},
		"refused for its content": {fault: smtptest.Fault{At: smtptest.Body, Code: 554}, final: true},
		"disk full":               {fault: smtptest.Fault{At: smtptest.Body, Code: 452}, copies: 1},
		"cut in DATA":             {fault: smtptest.Fault{At: smtptest.Body, Cut: true}, copies: 1},
		"kept, cut before 250":    {fault: smtptest.Fault{At: smtptest.Kept, Cut: true}, copies: 2},
		"kept, 451 all the same":  {fault: smtptest.Fault{At: smtptest.Kept, Code: 451}, copies: 2},
		"cut after 250":           {fault: smtptest.Fault{At: smtptest.Answered, Cut: true}, ok: true, copies: 1},
	} {
		for _, mode := range []smtptest.TLSMode{smtptest.NoTLS, smtptest.StartTLS, smtptest.ImplicitTLS} {
			t.Run(name+" "+string(mode), func(t *testing.T) {
				o := smtptest.Options{TLS: mode}
				srv := serve(t, o)
				m := mailer(t, config(srv, o))
				if err := srv.Inject(c.fault); err != nil {
					t.Fatal(err)
				}
				err := m.Send(t.Context(), letter())
				if (err == nil) != c.ok || final(t, err) != c.final {
					t.Fatalf("got %v", err)
				}
				if err != nil && !c.final {
					if !c.fault.Greylist {
						srv.Heal()
					}
					if err := m.Send(t.Context(), letter()); err != nil {
						t.Fatalf("second try: %v", err)
					}
				}
				if n := len(srv.Mailbox(ann)); n != c.copies {
					t.Errorf("%d copies, want %d", n, c.copies)
				}
				if n := len(srv.Folded(ann)); n > 1 {
					t.Errorf("the reader sees %d mails", n)
				}
			})
		}
	}
}

// Slow servers: before the mail is kept, and after.
func TestTimeout(t *testing.T) {
	for _, at := range []smtptest.Stage{smtptest.Connect, smtptest.Recipient, smtptest.Body, smtptest.Kept} {
		for _, mode := range []smtptest.TLSMode{smtptest.NoTLS, smtptest.StartTLS, smtptest.ImplicitTLS} {
			t.Run(fmt.Sprint(at, mode), func(t *testing.T) {
				t.Parallel()
				o := smtptest.Options{TLS: mode}
				srv := serve(t, o)
				if err := srv.Inject(smtptest.Fault{At: at, Delay: time.Minute}); err != nil {
					t.Fatal(err)
				}
				c := config(srv, o)
				c.Timeout = time.Second
				err := mailer(t, c).Send(t.Context(), letter())
				if err == nil || final(t, err) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// The end of the context ends a delivery that is under way, at once.
func TestContext(t *testing.T) {
	srv := serve(t, smtptest.Options{})
	c := config(srv, smtptest.Options{})
	c.Timeout = time.Hour
	m := mailer(t, c)
	if err := srv.Inject(smtptest.Fault{At: smtptest.Kept, Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	srv.OnKept(func(smtptest.Message) { cancel() })
	ended := make(chan error, 1)
	go func() { ended <- m.Send(ctx, letter()) }()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) || final(t, err) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the delivery goes on")
	}
	if err := m.Send(ctx, letter()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	m := mailer(t, smtp.Config{Host: "127.0.0.1", Port: port, TLS: smtp.NoTLS, From: netmail.Address{Address: "shop@shop.example"}})
	if err := m.Send(t.Context(), letter()); err == nil || final(t, err) {
		t.Errorf("got %v", err)
	}
	if err := m.Check(t.Context()); err == nil || final(t, err) {
		t.Errorf("got %v", err)
	}
}

func TestLogin(t *testing.T) {
	o := smtptest.Options{TLS: smtptest.StartTLS, Username: "shop", Password: "hunter2"}
	srv := serve(t, o)
	wrong, none := config(srv, o), config(srv, o)
	wrong.Password = "hunter22"
	none.Username, none.Password = "", ""
	for name, c := range map[string]smtp.Config{"wrong password": wrong, "no password": none} {
		err := mailer(t, c).Send(t.Context(), letter())
		if err == nil || final(t, err) || !strings.Contains(err.Error(), "smtp.password_file") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	err := mailer(t, wrong).Check(t.Context())
	if err == nil || final(t, err) || !strings.Contains(err.Error(), "smtp.password_file") {
		t.Errorf("check: got %v", err)
	}
	// Who names no password is let in, and then not taken as the sender.
	err = mailer(t, none).Check(t.Context())
	if err == nil || final(t, err) || !strings.Contains(err.Error(), "530") {
		t.Errorf("check without a password: got %v", err)
	}
	if n := len(srv.Messages()); n != 0 {
		t.Errorf("%d mails arrived", n)
	}

	open := serve(t, smtptest.Options{TLS: smtptest.StartTLS})
	c := config(open, smtptest.Options{TLS: smtptest.StartTLS, Username: "shop", Password: "hunter2"})
	if err := mailer(t, c).Check(t.Context()); err == nil || final(t, err) {
		t.Errorf("a server that knows no login: got %v", err)
	}
}

func TestTLS(t *testing.T) {
	for name, c := range map[string]struct {
		server smtptest.TLSMode
		change func(*smtp.Config)
	}{
		"starttls, unknown issuer":     {smtptest.StartTLS, func(c *smtp.Config) { c.RootCAs = x509.NewCertPool() }},
		"implicit, unknown issuer":     {smtptest.ImplicitTLS, func(c *smtp.Config) { c.RootCAs = x509.NewCertPool() }},
		"starttls is not offered":      {smtptest.NoTLS, func(c *smtp.Config) { c.TLS = smtp.StartTLS }},
		"implicit to a plain server":   {smtptest.NoTLS, func(c *smtp.Config) { c.TLS, c.Timeout = smtp.ImplicitTLS, time.Second }},
		"plain to a starttls server":   {smtptest.StartTLS, func(c *smtp.Config) { c.TLS = smtp.NoTLS }},
		"plain to an implicit server":  {smtptest.ImplicitTLS, func(c *smtp.Config) { c.TLS, c.Timeout = smtp.NoTLS, time.Second }},
		"starttls to an implicit port": {smtptest.ImplicitTLS, func(c *smtp.Config) { c.TLS, c.Timeout = smtp.StartTLS, time.Second }},
	} {
		o := smtptest.Options{TLS: c.server}
		srv := serve(t, o)
		conf := config(srv, o)
		c.change(&conf)
		err := mailer(t, conf).Send(t.Context(), letter())
		if err == nil || final(t, err) {
			t.Errorf("%s: got %v", name, err)
		}
		if n := len(srv.Messages()); n != 0 {
			t.Errorf("%s: %d mails arrived", name, n)
		}
	}
}

func TestAddresses(t *testing.T) {
	srv := serve(t, smtptest.Options{})
	m := mailer(t, config(srv, smtptest.Options{}))
	for _, to := range []string{"", "ann", "@example.com", "ann@", "Ann <ann@example.com>", "ann@example.com, bob@example.com", "ann@example.com\r\nBcc: bob@example.com",
		"ann@example.com\n", " ann@example.com", "ann@exam\rple.com", "<ann@example.com>", "ann@example.com\x00", strings.Repeat("a", 250) + "@example.com"} {
		mail := letter()
		mail.To = offers.Email(to)
		if err := m.Send(t.Context(), mail); !final(t, err) {
			t.Errorf("%q: got %v", to, err)
		}
	}
	for _, to := range []string{"o'neill+tag@example.com", "user@xn--bcher-kva.example", "zoë@example.com"} {
		mail := letter()
		mail.To = offers.Email(to)
		if err := m.Send(t.Context(), mail); err != nil {
			t.Errorf("%q: %v", to, err)
		}
		if len(srv.Mailbox(to)) != 1 {
			t.Errorf("%q: not there", to)
		}
	}
}

func TestSubjects(t *testing.T) {
	srv := serve(t, smtptest.Options{})
	m := mailer(t, config(srv, smtptest.Options{}))
	for in, want := range map[string]string{
		"plain":                                  "plain",
		"":                                       "",
		"a\r\nBcc: bob@example.com":              "a Bcc: bob@example.com",
		"a\r\n\r\nbody":                          "a body",
		"tab\tand  spaces ":                      "tab and spaces",
		"line\u2028separator":                    "line separator",
		"bad \xff octet":                         "bad \uFFFD octet",
		"日本語の件名":                                 "日本語の件名",
		strings.Repeat("long ", 100):             strings.Repeat("long ", 39) + "long…",
		strings.Repeat("x", 1200):                strings.Repeat("x", 199) + "…",
		strings.Repeat("é", 200):                 strings.Repeat("é", 200),
		"wide words " + strings.Repeat("w", 150): "wide words " + strings.Repeat("w", 150),
	} {
		mail := letter()
		mail.Subject = in
		if err := m.Send(t.Context(), mail); err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		all := srv.Messages()
		k := all[len(all)-1]
		if k.Subject != want || k.Header.Has("Bcc") || len(k.To) != 1 || k.Err != nil {
			t.Errorf("%q arrived as %q, %v", in, k.Subject, k.Err)
		}
		head, _, _ := bytes.Cut(k.Raw, []byte("\r\n\r\n"))
		if n := bytes.Count(head, []byte("Subject:")); n != 1 {
			t.Errorf("%q: %d subjects", in, n)
		}
	}
}

func TestIncomplete(t *testing.T) {
	m := mailer(t, smtp.Config{Host: "localhost", Port: 1, TLS: smtp.NoTLS, From: netmail.Address{Address: "shop@shop.example"}})
	for _, mail := range []confirm.Mail{{To: ann, Text: "x"}, {ID: "x", To: ann}} {
		if err := m.Send(t.Context(), mail); err == nil || final(t, err) {
			t.Errorf("got %v", err)
		}
	}
}

func TestAtOnce(t *testing.T) {
	o := smtptest.Options{TLS: smtptest.StartTLS, Username: "shop", Password: "hunter2"}
	srv := serve(t, o)
	m := mailer(t, config(srv, o))
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			mail := letter()
			mail.ID = fmt.Sprint("mail/", n)
			if err := m.Send(t.Context(), mail); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(srv.Folded(ann)); n != 20 {
		t.Errorf("%d mails arrived", n)
	}
}

func TestNew(t *testing.T) {
	good := smtp.Config{Host: "mail.example.com", Port: 587, TLS: smtp.StartTLS, Username: "u", Password: "p", From: netmail.Address{Name: "Shop", Address: "shop@shop.example"}}
	if _, err := smtp.New(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*smtp.Config){
		"smtp.host":      func(c *smtp.Config) { c.Host = "" },
		"a mail server":  func(c *smtp.Config) { c.Host = "unix:///run/mail" },
		"smtp.port":      func(c *smtp.Config) { c.Port = 0 },
		"smtp.tls":       func(c *smtp.Config) { c.TLS = "" },
		"smtp.username":  func(c *smtp.Config) { c.Password = "" },
		"unencrypted":    func(c *smtp.Config) { c.TLS = smtp.NoTLS },
		"negative":       func(c *smtp.Config) { c.Timeout = -1 },
		"mail.from":      func(c *smtp.Config) { c.From.Address = "shop" },
		"beyond ASCII":   func(c *smtp.Config) { c.From.Address = "shop@bücher.example" },
		"control":        func(c *smtp.Config) { c.From.Name = "Shop\r\nBcc: x@y.example" },
		"e-mail address": func(c *smtp.Config) { c.From.Address = "shop@shop.example\r\n" },
	} {
		c := good
		change(&c)
		if _, err := smtp.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want a complaint about %q, got %v", want, err)
		}
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		c := good
		c.Host, c.TLS = host, smtp.NoTLS
		if _, err := smtp.New(c); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	c := good
	c.TLS, c.Username, c.Password = smtp.NoTLS, "", ""
	if _, err := smtp.New(c); err != nil {
		t.Errorf("a relay that asks for no password: %v", err)
	}
}
