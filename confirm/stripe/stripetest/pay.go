package stripetest

import (
	"maps"
	"net/http"
	"time"
)

// charge is one attempt at a card.
type charge struct {
	id                         string
	created                    int64
	intent, customer, method   string
	card                       object // of the payment method, as it was
	amount, refunded           int64
	currency                   string
	failureCode, failureReason string // failureCode is "" if it succeeded
	authenticated              bool   // the bank's question was answered
	metadata                   map[string]string
}

func (ch *charge) ident() string { return ch.id }
func (ch *charge) born() int64   { return ch.created }
func (ch *charge) paid() bool    { return ch.failureCode == "" }

func (ch *charge) object() object {
	details := object{"brand": ch.card["brand"], "country": ch.card["country"], "exp_month": ch.card["exp_month"], "exp_year": ch.card["exp_year"],
		"fingerprint": ch.card["fingerprint"], "funding": ch.card["funding"], "last4": ch.card["last4"], "network": ch.card["brand"], "three_d_secure": nil}
	if ch.authenticated {
		details["three_d_secure"] = object{"authentication_flow": "challenge", "result": "authenticated", "version": "2.2.0"}
	}
	captured, status := ch.amount, "succeeded"
	if !ch.paid() {
		captured, status = 0, "failed"
	}
	return object{
		"id": ch.id, "object": "charge", "created": ch.created, "livemode": false,
		"amount": ch.amount, "amount_captured": captured, "amount_refunded": ch.refunded, "currency": ch.currency,
		"captured": ch.paid(), "paid": ch.paid(), "refunded": ch.paid() && ch.refunded == ch.amount, "status": status, "disputed": false,
		"customer": orNull(ch.customer), "payment_intent": ch.intent, "payment_method": ch.method,
		"payment_method_details": object{"type": "card", "card": details},
		"failure_code":           orNull(ch.failureCode), "failure_message": orNull(ch.failureReason),
		"metadata": maps.Clone(ch.metadata), "balance_transaction": nil, "description": nil, "receipt_url": nil,
	}
}

// confirm tries to pay an intent that is neither succeeded, processing nor
// cancelled, as the request asks.
func (c *call) confirm(p *intent) *apiError {
	if p.method == "" {
		return unexpectedState(p, "", "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method.")
	}
	m, _ := c.methods.get(p.method)
	if err := m.usableBy(p.customer); err != nil {
		return err // detached since the intent was given it
	}
	off, err := c.form.offSession()
	if err != nil {
		return err
	}
	p.lastError, p.question, p.nextAction = nil, nil, nil
	switch {
	case !m.card.asksNow(off, m.setUp):
		return c.charge(p, m, false, c)
	case off:
		return c.declined(p, m, authenticationRequired, false, c)
	}
	c.ask(p, m, c.form.get("return_url"))
	c.emit(c, "payment_intent.requires_action", p.object())
	return nil
}

// charge lets the card decide. cause is the request that asked, nil if the
// buyer did on the bank's page.
func (s *Server) charge(p *intent, m *method, authenticated bool, cause *call) *apiError {
	if d := m.declines(); d != nil {
		return s.declined(p, m, d, authenticated, cause)
	}
	p.question, p.nextAction = nil, nil
	if s.slow {
		p.status, p.authenticated = processing, authenticated
		s.emit(cause, "payment_intent.processing", p.object())
		return nil
	}
	s.succeed(p, m, authenticated, cause)
	return nil
}

func (s *Server) newCharge(p *intent, m *method, authenticated bool) *charge {
	ch := &charge{
		id: newID("ch"), created: s.now(), intent: p.id, customer: p.customer, method: m.id, card: m.object()["card"].(object),
		amount: p.amount, currency: p.currency, authenticated: authenticated, metadata: maps.Clone(p.metadata),
	}
	p.latestCharge = ch.id
	return ch
}

// succeed takes the money: the only place that does.
func (s *Server) succeed(p *intent, m *method, authenticated bool, cause *call) {
	s.charges.put(s.newCharge(p, m, authenticated))
	p.status, p.received = succeeded, p.amount
	switch {
	case p.fields["setup_future_usage"] != "" && p.customer != "":
		m.customer = p.customer
		m.setUp = m.setUp || p.fields["setup_future_usage"] == "off_session"
	case m.customer == "":
		m.spent = true
	}
	s.emit(cause, "payment_intent.succeeded", p.object())
}

// declined records a charge that the bank refused. The intent needs another
// payment method, or the same again.
func (s *Server) declined(p *intent, m *method, d *decline, authenticated bool, cause *call) *apiError {
	ch := s.newCharge(p, m, authenticated)
	ch.failureCode, ch.failureReason = d.code, d.message
	s.charges.put(ch)
	e := &apiError{status: http.StatusPaymentRequired, kind: cardFailure, begun: true,
		code: d.code, declineCode: d.declineCode, param: d.param, message: d.message, charge: ch.id, method: m.object()}
	s.failed(p, e, cause)
	return e
}

// failed puts an intent back to where it needs a payment method.
func (s *Server) failed(p *intent, e *apiError, cause *call) {
	p.lastError = e.object()
	p.status, p.method, p.question, p.nextAction = requiresMethod, "", nil, nil
	e.intent = p.object()
	s.emit(cause, "payment_intent.payment_failed", p.object())
}

// HoldCharges makes every payment that the card allows stay in processing, and
// with false lets those that wait succeed and later ones not wait.
func (s *Server) HoldCharges(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = on
	if on {
		return
	}
	for _, p := range s.intents.order {
		if p.status == processing {
			m, _ := s.methods.get(p.method)
			s.succeed(p, m, p.authenticated, nil)
		}
	}
}

// Charge is money that was taken.
type Charge struct {
	ID       string // ch_…
	Intent   string // pi_…
	Customer string // cus_…, or ""
	Amount   int64  // minor units of Currency
	Refunded int64  // how much of Amount was given back
	Currency string // ISO 4217 code in lowercase
	Metadata map[string]string
	Created  time.Time
}

// Charges is the ledger: every successful charge, oldest first.
func (s *Server) Charges() []Charge {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Charge
	for _, ch := range s.charges.order {
		if ch.paid() {
			all = append(all, Charge{ch.id, ch.intent, ch.customer, ch.amount, ch.refunded, ch.currency, maps.Clone(ch.metadata), time.Unix(ch.created, 0)})
		}
	}
	return all
}
