// Package stripetest is a local stand-in for the Stripe API: a server on
// loopback that keeps state, answers as Stripe documents, and can be told to
// fail. No real money moves. It serves the tests, the crash tests and the demo,
// so it does not depend on package testing.
//
// It was written from Stripe's public documentation alone, without looking at
// the client that is tested against it, so that the two are independent
// witnesses of the same rules.
//
//	srv, err := stripetest.Start(stripetest.Options{WebhookURL: shop + "/stripe"})
//	...
//	defer srv.Close()
//	cus := srv.AddCustomer("ann@example.com")
//	pm, err := srv.AddCard(cus, "4242424242424242")
//	// Point a Stripe client at srv.URL() with srv.Key().
//	srv.Fail(stripetest.Fault{Path: "/v1/payment_intents/*/confirm", When: stripetest.After, Drop: true})
//	...
//	srv.Charges() // the ledger: what was really charged
//
// # What is played
//
// Customers, payment methods of type card, PaymentIntents with automatic
// capture, charges (to read), refunds, events (to read), the balance and the
// account; Checkout sessions in setup mode with their page, and the SetupIntents
// that belong to them (to read). A parameter that Stripe knows and this server does not play is
// refused as unknown rather than ignored, so that nobody relies on it in vain.
//
// # A PaymentIntent
//
//	requires_payment_method ──method──► requires_confirmation ──confirm──┐
//	          ▲                                                          │
//	          │ declined, or the bank's question failed                  ▼
//	          ├──────────────── requires_action ◄──── the card asks? ────┤
//	          │                       │ completed                        │
//	          │                       ▼                                  ▼
//	          └────────────── (the card decides) ──► [processing ──►] succeeded
//
// Every state but processing and succeeded can be cancelled
// (docs.stripe.com/payments/paymentintents/lifecycle). Processing is entered
// only while [Server.HoldCharges] is on.
//
// # Saving a card
//
// The url of a Checkout session is a page for a browser, /checkout/{id}: a form
// with the fields number, exp, cvc and postal, all of them inputs of that id, the
// button save and, where the session has a cancel_url, the link back. It needs no
// key. Saving a card leads to success_url, to the bank's page first if the card
// asks, and to the form again, with the reason, if the card is declined or the
// bank's question failed; the session then stays open. Sessions last 24 hours or
// until expires_at; there is no timer, so checkout.session.expired is sent when
// somebody looks at a session whose time is over.
//
// The buyer is there when a card is saved: every card that asks on-session asks,
// those included that are set up already (docs.stripe.com/testing does not say
// otherwise). What declines at once is not saved; 4000000000000341,
// 4000008260003178 and 4000008400001629 are, and decline later.
//
// # Idempotency
//
// A key is reserved when its request arrives and bound to the answer once the
// endpoint has begun: declines, states that do not allow the call, unknown
// objects and 500s are saved; invalid parameters, 401, 409 and 429 are not
// (docs.stripe.com/api/idempotent_requests). Keys are forgotten after 24 hours
// of [Options.Now], or by [Server.PruneKeys]. They work on POST alone.
//
// # Cards
//
// The test cards are those of docs.stripe.com/testing and behave as that page
// says. Two things surprise: the cards that decline at once cannot be attached
// to a customer over the API (4000000000000341 can, and declines later;
// [Server.AddCard] plays a card that went bad after it was saved), and cards
// that are or can be set up for off-session use still ask on-session.
//
// # Differences from Stripe
//
// Webhooks that were not accepted are tried again after fractions of a second
// rather than hours. The rate limits are off unless asked for in [Options].
// Wording of messages follows Stripe where it is published; a client must not
// depend on it.
package stripetest
