package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hashtill/offers"
)

// Nobody is kept out of the desk by how they read it.
func TestDeskIsAccessible(t *testing.T) {
	d, demo := startDemo(t)
	page := startBrowser(t)
	ctx, stop := context.WithTimeout(t.Context(), 90*time.Second)
	defer stop()
	p := &play{stage: d.stage, out: new(strings.Builder), http: http.DefaultClient}
	id, address, err := p.untilLink(ctx, d.person("ann"), "@hashtill #BuyTee x2", "BuyTee")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.presses(ctx, d.person("ann"), address); err != nil {
		t.Fatal(err)
	}
	if _, err := p.becomes(ctx, id, offers.Paid); err != nil {
		t.Fatal(err)
	}
	if _, err := d.shop.AddToken(ctx, stageMerchant, offers.Token{Name: "till", Rights: offers.Rights}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.shop.AddHook(ctx, stageMerchant, "http://127.0.0.1:9/", nil); err != nil {
		t.Fatal(err)
	}
	open := func(address string) {
		t.Helper()
		if err := chromedp.Do(page, chromedp.Navigate(address), chromedp.WaitVisible(chromedp.CSS("h1"))); err != nil {
			t.Fatal(address, err)
		}
		_, path, _ := strings.Cut(strings.TrimPrefix(address, "http://"), "/")
		accessible(t, page, "/"+path)
	}
	open(demo + "/?as=ann")
	desk := d.cfg.Desk.URL
	open(desk + "/sign-in")
	link, err := d.deskLink(ctx)
	if err != nil {
		t.Fatal(err)
	}
	open(link)
	if err := chromedp.Do(page, chromedp.Click(chromedp.CSS("main button"), chromedp.NodeVisible), chromedp.WaitVisible(chromedp.CSS(".places"))); err != nil {
		t.Fatal(err)
	}
	m := "/m/" + stageMerchant
	for _, path := range []string{
		"/", "/factor", "/factor/new", "/op/?still", "/op/stuck", "/op/merchants", "/op/merchants/" + stageMerchant, "/op/people", "/op/log",
		m + "/", m + "/new", m + "/offers/buyhoodie", m + "/offers/buyhoodie/stock", m + "/offers/buyhoodie/remove", m + "/offers/buyhoodie/announce",
		m + "/import", m + "/sale/buytee", m + "/orders", m + "/orders/" + string(id), m + "/money", m + "/people", m + "/log", "/nothing",
	} {
		open(desk + path)
	}
	if err := chromedp.Do(page, chromedp.EmulateViewport(1280, 900)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{m + "/", m + "/orders", m + "/money", "/op/?still"} {
		open(desk + path)
	}
}
