package stripe

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"hashtill/confirm"
	"hashtill/offers"
)

// A reply is one answer of a Stripe that follows a script.
type reply struct {
	status   int
	replayed bool
	body     string
}

// A script answers requests by "METHOD last-of-path", each time with the next
// reply, and with the last one for ever.
type script map[string][]reply

func (s script) RoundTrip(r *http.Request) (*http.Response, error) {
	what := r.Method + " " + r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	replies := s[what]
	if len(replies) == 0 {
		return nil, errors.New("no reply to " + what)
	}
	if len(replies) > 1 {
		s[what] = replies[1:]
	}
	res := &http.Response{StatusCode: replies[0].status, Header: http.Header{"Request-Id": {"req_1"}}, Body: io.NopCloser(strings.NewReader(replies[0].body)), Request: r}
	if replies[0].replayed {
		res.Header.Set("Idempotent-Replayed", "true")
	}
	if res.StatusCode/100 == 3 {
		res.Header.Set("Location", "https://elsewhere.example/")
	}
	return res, nil
}

func scripted(t testing.TB, rt http.RoundTripper) *Till {
	t.Helper()
	till, err := New(Config{Key: "sk_test_verysecret", Rate: 1e6, EndpointRate: 1e6, HTTP: &http.Client{Transport: rt}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return till
}

const (
	succeeded  = `{"id":"pi_1","status":"succeeded"}`
	canceled   = `{"id":"pi_1","status":"canceled"}`
	processing = `{"id":"pi_1","status":"processing"}`
	untried    = `{"id":"pi_1","status":"requires_confirmation"}`
	atBank     = `{"id":"pi_1","status":"requires_action","next_action":{"type":"redirect_to_url","redirect_to_url":{"url":"https://bank.example"}}}`
	failed     = `{"id":"pi_1","status":"requires_payment_method","last_payment_error":{"type":"card_error","code":"card_declined","decline_code":"insufficient_funds"}}`
	newMethod  = `{"id":"pi_1","status":"requires_payment_method"}`

	cardError  = `{"error":{"type":"card_error","code":"expired_card","message":"Your card with 4242 4242 4242 4242 has expired."}}`
	unexpected = `{"error":{"type":"invalid_request_error","code":"payment_intent_unexpected_state","message":"m"}}`
	invalid    = `{"error":{"type":"invalid_request_error","code":"resource_missing","param":"payment_method","message":"No such thing"}}`
	apiError   = `{"error":{"type":"api_error","message":"m"}}`
	otherUse   = `{"error":{"type":"idempotency_error","message":"m"}}`
)

func TestConfirmScripts(t *testing.T) {
	final := func(reason offers.Reason) *confirm.RefusedError { return &confirm.RefusedError{Reason: reason} }
	again := errors.New("again")
	for name, c := range map[string]struct {
		post, get []reply
		status    confirm.Status
		reason    offers.Reason
		err       error // again, or a refusal with its reason
	}{
		"taken":                           {post: []reply{{200, false, succeeded}}, status: confirm.Taken},
		"at the bank":                     {post: []reply{{200, false, atBank}}, status: confirm.AtBank},
		"at the bank without an address":  {post: []reply{{200, false, `{"id":"pi_1","status":"requires_action"}`}}, err: again},
		"a status that is not ours":       {post: []reply{{200, false, `{"id":"pi_1","status":"requires_capture"}`}}, err: again},
		"another payment":                 {post: []reply{{200, false, `{"id":"pi_2","status":"succeeded"}`}}, err: again},
		"nothing in it":                   {post: []reply{{200, false, `{}`}}, err: again},
		"null":                            {post: []reply{{200, false, `null`}}, err: again},
		"a redirect":                      {post: []reply{{307, false, ``}}, get: []reply{{200, false, untried}}, err: again},
		"declined":                        {post: []reply{{402, false, cardError}}, status: confirm.Failed, reason: offers.CardExpired},
		"bank asked before, voided now":   {post: []reply{{200, true, atBank}}, get: []reply{{200, false, canceled}}, status: confirm.Voided},
		"processing before, failed now":   {post: []reply{{200, true, processing}}, get: []reply{{200, false, failed}}, status: confirm.Failed, reason: offers.InsufficientFunds},
		"declined before, taken now":      {post: []reply{{402, true, cardError}}, get: []reply{{200, false, succeeded}}, status: confirm.Taken},
		"declined before and now":         {post: []reply{{402, true, cardError}}, get: []reply{{200, false, newMethod}}, status: confirm.Failed, reason: offers.CardExpired},
		"taken already":                   {post: []reply{{400, false, unexpected}}, get: []reply{{200, false, succeeded}}, status: confirm.Taken},
		"unexpected, yet open":            {post: []reply{{400, false, unexpected}}, get: []reply{{200, false, untried}}, err: again},
		"unexpected before, open now":     {post: []reply{{400, true, unexpected}, {200, false, succeeded}}, get: []reply{{200, false, untried}}, status: confirm.Taken},
		"500, taken":                      {post: []reply{{500, false, apiError}}, get: []reply{{200, false, succeeded}}, status: confirm.Taken},
		"500, processing":                 {post: []reply{{500, false, apiError}}, get: []reply{{200, false, processing}}, status: confirm.Open},
		"500, untried":                    {post: []reply{{500, false, apiError}}, get: []reply{{200, false, untried}}, err: again},
		"500, an earlier card failed":     {post: []reply{{500, false, apiError}}, get: []reply{{200, false, failed}}, err: again},
		"saved 500, untried":              {post: []reply{{500, true, apiError}, {200, false, succeeded}}, get: []reply{{200, false, untried}}, status: confirm.Taken},
		"saved 500, taken":                {post: []reply{{500, true, apiError}}, get: []reply{{200, false, succeeded}}, status: confirm.Taken},
		"saved 500 twice":                 {post: []reply{{500, true, apiError}}, get: []reply{{200, false, untried}}, err: again},
		"saved 500, look-up fails":        {post: []reply{{500, true, apiError}}, get: []reply{{500, false, apiError}}, err: again},
		"the key was used otherwise":      {post: []reply{{400, false, otherUse}, {200, false, succeeded}}, get: []reply{{200, false, untried}}, status: confirm.Taken},
		"invalid":                         {post: []reply{{400, false, invalid}}, get: []reply{{200, false, untried}}, err: final(offers.CardUnusable)},
		"invalid before and now":          {post: []reply{{400, true, invalid}}, get: []reply{{200, false, untried}}, err: final(offers.CardUnusable)},
		"invalid, yet taken":              {post: []reply{{400, false, invalid}}, get: []reply{{200, false, succeeded}}, status: confirm.Taken},
		"in flight":                       {post: []reply{{409, false, otherUse}}, err: again},
		"key in use, however it comes":    {post: []reply{{400, false, `{"error":{"type":"idempotency_error","code":"idempotency_key_in_use"}}`}}, err: again},
		"too many":                        {post: []reply{{429, false, `{"error":{"type":"invalid_request_error","code":"rate_limit"}}`}}, err: again},
		"wrong key":                       {post: []reply{{401, false, `{"error":{"type":"invalid_request_error","message":"Invalid API Key provided: sk_test_*****cret"}}`}}, err: again},
		"silence, taken":                  {get: []reply{{200, false, succeeded}}, status: confirm.Taken},
		"silence, untried":                {get: []reply{{200, false, untried}}, err: again},
		"silence":                         {err: again},
		"not Stripe":                      {post: []reply{{502, false, "<html>"}}, get: []reply{{200, false, untried}}, err: again},
		"not Stripe, in JSON":             {post: []reply{{502, false, `{"a":1}`}}, get: []reply{{200, false, untried}}, err: again},
		"half a payment, with its secret": {post: []reply{{200, false, `{"id":"pi_1","client_secret":"pi_1_secret_abc","status":`}}, get: []reply{{200, false, untried}}, err: again},
	} {
		t.Run(name, func(t *testing.T) {
			till := scripted(t, script{"POST confirm": c.post, "GET pi_1": c.get})
			st, err := till.Confirm(t.Context(), "pi_1", "pm_1", "charge/1", "https://shop.example")
			var isFinal, wantFinal *confirm.RefusedError
			errors.As(err, &isFinal)
			errors.As(c.err, &wantFinal)
			if st.Status != c.status || st.Reason != c.reason || (err != nil) != (c.err != nil) || (isFinal != nil) != (wantFinal != nil) || isFinal != nil && isFinal.Reason != wantFinal.Reason {
				t.Errorf("got %+v, %v; want %s %s %v", st, err, c.status, c.reason, c.err)
			}
			safe(t, err)
		})
	}
}

func TestVoidScripts(t *testing.T) {
	for name, c := range map[string]struct {
		post, get []reply
		status    confirm.Status // or an error that is not final
	}{
		"refused while processing, open now": {post: []reply{{400, true, unexpected}, {200, false, canceled}}, get: []reply{{200, false, failed}}, status: confirm.Voided},
		"refused while processing, taken":    {post: []reply{{400, true, unexpected}}, get: []reply{{200, false, succeeded}}, status: confirm.Taken},
		"still processing":                   {post: []reply{{400, false, unexpected}}, get: []reply{{200, false, processing}}},
		"silence, voided":                    {get: []reply{{200, false, canceled}}, status: confirm.Voided},
		"silence, open":                      {get: []reply{{200, false, untried}}},
		"not cancelled after all":            {post: []reply{{200, false, untried}}, get: []reply{{200, false, untried}}},
		"nothing in it":                      {post: []reply{{200, false, `{}`}}, get: []reply{{200, false, canceled}}, status: confirm.Voided},
		"unknown":                            {post: []reply{{404, false, invalid}}, get: []reply{{404, false, invalid}}},
		"at the bank, refused":               {post: []reply{{400, false, invalid}}, get: []reply{{200, false, atBank}}},
	} {
		t.Run(name, func(t *testing.T) {
			st, err := scripted(t, script{"POST cancel": c.post, "GET pi_1": c.get}).Void(t.Context(), "pi_1", "void/1")
			var final *confirm.RefusedError
			if st.Status != c.status || (err != nil) != (c.status == "") || errors.As(err, &final) {
				t.Errorf("got %+v, %v; want %q", st, err, c.status)
			}
			safe(t, err)
		})
	}
}

func TestRefundScripts(t *testing.T) {
	const (
		kept  = `{"id":"pi_1","status":"succeeded","latest_charge":{"id":"ch_1","amount":500,"refunded":false}}`
		given = `{"id":"pi_1","status":"succeeded","latest_charge":{"id":"ch_1","amount":500,"refunded":true}}`
		more  = `{"id":"pi_1","status":"succeeded","latest_charge":{"id":"ch_1","amount":501,"refunded":true}}`

		poor    = `{"error":{"type":"invalid_request_error","code":"balance_insufficient"}}`
		already = `{"error":{"type":"invalid_request_error","code":"charge_already_refunded"}}`
		tooMuch = `{"error":{"type":"invalid_request_error","param":"amount","message":"Refund amount (500) is greater than unrefunded amount on charge (400)"}}`

		made   = `{"id":"re_1","status":"succeeded"}`
		failed = `{"id":"re_1","status":"failed","failure_reason":"expired_or_canceled_card"}`

		none      = `{"data":[]}`
		ours      = `{"data":[{"id":"re_9","amount":500,"status":"succeeded"},{"id":"re_1","amount":500,"status":"pending","metadata":{"refund":"refund/1"}}]}`
		oursLess  = `{"data":[{"id":"re_1","amount":499,"status":"succeeded","metadata":{"refund":"refund/1"}}]}`
		oursLost  = `{"data":[{"id":"re_1","amount":500,"status":"failed","metadata":{"refund":"refund/1"}}]}`
		oursAgain = `{"data":[{"id":"re_1","amount":500,"status":"canceled","metadata":{"refund":"refund/1"}},{"id":"re_2","amount":500,"status":"succeeded","metadata":{"refund":"refund/1"}}]}`
		odd       = `{"data":[{"id":"re_1","amount":500,"status":"new","metadata":{"refund":"refund/1"}}]}`
		others    = `{"data":[{"id":"re_1","amount":500,"status":"succeeded","metadata":{"refund":"refund/2"}},{"id":"re_2","amount":500,"status":"succeeded"}]}`
	)
	for name, c := range map[string]struct {
		list, post, get []reply
		ok, final       bool
	}{
		"made":                       {post: []reply{{200, false, made}}, ok: true},
		"made, others were before":   {list: []reply{{200, false, others}}, post: []reply{{200, false, made}}, ok: true},
		"made before":                {list: []reply{{200, false, ours}}, ok: true},
		"made before, and less":      {list: []reply{{200, false, oursLess}}, final: true},
		"failed since":               {list: []reply{{200, false, oursLost}}, get: []reply{{200, false, kept}}, final: true},
		"failed since, then by hand": {list: []reply{{200, false, oursLost}}, get: []reply{{200, false, given}}, ok: true},
		"cancelled, then made":       {list: []reply{{200, false, oursAgain}}, ok: true},
		"stands oddly":               {list: []reply{{200, false, odd}}, get: []reply{{200, false, kept}}},
		"list fails":                 {list: []reply{{500, false, apiError}}, post: []reply{{200, false, made}}},
		"list without names":         {list: []reply{{200, false, `{"data":[{}]}`}}, post: []reply{{200, false, made}}},
		"list of nothing":            {list: []reply{{200, false, `{"has_more":true,"data":[null]}`}}, post: []reply{{200, false, made}}},
		"list without end":           {list: []reply{{200, false, `{"has_more":true,"data":[{"id":"re_9","status":"succeeded"}]}`}}, post: []reply{{200, false, made}}},
		"list of the unknown":        {list: []reply{{404, false, invalid}}},
		"on its way":                 {post: []reply{{200, true, `{"id":"re_1","status":"pending"}`}}, ok: true},
		"failed":                     {post: []reply{{200, false, failed}}, get: []reply{{200, false, kept}}, final: true},
		"failed, then by hand":       {post: []reply{{200, true, failed}}, get: []reply{{200, false, given}}, ok: true},
		"nothing in it":              {post: []reply{{200, false, `{}`}}, get: []reply{{200, false, kept}}},
		"all is back already":        {post: []reply{{400, true, already}}, get: []reply{{200, false, given}}, ok: true},
		"all is back, ours is part":  {post: []reply{{400, false, already}}, get: []reply{{200, false, more}}, final: true},
		"too little is left":         {post: []reply{{400, false, tooMuch}}, get: []reply{{200, false, kept}}, final: true},
		"made by another at once":    {list: []reply{{200, false, none}, {200, false, ours}}, post: []reply{{400, false, already}}, ok: true},
		"disputed":                   {post: []reply{{400, false, `{"error":{"type":"invalid_request_error","code":"charge_disputed"}}`}}, get: []reply{{200, false, kept}}, final: true},
		"no money for it":            {post: []reply{{400, false, poor}}},
		"no money for it then":       {post: []reply{{400, true, poor}, {200, false, made}}, ok: true},
		"saved 500, made":            {list: []reply{{200, false, none}, {200, false, ours}}, post: []reply{{500, true, apiError}}, ok: true},
		"saved 500, made later":      {post: []reply{{500, true, apiError}, {200, false, made}}, ok: true},
		"saved 500, list fails":      {list: []reply{{200, false, none}, {500, false, apiError}}, post: []reply{{500, true, apiError}, {200, false, made}}},
		"500":                        {post: []reply{{500, false, apiError}, {200, false, made}}}, // it may still be under way
		"500, made":                  {list: []reply{{200, false, none}, {200, false, ours}}, post: []reply{{500, false, apiError}}, ok: true},
		"too many":                   {post: []reply{{429, false, `{"error":{"type":"invalid_request_error","code":"rate_limit"}}`}}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.list == nil {
				c.list = []reply{{200, false, none}}
			}
			till := scripted(t, script{"GET refunds": c.list, "POST refunds": c.post, "GET pi_1": c.get})
			till.now = func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) } // early in its slot
			err := till.Refund(t.Context(), confirm.Refund{Intent: "pi_1", Key: "refund/1", Amount: offers.Money{Minor: 500, Currency: "EUR"}})
			var final *confirm.RefusedError
			if (err == nil) != c.ok || errors.As(err, &final) != c.final {
				t.Errorf("got %v", err)
			}
			safe(t, err)
		})
	}
}

// A second key for a refund is only used when what was sent under the one before
// has ended.
func TestRefundRests(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 4, 0, 0, time.UTC)
	till := scripted(t, script{"GET refunds": {{200, false, `{"data":[]}`}}, "POST refunds": {{500, true, apiError}, {200, false, `{"id":"re_1","status":"succeeded"}`}}})
	till.now = func() time.Time { return at }
	order := confirm.Refund{Intent: "pi_1", Key: "refund/1", Amount: offers.Money{Minor: 500, Currency: "EUR"}}
	var later *confirm.LaterError
	if err := till.Refund(t.Context(), order); !errors.As(err, &later) || !later.At.Equal(at.Add(time.Minute)) {
		t.Errorf("in the last minute of a slot: %v", err)
	}
	at = later.At
	if err := till.Refund(t.Context(), order); err != nil {
		t.Error(err)
	}
}

func TestCheckScripts(t *testing.T) {
	for name, r := range map[string]reply{
		"not Stripe":     {200, false, `{"ok":true}`},
		"not JSON":       {200, false, "hello"},
		"not permitted":  {403, false, `{"error":{"type":"invalid_request_error","message":"The provided key 'rk_test_abc' does not have permission"}}`},
		"out of service": {503, false, apiError},
	} {
		err := scripted(t, script{"GET balance": {r}}).Check(t.Context())
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		safe(t, err)
	}
}

// safe wants no secret in an error.
func safe(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, secret := range []string{"_secret", "verysecret", "4242", "sk_", "rk_", "@"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q in %q", secret, err)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"No such customer: 'cus_1'":                 "No such customer: 'cus_1'",
		"two\r\nlines\x00":                          "two lines",
		"key sk_live_abc, rk_test_d, pk_live_e":     "key [hidden] [hidden] [hidden]",
		"pi_1_secret_x is secret":                   "[hidden] is secret",
		"for ann@example.com":                       "for [hidden]",
		"4242424242424242 and 4242 4242 4242 4242!": "[hidden] and [hidden]!",
		"at most 99999999":                          "at most 99999999",
		"\xff":                                      "?",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("sk_live_1 ann@example.com 4242 4242 4242 4242\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if strings.ContainsAny(got, "\r\n@\x00") || len(got) > 310 {
			t.Errorf("clean(%q) = %q", s, got)
		}
	})
}

// FuzzAnswers lets Stripe answer anything at all. Only an answer that says so of
// this very payment means that the money was taken, and no secret gets out.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{succeeded, canceled, atBank, failed, cardError, unexpected, invalid, apiError, otherUse, "<html>", "null", `"pi_1"`, `{"error":"x"}`, `{"error":null}`} {
		f.Add(200, false, body, untried)
		f.Add(400, true, body, failed)
		f.Add(500, false, body, succeeded)
	}
	f.Fuzz(func(t *testing.T, status int, replayed bool, post, get string) {
		if status < 200 || status > 599 {
			return
		}
		replies := script{"POST confirm": {{status, replayed, post}}, "POST cancel": {{status, replayed, post}}, "POST payment_intents": {{status, replayed, post}},
			"POST refunds": {{status, replayed, post}}, "GET refunds": {{200, false, get}}, "GET pi_1": {{200, false, get}}}
		till := scripted(t, replies)
		ctx := context.Background()
		all := post + get
		may := strings.Contains(all, "pi_1") && strings.Contains(all, "succeeded")
		for name, do := range map[string]func() (confirm.Standing, error){
			"confirm": func() (confirm.Standing, error) { return till.Confirm(ctx, "pi_1", "pm_1", "k", "https://x.example") },
			"void":    func() (confirm.Standing, error) { return till.Void(ctx, "pi_1", "k") },
			"look":    func() (confirm.Standing, error) { return till.Look(ctx, "pi_1") },
			"refund": func() (confirm.Standing, error) {
				return confirm.Standing{}, till.Refund(ctx, confirm.Refund{Intent: "pi_1", Key: "k", Amount: offers.Money{Minor: 100, Currency: "EUR"}})
			},
			"prepare": func() (confirm.Standing, error) {
				_, err := till.Prepare(ctx, confirm.Payment{Purchase: "p", Key: "k", Customer: "c", Card: "d", Total: offers.Money{Minor: 100, Currency: "EUR"}})
				return confirm.Standing{}, err
			},
		} {
			st, err := do()
			if st.Status == confirm.Taken && !may && !strings.Contains(all, `\u`) {
				t.Errorf("%s: taken by %q, %q", name, post, get)
			}
			if err != nil && (st != confirm.Standing{}) {
				t.Errorf("%s: both %+v and %v", name, st, err)
			}
			if err != nil && strings.Contains(err.Error(), "_secret") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
