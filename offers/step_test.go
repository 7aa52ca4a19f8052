package offers

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the diagram into doc.go")

// diagram lists the moves of the table, a line each.
func diagram() string {
	var b strings.Builder
	for _, s := range States {
		name := string(s)
		if s == New {
			name = "(new)"
		}
		for _, k := range EventKinds {
			for _, r := range byCase[s][k] {
				if r.to == New {
					continue
				}
				when := ""
				if r.when != nil {
					when = " (" + r.when.name + ")"
				}
				line := fmt.Sprintf("//\t%-10s %-12s → %s%s", name, k, r.to, when)
				b.WriteString(line + "\n")
				name = ""
			}
		}
	}
	return b.String()
}

const diagramBegins, diagramEnds = "// # Every move\n//\n", "//\n// # Where things are kept\n"

// The picture in the package comment is the table.
func TestDiagramIsTheTable(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), diagramBegins)
	drawn, after, ok2 := strings.Cut(rest, diagramEnds)
	if !ok || !ok2 {
		t.Fatal("doc.go has lost the headings around its diagram")
	}
	if drawn == diagram() {
		return
	}
	if !*update {
		t.Fatalf("the diagram in doc.go is not the table; go test ./offers -run Diagram -update writes it:\n%s", diagram())
	}
	if err := os.WriteFile("doc.go", []byte(before+diagramBegins+diagram()+diagramEnds+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The rows for what moves nothing cover every state and event, so that Step always
// has an answer; a row that can never be reached is a mistake.
func TestTableHasARowForEverything(t *testing.T) {
	for _, s := range States {
		for _, k := range EventKinds {
			rows := byCase[s][k]
			if len(rows) == 0 || rows[len(rows)-1].when != nil {
				t.Errorf("%s in state %q may find no row", k, s)
			}
			for _, r := range rows[:max(0, len(rows)-2)] {
				if r.when == nil && r.to != New {
					t.Errorf("%s in state %q: rows after a move without a guard", k, s)
				}
			}
		}
	}
}

var t0 = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)

func someWish() Purchase {
	id := NewID("x", "1728093654321098765", "buytee")
	return Purchase{
		ID: id, Buyer: Account{"x", "783214"}, Handle: "ann", Lang: "en", Registered: true, Wish: "1728093654321098765",
		Offer: "buytee", Tag: "BuyTee", Title: "Tour T-shirt", Seller: "Example Records", Quantity: 2,
		Total: Money{29998, "USD"}, Times: DefaultTimes, Thanks: true, Code: NewCode([]byte("k"), id, 0),
	}
}

// life plays events on a purchase and notes all that was owed.
type life struct {
	t    testing.TB
	p    Purchase
	now  time.Time
	owed map[string]Effect
}

func newLife(t testing.TB) *life { return &life{t: t, now: t0, owed: map[string]Effect{}} }

func (l *life) step(ev Event) error {
	before := l.p
	p, owe, err := Step(l.p, ev, l.now)
	var no *Refusal
	if err != nil && !errors.As(err, &no) {
		l.t.Fatal(err)
	}
	if err != nil && (!reflect.DeepEqual(p, before) || len(owe) > 0) {
		l.t.Fatalf("%s in %q was refused and changed something", ev.Kind, before.State)
	}
	l.p = p
	for _, e := range owe {
		if _, twice := l.owed[e.ID()]; twice {
			l.t.Fatalf("%s is owed a second time by %s in %q", e.ID(), ev.Kind, before.State)
		}
		if e.Purchase != p.ID {
			l.t.Fatalf("%s is owed for another purchase", e.ID())
		}
		l.owed[e.ID()] = e
	}
	return err
}

// does plays the event and wants the state.
func (l *life) does(want State, ev Event) {
	l.t.Helper()
	if err := l.step(ev); err != nil || l.p.State != want {
		l.t.Fatalf("%s led to %q, %v; want %q", ev.Kind, l.p.State, err, want)
	}
}

// refuses plays the event and wants a reason.
func (l *life) refuses(want Reason, ev Event) {
	l.t.Helper()
	var no *Refusal
	if err := l.step(ev); !errors.As(err, &no) || no.Reason != want {
		l.t.Fatalf("%s in %q: %v, want %s", ev.Kind, l.p.State, err, want)
	}
}

func (l *life) owes(kinds ...EffectKind) {
	l.t.Helper()
	for _, k := range kinds {
		if !slices.ContainsFunc(slices.Collect(maps.Values(l.owed)), func(e Effect) bool { return e.Kind == k }) {
			l.t.Errorf("no %s is owed in %q", k, l.p.State)
		}
	}
}

func (l *life) pass(d time.Duration) { l.now = l.now.Add(d) }

func (l *life) upTo(want State) *life {
	ann := someWish().Buyer
	card := Card{ID: "pm_1", Brand: "visa", Last4: "4242"}
	for _, ev := range []Event{
		{Kind: WishHeard, Wish: someWish()},
		{Kind: ReplySent, Post: "2"},
		{Kind: CodeEchoed, By: ann, Post: "3"},
		{Kind: IntentMade, Intent: "pi_1", Card: card},
		{Kind: LinkMailed},
		{Kind: LinkPressed, Round: 1},
		{Kind: Charged},
	} {
		if l.p.State == want {
			return l
		}
		if err := l.step(ev); err != nil {
			l.t.Fatal(err)
		}
	}
	if l.p.State != want {
		l.t.Fatalf("did not reach %q", want)
	}
	return l
}

func TestPurchaseCompletes(t *testing.T) {
	l := newLife(t)
	l.does(Asked, Event{Kind: WishHeard, Wish: someWish()})
	if l.p.Held != 2 {
		t.Errorf("%d units held, want 2", l.p.Held)
	}
	l.upTo(Paid)
	l.owes(Reply, File, Prepare, MailLink, Charge, MailReceipt, Thank)
	l.refuses(AlreadyPaid, Event{Kind: LinkPressed, Round: 1})
	l.refuses(TooLate, Event{Kind: CancelAsked, By: l.p.Buyer})
}

func TestOnlyTheAccountThatAskedCanEcho(t *testing.T) {
	l := newLife(t).upTo(Coded)
	l.refuses(NotYourCode, Event{Kind: CodeEchoed, By: Account{"x", "1"}})
	l.refuses(NotYourCode, Event{Kind: CodeEchoed, By: Account{"other", l.p.Buyer.ID}})
	l.does(Echoed, Event{Kind: CodeEchoed, By: l.p.Buyer})
}

// The last instant counts, and no sweeper is needed for it.
func TestDeadlinesFollowFromTheClock(t *testing.T) {
	l := newLife(t).upTo(Coded)
	l.pass(15*time.Minute - 1)
	l.does(Echoed, Event{Kind: CodeEchoed, By: l.p.Buyer})

	l = newLife(t).upTo(Coded)
	l.pass(15 * time.Minute)
	l.does(Coded, Event{Kind: CodeEchoed, By: l.p.Buyer})
	l.owes(MailReason)

	l = newLife(t).upTo(Mailed)
	l.pass(15*time.Minute - 1)
	l.does(Confirmed, Event{Kind: LinkPressed, Round: 1})

	l = newLife(t).upTo(Mailed)
	l.pass(15*time.Minute + 1)
	l.refuses(LinkExpired, Event{Kind: LinkPressed, Round: 1})
	l.does(Expired, Event{Kind: DeadlinePast})
	l.refuses(LinkExpired, Event{Kind: LinkPressed, Round: 1})
}

func TestUnitsComeBackOnlyAfterTheIntentIsVoided(t *testing.T) {
	l := newLife(t).upTo(Mailed)
	l.pass(time.Hour)
	l.does(Expired, Event{Kind: DeadlinePast})
	l.owes(Void)
	if l.p.Held != 2 {
		t.Fatal("units came back while the payment could still be taken")
	}
	l.does(Expired, Event{Kind: IntentVoided})
	if l.p.Held != 0 {
		t.Fatal("units did not come back")
	}

	// While the payment is being prepared, its answer is waited for.
	l = newLife(t).upTo(Echoed)
	l.does(Cancelled, Event{Kind: CancelAsked, By: l.p.Buyer})
	if l.p.Held != 2 {
		t.Fatal("units came back while a payment may be prepared")
	}
	l.does(Cancelled, Event{Kind: IntentMade, Intent: "pi_9"})
	l.owes(Void)
	l.does(Cancelled, Event{Kind: IntentVoided})
	if l.p.Held != 0 {
		t.Fatal("units did not come back")
	}
}

func TestWhatWasTakenAfterACancellationGoesBack(t *testing.T) {
	l := newLife(t).upTo(Confirmed)
	l.does(Challenged, Event{Kind: BankAsks, Attempt: l.p.Attempt, URL: "https://bank.example"})
	l.does(Cancelled, Event{Kind: CancelAsked, By: l.p.Buyer})
	l.does(Paid, Event{Kind: Charged})
	l.owes(Refunding)
	l.does(Refunded, Event{Kind: RefundMade})
	l.owes(MailReason)
	if l.p.Held != 0 {
		t.Error("units did not come back")
	}
}

func TestDeclinedMayTryAgainUntilTheLinkEnds(t *testing.T) {
	l := newLife(t).upTo(Confirmed)
	l.does(Declined, Event{Kind: ChargeFailed, Attempt: l.p.Attempt, Reason: CardDeclined})
	l.owes(MailReason)
	l.does(Confirmed, Event{Kind: LinkPressed, Round: 1})
	if l.p.Attempt != 2 {
		t.Errorf("attempt %d, want 2", l.p.Attempt)
	}
	l.does(Declined, Event{Kind: ChargeFailed, Attempt: l.p.Attempt, Reason: CardDeclined})
	l.pass(16 * time.Minute)
	l.refuses(LinkExpired, Event{Kind: LinkPressed, Round: 1})
}

func TestStrangerIsInvitedAndGoesOnAfterEnrolling(t *testing.T) {
	l := newLife(t)
	wish := someWish()
	wish.Registered = false
	l.does(Invited, Event{Kind: WishHeard, Wish: wish})
	if l.p.Held != 0 {
		t.Error("a stranger holds units")
	}
	l.does(Invited, Event{Kind: ReplySent, Post: "2"})
	l.does(Asked, Event{Kind: Enrolled})
	l.owes(MailCode)
	l.does(Coded, Event{Kind: CodeMailed})
	l.does(Echoed, Event{Kind: CodeEchoed, By: l.p.Buyer})
}

func TestReplyRefusedByTheNetwork(t *testing.T) {
	l := newLife(t).upTo(Asked)
	l.does(Asked, Event{Kind: ReplyFailed})
	l.owes(MailCode)
	l.does(Refused, Event{Kind: CodeUnmailed})
	if l.p.Held != 0 || l.p.Reason != Unreachable {
		t.Errorf("held %d, reason %s", l.p.Held, l.p.Reason)
	}
}

// The repost may be heard before the answer to our own reply has come.
func TestEchoBeforeReplyIsKnown(t *testing.T) {
	l := newLife(t).upTo(Asked)
	l.does(Echoed, Event{Kind: CodeEchoed, By: l.p.Buyer})
	l.does(Echoed, Event{Kind: ReplySent, Post: "2"})
	if l.p.Reply != "2" {
		t.Error("the reply was not noted")
	}
}

func TestClickBeforeTheMailIsKnown(t *testing.T) {
	l := newLife(t).upTo(Echoed)
	l.refuses(NotYet, Event{Kind: LinkPressed, Round: 1})
	l.does(Echoed, Event{Kind: IntentMade, Intent: "pi_1"})
	l.does(Confirmed, Event{Kind: LinkPressed, Round: 1})
	l.does(Confirmed, Event{Kind: LinkMailed})
	l.does(Declined, Event{Kind: ChargeFailed, Attempt: l.p.Attempt, Reason: CardDeclined})
	if l.p.LinkEnds() != l.now.Add(15*time.Minute) {
		t.Errorf("the link ends %s", l.p.LinkEnds())
	}
}

// The answer to a look of an earlier attempt says nothing of this one.
func TestOutcomeOfAnOldAttempt(t *testing.T) {
	l := newLife(t).upTo(Confirmed)
	l.does(Challenged, Event{Kind: BankAsks, Attempt: 1, URL: "https://bank.example"})
	l.does(Challenged, Event{Kind: BankLeft})
	l.does(Declined, Event{Kind: ChargeFailed, Attempt: 1, Look: 2, Reason: AuthenticationFailed})
	l.does(Confirmed, Event{Kind: LinkPressed, Round: 1})
	l.does(Confirmed, Event{Kind: ChargeFailed, Attempt: 1, Look: 1, Reason: AuthenticationFailed})
	l.does(Confirmed, Event{Kind: BankAsks, Attempt: 1, Look: 1, URL: "https://bank.example"})
	l.does(Challenged, Event{Kind: BankAsks, Attempt: 2, URL: "https://bank.example"})
	if l.p.BankURL == "" {
		t.Error("the bank's address is gone")
	}
	l.does(Paid, Event{Kind: Charged})
	if l.p.BankURL != "" {
		t.Error("the bank's address is still there")
	}
}

// However often the buyer presses, Stripe is not asked faster than it can answer.
func TestLooksAreBounded(t *testing.T) {
	l := newLife(t).upTo(Confirmed)
	l.does(Challenged, Event{Kind: BankAsks, Attempt: 1, URL: "https://bank.example"})
	for range 1000 {
		l.pass(time.Millisecond)
		l.does(Challenged, Event{Kind: BankLeft})
	}
	if l.p.Looks > 3 {
		t.Errorf("%d looks in a second", l.p.Looks)
	}
}

// The invitation may reach the network only after its reader has registered: it is
// no code.
func TestInvitationIsNotTheCode(t *testing.T) {
	l := newLife(t)
	wish := someWish()
	wish.Registered = false
	l.does(Invited, Event{Kind: WishHeard, Wish: wish})
	l.does(Asked, Event{Kind: Enrolled})
	l.does(Asked, Event{Kind: ReplySent, Post: "invitation"})
	l.does(Coded, Event{Kind: CodeMailed})
}

// Nobody has to sweep for a deadline to hold, in any state.
func TestEveryDeadlineHoldsUnswept(t *testing.T) {
	l := newLife(t).upTo(Asked)
	l.pass(2 * time.Hour)
	l.does(Asked, Event{Kind: CodeEchoed, By: l.p.Buyer})
	l.does(Asked, Event{Kind: ReplySent, Post: "2"})
	l.does(Expired, Event{Kind: DeadlinePast})
	l.owes(MailReason)

	l = newLife(t).upTo(Echoed)
	l.does(Echoed, Event{Kind: IntentMade, Intent: "pi_1"})
	l.pass(2 * time.Hour)
	l.refuses(LinkExpired, Event{Kind: LinkPressed, Round: 1})
	l.does(Echoed, Event{Kind: LinkMailed})
	l.does(Expired, Event{Kind: DeadlinePast})
	l.owes(Void, MailReason)

	l = newLife(t)
	wish := someWish()
	wish.Registered = false
	l.does(Invited, Event{Kind: WishHeard, Wish: wish})
	l.pass(48 * time.Hour)
	l.does(Expired, Event{Kind: Enrolled})
}

func TestOldLinkIsToldSo(t *testing.T) {
	l := newLife(t).upTo(Mailed)
	l.refuses(LinkReplaced, Event{Kind: LinkPressed, Round: 2})
}

// Random lives: whatever comes in whatever order, the promises hold after each step.
func TestStepHoldsItsPromises(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		wish := someWish()
		wish.Registered = rapid.Bool().Draw(rt, "registered")
		wish.Digital, wish.WithdrawalDays = rapid.Bool().Draw(rt, "digital"), rapid.SampledFrom([]int{0, 14}).Draw(rt, "days")
		l := newLife(t)
		l.t = rapidTB{t, rt}
		pressed, taken, voided := false, false, false
		for i := range rapid.IntRange(1, 40).Draw(rt, "events") {
			ev := Event{
				Kind:    rapid.SampledFrom(EventKinds).Draw(rt, fmt.Sprint("event", i)),
				Wish:    wish,
				Reason:  rapid.SampledFrom([]Reason{"", CardDeclined}).Draw(rt, "reason"),
				By:      rapid.SampledFrom([]Account{wish.Buyer, {"x", "1"}}).Draw(rt, "by"),
				Round:   rapid.IntRange(0, 2).Draw(rt, "round"),
				Attempt: rapid.IntRange(0, 3).Draw(rt, "attempt"), Look: rapid.IntRange(0, 3).Draw(rt, "look"),
				Intent: "pi_1", Post: fmt.Sprint(i), URL: "https://bank.example", N: rapid.IntRange(0, 3).Draw(rt, "n"),
				Amount: rapid.SampledFrom([]Money{{}, {1, "USD"}, {15000, "USD"}, {29998, "USD"}, {29999, "USD"}, {1, "EUR"}, {-1, "USD"}, {0, "USD"}}).Draw(rt, "amount"),
			}
			// Events that cannot come before what causes them.
			_, charging := l.owed[Effect{Kind: Charge, Purchase: wish.ID, N: 1}.ID()]
			switch {
			case ev.Kind == Charged && (!charging || voided), ev.Kind == BankAsks && !charging, ev.Kind == ChargeFailed && !charging:
				continue
			case ev.Kind == IntentVoided && (l.p.Intent == "" || taken), ev.Kind == IntentMade && l.p.EchoedAt.IsZero():
				continue
			case ev.Kind == IntentFailed && (l.p.EchoedAt.IsZero() || l.p.Intent != ""):
				continue
			case (ev.Kind == LinkMailed || ev.Kind == LinkUnmailed) && l.p.Intent == "":
				continue
			case ev.Kind == RefundMade && len(l.p.Refunds) == 0:
				continue
			}
			before := l.p
			l.pass(time.Duration(rapid.Int64Range(0, int64(20*time.Minute)).Draw(rt, "pass")))
			err := l.step(ev)
			taken = taken || ev.Kind == Charged
			voided = voided || ev.Kind == IntentVoided
			pressed = pressed || before.State != Confirmed && l.p.State == Confirmed
			known := l.p.effects()
			for id, e := range l.owed {
				if e.Kind != Deadline && !slices.Contains(known, id) {
					rt.Fatalf("%s would be owed for a purchase that is gone", id)
				}
			}

			made, _ := l.p.PaidBack()
			switch {
			case l.p.miscounted() != "" || l.p.Left().Minor < 0:
				rt.Fatalf("%s: %+v", l.p.miscounted(), l.p.Refunds)
			case before.Held > 0 && l.p.Held == 0 && taken && made != l.p.Total:
				rt.Fatalf("units came back when only %s were refunded", made)
			case !l.p.WithdrawnAt.IsZero() && l.p.ShippedAt.IsZero() && l.p.Left().Minor > 0:
				rt.Fatalf("withdrawn, and %s are kept", l.p.Left())
			case l.p.State == Paid && (!pressed || l.p.EchoedAt.IsZero()):
				rt.Fatalf("paid without echo and click")
			case before.State != Confirmed && l.p.State == Confirmed && !l.now.Before(before.Deadline()):
				rt.Fatalf("a late click was taken")
			case before.Held > 0 && l.p.Held == 0 && before.Intent != "" && ev.Kind != IntentVoided && ev.Kind != RefundMade:
				rt.Fatalf("units came back by %s while %s could be taken", ev.Kind, before.Intent)
			case before.Intent != "" && l.p.Intent != before.Intent:
				rt.Fatalf("the payment was changed")
			case before.State != New && l.p.Total != before.Total:
				rt.Fatalf("the price was changed")
			case before.State.Ended() && !l.p.State.Ended():
				rt.Fatalf("%s came back to life as %s", before.State, l.p.State)
			case err != nil && l.p.Moves != before.Moves:
				rt.Fatalf("a refusal moved it")
			}
		}
	})
}

// rapidTB lets a life fail its rapid run.
type rapidTB struct {
	testing.TB
	rt *rapid.T
}

func (r rapidTB) Fatal(args ...any)            { r.rt.Fatal(args...) }
func (r rapidTB) Fatalf(f string, args ...any) { r.rt.Fatalf(f, args...) }

func TestPressedTwiceIsOneCharge(t *testing.T) {
	l := newLife(t).upTo(Confirmed)
	l.does(Confirmed, Event{Kind: LinkPressed, Round: 1})
	if _, twice := l.owed[Effect{Kind: Charge, Purchase: l.p.ID, N: 2}.ID()]; twice || l.p.Attempt != 1 {
		t.Errorf("a second charge is owed: attempt %d", l.p.Attempt)
	}
}
