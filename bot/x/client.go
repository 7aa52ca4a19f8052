package x

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"hashtill/bot"
)

const (
	callTimeout = 15 * time.Second // for one request and its whole answer
	maxAnswer   = 4 << 20          // bytes; 100 posts with all that is asked for are far less
)

// asBot and asApp are the two ways of signing in.
type identity string

const (
	asBot identity = "access token"
	asApp identity = "bearer token"
)

// newRequest makes a request to X in the name of as; body may be nil.
func (n *Network) newRequest(ctx context.Context, as identity, method, address string, query url.Values, body []byte) (*http.Request, error) {
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "hashtill")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if as == asApp {
		r.Header.Set("Authorization", "Bearer "+n.cfg.BearerToken)
	}
	return r, nil
}

// send performs a request. Redirects are answers like others: credentials are
// for the configured address only.
func (n *Network) send(as identity, r *http.Request) (*http.Response, error) {
	transport := n.base
	if as == asBot {
		transport = n.signed
	}
	client := http.Client{
		Transport:     transport,
		CheckRedirect: noRedirect,
	}
	return client.Do(r)
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// call performs one request of the API and reads its answer into answer. An
// answer other than 2xx is an *apiError.
func (n *Network) call(ctx context.Context, as identity, method, path string, query url.Values, body, answer any) error {
	_, err := n.exchange(ctx, as, method, path, query, body, answer)
	return err
}

// exchange is call; header is that of the answer, nil if none has come.
func (n *Network) exchange(ctx context.Context, as identity, method, path string, query url.Values, body, answer any) (header http.Header, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	r, err := n.newRequest(ctx, as, method, n.cfg.APIURL+path, query, data)
	if err != nil {
		return nil, err
	}
	resp, err := n.send(as, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return resp.Header, n.refusal(as, resp)
	}
	data, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return resp.Header, fmt.Errorf("%s %s: %w", method, path, err)
	case len(data) > maxAnswer:
		return resp.Header, fmt.Errorf("%s %s: the answer has more than %d bytes", method, path, maxAnswer)
	}
	if err := decode(data, answer); err != nil {
		return resp.Header, fmt.Errorf("%s %s: %w", method, path, err)
	}
	n.bill.read(method, path, data)
	return resp.Header, nil
}

// decode reads JSON into v, and lets values of another type than X documents
// pass as missing: a post is worth more than its date.
func decode(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if odd := new(json.UnmarshalTypeError); errors.As(err, &odd) && odd.Field != "" {
		return nil
	}
	return err
}

// problem is an error as X words it, RFC 7807
// (https://docs.x.com/x-api/fundamentals/response-codes-and-errors).
type problem struct {
	Title      string
	Detail     string
	Type       string
	Message    string
	Code       int    // of the classic API
	Value      string // the rule it is about
	ResourceID string `json:"resource_id"` // the post or account it is about
	Details    []string
	Errors     []problem
}

func (p problem) String() string {
	parts := []string{}
	for _, s := range append([]string{p.Title, p.Detail, p.Message}, p.Details...) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	for _, e := range p.Errors {
		parts = append(parts, e.String())
	}
	return strings.Join(parts, ": ")
}

// apiError is a request that X has answered with no.
type apiError struct {
	request    string // "POST /2/tweets"
	as         identity
	status     int
	problem    *problem  // nil if the answer was not X's
	later      time.Time // when to come back, of a 429
	clockAhead time.Duration
}

func (e *apiError) Error() string {
	text := fmt.Sprintf("x: %s: %d %s", e.request, e.status, http.StatusText(e.status))
	if e.problem != nil {
		text += ": " + e.problem.String()
	}
	if e.status == http.StatusUnauthorized || e.status == http.StatusForbidden {
		switch e.as {
		case asBot:
			text += "; X does not accept the access token: check x.consumer_key, x.consumer_secret, x.access_token and x.access_secret, which need read and write permission (developer portal, Keys and tokens)"
			if skew := e.clockAhead.Abs(); skew > time.Minute {
				text += fmt.Sprintf("; this machine's clock is off by %s, which alone makes X refuse", skew.Round(time.Second))
			}
		case asApp:
			text += "; X does not accept the bearer token: check x.bearer_token, and that the app's plan has what x.hear asks for (developer portal, Keys and tokens); x.hear: poll is open to every plan"
		}
	}
	return text
}

// refusal reads an answer other than 2xx.
func (a *account) refusal(as identity, resp *http.Response) *apiError {
	now := a.cfg.Now()
	e := &apiError{request: resp.Request.Method + " " + resp.Request.URL.Path, as: as, status: resp.StatusCode}
	e.clockAhead = clockAhead(resp.Header, now)
	if e.status == http.StatusTooManyRequests {
		e.later = limitReset(resp.Header, now.Add(-e.clockAhead)).Add(e.clockAhead)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if p := new(problem); err == nil && decode(data, p) == nil && p.String() != "" {
		e.problem = p
	}
	return e
}

// clockAhead is how far our clock is ahead of X's, by the date of an answer; 0 for what
// may just be the answer's way and the date's whole seconds.
func clockAhead(h http.Header, now time.Time) time.Duration {
	date, err := http.ParseTime(h.Get("Date"))
	if ahead := now.Sub(date); err == nil && ahead.Abs() > 3*time.Second {
		return ahead
	}
	return 0
}

// limitReset is when the spent window begins anew, by X's headers: that of the
// endpoint, or that of the day, if its remainder is gone
// (https://docs.x.com/x-api/fundamentals/rate-limits). Without a time that lies
// ahead it is a minute from now, X's first wait after a 429.
func limitReset(h http.Header, now time.Time) time.Time {
	at := now.Add(time.Minute)
	for _, window := range []string{"x-rate-limit", "x-user-limit-24hour", "x-app-limit-24hour"} {
		seconds, err := strconv.ParseInt(h.Get(window+"-reset"), 10, 64)
		if err != nil || window != "x-rate-limit" && h.Get(window+"-remaining") != "0" {
			continue
		}
		if reset := time.Unix(seconds, 0); reset.After(now) && (window == "x-rate-limit" || reset.After(at)) {
			at = reset
		}
	}
	return at
}

// spoken turns an error of Say into what bot.Network promises.
func spoken(err error) error {
	e := new(apiError)
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.status == http.StatusTooManyRequests:
		return &bot.LaterError{At: e.later, Why: e.Error()}
	case e.problem != nil && (e.status == http.StatusForbidden || e.status == http.StatusBadRequest):
		return &bot.RefusedError{Kind: e.kind(), Why: e.problem.String()}
	}
	return err
}
