package smtp

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/wneessen/go-mail"
	gosmtp "github.com/wneessen/go-mail/smtp"

	"hashtill/confirm"
)

// The values of Config.TLS.
const (
	StartTLS    = "starttls"
	ImplicitTLS = "implicit"
	NoTLS       = "none"
)

// Config says which mail server to talk to, and as whom.
type Config struct {
	Host string
	Port int    // 1 to 65535; usually 587 for starttls, 465 for implicit
	TLS  string // StartTLS, ImplicitTLS or NoTLS

	Username, Password string // both or neither

	// From is the sender of every mail. The domain of its address is the right
	// side of every Message-ID.
	From netmail.Address

	DKIM *DKIM // signs what is sent; nil: the mail server does, or nobody

	RootCAs *x509.CertPool // who may sign the server's certificate; the system's if nil

	// Timeout of one mail, from dialling to the server's 250; 45 seconds if zero.
	// RFC 5321, section 4.5.3.2, would wait longer, but an effect is leased for a
	// minute.
	Timeout time.Duration

	Now func() time.Time // for Date; time.Now if nil
}

// goodbye is how long QUIT may take. Nothing depends on its answer.
const goodbye = 2 * time.Second

// A Mailer is a [confirm.Mailer] that uses one connection for each mail. It is safe
// for concurrent use.
type Mailer struct {
	config Config
	domain string // of From
}

var _ confirm.Mailer = (*Mailer)(nil)

// New returns a Mailer, or joins every complaint about the configuration. It does
// not dial; [Mailer.Check] does.
func New(c Config) (*Mailer, error) {
	c.Timeout = cmp.Or(c.Timeout, 45*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	var errs []error
	if c.Host == "" || strings.ContainsFunc(c.Host, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '/' }) {
		errs = append(errs, errors.New("smtp.host: the name or address of a mail server is needed"))
	}
	if c.Port < 1 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("smtp.port: %d is not a port", c.Port))
	}
	if c.TLS != StartTLS && c.TLS != ImplicitTLS && c.TLS != NoTLS {
		errs = append(errs, errors.New("smtp.tls: want starttls, implicit or none"))
	}
	if (c.Username == "") != (c.Password == "") {
		errs = append(errs, errors.New("smtp.username and smtp.password_file: want both or neither"))
	}
	if c.TLS == NoTLS && c.Username != "" && !isLoopback(c.Host) {
		errs = append(errs, errors.New("smtp.tls: none would send the password unencrypted to another machine; want starttls or implicit"))
	}
	if c.Timeout < 0 {
		errs = append(errs, errors.New("smtp: the time-out is negative"))
	}
	if !isAddress(c.From.Address) {
		errs = append(errs, errors.New("mail.from: not an e-mail address"))
	}
	if !isASCII(c.From.Address) {
		errs = append(errs, errors.New("mail.from: not every server takes a sender beyond ASCII; write the domain in its ASCII form, xn--…"))
	}
	if strings.ContainsFunc(c.From.Name, unicode.IsControl) {
		errs = append(errs, errors.New("mail.from: the name holds a control character"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &Mailer{config: c, domain: c.From.Address[strings.LastIndexByte(c.From.Address, '@')+1:]}, nil
}

// DKIM is what signs the mails, nil if nothing does.
func (m *Mailer) DKIM() *DKIM { return m.config.DKIM }

// isLoopback says that what is sent to a host does not leave the machine.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Send hands one mail to the server. The package comment says what the errors mean.
func (m *Mailer) Send(ctx context.Context, mail confirm.Mail) error {
	msg, err := m.compose(mail)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.config.Timeout)
	defer cancel()
	s, err := m.dial(ctx, isASCII(string(mail.To)))
	if err != nil {
		return err
	}
	defer s.close()
	err = s.client.SendWithSMTPClient(s.session, msg)
	if msg.IsDelivered() {
		s.quit()
		return nil
	}
	return s.failure(ctx, err)
}

// Check dials, encrypts, logs in, names the sender and leaves, and sends no mail: a
// mail without a recipient is forgotten (RFC 5321, section 4.1.1.5).
func (m *Mailer) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.config.Timeout)
	defer cancel()
	s, err := m.dial(ctx, true)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.session.Mail(m.config.From.Address); err != nil {
		return failure(ctx, "MAIL FROM", err)
	}
	_ = s.session.Reset()
	s.quit()
	return nil
}

// A session is a connection that is logged in.
type session struct {
	client  *mail.Client
	session *gosmtp.Client
	conn    net.Conn
	forget  func() bool // takes back that the end of the context closes conn
}

// dial connects. ascii says that the reader's address needs no SMTPUTF8 (RFC 6531).
func (m *Mailer) dial(ctx context.Context, ascii bool) (*session, error) {
	s := &session{}
	options := []mail.Option{
		mail.WithPort(m.config.Port),
		mail.WithTimeout(m.config.Timeout + time.Minute), // ctx ends earlier, and says so
		mail.WithTLSConfig(m.tls()),
		// NOOP on a connection that is new, and RSET on one that is not used
		// again, are only two more ways to fail.
		mail.WithoutNoop(),
		mail.WithoutRset(),
		// go-mail ends its own dialling context when it has dialled, forgets the
		// connection where a greeting or a login fails, and knows no context
		// afterwards. So the connection is ours: it ends with ctx, or in close.
		mail.WithDialContextFunc(func(dialling context.Context, _, _ string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(dialling, "tcp", net.JoinHostPort(m.config.Host, strconv.Itoa(m.config.Port)))
			if err != nil {
				return nil, err
			}
			s.conn = conn
			s.forget = context.AfterFunc(ctx, func() { _ = conn.Close() })
			if m.config.TLS != ImplicitTLS {
				return conn, nil
			}
			encrypted := tls.Client(conn, m.tls())
			if err := encrypted.HandshakeContext(dialling); err != nil {
				return nil, err
			}
			return encrypted, nil
		}),
	}
	switch m.config.TLS {
	case StartTLS:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case ImplicitTLS:
		options = append(options, mail.WithSSL())
	case NoTLS:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	if m.config.Username != "" {
		options = append(options, mail.WithUsername(m.config.Username), mail.WithPassword(m.config.Password),
			mail.WithOpportunisticSMTPAuth(m.mechanisms()...))
	}
	if ascii {
		// Asked for without need, it can make a relay without it bounce the mail.
		options = append(options, mail.WithoutSMTPUTF8())
	}
	var err error
	if s.client, err = mail.NewClient(m.config.Host, options...); err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	if s.session, err = s.client.DialToSMTPClientWithContext(ctx); err != nil {
		s.close()
		return nil, failure(ctx, "connect", err)
	}
	return s, nil
}

func (m *Mailer) tls() *tls.Config {
	return &tls.Config{ServerName: m.config.Host, RootCAs: m.config.RootCAs, MinVersion: tls.VersionTLS12}
}

// mechanisms are the ways to log in, the most common first. Unencrypted, which New
// allows on loopback alone, go-mail wants to be told so.
func (m *Mailer) mechanisms() []mail.SMTPAuthType {
	if m.config.TLS == NoTLS {
		return []mail.SMTPAuthType{mail.SMTPAuthPlainNoEnc, mail.SMTPAuthLoginNoEnc, mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthCramMD5}
	}
	return []mail.SMTPAuthType{mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthCramMD5}
}

// quit takes leave, without insisting.
func (s *session) quit() {
	_ = s.conn.SetDeadline(time.Now().Add(goodbye))
	_ = s.client.CloseWithSMTPClient(s.session)
}

// close ends the connection, in whatever state it is.
func (s *session) close() {
	if s.conn != nil {
		s.forget()
		_ = s.conn.Close()
	}
}
