package confirm

import (
	"errors"
	"net/http"
	"strings"

	"hashtill/offers"
)

// A visitor is who sits at the browser of a request.
type visitor struct {
	offers.Session
	token string // "" where there is no session
}

// signedIn says that the visitor's account is known.
func (v visitor) signedIn() bool { return v.Account != (offers.Account{}) }

// The cookies: of a session, and of a sign-in that is under way. With https the browser
// itself holds them to this host and to https
// (https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-the-__host-prefix).
func (c *Counter) sessionCookie() string { return c.cookie("hashtill") }
func (c *Counter) visitCookie() string   { return c.cookie("hashtill-sign-in") }

func (c *Counter) cookie(name string) string {
	if c.https() {
		return "__Host-" + name
	}
	return name
}

func (c *Counter) https() bool { return strings.HasPrefix(c.PublicURL, "https://") }

// visitTime is how long a sign-in may take, in seconds.
const visitTime = 15 * 60

// visitor finds out who it is; the zero visitor where nobody has signed in.
func (c *Counter) visitor(r *http.Request) (visitor, error) {
	cookie, err := r.Cookie(c.sessionCookie())
	if err != nil {
		return visitor{}, nil
	}
	se, err := c.Shop.Session(r.Context(), cookie.Value, c.Now())
	if errors.Is(err, offers.ErrNotFound) {
		return visitor{}, nil
	}
	return visitor{se, cookie.Value}, err
}

// open begins a session in the place of the one that the browser had.
func (c *Counter) open(w http.ResponseWriter, r *http.Request, a offers.Account) error {
	if before, err := r.Cookie(c.sessionCookie()); err == nil {
		if err := c.Shop.EndSession(r.Context(), before.Value); err != nil {
			return err
		}
	}
	token, err := c.Shop.OpenSession(r.Context(), a, c.Now())
	if err != nil {
		return err
	}
	c.setCookie(w, c.sessionCookie(), token, 0)
	return nil
}

// setCookie sets a cookie for age seconds, or until the browser is closed; with a
// negative age it is removed. Lax, for the browser comes back from the network's and the
// wallet's pages by a link from another site, and must be known again; what changes
// anything is a POST, which Lax keeps from other sites.
func (c *Counter) setCookie(w http.ResponseWriter, name, value string, age int) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age,
		Secure: c.https(), HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
