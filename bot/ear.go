package bot

import "context"

// An Ear is what a turn of listening does with posts and with the cursor, without the
// goroutines and the clock of [Bot.Run]: for who brings the time itself, such as a
// simulation.
type Ear struct {
	l      *listener
	stored string
}

// Ear begins a turn at the stored cursor. It is called after Register.
func (b *Bot) Ear(ctx context.Context, n Network) (*Ear, error) {
	since, err := b.Shop.Cursor(ctx, n.Name())
	if err != nil {
		return nil, err
	}
	return &Ear{l: &listener{Bot: b, n: n, cursor: since}, stored: since}, nil
}

// Cursor is how far posts are dealt with.
func (e *Ear) Cursor() string {
	e.l.mu.Lock()
	defer e.l.mu.Unlock()
	return e.l.cursor
}

// Hear is the function that a [Network] hands posts to, in the order in which it does.
func (e *Ear) Hear(ctx context.Context, p Post) error { return e.l.heard(ctx, p) }

// Keep stores the cursor if it has moved.
func (e *Ear) Keep(ctx context.Context) error {
	kept, err := e.l.keep(ctx, e.stored)
	if err == nil {
		e.stored = kept
	}
	return err
}
