package stripetest

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
)

// question is what the bank asks the buyer about one attempt to pay, or to save a
// card.
type question struct {
	id        string
	about     attempt
	method    *method
	returnURL string // "" where a client library is to handle the question
}

// attempt is what the bank asks about, a payment or the saving of a card.
type attempt interface {
	pending() *question                      // the one that is open; nil if none is
	asks(last4 string) string                // what the buyer reads
	stands() string                          // and when it is over
	answered(s *Server, m *method, yes bool) // the buyer is the card's owner, or is not
	back(returnURL string) string            // where the browser goes then
}

// ask sends the buyer who pays to the bank.
func (s *Server) ask(p *intent, m *method, returnURL string) {
	p.status = requiresAction
	p.question, p.nextAction = s.newQuestion(p, m, returnURL)
}

// newQuestion makes a question, and the next_action that leads to it.
func (s *Server) newQuestion(about attempt, m *method, returnURL string) (*question, object) {
	q := &question{id: newID("payatt"), about: about, method: m, returnURL: returnURL}
	s.questions[q.id] = q
	page := s.url + "/bank/" + q.id
	if returnURL == "" {
		return q, object{"type": "use_stripe_sdk", "use_stripe_sdk": object{"type": "three_d_secure_redirect", "stripe_js": page}}
	}
	return q, object{"type": "redirect_to_url", "redirect_to_url": object{"url": page, "return_url": returnURL}}
}

func (p *intent) pending() *question { return p.question }

func (p *intent) asks(last4 string) string {
	return fmt.Sprintf("Pay %d %s (minor units) with the card ending in %s?", p.amount, p.currency, last4)
}

func (p *intent) stands() string { return "The payment is " + p.status + "." }

func (p *intent) answered(s *Server, m *method, yes bool) {
	if yes {
		// A refusal is told by the intent; there is no request to answer.
		_ = s.charge(p, m, true, nil)
		return
	}
	s.failed(p, &apiError{kind: invalidRequest, code: "payment_intent_authentication_failure", method: m.object(),
		message: "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod to attempt to fulfill this PaymentIntent again."}, nil)
}

// back is the return_url with what Stripe adds to it
// (docs.stripe.com/payments/3d-secure/authentication-flow#return-url).
func (p *intent) back(returnURL string) string {
	u, err := url.Parse(returnURL)
	if err != nil {
		return "" // it was parsed when it came
	}
	outcome := "failed"
	if p.status == succeeded || p.status == processing {
		outcome = "succeeded"
	}
	v := u.Query()
	v.Set("payment_intent", p.id)
	v.Set("payment_intent_client_secret", p.secret)
	v.Set("redirect_status", outcome)
	u.RawQuery = v.Encode()
	return u.String()
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
<p>{{.Asks}}</p>
<form method="post">
<button name="answer" value="complete">Complete authentication</button>
<button name="answer" value="fail">Fail authentication</button>
</form>
{{else}}
<p>This question is no longer open. {{.Stands}}</p>
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
		"Open": q.open(), "Asks": q.about.asks(q.method.last4()), "Stands": q.about.stands(), "Back": q.back(),
	})
}

// open reports whether the attempt still waits for this question.
func (q *question) open() bool { return q.about.pending() == q }

// back is where the browser goes when the question is answered; "" if nowhere.
func (q *question) back() string {
	if q.returnURL == "" {
		return ""
	}
	return q.about.back(q.returnURL)
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
	if q.open() {
		q.about.answered(s, q.method, done == "complete")
	}
	back := q.back()
	s.mu.Unlock()
	if back == "" {
		back = r.URL.Path // the page then tells how it went
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}
