package offers

import (
	"reflect"
	"testing"
	"time"
)

// owns gives buyer 1 cards, of which the first pays. pm_old has expired.
func (s *shop) owns(ids ...string) {
	s.t.Helper()
	var cards []Card
	for _, id := range ids {
		c := Card{ID: id, Brand: "visa", Last4: "4242", Month: 11, Year: 2026}
		if id == "pm_old" {
			c.Month = 10
		}
		cards = append(cards, c)
	}
	err := s.Register(s.t.Context(), Buyer{Account: account(1), Email: "b1@example.com", Customer: "cus_1", Cards: cards}, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
}

// paidWith notes the card of each charge, which ends as told.
func (s *shop) paidWith(outcomes ...Event) *[]string {
	var cards []string
	s.with[Charge] = func(j Job) (Event, error) {
		ev := Event{Kind: Charged}
		if len(cards) < len(outcomes) {
			ev = outcomes[len(cards)]
			ev.Attempt = j.Purchase.Attempt
		}
		cards = append(cards, j.Purchase.Card.ID)
		return ev, nil
	}
	return &cards
}

func TestAnotherCardPays(t *testing.T) {
	s := newShop(t, tee(10, 9))
	s.owns("pm_1", "pm_2", "pm_old")
	cards := s.paidWith(Event{Kind: ChargeFailed, Reason: InsufficientFunds})
	p := s.mailed(1, "1")
	if p.Card.ID != "pm_1" {
		t.Fatalf("the first card is %+v", p.Card)
	}
	press := func(card string) error {
		_, err := s.Press(t.Context(), p.ID, 1, card, s.now)
		return err
	}
	if err := press(""); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(p.ID, Declined)
	if err := press("pm_2"); err != nil {
		t.Fatal(err)
	}
	// What is pressed while a charge is under way changes nothing of it.
	if err := press("pm_1"); err != nil {
		t.Fatal(err)
	}
	if p := s.is(p.ID, Confirmed); p.Card.ID != "pm_2" || p.Card.Month != 11 || p.Attempt != 2 {
		t.Errorf("attempt %d with %+v", p.Attempt, p.Card)
	}
	s.settle()
	s.is(p.ID, Paid)
	if want := []string{"pm_1", "pm_2"}; !reflect.DeepEqual(*cards, want) {
		t.Errorf("charged %v, want %v", *cards, want)
	}
	s.clean()
}

// Nothing happens with a card that is not the buyer's own, or is not any more.
func TestCardsThatCannotPay(t *testing.T) {
	s := newShop(t, tee(10, 9))
	s.owns("pm_1", "pm_2", "pm_old")
	cards := s.paidWith()
	p := s.mailed(1, "1")
	refused := func(why Reason, card string) {
		t.Helper()
		_, err := s.Press(t.Context(), p.ID, 1, card, s.now)
		wantRefusal(t, err, why)
		s.settle()
		if got := s.is(p.ID, Mailed); !reflect.DeepEqual(got, p) {
			t.Errorf("it became %+v", got)
		}
	}
	err := s.Register(t.Context(), Buyer{Account: account(2), Email: "b2@example.com", Customer: "cus_2", Cards: []Card{{ID: "pm_theirs"}}}, s.now)
	if err != nil {
		t.Fatal(err)
	}
	refused(CardUnknown, "pm_theirs")
	refused(CardUnknown, "pm_1 ")
	refused(CardExpired, "pm_old")

	// Its own card is taken away meanwhile.
	s.owns("pm_2", "pm_3")
	refused(CardUnknown, "")
	refused(CardUnknown, "pm_1")
	if _, err := s.Press(t.Context(), p.ID, 1, "pm_2", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(p.ID, Paid)
	if want := []string{"pm_2"}; !reflect.DeepEqual(*cards, want) {
		t.Errorf("charged %v, want %v", *cards, want)
	}
}

// What we know of a card's date may be old: whoever chooses nothing leaves it to the
// bank.
func TestExpiredCardThatWasMeant(t *testing.T) {
	s := newShop(t, tee(10, 9))
	s.owns("pm_1", "pm_2", "pm_old")
	cards := s.paidWith()
	s.with[Prepare] = func(j Job) (Event, error) {
		return Event{Kind: IntentMade, Intent: "pi_1", Card: j.Buyer.Cards[2]}, nil
	}
	p := s.mailed(1, "1")
	s.presses(p)
	s.settle()
	s.is(p.ID, Paid)
	if want := []string{"pm_old"}; !reflect.DeepEqual(*cards, want) {
		t.Errorf("charged %v, want %v", *cards, want)
	}
}

// A card is good until its month is over everywhere.
func TestCardExpires(t *testing.T) {
	over := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		card Card
		at   time.Time
		want bool
	}{
		{Card{Month: 11, Year: 2026}, over.Add(-time.Nanosecond), false},
		{Card{Month: 11, Year: 2026}, over, true},
		{Card{Month: 12, Year: 2025}, over, true},
		{Card{Month: 12, Year: 2026}, over, false},
		{Card{}, over, false},
		{Card{Year: 2020}, over, false},
	} {
		if got := c.card.Expired(c.at); got != c.want {
			t.Errorf("%02d/%d at %v: %v", c.card.Month, c.card.Year, c.at, got)
		}
	}
}

func TestPayable(t *testing.T) {
	good, other, old := Card{ID: "good"}, Card{ID: "other"}, Card{ID: "old", Month: 1, Year: 2020}
	for name, c := range map[string]struct {
		has  []Card
		of   Card
		want Card
	}{
		"its own":                 {[]Card{other, good}, good, good},
		"gone":                    {[]Card{other, good}, Card{ID: "gone"}, other},
		"gone, the first expired": {[]Card{old, good}, Card{ID: "gone"}, good},
		"expired":                 {[]Card{old, good}, old, good},
		"all expired":             {[]Card{old}, old, Card{}},
		"none":                    {nil, good, Card{}},
	} {
		cards, meant := Buyer{Cards: c.has}.Payable(Purchase{Card: c.of}, t0)
		if meant != c.want || !reflect.DeepEqual(cards, c.has) {
			t.Errorf("%s: %v of %v", name, meant, cards)
		}
	}
}
