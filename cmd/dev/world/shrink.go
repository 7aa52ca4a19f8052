package world

import "slices"

// Shrink makes the options of a world that has gone wrong smaller, as long as it goes wrong:
// fewer kinds of weather, fewer wishes.
func Shrink(o Options) Options {
	bad := func(o Options) bool { return len(Run(o).Violations) > 0 }
	o.Trace = false
	if o.Weather == nil {
		o.Weather = Weather()
	}
	if o.Purchases == 0 {
		o.Purchases = defaultPurchases
	}
	for again := true; again; {
		again = false
		for _, kind := range slices.Clone(o.Weather) {
			less := o
			less.Weather = slices.DeleteFunc(slices.Clone(o.Weather), func(k string) bool { return k == kind })
			if bad(less) {
				o, again = less, true
			}
		}
		for n := 1; n < o.Purchases; n++ {
			less := o
			if less.Purchases = n; bad(less) {
				o, again = less, true
			}
		}
	}
	return o
}
