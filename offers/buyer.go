package offers

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"hashtill/store"
)

// An Account is somebody on a network, by the network's own number. Handles
// change hands; numbers do not.
type Account struct {
	Network string `json:"network"`
	ID      string `json:"id"`
}

// String is the account as keys and tables have it, "x:783214".
func (a Account) String() string { return a.Network + ":" + a.ID }

// Shard is where what belongs to the account alone lives.
func (a Account) Shard() int { return store.ShardOf("account/" + a.String()) }

// An Email is an address that never reaches a log.
type Email string

// LogValue hides the address.
func (Email) LogValue() slog.Value { return slog.StringValue("[e-mail]") }

// A Buyer has registered: a card saved at Stripe, an address that was proven.
type Buyer struct {
	Account    Account   `json:"account"`
	Handle     string    `json:"handle"` // for people to read, never to decide by
	Email      Email     `json:"email"`
	Lang       string    `json:"lang"`     // BCP 47
	Customer   string    `json:"customer"` // Stripe's id
	Cards      []Card    `json:"cards"`    // the first is the one that pays
	Address    string    `json:"address,omitempty"`
	Country    string    `json:"country,omitempty"` // of the address (ISO 3166-1 alpha-2), where they have told
	Registered time.Time `json:"registered"`
	Terms      Consent   `json:"terms,omitzero"`   // what they have agreed to; zero where the operator registered them
	Limits     Limits    `json:"limits,omitzero"`  // their own, below the shop's
	Quiet      Quiet     `json:"quiet,omitzero"`   // hours in which nothing is sold to them
	Stopped    time.Time `json:"stopped,omitzero"` // since when nothing is sold or charged to them, and nothing said
	Frozen     bool      `json:"frozen,omitempty"` // it was stopped here, and no post of theirs takes that back
	FrozenBy   Freezer   `json:"frozen_by,omitempty"`
	EmailAt    time.Time `json:"email_at,omitzero"`    // when the address was changed last
	UnfrozenAt time.Time `json:"unfrozen_at,omitzero"` // when a freeze was lifted last
	LeavingAt  time.Time `json:"leaving_at,omitzero"`  // since when all of the account is being erased

	version int64
}

// A Freezer is who froze a buyer. What the shop froze the buyer cannot lift.
type Freezer string

// Who freezes a buyer.
const (
	ByShop  Freezer = "shop"
	ByBuyer Freezer = "buyer"
)

// LogValue shows nothing of the buyer but the account.
func (b Buyer) LogValue() slog.Value { return slog.StringValue(b.Account.String()) }

// Known says that the buyer can pay: there is a card, and nothing was stopped.
func (b Buyer) Known() bool {
	return !b.Registered.IsZero() && len(b.Cards) > 0 && b.Stopped.IsZero() && b.LeavingAt.IsZero()
}

// Barred says why nothing is sold to the buyer, or "".
func (b Buyer) Barred() Reason {
	switch {
	case b.Stopped.IsZero():
		return ""
	case b.Frozen:
		return BuyerFrozen
	}
	return BuyerStopped
}

// Card is the one with that id.
func (b Buyer) Card(id string) (Card, bool) {
	i := slices.IndexFunc(b.Cards, func(c Card) bool { return c.ID == id })
	if i < 0 {
		return Card{}, false
	}
	return b.Cards[i], true
}

// Validate joins every complaint about a buyer who wants to register.
func (b Buyer) Validate() error {
	var errs []error
	if b.Account.Network == "" || b.Account.ID == "" || len(b.Account.String()) > 100 {
		errs = append(errs, errors.New("account: a network and the account's number there are needed"))
	}
	if !ValidEmail(b.Email) {
		errs = append(errs, errors.New("email: not an e-mail address"))
	}
	if b.Customer == "" {
		errs = append(errs, errors.New("customer: Stripe's customer id is needed"))
	}
	if len(b.Cards) == 0 || len(b.Cards) > MaxCards {
		errs = append(errs, fmt.Errorf("cards: between 1 and %d are needed", MaxCards))
	}
	if b.Country != "" && !ValidCountry(b.Country) {
		errs = append(errs, fmt.Errorf("country: %q is no country (ISO 3166-1, such as FR)", b.Country))
	}
	for _, c := range b.Cards {
		if c.ID == "" {
			errs = append(errs, errors.New("cards: Stripe's payment method id is needed"))
		}
	}
	return errors.Join(errs...)
}

// Keys of an account's records, all in its shard.
func buyerKey(a Account) string               { return "buyer/" + a.String() }
func ownPrefix(a Account) string              { return "own/" + a.String() + "/" }
func ownKey(a Account, id ID) string          { return ownPrefix(a) + string(id) }
func answerKey(a Account, post string) string { return "answer/" + a.Network + "/" + post }

func readBuyer(r store.Record) (Buyer, error) {
	if r.Version == 0 {
		return Buyer{}, nil
	}
	var b Buyer
	if err := json.Unmarshal(r.Value, &b); err != nil {
		// It is invalid for whoever asks: no other post, and no network, waits for it.
		return Buyer{}, fmt.Errorf("%w: read %s: %w", ErrInvalid, r.Key, err)
	}
	b.version = r.Version
	return b, nil
}
