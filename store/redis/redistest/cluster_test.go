package redistest

import "testing"

// A master that comes back claims its slots until it has heard of the fail-over.
func TestLaterEpochOwns(t *testing.T) {
	old, promoted := new(Server), new(Server)
	before := view{node: old, epoch: 3, slots: [][2]int{{0, 9}, {20, 20}}}
	after := view{node: promoted, epoch: 7, slots: [][2]int{{5, 20}}}
	for _, claims := range [][]view{{before, after}, {after, before}} {
		got := owners(claims)
		for slot, want := range map[int]*Server{0: old, 4: old, 5: promoted, 9: promoted, 10: promoted, 20: promoted, 21: nil} {
			if got[slot] != want {
				t.Errorf("slot %d has another owner", slot)
			}
		}
	}
}
