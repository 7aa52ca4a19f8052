package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	sdk "github.com/stripe/stripe-go/v76"

	"hashtill/confirm"
	"hashtill/offers"
)

// A Wallet is a [confirm.Wallet] at Stripe: customers, and cards that buyers type in
// on Stripe's own pages, Checkout in setup mode
// (docs.stripe.com/payments/checkout/save-and-reuse). It is safe for concurrent use.
//
// Nothing here takes money, so doing a thing twice is harmless, as long as only one
// of the two is used; and keys, which Stripe may forget after a day, only save work:
//
//   - A second customer of an account has no card, since no page is begun for it.
//     Its e-mail address would stay with Stripe when the buyer leaves, and so
//     [Wallet.Customer] looks for one that is there already.
//   - A second page is one that nobody is sent to. It expires within a day.
//   - A card that is detached and a customer that is deleted stay so.
type Wallet struct{ till *Till }

var _ confirm.Wallet = (*Wallet)(nil)

// NewWallet returns a Wallet at the till's Stripe, under its key and its budget. A
// restricted key needs write permission for customers, payment methods and Checkout
// sessions, and read permission for SetupIntents.
func NewWallet(till *Till) *Wallet { return &Wallet{till: till} }

// Customer finds the customer of an account with this e-mail address, or makes one,
// and returns its id.
func (w *Wallet) Customer(ctx context.Context, c confirm.Customer) (string, error) {
	if c.Key == "" || c.Account.Network == "" || c.Account.ID == "" {
		return "", errors.New("stripe: a customer's account and a key are needed")
	}
	account, email := c.Account.String(), string(c.Email)
	if id, err := w.find(ctx, account, email); id != "" || err != nil {
		return id, err
	}
	var id string
	err := w.create("create customer", c.Key, func(key string) answer {
		ctx, cancel := context.WithTimeout(ctx, w.till.timeout)
		defer cancel()
		p := &sdk.CustomerParams{
			Params:   sdk.Params{Context: ctx, IdempotencyKey: &key},
			Metadata: map[string]string{"account": account},
		}
		if email != "" {
			p.Email = &email
		}
		if c.Lang != "" {
			p.PreferredLocales = []*string{&c.Lang}
		}
		cus, err := w.till.api.Customers.New(p)
		id = cus.ID
		a := read("create customer", cus.LastResponse, err)
		if a.verdict == done && a.dead { // history: who has left since and comes back is another customer
			switch gone, err := w.isDeleted(ctx, id); {
			case err != nil:
				return answer{verdict: later, err: err}
			case gone:
				return answer{verdict: unsure, dead: true, err: errors.New("stripe: create customer: the one of this key is deleted")}
			}
		}
		return a
	})
	if err == nil && id == "" {
		err = errors.New("stripe: create customer: the answer names no customer")
	}
	if err != nil {
		return "", err
	}
	return id, nil
}

// find looks for the customer of an account among the newest with its e-mail
// address; "" if there is none. A list is true at once, unlike a search
// (docs.stripe.com/search#data-freshness).
func (w *Wallet) find(ctx context.Context, account, email string) (string, error) {
	if email == "" {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.till.timeout)
	defer cancel()
	// Without a limit, which is what the budget knows the lists by that can wait.
	it := w.till.api.Customers.List(&sdk.CustomerListParams{ListParams: sdk.ListParams{Context: ctx, Single: true}, Email: &email})
	for it.Next() {
		if c := it.Customer(); c != nil && c.Metadata["account"] == account && !c.Deleted {
			return c.ID, nil
		}
	}
	if a := read("find customer", nil, it.Err()); a.verdict != done && a.verdict != refused {
		return "", a.err
	}
	return "", nil // what Stripe has against the address it says better to the request that makes the customer
}

// create makes something new under the caller's key and, where what is saved under
// that decides nothing, under one other.
func (w *Wallet) create(deed, key string, post func(key string) answer) error {
	var a answer
	for n, key := range w.till.keys(key, paySlot) {
		a = post(key)
		switch {
		case a.verdict == done:
			return nil
		case a.verdict == refused, a.verdict == declined:
			// Nothing here is a matter of the buyer's card.
			return &confirm.RefusedError{Why: a.err.Error()}
		case a.verdict == later, !a.dead:
			return a.err
		}
		w.till.another(n, deed, key, a)
	}
	return a.err
}

// Begin makes a page of Stripe's on which the buyer saves a card. It is there for a
// day. For a key that was used before it is the page of then, which may be over.
func (w *Wallet) Begin(ctx context.Context, s confirm.Saving) (confirm.SavingPage, error) {
	const deed = "begin page for a card"
	if s.Key == "" || s.Customer == "" || s.DoneURL == "" {
		return confirm.SavingPage{}, errors.New("stripe: a customer, an address to come back to and a key are needed")
	}
	account := s.Account.String()
	var page *sdk.CheckoutSession
	err := w.create(deed, s.Key, func(key string) answer {
		ctx, cancel := context.WithTimeout(ctx, w.till.timeout)
		defer cancel()
		p := &sdk.CheckoutSessionParams{
			Params:   sdk.Params{Context: ctx, IdempotencyKey: &key},
			Mode:     sdk.String(string(sdk.CheckoutSessionModeSetup)),
			Customer: &s.Customer,
			// Cards alone, as for payments. Without this, Stripe would need a currency.
			PaymentMethodTypes: sdk.StringSlice([]string{"card"}),
			SuccessURL:         &s.DoneURL,
			Locale:             sdk.String(locale(s.Lang)),
			ClientReferenceID:  &account,
			Metadata:           map[string]string{"account": account},
		}
		if s.BackURL != "" {
			p.CancelURL = &s.BackURL
		}
		var err error
		page, err = w.till.api.CheckoutSessions.New(p)
		return read(deed, page.LastResponse, err)
	})
	switch {
	case err != nil:
		return confirm.SavingPage{}, err
	case page.ID == "" || page.URL == "":
		return confirm.SavingPage{}, errors.New("stripe: " + deed + ": the answer names no page")
	case customerID(page.Customer) != s.Customer:
		return confirm.SavingPage{}, errors.New("stripe: " + deed + ": the answer is about another customer")
	}
	return confirm.SavingPage{ID: page.ID, URL: page.URL}, nil
}

// locale is the language of Stripe's page: ours, else the browser's.
func locale(lang string) string {
	switch lang {
	case "en", "fr":
		return lang
	}
	return "auto"
}

// customerID of a customer that may not be there.
func customerID(c *sdk.Customer) string {
	if c == nil {
		return ""
	}
	return c.ID
}

// Saved says what became of a page. A card that was saved and has been detached
// since is not there any more: the page is over.
func (w *Wallet) Saved(ctx context.Context, page string) (confirm.SavingResult, error) {
	const deed = "look up page for a card"
	if page == "" {
		return confirm.SavingResult{}, errors.New("stripe: a page's id is needed")
	}
	ctx, cancel := context.WithTimeout(ctx, w.till.timeout)
	defer cancel()
	s, err := w.till.api.CheckoutSessions.Get(page, &sdk.CheckoutSessionParams{
		Params: sdk.Params{Context: ctx},
		Expand: sdk.StringSlice([]string{"setup_intent.payment_method"}),
	})
	if err := known(deed, read(deed, s.LastResponse, err)); err != nil {
		return confirm.SavingResult{}, err
	}
	if s.ID != page || s.Mode != sdk.CheckoutSessionModeSetup {
		return confirm.SavingResult{}, errors.New("stripe: " + deed + ": the answer is about another page")
	}
	result := confirm.SavingResult{Customer: customerID(s.Customer)}
	switch s.Status {
	case sdk.CheckoutSessionStatusOpen:
		result.Status = confirm.SavingOpen
	case sdk.CheckoutSessionStatusExpired:
		result.Status = confirm.SavingOver
	case sdk.CheckoutSessionStatusComplete:
		result.Status, result.Card, err = saved(s)
	default:
		err = fmt.Errorf("stripe: %s: its status %q is none of ours", deed, clean(string(s.Status)))
	}
	if err != nil {
		return confirm.SavingResult{}, err
	}
	return result, nil
}

// saved reads the card from a page that is complete.
func saved(s *sdk.CheckoutSession) (confirm.SavingStatus, offers.Card, error) {
	customer, si := customerID(s.Customer), s.SetupIntent
	switch {
	case si == nil || si.Status != sdk.SetupIntentStatusSucceeded || si.PaymentMethod == nil || si.PaymentMethod.ID == "" || si.PaymentMethod.Card == nil:
		return "", offers.Card{}, fmt.Errorf("stripe: page %s is complete and names no card", clean(s.ID))
	case customer == "" || customerID(si.Customer) != customer:
		return "", offers.Card{}, fmt.Errorf("stripe: page %s has saved a card for another customer", clean(s.ID))
	}
	pm := si.PaymentMethod
	switch customerID(pm.Customer) {
	case customer:
	case "":
		return confirm.SavingOver, offers.Card{}, nil
	default:
		return "", offers.Card{}, fmt.Errorf("stripe: the card %s belongs to another customer", clean(pm.ID))
	}
	return confirm.Saved, offers.Card{
		ID: pm.ID, Brand: string(pm.Card.Brand), Last4: pm.Card.Last4,
		Month: int(pm.Card.ExpMonth), Year: int(pm.Card.ExpYear),
	}, nil
}

// known makes an answer's error. What we have stored an id of exists, so that it is
// never final that Stripe does not know it.
func known(deed string, a answer) error {
	if a.verdict == refused && a.status == http.StatusNotFound {
		return fmt.Errorf("%w: check that stripe.key_file holds the key of the account and the mode (test or live) in which the customer was made", a.err)
	}
	return a.err
}

// Detach forgets a card: nobody can pay with it again. What Stripe says against it,
// the card itself is asked whether it is detached already.
func (w *Wallet) Detach(ctx context.Context, card, key string) error {
	if card == "" || key == "" {
		return errors.New("stripe: a card and a key are needed")
	}
	var a answer
	for n, key := range w.till.keys(key, paySlot) {
		var pm *sdk.PaymentMethod
		pm, a = w.detach(ctx, card, key)
		switch {
		case a.verdict == done && detached(pm, card):
			return nil
		case a.verdict == later:
			return a.err
		}
		if gone, err := w.isDetached(ctx, card); gone || err != nil {
			return err
		}
		switch {
		case a.verdict == refused, a.verdict == declined:
			return &confirm.RefusedError{Why: a.err.Error()}
		case a.verdict == done:
			return errors.New("stripe: detach card: it is not detached")
		case !a.dead:
			return a.err
		}
		w.till.another(n, "detach card", key, a)
	}
	return a.err
}

func (w *Wallet) detach(ctx context.Context, card, key string) (*sdk.PaymentMethod, answer) {
	ctx, cancel := context.WithTimeout(ctx, w.till.timeout)
	defer cancel()
	pm, err := w.till.api.PaymentMethods.Detach(card, &sdk.PaymentMethodDetachParams{Params: sdk.Params{Context: ctx, IdempotencyKey: &key}})
	return pm, read("detach card", pm.LastResponse, err)
}

// detached says that an answer is about the card, and that it is nobody's.
func detached(pm *sdk.PaymentMethod, card string) bool {
	return pm.ID == card && customerID(pm.Customer) == ""
}

func (w *Wallet) isDetached(ctx context.Context, card string) (bool, error) {
	const deed = "look up card"
	ctx, cancel := context.WithTimeout(ctx, w.till.timeout)
	defer cancel()
	pm, err := w.till.api.PaymentMethods.Get(card, &sdk.PaymentMethodParams{Params: sdk.Params{Context: ctx}})
	if err := known(deed, read(deed, pm.LastResponse, err)); err != nil {
		return false, err
	}
	return detached(pm, card), nil
}

// Delete forgets a customer; Stripe detaches the cards. A deleted customer can still
// be looked up, and says that it is (docs.stripe.com/api/customers/delete): so one
// that is gone is not mistaken for one that another key would know.
func (w *Wallet) Delete(ctx context.Context, customer, key string) error {
	if customer == "" || key == "" {
		return errors.New("stripe: a customer and a key are needed")
	}
	cus, a := w.deleteCustomer(ctx, customer, key)
	switch {
	case a.verdict == done && cus.ID == customer && cus.Deleted:
		return nil
	case a.verdict == later:
		return a.err
	}
	if gone, err := w.isDeleted(ctx, customer); gone || err != nil {
		return err
	}
	switch a.verdict {
	case refused, declined:
		return &confirm.RefusedError{Why: a.err.Error()}
	case done:
		return errors.New("stripe: delete customer: it is not deleted")
	}
	return a.err
}

// deleteCustomer sends the key for stripe-go's sake, which would make one. Stripe
// keeps none for a DELETE, which is the same each time
// (docs.stripe.com/api/idempotent_requests).
func (w *Wallet) deleteCustomer(ctx context.Context, customer, key string) (*sdk.Customer, answer) {
	ctx, cancel := context.WithTimeout(ctx, w.till.timeout)
	defer cancel()
	cus, err := w.till.api.Customers.Del(customer, &sdk.CustomerParams{Params: sdk.Params{Context: ctx, IdempotencyKey: &key}})
	return cus, read("delete customer", cus.LastResponse, err)
}

func (w *Wallet) isDeleted(ctx context.Context, customer string) (bool, error) {
	const deed = "look up customer"
	ctx, cancel := context.WithTimeout(ctx, w.till.timeout)
	defer cancel()
	cus, err := w.till.api.Customers.Get(customer, &sdk.CustomerParams{Params: sdk.Params{Context: ctx}})
	if err := known(deed, read(deed, cus.LastResponse, err)); err != nil {
		return false, err
	}
	return cus.ID == customer && cus.Deleted, nil
}
