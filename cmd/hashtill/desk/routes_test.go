package desk

import (
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hashtill/offers"
	"hashtill/store"
)

// Who may make a request: whoever has at least a role, or one of these.
const (
	anybody  offers.Role = "anybody"
	signedIn offers.Role = "signed in"
)

// decisions say who may make each request: at the merchant, or for /op/ everywhere. A
// route that is not here fails the test: somebody has to decide.
var decisions = map[string]offers.Role{
	"GET /{$}":              signedIn,
	"GET /sign-in":          anybody,
	"POST /sign-in":         anybody,
	"GET /sign-in/{token}":  anybody,
	"POST /sign-in/{token}": anybody,
	"POST /sign-out":        signedIn,
	"GET /factor":           signedIn,
	"POST /factor":          signedIn,
	"GET /factor/new":       signedIn,
	"POST /factor/new":      signedIn,

	"GET /m/{merchant}/{$}":                      offers.Viewer,
	"GET /m/{merchant}/new":                      offers.Clerk,
	"POST /m/{merchant}/new":                     offers.Clerk,
	"GET /m/{merchant}/offers/{offer}":           offers.Clerk,
	"POST /m/{merchant}/offers/{offer}":          offers.Clerk,
	"GET /m/{merchant}/offers/{offer}/stock":     offers.Clerk,
	"POST /m/{merchant}/offers/{offer}/stock":    offers.Clerk,
	"GET /m/{merchant}/offers/{offer}/remove":    offers.Clerk,
	"POST /m/{merchant}/offers/{offer}/remove":   offers.Clerk,
	"GET /m/{merchant}/offers/{offer}/announce":  offers.Clerk,
	"POST /m/{merchant}/offers/{offer}/announce": offers.Clerk,
	"GET /m/{merchant}/import":                   offers.Clerk,
	"POST /m/{merchant}/import":                  offers.Clerk,
	"GET /m/{merchant}/sale/{offer}":             offers.Viewer,
	"GET /m/{merchant}/sale/{offer}/live":        offers.Viewer,
	"GET /m/{merchant}/people":                   offers.Owner,
	"POST /m/{merchant}/people":                  offers.Owner,
	"POST /m/{merchant}/people/role":             offers.Owner,
	"POST /m/{merchant}/tokens":                  offers.Owner,
	"POST /m/{merchant}/tokens/{token}/remove":   offers.Owner,
	"POST /m/{merchant}/hooks":                   offers.Owner,
	"POST /m/{merchant}/hooks/{hook}/remove":     offers.Owner,

	"GET /m/{merchant}/orders":                      offers.Viewer,
	"POST /m/{merchant}/orders/export":              offers.Clerk,
	"GET /m/{merchant}/orders/{id}":                 offers.Viewer,
	"POST /m/{merchant}/orders/{id}/ship":           offers.Clerk,
	"POST /m/{merchant}/orders/{id}/note":           offers.Clerk,
	"POST /m/{merchant}/orders/{id}/cancel":         offers.Clerk,
	"GET /m/{merchant}/orders/{id}/refund":          offers.Owner,
	"POST /m/{merchant}/orders/{id}/refund/confirm": offers.Owner,
	"POST /m/{merchant}/orders/{id}/refund":         offers.Owner,
	"GET /m/{merchant}/money":                       offers.Viewer,
	"GET /m/{merchant}/money.csv":                   offers.Viewer,
	"GET /m/{merchant}/log":                         offers.Owner,

	"GET /op/{$}":                    offers.Viewer,
	"POST /op/halt":                  offers.Clerk,
	"POST /op/resume":                offers.Owner,
	"GET /op/stuck":                  offers.Viewer,
	"POST /op/stuck/again":           offers.Clerk,
	"POST /op/stuck/give-up":         offers.Owner,
	"GET /op/merchants":              offers.Viewer,
	"POST /op/merchants":             offers.Owner,
	"GET /op/merchants/{id}":         offers.Viewer,
	"POST /op/merchants/{id}/rename": offers.Owner,
	"POST /op/merchants/{id}/invite": offers.Owner,
	"POST /op/merchants/{id}/remove": offers.Owner,
	"GET /op/people":                 offers.Viewer,
	"GET /op/log":                    offers.Viewer,
}

// withFactor are the routes that ask for the second factor.
var withFactor = []string{
	"GET /m/{merchant}/orders/{id}/refund", "POST /m/{merchant}/orders/{id}/refund/confirm", "POST /m/{merchant}/orders/{id}/refund",
	"POST /m/{merchant}/people", "POST /m/{merchant}/people/role",
	"POST /m/{merchant}/tokens", "POST /m/{merchant}/tokens/{token}/remove", "POST /m/{merchant}/hooks", "POST /m/{merchant}/hooks/{hook}/remove",
	"POST /op/merchants", "POST /op/merchants/{id}/invite",
}

// A target is something of "records" that an address names.
type target struct {
	w        *world
	purchase offers.ID
	token    string
	hook     string
}

func (w *world) target() target {
	w.t.Helper()
	t := target{w: w, purchase: w.paid(1, "BuyTee", "M").ID}
	if _, err := w.shop.AddToken(w.t.Context(), "records", offers.Token{Name: "till", Rights: offers.Rights}); err != nil {
		w.t.Fatal(err)
	}
	h, err := w.shop.AddHook(w.t.Context(), "records", "https://shop.example.com/hook", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := w.shop.Merchant(w.t.Context(), "records")
	if err != nil {
		w.t.Fatal(err)
	}
	t.token, t.hook = m.Tokens[0].ID, h.ID
	return t
}

// path is the address of a pattern, at a merchant, of the target's things.
func (t target) path(pattern, merchant string) string {
	t.w.t.Helper()
	_, path, _ := strings.Cut(pattern, " ")
	id := string(t.purchase)
	if strings.HasPrefix(path, "/op/") {
		id = "records"
	}
	path = strings.NewReplacer("{merchant}", merchant, "{offer}", "buytee", "{id}", id, "{token}", t.token, "{hook}", t.hook, "{$}", "").Replace(path)
	if strings.Contains(path, "{") {
		t.w.t.Fatalf("nothing is there to try %s with", pattern)
	}
	return path
}

// anyForm has what most forms ask for: what is denied is denied although it is whole.
var anyForm = url.Values{"email": {string(carl)}, "role": {"viewer"}, "variant": {"M"}, "by": {"1"}, "name": {"Name"}, "right": {"stock:read"},
	"url": {"https://machine.example/"}, "text": {"Text"}, "tracking": {"T1"}, "sure": {"yes"}, "why": {"Why"}, "reason": {"Why"}}

func (b *browser) ask(pattern, path string) *answer {
	b.t.Helper()
	if strings.HasPrefix(pattern, "POST ") {
		return b.post(path, anyForm)
	}
	return b.get(path)
}

// snapshot is all that the store has, but for what only says that time passes.
func (w *world) snapshot() string {
	w.t.Helper()
	var b strings.Builder
	for shard := range store.Shards {
		for cursor := ""; ; {
			recs, next, err := w.st.Scan(w.t.Context(), shard, "", cursor, 500)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, r := range recs {
				fmt.Fprintf(&b, "%d %s %d %s\n", shard, r.Key, r.Version, r.Value)
			}
			if cursor = next; next == "" {
				break
			}
		}
		for cursor := ""; ; {
			counts, next, err := w.st.ScanCounts(w.t.Context(), shard, "", cursor, 500)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, n := range counts {
				fmt.Fprintf(&b, "%d %s %d\n", shard, n.Key, n.N)
			}
			if cursor = next; next == "" {
				break
			}
		}
	}
	return b.String()
}

// denied says that a request was not let through.
func (a *answer) denied() bool {
	return a.Code == http.StatusNotFound || a.Code == http.StatusSeeOther && strings.HasPrefix(a.Header().Get("Location"), "/sign-in")
}

// Each request is tried by everybody, and let through for those it was decided for. Who
// is not let through changes nothing, and is not told whether it is there.
func TestRoutesByRole(t *testing.T) {
	roles := map[offers.Email]offers.Role{"": "", vera: offers.Viewer, carl: offers.Clerk, rita: offers.Owner, hans: signedIn, otto: offers.Viewer, olga: offers.Owner}
	for pattern, rt := range newWorld(t).desk.calls {
		needs, decided := decisions[pattern]
		if !decided {
			t.Errorf("%s: nobody has decided who may do that", pattern)
			continue
		}
		if rt.factor != slices.Contains(withFactor, pattern) {
			t.Errorf("%s asks for the second factor: %v", pattern, rt.factor)
		}
		for who, role := range roles {
			w := newWorld(t)
			w.desk.Close() // pages that move show one picture
			at := w.target()
			b := w.nobody()
			if who != "" {
				if b = w.as(who); rt.factor {
					b.withFactor()
				}
			}
			if strings.Contains(pattern, " /op/") && who != otto && who != olga {
				role = signedIn // at best
			}
			may := needs == anybody || who != "" && needs == signedIn || atLeast(role, needs)
			before := w.snapshot()
			a := b.ask(pattern, at.path(pattern, "records"))
			signIn := strings.HasSuffix(pattern, " /sign-out") && a.Header().Get("Location") == "/sign-in" // as it should
			switch {
			case a.Code >= 500 && a.Code != http.StatusServiceUnavailable:
				t.Errorf("%s by %q: %d: %s", pattern, who, a.Code, a.text())
			case may && a.denied() && !signIn:
				t.Errorf("%s is not let through for %q: %d to %q", pattern, who, a.Code, a.Header().Get("Location"))
			case !may && !a.denied():
				t.Errorf("%s is let through for %q: %d", pattern, who, a.Code)
			case !may && who != "" && a.Code != http.StatusNotFound:
				t.Errorf("%s tells %q that something is there: %d", pattern, who, a.Code)
			case (!may || strings.HasPrefix(pattern, "GET ")) && w.snapshot() != before:
				t.Errorf("%s by %q has changed something", pattern, who)
			}
		}
	}
}

// Nothing of one merchant is reached under another's address, whatever id is guessed.
func TestMerchantsAreApart(t *testing.T) {
	for pattern := range newWorld(t).desk.calls {
		if !strings.Contains(pattern, "{merchant}") {
			continue
		}
		w := newWorld(t)
		w.desk.Close()
		at := w.target()
		for _, try := range []struct {
			who      offers.Email
			merchant string
		}{{hans, "hats"}, {hans, "-"}, {hans, "nobody"}, {olga, "nobody"}, {olga, "-"}, {rita, "-"}, {olga, "hats"}} {
			b := w.as(try.who).withFactor()
			before := w.snapshot()
			path := at.path(pattern, try.merchant)
			names := strings.Count(pattern, "{") > 1 && !strings.Contains(pattern, "{$}") // something by its id
			owns := try.who == olga && try.merchant != "nobody" || try.merchant == "hats"
			a := b.ask(pattern, path)
			if (names || !owns) && (a.Code != http.StatusNotFound || w.snapshot() != before) {
				t.Errorf("%s by %s: %d: %s", path, try.who, a.Code, a.text())
			}
			if strings.HasPrefix(pattern, "GET ") && !names {
				path += "?offer=buytee&q=buytee&id=" + string(at.purchase)
				page := b.get(path)
				for _, theirs := range []string{"BuyTee", "T-shirt", "buyer1", "b1@example.com", string(carl), "shop.example.com"} {
					if strings.Contains(page.body, theirs) {
						t.Errorf("%s by %s has %s", path, try.who, theirs)
					}
				}
			}
		}
	}
}

func TestNoRoute(t *testing.T) {
	w := newWorld(t)
	for _, b := range []*browser{w.nobody(), w.as(rita)} {
		for _, path := range []string{"/nothing", "/m/records", "/m/records/nothing", "/m/", "/op", "/factor/", "/m/RECORDS/", "/m/a%2Fb/"} {
			if a := b.get(path); a.Code != http.StatusNotFound && !a.denied() && a.Code != http.StatusTemporaryRedirect && a.Code != http.StatusMovedPermanently {
				t.Errorf("%s: %d", path, a.Code)
			}
		}
	}
	w.as(rita).get("/nothing").is(http.StatusNotFound).says("There is nothing here")
}

// What changes anything needs the token of the session, and comes from this site.
func TestForgery(t *testing.T) {
	w := newWorld(t)
	at := w.target()
	for pattern, rt := range w.desk.calls {
		if !strings.HasPrefix(pattern, "POST ") {
			continue
		}
		path := at.path(pattern, "records")
		b := w.as(olga).withFactor()
		before := w.snapshot()
		if !rt.open {
			for _, token := range []string{"", "x", w.as(rita).csrf} {
				before := w.snapshot()
				form := maps.Clone(anyForm)
				form.Set("csrf", token)
				if a := b.post(path, form); a.Code != http.StatusBadRequest || w.snapshot() != before {
					t.Errorf("%s with the token %q: %d", pattern, token, a.Code)
				}
			}
			before = w.snapshot()
		}
		form := maps.Clone(anyForm)
		form.Set("csrf", b.csrf)
		r := httptest.NewRequestWithContext(t.Context(), "POST", "https://desk.example.com"+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if a := b.do(r); a.Code != http.StatusForbidden || w.snapshot() != before {
			t.Errorf("%s from another site: %d", pattern, a.Code)
		}
	}
}

var hrefs = regexp.MustCompile(`(?:href|data-live)="([^"]*)"`)

// A program that follows every link finds no page that fails, and changes nothing.
func TestLinksChangeNothing(t *testing.T) {
	for _, who := range []offers.Email{vera, carl, rita, hans, otto, olga, ""} {
		w := newWorld(t)
		w.desk.Close()
		w.target()
		w.wish(2, "BuyTee", "S")
		w.wish(3, "BuyHat")
		w.wish(4, "BuyHat")
		b := w.nobody()
		if who != "" {
			b = w.as(who).withFactor()
		}
		before := w.snapshot()
		seen := map[string]bool{"/": true}
		for queue := []string{"/"}; len(queue) > 0; queue = queue[1:] {
			a := b.get(queue[0])
			links := hrefs.FindAllStringSubmatch(a.body, -1)
			if to := a.Header().Get("Location"); to != "" {
				links = append(links, []string{"", to})
			} else if a.Code != http.StatusOK {
				t.Errorf("%s leads %q to %d", queue[0], who, a.Code)
			}
			if !seen["in "+queue[0]] && strings.Contains(a.body, "%!") || strings.Contains(a.body, "ZgotmplZ") {
				t.Errorf("%s has a value that is not fit for it", queue[0])
			}
			here, err := url.Parse(queue[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, link := range links {
				to, err := here.Parse(html.UnescapeString(link[1]))
				if err != nil {
					t.Errorf("%s leads to %q: %v", queue[0], link[1], err)
					continue
				}
				if path := to.RequestURI(); to.Host == "" && to.Scheme == "" && !seen[path] && len(seen) < 500 {
					seen[path] = true
					queue = append(queue, path)
				}
			}
		}
		if w.snapshot() != before {
			t.Errorf("links have changed something for %q", who)
		}
		if who == rita && len(seen) < 15 {
			t.Errorf("only %d pages were found", len(seen))
		}
	}
}
