package offers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/store"
)

// dump is all that a store holds, a line for each record, count and effect.
func dump(t testing.TB, st store.Store) []string {
	t.Helper()
	var all []string
	for shard := range store.Shards {
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		for cursor, more := "", true; more; more = cursor != "" {
			recs, next, err := st.Scan(t.Context(), shard, "", cursor, 100)
			must(err)
			for _, r := range recs {
				all = append(all, fmt.Sprintf("record %s %s", r.Key, r.Value))
			}
			cursor = next
		}
		for cursor, more := "", true; more; more = cursor != "" {
			counts, next, err := st.ScanCounts(t.Context(), shard, "", cursor, 100)
			must(err)
			for _, n := range counts {
				all = append(all, fmt.Sprintf("count %s %d", n.Key, n.N))
			}
			cursor = next
		}
		for cursor, more := "", true; more; more = cursor != "" {
			owed, next, err := st.Owed(t.Context(), shard, cursor, 100)
			must(err)
			for _, o := range owed {
				all = append(all, fmt.Sprintf("effect %s %s %s %s", o.ID, o.Kind, o.Body, o.Note))
			}
			cursor = next
		}
	}
	slices.Sort(all)
	return all
}

// findings are what Check finds, "kind key".
func (s *shop) findings() []string {
	s.t.Helper()
	var all []string
	err := s.Check(s.t.Context(), nil, func(f Finding) error {
		if f.Text == "" {
			s.t.Errorf("%s %s says nothing", f.Kind, f.Key)
		}
		all = append(all, fmt.Sprintf("%s %s", f.Kind, f.Key))
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func (s *shop) clean() {
	s.t.Helper()
	if all := s.findings(); len(all) > 0 {
		s.t.Fatalf("found:\n%s", strings.Join(all, "\n"))
	}
}

// buy plays a purchase until it is paid.
func (s *shop) buy(n int, post string) Purchase {
	s.t.Helper()
	p := s.wish(n, post)
	s.settle()
	if err := s.echo(p, account(n)); err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	if _, err := s.Press(s.t.Context(), p.ID, 1, "", s.now); err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	return s.is(p.ID, Paid)
}

// archive collects what is archived.
func (s *shop) archive() *[]Archived {
	var lines []Archived
	s.Archive = func(_ context.Context, line []byte) error {
		var a Archived
		if err := json.Unmarshal(line, &a); err != nil {
			s.t.Errorf("archived %q: %v", line, err)
		}
		lines = append(lines, a)
		return nil
	}
	return &lines
}

func (s *shop) gone(id ID) {
	s.t.Helper()
	if _, err := s.Purchase(s.t.Context(), id); !errors.Is(err, ErrNotFound) {
		s.t.Errorf("purchase %s is still there (%v)", id, err)
	}
}

// What has ended leaves when its time is over, not a moment before, and what was
// sold stays sold.
func TestEndedPurchasesLeave(t *testing.T) {
	s := newShop(t, tee(2, 2))
	lines := s.archive()
	s.register(1)
	paid := s.buy(1, "1")
	refunded := s.buy(1, "2")
	refused := s.wish(1, "3") // the limit is reached
	if _, err := s.RefundPurchase(t.Context(), refunded.ID, Money{}, "", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	cancelled := s.wish(1, "4")
	if _, err := s.Cancel(t.Context(), cancelled.ID, account(1), s.now); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Second)
	expired := s.wish(2, "5") // never registers
	s.settle()
	all := map[ID]State{paid.ID: Paid, refunded.ID: Refunded, refused.ID: Refused, cancelled.ID: Cancelled, expired.ID: Expired}
	s.now = expired.AskedAt.Add(24 * time.Hour)
	s.settle()
	s.clean()

	s.now = t0.Add(DefaultTimes.Keep - 1)
	s.settle()
	for id, state := range all {
		s.is(id, state)
	}
	s.now = t0.Add(DefaultTimes.Keep)
	s.settle()
	if s.is(expired.ID, Expired); len(*lines) != 4 {
		t.Errorf("%d lines are archived when four have ended that long ago", len(*lines))
	}
	s.now = s.now.Add(25 * time.Hour)
	s.settle()
	s.clean()
	for id := range all {
		s.gone(id)
	}
	want := []string{`count offers 1`, `count sold/buytee/ 1`, `count taken/buytee/ 1`}
	for _, line := range dump(t, s.st) {
		if !strings.HasPrefix(line, "record offer/") && !strings.HasPrefix(line, "record buyer/") && !slices.Contains(want, line) &&
			!strings.HasPrefix(line, "count funnel/") && !strings.HasPrefix(line, "count earned/") {
			t.Errorf("left: %s", line)
		}
	}
	if s.taken() != 1 {
		t.Errorf("%d taken", s.taken())
	}
	for _, a := range *lines {
		if a.State != all[a.ID] || a.Offer != "buytee" || a.Total.Minor != 14999 || a.AskedAt.IsZero() || a.EndedAt.IsZero() ||
			a.PaidAt.IsZero() == (a.State == Paid || a.State == Refunded) || a.RefundedAt.IsZero() == (a.State == Refunded) {
			t.Errorf("archived %+v", a)
		}
	}
	// Its limit is free again; what is sold is not.
	if a, b := s.wish(1, "6"), s.wish(1, "7"); a.State != Asked || b.State != Refused || b.Reason != SoldOut {
		t.Errorf("afterwards: %s, and %s for %s", a.State, b.State, b.Reason)
	}
}

// What is archived names nobody.
func TestArchiveNamesNobody(t *testing.T) {
	s := newShop(t, tee(9, 9))
	s.register(1)
	p := s.buy(1, "post-77")
	p.Handle, p.Reply, p.Echo = "ann", "reply-77", "echo-77"
	line, err := json.Marshal(archived(p))
	if err != nil {
		t.Fatal(err)
	}
	for _, personal := range []string{p.Buyer.ID, p.Handle, p.Wish, p.Reply, p.Echo, string(p.Code), p.Card.ID} {
		if strings.Contains(string(line), personal) {
			t.Errorf("%q is in %s", personal, line)
		}
	}
}

func TestKeepForEver(t *testing.T) {
	s := newShop(t, tee(9, 9))
	s.Times.Keep = 0
	s.register(1)
	p := s.buy(1, "1")
	for _, line := range dump(t, s.st) {
		if strings.HasPrefix(line, "effect") {
			t.Errorf("owed: %s", line)
		}
	}
	s.now = s.now.AddDate(100, 0, 0)
	s.settle()
	s.is(p.ID, Paid)
	s.clean()
}

// What something is owed for stays until that is done.
func TestOwedPurchasesStay(t *testing.T) {
	never := func(Job) (Event, error) { return Event{}, errors.New("away") }
	for name, play := range map[string]func(s *shop) (Purchase, EffectKind){
		"a receipt that does not get through": func(s *shop) (Purchase, EffectKind) {
			s.with[MailReceipt] = never
			return s.buyTrying(1, "1"), MailReceipt
		},
		"a refund that does not get through": func(s *shop) (Purchase, EffectKind) {
			p := s.buy(1, "1")
			s.with[Refunding] = never
			if _, err := s.RefundPurchase(s.t.Context(), p.ID, Money{}, "", s.now); err != nil {
				s.t.Fatal(err)
			}
			return p, Refunding
		},
		"a payment that cannot be cancelled": func(s *shop) (Purchase, EffectKind) {
			p := s.wish(1, "1")
			s.settle()
			if err := s.echo(p, account(1)); err != nil {
				s.t.Fatal(err)
			}
			s.settle()
			s.with[Void] = never
			if _, err := s.Cancel(s.t.Context(), p.ID, account(1), s.now); err != nil {
				s.t.Fatal(err)
			}
			return p, Void
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, tee(9, 9))
			s.register(1)
			s.settle()
			p, stuck := play(s)
			for range 3 {
				s.now = s.now.Add(DefaultTimes.Keep)
				s.try()
				if _, err := s.Purchase(t.Context(), p.ID); err != nil {
					t.Fatal(err)
				}
				s.clean()
			}
			s.with[stuck] = nil
			s.now = s.now.Add(time.Hour)
			s.try() // its end may drop the deadline that is handed out beside it
			s.now = s.now.Add(DefaultTimes.Keep + retryRetire)
			s.settle()
			s.gone(p.ID)
			s.clean()
		})
	}
}

// Units that may still be charged for are never counted as sold, even where the
// cancellation that they wait for was lost.
func TestUnitsOfALostCancellationAreNotSold(t *testing.T) {
	d := newDamaged(t)
	d.drop(d.ended, Effect{Kind: Void})
	d.now = d.now.Add(DefaultTimes.Keep)
	d.try()
	d.is(d.ended.ID, Cancelled)
}

// Somebody may read an account's list while a purchase of it leaves.
func TestListNamesAPurchaseThatLeft(t *testing.T) {
	d := newDamaged(t)
	d.put(d.theirs, ownKey(account(1), NewID("x", "gone", "buytee")), "")
	if n, err := d.CancelAll(t.Context(), account(1), d.now); n != 1 || err != nil {
		t.Errorf("cancelled %d, %v", n, err)
	}
}

// try performs all that is due once; what fails is due again when its lease ends.
func (s *shop) try() {
	s.t.Helper()
	leases, err := s.st.Lease(s.t.Context(), s.now, s.now.Add(time.Minute), 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range leases {
		_ = s.Perform(s.t.Context(), l)
	}
}

// buyTrying is buy where some effects fail.
func (s *shop) buyTrying(n int, post string) Purchase {
	s.t.Helper()
	p := s.wish(n, post)
	s.try()
	if err := s.echo(p, account(n)); err != nil {
		s.t.Fatal(err)
	}
	s.try()
	s.try()
	if _, err := s.Press(s.t.Context(), p.ID, 1, "", s.now); err != nil {
		s.t.Fatal(err)
	}
	s.try()
	s.try()
	return s.is(p.ID, Paid)
}

// A crashing store fails at one commit, before or after it has happened.
type crashing struct {
	store.Store
	at    int  // fails at this commit; 0: never
	after bool // which has happened all the same
	n     int
}

var errCrash = errors.New("crashed")

func (c *crashing) Commit(ctx context.Context, ch store.Change) error {
	if c.n++; c.n != c.at {
		return c.Store.Commit(ctx, ch)
	}
	if c.after {
		if err := c.Store.Commit(ctx, ch); err != nil {
			return err
		}
	}
	return errCrash
}

// Wherever retiring is cut off, it goes on and ends the same.
func TestRetiringIsCutOff(t *testing.T) {
	var want []string
	cuts := 0
	for at := 0; ; at++ {
		for _, after := range []bool{false, true} {
			st := &crashing{Store: store.NewMemory()}
			s := newShopOn(t, st, tee(9, 9))
			lines := s.archive()
			s.register(1)
			p := s.buy(1, "1")
			s.now = s.now.Add(DefaultTimes.Keep)
			st.n, st.at, st.after = 0, at, after
			s.try()
			cut := at > 0 && st.n >= at
			s.clean() // as it was left
			st.at = 0
			s.now = s.now.Add(time.Hour)
			s.settle()
			s.gone(p.ID)
			s.clean()
			left := dump(t, s.st)
			if at == 0 {
				want = left
			}
			if !slices.Equal(left, want) {
				t.Fatalf("cut off at commit %d (%v), left:\n%s", at, after, strings.Join(left, "\n"))
			}
			for _, a := range *lines {
				if a.ID != p.ID {
					t.Errorf("archived %+v", a)
				}
			}
			if len(*lines) == 0 {
				t.Error("nothing was archived")
			}
			if at > 0 && !cut {
				if cuts < 3 {
					t.Errorf("only %d commits were cut off", cuts)
				}
				return
			}
		}
		if at > 0 {
			cuts++
		}
	}
}

// What cannot be archived stays.
func TestArchiveFails(t *testing.T) {
	s := newShop(t, tee(9, 9))
	s.register(1)
	p := s.buy(1, "1")
	s.Archive = func(context.Context, []byte) error { return errors.New("disk full") }
	s.now = s.now.Add(DefaultTimes.Keep)
	s.try()
	s.is(p.ID, Paid)
	lines := s.archive()
	s.now = s.now.Add(time.Hour)
	s.settle()
	s.gone(p.ID)
	if len(*lines) != 1 {
		t.Errorf("%d lines", len(*lines))
	}
}

// A post that was answered is remembered while it may come again, and no longer.
func TestAnswersAreForgotten(t *testing.T) {
	s := newShop(t, tee(9, 9))
	a := Answer{Post: "1", Account: account(1), Word: "help"}
	answer := func(want int) {
		t.Helper()
		if err := s.OweAnswer(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		s.settle()
		if n := s.calls["answer help"]; n != want {
			t.Errorf("answered %d times, want %d", n, want)
		}
	}
	answer(1)
	s.now = s.now.Add(postMemory - time.Millisecond)
	answer(1)
	s.now = s.now.Add(time.Millisecond)
	s.settle()
	if known, err := s.Answered(t.Context(), a.Account, a.Post); known || err != nil {
		t.Errorf("still known (%v)", err)
	}
	if left := dump(t, s.st); len(left) != 2 { // the offer and the count of offers
		t.Errorf("left:\n%s", strings.Join(left, "\n"))
	}
}

func TestTimesAreValidated(t *testing.T) {
	for keep, ok := range map[time.Duration]bool{0: true, 2 * MaxPostAge: true, 2*MaxPostAge - 1: false, -1: false} {
		times := DefaultTimes
		times.Keep = keep
		if err := times.Validate(); (err == nil) != ok {
			t.Errorf("keep %s: %v", keep, err)
		}
	}
	if err := (Times{}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("no times at all: %v", err)
	}
}
