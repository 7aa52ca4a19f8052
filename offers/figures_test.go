package offers

import (
	"slices"
	"testing"
)

// What merchants look at follows from the commits.
func TestFigures(t *testing.T) {
	s := scarce(t)
	all := s.wishes(2)
	if err := s.echo(s.is(all[0].ID, Coded), account(0)); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if _, err := s.Press(t.Context(), all[0].ID, 1, "", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if _, err := s.Cancel(t.Context(), all[1].ID, account(1), s.now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RefundPurchase(t.Context(), all[0].ID, Money{4999, "USD"}, "", s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	funnel, err := s.Funnel(t.Context(), "buytee")
	if err != nil || funnel[Wished] != 2 || funnel["coded"] != 1 || funnel["paid"] != 1 || funnel["waiting"] != 1 || funnel["cancelled/waiting"] != 1 {
		t.Error(funnel, err)
	}
	earned, err := s.Earned(t.Context(), "buytee")
	if err != nil || !slices.Equal(earned, []Earned{{"2026-11-21", Money{10000, "USD"}}}) {
		t.Error(earned, err)
	}
	orders, err := s.Orders(t.Context(), "buytee")
	if err != nil || len(orders) != 1 || orders[0].ID != all[0].ID {
		t.Error(orders, err)
	}
	if p, err := s.Note(t.Context(), all[0].ID, "ann", "call back", s.now); err != nil || len(p.Notes) != 1 || p.Notes[0].By != "ann" {
		t.Error(p.Notes, err)
	}
	s.sound()
}
