package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/bot/x/xtest"
	"hashtill/confirm"
	"hashtill/confirm/smtp/smtptest"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
	"hashtill/store"
)

// outside is all that stands around a hashtill serve: stand-ins that live on when
// it dies, and an own look into its store.
type outside struct {
	t      *testing.T
	x      *xtest.Server
	stripe *stripetest.Server
	smtp   *smtptest.Server
	bot    xtest.Account
	buyer  xtest.Account
	config string
	store  store.Store
	shop   *offers.Shop
}

const buyerEmail = "ann@mail.example"

func newOutside(t *testing.T, api string) *outside { return newOutsideOn(t, api, "") }

// newOutsideOn has hashtill serve use a store that is there; "" is a file of its own.
func newOutsideOn(t *testing.T, api, where string) *outside {
	t.Helper()
	return newOutsideHearing(t, api, "stream", where)
}

// webhookURL is where X reaches hashtill serve: a proxy that speaks HTTPS takes what comes
// there to where it listens.
const webhookURL = "https://shop.example/x/webhook"

// A proxy brings what is sent to anybody to one address instead.
type proxy string

func (p proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", string(p)
	return http.DefaultTransport.RoundTrip(r)
}

// newOutsideHearing has hashtill serve hear in one of the ways of x.hear.
func newOutsideHearing(t *testing.T, api, hear, where string) *outside {
	t.Helper()
	w := &outside{t: t}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	listen, err := freeAddress("127.0.0.1:0")
	must(err)
	w.x, err = xtest.Start(xtest.Options{Classic: api == "v1.1", Limits: map[string]int{"POST /2/tweets": 1000, "GET /2/tweets/search/stream/rules": 1 << 20}, Deliver: proxy(listen)})
	must(err)
	t.Cleanup(func() { w.x.Close() })
	w.stripe, err = stripetest.Start(stripetest.Options{})
	must(err)
	t.Cleanup(func() { w.stripe.Close() })
	w.smtp, err = smtptest.Start(smtptest.Options{})
	must(err)
	t.Cleanup(func() { w.smtp.Close() })
	w.bot, err = w.x.AddAccount(xtest.Account{Handle: "hashtill"})
	must(err)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	creds := w.x.Credentials(w.bot.ID)
	where = cmp.Or(where, "sqlite:"+filepath.Join(dir, "hashtill.db"))
	w.config = write("hashtill.yaml", fmt.Sprintf(`
public_url: http://%[1]s
listen: %[1]s
store: %s
archive: %s
offers: %s
thanks: bare
keys_file: %s
x: {api: %[17]s, api_url: %[6]q, stream_url: %[6]q, consumer_key_file: %[7]s, consumer_secret_file: %s, access_token_file: %s, access_secret_file: %s, bearer_token_file: %s, hear: %[18]s, poll_every: 3s, webhook_url: %[19]q}
stripe: {api_url: %[12]q, key_file: %s, webhook_secret_file: %s}
smtp: {host: %q, port: %d, tls: none}
mail: {from: shop@mail.example}
`, listen, where, filepath.Join(dir, "archive"),
		write("offers.yaml", "- {tag: BuyTee, title: Tour T-shirt, seller: Example Records, price: 149.99, currency: USD, stock: 1000}"),
		write("keys", confirm.NewKeys()), w.x.URL(),
		write("ck", creds.ConsumerKey), write("cs", creds.ConsumerSecret), write("at", creds.Token), write("as", creds.TokenSecret),
		write("bearer", w.x.Bearer()), w.stripe.URL(), write("stripe", w.stripe.Key()), write("whsec", w.stripe.WebhookSecret()), w.smtp.Host(), w.smtp.Port(), api, hear, webhookURL))

	cfg, err := Load(w.config, nil)
	must(err)
	w.store, err = openStore(t.Context(), cfg, newLog(cfg, io.Discard))
	must(err)
	t.Cleanup(func() { w.store.Close() })
	w.shop, _, err = openShop(t.Context(), cfg, w.store, newLog(cfg, io.Discard), time.Now)
	must(err)
	w.buyer = w.register("ann", buyerEmail)
	return w
}

// register makes somebody a buyer, as the operator does by hand.
func (w *outside) register(handle, email string) xtest.Account {
	w.t.Helper()
	account, err := w.x.AddAccount(xtest.Account{Handle: handle})
	if err != nil {
		w.t.Fatal(err)
	}
	customer := w.stripe.AddCustomer(email)
	card, err := w.stripe.AddCard(customer, "4242424242424242")
	if err != nil {
		w.t.Fatal(err)
	}
	var out strings.Builder
	if code := run(w.t.Context(), []string{"buyer", "add", "-c", w.config, "--account", account.ID, "--email", email,
		"--customer", customer, "--card", card}, nil, &out, &out); code != exitOK {
		w.t.Fatalf("buyer add: %d %s", code, out.String())
	}
	return account
}

// untilReady waits until hashtill serve says that it hears what is posted.
func (w *outside) untilReady(ctx context.Context) {
	w.t.Helper()
	cfg, err := Load(w.config, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.poll(ctx, "hashtill serve does not become ready", func() bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.PublicURL+"/readyz", nil)
		if err != nil {
			w.t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		lines, err := io.ReadAll(resp.Body)
		return err == nil && resp.StatusCode == http.StatusOK && strings.Contains(string(lines), "x: listening\n")
	})
}

// listening says whether the bot hears what is posted now.
func (w *outside) listening(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	return w.x.WaitStream(ctx) == nil
}

// press presses the button in the newest mail with a link. It may meet a server
// that dies.
func (w *outside) press(ctx context.Context) {
	for _, m := range slices.Backward(w.smtp.Mailbox(buyerEmail)) {
		address, err := link(m)
		if err != nil {
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
			resp.Body.Close()
		}
		return
	}
}

// settled says whether nothing is owed any more but what is due some day.
func (w *outside) settled(ctx context.Context) bool {
	for shard := range store.Shards {
		for cursor := ""; ; {
			owed, next, err := w.store.Owed(ctx, shard, cursor, 100)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, o := range owed {
				if o.Due.Before(time.Now().Add(24 * time.Hour)) {
					return false
				}
			}
			if cursor = next; next == "" {
				break
			}
		}
	}
	return true
}

// check looks at what a buyer and a bookkeeper would: one charge, one code, one
// thank-you, two mails, and every unit accounted for.
func (w *outside) check(p offers.Purchase) {
	w.t.Helper()
	if charges := w.stripe.Charges(); len(charges) != 1 || charges[0].Amount != p.Total.Minor || charges[0].Metadata["purchase"] != string(p.ID) {
		w.t.Errorf("charges: %+v", charges)
	}
	codes, thanks := 0, 0
	for _, reply := range w.x.Replies(p.Wish) {
		if strings.Contains(reply.Text, p.Code.Hashtag()) {
			codes++
		} else {
			thanks++
		}
	}
	if codes != 1 || thanks != 1 {
		w.t.Errorf("%d replies with the code, %d with thanks", codes, thanks)
	}
	if mails := w.smtp.Folded(buyerEmail); len(mails) != 2 {
		w.t.Errorf("the buyer reads %d mails, not link and receipt", len(mails))
	}
	held := 0
	err := w.shop.EachPurchase(context.Background(), func(p offers.Purchase) error { held += p.Held; return nil })
	o, ok := w.shop.OfferByTag("BuyTee")
	if !ok {
		if _, err := w.shop.Refresh(context.Background()); err != nil {
			w.t.Fatal(err)
		}
		o, _ = w.shop.OfferByTag("BuyTee")
	}
	taken, err2 := w.shop.Stocked(context.Background(), o)
	if err != nil || err2 != nil || taken[""] != int64(held) || held != 1 {
		w.t.Errorf("%d units held by purchases, %d counted, %v %v", held, taken[""], err, err2)
	}
}
