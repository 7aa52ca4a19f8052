package confirm

import (
	"context"
	"strings"
	"testing"
	"time"

	"hashtill/offers"
)

// The stations of a purchase of ann's.

func mailed(w *world) offers.Purchase { p, _ := w.mailed(); return p }

func paid(w *world) offers.Purchase {
	p, token := w.mailed()
	w.post("/c/" + token)
	return w.is(p.ID, offers.Paid)
}

func partly(w *world) offers.Purchase {
	p := paid(w)
	if _, err := w.shop.RefundPurchase(context.Background(), p.ID, offers.Money{Minor: 1250, Currency: "USD"}, "", w.now); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return w.is(p.ID, offers.Paid)
}

func refunded(w *world) offers.Purchase {
	p := paid(w)
	if _, err := w.shop.RefundPurchase(context.Background(), p.ID, offers.Money{}, "", w.now); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return w.is(p.ID, offers.Refunded)
}

func cancelled(w *world) offers.Purchase {
	p := mailed(w)
	if _, err := w.shop.Cancel(context.Background(), p.ID, ann, w.now); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return w.is(p.ID, offers.Cancelled)
}

// holding is cancelled, and its units wait for the payment to be voided.
func holding(w *world) offers.Purchase {
	p := mailed(w)
	w.idle = true
	defer func() { w.idle = false }()
	if _, err := w.shop.Cancel(context.Background(), p.ID, ann, w.now); err != nil {
		w.t.Fatal(err)
	}
	return w.is(p.ID, offers.Cancelled)
}

// ended is a station at whose purchase the time is over, with so many units held.
func ended(station func(*world) offers.Purchase, state offers.State, held int) func(*world) offers.Purchase {
	return func(w *world) offers.Purchase {
		p := station(w)
		w.edit(p.ID, func(p *offers.Purchase) { p.State, p.Held, p.EndedAt = state, held, t0 })
		return w.is(p.ID, state)
	}
}

func coded(w *world) offers.Purchase { return w.coded() }

// forgets is a station whose payment the store has forgotten.
func forgets(station func(*world) offers.Purchase) func(*world) offers.Purchase {
	return func(w *world) offers.Purchase {
		p := station(w)
		w.edit(p.ID, func(p *offers.Purchase) { p.Intent = "" })
		return w.purchase(p.ID)
	}
}

// Every rule, and beside it what comes close and is none.
func TestReconcileRules(t *testing.T) {
	const extra = "pi_extra"
	total := offers.Money{Minor: 29998, Currency: "USD"}
	usd := func(minor int64) offers.Money { return offers.Money{Minor: minor, Currency: "USD"} }
	entry := func(change func(*Entry)) func(*Entry) { return change }
	taken := func(e *Entry) { e.Status = Taken }
	is := func(s Status) func(*Entry) { return entry(func(e *Entry) { e.Status = s }) }
	another := func(s Status) func(*Entry) { return func(e *Entry) { e.Intent, e.Status = extra, s } }
	unknown := offers.NewID("x", "999", "buytee")
	archive := func(lines ...offers.Archived) []offers.Archived { return lines }
	unpaid := offers.Archived{State: offers.Expired}
	paidBy := func(intent string) offers.Archived {
		return offers.Archived{State: offers.Paid, Intent: intent, PaidAt: t0}
	}

	for _, test := range []struct {
		name    string
		station func(*world) offers.Purchase
		entry   func(*Entry)
		there   Status            // as the till says when it is asked; "" as before
		left    []offers.Archived // what the archive has of the purchase
		absent  bool              // the ledger lacks it

		kind  DifferenceKind // "" they agree
		open  bool           // somebody has to do something
		calls string         // at the till, by the repair
		state offers.State   // of the purchase when what is owed is done; "" as before
	}{
		{name: "agreed", station: paid, entry: taken},
		{name: "open and waited for", station: mailed, entry: is(Open)},
		{name: "at the bank and waited for", station: mailed, entry: is(AtBank)},
		{name: "voided on both sides", station: cancelled, entry: is(Voided)},
		{name: "prepared this moment", station: forgets(mailed), entry: is(Open)},
		{name: "of others", station: paid, entry: func(e *Entry) { e.Purchase, e.Status, e.Intent = "", Taken, extra }},

		{name: "taken there", station: mailed, entry: taken, there: Taken, kind: PaidThere, state: offers.Paid},
		{name: "taken there says the ledger, and Stripe does not", station: mailed, entry: taken, there: Open, kind: PaidThere, state: offers.Mailed},
		{name: "taken there after the end", station: cancelled, entry: taken, there: Taken, kind: PaidThere, open: true},
		{name: "taken there after the end, not cancelled there yet", station: holding, entry: taken, there: Taken, kind: PaidThere, open: true,
			state: offers.Refunded}, // by the cancellation that is owed anyway
		{name: "taken there, expired, units are held", station: ended(mailed, offers.Expired, 2), entry: taken, there: Taken, kind: PaidThere, state: offers.Paid},
		{name: "taken there, expired, units are gone", station: ended(mailed, offers.Expired, 0), entry: taken, there: Taken, kind: PaidThere, open: true},
		{name: "taken there, refused, units are gone", station: ended(mailed, offers.Refused, 0), entry: taken, there: Taken, kind: PaidThere, open: true},
		{name: "taken and given back there", station: mailed, entry: func(e *Entry) { e.Status, e.Refunded = Taken, total }},
		{name: "taken there, forgotten here", station: forgets(mailed), entry: taken, there: Taken, kind: PaidThere, state: offers.Paid},
		{name: "taken there, forgotten here, repost heard", station: func(w *world) offers.Purchase { w.till.fail = errSilence; p := w.echoed(); w.till.fail = nil; return p },
			entry: taken, there: Taken, kind: PaidThere, state: offers.Paid},
		{name: "taken there, all forgotten but the wish", station: coded, entry: taken, there: Taken, kind: PaidThere, open: true},
		{name: "taken there, forgotten here, and expired since", station: ended(coded, offers.Expired, 0), entry: taken, there: Taken, kind: PaidThere, open: true},
		{name: "taken there, forgotten here, and refused since", station: ended(coded, offers.Refused, 0), entry: taken, there: Taken, kind: PaidThere, open: true},

		{name: "second charge", station: paid, entry: another(Taken), kind: SecondCharge, calls: "refund pi_extra refund:extra:pi_extra"},
		{name: "second charge before the first", station: mailed, entry: another(Taken), kind: SecondCharge, open: true},
		{name: "another charge after the end", station: cancelled, entry: another(Taken), kind: SecondCharge, open: true},
		{name: "second charge, a part is left", station: paid, entry: func(e *Entry) { e.Intent, e.Status, e.Refunded = extra, Taken, usd(1) },
			kind: SecondCharge, calls: "refund pi_extra refund:extra:pi_extra"},
		{name: "second charge, given back", station: paid, entry: func(e *Entry) { e.Intent, e.Status, e.Refunded = extra, Taken, total }},

		{name: "second payment open", station: paid, entry: another(Open), there: Open, kind: LeftOpen, calls: "void pi_extra void:pi_extra"},
		{name: "second payment failed", station: mailed, entry: another(Failed), there: Failed, kind: LeftOpen, calls: "void pi_extra void:pi_extra"},
		{name: "second payment taken this moment", station: paid, entry: another(Open), there: Taken, kind: SecondCharge,
			calls: "void pi_extra void:pi_extra, refund pi_extra refund:extra:pi_extra"},
		{name: "second payment taken this moment, before the first", station: mailed, entry: another(Open), there: Taken, kind: SecondCharge, open: true,
			calls: "void pi_extra void:pi_extra"},
		{name: "second payment voided", station: mailed, entry: another(Voided)},
		{name: "open after the end", station: cancelled, entry: is(Open), there: Open, kind: LeftOpen, calls: "void pi_ann void:pi_ann"},
		{name: "open after the end, taken this moment", station: cancelled, entry: is(Open), there: Taken, kind: PaidThere, open: true,
			calls: "void pi_ann void:pi_ann"},
		{name: "open after the end, forgotten here", station: forgets(cancelled), entry: is(Open), there: Open, kind: LeftOpen, calls: "void pi_ann void:pi_ann"},

		{name: "voided there", station: mailed, entry: is(Voided), there: Voided, kind: VoidedThere, state: offers.Refused},
		{name: "voided there, units are held", station: holding, entry: is(Voided), there: Voided, kind: VoidedThere},

		{name: "not taken", station: paid, entry: is(Open), there: Open, kind: NotTaken, open: true},
		{name: "not taken when the ledger was read", station: paid, entry: is(Open), there: Taken},
		{name: "voided though paid", station: paid, entry: is(Voided), there: Voided, kind: NotTaken, open: true},
		{name: "not in the ledger", station: paid, absent: true, there: Open, kind: NotInLedger, open: true},
		{name: "in the ledger after all", station: paid, absent: true, there: Taken},
		{name: "paid by nothing", station: forgets(paid), absent: true, there: Taken, kind: NotInLedger, open: true},
		{name: "not paid, not in the ledger", station: mailed, absent: true, there: Open},

		{name: "another amount", station: paid, entry: func(e *Entry) { e.Status, e.Total = Taken, usd(29999) }, kind: OtherAmount, open: true},
		{name: "another currency", station: paid, entry: func(e *Entry) { e.Status, e.Total.Currency = Taken, "EUR" }, kind: OtherAmount, open: true},
		{name: "another amount, forgotten here", station: forgets(mailed), entry: func(e *Entry) { e.Status, e.Total = Taken, usd(1) }, kind: OtherAmount, open: true},

		{name: "refunded there", station: paid, entry: func(e *Entry) { e.Status, e.Refunded = Taken, usd(1) }, kind: RefundedMore, open: true},
		{name: "refunded in part on both sides", station: partly, entry: func(e *Entry) { e.Status, e.Refunded = Taken, usd(1250) }},
		{name: "refunded in part here, more there", station: partly, entry: func(e *Entry) { e.Status, e.Refunded = Taken, usd(1251) }, kind: RefundedMore, open: true},
		{name: "refunded in part here, less there", station: partly, entry: func(e *Entry) { e.Status, e.Refunded = Taken, usd(1249) }, kind: RefundedLess, open: true},
		{name: "refunded on both sides", station: refunded, entry: func(e *Entry) { e.Status, e.Refunded = Taken, total }},
		{name: "refunded here", station: refunded, entry: func(e *Entry) { e.Status, e.Refunded = Taken, usd(29997) }, kind: RefundedLess, open: true},

		{name: "disputed", station: paid, entry: func(e *Entry) { e.Status, e.Disputed = Taken, true }, kind: DisputedThere, open: true},
		{name: "disputed and told", station: func(w *world) offers.Purchase {
			p := paid(w)
			w.edit(p.ID, func(p *offers.Purchase) { p.Notices = []offers.Notice{{Type: "charge.dispute.created"}} })
			return p
		}, entry: func(e *Entry) { e.Status, e.Disputed = Taken, true }},

		{name: "unknown", station: paid, entry: func(e *Entry) { e.Intent, e.Purchase, e.Status = extra, unknown, Taken }, kind: UnknownCharge, open: true},
		{name: "unknown and given back", station: paid, entry: func(e *Entry) { e.Intent, e.Purchase, e.Status, e.Refunded = extra, unknown, Taken, total }},
		{name: "left", station: paid, entry: func(e *Entry) { e.Intent, e.Purchase, e.Status = extra, unknown, Taken }, left: archive(unpaid, paidBy(extra))},
		{name: "left unpaid", station: paid, entry: func(e *Entry) { e.Intent, e.Purchase, e.Status = extra, unknown, Taken }, left: archive(unpaid), kind: UnknownCharge, open: true},
		{name: "left unpaid, prepared", station: paid, entry: func(e *Entry) { e.Intent, e.Purchase, e.Status = extra, unknown, Taken },
			left: archive(offers.Archived{State: offers.Expired, Intent: extra}), kind: UnknownCharge, open: true},
		{name: "left paid by another", station: paid, entry: func(e *Entry) { e.Intent, e.Purchase, e.Status = extra, unknown, Taken },
			left: archive(paidBy("pi_1")), kind: UnknownCharge, open: true},
		{name: "left unpaid, given back", station: paid, entry: func(e *Entry) { e.Intent, e.Purchase, e.Status, e.Refunded = extra, unknown, Taken, total }, left: archive(unpaid)},
		{name: "left unpaid, open", station: paid, entry: func(e *Entry) {
			e.Intent, e.Purchase, e.Status, e.Begun = extra, unknown, Open, t0.Add(-24*time.Hour)
		}, left: archive(unpaid), kind: UnknownOpen, open: true},
		{name: "unknown and open", station: paid, entry: func(e *Entry) { e.Intent, e.Purchase, e.Status = extra, unknown, Open }},
		{name: "unknown and open for long", station: paid, entry: func(e *Entry) {
			e.Intent, e.Purchase, e.Status, e.Begun = extra, unknown, Open, t0.Add(-24*time.Hour)
		}, kind: UnknownOpen, open: true},
		{name: "misnamed", station: paid, entry: func(e *Entry) { e.Intent, e.Purchase, e.Status = extra, "ann@example.com", Taken }, kind: Misnamed, open: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.register("en")
			p := test.station(w)
			if test.state == "" {
				test.state = p.State
			}
			w.now = t0.Add(DefaultSettle)
			var ledger fakeLedger
			own := Entry{Intent: "pi_ann", Purchase: p.ID, Status: Taken, Total: total, Refunded: usd(0), Begun: t0}
			if !test.absent {
				e := own
				test.entry(&e)
				ledger = fakeLedger{e}
				if e.Intent == extra && !p.PaidAt.IsZero() { // beside its own
					ledger = fakeLedger{own, e}
				}
			}
			if test.there != "" {
				w.till.status = Standing{Status: test.there}
			}
			w.till.calls = nil
			r := &Reconciler{Shop: w.shop, Ledger: ledger, Till: w.till, Settle: DefaultSettle, Now: func() time.Time { return w.now },
				Left: func(offers.ID) ([]offers.Archived, error) { return test.left, nil }}
			before := w.everything()
			run := func(change func(*Reconciler)) (Reconciled, []Difference) {
				t.Helper()
				r := *r
				change(&r)
				var all []Difference
				got, err := r.Reconcile(t.Context(), t0.Add(-90*24*time.Hour), w.now, func(d Difference) error { all = append(all, d); return nil })
				if err != nil {
					t.Fatal(err)
				}
				return got, all
			}

			// Too young: nothing is said of it.
			if got, all := run(func(r *Reconciler) { r.Settle += time.Second }); len(all) != 0 && test.kind != UnknownOpen || got.UnderWay == 0 && !test.absent && got.NotOurs == 0 && test.left == nil && test.kind != UnknownOpen && test.kind != "" {
				t.Errorf("while it moves: %+v %+v", got, all)
			}
			// Only looked at: nothing changes.
			if _, all := run(func(r *Reconciler) { r.DryRun = true }); len(all) > 0 && all[0].Next == "" {
				t.Errorf("a dry run leaves nothing to do: %+v", all)
			}
			if w.everything() != before || len(w.till.calls) != 0 {
				t.Errorf("something was changed by only looking: %v", w.till.calls)
			}

			got, all := run(func(*Reconciler) {})
			if test.kind == "" {
				if len(all) != 0 {
					t.Errorf("differences: %+v", all)
				}
			} else if len(all) != 1 || all[0].Kind != test.kind || (all[0].Next != "") != test.open || all[0].Says == "" || (got.Open == 1) != test.open || (got.Repaired+got.Owed == 0) != test.open {
				t.Errorf("differences: %+v, %+v", all, got)
			} else if test.kind == PaidThere && all[0].Loud != test.open {
				t.Errorf("it is loud: %v", all[0].Loud)
			}
			for _, d := range all {
				if strings.Contains(d.Says+string(d.Purchase), "ann@") {
					t.Errorf("what stands in others' metadata is told: %+v", d)
				}
			}
			if calls := strings.Join(w.till.calls, ", "); calls != test.calls {
				t.Errorf("at the till: %q, want %q", calls, test.calls)
			}
			w.settle()
			if p := w.purchase(p.ID); p.State != test.state {
				t.Errorf("purchase is %s in the end, want %s", p.State, test.state)
			}
		})
	}
}
