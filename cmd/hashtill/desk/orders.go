package desk

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hashtill/offers"
)

// orderRoutes are a merchant's orders: the purchases that were paid.
var orderRoutes = []route{
	{pattern: "GET /m/{merchant}/orders", needs: offers.Viewer, do: (*call).ordersPage},
	{pattern: "POST /m/{merchant}/orders/export", needs: offers.Clerk, do: (*call).exportOrders},
	{pattern: "GET /m/{merchant}/orders/{id}", needs: offers.Viewer, do: (*call).orderPage},
	{pattern: "POST /m/{merchant}/orders/{id}/ship", needs: offers.Clerk, do: (*call).ship},
	{pattern: "POST /m/{merchant}/orders/{id}/note", needs: offers.Clerk, do: (*call).note},
	{pattern: "POST /m/{merchant}/orders/{id}/cancel", needs: offers.Clerk, do: (*call).cancelOrder},
	{pattern: "GET /m/{merchant}/orders/{id}/refund", needs: offers.Owner, factor: true, do: (*call).refundPage},
	{pattern: "POST /m/{merchant}/orders/{id}/refund/confirm", needs: offers.Owner, factor: true, do: (*call).confirmRefund},
	{pattern: "POST /m/{merchant}/orders/{id}/refund", needs: offers.Owner, factor: true, do: (*call).refund},
}

const (
	orderPage = 50  // orders on a page
	fewOffers = 64  // up to so many, orders and money are read offer by offer; else all at once
	maxSelect = 200 // offers in a list to choose from
	maxQuery  = 100 // bytes of what is searched for
	maxPages  = 1000000
)

// lookAt is how many purchases are read for one page, at most. Tests have it smaller.
var lookAt = 2000

// A status is what orders can be looked for by.
type status struct {
	Name, Label string
	is          func(offers.Purchase) bool
}

// statuses are all of them.
var statuses = []status{
	{"to-ship", "To ship", offers.Purchase.ToShip},
	{"shipped", "Shipped", func(p offers.Purchase) bool { return !p.ShippedAt.IsZero() }},
	{"refunded", "Refunded", func(p offers.Purchase) bool { return len(p.Refunds) > 0 }},
	{"withdrawn", "Withdrawn", func(p offers.Purchase) bool { return !p.WithdrawnAt.IsZero() }},
	{"disputed", "Disputed", offers.Purchase.Disputed},
}

// A filter says which orders are meant.
type filter struct {
	Offer    string // id; "": any
	Status   string // of a [status]; "": any
	From, To string // days of UTC, 2026-11-21; "": any
	Query    string // in the handle, the id, the code or the tracking
}

// filterOf reads a filter. What cannot be meant is an error.
func filterOf(form url.Values) (filter, error) {
	f := filter{Offer: offers.TagKey(strings.TrimSpace(strings.TrimPrefix(form.Get("offer"), "#"))), Status: form.Get("status"),
		From: form.Get("from"), To: form.Get("to"), Query: strings.TrimSpace(form.Get("q"))}
	for _, day := range []string{f.From, f.To} {
		if _, err := time.Parse(time.DateOnly, day); day != "" && err != nil {
			return f, &formError{"A day is written like 2026-11-21."}
		}
	}
	if f.Status != "" && !slices.ContainsFunc(statuses, func(s status) bool { return s.Name == f.Status }) {
		return f, &formError{"Orders have no such status."}
	}
	if len(f.Query) > maxQuery {
		return f, &formError{"That is too long to search for."}
	}
	return f, nil
}

// Values are the filter as an address has it.
func (f filter) Values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"offer": f.Offer, "status": f.Status, "from": f.From, "to": f.To, "q": f.Query} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

// day says whether an order is of the days that are meant.
func (f filter) day(o offers.Order) bool {
	day := o.PaidAt.UTC().Format(time.DateOnly)
	return (f.From == "" || day >= f.From) && (f.To == "" || day <= f.To)
}

// Deep says that a purchase has to be read to know whether it is meant.
func (f filter) Deep() bool { return f.Status != "" || f.Query != "" }

// meant says whether a purchase is, the days and the offer apart.
func (f filter) meant(p offers.Purchase) bool {
	for _, s := range statuses {
		if s.Name == f.Status && !s.is(p) {
			return false
		}
	}
	if f.Query == "" {
		return true
	}
	q := strings.ToLower(f.Query)
	return strings.Contains(strings.ToLower(p.Handle), strings.TrimPrefix(q, "@")) || strings.HasPrefix(string(p.ID), q) ||
		string(p.Code) == strings.TrimPrefix(q, "#") || strings.Contains(strings.ToLower(p.Tracking), q)
}

// offersOf are the merchant's offers that a filter means, by id: those of the catalogue,
// and those that were removed from it and had sold.
func (c *call) offersOf(f filter) ([]offers.Offer, error) {
	if f.Offer != "" {
		if o, err := c.offer(f.Offer); err == nil {
			return []offers.Offer{o}, nil
		}
	}
	all, err := c.removed()
	if err != nil {
		return nil, err
	}
	for _, o := range c.Shop.Offers() {
		if o.Merchant == c.merchant {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b offers.Offer) int { return cmp.Compare(a.ID, b.ID) })
	if f.Offer != "" {
		i := slices.IndexFunc(all, func(o offers.Offer) bool { return o.ID == f.Offer })
		if i < 0 {
			return nil, errNotThere
		}
		return all[i : i+1], nil
	}
	return all, nil
}

// removed are the merchant's offers that are not in the catalogue any more and had sold,
// as far as is known of them.
func (c *call) removed() (all []offers.Offer, err error) {
	ids, err := c.Shop.SoldBefore(c.r.Context(), c.merchant)
	for _, id := range ids {
		all = append(all, offers.Offer{ID: id, Tag: id, Title: "removed", Merchant: c.merchant})
	}
	return all, err
}

// newest are the newest orders that a filter may mean, at most so many, and how many there
// are in all. No purchase is read for it.
func (c *call) newest(f filter, of []offers.Offer, most int) (orders []offers.Order, all int, err error) {
	ctx := c.r.Context()
	trim := func() {
		slices.SortFunc(orders, offers.NewestFirst)
		orders = slices.CompactFunc(orders, func(a, b offers.Order) bool { return a.ID == b.ID })
		orders = orders[:min(len(orders), most)]
	}
	see := func(o offers.Order) {
		if !f.day(o) {
			return
		}
		all++
		if orders = append(orders, o); len(orders) >= 2*most {
			trim()
		}
	}
	if len(of) <= fewOffers {
		for _, o := range of {
			its, err := c.Shop.Orders(ctx, o.ID)
			if err != nil {
				return nil, 0, err
			}
			for _, order := range its {
				see(order)
			}
		}
	} else {
		theirs := map[string]bool{}
		for _, o := range of {
			theirs[o.ID] = true
		}
		err = c.Shop.EachOrder(ctx, func(o offers.Order) error {
			if theirs[o.Offer] {
				see(o)
			}
			return nil
		})
	}
	trim()
	return orders, all, err
}

// read reads the purchase of an order; ok is false where it has left the store, or is of
// the time when the offer was another merchant's.
func (c *call) read(o offers.Order) (p offers.Purchase, ok bool, err error) {
	p, err = c.purchase(string(o.ID))
	if errors.Is(err, errNotThere) || errors.Is(err, offers.ErrNotFound) {
		return p, false, nil
	}
	return p, err == nil, err
}

// An orderRow is an order in the list.
type orderRow struct {
	offers.Purchase
	Marks []mark
}

// A mark says in a word what is with an order.
type mark struct{ Kind, Text string }

// marksOf are an order's, what asks for something to be done first.
func marksOf(p offers.Purchase) (marks []mark) {
	add := func(is bool, kind, text string) {
		if is {
			marks = append(marks, mark{kind, text})
		}
	}
	open := p.State != offers.Paid && p.State != offers.Refunded
	add(open, "wait", stateWords[p.State])
	add(p.Disputed(), "bad", "Disputed")
	add(p.Returning(), "bad", "Withdrawn: refund it")
	add(p.ToShip(), "wait", "To ship")
	add(!p.ShippedAt.IsZero(), "good", "Shipped")
	add(!p.WithdrawnAt.IsZero() && !p.Returning(), "", "Withdrawn")
	made, owed := p.PaidBack()
	switch {
	case p.State == offers.Refunded:
		add(true, "", "Refunded")
	case owed.Minor > 0:
		add(true, "wait", "Refund on its way")
	case made.Minor > 0:
		add(true, "", "Refunded in part")
	}
	add(len(marks) == 0 && p.Digital, "good", "Paid, digital")
	return marks
}

// ordersView is the list of orders.
type ordersView struct {
	Filter   filter
	Statuses []status
	Offers   []offers.Offer // to choose from; none: there are too many
	Rows     []orderRow
	All      int // orders of the offer and days that are meant
	Looked   int // at so many of them for the status or the search; 0: at all that matter
	Page     int
	Newer    string // address of the page before; "": there is none
	Older    string
}

func (c *call) ordersPage() error {
	f, err := filterOf(c.r.URL.Query())
	if err != nil {
		return err
	}
	if p, ok, err := c.exactly(f.Query); err != nil {
		return err
	} else if ok {
		return c.done(c.Base() + "/orders/" + string(p.ID))
	}
	of, err := c.offersOf(f)
	if err != nil {
		return err
	}
	page, _ := strconv.Atoi(c.r.URL.Query().Get("page"))
	page = min(max(page, 1), maxPages)
	c.title = "Orders"
	v := ordersView{Filter: f, Statuses: statuses, Page: page}
	if v.Offers, err = c.offersOf(filter{}); err != nil {
		return err
	}
	if len(v.Offers) > maxSelect {
		v.Offers = nil
	}
	skip, most := (page-1)*orderPage, page*orderPage+1
	if f.Deep() {
		most = lookAt
	}
	orders, all, err := c.newest(f, of, most)
	if err != nil {
		return err
	}
	v.All = all
	if !f.Deep() {
		orders = orders[min(skip, len(orders)):]
		skip = 0
	}
	more := false
	for _, o := range orders {
		p, ok, err := c.read(o)
		if err != nil {
			return err
		}
		if !ok || !f.meant(p) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if more = len(v.Rows) == orderPage; more {
			break
		}
		v.Rows = append(v.Rows, orderRow{p, marksOf(p)})
	}
	if f.Deep() && all > lookAt && !more {
		v.Looked = lookAt
	}
	address := func(page int) string {
		q := f.Values()
		q.Set("page", strconv.Itoa(page))
		return c.Base() + "/orders?" + q.Encode()
	}
	if page > 1 {
		v.Newer = address(page - 1)
	}
	if more {
		v.Older = address(page + 1)
	}
	return c.page("orders.html", v)
}

// exactly finds the purchase of the merchant's that an id or a code names, paid or not.
func (c *call) exactly(q string) (p offers.Purchase, ok bool, err error) {
	if _, isID := offers.ParseID(strings.ToLower(q)); isID {
		p, err = c.purchase(strings.ToLower(q))
	} else if code, isCode := offers.ParseCode(q); isCode {
		p, err = c.Shop.PurchaseOfCode(c.r.Context(), code)
	} else {
		return p, false, nil
	}
	var unknown *offers.Refusal
	if errors.Is(err, errNotThere) || errors.Is(err, offers.ErrNotFound) || errors.As(err, &unknown) {
		return p, false, nil
	}
	return p, err == nil && p.Merchant == c.merchant, err
}

// exportOrders sends the orders that a filter means as a file of CSV (see [orderCells]).
// Of each offer the newest comes first.
func (c *call) exportOrders() error {
	f, err := filterOf(c.r.PostForm)
	if err != nil {
		return err
	}
	of, err := c.offersOf(f)
	if err != nil {
		return err
	}
	written := f
	if written.Query != "" {
		written.Query = "…" // it can name a buyer, and what is written down stays
	}
	if err := c.writes("export orders", f.Offer, written.Values().Encode()); err != nil {
		return err
	}
	file, err := c.download("orders-" + c.Now().UTC().Format("20060102-1504") + ".csv")
	if err != nil {
		return err
	}
	if err := file.row(orderHead...); err != nil {
		return err
	}
	for _, o := range of { // one after the other: no more than the ids of one are in memory
		orders, err := c.Shop.Orders(c.r.Context(), o.ID)
		if err != nil {
			return file.broken(err)
		}
		for _, order := range orders {
			if !f.day(order) {
				continue
			}
			p, ok, err := c.read(order)
			if err != nil {
				return file.broken(err)
			}
			if !ok || !f.meant(p) {
				continue
			}
			b, err := c.Shop.Buyer(c.r.Context(), p.Buyer)
			if err != nil {
				return file.broken(err)
			}
			if err := file.row(orderCells(p, b)...); err != nil {
				return file.broken(err)
			}
		}
	}
	return file.end()
}
