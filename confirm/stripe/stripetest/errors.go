package stripetest

import (
	"fmt"
	"net/http"
	"strings"
)

// Types of error (docs.stripe.com/api/errors).
const (
	apiFailure       = "api_error"
	cardFailure      = "card_error"
	idempotencyError = "idempotency_error"
	invalidRequest   = "invalid_request_error"
)

// apiError is an answer other than success.
type apiError struct {
	status                                  int
	kind, code, declineCode, message, param string
	charge                                  string
	intent, method                          object

	// begun tells that the endpoint had begun when it failed, so that the
	// answer is saved under the idempotency key.
	begun bool
}

// object is the error as it stands in an answer, or as last_payment_error.
func (e *apiError) object() object {
	o := object{"type": e.kind, "message": e.message}
	for name, v := range map[string]string{"code": e.code, "decline_code": e.declineCode, "param": e.param, "charge": e.charge} {
		if v != "" {
			o[name] = v
		}
	}
	if e.code != "" {
		o["doc_url"] = "https://stripe.com/docs/error-codes/" + strings.ReplaceAll(e.code, "_", "-")
	}
	if e.intent != nil {
		o["payment_intent"] = e.intent
	}
	if e.method != nil {
		o["payment_method"] = e.method
	}
	return o
}

func (e *apiError) answer() answer {
	return answer{e.status, encode(object{"error": e.object()})}
}

// invalid refuses a parameter for its value.
func invalid(param, format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, kind: invalidRequest, param: param, message: fmt.Sprintf(format, args...)}
}

// missing refuses a request without a required parameter.
func missing(param string) *apiError {
	e := invalid(param, "Missing required param: %s.", param)
	e.code = "parameter_missing"
	return e
}

// noSuch answers for an object that does not exist: 404 where the path names
// it, 400 where a parameter does.
func noSuch(status int, kind, id, param string) *apiError {
	return &apiError{status: status, kind: invalidRequest, code: "resource_missing", param: param,
		message: fmt.Sprintf("No such %s: '%s'", kind, id), begun: true}
}

// refused answers for an object whose history does not allow the call.
func refused(param, format string, args ...any) *apiError {
	e := invalid(param, format, args...)
	e.begun = true
	return e
}

// unexpectedState answers for an intent whose status does not allow the call.
func unexpectedState(p *intent, param, format string, args ...any) *apiError {
	e := refused(param, format, args...)
	e.code = "payment_intent_unexpected_state"
	e.intent = p.object()
	return e
}

// tooMany answers for a limit that was passed (docs.stripe.com/rate-limits).
func tooMany() *apiError {
	return &apiError{status: http.StatusTooManyRequests, kind: invalidRequest, code: "rate_limit",
		message: "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."}
}
