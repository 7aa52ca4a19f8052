package desk

import (
	"encoding/csv"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hashtill/offers"
)

// A download is a file of CSV on its way to a browser, a row at a time.
type download struct {
	c    *call
	csv  *csv.Writer
	rows int
}

// How long a browser may take for so many rows.
const (
	rowsAtOnce = 500
	rowsTime   = 30 * time.Second
)

// download begins a file. It has a byte order mark: else Excel takes it for Windows-1252.
func (c *call) download(name string) (*download, error) {
	c.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	c.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	d := &download{c: c, csv: csv.NewWriter(c.w)}
	d.csv.UseCRLF = true
	_, err := c.w.Write([]byte("\ufeff"))
	return d, d.broken(err)
}

// row writes one, and sends the rows on now and then.
func (d *download) row(cells ...string) error {
	if d.rows++; d.rows%rowsAtOnce == 0 {
		d.csv.Flush()
		to := http.NewResponseController(d.c.w)
		// The server's own bound is for pages. Who writes to no connection has none.
		if err := to.SetWriteDeadline(time.Now().Add(rowsTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return d.broken(err)
		}
		if err := to.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return d.broken(err)
		}
	}
	return d.broken(d.csv.Write(cells))
}

// end writes what is left.
func (d *download) end() error {
	d.csv.Flush()
	return d.broken(d.csv.Error())
}

// broken ends the connection on an error, for a file that has begun can say it in no other
// way: what is not whole must not look so.
func (d *download) broken(err error) error {
	if err == nil {
		return nil
	}
	if d.c.r.Context().Err() == nil {
		d.c.Log.Error("an export broke off", "path", d.c.r.Pattern, "rows", d.rows, "err", err)
	}
	panic(http.ErrAbortHandler)
}

// orderHead names the columns of an export of orders.
var orderHead = []string{"purchase", "paid_at", "hashtag", "title", "variant", "quantity", "total", "currency", "delivery", "tax_percent", "tax",
	"refunded", "status", "shipped_at", "tracking", "withdrawn_at", "handle", "address", "country", "notes"}

// orderCells are an order's. Times are of UTC, amounts plain numbers.
func orderCells(p offers.Purchase, b offers.Buyer) []string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	made, _ := p.PaidBack()
	var marks, notes []string
	for _, m := range marksOf(p) {
		marks = append(marks, m.Text)
	}
	for _, n := range p.Notes {
		notes = append(notes, n.Text)
	}
	delivery := p.Delivery
	delivery.Currency = p.Total.Currency
	cells := []string{string(p.ID), at(p.PaidAt), p.Tag, p.Title, p.Variant, strconv.Itoa(p.Quantity), p.Total.Decimal(), p.Total.Currency,
		delivery.Decimal(), p.Tax.String(), p.Tax.Included(p.Total).Decimal(), made.Decimal(), strings.Join(marks, "; "), at(p.ShippedAt), p.Tracking,
		at(p.WithdrawnAt), p.Handle, "", "", strings.Join(notes, "\n")}
	if !p.Digital {
		cells[17], cells[18] = b.Address, b.Country
	}
	for i := range cells {
		cells[i] = offers.Guarded(cells[i])
	}
	return cells
}
