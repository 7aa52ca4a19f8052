package desk

import (
	"cmp"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"hashtill/offers"
)

// moneyRoutes are what a merchant has earned: what was paid, less what was paid back, by
// days of UTC.
var moneyRoutes = []route{
	{pattern: "GET /m/{merchant}/money", needs: offers.Viewer, do: (*call).moneyPage},
	{pattern: "GET /m/{merchant}/money.csv", needs: offers.Viewer, do: (*call).exportMoney},
}

// The days that are shown.
var moneyDays = []int{30, 90}

// A plot is what was earned in one currency, day by day.
type plot struct {
	Currency string
	Bars     []bar
	Total    offers.Money // of the days that are shown
	Ever     offers.Money
	Best     offers.Money // the most of a day
	Zero     int          // where the axis is, from the top
	Height   int
	Width    int
	ByOffer  []offerMoney
	Days     []bar // those with money, the newest first
}

// A bar is a day.
type bar struct {
	Day    time.Time
	Money  offers.Money
	X, Y   int // of its upper left corner
	Height int
	Less   bool // more went back than came
}

// offerMoney is what an offer has earned in the days that are shown.
type offerMoney struct {
	Tag   string
	Money offers.Money
}

// Sizes of a plot, in its own units. A browser stretches it.
const (
	barWidth   = 10
	plotHeight = 200
)

// moneyView is a merchant's money.
type moneyView struct {
	Days  int
	All   []int
	From  time.Time
	To    time.Time
	Plots []plot
}

// earned shows what each of the merchant's offers has earned.
func (c *call) earned(see func(o offers.Offer, e offers.Earned)) error {
	of, err := c.offersOf(filter{})
	if err != nil {
		return err
	}
	if len(of) <= fewOffers {
		for _, o := range of {
			all, err := c.Shop.Earned(c.r.Context(), o.ID)
			if err != nil {
				return err
			}
			for _, e := range all {
				see(o, e)
			}
		}
		return nil
	}
	byID := map[string]offers.Offer{}
	for _, o := range of {
		byID[o.ID] = o
	}
	return c.Shop.EachEarned(c.r.Context(), func(id string, e offers.Earned) {
		if o, theirs := byID[id]; theirs {
			see(o, e)
		}
	})
}

func (c *call) moneyPage() error {
	v := moneyView{All: moneyDays}
	if v.Days, _ = strconv.Atoi(c.r.URL.Query().Get("days")); !slices.Contains(moneyDays, v.Days) {
		v.Days = moneyDays[0]
	}
	now := c.Now().UTC()
	v.To = time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	v.From = v.To.AddDate(0, 0, 1-v.Days)
	type sums struct {
		ever   int64
		days   map[string]int64
		offers map[string]int64
	}
	all := map[string]*sums{}
	err := c.earned(func(o offers.Offer, e offers.Earned) {
		s := all[e.Money.Currency]
		if s == nil {
			s = &sums{days: map[string]int64{}, offers: map[string]int64{}}
			all[e.Money.Currency] = s
		}
		s.ever += e.Money.Minor
		if e.Day >= v.From.Format(time.DateOnly) && e.Day <= v.To.Format(time.DateOnly) {
			s.days[e.Day] += e.Money.Minor
			s.offers[o.Tag] += e.Money.Minor
		}
	})
	if err != nil {
		return err
	}
	for code, s := range all {
		p := plotOf(code, v.From, v.Days, s.days)
		p.Ever.Minor = s.ever
		for tag, minor := range s.offers {
			p.ByOffer = append(p.ByOffer, offerMoney{tag, offers.Money{Minor: minor, Currency: code}})
		}
		slices.SortFunc(p.ByOffer, func(a, b offerMoney) int {
			return cmp.Or(cmp.Compare(b.Money.Minor, a.Money.Minor), strings.Compare(a.Tag, b.Tag))
		})
		v.Plots = append(v.Plots, p)
	}
	slices.SortFunc(v.Plots, func(a, b plot) int { return strings.Compare(a.Currency, b.Currency) })
	c.title = "Money"
	return c.page("money.html", v)
}

// plotOf draws days from one on, with a bar for each.
func plotOf(code string, from time.Time, days int, minor map[string]int64) plot {
	in := func(n int64) offers.Money { return offers.Money{Minor: n, Currency: code} }
	p := plot{Currency: code, Total: in(0), Ever: in(0), Best: in(0), Height: plotHeight, Width: days * barWidth}
	most, least := int64(0), int64(0)
	for _, n := range minor {
		most, least = max(most, n), min(least, n)
		p.Total.Minor += n
	}
	p.Best.Minor = most
	span := uint64(most) + uint64(-least)
	p.Zero = scaled(uint64(most), span)
	for i := range days {
		day := from.AddDate(0, 0, i)
		n := minor[day.Format(time.DateOnly)]
		b := bar{Day: day, Money: in(n), X: i * barWidth, Y: p.Zero}
		switch {
		case n > 0:
			b.Height = max(scaled(uint64(n), span), 2)
			b.Y = p.Zero - b.Height
		case n < 0:
			b.Height, b.Less = max(scaled(uint64(-n), span), 2), true
		}
		p.Bars = append(p.Bars, b)
		if n != 0 {
			p.Days = append(p.Days, b)
		}
	}
	slices.Reverse(p.Days)
	return p
}

// scaled is n of span in units of a plot's height, in whole numbers: it is about money.
func scaled(n, span uint64) int {
	if span == 0 {
		return 0
	}
	hi, lo := bits.Mul64(min(n, span), plotHeight)
	q, _ := bits.Div64(hi, lo, span)
	return int(q)
}

// exportMoney sends what was earned, by offer and day, as a file of CSV.
func (c *call) exportMoney() error {
	type line struct {
		tag string
		offers.Earned
	}
	var all []line
	if err := c.earned(func(o offers.Offer, e offers.Earned) { all = append(all, line{o.Tag, e}) }); err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b line) int {
		return cmp.Or(strings.Compare(a.Day, b.Day), strings.Compare(a.tag, b.tag), strings.Compare(a.Money.Currency, b.Money.Currency))
	})
	file, err := c.download("money-" + c.Now().UTC().Format("20060102-1504") + ".csv")
	if err != nil {
		return err
	}
	if err := file.row("day", "hashtag", "earned", "currency"); err != nil {
		return err
	}
	for _, l := range slices.Compact(all) {
		if err := file.row(l.Day, offers.Guarded(l.tag), l.Money.Decimal(), l.Money.Currency); err != nil {
			return err
		}
	}
	return file.end()
}
