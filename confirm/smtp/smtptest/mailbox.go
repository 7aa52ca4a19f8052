package smtptest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-message/mail"
)

// A Message is a mail that the server accepted. It must not be changed: all who
// ask for it share it.
type Message struct {
	Seq  int      // 1 for the first mail that the server kept
	From string   // of the envelope; "" for the null reverse-path
	To   []string // of the envelope, as spelled in RCPT
	User string   // who had authenticated, or ""
	TLS  bool     // it came over an encrypted connection

	Raw        []byte // as sent, lines ending in CRLF, without the dots of RFC 5321, section 4.5.2
	ReceivedAt time.Time

	// What a mail reader shows. The text and the HTML are those of the first
	// such part that is no attachment, decoded, with lines ending in "\n".
	Header    mail.Header
	MessageID string // without the angle brackets; "" without one
	Subject   string
	Text      string
	HTML      string

	// Err says what of the mail could not be read; it was kept all the same.
	Err error
}

// keep parses and stores m, wakes the waiting, and runs the hook.
func (s *Server) keep(m *Message) {
	m.parse()
	m.ReceivedAt = s.options.Now()

	s.mu.Lock()
	m.Seq = len(s.messages) + 1
	s.messages = append(s.messages, *m)
	close(s.more)
	s.more = make(chan struct{})
	hook := s.onKept
	s.mu.Unlock()

	if hook != nil {
		hook(*m)
	}
}

// OnKept sets a hook that is called for each mail after it was kept and before
// its 250 is sent; nil removes it. The hook runs in the goroutine of the
// connection, so the client waits for it, and hooks of several connections run
// at once.
func (s *Server) OnKept(hook func(Message)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onKept = hook
}

// Messages returns all mail in the order in which it was kept.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Mailbox returns the mail that came for an address, in the order in which it
// was kept. As mail hosts do in practice, it takes no notice of case.
func (s *Server) Mailbox(address string) []Message {
	return slices.DeleteFunc(s.Messages(), func(m Message) bool {
		return !slices.ContainsFunc(m.To, func(to string) bool { return sameMailbox(to, address) })
	})
}

// Folded returns the mailbox of an address as a mail reader shows it: mails with
// the same Message-ID are one. Each element holds the copies of one mail, at
// least one, in the order in which they came. A mail without a Message-ID is
// never a copy.
func (s *Server) Folded(address string) [][]Message {
	var folded [][]Message
	at := make(map[string]int) // Message-ID → index in folded
	for _, m := range s.Mailbox(address) {
		if i, known := at[m.MessageID]; known && m.MessageID != "" {
			folded[i] = append(folded[i], m)
			continue
		}
		at[m.MessageID] = len(folded)
		folded = append(folded, []Message{m})
	}
	return folded
}

// Tries returns how often a client asked to send to an address (RCPT), whatever
// the answer.
func (s *Server) Tries(address string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries[strings.ToLower(address)]
}

func (s *Server) countTry(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries[strings.ToLower(address)]++
}

// Wait returns the first mail that matches, of those already kept and those to
// come. It calls match once for each, one after the other. The error is that of
// ctx, or [ErrClosed].
func (s *Server) Wait(ctx context.Context, match func(Message) bool) (Message, error) {
	for seen := 0; ; {
		var last bool
		select {
		case <-s.closed:
			last = true
		default:
		}
		s.mu.Lock()
		fresh, more := s.messages[seen:], s.more
		s.mu.Unlock()
		for _, m := range fresh {
			if match(m) {
				return m, nil
			}
		}
		if last {
			return Message{}, ErrClosed
		}
		seen += len(fresh)
		select {
		case <-more:
		case <-s.closed:
		case <-ctx.Done():
			return Message{}, fmt.Errorf("smtptest: no such mail among %d: %w", seen, context.Cause(ctx))
		}
	}
}

// parse fills in what a mail reader shows.
func (m *Message) parse() {
	reader, err := mail.CreateReader(bytes.NewReader(m.Raw))
	m.note(err)
	if reader == nil {
		return
	}
	m.Header = reader.Header
	m.Subject, err = m.Header.Subject()
	m.note(err)
	if m.MessageID, err = m.Header.MessageID(); err != nil {
		m.note(err)
		m.MessageID = strings.Trim(m.Header.Get("Message-Id"), "<> ")
	}
	var texts, htmls int
	for {
		part, err := reader.NextPart()
		if err == io.EOF {
			return
		}
		m.note(err)
		if part == nil {
			return
		}
		inline, ok := part.Header.(*mail.InlineHeader)
		if !ok {
			continue
		}
		kind, _, err := inline.ContentType()
		m.note(err)
		body, err := io.ReadAll(part.Body)
		m.note(err)
		shown := strings.ReplaceAll(string(body), "\r\n", "\n")
		switch kind {
		case "text/plain":
			if texts++; texts == 1 {
				m.Text = shown
			}
		case "text/html":
			if htmls++; htmls == 1 {
				m.HTML = shown
			}
		}
	}
}

// note keeps the first error.
func (m *Message) note(err error) {
	if m.Err == nil {
		m.Err = err
	}
}

func sameMailbox(a, b string) bool { return strings.EqualFold(a, b) }
