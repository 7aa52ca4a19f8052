package offers

import (
	"errors"
	"testing"
	"time"
)

func TestMerchants(t *testing.T) {
	s := newShop(t, tee(1, 1))
	ctx := t.Context()
	if _, err := s.Merchant(ctx, "records"); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := s.EditMerchant(ctx, "Records!", func(m *Merchant) error { m.Name = "R"; return nil }); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	for _, id := range []string{"records", "hats"} {
		if _, err := s.EditMerchant(ctx, id, func(m *Merchant) error { m.Name = "Example " + id; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := s.Merchants(ctx); err != nil || len(all) != 2 || all[0].ID != "hats" {
		t.Error(all, err)
	}
	secret, err := s.AddToken(ctx, "records", Token{Name: "till", Rights: []Right{ReadOrders}, Until: t0.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	m, token, err := s.Machine(ctx, secret, s.now)
	if err != nil || m.ID != "records" || token.Name != "till" {
		t.Fatal(m, token, err)
	}
	for what, miss := range map[string]func() error{
		"another": func() error { _, _, err := s.Machine(ctx, secret[:len(secret)-1]+"!", s.now); return err },
		"late":    func() error { _, _, err := s.Machine(ctx, secret, t0.Add(time.Hour)); return err },
		"removed": func() error {
			if err := s.RemoveToken(ctx, "records", token.ID); err != nil {
				t.Fatal(err)
			}
			_, _, err := s.Machine(ctx, secret, s.now)
			return err
		},
	} {
		if err := miss(); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	h, err := s.AddHook(ctx, "hats", "https://shop.example.com/hook", []string{ToldPaid})
	if err != nil || !h.Wants(ToldPaid) || h.Wants(ToldShipped) {
		t.Error(h, err)
	}
	if _, err := s.AddHook(ctx, "hats", "ftp://example.com", nil); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if err := s.RemoveHook(ctx, "hats", h.ID); err != nil {
		t.Error(err)
	}
	s.sound()
}

func TestStaff(t *testing.T) {
	s := newShop(t, tee(1, 1))
	ctx := t.Context()
	_, err := s.EditPerson(ctx, "ann@example.com", func(p *Person) error { p.Roles["records"] = Clerk; return nil })
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Person(ctx, "Ann@Example.com")
	if err != nil || p.Role("records") != Clerk || p.Role("hats") != "" || p.Runs() {
		t.Fatal(p, err)
	}
	p.Roles[Operator] = Viewer
	if p.Role("hats") != Viewer || p.Role("records") != Clerk {
		t.Error("the mightier role counts")
	}

	link, err := s.AskShift(ctx, p.Email, s.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Shift(ctx, link, s.now); !errors.Is(err, ErrNotFound) {
		t.Error("a link is a session", err)
	}
	if _, err := s.BeginShift(ctx, link, s.now.Add(shiftLink)); !errors.Is(err, ErrNotFound) {
		t.Error("a late link", err)
	}
	token, err := s.BeginShift(ctx, link, s.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.BeginShift(ctx, link, s.now); !errors.Is(err, ErrNotFound) {
		t.Error("a link is good twice", err)
	}
	if sh, err := s.Shift(ctx, token, s.now); err != nil || sh.Email != p.Email || sh.CSRF == "" {
		t.Error(sh, err)
	}
	if _, err := s.BeginShift(ctx, token, s.now); !errors.Is(err, ErrNotFound) {
		t.Error("a session is a link", err)
	}
	for i, want := range []bool{true, false, false, true} {
		if got, err := s.TakeFactor(ctx, p.Email, []uint64{7, 7, 6, 8}[i]); got != want || err != nil {
			t.Errorf("code %d taken: %t, %v", i, got, err)
		}
	}
	if err := s.FactorShift(ctx, token, s.now); err != nil {
		t.Error(err)
	}
	s.sound()
	if err := s.EndShift(ctx, token); err != nil {
		t.Error(err)
	}
	if _, err := s.Shift(ctx, token, s.now); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.EditPerson(ctx, p.Email, func(p *Person) error { clear(p.Roles); return nil }); err != nil {
		t.Error(err)
	}
	if _, err := s.Person(ctx, p.Email); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}

	// Who is added again has the second factor that they had, and no session of before.
	if _, err := s.EditPerson(ctx, "bob@example.com", func(p *Person) error { p.Roles["hats"], p.Factor = Owner, "SECRET"; return nil }); err != nil {
		t.Fatal(err)
	}
	if link, err = s.AskShift(ctx, "bob@example.com", s.now); err != nil {
		t.Fatal(err)
	}
	if token, err = s.BeginShift(ctx, link, s.now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.EditPerson(ctx, "bob@example.com", func(p *Person) error { clear(p.Roles); return nil }); err != nil {
		t.Fatal(err)
	}
	if all, err := s.People(ctx); err != nil || len(all) != 0 {
		t.Error(all, err)
	}
	s.now = s.now.Add(time.Minute)
	p, err = s.EditPerson(ctx, "bob@example.com", func(p *Person) error { p.Roles["hats"] = Owner; return nil })
	if err != nil || p.Factor != "SECRET" {
		t.Error(p, err)
	}
	if sh, err := s.Shift(ctx, token, s.now); err != nil || !p.Since.After(sh.Begun()) {
		t.Error(sh, err)
	}
	s.sound()
}

func TestDeeds(t *testing.T) {
	s := newShop(t, tee(1, 1))
	for i, what := range []string{"ship", "refund"} {
		d := Deed{At: t0.Add(time.Duration(i) * time.Second), Who: "ann@example.com", Merchant: "records", What: what}
		if err := s.Write(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := s.Deeds(t.Context(), "records", 1); err != nil || len(all) != 1 || all[0].What != "refund" {
		t.Error(all, err)
	}
	if all, err := s.Deeds(t.Context(), Operator, 9); err != nil || len(all) != 0 {
		t.Error(all, err)
	}
	s.sound()
	s.now = t0.Add(keepDeeds + time.Hour)
	s.settle()
	if all, err := s.Deeds(t.Context(), "records", 9); err != nil || len(all) != 0 {
		t.Error("kept for ever", all, err)
	}
}
