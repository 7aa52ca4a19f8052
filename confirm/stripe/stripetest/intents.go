package stripetest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Statuses of a PaymentIntent
// (docs.stripe.com/payments/paymentintents/lifecycle).
const (
	requiresMethod       = "requires_payment_method"
	requiresConfirmation = "requires_confirmation"
	requiresAction       = "requires_action"
	processing           = "processing"
	succeeded            = "succeeded"
	canceled             = "canceled"
)

// intent is a PaymentIntent.
type intent struct {
	id, secret       string
	created          int64
	amount, received int64
	currency         string
	status           string
	customer, method string
	fields           map[string]string // description, receipt_email, setup_future_usage, statement_descriptor_suffix
	types            []string          // payment_method_types
	automatic        bool              // automatic_payment_methods[enabled]
	redirects        string            // automatic_payment_methods[allow_redirects]
	metadata         map[string]string
	shipping         object
	lastError        object
	latestCharge     string
	nextAction       object
	question         *question // the bank's, while requires_action
	authenticated    bool      // the answer to it, while processing
	canceledAt       int64
	cancelReason     string
	updates          window
}

func (p *intent) ident() string { return p.id }
func (p *intent) born() int64   { return p.created }

func (p *intent) object() object {
	o := object{
		"id": p.id, "object": "payment_intent", "created": p.created, "livemode": false, "client_secret": p.secret,
		"amount": p.amount, "amount_capturable": 0, "amount_received": p.received, "currency": p.currency,
		"status": p.status, "customer": orNull(p.customer), "payment_method": orNull(p.method),
		"payment_method_types": slices.Clone(p.types), "payment_method_options": object{"card": object{"request_three_d_secure": "automatic"}},
		"automatic_payment_methods": nil, "capture_method": "automatic", "confirmation_method": "automatic",
		"metadata": maps.Clone(p.metadata), "shipping": orNone(p.shipping),
		"last_payment_error": orNone(p.lastError), "latest_charge": orNull(p.latestCharge), "next_action": orNone(p.nextAction),
		"canceled_at": nil, "cancellation_reason": orNull(p.cancelReason), "processing": nil,
	}
	for _, name := range []string{"description", "receipt_email", "setup_future_usage", "statement_descriptor_suffix"} {
		o[name] = orNull(p.fields[name])
	}
	for _, name := range []string{"amount_details", "application", "application_fee_amount", "on_behalf_of", "review", "source", "statement_descriptor", "transfer_data", "transfer_group"} {
		o[name] = nil
	}
	if p.automatic {
		o["automatic_payment_methods"] = object{"enabled": true, "allow_redirects": p.redirects}
	}
	if p.canceledAt != 0 {
		o["canceled_at"] = p.canceledAt
	}
	return o
}

// mayUpdate are the statuses in which everything can still be changed.
var mayUpdate = []string{requiresMethod, requiresConfirmation, requiresAction}

var intentParams = []string{
	"amount", "currency", "customer", "payment_method", "payment_method_types[]", "metadata[*]", "description",
	"receipt_email", "setup_future_usage", "statement_descriptor_suffix", "shipping[*]",
}

// apply changes an intent as a create, an update or a confirm asks.
func (p *intent) apply(c *call) *apiError {
	f := c.form
	amount, currency, err := f.money(p.amount, p.currency)
	if err != nil {
		return err
	}
	metadata, err := f.metadata(p.metadata)
	if err != nil {
		return err
	}
	if _, err := f.oneOf("setup_future_usage", "on_session", "off_session"); err != nil {
		return err
	}
	types := f.list("payment_method_types")
	for _, t := range types {
		if t != "card" {
			return invalid("payment_method_types", "stripetest plays payment methods of type card alone, not %s.", t)
		}
	}
	customer := p.customer
	if id := f.get("customer"); id != "" {
		if _, err := c.customerNamed(400, id, "customer"); err != nil {
			return err
		}
		customer = id
	}
	if id := f.get("payment_method"); id != "" {
		m, err := c.methodNamed(400, id, "payment_method")
		if err != nil {
			return err
		}
		if err := m.usableBy(customer); err != nil {
			return err
		}
		p.method = m.id
	}
	if p.status != succeeded && p.status != canceled && (amount != p.amount || currency != p.currency || f.get("payment_method") != "") {
		p.question, p.nextAction = nil, nil // the bank was asked about something else
		p.status = requiresMethod
		if p.method != "" {
			p.status = requiresConfirmation
		}
	}
	p.amount, p.currency, p.customer, p.metadata = amount, currency, customer, metadata
	if types != nil {
		p.types, p.automatic = types, false
	}
	for _, name := range []string{"description", "receipt_email", "setup_future_usage", "statement_descriptor_suffix"} {
		if f.has(name) {
			p.fields[name] = f.get(name)
		}
	}
	if t := f.tree("shipping"); t != nil {
		p.shipping = t
	}
	return nil
}

// usableBy refuses a payment method for an intent of the customer, who may be
// "" for none.
func (m *method) usableBy(customer string) *apiError {
	switch {
	case m.spent:
		return refused("payment_method", "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a connected account without Customer attachment, or was detached from a Customer. It may not be used again. To use a PaymentMethod multiple times, you must attach it to a Customer first.")
	case m.customer != "" && customer == "":
		return refused("payment_method", "The provided PaymentMethod (%s) is attached to a Customer. Please include the Customer in the `customer` parameter on the PaymentIntent.", m.id)
	case m.customer != "" && m.customer != customer:
		return refused("payment_method", "The customer does not have a payment method with the ID %s. The payment method must be attached to the customer.", m.id)
	}
	return nil
}

// createIntent makes an intent and, with confirm=true, confirms it. A declined
// card then answers 402, but the intent stays.
func createIntent(c *call) (object, *apiError) {
	f := c.form
	for _, name := range []string{"amount", "currency"} {
		if _, err := f.required(name); err != nil {
			return nil, err
		}
	}
	confirm, err := f.boolean("confirm")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"off_session", "return_url"} {
		if f.has(name) && !confirm {
			return nil, invalid(name, "The parameter `%s` cannot be passed when creating a PaymentIntent unless `confirm` is set to true.", name)
		}
	}
	for _, name := range []string{"capture_method", "confirmation_method"} {
		if v := f.get(name); v != "" && v != "automatic" {
			return nil, invalid(name, "stripetest plays %s=automatic alone, not %s.", name, v)
		}
	}
	p := &intent{
		id: newID("pi"), created: c.now(), status: requiresMethod, fields: map[string]string{},
		types: []string{"card"}, automatic: true, redirects: "always",
	}
	p.secret = p.id + "_" + newID("secret")
	enabled, err := f.boolean("automatic_payment_methods[enabled]")
	if err != nil {
		return nil, err
	}
	if enabled && f.list("payment_method_types") != nil {
		return nil, invalid("payment_method_types", "You may only specify one of these parameters: automatic_payment_methods, payment_method_types.")
	}
	if v, err := f.oneOf("automatic_payment_methods[allow_redirects]", "always", "never"); err != nil {
		return nil, err
	} else if v != "" {
		p.redirects = v
	}
	if err := p.apply(c); err != nil {
		return nil, err
	}
	if confirm {
		if err := c.checkReturnURL(p); err != nil {
			return nil, err
		}
	}
	c.intents.put(p)
	if confirm {
		if err := c.confirm(p); err != nil {
			return nil, err
		}
	}
	return p.object(), nil
}

// intentOfPath returns the intent that the path names. A POST counts towards
// the limit of updates.
func (c *call) intentOfPath() (*intent, *apiError) {
	id := c.request.PathValue("id")
	p, ok := c.intents.get(id)
	if !ok {
		return nil, noSuch(404, "payment_intent", id, "intent")
	}
	if c.method == http.MethodPost && p.updates.add(c.now(), 3600, updatesPerHour) {
		return nil, tooMany()
	}
	return p, nil
}

func retrieveIntent(c *call) (object, *apiError) {
	p, err := c.intentOfPath()
	if err != nil {
		return nil, err
	}
	if v := c.form.get("client_secret"); v != "" && v != p.secret {
		return nil, invalid("client_secret", "The client_secret provided does not match the client_secret associated with the PaymentIntent.")
	}
	return p.object(), nil
}

func listIntents(c *call) (object, *apiError) {
	customer := c.form.get("customer")
	return page(c, &c.intents, func(p *intent) bool { return customer == "" || p.customer == customer })
}

// updateIntent changes an intent. Once it is past confirmation, only what does
// not touch the payment can be changed.
func updateIntent(c *call) (object, *apiError) {
	p, err := c.intentOfPath()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(mayUpdate, p.status) {
		for _, name := range []string{"amount", "currency", "customer", "payment_method", "setup_future_usage"} {
			if c.form.has(name) {
				return nil, notUpdatable(p, name)
			}
		}
		if c.form.list("payment_method_types") != nil {
			return nil, notUpdatable(p, "payment_method_types")
		}
	}
	if err := p.apply(c); err != nil {
		return nil, err
	}
	return p.object(), nil
}

func notUpdatable(p *intent, name string) *apiError {
	return unexpectedState(p, name, "This PaymentIntent's %s could not be updated because it has a status of %s. You may only update the %s of a PaymentIntent with one of the following statuses: %s.", name, p.status, name, strings.Join(mayUpdate, ", "))
}

func cancelIntent(c *call) (object, *apiError) {
	reason, err := c.form.oneOf("cancellation_reason", "duplicate", "fraudulent", "requested_by_customer", "abandoned")
	if err != nil {
		return nil, err
	}
	p, err := c.intentOfPath()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(mayUpdate, p.status) {
		return nil, unexpectedState(p, "", "You cannot cancel this PaymentIntent because it has a status of %s. Only a PaymentIntent with one of the following statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, requires_action.", p.status)
	}
	p.status, p.canceledAt, p.cancelReason = canceled, c.now(), reason
	p.question, p.nextAction = nil, nil
	c.emit(c, "payment_intent.canceled", p.object())
	return p.object(), nil
}

func confirmIntent(c *call) (object, *apiError) {
	p, err := c.intentOfPath()
	if err != nil {
		return nil, err
	}
	switch p.status {
	case succeeded:
		return nil, unexpectedState(p, "", "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.")
	case canceled, processing:
		return nil, unexpectedState(p, "", "You cannot confirm this PaymentIntent because it has a status of %s. Only a PaymentIntent with one of the following statuses may be confirmed: requires_payment_method, requires_confirmation, requires_action.", p.status)
	}
	if err := c.checkReturnURL(p); err != nil {
		return nil, err
	}
	if err := p.apply(c); err != nil {
		return nil, err
	}
	if err := c.confirm(p); err != nil {
		return nil, err
	}
	return p.object(), nil
}

// offSession reads off_session, which also takes two older words.
func (f form) offSession() (bool, *apiError) {
	switch f.get("off_session") {
	case "one_off", "recurring":
		return true, nil
	}
	return f.boolean("off_session")
}

// checkReturnURL refuses a confirmation that might need to redirect the buyer
// and has nowhere to bring them back to. An intent made without
// payment_method_types takes redirecting methods unless told otherwise
// (docs.stripe.com/upgrades/manage-payment-methods).
func (c *call) checkReturnURL(p *intent) *apiError {
	off, err := c.form.offSession()
	if err != nil {
		return err
	}
	raw := c.form.get("return_url")
	if raw == "" {
		if p.automatic && p.redirects != "never" && !off {
			return invalid("return_url", "A `return_url` must be specified because this Payment Intent is configured to automatically accept the payment methods enabled in the Dashboard, some of which may require a full page redirect to succeed. If you do not want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents.")
		}
		return nil
	}
	if u, bad := url.Parse(raw); bad != nil || u.Scheme == "" || u.Host == "" && u.Opaque == "" && u.Path == "" {
		e := invalid("return_url", "Not a valid URL")
		e.code = "url_invalid"
		return e
	}
	return nil
}
