package bot

import (
	"context"
	"time"

	"hashtill/offers"
)

// A Finder is a Network that can be asked whether a post is still there, and does not
// tell by itself ([Deletion]) when one is not.
type Finder interface {
	// Gone says that the post with that ID is not there any more. Where that cannot be
	// told, it is an error.
	Gone(ctx context.Context, post string) (bool, error)
}

// goneTime bounds how long a link may wait for a Finder.
const goneTime = 5 * time.Second

// UnlessWithdrawn makes an Act of act that first has a look at the post that wished for
// the purchase, where its network is a [Finder]. If its author has removed it, the
// purchase is cancelled, and act is not performed. What cannot be told is no reason not
// to go on: the buyer is asked once more before anything is charged.
//
// It is for [offers.MailLink]: that is owed once for each purchase, after its buyer has
// confirmed, and performed beside others, so that nobody waits for the network but the
// link it is about.
func (b *Bot) UnlessWithdrawn(act offers.Act) offers.Act {
	return func(ctx context.Context, j offers.Job) (offers.Event, error) {
		if b.withdrawn(ctx, j.Purchase) {
			return offers.Event{Kind: offers.CancelAsked, By: j.Purchase.Buyer}, nil
		}
		return act(ctx, j)
	}
}

func (b *Bot) withdrawn(ctx context.Context, p offers.Purchase) bool {
	if p.OnPage {
		return false // there never was a post
	}
	for _, n := range b.Networks {
		f, ok := n.(Finder)
		if !ok || n.Name() != p.Buyer.Network {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, goneTime)
		defer cancel()
		gone, err := f.Gone(ctx, p.Wish)
		if err != nil {
			b.Log.Warn("cannot tell whether the wish is still there; going on", "purchase", string(p.ID), "network", n.Name(), "err", err)
		}
		return gone && err == nil
	}
	return false
}
