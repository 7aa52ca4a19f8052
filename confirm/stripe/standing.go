package stripe

import (
	"errors"
	"fmt"

	sdk "github.com/stripe/stripe-go/v76"

	"hashtill/confirm"
	"hashtill/offers"
)

// undecided says that an intent's money was not taken and that it can be
// confirmed, by us or again.
func undecided(pi *sdk.PaymentIntent) bool {
	return pi.Status == sdk.PaymentIntentStatusRequiresConfirmation ||
		pi.Status == sdk.PaymentIntentStatusRequiresPaymentMethod
}

// standing reads an intent (docs.stripe.com/payments/paymentintents/lifecycle).
func standing(pi *sdk.PaymentIntent, intent string) (confirm.Standing, error) {
	if pi.ID != intent {
		return confirm.Standing{}, errors.New("stripe: the answer is about another payment")
	}
	st := confirm.Standing{Status: status(pi)}
	switch st.Status {
	case "":
		return confirm.Standing{}, fmt.Errorf("stripe: payment %s has the status %q, which is none of ours", clean(pi.ID), clean(string(pi.Status)))
	case confirm.Failed:
		st.Reason = reason(pi.LastPaymentError)
	case confirm.AtBank:
		if pi.NextAction == nil || pi.NextAction.RedirectToURL == nil || pi.NextAction.RedirectToURL.URL == "" {
			return confirm.Standing{}, errors.New("stripe: the bank asks the buyer, and Stripe names no address to go to")
		}
		st.BankURL = pi.NextAction.RedirectToURL.URL
	}
	return st, nil
}

// status reads an intent's. It is "" where it is none of ours: requires_capture is
// only for intents that are made for it.
func status(pi *sdk.PaymentIntent) confirm.Status {
	switch pi.Status {
	case sdk.PaymentIntentStatusSucceeded:
		return confirm.Taken
	case sdk.PaymentIntentStatusCanceled:
		return confirm.Voided
	case sdk.PaymentIntentStatusProcessing, sdk.PaymentIntentStatusRequiresConfirmation:
		return confirm.Open
	case sdk.PaymentIntentStatusRequiresPaymentMethod:
		if pi.LastPaymentError == nil {
			return confirm.Open
		}
		return confirm.Failed
	case sdk.PaymentIntentStatusRequiresAction:
		return confirm.AtBank
	}
	return ""
}

// reasons are the codes that say more than that the card was declined
// (docs.stripe.com/declines/codes, docs.stripe.com/error-codes). What is not here
// is CardDeclined: so are the codes for lost, stolen and suspect cards, of which
// Stripe asks not to tell the buyer.
var reasons = map[string]offers.Reason{
	"insufficient_funds": offers.InsufficientFunds,

	"expired_card":         offers.CardExpired,
	"invalid_expiry_month": offers.CardExpired,
	"invalid_expiry_year":  offers.CardExpired,

	"incorrect_cvc": offers.IncorrectCVC,
	"invalid_cvc":   offers.IncorrectCVC,

	"card_velocity_exceeded":           offers.CardLimit,
	"withdrawal_count_limit_exceeded":  offers.CardLimit,
	"card_decline_rate_limit_exceeded": offers.CardLimit,

	"card_not_supported":     offers.CardNotSupported,
	"currency_not_supported": offers.CardNotSupported,

	"authentication_required":                offers.AuthenticationFailed,
	"payment_intent_authentication_failure":  offers.AuthenticationFailed,
	"payment_intent_payment_attempt_expired": offers.AuthenticationFailed,

	"processing_error":     offers.ProcessingError,
	"issuer_not_available": offers.ProcessingError,
	"reenter_transaction":  offers.ProcessingError,
	"try_again_later":      offers.ProcessingError,
	"approve_with_id":      offers.ProcessingError,

	"invalid_number":                    offers.CardUnusable,
	"incorrect_number":                  offers.CardUnusable,
	"invalid_account":                   offers.CardUnusable,
	"new_account_information_available": offers.CardUnusable,
	"testmode_decline":                  offers.CardUnusable,
}

// reason of a failed payment. The bank's word, where there is one, says more than
// Stripe's.
func reason(e *sdk.Error) offers.Reason {
	for _, code := range []string{string(e.DeclineCode), string(e.Code)} {
		if r, ok := reasons[code]; ok {
			return r
		}
	}
	return offers.CardDeclined
}
