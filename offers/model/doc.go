// Package model explores every way in which one purchase can go: the machine of package
// offers, the outbox that performs what it owes, and what can go wrong between them. It
// is a small description of its own, that shares no code with what it describes; a test
// of package offers holds [Decide] against offers.Step, row by row.
//
// # What is in it
//
//   - One purchase ([Purchase], [Decide]), of a unit of which there is one, and which
//     somebody else may take whenever it is free.
//   - The outbox: what is owed, and two workers. Each leases an effect, reads the
//     purchase, does the deed outside, and commits its outcome with the try that it has.
//     A worker may be slow for as long as it takes: its lease runs out, another does the
//     same, and it goes on believing what it has read.
//   - Stripe: a payment is open, failed, at the bank, taken or voided; an idempotency key
//     is answered as before, until it is forgotten.
//   - The buyer, strangers, the merchant, the bank and the clock, each at any moment.
//   - Faults: a crash before the deed or between it and the commit, which to the others is
//     the same as an answer that was lost, or a service that was away; leases that run
//     out; keys that Stripe forgets; a payment cancelled by hand.
//
// [Explore] visits every state that can be reached, breadth first, so that the trace to
// a broken promise is a shortest one.
//
// # What is promised
//
// In every state ([State.broken] has the words): one charge at most, and only after an
// own echo and a press in time; never after it was taken back; a unit is held until no
// payment can be taken for it, and never by two; what is confirmed is owed a charge,
// what ended a cancellation, what came too late a refund, and never more goes back than
// came.
//
// When the faults have ended and nobody outside does anything more, every fair run ends
// in a state in which the purchase has ended and nothing is owed: there is no other state
// without a next step, and of every circle of steps one leads out that can be taken
// everywhere on it.
//
// # What is not in it
//
// Effects that only speak (receipts, reasons, the filing) are in the answers of
// [Decide], and never queued: nothing depends on them. A store that falls back, limits
// on spending, the end of keeping, and clocks that differ belong to the seeded world.
package model
