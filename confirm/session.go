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

// cookieName is the name of the session's cookie. With https the browser itself holds it
// to this host and to https (https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-the-__host-prefix).
func (c *Counter) cookieName() string {
	if c.https() {
		return "__Host-hashtill"
	}
	return "hashtill"
}

func (c *Counter) https() bool { return strings.HasPrefix(c.PublicURL, "https://") }

// visitor finds out who it is; the zero visitor where nobody has signed in.
func (c *Counter) visitor(r *http.Request) (visitor, error) {
	cookie, err := r.Cookie(c.cookieName())
	if err != nil {
		return visitor{}, nil
	}
	se, err := c.Shop.Session(r.Context(), cookie.Value, c.Now())
	if errors.Is(err, offers.ErrNotFound) {
		return visitor{}, nil
	}
	return visitor{se, cookie.Value}, err
}

// open begins a session in the place of the one before, so that nobody who knew the
// old token shares what the new one may.
func (c *Counter) open(w http.ResponseWriter, r *http.Request, se offers.Session, before string) error {
	if before != "" {
		if err := c.Shop.EndSession(r.Context(), before); err != nil {
			return err
		}
	}
	token, err := c.Shop.OpenSession(r.Context(), se, c.Now())
	if err != nil {
		return err
	}
	c.setCookie(w, token, 0)
	return nil
}

// setCookie sets the session's cookie; with a negative age it is removed. Lax, for the
// browser comes back from the network's and the wallet's pages by a link from another
// site, and must be known again; what changes anything is a POST, which Lax keeps from
// other sites.
func (c *Counter) setCookie(w http.ResponseWriter, token string, age int) {
	http.SetCookie(w, &http.Cookie{Name: c.cookieName(), Value: token, Path: "/", MaxAge: age,
		Secure: c.https(), HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
