package desk

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"hashtill/offers"
)

// A walk is somebody at the desk with a real browser.
type walk struct {
	*world
	srv   *httptest.Server
	page  context.Context
	shots string // where pictures go; "" for none
	wide  int    // of the window, in pixels
}

// newWalk opens a desk in a browser. HASHTILL_SHOTS names a directory for pictures of each
// step, to be looked at.
func newWalk(t *testing.T) *walk {
	w := &walk{world: newWorld(t), shots: os.Getenv("HASHTILL_SHOTS")}
	w.srv = httptest.NewServer(w.http)
	t.Cleanup(w.srv.Close)
	t.Cleanup(w.desk.Close)
	w.desk.URL = w.srv.URL

	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Fatal("no browser is installed; on Debian: apt-get install chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	w.page, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	w.phone()

	var mu sync.Mutex
	var complaints []string
	listening, stop := context.WithCancel(w.page)
	done := make(chan struct{})
	console := chromedp.Console(listening)
	go func() {
		defer close(done)
		for m, err := range console {
			refused := strings.HasPrefix(m.Text, "Failed to load resource") // the walk sends what is wrong, too
			if err == nil && (m.Type == "error" || m.IsException()) && !refused {
				mu.Lock()
				complaints = append(complaints, m.String())
				mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
		if len(complaints) > 0 {
			t.Errorf("the browser complains:\n%s", strings.Join(complaints, "\n"))
		}
	})
	return w
}

func (w *walk) phone() {
	w.t.Helper()
	w.wide = 390
	w.do("hold a phone", chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
}

func (w *walk) desktop() {
	w.t.Helper()
	w.wide = 1280
	w.do("sit at a desk", chromedp.EmulateViewport(1280, 900))
}

func (w *walk) do(step string, actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.page, actions...); err != nil {
		at, _ := chromedp.Run(w.page, chromedp.Location())
		text, _ := chromedp.Run(w.page, chromedp.Text(chromedp.CSS("body")))
		w.t.Fatalf("%s: %v\nat %s:\n%s", step, err, at, text)
	}
}

// opens goes to a page of the desk.
func (w *walk) opens(name, path string) {
	w.t.Helper()
	w.do("open "+path, chromedp.Navigate(w.srv.URL+path))
	w.sees(name, "main")
}

// sees waits for something, and looks at the page: nothing sticks out of the window, all
// that is pressed can be hit, and light and dark a picture is taken.
func (w *walk) sees(name, css string) {
	w.t.Helper()
	w.do("see "+name, chromedp.WaitVisible(chromedp.CSS(css)))
	wide, err := chromedp.Run(w.page, chromedp.Evaluate[int](`document.documentElement.scrollWidth`))
	if err != nil || wide > w.wide {
		w.t.Errorf("%s is %d pixels wide in a window of %d (%v)", name, wide, w.wide, err)
	}
	small, err := chromedp.Run(w.page, chromedp.Evaluate[[]string](`[...document.querySelectorAll("button, summary, .button, .choice, nav a, .crumb, .places a, input:not([type=radio]):not([type=checkbox]), select")].filter(e => e.offsetHeight && e.offsetHeight < 43).map(e => e.textContent.trim() || e.name)`))
	if err != nil || len(small) > 0 {
		w.t.Errorf("%s: too small for a thumb: %q (%v)", name, small, err)
	}
	if w.shots == "" {
		return
	}
	for _, scheme := range []string{"light", "dark"} {
		w.do("light or dark", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
			return err
		}))
		picture, err := chromedp.Run(w.page, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(filepath.Join(w.shots, strings.ReplaceAll(name, " ", "_")+"_"+scheme+".png"), picture, 0o644)
		}
		if err != nil {
			w.t.Error(err)
		}
	}
}

// tap taps something. Where it leads to another page, it waits until that is there.
func (w *walk) tap(css string) {
	w.t.Helper()
	leaves := fmt.Sprintf(`(e => {
		const leaves = e !== null && (e.matches("a[href]") || e.matches("button") && e.form !== null);
		if (leaves) document.documentElement.dataset.left = "yes";
		return leaves;
	})(document.querySelector(%q))`, css)
	w.do("see "+css, chromedp.WaitVisible(chromedp.CSS(css)))
	another, err := chromedp.Run(w.page, chromedp.Evaluate[bool](leaves))
	if err != nil {
		w.t.Fatal(err)
	}
	w.do("tap "+css, chromedp.Click(chromedp.CSS(css), chromedp.NodeVisible))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for another {
		there, err := chromedp.Run(w.page, chromedp.Evaluate[bool](`document.readyState === "complete" && !document.documentElement.dataset.left`))
		if err == nil && there { // an error: it is between two pages
			return
		}
		select {
		case <-tick.C:
		case <-w.page.Done():
			w.t.Fatalf("tap %s: no other page comes: %v", css, err)
		}
	}
}

func (w *walk) types(css, text string) {
	w.t.Helper()
	w.do("type into "+css, chromedp.SetValue(chromedp.CSS(css), text))
}

// signsIn has somebody ask for a link, and open it.
func (w *walk) signsIn(e offers.Email) {
	w.t.Helper()
	w.opens("sign-in", "/sign-in")
	w.types(`input[name="email"]`, string(e))
	w.tap("main button")
	w.sees("asked", "main p b")
	w.desk.mailing.Wait()
	_, link, ok := strings.Cut(w.mails[len(w.mails)-1].Text, w.srv.URL)
	if !ok {
		w.t.Fatal("no link was mailed")
	}
	w.opens("link", strings.Fields(link)[0])
	w.tap("main button")
	w.do("be signed in", chromedp.WaitVisible(chromedp.CSS("nav, .places")))
}

// A merchant on a phone: sign in, make an offer, change its stock, and watch it sell.
func TestWalk(t *testing.T) {
	w := newWalk(t)
	w.signsIn(rita)
	w.sees("offers", "h1")
	w.opens("new offer", "/m/records/new")
	w.types(`input[name="tag"]`, "BuyHoodie")
	w.types(`input[name="price"]`, "59.90 euros")
	w.tap("form.offer button.main")
	w.sees("new offer with faults", "[role=alert]")
	w.types(`input[name="title"]`, "Tour hoodie")
	w.types(`input[name="price"]`, "59.90")
	w.types(`textarea[name="stock"]`, "M black = 2\nL black = 1")
	w.tap(`input[name="waitlist"]`)
	w.tap("form.offer button.main")
	w.sees("offers with one more", ".notice")
	w.opens("stock", "/m/records/offers/buyhoodie/stock")
	w.tap(`li:nth-child(2) button[value="1"]`)
	w.sees("stock after one more", ".notice")

	w.opens("sale before", "/m/records/sale/buyhoodie")
	for n := range 3 {
		w.paid(n+1, "BuyHoodie", "M", "black") // the third is one more than 2, plus one
	}
	w.wish(4, "BuyHoodie", "M", "black")
	w.wish(5, "BuyHoodie", "L", "black")
	w.wish(6, "BuyHoodie", "XS")
	w.passes(2 * time.Second)
	w.do("see it move", chromedp.WaitVisible(chromedp.CSS("#live .state.wait")))
	w.sees("sale", "#live")
	w.opens("edit offer", "/m/records/offers/buyhoodie")
	w.opens("announce", "/m/records/offers/buyhoodie/announce")
	w.opens("remove", "/m/records/offers/buyhoodie/remove")
	w.opens("people", "/m/records/people")
	w.opens("orders", "/m/records/orders")
	w.opens("money", "/m/records/money")
	w.opens("factor", "/factor")
	w.opens("import", "/m/records/import")
	w.tap("main details summary")
	w.types(`textarea[name="text"]`, catalogue)
	w.tap("form.panel button.main")
	w.sees("import looked at", "form button.main")
	w.opens("nothing", "/m/hats/")

	// Without scripts it works too, by being loaded again.
	scripts := func(off bool) {
		w.do("scripts", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off})
			return err
		}))
	}
	scripts(true)
	w.do("open the sale", chromedp.Navigate(w.srv.URL+"/m/records/sale/buytee"))
	w.paid(7, "BuyTee", "M")
	w.do("load it again", chromedp.Click(chromedp.CSS(`a[href="/m/records/sale/buytee"]`), chromedp.NodeVisible),
		chromedp.WaitVisible(chromedp.CSS(".funnel .part")))
	scripts(false)

	if _, err := w.shop.EditPerson(t.Context(), rita, func(p *offers.Person) error { p.Roles["hats"] = offers.Viewer; return nil }); err != nil {
		t.Fatal(err)
	}
	w.opens("where to", "/")
	w.desktop()
	w.opens("desktop where to", "/")
	w.opens("desktop offers", "/m/records/")
	w.opens("desktop sale", "/m/records/sale/buyhoodie")
	w.opens("desktop edit offer", "/m/records/offers/buyhoodie")
	w.opens("desktop stock", "/m/records/offers/buyhoodie/stock")
	w.opens("desktop people", "/m/records/people")
	w.opens("desktop orders", "/m/records/orders")
	w.opens("desktop money", "/m/records/money")
}
