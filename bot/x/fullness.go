package x

// fullness is what the log is told of a budget.
type fullness int

const (
	ample fullness = iota
	low            // a fifth is left
	spent
)

// tell writes to the log how much is left, once for each change. The lock is held.
func (b *budget) tell() {
	state, which, left, limit := ample, "", 0, 0
	note := func(name string, of, most int) {
		s := ample
		switch {
		case of <= 0:
			s = spent
		case of*5 <= most:
			s = low
		}
		if s > state {
			state, which, left, limit = s, name, of, most
		}
	}
	for _, w := range b.windows {
		if w.limit > 0 {
			note(w.header, w.left, w.limit)
		}
	}
	if b.perDay > 0 {
		note("replies of a day", b.perDay-len(b.said), b.perDay)
	}
	if !b.blocked.IsZero() {
		state, which = spent, "refused by X"
	}
	switch {
	case state == ample && b.told != ample:
		b.log.Info("there is a budget for public replies again")
		b.told = ample
	case state > b.told && state == low:
		b.log.Warn("the budget for public replies is nearly spent", "limit", which, "left", left, "of", limit)
		b.told = low
	case state > b.told:
		b.log.Warn("the budget for public replies is spent: codes go by mail, invitations and refusals of unregistered buyers wait", "limit", which, "of", limit)
		b.told = spent
	}
}
