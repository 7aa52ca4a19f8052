// Package confirm proves that the buyer meant it, and charges: links, mails,
// pages, and the payment. It knows no network.
//
// # Words
//
//   - A link is an address in a mail that leads to one purchase: [Links].
//   - The till takes the money; confirm/stripe is the adapter: [Till].
//   - The mailer takes mails; confirm/smtp is the adapter: [Mailer].
//
// # Promises
//
//   - A payment is begun, unconfirmed, before the link is mailed, and only that
//     payment is ever confirmed. So there is one charge at most, whatever is
//     lost on the way.
//   - A GET changes nothing: mail scanners open links.
//   - Outcomes that are unknown stay unknown until they are looked up.
package confirm

import (
	"context"
	"fmt"
	"time"

	"hashtill/offers"
)

// A Till takes money. Every method may be called again with the same arguments
// after an error, and then does not do it twice. A *RefusedError is final; a
// *LaterError says when to try again; after it, and any other error, the outcome is
// unknown.
type Till interface {
	// Prepare begins a payment without taking any money, and returns its id.
	Prepare(ctx context.Context, p Payment) (intent string, err error)

	// Confirm takes the money of a prepared payment. A *RefusedError means that
	// nothing was taken, and that the payment may be tried again. key is new for every attempt
	// that the buyer makes. Where the bank asks the buyer, it sends the buyer to
	// returnURL afterwards.
	Confirm(ctx context.Context, intent, card, key, returnURL string) (Standing, error)

	// Look says how a payment stands.
	Look(ctx context.Context, intent string) (Standing, error)

	// Void makes sure that a payment can never be taken; where it was taken
	// already, the standing says Taken.
	Void(ctx context.Context, intent, key string) (Standing, error)

	// Refund gives money of a taken payment back.
	Refund(ctx context.Context, r Refund) error
}

// A Payment is what a Till needs to begin one.
type Payment struct {
	Purchase    offers.ID
	Key         string // idempotency key
	Customer    string
	Card        string
	Total       offers.Money
	Description string // for whoever looks at Stripe's dashboard
}

// A Refund is what a Till needs to give money back.
type Refund struct {
	Purchase offers.ID
	Key      string // names this refund for ever, among all of the payment
	Intent   string
	Amount   offers.Money
}

// A Standing is how a payment stands.
type Standing struct {
	Status  Status
	BankURL string        // AtBank: where the buyer has to go
	Reason  offers.Reason // Failed: why
}

// A Status of a payment.
type Status string

const (
	Open   Status = "open"    // begun; nothing was tried or the last try is undecided
	Taken  Status = "taken"   // the money was taken
	AtBank Status = "at_bank" // the bank asks the buyer
	Failed Status = "failed"  // not taken; may be tried again
	Voided Status = "voided"  // can never be taken
)

// A Mailer sends mails. A *RefusedError is final for that address; after any other
// error the outcome is unknown, and sending the same mail again is right: its
// Message-ID lets the reader's program fold the copies.
type Mailer interface {
	Send(ctx context.Context, m Mail) error
}

// A Mail is one message to one reader.
type Mail struct {
	ID      string // the same at every try; becomes the Message-ID
	Thread  string // all mails of the same one are one conversation; "": it stands alone
	To      offers.Email
	Lang    string
	Subject string
	Text    string
	HTML    string

	// Unsubscribe is the https address at which one POST ends mails like this one (RFC
	// 8058); "" where nothing is to be ended, for the reader needs what it says.
	Unsubscribe string
}

// A RefusedError is a final no of the till or of the mail server.
type RefusedError struct {
	Why    string        // for the operator; holds no address
	Reason offers.Reason // for the buyer, where there is one
}

func (e *RefusedError) Error() string { return "refused: " + e.Why }

// A LaterError says when to try again: the till's service takes no more for now.
type LaterError struct {
	At  time.Time
	Why string // for the operator
}

func (e *LaterError) Error() string {
	return fmt.Sprintf("not before %s: %s", e.At.UTC().Format(time.TimeOnly), e.Why)
}
