package desk

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
)

func TestPeople(t *testing.T) {
	w := newWorld(t)
	b := w.as(rita).withFactor()
	role := func(e offers.Email) offers.Role {
		p, err := w.shop.Person(t.Context(), e)
		if err != nil && !errors.Is(err, offers.ErrNotFound) {
			t.Fatal(err)
		}
		return p.Roles["records"]
	}
	b.get("/m/records/people").is(http.StatusOK).says(string(carl), string(vera), "The only owner stays one").saysNot(string(hans), string(olga))

	const nina = "nina@records.example"
	b.post("/m/records/people", url.Values{"email": {nina}, "role": {"viewer"}}).leads("/m/records/people?done=invited")
	if last := w.mails[len(w.mails)-1]; last.To != nina || !strings.Contains(last.Text, "Example Records") || !strings.Contains(last.Text, "https://desk.example.com/sign-in\n") {
		t.Errorf("%s is told %q", string(last.To), last.Text)
	}
	if role(nina) != offers.Viewer {
		t.Error(role(nina))
	}
	b.post("/m/records/people", url.Values{"email": {nina}, "role": {"owner"}}).is(http.StatusConflict).says("work here already")
	b.post("/m/records/people", url.Values{"email": {"x"}, "role": {"viewer"}}).is(http.StatusBadRequest)
	b.post("/m/records/people", url.Values{"email": {"y@example.com"}, "role": {"king"}}).is(http.StatusBadRequest)
	b.post("/m/records/people/role", url.Values{"email": {nina}, "role": {"king"}}).is(http.StatusBadRequest)

	// Never the last owner, and nobody of another merchant's.
	for _, to := range []string{"", "clerk"} {
		b.post("/m/records/people/role", url.Values{"email": {string(rita)}, "role": {to}}).is(http.StatusBadRequest).says("There has to be an owner")
		b.post("/m/records/people/role", url.Values{"email": {string(hans)}, "role": {to}}).is(http.StatusNotFound)
		b.post("/m/records/people/role", url.Values{"email": {string(olga)}, "role": {to}}).is(http.StatusNotFound)
		w.as(hans).withFactor().post("/m/hats/people/role", url.Values{"email": {string(carl)}, "role": {to}}).is(http.StatusNotFound)
	}
	b.post("/m/records/people/role", url.Values{"email": {nina}, "role": {"owner"}}).leads("/m/records/people?done=role")
	b.post("/m/records/people/role", url.Values{"email": {string(carl)}, "role": {""}}).leads("/m/records/people?done=removed")
	if role(carl) != "" || role(nina) != offers.Owner {
		t.Error(role(carl), role(nina))
	}
	b.post("/m/records/people/role", url.Values{"email": {string(rita)}, "role": {"viewer"}}).leads("/")
	b.get("/m/records/people").is(http.StatusNotFound)
	w.as(nina).withFactor().post("/m/records/people/role", url.Values{"email": {nina}, "role": {"clerk"}}).is(http.StatusBadRequest)

	// Those who run the whole are people of the operator.
	w.as(olga).get("/m/-/people").is(http.StatusOK).says(string(otto)).saysNot("Tokens")
	w.as(olga).withFactor().post("/m/-/people/role", url.Values{"email": {string(olga)}, "role": {""}}).is(http.StatusBadRequest)
	w.as(olga).withFactor().post("/m/-/tokens", url.Values{"name": {"x"}, "right": {"stock:read"}}).is(http.StatusNotFound)

	w.failMail = errors.New("no mail today")
	w.as(olga).withFactor().post("/m/records/people", url.Values{"email": {"z@example.com"}, "role": {"viewer"}}).leads("/m/records/people?done=unmailed")
}

var onceOf = regexp.MustCompile(`<code class="secret">([^<]+)</code>`)

func TestTokens(t *testing.T) {
	w := newWorld(t)
	b := w.as(rita).withFactor()
	for _, form := range []url.Values{{"name": {""}, "right": {"stock:read"}}, {"name": {"Till"}}, {"name": {"Till"}, "right": {"world:end"}},
		{"name": {"Till"}, "right": {"stock:read"}, "until": {"2026-11-20"}}, {"name": {"Till"}, "right": {"stock:read"}, "until": {"x"}},
		{"name": {strings.Repeat("n", 200)}, "right": {"stock:read"}}} {
		a := b.post("/m/records/tokens", form).is(http.StatusBadRequest)
		if form.Get("name") != "" && !strings.Contains(a.body, `value="`+form.Get("name")+`"`) {
			t.Errorf("%v: what was typed is lost", form)
		}
	}
	a := b.post("/m/records/tokens", url.Values{"name": {"Till"}, "right": {"stock:read", "orders:read"}, "until": {"2026-11-21"}}).is(http.StatusOK).says("shown this once")
	secret := onceOf.FindStringSubmatch(a.body)[1]
	m, token, err := w.shop.Machine(t.Context(), secret, w.clock())
	if err != nil || m.ID != "records" || len(token.Rights) != 2 || !token.Until.Equal(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)) {
		t.Fatal(token, err)
	}
	b.get("/m/records/people").is(http.StatusOK).says("Till", "orders:read, stock:read").saysNot(secret)
	w.as(hans).withFactor().post("/m/hats/tokens/"+token.ID+"/remove", nil).is(http.StatusNotFound)
	b.post("/m/records/tokens/"+token.ID+"/remove", nil).leads("/m/records/people?done=removed")
	if _, _, err := w.shop.Machine(t.Context(), secret, w.clock()); !errors.Is(err, offers.ErrNotFound) {
		t.Error("it still lets in:", err)
	}
}

func TestHooks(t *testing.T) {
	w := newWorld(t)
	b := w.as(rita).withFactor()
	b.post("/m/records/hooks", url.Values{"url": {"ftp://x"}}).is(http.StatusBadRequest).says("https://")
	b.post("/m/records/hooks", url.Values{"url": {"https://shop.example.com/h"}, "event": {"purchase.lost"}}).is(http.StatusBadRequest)
	a := b.post("/m/records/hooks", url.Values{"url": {"https://shop.example.com/h"}, "event": {offers.ToldPaid, offers.ToldPaid}}).is(http.StatusOK).says("shown this once")
	secret := onceOf.FindStringSubmatch(a.body)[1]
	m, err := w.shop.Merchant(t.Context(), "records")
	if err != nil || len(m.Hooks) != 1 || len(m.Hooks[0].Events) != 1 || m.Hooks[0].Secret != unescape.Replace(secret) {
		t.Fatal(m.Hooks, secret, err)
	}
	b.get("/m/records/people").says("https://shop.example.com/h", offers.ToldPaid).saysNot(secret)
	w.as(hans).withFactor().post("/m/hats/hooks/"+m.Hooks[0].ID+"/remove", nil).is(http.StatusNotFound)
	b.post("/m/records/hooks/"+m.Hooks[0].ID+"/remove", nil).leads("/m/records/people?done=removed")
	if m, err := w.shop.Merchant(t.Context(), "records"); err != nil || len(m.Hooks) != 0 {
		t.Error(m.Hooks, err)
	}
}
