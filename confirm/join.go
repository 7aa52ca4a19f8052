package confirm

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// Registering takes five taps of ours: sign in with the network, agree there, agree
// here, type the code that we mail, save the card on the wallet's page. What is still to
// be done follows from the account's Signup alone, so that the buyer may come back by
// any browser.

// Terms are what a buyer agrees to.
type Terms struct {
	Version string // kept with the consent; a new text has a new one
	URL     string // where they can be read; "" where there are none but our own words
}

// Pages of ours that others send the browser back to.
func (c *Counter) signedInURL() string  { return c.PublicURL + "/join/" + c.SignIn.Network() }
func (c *Counter) cardSavedURL() string { return c.PublicURL + "/join/card" }

// joinRoutes are the pages that need a sign-in and a wallet.
func (c *Counter) joinRoutes(page func(pattern string, h func(w http.ResponseWriter, r *http.Request) error)) {
	if c.SignIn == nil || c.Wallet == nil {
		return
	}
	page("GET /join", c.join)
	page("POST /join/sign-in", c.signIn)
	page("GET /join/"+c.SignIn.Network(), c.signedIn)
	page("POST /join/email", c.signedInOnly(c.joinEmail))
	page("POST /join/again", c.signedInOnly(c.joinAgain))
	page("POST /join/code", c.signedInOnly(c.joinCode))
	page("POST /join/card", c.signedInOnly(c.joinCard))
	page("GET /join/card", c.signedInOnly(c.cardSaved))

	page("GET /account", c.signedInOnly(c.account))
	for path, h := range map[string]accountPage{
		"cards": c.joinCard, "cards/prefer": c.preferCard, "cards/remove": c.removeCard, "email": c.changeEmail,
		"address": c.changeAddress, "terms": c.agree, "sign-out-everywhere": c.signOutEverywhere, "limits": c.changeLimits, "open/cancel": c.cancelOpen, "quiet": c.changeQuiet, "unfreeze": c.unfreeze,
	} {
		page("POST /account/"+path, c.signedInOnly(c.provenOnly(h)))
	}
	page("GET /account/leave", c.signedInOnly(c.ownersOnly(c.askLeave)))
	page("POST /account/leave", c.signedInOnly(c.ownersOnly(c.leave)))
	page("GET /account/data", c.signedInOnly(c.provenOnly(c.data)))
	page("POST /account/freeze", c.signedInOnly(c.freeze)) // by whoever holds the account: it can only do good
	page("POST /account/sign-out", c.signOut)

	page("POST /o/{tag}/join", c.joinToBuy)
	page("POST /o/{tag}/buy", c.signedInOnly(c.buy))
	page("GET /bought/{id}", c.signedInOnly(c.bought))
	page("GET /bought/{id}/now", c.signedInOnly(c.boughtStands))
}

// A member is a visitor whose account is known, with what is known of it.
type member struct {
	visitor
	buyer  offers.Buyer
	signup offers.Signup
	say    words.Words
}

// registered says that the account is a buyer's.
func (m member) registered() bool { return !m.buyer.Registered.IsZero() }

// mayEdit says that nobody but the buyer can be at the browser: to hold the account on
// the network is not enough, a mail to the buyer's address was read too.
func (m member) mayEdit() bool { return m.registered() && m.Proven == m.buyer.Email }

// maySave says that a card can be saved: the address is proven, by this browser.
func (m member) maySave() bool {
	return m.mayEdit() || !m.registered() && m.signup.Proven && m.Proven == m.signup.Email
}

// changing says that a code is out which proves another address of the buyer.
func (m member) changing() bool {
	return m.mayEdit() && m.signup.Code != nil && m.signup.Email != m.buyer.Email
}

// to is the address that a code is mailed to, where it is known.
func (m member) to() offers.Email {
	if m.registered() {
		return m.buyer.Email
	}
	return m.signup.Email
}

type accountPage func(w http.ResponseWriter, r *http.Request, m member) error

// signedInOnly has visitors sign in who have not.
func (c *Counter) signedInOnly(h accountPage) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		v, err := c.visitor(r)
		if err != nil {
			return err
		}
		if !v.signedIn() {
			http.Redirect(w, r, "/join", http.StatusSeeOther)
			return nil
		}
		if err := r.ParseForm(); err != nil {
			return &offers.Refusal{Reason: pageForeign} // no form of ours is as large, or reads like that
		}
		m, err := c.member(r, v)
		if err != nil {
			return err
		}
		if !m.registered() && m.signup.Began.IsZero() {
			// What they had begun is forgotten: the network tells anew who they are.
			return c.signOut(w, r)
		}
		if !m.buyer.LeavingAt.IsZero() {
			c.render(w, r, http.StatusConflict, c.reasonView(m.say, offers.Leaving, nil))
			return nil
		}
		return h(w, r, m)
	}
}

// provenOnly has members read our mail first who have not.
func (c *Counter) provenOnly(h accountPage) accountPage {
	return func(w http.ResponseWriter, r *http.Request, m member) error {
		if !m.mayEdit() {
			http.Redirect(w, r, "/join", http.StatusSeeOther)
			return nil
		}
		return h(w, r, m)
	}
}

// ownersOnly is provenOnly for those who have registered; of others nothing is known but
// what they said themselves.
func (c *Counter) ownersOnly(h accountPage) accountPage {
	return func(w http.ResponseWriter, r *http.Request, m member) error {
		if m.registered() {
			return c.provenOnly(h)(w, r, m)
		}
		return h(w, r, m)
	}
}

func (c *Counter) member(r *http.Request, v visitor) (m member, err error) {
	m.visitor = v
	if m.buyer, err = c.Shop.Buyer(r.Context(), v.Account); err != nil {
		return m, err
	}
	if m.signup, err = c.Shop.Signup(r.Context(), v.Account); err != nil {
		return m, err
	}
	m.say = words.For(m.buyer.Lang, m.signup.Lang, r.Header.Get("Accept-Language"))
	return m, nil
}

// join shows the next step to a saved card.
func (c *Counter) join(w http.ResponseWriter, r *http.Request) error {
	v, err := c.visitor(r)
	if err != nil {
		return err
	}
	if !v.signedIn() {
		c.render(w, r, http.StatusOK, c.signInView(words.For(r.Header.Get("Accept-Language"))))
		return nil
	}
	return c.signedInOnly(c.joinStep)(w, r)
}

// joinStep shows what is to be done next.
func (c *Counter) joinStep(w http.ResponseWriter, r *http.Request, m member) error {
	if _, err := r.Cookie(c.offerCookie()); err == nil && m.buyer.Known() || m.mayEdit() && !m.changing() {
		c.goOn(w, r, m.buyer, "/account")
		return nil
	}
	if r.URL.RawQuery == anotherAddress[1:] && !m.registered() {
		c.render(w, r, http.StatusOK, c.addressView(m, nil))
		return nil
	}
	c.render(w, r, http.StatusOK, c.stepView(m, "", nil))
	return nil
}

// anotherAddress marks the page for those who have typed the wrong address before.
const anotherAddress = "?address"

// signIn sends the browser to the network. What is kept of it until the browser comes
// back is kept by the browser: it is the visitor's own, and nothing is written down for
// whoever presses a button.
func (c *Counter) signIn(w http.ResponseWriter, r *http.Request) error {
	if err := c.pass(&c.limits.signIn, r, offers.Account{}); err != nil {
		return err
	}
	to, keep, err := c.SignIn.Begin(r.Context(), c.signedInURL())
	if err != nil {
		return err
	}
	c.setCookie(w, c.visitCookie(), base64.RawURLEncoding.EncodeToString([]byte(keep)), visitTime)
	c.away(w, r, words.For(r.Header.Get("Accept-Language")), to)
	return nil
}

// away sends the browser to a page of somebody else. It is a page of its own and no
// redirect: a form of ours leads nowhere but to us, as the pages' policy says.
func (c *Counter) away(w http.ResponseWriter, r *http.Request, say words.Words, to string) {
	w.Header().Set("Refresh", "0; url="+to)
	c.render(w, r, http.StatusOK, view{Lang: say.Lang, Kind: "wait", Title: say.Say("join.away.title", nil), Text: say.Say("join.away.text", nil),
		Away: button{To: to, Label: say.Say("join.away.button", nil)}})
}

// signedIn is where the network sends the browser back. That this GET changes something
// is the manner of OAuth: what it may change is bound to the cookie of this browser, and
// the network takes its own word back once
// (https://www.rfc-editor.org/rfc/rfc9700#section-2.1).
func (c *Counter) signedIn(w http.ResponseWriter, r *http.Request) error {
	cookie, err := r.Cookie(c.visitCookie())
	if err != nil {
		return &offers.Refusal{Reason: signInLost}
	}
	c.setCookie(w, c.visitCookie(), "", -1)
	keep, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return &offers.Refusal{Reason: signInLost}
	}
	who, err := c.SignIn.Finish(r.Context(), c.signedInURL(), string(keep), r.URL.Query())
	if no := (*RefusedError)(nil); errors.As(err, &no) {
		c.Log.Info("nobody signed in", "network", c.SignIn.Network(), "why", no.Why)
		return &offers.Refusal{Reason: signInFailed}
	}
	if err != nil {
		return err
	}
	if err := c.known(r, who); err != nil {
		return err
	}
	if err := c.open(w, r, who.Account); err != nil {
		return err
	}
	http.Redirect(w, r, "/join", http.StatusSeeOther)
	return nil
}

// Reasons that only these pages have.
const (
	signInLost   offers.Reason = "sign_in_lost"   // the browser does not know what it was sent away for
	signInFailed offers.Reason = "sign_in_failed" // the network knows nobody

	walletRefused offers.Reason = "wallet_refused" // it takes no customer with that address
)

// known keeps what the network says of somebody.
func (c *Counter) known(r *http.Request, who Person) error {
	b, err := c.Shop.Buyer(r.Context(), who.Account)
	if err != nil {
		return err
	}
	if !b.Registered.IsZero() && b.LeavingAt.IsZero() && who.Handle != b.Handle {
		if err := c.Shop.SetHandle(r.Context(), who.Account, who.Handle, c.Now()); err != nil {
			return err
		}
	}
	return c.Shop.EditSignup(r.Context(), who.Account, c.Now(), func(u *offers.Signup) error {
		u.Handle = who.Handle
		if u.Lang == "" {
			u.Lang = words.For(who.Lang, r.Header.Get("Accept-Language")).Lang
		}
		if u.Email == "" && offers.ValidEmail(who.Email) {
			u.Email = who.Email
		}
		return nil
	})
}

// step answers a step that was refused by the same step, with what was typed.
func (c *Counter) step(w http.ResponseWriter, r *http.Request, m member, err error) error {
	var no *offers.Refusal
	switch {
	case errors.As(err, &no):
		now, err := c.member(r, m.visitor)
		if err != nil {
			return err
		}
		typed := map[string]string{"email": r.PostFormValue("email"), "address": lines(r.PostFormValue("address")), countryField: r.PostFormValue(countryField)}
		c.render(w, r, http.StatusUnprocessableEntity, c.stepView(now, no.Reason, typed))
		return nil
	case err != nil:
		return err
	}
	http.Redirect(w, r, "/join", http.StatusSeeOther)
	return nil
}

// joinEmail takes the address and the consent, and mails a code there.
func (c *Counter) joinEmail(w http.ResponseWriter, r *http.Request, m member) error {
	if m.registered() {
		return c.joinAgain(w, r, m)
	}
	email, address := offers.Email(strings.TrimSpace(r.PostFormValue("email"))), lines(r.PostFormValue("address"))
	country := r.PostFormValue(countryField)
	return c.step(w, r, m, c.mailProof(r, m, email, func(u *offers.Signup) error {
		if !offers.ValidAddress(address) {
			return &offers.Refusal{Reason: offers.AddressInvalid}
		}
		if country != "" && !offers.ValidCountry(country) {
			return &offers.Refusal{Reason: offers.CountryInvalid}
		}
		u.Address, u.Country = address, country
		u.Terms = offers.Consent{Version: c.Terms.Version, At: c.Now()}
		return nil
	}))
}

// lines are what was typed into a field of several lines.
func lines(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }

// joinAgain mails another code to the address that is known.
func (c *Counter) joinAgain(w http.ResponseWriter, r *http.Request, m member) error {
	to := m.to()
	if m.changing() {
		to = m.signup.Email
	}
	if !m.registered() && m.signup.Terms == (offers.Consent{}) {
		return c.step(w, r, m, &offers.Refusal{Reason: offers.TermsNeeded})
	}
	return c.step(w, r, m, c.mailProof(r, m, to, nil))
}

// mailProof mails a code that proves an address. That one is out is kept first; where
// the mail does not leave it is as if nobody had asked.
func (c *Counter) mailProof(r *http.Request, m member, to offers.Email, edit func(*offers.Signup) error) error {
	code, now := newProof(), c.Now()
	err := c.Shop.EditSignup(r.Context(), m.Account, now, func(u *offers.Signup) error {
		if edit != nil {
			if err := edit(u); err != nil {
				return err
			}
		}
		return u.Ask(to, code, now)
	})
	if err != nil {
		return err
	}
	if to != m.buyer.Email { // nobody can keep a buyer from their own account
		if err := c.Shop.CountProof(r.Context(), to, now); err != nil {
			return err
		}
	}
	who := m.buyer
	if !m.registered() {
		who.Country = m.signup.Country
	}
	mail := c.pages.proofMail(m.say, m.signup.Handle, code, clock(now, now.Add(offers.ProofTime), who))
	mail.ID, mail.To = fmt.Sprintf("proof/%s/%d", m.Account, now.UnixNano()), to
	err = c.Mailer.Send(r.Context(), mail)
	if err == nil {
		return nil
	}
	back := c.Shop.EditSignup(r.Context(), m.Account, now, func(u *offers.Signup) error {
		u.Mailed = slices.DeleteFunc(slices.Clone(u.Mailed), now.Equal)
		return nil
	})
	if no := (*RefusedError)(nil); errors.As(err, &no) {
		c.Log.Warn("mail refused", "mail", "proof", "why", no.Why)
		err = &offers.Refusal{Reason: offers.MailRefused}
	}
	return errors.Join(err, back)
}

// newProof is a code of six digits, which a phone can offer to fill in.
func newProof() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic(err) // never happens (crypto/rand)
	}
	return fmt.Sprintf("%06d", n)
}

// joinCode takes the code that was mailed.
func (c *Counter) joinCode(w http.ResponseWriter, r *http.Request, m member) error {
	if err := c.pass(&c.limits.code, r, m.Account); err != nil {
		return err
	}
	code := strings.Map(func(d rune) rune {
		if d < '0' || d > '9' {
			return -1 // people and phones put spaces in
		}
		return d
	}, r.PostFormValue("code"))
	var proven offers.Email
	err := c.Shop.EditSignup(r.Context(), m.Account, c.Now(), func(u *offers.Signup) error {
		if m.registered() && !m.mayEdit() && u.Email != m.buyer.Email {
			return &offers.Refusal{Reason: offers.ProofOver} // it is out for another session
		}
		proven = u.Email
		return u.Prove(code, c.Now())
	})
	if err != nil {
		return c.step(w, r, m, err)
	}
	moved, now := m.registered() && proven != m.buyer.Email, c.Now()
	if moved {
		if err := c.Shop.SetEmail(r.Context(), m.Account, proven, now); err != nil {
			return err
		}
	}
	err = c.Shop.ProveSession(r.Context(), m.token, proven, c.Now())
	if errors.Is(err, offers.ErrNotFound) {
		http.Redirect(w, r, "/join", http.StatusSeeOther)
		return nil
	} else if err != nil {
		return err
	}
	if !m.registered() {
		m.Proven = proven
		if m, err = c.member(r, m.visitor); err != nil {
			return err
		}
		return c.joinCard(w, r, m)
	}
	if moved {
		c.tellOldAddress(r, m, proven, now)
	}
	c.goOn(w, r, m.buyer, "/account")
	return nil
}

// tellOldAddress tells the former address that mails go elsewhere since then, and how to
// freeze the account. Where it does not get through, nothing waits for it.
func (c *Counter) tellOldAddress(r *http.Request, m member, to offers.Email, at time.Time) {
	mail := c.pages.movedMail(m.say, m.buyer.Handle, masked(to), c.stayURL(m.Account, at))
	mail.ID, mail.To = fmt.Sprintf("moved/%s/%d", m.Account, at.UnixNano()), m.buyer.Email
	if err := c.Mailer.Send(r.Context(), mail); err != nil {
		c.Log.Warn("the former address cannot be told", "account", m.Account.String(), "err", err)
	}
}
