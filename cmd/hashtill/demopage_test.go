package main

import (
	"bufio"
	"context"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/bot/x/xtest"
	"hashtill/confirm/smtp/smtptest"
	"hashtill/offers"
)

// startDemo runs a stage with its page until the test ends.
func startDemo(t *testing.T) (d *demoPage, address string) {
	t.Helper()
	pages, err := freeAddress("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStage(t.Context(), pages, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d = newDemoPage(s)
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.perform(ctx, func(ctx context.Context) error {
			close(ready)
			return d.serve(ctx, l)
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error("the stage ended with:", err)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatal("the stage did not begin:", err)
	}
	return d, "http://" + l.Addr().String()
}

// A visitor is a browser without a script.
type visitor struct {
	*testing.T
	at string
}

func (v visitor) do(method, path string, form url.Values, head http.Header) (status int, body string, header http.Header) {
	v.Helper()
	req, err := http.NewRequestWithContext(v.Context(), method, v.at+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.Fatal(err)
	}
	for name, values := range head {
		req.Header[name] = values
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		v.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

func (v visitor) get(path string) string {
	v.Helper()
	status, body, _ := v.do(http.MethodGet, path, nil, nil)
	if status != http.StatusOK {
		v.Fatalf("GET %s: %d\n%s", path, status, body)
	}
	return body
}

// post does something as a page of the same site does, and must be sent back.
func (v visitor) post(path string, form url.Values) {
	v.Helper()
	status, body, head := v.do(http.MethodPost, path, form, http.Header{"Sec-Fetch-Site": {"same-origin"}})
	if back := head.Get("Location"); status != http.StatusSeeOther || !strings.HasPrefix(back, "/?as=") {
		v.Fatalf("POST %s: %d to %q\n%s", path, status, back, body)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// answer waits for the shop's answer to the newest post of a person's.
func answer(t *testing.T, d *demoPage, who *person) (wish, reply xtest.Post) {
	t.Helper()
	i := slices.IndexFunc(d.x.Timeline(), func(p xtest.Post) bool { return p.AuthorID == who.ID })
	if i < 0 {
		t.Fatal("nothing was posted")
	}
	wish = d.x.Timeline()[i]
	reply, err := d.x.Wait(within(t, 10*time.Second), func(p xtest.Post) bool { return p.ReplyTo == wish.ID && p.AuthorID == d.shopX.ID })
	if err != nil {
		t.Fatal("no answer:", err)
	}
	return wish, reply
}

func becomes(t *testing.T, d *demoPage, id offers.ID, want offers.State) {
	t.Helper()
	if _, err := (&play{stage: d.stage}).becomes(within(t, 10*time.Second), id, want); err != nil {
		t.Fatal(err)
	}
}

// The whole way on the page, without a script: post, repost, mailbox, link, desk.
func TestDemoPageBuys(t *testing.T) {
	d, at := startDemo(t)
	v := visitor{t, at}
	ann := d.person("ann")

	front := v.get("/")
	for _, want := range []string{"No real post, no real mail, no real money", "You are <strong>Ann</strong>", ">@hashtill #BuyTee</textarea>", "Nobody has posted yet", "No purchases yet"} {
		if !strings.Contains(front, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	v.post("/post?as=ann", url.Values{"text": {"@hashtill #BuyTee x2"}})
	wish, reply := answer(t, d, ann)
	id := offers.NewID("x", wish.ID, offers.TagKey("BuyTee"))
	becomes(t, d, id, offers.Coded)
	purchase, err := d.shop.Purchase(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	page := v.get("/?as=ann")
	for _, want := range []string{"the code " + purchase.Code.Hashtag(), `<span class="state coded">coded</span>`, "2 × #BuyTee", "$59.98", "<b>498</b> of 500"} {
		if !strings.Contains(page, want) {
			t.Errorf("after the post the page does not say %q", want)
		}
	}

	v.post("/repost?as=ann", url.Values{"id": {reply.ID}})
	m, err := d.smtp.Wait(within(t, 10*time.Second), func(m smtptest.Message) bool { return slices.Contains(m.To, ann.Email) })
	if err != nil {
		t.Fatal("no mail:", err)
	}
	becomes(t, d, id, offers.Mailed)
	page = v.get(fmt.Sprintf("/?as=ann&mail=%d", m.Seq))
	for _, want := range []string{html.EscapeString(m.Subject), `sandbox="allow-popups allow-popups-to-escape-sandbox"`, "✓ Reposted", `class="state mailed"`} {
		if !strings.Contains(page, want) {
			t.Errorf("with the mail open the page does not say %q", want)
		}
	}
	address, err := link(m)
	if err != nil {
		t.Fatal(err)
	}
	status, letter, head := v.do(http.MethodGet, fmt.Sprintf("/mail?as=ann&mail=%d", m.Seq), nil, nil)
	if policy := head.Get("Content-Security-Policy"); status != http.StatusOK || !strings.Contains(policy, "sandbox") || strings.Contains(policy, "script") {
		t.Errorf("the mail comes with %d and the policy %q", status, policy)
	}
	if !strings.Contains(letter, `<base target="_blank">`) || !strings.Contains(letter, address) {
		t.Error("the mail's link does not open elsewhere")
	}
	if text := v.get(fmt.Sprintf("/?as=ann&mail=%d&text=1", m.Seq)); !strings.Contains(text, `<a href="`+address+`" target="_blank"`) {
		t.Error("the mail as text has no link to press")
	}
	if status, _, _ := v.do(http.MethodGet, fmt.Sprintf("/mail?as=ben&mail=%d", m.Seq), nil, nil); status != http.StatusNotFound {
		t.Errorf("ben reads ann's mail: %d", status)
	}

	// The link leads to the shop, whose button charges.
	shop := visitor{t, ""}
	if status, _, _ := shop.do(http.MethodPost, address, nil, http.Header{"Sec-Fetch-Site": {"same-origin"}}); status >= 400 {
		t.Errorf("the button answers %d", status)
	}
	becomes(t, d, id, offers.Paid)
	page = v.get("/?as=ann")
	for _, want := range []string{`class="state paid"`, `<span class="sum">$59.98</span>`, "Done."} {
		if !strings.Contains(page, want) {
			t.Errorf("after the press the page does not say %q", want)
		}
	}

	v.post("/delete?as=ann", url.Values{"id": {wish.ID}})
	if _, there := d.x.Find(wish.ID); there {
		t.Error("the deleted post is still there")
	}
}

func TestDemoPageControls(t *testing.T) {
	d, at := startDemo(t)
	v := visitor{t, at}

	// Ben has no card; when he has registered, the code comes by mail, though X would
	// refuse to carry it.
	v.post("/switch?as=ben", url.Values{"name": {tripX}, "on": {"true"}})
	if page := v.get("/?as=ben"); !strings.Contains(page, `value="false" aria-pressed="true"`) {
		t.Error("the switch does not show that it is on")
	}
	v.post("/register?as=ben", nil)
	if buyer, err := d.shop.Buyer(t.Context(), d.account(d.person("ben"))); err != nil || !buyer.Known() {
		t.Errorf("ben is not registered: %v", err)
	}
	v.post("/post?as=ben", url.Values{"text": {"@hashtill #BuyTee"}})
	if _, err := d.smtp.Wait(within(t, 10*time.Second), func(m smtptest.Message) bool { return slices.Contains(m.To, d.person("ben").Email) }); err != nil {
		t.Fatal("the code did not come by mail:", err)
	}
	wish := d.x.Timeline()[0]
	id := offers.NewID("x", wish.ID, offers.TagKey("BuyTee"))
	becomes(t, d, id, offers.Coded)
	if page := v.get("/?as=ben"); !strings.Contains(page, "came by mail") || !strings.Contains(page, `class="state coded"`) {
		t.Error("the guide does not say that the code came by mail")
	}
	v.post("/switch?as=ben", url.Values{"name": {tripX}, "on": {"false"}})

	before := d.now()
	v.post("/pass?as=ben", nil)
	if passed := d.now().Sub(before); passed < 15*time.Minute {
		t.Errorf("only %s passed", passed)
	}
	becomes(t, d, id, offers.Expired)
	if page := v.get("/?as=ben"); !strings.Contains(page, `class="state expired"`) || !strings.Contains(page, "<b>500</b> of 500") {
		t.Error("the desk does not show that the purchase expired and its unit is back")
	}
}

// The mail server and Stripe go away and come back; the purchase goes on.
func TestDemoPageRecovers(t *testing.T) {
	d, at := startDemo(t)
	v := visitor{t, at}
	for _, name := range []string{tripMail, tripStripe} {
		v.post("/switch?as=ann", url.Values{"name": {name}, "on": {"true"}})
	}
	v.post("/post?as=ann", url.Values{"text": {"@hashtill #BuyTee"}})
	wish, reply := answer(t, d, d.person("ann"))
	id := offers.NewID("x", wish.ID, offers.TagKey("BuyTee"))
	v.post("/repost?as=ann", url.Values{"id": {reply.ID}})
	becomes(t, d, id, offers.Echoed)
	if err := d.outbox.WaitIdle(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if page := v.get("/?as=ann"); !strings.Contains(page, "<small>for @ann</small> <small>try ") {
		t.Error("the page does not show what is owed")
	}
	for _, name := range []string{tripMail, tripStripe} {
		v.post("/switch?as=ann", url.Values{"name": {name}, "on": {"false"}})
	}
	v.post("/pass?as=ann", nil) // so that nobody waits for the next try
	becomes(t, d, id, offers.Mailed)
}

func TestDemoPageEscapes(t *testing.T) {
	d, at := startDemo(t)
	v := visitor{t, at}
	hostile := `"><script>alert(1)</script></textarea><img src=x onerror=alert(2)> javascript:alert(3)`
	v.post("/post?as=eve", url.Values{"text": {hostile}})
	id := d.x.Timeline()[0].ID
	for _, path := range []string{
		"/", "/parts?as=dan", "/?reply=" + id, "/?quote=" + id, "/?fill=" + url.QueryEscape(hostile), "/?as=" + url.QueryEscape(hostile),
		"/?mail=" + url.QueryEscape(hostile), "/?reply=" + url.QueryEscape(hostile),
	} {
		page := v.get(path)
		for _, bad := range []string{"<script>", "<img", `href="javascript`} {
			if strings.Contains(page, bad) {
				t.Errorf("%s lets through %s", path, bad)
			}
		}
	}
	status, page, head := v.do(http.MethodPost, "/post?as=eve", url.Values{"text": {strings.Repeat(hostile, 5)}}, http.Header{"Sec-Fetch-Site": {"same-origin"}})
	if status != http.StatusUnprocessableEntity || strings.Contains(page, "<script>") || !strings.Contains(page, "That did not work: the text has more than 280") {
		t.Errorf("too long a text: %d\n%s", status, page)
	}
	if policy := head.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy: %q", policy)
	}
	if front := v.get("/"); strings.Contains(front, "style=") || strings.Contains(front, "<style") || strings.Contains(front, " onclick=") {
		t.Error("the page has inline style or script, which its policy forbids")
	}
}

// Only the page itself changes anything, and only by POST.
func TestDemoPageGuards(t *testing.T) {
	d, at := startDemo(t)
	v := visitor{t, at}
	v.post("/post?as=dan", url.Values{"text": {"hello"}})
	dans := d.x.Timeline()[0].ID
	if err := d.outbox.WaitIdle(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	before := d.fingerprint(t.Context())
	if before == 0 || before != d.fingerprint(t.Context()) {
		t.Fatal("the fingerprint of what has not changed changes")
	}

	deeds := map[string]url.Values{
		"/post": {"text": {"@hashtill #BuyTee"}}, "/repost": {"id": {dans}}, "/delete": {"id": {dans}},
		"/register": nil, "/pass": nil, "/switch": {"name": {tripMail}, "on": {"true"}},
	}
	for path, form := range deeds {
		for _, head := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"https://evil.example"}}} {
			if status, _, _ := v.do(http.MethodPost, path+"?as=dan", form, head); status != http.StatusForbidden {
				t.Errorf("POST %s from elsewhere: %d", path, status)
			}
		}
		if status, _, _ := v.do(http.MethodGet, path+"?as=dan&"+form.Encode(), nil, nil); status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, status)
		}
	}
	for _, path := range []string{"/", "/parts?as=ben", "/?as=ben&reply=" + dans, "/?as=nobody&mail=-1", "/style.css", "/script.js"} {
		v.get(path)
	}
	same := http.Header{"Sec-Fetch-Site": {"same-origin"}}
	for path, form := range map[string]url.Values{
		"/post": {"text": {""}}, "/repost": {"id": {"none"}}, "/delete": {"id": {""}}, "/switch": {"name": {"the world"}, "on": {"true"}},
	} {
		if status, _, _ := v.do(http.MethodPost, path+"?as=ben", form, same); status != http.StatusUnprocessableEntity {
			t.Errorf("POST %s of nonsense: %d", path, status)
		}
	}
	if status, _, _ := v.do(http.MethodPost, "/delete?as=ben", url.Values{"id": {dans}}, same); status != http.StatusUnprocessableEntity {
		t.Errorf("ben deletes dan's post: %d", status)
	}
	if status, _, _ := v.do(http.MethodPost, "/post?as=ben", url.Values{"text": {strings.Repeat("a", demoBody)}}, same); status != http.StatusBadRequest {
		t.Errorf("too large a form: %d", status)
	}
	if d.fingerprint(t.Context()) != before {
		t.Error("something has changed all the same")
	}
}

// Whoever listens hears of a change, and of the end.
func TestDemoPageTells(t *testing.T) {
	d, at := startDemo(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	hears := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == want {
				return
			}
		}
		t.Fatalf("the stream ended before %q: %v", want, lines.Err())
	}
	hears("data: here")
	hears("data: changed") // from nothing to what is there
	if _, err := d.x.Post(d.person("eve").ID, "hello", xtest.PostOptions{}); err != nil {
		t.Fatal(err)
	}
	hears("data: changed")

	for range demoListen - 1 {
		_, leave, ok := d.changes.join()
		if !ok {
			t.Fatal("fewer may listen than should")
		}
		defer leave()
	}
	if status, _, _ := (visitor{t, at}).do(http.MethodGet, "/events", nil, nil); status != http.StatusServiceUnavailable {
		t.Errorf("one listener too many: %d", status)
	}
}

func TestDemoShowsItselfToThisMachineOnly(t *testing.T) {
	for _, args := range [][]string{
		{"demo", "--listen", "0.0.0.0:0"}, {"demo", "--listen", ":8090"}, {"demo", "--pages", "192.0.2.1:80"}, {"demo", "--listen", "localhost"}, {"demo", "--json"},
	} {
		var out, errOut strings.Builder
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // a demo that begins does not end by itself
		defer cancel()
		if code := run(ctx, args, nil, &out, &errOut); code != exitUsage || !strings.HasPrefix(errOut.String(), "hashtill: --") {
			t.Errorf("%v: exit %d, %s", args, code, errOut.String())
		}
	}
}

// Ctrl-C is how the demo ends, and no failure.
func TestDemoEndsCleanly(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	out, say := io.Pipe()
	defer out.Close()
	ended := make(chan int, 1)
	var errOut strings.Builder
	go func() {
		ended <- run(ctx, []string{"demo", "--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0"}, nil, say, &errOut)
		say.Close()
	}()
	var told strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		told.WriteString(lines.Text() + "\n")
		if page := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "  open")); strings.HasPrefix(page, "http://127.0.0.1:") {
			visitor{t, page}.get("/")
		}
		if strings.HasPrefix(lines.Text(), "Ctrl-C") {
			interrupt()
		}
	}
	interrupt()
	if code := <-ended; code != exitOK {
		t.Errorf("exit %d: %s", code, errOut.String())
	}
	if !strings.Contains(told.String(), "Nothing real") {
		t.Errorf("it says\n%s", told.String())
	}
}
