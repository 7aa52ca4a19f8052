package offers

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// csvColumns are the columns of a catalogue file in CSV, in the order in which they are
// written. Those of the variant come last: in them the rows of an offer differ.
var csvColumns = func() (all []string) {
	for _, k := range fileKeys {
		if !slices.Contains([]string{"stock", "variants", "aliases"}, k.name) {
			all = append(all, k.name)
		}
	}
	return append(all, "variant", "stock", "aliases")
}()

// Columns without which nothing can be sold.
var csvNeeded = []string{"tag", "title", "seller", "price", "currency"}

const maxCell = 16 << 10 // bytes

// ReadCSV reads a catalogue file in CSV, as spreadsheets save it: UTF-8, with commas,
// semicolons or tabs, as the header has them. Its error is a [*Faults] that tells every
// fault of the file, and then nothing is returned.
//
// The header names the columns, in any order. They are the keys that YAML has (see
// [ReadYAML]), but for variants: each variant has a row of its own, and there the columns
// variant, stock and aliases. In all else the rows of an offer (those with its tag, wherever
// they stand) say the same, or nothing below the first. Cells with several values have "|"
// between them, and "\|" for one that is meant: tags "KaufTee|ティー", countries "FR|BE",
// prices and delivery "139.00 EUR|20000 JPY". Where there is a column stock, each row needs
// a number or "unlimited". Flags are true or false, yes or no, as spreadsheets in English and
// French have them. Where no comma divides cells, amounts may have a decimal one: "149,99".
//
// A cell that begins with =, +, - or @ would be a formula for a spreadsheet. It is written
// with an apostrophe before it, and read without.
func ReadCSV(r io.Reader) ([]Offer, error) {
	f, err := ReadFile(r, CSV)
	if err != nil {
		return nil, err
	}
	return f.Offers, nil
}

// A csvTable is read row by row.
type csvTable struct {
	faults  *Faults
	rows    *csv.Reader
	columns []string // "": not known, passed over
	comma   rune     // what divides cells
	offers  map[string]*csvOffer
	inOrder []*csvOffer
}

// A csvOffer has the rows of an offer: the cells that are not empty, by their columns.
type csvOffer struct {
	tag  string
	rows []csvRow
}

type csvRow struct {
	at     place
	cells  map[string]cell
	broken []string // columns whose cells cannot be read, which is told
}

// readCSV takes each offer of a file. Columns of places are in bytes, see [Faults.inCharacters].
func readCSV(text []byte, faults *Faults, take func(*entry)) {
	text = bytes.TrimPrefix(text, []byte(byteOrderMark))
	t := csvTable{faults: faults, rows: csv.NewReader(bytes.NewReader(text)), comma: dividedBy(text), offers: map[string]*csvOffer{}}
	t.rows.Comma, t.rows.FieldsPerRecord, t.rows.ReuseRecord = t.comma, -1, true
	head, _ := t.next()
	missing := t.header(head)
	if len(missing) > 0 {
		faults.add(place{1, 1}, "", "", "the header has no column "+strings.Join(missing, ", "))
	}
	for {
		cells, ok := t.next()
		if !ok {
			break
		}
		t.row(cells)
	}
	for _, o := range t.inOrder {
		e := t.entry(o)
		for _, name := range missing {
			e.told[name] = true
		}
		take(e)
	}
}

const byteOrderMark = "\ufeff"

// dividedBy is what stands between the names of the header.
func dividedBy(text []byte) rune {
	header, _, _ := bytes.Cut(text, []byte("\n"))
	if i := bytes.IndexAny(header, ",;\t"); i >= 0 {
		return rune(header[i])
	}
	return ','
}

// next is the next row that can be read; what cannot is told.
func (t *csvTable) next() (cells []string, ok bool) {
	for {
		cells, err := t.rows.Read()
		var wrong *csv.ParseError
		switch {
		case err == nil:
			return cells, true
		case !errors.As(err, &wrong):
			return nil, false // the end
		case errors.Is(err, csv.ErrQuote):
			t.faults.add(place{wrong.Line, wrong.Column}, "", "", `a " is not closed, or has no second one after it`)
		default:
			t.faults.add(place{wrong.Line, wrong.Column}, "", "", `a " stands in a cell that does not begin with one`)
		}
	}
}

func (t *csvTable) place(column int) place {
	line, at := t.rows.FieldPos(column)
	return place{line, at}
}

func (t *csvTable) header(names []string) (missing []string) {
	for i, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		switch {
		case name == "" && strings.Join(names[i:], "") == "": // the empty rest of the sheet
			t.columns = append(t.columns, "")
			continue
		case !slices.Contains(csvColumns, name):
			t.faults.add(t.place(i), "", "", fmt.Sprintf("unknown column %q; there are %s", name, strings.Join(csvColumns, ", ")))
			name = ""
		case slices.Contains(t.columns, name):
			t.faults.add(t.place(i), "", name, "this column is there twice")
			name = ""
		}
		t.columns = append(t.columns, name)
	}
	for _, name := range csvNeeded {
		if !slices.Contains(t.columns, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// row keeps a row with those of its offer.
func (t *csvTable) row(cells []string) {
	row := csvRow{at: t.place(0), cells: map[string]cell{}}
	tag := "" // of what is told
	if i := slices.Index(t.columns, "tag"); i >= 0 && i < len(cells) {
		tag = strings.ToValidUTF8(unguarded(strings.TrimSpace(cells[i])), "\ufffd")
	}
	empty := true
	for i, text := range cells {
		if text = unguarded(strings.TrimSpace(text)); text == "" {
			continue
		}
		empty = false
		c := cell{strings.Clone(text), t.place(i)}
		switch {
		case i >= len(t.columns):
			t.faults.add(c.at, tag, "", fmt.Sprintf("the row has %d cells and the header %d: is a cell with %q in it without quotes?", len(cells), len(t.columns), t.comma))
			return
		case len(text) > maxCell:
			t.faults.add(c.at, tag, t.columns[i], fmt.Sprintf("longer than %d bytes", maxCell))
			row.broken = append(row.broken, t.columns[i])
		case !utf8.ValidString(text):
			t.faults.add(c.at, tag, t.columns[i], "is not UTF-8: save the sheet as CSV UTF-8")
			row.broken = append(row.broken, t.columns[i])
		case t.columns[i] != "":
			row.cells[t.columns[i]] = c
		}
	}
	if empty {
		return
	}
	o := t.offers[TagKey(tag)]
	if o == nil {
		o = &csvOffer{tag: tag}
		t.inOrder = append(t.inOrder, o)
		if tag != "" {
			t.offers[TagKey(tag)] = o
		}
	}
	o.rows = append(o.rows, row)
}

// decimalComma is an amount in a file in which commas are free. With three digits behind
// it a comma might divide thousands.
var decimalComma = regexp.MustCompile(`^[0-9]+,[0-9]{1,2}$`)

// entry is what the rows of an offer say.
func (t *csvTable) entry(o *csvOffer) *entry {
	first := o.rows[0]
	e := newEntry(first.at)
	bad := func(at place, field, what string) { t.faults.add(at, o.tag, field, what) }
	for _, field := range first.broken {
		e.told[field] = true
	}
	more := slices.DeleteFunc(slices.Clone(o.rows[1:]), func(row csvRow) bool {
		if _, is := row.cells["variant"]; is || slices.Contains(row.broken, "variant") {
			return false
		}
		bad(row.cells["tag"].at, "tag", fmt.Sprintf("is in line %d too, and of the rows of an offer each has a variant", first.at.line))
		return true
	})
	o.rows = append(o.rows[:1], more...)
	amount := func(c cell) cell {
		if t.comma != ',' && decimalComma.MatchString(c.text) {
			c.text = strings.Replace(c.text, ",", ".", 1)
		}
		return c
	}
	for _, k := range fileKeys {
		c, ok := first.cells[k.name]
		for _, row := range more {
			if also, is := row.cells[k.name]; is && also.text != c.text && slices.Contains(csvColumns[:len(csvColumns)-3], k.name) {
				bad(also.at, k.name, fmt.Sprintf("is not what the first row of the offer says, in line %d", first.at.line))
			}
		}
		if !ok || k.name == "stock" || k.name == "aliases" {
			continue
		}
		switch k.kind {
		case aFlag:
			if c.text, ok = csvFlag(c.text); !ok {
				bad(c.at, k.name, "want true or false")
				continue
			}
			e.single[k.name] = c
		case aList:
			for _, item := range split(c.text) {
				e.lists[k.name] = append(e.lists[k.name], cell{item, c.at})
			}
		case aMapping:
			for _, item := range split(c.text) {
				words := strings.Fields(item)
				if len(words) != 2 && (len(words) != 1 || k.name != "delivery") {
					bad(c.at, k.name, fmt.Sprintf("%q: want an amount and its currency, such as 139.00 EUR", item))
					continue
				}
				n := namedCell{value: amount(cell{words[0], c.at})}
				if len(words) == 2 {
					n.name = cell{words[1], c.at}
				}
				e.named[k.name] = append(e.named[k.name], n)
			}
		default:
			if k.name == "price" || k.name == "tax_percent" {
				c = amount(c)
			}
			e.single[k.name] = c
		}
	}
	t.variants(e, o, bad)
	return e
}

// variants says what the rows of an offer say of its variants.
func (t *csvTable) variants(e *entry, o *csvOffer, bad func(at place, field, what string)) {
	counted := slices.Contains(t.columns, "stock")
	for _, row := range o.rows {
		name, is := row.cells["variant"]
		units, ok := row.cells["stock"]
		units.text = strings.ToLower(units.text)
		if !ok && (counted || is) {
			bad(row.at, "stock", "want a number of units, or "+unlimited)
			units = cell{unlimited, row.at} // to go on with
		}
		alone := !is && len(o.rows) == 1
		switch {
		case alone && (ok || counted):
			e.single["stock"] = units
		case alone: // nothing is said of stock
		case is:
			e.named["variants"] = append(e.named["variants"], namedCell{name, units})
		default:
			bad(row.at, "variant", "an offer of several rows has one for each variant")
			name = cell{strconv.Itoa(row.at.line), row.at}
		}
		if aliases, ok := row.cells["aliases"]; ok && is {
			for _, alias := range split(aliases.text) {
				e.named["aliases"] = append(e.named["aliases"], namedCell{name, cell{alias, aliases.at}})
			}
		} else if ok {
			bad(aliases.at, "aliases", "are of a variant: the row has none")
		}
	}
}

// csvFlag reads a flag as spreadsheets and people write it.
func csvFlag(s string) (text string, ok bool) {
	switch strings.ToLower(s) {
	case "true", "yes", "1", "vrai", "oui":
		return "true", true
	case "false", "no", "0", "faux", "non":
		return "false", true
	}
	return "", false
}

// split reads a cell with several values.
func split(s string) (all []string) {
	var item strings.Builder
	end := 0 // of the item, without the spaces behind it
	escaped := false
	finish := func() {
		if text := item.String()[:end]; text != "" {
			all = append(all, text)
		}
		item.Reset()
		end = 0
	}
	for _, r := range s {
		switch {
		case escaped:
			item.WriteRune(r)
			end, escaped = item.Len(), false
		case r == '\\':
			escaped = true
		case r == '|':
			finish()
		case r == ' ' && item.Len() == 0:
		default:
			item.WriteRune(r)
			if r != ' ' {
				end = item.Len()
			}
		}
	}
	if escaped {
		item.WriteByte('\\')
		end = item.Len()
	}
	finish()
	return all
}

// join writes values as [split] reads them.
func join(all []string) string {
	var b strings.Builder
	for i, s := range all {
		if i > 0 {
			b.WriteByte('|')
		}
		for at, r := range s {
			if r == '|' || r == '\\' || r == ' ' && (at == 0 || at == len(s)-1) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

// formulas begin with these for one spreadsheet or another
// (https://owasp.org/www-community/attacks/CSV_Injection). Guarded and unguarded count
// apostrophes, so that text that begins with one comes back too.
var formula = regexp.MustCompile(`^'*[=+\-@\t\r＝＋－＠]`)

// Guarded is a text as a cell of a file that no spreadsheet takes for a formula.
func Guarded(s string) string {
	if formula.MatchString(s) {
		return "'" + s
	}
	return s
}

func unguarded(s string) string {
	if s != "" && s[0] == '\'' && formula.MatchString(s) {
		return s[1:]
	}
	return s
}

// writeCSV writes offers as [ReadCSV] reads them, with the mark by which a spreadsheet
// knows UTF-8.
func writeCSV(w io.Writer, all []Offer) error {
	if _, err := io.WriteString(w, byteOrderMark); err != nil {
		return err
	}
	out := csv.NewWriter(w)
	if err := out.Write(csvColumns); err != nil {
		return err
	}
	for _, o := range all {
		e := entryOf(o)
		row := make([]string, len(csvColumns))
		put := func(column, text string) { row[slices.Index(csvColumns, column)] = Guarded(text) }
		for _, k := range fileKeys {
			switch k.kind {
			case aList:
				put(k.name, join(texted(e.lists[k.name])))
			case aMapping:
				if k.name == "variants" {
					continue
				}
				var amounts []string
				for _, n := range e.named[k.name] {
					amounts = append(amounts, n.value.text+" "+n.name.text)
				}
				put(k.name, join(amounts))
			case listsByName: // of each variant
			default:
				put(k.name, e.single[k.name].text)
			}
		}
		rows := e.named["variants"]
		if len(rows) == 0 {
			rows = []namedCell{{value: e.single["stock"]}}
		}
		for _, v := range rows {
			put("variant", v.name.text)
			put("stock", v.value.text)
			put("aliases", join(o.Aliases[v.name.text]))
			if err := out.Write(row); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

func texted(cells []cell) (all []string) {
	for _, c := range cells {
		all = append(all, c.text)
	}
	return all
}

// inCharacters has columns count characters instead of bytes.
func (f *Faults) inCharacters(text []byte) {
	text = bytes.TrimPrefix(text, []byte(byteOrderMark))
	begins := []int{0}
	if len(f.Told) > 0 {
		for i, c := range text {
			if c == '\n' {
				begins = append(begins, i+1)
			}
		}
	}
	for i, fault := range f.Told {
		if fault.Line >= 1 && fault.Line <= len(begins) {
			line := text[begins[fault.Line-1]:]
			f.Told[i].Column = utf8.RuneCount(line[:min(len(line), max(fault.Column-1, 0))]) + 1
		}
	}
}
