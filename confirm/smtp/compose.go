package smtp

import (
	"crypto/sha256"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"unicode"

	"github.com/wneessen/go-mail"

	"hashtill/confirm"
	"hashtill/offers"
)

// maxSubject is in characters; a header line may have 998 octets (RFC 5322, section
// 2.1.1), and no reader shows that much.
const maxSubject = 200

// compose writes the message.
func (m *Mailer) compose(c confirm.Mail) (*mail.Msg, error) {
	if c.ID == "" || c.Text == "" {
		return nil, errors.New("smtp: a mail needs an ID and a text")
	}
	if c.Unsubscribe != "" && !isLink(c.Unsubscribe) {
		return nil, errors.New("smtp: a mail is to be unsubscribed from at what is no https address") // whose token is no matter of the log
	}
	if !isAddress(string(c.To)) {
		return nil, &confirm.RefusedError{Why: "smtp: not an e-mail address", Reason: offers.MailRefused}
	}
	msg := mail.NewMsg(mail.WithCharset(mail.CharsetUTF8), mail.WithEncoding(mail.EncodingQP), mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&m.config.From)
	msg.ToMailAddress(&netmail.Address{Address: string(c.To)})
	msg.Subject(oneLine(c.Subject))
	msg.SetMessageIDWithValue(messageID(c.ID, m.domain))
	msg.SetDateWithValue(m.config.Now())
	if isTag(c.Lang) {
		msg.SetGenHeader(mail.HeaderContentLang, c.Lang)
	}
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	if c.Thread != "" {
		// No mail has this id: all that name it are siblings, whichever arrives first.
		thread := "<" + messageID("thread/"+c.Thread, m.domain) + ">"
		msg.SetGenHeader(mail.HeaderInReplyTo, thread)
		msg.SetGenHeader(mail.HeaderReferences, thread)
	}
	if c.Unsubscribe != "" {
		// No mailto beside it: nobody reads answers by a program.
		msg.SetGenHeader(mail.HeaderListUnsubscribe, "<"+c.Unsubscribe+">")
		msg.SetGenHeader(mail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click")
	}
	msg.SetBodyString(mail.TypeTextPlain, c.Text)
	if c.HTML != "" {
		msg.AddAlternativeString(mail.TypeTextHTML, c.HTML)
	}
	if m.config.DKIM != nil {
		if err := m.config.DKIM.sign(msg, c.ID, m.domain); err != nil {
			return nil, fmt.Errorf("smtp: sign: %w", err)
		}
	}
	return msg, nil
}

// isAddress says that s is exactly one address: no name, no comment, nothing that
// could end a line.
func isAddress(s string) bool {
	a, err := netmail.ParseAddress(s)
	return err == nil && a.Address == s && len(s) <= 254 && !strings.ContainsFunc(s, unicode.IsControl)
}

// isLink says that s is an https address which a header can hold (RFC 8058, section 3.1).
func isLink(s string) bool {
	return strings.HasPrefix(s, "https://") && len(s) <= 900 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' })
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// isTag says that s has the letters of a language tag (RFC 5646).
func isTag(s string) bool {
	return s != "" && len(s) <= 35 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// oneLine is a text as a header may have it.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxSubject {
		s = string(r[:maxSubject-1]) + "…"
	}
	return s
}

// maxLeft bounds the left of a Message-ID, in bytes: a header's line has at most 998
// (RFC 5322, section 2.1.1), and some readers take far less.
const maxLeft = 200

// messageID is the same for the same ID, and for no other. What is not allowed on
// the left of a Message-ID (RFC 5322, section 3.6.4) is spelled as =XX; what is too
// long becomes its hash, which a dot tells from all others.
func messageID(id, domain string) string {
	var left strings.Builder
	for i := range len(id) {
		switch c := id[i]; {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', strings.IndexByte("!#$%&'*+-/?^_`{|}~", c) >= 0:
			left.WriteByte(c)
		default:
			fmt.Fprintf(&left, "=%02X", c)
		}
	}
	if left.Len() > maxLeft {
		return fmt.Sprintf("sha256.%x@%s", sha256.Sum256([]byte(id)), domain)
	}
	return left.String() + "@" + domain
}
