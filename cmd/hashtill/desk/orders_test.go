package desk

import (
	"encoding/csv"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
)

var orderLinks = regexp.MustCompile(`href="/m/[^/]+/orders/([0-9a-z-]{27})"`)

// shows are the orders on a page, in its order.
func (a *answer) shows() (ids []offers.ID) {
	for _, m := range orderLinks.FindAllStringSubmatch(a.body, -1) {
		ids = append(ids, offers.ID(m[1]))
	}
	return ids
}

// lists wants these orders, in this order.
func (a *answer) lists(want ...offers.Purchase) *answer {
	a.t.Helper()
	var ids []offers.ID
	for _, p := range want {
		ids = append(ids, p.ID)
	}
	if got := a.is(200).shows(); !slices.Equal(got, ids) {
		a.t.Errorf("it lists %v, not %v", got, ids)
	}
	return a
}

// some are orders of every status, paid a day after another: to ship, shipped, refunded in
// part, withdrawn and disputed. The last is to be shipped, too.
func (w *world) some() (all []offers.Purchase) {
	ctx := w.t.Context()
	no := func(_ offers.Purchase, err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	for n := range 5 {
		all = append(all, w.paid(n, "BuyTee", "M"))
		w.passes(24 * time.Hour)
	}
	no(w.shop.Ship(ctx, all[1].ID, "1Z 999 AA1", w.clock()))
	no(w.shop.RefundPurchase(ctx, all[2].ID, offers.Money{Minor: 1000, Currency: "USD"}, "", w.clock()))
	no(w.shop.Ship(ctx, all[3].ID, "", w.clock()))
	no(w.shop.Withdraw(ctx, all[3].ID, all[3].Buyer, w.clock()))
	w.settle()
	if err := w.shop.Hear(ctx, offers.Hint{Event: "evt_1", Type: "charge.dispute.created", Topic: offers.Afterwards, Object: "dp_1",
		Intent: "pi_1", Purchase: all[0].ID}, w.clock()); err != nil {
		w.t.Fatal(err)
	}
	for i, p := range all {
		all[i] = w.purchase(p.ID)
	}
	return all
}

func TestOrdersAreFound(t *testing.T) {
	w := newWorld(t)
	all := w.some()
	hat, open := w.paid(7, "BuyHat"), w.mailed(8, "BuyTee", "S")
	pin := w.paid(9, "BuyPin")
	b := w.as(vera)
	at := "/m/records/orders"
	b.get(at).lists(all[4], all[3], all[2], all[1], all[0]).saysNot(string(hat.ID), string(open.ID), string(pin.ID)).says("5 orders")
	for query, want := range map[string][]offers.Purchase{
		"status=to-ship":                  {all[4], all[2], all[0]},
		"status=shipped":                  {all[3], all[1]},
		"status=refunded":                 {all[2]},
		"status=withdrawn":                {all[3]},
		"status=disputed":                 {all[0]},
		"offer=buytee&status=withdrawn":   {all[3]},
		"offer=%23BuyTee&from=2026-11-25": {all[4]},
		"from=2026-11-22&to=2026-11-23":   {all[2], all[1]},
		"to=2026-11-20":                   nil,
		"q=%40BUYER3":                     {all[3]},
		"q=999+aa":                        {all[1]},
		"q=buyer&status=shipped":          {all[3], all[1]},
		"q=nobody":                        nil,
		"page=2":                          nil,
		"page=-3&q=buyer0":                {all[0]},
	} {
		t.Run(query, func(t *testing.T) { b.get(at + "?" + query).lists(want...) })
	}
	// A number or a code leads to the purchase, paid or not, and to nobody else's.
	b.get(at + "?q=" + string(open.ID)).leads("/m/records/orders/" + string(open.ID))
	b.get(at + "?q=%23" + strings.ToUpper(string(open.Code))).leads("/m/records/orders/" + string(open.ID))
	b.get(at + "?q=" + string(hat.ID)).lists()
	b.get(at + "?q=%23" + string(hat.Code)).lists()
	for _, bad := range []string{"from=yesterday", "status=eaten", "q=" + strings.Repeat("x", 101)} {
		b.get(at + "?" + bad).is(400)
	}
	b.get(at + "?offer=buyhat").is(404)
	w.as(hans).get("/m/hats/orders").lists(hat)
	w.as(otto).get("/m/-/orders").lists(pin)
}

func TestOrdersInPages(t *testing.T) {
	w := newWorld(t)
	tee, _ := w.shop.OfferByTag("BuyTee")
	tee.Stock = map[string]int{"S": 100, "M": 100}
	if err := w.shop.PutOffer(t.Context(), tee); err != nil {
		t.Fatal(err)
	}
	var all []offers.Purchase
	for n := range orderPage + 3 {
		all = append(all, w.paid(n, "BuyTee", "S"))
		w.passes(time.Second)
	}
	slices.Reverse(all)
	b := w.as(vera)
	at := "/m/records/orders?"
	b.get(at).lists(all[:orderPage]...).says("53 orders, page 1")
	b.get(at + "page=2").lists(all[orderPage:]...)
	b.get(at + "q=buyer").lists(all[:orderPage]...)
	b.get(at + "q=buyer&page=2").lists(all[orderPage:]...)

	lookAt = 10
	defer func() { lookAt = 2000 }()
	b.get(at + "q=buyer").lists(all[:10]...).says("Only the newest 10 of 53 orders were looked at")
	b.get(at + "q=buyer0").lists().says("Only the newest 10 of 53")
	b.get(at + "page=2").lists(all[orderPage:]...).saysNot("Only the newest")
}

func TestExportOfOrders(t *testing.T) {
	w := newWorld(t)
	all := w.some()
	for n, text := range []string{`=HYPERLINK("http://evil.example")`, "-1+1", "@SUM(A1)", "+1", "\u00e9t\u00e9, \"quoted\""} {
		if _, err := w.shop.Note(t.Context(), all[n].ID, "carl", text, w.clock()); err != nil {
			t.Fatal(err)
		}
	}
	w.paid(7, "BuyHat")
	b := w.as(carl)
	a := b.post("/m/records/orders/export", nil).is(200)
	if got := a.Header().Get("Content-Disposition"); got != `attachment; filename="orders-20261126-2000.csv"` {
		t.Error(got)
	}
	golden := "\ufeffpurchase,paid_at,hashtag,title,variant,quantity,total,currency,delivery,tax_percent,tax,refunded,status,shipped_at,tracking,withdrawn_at,handle,address,country,notes\r\n" +
		string(all[4].ID) + ",2026-11-25T20:00:00Z,BuyTee,Tour T-shirt,M,1,29.99,USD,0.00,0,0.00,0.00,To ship,,,,buyer4,\"Buyer 4\r\n4 Long Street\",,\"\u00e9t\u00e9, \"\"quoted\"\"\"\r\n" +
		string(all[3].ID) + ",2026-11-24T20:00:00Z,BuyTee,Tour T-shirt,M,1,29.99,USD,0.00,0,0.00,0.00,Withdrawn: refund it; Shipped,2026-11-26T20:00:00Z,,2026-11-26T20:00:00Z,buyer3,\"Buyer 3\r\n3 Long Street\",,'+1\r\n" +
		string(all[2].ID) + ",2026-11-23T20:00:00Z,BuyTee,Tour T-shirt,M,1,29.99,USD,0.00,0,0.00,10.00,To ship; Refunded in part,,,,buyer2,\"Buyer 2\r\n2 Long Street\",,'@SUM(A1)\r\n" +
		string(all[1].ID) + ",2026-11-22T20:00:00Z,BuyTee,Tour T-shirt,M,1,29.99,USD,0.00,0,0.00,0.00,Shipped,2026-11-26T20:00:00Z,1Z 999 AA1,,buyer1,\"Buyer 1\r\n1 Long Street\",,'-1+1\r\n" +
		string(all[0].ID) + ",2026-11-21T20:00:00Z,BuyTee,Tour T-shirt,M,1,29.99,USD,0.00,0,0.00,0.00,Disputed; To ship,,,,buyer0,\"Buyer 0\r\n0 Long Street\",,\"'=HYPERLINK(\"\"http://evil.example\"\")\"\r\n"
	if a.body != golden {
		t.Errorf("exported:\n%s\nwant:\n%s", a.body, golden)
	}
	rows, err := csv.NewReader(strings.NewReader(b.post("/m/records/orders/export", url.Values{"status": {"shipped"}, "to": {"2026-11-23"}}).body)).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][0] != string(all[1].ID) {
		t.Error(rows, err)
	}
	w.did("records", "export orders", carl)
}

// did wants a deed among the last of a merchant: several may be of one moment.
func (w *world) did(merchant, what string, who offers.Email) offers.Deed {
	w.t.Helper()
	all, err := w.shop.Deeds(w.t.Context(), merchant, 5)
	for _, d := range all {
		if d.What == what && d.Who == string(who) {
			return d
		}
	}
	w.t.Fatalf("the last deeds are %+v, %v; want that %s did %s", all, err, who, what)
	return offers.Deed{}
}

func TestShip(t *testing.T) {
	w := newWorld(t)
	p := w.paid(1, "BuyTee", "M")
	at := "/m/records/orders/" + string(p.ID)
	b := w.as(carl)
	b.get(at).is(200).says("To ship", "Buyer 1 1 Long Street", "@buyer1", "Mark as shipped", "Only owners refund").saysNot("b1@example.com", "cus_1", "pm_1", "pi_1")
	w.as(vera).get(at).is(200).saysNot("Mark as shipped", "Write it down", "<textarea")
	b.post(at+"/ship", url.Values{"tracking": {" 1Z 999 "}}).leads(at + "?done=shipped")
	if d := w.did("records", "ship", carl); d.Of != string(p.ID) || d.More != "" {
		t.Error(d)
	}
	w.settle()
	if p = w.purchase(p.ID); p.Tracking != "1Z 999" || !p.ShippedAt.Equal(t0) {
		t.Error(p.Tracking, p.ShippedAt)
	}
	b.post(at+"/ship", url.Values{"tracking": {"other"}}).is(409).says("It is marked as shipped already.")
	b.post(at+"/ship", url.Values{"tracking": {strings.Repeat("x", 121)}}).is(400)
	b.get(at+"?done=shipped").is(200).says("told by mail", "Shipped 1Z 999", "Withdrawal possible until").saysNot("Mark as shipped")
	if w.purchase(p.ID).Tracking != "1Z 999" {
		t.Error("it was shipped twice")
	}
}

func TestNote(t *testing.T) {
	w := newWorld(t)
	p := w.paid(1, "BuyTee", "M")
	at := "/m/records/orders/" + string(p.ID)
	b := w.as(carl)
	for range 2 { // pressed twice
		b.post(at+"/note", url.Values{"text": {"called <b>them</b>\r\n twice"}}).leads(at + "?done=noted")
	}
	b.post(at+"/note", url.Values{"text": {"  "}}).is(400)
	if p = w.purchase(p.ID); len(p.Notes) != 1 || p.Notes[0].By != string(carl) {
		t.Error(p.Notes)
	}
	w.as(vera).get(at).says("called <b>them</b> twice").saysNot("<b>them")
	w.did("records", "note", carl)
}

func TestCancelByTheShop(t *testing.T) {
	w := newWorld(t)
	p, waits := w.mailed(1, "BuyTee", "M"), w.wish(2, "BuyTee", "M")
	at := "/m/records/orders/" + string(p.ID)
	b := w.as(carl)
	b.get(at).is(200).says("Cancel it now", "Waits for the click")
	b.post(at+"/cancel", nil).leads(at + "?done=cancelled")
	w.settle()
	if p = w.purchase(p.ID); p.State != offers.Cancelled || p.Reason != offers.ShopCancelled || p.Held != 0 || !slices.Contains(p.Told, offers.ShopCancelled) {
		t.Error(p.State, p.Reason, p.Held, p.Told)
	}
	w.did("records", "cancel", carl)
	b.post(at+"/cancel", nil).leads(at + "?done=cancelled") // once more does no harm
	if n := w.purchase(p.ID).Moves; n != p.Moves {
		t.Error("it was cancelled twice")
	}
	b.get(at).says("by the shop").saysNot("Cancel it now")

	b.post("/m/records/orders/"+string(waits.ID)+"/cancel", nil).is(303)
	if p := w.purchase(waits.ID); p.State != offers.Cancelled || p.Held != 0 {
		t.Error(p.State, p.Held)
	}
	paid := w.paid(3, "BuyTee", "S")
	b.post("/m/records/orders/"+string(paid.ID)+"/cancel", nil).is(409).says("It can be refunded.")
	w.passes(2 * time.Hour)
	late := w.wish(4, "BuyTee", "S")
	w.passes(2 * time.Hour)
	w.settle()
	b.post("/m/records/orders/"+string(late.ID)+"/cancel", nil).is(400).says("It had ended before, and stays as it was: expired.")
}

func TestRefund(t *testing.T) {
	w := newWorld(t)
	p := w.paid(1, "BuyTee", "M")
	at := "/m/records/orders/" + string(p.ID)
	form := func(n int, amount string) url.Values {
		return url.Values{"n": {fmt.Sprint(n)}, "amount": {amount}, "why": {"torn"}}
	}
	b := w.as(rita)
	for _, try := range []func() *answer{
		func() *answer { return b.get(at + "/refund") },
		func() *answer { return b.post(at+"/refund/confirm", form(1, "10")) },
		func() *answer { return b.post(at+"/refund", form(1, "10")) },
	} {
		if a := try().is(303); !strings.HasPrefix(a.Header().Get("Location"), "/factor") {
			t.Error(a.Header().Get("Location"))
		}
	}
	b.withFactor()
	b.get(at + "/refund").is(200).says("$29.99 of it can still go back")
	b.post(at+"/refund/confirm", form(1, "12.50")).is(200).says("Pay $12.50 back?", "In words: twelve and 50/100 USD", "torn")
	b.post(at+"/refund/confirm", url.Values{}).is(200).says("Pay $29.99 back?", "twenty-nine and 99/100 USD")
	for amount, says := range map[string]string{"30": "$29.99 is", "1,5": "Write the amount like 29.99", "0": "That is nothing", "-1": "Write the amount", "0.001": "Write the amount"} {
		b.post(at+"/refund/confirm", form(1, amount)).is(400).says(says)
	}
	if p = w.purchase(p.ID); len(p.Refunds) > 0 {
		t.Fatal("a look refunded", p.Refunds)
	}

	for range 2 { // pressed twice
		b.post(at+"/refund", form(1, "12.50")).leads(at + "?done=refund")
	}
	if all, err := w.shop.Deeds(t.Context(), "records", 10); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
	if d := w.did("records", "refund", rita); d.More != "12.50 USD" {
		t.Error(d)
	}
	b.post(at+"/refund", form(1, "5")).is(400).says("Meanwhile another refund of it was decided: $12.50")
	b.post(at+"/refund", form(3, "5")).is(400)
	b.post(at+"/refund", form(2, "20")).is(409)
	if p = w.purchase(p.ID); len(p.Refunds) != 1 || p.Refunds[0].Amount.Minor != 1250 {
		t.Fatal(p.Refunds)
	}
	w.settle()
	b.get(at + "/refund").says("$29.99 was paid, and $17.49 of it")
	b.post(at+"/refund", form(2, "17.49")).leads(at + "?done=refund")
	w.settle()
	b.post(at+"/refund", form(2, "17.49")).leads(at + "?done=refund")
	if p = w.purchase(p.ID); p.State != offers.Refunded || len(p.Refunds) != 2 {
		t.Error(p.State, p.Refunds)
	}
	b.get(at + "/refund").is(409).says("All of it was paid back already.")
	b.get(at).says("Refund made: $17.49", "torn").saysNot("Refund …")

	w.passes(factorTime + time.Second) // what was given then counts no more
	if a := b.get(at + "/refund").is(303); !strings.HasPrefix(a.Header().Get("Location"), "/factor") {
		t.Error(a.Header().Get("Location"))
	}
}

// Whenever a second press comes while the first is on its way, one refund is decided.
func TestRefundIsDecidedOnce(t *testing.T) {
	for k := range 4 {
		w := newWorld(t)
		p := w.paid(1, "BuyTee", "M")
		b := w.as(rita).withFactor()
		press := func() {
			b.post("/m/records/orders/"+string(p.ID)+"/refund", url.Values{"n": {"1"}, "amount": {"1"}}).is(303)
		}
		looks := 0
		w.desk.Now = func() time.Time { // a press looks at the clock a few times on its way
			if looks++; looks == k+1 {
				press()
			}
			return w.clock()
		}
		press()
		if p = w.purchase(p.ID); len(p.Refunds) != 1 {
			t.Errorf("%d refunds, where the second press comes at look %d of the first", len(p.Refunds), k+1)
		}
	}
}

func TestSpelled(t *testing.T) {
	for want, m := range map[string]offers.Money{
		"twenty-nine and 99/100 USD":                      {Minor: 2999, Currency: "USD"},
		"zero and 05/100 EUR":                             {Minor: 5, Currency: "EUR"},
		"three thousand JPY":                              {Minor: 3000, Currency: "JPY"},
		"one and 250/1000 KWD":                            {Minor: 1250, Currency: "KWD"},
		"one million two hundred five thousand ten USD":   {Minor: 120501000, Currency: "USD"},
		"nineteen thousand million ninety and 01/100 USD": {Minor: 1900000009001, Currency: "USD"},
	} {
		if got := spelled(m); got != want {
			t.Errorf("%s: %s, want %s", m, got, want)
		}
	}
}
