package offers

import (
	"fmt"
	"strings"
	"time"
)

// How a file writes times. Those without an offset are read by the clocks of the offer's zone.
var (
	withOffset = []string{time.RFC3339Nano, "2006-1-2T15:4:5.999999999Z07:00", "2006-1-2t15:4:5.999999999Z07:00",
		"2006-1-2T15:4Z07:00", "2006-1-2 15:4:5.999999999Z07:00", "2006-1-2 15:4Z07:00"}
	byClock = []string{"2006-1-2 15:4", "2006-1-2 15:4:5.999999999", "2006-1-2T15:4", "2006-1-2T15:4:5.999999999", "2006-1-2"}
)

// parseTime reads a time. One by the clocks of a zone that they do not show, or show twice
// because they are put back, is an error.
func parseTime(text, zone string) (time.Time, error) {
	for _, layout := range withOffset {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	in, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		in = time.UTC // the zone is told as a fault of its own
	}
	for _, layout := range byClock {
		clock, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		shown := onClocks(clock, in)
		switch len(shown) {
		case 0:
			return time.Time{}, fmt.Errorf("%q: the clocks of %s skip that time: write another, or one with an offset", text, in)
		case 1:
			return shown[0], nil
		}
		return time.Time{}, fmt.Errorf("%q: the clocks of %s show that time twice: write %s or %s", text, in,
			shown[0].Format(time.RFC3339), shown[1].Format(time.RFC3339))
	}
	return time.Time{}, fmt.Errorf("%q: want a time such as 2026-11-21T20:00:00Z, or 2026-11-21 20:00 by the clocks of zone", text)
}

// onClocks are the moments at which the clocks of a zone show what clock says in UTC.
func onClocks(clock time.Time, in *time.Location) (shown []time.Time) {
	for _, near := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, offset := clock.Add(near).In(in).Zone()
		t := clock.Add(-time.Duration(offset) * time.Second).In(in)
		if _, is := t.Zone(); is != offset || len(shown) > 0 && shown[0].Equal(t) {
			continue
		}
		if offset%60 != 0 { // which JSON cannot say
			t = t.UTC()
		}
		shown = append(shown, t)
	}
	return shown
}

// timeText writes a time so that [parseTime] gives back the same, by the zone's clocks
// where that is possible.
func timeText(t time.Time, zone string) string {
	if in, err := time.LoadLocation(zone); err == nil && zone != "" {
		text := t.Format("2006-01-02 15:04:05.999999999")
		text = strings.TrimSuffix(text, ":00")
		again, err := parseTime(text, zone)
		_, offset := t.Zone()
		_, at := t.In(in).Zone()
		if err == nil && again.Equal(t) && offset == at {
			return text
		}
	}
	return t.Format(time.RFC3339Nano)
}
