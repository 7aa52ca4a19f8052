package confirm

import (
	"context"
	"time"

	"hashtill/offers"
)

// A Ledger is the till's service's own record of all payments.
type Ledger interface {
	// Payments shows each payment that was begun in [from, to), the newest first. An
	// error of see ends it and is returned.
	Payments(ctx context.Context, from, to time.Time, see func(Entry) error) error
}

// An Entry is one payment in the Ledger.
type Entry struct {
	Intent   string
	Purchase offers.ID // as its metadata has it, unread; "" where there is none
	Status   Status
	Total    offers.Money
	Refunded offers.Money // so far, in the currency of Total
	Disputed bool
	Begun    time.Time
}
