package confirm

import (
	"crypto/hmac"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"hashtill/offers"
	"hashtill/offers/words"
)

// Who sits down at a browser that was left signed in can have the mails go to an address
// of their own. So for a while after a change nothing is bought on pages and nothing that
// protects the buyer is lifted there, and the reader of the former address can freeze the
// account by a link. As with [Counter.notMe], who holds it can only do good by it.

// movedOver is the reason that only this page has.
const movedOver offers.Reason = "moved_over"

// raises says that more may be spent by some limits than by those before.
func raises(l, before offers.Limits) bool {
	more := func(now, before offers.Amounts) bool {
		if len(before) == 0 {
			return false
		}
		return len(now) == 0 || slices.ContainsFunc(now, func(m offers.Money) bool {
			return !slices.ContainsFunc(before, func(b offers.Money) bool { return b.Currency == m.Currency && b.Minor >= m.Minor })
		})
	}
	return more(l.Purchase, before.Purchase) || more(l.Day, before.Day) || more(l.Month, before.Month)
}

// signStay makes the token of a change of an account's address at some time. It has the
// parts of one of a purchase, the account and the time in the places of the purchase and
// its round.
func (l *Links) signStay(a offers.Account, at time.Time) string {
	k := l.keys[0]
	what := strings.ToLower(tokenEncoding.EncodeToString([]byte(a.String()))) + "." + strconv.FormatInt(at.UnixNano(), 10)
	return k.id + "." + what + "." + seal(k.secret, toStay, offers.ID(what), 0)
}

// verifyStay reads a token that came from outside.
func (l *Links) verifyStay(token string) (a offers.Account, at time.Time, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != tokenParts {
		return a, at, false
	}
	secret, what := l.key(parts[0]), parts[1]+"."+parts[2]
	if secret == nil || !hmac.Equal([]byte(parts[3]), []byte(seal(secret, toStay, offers.ID(what), 0))) {
		return a, at, false
	}
	name, err := tokenEncoding.DecodeString(strings.ToUpper(parts[1]))
	if err != nil {
		return a, at, false
	}
	nanos, err := strconv.ParseInt(parts[2], 10, 64)
	a.Network, a.ID, ok = strings.Cut(string(name), ":")
	return a, time.Unix(0, nanos), ok && err == nil
}

// stayURL is the address in the mail to the former address.
func (c *Counter) stayURL(a offers.Account, at time.Time) string {
	return c.PublicURL + "/not-moved/" + c.Links.signStay(a, at)
}

func (c *Counter) movedRoutes(page func(pattern string, h func(w http.ResponseWriter, r *http.Request) error)) {
	page("GET /not-moved/{token}", c.askStay)
	page("POST /not-moved/{token}", c.stay)
}

// moved is the buyer whose address was changed, by a request's token. It counts from its
// own change: who changes the address once more does not end it.
func (c *Counter) moved(r *http.Request) (b offers.Buyer, say words.Words, err error) {
	a, at, ok := c.Links.verifyStay(r.PathValue("token"))
	if !ok {
		return b, say, &offers.Refusal{Reason: noLink}
	}
	b, err = c.Shop.Buyer(r.Context(), a)
	switch {
	case err != nil:
	case b.Registered.IsZero() || !b.LeavingAt.IsZero(): // nothing of them is left to freeze
		err = &offers.Refusal{Reason: noLink}
	case c.Now().Sub(at) >= offers.AddressRest, !b.Frozen && at.Before(b.UnfrozenAt):
		err = &offers.Refusal{Reason: movedOver}
	}
	return b, words.For(b.Lang), err
}

// askStay says what the button does, or what it has done. It changes nothing.
func (c *Counter) askStay(w http.ResponseWriter, r *http.Request) error {
	b, say, err := c.moved(r)
	if err != nil {
		return err
	}
	v := view{Lang: say.Lang, Title: say.Say("page.stay.title", nil), Text: say.Say("page.stay.text", nil),
		Buttons: []button{{To: r.URL.Path, Label: say.Say("page.not_me.button", nil)}}, Note: say.Say("page.not_me.keep", nil)}
	if b.Frozen {
		v = view{Lang: say.Lang, Kind: "good", Title: say.Say("page.not_me.done.title", nil),
			Text: say.Say("account.freeze."+frozenBy(b), nil) + " " + say.Say("page.stay.back", nil), Note: say.Say("mail.frozen.password", nil)}
	}
	c.render(w, r, http.StatusOK, v)
	return nil
}

// stay freezes the account and ends every session. It mails nothing: whose the present
// address is, is what is in doubt.
func (c *Counter) stay(w http.ResponseWriter, r *http.Request) error {
	b, _, err := c.moved(r)
	if err != nil {
		return err
	}
	if err := c.Shop.Freeze(r.Context(), b.Account, offers.ByBuyer, c.Now()); err != nil {
		return err
	}
	if _, err := c.Shop.EndSessions(r.Context(), b.Account); err != nil {
		return err
	}
	http.Redirect(w, r, r.URL.Path, http.StatusSeeOther)
	return nil
}
