package stripe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	sdk "github.com/stripe/stripe-go/v76"

	"hashtill/confirm"
	"hashtill/offers"
)

// A verdict is how much an answer of Stripe decides.
type verdict int

const (
	done     verdict = iota // it was done
	declined                // it was tried, and the bank or Stripe said no to this card
	refused                 // it can never be done as asked
	later                   // it was not begun: the same request may do it later
	unsure                  // whether it was done, only the object itself knows
)

// An answer is what came of a request.
type answer struct {
	verdict verdict

	// dead says that every request under this key has the same answer, and that
	// the answer may be older than the truth.
	dead bool

	status int           // HTTP's, 0 where it is not known
	code   sdk.ErrorCode // Stripe's
	reason offers.Reason // for the buyer, where declined or refused
	err    error         // nil where done; safe to log
}

// refusal is the answer as a final error.
func (a answer) refusal() *confirm.RefusedError {
	return &confirm.RefusedError{Why: a.err.Error(), Reason: a.reason}
}

// read judges what stripe-go returned for a request (docs.stripe.com/api/errors).
// what names the request in the error.
func read(what string, last *sdk.APIResponse, err error) answer {
	if err == nil {
		return answer{dead: replayed(last)}
	}
	if put := (*confirm.LaterError)(nil); errors.As(err, &put) {
		return answer{verdict: later, err: put} // by our own budget
	}
	var e *sdk.Error
	if !errors.As(err, &e) {
		return answer{verdict: unsure, err: silence(what, err)}
	}
	a := answer{
		dead:   replayed(e.LastResponse),
		status: e.HTTPStatusCode,
		code:   e.Code,
		err:    fmt.Errorf("stripe: %s: %s", what, describe(e)),
	}
	switch {
	case e.HTTPStatusCode == http.StatusUnauthorized:
		a.verdict = later
		a.err = fmt.Errorf("%w: Stripe does not accept the key: check stripe.key_file", a.err)
	case e.HTTPStatusCode == http.StatusForbidden:
		a.verdict = later
		a.err = fmt.Errorf("%w: the key may not do this: check the permissions of the key in stripe.key_file", a.err)
	case e.Type == sdk.ErrorTypeCard:
		a.verdict, a.reason = declined, reason(e)
	case e.HTTPStatusCode == http.StatusConflict, e.HTTPStatusCode == http.StatusTooManyRequests,
		e.Code == sdk.ErrorCodeIdempotencyKeyInUse, e.Code == sdk.ErrorCodeLockTimeout:
		a.verdict = later
	case e.Type == sdk.ErrorTypeIdempotency: // used before, with other parameters
		a.verdict, a.dead = unsure, true
	case e.HTTPStatusCode >= 500,
		e.Code == sdk.ErrorCodePaymentIntentUnexpectedState, // it was done, or undone, already
		e.Code == sdk.ErrorCodeBalanceInsufficient:          // of the merchant, for a refund: may change
		a.verdict = unsure
	case e.HTTPStatusCode >= 400:
		a.verdict, a.reason = refused, offers.CardUnusable
	default:
		a.verdict = unsure
	}
	return a
}

// replayed says that an answer was saved under the request's key earlier
// (docs.stripe.com/error-low-level).
func replayed(r *sdk.APIResponse) bool {
	return r != nil && r.Header.Get("Idempotent-Replayed") == "true"
}

// silence is the error for what was no answer of Stripe. stripe-go puts what it
// could not read into its error, which may be half a payment with its secret; so
// only the kinds of error that hold nothing of the answer are passed on.
func silence(what string, err error) error {
	var (
		urlErr *url.Error
		netErr net.Error
	)
	switch {
	case errors.As(err, &urlErr):
		return fmt.Errorf("stripe: %s: no answer: %w", what, urlErr.Err)
	case errors.As(err, &netErr), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.Canceled):
		return fmt.Errorf("stripe: %s: no answer: %w", what, err)
	}
	return fmt.Errorf("stripe: %s: an answer that is not Stripe's: check stripe.api_url, and what lies between", what)
}

// describe is what of an error an operator may read.
func describe(e *sdk.Error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", e.HTTPStatusCode)
	for _, part := range []struct{ name, value string }{
		{"", string(e.Type)},
		{"", string(e.Code)},
		{"decline code ", string(e.DeclineCode)},
		{"parameter ", e.Param},
		{"request ", e.RequestID},
	} {
		if part.value != "" {
			b.WriteString(", " + part.name + clean(part.value))
		}
	}
	// What Stripe says about a key or a card is not for a log.
	if e.Type == sdk.ErrorTypeInvalidRequest && e.HTTPStatusCode != http.StatusUnauthorized && e.HTTPStatusCode != http.StatusForbidden && e.Msg != "" {
		b.WriteString(": " + clean(e.Msg))
	}
	return b.String()
}

// unsafe are keys, client secrets, e-mail addresses and card numbers.
var unsafe = regexp.MustCompile(`(?i)\b[srp]k_\S*|\b\S*_secret\S*|\S*@\S*|\d[\d -]{10,}\d`)

// clean makes a text of Stripe fit for a log: one line, not long, no secrets.
func clean(s string) string {
	const most = 300
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	s = unsafe.ReplaceAllString(s, "[hidden]")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
