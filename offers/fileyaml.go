package offers

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ReadYAML reads a catalogue file in YAML, a list of offers. Its error is a [*Faults] that
// tells every fault of the file, and then nothing is returned.
//
//   - tag: BuyTee               # the hashtag
//     tags: [KaufTee, ティー]    # others that mean it too
//     title: Tour T-shirt
//     seller: Example Records
//     price: 149.99             # of one
//     currency: USD
//     prices: {EUR: 139, JPY: 20000}   # of one, in other currencies
//     delivery: {USD: 8, EUR: 5}       # of a purchase; one amount is in currency; free in others
//     stock: 500                # or, where there is a choice, variants: {M black: 10, L black: 5};
//     # unlimited or neither: it cannot sell out
//     aliases: {M black: [M noir, M negro]}   # other names of variants
//     per_buyer: 2              # units; 1 if left out
//     hold: echo                # units are held at the wish, the echo (repost) or the click; wish if left out
//     waitlist: true            # who comes when it is sold out may wait for a unit
//     zone: Europe/Paris        # by whose clocks times without an offset are; UTC if left out
//     opens: 2026-11-21 20:00
//     closes: 2026-11-21T23:00:00Z
//     countries: [FR, BE]       # that it is sold to; everywhere if left out
//     terms: Ships within a week. Returns within 14 days.
//     picture: https://example.com/tee.jpg
//     seller_address: 12 rue des Lilas, 69003 Lyon, France   # for the receipt
//     seller_tax_number: FR40123456824
//     tax_percent: 20           # up to three decimals
//     tax_added: true           # it comes on top of price and delivery; else they include it
//     digital: false            # true: nothing is shipped
//     withdrawal_days: 14       # to withdraw in (see [Purchase.WithdrawalEnds]), 14 if left out; 0: no such right
//     merchant: example         # whose offer it is, where merchants have a part of the shop
func ReadYAML(r io.Reader) ([]Offer, error) {
	f, err := ReadFile(r, YAML)
	if err != nil {
		return nil, err
	}
	return f.Offers, nil
}

// readYAML takes each offer of a file.
func readYAML(text []byte, faults *Faults, take func(*entry)) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	err := d.Decode(&doc)
	if err == io.EOF {
		return
	}
	if err == nil {
		readYAMLList(doc.Content[0], faults, take)
		var more yaml.Node
		if err = d.Decode(&more); err == nil {
			faults.add(place{more.Line, more.Column}, "", "", "more than one document")
		}
	}
	if err == nil || err == io.EOF {
		return
	}
	// The library stops at the first thing that is no YAML. What begins on the left margin
	// is an offer, and can be read alone.
	found := len(faults.Told)
	for at, part := range yamlParts(text) {
		readYAMLPart(part, at, faults, take)
	}
	if len(faults.Told) == found {
		tellSyntax(err, text, 0, faults)
	}
}

// yamlParts are the offers of a file that cannot be read whole, each with the number of
// lines before it.
func yamlParts(text []byte) func(yield func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		begins, before, line := 0, 0, 0
		for at := 0; at < len(text); line++ {
			if rest := text[at:]; at > begins && rest[0] == '-' && (len(rest) == 1 || rest[1] == ' ' || rest[1] == '\n' || rest[1] == '\r') {
				if !yield(before, text[begins:at]) {
					return
				}
				begins, before = at, line
			}
			end := bytes.IndexByte(text[at:], '\n')
			if end < 0 {
				break
			}
			at += end + 1
		}
		yield(before, text[begins:])
	}
}

// readYAMLPart takes what a part of a file has, which begins after so many lines.
func readYAMLPart(part []byte, before int, faults *Faults, take func(*entry)) {
	var doc yaml.Node
	err := yaml.Unmarshal(part, &doc)
	if err != nil {
		if !strings.Contains(err.Error(), "unknown anchor") { // it may stand in another part
			tellSyntax(err, part, before, faults)
		}
		return
	}
	if len(doc.Content) == 0 {
		return
	}
	moveDown(&doc, before)
	readYAMLList(doc.Content[0], faults, take)
}

// moveDown has a part stand below so many lines.
func moveDown(n *yaml.Node, lines int) {
	n.Line += lines
	for _, c := range n.Content {
		moveDown(c, lines)
	}
}

var syntax = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// tellSyntax tells what the library has found: it names the line at best, or the one before.
func tellSyntax(err error, text []byte, before int, faults *Faults) {
	line, what := 1, err.Error()
	if m := syntax.FindStringSubmatch(what); m != nil {
		what = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	lines := bytes.Split(text, []byte("\n"))
	line = min(line, len(lines))
	there := lines[line-1]
	column := len(there) - len(bytes.TrimLeft(there, " \t-")) + 1
	faults.add(place{before + line, column}, "", "", "this is no YAML, here or in the line below: "+what)
}

func readYAMLList(top *yaml.Node, faults *Faults, take func(*entry)) {
	at := place{top.Line, top.Column}
	if top = whole(top); isNull(top) {
		return
	}
	if top.Kind != yaml.SequenceNode {
		faults.add(at, "", "", "the file wants another kind of value: a list of offers, each begins with - tag:")
		return
	}
	for _, n := range top.Content {
		r := yamlReader{faults: faults, entry: newEntry(place{n.Line, n.Column})}
		if r.read(n) {
			take(r.entry)
		}
	}
}

// A yamlReader reads an offer.
type yamlReader struct {
	faults *Faults
	entry  *entry
	seen   map[string]bool
	keys   int
}

func (r *yamlReader) bad(n *yaml.Node, field, what string) {
	r.faults.add(place{n.Line, n.Column}, r.entry.single["tag"].text, field, what)
	r.entry.told[field] = true
}

func (r *yamlReader) read(n *yaml.Node) bool {
	at := n
	if n = whole(n); n.Kind != yaml.MappingNode {
		r.bad(at, "", "an offer is wanted: keys and their values")
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 { // first, so that what is told names the offer
		if n.Content[i].Value == "tag" && whole(n.Content[i+1]).Kind == yaml.ScalarNode {
			r.single("tag", aWord, n.Content[i+1])
		}
	}
	r.seen = map[string]bool{}
	r.members(n, 0)
	return true
}

// members reads the keys of a mapping, and then of those that it merges ("<<") such as it
// does not have itself.
func (r *yamlReader) members(n *yaml.Node, depth int) {
	own := map[string]bool{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if r.keys++; r.keys > maxItems {
			if r.keys == maxItems+1 {
				r.bad(key, "", fmt.Sprintf("more than %d keys", maxItems))
			}
			return
		}
		switch {
		case key.Kind == yaml.ScalarNode && key.Tag == "!!merge":
			if value = whole(value); value.Kind == yaml.SequenceNode {
				merged = append(merged, value.Content...)
			} else {
				merged = append(merged, value)
			}
		case key.Kind != yaml.ScalarNode:
			r.bad(key, "", "a key is wanted, such as title")
		case own[key.Value]:
			r.bad(key, key.Value, "is there twice")
		case !r.seen[key.Value]:
			own[key.Value], r.seen[key.Value] = true, true
			r.key(key, value)
		}
	}
	for _, m := range merged {
		if to := whole(m); to.Kind != yaml.MappingNode || depth > 8 {
			r.bad(m, "<<", "wants another kind of value: an offer with an anchor")
		} else {
			r.members(to, depth+1)
		}
	}
}

func (r *yamlReader) key(key, value *yaml.Node) {
	if isNull(whole(value)) {
		return // left out
	}
	for _, k := range fileKeys {
		if k.name != key.Value {
			continue
		}
		switch {
		case k.kind <= aFlag:
			r.single(k.name, k.kind, value)
		case k.kind == aList:
			r.each(k.name, value, func(c cell) { r.entry.lists[k.name] = append(r.entry.lists[k.name], c) })
		case k.name == "delivery" && whole(value).Kind == yaml.ScalarNode:
			r.entry.named[k.name] = []namedCell{{value: cell{whole(value).Value, place{value.Line, value.Column}}}}
		default:
			r.mapping(k.name, k.kind, value)
		}
		return
	}
	r.bad(key, "", fmt.Sprintf("unknown key %q", key.Value))
}

func (r *yamlReader) single(key string, kind keyKind, n *yaml.Node) {
	c := cell{whole(n).Value, place{n.Line, n.Column}}
	ok := whole(n).Kind == yaml.ScalarNode
	switch {
	case kind == aNumber && c.text != unlimited:
		if _, err := strconv.Atoi(c.text); err != nil { // YAML has more ways to write one
			var v int
			ok = ok && n.Decode(&v) == nil
			c.text = strconv.Itoa(v)
		}
	case kind == aFlag:
		var v bool
		ok = ok && n.Decode(&v) == nil
		c.text = strconv.FormatBool(v)
	}
	if !ok {
		r.bad(n, key, "this key wants another kind of value")
		return
	}
	r.entry.single[key] = c
}

// each gives the items of a list; one alone is as good as a list of one.
func (r *yamlReader) each(key string, list *yaml.Node, do func(cell)) {
	items := []*yaml.Node{list}
	if n := whole(list); n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	if len(items) > maxItems {
		r.bad(items[maxItems], key, fmt.Sprintf("more than %d", maxItems))
		return
	}
	for _, item := range items {
		if n := whole(item); n.Kind != yaml.ScalarNode || isNull(n) {
			r.bad(item, key, "this key wants another kind of value: a list of texts")
		} else {
			do(cell{n.Value, place{item.Line, item.Column}})
		}
	}
}

func (r *yamlReader) mapping(key string, kind keyKind, value *yaml.Node) {
	n := whole(value)
	if n.Kind != yaml.MappingNode {
		r.bad(value, key, "this key wants another kind of value: names, and what each has")
		return
	}
	if len(n.Content) > 2*maxItems {
		r.bad(n.Content[2*maxItems], key, fmt.Sprintf("more than %d", maxItems))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		called, value := n.Content[i], n.Content[i+1]
		name := cell{whole(called).Value, place{called.Line, called.Column}}
		add := func(c cell) { r.entry.named[key] = append(r.entry.named[key], namedCell{name, c}) }
		switch to := whole(value); {
		case whole(called).Kind != yaml.ScalarNode:
			r.bad(called, key, "a name is wanted")
		case kind == listsByName:
			r.each(key, value, add)
		case to.Kind != yaml.ScalarNode || isNull(to):
			r.bad(value, key, fmt.Sprintf("%q wants another kind of value", name.text))
		case key == "variants" && to.Value != unlimited:
			var units int
			if err := to.Decode(&units); err != nil {
				r.bad(value, key, fmt.Sprintf("%q wants another kind of value: a number of units, or %s", name.text, unlimited))
				break
			}
			add(cell{strconv.Itoa(units), place{value.Line, value.Column}})
		default:
			add(cell{to.Value, place{value.Line, value.Column}})
		}
	}
}

// whole is a node, or what it is an alias of.
func whole(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// writeYAML writes offers as [ReadYAML] reads them.
func writeYAML(w io.Writer, all []Offer) error {
	for _, o := range all {
		text, err := yaml.Marshal(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{yamlOf(o)}})
		if err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		_, err := io.WriteString(w, "[]\n")
		return err
	}
	return nil
}

func yamlOf(o Offer) *yaml.Node {
	e := entryOf(o)
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, k := range fileKeys {
		var value *yaml.Node
		switch {
		case k.kind <= aFlag:
			c, ok := e.single[k.name]
			if !ok {
				continue
			}
			value = text(c.text)
			switch {
			case k.kind != aWord || k.name == "price" || k.name == "tax_percent":
				value = plain(c.text)
			case k.name == "opens" || k.name == "closes":
				value = plain(c.text)
			}
		case k.kind == aList:
			if value = texts(e.lists[k.name]); len(value.Content) == 0 {
				continue
			}
		default:
			if value = mappingOf(e.named[k.name], k.kind == listsByName); len(value.Content) == 0 {
				continue
			}
		}
		n.Content = append(n.Content, text(k.name), value)
	}
	return n
}

func mappingOf(all []namedCell, several bool) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for i := 0; i < len(all); i++ {
		value := plain(all[i].value.text)
		name := all[i].name
		if several {
			var group []cell
			for ; i < len(all) && all[i].name.text == name.text; i++ {
				group = append(group, all[i].value)
			}
			i--
			value = texts(group)
		}
		n.Content = append(n.Content, text(name.text), value)
	}
	return n
}

func texts(all []cell) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, c := range all {
		n.Content = append(n.Content, text(c.text))
	}
	return n
}

// text is quoted where it would be read as something else.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.ContainsAny(s, "\n\u2028\u2029\u0085") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// plain is a number, a time or a word of the file's own.
func plain(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }
