package api

import "hashtill/offers"

// A Route is what a test tries.
type Route struct {
	Pattern string
	Needs   offers.Right
}

// Routes are all of them.
func Routes() (all []Route) {
	for _, r := range routes {
		all = append(all, Route{r.pattern, r.needs})
	}
	return all
}

// ErrInside is errInside.
var ErrInside = errInside

// Control is what is asked of an address.
func (t *Teller) Control(address string) error { return t.control("tcp", address, nil) }
