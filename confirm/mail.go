package confirm

import (
	"fmt"
	htmltemplate "html/template"
	"math"
	"strings"
	texttemplate "text/template"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// mailTemplates are one look for all mails, as HTML and as text.
type mailTemplates struct {
	html *htmltemplate.Template
	text *texttemplate.Template
}

func newMailTemplates() (*mailTemplates, error) {
	html, err := htmltemplate.ParseFS(templates, "templates/mail.html")
	if err != nil {
		return nil, err
	}
	text, err := texttemplate.ParseFS(templates, "templates/mail.txt")
	return &mailTemplates{html, text}, err
}

// A letter is a mail as its templates take it.
type letter struct {
	Lang, Subject, Hello, Text string
	Code                       string // large
	Rows                       []line
	Colon                      string // between a row's label and its value, in the text
	Button, Link               string
	Notes                      []string
}

func (p *pages) write(l letter) Mail {
	var html, text strings.Builder
	// The templates take every letter: a test renders all of them.
	if err := p.mail.html.Execute(&html, l); err != nil {
		panic(fmt.Sprintf("confirm: mail template: %v", err))
	}
	if err := p.mail.text.Execute(&text, l); err != nil {
		panic(fmt.Sprintf("confirm: mail template: %v", err))
	}
	return Mail{Lang: l.Lang, Subject: l.Subject, Text: text.String(), HTML: html.String()}
}

// letterTo begins a letter with the words of a message group.
func letterTo(say words.Words, handle, group string, args map[string]any) letter {
	return letter{
		Lang:    say.Lang,
		Subject: say.Say("mail."+group+".subject", args),
		Hello:   say.Say("mail.hello", map[string]any{"Handle": handle}),
		Text:    say.Say("mail."+group+".text", args),
		Colon:   say.Say("mail.colon", nil),
	}
}

// codeMail brings the code where the public reply cannot, or to who has waited in line.
func (p *pages) codeMail(say words.Words, pur offers.Purchase) Mail {
	group := "code"
	if !pur.TurnAt.IsZero() {
		group = "turn"
	}
	l := letterTo(say, pur.Handle, group, map[string]any{
		"Title": pur.Title, "Total": pur.Total.Format(say.Lang), "Minutes": int(math.Round(pur.Times.Echo.Minutes())),
	})
	l.Code = pur.Code.Hashtag()
	l.Notes = []string{say.Say("mail.code.after", nil), say.Say("mail."+group+".why", nil), say.Say("mail.number", map[string]any{"Number": pur.ID})}
	return p.write(l)
}

// proofMail proves an address. The code stands in the subject too, where a phone shows
// it without opening the mail.
func (p *pages) proofMail(say words.Words, handle, code string) Mail {
	l := letterTo(say, handle, "proof", map[string]any{"Code": code})
	l.Code = code
	l.Notes = []string{say.Say("mail.proof.until", nil), say.Say("mail.proof.not_me", nil)}
	return p.write(l)
}

// movedMail tells a former address that mails go to another one now.
func (p *pages) movedMail(say words.Words, handle, to string) Mail {
	l := letterTo(say, handle, "moved", map[string]any{"Email": to})
	l.Notes = []string{say.Say("mail.moved.not_me", nil)}
	return p.write(l)
}

func (p *pages) linkMail(say words.Words, pur offers.Purchase, b offers.Buyer, link string, until time.Time) Mail {
	args := map[string]any{"Title": pur.Title, "Total": pur.Total.Format(say.Lang), "Until": clockTime(until)}
	l := letterTo(say, pur.Handle, "link", args)
	if !pur.TurnAt.IsZero() {
		l.Text = say.Say("mail.link.turn", args)
	}
	l.Rows = details(say, pur, b)
	l.Button, l.Link = say.Say("mail.link.button", args), link
	if unheld(pur) {
		l.Notes = append(l.Notes, say.Say("page.confirm.unheld", nil))
	}
	l.Notes = append(l.Notes, say.Say("mail.link.until", args), say.Say("mail.not_me", nil))
	return p.write(l)
}

// unheld says that a purchase has no units before its button is pressed.
func unheld(p offers.Purchase) bool { return p.Hold == offers.HoldAtClick && p.Held == 0 }

// reasonMail says why a purchase does not go on. to leads to where something can be done
// about it, if it can.
func (p *pages) reasonMail(say words.Words, pur offers.Purchase, why offers.Reason, to button) Mail {
	title := say.Say("reason."+string(why)+".title", nil)
	l := letterTo(say, pur.Handle, "reason", map[string]any{"Reason": title, "Title": pur.Title})
	text := say.Say("reason."+string(why)+".text", reasonArgs(say, pur.Over, pur.QuietUntil))
	l.Text = title + ". " + text
	if strings.HasSuffix(title, "?") {
		l.Subject, l.Text = title+" "+pur.Title, text
	}
	l.Rows = brief(say, pur) // what it is about; the rest is no matter here
	if len(pur.Choices) > 0 {
		example := "#" + pur.Tag + " " + pur.Choices[0]
		l.Notes = append(l.Notes, strings.Join(pur.Choices, " · "), say.Say("mail.reason.example", map[string]any{"Example": example}))
	}
	if l.Button, l.Link = to.Label, to.To; to.To != "" && pur.State == offers.Declined {
		l.Notes = append(l.Notes, say.Say("mail.link.until", map[string]any{"Until": clockTime(pur.LinkEnds())}))
	}
	l.Notes = append(l.Notes, say.Say("mail.number", map[string]any{"Number": pur.ID}))
	return p.write(l)
}
