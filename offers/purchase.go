package offers

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hashtill/store"
)

// An ID names a purchase for ever: two digits of its shard, a dash, and a hash of
// network, post and offer. The same wish read again makes the same id again.
type ID string

// NewID is the id of what a post wishes of an offer.
func NewID(network, post, offer string) ID {
	sum := sha256.Sum256([]byte("purchase\x00" + network + "\x00" + post + "\x00" + offer))
	hash := base32.HexEncoding.EncodeToString(sum[:15])
	return ID(fmt.Sprintf("%02d-%s", store.ShardOf(offer), strings.ToLower(hash)))
}

// ParseID reads an id that came from outside.
func ParseID(s string) (ID, bool) {
	if len(s) != 27 || s[2] != '-' {
		return "", false
	}
	if n, err := strconv.ParseUint(s[:2], 10, 8); err != nil || n >= store.Shards {
		return "", false
	}
	for _, c := range s[3:] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'v') {
			return "", false
		}
	}
	return ID(s), true
}

// Shard is where the purchase lives: the shard of its offer.
func (id ID) Shard() int {
	n, _ := strconv.Atoi(string(id[:2]))
	return n
}

// A State says what is true of a purchase. The package comment has the picture.
type State string

const (
	New        State = ""           // not there yet
	Invited    State = "invited"    // by somebody who has no card here yet; nothing is held
	Asked      State = "asked"      // the units are held, the code is owed
	Coded      State = "coded"      // the code is public
	Echoed     State = "echoed"     // the same account confirmed; intent and mail are owed
	Mailed     State = "mailed"     // the link is with the buyer
	Waiting    State = "waiting"    // it is sold out; who is next gets the unit that comes back
	Confirmed  State = "confirmed"  // the button was pressed; the charge is owed
	Challenged State = "challenged" // the bank asks the buyer
	Paid       State = "paid"       // charged, once
	Declined   State = "declined"   // not charged; another try is open
	Expired    State = "expired"    // too late
	Cancelled  State = "cancelled"  // taken back, by the buyer or the shop
	Refused    State = "refused"    // by us, for a Reason
	Refunded   State = "refunded"   // paid, and paid back
)

// States in the order of a purchase's life.
var States = []State{New, Invited, Waiting, Asked, Coded, Echoed, Mailed, Confirmed, Challenged, Paid, Declined, Expired, Cancelled, Refused, Refunded}

// Ended says that no money will be asked for any more.
func (s State) Ended() bool {
	switch s {
	case Paid, Expired, Cancelled, Refused, Refunded:
		return true
	}
	return false
}

// A Reason is why something was refused or went wrong, and the key of the words
// for it (see package words).
type Reason string

const (
	NotRegistered  Reason = "not_registered"
	SoldOut        Reason = "sold_out"
	NotOpenYet     Reason = "not_open_yet"
	OfferClosed    Reason = "offer_closed"
	LimitReached   Reason = "limit_reached"
	WhichVariant   Reason = "which_variant" // the wish does not say which, or says one that is not there
	CodeExpired    Reason = "code_expired"
	CodeUnknown    Reason = "code_unknown"
	NotYourCode    Reason = "not_your_code"
	NotYet         Reason = "not_yet" // nothing to confirm yet
	LinkExpired    Reason = "link_expired"
	LinkReplaced   Reason = "link_replaced" // a later mail carries the link that counts
	CardDeclined   Reason = "declined"
	CardUnusable   Reason = "card_unusable" // no payment can be begun with it
	MailRefused    Reason = "mail_refused"  // the buyer's mail server will not take our mail
	Unreachable    Reason = "unreachable"   // neither reply nor mail gets through
	AlreadyPaid    Reason = "already_paid"
	TooLate        Reason = "too_late" // to cancel
	WasCancelled   Reason = "cancelled"
	ShopCancelled  Reason = "shop_cancelled" // by the shop, before it was charged
	WasRefunded    Reason = "refunded"
	NotPaid        Reason = "not_paid"
	RefundTooMuch  Reason = "refund_too_much" // so much is not left
	RefundsMany    Reason = "refunds_many"    // in so many parts nothing is given back
	WasShipped     Reason = "shipped"
	NotShipped     Reason = "not_shipped"   // nothing is shipped of it, ever
	NoWithdrawal   Reason = "no_withdrawal" // it was excluded from the beginning
	WithdrawalOver Reason = "withdrawal_over"
	BuyerStopped   Reason = "stopped"
	BuyerFrozen    Reason = "frozen"
	NotAnswered    Reason = "not_answered" // reply or mail took too long
	QuietHours     Reason = "quiet_hours"  // the buyer wants to be sold nothing at this hour
	NotCharged     Reason = "not_charged"  // the charge took too long, and was called off
	OnWaitlist     Reason = "on_waitlist"  // sold out, and the buyer waits for a unit that comes back
	WaitOver       Reason = "wait_over"    // none came back in time
	CountryNeeded  Reason = "country_needed"
	AddressNew     Reason = "address_new"    // it was changed too lately for that
	NotSoldThere   Reason = "not_sold_there" // in the buyer's country
)

// Which limit on spending stands in the way (see [OverLimit]).
const (
	OverPurchase Reason = "over_purchase" // of one purchase
	OverDay      Reason = "over_day"
	OverMonth    Reason = "over_month"
	OverCurrency Reason = "over_currency" // there are limits, and none in this currency
)

// Why a bank or Stripe did not let a payment through, where they say more than
// [CardDeclined] (docs.stripe.com/declines/codes). That a card is reported lost or
// stolen is never told: it is a plain CardDeclined.
const (
	InsufficientFunds    Reason = "insufficient_funds"
	CardExpired          Reason = "expired_card"
	IncorrectCVC         Reason = "incorrect_cvc"
	CardLimit            Reason = "card_limit"            // paid too often or too much with it lately
	CardNotSupported     Reason = "card_not_supported"    // not for this kind of payment, or this currency
	AuthenticationFailed Reason = "authentication_failed" // the bank asked, and was not satisfied
	ProcessingError      Reason = "processing_error"      // nothing is wrong with the card; in a little while it may pass
)

// A Refusal is an answer to a person: no, and why. It changes nothing.
type Refusal struct{ Reason Reason }

func (r *Refusal) Error() string { return "refused: " + string(r.Reason) }

// Times are the windows of a purchase, kept with it.
type Times struct {
	Answer time.Duration `json:"answer"` // how long a reply, a mail or a charge is tried before the purchase is given up
	Echo   time.Duration `json:"echo"`   // how long a code can be reposted
	Link   time.Duration `json:"link"`   // how long a link is valid, from the mail server's acceptance
	Invite time.Duration `json:"invite"` // how long a wish waits for its buyer to register
	Keep   time.Duration `json:"keep"`   // how long a purchase is kept after it has ended; 0: for ever

	// Grace is how long a press of the button can be taken back before the charge is
	// made; 0: not at all.
	Grace time.Duration `json:"grace,omitempty"`

	// Wait is how long a buyer waits for a unit that comes back, where there is a waiting
	// list; 0: a week.
	Wait time.Duration `json:"wait,omitempty"`
}

// DefaultTimes are the windows where nothing else is configured.
var DefaultTimes = Times{Answer: time.Hour, Echo: 15 * time.Minute, Link: 15 * time.Minute, Invite: 24 * time.Hour, Keep: 400 * 24 * time.Hour, Wait: 7 * 24 * time.Hour}

// Validate joins every complaint about the windows.
func (t Times) Validate() error {
	var errs []error
	for _, w := range []struct {
		name string
		d    time.Duration
	}{{"answer", t.Answer}, {"echo", t.Echo}, {"link", t.Link}, {"invite", t.Invite}} {
		if w.d <= 0 {
			errs = append(errs, fmt.Errorf("%s: %s is no time in which anything can be done", w.name, w.d))
		}
	}
	if t.Wait < 0 {
		errs = append(errs, fmt.Errorf("wait: %s is less than nothing", t.Wait))
	}
	if t.Grace < 0 {
		errs = append(errs, fmt.Errorf("grace: %s is less than nothing", t.Grace))
	}
	if t.Keep != 0 && t.Keep < postMemory {
		errs = append(errs, fmt.Errorf("keep: %s is shorter than %s, in which a network may bring a post again; 0 keeps for ever", t.Keep, postMemory))
	}
	return errors.Join(errs...)
}

// A Purchase is one wish and what became of it. What was promised (price, terms,
// windows) is kept with it, so that no edit of the offer changes it.
type Purchase struct {
	ID     ID     `json:"id"`
	State  State  `json:"state"`
	Reason Reason `json:"reason,omitempty"` // why it is refused or declined
	Moves  int    `json:"moves"`            // changes of state so far

	Buyer      Account `json:"buyer"`
	Handle     string  `json:"handle"`     // at the time of the wish
	Lang       string  `json:"lang"`       // of the account at the time of the wish
	Registered bool    `json:"registered"` // whether a mail can be sent
	Wish       string  `json:"wish"`       // the post

	Offer    string   `json:"offer"`
	Tag      string   `json:"tag"`
	Title    string   `json:"title"`
	Seller   string   `json:"seller"`
	Variant  string   `json:"variant,omitempty"`
	Choices  []string `json:"choices,omitempty"` // told with WhichVariant
	Quantity int      `json:"quantity"`
	Total    Money    `json:"total"`
	Terms    string   `json:"terms,omitempty"`
	Times    Times    `json:"times"`
	Thanks   bool     `json:"thanks,omitempty"` // a public thank-you was promised

	SellerAddress   string  `json:"seller_address,omitempty"`
	SellerTaxNumber string  `json:"seller_tax_number,omitempty"`
	Tax             Percent `json:"tax_percent,omitzero"` // included in the total; 0: none is stated
	Delivery        Money   `json:"delivery,omitzero"`    // included in the total, with its tax where that is added
	Price           Money   `json:"price,omitzero"`       // of one unit, as the offer says it: before the tax, where that is added
	Picture         string  `json:"picture,omitempty"`
	Merchant        string  `json:"merchant,omitempty"`        // whose offer it is
	Digital         bool    `json:"digital,omitempty"`         // nothing is shipped
	WithdrawalDays  int     `json:"withdrawal_days,omitempty"` // in which the buyer can withdraw; 0: excluded

	Hold       Hold      `json:"hold,omitempty"`      // when units are taken from stock
	Waitlist   bool      `json:"waitlist,omitempty"`  // it may wait where it is sold out
	WaitUntil  time.Time `json:"wait_until,omitzero"` // how long, at most
	LineSince  time.Time `json:"line_since,omitzero"` // since when it has waited, or last did
	Place      int       `json:"place,omitempty"`     // in the line, as it was told; the first is 1
	TurnAt     time.Time `json:"turn_at,omitzero"`    // when a unit came back for it
	Held       int       `json:"held"`                // units taken from stock, now
	Code       Code      `json:"code,omitempty"`
	Reply      string    `json:"reply,omitempty"`   // our public reply
	Echo       string    `json:"echo,omitempty"`    // the post that repeated the code
	Round      int       `json:"round,omitempty"`   // which link counts
	Attempt    int       `json:"attempt,omitempty"` // which charge is the last
	Card       Card      `json:"card,omitzero"`     // that pays
	Intent     string    `json:"intent,omitempty"`  // Stripe's, the only one that is ever confirmed
	BankURL    string    `json:"bank_url,omitempty"`
	CodeByMail bool      `json:"code_by_mail,omitempty"`
	OnPage     bool      `json:"on_page,omitempty"`    // it was asked for on a page, by who had signed in, and not by a post
	Looks      int       `json:"looks,omitempty"`      // how often Stripe was asked how the payment stands
	LookedAt   time.Time `json:"looked_at,omitzero"`   // when the buyer last had us ask
	Told       []Reason  `json:"told,omitempty"`       // by mail, once each
	Over       OverLimit `json:"over,omitzero"`        // the limit that a wish was refused for
	QuietUntil time.Time `json:"quiet_until,omitzero"` // when the hours end that a wish was refused for, by the buyer's clocks
	Notices    []Notice  `json:"notices,omitempty"`    // of refunds and disputes, as Stripe told them; they move nothing

	AskedAt      time.Time `json:"asked_at"`
	CodedAt      time.Time `json:"coded_at,omitzero"`
	EchoedAt     time.Time `json:"echoed_at,omitzero"`
	MailedAt     time.Time `json:"mailed_at,omitzero"`
	ConfirmedAt  time.Time `json:"confirmed_at,omitzero"`
	ChargingAt   time.Time `json:"charging_at,omitzero"` // when the charge after a grace began: nothing takes it back any more
	ChallengedAt time.Time `json:"challenged_at,omitzero"`
	PaidAt       time.Time `json:"paid_at,omitzero"`
	ShippedAt    time.Time `json:"shipped_at,omitzero"`
	Tracking     string    `json:"tracking,omitempty"`
	WithdrawnAt  time.Time `json:"withdrawn_at,omitzero"` // when the buyer withdrew from the contract
	Refunds      []Refund  `json:"refunds,omitempty"`     // in their order
	EndedAt      time.Time `json:"ended_at,omitzero"`

	MerchantTold int `json:"merchant_told,omitempty"` // how often its merchant's machines were told something, or are to be

	Notes []Note `json:"notes,omitempty"` // of the merchant's and the operator's, in their order

	version      int64
	offerVersion int64 // of the offer that a wish was decided by
	remembered   bool  // it was not read just now (see recent)
}

// Deadline is when the purchase expires where it stands or, once it has ended, is
// taken out of the store; zero if it stays as it is. It follows from facts alone,
// so that a click after it is late even if nothing has swept.
func (p Purchase) Deadline() time.Time {
	switch p.State {
	case Invited:
		return p.AskedAt.Add(p.Times.Invite)
	case Waiting:
		return p.WaitUntil
	case Asked:
		return p.AskedAt.Add(p.Times.Answer)
	case Coded:
		return p.CodedAt.Add(p.Times.Echo)
	case Echoed:
		return p.EchoedAt.Add(p.Times.Answer)
	case Mailed, Declined:
		return p.LinkEnds()
	case Confirmed:
		return p.GraceEnds().Add(p.Times.Answer)
	case Challenged:
		return p.ChallengedAt.Add(p.Times.Link)
	}
	if p.State.Ended() && p.Times.Keep > 0 {
		return p.EndedAt.Add(p.Times.Keep)
	}
	return time.Time{}
}

// GraceEnds is when a press of the button can no longer be taken back.
func (p Purchase) GraceEnds() time.Time { return p.ConfirmedAt.Add(p.Times.Grace) }

// Revocable says that a press of the button can be taken back at now: the charge has
// not begun, and does not before the grace is over.
func (p Purchase) Revocable(now time.Time) bool {
	return p.State == Confirmed && p.ChargingAt.IsZero() && now.Before(p.GraceEnds())
}

// LinkEnds is when the link in the mail stops being valid.
func (p Purchase) LinkEnds() time.Time { return p.MailedAt.Add(p.Times.Link) }

// Keys of a purchase's records, in its shard.
func purchaseKey(id ID) string { return "purchase/" + string(id) }
func codeKey(c Code) string    { return "code/" + string(c) }
func erasedKey(id ID) string   { return "erased/" + string(id) }

func readPurchase(r store.Record) (Purchase, error) {
	var old struct {
		Purchase
		RefundAt time.Time `json:"refund_at"` // before there were refunds in parts
	}
	if err := json.Unmarshal(r.Value, &old); err != nil {
		return Purchase{}, fmt.Errorf("%w: read %s: %w", ErrInvalid, r.Key, err)
	}
	p := old.Purchase
	if !old.RefundAt.IsZero() && len(p.Refunds) == 0 {
		p.Refunds = []Refund{{N: 1, Amount: p.Total, AskedAt: old.RefundAt}}
		if p.State == Refunded {
			p.Refunds[0].MadeAt = p.EndedAt
		}
	}
	p.version = r.Version
	return p, nil
}
