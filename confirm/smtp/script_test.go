package smtp_test

import (
	"bufio"
	"net"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"hashtill/confirm/smtp"
)

// play is a mail server that follows a script: it greets, then answers the commands
// that begin with a key of replies, and all others with 250. After the last line of
// a mail it answers replies["."]. An empty reply cuts the connection, "…" is
// silence. It returns what it heard when the client has hung up.
func play(t *testing.T, greeting string, replies map[string]string) (port int, heard func() []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan []string, 1)
	go func() {
		defer l.Close()
		conn, err := l.Accept()
		if err != nil {
			done <- nil
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		say := func(s string) bool {
			if s == "" {
				return false
			}
			if s != "…" {
				_, _ = conn.Write([]byte(s + "\r\n"))
			}
			return true
		}
		var lines []string
		defer func() { done <- lines }()
		if !say(greeting) {
			return
		}
		inData := false
		for in := bufio.NewScanner(conn); in.Scan(); {
			line := in.Text()
			lines = append(lines, line)
			word, _, _ := strings.Cut(strings.ToUpper(line), " ")
			switch {
			case inData && line != ".":
				continue
			case inData:
				inData, word = false, "."
			case word == "DATA":
				inData = true
			}
			reply, ok := replies[word]
			if !ok {
				reply = map[string]string{"DATA": "354 go on", "QUIT": "221 bye"}[word]
				if reply == "" {
					reply = "250 ok"
				}
			}
			if !strings.HasPrefix(reply, "354") {
				inData = false
			}
			if !say(reply) {
				return
			}
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port, func() []string {
		t.Helper()
		select {
		case lines := <-done:
			return lines
		case <-time.After(10 * time.Second):
			t.Fatal("the client has not hung up")
			return nil
		}
	}
}

// Servers repeat addresses, and answer things that no other test server does.
// However it ends, the connection is closed.
func TestScripts(t *testing.T) {
	for name, c := range map[string]struct {
		greeting  string
		replies   map[string]string
		ok, final bool
		want      string // in the error
	}{
		"fine":                        {ok: true},
		"greeting":                    {greeting: "554 5.7.1 ann@example.com is blocked", want: "554"},
		"no greeting":                 {greeting: "hello ann"},
		"EHLO and HELO":               {replies: map[string]string{"EHLO": "550 no", "HELO": "550 no"}, want: "550"},
		"MAIL":                        {replies: map[string]string{"MAIL": "550 5.1.8 shop@shop.example: who is that"}, want: "550"},
		"RCPT":                        {replies: map[string]string{"RCPT": "550 5.1.1 <ann@example.com>: unknown"}, final: true, want: "550"},
		"RCPT, more than a line":      {replies: map[string]string{"RCPT": "550-5.1.1 <ann@example.com>\r\n550 5.1.1 unknown"}, final: true, want: "550"},
		"RCPT, enhanced":              {replies: map[string]string{"EHLO": "250-hi\r\n250 ENHANCEDSTATUSCODES", "RCPT": "550 5.1.1 <ann@example.com>: unknown"}, final: true, want: "550 5.1.1 to RCPT"},
		"RCPT, garbage":               {replies: map[string]string{"RCPT": "ann@example.com?"}},
		"DATA":                        {replies: map[string]string{"DATA": "554 5.5.1 no valid recipients like ann@example.com"}, final: true, want: "554"},
		"DATA, later":                 {replies: map[string]string{"DATA": "451 ann@example.com"}, want: "451"},
		"after the mail":              {replies: map[string]string{".": "550 5.7.1 spam for ann@example.com"}, final: true, want: "550"},
		"after the mail, later":       {replies: map[string]string{".": "421 4.3.2 bye ann@example.com"}, want: "421"},
		"after the mail, garbage":     {replies: map[string]string{".": "done, ann@example.com"}},
		"after the mail, nothing":     {replies: map[string]string{".": ""}},
		"RSET is not known":           {replies: map[string]string{"RSET": "500 what"}, ok: true},
		"NOOP is not known":           {replies: map[string]string{"NOOP": "500 what"}, ok: true},
		"QUIT is refused":             {replies: map[string]string{"QUIT": "500 what"}, ok: true},
		"QUIT is cut":                 {replies: map[string]string{"QUIT": ""}, ok: true},
		"QUIT is not answered":        {replies: map[string]string{"QUIT": "…"}, ok: true},
		"refused, and QUIT not taken": {replies: map[string]string{"RCPT": "550 no", "QUIT": "…"}, final: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.greeting == "" {
				c.greeting = "220 hi"
			}
			port, heard := play(t, c.greeting, c.replies)
			m := mailer(t, smtp.Config{Host: "127.0.0.1", Port: port, TLS: smtp.NoTLS, Timeout: 10 * time.Second, From: netmail.Address{Address: "shop@shop.example"}})
			err := m.Send(t.Context(), letter())
			if (err == nil) != c.ok || final(t, err) != c.final || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			heard()
		})
	}
}

// A mail that is cut off must not be ended by the farewell: half of it would be
// delivered.
func TestHalfAMail(t *testing.T) {
	port, heard := play(t, "220 hi", map[string]string{".": "…"})
	m := mailer(t, smtp.Config{Host: "127.0.0.1", Port: port, TLS: smtp.NoTLS, Timeout: 300 * time.Millisecond, From: netmail.Address{Address: "shop@shop.example"}})
	if err := m.Send(t.Context(), letter()); err == nil || final(t, err) {
		t.Errorf("got %v", err)
	}
	lines := heard()
	if last := lines[len(lines)-1]; last != "." {
		t.Errorf("the client's last line is %q", last)
	}
}
