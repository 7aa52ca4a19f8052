package bot

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"hashtill/offers"
)

func TestTags(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                   nil,
		"#":                                  nil,
		"@shop #BuyHat please":               {"BuyHat"},
		"#a#b":                               nil,
		"#a #b":                              {"a", "b"},
		"R&#tag and &#x27;":                  nil,
		"＃シャツ と #シャツ":                        {"シャツ", "シャツ"},
		"#Crème #Crème":                      {"Crème", "Crème"},
		"see https://shop.example/a?b=#c #d": {"d"},
		"see shop.example/#c, #d":            {"d"},
		"HTTP://SHOP.EXAMPLE/#c":             nil,
		"https://shop.example/。#c":           {"c"},
		"1. #a, 2.-#b, and/or/#c":            {"a", "b", "c"},
		"#️⃣ #1 #_ #1a":                      {"1a"},
		"#a://b":                             nil,
		"bad \xff#tag \xc3":                  {"tag"},
		"#tag\x00#more":                      {"tag", "more"},
		strings.Repeat("#", 10) + "x":        {"x"},
		"quoted: “#a” (#b) '#c' *#d* – #e… ~#f": {"a", "b", "c", "d", "e", "f"},
	} {
		if got := Tags(text); !slices.Equal(got, want) {
			t.Errorf("Tags(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestTagsConformance runs twitter-text's own hashtag cases, where a folder with a copy
// of its conformance/extract.yml stands beside the checkout.
func TestTagsConformance(t *testing.T) {
	data, err := os.ReadFile("../../shared/data/twitter-text/extract.yml")
	if errors.Is(err, fs.ErrNotExist) {
		t.Log("no copy of twitter-text's conformance data stands beside the checkout: only the project's own cases were run, and not its 76")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	type span struct {
		Hashtag string
		Indices [2]int
	}
	type cases[T any] []struct {
		Description, Text string
		Expected          []T
	}
	var suite struct {
		Tests struct {
			Hashtags cases[string]
			Astral   cases[string] `yaml:"hashtags_from_astral"`
			Indices  cases[span]   `yaml:"hashtags_with_indices"`
		}
	}
	if err := yaml.Unmarshal(data, &suite); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range append(suite.Tests.Hashtags, suite.Tests.Astral...) {
		n++
		if got := Tags(c.Text); !slices.Equal(got, c.Expected) {
			t.Errorf("%s: Tags(%q) = %q, want %q", c.Description, c.Text, got, c.Expected)
		}
	}
	for _, c := range suite.Tests.Indices {
		n++
		var got []span
		for i, s := range tagSpans(c.Text) {
			runes := func(b int) int { return utf8.RuneCountInString(c.Text[:b]) }
			got = append(got, span{Tags(c.Text)[i], [2]int{runes(s[0]), runes(s[1])}})
		}
		if !slices.Equal(got, c.Expected) {
			t.Errorf("%s: in %q found %v, want %v", c.Description, c.Text, got, c.Expected)
		}
	}
	if n != 76 {
		t.Errorf("%d conformance cases, want 76", n)
	}
}

// TestTagsLinear holds the reader to its promise with texts on which a reader
// that looks back or ahead without bound would take minutes.
func TestTagsLinear(t *testing.T) {
	for _, part := range []string{"#", "#a", "#1", "a.", "a.b/", "http://", "https://a.b/#", "#a://", "é", "-", "＃"} {
		text := strings.Repeat(part, 1<<20/len(part))
		start := time.Now()
		Tags(text)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("1 MiB of %q took %s", part, took)
		}
	}
}

func FuzzTags(f *testing.F) {
	for _, seed := range []string{"@shop #BuyHat", "http://a.b/#c #d", "#️⃣＃シャツ", "&#a\xff#b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tags := Tags(text)
		for _, tag := range tags {
			if strings.ContainsFunc(tag, func(r rune) bool { return !offers.TagRune(r) }) || !strings.ContainsFunc(tag, offers.TagLetter) {
				t.Errorf("Tags(%q) has %q", text, tag)
			}
			if got := Tags("#" + tag); !strings.HasPrefix(tag, "\ufe0f") && !strings.HasPrefix(tag, "\u20e3") && !slices.Equal(got, []string{tag}) {
				t.Errorf("%q from %q reads again as %q", tag, text, got)
			}
		}
		if n := strings.Count(text, "#") + strings.Count(text, "＃"); len(tags) > n {
			t.Errorf("%d hashtags behind %d signs", len(tags), n)
		}
	})
}
