package main

import (
	"context"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"hashtill/bot/x/xtest"
)

// browsers are the names under which Chromium is installed.
var browsers = []string{"chromium", "chromium-browser", "google-chrome"}

// startBrowser runs a browser until the test ends, and returns the context of its
// first tab, in a window as large as a phone's.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range browsers {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatalf("none of %v is installed; on Debian: apt-get install chromium", browsers)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
	)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile)); err != nil {
		t.Fatal("the browser does not start: ", err)
	}
	return ctx
}

// targetAt waits for a tab or a frame whose address begins so.
func targetAt(t *testing.T, ctx context.Context, kind, address string) context.Context {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := chromedp.Targets(ctx)
		if err != nil {
			t.Fatalf("no %s at %s: %v", kind, address, err)
		}
		for _, info := range all {
			if info.Type == kind && strings.HasPrefix(info.URL, address) {
				return attach(t, ctx, info.TargetID)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("no %s at %s", kind, address)
		}
	}
}

func attach(t *testing.T, ctx context.Context, id target.ID) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(ctx, chromedp.WithTargetID(id))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// A newcomer on a phone: post, repost, open the mail, follow its link, press Buy, and
// see at the desk that it is paid.
func TestDemoInABrowser(t *testing.T) {
	d, at := startDemo(t)
	page := startBrowser(t)

	var mu sync.Mutex
	var complaints []string
	listening, stop := context.WithCancel(page)
	done := make(chan struct{})
	console := chromedp.Console(listening)
	go func() {
		defer close(done)
		for m, err := range console {
			if err == nil && (m.Type == "error" || m.IsException()) {
				mu.Lock()
				complaints = append(complaints, m.String())
				mu.Unlock()
			}
		}
	}()
	defer func() {
		stop()
		<-done
	}()

	do := func(ctx context.Context, step string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, actions...); err != nil {
			says, _ := chromedp.Run(page, chromedp.Text(chromedp.CSS("#guide")))
			t.Fatalf("%s: %v\nthe guide says: %s", step, err, says)
		}
	}
	const repost = `#posts li.ofbot button.main`

	// What is being typed stays, whatever arrives meanwhile.
	do(page, "type", chromedp.Navigate(at+"/?as=eve"), chromedp.SendKeys(chromedp.CSS("#text"), "half a sent"))
	if _, err := d.x.Post(d.person("eve").ID, "@hashtill #BuyTee", xtest.PostOptions{}); err != nil {
		t.Fatal(err)
	}
	do(page, "hear of it", chromedp.WaitVisible(chromedp.CSS(repost)))
	if typed, err := chromedp.Run(page, chromedp.Value(chromedp.CSS("#text"))); err != nil || typed != "half a sent@hashtill #BuyTee" {
		t.Errorf("what was typed has become %q (%v)", typed, err)
	}

	do(page, "open the page", chromedp.Navigate(at), chromedp.WaitVisible(chromedp.CSS("#compose button.main")))
	do(page, "post what the composer offers", chromedp.Click(chromedp.CSS("#compose button.main")), chromedp.WaitVisible(chromedp.CSS(repost)))
	do(page, "repost the shop's answer", chromedp.Click(chromedp.CSS(repost)), chromedp.WaitVisible(chromedp.CSS("#mails a")))
	do(page, "open the mail", chromedp.Click(chromedp.CSS("#mails a")), chromedp.WaitVisible(chromedp.CSS("iframe.letter")))

	mail := targetAt(t, page, "iframe", at+"/mail?")
	do(mail, "press the mail's button", chromedp.Click(chromedp.CSS(`a[href*="/c/"]`), chromedp.NodeVisible))
	shop := targetAt(t, page, "page", d.cfg.PublicURL+"/c/")
	do(shop, "press Buy", chromedp.Click(chromedp.CSS("form button"), chromedp.NodeVisible))
	do(page, "see at the desk that it is paid", chromedp.WaitVisible(chromedp.CSS("#purchases .state.paid")))

	// Nothing sticks out of a phone's screen, and all that is pressed can be hit.
	wide, err := chromedp.Run(page, chromedp.Evaluate[int](`document.documentElement.scrollWidth`))
	if err != nil || wide > 390 {
		t.Errorf("the page is %d pixels wide on a phone that has 390 (%v)", wide, err)
	}
	small, err := chromedp.Run(page, chromedp.Evaluate[[]string](`[...document.querySelectorAll("button, summary, .button, .chips a, .tabs a, .mails a")].filter(e => e.offsetHeight && e.offsetHeight < 44).map(e => e.textContent.trim())`))
	if err != nil || len(small) > 0 {
		t.Errorf("too small for a thumb: %q (%v)", small, err)
	}
	if charges := d.stripe.Charges(); len(charges) != 1 || charges[0].Amount != 2999 {
		t.Errorf("Stripe has charged %+v", charges)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(complaints) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(complaints, "\n"))
	}
}
