package stripetest

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"
)

//go:embed checkout.html
var checkoutHTML string

// checkoutPage is where the buyer types a card in. What was typed is not shown
// again, in case it was a real one after all.
var checkoutPage = template.Must(template.New("checkout").Parse(checkoutHTML))

// checkoutView is what the page shows.
type checkoutView struct {
	Open        bool
	Email       string
	Error       string // why the card is not saved yet
	Field       string // the input that is wrong; "" where it is not one alone
	Exp, Postal string // as typed
	Back, Done  string // addresses; Done where the card is saved
}

// showCheckout shows a session's page. Like the form on it, it needs no key: to
// know the session's id is enough, and nobody can guess one.
func (s *Server) showCheckout(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cs, ok := s.sessions.get(r.PathValue("id"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	s.lapse(cs)
	view := s.view(cs)
	view.Error, _ = cs.setup.lastError["message"].(string)
	showPage(w, http.StatusOK, view)
}

func (s *Server) view(cs *session) checkoutView {
	v := checkoutView{Open: cs.status == sessionOpen, Back: cs.cancel}
	if cs.status == sessionComplete {
		v.Done = cs.doneURL()
	}
	if cus, alive := s.customerOf(cs.setup); cus != nil && alive {
		v.Email = cus.fields["email"]
	}
	return v
}

func showPage(w http.ResponseWriter, status int, v checkoutView) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_ = checkoutPage.Execute(w, v) // a browser that has gone away is no concern of ours
}

// saveCard takes the form of a session's page. It leads to the shop when the card
// is saved, to the bank when that asks, and else back to the form, which says why.
func (s *Server) saveCard(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cs, ok := s.sessions.get(r.PathValue("id"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	s.lapse(cs)
	if cs.status != sessionOpen {
		http.Redirect(w, r, cs.page(), http.StatusSeeOther) // which says so
		return
	}
	view := s.view(cs)
	view.Exp, view.Postal = r.PostForm.Get("exp"), r.PostForm.Get("postal")
	m, err := s.typedCard(cs, r)
	if err == nil {
		s.save(cs.setup, m)
	}
	switch {
	case err != nil:
		view.Error, view.Field = err.message, fieldOf[err.param]
		showPage(w, http.StatusUnprocessableEntity, view)
	case cs.status == sessionComplete:
		http.Redirect(w, r, cs.doneURL(), http.StatusSeeOther)
	case cs.setup.question != nil:
		http.Redirect(w, r, s.url+"/bank/"+cs.setup.question.id, http.StatusSeeOther)
	default:
		view.Error, _ = cs.setup.lastError["message"].(string)
		param, _ := cs.setup.lastError["param"].(string)
		view.Field = fieldOf[param]
		showPage(w, http.StatusUnprocessableEntity, view)
	}
}

// fieldOf says which input a parameter of a card error is about.
var fieldOf = map[string]string{"number": "number", "exp_month": "exp", "exp_year": "exp", "cvc": "cvc"}

// typedCard reads the form, by the rules of POST /v1/payment_methods; here the
// security code cannot be left out.
func (s *Server) typedCard(cs *session, r *http.Request) (*method, *apiError) {
	if _, alive := s.customerOf(cs.setup); !alive {
		return nil, customerGone(cs.setup)
	}
	typed := func(name string) string {
		return strings.NewReplacer(" ", "", "-", "").Replace(r.PostForm.Get(name))
	}
	month, year := expiry(typed("exp"))
	number, cvc := typed("number"), typed("cvc")
	switch {
	case number == "":
		return nil, badCard("incomplete_number", "", "number", "Your card number is incomplete.")
	case month == "" || year == "":
		return nil, badCard("incomplete_expiry", "", "exp_month", "Your card's expiration date is incomplete.")
	case cvc == "":
		return nil, badCard("incomplete_cvc", "", "cvc", "Your card's security code is incomplete.")
	}
	c := &call{Server: s, request: r, form: form{
		"card[number]": {number}, "card[exp_month]": {month}, "card[exp_year]": {year}, "card[cvc]": {cvc},
	}}
	m, err := c.methodFromNumber()
	if err != nil {
		return nil, err
	}
	m.billing = object{"address": object{
		"city": nil, "country": nil, "line1": nil, "line2": nil, "state": nil, "postal_code": orNull(r.PostForm.Get("postal")),
	}}
	if cus, _ := s.customerOf(cs.setup); cus != nil {
		m.billing["email"] = orNull(cus.fields["email"])
	}
	return m, nil
}

// expiry splits 12/34, 12/2034 and 1234.
func expiry(s string) (month, year string) {
	if month, year, ok := strings.Cut(s, "/"); ok {
		return month, year
	}
	if len(s) == 4 || len(s) == 6 {
		return s[:2], s[2:]
	}
	return "", ""
}
