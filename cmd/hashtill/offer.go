package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"hashtill/offers"
)

type offerCmd struct {
	List   offerListCmd   `cmd:"" help:"What is for sale, how much of it is left, and how many wait for it."`
	Show   offerShowCmd   `cmd:"" help:"All that an offer says, and its stock."`
	Line   offerLineCmd   `cmd:"" help:"Who waits for an offer, the next first."`
	Import offerImportCmd `cmd:"" help:"Add or change offers from a file."`
	Export offerExportCmd `cmd:"" help:"Write all offers as a file that can be imported."`

	Announce offerAnnounceCmd `cmd:"" help:"Post what is on sale, for buyers to quote."`
}

// Help is the rest of the help text.
func (offerCmd) Help() string {
	return "For example:\n\n  hashtill offer import offers.yaml --dry-run\n  hashtill offer list\n  hashtill offer line BuyTee\n  hashtill offer announce BuyTee"
}

type offerListCmd struct {
	JSON bool `name:"json" help:"JSON, one offer a line."`
}

// Help is the rest of the help text.
func (offerListCmd) Help() string {
	return "For example:\n\n  hashtill offer list --config hashtill.yaml"
}

// stocked is an offer with how much of it is taken, and how many wait for it, by variant.
type stocked struct {
	offers.Offer
	Taken   map[string]int64 `json:"taken"`
	Waiting map[string]int64 `json:"waiting,omitempty"`
}

func (e *env) stocked(shop *offers.Shop, o offers.Offer) (s stocked, err error) {
	s.Offer = o
	if s.Taken, err = shop.Stocked(e.ctx, o); err == nil && o.Waitlist {
		s.Waiting, err = shop.Waiting(e.ctx, o)
	}
	return s, err
}

// unitsOf is the stock of a variant, for people.
func unitsOf(o offers.Offer, variant string) string {
	if o.Stock[variant] == offers.Unlimited {
		return "∞"
	}
	return fmt.Sprint(o.Stock[variant])
}

// Run lists.
func (c offerListCmd) Run(e *env) error {
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		bar := progress{to: e.err, last: time.Now()}
		var all []stocked
		found := shop.Offers()
		for i, o := range found {
			s, err := e.stocked(shop, o)
			if err != nil {
				return err
			}
			all = append(all, s)
			bar.say("read %d of %d offers", i+1, len(found))
		}
		return print(e.out, c.JSON, "OFFER\tTITLE\tPRICE\tTAKEN OF STOCK\tOPEN\tHELD AT\tWAITING", all, func(o stocked) []string {
			var stock []string
			waiting := int64(0)
			for _, name := range o.Variants() {
				stock = append(stock, strings.TrimSpace(fmt.Sprintf("%s %d/%s", name, o.Taken[name], unitsOf(o.Offer, name))))
				waiting += o.Waiting[name]
			}
			line := "no line"
			if o.Waitlist {
				line = fmt.Sprint(waiting)
			}
			return []string{"#" + o.Tag, o.Title, o.Price.Format("en"), strings.Join(stock, ", "), openNow(o.Offer), heldAt(o.Offer), line}
		})
	})
}

func openNow(o offers.Offer) string {
	if why := o.Closed(time.Now()); why != "" {
		return string(why)
	}
	return "yes"
}

func heldAt(o offers.Offer) string {
	if o.Hold == "" {
		return string(offers.HoldAtWish)
	}
	return string(o.Hold)
}

// withOffer opens the shop for a command about an offer.
func (e *env) withOffer(tag string, do func(shop *offers.Shop, o offers.Offer) error) error {
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		o, ok := shop.OfferByTag(tag)
		if !ok {
			return usageError{fmt.Errorf("there is no offer #%s (hashtill offer list)", strings.TrimPrefix(tag, "#"))}
		}
		return do(shop, o)
	})
}

type offerShowCmd struct {
	Tag  string `arg:"" help:"A hashtag of the offer."`
	JSON bool   `name:"json" help:"All that is known, as JSON."`
}

// Help is the rest of the help text.
func (offerShowCmd) Help() string {
	return "Shows what a catalogue file has for the offer, and how much is taken, sold and waited for.\n\n  hashtill offer show BuyTee"
}

// Run shows.
func (c offerShowCmd) Run(e *env) error {
	return e.withOffer(c.Tag, func(shop *offers.Shop, o offers.Offer) error {
		s, err := e.stocked(shop, o)
		if err != nil {
			return err
		}
		if c.JSON {
			enc := json.NewEncoder(e.out)
			enc.SetIndent("", "  ")
			return enc.Encode(s)
		}
		if err := offers.WriteFile(e.out, offers.YAML, []offers.Offer{o}); err != nil {
			return err
		}
		fmt.Fprintf(e.out, "\nopen now: %s\n", openNow(o))
		tw := tabwriter.NewWriter(e.out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(tw, "VARIANT\tSTOCK\tTAKEN\tWAITING")
		for _, name := range o.Variants() {
			fmt.Fprintf(tw, "%s\t%s\t%d\t%d\n", orDash(name), unitsOf(o, name), s.Taken[name], s.Waiting[name])
		}
		return tw.Flush()
	})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type offerLineCmd struct {
	Tag     string `arg:"" help:"A hashtag of the offer."`
	Variant string `help:"Only who waits for this variant."`
	Most    int    `default:"100" help:"How many are shown of a variant at most."`
	JSON    bool   `name:"json" help:"JSON, one who waits a line."`
}

// Help is the rest of the help text.
func (offerLineCmd) Help() string {
	return `Who waits for a unit that comes back, the next first, for each variant. A place is
counted now; who wants more than is free is passed over.

  hashtill offer line BuyTee
  hashtill offer line BuyTee --variant "M black" --most 10`
}

// inLine is who waits.
type inLine struct {
	Variant  string         `json:"variant"`
	Place    int            `json:"place"`
	Handle   string         `json:"handle"`
	Account  offers.Account `json:"account"`
	Quantity int            `json:"quantity"`
	Since    time.Time      `json:"since"`
	Purchase offers.ID      `json:"purchase"`
}

// Run shows.
func (c offerLineCmd) Run(e *env) error {
	if c.Most < 1 {
		return usageError{errors.New("--most: at least one is shown")}
	}
	return e.withOffer(c.Tag, func(shop *offers.Shop, o offers.Offer) error {
		variants := o.Variants()
		if c.Variant != "" {
			if _, ok := o.Stock[c.Variant]; !ok {
				return usageError{fmt.Errorf("--variant: #%s has no %q; it has %q", o.Tag, c.Variant, variants)}
			}
			variants = []string{c.Variant}
		}
		var all []inLine
		for _, variant := range variants {
			line, err := shop.Line(e.ctx, o.ID, variant, c.Most)
			if err != nil {
				return err
			}
			for i, p := range line {
				all = append(all, inLine{variant, i + 1, p.Handle, p.Buyer, p.Quantity, p.LineSince, p.ID})
			}
		}
		if len(all) == 0 && !c.JSON {
			_, err := fmt.Fprintf(e.out, "nobody waits for #%s\n", o.Tag)
			return err
		}
		return print(e.out, c.JSON, "VARIANT\tPLACE\tBUYER\tUNITS\tSINCE\tPURCHASE", all, func(l inLine) []string {
			return []string{orDash(l.Variant), fmt.Sprint(l.Place), "@" + l.Handle, fmt.Sprint(l.Quantity), l.Since.UTC().Format(time.DateTime), string(l.Purchase)}
		})
	})
}

type offerImportCmd struct {
	File   string `arg:"" help:"Catalogue file (YAML or CSV)."`
	Only   bool   `help:"Remove all offers that the file does not have."`
	DryRun bool   `help:"Only tell what would be added, changed and removed."`
	Format string `placeholder:"FORMAT" help:"yaml or csv; by the name of the file if left out."`
	JSON   bool   `name:"json" help:"With --dry-run: JSON, one change a line."`
}

// Help is the rest of the help text.
func (offerImportCmd) Help() string {
	return `The file is looked at whole before anything changes, and every fault is told with its
line and column. Purchases keep what they were promised. A running hashtill serve
follows within seconds. Exits 2 if the file is at fault: then nothing has changed.

  hashtill offer import offers.yaml --dry-run
  hashtill offer import offers.yaml

A catalogue file:

  # offers.yaml
  - tag: BuyTee               # the hashtag
    tags: [KaufTee]           # others that mean it too
    title: Tour T-shirt
    seller: Example Records
    price: 149.99             # of one
    currency: USD
    prices: {EUR: 139, JPY: 20000}    # of one, in other currencies
    delivery: {USD: 8, EUR: 5}        # of a purchase; free in others
    variants: {M black: 10, L black: 5}     # units; or, without a choice, stock: 500
    aliases: {M black: [M noir, M negro]}   # other names of variants
    per_buyer: 2              # units; 1 if left out
    hold: echo                # units are held at the wish, the echo (repost) or the
                              # click; wish if left out
    waitlist: true            # who comes when it is sold out may wait
    zone: Europe/Paris        # whose clocks tell times without an offset; UTC if left out
    opens: 2026-11-21 20:00
    closes: 2026-11-21T23:00:00Z
    countries: [FR, BE]       # that it is sold to; everywhere if left out
    terms: Ships within a week.
    picture: https://example.com/tee.jpg
    seller_address: 12 rue des Lilas, 69003 Lyon, France
    seller_tax_number: FR40123456824
    tax_percent: 20
    tax_added: true           # on top of price and delivery; else they include it
    digital: false            # true: nothing is shipped
    withdrawal_days: 14       # to withdraw in, 14 if left out; 0: no such right, as
                              # for tickets with a date, and then terms should say so.
                              # They are counted from the shipping, for digital ones
                              # from the payment: add those that a delivery takes.
    merchant: example         # whose offer it is; the operator's if left out

The same from a spreadsheet, saved as CSV UTF-8 (commas, semicolons or tabs; columns
in any order). Each variant has a row of its own, several values of a cell have "|"
between them:

  # offers.csv
  tag;title;seller;price;currency;prices;variant;stock;aliases;countries
  BuyTee;Tour T-shirt;Example Records;149,99;USD;139 EUR|20000 JPY;M black;10;M noir|M negro;FR|BE
  BuyTee;;;;;;L black;5;L noir;

hashtill offer export --format csv writes one with all columns.`
}

// Run imports.
func (c offerImportCmd) Run(e *env) error {
	format, err := formatOf(c.Format, c.File)
	if err != nil {
		return err
	}
	if info, err := os.Stat(c.File); err == nil && info.Size() > 4<<20 { // which takes seconds
		fmt.Fprintf(e.err, "reading %s, %d MB\n", c.File, info.Size()>>20)
	}
	file, err := readCatalogue(c.File, format)
	if err != nil {
		return usageError{err}
	}
	return e.withShop(!c.DryRun, func(_ Config, shop *offers.Shop) error {
		if !c.Only {
			if err := file.Among(shop.Offers()); err != nil {
				return usageError{fmt.Errorf("%s:\n%w", c.File, err)}
			}
		}
		plan, err := shop.PlanImport(e.ctx, file.Offers, c.Only)
		if err != nil {
			return err
		}
		if c.DryRun {
			return c.tell(e, plan)
		}
		bar := progress{to: e.err, last: time.Now()}
		if err := shop.Carry(e.ctx, plan, func(done int) { bar.say("%d of %d offers written", done, len(plan.Changes)) }); err != nil {
			return err
		}
		_, err = fmt.Fprintf(e.out, "%d offers imported; %d are for sale\n%s\n", len(file.Offers), shop.OfferCount(), counted(plan))
		return err
	})
}

// counted says how much an import does.
func counted(plan *offers.ImportPlan) string {
	n := map[string]int{}
	for _, c := range plan.Changes {
		n[c.Does]++
	}
	return fmt.Sprintf("%d added, %d changed, %d removed, %d unchanged", n[offers.OfferAdded], n[offers.OfferChanged], n[offers.OfferRemoved], plan.Unchanged)
}

// tell says what an import would do.
func (c offerImportCmd) tell(e *env, plan *offers.ImportPlan) error {
	err := print(e.out, c.JSON, "WOULD\tOFFER\tIN", plan.Changes, func(o offers.OfferChange) []string {
		return []string{o.Does, "#" + o.Tag, strings.Join(o.Fields, ", ")}
	})
	if err == nil && !c.JSON {
		_, err = fmt.Fprintln(e.out, counted(plan))
	}
	return err
}

type offerExportCmd struct {
	Format string `default:"yaml" help:"yaml or csv."`
}

// Help is the rest of the help text.
func (offerExportCmd) Help() string {
	return `Writes all offers. An import of what it writes changes nothing.

  hashtill offer export > offers.yaml
  hashtill offer export --format csv > offers.csv`
}

// Run exports.
func (c offerExportCmd) Run(e *env) error {
	format, err := formatOf(c.Format, "")
	if err != nil {
		return err
	}
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		all := shop.Offers()
		bar := progress{to: e.err, last: time.Now()}
		return offers.WriteFile(&counting{e.out, func(n int) { bar.say("%d bytes of %d offers written", n, len(all)) }, 0}, format, all)
	})
}

// counting tells of each write how much is written.
type counting struct {
	io.Writer
	tell func(n int)
	n    int
}

func (c *counting) Write(p []byte) (n int, err error) {
	n, err = c.Writer.Write(p)
	c.n += n
	c.tell(c.n)
	return n, err
}

// formatOf is what a file is written in.
func formatOf(named, path string) (offers.Format, error) {
	if named == "" {
		return offers.FormatOf(path), nil
	}
	if f := offers.Format(named); slices.Contains(offers.Formats, f) {
		return f, nil
	}
	return "", usageError{fmt.Errorf("--format: %q is none of %v", named, offers.Formats)}
}

// readCatalogue reads a catalogue file.
func readCatalogue(path string, format offers.Format) (*offers.Listing, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the offers: %w", err)
	}
	defer f.Close()
	file, err := offers.ReadFile(f, format)
	if err != nil {
		return nil, fmt.Errorf("%s:\n%w", path, err)
	}
	return file, nil
}

// readOffers reads the offers of a catalogue file, in the format that its name says.
func readOffers(path string) ([]offers.Offer, error) {
	file, err := readCatalogue(path, offers.FormatOf(path))
	if err != nil {
		return nil, err
	}
	return file.Offers, nil
}
