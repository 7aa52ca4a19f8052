package smtptest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// A Stage is a moment in a delivery at which the server can misbehave; see the
// package comment.
type Stage int

// The stages, in the order of the protocol.
const (
	Connect   Stage = iota + 1 // before the greeting
	Recipient                  // in answer to RCPT
	Body                       // within DATA; the mail is not kept
	Kept                       // the mail is kept, its 250 is not sent yet
	Answered                   // the 250 was sent
)

// A Fault is one way in which the server misbehaves: it waits, or refuses, or
// cuts the connection, or waits before one of the latter.
//
// The usual ones:
//
//	Fault{At: Recipient, Greylist: true}              451 at the first try of each recipient
//	Fault{At: Connect, Code: 421, Times: 1}           busy once
//	Fault{At: Recipient, Code: 550, To: "ann@…"}      no such mailbox
//	Fault{At: Body, Code: 554}                        refused for what is in it
//	Fault{At: Body, Cut: true}                        cut mid-DATA, not kept
//	Fault{At: Kept, Delay: time.Minute}               kept, but the sender runs out of patience
//	Fault{At: Kept, Cut: true, Times: 1}              kept, cut before the 250
//	Fault{At: Answered, Cut: true, Times: 1}          kept, cut after the 250
type Fault struct {
	At Stage

	// To limits the fault to mail for this address; without it, it is for all.
	// Not at Connect, where no recipient is known.
	To string

	// Times is how often the fault acts before it is gone; 0 means until
	// [Server.Heal]. At Recipient each RCPT counts.
	Times int

	// Delay passes before anything else happens. Alone, it makes the server
	// slow. The server does not notice a client that leaves meanwhile.
	Delay time.Duration

	// Code is the reply, 400 to 599. After a 421 the connection is closed, as
	// RFC 5321, section 3.8, has it.
	Code int

	// Cut closes the connection without a reply; at Body after the first bytes
	// of the mail.
	Cut bool

	// Greylist, at Recipient only, refuses with 451 the first try of each pair
	// of sender and recipient, and all tries of the pair until Wait has passed
	// since the first (RFC 6647). It lasts until [Server.Heal].
	Greylist bool
	Wait     time.Duration
}

func (f Fault) check() error {
	acts := 0
	for _, set := range []bool{f.Code != 0, f.Cut, f.Greylist} {
		if set {
			acts++
		}
	}
	switch {
	case f.At < Connect || f.At > Answered:
		return errors.New("no such stage")
	case acts > 1:
		return errors.New("more than one of Code, Cut and Greylist")
	case acts == 0 && f.Delay == 0:
		return errors.New("it does nothing")
	case f.Times < 0 || f.Delay < 0 || f.Wait < 0:
		return errors.New("a negative number")
	case f.Code != 0 && (f.Code < 400 || f.Code > 599):
		return fmt.Errorf("code %d does not refuse", f.Code)
	case f.At == Connect && f.To != "":
		return errors.New("no recipient is known at Connect")
	case f.At == Answered && !f.Cut:
		return errors.New("at Answered only Cut is left to do")
	case f.Greylist && (f.At != Recipient || f.Times != 0):
		return errors.New("greylisting is for Recipient, and counts for itself")
	case f.Wait != 0 && !f.Greylist:
		return errors.New("waiting is for greylisting")
	}
	return nil
}

// An injected is a Fault at work.
type injected struct {
	Fault
	left  int                  // of Times
	first map[string]time.Time // greylisting: when a pair was first tried
}

// Inject lets the server misbehave from now on, also on open connections. Where
// several faults apply at a stage, the oldest acts alone. The error says why a
// Fault makes no sense.
func (s *Server) Inject(f Fault) error {
	if err := f.check(); err != nil {
		return fmt.Errorf("smtptest: fault: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &injected{Fault: f, left: f.Times, first: make(map[string]time.Time)})
	return nil
}

// Heal takes back every fault. What already waits in a Delay waits on.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// strike returns the fault that acts now on mail from and to these addresses,
// counts it, and waits for its Delay. Without one it returns the zero Fault.
func (s *Server) strike(at Stage, from string, to ...string) Fault {
	f := s.next(at, from, to)
	if f.Delay > 0 && !s.pause(f.Delay) {
		return Fault{At: at, Cut: true} // closing: nothing more is said
	}
	return f
}

func (s *Server) next(at Stage, from string, to []string) Fault {
	now := s.options.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.At != at || !f.concerns(to) {
			continue
		}
		if f.Greylist {
			if f.greets(from, to, now) {
				continue
			}
			refusal := f.Fault
			refusal.Code = 451
			return refusal
		}
		if f.left > 0 {
			if f.left--; f.left == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return f.Fault
	}
	return Fault{}
}

func (f *injected) concerns(to []string) bool {
	return f.To == "" || slices.ContainsFunc(to, func(address string) bool {
		return sameMailbox(address, f.To)
	})
}

// greets reports whether the pair of sender and recipient is known by now.
func (f *injected) greets(from string, to []string, now time.Time) bool {
	pair := strings.ToLower(from + "\n" + strings.Join(to, "\n"))
	first, tried := f.first[pair]
	if !tried {
		f.first[pair] = now
		return false
	}
	return now.Sub(first) >= f.Wait
}

// refusals are the replies of RFC 5321, section 4.2.3, with the enhanced codes
// that RFC 3463 and RFC 5248 give them. Others go out with X.0.0.
var refusals = map[int]gosmtp.SMTPError{
	421: {EnhancedCode: gosmtp.EnhancedCode{4, 3, 2}, Message: "Service not available, closing transmission channel"},
	450: {EnhancedCode: gosmtp.EnhancedCode{4, 2, 0}, Message: "Mailbox unavailable for now"},
	451: {EnhancedCode: gosmtp.EnhancedCode{4, 3, 0}, Message: "Local error in processing, try again"},
	452: {EnhancedCode: gosmtp.EnhancedCode{4, 3, 1}, Message: "Insufficient system storage"},
	550: {EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "Mailbox unavailable"},
	552: {EnhancedCode: gosmtp.EnhancedCode{5, 2, 2}, Message: "Mailbox full"},
	554: {EnhancedCode: gosmtp.EnhancedCode{5, 7, 1}, Message: "Transaction failed"},
}

// refusal returns the reply of a fault with a Code.
func (f Fault) refusal() *gosmtp.SMTPError {
	if f.Greylist {
		return &gosmtp.SMTPError{
			Code:         f.Code,
			EnhancedCode: gosmtp.EnhancedCode{4, 7, 1},
			Message:      "Greylisted, please try again later",
		}
	}
	reply, known := refusals[f.Code]
	if !known {
		reply = gosmtp.SMTPError{EnhancedCode: gosmtp.EnhancedCode{f.Code / 100, 0, 0}, Message: "Refused"}
	}
	reply.Code = f.Code
	return &reply
}
