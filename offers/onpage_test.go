package offers

import (
	"testing"
	"time"
)

func (s *shop) asksOnPage(n int, nonce string) Purchase {
	s.t.Helper()
	p, err := s.Wish(s.t.Context(), Wish{Post: "page-" + nonce, Account: account(n), Offer: "buytee", OnPage: true}, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// Who has signed in buys on a page without any post: the link comes at once, and only its
// press charges.
func TestWishOnAPage(t *testing.T) {
	s := scarce(t)
	p := s.asksOnPage(0, "a")
	if again := s.asksOnPage(0, "a"); again.ID != p.ID {
		t.Error("pressed twice, asked twice")
	}
	s.settle()
	if p = s.is(p.ID, Mailed); p.Held != 1 || p.Code != "" || p.Reply != "" {
		t.Errorf("%+v", p)
	}
	if len(s.calls) != 2 {
		t.Errorf("done: %v", s.calls)
	}
	// It is sold out for the next, who waits, and gets the link when it is their turn.
	next := s.asksOnPage(1, "b")
	s.settle()
	s.is(next.ID, Waiting)
	if _, err := s.Cancel(t.Context(), p.ID, account(0), s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(next.ID, Mailed)
	if _, err := s.Press(t.Context(), next.ID, 1, "", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(next.ID, Paid)
	if n := s.calls["reply/"+string(next.ID)] + s.calls["mail-code/"+string(next.ID)]; n > 0 {
		t.Error("a code was told that nobody needs")
	}
	s.sound()
	// Strangers sign up first.
	_, err := s.Wish(t.Context(), Wish{Post: "page-c", Account: Account{"x", "99"}, Offer: "buytee", OnPage: true}, s.now)
	wantRefusal(t, err, NotRegistered)
}

// Nothing is bought on a page for a while after the address was changed: whoever sits at a
// browser that was left open would confirm to themselves.
func TestNewAddress(t *testing.T) {
	s := scarce(t)
	if err := s.SetEmail(t.Context(), account(0), "thief@example.com", s.now); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(AddressRest - time.Second)
	_, err := s.Wish(t.Context(), Wish{Post: "page-a", Account: account(0), Offer: "buytee", OnPage: true}, s.now)
	wantRefusal(t, err, AddressNew)
	s.now = s.now.Add(time.Second)
	s.asksOnPage(0, "b")
}
