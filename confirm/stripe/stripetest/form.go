package stripetest

import (
	"cmp"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// form holds the parameters of a request in Stripe's bracket syntax, such as
// metadata[order]=7 and payment_method_types[0]=card.
type form url.Values

const maxBody = 1 << 20

// parseForm reads the parameters: from the query of a GET or DELETE, and from
// the form-encoded body.
func parseForm(r *http.Request) (form, *apiError) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, invalid("", "The request body could not be read.")
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); len(body) > 0 && kind != "application/x-www-form-urlencoded" {
		return nil, invalid("", "Requests must be form-encoded: the content type %q is not supported.", kind)
	}
	values, err := url.ParseQuery(string(body))
	if err == nil && r.Method != http.MethodPost {
		for k, v := range r.URL.Query() {
			values[k] = append(values[k], v...)
		}
	}
	if err != nil {
		return nil, invalid("", "Invalid request body: it is not form-encoded.")
	}
	return form(values), nil
}

var index = regexp.MustCompile(`\[\d*\]`)

// unknown names a parameter that is not accepted, or returns "". Accepted are
// exact names; "name[]", with any index; and "name[*]", with anything below
// name, or name itself with the empty value that unsets it. Everything accepts
// expand[].
func (f form) unknown(accepted []string) string {
	accepted = append([]string{"expand[]"}, accepted...)
	for _, name := range f.names() {
		plain := index.ReplaceAllString(name, "[]")
		ok := slices.ContainsFunc(accepted, func(a string) bool {
			if whole, deep := strings.CutSuffix(a, "[*]"); deep {
				return strings.HasPrefix(plain, whole+"[") || plain == whole && f.get(name) == ""
			}
			return plain == a
		})
		if !ok {
			return name
		}
	}
	return ""
}

// names returns the parameters in a fixed order.
func (f form) names() []string {
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (f form) get(name string) string {
	if v := f[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

func (f form) has(name string) bool { return len(f[name]) > 0 }

// required returns a parameter that must be there and not be empty.
func (f form) required(name string) (string, *apiError) {
	switch v := f.get(name); {
	case !f.has(name):
		return "", missing(name)
	case v == "":
		e := invalid(name, "You passed an empty string for '%s'. We assume empty values are an attempt to unset a parameter; however '%s' cannot be unset.", name, name)
		e.code = "parameter_invalid_empty"
		return "", e
	default:
		return v, nil
	}
}

// integer reads a number in [low, high].
func (f form) integer(name string, low, high int64) (int64, *apiError) {
	v := f.get(name)
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < low || n > high {
		e := invalid(name, "Invalid integer: %s", v)
		if err == nil {
			e.message = "This value must be between " + strconv.FormatInt(low, 10) + " and " + strconv.FormatInt(high, 10) + "."
		}
		e.code = "parameter_invalid_integer"
		return 0, e
	}
	return n, nil
}

// boolean reads true or false; absent is false.
func (f form) boolean(name string) (bool, *apiError) {
	switch v := f.get(name); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, invalid(name, "Invalid boolean: %s", v)
	}
}

// oneOf reads a parameter that takes few values; absent is "".
func (f form) oneOf(name string, values ...string) (string, *apiError) {
	v := f.get(name)
	if v == "" || slices.Contains(values, v) {
		return v, nil
	}
	return "", invalid(name, "Invalid %s: must be one of %s", name, strings.Join(values, ", "))
}

// list reads name[]=a&name[]=b or name[0]=a&name[1]=b; nil if there is none.
func (f form) list(name string) []string {
	type item struct {
		at    int
		value string
	}
	var items []item
	for _, k := range f.names() {
		rest, ok := strings.CutPrefix(k, name+"[")
		if !ok {
			continue
		}
		at, _ := strconv.Atoi(strings.TrimSuffix(rest, "]")) // "" is 0
		for _, v := range f[k] {
			items = append(items, item{at, v})
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(a.at, b.at) })
	var values []string
	for _, it := range items {
		values = append(values, it.value)
	}
	return values
}

// tree reads everything below name as nested objects; nil if there is nothing.
func (f form) tree(name string) object {
	root := object{}
	for _, k := range f.names() {
		rest, ok := strings.CutPrefix(k, name+"[")
		if !ok || f.get(k) == "" {
			continue
		}
		path := strings.Split(strings.TrimSuffix(rest, "]"), "][")
		at := root
		for _, step := range path[:len(path)-1] {
			below, ok := at[step].(object)
			if !ok {
				below = object{}
				at[step] = below
			}
			at = below
		}
		at[path[len(path)-1]] = f.get(k)
	}
	if len(root) == 0 {
		return nil
	}
	return root
}

// metadata applies the request's metadata to old and returns the result: keys
// are merged, an empty value removes its key, an empty hash removes all. At
// most 50 keys of 40 characters with values of 500
// (docs.stripe.com/api/metadata).
func (f form) metadata(old map[string]string) (map[string]string, *apiError) {
	merged := map[string]string{}
	if !f.has("metadata") {
		for k, v := range old {
			merged[k] = v
		}
	}
	for name := range f {
		key, ok := strings.CutPrefix(name, "metadata[")
		if !ok {
			continue
		}
		key, value := strings.TrimSuffix(key, "]"), f.get(name)
		switch {
		case strings.ContainsAny(key, "[]"):
			return nil, invalid("metadata", "Metadata keys may not contain square brackets, and values must be strings.")
		case len([]rune(key)) > 40 || key == "":
			return nil, invalid("metadata", "Metadata keys must have 1 to 40 characters.")
		case len([]rune(value)) > 500:
			return nil, invalid("metadata["+key+"]", "Metadata values can have up to 500 characters.")
		case value == "":
			delete(merged, key)
		default:
			merged[key] = value
		}
	}
	if len(merged) > 50 {
		return nil, invalid("metadata", "Metadata can have up to 50 keys.")
	}
	return merged, nil
}
