package offers

import (
	"context"
	"slices"
	"time"
)

// A Note is what somebody of the shop has written about a purchase. Buyers do not see it,
// but for the file of all that is kept of them.
type Note struct {
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	Text string    `json:"text"`
}

// Bounds of notes. When there are more, the oldest goes.
const (
	MaxNotes = 20
	MaxNote  = 500 // runes
)

// Note writes something about a purchase.
func (s *Shop) Note(ctx context.Context, id ID, by, text string, now time.Time) (Purchase, error) {
	if err := spoken("note", text, MaxNote); err != nil {
		return Purchase{}, err
	}
	return s.move(ctx, id, Event{Kind: Noted, Who: by, Text: text}, nil, now)
}

func (s *step) note() {
	s.p.Notes = append(slices.Clone(s.p.Notes), Note{s.now, s.ev.Who, s.ev.Text})
	s.p.Notes = s.p.Notes[max(len(s.p.Notes)-MaxNotes, 0):]
}

// tellMerchant owes that the merchant's machines are told what has happened.
func (s *step) tellMerchant(what string) {
	if s.p.Merchant != "" {
		s.p.MerchantTold++
		s.owe = append(s.owe, Effect{Kind: TellMerchant, Purchase: s.p.ID, N: s.p.MerchantTold, What: what})
	}
}
