package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hashtill/bot/x/xtest"
	"hashtill/confirm/smtp/smtptest"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/store"
)

// A clinic is a whole configuration for the doctor, and what stands around it.
type clinic struct {
	*outside
	environ []string
	secrets []string // what may never be told
}

func newClinic(t *testing.T, api string) *clinic {
	c := &clinic{outside: newOutside(t, api)}
	mail, err := smtptest.Start(smtptest.Options{Username: "shop", Password: "hunter2-of-the-mail"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mail.Close() })
	c.set("SMTP_PORT=%d", mail.Port())
	c.set("SMTP_USERNAME=shop")
	c.set("SMTP_PASSWORD=hunter2-of-the-mail")
	c.set("STRIPE_WEBHOOK_SECRET=%s", c.stripe.WebhookSecret())
	c.set("X_HANDLE=hashtill")
	c.set("X_SIGN_IN=oauth1")
	creds := c.x.Credentials(c.bot.ID)
	c.secrets = []string{"hunter2", c.stripe.Key(), c.stripe.WebhookSecret(), c.x.Bearer(), creds.ConsumerKey, creds.ConsumerSecret, creds.Token, creds.TokenSecret}
	return c
}

// set overrides a key of the configuration.
func (c *clinic) set(format string, args ...any) {
	c.environ = append(c.environ, "HASHTILL_"+fmt.Sprintf(format, args...))
}

// examine runs the doctor, and looks that no secret is told.
func (c *clinic) examine(wantCode int) []diagnosis {
	c.t.Helper()
	var out, errs strings.Builder
	code := run(c.t.Context(), []string{"doctor", "--json", "-c", c.config}, c.environ, &out, &errs)
	if code != wantCode {
		c.t.Errorf("exit code %d, want %d\n%s%s", code, wantCode, out.String(), errs.String())
	}
	for _, secret := range c.secrets {
		if strings.Contains(out.String()+errs.String(), secret) {
			c.t.Errorf("a secret is told (%.6s…):\n%s%s", secret, out.String(), errs.String())
		}
	}
	var all []diagnosis
	for line := range strings.Lines(out.String()) {
		var one diagnosis
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			c.t.Fatalf("%q: %v", line, err)
		}
		all = append(all, one)
	}
	return all
}

// want wants a diagnosis whose text holds all the words.
func want(t *testing.T, all []diagnosis, status, what string, words ...string) {
	t.Helper()
next:
	for _, one := range all {
		if one.Status != status || one.What != what {
			continue
		}
		for _, w := range words {
			if !strings.Contains(one.Says+" "+one.Next, w) {
				continue next
			}
		}
		return
	}
	t.Errorf("not told: %s %s %q\n%+v", status, what, words, all)
}

// failures wants these parts to fail, and no others.
func failures(t *testing.T, all []diagnosis, parts ...string) {
	t.Helper()
	var got []string
	for _, one := range all {
		if one.Status == "fail" {
			got = append(got, one.What)
		}
	}
	if strings.Join(got, ", ") != strings.Join(parts, ", ") {
		t.Errorf("failed: %q, want %q\n%+v", got, parts, all)
	}
}

func TestDoctorAllWell(t *testing.T) {
	for _, api := range []string{"v2", "v1.1"} {
		t.Run(api, func(t *testing.T) {
			c := newClinic(t, api)
			before := contents(t, c.store)
			all := c.examine(exitOK)
			failures(t, all)
			want(t, all, "ok", "configuration")
			want(t, all, "ok", "secrets")
			want(t, all, "ok", "store", "SQLite 3.", "committed, read and removed")
			want(t, all, "ok", "offers", "1 for sale")
			want(t, all, "ok", "clock", "agrees with Stripe")
			want(t, all, "ok", "clock", "agrees with X")
			want(t, all, "ok", "Stripe", "test mode: no real money is taken")
			want(t, all, "ok", "Stripe", "25 requests a second")
			want(t, all, "ok", "Stripe", "the webhook's secret is set")
			want(t, all, "ok", "mail", "signed in", "no mail was sent")
			want(t, all, "ok", "X account", "@hashtill", c.bot.ID)
			want(t, all, "ok", "X permission", "read and write")
			want(t, all, "warn", "X account", "no bio")
			want(t, all, "warn", "X account", "look at it yourself", "Automated")
			want(t, all, "warn", "pages", "not running")
			if api == "v2" {
				want(t, all, "ok", "X bearer")
				want(t, all, "ok", "X plan", "0 of the plan's 2000000 posts")
				want(t, all, "ok", "X rules", "0 of 1000 rules are used", "will add 3 and delete 0 for 1 hashtags")
				want(t, all, "ok", "sign-in", "/oauth/authenticate answers", "/join/x")
			}
			if after := contents(t, c.store); after != before {
				t.Errorf("the store was changed:\n%s\n%s", before, after)
			}
			if n := len(c.stripe.Charges()) + len(c.smtp.Messages()); n != 0 {
				t.Errorf("%d charges and mails", n)
			}
		})
	}
}

// contents is all that a store holds.
func contents(t *testing.T, st store.Store) string {
	t.Helper()
	var all strings.Builder
	for shard := range store.Shards {
		recs, next, err := st.Scan(t.Context(), shard, "", "", 1000)
		if err != nil || next != "" {
			t.Fatal(err, next)
		}
		counts, next, err := st.ScanCounts(t.Context(), shard, "", "", 1000)
		if err != nil || next != "" {
			t.Fatal(err, next)
		}
		owed, next, err := st.Owed(t.Context(), shard, "", 1000)
		if err != nil || next != "" {
			t.Fatal(err, next)
		}
		fmt.Fprintln(&all, shard, recs, counts, owed)
	}
	return all.String()
}

// What is wrong is told by the part where it is, with what to do, and nothing else fails.
func TestDoctorFinds(t *testing.T) {
	const usage = "/2/usage/tweets"
	tests := []struct {
		name   string
		hurt   func(c *clinic)
		failed []string
		status string // fail if empty
		what   string
		words  []string
	}{
		{"another Stripe key", func(c *clinic) {
			c.set("STRIPE_KEY=sk_test_another-key-entirely")
			c.secrets = append(c.secrets, "another-key")
		}, []string{"Stripe"}, "", "Stripe", []string{"does not accept the key: check stripe.key_file"}},
		{"no webhook", func(c *clinic) { c.set("STRIPE_WEBHOOK_SECRET="); c.set("STRIPE_WEBHOOK_SECRET_FILE=") },
			nil, "warn", "Stripe", []string{"there is no webhook", "/stripe/webhook", "stripe.webhook_secret_file"}},
		{"what is no webhook's secret", func(c *clinic) { c.set("STRIPE_WEBHOOK_SECRET=hunter2") },
			[]string{"Stripe"}, "", "Stripe", []string{"no signing secret"}},
		{"another handle", func(c *clinic) { c.set("X_HANDLE=somebody") },
			[]string{"X account"}, "", "X account", []string{"belongs to @hashtill, not to @somebody", "set x.handle to hashtill"}},
		{"no handle", func(c *clinic) { c.set("X_HANDLE=") },
			nil, "warn", "X account", []string{"set x.handle to hashtill"}},
		{"a token that may only read", func(c *clinic) {
			creds := c.x.ReadOnly(c.bot.ID)
			c.set("X_ACCESS_TOKEN=%s", creds.Token)
			c.set("X_ACCESS_SECRET=%s", creds.TokenSecret)
			c.secrets = append(c.secrets, creds.Token, creds.TokenSecret)
		}, []string{"X permission"}, "", "X permission", []string{"may not write (read)", "Read and write", "make the access token anew"}},
		{"another access secret", func(c *clinic) { c.set("X_ACCESS_SECRET=hunter2") },
			[]string{"X account"}, "", "X account", []string{"does not accept the access token: check x.consumer_key"}},
		{"another bearer token", func(c *clinic) { c.set("X_BEARER_TOKEN=hunter2") },
			[]string{"X bearer", "X rules"}, "", "X bearer", []string{"does not accept the bearer token: check x.bearer_token"}},
		{"a plan that is spent", func(c *clinic) {
			c.x.Fail(xtest.Fault{Path: usage, Status: http.StatusOK, Body: `{"data":{"cap_reset_day":7,"project_cap":"15000","project_usage":"15000"}}`})
		}, []string{"X plan"}, "", "X plan", []string{"all of the plan's 15000 posts", "day 7", "larger plan"}},
		{"a plan that is nearly spent", func(c *clinic) {
			c.x.Fail(xtest.Fault{Path: usage, Status: http.StatusOK, Body: `{"data":{"project_cap":15000,"project_usage":12000}}`})
		}, nil, "warn", "X plan", []string{"12000 of the plan's 15000 posts"}},
		{"a catalogue that does not fit", func(c *clinic) { c.fillRules(998) },
			[]string{"X rules"}, "", "X rules", []string{"998 of 1000 rules are used, 998 of them by others", "follow fewer hashtags"}},
		{"X is away", func(c *clinic) { c.x.Close() },
			[]string{"X account", "X bearer", "sign-in"}, "", "X account", []string{"connection refused"}},
		{"another mail password", func(c *clinic) { c.set("SMTP_PASSWORD=hunter3-is-wrong"); c.secrets = append(c.secrets, "hunter3") },
			[]string{"mail"}, "", "mail", []string{"535", "check smtp.username, smtp.password_file"}},
		{"no TLS", func(c *clinic) { c.set("SMTP_TLS=starttls") },
			[]string{"mail"}, "", "mail", []string{"STARTTLS", "smtp.tls"}},
		{"no sign-in", func(c *clinic) { c.set("X_SIGN_IN=off") },
			nil, "warn", "sign-in", []string{"buyers cannot register", "x.sign_in"}},
		{"a sign-in page that is not there", func(c *clinic) { c.set("X_AUTHORIZE_URL=%s/nowhere", c.x.URL()) },
			[]string{"sign-in"}, "", "sign-in", []string{"404", "check x.authorize_url"}},
		{"public_url leads elsewhere", func(c *clinic) { c.set("PUBLIC_URL=%s", c.stripe.URL()) },
			[]string{"pages"}, "", "pages", []string{"not with the pages of hashtill serve", "check public_url"}},
		{"keys that others can read", func(c *clinic) {
			if err := os.Chmod(filepath.Join(filepath.Dir(c.config), "keys"), 0o640); err != nil {
				c.t.Fatal(err)
			}
		}, nil, "warn", "secrets", []string{"keys_file", "chmod 600"}},
		{"no database yet", func(c *clinic) { c.set("STORE=sqlite:%s", filepath.Join(c.t.TempDir(), "new.db")) },
			nil, "warn", "store", []string{"no database", "yet"}},
		{"no folder for the database", func(c *clinic) { c.set("STORE=sqlite:%s", filepath.Join(c.t.TempDir(), "no", "new.db")) },
			[]string{"store"}, "", "store", []string{"no folder", "make the folder"}},
		{"a database that is none", func(c *clinic) { c.set("STORE=sqlite:%s", c.config) },
			[]string{"store"}, "", "store", []string{"not a SQLite database"}},
		{"a Redis that is away", func(c *clinic) { c.set("STORE=redis://shop:hunter2@127.0.0.1:1") },
			[]string{"store"}, "", "store", []string{"nothing listens there"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClinic(t, "v2")
			tt.hurt(c)
			code := exitOK
			if len(tt.failed) > 0 {
				code = exitFailed
			}
			all := c.examine(code)
			if tt.status == "" {
				tt.status = "fail"
			}
			want(t, all, tt.status, tt.what, tt.words...)
			if tt.name != "X is away" { // whose parts are looked at at once
				failures(t, all, tt.failed...)
			}
		})
	}
}

// fillRules makes rules that are not the bot's.
func (c *clinic) fillRules(n int) {
	c.t.Helper()
	var values []string
	for i := range n {
		values = append(values, fmt.Sprintf(`{"value":"#other%d"}`, i))
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.x.URL()+"/2/tweets/search/stream/rules", strings.NewReader(`{"add":[`+strings.Join(values, ",")+`]}`))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.x.Bearer())
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		c.t.Fatal(resp.Status)
	}
}

// The other's clock is seen in its answers.
func TestDoctorClock(t *testing.T) {
	for _, tt := range []struct {
		off    time.Duration // ours minus theirs
		status string
		words  []string
	}{
		{5 * time.Minute, "fail", []string{"ahead of", "NTP"}},
		{-5 * time.Minute, "fail", []string{"behind", "NTP"}},
		{20 * time.Second, "warn", []string{"ahead of", "NTP"}},
		{0, "ok", []string{"agrees with"}},
	} {
		t.Run(tt.off.String(), func(t *testing.T) {
			c := newClinic(t, "v2")
			now := func() time.Time { return time.Now().Add(-tt.off) }
			x, err := xtest.Start(xtest.Options{Now: now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { x.Close() })
			bot, err := x.AddAccount(xtest.Account{Handle: "hashtill"})
			if err != nil {
				t.Fatal(err)
			}
			creds := x.Credentials(bot.ID)
			c.set("X_API_URL=%s", x.URL())
			c.set("X_STREAM_URL=%s", x.URL())
			c.set("X_CONSUMER_KEY=%s", creds.ConsumerKey)
			c.set("X_CONSUMER_SECRET=%s", creds.ConsumerSecret)
			c.set("X_ACCESS_TOKEN=%s", creds.Token)
			c.set("X_ACCESS_SECRET=%s", creds.TokenSecret)
			c.set("X_BEARER_TOKEN=%s", x.Bearer())
			s, err := stripetest.Start(stripetest.Options{Now: now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			c.set("STRIPE_API_URL=%s", s.URL())
			c.set("STRIPE_KEY=%s", s.Key())
			code := exitOK
			if tt.status == "fail" {
				code = exitFailed
			}
			all := c.examine(code)
			want(t, all, tt.status, "clock", append(tt.words, "X")...)
			want(t, all, tt.status, "clock", append(tt.words, "Stripe")...)
		})
	}
}

// Beside a running hashtill serve its pages are seen and its rules are in step, and it
// is not disturbed.
func TestDoctorBesideServe(t *testing.T) {
	c := newClinic(t, "v2")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	serving, end := context.WithCancel(ctx)
	done := make(chan int)
	go func() { done <- run(serving, []string{"serve", "-c", c.config}, c.environ, io.Discard, io.Discard) }()
	defer func() { end(); <-done }()
	if err := c.x.WaitStream(ctx); err != nil {
		t.Fatal(err)
	}
	all := c.examine(exitOK)
	want(t, all, "ok", "pages", "is served and does its work")
	want(t, all, "ok", "X rules", "in step with 1 hashtags")
	if !c.listening(ctx) {
		t.Error("the stream of hashtill serve is gone")
	}

	c.set("PUBLIC_URL=http://127.0.0.1:1")
	all = c.examine(exitFailed)
	want(t, all, "fail", "pages", "a hashtill serve runs", "check public_url and listen")
}

// A configuration that is wrong is told whole, and nothing outside is asked.
func TestDoctorConfiguration(t *testing.T) {
	c := newClinic(t, "v2")
	c.set("THANKS=loud")
	c.set("SMTP_PORT=0")
	c.set("X_HEAR=gossip")
	before := len(c.stripe.Calls())
	all := c.examine(exitUsage)
	failures(t, all, "configuration", "configuration", "configuration")
	want(t, all, "fail", "configuration", "thanks")
	want(t, all, "fail", "configuration", "smtp")
	want(t, all, "fail", "configuration", "x.hear")
	if n := len(c.stripe.Calls()); n != before {
		t.Errorf("Stripe was asked %d times", n-before)
	}
}
