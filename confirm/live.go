package confirm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"golang.org/x/text/language"

	"hashtill/offers"
	"hashtill/offers/words"
)

// A page is a view with what the template needs beside it.
type page struct {
	view
	say     words.Words
	Version string
}

// Say is a message without placeholders, for what is the same on all pages.
func (p page) Say(key string) string { return p.say.Say(key, nil) }

// Dir is the direction of the page's language.
func (p page) Dir() string { return direction(p.Lang) }

// Errs says that what was typed into a field was wrong.
func (p page) Errs(field string) bool { return strings.Contains(p.Wrong, " "+field+" ") }

// direction of a language's script: all that are written from right to left and have
// computer keyboards (Unicode, Scripts.txt).
func direction(lang string) string {
	tag, err := language.Parse(lang)
	if err != nil {
		return "ltr"
	}
	switch script, _ := tag.Script(); script.String() {
	case "Adlm", "Arab", "Hebr", "Mand", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa":
		return "rtl"
	}
	return "ltr"
}

// shows says that the page shows pictures.
func (v view) shows() bool {
	for _, o := range v.Offers {
		if o.Picture != "" {
			return true
		}
	}
	return v.Picture.Src != ""
}

// A watch has a browser ask how a purchase stands, and show the page anew when it stands
// otherwise.
type watch struct {
	At, Is string // the address that says how it stands, and how it stood
	Every  int    // seconds to the first look; each later one comes after a longer while
}

// A countdown runs to the moment at which a page is over. A browser without scripts shows
// the clock time alone.
type countdown struct {
	Left    int    // seconds
	Text    string // with {} in the place of what is left
	Spoken  string // JSON: what is said of it, by the seconds that are left then
	Over    string // the heading afterwards
	OverSay string
}

// spokenAt are the seconds at which a countdown is said to who does not see it.
var spokenAt = []int{600, 300, 120, 60, 30}

func countdownTo(say words.Words, left time.Duration) *countdown {
	spoken := map[string]string{}
	for _, at := range spokenAt {
		unit, n := "minutes", at/60
		if n == 0 {
			unit, n = "seconds", at
		}
		spoken[fmt.Sprint(at)] = say.Say("page.countdown."+unit, map[string]any{"Count": n})
	}
	text, _ := json.Marshal(spoken) // never fails for text
	return &countdown{Left: max(0, int(math.Floor(left.Seconds()))), Text: say.Say("page.countdown.text", map[string]any{"Left": "{}"}), Spoken: string(text),
		Over: say.Say("reason.link_expired.title", nil), OverSay: say.Say("reason.link_expired.text", nil)}
}

// standing is a short name for how a purchase stands, for a page to see that it has moved.
// It tells nothing to who does not know it.
func (c *Counter) standing(p offers.Purchase, n now) string {
	return fmt.Sprintf("%s-%d-%d-%d-%d-%t-%t-%t-%t", cmp.Or(p.State, "none"), p.Moves, p.Round, n.place, len(p.Refunds), n.halted,
		!p.ShippedAt.IsZero(), !p.WithdrawnAt.IsZero(), p.Revocable(c.Now()))
}

// watching adds to a page that it follows its purchase.
func (c *Counter) watching(v *view, here string, p offers.Purchase, n now) {
	if p.State.Ended() && !undecided(p) {
		return
	}
	v.Watch = watch{At: here + "/now", Is: c.standing(p, n), Every: cmp.Or(v.Refresh, 5)}
}

// stands says how a purchase stands, to its own page.
func (c *Counter) stands(w http.ResponseWriter, r *http.Request) error {
	p, _, _, _, err := c.behind(r)
	if err != nil {
		return err
	}
	return c.tell(w, r, p)
}

func (c *Counter) tell(w http.ResponseWriter, r *http.Request, p offers.Purchase) error {
	n, err := c.nowOf(r.Context(), p)
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"is": c.standing(p, n), "over": p.State.Ended() && !undecided(p)})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if _, err := w.Write(text); err != nil {
		c.Log.Debug("the reader is gone", "route", r.Pattern)
	}
	return nil
}

// The link's token leaves the address bar: a browser that opens a link is sent on to the
// purchase's own address, which holds no secret, with the token in a cookie. It takes no
// script for that, it still works after the page is loaded again, and no picture of the
// screen, history, bookmark or referrer has the token. Each purchase has a cookie of its
// own, for its own path alone: links in several tabs do not mix. It is Lax and not Strict,
// for mails and banks are other sites, and what is sent on from there must have it.
//
// Nothing is kept here for any of this: a scanner that opens a link gets a cookie and a
// page, and changes nothing. Programs that do not ask for text/html have no address bar,
// and are shown the page at once.

func (c *Counter) linkCookie() string {
	if c.https() {
		return "__Secure-hashtill-link" // not __Host-, which could have no path
	}
	return "hashtill-link"
}

// linkTime is how long a browser knows a link, beyond the time in which it can be pressed.
const linkTime = time.Hour

// token is the one that a request brings: in its address, or by the cookie of the page.
func (c *Counter) token(r *http.Request, to purpose) (token string, err error) {
	at := r.PathValue("token")
	id, ok := offers.ParseID(at)
	if !ok {
		return at, nil
	}
	for _, cookie := range r.CookiesNamed(c.linkCookie()) {
		if of, _, ok := c.Links.verify(to, cookie.Value); ok && of == id {
			return cookie.Value, nil
		}
	}
	return "", &offers.Refusal{Reason: linkAway}
}

// hideToken sends a browser on to the page's own address, with a mark behind it, unless it
// is there.
func (c *Counter) hideToken(w http.ResponseWriter, r *http.Request, p offers.Purchase, mark string) (sent bool) {
	token := r.PathValue("token")
	if !holdsToken(r.URL.Path) || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return false
	}
	here := strings.TrimSuffix(r.URL.Path, token) + string(p.ID)
	age := linkTime + p.Times.Grace + max(0, p.LinkEnds().Sub(c.Now()))
	http.SetCookie(w, &http.Cookie{Name: c.linkCookie(), Value: token, Path: here, MaxAge: int(age.Seconds()),
		Secure: c.https(), HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, here+mark, http.StatusSeeOther)
	return true
}

// clock is a time as the buyer's clocks show it.
func (c *Counter) clock(t time.Time, b offers.Buyer) string { return clock(c.Now(), t, b) }
