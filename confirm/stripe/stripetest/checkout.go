package stripetest

import (
	"crypto/rand"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Statuses of a Checkout session (docs.stripe.com/api/checkout/sessions/object).
const (
	sessionOpen     = "open"
	sessionComplete = "complete"
	sessionExpired  = "expired"
)

// A session lives for a day, or for as long as its creator says, within limits
// (docs.stripe.com/api/checkout/sessions/create).
const (
	longestSession  = 24 * time.Hour
	shortestSession = 30 * time.Minute
)

// locales are those that Checkout speaks.
var locales = strings.Fields(`
	auto bg cs da de el en en-GB es es-419 et fi fil fr fr-CA hr hu id it ja ko lt lv
	ms mt nb nl pl pt pt-BR ro ru sk sl sv th tr vi zh zh-HK zh-TW`)

// session is a Checkout session in setup mode: the page on which a card is saved.
type session struct {
	id                 string
	base               string // the server's address
	created, expires   int64
	status             string
	customer, email    string // of the customer, once complete
	successURL, cancel string
	reference          string // client_reference_id
	locale, currency   string
	metadata           map[string]string
	setup              *setup
}

func (cs *session) ident() string { return cs.id }
func (cs *session) born() int64   { return cs.created }

// page is the address of the session's page.
func (cs *session) page() string { return cs.base + "/checkout/" + cs.id }

// doneURL is where the buyer goes with a saved card
// (docs.stripe.com/payments/checkout/custom-success-page).
func (cs *session) doneURL() string {
	return strings.ReplaceAll(cs.successURL, "{CHECKOUT_SESSION_ID}", cs.id)
}

func (cs *session) object() object {
	o := object{
		"id": cs.id, "object": "checkout.session", "created": cs.created, "expires_at": cs.expires, "livemode": false,
		"mode": "setup", "ui_mode": "hosted", "status": cs.status, "payment_status": "no_payment_required",
		"customer": orNull(cs.customer), "setup_intent": cs.setup.id, "url": nil,
		"success_url": cs.successURL, "cancel_url": orNull(cs.cancel), "client_reference_id": orNull(cs.reference),
		"locale": orNull(cs.locale), "currency": orNull(cs.currency), "metadata": maps.Clone(cs.metadata), "customer_details": nil,
		"payment_method_types": []string{"card"}, "payment_method_options": object{"card": object{"request_three_d_secure": "automatic"}},
		"automatic_tax": object{"enabled": false, "liability": nil, "status": nil}, "custom_fields": []any{}, "shipping_options": []any{},
		"custom_text":             object{"after_submit": nil, "shipping_address": nil, "submit": nil, "terms_of_service_acceptance": nil},
		"phone_number_collection": object{"enabled": false},
	}
	for _, name := range []string{
		"after_expiration", "allow_promotion_codes", "amount_subtotal", "amount_total", "billing_address_collection", "client_secret",
		"consent", "consent_collection", "customer_creation", "customer_email", "invoice", "invoice_creation", "payment_intent", "payment_link",
		"payment_method_collection", "recovered_from", "shipping_address_collection", "shipping_cost", "submit_type", "subscription", "total_details",
	} {
		o[name] = nil
	}
	if cs.status == sessionOpen {
		o["url"] = cs.page()
	}
	if cs.email != "" {
		o["customer_details"] = object{"address": nil, "email": cs.email, "name": nil, "phone": nil, "tax_exempt": "none", "tax_ids": nil}
	}
	return o
}

// notInSetup are parameters of the other modes.
var notInSetup = []string{
	"line_items", "shipping_address_collection", "shipping_options", "payment_intent_data", "subscription_data",
	"invoice_creation", "discounts", "allow_promotion_codes", "automatic_tax", "submit_type", "payment_method_collection",
}

// sessionParams are the parameters of a new session; those of other modes are
// known, so that they are refused for what they are.
var sessionParams = func() []string {
	params := []string{
		"mode", "ui_mode", "customer", "payment_method_types[]", "currency", "success_url", "cancel_url",
		"locale", "client_reference_id", "expires_at", "metadata[*]", "setup_intent_data[metadata][*]",
	}
	for _, name := range notInSetup {
		params = append(params, name, name+"[*]")
	}
	return params
}()

func createSession(c *call) (object, *apiError) {
	f := c.form
	mode, err := f.required("mode")
	if err != nil {
		return nil, err
	}
	if _, err := f.oneOf("mode", "payment", "setup", "subscription"); err != nil {
		return nil, err
	}
	for _, name := range []string{"mode", "ui_mode"} {
		if v := f.get(name); v != "" && v != "setup" && v != "hosted" {
			return nil, invalid(name, "stripetest plays hosted pages of mode=setup alone, not %s=%s.", name, v)
		}
	}
	for _, name := range f.names() {
		if top, _, _ := strings.Cut(name, "["); slices.Contains(notInSetup, top) {
			return nil, invalid(top, "You can not pass `%s` in `%s` mode.", top, mode)
		}
	}
	cs := &session{
		id: "cs_test_" + rand.Text() + rand.Text(), base: c.url, created: c.now(), status: sessionOpen,
		reference: f.get("client_reference_id"), currency: f.get("currency"), customer: f.get("customer"),
	}
	if cs.successURL, err = f.required("success_url"); err != nil {
		return nil, err
	}
	cs.cancel = f.get("cancel_url")
	for _, name := range []string{"success_url", "cancel_url"} {
		if u, bad := url.Parse(f.get(name)); f.has(name) && (bad != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
			e := invalid(name, "Not a valid URL")
			e.code = "url_invalid"
			return nil, e
		}
	}
	types := f.list("payment_method_types")
	for _, t := range types {
		if t != "card" {
			return nil, invalid("payment_method_types", "stripetest plays payment methods of type card alone, not %s.", t)
		}
	}
	switch {
	case types == nil && cs.currency == "":
		return nil, missing("currency")
	case cs.currency != "" && !slices.Contains(currencies, cs.currency):
		return nil, invalid("currency", "Invalid currency: %s. Use a supported three-letter ISO code in lowercase.", cs.currency)
	case len([]rune(cs.reference)) > 200:
		return nil, invalid("client_reference_id", "Invalid string: must be at most 200 characters")
	}
	if cs.locale, err = f.oneOf("locale", locales...); err != nil {
		return nil, err
	}
	if cs.customer != "" {
		if _, err := c.customerNamed(http.StatusBadRequest, cs.customer, "customer"); err != nil {
			return nil, err
		}
	}
	if cs.metadata, err = f.metadata(nil); err != nil {
		return nil, err
	}
	cs.expires = cs.created + int64(longestSession/time.Second)
	if f.has("expires_at") {
		if cs.expires, err = f.integer("expires_at", cs.created+int64(shortestSession/time.Second), cs.expires); err != nil {
			return nil, err
		}
	}
	about := form{} // the metadata of the SetupIntent, read by the same rules
	for name, v := range f {
		if rest, ok := strings.CutPrefix(name, "setup_intent_data[metadata]"); ok {
			about["metadata"+rest] = v
		}
	}
	si := &setup{id: newID("seti"), created: cs.created, status: requiresMethod, customer: cs.customer, session: cs}
	si.secret = si.id + "_" + newID("secret")
	if si.metadata, err = about.metadata(nil); err != nil {
		return nil, err
	}
	cs.setup = si
	c.sessions.put(cs)
	c.setups.put(si)
	c.emit(c, "setup_intent.created", si.object())
	return cs.object(), nil
}

// sessionOfPath returns the session that the path names, as it is now.
func (c *call) sessionOfPath() (*session, *apiError) {
	id := c.request.PathValue("id")
	cs, ok := c.sessions.get(id)
	if !ok {
		return nil, noSuch(http.StatusNotFound, "checkout.session", id, "session")
	}
	c.lapse(cs)
	return cs, nil
}

func retrieveSession(c *call) (object, *apiError) {
	cs, err := c.sessionOfPath()
	if err != nil {
		return nil, err
	}
	return cs.object(), nil
}

func listSessions(c *call) (object, *apiError) {
	status, err := c.form.oneOf("status", sessionOpen, sessionComplete, sessionExpired)
	if err != nil {
		return nil, err
	}
	customer := c.form.get("customer")
	return page(c, &c.sessions, func(cs *session) bool {
		c.lapse(cs)
		return (customer == "" || cs.customer == customer) && (status == "" || cs.status == status)
	})
}

func expireSession(c *call) (object, *apiError) {
	cs, err := c.sessionOfPath()
	if err != nil {
		return nil, err
	}
	if cs.status != sessionOpen {
		return nil, refused("", "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of %s.", cs.status)
	}
	c.expire(cs, c)
	return cs.object(), nil
}

// lapse expires a session whose time is over. There is no timer: whoever looks at
// it first finds it expired, and sets the event off.
func (s *Server) lapse(cs *session) {
	if cs.status == sessionOpen && s.now() >= cs.expires {
		s.expire(cs, nil)
	}
}

// expire closes an open session, and with it the SetupIntent.
func (s *Server) expire(cs *session, cause *call) {
	cs.status = sessionExpired
	cs.setup.status, cs.setup.method, cs.setup.question, cs.setup.nextAction = canceled, "", nil, nil
	s.emit(cause, "setup_intent.canceled", cs.setup.object())
	s.emit(cause, "checkout.session.expired", cs.object())
}
