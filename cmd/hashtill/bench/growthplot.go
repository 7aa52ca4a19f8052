package bench

import (
	"encoding/csv"
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"strings"
)

// A column is one figure of each size.
type column struct {
	name, unit string
	of         func(size) float64
	aim        float64 // 0: there is none
}

// grown are the figures that growth is told by. Those with an aim are plotted.
var grown = []column{
	{"open", "", func(s size) float64 { return float64(s.open) }, 0},
	{"closed", "", func(s size) float64 { return float64(s.closed) }, 0},
	{"offers", "", func(s size) float64 { return float64(s.offers) }, 0},
	{"purchases", "a second", func(s size) float64 { return s.perSecond }, 0},
	{"empty", "a second", func(s size) float64 { return s.empty }, 0},
	{"purchases ÷ empty", "", size.ratio, 0.8},
	{"start", "s", func(s size) float64 { return s.start.Seconds() }, 5},
	{"CPU of start", "s", func(s size) float64 { return s.cpu.Seconds() }, 0},
	{"resident", "MB", func(s size) float64 { return s.resident / megabyte }, 300},
	{"at most", "MB", func(s size) float64 { return s.most / megabyte }, 0},
	{"file", "MB", func(s size) float64 { return s.file / megabyte }, 0},
}

// printGrowth prints what each size has come to.
func printGrowth(r Run, all []size) {
	last := all[len(all)-1]
	r.print(fmt.Sprintf("Growth, on SQLite: %s open and %s closed purchases, %s offers", number(float64(last.open)), number(float64(last.closed)), number(float64(last.offers))),
		figure{what: "purchases, wish to receipt", value: last.perSecond, unit: "a second", against: "empty", limit: last.empty, note: "aim: at least 0.80"},
		figure{what: "start until ready", value: last.start.Seconds(), unit: "s", against: "CPU it took", limit: last.cpu.Seconds(), note: "aim: under 5"},
		figure{what: "resident", value: last.resident / megabyte, unit: "MB", note: "aim: under 300"},
		figure{what: "resident at most, since the start", value: last.most / megabyte, unit: "MB"},
		figure{what: "catalogue in memory, each offer", value: last.perOffer, unit: "bytes"},
		figure{what: "catalogue read in", value: last.read.Seconds(), unit: "s"},
		figure{what: "the file", value: last.file / megabyte, unit: "MB"},
	)
	line := func(cell func(column) string) {
		for _, c := range grown {
			fmt.Fprintf(r.Out, " %*s", max(len([]rune(c.name)), 10), cell(c))
		}
		fmt.Fprintln(r.Out)
	}
	line(func(c column) string { return c.name })
	line(func(c column) string { return c.unit })
	for _, s := range all {
		line(func(c column) string { return number(c.of(s)) })
	}
	fmt.Fprintln(r.Out)
	for _, c := range grown {
		if c.aim > 0 {
			plot(r.Out, c, all)
		}
	}
}

// plot draws a bar for each size, with a mark where the aim is.
func plot(out io.Writer, c column, all []size) {
	const width = 40
	most := c.aim
	for _, s := range all {
		most = max(most, c.of(s))
	}
	at := func(v float64) int { return int(width*v/most + 0.5) }
	fmt.Fprintf(out, "%s, aim %s (│)\n", strings.TrimSpace(c.name+" "+c.unit), number(c.aim))
	for _, s := range all {
		bar := []rune(strings.Repeat("█", at(c.of(s))) + strings.Repeat(" ", width+1-at(c.of(s))))
		bar[at(c.aim)] = '│'
		fmt.Fprintf(out, "  %12s purchases, %9s offers  %s %s\n", number(float64(s.open+s.closed)), number(float64(s.offers)), string(bar), number(c.of(s)))
	}
	fmt.Fprintln(out)
}

// writeGrowth writes the table and the plot to files, where they have names.
func writeGrowth(all []size, table, picture string) error {
	var errs []error
	write := func(path string, text func(io.Writer) error) {
		if path == "" {
			return
		}
		f, err := os.Create(path)
		if err == nil {
			err = errors.Join(text(f), f.Close())
		}
		errs = append(errs, err)
	}
	write(table, func(w io.Writer) error {
		out := csv.NewWriter(w)
		row := func(cell func(column) string) {
			cells := make([]string, len(grown))
			for i, c := range grown {
				cells[i] = cell(c)
			}
			_ = out.Write(cells) // Error below has it
		}
		row(func(c column) string { return strings.TrimSpace(c.name + " " + c.unit) })
		for _, s := range all {
			row(func(c column) string { return fmt.Sprintf("%.6g", c.of(s)) })
		}
		out.Flush()
		return out.Error()
	})
	write(picture, func(w io.Writer) error {
		_, err := io.WriteString(w, svg(all))
		return err
	})
	return errors.Join(errs...)
}

// svg draws the figures that have aims, one above the other, over the number of purchases.
func svg(all []size) string {
	const width, height, left, above = 560, 140, 60, 30
	var b strings.Builder
	far := 1.0
	for _, s := range all {
		far = max(far, float64(s.open+s.closed))
	}
	rows := 0
	for _, c := range grown {
		if c.aim == 0 {
			continue
		}
		most := c.aim
		for _, s := range all {
			most = max(most, c.of(s))
		}
		top := above + rows*(height+2*above)
		rows++
		y := func(v float64) float64 { return float64(top) + height*(1-v/most) }
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\">%s</text>\n", left, top-8, html.EscapeString(strings.TrimSpace(c.name+" "+c.unit)))
		fmt.Fprintf(&b, "<path d=\"M%d %d v%d h%d\" fill=\"none\" stroke=\"black\"/>\n", left, top, height, width)
		fmt.Fprintf(&b, "<path d=\"M%d %.1f h%d\" stroke=\"crimson\" stroke-dasharray=\"4\"/><text x=\"%d\" y=\"%.1f\">aim %s</text>\n",
			left, y(c.aim), width, left+width+5, y(c.aim)+4, number(c.aim))
		var line strings.Builder
		for i, s := range all {
			x := left + width*float64(s.open+s.closed)/far
			fmt.Fprintf(&line, "%c%.1f %.1f ", "ML"[min(i, 1)], x, y(c.of(s)))
			fmt.Fprintf(&b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>%s purchases: %s</title></circle>\n", x, y(c.of(s)), number(float64(s.open+s.closed)), number(c.of(s)))
		}
		fmt.Fprintf(&b, "<path d=\"%s\" fill=\"none\" stroke=\"navy\" stroke-width=\"2\"/>\n", strings.TrimSpace(line.String()))
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\">0</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s purchases</text>\n",
			left, top+height+15, left+width, top+height+15, number(far))
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", left-5, top+10, number(most))
	}
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n%s</svg>\n",
		left+width+100, rows*(height+2*above), b.String())
}
