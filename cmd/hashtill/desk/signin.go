package desk

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image/png"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hashtill/confirm"
	"hashtill/offers"
)

var signInRoutes = []route{
	{pattern: "GET /{$}", do: (*call).home},
	{pattern: "GET /sign-in", open: true, do: (*call).signIn},
	{pattern: "POST /sign-in", open: true, do: (*call).askLink},
	{pattern: "GET /sign-in/{token}", open: true, do: (*call).link},
	{pattern: "POST /sign-in/{token}", open: true, do: (*call).begin},
	{pattern: "POST /sign-out", do: (*call).signOut},
	{pattern: "GET /factor", do: (*call).factor},
	{pattern: "POST /factor", do: (*call).giveFactor},
	{pattern: "GET /factor/new", do: (*call).newFactor},
	{pattern: "POST /factor/new", do: (*call).setFactor},
}

// home leads to the merchant that somebody works for, or lets them choose.
func (c *call) home() error {
	type place struct{ Name, Path, Role string }
	var all []place
	if c.Runs() {
		role := string(c.person.Role(offers.Operator))
		merchants, err := c.Shop.Merchants(c.r.Context())
		if err != nil {
			return err
		}
		if _, ok := c.calls["GET /op/{$}"]; ok {
			all = append(all, place{"The whole: what is owed, what is stuck", "/op/", role})
		}
		all = append(all, place{"Operator’s own offers", "/m/-/", role})
		for _, m := range merchants {
			all = append(all, place{m.Name, "/m/" + m.ID + "/", string(c.person.Role(m.ID))})
		}
	} else {
		for id, role := range c.person.Roles {
			m, err := c.Shop.Merchant(c.r.Context(), id)
			if errors.Is(err, offers.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			all = append(all, place{m.Name, "/m/" + id + "/", string(role)})
		}
		sortBy(all, func(p place) string { return p.Name })
	}
	if len(all) == 1 {
		return c.done(all[0].Path)
	}
	c.title = "Where to"
	return c.page("home.html", all)
}

// A signInForm is what somebody has typed to sign in.
type signInForm struct{ Email, To, Problem string }

func (c *call) signIn() error {
	to := ownPath(c.r.FormValue("to"))
	if c.SignedIn() {
		return c.done(to)
	}
	c.title = "Sign in"
	return c.page("signin.html", signInForm{To: to})
}

// askLink mails a link to whoever may sign in. Nobody learns here who that is: neither by
// what is said nor by how long it takes.
func (c *call) askLink() error {
	f := signInForm{Email: strings.TrimSpace(c.r.PostFormValue("email")), To: ownPath(c.r.PostFormValue("to"))}
	c.title = "Sign in"
	e := offers.Email(f.Email)
	if !offers.ValidEmail(e) {
		f.Problem = "That is not an e-mail address."
		return c.pageWith(http.StatusBadRequest, "signin.html", f)
	}
	now := c.Now()
	if from, public := confirm.Origin(c.r, c.Proxies); public && c.doors.networks.Pass(from, now) > 0 {
		f.Problem = "Too many links were asked for. The last one that was mailed still works; please wait a minute before you ask for another."
		return c.pageWith(http.StatusTooManyRequests, "signin.html", f)
	}
	ctx := context.WithoutCancel(c.r.Context())
	c.mailing.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := c.mailLink(ctx, e, f.To); err != nil {
			c.Log.Error("a link to sign in could not be mailed", "err", err)
		}
	})
	c.title = "Look into your mail"
	return c.page("asked.html", f)
}

func (c *call) mailLink(ctx context.Context, e offers.Email, to string) error {
	p, err := c.Shop.Person(ctx, e)
	if errors.Is(err, offers.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if c.doors.addresses.Pass(strings.ToLower(string(p.Email)), c.Now()) > 0 {
		return nil // in silence, for who is counted is known here
	}
	token, err := c.Shop.AskShift(ctx, p.Email, c.Now())
	if err != nil {
		return err
	}
	link := c.URL + "/sign-in/" + token
	if to != "/" {
		link += "?to=" + url.QueryEscape(to)
	}
	return c.send(ctx, p.Email, "Sign in to the desk", "Open this to sign in. It works once, for 15 minutes.", link,
		"If you did not ask for it, do nothing: nobody can sign in without it.")
}

// send mails a few words, with a link.
func (d *Desk) send(ctx context.Context, to offers.Email, subject, text, link, note string) error {
	id := tokenID(subject, string(to), link, d.Now().String())
	m := confirm.Mail{ID: id, To: to, Lang: "en", Subject: subject, Text: text + "\n\n" + link + "\n\n" + note + "\n"}
	var b bytes.Buffer
	if err := d.html.ExecuteTemplate(&b, "mail.html", map[string]string{"Subject": subject, "Text": text, "Link": link, "Note": note}); err != nil {
		return err
	}
	m.HTML = b.String()
	return d.Mailer.Send(ctx, m)
}

// link shows a button, and nothing else: programs that look through mails open links.
func (c *call) link() error {
	c.title = "Sign in"
	return c.page("link.html", map[string]string{"Token": c.r.PathValue("token"), "To": ownPath(c.r.FormValue("to"))})
}

// begin begins a session.
func (c *call) begin() error {
	ctx := c.r.Context()
	token, err := c.Shop.BeginShift(ctx, c.r.PathValue("token"), c.Now())
	if errors.Is(err, offers.ErrNotFound) {
		c.title = "Sign in"
		return c.pageWith(http.StatusGone, "signin.html", signInForm{To: ownPath(c.r.PostFormValue("to")),
			Problem: "That link was used before, or is too old. Have another one mailed."})
	}
	if err != nil {
		return err
	}
	if c.token != "" {
		if err := c.Shop.EndShift(ctx, c.token); err != nil {
			return err
		}
	}
	c.setCookie(token, 0)
	return c.done(ownPath(c.r.PostFormValue("to")))
}

func (c *call) signOut() error {
	if err := c.Shop.EndShift(c.r.Context(), c.token); err != nil {
		return err
	}
	c.setCookie("", -1)
	return c.done("/sign-in")
}

// setCookie sets the session's cookie until the browser is closed; a negative age removes
// it. Strict: nothing of the desk works from a link of another site but to sign in.
func (c *call) setCookie(token string, age int) {
	http.SetCookie(c.w, &http.Cookie{Name: c.cookieName(), Value: token, Path: "/", MaxAge: age, HttpOnly: true,
		Secure: strings.HasPrefix(c.URL, "https://"), SameSite: http.SameSiteStrictMode})
}

// The second factor.

// A factorForm is the form of a code, or of a new secret with its first one.
type factorForm struct {
	To, Problem string
	Again       bool // a form that was sent has to be sent again
	Secret      string
	QR          template.URL // the secret as a picture
	Has         bool         // a factor, which its change asks for
	GivenAt     time.Time
}

func (c *call) factor() error {
	if c.person.Factor == "" {
		return c.newFactor()
	}
	c.title = "Second factor"
	f := factorForm{To: ownPath(c.r.FormValue("to")), Has: true, Again: c.r.Form.Has("again")}
	if at := c.shift.FactorAt; !at.IsZero() && c.Now().Sub(at) < factorTime {
		f.GivenAt = at
	}
	return c.page("factor.html", f)
}

// giveFactor takes a code.
func (c *call) giveFactor() error {
	f := factorForm{To: ownPath(c.r.PostFormValue("to")), Has: true, Again: c.r.PostForm.Has("again")}
	problem, err := c.takeCode(c.r.PostFormValue("code"))
	if err != nil {
		return err
	}
	if problem != "" {
		c.title, f.Problem = "Second factor", problem
		return c.pageWith(http.StatusForbidden, "factor.html", f)
	}
	if err := c.Shop.FactorShift(c.r.Context(), c.token, c.Now()); err != nil {
		return err
	}
	return c.done(f.To)
}

const (
	wrongCode = "That code is not right, or was used before. Codes change every 30 seconds: wait for the next one."
	locked    = "Too many wrong codes. Please try again in 15 minutes."
)

// takeCode says what is wrong with a code of the person's factor, and takes it where
// nothing is.
func (c *call) takeCode(code string) (problem string, err error) {
	who := string(c.person.Email)
	if !c.doors.codes.try(who, c.Now()) {
		return locked, nil
	}
	step, ok := stepOf(c.person.Factor, code, c.Now())
	if !ok {
		return wrongCode, nil
	}
	taken, err := c.Shop.TakeFactor(c.r.Context(), c.person.Email, step)
	if err != nil || !taken {
		return wrongCode, err
	}
	c.doors.codes.opened(who)
	return "", nil
}

// newFactor shows a secret that is not the person's before it was confirmed by a code.
// Nothing keeps it but the form.
func (c *call) newFactor() error {
	secret, err := newSecret(c.Email())
	if err != nil {
		return err
	}
	return c.showSecret(http.StatusOK, factorForm{To: ownPath(c.r.FormValue("to")), Secret: secret, Again: c.r.Form.Has("again")})
}

func (c *call) showSecret(code int, f factorForm) error {
	key, err := keyOf(f.Secret, c.Email())
	if err != nil {
		return err
	}
	picture, err := key.Image(232, 232)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		return err
	}
	f.QR = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes()))
	f.Has = c.person.Factor != ""
	c.title = "Set up your second factor"
	return c.pageWith(code, "newfactor.html", f)
}

// setFactor makes a secret the person's second factor.
func (c *call) setFactor() error {
	ctx, now := c.r.Context(), c.Now()
	f := factorForm{To: ownPath(c.r.PostFormValue("to")), Secret: c.r.PostFormValue("secret"), Again: c.r.PostForm.Has("again")}
	if !validSecret(f.Secret) {
		return &formError{"This form is not whole. Please begin again."}
	}
	step, ok := stepOf(f.Secret, c.r.PostFormValue("code"), now)
	if !ok {
		f.Problem = wrongCode
		return c.showSecret(http.StatusBadRequest, f)
	}
	before := c.person.Factor
	if before != "" {
		problem, err := c.takeCode(c.r.PostFormValue("present"))
		if err != nil {
			return err
		}
		if problem != "" {
			f.Problem = "Your present factor: " + problem
			return c.showSecret(http.StatusForbidden, f)
		}
	}
	if err := c.Shop.Write(ctx, offers.Deed{At: now, Who: c.Email(), Merchant: offers.Operator, What: "set up second factor"}); err != nil {
		return err
	}
	_, err := c.Shop.EditPerson(ctx, c.person.Email, func(p *offers.Person) error {
		if p.Factor != before {
			return &formError{"Your second factor was changed meanwhile. Please begin again."}
		}
		p.Factor, p.FactorAt = f.Secret, step
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.Shop.FactorShift(ctx, c.token, now); err != nil {
		return err
	}
	// They learn of it by another way than the one that it was done by.
	if err := c.send(ctx, c.person.Email, "Your second factor was set up", "A second factor was set up for you at the desk.", c.URL+"/factor",
		"If that was not you, tell whoever runs the shop at once."); err != nil {
		c.Log.Error("nobody could be told of a second factor", "err", err)
	}
	if f.To == "/" {
		return c.done("/factor?done=factor")
	}
	return c.done(f.To)
}

// tokenID names a mail by what it says, so that a copy is known as one.
func tokenID(parts ...string) string {
	return fmt.Sprintf("desk-%x", sum(parts...))
}
