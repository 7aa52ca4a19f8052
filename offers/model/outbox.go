package model

// work is all that a worker may do next.
func (w World) work(m *Model, i int, see func(move)) {
	k := w.Workers[i]
	tell := func(by who, what string, to World) { see(move{by, what, to}) }
	switch k.Phase {
	case idle:
		for e := range effects {
			if w.leasable(e) {
				tell(us, "a worker takes "+e.String(), w.lease(i, e))
			}
		}
		return
	case begin:
		tell(us, "a worker commits that the charge begins", w.beginCharge(m, i))
	case act:
		w.deed(m, i, func(what string, to World, o out) {
			to.Workers[i].Phase, to.Workers[i].Out = done, o
			if !k.Effect.deed() && k.Effect != look && k.Effect != oldLook {
				to = to.commit(m, i) // between the two is nothing that a crash could lose
			}
			tell(us, "a worker does "+k.Effect.String()+": "+what, to)
		})
	case done:
		tell(us, "a worker commits the outcome of "+k.Effect.String(), w.commit(m, i))
	}
	to := w
	to.Workers[i] = worker{}
	tell(fault, "a worker crashes over "+k.Effect.String(), to)
	if !k.Stale {
		to := w
		to.Workers[i].Stale = true
		tell(fault, "a lease runs out over "+k.Effect.String(), to)
	}
}

// tidy makes one world of those that nothing tells apart: which worker is which; one
// that holds an old lease and can do nothing outside any more, and one that is idle;
// what is owed and never needed again, and what was settled because of that.
func (w *World) tidy(m *Model) {
	for i, k := range w.Workers {
		if k.Stale && !m.Careless.NoTry && (k.Phase == done || !k.Effect.deed()) {
			w.Workers[i] = worker{}
		}
	}
	for e := range effects {
		if w.Owed.has(e) && w.leasable(e) && !w.needed(e) {
			w.Owed &^= 1 << e
		}
	}
	if w.P.State.ended() && !w.Owed.has(reply) {
		w.Barred = false
	}
	if !w.Owed.has(prepare) {
		w.Forgot = false
	}
	if a, b := w.Workers[0], w.Workers[1]; a.order() < b.order() {
		w.Workers[0], w.Workers[1] = b, a
	}
}

// deed: the effect changes something outside that matters here. Others only speak or
// look: one that is cut off has done nothing.
func (e effect) deed() bool {
	switch e {
	case prepare, charge1, charge2, void, refund1, refund2:
		return true
	}
	return false
}

func (k worker) order() uint32 {
	n := uint32(k.Phase)<<24 | uint32(k.Effect)<<16 | uint32(k.Out)<<8 | uint32(k.Attempt)<<4 | uint32(k.Intent)<<2
	if k.Stale {
		n |= 1
	}
	if k.NoNews {
		n |= 2
	}
	return n
}

// leasable: it is owed and due, and nobody holds a lease on it that counts.
func (w World) leasable(e effect) bool {
	if !w.Owed.has(e) || (e == charge1 || e == charge2) && w.P.revocable() {
		return false
	}
	for _, k := range w.Workers {
		if k.Phase != idle && k.Effect == e && !k.Stale {
			return false
		}
	}
	return true
}

// needed says whether an effect is performed when its turn comes.
func (w World) needed(e effect) bool {
	p := w.P
	switch e {
	case reply:
		return !w.Barred && (p.State == Asked && !p.ByMail || p.State == Invited || p.State == Refused)
	case mailCode:
		return !w.Barred && p.State == Asked
	case prepare:
		return p.Intent == 0
	case mailLink:
		return !w.Barred && p.State == Echoed
	case charge1, charge2:
		return p.State == Confirmed && p.Attempt == uint8(e-charge1)+1 && !p.Late
	case look, oldLook:
		return p.State == Challenged
	case void:
		return p.State.ended() && p.State != Paid
	case heed:
		return p.State != Paid && p.State != Refunded
	}
	return true
}

// lease has a worker lease an effect that is needed, and read the purchase.
func (w World) lease(i int, e effect) World {
	p := w.P
	k := worker{Effect: e, Phase: act, Attempt: p.Attempt, Intent: p.Intent, NoNews: e == heed && p.State != Challenged}
	if e == charge1 || e == charge2 {
		switch {
		case w.Barred:
			k.Phase, k.Out = done, isBarred
		case p.Grace && !p.Begun:
			k.Phase = begin
		}
	}
	w.Workers[i] = k
	return w
}

// beginCharge is a commit without the lease: it decides between charging and taking back.
func (w World) beginCharge(m *Model, i int) World {
	k := w.Workers[i]
	w, _ = w.after(m, Event{Kind: ChargeBegins, Attempt: k.Attempt})
	if w.P.State == Confirmed && w.P.Attempt == k.Attempt && w.P.Begun {
		w.Workers[i].Phase = act
		return w
	}
	w.Workers[i] = worker{}
	if !k.Stale || m.Careless.NoTry {
		w.Owed &^= 1 << k.Effect
	}
	return w
}

// deed does what an effect is, outside, in each way in which it may go.
func (w World) deed(m *Model, i int, did func(what string, to World, o out)) {
	k := w.Workers[i]
	switch k.Effect {
	case reply, mailCode, mailLink:
		did("sent", w, well)
		did("refused", w, badly)
	case prepare:
		to := w
		switch {
		case to.Payments[0] == none:
			to.Payments[0] = open
			did("refused", w, badly)
		case (w.Forgot || m.Careless.RandomKey) && to.Payments[1] == none:
			to.Payments[1] = open
		}
		to.Workers[i].Intent = 1
		if to.Payments[1] != none {
			to.Workers[i].Intent = 2
		}
		did("made", to, well)
	case charge1, charge2:
		w.confirm(m, i, did)
	case look, oldLook:
		w.standing(i, k.Effect == look, did)
	case heed:
		w.standing(i, false, did)
	case void:
		to := w
		if pay := to.Payments[k.Intent-1]; pay != taken && pay != voided {
			to.Payments[k.Intent-1] = voided
		}
		to.standing(i, false, did)
	case refund1, refund2:
		to := w
		n := uint8(k.Effect - refund1)
		if to.RefundKey&(1<<n) == 0 || m.Careless.RandomKey {
			to.RefundKey |= 1 << n
			to.PaidBack += w.P.Refunds[n]
		}
		did("paid back", to, well)
	}
}

// confirm asks for the money. A key that Stripe knows asks for nothing new.
func (w World) confirm(m *Model, i int, did func(what string, to World, o out)) {
	k := w.Workers[i]
	at, key := k.Intent-1, uint8(1)<<k.Attempt
	pay := w.Payments[at]
	if pay == taken && m.Careless.RandomKey {
		w.Charges++ // as if a payment could be taken twice
	}
	if pay == taken || pay == voided || w.Keys&key != 0 {
		w.standing(i, false, did)
		return
	}
	w.Keys |= key
	to := w
	to.take(int(at))
	did("taken", to, isTaken)
	to = w
	to.Payments[at] = failed
	did("declined", to, isFailed)
	to = w
	to.Payments[at] = atBank
	to.standing(i, false, did)
	to.standing(i, true, did)
}

// standing reads how a payment stands.
func (w World) standing(i int, latest bool, did func(what string, to World, o out)) {
	k := w.Workers[i]
	o := map[payment]out{open: isFailed, failed: isFailed, atBank: isAtBank, taken: isTaken, voided: isVoided}
	pay := w.Payments[k.Intent-1]
	answer := o[pay]
	switch {
	case k.Effect == heed && (pay == open || pay == failed && k.NoNews):
		answer = nothing
	case pay == atBank && latest:
		answer = isAtBankLatest
	}
	did(pay.String(), w, answer)
}

// commit is the outcome as an event, and the effect settled with it. Who is not its
// holder any more commits nothing.
func (w World) commit(m *Model, i int) World {
	k := w.Workers[i]
	w.Workers[i] = worker{}
	if (k.Stale || !w.Owed.has(k.Effect)) && !m.Careless.NoTry {
		return w
	}
	w.Owed &^= 1 << k.Effect
	ev := Event{Kind: EffectDone}
	switch k.Out {
	case well, badly:
		good := k.Out == well
		switch k.Effect {
		case reply:
			ev.Kind = either(good, ReplySent, ReplyFailed)
		case mailCode:
			ev.Kind = either(good, CodeMailed, CodeUnmailed)
		case prepare:
			if ev.Kind = either(good, IntentMade, IntentFailed); good {
				ev.Intent = k.Intent
			}
		case mailLink:
			ev.Kind = either(good, LinkMailed, LinkUnmailed)
		case refund1, refund2:
			ev.Kind, ev.N = RefundMade, uint8(k.Effect-refund1)+1
		}
	case isTaken:
		ev.Kind = Charged
	case isFailed:
		ev.Kind, ev.Attempt = ChargeFailed, k.Attempt
	case isAtBank, isAtBankLatest:
		ev.Kind, ev.Attempt, ev.Latest = BankAsks, k.Attempt, k.Out == isAtBankLatest
		// A look that another has replaced meanwhile begets none.
		ev.Latest = ev.Latest && k.Effect != oldLook
	case isVoided:
		ev.Kind = IntentVoided
	case isBarred:
		ev.Kind, ev.Attempt = BuyerBarred, k.Attempt
	}
	w, _ = w.after(m, ev)
	return w
}

func either(good bool, yes, no Kind) Kind {
	if good {
		return yes
	}
	return no
}
