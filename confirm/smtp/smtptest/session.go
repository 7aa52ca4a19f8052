package smtptest

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
)

// The refusals of a healthy server.
var (
	errAuthRequired  = &gosmtp.SMTPError{Code: 530, EnhancedCode: gosmtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}              // RFC 4954, section 6
	errTLSRequired   = &gosmtp.SMTPError{Code: 530, EnhancedCode: gosmtp.EnhancedCode{5, 7, 0}, Message: "Must issue a STARTTLS command first"}  // RFC 3207, section 4
	errNeedsSMTPUTF8 = &gosmtp.SMTPError{Code: 553, EnhancedCode: gosmtp.EnhancedCode{5, 6, 7}, Message: "Non-ASCII address without SMTPUTF8"}   // RFC 6531, section 3.5
	errLineTooLong   = &gosmtp.SMTPError{Code: 500, EnhancedCode: gosmtp.EnhancedCode{5, 5, 2}, Message: "Line too long"}                        // RFC 5321, section 4.5.3.1.9
	errBareNewline   = &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 5, 2}, Message: "Bare <CR> or <LF> in the mail"}        // RFC 5321, section 2.3.8
	errClosing       = &gosmtp.SMTPError{Code: 421, EnhancedCode: gosmtp.EnhancedCode{4, 3, 2}, Message: "Service closing transmission channel"} // RFC 5321, section 3.8
)

// errCut is never read by anyone: the connection is gone.
var errCut = &gosmtp.SMTPError{Code: 421, EnhancedCode: gosmtp.EnhancedCode{4, 4, 2}, Message: "Connection cut"}

// beforeCut is how many bytes of a mail are read before a connection is cut
// mid-DATA: some, so that it is mid-DATA, and fewer than any mail has.
const beforeCut = 64

// A session is one client on one connection, from EHLO on; STARTTLS begins a
// new one.
type session struct {
	server    *Server
	conn      *conn
	encrypted bool

	// go-smtp runs Data of a BDAT command in a goroutine of its own, beside
	// which a RSET may come.
	mu   sync.Mutex
	user string
	from string
	to   []string
}

var _ gosmtp.AuthSession = (*session)(nil)

func (s *Server) newSession(c *gosmtp.Conn) (gosmtp.Session, error) {
	_, encrypted := c.TLSConnectionState()
	return &session{server: s, conn: bare(c.Conn()), encrypted: encrypted}, nil
}

// AuthMechanisms names what EHLO offers.
func (s *session) AuthMechanisms() []string {
	if s.server.options.Username == "" {
		return nil
	}
	return []string{sasl.Plain, sasl.Login}
}

// Auth begins an AUTH command.
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	if s.server.options.Username == "" {
		return nil, gosmtp.ErrAuthUnsupported
	}
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(identity, username, password string) error {
			if identity != "" && identity != username {
				return gosmtp.ErrAuthFailed
			}
			return s.authenticate(username, password)
		}), nil
	case sasl.Login:
		return &loginServer{authenticate: s.authenticate}, nil
	}
	return nil, gosmtp.ErrAuthUnknownMechanism
}

func (s *session) authenticate(username, password string) error {
	if username != s.server.options.Username || password != s.server.options.Password {
		return gosmtp.ErrAuthFailed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user = username
	return nil
}

// Mail answers MAIL.
func (s *session) Mail(from string, options *gosmtp.MailOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.server.options.TLS == StartTLS && !s.encrypted:
		return errTLSRequired
	case s.server.options.Username != "" && s.user == "":
		return errAuthRequired
	case !options.UTF8 && !isASCII(from):
		return errNeedsSMTPUTF8
	}
	s.from, s.to = from, nil
	return nil
}

// Rcpt answers RCPT.
func (s *session) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	s.server.countTry(to)
	s.mu.Lock()
	from := s.from
	s.mu.Unlock()
	if f := s.server.strike(Recipient, from, to); f.Cut || f.Code != 0 {
		return s.fail(f)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = append(s.to, to)
	return nil
}

// Data takes the mail and returns what is answered to it.
func (s *session) Data(r io.Reader) error {
	if !s.server.enter() {
		return errClosing
	}
	defer s.server.running.Done()

	s.mu.Lock()
	m := Message{From: s.from, To: s.to, User: s.user, TLS: s.encrypted}
	s.mu.Unlock()

	begin, err := io.ReadAll(io.LimitReader(r, beforeCut))
	if err != nil {
		return dataError(err)
	}
	f := s.server.strike(Body, m.From, m.To...)
	if f.Cut {
		return s.fail(f)
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		return dataError(err)
	}
	if f.Code != 0 {
		return s.fail(f)
	}
	m.Raw = append(begin, rest...)
	if err := checkLines(m.Raw, s.server.options.MaxLine); err != nil {
		return err
	}

	s.server.keep(&m)
	if f := s.server.strike(Kept, m.From, m.To...); f.Cut || f.Code != 0 {
		return s.fail(f)
	}
	if f := s.server.strike(Answered, m.From, m.To...); f.Cut {
		s.conn.hangUp()
	}
	return nil
}

// Reset answers RSET, and ends every transaction.
func (s *session) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from, s.to = "", nil
}

// Logout ends the session.
func (s *session) Logout() error { return nil }

// fail does what f says and returns the reply.
func (s *session) fail(f Fault) error {
	if f.Cut {
		s.conn.Close()
		return errCut
	}
	if f.Code == errClosing.Code {
		s.conn.hangUp()
	}
	return f.refusal()
}

// dataError is the reply to a mail that could not be read to its end.
func dataError(err error) error {
	if errors.Is(err, gosmtp.ErrTooLongLine) {
		return errLineTooLong
	}
	return err
}

// checkLines refuses what RFC 5321 does not allow a client to send.
func checkLines(raw []byte, maxLine int) error {
	for line := range bytes.Lines(raw) {
		if len(line) > maxLine {
			return errLineTooLong
		}
		text, found := bytes.CutSuffix(line, []byte("\r\n"))
		if !found || bytes.ContainsAny(text, "\r\n") {
			return errBareNewline
		}
	}
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// A loginServer is the server's side of AUTH LOGIN, which go-sasl lacks
// (draft-murchison-sasl-login-00).
type loginServer struct {
	authenticate func(username, password string) error
	asked        bool // for the user name
	named        bool // the user name has come
	username     string
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil && !l.asked:
		l.asked = true
		return []byte("Username:"), false, nil
	case !l.named: // also in an initial response, which some clients send
		l.asked, l.named = true, true
		l.username = string(response)
		return []byte("Password:"), false, nil
	default:
		return nil, true, l.authenticate(l.username, string(response))
	}
}
