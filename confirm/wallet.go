package confirm

import (
	"context"
	"net/url"

	"hashtill/offers"
)

// A Wallet keeps buyers' cards. Cards are typed in on its own pages: no card number
// ever comes here (PCI DSS, SAQ A). Like a [Till], it may be called again with the
// same arguments after an error, and then does not do it twice; a *RefusedError is
// final.
type Wallet interface {
	// Customer makes the customer of an account, and returns its id. It is the same
	// customer for the same key.
	Customer(ctx context.Context, c Customer) (id string, err error)

	// Begin makes a page on which the buyer saves a card, and returns it.
	Begin(ctx context.Context, s Saving) (SavingPage, error)

	// Saved says what became of such a page.
	Saved(ctx context.Context, page string) (SavingResult, error)

	// Detach forgets a card. That it is forgotten already is success.
	Detach(ctx context.Context, card, key string) error

	// Delete forgets a customer with all the cards. That it is gone is success.
	Delete(ctx context.Context, customer, key string) error
}

// A Customer is what a Wallet is told of a buyer.
type Customer struct {
	Key     string // idempotency key
	Account offers.Account
	Email   offers.Email
	Lang    string
}

// A Saving is what a Wallet needs for the page on which a card is saved.
type Saving struct {
	Key      string // idempotency key
	Customer string
	Account  offers.Account
	Lang     string
	DoneURL  string // where the buyer comes back with a card
	BackURL  string // and where without
}

// A SavingPage is where a card is saved.
type SavingPage struct{ ID, URL string }

// A SavingResult is what became of such a page.
type SavingResult struct {
	Status   SavingStatus
	Customer string
	Card     offers.Card // Saved
}

// A SavingStatus says how far it is.
type SavingStatus string

const (
	SavingOpen SavingStatus = "open"  // the buyer has not finished
	Saved      SavingStatus = "saved" // there is a card
	SavingOver SavingStatus = "over"  // the page is closed, and nothing was saved
)

// A SignIn lets people prove which account on a network is theirs. It asks for who
// they are and for their e-mail address, and never for a right to post.
type SignIn interface {
	// Network is the name that the network has in [offers.Account].
	Network() string

	// Begin says where to send the browser. keep is secret and is given to Finish, by
	// the same browser's session.
	Begin(ctx context.Context, back string) (to, keep string, err error)

	// Finish reads the query with which the browser came back to the address back. A
	// *[RefusedError] means that there is nobody: the buyer said no, it took too long,
	// or the answer is not the one that was asked for.
	Finish(ctx context.Context, back, keep string, query url.Values) (Person, error)
}

// A Person has signed in.
type Person struct {
	Account offers.Account
	Handle  string
	Lang    string       // "" if the network does not say
	Email   offers.Email // as the network has it, "" if it does not say; not proven to us
}
