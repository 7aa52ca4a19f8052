package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"hashtill/confirm/smtp/smtptest"
	"hashtill/offers"
)

// A shopper is one of the cast with a browser, on a stage of their own.
type shopper struct {
	*play
	t    *testing.T
	ctx  context.Context
	who  *person
	page context.Context // the tab in front
	demo string
}

func newShopper(t *testing.T, handle string) *shopper {
	d, demo := startDemo(t)
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Second)
	t.Cleanup(stop)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &shopper{play: &play{stage: d.stage, out: io.Discard, http: client}, t: t, ctx: ctx, who: d.person(handle), page: startBrowser(t), demo: demo}
}

func (s *shopper) do(step string, actions ...chromedp.Action[chromedp.Void]) {
	s.t.Helper()
	if err := chromedp.Do(s.page, actions...); err != nil {
		at, _ := chromedp.Run(s.page, chromedp.Location())
		text, _ := chromedp.Run(s.page, chromedp.Text(chromedp.CSS("body")))
		s.t.Fatalf("%s: %v\nat %s:\n%s", step, err, at, text)
	}
}

func (s *shopper) see(css string) {
	s.t.Helper()
	s.do("see "+css, chromedp.WaitVisible(chromedp.CSS(css)))
}

func (s *shopper) tap(css string) {
	s.t.Helper()
	s.do("tap "+css, chromedp.Click(chromedp.CSS(css), chromedp.NodeVisible))
}

// until waits until a page says that something is so, whichever page it is by then.
func (s *shopper) until(step, so string) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if is, err := chromedp.Run(s.page, chromedp.Evaluate[bool](so)); err == nil && is { // an error: it is between two pages
			return
		}
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			text, _ := chromedp.Run(s.page, chromedp.Text(chromedp.CSS("body")))
			s.t.Fatalf("%s: it never was so:\n%s", step, text)
		}
	}
}

// reads waits for a heading, and looks at the page: axe finds nothing, it is in the
// shopper's language, and nothing sticks out of the window.
func (s *shopper) reads(name string, heading *regexp.Regexp) {
	s.t.Helper()
	s.until("read "+heading.String(), `document.readyState === "complete" && document.querySelector("h1") !== null &&
		new RegExp("`+heading.String()+`").test(document.querySelector("h1").innerText)`)
	lang, err := chromedp.Run(s.page, chromedp.Evaluate[string]("document.documentElement.lang"))
	if err != nil || lang != s.who.Lang {
		s.t.Errorf("%s is in %q, not in %s (%v)", name, lang, s.who.Lang, err)
	}
	wide, err := chromedp.Run(s.page, chromedp.Evaluate[bool]("document.documentElement.scrollWidth <= innerWidth"))
	if err != nil || !wide {
		s.t.Errorf("%s is wider than the window (%v)", name, err)
	}
	accessible(s.t, s.page, name)
	if dir := os.Getenv("SHOTS"); dir != "" {
		picture, err := chromedp.Run(s.page, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "buyer_"+name+".png"), picture, 0o644)
		}
		if err != nil {
			s.t.Error(err)
		}
	}
}

// mailed goes from a wish to the link, without a browser.
func (s *shopper) mailed() (offers.ID, string, smtptest.Message) {
	s.t.Helper()
	id, address, err := s.untilLink(s.ctx, s.who, "@hashtill #BuyTee", "BuyTee")
	if err != nil {
		s.t.Fatal(err)
	}
	box := s.smtp.Mailbox(s.who.Email)
	return id, address, box[len(box)-1]
}

func (s *shopper) becomes(id offers.ID, want offers.State) offers.Purchase {
	s.t.Helper()
	p, err := s.play.becomes(s.ctx, id, want)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// The whole path, in both languages, on a phone and at a desk: wish, repost, mail, button,
// paid, receipt.
func TestBuying(t *testing.T) {
	for _, c := range []struct {
		handle, paid string
		desk         bool
	}{{"ann", "Paid", false}, {"chloe", "Payé", false}, {"chloe", "Payé", true}, {"ann", "Paid", true}} {
		name := c.handle + map[bool]string{false: "_phone", true: "_desk"}[c.desk]
		t.Run(name, func(t *testing.T) {
			s := newShopper(t, c.handle)
			if c.desk {
				s.do("sit at a desk", chromedp.EmulateViewport(1280, 900))
			}
			demo := s.page
			s.do("open the demo", chromedp.Navigate(s.demo+"/?as="+c.handle), chromedp.WaitVisible(chromedp.CSS("#compose button.main")))
			s.tap("#compose button.main")
			s.tap("#posts li.ofbot button.main")
			s.see("#mails a")
			s.tap("#mails a")
			s.see("iframe.letter")
			s.page = targetAt(t, demo, "iframe", s.demo+"/mail?")
			s.tap(`a[href*="/c/"]`)
			s.page = targetAt(t, demo, "page", s.cfg.PublicURL+"/")
			if c.desk {
				s.do("sit at a desk", chromedp.EmulateViewport(1280, 900))
			} else {
				s.do("hold a phone", chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
			}
			s.reads(name+"_confirm", regexp.MustCompile(`.`))
			at, err := chromedp.Run(s.page, chromedp.Location())
			box := s.smtp.Mailbox(s.who.Email)
			address, linkErr := link(box[len(box)-1])
			if err != nil || linkErr != nil || strings.Contains(at, path.Base(address)) {
				t.Errorf("the link stays in the address bar: %s (%v)", at, err)
			}
			s.tap("form button")
			s.reads(name+"_paid", regexp.MustCompile(c.paid))
			if n := len(s.stripe.Charges()); n != 1 {
				t.Errorf("%d charges", n)
			}
			if m, err := s.getsMail(s.ctx, s.who, 2); err != nil || !strings.Contains(m.Text, "Demo Records") {
				t.Errorf("receipt %q, %v", m.Subject, err)
			}
		})
	}
}

// A click after its time: the page says so, and what now.
func TestBuyingTooLate(t *testing.T) {
	s := newShopper(t, "ida")
	id, address, _ := s.mailed()
	if err := s.pass(s.ctx, 15*time.Minute+time.Second); err != nil {
		t.Fatal(err)
	}
	s.do("open the link", chromedp.Navigate(address))
	s.reads("late", regexp.MustCompile("expiré"))
	s.becomes(id, offers.Expired)
	if n := len(s.stripe.Charges()); n > 0 {
		t.Errorf("%d charges", n)
	}
}

// A card that is declined: the page says so, and another try is open.
func TestBuyingDeclined(t *testing.T) {
	s := newShopper(t, "hal")
	id, address, _ := s.mailed()
	s.do("open the link", chromedp.Navigate(address))
	s.reads("declined_confirm", regexp.MustCompile("."))
	s.tap("form button")
	s.reads("declined", regexp.MustCompile("declined|not accepted|refused"))
	s.becomes(id, offers.Declined)
}

// The bank asks: there, and back, and it is paid.
func TestBuyingByTheBank(t *testing.T) {
	s := newShopper(t, "kim")
	id, address, _ := s.mailed()
	s.do("open the link", chromedp.Navigate(address))
	s.see("form button")
	s.tap("form button")
	s.becomes(id, offers.Challenged)
	s.reads("bank", regexp.MustCompile("bank"))
	s.tap(`main a[href], main form[action^="http"] button`)
	s.until("be at the bank", `location.href.startsWith("`+s.stripe.URL()+`") && document.readyState === "complete"`)
	s.tap("button, input[type=submit]")
	s.until("be back", `location.href.startsWith("`+s.cfg.PublicURL+`")`)
	s.becomes(id, offers.Paid)
	s.reads("bank_paid", regexp.MustCompile("Paid"))
}

var notMeInMail = regexp.MustCompile(`http://[^\s"<>]+/not-me/[A-Za-z0-9_.~-]+`)

// "This wasn't me": cancelled, frozen, and told how to come back.
func TestBuyingWasNotMe(t *testing.T) {
	for _, handle := range []string{"ann", "chloe"} {
		s := newShopper(t, handle)
		id, _, m := s.mailed()
		address := notMeInMail.FindString(m.Text)
		if address == "" {
			t.Fatalf("no way to say so in %s", m.Text)
		}
		s.do("open it", chromedp.Navigate(address))
		s.reads(handle+"_not_me", regexp.MustCompile("."))
		if b, err := s.shop.Buyer(s.ctx, s.account(s.who)); err != nil || b.Frozen {
			t.Fatal("opened, and frozen ", err)
		}
		s.tap("main form button")
		s.becomes(id, offers.Cancelled)
		s.reads(handle+"_not_me_done", regexp.MustCompile("frozen|gelé|bloqué"))
		if b, err := s.shop.Buyer(s.ctx, s.account(s.who)); err != nil || !b.Frozen {
			t.Error("not frozen ", err)
		}
		if _, err := s.getsMail(s.ctx, s.who, 2); err != nil {
			t.Error("not told how to come back: ", err)
		}
		if n := len(s.stripe.Charges()); n > 0 {
			t.Errorf("%d charges", n)
		}
	}
}

// The pages that nobody has to be signed in for.
func TestOfferPages(t *testing.T) {
	s := newShopper(t, "ann")
	for _, path := range []string{"/", "/o/BuyHoodie", "/o/BuyTee", "/join", "/nothing"} {
		s.do("open "+path, chromedp.Navigate(s.cfg.PublicURL+path))
		s.reads("page"+strings.ReplaceAll(path, "/", "_"), regexp.MustCompile("."))
	}
}
