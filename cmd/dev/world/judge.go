package world

import (
	"slices"
	"strings"
	"time"

	"hashtill/bot"
	"hashtill/confirm"
	"hashtill/offers"
	"hashtill/store"
)

// What is held. A purchase is judged by what its author has really done, which the world
// knows, and not by what the store says of it.

// slack is how much later than planned a step of ours may be: clocks that were wrong, and
// processes that stood still.
func (w *world) slack() time.Duration { return 2*w.skew + 2*w.stalls + 2*time.Second }

// inTime says whether a press now is by a link that is valid: 15 minutes from when a mail
// server has accepted it.
func (w *world) inTime(v *want) bool {
	return len(v.mails) > 0 && !w.now.After(v.mails[len(v.mails)-1].at.Add(w.times.Link+w.slack()))
}

// judgeStep holds each step of a purchase to what was done about it.
func (w *world) judgeStep(p offers.Purchase) {
	v := w.byID[p.ID]
	if v == nil {
		w.violated("a purchase that nobody has wished for: %s of %s", p.ID, p.Wish)
		return
	}
	before := v.last
	v.last = p
	if before.State != p.State {
		w.notes("%s is %s %s", v.name, p.State, p.Reason)
		w.pass(v, before, p)
	}
	w.judgePromise(v, before, p)
	w.judgeLine(v, before, p)
	switch {
	case p.Buyer != v.who.account:
		w.violated("%s belongs to %s", v.name, p.Buyer)
	case p.Echo != "" && !slices.Contains(v.echoes, p.Echo):
		w.violated("%s was confirmed by %s, which its author has not posted", v.name, p.Echo)
	case p.Attempt > before.Attempt && v.presses == 0:
		w.violated("%s is to be charged, and nobody has pressed its button in time", v.name)
	case p.Attempt > before.Attempt && v.presses < p.Attempt:
		w.violated("%s is to be charged for the %d. time, and its button was pressed %d times in time", v.name, p.Attempt, v.presses)
	case w.fell:
		return // what follows may have been forgotten
	case p.State == offers.Echoed && before.State == offers.Coded && !p.EchoedAt.Before(before.CodedAt.Add(w.times.Echo)):
		w.violated("%s was confirmed when its code was not valid any more", v.name)
	case p.State == offers.Confirmed && before.State != p.State && !before.MailedAt.IsZero() && !p.ConfirmedAt.Before(before.LinkEnds()):
		w.violated("%s was confirmed when its link was not valid any more", v.name)
	case before.State.Ended() && !p.State.Ended():
		w.violated("%s has ended, and goes on", v.name)
	case p.Moves < before.Moves:
		w.violated("%s has gone back", v.name)
	case before.Intent != "" && p.Intent != before.Intent:
		w.violated("%s has another payment than before", v.name)
	case !p.PaidAt.IsZero() && before.PaidAt.IsZero() && before.Held == 0:
		w.violated("%s is paid, and its units have been given back", v.name)
	case p.State == offers.Declined && before.State != p.State && w.taken(p.ID) > 0:
		w.violated("%s is declined, and its money was taken", v.name)
	case !p.PaidAt.IsZero() && w.taken(p.ID) == 0:
		w.violated("%s is paid, and no money was taken", v.name)
	case before.Held > 0 && p.Held == 0 && p.State != offers.Refunded && w.open(p):
		w.violated("%s has given its units back, and could still be charged", v.name)
	}
}

// open says that a payment of a purchase could still be taken, or was and has not gone back.
func (w *world) open(p offers.Purchase) bool {
	return slices.ContainsFunc(w.stripe.payments, func(pay *payment) bool {
		switch {
		case pay.purchase != p.ID || pay.id != p.Intent:
			return false
		case pay.status == confirm.Taken:
			return pay.refunded < pay.total.Minor && len(p.Refunds) == 0
		}
		return pay.status != confirm.Voided
	})
}

// pass lets people see what becomes of a purchase.
func (w *world) pass(v *want, before, p offers.Purchase) {
	switch p.State {
	case offers.Echoed:
		if before.State == offers.Asked && p.Reply == "" && !p.CodeByMail {
			w.counts["echo before the reply is known"]++
		}
	case offers.Challenged:
		w.atBank(v, p.Intent)
	case offers.Confirmed, offers.Paid:
		w.operate(v, p.State)
	}
}

// taken counts how often money was taken for a purchase.
func (w *world) taken(id offers.ID) (n int) {
	for _, p := range w.stripe.payments {
		if p.purchase == id && p.status == confirm.Taken {
			n++
		}
	}
	return n
}

// judgeCharge holds the deed that counts to the promises, before it is done.
func (w *world) judgeCharge(p *payment) {
	v := w.byID[p.purchase]
	switch {
	case v == nil:
		w.violated("money is taken for what nobody has wished for: %s", p.purchase)
		return
	case p.status == confirm.Taken || w.taken(p.purchase) > 0:
		w.violated("%s is charged twice", v.name)
	case len(v.echoes) == 0:
		w.violated("%s is charged without an echo", v.name)
	case v.presses == 0:
		w.violated("%s is charged without a press in time", v.name)
	}
	w.judgeCountry(v)
	out := v.last.Quantity
	for _, other := range w.wants {
		if other != v && other.ware == v.ware && other.last.Variant == v.last.Variant && w.keeps(other) {
			out += other.last.Quantity
		}
	}
	if most := v.ware.most[v.last.Variant]; out > most && !w.fell {
		w.violated("%s is oversold: %d of %d are charged", v.ware.offer.Tag, out, most)
	}
}

// keeps says that a want was paid for, and nothing of it is to go back.
func (w *world) keeps(v *want) bool {
	return slices.ContainsFunc(w.stripe.payments, func(p *payment) bool {
		return p.purchase == v.id && p.status == confirm.Taken && p.refunded == 0
	}) && v.last.Held > 0
}

// judgeHearing takes note that a post was handed to us.
func (w *world) judgeHearing(s *said) {
	if v := w.byPost[s.ID]; v != nil && s.Kind != bot.Deletion {
		v.heard++
	}
	if _, before := w.heard[s.ID]; !before {
		w.heard[s.ID] = w.now
	}
}

// judgeReply: one public reply for one post and purpose, nothing to robots, and nothing but
// an answer to who has said stop.
func (w *world) judgeReply(r bot.Reply, to *said) {
	if to.Author.Bot {
		w.violated("a robot is answered: %s", r.Text)
	}
	v := w.byPost[r.To]
	unreachable := v != nil && v.bounced // is told so in public, once more
	for _, s := range w.net.replies {
		if s.to == r.To && s.purpose == r.For && !w.fell && !unreachable {
			w.violated("%s is answered twice: %q and %q", r.To, s.Text, r.Text)
		}
	}
	if p := w.someone(to.Author.ID); p != nil && r.For != bot.ForCommand {
		w.judgeSilence(p, "a reply")
	}
}

// judgeSilence: who has said stop is left alone, from a moment after that was committed.
func (w *world) judgeSilence(p *person, what string) {
	if !p.stopped.IsZero() && w.now.Sub(p.stopped) > w.slack()+30*time.Second && !w.fell {
		w.violated("%s goes to %s, who has said stop at %s", what, p.account.ID, p.stopped.Format(time.TimeOnly))
	}
}

// judgeMail: a mail goes to whom it is about, and tells what is true.
func (w *world) judgeMail(letter confirm.Mail) {
	kind, rest, _ := strings.Cut(letter.ID, "/")
	id, _, _ := strings.Cut(rest, "/")
	v := w.byID[offers.ID(id)]
	switch {
	case v == nil:
		w.violated("a mail about what nobody has wished for: %s", letter.ID)
		return
	case letter.To != v.who.email:
		w.violated("%s goes to somebody else", letter.ID)
	}
	switch offers.EffectKind(kind) {
	case offers.MailCode, offers.MailLink:
		w.judgeSilence(v.who, letter.ID)
		if kind == string(offers.MailLink) && len(v.echoes) == 0 {
			w.violated("the link of %s is mailed without an echo", v.name)
		}
	case offers.MailReceipt:
		if w.taken(v.id) == 0 {
			w.violated("a receipt for %s, and no money was taken", v.name)
		}
	}
}

// judgeTry: nothing is charged to who was barred a moment ago or longer.
func (w *world) judgeTry(p *payment) {
	v := w.byID[p.purchase]
	if v == nil || v.who.barred.IsZero() || w.fell {
		return
	}
	if w.now.Sub(v.who.barred) > w.slack()+30*time.Second {
		w.violated("%s is charged, and its buyer was barred at %s", v.name, v.who.barred.Format(time.TimeOnly))
	}
}

// judgeBuyer sees who is stopped or frozen, and who is not any more.
func (w *world) judgeBuyer(b offers.Buyer) {
	p := w.someone(b.Account.ID)
	if p == nil {
		return
	}
	since := func(at *time.Time, is bool) {
		switch {
		case !is:
			*at = time.Time{}
		case at.IsZero():
			*at = w.now
		}
	}
	since(&p.stopped, !b.Stopped.IsZero())
	since(&p.barred, b.Barred() != "")
}

// books compares Stripe's with ours, and repairs what can be.
func (w *world) books() { w.reconcile(func(confirm.Difference) {}) }

func (w *world) reconcile(found func(confirm.Difference)) {
	shop, err := w.fine()
	if err != nil {
		w.violated("%v", err)
		return
	}
	keeper := &life{process: &process{world: w, name: "books"}}
	r := &confirm.Reconciler{Shop: shop, Ledger: w.stripe, Till: till{w.stripe, keeper}, Settle: confirm.DefaultSettle, Now: func() time.Time { return w.now }}
	if _, err := r.Reconcile(w.ctx, epoch, w.now.Add(time.Second), func(d confirm.Difference) error {
		w.notes("books: %s %s %s: %s; %s", d.Kind, d.Purchase, d.Intent, d.Says, d.Done)
		found(d)
		return nil
	}); err != nil {
		w.violated("the books cannot be compared: %v", err)
	}
	for _, p := range w.procs { // what the books owe is done
		if p.life != nil && !p.life.dead {
			p.life.wake(0)
		}
	}
}

// judge holds what has become of everything to the promises, an hour after the faults.
func (w *world) judge() {
	shop, err := w.fine()
	if err != nil {
		w.violated("%v", err)
		return
	}
	for _, v := range w.wants {
		w.judgeWant(shop, v)
	}
	for _, a := range w.wares {
		if !w.fell {
			w.judgeFigures(shop, a)
		}
	}
	for shard := range store.Shards {
		for cursor := ""; ; {
			owed, next, err := w.base.Owed(w.ctx, shard, cursor, 500)
			if err != nil {
				w.violated("%v", err)
				return
			}
			for _, o := range owed {
				if o.Due.Before(w.now.Add(-6 * time.Minute)) {
					w.violated("%s is owed since %s: %s", o.ID, o.Due.Format(time.TimeOnly), o.Note)
				}
				kind, _, _ := strings.Cut(o.ID, "/")
				if slices.Contains(offers.EffectKinds, offers.EffectKind(kind)) && o.Kind != string(offers.Deadline) {
					w.violated("%s was tried %d times, and is still owed: %s", o.ID, o.Try, o.Note)
				}
			}
			if cursor = next; next == "" {
				break
			}
		}
	}
	if err := shop.Check(w.ctx, nil, func(f offers.Finding) error {
		w.violated("the store: %s %s: %s", f.Kind, f.Key, f.Text)
		return nil
	}); err != nil {
		w.violated("%v", err)
	}
	w.finish(w.judgeBooks)
}

// finish lets something that gives way come to its end.
func (w *world) finish(do func()) {
	done := false
	w.after(0, nil, func() { do(); done = true })
	for !done && w.step(w.now.Add(24*time.Hour)) {
	}
}

// judgeBooks: when all is done, Stripe has what we say it has.
func (w *world) judgeBooks() {
	w.reconcile(func(d confirm.Difference) {
		if w.fell && (d.Kind == confirm.RefundedMore || d.Kind == confirm.SecondCharge) {
			return // a refund was forgotten: somebody has to look
		}
		w.violated("the books: %s %s: %s %s", d.Kind, d.Purchase, d.Says, d.Next)
	})
}

// judgeWant: every wish was answered and every purchase has ended, and its money is where
// the store says it is.
func (w *world) judgeWant(shop *offers.Shop, v *want) {
	p, err := shop.Purchase(w.ctx, v.id)
	if err != nil {
		if !v.robot && !v.removed && v.who.stopped.IsZero() && !v.who.started && !v.who.frozen && v.post != nil {
			w.violated("%s was heard %d times, and is no purchase: %v", v.name, v.heard, err)
		}
		return
	}
	w.counts["purchases"]++
	w.counts[string(p.State)]++
	var taken, back int64
	for _, pay := range w.stripe.payments {
		switch {
		case pay.purchase != v.id:
		case pay.status == confirm.Taken:
			taken, back = taken+pay.total.Minor, back+pay.refunded
		case pay.status != confirm.Voided:
			w.violated("%s is %s, and its payment is still %s", v.name, p.State, pay.status)
		}
	}
	var given int64
	for _, r := range p.Refunds {
		if !r.MadeAt.IsZero() {
			given += r.Amount.Minor
		}
	}
	paid := int64(0)
	if !p.PaidAt.IsZero() {
		paid = p.Total.Minor
	}
	switch {
	case !p.State.Ended():
		w.violated("%s is still %s an hour after all was well", v.name, p.State)
	case taken != paid:
		w.violated("%s: %d was taken, and the store says %d", v.name, taken, paid)
	case back != given && !w.fell:
		w.violated("%s: %d was given back, and the store says %d", v.name, back, given)
	case p.State != offers.Paid && p.Held > 0:
		w.violated("%s is %s, and still holds %d units", v.name, p.State, p.Held)
	case p.State == offers.Refused && !v.told(w):
		w.violated("%s was refused for %s, and nobody has said so", v.name, p.Reason)
	}
	w.judgeWaited(v, p)
}

// told says that the author of a wish was told something about it, or cannot be.
func (v *want) told(w *world) bool {
	return v.silence || v.removed || v.post.removed || !v.who.stopped.IsZero() || v.who.started || v.who.frozen ||
		slices.ContainsFunc(w.net.replies, func(s *said) bool { return s.to == v.post.ID }) ||
		slices.ContainsFunc(w.post.sent, func(a *mail) bool { return strings.Contains(a.id, "/"+string(v.id)) })
}
