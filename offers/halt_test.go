package offers

import (
	"testing"

	"hashtill/store"
)

// Nothing is charged, and no code goes out, while the shop is halted.
func TestHalt(t *testing.T) {
	s := scarce(t)
	p := s.wishes(1)[0]
	if err := s.echo(s.is(p.ID, Coded), account(0)); err != nil {
		t.Fatal(err)
	}
	s.settle()
	if _, err := s.Press(t.Context(), p.ID, 1, "", s.now); err != nil {
		t.Fatal(err)
	}
	// By another process: ours learns of it with the read before the charge.
	other, err := NewShop(s.st, s.Settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Halt(t.Context(), Halt{At: s.now, By: "operator"}); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(p.ID, Confirmed)
	if s.calls["charge/"+string(p.ID)+"/1"] > 0 {
		t.Fatal("charged")
	}
	if _, err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	wish := s.wish(1, "b")
	if h, err := s.Halted(t.Context()); err != nil || h == nil || h.By != "operator" {
		t.Error(h, err)
	}
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(haltPause)
	s.settle()
	s.is(p.ID, Paid)
	s.is(wish.ID, Waiting)
	s.sound()
}

// Nobody's turn comes while the shop is halted, for it could not be told in time.
func TestHaltedLine(t *testing.T) {
	s := scarce(t)
	all := s.wishes(2)
	if err := s.Halt(t.Context(), Halt{At: s.now, By: "operator"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Cancel(t.Context(), all[0].ID, account(0), s.now); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.is(all[1].ID, Waiting)
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(haltPause)
	s.settle()
	s.is(all[1].ID, Coded)
}

// A halt that meets a resume half-way is whole.
func TestHaltMeetsAResume(t *testing.T) {
	s := scarce(t)
	h := Halt{At: s.now, By: "operator"}
	if err := s.Halt(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	for shard := range 10 { // a resume died here
		if _, err := s.setHalt(t.Context(), store.Shards-1-shard, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Halt(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	for shard := range store.Shards {
		if recs, err := s.st.Get(t.Context(), shard, haltKey); err != nil || recs[0].Version == 0 {
			t.Errorf("shard %d is not halted, %v", shard, err)
		}
	}
}
