package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"hashtill/bot/x/xtest"
	"hashtill/offers"
)

// A sale as a merchant lives it, on a phone, with the whole system behind it: sign in, make
// an offer, announce it, watch ten buyers, ship, refund, export.
func TestASale(t *testing.T) {
	d, _ := startDemo(t)
	page := startBrowser(t)
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Second)
	defer stop()
	p := &play{stage: d.stage, out: io.Discard, http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	do := func(step string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(page, actions...); err != nil {
			at, _ := chromedp.Run(page, chromedp.Location())
			text, _ := chromedp.Run(page, chromedp.Text(chromedp.CSS("body")))
			t.Fatalf("%s: %v\nat %s:\n%s", step, err, at, text)
		}
	}
	look := func(name string) {
		t.Helper()
		accessible(t, page, name)
		dir := os.Getenv("SHOTS") // to be looked at
		if dir == "" {
			return
		}
		picture, err := chromedp.Run(page, chromedp.FullScreenshot(90))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "sale_"+name+".jpg"), picture, 0o644)
		}
		if err != nil {
			t.Error(err)
		}
	}
	see := func(css string) chromedp.Action[chromedp.Void] { return chromedp.WaitVisible(chromedp.CSS(css)) }
	tap := func(css string) chromedp.Action[chromedp.Void] {
		return chromedp.Click(chromedp.CSS(css), chromedp.NodeVisible)
	}
	set := func(css, text string) chromedp.Action[chromedp.Void] {
		return chromedp.SetValue(chromedp.CSS(css), text)
	}

	// The merchant's own person, not the operator: they see this merchant and nothing else.
	email := offers.Email("rita@records.example")
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "test", AccountName: "rita"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.shop.EditPerson(ctx, email, func(p *offers.Person) error {
		p.Roles[stageMerchant], p.Factor = offers.Owner, key.Secret()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	desk := d.cfg.Desk.URL
	do("ask for a link", chromedp.Navigate(desk+"/sign-in"), set(`input[name="email"]`, string(email)), tap("main button"))
	mail, err := p.getsMail(ctx, &person{Account: xtest.Account{Handle: "rita"}, Email: string(email)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, link, _ := strings.Cut(mail.Text, desk)
	do("come with it", chromedp.Navigate(desk+strings.Fields(link)[0]), tap("main button"), see("nav"))

	base := desk + "/m/" + stageMerchant
	do("make an offer", chromedp.Navigate(base+"/new"),
		set(`input[name="tag"]`, "TourCap"), set(`input[name="title"]`, "Tour cap"), set(`input[name="seller"]`, "Demo Records"),
		set(`input[name="price"]`, "19.90"), set(`input[name="currency"]`, "EUR"), set(`textarea[name="stock"]`, "9"), tap(`input[name="waitlist"]`))
	look("1_offer")
	do("add it", tap("form.offer button.main"), see(".notice"))
	do("announce it", chromedp.Navigate(base+"/offers/tourcap/announce"), tap("main form button"), see(".notice"))
	if _, err := d.x.Wait(ctx, func(q xtest.Post) bool {
		return q.AuthorID == d.shopX.ID && q.ReplyTo == "" && strings.Contains(q.Text, "TourCap")
	}); err != nil {
		t.Fatal("no announcement: ", err)
	}

	do("watch it", chromedp.Navigate(base+"/sale/tourcap"), see("#live"))
	var all []offers.ID
	for n := range 10 {
		who := person{Account: xtest.Account{Handle: fmt.Sprint("fan", n), Name: fmt.Sprint("Fan ", n)}, Lang: "en", Card: "4242424242424242"}
		if err := d.enter(ctx, who); err != nil {
			t.Fatal(err)
		}
		fan := d.person(who.Handle)
		if n == 9 { // the last of ten for nine
			id, reply, err := p.wishes(ctx, fan, "@hashtill #TourCap", "TourCap")
			if err != nil || !strings.Contains(reply.Text, "sold out") {
				t.Fatalf("%q, %v", reply.Text, err)
			}
			if _, err := p.becomes(ctx, id, offers.Waiting); err != nil {
				t.Fatal(err)
			}
			break
		}
		id, address, err := p.untilLink(ctx, fan, "@hashtill #TourCap please", "TourCap")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.presses(ctx, fan, address); err != nil {
			t.Fatal(err)
		}
		if _, err := p.becomes(ctx, id, offers.Paid); err != nil {
			t.Fatal(err)
		}
		all = append(all, id)
	}
	// It moves by itself: nobody has loaded the page again.
	do("see ten wishes and one who waits", chromedp.Poll[chromedp.Void](`document.querySelector("#live").innerText.replace(/\s+/g, " ").match(/\b10\b.*\b9\b/) !== null`))
	look("2_sale")

	order := base + "/orders/" + string(all[0])
	do("ship one", chromedp.Navigate(order), set(`input[name="tracking"]`, "LX 123"), tap(`form[action$="/ship"] button`), see(".notice"))
	look("3_order")
	first := d.person("fan0")
	if m, err := p.getsMail(ctx, first, 3); err != nil || !strings.Contains(m.Text, "LX 123") {
		t.Errorf("mail %q, %v", m.Subject, err)
	}
	code, err := totp.GenerateCode(key.Secret(), d.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	order = base + "/orders/" + string(all[1])
	do("refund another", chromedp.Navigate(order+"/refund"), set(`input[name="code"]`, code), tap("main form button"),
		see(`input[name="why"]`), tap("main form button"), see(".amount"), tap(`form[action$="/refund"] button`), see(".notice"))
	look("4_refund")
	if _, err := p.becomes(ctx, all[1], offers.Refunded); err != nil {
		t.Fatal(err)
	}
	// The unit came back, and is the tenth buyer's if they confirm.
	if m, err := p.getsMail(ctx, d.person("fan9"), 1); err != nil || !strings.Contains(m.Text, "#") {
		t.Errorf("mail %q, %v", m.Subject, err)
	}
	do("see the orders", chromedp.Navigate(base+"/orders"), see(".orders"))
	look("5_orders")

	// What the button sends the browser keeps as a file; here it is read.
	do("export", chromedp.Evaluate[chromedp.Void](`(form => fetch(form.action, {method: "POST", body: new URLSearchParams(new FormData(form))})
		.then(r => r.text()).then(text => { window.exported = text }))(document.querySelector('form[action$="/orders/export"]')); undefined`))
	file, err := chromedp.Run(page, chromedp.Poll[string]("window.exported"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(file, "\ufeff"))).ReadAll()
	if err != nil || len(rows) != 1+len(all) {
		t.Errorf("exported %d rows, %v", len(rows), err)
	}
	do("at a desk", chromedp.EmulateViewport(1280, 900), chromedp.Navigate(base+"/sale/tourcap"), see("#live"))
	look("6_desktop")
	do("money", chromedp.Navigate(base+"/money"), see("svg"))
	look("7_money")
}
