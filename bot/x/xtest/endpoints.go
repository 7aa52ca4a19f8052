package xtest

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// endpoint is one entry of the table of what the stand-in serves.
type endpoint struct {
	pattern   string // as for http.ServeMux
	user, app bool   // who may call: an account, the app-only token
	open      bool   // anybody may call: the endpoint looks for itself, and no limit is known
	limit     int    // requests per window for an account
	appLimit  int    // and for the app-only token, if another
	window    time.Duration
	params    []string // query parameters it knows; others are refused by v2
	scopes    []string // that an OAuth 2.0 user token needs; none is taken where this is empty
	serve     func(*call) answer
}

// call is one request by somebody who has signed in.
type call struct {
	caller
	r     *http.Request
	query url.Values
	form  url.Values
	body  []byte
}

func (e *endpoint) classic() bool { return strings.Contains(e.pattern, " /1.1/") }

// window is what a caller has spent of the limit of an endpoint.
type window struct {
	used  int
	reset time.Time
}

// table lists all endpoints, with the limits of
// https://docs.x.com/x-api/fundamentals/rate-limits.
func (s *Server) table() []endpoint {
	const quarter = 15 * time.Minute
	shape := []string{"tweet.fields", "post.fields", "user.fields", "media.fields", "place.fields", "poll.fields", "expansions"}
	reading, writing := []string{"tweet.read", "users.read"}, []string{"tweet.read", "tweet.write", "users.read"}
	page := append([]string{"max_results", "pagination_token", "since_id", "until_id", "start_time", "end_time", "exclude"}, shape...)
	all := []endpoint{
		{pattern: "POST /2/tweets", user: true, scopes: writing, limit: 100, serve: s.createPost},
		{pattern: "DELETE /2/tweets/{id}", user: true, scopes: writing, limit: 50, serve: s.deletePost},
		{pattern: "GET /2/tweets", user: true, app: true, scopes: reading, limit: 5000, appLimit: 3500, params: append([]string{"ids"}, shape...), serve: s.getPosts},
		{pattern: "GET /2/tweets/{id}", user: true, app: true, scopes: reading, limit: 900, appLimit: 450, params: shape, serve: s.getPost},
		{pattern: "GET /2/tweets/{id}/retweeted_by", user: true, app: true, scopes: reading, limit: 75, params: append([]string{"max_results", "pagination_token"}, shape...), serve: s.getReposters},
		{pattern: "GET /2/tweets/{id}/quote_tweets", user: true, app: true, scopes: reading, limit: 75, params: append([]string{"max_results", "pagination_token", "exclude"}, shape...), serve: s.getQuotes},
		{pattern: "GET /2/users/reposts_of_me", user: true, scopes: reading, limit: 75, params: append([]string{"max_results", "pagination_token"}, shape...), serve: s.getReposted},
		{pattern: "GET /2/users/me", user: true, scopes: reading, limit: 75, params: shape, serve: s.getMe},
		{pattern: "GET /2/users/{id}/tweets", user: true, app: true, scopes: reading, limit: 900, appLimit: 10000, params: page, serve: s.getPostsOf},
		{pattern: "GET /2/users/{id}/mentions", user: true, app: true, scopes: reading, limit: 300, appLimit: 450, params: page, serve: s.getMentions},
		{pattern: "GET /2/tweets/counts/recent", app: true, limit: 300, params: []string{"query", "start_time", "end_time", "since_id", "until_id", "next_token", "pagination_token", "granularity", "search_count.fields"}, serve: s.countPosts},
		{pattern: "GET /2/tweets/search/stream/rules", app: true, limit: 450, params: []string{"ids"}, serve: s.getRules},
		{pattern: "POST /2/tweets/search/stream/rules", app: true, limit: 100, params: []string{"dry_run"}, serve: s.changeRules},
		{pattern: "GET /2/tweets/search/stream", app: true, limit: 50, params: append([]string{"backfill_minutes"}, shape...), serve: s.openStream},
		{pattern: "GET /2/usage/tweets", app: true, limit: 50, params: []string{"days", "usage.fields"}, serve: s.getUsage},
	}
	if s.opts.Classic {
		all = append(all,
			endpoint{pattern: "POST /1.1/statuses/update.json", user: true, scopes: writing, limit: 300, window: 3 * time.Hour, serve: s.updateStatus},
			endpoint{pattern: "POST /1.1/statuses/filter.json", user: true, limit: 50, serve: s.openFilter},
			endpoint{pattern: "GET /1.1/account/verify_credentials.json", user: true, limit: 75, serve: s.verifyCredentials},
			endpoint{pattern: "GET /1.1/statuses/user_timeline.json", user: true, app: true, limit: 900, appLimit: 1500, serve: s.userTimeline},
			endpoint{pattern: "GET /1.1/statuses/mentions_timeline.json", user: true, limit: 75, serve: s.mentionsTimeline},
			endpoint{pattern: "GET /1.1/statuses/show.json", user: true, app: true, limit: 900, serve: s.showStatus},
		)
	}
	all = append(all, s.activityEndpoints()...)
	all = append(all, s.signInEndpoints()...)
	for i := range all {
		e := &all[i]
		if e.window == 0 {
			e.window = quarter
		}
		if e.appLimit == 0 {
			e.appLimit = e.limit
		}
		if n, ok := s.opts.Limits[e.pattern]; ok {
			e.limit, e.appLimit = n, n
		}
	}
	return all
}

// Endpoints returns the endpoints served, as "GET /2/users/{id}/mentions".
func (s *Server) Endpoints() []string {
	names := make([]string, len(s.endpoints))
	for i, e := range s.endpoints {
		names[i] = e.pattern
	}
	return names
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	s.endpoints = s.table()
	for i := range s.endpoints {
		e := &s.endpoints[i]
		mux.HandleFunc(e.pattern, func(w http.ResponseWriter, r *http.Request) { s.handle(e, w, r) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/1.1/statuses/filter.json":
			write(w, http.Header{}, answer{status: http.StatusGone, body: object{}})
		case strings.HasPrefix(r.URL.Path, "/1.1/") && !s.opts.Classic:
			write(w, http.Header{}, noAccess)
		case strings.HasPrefix(r.URL.Path, "/1.1/"):
			write(w, http.Header{}, classicError(404, 34, "Sorry, that page does not exist."))
		default:
			write(w, http.Header{}, unknownPath)
		}
	})
	return mux
}

// handle takes a request through faults, signing in, limits and the deed.
func (s *Server) handle(e *endpoint, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.opts.Now().UTC().Format(http.TimeFormat))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		write(w, http.Header{}, about(http.StatusRequestEntityTooLarge, "Request Entity Too Large"))
		return
	}
	if s.trouble(Before, w, r) {
		return
	}
	header := http.Header{}
	a := s.answer(e, r, body, header)
	if a.deed != nil {
		a.deed.Name = e.pattern
		s.mu.Lock()
		hook := s.onDeed
		s.mu.Unlock()
		if hook != nil {
			hook(*a.deed)
		}
	}
	if a.stream != nil {
		maps.Copy(w.Header(), header)
		s.pump(w, r, a.stream)
		return
	}
	if s.trouble(After, w, r) {
		return
	}
	write(w, header, a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.status/100 == 2 {
		s.answers[e.pattern]++
		s.announce()
	}
}

// WaitAnswer returns when a program has asked an endpoint, as "GET
// /2/users/{id}/mentions", and has had a good answer, after the call of WaitAnswer. It
// fails with ctx or with ErrClosed.
func (s *Server) WaitAnswer(ctx context.Context, endpoint string) error {
	s.mu.Lock()
	before := s.answers[endpoint]
	s.mu.Unlock()
	return s.await(ctx, func() bool { return s.answers[endpoint] > before })
}

// answer checks who calls and how often, and serves the call. What it has to
// say about limits goes into header.
func (s *Server) answer(e *endpoint, r *http.Request, body []byte, header http.Header) answer {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return invalid("", "", "The query string is malformed")
	}
	form, err := formOf(r, body)
	if err != nil {
		return invalid("", "", "The form is malformed")
	}
	if e.open {
		return e.serve(&call{r: r, query: query, form: form, body: body})
	}
	who, ok := s.authenticate(r, query, form)
	if !ok && e.classic() {
		return classicError(401, 32, "Could not authenticate you.")
	}
	if !ok {
		return unauthorized
	}
	if who.accountID == "" && !e.app {
		return wrongAuth("OAuth 2.0 Application-Only", "OAuth 1.0a User Context", "OAuth 2.0 User Context")
	}
	if who.accountID != "" && !e.user {
		return wrongAuth("OAuth 1.0a User Context", "OAuth 2.0 Application-Only")
	}
	if refusal, ok := e.permits(who); !ok {
		return refusal
	}
	if who.accountID != "" && who.scopes == nil { // OAuth 1.0a
		header.Set("x-access-level", "read-write")
		if who.readOnly {
			header.Set("x-access-level", "read")
		}
	}
	if !s.spend(e, who, header) {
		if e.classic() {
			return classicError(429, 88, "Rate limit exceeded")
		}
		return spentLimit
	}
	if !e.classic() {
		for name, values := range query {
			if !slices.Contains(e.params, name) {
				return invalid(name, values[0], "The query parameter ["+name+"] is not one of ["+strings.Join(e.params, ",")+"]")
			}
		}
	}
	return e.serve(&call{caller: who, r: r, query: query, form: form, body: body})
}

// permits says whether the token of a caller gives the right to call.
func (e *endpoint) permits(who caller) (refusal answer, ok bool) {
	switch writes := slices.Contains(e.scopes, "tweet.write"); {
	case who.scopes != nil && e.classic():
		return classicError(403, 220, "Your credentials do not allow access to this resource."), false
	case who.scopes != nil && len(e.scopes) == 0:
		return wrongAuth("OAuth 2.0 User Context", "OAuth 1.0a User Context"), false
	case who.scopes != nil && slices.ContainsFunc(e.scopes, func(scope string) bool { return !slices.Contains(who.scopes, scope) }):
		return about(403, "Forbidden"), false
	case who.readOnly && writes && e.classic():
		return classicError(403, 261, "Application cannot perform write actions. Contact Twitter Platform Operations through https://help.twitter.com/forms/platform."), false
	case who.readOnly && writes:
		return readOnly, false
	}
	return answer{}, true
}

// spend counts a request and reports whether it was still within the limit.
func (s *Server) spend(e *endpoint, who caller, header http.Header) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := e.limit
	if who.accountID == "" {
		limit = e.appLimit
	}
	now, key := s.opts.Now(), e.pattern+" "+who.accountID
	w := s.spent[key]
	if w == nil || !now.Before(w.reset) || w.reset.Sub(now) > e.window {
		w = &window{reset: now.Add(e.window)}
		s.spent[key] = w
	}
	ok := w.used < limit
	if ok {
		w.used++
	}
	header.Set("x-rate-limit-limit", strconv.Itoa(limit))
	header.Set("x-rate-limit-remaining", strconv.Itoa(limit-w.used))
	header.Set("x-rate-limit-reset", strconv.FormatInt(w.reset.Unix(), 10))
	return ok
}

// write sends an answer.
func write(w http.ResponseWriter, header http.Header, a answer) {
	maps.Copy(w.Header(), a.header)
	if a.body == nil {
		w.WriteHeader(a.status)
		io.WriteString(w, a.text)
		return
	}
	body, err := json.Marshal(a.body)
	if err != nil {
		panic(err) // a bug: every body is made of maps, slices, strings and numbers
	}
	maps.Copy(w.Header(), header)
	kind := "application/json; charset=utf-8"
	if o, ok := a.body.(object); ok && o["title"] != nil {
		kind = "application/problem+json"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(a.status)
	w.Write(body)
}
