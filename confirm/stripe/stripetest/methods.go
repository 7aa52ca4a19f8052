package stripetest

import (
	"fmt"
	"maps"
	"net/http"
	"strconv"
)

// method is a payment method: a card, perhaps attached to a customer.
type method struct {
	id                string
	created           int64
	card              *card
	expMonth, expYear int64
	cvc               bool // was given, so that it is checked
	customer          string
	billing           object
	metadata          map[string]string
	setUp             bool // for off-session use
	spent             bool // used or detached without a customer: not usable again
}

func (m *method) ident() string { return m.id }
func (m *method) born() int64   { return m.created }

func (m *method) object() object {
	billing := object{
		"address": object{"city": nil, "country": nil, "line1": nil, "line2": nil, "postal_code": nil, "state": nil},
		"email":   nil, "name": nil, "phone": nil,
	}
	maps.Copy(billing, m.billing)
	return object{
		"id": m.id, "object": "payment_method", "type": "card", "created": m.created, "livemode": false,
		"customer": orNull(m.customer), "billing_details": billing, "metadata": maps.Clone(m.metadata),
		"card": object{
			"brand": m.card.brand, "display_brand": m.card.brand, "country": m.card.country, "funding": "credit",
			"exp_month": m.expMonth, "exp_year": m.expYear, "fingerprint": m.card.fingerprint(), "last4": m.last4(),
			"checks":         object{"address_line1_check": nil, "address_postal_code_check": nil, "cvc_check": m.cvcCheck()},
			"generated_from": nil, "wallet": nil,
			"networks":             object{"available": []any{m.card.brand}, "preferred": nil},
			"three_d_secure_usage": object{"supported": m.card.brand != "amex"},
		},
	}
}

func (m *method) last4() string { return m.card.number[len(m.card.number)-4:] }

func (m *method) cvcCheck() any {
	if !m.cvc {
		return nil
	}
	return "pass"
}

// declines returns how the bank refuses a charge, or nil. A CVC that was not
// given cannot be wrong.
func (m *method) declines() *decline {
	if m.card.declines == incorrectCVC && !m.cvc {
		return nil
	}
	return m.card.declines
}

// newMethod keeps a new payment method with a test card, given with its CVC.
func (s *Server) newMethod(number string) *method {
	m := &method{
		id: newID("pm"), created: s.now(), card: cards[number],
		expMonth: 12, expYear: int64(s.opts.Now().Year()) + 4, cvc: true, metadata: map[string]string{},
	}
	s.methods.put(m)
	return m
}

// methodNamed returns the payment method that a parameter or the path names. A
// test identifier such as pm_card_visa makes a new one.
func (c *call) methodNamed(status int, id, param string) (*method, *apiError) {
	if number, ok := testMethods[id]; ok {
		return c.newMethod(number), nil
	}
	m, ok := c.methods.get(id)
	if !ok {
		return nil, noSuch(status, "PaymentMethod", id, param)
	}
	return m, nil
}

// badCard refuses card details.
func badCard(code, declineCode, param, message string) *apiError {
	return &apiError{status: http.StatusPaymentRequired, kind: cardFailure, code: code, declineCode: declineCode, param: param, message: message, begun: true}
}

func createMethod(c *call) (object, *apiError) {
	f := c.form
	kind, err := f.required("type")
	if err != nil {
		return nil, err
	}
	if kind != "card" {
		return nil, invalid("type", "stripetest plays payment methods of type card alone, not %s.", kind)
	}
	metadata, err := f.metadata(nil)
	if err != nil {
		return nil, err
	}
	var m *method
	if token := f.get("card[token]"); token != "" {
		number, ok := "", false
		if len(token) > 4 && token[:4] == "tok_" {
			number, ok = testMethods["pm_card_"+token[4:]]
		}
		if !ok {
			return nil, noSuch(400, "token", token, "card[token]")
		}
		m = c.newMethod(number)
	} else if m, err = c.methodFromNumber(); err != nil {
		return nil, err
	}
	m.billing, m.metadata = f.tree("billing_details"), metadata
	return m.object(), nil
}

// methodFromNumber reads card[number], card[exp_month], card[exp_year] and
// card[cvc]. The bank is not asked until the card is attached or charged.
func (c *call) methodFromNumber() (*method, *apiError) {
	number, err := c.form.required("card[number]")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"card[exp_month]", "card[exp_year]"} {
		if _, err := c.form.required(name); err != nil {
			return nil, err
		}
	}
	month, err := c.form.integer("card[exp_month]", 1, 12)
	if err != nil {
		return nil, badCard("invalid_expiry_month", "", "exp_month", "Your card's expiration month is invalid.")
	}
	year, err := c.form.integer("card[exp_year]", 0, 9999)
	if err == nil && year < 100 {
		year += 2000
	}
	now := c.opts.Now()
	if err != nil || year < int64(now.Year()) || year > int64(now.Year())+50 {
		return nil, badCard("invalid_expiry_year", "", "exp_year", "Your card's expiration year is invalid.")
	}
	if year == int64(now.Year()) && month < int64(now.Month()) {
		return nil, badCard("invalid_expiry_month", "", "exp_month", "Your card's expiration month is invalid.")
	}
	if !validLuhn(number) {
		return nil, badCard("incorrect_number", "", "number", "Your card number is incorrect.")
	}
	if cards[number] == nil {
		return nil, badCard("card_declined", "test_mode_live_card", "", "Your card was declined. Your request was in test mode, but used a non test card. For a list of valid test cards, visit: https://stripe.com/docs/testing.")
	}
	cvc := c.form.get("card[cvc]")
	if _, bad := strconv.ParseUint(cvc, 10, 16); cvc != "" && (bad != nil || len(cvc) < 3 || len(cvc) > 4) {
		return nil, badCard("invalid_cvc", "", "cvc", "Your card's security code is invalid.")
	}
	m := c.newMethod(number)
	m.expMonth, m.expYear, m.cvc = month, year, cvc != ""
	return m, nil
}

func retrieveMethod(c *call) (object, *apiError) {
	m, err := c.methodNamed(404, c.request.PathValue("id"), "payment_method")
	if err != nil {
		return nil, err
	}
	return m.object(), nil
}

// attachMethod saves a card for a customer. The bank is asked, so that a card
// that declines at once cannot be saved.
func attachMethod(c *call) (object, *apiError) {
	id, err := c.form.required("customer")
	if err != nil {
		return nil, err
	}
	m, err := c.methodNamed(404, c.request.PathValue("id"), "payment_method")
	if err != nil {
		return nil, err
	}
	cus, err := c.customerNamed(400, id, "customer")
	if err != nil {
		return nil, err
	}
	switch {
	case m.customer != "" && m.customer != cus.id:
		return nil, refused("", "The payment method you provided has already been attached to a customer.")
	case m.spent:
		return nil, refused("", "This PaymentMethod was previously used without being attached to a Customer or was detached from a Customer, and may not be used again.")
	case !m.card.attaches && m.declines() != nil:
		d := m.declines()
		return nil, badCard(d.code, d.declineCode, d.param, d.message)
	}
	m.customer = cus.id
	return m.object(), nil
}

func detachMethod(c *call) (object, *apiError) {
	m, err := c.methodNamed(404, c.request.PathValue("id"), "payment_method")
	if err != nil {
		return nil, err
	}
	if m.customer == "" {
		return nil, refused("", "The payment method you provided is not attached to a customer so detachment is impossible.")
	}
	if cus, ok := c.customers.get(m.customer); ok && cus.defaultMethod == m.id {
		cus.defaultMethod = ""
	}
	m.customer, m.spent = "", true
	return m.object(), nil
}

func listMethods(c *call) (object, *apiError) {
	id, err := c.form.required("customer")
	if err != nil {
		return nil, err
	}
	return listMethodsOf(c, 400, id, "customer")
}

func listCustomerMethods(c *call) (object, *apiError) {
	return listMethodsOf(c, 404, c.request.PathValue("id"), "id")
}

func listMethodsOf(c *call, status int, customer, param string) (object, *apiError) {
	if _, err := c.customerNamed(status, customer, param); err != nil {
		return nil, err
	}
	kind := c.form.get("type")
	return page(c, &c.methods, func(m *method) bool {
		return m.customer == customer && (kind == "" || kind == "card")
	})
}

// AddCustomer keeps a customer, as if created over the API, and returns its
// identifier. The e-mail address may be empty.
func (s *Server) AddCustomer(email string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.newCustomer()
	c.fields["email"] = email
	s.customers.put(c)
	return c.id
}

// AddCard attaches a card with one of the test numbers to a customer and
// returns the payment method's identifier. Unlike the API it also attaches the
// cards that decline at once: they stand for cards that went bad after they
// were saved.
func (s *Server) AddCard(customer, number string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.customers.get(customer); !ok || c.deleted {
		return "", fmt.Errorf("stripetest: no such customer: %q", customer)
	}
	if cards[number] == nil {
		return "", fmt.Errorf("stripetest: %q is not a test card", number)
	}
	m := s.newMethod(number)
	m.customer = customer
	return m.id, nil
}
