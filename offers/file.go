package offers

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// A Format is how a catalogue file is written.
type Format string

const (
	// YAML is a list of offers, see [ReadYAML].
	YAML Format = "yaml"
	// CSV is what spreadsheets save, see [ReadCSV].
	CSV Format = "csv"
)

// Formats are all of them.
var Formats = []Format{YAML, CSV}

// FormatOf is the format of a file by how its name ends; YAML where that says nothing.
func FormatOf(path string) Format {
	if strings.EqualFold(filepath.Ext(path), ".csv") {
		return CSV
	}
	return YAML
}

// Bounds of a catalogue file.
const (
	maxFile   = 256 << 20 // bytes
	maxFaults = 1000      // that are told one by one
	maxItems  = 1000      // of a list or mapping in an offer
)

// A Listing is a catalogue file that was read, all of it.
type Listing struct {
	Offers []Offer
	tags   map[tagOf]place // where their hashtags stand
}

// tagOf is a hashtag of an offer of a file, by its number.
type tagOf struct {
	offer int
	key   string
}

// A Fault is what is wrong at a place of a catalogue file.
type Fault struct {
	Line, Column int    // from 1, in characters
	Offer        string // its hashtag as the file has it, "" if it has none
	Field        string // the key, or the name of a CSV's column; "" if it is about more
	What         string
}

func (f Fault) Error() string {
	s := fmt.Sprintf("line %d, column %d: ", f.Line, f.Column)
	if f.Offer != "" {
		s += "offer #" + f.Offer + ": "
	}
	if f.Field != "" {
		s += f.Field + ": "
	}
	return s + f.What
}

// Faults are those of a catalogue file, in its order.
type Faults struct {
	Told []Fault // the first thousand
	More int     // how many there are beside them
}

func (f *Faults) Error() string {
	var b strings.Builder
	for i, fault := range f.Told {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(fault.Error())
	}
	if f.More > 0 {
		fmt.Fprintf(&b, "\nand %d more", f.More)
	}
	return b.String()
}

func (f *Faults) add(at place, offer, field, what string) {
	if len(f.Told) >= maxFaults {
		f.More++
		return
	}
	f.Told = append(f.Told, Fault{at.line, at.column, offer, field, what})
}

// err is what of the file is wrong, in its order; nil: nothing.
func (f *Faults) err() error {
	if len(f.Told) == 0 {
		return nil
	}
	slices.SortStableFunc(f.Told, func(a, b Fault) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	return f
}

// ReadFile reads a catalogue file. Its error is a [*Faults] where the file is at fault, and
// then nothing is returned.
func ReadFile(r io.Reader, format Format) (*Listing, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	var faults Faults
	f := &Listing{tags: map[tagOf]place{}}
	take := func(e *entry) { f.add(e, &faults) }
	switch format {
	case YAML:
		readYAML(text, &faults, take)
	case CSV:
		readCSV(text, &faults, take)
	default:
		return nil, fmt.Errorf("%q is none of the formats %v", format, Formats)
	}
	f.among(nil, &faults)
	if format == CSV {
		faults.inCharacters(text)
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// WriteFile writes offers as [ReadFile] reads them: it gives back the same.
func WriteFile(w io.Writer, format Format, all []Offer) error {
	switch format {
	case YAML:
		return writeYAML(w, all)
	case CSV:
		return writeCSV(w, all)
	}
	return fmt.Errorf("%q is none of the formats %v", format, Formats)
}

// add takes an offer of the file.
func (f *Listing) add(e *entry, faults *Faults) {
	o := e.offer(faults)
	n := len(f.Offers)
	f.Offers = append(f.Offers, o)
	f.tags[tagOf{n, o.ID}] = e.place("tag", nil)
	for _, c := range e.lists["tags"] {
		f.tags[tagOf{n, TagKey(c.text)}] = c.at
	}
}

// Among says which hashtags of the file belong to other offers, such as those of the store
// that stay as they are. Those that the file has too do not count. Its error is a [*Faults].
func (f *Listing) Among(others []Offer) error {
	var faults Faults
	f.among(others, &faults)
	return faults.err()
}

func (f *Listing) among(others []Offer, faults *Faults) {
	clashes(f.Offers, others, func(n int, key string, other Offer) {
		o := f.Offers[n]
		field, what := "tags", fmt.Sprintf("#%s belongs to the offer #%s", key, other.Tag)
		if key == o.ID {
			field = "tag"
		}
		if key == o.ID && key == other.ID {
			what = "is there twice"
		}
		faults.add(f.tags[tagOf{n, key}], o.Tag, field, what)
	})
}

// clashes finds the hashtags that offers have in common: those of one and another of all,
// and those of one of all and of an offer beside them. n is that of an offer of all.
func clashes(all, others []Offer, found func(n int, key string, other Offer)) {
	type owner struct {
		*Offer
		n int // -1: not of all
	}
	owners := map[string]owner{}
	for n := range all { // what offers are known by comes first
		if o := &all[n]; o.ID == "" {
			continue // a fault of its own
		} else if owners[o.ID].Offer == nil {
			owners[o.ID] = owner{o, n}
		} else {
			found(n, o.ID, *owners[o.ID].Offer)
		}
	}
	var beside []*Offer
	for i := range others {
		if o := &others[i]; owners[o.ID].Offer == nil {
			beside = append(beside, o)
		}
	}
	for _, o := range beside {
		owners[o.ID] = owner{o, -1}
	}
	for _, o := range beside {
		for _, tag := range o.Tags {
			key := TagKey(tag)
			if own := owners[key]; own.Offer == nil {
				owners[key] = owner{o, -1}
			} else if own.n >= 0 {
				found(own.n, key, *o)
			}
		}
	}
	for n := range all {
		for _, tag := range all[n].Tags {
			key := TagKey(tag)
			if own := owners[key]; own.Offer == nil {
				owners[key] = owner{&all[n], n}
			} else if own.ID != all[n].ID {
				found(n, key, *own.Offer)
			}
		}
	}
}
