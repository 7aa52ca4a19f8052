package desk

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"hashtill/offers"
)

// What stands around every page: where one is, where one can go, and what was done last.

// A tab leads to a part of the desk.
type tab struct {
	Name, Path string
	Here       bool
}

// merchantTabs are the parts of a merchant's desk, by their routes.
var merchantTabs = []struct{ name, pattern, path string }{
	{"Offers", "GET /m/{merchant}/{$}", "/"},
	{"Orders", "GET /m/{merchant}/orders", "/orders"},
	{"Money", "GET /m/{merchant}/money", "/money"},
	{"People", "GET /m/{merchant}/people", "/people"},
	{"Log", "GET /m/{merchant}/log", "/log"},
}

// Tabs are those that the call's person may open.
func (c *call) Tabs() (all []tab) {
	if strings.HasPrefix(c.r.URL.Path, "/op/") && c.Runs() {
		return c.opTabs()
	}
	if c.r.PathValue("merchant") == "" {
		return nil
	}
	here, base := "", c.Base()
	for _, t := range merchantTabs {
		rt, ok := c.calls[t.pattern]
		if !ok || !atLeast(c.role, rt.needs) {
			continue
		}
		if p := base + t.path; strings.HasPrefix(c.r.URL.Path, p) && len(p) > len(here) {
			here = p
		}
		all = append(all, tab{Name: t.name, Path: base + t.path})
	}
	for i := range all {
		all[i].Here = all[i].Path == here
	}
	return all
}

// Title is what the browser's tab says.
func (c *call) Title() string { return c.title }

// SignedIn says that somebody is.
func (c *call) SignedIn() bool { return c.person.Email != "" }

// Email is who is signed in.
func (c *call) Email() string { return string(c.person.Email) }

// Runs says that the person is of those who run the whole.
func (c *call) Runs() bool { return c.person.Runs() }

// CSRF is what every form of the session carries.
func (c *call) CSRF() string { return c.shift.CSRF }

// May says whether the person may do at the merchant what a role may.
func (c *call) May(role string) bool { return atLeast(c.role, offers.Role(role)) }

// Merchant is the name of the call's merchant, "" outside of one.
func (c *call) Merchant() string {
	switch {
	case c.r.PathValue("merchant") == "" || c.role == "":
		return ""
	case c.merchant == offers.Operator:
		return "Operator’s own"
	}
	return c.shop
}

// Zones are time zones that a form offers; any other can be typed.
func (c *call) Zones() []string {
	return []string{"UTC", "Europe/London", "Europe/Paris", "Europe/Berlin", "Europe/Athens", "Africa/Lagos", "Africa/Nairobi", "Asia/Dubai",
		"Asia/Kolkata", "Asia/Shanghai", "Asia/Tokyo", "Australia/Sydney", "America/Sao_Paulo", "America/New_York", "America/Chicago",
		"America/Denver", "America/Los_Angeles", "America/Mexico_City"}
}

// notices are what a page says after a change, by what stands behind ?done=.
var notices = map[string]string{
	"saved":     "Saved.",
	"added":     "The offer is added.",
	"stock":     "The stock is changed.",
	"removed":   "Removed.",
	"announced": "A post about it is on its way.",
	"imported":  "The file is imported.",
	"invited":   "They are told by mail that they can sign in.",
	"unmailed":  "They can sign in now, but could not be told by mail. Please tell them.",
	"role":      "The role is changed.",
	"factor":    "Your second factor is set up.",
	"shipped":   "It is marked as shipped. The buyer is told by mail.",
	"noted":     "The note is written down.",
	"cancelled": "The purchase is cancelled. The buyer is told by mail.",
	"refund":    "The refund is decided, and on its way. The buyer is told by mail.",
	"halted":    "All charging is halted.",
	"resumed":   "Charging goes on.",
	"again":     "It is tried again at once.",
	"given-up":  "It is given up.",
	"gone":      "It is not owed any more.",
}

// Notice is what was done last.
func (c *call) Notice() string { return notices[c.r.URL.Query().Get("done")] }

// back is a query that leads back to the page that was asked for or, where something was
// sent, to the page that it was sent from.
func (c *call) back() string {
	to := c.r.URL.RequestURI()
	if c.r.Method != http.MethodGet {
		from, err := url.Parse(c.r.Referer())
		if err != nil || from.Host != c.r.Host {
			return ""
		}
		to = from.RequestURI()
	}
	if to = ownPath(to); to == "/" {
		return ""
	}
	return "?to=" + url.QueryEscape(to)
}

// ownPath is a path of the desk's own, with its query; "/" where s is anything else, or
// where one signs in or out.
func ownPath(s string) string {
	u, err := url.Parse(s)
	if err != nil || len(s) > 1000 || !strings.HasPrefix(s, "/") || strings.Contains(u.Path, `\`) || strings.HasPrefix(s, "//") || strings.Contains(u.Path, "//") {
		return "/"
	}
	if clean := path.Clean(u.Path); clean != u.Path && clean+"/" != u.Path {
		return "/"
	}
	for _, door := range []string{"/sign-in", "/sign-out"} {
		if u.Path == door || strings.HasPrefix(u.Path, door+"/") {
			return "/"
		}
	}
	return u.RequestURI()
}
