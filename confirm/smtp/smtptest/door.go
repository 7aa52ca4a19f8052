package smtptest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	gosmtp "github.com/emersion/go-smtp"
)

// A conn is the bare connection below TLS, which faults cut.
type conn struct {
	net.Conn
	server  *Server
	hangsUp atomic.Bool
}

// hangUp closes the connection after the reply that is being written: go-smtp
// writes it and then reads the next command.
func (c *conn) hangUp() { c.hangsUp.Store(true) }

func (c *conn) Read(p []byte) (int, error) {
	if c.hangsUp.Load() {
		c.Close()
		return 0, io.EOF
	}
	return c.Conn.Read(p)
}

// Close cuts the connection: over TLS without a word of farewell.
func (c *conn) Close() error {
	c.server.forget(c)
	return c.Conn.Close()
}

// bare returns the conn below the connection that go-smtp knows.
func bare(c net.Conn) *conn {
	if encrypted, ok := c.(*tls.Conn); ok {
		c = encrypted.NetConn()
	}
	return c.(*conn)
}

// A door is the listener that go-smtp sees. Behind it a connection has passed
// the faults of Connect.
type door struct {
	server *Server
	ready  chan net.Conn
}

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.ready:
		return c, nil
	case <-d.server.closing:
		return nil, net.ErrClosed
	}
}

func (d *door) Addr() net.Addr { return d.server.listener.Addr() }

// Close does nothing: the Server closes its own listener.
func (d *door) Close() error { return nil }

// accept runs until the listener is closed.
func (s *Server) accept() {
	for {
		raw, err := s.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.options.Log.Warn("smtptest: accept", "error", err)
			}
			return
		}
		c := &conn{Conn: raw, server: s}
		if !s.track(c) {
			return
		}
		s.running.Go(func() { s.meet(c) })
	}
}

// track remembers c for Close. It closes c at once, and reports false, when the
// server is closing.
func (s *Server) track(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		c.Conn.Close()
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// meet hands c to go-smtp, or turns it away where a fault says so.
func (s *Server) meet(c *conn) {
	var visitor net.Conn = c
	if s.options.TLS == ImplicitTLS {
		visitor = tls.Server(c, s.identity.config())
	}
	switch f := s.strike(Connect, ""); {
	case f.Cut:
		c.Close()
	case f.Code != 0:
		// The refusal goes out in place of the greeting; over TLS the write
		// does the handshake first.
		fmt.Fprintf(visitor, "%s\r\n", line(f.refusal()))
		visitor.Close()
	default:
		select {
		case s.door.ready <- visitor:
		case <-s.closing:
		}
	}
}

// line spells a reply as it goes over the wire.
func line(reply *gosmtp.SMTPError) string {
	e := reply.EnhancedCode
	return fmt.Sprintf("%d %d.%d.%d %s", reply.Code, e[0], e[1], e[2], reply.Message)
}
