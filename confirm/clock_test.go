package confirm

import (
	"testing"
	"time"
	_ "time/tzdata" // wherever the tests run

	"hashtill/offers"
)

func TestClock(t *testing.T) {
	summer := time.Date(2026, 7, 1, 21, 50, 0, 0, time.UTC)
	quiet := offers.Quiet{From: 22 * 60, To: 7 * 60, Zone: "America/Montreal"}
	for _, c := range []struct {
		what, want string
		b          offers.Buyer
		in         time.Duration
	}{
		{"nothing told", "22:05 UTC", offers.Buyer{}, 15 * time.Minute},
		{"nothing told, tomorrow", "2026-07-02 00:05 UTC", offers.Buyer{}, 135 * time.Minute},
		{"a country with one zone", "2026-07-02 00:05 (UTC+02:00)", offers.Buyer{Country: "FR"}, 15 * time.Minute},
		{"a country with one zone", "23:55 (UTC+02:00)", offers.Buyer{Country: "DE"}, 5 * time.Minute},
		{"a country at zero", "21:55 (UTC+00:00)", offers.Buyer{Country: "IS"}, 5 * time.Minute},
		{"a country with several zones", "21:55 UTC", offers.Buyer{Country: "US"}, 5 * time.Minute},
		{"a country that is none", "21:55 UTC", offers.Buyer{Country: "??"}, 5 * time.Minute},
		{"a zone before the country", "17:55 (UTC-04:00)", offers.Buyer{Country: "FR", Quiet: quiet}, 5 * time.Minute},
		{"a zone that is gone", "23:55 (UTC+02:00)", offers.Buyer{Country: "FR", Quiet: offers.Quiet{Zone: "Mars/Olympus"}}, 5 * time.Minute},
	} {
		if got := clock(summer, summer.Add(c.in), c.b); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
	// Forward and back: a clock shows what it shows then.
	march := time.Date(2026, 3, 29, 0, 55, 0, 0, time.UTC)
	if got := clock(march, march.Add(15*time.Minute), offers.Buyer{Country: "FR"}); got != "03:10 (UTC+02:00)" {
		t.Errorf("as clocks are put forward: %s", got)
	}
}

// Every country of the table is one, and its zone is known to the program.
func TestZones(t *testing.T) {
	if len(zones()) < 200 {
		t.Errorf("only %d", len(zones()))
	}
	for country, zone := range zones() {
		if !offers.ValidCountry(country) {
			t.Errorf("%q is no country", country)
		}
		if _, err := time.LoadLocation(zone); err != nil || zone == "" {
			t.Errorf("%s: %v", country, err)
		}
	}
}
