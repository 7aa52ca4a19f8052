package x_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"testing"

	"hashtill/bot/x"
	"hashtill/bot/x/xtest"
)

// Both shapes tell of the account, and of what its token may do, and post nothing.
func TestExamine(t *testing.T) {
	s, _, cfg := start(t, xtest.Options{Classic: true})
	shop, err := s.AddAccount(xtest.Account{Handle: "Runner", Bio: "Run by Zoë, zoe.example"})
	if err != nil {
		t.Fatal(err)
	}
	examine := map[string]func(x.Config) (x.Account, error){
		"v2": func(cfg x.Config) (x.Account, error) {
			n, err := x.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return n.Examine(t.Context())
		},
		"classic": func(cfg x.Config) (x.Account, error) {
			n, err := x.NewClassic(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return n.Examine(t.Context())
		},
	}
	for shape, examine := range examine {
		for access, keys := range map[x.Access]xtest.Credentials{x.AccessWrite: s.Credentials(shop.ID), x.AccessRead: s.ReadOnly(shop.ID)} {
			cfg.AccessToken, cfg.AccessSecret = keys.Token, keys.TokenSecret
			got, err := examine(cfg)
			if want := (x.Account{ID: shop.ID, Handle: "Runner", Bio: shop.Bio, Access: access}); err != nil || got != want {
				t.Errorf("%s: %+v, %v, want %+v", shape, got, err, want)
			}
		}
		other := cfg
		other.Handle = "HatShop"
		if _, err := examine(other); err == nil {
			t.Errorf("%s: the token of another account is taken", shape)
		}
	}
}

// The rules are told as they are, and stay so.
func TestExamineRules(t *testing.T) {
	s, _, cfg := start(t, xtest.Options{})
	n, err := x.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want x.Rules, tags ...string) {
		t.Helper()
		if got, err := n.ExamineRules(t.Context(), tags); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
	s.OnDeed(func(d xtest.Deed) { t.Errorf("%s", d.Name) })
	expect(x.Rules{Limit: 1000, Missing: 3}, "BuyTee")
	s.OnDeed(nil)
	if err := n.Follow(t.Context(), []string{"BuyTee"}); err != nil {
		t.Fatal(err)
	}
	s.OnDeed(func(d xtest.Deed) { t.Errorf("%s", d.Name) })
	expect(x.Rules{Used: 4, Limit: 1000}, "BuyTee")
	expect(x.Rules{Used: 4, Limit: 1000, Missing: 1, Needless: 1}, "BuyHat")
}

// What does not fit is told before anybody follows it.
func TestExamineRulesTooMany(t *testing.T) {
	s, _, cfg := start(t, xtest.Options{})
	n, err := x.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	add := make([]map[string]string, 998)
	for i := range add {
		add[i] = map[string]string{"value": "#other" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))}
	}
	body, err := json.Marshal(map[string]any{"add": add})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/2/tweets/search/stream/rules", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Bearer())
	req.Header.Set("Content-Type", "application/json")
	resp, err := cfg.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatal(resp.Status)
	}
	got, err := n.ExamineRules(t.Context(), []string{"BuyTee"})
	if !errors.As(err, new(*x.CatalogueError)) || got.Used != 998 || got.Foreign != 998 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestExamineActivity(t *testing.T) {
	_, _, cfg := start(t, xtest.Options{})
	n, err := x.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	have, need, err := n.ExamineActivity(t.Context())
	if err != nil || len(have) != 0 || !slices.Contains(need, "post.mention.create") {
		t.Errorf("%q of %q, %v", have, need, err)
	}
}

func TestUsage(t *testing.T) {
	s, _, cfg := start(t, xtest.Options{})
	n, err := x.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want x.Usage) {
		t.Helper()
		if got, err := n.Usage(t.Context()); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
	expect(x.Usage{Cap: 2000000, ResetDay: 10})
	s.Fail(xtest.Fault{Path: "/2/usage", Status: http.StatusOK, Body: `{"data":{"project_cap":15000,"project_usage":"77"}}`})
	expect(x.Usage{Posts: 77, Cap: 15000})
	s.Fail(xtest.Fault{Path: "/2/usage", Status: http.StatusOK, Body: `{"data":{}}`})
	expect(x.Usage{})
	cfg.BearerToken = "another"
	if n, err = x.New(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Usage(t.Context()); err == nil {
		t.Error("a wrong bearer token is taken")
	}
}
