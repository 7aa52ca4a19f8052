package confirm

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
)

// A handlerTransport brings a client's requests to a handler.
type handlerTransport struct{ http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	in := httptest.NewRequest(r.Method, r.URL.String(), r.Body)
	in.Header = r.Header
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, in)
	answer := rec.Result()
	answer.Request = r
	return answer, nil
}

// newBrowser is one that keeps cookies as browsers do, and asks as they do.
func (w *world) newBrowser() *http.Client {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &http.Client{Jar: jar, Transport: handlerTransport{w.handler}}
}

// open opens an address as a browser does when somebody types or taps it.
func open(t testing.TB, b *http.Client, method, path string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, publicURL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	if method == http.MethodPost {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	answer, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer
}

// The token leaves the address bar, and all that can be done behind the link goes on
// without it, in several tabs at once.
func TestTokenLeavesTheAddress(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, token := w.mailed()
	q, err := w.shop.Wish(t.Context(), offers.Wish{Post: "601", Account: ann, Handle: "ann", Lang: "en", Offer: "buytee", Words: []string{"s", "black"}}, w.now)
	if err != nil {
		t.Fatal(err)
	}
	w.settle()
	q = w.purchase(q.ID)
	if _, err := w.shop.Echo(t.Context(), q.Code, ann, "602", w.now); err != nil {
		t.Fatal(err)
	}
	w.settle()
	q = w.is(q.ID, offers.Mailed)
	b := w.newBrowser()
	for id, token := range map[offers.ID]string{p.ID: token, q.ID: w.Links.Sign(q.ID, q.Round)} {
		answer := open(t, b, "GET", "/c/"+token)
		if at := answer.Request.URL.String(); at != publicURL+"/c/"+string(id) || answer.StatusCode != http.StatusOK {
			t.Errorf("%d at %s", answer.StatusCode, at)
		}
		if got := answer.Header.Get("Referrer-Policy"); got != "same-origin" {
			t.Errorf("Referrer-Policy %q", got)
		}
	}
	if at := open(t, b, "GET", "/c/"+token+"?payment_intent=pi_1&payment_intent_client_secret=s").Request.URL; at.Path != "/c/"+string(p.ID) || at.RawQuery != "bank" {
		t.Errorf("from the bank to %s", at)
	}
	if got := open(t, b, "GET", "/c/"+string(p.ID)+"/withdraw").StatusCode; got != http.StatusConflict {
		t.Errorf("withdraw: %d", got)
	}
	open(t, b, "POST", "/c/"+string(q.ID)+"/cancel")
	w.is(q.ID, offers.Cancelled)
	w.is(p.ID, offers.Mailed)
	if answer := open(t, b, "POST", "/c/"+string(p.ID)); answer.StatusCode != http.StatusOK || answer.Request.URL.Path != "/c/"+string(p.ID) {
		t.Errorf("pressed: %d at %s", answer.StatusCode, answer.Request.URL)
	}
	w.is(p.ID, offers.Paid)
	if strings.Contains(w.logged.String(), token) {
		t.Error("the log holds the token")
	}

	// Another browser does not know the link, nor does one with the link of another purchase.
	if got := open(t, w.newBrowser(), "GET", "/c/"+string(p.ID)).StatusCode; got != http.StatusForbidden {
		t.Errorf("a stranger: %d", got)
	}
	for _, value := range []string{"x", w.Links.Sign(q.ID, q.Round), w.Links.sign(toFreeze, p.ID, p.Round)} {
		for _, method := range []string{"GET", "POST"} {
			if rec := w.ask(method, "/c/"+string(p.ID), "Cookie", "__Secure-hashtill-link="+value); rec.Code != http.StatusForbidden {
				t.Errorf("%s with %s: %d", method, value, rec.Code)
			}
		}
	}
}

// The cookie of a link goes to its own page alone, is kept from scripts, and ends.
func TestLinkCookie(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	p, token := w.mailed()
	rec := w.ask("GET", "/c/"+token, "Accept", "text/html")
	c := rec.Result().Cookies()
	if rec.Code != http.StatusSeeOther || len(c) != 1 || c[0].Name != "__Secure-hashtill-link" || c[0].Path != "/c/"+string(p.ID) || !c[0].HttpOnly || !c[0].Secure ||
		c[0].SameSite != http.SameSiteLaxMode || c[0].MaxAge != int((75*time.Minute).Seconds()) {
		t.Errorf("%d %+v", rec.Code, c)
	}
	if got := rec.Header().Get("Referrer-Policy"); got != "no-referrer" {
		t.Errorf("Referrer-Policy %q", got)
	}
	if got := w.ask("GET", "/c/"+token).Header().Get("Referrer-Policy"); got != "no-referrer" {
		t.Errorf("of the page: Referrer-Policy %q", got)
	}
	if cookies := w.ask("GET", "/c/"+token[:len(token)-1], "Accept", "text/html").Result().Cookies(); len(cookies) > 0 {
		t.Errorf("a token that is none makes %v", cookies)
	}
}

// Without https browsers would not keep cookies that demand it, and there is no HSTS.
func TestWithoutHTTPS(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	_, token := w.mailed()
	w.PublicURL = "http://127.0.0.1:8080"
	rec := w.ask("GET", "/c/"+token, "Accept", "text/html")
	if c := rec.Result().Cookies(); len(c) != 1 || c[0].Name != "hashtill-link" || c[0].Secure || rec.Header().Get("Strict-Transport-Security") != "" {
		t.Errorf("%+v %v", c, rec.Header())
	}
}

var routeIn = regexp.MustCompile(`page\("(?:GET |POST )?(/[^"]*)"(\+c\.SignIn\.Network\(\))?`)

// routes are all paths of the pages, as the source has them, for one purchase.
func routes(t *testing.T, w *world, p offers.Purchase) (all []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range routeIn.FindAllStringSubmatch(string(text), -1) {
			path := strings.NewReplacer("{$}", "", "{tag}", "BuyTee", "{id}", string(p.ID)).Replace(found[1])
			if found[2] != "" {
				path += "x?code=ann&state=1"
			}
			if path == "/account/" { // of a loop
				for _, more := range []string{"cards", "cards/prefer", "cards/remove", "email", "address", "terms", "sign-out-everywhere", "limits", "open/cancel", "quiet", "unfreeze"} {
					all = append(all, path+more)
				}
				continue
			}
			if path == "/not-moved/{token}" {
				path = "/not-moved/" + w.Links.signStay(p.Buyer, w.now)
			}
			for _, to := range []purpose{toBuy, toFreeze, toLeave} {
				all = append(all, strings.Replace(path, "{token}", w.Links.sign(to, p.ID, p.Round), 1))
			}
		}
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) < 45 {
		t.Fatalf("only %d routes: %q", len(all), all)
	}
	return all
}

// A scanner opens every address that there is, by every method that is no POST of our own
// page, follows where it is led and keeps what cookies it is given. Nothing changes.
func TestScannersChangeNothingAnywhere(t *testing.T) {
	for _, state := range []offers.State{offers.Mailed, offers.Paid, offers.Declined, offers.Confirmed} {
		t.Run(string(state), func(t *testing.T) {
			j := newJoining(t, "en")
			j.register("en")
			p, token := j.mailed()
			switch state {
			case offers.Declined:
				j.till.next = declined
				j.post("/c/" + token)
			case offers.Paid:
				j.post("/c/" + token)
			case offers.Confirmed:
				j.till.next = atBank
				j.post("/c/" + token)
			}
			j.settle()
			before, calls, mails := j.everything(), len(j.till.calls), len(j.mailer.mails)
			b := j.newBrowser()
			for _, path := range routes(t, j.world, j.purchase(p.ID)) {
				for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE"} {
					open(t, b, method, path)
				}
				for _, from := range []string{"cross-site", "same-site"} {
					j.ask("POST", path, "Sec-Fetch-Site", from)
				}
			}
			j.settle()
			if after := j.everything(); after != before || len(j.till.calls) != calls || len(j.mailer.mails) != mails || len(j.wallet.calls) > 0 || j.network.begun > 0 {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// Style and script are kept for long under the address that names what is in them.
func TestStatic(t *testing.T) {
	w := newWorld(t)
	home := w.ask("GET", "/").Body.String()
	for name, kind := range map[string]string{"style.css": "text/css", "page.js": "text/javascript"} {
		at := regexp.MustCompile(`/` + regexp.QuoteMeta(name) + `\?[0-9a-f]{12}`).FindString(home)
		rec := w.ask("GET", at)
		if rec.Code != http.StatusOK || !strings.HasPrefix(rec.Header().Get("Content-Type"), kind) || rec.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %d %v", at, rec.Code, rec.Header())
		}
		for _, other := range []string{"/" + name, "/" + name + "?0123456789ab"} { // kept for a year it would never be right again
			if got := w.ask("GET", other).Header().Get("Cache-Control"); strings.Contains(got, "immutable") {
				t.Errorf("%s: %s", other, got)
			}
		}
		if text := rec.Body.String(); strings.Contains(text, "http") || strings.Contains(text, "url(") || strings.Contains(text, "innerHTML") || strings.Contains(text, ".submit(") {
			t.Errorf("%s fetches something, writes markup or sends forms", name)
		}
	}
}

// The first page is under 50 kB with all that it loads of ours, also where as much is on
// sale as it shows.
func TestFirstPageIsSmall(t *testing.T) {
	w := newWorld(t)
	var all []offers.Offer
	for i := range 2 * maxShown {
		tag := fmt.Sprintf("BuySomething%d", i)
		all = append(all, offers.Offer{ID: strings.ToLower(tag), Tag: tag, Title: "Tour T-shirt “Nuit blanche”, second edition", Seller: "Example Records and Company, Lyon",
			Price: offers.Money{Minor: 4500, Currency: "EUR"}, Delivery: []offers.Money{{Minor: 500, Currency: "EUR"}}, Stock: map[string]int{"": 3}, PerBuyer: 1, Picture: fmt.Sprintf("https://pictures.example/offers/%d/large.jpg", i)})
	}
	if err := w.shop.Import(t.Context(), all, true); err != nil {
		t.Fatal(err)
	}
	if _, err := w.shop.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, path := range []string{"/", "/style.css", "/page.js"} {
		size += w.ask("GET", path).Body.Len()
	}
	if size > 50_000 || strings.Count(w.ask("GET", "/").Body.String(), "<img") != maxShown {
		t.Errorf("%d bytes", size)
	}
	t.Logf("%d bytes", size)
}

// A language's direction is that of its script.
func TestDirection(t *testing.T) {
	for lang, want := range map[string]string{"en": "ltr", "fr-CA": "ltr", "ar": "rtl", "he": "rtl", "fa-IR": "rtl", "ur": "rtl", "az": "ltr", "az-Arab": "rtl", "ja": "ltr", "?": "ltr"} {
		if got := direction(lang); got != want {
			t.Errorf("%s: %s", lang, got)
		}
	}
}

// No rule of the style is for the left or the right hand: the language decides.
func TestStyleIsForBothHands(t *testing.T) {
	text, err := templates.ReadFile("templates/style.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range regexp.MustCompile(`(?:margin|padding|border)-(?:left|right)|text-align: (?:left|right)|float|[{;]\s*(?:left|right):`).FindAllString(string(text), -1) {
		t.Errorf("the style has %q", bad)
	}
}
