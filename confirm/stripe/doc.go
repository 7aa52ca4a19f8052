// Package stripe takes the money through Stripe: it is a [confirm.Till] over
// stripe-go v76. Card data never comes near it; it knows customers and cards by
// Stripe's ids alone.
//
// # One charge at most
//
// [Till.Prepare] creates a PaymentIntent without confirming it. Its id is stored
// before the link is mailed, and only that id is ever confirmed. Stripe takes an
// intent's money once: an intent that has succeeded refuses to be confirmed again
// (docs.stripe.com/payments/paymentintents/lifecycle). So no retry, however late
// and under whatever key, can charge twice. The keys below save work; they are
// not what the promise rests on, because Stripe may forget a key after 24 hours
// and an outage can be longer.
//
//   - Prepare, late: under a key that Stripe has forgotten it creates another
//     intent. The first one is an orphan that nobody confirms: harmless.
//   - Confirm, late: the intent knows whether its money was taken.
//   - Void against Confirm: Stripe decides which of them the intent took.
//   - Refund, late: each carries its name in its metadata, and the refunds of the
//     payment are looked through for it before one is made: [Till.Refund].
//
// # Keys
//
// Each POST carries an idempotency key that follows from the caller's: never
// stripe-go's own, which is random, so that a restart would not know it. Stripe
// saves status and body under the key once the endpoint has begun, failures
// included, and replays them to every request with that key
// (docs.stripe.com/api/idempotent_requests). Two things follow.
//
// A replayed answer, which Stripe marks with the header Idempotent-Replayed
// (docs.stripe.com/error-low-level), is history. So it is not believed as it
// stands; the intent is asked how it stands now.
//
// A saved 500 says nothing and would be replayed for as long as the key lives. So
// after any answer that leaves the outcome open (5xx, silence, an unexpected
// state, a replay) the intent is asked first:
//
//	succeeded, canceled, processing, requires_action   that is the outcome
//	still to be confirmed, the answer was fresh        an error: try again later
//	still to be confirmed, the answer was a replay     again at once, under the key and the time
//
// The second key is the same for all who retry within ten seconds, so that they
// are one request to Stripe, and the next ten seconds have a fresh one, so that an
// outage that saves a 500 at every try does not use them up. Trying again may at worst put a
// declined card to the bank a second time for a click that was made once; it
// cannot take the money a second time, as above. The same order of things serves
// Prepare, Void (a refusal while the intent was processing is saved, too) and
// Refund, which asks for the refunds of the intent, and whose slots are longer.
//
// A key is also dead when its parameters have changed since, for instance by a new
// public_url: Stripe then answers with an idempotency error, and that is treated
// like a replay.
//
// # A budget
//
// Stripe answers 429 to whoever asks too often: more than 100 times a second, in a
// sandbox 25, or more than 25 times at one endpoint (docs.stripe.com/rate-limits).
// We stay below it. A request for which there is no room within a second is not
// sent; its *confirm.LaterError names a time, and the outbox keeps the effect until
// then. Whoever is put off stands in a line and is served at that time, and whoever
// comes anew joins its end; a line is in memory, so that a restart begins it anew. Lists give way to all else. Other processes have a budget of their own
// ([Config].Rate): where Stripe says 429 all the same, the endpoint is left alone for
// as long as it says.
//
// # Errors
//
//	declined                                     Standing Failed, with a Reason
//	the request can never pass                   *confirm.RefusedError, Reason CardUnusable
//	the key is wrong (401) or may not do it (403)   an error that says so
//	our own budget is spent                      *confirm.LaterError
//	409, 429, 5xx, silence                       an error
//	an intent that Stripe does not know          an error: the key is of another account or mode
//
// Except for the refusal, all of them mean: try again. A refusal by Confirm is
// only given when the intent itself says that its money was not taken; it stays
// open for another card. Texts name Stripe's request id, and hold no secret, no
// address and nothing of a card.
//
// There is no retry in here. The outbox retries, with its own back-off, and
// stripe-go's would sleep without regard to the context.
package stripe
