package offers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hashtill/store"
)

// ann has what can be found again wherever it is left.
var ann = Buyer{
	Account: Account{"x", "7832149911"}, Handle: "ann_of_green_gables", Email: "ann@avonlea.example", Lang: "en",
	Customer: "cus_ann", Cards: []Card{{ID: "pm_ann", Brand: "visa", Last4: "4242"}}, Address: "12 Lovers' Lane, Avonlea",
}

func (s *shop) annWishes(post string) Purchase {
	s.t.Helper()
	p, err := s.Wish(s.t.Context(), Wish{Post: post, Account: ann.Account, Handle: ann.Handle, Lang: "en", Offer: "buytee"}, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *shop) annEchoes(p Purchase) Purchase {
	s.t.Helper()
	s.settle()
	if err := s.echo(p, ann.Account); err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	return s.is(p.ID, Mailed)
}

func (s *shop) annPresses(p Purchase) {
	s.t.Helper()
	if _, err := s.Press(s.t.Context(), p.ID, 1, "", s.now); err != nil {
		s.t.Fatal(err)
	}
}

// richLife leaves a purchase of ann's in every way in which one can end, some on
// their way, and some of it not yet performed. Another account has done the same
// once.
func (s *shop) richLife() {
	s.t.Helper()
	s.register(1)
	s.buy(1, "other-1")

	s.annWishes("post-invited-expires") // she has not registered yet
	s.settle()
	s.now = s.now.Add(25 * time.Hour)
	s.settle()
	s.annWishes("post-invited")
	s.settle()
	if err := s.Register(s.t.Context(), ann, s.now); err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	p := s.annEchoes(s.annWishes("post-paid"))
	s.annPresses(p)
	s.settle()
	s.is(p.ID, Paid)
	p = s.annEchoes(s.annWishes("post-refunded"))
	s.annPresses(p)
	s.settle()
	if _, err := s.RefundPurchase(s.t.Context(), p.ID, Money{}, "", s.now); err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	s.is(p.ID, Refunded)
	s.annWishes("post-expired")
	s.settle()
	s.now = s.now.Add(time.Hour)
	s.settle()
	for n := range 9 { // her limit ends some of them
		s.annWishes(fmt.Sprint("post-many-", n))
	}
	s.settle()
	if _, err := s.CancelAll(s.t.Context(), ann.Account, s.now); err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	for _, word := range []string{"help", "cancelled"} {
		if err := s.OweAnswer(s.t.Context(), Answer{Post: "post-" + word, Account: ann.Account, Handle: ann.Handle, Word: word}); err != nil {
			s.t.Fatal(err)
		}
		if word == "help" {
			s.settle()
		}
	}
	// Not performed: the answer above, a resume, and all that a new wish owes.
	if err := s.Register(s.t.Context(), ann, s.now); err != nil {
		s.t.Fatal(err)
	}
	s.annWishes("post-open")
}

// traces are the lines of the store that have anything of ann's.
func (s *shop) traces() []string {
	s.t.Helper()
	return slices.DeleteFunc(dump(s.t, s.st), func(line string) bool {
		return !slices.ContainsFunc([]string{ann.Account.ID, ann.Handle, string(ann.Email), "Lovers", ann.Customer, "pm_ann"},
			func(trace string) bool { return strings.Contains(line, trace) })
	})
}

func TestEraseLeavesNoTrace(t *testing.T) {
	s := newShop(t, tee(20, 5))
	lines := s.archive()
	s.richLife()
	s.clean()
	states := map[State]int{}
	if err := s.EachPurchase(t.Context(), func(p Purchase) error { states[p.State]++; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, state := range []State{Paid, Refunded, Expired, Refused, Cancelled, Asked} {
		if states[state] == 0 {
			t.Errorf("no purchase is %s: %v", state, states)
		}
	}
	if len(s.traces()) < 20 {
		t.Errorf("only %d lines before", len(s.traces()))
	}
	before := s.taken()

	erased, err := s.Erase(t.Context(), ann.Account, s.now)
	if err != nil {
		t.Fatal(err)
	}
	if left := s.traces(); len(left) > 0 {
		t.Errorf("left:\n%s", strings.Join(left, "\n"))
	}
	if erased.Purchases != len(*lines) || erased.Records < 2*erased.Purchases || erased.Customer != "cus_ann" {
		t.Errorf("%+v with %d lines archived", erased, len(*lines))
	}
	s.clean()
	if s.taken() != before-1 { // the open one
		t.Errorf("%d taken, %d before", s.taken(), before)
	}
	if other, err := s.Buyer(t.Context(), account(1)); err != nil || !other.Known() {
		t.Errorf("another buyer: %+v, %v", other, err)
	}

	// Her latest posts are not heard anew, the outbox has nothing to stumble over, and
	// in two days even their numbers are gone.
	_, err = s.Wish(t.Context(), Wish{Post: "post-open", Account: ann.Account, Offer: "buytee"}, s.now)
	wantRefusal(t, err, BuyerStopped)
	s.settle()
	s.now = s.now.Add(postMemory)
	s.settle()
	for _, line := range dump(t, s.st) {
		if strings.Contains(line, "post-") || strings.Contains(line, "erased/") {
			t.Errorf("left: %s", line)
		}
	}
	s.clean()

	if again, err := s.Erase(t.Context(), ann.Account, s.now); err != nil || again != (Erased{}) {
		t.Errorf("once more: %+v, %v", again, err)
	}
	// She may begin anew.
	if err := s.Register(t.Context(), ann, s.now); err != nil {
		t.Fatal(err)
	}
	if p := s.annWishes("post-new"); p.State != Asked {
		t.Errorf("a new wish is %s", p.State)
	}
}

// Whatever an erasure is cut off by, the next one goes on.
func TestEraseIsCutOff(t *testing.T) {
	for at := 1; ; at++ {
		for _, after := range []bool{false, true} {
			st := &crashing{Store: store.NewMemory()}
			s := newShopOn(t, st, tee(20, 5))
			s.richLife()
			st.n, st.at, st.after = 0, at, after
			_, err := s.Erase(t.Context(), ann.Account, s.now)
			st.at = 0
			if err == nil {
				if at < 30 {
					t.Errorf("only %d commits were cut off", at-1)
				}
				return
			}
			if !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			if _, err := s.Erase(t.Context(), ann.Account, s.now); err != nil {
				t.Fatalf("after a cut at commit %d (%v): %v", at, after, err)
			}
			if left := s.traces(); len(left) > 0 {
				t.Fatalf("after a cut at commit %d (%v):\n%s", at, after, strings.Join(left, "\n"))
			}
			s.clean()
		}
	}
}

// A payment is neither cut off nor forgotten.
func TestEraseWaitsForPayments(t *testing.T) {
	unfinished := func(s *shop) *UnfinishedError {
		s.t.Helper()
		erased, err := s.Erase(s.t.Context(), ann.Account, s.now)
		var wait *UnfinishedError
		if !errors.As(err, &wait) {
			s.t.Fatalf("erased: %v", err)
		}
		if erased.Customer != "cus_ann" {
			s.t.Errorf("told %+v", erased)
		}
		return wait
	}
	begin := func(t *testing.T) *shop {
		s := newShop(t, tee(20, 5))
		if err := s.Register(t.Context(), ann, s.now); err != nil {
			t.Fatal(err)
		}
		return s
	}
	end := func(s *shop) {
		s.t.Helper()
		s.settle()
		if _, err := s.Erase(s.t.Context(), ann.Account, s.now); err != nil {
			s.t.Fatal(err)
		}
		if left := s.traces(); len(left) > 0 {
			s.t.Errorf("left:\n%s", strings.Join(left, "\n"))
		}
		s.clean()
	}

	t.Run("confirmed", func(t *testing.T) {
		s := begin(t)
		other := s.annWishes("post-2")
		p := s.annEchoes(s.annWishes("post-1"))
		s.annPresses(p)
		if wait := unfinished(s); !slices.Equal(wait.Paying, []ID{p.ID}) || !strings.Contains(wait.Error(), string(p.ID)) {
			t.Errorf("%+v: %v", wait, wait)
		}
		s.is(other.ID, Coded) // nothing was touched
		end(s)
	})
	t.Run("at the bank", func(t *testing.T) {
		s := begin(t)
		s.with[Charge] = func(j Job) (Event, error) {
			return Event{Kind: BankAsks, Attempt: j.Purchase.Attempt, URL: "https://bank.example"}, nil
		}
		p := s.annEchoes(s.annWishes("post-1"))
		s.annPresses(p)
		s.settle()
		s.is(p.ID, Challenged)
		if wait := unfinished(s); !slices.Equal(wait.Paying, []ID{p.ID}) {
			t.Errorf("%+v", wait)
		}
		s.is(p.ID, Challenged)
		s.now = s.now.Add(5 * time.Second) // Stripe is asked, and has it
		end(s)
	})
	t.Run("to be cancelled at Stripe", func(t *testing.T) {
		s := begin(t)
		p := s.annEchoes(s.annWishes("post-1"))
		open := s.annWishes("post-2")
		wait := unfinished(s)
		if !slices.Equal(wait.Owed, []ID{p.ID}) || !strings.Contains(wait.Error(), string(p.ID)) {
			t.Errorf("%+v: %v", wait, wait)
		}
		s.is(p.ID, Cancelled)
		s.gone(open.ID)
		end(s)
	})
	t.Run("to be prepared at Stripe", func(t *testing.T) {
		s := begin(t)
		p := s.annWishes("post-1")
		s.settle()
		if err := s.echo(p, ann.Account); err != nil {
			t.Fatal(err)
		}
		if wait := unfinished(s); !slices.Equal(wait.Owed, []ID{p.ID}) {
			t.Errorf("%+v", wait)
		}
		end(s)
		if s.calls[Effect{Kind: Void, Purchase: p.ID}.ID()] != 1 {
			t.Error("the payment was not cancelled")
		}
	})
	t.Run("to be paid back", func(t *testing.T) {
		s := begin(t)
		p := s.annEchoes(s.annWishes("post-1"))
		s.annPresses(p)
		s.settle()
		if _, err := s.RefundPurchase(t.Context(), p.ID, Money{}, "", s.now); err != nil {
			t.Fatal(err)
		}
		if wait := unfinished(s); !slices.Equal(wait.Owed, []ID{p.ID}) {
			t.Errorf("%+v", wait)
		}
		end(s)
	})
}

// An intervening store does something right before the first commit that puts a key.
type intervening struct {
	store.Store
	before string // the beginning of the key
	do     func()
}

func (i *intervening) Commit(ctx context.Context, c store.Change) error {
	if do := i.do; do != nil && slices.ContainsFunc(c.Put, func(p store.Put) bool { return strings.HasPrefix(p.Key, i.before) }) {
		i.do = nil
		do()
	}
	return i.Store.Commit(ctx, c)
}

// A purchase that is being filed while its buyer is erased leaves no note.
func TestEraseWhileAPurchaseIsFiled(t *testing.T) {
	st := &intervening{Store: store.NewMemory()}
	s := newShopOn(t, st, tee(20, 5))
	p := s.annWishes("post-1")
	st.before = "own/"
	st.do = func() {
		if _, err := s.Erase(t.Context(), ann.Account, s.now); err != nil {
			t.Error(err)
		}
	}
	s.try()
	s.gone(p.ID)
	if left := s.traces(); st.do != nil || len(left) > 0 {
		t.Errorf("left:\n%s", strings.Join(left, "\n"))
	}
	s.clean()
}

// A purchase that was looked at often has more effects than fit one commit.
func TestEraseAfterManyLooks(t *testing.T) {
	s := newShop(t, tee(20, 5))
	if err := s.Register(t.Context(), ann, s.now); err != nil {
		t.Fatal(err)
	}
	away := func(Job) (Event, error) { return Event{}, errors.New("away") }
	s.with[Charge] = func(j Job) (Event, error) {
		return Event{Kind: BankAsks, Attempt: j.Purchase.Attempt, URL: "https://bank.example"}, nil
	}
	p := s.annEchoes(s.annWishes("post-1"))
	s.annPresses(p)
	s.settle()
	s.with[Look] = away
	for range 300 {
		s.now = s.now.Add(lookPause)
		if _, err := s.BackFromBank(t.Context(), p.ID, s.now); err != nil {
			t.Fatal(err)
		}
	}
	p, err := s.move(t.Context(), p.ID, Event{Kind: Charged}, nil, s.now)
	if err != nil || p.State != Paid || p.Looks < 300 {
		t.Fatalf("%s after %d looks, %v", p.State, p.Looks, err)
	}
	if owed, err := s.owes(t.Context(), p.ID.Shard(), []string{"no/such"}); owed || err != nil {
		t.Errorf("owes what it does not, %v", err)
	}
	if owed, err := s.owes(t.Context(), p.ID.Shard(), p.effects()[200:]); !owed || err != nil {
		t.Errorf("does not owe its looks, %v", err)
	}
	if _, err := s.Erase(t.Context(), ann.Account, s.now); err != nil {
		t.Fatal(err)
	}
	if left := s.traces(); len(left) > 0 {
		t.Errorf("left:\n%s", strings.Join(left, "\n"))
	}
	s.clean()
}
