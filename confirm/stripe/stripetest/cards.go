package stripetest

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
)

// asks says when a card's bank wants to question the buyer off-session.
// On-session, a card that asks at all asks always
// (docs.stripe.com/testing#regulatory-cards).
type asks int

const (
	never       asks = iota // and not on-session either
	notOff                  // set up already: off-session payments pass
	unlessSetUp             // off-session until it was set up
	always
)

// card is a kind of test card.
type card struct {
	number, brand, country string
	asks                   asks
	declines               *decline // at every charge that was not stopped before
	attaches               bool     // to a customer, over the API
}

// decline is how a bank says no.
type decline struct{ code, declineCode, param, message string }

var (
	generic           = &decline{"card_declined", "generic_decline", "", "Your card was declined."}
	insufficientFunds = &decline{"card_declined", "insufficient_funds", "", "Your card has insufficient funds."}
	lostCard          = &decline{"card_declined", "lost_card", "", "Your card was declined."}
	stolenCard        = &decline{"card_declined", "stolen_card", "", "Your card was declined."}
	velocityExceeded  = &decline{"card_declined", "card_velocity_exceeded", "", "Your card was declined for making repeated attempts too frequently or exceeding its amount limit."}
	fraudulent        = &decline{"card_declined", "fraudulent", "", "Your card was declined."}
	expiredCard       = &decline{"expired_card", "", "exp_month", "Your card has expired."}
	incorrectCVC      = &decline{"incorrect_cvc", "", "cvc", "Your card's security code is incorrect."}
	processingError   = &decline{"processing_error", "", "", "An error occurred while processing your card. Try again in a little bit."}

	// authenticationRequired is the answer off-session, where nobody is there
	// to be asked.
	authenticationRequired = &decline{"authentication_required", "authentication_required", "", "Your card was declined. This transaction requires authentication."}
)

// cards are the test cards of docs.stripe.com/testing.
var cards = func() map[string]*card {
	m := map[string]*card{}
	for _, c := range []card{
		{"4242424242424242", "visa", "US", never, nil, true},
		{"4000056655665556", "visa", "US", never, nil, true},
		{"5555555555554444", "mastercard", "US", never, nil, true},
		{"378282246310005", "amex", "US", never, nil, true},

		{"4000002500003155", "visa", "FR", unlessSetUp, nil, true},
		{"4000002760003184", "visa", "DE", always, nil, true},
		{"4000003800000446", "visa", "IT", notOff, nil, true},
		{"4000008260003178", "visa", "GB", unlessSetUp, insufficientFunds, true},
		{"4000008400001629", "visa", "US", always, generic, true},

		{"4000000000000341", "visa", "US", never, generic, true},
		{"4000000000000002", "visa", "US", never, generic, false},
		{"4000000000009995", "visa", "US", never, insufficientFunds, false},
		{"4000000000009987", "visa", "US", never, lostCard, false},
		{"4000000000009979", "visa", "US", never, stolenCard, false},
		{"4000000000000069", "visa", "US", never, expiredCard, false},
		{"4000000000000127", "visa", "US", never, incorrectCVC, false},
		{"4000000000000119", "visa", "US", never, processingError, false},
		{"4000000000006975", "visa", "US", never, velocityExceeded, false},
		{"4100000000000019", "visa", "US", never, fraudulent, false}, // Radar blocks it, whatever its rules (docs.stripe.com/radar/testing)
	} {
		m[c.number] = &c
	}
	return m
}()

// testMethods are the identifiers that stand for a new payment method with a
// test card, and the tokens that do the same as card[token] with tok_ in the
// place of pm_card_.
var testMethods = map[string]string{
	"pm_card_visa":                                                  "4242424242424242",
	"pm_card_visa_debit":                                            "4000056655665556",
	"pm_card_mastercard":                                            "5555555555554444",
	"pm_card_amex":                                                  "378282246310005",
	"pm_card_authenticationRequiredOnSetup":                         "4000002500003155",
	"pm_card_authenticationRequired":                                "4000002760003184",
	"pm_card_authenticationRequiredSetupForOffSession":              "4000003800000446",
	"pm_card_threeDSecureRequiredChargeDeclined":                    "4000008400001629",
	"pm_card_chargeCustomerFail":                                    "4000000000000341",
	"pm_card_visa_chargeDeclined":                                   "4000000000000002",
	"pm_card_visa_chargeDeclinedInsufficientFunds":                  "4000000000009995",
	"pm_card_chargeDeclinedFraudulent":                              "4100000000000019",
	"pm_card_visa_chargeDeclinedLostCard":                           "4000000000009987",
	"pm_card_visa_chargeDeclinedStolenCard":                         "4000000000009979",
	"pm_card_chargeDeclinedExpiredCard":                             "4000000000000069",
	"pm_card_chargeDeclinedIncorrectCvc":                            "4000000000000127",
	"pm_card_chargeDeclinedProcessingError":                         "4000000000000119",
	"pm_card_visa_chargeDeclinedVelocityLimitExceeded":              "4000000000006975",
	"pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": "4000008260003178",
}

// asksNow reports whether the bank wants to question the buyer.
func (c *card) asksNow(offSession, setUp bool) bool {
	switch c.asks {
	case never:
		return false
	case notOff:
		return !offSession
	case unlessSetUp:
		return !offSession || !setUp
	}
	return true
}

// fingerprint is the same for every payment method with the same number.
func (c *card) fingerprint() string {
	sum := sha256.Sum256([]byte(c.number))
	return hex.EncodeToString(sum[:8])
}

// validLuhn checks a card number's last digit.
func validLuhn(number string) bool {
	sum := 0
	for i := range len(number) {
		d := int(number[len(number)-1-i] - '0')
		if d < 0 || d > 9 {
			return false
		}
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return len(number) >= 12 && sum%10 == 0
}

// Cards are the numbers of all test cards.
func Cards() []string { return slices.Sorted(maps.Keys(cards)) }
