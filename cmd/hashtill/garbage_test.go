package main

import "testing"

func TestCollectPercent(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		live, allocated uint64
		want            int
	}{
		{8 * mb, 0, 100},          // at rest
		{8 * mb, 31 * mb, 100},    // not much
		{8 * mb, 32 * mb, 800},    // 64 MB of garbage
		{32 * mb, 500 * mb, 200},  // as much
		{300 * mb, 500 * mb, 100}, // never less seldom than Go has it
		{0, 500 * mb, 100},        // nothing was collected yet
		{1, 500 * mb, 10_000},
	} {
		if got := collectPercent(c.live, c.allocated); got != c.want {
			t.Errorf("%d MB live, %d MB allocated: %d, want %d", c.live/mb, c.allocated/mb, got, c.want)
		}
	}
}
