package stripetest

import "maps"

// refund is money given back.
type refund struct {
	id             string
	created        int64
	amount         int64
	currency       string
	charge, intent string
	reason         string
	metadata       map[string]string
}

func (r *refund) ident() string { return r.id }
func (r *refund) born() int64   { return r.created }

func (r *refund) object() object {
	return object{
		"id": r.id, "object": "refund", "created": r.created, "amount": r.amount, "currency": r.currency,
		"charge": r.charge, "payment_intent": r.intent, "reason": orNull(r.reason), "status": "succeeded",
		"metadata": maps.Clone(r.metadata), "balance_transaction": nil, "receipt_number": nil,
		"source_transfer_reversal": nil, "transfer_reversal": nil,
	}
}

// createRefund gives back all that is left of a charge, or part of it.
func createRefund(c *call) (object, *apiError) {
	f := c.form
	metadata, err := f.metadata(nil)
	if err != nil {
		return nil, err
	}
	reason, err := f.oneOf("reason", "duplicate", "fraudulent", "requested_by_customer")
	if err != nil {
		return nil, err
	}
	ch, err := c.chargeToRefund()
	if err != nil {
		return nil, err
	}
	left := ch.amount - ch.refunded
	if left == 0 {
		e := refused("", "Charge %s has already been refunded.", ch.id)
		e.code = "charge_already_refunded"
		return nil, e
	}
	amount := left
	if f.has("amount") {
		if amount, err = f.integer("amount", 1, 1<<53); err != nil {
			return nil, err
		}
		if amount > left {
			return nil, refused("amount", "Refund amount (%d) is greater than unrefunded amount on charge (%d), in the smallest unit of %s.", amount, left, ch.currency)
		}
	}
	r := &refund{
		id: newID("re"), created: c.now(), amount: amount, currency: ch.currency,
		charge: ch.id, intent: ch.intent, reason: reason, metadata: metadata,
	}
	ch.refunded += amount
	c.refunds.put(r)
	c.emit(c, "charge.refunded", ch.object())
	return r.object(), nil
}

// chargeToRefund returns the successful charge that the request names, itself
// or by its intent.
func (c *call) chargeToRefund() (*charge, *apiError) {
	if id := c.form.get("charge"); id != "" {
		ch, ok := c.charges.get(id)
		switch {
		case !ok:
			return nil, noSuch(400, "charge", id, "charge")
		case !ch.paid():
			return nil, refused("charge", "Charge %s failed and cannot be refunded.", id)
		}
		return ch, nil
	}
	id := c.form.get("payment_intent")
	if id == "" {
		return nil, invalid("", "One of the following params should be provided for this request: payment_intent or charge.")
	}
	p, ok := c.intents.get(id)
	if !ok {
		return nil, noSuch(400, "payment_intent", id, "payment_intent")
	}
	ch, ok := c.charges.get(p.latestCharge)
	if !ok || !ch.paid() {
		return nil, refused("payment_intent", "This PaymentIntent (%s) does not have a successful charge to refund.", id)
	}
	return ch, nil
}

func retrieveRefund(c *call) (object, *apiError) {
	id := c.request.PathValue("id")
	r, ok := c.refunds.get(id)
	if !ok {
		return nil, noSuch(404, "refund", id, "id")
	}
	return r.object(), nil
}

func listRefunds(c *call) (object, *apiError) {
	intent, charge := c.form.get("payment_intent"), c.form.get("charge")
	return page(c, &c.refunds, func(r *refund) bool {
		return (intent == "" || r.intent == intent) && (charge == "" || r.charge == charge)
	})
}

func retrieveCharge(c *call) (object, *apiError) {
	id := c.request.PathValue("id")
	ch, ok := c.charges.get(id)
	if !ok {
		return nil, noSuch(404, "charge", id, "id")
	}
	return ch.object(), nil
}

func listCharges(c *call) (object, *apiError) {
	intent, customer := c.form.get("payment_intent"), c.form.get("customer")
	return page(c, &c.charges, func(ch *charge) bool {
		return (intent == "" || ch.intent == intent) && (customer == "" || ch.customer == customer)
	})
}

// retrieveBalance adds the ledger up by currency.
func retrieveBalance(c *call) (object, *apiError) {
	sums := map[string]int64{"usd": 0}
	for _, ch := range c.charges.order {
		if ch.paid() {
			sums[ch.currency] += ch.amount - ch.refunded
		}
	}
	available, pending := []any{}, []any{}
	for _, code := range currencies {
		if sum, ok := sums[code]; ok {
			available = append(available, object{"amount": sum, "currency": code, "source_types": object{"card": sum}})
			pending = append(pending, object{"amount": 0, "currency": code, "source_types": object{"card": 0}})
		}
	}
	return object{"object": "balance", "livemode": false, "available": available, "pending": pending}, nil
}

func retrieveAccount(*call) (object, *apiError) {
	return object{
		"id": "acct_stripetest", "object": "account", "type": "standard", "country": "US", "default_currency": "usd",
		"charges_enabled": true, "payouts_enabled": true, "details_submitted": true, "email": nil,
		"business_profile": object{"name": "Stripe stand-in", "url": nil}, "capabilities": object{"card_payments": "active"}, "metadata": object{},
		"settings": object{"dashboard": object{"display_name": "Stripe stand-in", "timezone": "Etc/UTC"}},
	}, nil
}
