package world

import (
	"context"
	"strings"
	"time"

	"hashtill/confirm"
)

// A post is the mail, from our server to the readers.
type post struct {
	*world
	sent []*mail
}

// A mail was accepted by a mail server.
type mail struct {
	id   string
	link string // the path of a page of ours that it leads to
	at   time.Time
}

// A mailer is the mail server as one life reaches it.
type mailer struct {
	*post
	l *life
}

// Send implements [confirm.Mailer].
func (m mailer) Send(_ context.Context, letter confirm.Mail) error {
	if err := m.l.step(); err != nil {
		return err
	}
	switch {
	case m.chance("mail lost before", letter.ID):
		return errLost
	case strings.HasPrefix(string(letter.To), "nobody"):
		m.happens("mail refused", letter.ID)
		m.refused(letter)
		return &confirm.RefusedError{Why: "no such user"}
	case m.chance("mail slow", letter.ID):
		if !m.wait(between(m.kinds["mail slow"].dice, time.Second, 25*time.Second)) {
			return errDead
		}
	}
	a := &mail{id: letter.ID, at: m.now}
	if i := strings.Index(letter.Text, shopURL+"/c/"); i >= 0 {
		a.link, _, _ = strings.Cut(letter.Text[i+len(shopURL):], "\n")
		a.link = strings.TrimSpace(a.link)
	}
	m.judgeMail(letter)
	m.sent = append(m.sent, a)
	m.notes("mail %s", a.id)
	m.arrives(a, letter)
	if m.l.drawn("died after a deed") {
		m.l.die("died after a deed", letter.ID)
		return errDead
	}
	if m.chance("mail answer lost", letter.ID) {
		return errLost
	}
	if m.pace.IntN(2) == 0 {
		return m.l.step()
	}
	return nil
}
