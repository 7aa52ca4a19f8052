package stripetest

import (
	"maps"
	"net/http"
)

// setup is a SetupIntent: the saving of a card, for a customer if there is one. It
// belongs to a Checkout session, and is confirmed on that session's page alone
// (docs.stripe.com/payments/setupintents/lifecycle).
type setup struct {
	id, secret       string
	created          int64
	status           string // requiresMethod, requiresAction, succeeded or canceled
	customer, method string
	session          *session
	metadata         map[string]string
	lastError        object
	nextAction       object
	question         *question // the bank's, while requiresAction
}

func (si *setup) ident() string { return si.id }
func (si *setup) born() int64   { return si.created }

func (si *setup) object() object {
	o := object{
		"id": si.id, "object": "setup_intent", "created": si.created, "livemode": false, "client_secret": si.secret,
		"status": si.status, "usage": "off_session", "customer": orNull(si.customer), "payment_method": orNull(si.method),
		"payment_method_types": []string{"card"}, "payment_method_options": object{"card": object{"request_three_d_secure": "automatic"}},
		"metadata": maps.Clone(si.metadata), "last_setup_error": orNone(si.lastError), "next_action": orNone(si.nextAction),
	}
	for _, name := range []string{
		"application", "automatic_payment_methods", "cancellation_reason", "description", "flow_directions",
		"latest_attempt", "mandate", "on_behalf_of", "single_use_mandate",
	} {
		o[name] = nil
	}
	return o
}

func retrieveSetup(c *call) (object, *apiError) {
	id := c.request.PathValue("id")
	si, ok := c.setups.get(id)
	if !ok {
		return nil, noSuch(http.StatusNotFound, "setupintent", id, "intent")
	}
	c.lapse(si.session)
	if v := c.form.get("client_secret"); v != "" && v != si.secret {
		return nil, invalid("client_secret", "The client_secret provided does not match the client_secret associated with the SetupIntent.")
	}
	return si.object(), nil
}

// save tries to set a card up, with the buyer there: like on-session payments, this
// asks the bank for every card that ever asks. What attaches over the API is saved
// once the bank has nothing against it, whatever becomes of later charges.
func (s *Server) save(si *setup, m *method) {
	si.method, si.lastError, si.nextAction, si.question = m.id, nil, nil, nil
	d := m.declines()
	switch {
	case d != nil && !m.card.attaches:
		s.notSaved(si, &apiError{kind: cardFailure, code: d.code, declineCode: d.declineCode, param: d.param, message: d.message, method: m.object()})
	case m.card.asksNow(false, m.setUp):
		si.status = requiresAction
		si.question, si.nextAction = s.newQuestion(si, m, si.session.page())
		s.emit(nil, "setup_intent.requires_action", si.object())
	default:
		s.saved(si, m)
	}
}

// saved completes a SetupIntent and its session.
func (s *Server) saved(si *setup, m *method) {
	si.status, si.nextAction, si.question = succeeded, nil, nil
	m.setUp = true
	if si.customer != "" {
		m.customer = si.customer
		s.emit(nil, "payment_method.attached", m.object())
	}
	s.emit(nil, "setup_intent.succeeded", si.object())
	si.session.status = sessionComplete
	if cus, _ := s.customerOf(si); cus != nil {
		si.session.email = cus.fields["email"]
	}
	s.emit(nil, "checkout.session.completed", si.session.object())
}

// notSaved puts a SetupIntent back to where it needs a card, another or the same.
func (s *Server) notSaved(si *setup, e *apiError) {
	si.status, si.method, si.nextAction, si.question = requiresMethod, "", nil, nil
	si.lastError = e.object()
	s.emit(nil, "setup_intent.setup_failed", si.object())
}

func (si *setup) pending() *question { return si.question }

func (si *setup) asks(last4 string) string {
	return "Save the card ending in " + last4 + " for later payments?"
}

func (si *setup) stands() string { return "The saving of the card is " + si.status + "." }

func (si *setup) answered(s *Server, m *method, yes bool) {
	s.lapse(si.session)
	switch _, alive := s.customerOf(si); {
	case si.status != requiresAction: // too late
	case !alive:
		s.notSaved(si, customerGone(si))
	case yes:
		s.saved(si, m)
	default:
		s.notSaved(si, &apiError{kind: invalidRequest, code: "setup_intent_authentication_failure", method: m.object(),
			message: "We are unable to authenticate your payment method. Please choose a different payment method and try again."})
	}
}

// back is the shop once the card is saved, and the session's page until then.
func (si *setup) back(page string) string {
	if si.session.status == sessionComplete {
		return si.session.doneURL()
	}
	return page
}

// customerOf returns the customer of a SetupIntent, nil where there is none, and
// whether that customer still lives.
func (s *Server) customerOf(si *setup) (*customer, bool) {
	if si.customer == "" {
		return nil, true
	}
	cus, ok := s.customers.get(si.customer)
	return cus, ok && !cus.deleted
}

func customerGone(si *setup) *apiError {
	return noSuch(http.StatusBadRequest, "customer", si.customer, "customer")
}
