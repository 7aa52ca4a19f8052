package offers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Quiet are the hours of each day in which nothing is sold to a buyer, as the buyer
// wished. The zero Quiet are none.
type Quiet struct {
	From Clock  `json:"from"`
	To   Clock  `json:"to"`   // the first moment after them; before From: on the next day
	Zone string `json:"zone"` // of the IANA list, such as Europe/Paris
}

// A Clock is a time of a day, in minutes since midnight as the clocks on the wall show.
type Clock int

// String is the time as in 22:00.
func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", int(c)/60, int(c)%60) }

// ParseQuiet reads hours such as 22:00-07:00 in a zone such as Europe/Paris.
func ParseQuiet(hours, zone string) (Quiet, error) {
	q := Quiet{Zone: zone}
	from, to, _ := strings.Cut(hours, "-")
	for _, of := range []struct {
		text string
		to   *Clock
	}{{from, &q.From}, {to, &q.To}} {
		t, err := time.Parse("15:04", of.text)
		if err != nil {
			return Quiet{}, fmt.Errorf("%q: want two times of the day, such as 22:00-07:00", hours)
		}
		*of.to = Clock(t.Hour()*60 + t.Minute())
	}
	return q, q.Validate()
}

// String is what [ParseQuiet] reads, with a space between hours and zone.
func (q Quiet) String() string {
	if q == (Quiet{}) {
		return ""
	}
	return fmt.Sprintf("%s-%s %s", q.From, q.To, q.Zone)
}

// maxZone bounds the name of a zone, in bytes.
const maxZone = 60

// Validate joins every complaint. The zero Quiet is valid.
func (q Quiet) Validate() error {
	if q == (Quiet{}) {
		return nil
	}
	var errs []error
	if q.From < 0 || q.To < 0 || q.From >= 24*60 || q.To >= 24*60 {
		errs = append(errs, errors.New("a day has 24 hours"))
	}
	if q.From == q.To {
		errs = append(errs, fmt.Errorf("from %s to %s is no time, or all of it: to be sold nothing at all there is a freeze", q.From, q.To))
	}
	// The zone of a machine is not that of a buyer.
	if _, err := time.LoadLocation(q.Zone); err != nil || q.Zone == "" || q.Zone == "Local" || len(q.Zone) > maxZone {
		errs = append(errs, fmt.Errorf("%q is no zone of the IANA list, such as Europe/Paris", q.Zone))
	}
	return errors.Join(errs...)
}

// At says whether the hours are on at now, and until when, by the buyer's clocks. Where
// those are put forward or back meanwhile the hours are never shorter for it: what
// clocks show twice is quiet from the first time on and until the last, and what they
// never show is the moment when they are put forward.
func (q Quiet) At(now time.Time) (until time.Time, quiet bool) {
	if q == (Quiet{}) {
		return time.Time{}, false
	}
	zone, err := time.LoadLocation(q.Zone)
	if err != nil {
		zone = time.UTC // the list of zones is part of the program: it was taken out of a later one
	}
	today := now.In(zone)
	for day := -1; day <= 1; day++ {
		begins, _ := q.From.on(today, day)
		last := day
		if q.To < q.From {
			last++
		}
		_, ends := q.To.on(today, last)
		if !now.Before(begins) && now.Before(ends) {
			return ends, true
		}
	}
	return time.Time{}, false
}

// on is when the clocks show c, some days after a day: the first and the last moment.
func (c Clock) on(day time.Time, days int) (first, last time.Time) {
	zone := day.Location()
	shown := time.Date(day.Year(), day.Month(), day.Day()+days, 0, int(c), 0, 0, time.UTC)
	// What is ahead of UTC by so much shows it by so much earlier. No zone is changed
	// twice in a day.
	const around = 15 * time.Hour
	_, before := shown.Add(-around).In(zone).Zone()
	_, after := shown.Add(around).In(zone).Zone()
	by := func(offset int) (t time.Time, shows bool) {
		t = shown.Add(-time.Duration(offset) * time.Second).In(zone)
		_, is := t.Zone()
		return t, is == offset
	}
	a, showsBefore := by(before)
	b, showsAfter := by(after)
	switch {
	case showsBefore && showsAfter: // before is ahead, or they are the same
		return a, b
	case showsBefore:
		return a, a
	case showsAfter:
		return b, b
	}
	_, forward := b.ZoneBounds() // b is still in the zone before
	return forward, forward
}

// A QuietHoursError is a [Refusal] because of the buyer's quiet hours.
type QuietHoursError struct{ Until time.Time } // by the buyer's clocks

func (e *QuietHoursError) Error() string { return "refused: quiet hours until " + e.Until.String() }

// Unwrap is the refusal that it is.
func (e *QuietHoursError) Unwrap() error { return &Refusal{QuietHours} }

// SetQuiet sets the hours in which nothing is sold to a buyer, from now on; the zero
// Quiet takes them away. ErrInvalid says that they cannot be, ErrNotFound that the
// account has not registered.
func (s *Shop) SetQuiet(ctx context.Context, a Account, q Quiet, now time.Time) error {
	if err := q.Validate(); err != nil {
		return fmt.Errorf("%w: quiet hours of %s: %w", ErrInvalid, a, err)
	}
	return s.editRegistered(ctx, a, now, func(b *Buyer) error {
		b.Quiet = q
		return nil
	})
}
