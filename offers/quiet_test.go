package offers

import (
	"errors"
	"testing"
	"time"
	_ "time/tzdata" // wherever the tests run

	"pgregory.net/rapid"
)

func quiet(t testing.TB, hours, zone string) Quiet {
	t.Helper()
	q, err := ParseQuiet(hours, zone)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestQuietHours(t *testing.T) {
	for _, c := range []struct{ hours, zone, at, until string }{ // until "": not quiet
		{"22:00-07:00", "Europe/Paris", "2026-11-21T20:59:59Z", ""},
		{"22:00-07:00", "Europe/Paris", "2026-11-21T21:00:00Z", "2026-11-22T06:00:00Z"},
		{"22:00-07:00", "Europe/Paris", "2026-11-22T05:59:59Z", "2026-11-22T06:00:00Z"},
		{"22:00-07:00", "Europe/Paris", "2026-11-22T06:00:00Z", ""},
		{"12:00-13:00", "UTC", "2026-11-21T11:59:59Z", ""},
		{"12:00-13:00", "UTC", "2026-11-21T12:00:00Z", "2026-11-21T13:00:00Z"},
		{"12:00-13:00", "UTC", "2026-11-21T13:00:00Z", ""},
		{"00:00-06:00", "Asia/Tokyo", "2026-11-21T15:00:00Z", "2026-11-21T21:00:00Z"},
		{"18:00-00:00", "America/New_York", "2026-11-22T04:59:59Z", "2026-11-22T05:00:00Z"},
		// Paris, 25 October 2026: 03:00 summer time becomes 02:00, at 01:00 UTC.
		{"22:00-07:00", "Europe/Paris", "2026-10-24T20:00:00Z", "2026-10-25T06:00:00Z"},
		{"22:00-02:30", "Europe/Paris", "2026-10-25T00:45:00Z", "2026-10-25T01:30:00Z"}, // 02:45, and 02:30 comes again
		{"22:00-02:30", "Europe/Paris", "2026-10-25T01:30:00Z", ""},
		{"02:30-04:00", "Europe/Paris", "2026-10-25T00:30:00Z", "2026-10-25T03:00:00Z"}, // from the first 02:30 on
		{"02:30-04:00", "Europe/Paris", "2026-10-25T01:15:00Z", "2026-10-25T03:00:00Z"},
		// Paris, 29 March 2026: 02:00 becomes 03:00 summer time, at 01:00 UTC.
		{"22:00-07:00", "Europe/Paris", "2026-03-28T21:00:00Z", "2026-03-29T05:00:00Z"},
		{"22:00-02:30", "Europe/Paris", "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z"}, // clocks never show 02:30
		{"22:00-02:30", "Europe/Paris", "2026-03-29T01:00:00Z", ""},
		{"02:30-04:00", "Europe/Paris", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"},
		// Havana, 8 March 2026: midnight becomes 01:00, at 05:00 UTC.
		{"20:00-00:00", "America/Havana", "2026-03-08T04:59:59Z", "2026-03-08T05:00:00Z"},
		{"20:00-00:00", "America/Havana", "2026-03-08T05:00:00Z", ""},
		// Lord Howe is put back by half an hour on 5 April 2026 at 02:00, 15:00 UTC.
		{"22:00-01:45", "Australia/Lord_Howe", "2026-04-04T15:14:59Z", "2026-04-04T15:15:00Z"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		until, on := quiet(t, c.hours, c.zone).At(at)
		got := ""
		if on {
			got = until.UTC().Format(time.RFC3339)
		}
		if got != c.until {
			t.Errorf("%s in %s at %s: until %q, want %q", c.hours, c.zone, c.at, got, c.until)
		}
	}
	if _, on := (Quiet{}).At(t0); on {
		t.Error("no hours are quiet")
	}
}

// On days without a change of clocks it is what the clocks on the wall say; and always,
// the hours end when they say that they end.
func TestQuietHoursAreThoseOnTheWall(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		q := Quiet{
			From: Clock(rapid.IntRange(0, 24*60-1).Draw(rt, "from")), To: Clock(rapid.IntRange(0, 24*60-1).Draw(rt, "to")),
			Zone: rapid.SampledFrom([]string{"Europe/Paris", "America/St_Johns", "Asia/Kolkata", "Pacific/Apia", "Pacific/Chatham", "UTC"}).Draw(rt, "zone"),
		}
		if q.From == q.To {
			return
		}
		if again, err := ParseQuiet(q.From.String()+"-"+q.To.String(), q.Zone); err != nil || again != q {
			rt.Fatalf("%s read again is %s, %v", q, again, err)
		}
		now := time.Unix(rapid.Int64Range(1767225600, 1798761600).Draw(rt, "now"), 0) // 2026
		until, on := q.At(now)
		zone, err := time.LoadLocation(q.Zone)
		if err != nil {
			rt.Fatal(err)
		}
		if on {
			if _, still := q.At(until); still || !until.After(now) || until.Sub(now) > 26*time.Hour {
				rt.Fatalf("%s at %v: until %v", q, now, until)
			}
			if _, before := q.At(until.Add(-time.Nanosecond)); !before {
				rt.Fatalf("%s at %v: not until %v", q, now, until)
			}
		}
		_, before := now.Add(-36 * time.Hour).In(zone).Zone()
		_, after := now.Add(36 * time.Hour).In(zone).Zone()
		if before != after {
			return
		}
		wall := Clock(now.In(zone).Hour()*60 + now.In(zone).Minute())
		want := q.From <= wall && wall < q.To
		if q.To < q.From {
			want = wall >= q.From || wall < q.To
		}
		if on != want {
			rt.Fatalf("%s at %s: %v", q, wall, on)
		}
	})
}

func TestQuietHoursThatAreNone(t *testing.T) {
	for _, c := range [][2]string{{"22:00-22:00", "UTC"}, {"22:00-24:00", "UTC"}, {"22-7", "UTC"}, {"", "UTC"}, {"22:00", "UTC"},
		{"22:00-07:00", ""}, {"22:00-07:00", "Local"}, {"22:00-07:00", "Mars/Olympus"}, {"22:00-07:00", "../../etc/passwd"}} {
		if q, err := ParseQuiet(c[0], c[1]); err == nil {
			t.Errorf("%v is %s", c, q)
		}
	}
	s := newShop(t, tee(10, 9))
	if err := s.SetQuiet(t.Context(), account(1), quiet(t, "22:00-07:00", "UTC"), s.now); !errors.Is(err, ErrNotFound) {
		t.Errorf("quiet hours of a stranger: %v", err)
	}
	s.register(1)
	for _, q := range []Quiet{{From: 60, To: 60, Zone: "UTC"}, {From: -1, To: 60, Zone: "UTC"}, {To: 24 * 60, Zone: "UTC"}, {To: 60}} {
		if err := s.SetQuiet(t.Context(), account(1), q, s.now); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", q, err)
		}
	}
}

// In the quiet hours nothing is sold: neither by a post nor by a button. After them the
// button works, as long as its link does.
func TestNothingIsSoldInQuietHours(t *testing.T) {
	s := newShop(t, tee(10, 9))
	s.register(1)
	p := s.mailed(1, "1")
	q := quiet(t, "21:00-21:10", "Europe/Paris") // it is 21:00 there
	if err := s.SetQuiet(t.Context(), account(1), q, s.now); err != nil {
		t.Fatal(err)
	}
	s.register(1) // a new card changes nothing
	ends := t0.Add(10 * time.Minute)
	err := s.press(p)
	wantRefusal(t, err, QuietHours)
	var on *QuietHoursError
	if !errors.As(err, &on) || !on.Until.Equal(ends) || on.Until.Format("15:04") != "21:10" {
		t.Errorf("until %v", on)
	}
	no := s.wish(1, "2")
	s.settle()
	if no = s.is(no.ID, Refused); no.Reason != QuietHours || !no.QuietUntil.Equal(ends) || no.QuietUntil.Format("15:04") != "21:10" || s.told(no, QuietHours) != 1 {
		t.Errorf("%s until %v, told %d times", no.Reason, no.QuietUntil, s.told(no, QuietHours))
	}
	if s.is(p.ID, Mailed); s.charges() != 0 || s.taken() != 1 {
		t.Errorf("%d charges, %d taken", s.charges(), s.taken())
	}
	s.now = ends
	s.presses(p)
	s.settle()
	s.is(p.ID, Paid)
	s.now = ends.Add(24*time.Hour - time.Minute)
	if err := s.SetQuiet(t.Context(), account(1), Quiet{}, s.now); err != nil {
		t.Fatal(err)
	}
	s.wish(1, "3")
	s.settle()
	s.clean()
}

// They are a wish's own matter: nothing else of it has been looked at before.
func TestSoldOutIsToldBeforeQuietHours(t *testing.T) {
	o := tee(10, 9)
	o.Closes = t0
	s := newShop(t, o)
	s.register(1)
	if err := s.SetQuiet(t.Context(), account(1), quiet(t, "19:00-23:00", "UTC"), s.now); err != nil {
		t.Fatal(err)
	}
	if p := s.wish(1, "1"); p.Reason != OfferClosed {
		t.Errorf("refused for %s", p.Reason)
	}
}
