package confirm

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"hashtill/offers"
)

// startBrowser runs Chromium until the test ends, with the screen of a small phone.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("there is no chromium; on Debian: apt-get install chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancel := context.WithTimeout(context.Background(), 120*time.Second)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	do(t, ctx, "start", chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile))
	return ctx
}

func do(t testing.TB, ctx context.Context, step string, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, actions...); err != nil {
		text, _ := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
		t.Fatalf("%s: %v\nthe page says: %s", step, err, text)
	}
}

// waits waits until a script is true.
func waits(t testing.TB, ctx context.Context, step, script string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		if is, err := chromedp.Run(ctx, chromedp.Evaluate[bool](script)); err == nil && is {
			return
		}
		select {
		case <-limit.Done():
			text, _ := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
			t.Fatalf("%s: never %s\nthe page says: %s", step, script, text)
		case <-tick.C:
		}
	}
}

// served is a world behind a real address. While it is asked, nothing else may use it.
func served(t *testing.T, w *world) (address string, mu *sync.Mutex) {
	t.Helper()
	mu = &sync.Mutex{}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.handler.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	w.PublicURL = srv.URL
	w.handler = w.Handler()
	return srv.URL, mu
}

// A browser with scripts opens the link: nothing changes, the token is gone from the
// address bar, the page follows the purchase, and the button is pressed once.
func TestConfirmInABrowser(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	at, mu := served(t, w)
	p, token := w.mailed()
	before := w.everything()
	page := startBrowser(t)
	do(t, page, "open the link", chromedp.Navigate(at+"/c/"+token), chromedp.WaitVisible(chromedp.CSS("#left")))
	address, err := chromedp.Run(page, chromedp.Evaluate[string](`location.href + document.referrer + document.documentElement.innerHTML`))
	if err != nil || strings.Contains(address, token) || !strings.HasPrefix(address, at+"/c/"+string(p.ID)) {
		t.Errorf("the token is still there (%v): %s", err, address)
	}
	waits(t, page, "the clock runs", `/14:5\d left/.test(document.getElementById("left").textContent)`)
	do(t, page, "load again", chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("#left")))
	mu.Lock()
	if after := w.everything(); after != before {
		t.Errorf("a browser that only looks changes:\n%s\nwas:\n%s", after, before)
	}
	mu.Unlock()

	// Pressed twice it is sent once. (The browser's own way with two at once hides it, so
	// what would be sent is counted, and then one is.)
	twice, err := chromedp.Run(page, chromedp.Evaluate[int](`(() => {
		let sent = 0;
		addEventListener("submit", e => { if (!e.defaultPrevented) sent++; e.preventDefault(); });
		const button = document.querySelector("form button");
		button.click();
		button.click();
		return sent;
	})()`))
	if err != nil || twice != 1 {
		t.Errorf("sent %d times (%v)", twice, err)
	}
	do(t, page, "load again", chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("#left")))
	do(t, page, "press", chromedp.Click(chromedp.CSS("form button")), chromedp.WaitVisible(chromedp.CSS("main.good")))
	mu.Lock()
	defer mu.Unlock()
	w.is(p.ID, offers.Paid)
}

// The countdown ends by saying that the link has expired, and the button is gone. The page
// of a purchase that moves on elsewhere shows it by itself.
func TestLivePagesInABrowser(t *testing.T) {
	w := newWorld(t)
	w.register("en")
	at, mu := served(t, w)
	p, token := w.mailed()
	page := startBrowser(t)
	mu.Lock()
	w.now = p.LinkEnds().Add(-31 * time.Second)
	mu.Unlock()
	do(t, page, "open the link", chromedp.Navigate(at+"/c/"+token), chromedp.WaitVisible(chromedp.CSS("#left")))
	waits(t, page, "it is said", `document.getElementById("said").textContent === "30 seconds left."`)
	mu.Lock()
	w.now = p.LinkEnds().Add(-3 * time.Second)
	mu.Unlock()
	do(t, page, "load again", chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("#left")))
	waits(t, page, "it ends", `document.querySelector("h1").textContent === "This link has expired" && document.title === "This link has expired" && !document.querySelector("form:not([hidden])")`)

	mu.Lock()
	w.now = p.LinkEnds().Add(-10 * time.Minute)
	mu.Unlock()
	do(t, page, "load again", chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("form button")))
	mu.Lock()
	_, err := w.shop.Cancel(t.Context(), p.ID, ann, w.now)
	mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	waits(t, page, "it is seen", `document.querySelector("h1").textContent === "This purchase was cancelled"`)
}

// found are the faults of a page that a machine can see: what sticks out of a small screen,
// what is too small to hit, what has no name, and words that stand out too little.
const found = `(() => {
  const bad = [];
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) bad.push("it is " + wide + " pixels wide");
  for (const e of document.querySelectorAll("button, input:not([type=hidden]), select, textarea, a")) {
    const box = (e.closest("label") || e).getBoundingClientRect();
    if (e.offsetParent && (box.height < 24 || box.width < 24) && getComputedStyle(e).display !== "inline") bad.push("small: " + e.outerHTML.slice(0, 80) + box.height);
    const name = e.getAttribute("aria-label") || e.textContent.trim() || (e.labels && e.labels.length && e.labels[0].textContent.trim());
    if (!name) bad.push("without a name: " + e.outerHTML.slice(0, 80));
  }
  for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt") || !e.width || !e.getAttribute("height")) bad.push("img: " + e.outerHTML);
  for (const e of document.querySelectorAll("[aria-describedby]")) if (!document.getElementById(e.getAttribute("aria-describedby"))) bad.push("describes nothing: " + e.outerHTML.slice(0, 80));
  if (document.querySelectorAll("main").length !== 1 || document.querySelectorAll("h1").length !== 1 || !document.title || !document.documentElement.lang) bad.push("landmarks");
  let level = 1;
  for (const h of document.querySelectorAll("h1, h2, h3")) { if (h.tagName[1] - level > 1) bad.push("a heading is left out"); level = +h.tagName[1]; }
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  if (new Set(ids).size !== ids.length) bad.push("an id is there twice");
  const light = c => { const v = c.match(/[\d.]+/g).slice(0, 3).map(x => { x /= 255; return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; }); return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
  const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\)$|transparent/.test(c)) return c; } return "rgb(255,255,255)"; };
  for (const e of document.querySelectorAll("body *")) {
    if (!e.offsetParent || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const a = light(getComputedStyle(e).color), b = light(ground(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push("contrast " + ratio.toFixed(2) + ": " + e.outerHTML.slice(0, 80));
  }
  return bad;
})()`

// Every page there is stands on a screen 320 pixels wide, from left to right in the light,
// and from right to left in the dark.
func TestPagesOnASmallScreen(t *testing.T) {
	files, err := filepath.Glob("testdata/pages/*.fr.html")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	once := regexp.MustCompile(`dir="ltr"`)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, templates, "templates/style.css") })
	mux.HandleFunc("GET /{dir}/{page}", func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(filepath.Join("testdata/pages", r.PathValue("page")))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Security-Policy", policy) // a picture is as large where it does not come
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, once.ReplaceAllString(string(text), `dir="`+r.PathValue("dir")+`"`))
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	page := startBrowser(t)
	for dir, dark := range map[string]bool{"ltr": false, "rtl": true} {
		do(t, page, "light or dark", inTheDark(dark))
		for _, file := range files {
			name := filepath.Base(file)
			do(t, page, name, chromedp.Navigate(srv.URL+"/"+dir+"/"+name))
			bad, err := chromedp.Run(page, chromedp.Evaluate[[]string](found))
			if err != nil || len(bad) > 0 {
				t.Errorf("%s, %s, dark %v: %q (%v)", name, dir, dark, bad, err)
			}
		}
	}
}

// inTheDark has the browser prefer dark pages, or light ones.
func inTheDark(dark bool) chromedp.Action[chromedp.Void] {
	scheme := map[bool]string{false: "light", true: "dark"}[dark]
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return chromedp.Void{}, err
	}
}
