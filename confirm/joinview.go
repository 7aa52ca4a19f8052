package confirm

import (
	"strings"

	"hashtill/offers"
	"hashtill/offers/words"
)

func (c *Counter) signInView(say words.Words) view {
	network := say.Say("join.network."+c.SignIn.Network(), nil)
	return view{Lang: say.Lang, Title: say.Say("join.title", nil), Text: say.Say("join.text", nil), Note: say.Say("join.least", map[string]any{"Network": network}),
		Buttons: []button{{To: "/join/sign-in", Label: say.Say("join.sign_in", map[string]any{"Network": network})}}}
}

// stepView is the page of the next step. problem says what was wrong with the step
// before, and typed what was typed then.
func (c *Counter) stepView(m member, problem offers.Reason, typed map[string]string) view {
	say, u := m.say, m.signup
	v := view{Lang: say.Lang}
	wrong := hint{Text: say.Say("join.wrong", nil), To: "/join" + anotherAddress, Label: say.Say("join.wrong_button", nil)}
	if m.changing() {
		wrong = hint{Text: say.Say("join.wrong", nil), To: "/account", Label: say.Say("join.wrong_account", nil)}
	}
	switch {
	case m.maySave() && !m.registered():
		v.Title, v.Text = say.Say("join.card.title", nil), say.Say("join.card.text", nil)
		v.Buttons = []button{{To: "/join/card", Label: say.Say("join.card.button", nil)}}
	case u.Code != nil && (m.changing() || u.Email == m.to()):
		v.Title, v.Text = say.Say("join.code.title", nil), say.Say("join.code.text", map[string]any{"Email": masked(u.Email)})
		v.Sections = []section{{Forms: []form{{To: "/join/code", Button: say.Say("join.code.button", nil), Fields: []field{{
			Name: "code", Label: say.Say("join.code.field", nil), Auto: "one-time-code", Mode: "numeric", Max: 20, Required: true,
		}}}}}}
		v.Buttons = []button{{To: "/join/again", Label: say.Say("join.another", nil), Quiet: true}}
		v.Note = say.Say("join.code.note", nil)
		if !m.registered() || m.changing() {
			v.Hint = wrong
		}
	case m.registered() || u.Proven: // by another browser
		v.Title, v.Text = say.Say("join.back.title", nil), say.Say("join.back.text", map[string]any{"Email": masked(m.to())})
		v.Buttons = []button{{To: "/join/again", Label: say.Say("join.back.button", nil)}}
		if m.registered() {
			v.Buttons = append(v.Buttons, button{To: "/account/freeze", Label: say.Say("account.freeze.button", nil), Quiet: true})
		} else {
			v.Hint = wrong
		}
	default:
		v = c.addressView(m, typed)
	}
	v.Problem, v.Wrong = c.problem(say, problem), wrongFields[problem]
	return v
}

// addressView asks for the address and the consent.
func (c *Counter) addressView(m member, typed map[string]string) view {
	say, u := m.say, m.signup
	network := say.Say("join.network."+m.Account.Network, nil)
	email, address, country := string(u.Email), u.Address, u.Country
	if typed != nil {
		email, address, country = typed["email"], typed["address"], typed[countryField]
	}
	v := view{
		Lang: say.Lang, Title: say.Say("join.email.title", map[string]any{"Handle": u.Handle}), Text: say.Say("join.email.text", nil),
		Sections: []section{{Forms: []form{{To: "/join/email", Button: say.Say("join.email.button", nil),
			Consent: say.Say("join.email.consent", map[string]any{"Network": network, "Handle": u.Handle}), Fields: []field{
				{Name: "email", Label: say.Say("join.email.field", nil), Type: "email", Auto: "email", Mode: "email", Value: email, Max: 254, Required: true},
				{Name: "address", Label: say.Say("join.email.address", nil), Auto: "street-address", Value: address, Max: offers.MaxAddress, Lines: 3},
				countryChoice(say, say.Say("join.email.country", nil), country),
			}}}}},
		Hint: hint{Text: say.Say("join.forget", nil), To: "/account/leave", Label: say.Say("join.forget_button", nil)},
	}
	if c.Terms.URL != "" {
		v.Away = button{To: c.Terms.URL, Label: say.Say("join.email.terms", nil), Quiet: true}
	}
	return v
}

// problem is the sentence for what was wrong with what was typed.
func (c *Counter) problem(say words.Words, why offers.Reason) string {
	if why == "" {
		return ""
	}
	title, stop := say.Say("reason."+string(why)+".title", nil), ". "
	if strings.HasSuffix(title, "?") {
		stop = " "
	}
	return title + stop + say.Say("reason."+string(why)+".text", nil)
}

// masked is an address that its owner knows again, and nobody else learns.
func masked(e offers.Email) string {
	name, host, _ := strings.Cut(string(e), "@")
	first := ""
	for _, r := range name {
		first = string(r)
		break
	}
	return first + "•••@" + host
}
