package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"hashtill/cmd/hashtill/api"
	"hashtill/offers"
	"hashtill/store"
)

var t0 = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)

// shop is a shop of two merchants, each with an offer, and all outside that does what it is
// asked.
type shop struct {
	*offers.Shop
	t      *testing.T
	st     store.Store
	now    time.Time
	server *httptest.Server
	log    strings.Builder
	posts  int
}

func newShop(t *testing.T) *shop {
	s := &shop{t: t, st: store.NewMemory(), now: t0}
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	var err error
	s.Shop, err = offers.NewShop(s.st, offers.Settings{
		CodeKey: []byte("0123456789abcdef"), Times: offers.DefaultTimes, Log: log, Now: func() time.Time { return s.now },
	})
	s.must(err)
	for kind, ev := range map[offers.EffectKind]offers.Event{
		offers.Reply: {Kind: offers.ReplySent, Post: "1"}, offers.MailLink: {Kind: offers.LinkMailed}, offers.Charge: {Kind: offers.Charged},
		offers.MailReceipt: {Kind: offers.EffectDone}, offers.MailShipped: {Kind: offers.EffectDone}, offers.MailReason: {Kind: offers.EffectDone},
		offers.Refunding: {Kind: offers.RefundMade, N: 1},
	} {
		s.On(kind, func(context.Context, offers.Job) (offers.Event, error) { return ev, nil })
	}
	s.On(offers.Prepare, func(_ context.Context, j offers.Job) (offers.Event, error) {
		return offers.Event{Kind: offers.IntentMade, Intent: "pi_1", Card: j.Buyer.Cards[0]}, nil
	})
	(&api.Teller{Shop: s.Shop, Now: func() time.Time { return s.now }, Log: log, Inside: true}).Register()
	var all []offers.Offer
	for _, m := range []string{"records", "hats"} {
		_, err := s.EditMerchant(t.Context(), m, func(of *offers.Merchant) error { of.Name = m; return nil })
		s.must(err)
		all = append(all, offers.Offer{ID: "buy" + m, Tag: "Buy" + m, Title: "Thing", Seller: m, Merchant: m, PerBuyer: 9,
			Price: offers.Money{Minor: 2000, Currency: "EUR"}, Stock: map[string]int{"": 5}})
	}
	s.must(s.Import(t.Context(), all, true))
	s.must(s.Register(t.Context(), offers.Buyer{Account: buyer, Handle: "ann", Email: "ann@example.com", Customer: "cus_1",
		Cards: []offers.Card{{ID: "pm_1"}}, Address: "12 rue des Lilas, Lyon", Country: "FR"}, s.now))
	s.server = httptest.NewServer((&api.API{Shop: s.Shop, Now: func() time.Time { return s.now }, Log: log}).Handler())
	t.Cleanup(s.server.Close)
	return s
}

var buyer = offers.Account{Network: "x", ID: "7"}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// settle performs all that is due.
func (s *shop) settle() {
	s.t.Helper()
	for range 100 {
		leases, err := s.st.Lease(s.t.Context(), s.now, s.now.Add(time.Minute), 100)
		s.must(err)
		if len(leases) == 0 {
			return
		}
		for _, l := range leases {
			if err := s.Perform(s.t.Context(), l); err != nil {
				c := store.Change{Shard: l.Shard, PutOff: []store.PutOff{{ID: l.ID, Try: l.Try, Due: s.now.Add(time.Hour), Note: err.Error()}}}
				s.must(s.st.Commit(s.t.Context(), c))
			}
		}
	}
	s.t.Fatal("effects without end")
}

// sells has the buyer buy one of a merchant's offer.
func (s *shop) sells(merchant string) offers.Purchase {
	s.t.Helper()
	s.posts++
	p, err := s.Wish(s.t.Context(), offers.Wish{Post: fmt.Sprint(s.posts), Account: buyer, Handle: "ann", Offer: "buy" + merchant}, s.now)
	s.must(err)
	s.settle()
	_, err = s.Echo(s.t.Context(), p.Code, buyer, "e", s.now)
	s.must(err)
	s.settle()
	_, err = s.Press(s.t.Context(), p.ID, 1, "", s.now)
	s.must(err)
	s.settle()
	p, err = s.Purchase(s.t.Context(), p.ID)
	s.must(err)
	if p.State != offers.Paid {
		s.t.Fatalf("purchase is %s", p.State)
	}
	return p
}

func (s *shop) token(merchant string, rights ...offers.Right) string {
	s.t.Helper()
	secret, err := s.AddToken(s.t.Context(), merchant, offers.Token{Name: "till", Rights: rights})
	s.must(err)
	return secret
}

// ask asks the API, and says what it has answered.
func (s *shop) ask(token, method, path, body string) (int, map[string]any) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+path, strings.NewReader(body))
	s.must(err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	s.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	s.must(err)
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		s.t.Fatalf("%s %s: %d %q", method, path, resp.StatusCode, text)
	}
	return resp.StatusCode, answer
}

func TestOrders(t *testing.T) {
	s := newShop(t)
	var sold []offers.Purchase
	for range 3 {
		sold = append(sold, s.sells("records"))
		s.now = s.now.Add(time.Second)
	}
	s.sells("hats")
	token := s.token("records", offers.Rights...)
	seen := []string{}
	for path := "/api/v1/orders?limit=2"; path != ""; {
		code, page := s.ask(token, "GET", path, "")
		if code != 200 {
			t.Fatal(code, page)
		}
		for _, o := range page["orders"].([]any) {
			seen = append(seen, o.(map[string]any)["id"].(string))
		}
		path = ""
		if next, ok := page["next"].(string); ok {
			path = "/api/v1/orders?limit=2&cursor=" + next
		}
	}
	if want := []string{string(sold[2].ID), string(sold[1].ID), string(sold[0].ID)}; !slices.Equal(seen, want) {
		t.Errorf("orders %q, want %q", seen, want)
	}
	if _, page := s.ask(token, "GET", "/api/v1/orders?since=2026-11-21T20:00:02Z", ""); len(page["orders"].([]any)) != 1 {
		t.Errorf("since: %v", page)
	}
	path := "/api/v1/orders/" + string(sold[0].ID)
	if code, o := s.ask(token, "POST", path+"/ship", `{"tracking": "LX 1"}`); code != 200 || o["tracking"] != "LX 1" || o["shipped_at"] == nil || o["address"] == "" {
		t.Error(code, o)
	}
	if code, o := s.ask(token, "POST", path+"/ship", `{}`); code != 409 || o["code"] != "shipped" {
		t.Error("shipped twice", code, o)
	}
	if code, _ := s.ask(token, "POST", path+"/notes", `{"text": "gift"}`); code != 200 {
		t.Error(code)
	}
	_, o := s.ask(token, "GET", path, "")
	if text := fmt.Sprint(o); strings.Contains(text, "@example.com") || strings.Contains(text, "pm_1") || strings.Contains(text, "gift") {
		t.Errorf("an order tells %s", text)
	}
	deeds, err := s.Deeds(t.Context(), "records", 9)
	if err != nil || len(deeds) != 2 || deeds[0].Who != "token till" || deeds[0].What != "ship" || deeds[0].More != "" {
		t.Error(deeds, err)
	}
}

func TestStock(t *testing.T) {
	s := newShop(t)
	s.sells("hats")
	token := s.token("hats", offers.ReadStock, offers.WriteStock)
	if code, o := s.ask(token, "PUT", "/api/v1/offers/buyhats/stock", `{"": 40}`); code != 200 || fmt.Sprint(o["stock"]) != "map[:map[stock:40 taken:1]]" {
		t.Error(code, o)
	}
	for body, want := range map[string]int{`{"XL": 1}`: 400, `{"": -2}`: 400, `{"": 1.5}`: 400, `[]`: 400, `{"": 1} {}`: 400} {
		if code, o := s.ask(token, "PUT", "/api/v1/offers/buyhats/stock", body); code != want {
			t.Errorf("%s: %d %v", body, code, o)
		}
	}
	if code, o := s.ask(token, "PUT", "/api/v1/offers/buyhats/stock", `{"": 40}`); code != 200 || fmt.Sprint(o["stock"]) != "map[:map[stock:40 taken:1]]" {
		t.Error(code, o)
	}
	if deeds, err := s.Deeds(t.Context(), "hats", 9); err != nil || len(deeds) != 1 {
		t.Error("what changed nothing was written down", deeds, err)
	}
	if o, _ := s.OfferByTag("buyhats"); o.Stock[""] != 40 {
		t.Errorf("stock %v", o.Stock)
	}
	if code, page := s.ask(token, "GET", "/api/v1/offers", ""); code != 200 || len(page["offers"].([]any)) != 1 {
		t.Error(code, page)
	}
}

// Route by route: who has no token, not the right, or is another merchant's, sees and
// changes nothing. A route that is added is tried too.
func TestStrangers(t *testing.T) {
	s := newShop(t)
	p := s.sells("records")
	all := s.token("hats", offers.Rights...)
	revoked := s.token("records", offers.Rights...)
	m, token, err := s.Machine(t.Context(), revoked, s.now)
	s.must(err)
	s.must(s.RemoveToken(t.Context(), m.ID, token.ID))
	rights := map[string]offers.Right{}
	for _, rt := range api.Routes() {
		method, path, _ := strings.Cut(rt.Pattern, " ")
		rights[rt.Pattern] = rt.Needs
		own := strings.Contains(path, "{id}")
		id := string(p.ID)
		if strings.Contains(path, "offers") {
			id = "buyrecords"
		}
		path = strings.ReplaceAll(path, "{id}", id)
		var others []offers.Right
		for _, r := range offers.Rights {
			if r != rt.Needs {
				others = append(others, r)
			}
		}
		for who, try := range map[string]struct {
			token string
			want  int
		}{
			"nobody": {"", 401}, "a guess": {"htm_AAAAAAAAAAAAAAAAAAAAAAAAAA", 401}, "a removed token": {revoked, 401},
			"without the right": {s.token("records", others...), 403},
		} {
			if code, o := s.ask(try.token, method, path, `{"text":"x"}`); code != try.want {
				t.Errorf("%s by %s: %d %v", rt.Pattern, who, code, o)
			}
		}
		code, o := s.ask(all, method, path, map[bool]string{true: `{"": 1}`, false: `{}`}[strings.HasSuffix(path, "stock")])
		if own && code != 404 && code != 400 || !own && (code != 200 || strings.Contains(fmt.Sprint(o), "records")) {
			t.Errorf("%s by another merchant: %d %v", rt.Pattern, code, o)
		}
	}
	if after, err := s.Purchase(t.Context(), p.ID); err != nil || !after.ShippedAt.IsZero() || len(after.Notes) > 0 {
		t.Error("changed by a stranger", after, err)
	}
	if o, _ := s.OfferByTag("buyrecords"); o.Stock[""] != 5 {
		t.Error("stock changed by a stranger")
	}
}

// The description names the routes that there are.
func TestDescription(t *testing.T) {
	s := newShop(t)
	resp, err := http.Get(s.server.URL + "/api/v1/openapi.yaml")
	s.must(err)
	defer resp.Body.Close()
	var described struct {
		Paths map[string]map[string]struct{ Summary string }
	}
	s.must(yaml.NewDecoder(resp.Body).Decode(&described))
	n := 0
	for _, rt := range api.Routes() {
		method, path, _ := strings.Cut(rt.Pattern, " ")
		if got := described.Paths[path][strings.ToLower(method)].Summary; !strings.Contains(got, "("+string(rt.Needs)+")") {
			t.Errorf("%s is described as %q", rt.Pattern, got)
		}
		n++
	}
	for path, methods := range described.Paths {
		if path != "/api/v1/openapi.yaml" {
			n -= len(methods)
		}
	}
	if n != 0 {
		t.Errorf("%d routes more than are described", n)
	}
}

func TestTooMany(t *testing.T) {
	s := newShop(t)
	token, another := s.token("hats", offers.ReadStock), s.token("hats", offers.ReadStock)
	for n := range 60 {
		code, _ := s.ask([]string{token, another}[n%2], "GET", "/api/v1/offers", "")
		if want := map[bool]int{true: 200, false: 429}[n < 50]; code != want {
			t.Fatalf("request %d: %d, want %d", n, code, want)
		}
	}
	s.now = s.now.Add(time.Second)
	if code, _ := s.ask(token, "GET", "/api/v1/offers", ""); code != 200 {
		t.Error("after a second", code)
	}
}

// A machine is told of what has happened, signed, under the same id at every try.
func TestHooks(t *testing.T) {
	s := newShop(t)
	type told struct {
		id, what string
		order    api.Order
	}
	var all []told
	answer := http.StatusInternalServerError
	var secret string
	machine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		id, stamp := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
		if got := r.Header.Get("webhook-signature"); err != nil || got != api.Sign(secret, id, stamp, body) {
			t.Errorf("signed %q: %v", got, err)
		}
		var sent struct {
			Type string
			Data api.Order
		}
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Error(err)
		}
		all = append(all, told{id, sent.Type, sent.Data})
		w.WriteHeader(answer)
	}))
	defer machine.Close()
	h, err := s.AddHook(t.Context(), "records", machine.URL, []string{offers.ToldPaid, offers.ToldRefunded})
	s.must(err)
	secret = h.Secret
	p := s.sells("records")
	if len(all) != 1 || all[0].what != offers.ToldPaid || all[0].order.ID != string(p.ID) || all[0].order.Total.Minor != 2000 {
		t.Fatalf("told %+v", all)
	}
	answer = http.StatusNoContent
	s.now = s.now.Add(time.Hour)
	s.settle()
	if len(all) != 2 || all[1].id != all[0].id {
		t.Fatalf("told %+v", all)
	}
	_, err = s.Ship(t.Context(), p.ID, "", s.now) // which it does not want to hear of
	s.must(err)
	_, err = s.RefundPurchase(t.Context(), p.ID, offers.Money{}, "", s.now)
	s.must(err)
	s.settle()
	if len(all) != 3 || all[2].what != offers.ToldRefunded || all[2].order.State != "refunded" {
		t.Fatalf("told %+v", all)
	}

	// For three days it is tried, and then no more.
	answer = http.StatusInternalServerError
	s.sells("records")
	n := len(all)
	s.now = s.now.Add(3*24*time.Hour + time.Minute)
	s.settle()
	s.now = s.now.Add(2 * time.Hour)
	s.settle()
	if len(all) != n+1 {
		t.Errorf("told %d times after three days", len(all)-n)
	}
	// A machine that is gone is told nothing any more.
	answer = http.StatusGone
	s.sells("records")
	if m, err := s.Merchant(t.Context(), "records"); err != nil || len(m.Hooks) != 0 {
		t.Error(m.Hooks, err)
	}
	if strings.Contains(s.log.String(), machine.URL) || strings.Contains(s.log.String(), h.Secret) {
		t.Error("the log has the address or the secret")
	}
}

// The example of the specification, worked out with openssl.
func TestSign(t *testing.T) {
	got := api.Sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signed %s, want %s", got, want)
	}
}

// Nobody who names an address has us ask what stands behind a wall.
func TestInside(t *testing.T) {
	s := newShop(t)
	asked := false
	machine := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer machine.Close()
	teller := &api.Teller{Shop: s.Shop, Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler)}
	teller.Register()
	_, err := s.AddHook(t.Context(), "records", machine.URL, nil)
	s.must(err)
	s.sells("records")
	if asked {
		t.Error("a machine of this network was asked")
	}
	for _, at := range []string{"127.0.0.1:80", "10.0.0.1:80", "169.254.169.254:80", "[::1]:80", "[fd00::1]:80", "100.64.1.1:80", "[::ffff:192.168.1.1]:80", "0.0.0.0:80"} {
		if err := teller.Control(at); !errors.Is(err, api.ErrInside) {
			t.Errorf("%s: %v", at, err)
		}
	}
	if err := teller.Control("93.184.215.14:443"); err != nil {
		t.Error(err)
	}
}

// Of several machines, one that fails is not forgotten because another is gone; and each
// is told while the others take their time.
func TestHooksTogether(t *testing.T) {
	s := newShop(t)
	var tries atomic.Int32
	met := make(chan struct{})
	meet := sync.OnceFunc(func() { close(met) })
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) == 1 {
			select { // the other is told before this one has answered
			case <-met:
			case <-r.Context().Done():
				t.Error("the machines are told one after the other")
			}
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer failing.Close()
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		meet()
		w.WriteHeader(http.StatusGone)
	}))
	defer gone.Close()
	for _, address := range []string{failing.URL, gone.URL} {
		_, err := s.AddHook(t.Context(), "records", address, []string{offers.ToldPaid})
		s.must(err)
	}
	s.sells("records")
	if m, err := s.Merchant(t.Context(), "records"); err != nil || len(m.Hooks) != 1 || m.Hooks[0].URL != failing.URL {
		t.Error(m.Hooks, err)
	}
	s.now = s.now.Add(time.Hour)
	s.settle()
	if n := tries.Load(); n != 2 {
		t.Errorf("the machine that fails was tried %d times", n)
	}
}

// What is not https is told nothing.
func TestPlain(t *testing.T) {
	s := newShop(t)
	teller := &api.Teller{Shop: s.Shop, Now: func() time.Time { return s.now }, Log: slog.New(slog.NewTextHandler(&s.log, nil))}
	teller.Register()
	_, err := s.AddHook(t.Context(), "records", "http://shop.example.com/h", nil)
	s.must(err)
	s.sells("records")
	if !strings.Contains(s.log.String(), "is not an https address") {
		t.Error(s.log.String())
	}
}

// Orders stay when their offer is removed.
func TestOrdersOfRemovedOffer(t *testing.T) {
	s := newShop(t)
	p := s.sells("records")
	token, other := s.token("records", offers.ReadOrders), s.token("hats", offers.ReadOrders)
	s.must(s.RemoveOffer(t.Context(), "buyrecords"))
	_, err := s.Refresh(t.Context())
	s.must(err)
	for _, path := range []string{"/api/v1/orders", "/api/v1/orders?offer=BuyRecords"} {
		if code, page := s.ask(token, "GET", path, ""); code != 200 || !strings.Contains(fmt.Sprint(page), string(p.ID)) {
			t.Error(path, code, page)
		}
		if code, page := s.ask(other, "GET", path, ""); code != 200 || len(page["orders"].([]any)) != 0 {
			t.Error(path, "by another merchant:", code, page)
		}
	}
}
