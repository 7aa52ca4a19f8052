// Package api is what a merchant's own machines speak: JSON over HTTP, for orders and
// stock, at the desk's address under /api/v1, and webhooks the other way.
//
// A machine shows a token (Authorization: Bearer htm_…), which belongs to one merchant and
// has some [offers.Right]s. It sees and changes nothing but what is that merchant's; all
// else is not there. openapi.yaml describes it, and is served at /api/v1/openapi.yaml.
//
// Errors are problem details (https://www.rfc-editor.org/rfc/rfc9457).
package api

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"hashtill/confirm"
	"hashtill/offers"
)

// An API answers machines.
type API struct {
	Shop     *offers.Shop
	Now      func() time.Time
	Log      *slog.Logger
	Followed func() // called when stock was changed; nil: nobody is

	budget confirm.Turnstile // of merchants
}

// What a merchant's machines may ask together: so many requests a second, and so many at
// once. More tokens are not more.
const (
	perSecond = 10
	burst     = 50
)

// Bounds of a request and an answer.
const (
	maxBody  = 64 << 10 // bytes
	pageSize = 50
	maxPage  = 200
)

//go:embed openapi.yaml
var description []byte

// A route is something that a machine can ask for.
type route struct {
	pattern string
	needs   offers.Right
	do      func(*call) (any, error)
}

var routes = []route{
	{"GET /api/v1/orders", offers.ReadOrders, (*call).orders},
	{"GET /api/v1/orders/{id}", offers.ReadOrders, (*call).order},
	{"POST /api/v1/orders/{id}/ship", offers.WriteOrders, (*call).ship},
	{"POST /api/v1/orders/{id}/notes", offers.WriteOrders, (*call).note},
	{"GET /api/v1/offers", offers.ReadStock, (*call).offers},
	{"GET /api/v1/offers/{id}", offers.ReadStock, (*call).offer},
	{"PUT /api/v1/offers/{id}/stock", offers.WriteStock, (*call).stock},
}

// A call is one request of a known machine.
type call struct {
	*API
	w        http.ResponseWriter
	r        *http.Request
	merchant offers.Merchant
	token    offers.Token
}

// Handler answers requests under /api/v1.
func (a *API) Handler() http.Handler {
	a.budget.Every, a.budget.Burst = time.Second/perSecond, burst
	mux := http.NewServeMux()
	for _, rt := range routes {
		mux.HandleFunc(rt.pattern, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, rt) })
	}
	mux.HandleFunc("GET /api/v1/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Write(description)
	})
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) { fail(w, errNotThere) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r)
	})
}

// A problem is an error as machines read it.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
	Code   string `json:"code"` // never changes
}

func (p *problem) Error() string { return p.Title }

var (
	errNotThere = &problem{404, "There is nothing here", "Or this token may not see it.", "not_found"}
	errNoToken  = &problem{401, "Who are you?", "Send Authorization: Bearer and a token from the desk.", "no_token"}
	errNoRight  = &problem{403, "This token may not do that", "Make another one at the desk.", "no_right"}
	errTooMany  = &problem{429, "Too many requests", "Wait, and ask again.", "too_many_requests"}
)

func bad(format string, args ...any) *problem {
	return &problem{400, "That cannot be read", fmt.Sprintf(format, args...), "bad_request"}
}

func fail(w http.ResponseWriter, p *problem) {
	if p.Status == 401 {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, rt route) {
	answer, err := a.answer(w, r, rt)
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answer)
		return
	}
	var p *problem
	var no *offers.Refusal
	switch {
	case errors.As(err, &p):
	case errors.As(err, &no):
		p = &problem{409, "That cannot be done", "", string(no.Reason)}
	case errors.Is(err, offers.ErrNotFound):
		p = errNotThere
	case errors.Is(err, offers.ErrInvalid):
		p = bad("%s", strings.TrimPrefix(err.Error(), offers.ErrInvalid.Error()+": "))
	default:
		if r.Context().Err() == nil {
			a.Log.Error("the API failed", "path", rt.pattern, "err", err)
		}
		p = &problem{500, "Something went wrong here", "Try again in a moment.", "internal"}
	}
	fail(w, p)
}

func (a *API) answer(w http.ResponseWriter, r *http.Request, rt route) (any, error) {
	secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, errNoToken
	}
	m, t, err := a.Shop.Machine(r.Context(), secret, a.Now())
	if errors.Is(err, offers.ErrNotFound) {
		return nil, errNoToken
	}
	if err != nil {
		return nil, err
	}
	if wait := a.budget.Pass(m.ID, a.Now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		return nil, errTooMany
	}
	if !slices.Contains(t.Rights, rt.needs) {
		return nil, errNoRight
	}
	return rt.do(&call{a, w, r, m, t})
}

// read reads the body of a request, and nothing else than what it may hold.
func (c *call) read(into any) error {
	d := json.NewDecoder(c.r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return bad("the body: %v", err)
	}
	if d.More() {
		return bad("the body: one value is wanted")
	}
	return nil
}

// writes writes down what is about to be done.
func (c *call) writes(what, of, more string) error {
	return c.Shop.Write(c.r.Context(), offers.Deed{At: c.Now(), Who: "token " + c.token.Name, Merchant: c.merchant.ID, What: what, Of: of, More: more})
}

// An Offer is what is for sale, as machines read it.
type Offer struct {
	ID     string          `json:"id"`
	Tag    string          `json:"tag"`
	Title  string          `json:"title"`
	Price  Money           `json:"price"`
	Closed string          `json:"closed,omitempty"` // why nothing of it can be bought now
	Stock  map[string]Unit `json:"stock"`            // by variant; "" where there are none
}

// A Unit counts what there is of a variant.
type Unit struct {
	Stock   int64 `json:"stock"` // that may ever be out; -1: it cannot sell out
	Taken   int64 `json:"taken"` // held or sold
	Waiting int64 `json:"waiting,omitempty"`
}

func (c *call) stocked(o offers.Offer) (Offer, error) {
	taken, err := c.Shop.Stocked(c.r.Context(), o)
	if err != nil {
		return Offer{}, err
	}
	waiting, err := c.Shop.Waiting(c.r.Context(), o)
	if err != nil {
		return Offer{}, err
	}
	shown := Offer{ID: o.ID, Tag: o.Tag, Title: o.Title, Price: money(o.Price), Closed: string(o.Closed(c.Now())), Stock: map[string]Unit{}}
	for name, n := range o.Stock {
		u := Unit{int64(n), taken[name], waiting[name]}
		if n == offers.Unlimited {
			u.Stock = -1
		}
		shown.Stock[name] = u
	}
	return shown, nil
}

func (c *call) offers() (any, error) {
	page := struct {
		Offers []Offer `json:"offers"`
	}{Offers: []Offer{}}
	for _, o := range c.own() {
		shown, err := c.stocked(o)
		if err != nil {
			return nil, err
		}
		page.Offers = append(page.Offers, shown)
	}
	return page, nil
}

// mine is the offer that the path names, if it is the merchant's.
func (c *call) mine() (offers.Offer, error) {
	id := c.r.PathValue("id")
	o, ok := c.Shop.OfferByTag(id)
	if !ok || o.ID != offers.TagKey(id) || o.Merchant != c.merchant.ID {
		return offers.Offer{}, errNotThere
	}
	return o, nil
}

func (c *call) offer() (any, error) {
	o, err := c.mine()
	if err != nil {
		return nil, err
	}
	return c.stocked(o)
}

// stock says how many units there are of the variants that are named; the others stay.
func (c *call) stock() (any, error) {
	var body map[string]int
	if err := c.read(&body); err != nil {
		return nil, err
	}
	set := func(o *offers.Offer) error {
		if o.Merchant != c.merchant.ID {
			return errNotThere
		}
		for name, n := range body {
			if _, ok := o.Stock[name]; !ok {
				return bad("there is no variant %q", name)
			}
			switch {
			case n < -1:
				return bad("there cannot be %d", n)
			case n == -1:
				n = offers.Unlimited
			}
			o.Stock[name] = n
		}
		return nil
	}
	if _, err := c.Shop.Refresh(c.r.Context()); err != nil { // another process may have changed it
		return nil, err
	}
	o, err := c.mine()
	if err != nil {
		return nil, err
	}
	before := o.Stock
	o.Stock = maps.Clone(before)
	if err := set(&o); err != nil {
		return nil, err
	}
	if maps.Equal(o.Stock, before) {
		return c.stocked(o)
	}
	if err := c.writes("stock", o.ID, fmt.Sprint(body)); err != nil {
		return nil, err
	}
	if err := c.Shop.EditOffer(c.r.Context(), o.ID, set); err != nil {
		return nil, err
	}
	if _, err := c.Shop.Refresh(c.r.Context()); err != nil {
		return nil, err
	}
	if c.Followed != nil {
		c.Followed()
	}
	return c.offer()
}
