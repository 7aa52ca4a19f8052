package stripe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	sdk "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"hashtill/confirm"
	"hashtill/offers"
)

// Config says which Stripe to talk to, and as whom.
type Config struct {
	APIURL string // https://api.stripe.com if empty
	Key    string // secret or restricted key, sk_… or rk_…

	// Timeout of one request; 20 seconds if zero. That is long enough for a bank
	// that is asked while Stripe confirms, and short enough for a confirmation and
	// a look-up within the minute for which an effect is leased.
	Timeout time.Duration

	HTTP *http.Client // one that speaks HTTP/1.1 if nil; redirects are never followed
	Log  *slog.Logger // slog.Default if nil

	// Rate and EndpointRate are how many requests a second Stripe takes of us: of
	// all kinds, and of one. Zero means what Stripe allows (docs.stripe.com/rate-limits):
	// 100, in a sandbox 25; and 25. Who has several processes divides it among them.
	Rate, EndpointRate int

	Now func() time.Time // time.Now if nil; dates keys and the budget, see the package comment
}

// A Till is a [confirm.Till] at Stripe. It is safe for concurrent use.
type Till struct {
	api     *client.API
	budget  *budget
	timeout time.Duration
	log     *slog.Logger
	now     func() time.Time
}

var _ confirm.Till = (*Till)(nil)

// New returns a Till. It does not call Stripe; [Till.Check] does.
func New(c Config) (*Till, error) {
	c.APIURL = cmp.Or(c.APIURL, sdk.APIURL)
	if u, err := url.Parse(c.APIURL); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, errors.New("stripe: api_url is not an http address")
	}
	if c.Key == "" {
		return nil, errors.New("stripe: no secret key: set stripe.key_file")
	}
	hc := http.Client{Transport: transport()}
	if c.HTTP != nil {
		hc = *c.HTTP
		if hc.Transport == nil {
			hc.Transport = http.DefaultTransport
		}
	}
	// Stripe does not redirect; something in between that does must not get the
	// request.
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rate < 0 || c.EndpointRate < 0 {
		return nil, errors.New("stripe: a rate below zero")
	}
	rate := 100
	if strings.HasPrefix(c.Key, "sk_test_") || strings.HasPrefix(c.Key, "rk_test_") {
		rate = 25
	}
	b := newBudget(hc.Transport, c.Now, cmp.Or(c.Rate, rate), cmp.Or(c.EndpointRate, 25))
	hc.Transport = b
	backend := sdk.GetBackendWithConfig(sdk.APIBackend, &sdk.BackendConfig{
		URL:        sdk.String(c.APIURL),
		HTTPClient: &hc,
		// stripe-go would sleep between its retries without regard to the
		// context, and the outbox retries anyway.
		MaxNetworkRetries: sdk.Int64(0),
		EnableTelemetry:   sdk.Bool(false),
		// Its lines hold what Stripe answered, and go to standard error.
		LeveledLogger: &sdk.LeveledLogger{Level: sdk.LevelNull},
	})
	return &Till{
		api:     client.New(c.Key, &sdk.Backends{API: backend, Connect: backend, Uploads: backend}),
		budget:  b,
		timeout: cmp.Or(c.Timeout, 20*time.Second),
		log:     cmp.Or(c.Log, slog.Default()),
		now:     c.Now,
	}, nil
}

// transport speaks HTTP/1.1 alone, as stripe-go's own does: over HTTP/2 a GOAWAY
// could make a retry with an empty body (github.com/golang/go/issues/32441).
func transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.MaxIdleConnsPerHost = 32 // as many as there are workers
	return t
}

// paySlot is how long the second key of a deed is the same. It bounds how long a
// buyer waits for a fresh one.
const paySlot = 10 * time.Second

// keys are the caller's and, for where the answer that is saved under it decides
// nothing, one for the time. That one is the same for all who retry within the
// slot, so that they are one request to Stripe and find each other's answers; and
// however many 500s are saved, the next slot has a fresh one.
func (t *Till) keys(key string, slot time.Duration) [2]string {
	return [2]string{key, key + "+" + strconv.FormatInt(t.now().UnixNano()/int64(slot), 36)}
}

// usable refuses ids that would make another request than the one meant, and keys
// that stripe-go would replace by a random one.
func usable(id, key string) error {
	if id == "" || key == "" {
		return errors.New("stripe: a payment's id and a key are needed")
	}
	return nil
}

// Prepare creates a PaymentIntent for a card that is saved with Stripe, and
// returns its id. Nothing is confirmed.
func (t *Till) Prepare(ctx context.Context, p confirm.Payment) (string, error) {
	if err := usable(string(p.Purchase), p.Key); err != nil {
		return "", err
	}
	amount, currency, err := minor(p.Total)
	if err != nil {
		return "", &confirm.RefusedError{Why: err.Error(), Reason: offers.CardUnusable}
	}
	var a answer
	for n, key := range t.keys(p.Key, paySlot) {
		var pi *sdk.PaymentIntent
		pi, a = t.create(ctx, key, &sdk.PaymentIntentParams{
			Amount:        &amount,
			Currency:      &currency,
			Customer:      &p.Customer,
			PaymentMethod: &p.Card,
			// Cards alone: other methods could redirect away from the flow.
			PaymentMethodTypes: sdk.StringSlice([]string{"card"}),
			Description:        &p.Description,
			Metadata:           map[string]string{"purchase": string(p.Purchase)},
		})
		switch {
		case a.verdict == done && pi.ID != "":
			return pi.ID, nil
		case a.verdict == done:
			return "", errors.New("stripe: create payment: the answer names no payment")
		case a.verdict == declined, a.verdict == refused:
			return "", a.refusal()
		case !a.dead:
			return "", a.err
		}
		t.another(n, "create payment", key, a)
	}
	return "", a.err
}

func (t *Till) create(ctx context.Context, key string, p *sdk.PaymentIntentParams) (*sdk.PaymentIntent, answer) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	p.Params = sdk.Params{Context: ctx, IdempotencyKey: &key}
	pi, err := t.api.PaymentIntents.New(p)
	return pi, read("create payment", pi.LastResponse, err)
}

// another tells the operator that the first key is dead and the second in use.
func (t *Till) another(n int, deed, key string, a answer) {
	if n == 0 {
		t.log.Warn("stripe: the answer saved under a key decides nothing, so another key is used", "deed", deed, "key", key, "answer", a.err)
	}
}

// Confirm takes the money of an intent with a card. The package comment says what
// is done where the answer leaves the outcome open.
func (t *Till) Confirm(ctx context.Context, intent, card, key, returnURL string) (confirm.Standing, error) {
	if err := usable(intent, key); err != nil {
		return confirm.Standing{}, err
	}
	var a answer
	for n, key := range t.keys(key, paySlot) {
		var pi *sdk.PaymentIntent
		pi, a = t.confirm(ctx, intent, card, key, returnURL)
		switch {
		case a.verdict == later:
			return confirm.Standing{}, a.err
		case a.verdict == done && !a.dead:
			return standing(pi, intent)
		case a.verdict == declined && !a.dead:
			return confirm.Standing{Status: confirm.Failed, Reason: a.reason}, nil
		}
		pi, err := t.get(ctx, intent)
		if err != nil {
			return confirm.Standing{}, err
		}
		switch {
		case !undecided(pi), a.verdict == done:
			return standing(pi, intent)
		case a.verdict == declined:
			return confirm.Standing{Status: confirm.Failed, Reason: a.reason}, nil
		case a.verdict == refused:
			return confirm.Standing{}, a.refusal()
		case !a.dead:
			return confirm.Standing{}, a.err
		}
		t.another(n, "confirm payment", key, a)
	}
	return confirm.Standing{}, a.err
}

func (t *Till) confirm(ctx context.Context, intent, card, key, returnURL string) (*sdk.PaymentIntent, answer) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	pi, err := t.api.PaymentIntents.Confirm(intent, &sdk.PaymentIntentConfirmParams{
		Params:        sdk.Params{Context: ctx, IdempotencyKey: &key},
		PaymentMethod: &card,
		ReturnURL:     &returnURL,
	})
	return pi, read("confirm payment", pi.LastResponse, err)
}

// Look says how a payment stands now.
func (t *Till) Look(ctx context.Context, intent string) (confirm.Standing, error) {
	if err := usable(intent, "-"); err != nil {
		return confirm.Standing{}, err
	}
	pi, err := t.get(ctx, intent)
	if err != nil {
		return confirm.Standing{}, err
	}
	return standing(pi, intent)
}

// get retrieves an intent, with its last charge. Its errors are never final: what
// we have stored an id of exists.
func (t *Till) get(ctx context.Context, intent string) (*sdk.PaymentIntent, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	pi, err := t.api.PaymentIntents.Get(intent, &sdk.PaymentIntentParams{
		Params: sdk.Params{Context: ctx},
		Expand: sdk.StringSlice([]string{"latest_charge"}),
	})
	a := read("look up payment", pi.LastResponse, err)
	switch {
	case a.verdict == refused && a.status == http.StatusNotFound:
		return nil, fmt.Errorf("%w: check that stripe.key_file holds the key of the account and the mode (test or live) in which the payment was begun", a.err)
	case a.verdict != done:
		return nil, a.err
	case pi.ID != intent:
		return nil, errors.New("stripe: look up payment: the answer is about another payment")
	}
	return pi, nil
}

// Void cancels an intent. Success says Voided or Taken, and nothing else; while
// Stripe is still processing the payment it is an error.
func (t *Till) Void(ctx context.Context, intent, key string) (confirm.Standing, error) {
	if err := usable(intent, key); err != nil {
		return confirm.Standing{}, err
	}
	var a answer
	for n, key := range t.keys(key, paySlot) {
		var pi *sdk.PaymentIntent
		pi, a = t.cancel(ctx, intent, key)
		if a.verdict == later {
			return confirm.Standing{}, a.err
		}
		if a.verdict != done || pi.ID != intent || pi.Status != sdk.PaymentIntentStatusCanceled {
			var err error
			if pi, err = t.get(ctx, intent); err != nil {
				return confirm.Standing{}, err
			}
		}
		switch pi.Status {
		case sdk.PaymentIntentStatusCanceled:
			return confirm.Standing{Status: confirm.Voided}, nil
		case sdk.PaymentIntentStatusSucceeded:
			return confirm.Standing{Status: confirm.Taken}, nil
		}
		a.err = cmp.Or(a.err, errors.New("stripe: cancel payment: it was not cancelled"))
		if !a.dead {
			return confirm.Standing{}, a.err
		}
		t.another(n, "cancel payment", key, a)
	}
	return confirm.Standing{}, a.err
}

func (t *Till) cancel(ctx context.Context, intent, key string) (*sdk.PaymentIntent, answer) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	pi, err := t.api.PaymentIntents.Cancel(intent, &sdk.PaymentIntentCancelParams{
		Params:             sdk.Params{Context: ctx, IdempotencyKey: &key},
		CancellationReason: sdk.String(string(sdk.PaymentIntentCancellationReasonAbandoned)),
	})
	return pi, read("cancel payment", pi.LastResponse, err)
}

// Check asks Stripe for the balance: whether it answers, and accepts the key. A
// restricted key needs read permission for the balance.
func (t *Till) Check(ctx context.Context) error {
	_, err := t.Live(ctx)
	return err
}

// Live is Check, and says whether the key is one that takes real money.
func (t *Till) Live(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	b, err := t.api.Balance.Get(&sdk.BalanceParams{Params: sdk.Params{Context: ctx}})
	a := read("read balance", b.LastResponse, err)
	if a.verdict == done && b.Object != "balance" {
		return false, errors.New("stripe: read balance: the answer is not Stripe's: check stripe.api_url")
	}
	return b.Livemode, a.err
}
