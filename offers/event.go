package offers

import (
	"strconv"
	"time"
)

// An EventKind is something that happened to a purchase.
type EventKind string

const (
	WishHeard    EventKind = "WishHeard"    // a post asks for an offer; Reason if it cannot be had
	Enrolled     EventKind = "Enrolled"     // the buyer has registered meanwhile; Reason if it cannot be had any more
	ReplySent    EventKind = "ReplySent"    // our public reply stands: Post
	ReplyFailed  EventKind = "ReplyFailed"  // the network refuses the reply for good
	CodeMailed   EventKind = "CodeMailed"   // the code went by mail instead
	CodeUnmailed EventKind = "CodeUnmailed" // and that was refused for good
	CodeEchoed   EventKind = "CodeEchoed"   // somebody (By) posted the code: Post
	IntentMade   EventKind = "IntentMade"   // the payment is prepared: Intent, Card
	IntentFailed EventKind = "IntentFailed" // no payment can be prepared: Reason
	LinkMailed   EventKind = "LinkMailed"   // the mail server accepted the link
	LinkUnmailed EventKind = "LinkUnmailed" // the mail server refuses it for good
	LinkPressed  EventKind = "LinkPressed"  // the buyer pressed the button of link Round, to pay with Card (zero: as before); Reason if that cannot be
	Charged      EventKind = "Charged"      // the money was taken
	BankAsks     EventKind = "BankAsks"     // the buyer must go to URL
	BankLeft     EventKind = "BankLeft"     // the buyer is back from there
	ChargeFailed EventKind = "ChargeFailed" // the money was not taken: Reason
	IntentVoided EventKind = "IntentVoided" // the payment can never be taken any more
	DeadlinePast EventKind = "DeadlinePast"
	CancelAsked  EventKind = "CancelAsked"  // by the buyer (By)
	ShopCancels  EventKind = "ShopCancels"  // somebody of the shop takes it back
	RefundAsked  EventKind = "RefundAsked"  // by the merchant or the operator: Amount (zero: all that is left), Text says why
	RefundMade   EventKind = "RefundMade"   // refund N (0: the first)
	Shipped      EventKind = "Shipped"      // what was bought is on its way: Text is its tracking, if it has one
	Withdrawn    EventKind = "Withdrawn"    // from the contract, by the buyer (By)
	ChargeBegins EventKind = "ChargeBegins" // the grace is over, and the charge is about to be made
	UnitBack     EventKind = "UnitBack"     // a unit that it waits for may have come back; Reason if it cannot be had
	Noted        EventKind = "Noted"        // somebody of the shop has written something about it: Text, Who
	BuyerBarred  EventKind = "BuyerBarred"  // nothing is charged to the buyer any more, and a charge is owed
	EffectDone   EventKind = "EffectDone"   // an effect that moves nothing was done, or is not needed any more
)

// EventKinds are all of them.
var EventKinds = []EventKind{WishHeard, Enrolled, ReplySent, ReplyFailed, CodeMailed, CodeUnmailed, CodeEchoed,
	IntentMade, IntentFailed, LinkMailed, LinkUnmailed, LinkPressed, Charged, BankAsks, BankLeft, ChargeFailed,
	IntentVoided, DeadlinePast, CancelAsked, ShopCancels, RefundAsked, RefundMade, Shipped, Withdrawn, ChargeBegins, BuyerBarred, UnitBack, Noted, EffectDone}

// An Event is what happened, with what is known of it.
type Event struct {
	Kind    EventKind
	Wish    Purchase // WishHeard: the purchase as it was asked for
	Reason  Reason   // why not
	By      Account  // whose post or wish it is
	Post    string
	Round   int    // of the link pressed
	Look    int    // which look brought it, where one did
	Attempt int    // at the charge that it is the outcome of
	Intent  string // Stripe's PaymentIntent
	Card    Card
	URL     string // of the bank
	Amount  Money  // to be refunded
	N       int    // of the refund; of a RefundAsked: that it is to be, where it matters
	From    State  // CancelAsked: only from there; "": from wherever it is
	Text    string // of the operator
	Country string // of the buyer who has registered, where they have told
	Who     string // has said so, for the shop's people to read
}

// An EffectKind is something owed to the outside world.
type EffectKind string

const (
	Reply          EffectKind = "reply"     // say in public what the state asks for: code, invitation, refusal
	MailCode       EffectKind = "mail-code" // the code by mail
	Prepare        EffectKind = "prepare"   // create the payment at Stripe, unconfirmed
	MailLink       EffectKind = "mail-link" // the link that confirms
	Charge         EffectKind = "charge"    // confirm the payment
	Look           EffectKind = "look"      // ask Stripe how the payment stands
	Void           EffectKind = "void"      // cancel the payment at Stripe
	MailReceipt    EffectKind = "mail-receipt"
	Thank          EffectKind = "thank"           // in public
	MailReason     EffectKind = "mail-reason"     // tell the buyer why it does not go on
	ReplyReason    EffectKind = "reply-reason"    // the same in public, where no mail gets through
	Refunding      EffectKind = "refund"          // pay refund N back
	MailRefund     EffectKind = "mail-refund"     // tell the buyer of refund N, where there are several
	MailShipped    EffectKind = "mail-shipped"    // tell the buyer that it is on its way
	MailWithdrawal EffectKind = "mail-withdrawal" // acknowledge the withdrawal
	TellMerchant   EffectKind = "tell-merchant"   // What has happened after the payment
	File           EffectKind = "file"            // under the buyer's own purchases, in the buyer's shard
	Deadline       EffectKind = "deadline"        // see whether it has passed
)

// EffectKinds are all of them.
var EffectKinds = []EffectKind{Reply, MailCode, Prepare, MailLink, Charge, Look, Void, MailReceipt, Thank, MailReason,
	ReplyReason, Refunding, MailRefund, MailShipped, MailWithdrawal, TellMerchant, File, Deadline}

// What a merchant's own machines are told of a purchase (see [Merchant.Hooks]).
const (
	ToldPaid      = "purchase.paid"
	ToldShipped   = "purchase.shipped"
	ToldRefunded  = "purchase.refunded" // all or a part
	ToldWithdrawn = "purchase.withdrawn"
)

// An Effect is owed for a purchase. Its ID is stable: it is the same however often
// the effect is tried, and whoever tries it.
type Effect struct {
	Kind     EffectKind `json:"-"`
	Purchase ID         `json:"purchase"`
	N        int        `json:"n,omitempty"`      // which one of its kind
	Reason   Reason     `json:"reason,omitempty"` // of a MailReason
	Due      time.Time  `json:"-"`                // zero: at once
	What     string     `json:"what,omitempty"`   // a TellMerchant tells
	Since    int64      `json:"since,omitempty"`  // the purchase's version by the commit that owed it; 0: not known
}

// ID is the key of the effect, here and outside: "charge/07-…/1".
func (e Effect) ID() string {
	id := string(e.Kind) + "/" + string(e.Purchase)
	if e.Reason != "" {
		id += "/" + string(e.Reason)
	}
	if e.N > 0 {
		id += "/" + strconv.Itoa(e.N)
	}
	return id
}
