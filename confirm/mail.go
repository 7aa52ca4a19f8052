package confirm

import (
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"

	"hashtill/offers"
	"hashtill/offers/words"
)

// mailTemplates are one look for all mails, as HTML and as text.
type mailTemplates struct {
	html *htmltemplate.Template
	text *texttemplate.Template

	skeletons skeletons
}

func newMailTemplates() (*mailTemplates, error) {
	parts := htmltemplate.FuncMap{"parts": func(s string) []string { return strings.Split(s, "\n") }}
	html, err := htmltemplate.New("mail.html").Funcs(parts).ParseFS(templates, "templates/mail.html")
	if err != nil {
		return nil, err
	}
	text, err := texttemplate.ParseFS(templates, "templates/mail.txt")
	return &mailTemplates{html: html, text: text}, err
}

// A letter is a mail as its templates take it.
type letter struct {
	Lang, Dir, Subject, Hello, Text string
	Preheader                       string // what a list of mails shows beside the subject
	Code                            string // large
	Picture, PictureAlt             string // an https address, and what is said where it is not loaded
	Rows                            []line
	Colon                           string // between a row's label and its value, in the text
	Button, Link                    string
	Notes                           []string
	NotMe                           hint
}

// addresses are where the mails of a purchase lead to.
type addresses struct{ page, notMe string }

func (p *pages) write(l letter) Mail {
	html, text, ok := p.mail.skeletons.of(l, p.mail.execute).fill(l)
	if !ok {
		html, text = p.mail.execute(l)
	}
	return Mail{Lang: l.Lang, Subject: l.Subject, Text: text, HTML: html}
}

// execute has the templates write a letter.
func (m *mailTemplates) execute(l letter) (string, string) {
	var html, text strings.Builder
	// The templates take every letter: a test renders all of them.
	if err := m.html.Execute(&html, l); err != nil {
		panic(fmt.Sprintf("confirm: mail template: %v", err))
	}
	if err := m.text.Execute(&text, l); err != nil {
		panic(fmt.Sprintf("confirm: mail template: %v", err))
	}
	return html.String(), text.String()
}

// letterTo begins a letter with the words of a message group.
func letterTo(say words.Words, handle, group string, args map[string]any) letter {
	hello := "mail.hello"
	if handle == "" {
		hello = "mail.hello_nobody"
	}
	text := say.Say("mail."+group+".text", args)
	return letter{
		Lang:      say.Lang,
		Dir:       say.Dir(),
		Subject:   say.Say("mail."+group+".subject", args),
		Preheader: text, // the greeting says nothing
		Hello:     say.Say(hello, map[string]any{"Handle": handle}),
		Text:      text,
		Colon:     say.Say("mail.colon", nil),
	}
}

// notMe leads a reader who did not ask for a purchase to where everything can be stopped.
func notMe(say words.Words, pur offers.Purchase, to string) hint {
	words := "text"
	switch {
	case !pur.PaidAt.IsZero():
		words = "paid"
	case pur.State.Ended():
		words = "over"
	}
	return hint{Text: say.Say("mail.not_me."+words, nil), To: to, Label: say.Say("mail.not_me.link", nil)}
}

// codeMail brings the code where the public reply cannot, or to who has waited in line.
// until is when the code expires, by the buyer's clocks.
func (p *pages) codeMail(say words.Words, pur offers.Purchase, at addresses, until string) Mail {
	group := "code"
	if !pur.TurnAt.IsZero() {
		group = "turn"
	}
	l := letterTo(say, pur.Handle, group, map[string]any{
		"Title": pur.Title, "Total": pur.Total.Format(say.Lang), "Until": until,
	})
	l.Code = pur.Code.Hashtag()
	l.Notes = []string{say.Say("mail.code.after", nil), say.Say("mail."+group+".why", nil), say.Say("mail.number", map[string]any{"Number": pur.ID})}
	l.NotMe = notMe(say, pur, at.notMe)
	return p.write(l)
}

// proofMail proves an address. The code stands in the subject too, where a phone shows
// it without opening the mail.
func (p *pages) proofMail(say words.Words, handle, code, until string) Mail {
	l := letterTo(say, handle, "proof", map[string]any{"Code": code})
	l.Code = code
	l.Notes = []string{say.Say("mail.proof.until", map[string]any{"Until": until}), say.Say("mail.proof.not_me", nil)}
	return p.write(l)
}

// movedMail tells a former address that mails go to another one now. stay is where its
// reader freezes the account.
func (p *pages) movedMail(say words.Words, handle, to, stay string) Mail {
	l := letterTo(say, handle, "moved", map[string]any{"Email": to})
	l.Notes = []string{say.Say("mail.moved.rest", nil)}
	l.NotMe = hint{Text: say.Say("mail.moved.not_me", nil), To: stay, Label: say.Say("mail.not_me.link", nil)}
	return p.write(l)
}

// frozenMail tells a buyer who said "this wasn't me" that everything is stopped, and the
// way back: by the account's page, or where there is none, by an answer.
func (p *pages) frozenMail(say words.Words, pur offers.Purchase, account string) Mail {
	l := letterTo(say, pur.Handle, "frozen", map[string]any{"Title": pur.Title})
	back := "ask"
	if account != "" {
		back = "back"
		l.Button, l.Link = say.Say("mail.reason.account", nil), account
	}
	l.Notes = []string{say.Say("mail.frozen."+back, nil), say.Say("mail.frozen.password", nil), say.Say("mail.number", map[string]any{"Number": pur.ID})}
	return p.write(l)
}

// linkMail brings the link. until is when it expires, by the buyer's clocks.
func (p *pages) linkMail(say words.Words, pur offers.Purchase, b offers.Buyer, at addresses, until string) Mail {
	args := map[string]any{"Title": pur.Title, "Total": pur.Total.Format(say.Lang), "Until": until, "Card": cardEnding(say, pur.Card)}
	l := letterTo(say, pur.Handle, "link", args)
	switch {
	case !pur.TurnAt.IsZero():
		l.Text = say.Say("mail.link.turn", args)
	case pur.OnPage:
		l.Text = say.Say("mail.link.page", args)
	}
	l.Preheader = say.Say("mail.link.until", args)
	l.Picture, l.PictureAlt = pur.Picture, pur.Title
	l.Rows = details(say, pur, b)
	l.Button, l.Link = say.Say("mail.link.button", args), at.page
	if unheld(pur) {
		l.Notes = append(l.Notes, say.Say("page.confirm.unheld", nil))
	}
	press := "press"
	if pur.Times.Grace > 0 {
		press = "grace"
	}
	l.Notes = append(l.Notes, say.Say("mail.link.until", args), say.Say("mail.link."+press, args))
	l.NotMe = notMe(say, pur, at.notMe)
	return p.write(l)
}

// cardEnding is a card by its brand and its last four digits.
func cardEnding(say words.Words, card offers.Card) string {
	return say.Say("field.card_ending", map[string]any{"Brand": brand(card.Brand), "Last4": card.Last4})
}

// unheld says that a purchase has no units before its button is pressed.
func unheld(p offers.Purchase) bool { return p.Hold == offers.HoldAtClick && p.Held == 0 }

// reasonMail says why a purchase does not go on. to leads to where something can be done
// about it, if it can; until is when a link to try again expires, by the buyer's clocks.
func (p *pages) reasonMail(say words.Words, pur offers.Purchase, why offers.Reason, at addresses, to button, until string) Mail {
	title := say.Say("reason."+string(why)+".title", nil)
	l := letterTo(say, pur.Handle, "reason", map[string]any{"Reason": title, "Title": pur.Title})
	text := say.Say("reason."+string(why)+".text", reasonArgs(say, pur.Over, pur.QuietUntil))
	l.Text = title + ". " + text
	if strings.HasSuffix(title, "?") {
		l.Subject, l.Text = title+" "+pur.Title, text
	}
	l.Preheader = text
	l.Rows = brief(say, pur) // what it is about; the rest is no matter here
	if pur.State == offers.Declined && pur.Card.Last4 != "" {
		l.Rows = append(l.Rows, line{Label: say.Say("field.card", nil), Value: cardEnding(say, pur.Card)})
	}
	if len(pur.Choices) > 0 {
		example := "#" + pur.Tag + " " + pur.Choices[0]
		l.Notes = append(l.Notes, strings.Join(pur.Choices, " · "), say.Say("mail.reason.example", map[string]any{"Example": example}))
	}
	if l.Button, l.Link = to.Label, to.To; to.To != "" && pur.State == offers.Declined {
		l.Notes = append(l.Notes, say.Say("mail.link.until", map[string]any{"Until": until}))
	}
	l.Notes = append(l.Notes, say.Say("mail.number", map[string]any{"Number": pur.ID}))
	if !pur.State.Ended() || pur.State == offers.Refused { // else there is nothing that anybody could still want to stop
		l.NotMe = notMe(say, pur, at.notMe)
	}
	return p.write(l)
}
