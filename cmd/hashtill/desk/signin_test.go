package desk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"hashtill/confirm"
	"hashtill/offers"
)

var linkOf = regexp.MustCompile(`https://desk\.example\.com(/sign-in/\S+)`)

// lastLink is the link that was mailed last.
func (w *world) lastLink() string {
	w.t.Helper()
	w.desk.mailing.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.mails) == 0 {
		w.t.Fatal("nothing was mailed")
	}
	found := linkOf.FindStringSubmatch(w.mails[len(w.mails)-1].Text)
	if found == nil {
		w.t.Fatalf("no link in %q", w.mails[len(w.mails)-1].Text)
	}
	return found[1]
}

func TestSignIn(t *testing.T) {
	w := newWorld(t)
	b := w.nobody()
	b.get("/m/records/orders?status=to-ship").is(http.StatusSeeOther).leads("/sign-in?to=%2Fm%2Frecords%2Forders%3Fstatus%3Dto-ship")
	b.get("/sign-in?to=/m/records/people").is(http.StatusOK)
	known := b.post("/sign-in", url.Values{"email": {" Rita@records.example "}, "to": {"/m/records/people"}}).is(http.StatusOK)
	link := w.lastLink()
	unknown := b.post("/sign-in", url.Values{"email": {"nobody@records.example"}}).is(http.StatusOK)
	w.desk.mailing.Wait()
	if len(w.mails) != 1 {
		t.Fatalf("%d mails", len(w.mails))
	}
	if w.mails[0].To != rita {
		t.Errorf("it was mailed to %s", string(w.mails[0].To))
	}
	if strings.Replace(unknown.body, "nobody@", "Rita@", 1) != known.body {
		t.Errorf("the answers tell who is known:\n%s\n%s", known.text(), unknown.text())
	}
	b.post("/sign-in", url.Values{"email": {"not an address"}}).is(http.StatusBadRequest).says("not an e-mail address")

	// A program that looks through mails opens the link as often as it likes.
	for range 3 {
		b.get(link).is(http.StatusOK).says("Sign in")
	}
	path, _, _ := strings.Cut(link, "?")
	a := b.post(path, url.Values{"to": {"/m/records/people"}}).is(http.StatusSeeOther).leads("/m/records/people")
	cookies := a.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatal(cookies)
	}
	if c := cookies[0]; c.Name != "__Host-hashtill-desk" || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Value == "" {
		t.Errorf("the cookie is %v", c)
	}
	b.post(path, nil).is(http.StatusGone).says("used before")
	b.token = cookies[0].Value
	b.get("/").is(http.StatusSeeOther).leads("/m/records/")
	b.get("/m/records/people").is(http.StatusOK).says(string(carl))
	b.get("/sign-in").leads("/")

	sh, err := w.shop.Shift(t.Context(), b.token, w.clock())
	if err != nil {
		t.Fatal(err)
	}
	b.csrf = sh.CSRF
	b.post("/sign-out", nil).leads("/sign-in")
	b.get("/m/records/people").leads("/sign-in?to=%2Fm%2Frecords%2Fpeople")
}

func TestSignInEnds(t *testing.T) {
	w := newWorld(t)
	b := w.nobody()
	b.post("/sign-in", url.Values{"email": {string(rita)}})
	late := w.lastLink()
	w.passes(15 * time.Minute)
	b.post(late, nil).is(http.StatusGone)

	r := w.as(rita)
	w.passes(12 * time.Hour)
	r.get("/m/records/").leads("/sign-in?to=%2Fm%2Frecords%2F")

	c := w.as(carl)
	if _, err := w.shop.EditPerson(t.Context(), carl, func(p *offers.Person) error { clear(p.Roles); return nil }); err != nil {
		t.Fatal(err)
	}
	c.get("/m/records/").leads("/sign-in?to=%2Fm%2Frecords%2F")
	c.get("/sign-in").is(http.StatusOK) // not led around in circles
}

func TestSignInIsBounded(t *testing.T) {
	w := newWorld(t)
	b := w.nobody()
	ask := func(who string) int { return b.post("/sign-in", url.Values{"email": {who}}).Code }
	for range 3 {
		if code := ask(string(rita)); code != http.StatusOK {
			t.Fatal(code)
		}
	}
	b.ip = "198.51.100.7:999"
	// Neither the answer nor what is counted tells who is known.
	b.post("/sign-in", url.Values{"email": {"RITA@records.example"}}).is(http.StatusOK).says("every five minutes")
	w.desk.mailing.Wait()
	if len(w.mails) != 3 {
		t.Errorf("%d links were mailed", len(w.mails))
	}
	w.passes(5 * time.Minute)
	ask(string(rita))
	w.desk.mailing.Wait()
	if len(w.mails) != 4 {
		t.Errorf("after five minutes: %d links", len(w.mails))
	}
	allowed := 0
	for i := range 60 {
		if ask(fmt.Sprintf("a%d@example.com", i)) == http.StatusOK {
			allowed++
		}
	}
	if allowed > 20 {
		t.Errorf("%d links asked for from one address", allowed)
	}
}

func TestNetwork(t *testing.T) {
	d := &Desk{Config: Config{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/24")}}}
	for _, try := range []struct{ peer, forwarded, want string }{
		{"192.0.2.1:5", "198.51.100.7", "192.0.2.1"}, // anybody may write a header
		{"127.0.0.1:5", "", ""},
		{"10.0.1.3:5", "198.51.100.7", ""}, // no proxy of ours
		{"127.0.0.1:5", "203.0.113.9, 198.51.100.7, 10.0.0.3", "198.51.100.7"},
		{"127.0.0.1:5", "203.0.113.9, 198.51.100.7", "198.51.100.7"},
		{"10.0.0.3:5", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"},
		{"[2001:db8:1:2::9]:5", "", "2001:db8:1:2::/64"},
		{"127.0.0.1:5", "rubbish", ""},
	} {
		r, err := http.NewRequestWithContext(context.Background(), "GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = try.peer
		if try.forwarded != "" {
			r.Header.Set("X-Forwarded-For", try.forwarded)
		}
		if got, public := confirm.Origin(r, d.Proxies); got != try.want || public != (got != "") {
			t.Errorf("%v: %s", try, got)
		}
	}
}

func TestOwnPath(t *testing.T) {
	for s, want := range map[string]string{
		"/m/records/orders?q=a%20b": "/m/records/orders?q=a%20b", "/m/records/": "/m/records/", "": "/", "/": "/",
		"https://evil.example/": "/", "//evil.example": "/", "//evil.example/a": "/", "/\\evil.example": "/", "/%5Cevil.example": "/", "\\/evil.example": "/",
		"/a/..//evil.example": "/", "/../evil": "/", "/.//evil.example": "/", "m/records": "/", "javascript:alert(1)": "/",
		"/a\nb": "/", "/\t/evil.example": "/", "///evil.example": "/", "/%2F/evil.example": "/",
		"/sign-in": "/", "/sign-in/abc?to=/": "/", "/sign-out": "/", "/sign-inn": "/sign-inn",
	} {
		if got := ownPath(s); got != want {
			t.Errorf("ownPath(%q) is %q, not %q", s, got, want)
		}
	}
}

var secretOf = regexp.MustCompile(`name="secret" value="([A-Z2-7]+)"`)

func (w *world) codeOf(secret string) string {
	w.t.Helper()
	code, err := totp.GenerateCode(secret, w.clock())
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

func TestFactor(t *testing.T) {
	w := newWorld(t)
	b := w.as(rita)
	p := w.paid(1, "BuyTee", "M")
	refund := "/m/records/orders/" + string(p.ID) + "/refund"
	to := "/factor?to=" + url.QueryEscape(refund)
	b.get(refund).leads(to)

	// A new secret counts when it is confirmed, and not before.
	page := b.get(to).is(http.StatusOK).says("Scan this")
	if !strings.Contains(page.body, `src="data:image/png;base64,`) {
		t.Error("no QR code")
	}
	secret := secretOf.FindStringSubmatch(page.body)[1]
	set := func(form url.Values) *answer { form.Set("to", refund); return b.post("/factor/new", form) }
	again := set(url.Values{"secret": {secret}, "code": {"000000"}}).is(http.StatusBadRequest).says("not right")
	if secretOf.FindStringSubmatch(again.body)[1] != secret {
		t.Error("a wrong code changes the secret that was scanned")
	}
	set(url.Values{"secret": {"AAAA"}, "code": {w.codeOf("AAAA")}}).is(http.StatusBadRequest)
	b.get(refund).leads(to)
	set(url.Values{"secret": {secret}, "code": {w.codeOf(secret)}}).leads(refund)
	b.get(refund).is(http.StatusOK)

	// It counts for ten minutes, and no code counts twice.
	w.passes(10*time.Minute + time.Second)
	b.get(refund).leads(to)
	code := b.code()
	b.post("/factor", url.Values{"code": {code[:3] + " " + code[3:]}, "to": {refund}}).leads(refund)
	b.get(refund).is(http.StatusOK)
	b.post("/factor", url.Values{"code": {code}}).is(http.StatusForbidden)
	b.post("/factor", url.Values{"code": {""}}).is(http.StatusForbidden)
	w.passes(time.Minute)
	b.post("/factor", url.Values{"code": {b.code()}, "to": {"https://evil.example/"}}).leads("/")
	other := w.as(rita) // another browser has to give it too
	other.get(refund).leads(to)

	// A change needs the present one.
	w.passes(time.Minute)
	secret = secretOf.FindStringSubmatch(b.get("/factor/new").body)[1]
	set(url.Values{"secret": {secret}, "code": {w.codeOf(secret)}}).is(http.StatusForbidden)
	set(url.Values{"secret": {secret}, "code": {w.codeOf(secret)}, "present": {w.codeOf(secret)}}).is(http.StatusForbidden)
	set(url.Values{"secret": {secret}, "code": {w.codeOf(secret)}, "present": {b.code()}}).leads(refund)
	if person, err := w.shop.Person(t.Context(), rita); err != nil || person.Factor != secret {
		t.Error("the factor is not changed", err)
	}
	if last := w.mails[len(w.mails)-1]; last.To != rita || !strings.Contains(last.Subject, "second factor") {
		t.Errorf("nobody was told of it: %v", last.Subject)
	}
}

func TestFactorLocks(t *testing.T) {
	w := newWorld(t)
	b := w.as(rita).withFactor()
	for range 5 {
		b.post("/factor", url.Values{"code": {"x"}}).is(http.StatusForbidden)
	}
	b.post("/factor", url.Values{"code": {b.code()}}).is(http.StatusForbidden).says("15 minutes")
	secret := secretOf.FindStringSubmatch(b.get("/factor/new").body)[1]
	b.post("/factor/new", url.Values{"secret": {secret}, "code": {w.codeOf(secret)}, "present": {b.code()}}).is(http.StatusForbidden)
	w.passes(15 * time.Minute)
	b.post("/factor", url.Values{"code": {b.code()}}).leads("/")
}

func TestHome(t *testing.T) {
	w := newWorld(t)
	w.as(olga).get("/").is(http.StatusOK).says("Example Records", "Example Hats", "Operator’s own")
	w.as(rita).get("/").leads("/m/records/")
	if _, err := w.shop.EditPerson(t.Context(), rita, func(p *offers.Person) error { p.Roles["hats"] = offers.Viewer; return nil }); err != nil {
		t.Fatal(err)
	}
	w.as(rita).get("/").is(http.StatusOK).says("Example Records", "Example Hats").saysNot("Operator", "/op/")
}

// A form that asks for the second factor says that it was not kept.
func TestFactorLosesForm(t *testing.T) {
	w := newWorld(t)
	b := w.as(rita)
	b.post("/m/records/people", url.Values{"email": {"eve@example.com"}, "role": {"owner"}}).leads("/factor?again")
	if _, err := w.shop.Person(t.Context(), "eve@example.com"); !errors.Is(err, offers.ErrNotFound) {
		t.Error("let in without the second factor:", err)
	}
	b.get("/factor?again").is(http.StatusOK).says("please send it again")
	b.withFactor()
	b.get("/factor?again").is(http.StatusOK).says("please send it again")
	b.post("/factor", url.Values{"code": {"x"}, "again": {""}}).is(http.StatusForbidden).says("please send it again")
	b.get("/factor").saysNot("send it again")
}

// A session of somebody who was removed does not come back with them.
func TestSessionBeforePerson(t *testing.T) {
	w := newWorld(t)
	b := w.as(carl)
	for _, role := range []offers.Role{"", offers.Clerk} {
		w.passes(time.Minute)
		if _, err := w.shop.EditPerson(t.Context(), carl, func(p *offers.Person) error {
			clear(p.Roles)
			if role != "" {
				p.Roles["records"] = role
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	b.get("/m/records/").leads("/sign-in?to=%2Fm%2Frecords%2F")
	b.get("/sign-in").is(http.StatusOK)
	w.as(carl).get("/m/records/").is(http.StatusOK)
}
