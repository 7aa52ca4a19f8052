package confirm_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hashtill/confirm"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
)

func TestWebhookBeforeTheAnswer(t *testing.T) {
	c := open(t, visa)
	p := c.mailed("1")
	c.silence()
	c.press(p)
	c.is(p.ID, offers.Confirmed)
	c.stripe.ClearFaults()
	c.tells()
	c.is(p.ID, offers.Paid)
	c.pass(5 * time.Minute) // the charge is owed still
	c.settle()
	c.is(p.ID, offers.Paid)
	c.charges(1, 14999)
	c.keeps(0, "charge/")
	c.keeps(0, "heed/")
}

func TestAnswerBeforeTheWebhook(t *testing.T) {
	c := open(t, visa)
	p := c.mailed("1")
	c.press(p)
	before := c.is(p.ID, offers.Paid)
	asked := c.asked()
	c.tells()
	if after := c.is(p.ID, offers.Paid); after.Moves != before.Moves || c.asked() != asked {
		t.Errorf("%d moves after %d; Stripe was asked %d times more", after.Moves, before.Moves, c.asked()-asked)
	}
	c.keeps(1, "event/")
	c.charges(1, 14999)
}

func TestWebhookAndAnswerLost(t *testing.T) {
	c := open(t, visa)
	p := c.mailed("1")
	c.stripe.SetDelivery(stripetest.Delivery{Drop: true})
	c.silence()
	c.press(p)
	c.pass(2 * time.Minute)
	c.settle()
	c.is(p.ID, offers.Confirmed)
	c.stripe.ClearFaults()
	c.pass(2 * time.Minute)
	c.settle()
	c.is(p.ID, offers.Paid)
	c.keeps(0, "event/")
	c.charges(1, 14999)
}

// The bank's page tells Stripe, Stripe tells us: twice, the newest first, and before
// any look is due.
func TestWebhookFromTheBank(t *testing.T) {
	for answer, want := range map[string]offers.State{"complete": offers.Paid, "fail": offers.Declined} {
		t.Run(answer, func(t *testing.T) {
			c := open(t, asks)
			c.stripe.SetDelivery(stripetest.Delivery{Hold: true, Twice: true, Reverse: true})
			p := c.mailed("1")
			c.press(p)
			c.bank(c.is(p.ID, offers.Challenged), answer)
			c.tells()
			p = c.is(p.ID, want)
			c.keeps(2, "event/")
			if want == offers.Declined && p.Reason != offers.AuthenticationFailed {
				t.Errorf("declined for %s", p.Reason)
			}
			c.pass(5 * time.Minute)
			c.settle()
			c.is(p.ID, want)
		})
	}
}

// The answer to our confirmation is lost, and the webhook says that the bank asks.
func TestWebhookLeadsToTheBank(t *testing.T) {
	c := open(t, asks)
	p := c.mailed("1")
	c.silence()
	c.press(p)
	c.stripe.ClearFaults()
	c.tells()
	p = c.is(p.ID, offers.Challenged)
	c.bank(p, "complete")
	c.tells()
	c.is(p.ID, offers.Paid)
	c.charges(1, 14999)
}

// That the first try was declined is heard when the second is on its way: it says
// nothing of that.
func TestWebhookOfAnEarlierTry(t *testing.T) {
	c := open(t, declines)
	p := c.mailed("1")
	c.press(p)
	c.is(p.ID, offers.Declined)
	c.stripe.Fail(stripetest.Fault{Path: "/v1/payment_intents/*/confirm", Drop: true, Times: -1})
	c.press(p)
	c.tells()
	c.is(p.ID, offers.Confirmed)
	c.keeps(0, "heed/")
	c.stripe.ClearFaults()
	c.pass(2 * time.Minute)
	c.settle()
	if p = c.is(p.ID, offers.Declined); p.Attempt != 2 {
		t.Errorf("%d attempts", p.Attempt)
	}
}

// An event says that the money was taken, and Stripe says that it was not.
func TestWebhookIsNotBelieved(t *testing.T) {
	c := open(t, visa)
	p := c.mailed("1")
	c.takes(http.StatusNoContent, paid("evt_1", p))
	asked := c.asked()
	c.settle()
	c.is(p.ID, offers.Mailed)
	c.keeps(0, "heed/")
	c.charges(0, 0)
	if c.asked() != asked+1 {
		t.Error("Stripe was not asked")
	}
}

func TestWebhookTwentyAtOnce(t *testing.T) {
	c := open(t, visa)
	p := c.mailed("1")
	body := paid("evt_1", p)
	signature := sign(body, c.stripe.WebhookSecret(), c.clock())
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got := c.post(body, signature); got != http.StatusNoContent {
				t.Errorf("answered %d", got)
			}
		})
	}
	all.Wait()
	c.keeps(1, "event/")
	c.keeps(1, "heed/")
	asked := c.asked()
	c.settle()
	c.takes(http.StatusNoContent, body) // days later it is still the same event
	c.settle()
	if n := c.asked() - asked; n != 1 {
		t.Errorf("Stripe was asked %d times", n)
	}
}

func TestWebhookSignatures(t *testing.T) {
	c := open(t, visa)
	p := c.mailed("1")
	body := paid("evt_secretive", p)
	secret, now := c.stripe.WebhookSecret(), c.clock()
	good := sign(body, secret, now)
	old := sign(body, secret, now.Add(-301*time.Second))
	for name, signature := range map[string]string{
		"none": "", "of another secret": sign(body, "whsec_other", now), "of another body": sign([]byte("{}"), secret, now),
		"too old": old, "from the future": sign(body, secret, now.Add(301*time.Second)),
		"with a fresh time before the old one": fmt.Sprintf("t=%d,%s", now.Unix(), old),
		"with a fresh time after the old one":  fmt.Sprintf("%s,t=%d", old, now.Unix()),
		"by an empty secret":                   sign(body, "", now),
		"no signature":                         "t=" + fmt.Sprint(now.Unix()), "nonsense": "t=x,v1=y", "without a time": good[strings.Index(good, "v1="):],
		"from the end of time": sign(body, secret, time.Unix(1<<62, 0)), "from before all time": sign(body, secret, time.Unix(-1<<62, 0)),
	} {
		if got := c.post(body, signature); got != http.StatusBadRequest {
			t.Errorf("%s: answered %d", name, got)
		}
	}
	c.keeps(0, "event/")
	c.keeps(0, "aside/")
	logged := c.logged.String()
	if !strings.Contains(logged, "level=WARN") || !strings.Contains(logged, "webhook refused") {
		t.Errorf("nothing is said in the log:\n%s", logged)
	}
	for _, never := range []string{"evt_secretive", secret, "whsec_", p.Intent} {
		if strings.Contains(logged, never) {
			t.Errorf("%q is in the log", never)
		}
	}
	// While a secret is rolled Stripe signs with both, and we take either.
	for i, signature := range []string{
		good, sign(body, secret, now.Add(-300*time.Second)), sign(body, secret, now.Add(300*time.Second)), sign(body, "whsec_new", now),
		strings.Replace(good, ",", ",v1="+strings.Repeat("0", 64)+",v0=11,", 1),
	} {
		if got := c.post(body, signature); got != http.StatusNoContent {
			t.Errorf("good signature %d: answered %d", i, got)
		}
	}
	c.keeps(1, "event/")
}

func TestWebhookBodies(t *testing.T) {
	c := open(t, visa)
	p := c.mailed("1")
	for name, b := range map[string]struct {
		status int
		body   []byte
	}{
		"too large":        {http.StatusRequestEntityTooLarge, append(paid("evt_1", p), bytes.Repeat([]byte(" "), 256<<10)...)},
		"no JSON":          {http.StatusBadRequest, []byte("hello")},
		"no event":         {http.StatusBadRequest, []byte("[]")},
		"no id":            {http.StatusBadRequest, paid("", p)},
		"id is a key":      {http.StatusServiceUnavailable, paid("evt/1", p)},
		"larger than page": {http.StatusNoContent, append(paid("evt_large", p), bytes.Repeat([]byte(" "), 255<<10)...)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.post(b.body, sign(b.body, c.stripe.WebhookSecret(), c.clock())); got != b.status {
				t.Errorf("answered %d, want %d", got, b.status)
			}
		})
	}
	if got := c.kept("event/", "aside/"); !slices.Equal(got, []string{"event/evt_large"}) {
		t.Errorf("kept %v", got)
	}
}

// What is no purchase's own is kept, moves nothing and asks nobody.
func TestWebhookAside(t *testing.T) {
	for name, body := range map[string]func(p, other offers.Purchase) []byte{
		"unknown kind": func(p, _ offers.Purchase) []byte {
			return event("evt_1", "payment_intent.dreamt", map[string]any{"id": p.Intent, "metadata": map[string]string{"purchase": string(p.ID)}})
		},
		"another purchase's payment": func(p, other offers.Purchase) []byte {
			p.Intent = other.Intent
			return paid("evt_1", p)
		},
		"a purchase that is not there": func(p, _ offers.Purchase) []byte {
			p.ID = offers.NewID("x", "nobody's", "buytee")
			return paid("evt_1", p)
		},
		"no purchase": func(p, _ offers.Purchase) []byte {
			p.ID = ""
			return paid("evt_1", p)
		},
		"a purchase's id that is none": func(p, _ offers.Purchase) []byte {
			p.ID = "99-'"
			return paid("evt_1", p)
		},
		"another shape": func(p, _ offers.Purchase) []byte {
			return event("evt_1", "payment_intent.succeeded", map[string]any{"id": p.Intent, "metadata": []int{1}})
		},
		"a thin event": func(offers.Purchase, offers.Purchase) []byte {
			return []byte(`{"id":"evt_1","object":"v2.core.event","type":"v1.billing.meter.no_meter_found","created":"2026-05-01T20:00:00Z","related_object":null}`)
		},
		"a long type": func(offers.Purchase, offers.Purchase) []byte {
			return event("evt_1", strings.Repeat("long.", 10_000), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, visa)
			p, other := c.mailed("1"), c.mailed("2")
			asked, size := c.asked(), len(c.logged.String())
			b := body(p, other)
			c.takes(http.StatusNoContent, b)
			c.takes(http.StatusNoContent, b)
			c.settle()
			c.keeps(1, "aside/")
			c.keeps(0, "event/")
			c.keeps(0, "heed/")
			c.is(p.ID, offers.Mailed)
			c.is(other.ID, offers.Mailed)
			if c.asked() != asked {
				t.Error("Stripe was asked")
			}
			logged := c.logged.String()[size:]
			if n := strings.Count(logged, "level=INFO"); n != 1 || strings.Contains(logged, p.Intent) || len(logged) > 1000 {
				t.Errorf("%d lines in the log:\n%.2000s", n, logged)
			}
			c.pass(31 * 24 * time.Hour)
			c.settle()
			c.keeps(0, "aside/")
			c.keeps(0, "forget/")
		})
	}
}

// The buyer pays at the bank what has ended here: with its units still held the
// purchase is paid after all; what the buyer had taken back is paid back.
func TestWebhookOfWhatHasEnded(t *testing.T) {
	for name, end := range map[string]func(c *counter, p offers.Purchase){
		"expired": func(c *counter, p offers.Purchase) {
			c.pass(15 * time.Minute)
			c.settle()
			c.is(p.ID, offers.Expired)
		},
		"cancelled": func(c *counter, p offers.Purchase) {
			if _, err := c.shop.Cancel(c.t.Context(), p.ID, ann, c.clock()); err != nil {
				c.t.Fatal(err)
			}
			c.settle()
			c.is(p.ID, offers.Cancelled)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, asks)
			p := c.mailed("1")
			c.press(p)
			p = c.is(p.ID, offers.Challenged)
			c.stripe.Fail(stripetest.Fault{Path: "/v1/", Drop: true, Times: -1}) // we do not reach Stripe; the bank does
			c.bank(p, "complete")
			end(c, p)
			c.stripe.ClearFaults()
			c.tells()
			if name == "expired" {
				c.is(p.ID, offers.Paid)
				c.charges(1, 14999)
			} else {
				c.is(p.ID, offers.Refunded)
				c.charges(1, 0)
			}
		})
	}
}

// What happens at Stripe afterwards is noted, and moves nothing.
func TestWebhookAfterwards(t *testing.T) {
	c := open(t, visa)
	p := c.mailed("1")
	c.press(p)
	before := c.is(p.ID, offers.Paid)

	// Part of it is paid back by hand.
	form := strings.NewReader(url.Values{"payment_intent": {p.Intent}, "amount": {"100"}}.Encode())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.stripe.URL()+"/v1/refunds", form)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(c.stripe.Key(), "")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(err, resp)
	}
	resp.Body.Close()
	c.pass(time.Minute)
	c.tells()

	// A dispute names the payment and nothing else of ours.
	dispute := event("evt_dispute", "charge.dispute.created", map[string]any{"id": "dp_1", "charge": "ch_1", "payment_intent": before.Intent, "metadata": map[string]string{}})
	c.stripe.Fail(stripetest.Fault{Method: http.MethodGet, Drop: true, Times: -1})
	c.takes(http.StatusServiceUnavailable, dispute)
	c.stripe.ClearFaults()
	c.pass(time.Minute)
	for range 3 {
		c.takes(http.StatusNoContent, dispute)
	}
	c.takes(http.StatusNoContent, event("evt_foreign", "charge.dispute.created", map[string]any{"id": "dp_2", "payment_intent": "pi_foreign"}))
	c.settle()

	after := c.is(p.ID, offers.Paid)
	var got []string
	for _, n := range after.Notices {
		got = append(got, fmt.Sprintf("%s %s", n.At.Sub(before.PaidAt), n.Type))
	}
	if want := []string{"1m0s charge.refunded", "2m0s charge.dispute.created"}; !slices.Equal(got, want) {
		t.Errorf("noted %q, want %q", got, want)
	}
	if last := after.Notices[len(after.Notices)-1].Object; last != "dp_1" {
		t.Errorf("the dispute is %s", last)
	}
	if after.Moves != before.Moves {
		t.Error("it has moved the purchase")
	}
	if got := c.kept("aside/"); !slices.Equal(got, []string{"aside/evt_foreign"}) {
		t.Errorf("kept %v", got)
	}
	if !strings.Contains(c.logged.String(), "level=WARN") {
		t.Error("nobody is told of the dispute")
	}
	c.charges(1, 14899)
}

// What is not committed is not accepted.
func TestWebhookWithoutAStore(t *testing.T) {
	c := open(t, visa)
	p := c.mailed("1")
	if err := c.st.Close(); err != nil {
		t.Fatal(err)
	}
	c.takes(http.StatusServiceUnavailable, paid("evt_1", p))
	c.takes(http.StatusServiceUnavailable, event("evt_2", "unheard.of", nil))
}

// The route is none of the pages: it has their neither bounds nor their protection
// against other sites, which a signature does not need.
func TestWebhookStandsAlone(t *testing.T) {
	c := open(t, visa)
	body := paid("evt_1", c.mailed("1"))
	signature := sign(body, c.stripe.WebhookSecret(), c.clock())
	if got := c.post(body, signature, "Sec-Fetch-Site", "cross-site", "Origin", "https://elsewhere.example"); got != http.StatusNoContent {
		t.Errorf("answered %d", got)
	}
	resp, err := http.Get(c.pages.URL + hook)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("a GET answers %d", resp.StatusCode)
	}
}

func TestNoWebhook(t *testing.T) {
	links, _, err := confirm.ParseKeys(confirm.NewKeys())
	if err != nil {
		t.Fatal(err)
	}
	counter, err := confirm.New(confirm.Config{Links: links, PublicURL: "https://shop.example", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	counter.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodPost, hook, strings.NewReader("{}")))
	if rec.Code != http.StatusNotFound {
		t.Errorf("answered %d", rec.Code)
	}
}

// cutShort is a body that does not arrive whole.
type cutShort struct{}

func (cutShort) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestWebhookCutShort(t *testing.T) {
	c := open(t, visa)
	rec := httptest.NewRecorder()
	c.pages.Config.Handler.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, hook, cutShort{}))
	if rec.Code != http.StatusBadRequest {
		t.Errorf("answered %d", rec.Code)
	}
}
