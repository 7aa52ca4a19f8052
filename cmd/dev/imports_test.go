package main

import (
	"slices"
	"strings"
	"testing"
)

// house is a small Hashtill that breaks no rule and uses every permission.
func house() []goPackage {
	ours := func(paths ...string) (full []string) {
		for _, path := range paths {
			full = append(full, module+"/"+path)
		}
		return append(full, "fmt", "example.test/hashtillish")
	}
	return []goPackage{
		{ImportPath: "hashtill/store", XTestImports: ours("store", "store/storetest")},
		{ImportPath: "hashtill/store/storetest", Imports: ours("store")},
		{ImportPath: "hashtill/store/redis", Imports: ours("store"), TestImports: ours("store/storetest")},
		{ImportPath: "hashtill/offers", Imports: ours("store", "offers/words"), TestImports: ours("store/sqlite")},
		{ImportPath: "hashtill/offers/words"},
		{ImportPath: "hashtill/bot", Imports: ours("offers", "offers/words"), TestImports: ours("store", "bot/x/xtest")},
		{ImportPath: "hashtill/bot/x", Imports: ours("bot", "offers", "bot/x/oauth"), TestImports: ours("bot/x/xtest")},
		{ImportPath: "hashtill/bot/x/oauth"},
		{ImportPath: "hashtill/bot/x/xtest", Imports: ours("bot/x/xtest/page"), XTestImports: ours("bot/x/xtest")},
		{ImportPath: "hashtill/confirm", Imports: ours("offers"), TestImports: ours("confirm/stripe/stripetest", "confirm/smtp/smtptest")},
		{ImportPath: "hashtill/confirm/stripe", Imports: ours("confirm", "offers")},
		{ImportPath: "hashtill/confirm/stripe/stripetest"},
		{ImportPath: "hashtill/confirm/smtp/smtptest"},
		{ImportPath: "hashtill/cmd/dev"},
		{ImportPath: "hashtill/cmd/hashtill", Imports: ours("store", "offers", "bot", "bot/x", "confirm", "bot/x/xtest", "confirm/smtp/smtptest")},
		{ImportPath: "hashtill/cmd/hashtill/demo", Imports: ours("cmd/hashtill/demo/page", "confirm/stripe/stripetest")},
	}
}

func TestHouseBreaksNoRule(t *testing.T) {
	if found := violations(house()); len(found) != 0 {
		t.Errorf("violations:\n%s", strings.Join(found, "\n"))
	}
}

func TestEachRuleCatches(t *testing.T) {
	caught := make(map[string]bool) // by the why of a rule
	for _, test := range []struct {
		who, imports string
		tests        bool // in its tests
		rule         string
	}{
		{"store", "offers", false, "store does not know"},
		{"store", "offers", true, "store does not know"},
		{"store/sqlite", "bot", false, "store does not know"},
		{"store", "confirm/smtp/smtptest", true, "store does not know"},

		{"offers", "bot", false, "offers stands on store alone"},
		{"offers", "confirm", false, "offers stands on store alone"},
		{"offers", "store/sqlite", false, "offers stands on store alone"},
		{"offers/words", "confirm", true, "offers stands on store alone"},

		{"bot", "confirm", false, "bot imports only offers"},
		{"bot", "store", false, "bot imports only offers"},
		{"bot", "bot/x", false, "bot imports only offers"},
		{"bot", "bot/x", true, "bot imports only offers"},
		{"bot", "confirm/stripe", true, "bot imports only offers"},
		{"bot/x", "store", false, "a leaf of bot"},
		{"bot/x", "confirm", false, "a leaf of bot"},
		{"bot/mastodon", "bot/x", false, "a leaf of bot"},
		{"bot/x", "confirm/smtp/smtptest", true, "a leaf of bot"},

		{"confirm", "bot", false, "confirm imports only offers"},
		{"confirm", "store", false, "confirm imports only offers"},
		{"confirm/stripe", "store", false, "confirm imports only offers"},
		{"confirm/stripe", "bot/x", true, "confirm imports only offers"},

		{"bot/x/xtest", "bot/x", false, honestWitness},
		{"bot/x/xtest", "bot", true, honestWitness},
		{"bot/x/xtest", "store", true, honestWitness},
		{"confirm/stripe/stripetest", "confirm", false, honestWitness},
		{"confirm/stripe/stripetest", "offers", true, honestWitness},
		{"confirm/smtp/smtptest", "offers", false, honestWitness},
		{"confirm/smtp/smtptest", "confirm/smtp", true, honestWitness},
		{"store/redis/redistest", "store", false, honestWitness},

		{"bot", "cmd/hashtill", false, "nobody but cmd"},
		{"store", "cmd/dev", true, "nobody but cmd"},
		{"bot/x/xtest", "cmd/hashtill", false, "nobody but cmd"},

		{"bot/x", "bot/x/xtest", false, "only tests"},
		{"confirm/stripe", "confirm/stripe/stripetest", false, "only tests"},
		{"confirm/smtp", "confirm/smtp/smtptest", false, "only tests"},
		{"store/redis", "store/storetest", false, "only tests"},
		{"store/redis", "store/redis/redistest", false, "only tests"},
		{"cmd/dev", "bot/x/xtest", false, "only tests"},
		{"bot/x/xtest", "confirm/smtp/smtptest", false, "only tests"},
	} {
		path, imported := module+"/"+test.who, []string{"fmt", module + "/" + test.imports}
		where, breaches := "", []goPackage{{ImportPath: path, Imports: imported}}
		if test.tests {
			where = " in its tests"
			breaches = []goPackage{
				{ImportPath: path, TestImports: imported},
				{ImportPath: path, XTestImports: imported},
				{ImportPath: path, TestImports: imported, XTestImports: imported}, // told once
			}
		}
		want := test.who + " imports " + test.imports + where + ": " + test.rule
		for _, breach := range breaches {
			found := violations(append(house(), breach))
			if len(found) != 1 || !strings.HasPrefix(found[0], want) {
				t.Errorf("found %q, want one that begins %q", found, want)
				continue
			}
			for _, r := range rules {
				if r.why != "" && strings.HasSuffix(found[0], ": "+r.why) && covers(r.who, test.who, test.who) {
					caught[r.who] = true
				}
			}
		}
	}
	for _, r := range rules {
		if r.why != "" && !caught[r.who] {
			t.Errorf("no case shows that the rule for %s catches anything", r.who)
		}
	}
}

func TestStrangersStandInNoRoom(t *testing.T) {
	for _, path := range []string{"internal/util", "storehouse", "bots/x"} {
		found := violations([]goPackage{{ImportPath: module + "/" + path}})
		if len(found) != 1 || !strings.HasPrefix(found[0], path+" stands in no room") {
			t.Errorf("%s: %q", path, found)
		}
	}
	from := goPackage{ImportPath: "hashtill/bot", Imports: []string{"hashtill/internal/util"}}
	if found := violations([]goPackage{from}); !slices.ContainsFunc(found, func(v string) bool {
		return strings.HasPrefix(v, "bot imports internal/util: ")
	}) {
		t.Errorf("%q", found)
	}
}
