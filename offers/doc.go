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
//   - Units are held in the commit that promises them ([Hold]), and never more of
//     them than there are. They come back only when no payment can be taken any
//     more.
//   - Who waits for what is sold out is served in order, and nobody overtakes.
//   - Only the account that asked can echo, by its number.
//   - A deadline follows from facts and the clock; nothing has to sweep.
//   - What was promised (price, terms, windows) is kept with the purchase.
//
// # Every move
//
//	(new)      WishHeard    → waiting (it is sold out, and there is a line)
//	           WishHeard    → refused (it cannot be had)
//	           WishHeard    → invited (no card is registered)
//	           WishHeard    → echoed (on a page, signed in)
//	           WishHeard    → asked
//	invited    Enrolled     → expired (after the deadline)
//	           Enrolled     → refused (it cannot be had)
//	           Enrolled     → asked
//	           Charged      → paid
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	           ShopCancels  → cancelled
//	waiting    Charged      → paid
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	           ShopCancels  → cancelled
//	           UnitBack     → expired (after the deadline)
//	           UnitBack     → refused (it cannot be had)
//	           UnitBack     → echoed (its code was repeated before)
//	           UnitBack     → asked
//	asked      ReplySent    → coded
//	           CodeMailed   → coded
//	           CodeUnmailed → refused
//	           CodeEchoed   → waiting (it is sold out, and there is a line)
//	           CodeEchoed   → refused (it cannot be had)
//	           CodeEchoed   → echoed
//	           Charged      → paid
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	           ShopCancels  → cancelled
//	coded      CodeEchoed   → waiting (it is sold out, and there is a line)
//	           CodeEchoed   → refused (it cannot be had)
//	           CodeEchoed   → echoed
//	           Charged      → paid
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	           ShopCancels  → cancelled
//	echoed     IntentFailed → refused
//	           LinkMailed   → mailed
//	           LinkUnmailed → refused
//	           LinkPressed  → confirmed
//	           Charged      → paid
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	           ShopCancels  → cancelled
//	mailed     LinkPressed  → confirmed
//	           Charged      → paid
//	           IntentVoided → refused
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	           ShopCancels  → cancelled
//	confirmed  Charged      → paid
//	           BankAsks     → challenged
//	           ChargeFailed → declined
//	           IntentVoided → refused
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled (within the grace)
//	           ShopCancels  → cancelled (within the grace)
//	           BuyerBarred  → cancelled
//	challenged Charged      → paid
//	           ChargeFailed → declined
//	           IntentVoided → refused
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	           ShopCancels  → cancelled
//	paid       RefundMade   → refunded (all of it)
//	declined   LinkPressed  → confirmed
//	           Charged      → paid
//	           IntentVoided → refused
//	           DeadlinePast → expired (after the deadline)
//	           CancelAsked  → cancelled
//	           ShopCancels  → cancelled
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
//	open/NETWORK/ID           the post of ours that shows the purchase's code and is waited for
//	announced/NETWORK/OFFER/LANG/N  a post of ours about the offer ([Announcement])
//	line/OFFER/VARIANT/ID     since when the purchase waits for a unit that comes back
//	waiting/OFFER/VARIANT     count: how many wait
//	waits/OFFER/ACCOUNT       count: units that one buyer waits for
//	order/OFFER/ID            when the purchase was paid
//	funnel/OFFER/STAGE        count: purchases that came so far ([Stage])
//	earned/OFFER/CUR/DAY      count: what was paid on a day of UTC, less what was paid back
//	merchant/ID               a merchant, with its tokens and hooks ([Merchant])
//	machine/HASH              whose token it is
//	staff/HASH                somebody who signs in at the desk ([Person])
//	shift/HASH                a browser in which they are signed in, or a link to that
//	deed/MERCHANT/TIME        what somebody of the shop did ([Deed])
//	halt                      that nothing is charged ([Halt])
//	erased/ID                 that a purchase was erased whose post may still come again
//	offers                    count: grows with every change of an offer in the shard
//	buyer/ACCOUNT             the buyer
//	signup/ACCOUNT            how far the account is on its way to a saved card
//	session/HASH              a browser in which the account is signed in
//	proofs/HASH/DAY           how many codes were mailed to an address on a day
//	own/ACCOUNT/ID            that the account has such a purchase
//	answer/NETWORK/POST       that a post which is no wish was answered
//	event/EVENT               that Stripe has told this of a purchase in the shard
//	aside/EVENT               what Stripe has told that nothing is made of, in the shard of its id
//	counted/ACCOUNT/ID        that the purchase counts against limits, with what and on which day
//	spent/ACCOUNT/CUR/DAY     count: what the account spent on a day of UTC, in the currency's minor unit
//	spent/ACCOUNT/CUR/MONTH   count: the same in a month
//
// # What a buyer may spend
//
// [Limits] hold across all offers: the shop's ([Settings]), and the buyer's own below
// them. They are told early, at the wish; what binds is the press of the button.
//
//   - A limit names amounts, one for each currency. Nothing is converted: in a currency
//     that a limit does not name nothing may be spent.
//   - A purchase counts on the day (UTC) and in the month of the first press of its
//     button, and for as long as it holds units. It is given back when no payment can
//     be taken for it any more, and when it is paid back; not when a card is declined,
//     as long as its button can be pressed again.
//   - It is counted in the account's shard, by a commit that happens once and cannot
//     exceed a limit, before the purchase moves on in the offer's shard. So presses at
//     the same time never exceed a limit together, and a crash between the two commits
//     counts too much for a while, never too little.
//   - It is only counted while there is a limit for a day or a month.
//
// In a buyer's [Quiet] hours nothing is sold to them: neither by a wish nor by a press.
//
// # Paying
//
// A press is paid with the card that the purchase has, or with another one of its
// buyer's that is chosen with the press; that is committed with it, so that each attempt
// at the charge has one card. A card that is not the buyer's own at that moment pays
// nothing.
//
// Nobody is charged long after the press: [Times.Answer] after it, or after its grace, the
// purchase expires, and the payment is cancelled at Stripe. Which of the two came first
// is decided there; what was taken after all makes it paid. The buyer is told that
// nothing was charged when that is certain, and not before.
//
// # After the payment
//
// All or a part of the money may be given back, in one or several refunds, each owed
// and made under its own number. What is decided is never more than what was paid. Only
// when all of it is back do the units come back too.
//
// A buyer may withdraw from the contract while [Purchase.Withdrawable] says so. What was
// not shipped is paid back at once; for what was, it is the seller's turn
// ([Purchase.Returning]), and until then the account is not erased.
//
// # Stopping, and taking back
//
// [Buyer.Stopped] is the one place that says that nothing is sold, charged or said to
// somebody. A post sets it ([Shop.Stop]) and takes it back ([Shop.Start]); a freeze
// ([Shop.Freeze]) sets it too, and no post takes that back. It cancels what is not
// confirmed, and what is if its charge has not begun.
//
// With [Times.Grace] the press of a button can be taken back until the charge begins.
// That is decided by a commit of the purchase, either way, and never by who reaches
// Stripe first.
//
// # How long things are kept
//
// A purchase stays for [Times.Keep] after it has ended. It then leaves by the same
// effect that looks after every deadline: the archive gets a line without its buyer
// ([Archived]), what its buyer bought counts as sold, and nothing else remains. So
// the limit of a buyer is over what is kept, and cost does not grow with history.
// It stays on while anything else is owed for it.
//
// What was spent is forgotten when its month is over, by an effect that is owed with
// the counting. That a post was answered is forgotten after two days; nothing may be made of a
// post that is older than [MaxPostAge]. That Stripe has told something is forgotten after
// eight days, and what was set aside of it after thirty. An announcement is forgotten thirty
// days after the end of the sale, or after ninety where it has none. Removed offers stay as a few bytes, so that
// their versions go on. [Shop.Erase] removes all of an account before its time, and
// [Shop.Check] looks whether all that is kept fits together.
package offers
