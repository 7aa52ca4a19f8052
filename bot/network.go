package bot

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Network is one place where people post. Adapters are leaves beside this
// package, named after what they adapt; bot/networktest holds them to this.
type Network interface {
	// Name stands in accounts and ids: "x". It never changes.
	Name() string

	// Self is the bot's own account there: its number, its handle. It asks the
	// network the first time.
	Self(ctx context.Context) (id, handle string, err error)

	// Listen hands posts to heard, one after the other, until ctx ends, and then
	// returns nil; any other return is a reason why listening can never work as
	// configured (credentials refused, say). Interruptions are its own affair: it
	// reconnects with the network's documented back-off. A post may come twice and in
	// any order. One Listen runs at a time.
	//
	// since is the Cursor of a post that was dealt with: what came after it, and not
	// only what is said from now on, is handed over as far as the network still tells,
	// mentions of the bot at least; and so it is each time that listening was
	// interrupted. Some of what came before it may come again. "" is from now on.
	//
	// heard returns when the post is dealt with for good; an error means that the
	// post must be handed over again.
	Listen(ctx context.Context, since string, heard func(context.Context, Post) error) error

	// Status says how Listen stands. It asks nobody.
	Status() Status

	// Follow names the hashtags to listen for, without '#': all of them, at the
	// start and each time they change. Mentions of the bot are always listened for.
	// A change may take the network a while to heed.
	Follow(ctx context.Context, tags []string) error

	// Say posts a reply, and returns its id. Errors are a *RefusedError where
	// trying again cannot help, a *LaterError where the network names a time, and
	// anything else where the outcome is unknown. again says that an earlier try may
	// have succeeded: then Say looks for the bot's own reply first.
	Say(ctx context.Context, r Reply, again bool) (post string, err error)
}

// A Status is how listening to a network stands.
type Status struct {
	Connected bool // what is said now is heard
	Waiting   int  // posts that were heard and not handed over yet
}

// A Post is what somebody said, as far as it matters here. One without an ID was
// said by nobody: it only brings its Cursor.
type Post struct {
	Network string
	ID      string // of its first version, where posts can be edited
	Author  Author
	At      time.Time
	Edited  bool     // a later version of the post with that ID
	Text    string   // the author's own words
	Tags    []string // hashtags in them, in order, without '#'
	Names   []string // account numbers mentioned in them
	Lang    string   // BCP 47, "" where the network does not say
	Kind    PostKind
	Of      *Post // what it reposts, quotes or answers, as far as it is known: perhaps no more than its ID

	Missed bool // it was found when looking for what was said while nobody listened

	// Cursor is where a later Listen goes on once this post is dealt with; "" where
	// older posts may still be missing, so that an earlier Cursor remains right. That
	// of a post without an ID says that all that was missed has been handed over.
	Cursor string
}

// An Author of a post.
type Author struct {
	ID     string // the network's number
	Handle string
	Bot    bool // labels itself as automated
}

// A PostKind says how a post stands to another one.
type PostKind int

const (
	Original PostKind = iota
	Repost            // of Of, without words of its own
	Quote             // of Of
	Answer            // to Of
)

// A Reply is what the bot says in public.
type Reply struct {
	To     string // the post that is answered
	Handle string // whom it addresses, without '@'
	Text   string // without the address
}

// A RefusedError is a final no.
type RefusedError struct {
	Why string // in the network's words
}

func (e *RefusedError) Error() string { return "refused: " + e.Why }

// A LaterError says when to try again.
type LaterError struct {
	At  time.Time
	Why string
}

func (e *LaterError) Error() string {
	return fmt.Sprintf("not before %s: %s", e.At.UTC().Format(time.TimeOnly), e.Why)
}

// ErrTooLong: the text does not fit the network's limit.
var ErrTooLong = errors.New("bot: reply too long")
