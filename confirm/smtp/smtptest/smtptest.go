// Package smtptest is a mail server on this machine that keeps every mail it
// accepts and delivers none. Tests, crash tests and "hashtill demo" send to it
// in place of a merchant's real mail server.
//
// It is an honest witness: it shares no code with the program it watches, and
// behaves as RFC 5321 asks of a submission server. Where credentials are set,
// MAIL before AUTH is refused (530); in the STARTTLS mode, MAIL before STARTTLS
// is refused (530); a line that is too long, a bare CR or LF, a mail that is too
// large and too many recipients are refused. What it kept is shown as it came
// over the wire (Message.Raw), beside what a mail reader makes of it.
//
//	server, err := smtptest.Start(smtptest.Options{TLS: smtptest.StartTLS})
//	...
//	defer server.Close()
//	// let the program under test send to server.Host(), server.Port()
//	mail, err := server.Wait(ctx, func(m smtptest.Message) bool {
//		return m.Subject == "Your link"
//	})
//
// # Faults
//
// A [Fault] says at which [Stage] of a delivery the server misbehaves, for whom
// and how often. The stages are in the order of the protocol, and the line that
// matters runs through the middle of them:
//
//	Connect    before the greeting                        nothing was sent
//	Recipient  in answer to RCPT                          nothing was sent
//	Body       within DATA                                the mail is not kept
//	---------------------------------------------------------------------------
//	Kept       the mail is kept, its 250 is not sent yet  the sender cannot know
//	Answered   the 250 was sent                           the sender knows
//
// A connection cut at Kept makes an honest sender send again, so the buyer's
// mailbox holds two copies. They carry the same Message-ID, and [Server.Folded]
// shows them as one, as a mail reader would.
//
// The hook set with [Server.OnKept] runs exactly on that line: a crash test
// kills the sender there.
package smtptest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// A TLSMode says how a connection comes to be encrypted. Its values are spelled
// as in Hashtill's key smtp.tls.
type TLSMode string

// The modes.
const (
	NoTLS       TLSMode = "none"     // never encrypted; the zero TLSMode means the same
	StartTLS    TLSMode = "starttls" // RFC 3207; no mail is taken before the upgrade
	ImplicitTLS TLSMode = "implicit" // RFC 8314: encrypted from the first byte
)

// Bounds that hold where Options sets none.
const (
	DefaultMaxBytes      = 10 << 20 // one mail, in bytes
	DefaultMaxRecipients = 100      // what a server must take at least: RFC 5321, section 4.5.3.1.8
	DefaultMaxLine       = 1000     // octets with CRLF: RFC 5321, section 4.5.3.1.6
)

// idleTimeout ends a connection on which no command comes: RFC 5321, section
// 4.5.3.2.7.
const idleTimeout = 5 * time.Minute

// ErrClosed is returned by [Server.Wait] when the server was closed before the
// awaited mail came.
var ErrClosed = errors.New("smtptest: server closed")

// Options describe a server. The zero Options are an open, unencrypted one.
type Options struct {
	// Addr is the address to listen on; by default 127.0.0.1:0, a free port.
	// It must be a loopback address. A test that lets the mail server die and
	// come back starts the second one on the Addr of the first.
	Addr string

	// Username and Password are what AUTH PLAIN and AUTH LOGIN must present.
	// Without a Username the server offers no AUTH and asks for none.
	Username, Password string

	// TLS is the encryption; by default none.
	TLS TLSMode

	// MaxBytes, MaxRecipients and MaxLine bound one mail, its recipients and
	// one line of it in octets with its CRLF. Zero means the default.
	MaxBytes      int64
	MaxRecipients int
	MaxLine       int

	// Now is the clock of Message.ReceivedAt and of greylisting; by default
	// time.Now.
	Now func() time.Time

	// Log receives what goes wrong inside the server, never a mail or an
	// address; by default nothing is logged.
	Log *slog.Logger
}

func (o *Options) setDefaults() error {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("address %q is not a loopback address", o.Addr)
	}
	switch o.TLS {
	case "":
		o.TLS = NoTLS
	case NoTLS, StartTLS, ImplicitTLS:
	default:
		return fmt.Errorf("unknown TLS mode %q", o.TLS)
	}
	if (o.Username == "") != (o.Password == "") {
		return errors.New("a user name needs a password, and a password a user name")
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxRecipients == 0 {
		o.MaxRecipients = DefaultMaxRecipients
	}
	if o.MaxLine == 0 {
		o.MaxLine = DefaultMaxLine
	}
	if o.MaxBytes < 0 || o.MaxRecipients < 0 || o.MaxLine < 0 {
		return errors.New("a bound is negative")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// A Server is a running mail server. All methods may be called at any time by
// any goroutine, also after Close, when the mails can still be read.
type Server struct {
	options  Options
	listener net.Listener
	door     *door
	smtp     *gosmtp.Server
	identity *identity // nil without TLS

	closing chan struct{} // closed when Close begins
	closed  chan struct{} // closed when no mail can come any more
	running sync.WaitGroup

	mu       sync.Mutex
	stopped  bool // nothing may be added to running
	conns    map[*conn]struct{}
	faults   []*injected
	onKept   func(Message)
	messages []Message
	more     chan struct{} // closed and replaced when messages grows
	tries    map[string]int
}

// Start starts a server, which the caller must Close.
func Start(options Options) (*Server, error) {
	if err := options.setDefaults(); err != nil {
		return nil, fmt.Errorf("smtptest: %w", err)
	}
	s := &Server{
		options: options,
		closing: make(chan struct{}),
		closed:  make(chan struct{}),
		conns:   make(map[*conn]struct{}),
		more:    make(chan struct{}),
		tries:   make(map[string]int),
	}
	if options.TLS != NoTLS {
		var err error
		if s.identity, err = newIdentity(); err != nil {
			return nil, fmt.Errorf("smtptest: certificate: %w", err)
		}
	}
	listener, err := net.Listen("tcp", options.Addr)
	if err != nil {
		return nil, fmt.Errorf("smtptest: %w", err)
	}
	s.listener = listener
	s.door = &door{server: s, ready: make(chan net.Conn)}

	s.smtp = gosmtp.NewServer(gosmtp.BackendFunc(s.newSession))
	s.smtp.Domain = "localhost"
	s.smtp.MaxMessageBytes = options.MaxBytes
	s.smtp.MaxRecipients = options.MaxRecipients
	// The session itself judges the lines of a mail; this outer bound, which
	// ends the connection, holds for commands and for what never ends.
	s.smtp.MaxLineLength = 2 * options.MaxLine
	s.smtp.ReadTimeout = idleTimeout
	s.smtp.WriteTimeout = idleTimeout
	s.smtp.EnableSMTPUTF8 = true
	s.smtp.AllowInsecureAuth = options.TLS == NoTLS
	s.smtp.ErrorLog = slog.NewLogLogger(options.Log.Handler(), slog.LevelWarn)
	if options.TLS == StartTLS {
		s.smtp.TLSConfig = s.identity.config()
	}

	s.running.Go(s.accept)
	s.running.Go(func() {
		if err := s.smtp.Serve(s.door); err != nil && !errors.Is(err, net.ErrClosed) {
			options.Log.Warn("smtptest: serve", "error", err)
		}
	})
	return s, nil
}

// Close ends all connections and returns when the last goroutine of the server
// has ended. It waits for a hook that is running, so a hook must not call it.
// Closing again does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		<-s.closed
		return nil
	}
	s.stopped = true
	close(s.closing)
	err := s.listener.Close()
	for c := range s.conns {
		c.Conn.Close() // not c.Close, which needs the lock
	}
	s.mu.Unlock()

	// In this order: Serve has returned before Shutdown waits for what Serve
	// has started.
	s.running.Wait()
	err = errors.Join(err, s.smtp.Shutdown(context.Background()))
	close(s.closed)
	return err
}

// enter registers work that Close must wait for. It reports false when the
// server is closing; else the caller must call s.running.Done.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.running.Add(1)
	return true
}

// pause waits for d, or less when the server closes, and reports whether the
// server is still open.
func (s *Server) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.closing:
		return false
	}
}

// Addr returns the address of the server as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Host returns the host of the server, an IP address for which its certificate
// is valid.
func (s *Server) Host() string {
	host, _, _ := net.SplitHostPort(s.Addr())
	return host
}

// Port returns the port of the server.
func (s *Server) Port() int {
	_, port, _ := net.SplitHostPort(s.Addr())
	n, _ := strconv.Atoi(port)
	return n
}

// CertPool returns the certificates that a client must trust to talk to the
// server, or nil when it does not speak TLS.
func (s *Server) CertPool() *x509.CertPool {
	if s.identity == nil {
		return nil
	}
	return s.identity.pool()
}

// CertPEM returns the certificate of CertPool in PEM form, for a client in
// another process (which, in Go, trusts the file named by SSL_CERT_FILE), or
// nil when the server does not speak TLS.
func (s *Server) CertPEM() []byte {
	if s.identity == nil {
		return nil
	}
	return s.identity.pem()
}
