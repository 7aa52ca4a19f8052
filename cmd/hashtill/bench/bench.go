// Package bench measures hashtill on the machine that it runs on: how fast posts are
// read, purchases are committed and whole sales go through.
//
// Absolute figures say little about another machine. So each measurement has beside it
// the limit or the alternative that it is held against, measured in the same run, and
// the ratio of the two. Nothing here is a test: nothing fails on a slow day.
package bench

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
)

// Command is hashtill bench.
type Command struct {
	Commit   Commit   `cmd:"" help:"The first commit of a purchase, against the bare statements."`
	Hear     Hear     `cmd:"" help:"Posts of X, read and matched with catalogues of up to a million hashtags."`
	Buy      Buy      `cmd:"" help:"Whole purchases, as many as go through."`
	Sale     Sale     `cmd:"" help:"A burst of wishes for what is soon sold out."`
	Growth   Growth   `cmd:"" help:"How much slower and larger it is when much has been sold."`
	Machines Machines `cmd:"" help:"What more processes and more Redis masters bring."`
	Pages    Pages    `cmd:"" help:"The page on which a purchase is confirmed, at so many a second."`
	Rest     Rest     `cmd:"" help:"Memory, CPU, start and size of a hashtill that has nothing to do."`
}

// A Run is where a measurement is made, and printed.
type Run struct {
	Ctx context.Context
	Out io.Writer // the table
	Err io.Writer // progress
}

// A figure is one line of a table.
type figure struct {
	what  string
	value float64
	unit  string

	against string  // what it is held against, measured in the same run; "" nothing
	limit   float64 // that, in the same unit
	note    string  // such as the aim
}

// print prints figures as a table.
func (r Run) print(title string, figures ...figure) {
	fmt.Fprintf(r.Out, "%s\n", title)
	for _, f := range figures {
		fmt.Fprintf(r.Out, "  %-46s %14s %-12s", f.what, number(f.value), f.unit)
		if f.limit > 0 {
			fmt.Fprintf(r.Out, " %7.2f × %s (%s)", f.value/f.limit, f.against, number(f.limit))
		}
		if f.note != "" {
			fmt.Fprintf(r.Out, "  %s", f.note)
		}
		fmt.Fprintln(r.Out)
	}
	fmt.Fprintln(r.Out)
}

// number writes a number with three digits that count at least, and commas.
func number(v float64) string {
	switch {
	case v < 100 && v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// progress tells that it goes on.
func (r Run) progress(format string, args ...any) { fmt.Fprintf(r.Err, format+"\n", args...) }
