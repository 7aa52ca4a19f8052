package bot

import (
	"context"
	"errors"
	"strings"

	"hashtill/offers"
	"hashtill/offers/words"
)

// maxAnnouncement is what an announcement weighs at most, as X counts
// (https://docs.x.com/fundamentals/counting-characters), and leastTitle the least of a
// title that says something.
const (
	maxAnnouncement = 280
	leastTitle      = 16
)

// Announcement is the text of a post about an offer, for an account with that handle:
// what it is, its price, how many a buyer can have, the end of the sale, and how to buy.
// It fits a post whatever the names are: what matters least is left out first. ref tells
// it apart from every other.
func Announcement(o offers.Offer, handle, lang, ref string) string {
	w := words.For(lang)
	args := map[string]any{"Total": o.Price.Format(w.Lang), "Count": o.PerBuyer, "Handle": handle, "Tag": "#" + o.Tag, "Title": ""}
	how := w.Say("announce.how", args)
	mark := "(" + ref + ")"
	until := []string(nil)
	if !o.Closes.IsZero() {
		args["Until"] = o.Closes.UTC().Format("2006-01-02 15:04 UTC")
		until = []string{w.Say("announce.until", args)}
	}
	terms := w.Say("announce.terms", args)
	room := maxAnnouncement - weigh(w.Say("announce.offer", args)) - 1 // for the title
	for _, rest := range [][]string{append(until, how, terms, mark), append(until, how, mark), {how, mark}} {
		text := strings.Join(rest, " ")
		title := clip(o.Title, min(2*maxTitle, room-weigh(text)))
		if left := room - weigh(text); left < leastTitle && weigh(o.Title) > left {
			continue
		}
		args["Title"] = title
		return w.Say("announce.offer", args) + " " + text
	}
	return how + " " + mark
}

// weigh is the most that a text weighs in which nothing passes for a link.
func weigh(s string) (sum int) {
	for _, r := range s {
		sum += heavy(r)
	}
	return sum
}

// announce makes an announcement. refused is why there will never be one.
func (b *Bot) announce(ctx context.Context, a offers.Announcement, o offers.Offer, again bool) (post, refused string, err error) {
	for _, n := range b.Networks {
		if n.Name() != a.Network {
			continue
		}
		announcer, ok := n.(Announcer)
		if !ok {
			return "", "nothing can be announced on " + a.Network, nil
		}
		_, handle, err := n.Self(ctx)
		if err != nil {
			return "", "", err
		}
		post, err = announcer.Announce(ctx, Announcement(o, handle, a.Lang, a.Ref()), again)
		var no *RefusedError
		switch {
		case errors.As(err, &no):
			return "", no.Why + ": " + no.Advice(), nil
		case errors.Is(err, ErrTooLong):
			return "", "the text does not fit", nil
		}
		return post, "", err
	}
	return "", "network " + a.Network + " is not configured", nil
}
