package stripetest

import (
	"slices"
	"strconv"
)

// resource is a kind of object that the server keeps.
type resource interface {
	ident() string
	born() int64 // Unix time of creation
	object() object
}

// shelf keeps the resources of one kind, oldest first.
type shelf[T resource] struct {
	byID  map[string]T
	order []T
}

func (s *shelf[T]) put(v T) {
	if s.byID == nil {
		s.byID = map[string]T{}
	}
	s.byID[v.ident()] = v
	s.order = append(s.order, v)
}

func (s *shelf[T]) get(id string) (T, bool) {
	v, ok := s.byID[id]
	return v, ok
}

// paged is the parameters of a list with the filters given
// (docs.stripe.com/api/pagination).
func paged(filters ...string) []string {
	return append([]string{"limit", "starting_after", "ending_before", "created", "created[*]"}, filters...)
}

// page answers a list: newest first, cut by the cursor parameters, at most
// limit (1 to 100, 10 if absent) of those that keep accepts.
func page[T resource](c *call, all *shelf[T], keep func(T) bool) (object, *apiError) {
	limit := 10
	if c.form.has("limit") {
		n, err := c.form.integer("limit", 1, 100)
		if err != nil {
			return nil, err
		}
		limit = int(n)
	}
	within, err := c.form.createdRange()
	if err != nil {
		return nil, err
	}
	after, before := c.form.get("starting_after"), c.form.get("ending_before")
	for name, id := range map[string]string{"starting_after": after, "ending_before": before} {
		if _, ok := all.get(id); id != "" && !ok {
			return nil, noSuch(400, "object", id, name)
		}
	}
	if after != "" && before != "" {
		return nil, invalid("starting_after", "You may only specify one of these parameters: starting_after, ending_before.")
	}

	var found []T
	for _, v := range slices.Backward(all.order) {
		if v.ident() == before {
			break
		}
		if v.ident() == after {
			found = nil
			continue
		}
		if keep(v) && within(v.born()) {
			found = append(found, v)
		}
	}
	return cut(c, found, limit, before != ""), nil
}

// cut makes the list object of those found; a list that goes backwards keeps
// its last ones, those next to the cursor.
func cut[T resource](c *call, found []T, limit int, backwards bool) object {
	more := len(found) > limit
	switch {
	case more && backwards:
		found = found[len(found)-limit:]
	case more:
		found = found[:limit]
	}
	data := make([]any, len(found))
	for i, v := range found {
		data[i] = v.object()
	}
	return object{"object": "list", "url": c.path, "has_more": more, "data": data}
}

// createdRange reads created=T or created[gt|gte|lt|lte]=T.
func (f form) createdRange() (func(int64) bool, *apiError) {
	var tests []func(int64) bool
	for _, name := range f.names() {
		var test func(at, limit int64) bool
		switch name {
		case "created":
			test = func(at, limit int64) bool { return at == limit }
		case "created[gt]":
			test = func(at, limit int64) bool { return at > limit }
		case "created[gte]":
			test = func(at, limit int64) bool { return at >= limit }
		case "created[lt]":
			test = func(at, limit int64) bool { return at < limit }
		case "created[lte]":
			test = func(at, limit int64) bool { return at <= limit }
		default:
			continue
		}
		limit, err := strconv.ParseInt(f.get(name), 10, 64)
		if err != nil {
			return nil, invalid(name, "Invalid timestamp: %s", f.get(name))
		}
		tests = append(tests, func(at int64) bool { return test(at, limit) })
	}
	return func(at int64) bool {
		return !slices.ContainsFunc(tests, func(test func(int64) bool) bool { return !test(at) })
	}, nil
}
