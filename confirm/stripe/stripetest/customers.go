package stripetest

import "maps"

// customer is who may have payment methods.
type customer struct {
	id            string
	created       int64
	fields        map[string]string // email, name, description, phone
	defaultMethod string
	address       object
	shipping      object
	locales       []string // preferred_locales
	metadata      map[string]string
	deleted       bool
}

func (c *customer) ident() string { return c.id }
func (c *customer) born() int64   { return c.created }

func (c *customer) object() object {
	if c.deleted {
		return object{"id": c.id, "object": "customer", "deleted": true}
	}
	return object{
		"id": c.id, "object": "customer", "created": c.created, "livemode": false,
		"email": orNull(c.fields["email"]), "name": orNull(c.fields["name"]),
		"description": orNull(c.fields["description"]), "phone": orNull(c.fields["phone"]),
		"address": orNone(c.address), "shipping": orNone(c.shipping), "metadata": maps.Clone(c.metadata),
		"balance": 0, "currency": nil, "default_source": nil, "delinquent": false, "discount": nil,
		"invoice_settings":  object{"custom_fields": nil, "default_payment_method": orNull(c.defaultMethod), "footer": nil, "rendering_options": nil},
		"preferred_locales": append([]string{}, c.locales...), "tax_exempt": "none", "test_clock": nil,
	}
}

// orNull is a string as JSON, null if empty.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// orNone is an object as JSON, null if there is none.
func orNone(o object) any {
	if o == nil {
		return nil
	}
	return o
}

var customerParams = []string{"email", "name", "description", "phone", "address[*]", "shipping[*]", "metadata[*]", "preferred_locales[]", "invoice_settings[default_payment_method]"}

// apply changes a customer as a create or an update asks.
func (c *customer) apply(r *call) *apiError {
	metadata, err := r.form.metadata(c.metadata)
	if err != nil {
		return err
	}
	if id := r.form.get("invoice_settings[default_payment_method]"); id != "" {
		m, ok := r.methods.get(id)
		if !ok || m.customer != c.id {
			return noSuch(400, "PaymentMethod", id, "invoice_settings[default_payment_method]")
		}
		c.defaultMethod = id
	}
	for _, name := range []string{"email", "name", "description", "phone"} {
		if r.form.has(name) {
			c.fields[name] = r.form.get(name)
		}
	}
	if t := r.form.tree("address"); t != nil {
		c.address = t
	}
	if t := r.form.tree("shipping"); t != nil {
		c.shipping = t
	}
	if l := r.form.list("preferred_locales"); l != nil {
		c.locales = l
	}
	c.metadata = metadata
	return nil
}

func (s *Server) newCustomer() *customer {
	return &customer{id: newID("cus"), created: s.now(), fields: map[string]string{}, metadata: map[string]string{}}
}

// customerNamed returns the living customer that a parameter or the path names.
func (c *call) customerNamed(status int, id, param string) (*customer, *apiError) {
	cus, ok := c.customers.get(id)
	if !ok || cus.deleted {
		return nil, noSuch(status, "customer", id, param)
	}
	return cus, nil
}

func createCustomer(c *call) (object, *apiError) {
	cus := c.newCustomer()
	if err := cus.apply(c); err != nil {
		return nil, err
	}
	c.customers.put(cus)
	return cus.object(), nil
}

// retrieveCustomer also answers for a deleted one, with deleted: true.
func retrieveCustomer(c *call) (object, *apiError) {
	id := c.request.PathValue("id")
	cus, ok := c.customers.get(id)
	if !ok {
		return nil, noSuch(404, "customer", id, "id")
	}
	return cus.object(), nil
}

func updateCustomer(c *call) (object, *apiError) {
	cus, err := c.customerNamed(404, c.request.PathValue("id"), "id")
	if err == nil {
		err = cus.apply(c)
	}
	if err != nil {
		return nil, err
	}
	return cus.object(), nil
}

func deleteCustomer(c *call) (object, *apiError) {
	cus, err := c.customerNamed(404, c.request.PathValue("id"), "id")
	if err != nil {
		return nil, err
	}
	cus.deleted = true
	for _, m := range c.methods.order {
		if m.customer == cus.id {
			m.customer, m.spent = "", true
		}
	}
	return cus.object(), nil
}

func listCustomers(c *call) (object, *apiError) {
	return page(c, &c.customers, func(cus *customer) bool {
		return !cus.deleted && (!c.form.has("email") || cus.fields["email"] == c.form.get("email"))
	})
}
