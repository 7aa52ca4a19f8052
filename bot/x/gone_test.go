package x

import (
	"net/http"
	"testing"
)

func TestGone(t *testing.T) {
	problem := func(kind, id string) string {
		return `{"errors":[{"title":"t","type":"https://api.twitter.com/2/problems/` + kind + `","resource_id":"` + id + `","value":"` + id + `"}]}`
	}
	for name, tc := range map[string]struct {
		status int
		body   string
		gone   bool
		fails  bool
	}{
		"there":              {200, `{"data":[{"id":"7","text":"@HatShop #BuyHat"}]}`, false, false},
		"removed":            {200, problem("resource-not-found", "7"), true, false},
		"hidden":             {200, problem("not-authorized-for-resource", "7"), false, false},
		"another is removed": {200, problem("resource-not-found", "8"), false, false},
		"nothing is said":    {200, `{}`, false, false},
		"spent":              {429, problem("usage-capped", "7"), false, true},
		"no such endpoint":   {404, problem("resource-not-found", "7"), false, true},
		"down":               {503, ``, false, true},
	} {
		n := newNetwork(t, func(r *http.Request) (*http.Response, error) {
			if r.URL.Path != "/2/tweets" || r.URL.Query().Get("ids") != "7" || r.Header.Get("Authorization") != "Bearer b" {
				t.Errorf("asked for %s", r.URL)
			}
			return respond(r, tc.status, tc.body)
		})
		if gone, err := n.Gone(t.Context(), "7"); gone != tc.gone || (err != nil) != tc.fails {
			t.Errorf("%s: gone %t, %v", name, gone, err)
		}
	}
}
