package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A rule says what the packages that it is for may import of this module. Paths
// stand without the module; "bot/..." is bot and all below it, and "self/..." is
// the package itself and all below it.
type rule struct {
	who   string
	may   []string // in production code and in tests
	tests []string // in tests besides, such as a store to stand on
	why   string   // shown with a violation
}

// rules is the picture of the house. The first rule whose who fits a package
// holds for it; a package that none fits stands in no room.
//
//	cmd ──► bot ──────► offers ──► store
//	  └───► confirm ──► offers
var rules = []rule{
	{
		who: "bot/x/xtest/...",
		may: []string{"self/..."},
		why: honestWitness,
	},
	{
		who: "confirm/stripe/stripetest/...",
		may: []string{"self/..."},
		why: honestWitness,
	},
	{
		who: "confirm/smtp/smtptest/...",
		may: []string{"self/..."},
		why: honestWitness,
	},
	{
		who: "store/redis/redistest/...",
		may: []string{"self/..."},
		why: honestWitness,
	},
	{
		who: "store/...",
		may: []string{"store/..."},
		why: "store does not know what a purchase is: it imports no other room",
	},
	{
		who:   "offers/...",
		may:   []string{"offers/...", "store"},
		tests: []string{"store/..."},
		why:   "offers stands on store alone, and on none of its back-ends",
	},
	{
		who:   "bot",
		may:   []string{"offers/..."},
		tests: []string{"store/...", "bot/x/xtest/..."},
		why:   "bot imports only offers: it knows no cards, no pages, and none of its leaves",
	},
	{
		who:   "bot/...",
		may:   []string{"bot", "self/...", "offers/..."},
		tests: []string{"store/...", "bot/networktest"},
		why:   "a leaf of bot imports bot and offers, and no other leaf",
	},
	{
		who:   "confirm/...",
		may:   []string{"confirm/...", "offers/..."},
		tests: []string{"store/..."},
		why:   "confirm imports only offers: it knows no networks",
	},
	{
		who: "cmd/...",
		may: []string{"..."},
	},
}

const honestWitness = "a stand-in imports no room, so that it is an honest witness"

// testOnly are the packages that only tests import, and the demo and the
// measurements of cmd/hashtill.
var (
	testOnly = []string{
		"bot/x/xtest/...",
		"confirm/stripe/stripetest/...",
		"confirm/smtp/smtptest/...",
		"store/storetest/...",
		"store/redis/redistest/...",
		"bot/networktest/...",
	}
	testOnlyMay = "cmd/hashtill/..."
	testOnlyWhy = "only tests, and cmd/hashtill for its demo, import it"
)

// A goPackage is what go list -json says of a package.
type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func (p *project) checkImports(ctx context.Context) (string, error) {
	listed, err := p.output(ctx, "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	if err != nil {
		return "", err
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(listed)); ; {
		var one goPackage
		if err := decoder.Decode(&one); err == io.EOF {
			break
		} else if err != nil {
			return "", fmt.Errorf("go list: %w", err)
		}
		packages = append(packages, one)
	}
	if len(packages) == 0 {
		return "", errors.New("go list finds no packages")
	}
	var complaints []error
	for _, violation := range violations(packages) {
		complaints = append(complaints, errors.New(violation))
	}
	return fmt.Sprintf("%d packages", len(packages)), errors.Join(complaints...)
}

// violations returns, as "A imports B: rule", every import that the house does
// not allow.
func violations(packages []goPackage) []string {
	var found []string
	for _, one := range packages {
		who := inModule(one.ImportPath)
		held := ruleFor(who)
		if held == nil {
			found = append(found, fmt.Sprintf("%s stands in no room: the rooms are cmd, bot, offers, confirm and store", who))
			continue
		}
		for _, imported := range one.Imports {
			if why := held.forbids(who, imported, false); why != "" {
				found = append(found, fmt.Sprintf("%s imports %s: %s", who, inModule(imported), why))
			}
		}
		tests := slices.Concat(one.TestImports, one.XTestImports)
		slices.Sort(tests)
		for _, imported := range slices.Compact(tests) {
			if why := held.forbids(who, imported, true); why != "" {
				found = append(found, fmt.Sprintf("%s imports %s in its tests: %s", who, inModule(imported), why))
			}
		}
	}
	return found
}

// ruleFor returns the rule for a package, or nil where it stands in no room.
func ruleFor(who string) *rule {
	for i := range rules {
		if covers(rules[i].who, who, who) {
			return &rules[i]
		}
	}
	return nil
}

// forbids says why who must not import a package, or "".
func (r *rule) forbids(who, imported string, inTests bool) string {
	if imported != module && !strings.HasPrefix(imported, module+"/") {
		return "" // not ours
	}
	path := inModule(imported)
	covered := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool { return covers(pattern, path, who) })
	}
	// A package of testOnly may have parts below it that use one another.
	within := func(pattern string) bool { return covers(pattern, path, who) && covers(pattern, who, who) }
	switch {
	case path == who: // its external tests
		return ""
	case covers("cmd/...", path, who) && !covers("cmd/...", who, who):
		return "nobody but cmd imports cmd"
	case !inTests && covered(testOnly) && !covers(testOnlyMay, who, who) && !slices.ContainsFunc(testOnly, within):
		return testOnlyWhy
	case covered(r.may), inTests && covered(r.tests):
		return ""
	}
	return r.why
}

// covers reports whether a pattern of a rule for who covers a path.
func covers(pattern, path, who string) bool {
	pattern = strings.Replace(pattern, "self", who, 1)
	if pattern == "..." {
		return true
	}
	prefix, subtree := strings.CutSuffix(pattern, "/...")
	return path == prefix || subtree && strings.HasPrefix(path, prefix+"/")
}

// inModule returns an import path without the module.
func inModule(path string) string { return strings.TrimPrefix(path, module+"/") }
