// Package offers is the shop: what can be bought, who buys, and what becomes of
// each wish. It decides; it knows no networks, mails, cards or pages.
//
// # Words
//
//   - An [Offer] is something that can be bought by its hashtag.
//   - A [Buyer] has registered: a card, an address. An [Account] is anybody.
//   - A [Purchase] is one wish and what became of it, under an [ID] that follows
//     from the post.
//   - A [Code] is what the buyer reposts to confirm.
//   - An [Event] happened; an [Effect] is owed.
//
// # How it works
//
// [Step] is the one state machine: a pure function from a purchase, an event and
// the time to the purchase afterwards and what is owed because of it. The [Shop]
// commits that decision, with the units it holds, in one Change of the store; the
// outbox performs what is owed and brings the outcome back as the next event. So
// money is never moved by what has not been written down first.
//
//	wish ─► asked ─► coded ─► echoed ─► mailed ─► confirmed ─► paid
//	post    hold,    code is  repost,   link is   button,      charged
//	        reply    public   intent    valid     charge       once
//
// # Promises
//
//   - Units are held in the commit that makes the purchase, and never more of
//     them than there are. They come back only when no payment can be taken any
//     more.
//   - Only the account that asked can echo, by its number.
//   - A deadline follows from facts and the clock; nothing has to sweep.
//   - What was promised (price, terms, windows) is kept with the purchase.
//
// # Every move
//
//	(new)      WishHeard    → refused (it cannot be had)
//	           WishHeard    → invited (no card is registered)
//	           WishHeard    → asked
//	invited    Enrolled     → expired (after the deadline)
//	           Enrolled     → refused (it cannot be had)
//	           Enrolled     → asked
//	           Charged      → paid
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	asked      ReplySent    → coded
//	           CodeMailed   → coded
//	           CodeUnmailed → refused
//	           CodeEchoed   → echoed
//	           Charged      → paid
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	coded      CodeEchoed   → echoed
//	           Charged      → paid
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	echoed     IntentFailed → refused
//	           LinkMailed   → mailed
//	           LinkUnmailed → refused
//	           LinkPressed  → confirmed
//	           Charged      → paid
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	mailed     LinkPressed  → confirmed
//	           Charged      → paid
//	           IntentVoided → refused
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	confirmed  Charged      → paid
//	           BankAsks     → challenged
//	           ChargeFailed → declined
//	           IntentVoided → refused
//	challenged Charged      → paid
//	           ChargeFailed → declined
//	           IntentVoided → refused
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	paid       RefundMade   → refunded
//	declined   LinkPressed  → confirmed
//	           Charged      → paid
//	           IntentVoided → refused
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	expired    Charged      → paid (units are held)
//	           Charged      → paid
//	cancelled  Charged      → paid
//	refused    Charged      → paid (units are held)
//	           Charged      → paid
//
// # Where things are kept
//
// All that belongs to an offer lives in the shard of its id, all that belongs to an
// account alone in the account's shard:
//
//	offer/OFFER               the offer
//	taken/OFFER/VARIANT       count: units held or sold
//	sold/OFFER/VARIANT        count: units of them that were sold by purchases which are not kept any more
//	bought/OFFER/ACCOUNT      count: units held by or sold to one buyer, by purchases that are kept
//	purchase/ID               the purchase; that it must be new is what makes each post count once
//	code/CODE                 the purchase that a code belongs to
//	erased/ID                 that a purchase was erased whose post may still come again
//	offers                    count: grows with every change of an offer in the shard
//	buyer/ACCOUNT             the buyer
//	own/ACCOUNT/ID            that the account has such a purchase
//	answer/NETWORK/POST       that a post which is no wish was answered
//
// # How long things are kept
//
// A purchase stays for [Times.Keep] after it has ended. It then leaves by the same
// effect that looks after every deadline: the archive gets a line without its buyer
// ([Archived]), what its buyer bought counts as sold, and nothing else remains. So
// the limit of a buyer is over what is kept, and cost does not grow with history.
// It stays on while anything else is owed for it.
//
// That a post was answered is forgotten after two days; nothing may be made of a
// post that is older than [MaxPostAge]. Removed offers stay as a few bytes, so that
// their versions go on. [Shop.Erase] removes all of an account before its time, and
// [Shop.Check] looks whether all that is kept fits together.
package offers
