package desk

import (
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hashtill/offers"
)

// An owner on a phone looks an order up, notes, ships and refunds it; then at a desktop.
func TestWalkOrders(t *testing.T) {
	w := newWalk(t)
	all := w.some()
	w.passes(10 * 24 * time.Hour)
	for n := range 9 {
		w.paid(20+n, "BuyTee", "S")
		w.passes(time.Duration(n) * 8 * time.Hour)
	}
	open := w.mailed(40, "BuyTee", "M")
	w.signsIn(rita)
	if _, err := w.shop.EditPerson(t.Context(), rita, func(p *offers.Person) error { p.Factor = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"; return nil }); err != nil {
		t.Fatal(err)
	}
	w.opens("orders all", "/m/records/orders")
	w.types(`select[name="status"]`, "to-ship")
	w.types(`input[name="q"]`, "@buyer4")
	w.tap(".filters button")
	w.sees("orders found", ".orders .what a")
	w.tap(".orders .what a")
	w.sees("order to ship", ".moments")
	w.types(`textarea[name="text"]`, "Called: wants it at the neighbour’s, second door on the left")
	w.tap(`form[action$="/note"] button`)
	w.sees("order noted", ".notice")
	w.types(`input[name="tracking"]`, "1Z 999 AA1 01 2345 6784")
	w.tap(`form[action$="/ship"] button`)
	w.sees("order shipped", ".notice")
	w.tap(`a[href$="/refund"]`)
	w.sees("order factor", `input[name="code"]`)
	w.types(`input[name="code"]`, (&browser{world: w.world, email: rita}).code())
	w.tap("main form button")
	w.sees("refund", `input[name="amount"]`)
	w.types(`input[name="amount"]`, "12,50")
	w.tap("main form button")
	w.sees("refund mistyped", ".problem")
	w.types(`input[name="amount"]`, "12.50")
	w.types(`input[name="why"]`, "a hole in the sleeve")
	w.tap("main form button")
	w.sees("refund asked once more", ".amount")
	w.tap(`form[action$="/refund"] button`)
	w.sees("order refunded", ".notice")
	if p := w.purchase(all[4].ID); len(p.Notes) != 1 || p.Tracking == "" || len(p.Refunds) != 1 || p.Refunds[0].Amount.Minor != 1250 {
		t.Errorf("%+v", p)
	}
	at := "/m/records/orders/"
	w.opens("order open", at+string(open.ID))
	w.tap(".actions summary")
	w.tap(`form[action$="/cancel"] button`)
	w.sees("order cancelled", ".notice")
	w.opens("money of a month", "/m/records/money")
	w.opens("log of records", "/m/records/log")
	w.desktop()
	w.opens("desktop orders all", "/m/records/orders")
	w.opens("desktop order", at+string(all[4].ID))
	w.opens("desktop order withdrawn", at+string(all[3].ID))
	w.opens("desktop refund", at+string(all[4].ID)+"/refund")
	w.opens("desktop money of 90 days", "/m/records/money?days=90")
	w.opens("desktop log of records", "/m/records/log")
}

// The operator on a phone sees what is wrong, halts all, has what is stuck tried again.
func TestWalkOperator(t *testing.T) {
	w := newWalk(t)
	w.states = []State{{"Store", true, "works, 3 effects under way"}, {"Hearing x", true, "listening"},
		{"Budget: replies on x", true, "188 of 200 left, until 20:15 UTC"}, {"Mail", false, "late: 3 wait, the oldest for 2m10s"}, {"Stripe", true, "in time"}}
	w.as(carl).post("/m/records/orders/"+string(w.paid(2, "BuyTee", "S").ID)+"/note", url.Values{"text": {"fragile"}})
	w.stick()
	w.as(olga).withFactor() // in another browser
	w.signsIn(olga)
	w.opens("op now", "/op/?still")
	w.tap(`form[action="/op/halt"] button`)
	w.sees("op halted", ".halted")
	w.opens("op stuck", "/op/stuck")
	w.tap(".stuck summary")
	w.sees("op give up", `form[action="/op/stuck/give-up"] button`)
	w.opens("op merchants", "/op/merchants")
	adds := func() {
		w.types(`input[name="name"]`, "Example Books")
		w.types(`input[name="id"]`, "books")
		w.types(`input[name="owner"]`, "bea@books.example")
		w.tap(`form[action="/op/merchants"] button`)
	}
	adds()
	w.sees("op factor", ".problem")
	w.types(`input[name="code"]`, (&browser{world: w.world, email: olga}).code())
	w.tap("main form button")
	w.sees("op merchants again", `form[action="/op/merchants"]`)
	adds()
	w.sees("op merchant", ".notice")
	w.opens("op people", "/op/people")
	w.opens("op log", "/op/log")
	w.do("go on", chromedp.Click(chromedp.CSS(`form[action="/op/resume"] button`), chromedp.NodeVisible))
	w.sees("op goes on", ".notice")
	w.desktop()
	w.opens("desktop op now", "/op/?still")
	w.opens("desktop op stuck", "/op/stuck")
	w.opens("desktop op merchants", "/op/merchants")
	w.opens("desktop op merchant", "/op/merchants/records")
	w.opens("desktop op people", "/op/people")
	w.opens("desktop op log", "/op/log")
}
