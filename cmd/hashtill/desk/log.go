package desk

import (
	"net/http"
	"slices"

	"hashtill/offers"
)

// mostDeeds are shown at most.
const mostDeeds = 500

// A deedRow is something that somebody did.
type deedRow struct {
	offers.Deed
	Path string // of what it was done to, where that is a purchase
}

// logView is what people of the shop did, the newest first.
type logView struct {
	Rows  []deedRow
	Whole bool // of all merchants
	Most  int
	Full  bool // there may be older ones
}

func (c *call) deeds(merchants ...string) (logView, error) {
	v := logView{Most: mostDeeds}
	for _, m := range merchants {
		deeds, err := c.Shop.Deeds(c.r.Context(), m, mostDeeds)
		if err != nil {
			return v, err
		}
		for _, d := range deeds {
			row := deedRow{Deed: d}
			if _, ok := offers.ParseID(d.Of); ok {
				row.Path = purchasePath(d.Merchant, d.Of)
			}
			v.Rows = append(v.Rows, row)
		}
	}
	slices.SortStableFunc(v.Rows, func(a, b deedRow) int { return b.At.Compare(a.At) })
	v.Full = len(v.Rows) >= mostDeeds
	v.Rows = v.Rows[:min(len(v.Rows), mostDeeds)]
	return v, nil
}

// merchantLog is what was done for a merchant.
func (c *call) merchantLog() error {
	v, err := c.deeds(c.merchant)
	if err != nil {
		return err
	}
	c.title = "Log"
	return c.page("log.html", v)
}

// wholeLog is what was done, for all merchants and for nobody in particular.
func (c *call) wholeLog() error {
	all, err := c.Shop.Merchants(c.r.Context())
	if err != nil {
		return err
	}
	ids := []string{offers.Operator}
	for _, m := range all {
		ids = append(ids, m.ID)
	}
	v, err := c.deeds(ids...)
	if err != nil {
		return err
	}
	v.Whole = true
	return c.opPage(http.StatusOK, "wholelog.html", "Log", v)
}
