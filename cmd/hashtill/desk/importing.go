package desk

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"hashtill/offers"
)

// An importForm is a file of offers, and what it would do.
type importForm struct {
	Text      string
	Format    offers.Format
	Looked    bool // it was looked at, and is without fault
	Faults    []string
	More      int // faults, or changes, that are not shown
	Changes   []offers.OfferChange
	Unchanged int
	All       int // changes
}

// shownChanges is how many changes and faults of a file are shown.
const shownChanges = 100

func (c *call) showImport() error {
	c.title = "Import"
	return c.page("import.html", importForm{Format: offers.YAML})
}

// importOffers shows what a file would do, and does it where that was seen.
func (c *call) importOffers() error {
	ctx := c.r.Context()
	f := importForm{Text: c.r.PostFormValue("text"), Format: offers.YAML}
	if c.r.PostFormValue("format") == string(offers.CSV) {
		f.Format = offers.CSV
	}
	if file, head, err := c.r.FormFile("file"); err == nil {
		defer file.Close()
		text, err := io.ReadAll(file)
		if err != nil {
			return err
		}
		f.Text, f.Format = string(text), offers.FormatOf(head.Filename)
	}
	c.edits.Lock()
	defer c.edits.Unlock()
	if _, err := c.Shop.Refresh(ctx); err != nil {
		return err
	}
	plan, err := c.plan(f)
	var wrong *importError
	if errors.As(err, &wrong) {
		c.title, f.Faults = "Import", wrong.faults
		f.More = max(len(f.Faults)-shownChanges, 0)
		f.Faults = f.Faults[:len(f.Faults)-f.More]
		f.More += wrong.more
		return c.pageWith(http.StatusBadRequest, "import.html", f)
	}
	if err != nil {
		return err
	}
	if c.r.PostFormValue("sure") != "yes" {
		c.title, f.Looked, f.Unchanged, f.Changes, f.All = "Import", true, plan.Unchanged, plan.Changes, len(plan.Changes)
		f.More = max(len(f.Changes)-shownChanges, 0)
		f.Changes = f.Changes[:len(f.Changes)-f.More]
		return c.page("import.html", f)
	}
	if err := c.writes("import offers", "", fmt.Sprintf("%d changes", len(plan.Changes))); err != nil {
		return err
	}
	if err := c.Shop.Carry(ctx, plan, func(int) {}); err != nil {
		return err
	}
	if err := c.changed(ctx); err != nil {
		return err
	}
	return c.done(c.Base() + "/?done=imported")
}

// An importError is what is wrong with a file.
type importError struct {
	faults []string
	more   int // that are not among them
}

func (e *importError) Error() string { return strings.Join(e.faults, "\n") }

// plan reads the offers of a file, which become the merchant's, and looks at what they
// would change.
func (c *call) plan(f importForm) (*offers.ImportPlan, error) {
	if strings.TrimSpace(f.Text) == "" {
		return nil, &importError{faults: []string{"There is nothing in it. Choose a file, or paste its text."}}
	}
	list, err := offers.ReadFile(strings.NewReader(f.Text), f.Format)
	if many := (*offers.Faults)(nil); errors.As(err, &many) {
		wrong := &importError{more: many.More}
		for _, fault := range many.Told {
			wrong.faults = append(wrong.faults, fault.Error())
		}
		return nil, wrong
	}
	if err != nil {
		return nil, &importError{faults: []string{err.Error()}}
	}
	all, wrong := list.Offers, &importError{}
	for i := range all {
		o := &all[i]
		o.Merchant = c.merchant
		_, err := c.offer(o.ID)
		if err != nil && !errors.Is(err, errNotThere) {
			return nil, err
		}
		taken, err := c.takenTags(*o, err != nil)
		if err != nil {
			return nil, err
		}
		for _, texts := range taken {
			for _, text := range texts {
				wrong.faults = append(wrong.faults, "offer #"+o.Tag+": "+text)
			}
		}
	}
	if len(wrong.faults) > 0 {
		return nil, wrong
	}
	plan, err := c.Shop.PlanImport(c.r.Context(), all, false)
	for _, err := range each(err) {
		wrong.faults = append(wrong.faults, err.Error())
	}
	if len(wrong.faults) > 0 {
		return nil, wrong
	}
	return plan, nil
}
