package stripetest

import (
	"html/template"
	"net/http"
	"net/url"
)

// question is what the bank asks the buyer about one attempt to pay.
type question struct {
	id        string
	intent    *intent
	method    *method
	returnURL string // "" where a client library is to handle the question
}

// ask sends the buyer to the bank.
func (s *Server) ask(p *intent, m *method, returnURL string) {
	q := &question{id: newID("payatt"), intent: p, method: m, returnURL: returnURL}
	s.questions[q.id] = q
	p.status, p.question = requiresAction, q
	page := s.url + "/bank/" + q.id
	if returnURL == "" {
		p.nextAction = object{"type": "use_stripe_sdk", "use_stripe_sdk": object{"type": "three_d_secure_redirect", "stripe_js": page}}
		return
	}
	p.nextAction = object{"type": "redirect_to_url", "redirect_to_url": object{"url": page, "return_url": returnURL}}
}

// bankPage is where the buyer proves to be the card's owner.
var bankPage = template.Must(template.New("bank").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Test bank</title>
<h1>Test bank</h1>
<p>This is a stand-in for a bank. No real money moves.</p>
{{if .Open}}
<p>Pay {{.Amount}} {{.Currency}} (minor units) with the card ending in {{.Last4}}?</p>
<form method="post">
<button name="answer" value="complete">Complete authentication</button>
<button name="answer" value="fail">Fail authentication</button>
</form>
{{else}}
<p>This question is no longer open. The payment is {{.Status}}.</p>
{{with .Back}}<p><a href="{{.}}">Back to the shop</a></p>{{end}}
{{end}}
</html>
`))

func (s *Server) showBank(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.questions[r.PathValue("challenge")]
	if q == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = bankPage.Execute(w, map[string]any{
		"Open": q.open(), "Amount": q.intent.amount, "Currency": q.intent.currency, "Last4": q.method.last4(),
		"Status": q.intent.status, "Back": q.back(),
	})
}

// open reports whether the intent still waits for this question.
func (q *question) open() bool { return q.intent.question == q }

// back is where the browser goes when the question is answered: the return_url
// with what Stripe adds to it
// (docs.stripe.com/payments/3d-secure/authentication-flow#return-url).
func (q *question) back() string {
	if q.returnURL == "" {
		return ""
	}
	u, err := url.Parse(q.returnURL)
	if err != nil {
		return "" // it was parsed when it came
	}
	outcome := "failed"
	if q.intent.status == succeeded || q.intent.status == processing {
		outcome = "succeeded"
	}
	v := u.Query()
	v.Set("payment_intent", q.intent.id)
	v.Set("payment_intent_client_secret", q.intent.secret)
	v.Set("redirect_status", outcome)
	u.RawQuery = v.Encode()
	return u.String()
}

// answerBank takes the buyer's answer. A question that is no longer open
// changes nothing and sends the browser back all the same.
func (s *Server) answerBank(w http.ResponseWriter, r *http.Request) {
	done := r.PostFormValue("answer")
	if done != "complete" && done != "fail" {
		http.Error(w, "answer must be complete or fail", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	q := s.questions[r.PathValue("challenge")]
	if q == nil {
		s.mu.Unlock()
		http.NotFound(w, r)
		return
	}
	switch {
	case !q.open():
	case done == "complete":
		// A refusal is told by the intent; there is no request to answer.
		_ = s.charge(q.intent, q.method, true, nil)
	default:
		s.failed(q.intent, &apiError{kind: invalidRequest, code: "payment_intent_authentication_failure", method: q.method.object(),
			message: "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod to attempt to fulfill this PaymentIntent again."}, nil)
	}
	back := q.back()
	s.mu.Unlock()
	if back == "" {
		back = r.URL.Path // the page then tells how it went
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}
