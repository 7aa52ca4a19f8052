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
	// trying again cannot help, a *LaterError where the network names a time or has named
	// one that is not over (it is not asked again before), and
	// anything else where the outcome is unknown. again says that an earlier try may
	// have succeeded: then Say looks for the bot's own reply first.
	Say(ctx context.Context, r Reply, again bool) (post string, err error)
}

// An Announcer is a Network on which the bot may post to everybody.
type Announcer interface {
	// Announce posts a text that answers nobody, and returns the number of the post. Its
	// errors are those of Say. No two texts are alike: again says that an earlier try may
	// have posted this one, and then Announce looks for it first.
	Announce(ctx context.Context, text string, again bool) (post string, err error)
}

// A Watcher is a Network that tells of the reposts and quotes of a post only to who asks
// for them, where nobody listened or where it hears by asking alone.
type Watcher interface {
	// Watch names the bot's own posts of which reposts and quotes matter now: those that
	// bear an open code, of which both do, and announcements of offers, which answer nobody
	// and of which quotes do; newest last. posts is called when they are to be looked for, and
	// by one at a time. Watch is called before Listen.
	//
	// A repost may be found without a number and a date of its own. It is then handed over
	// with an ID that is the same each time and no post's, as Missed and with a zero At:
	// whether it was in time is judged by when it was found.
	Watch(posts func(ctx context.Context) ([]string, error))
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
	Implied bool     // the bot's stands only before the first word of an answer, where networks put the names of a thread by themselves
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

	// Deletion is no post: Author has removed the one with that ID. Nothing else is
	// known. Networks hand it over that are told of it; see also [Finder].
	Deletion
)

// A Reply is what the bot says in public.
type Reply struct {
	To     string // the post that is answered
	Handle string // whom it addresses, without '@'
	Text   string // without the address
	For    Purpose
	By     time.Time // after which it is of no use any more; zero: it is of use whenever it can be said
}

// A Purpose is what a reply is for: what matters more comes first, where a network
// takes only so many.
type Purpose int

const (
	ForWish    Purpose = iota // a code, an invitation, or why there is none
	ForCommand                // the answer to a post that is no wish
	ForThanks
)

// An Orderly network answers wishes in the order in which they were announced, where it
// takes fewer replies than there are to be said. Those that were not announced have the
// place that the network's own order gives them.
type Orderly interface {
	// Expect announces the answer to a wish. undo takes that back: there will be none.
	Expect(post string) (undo func())
}

// A RefusedError is a final no.
type RefusedError struct {
	Kind RefusalKind
	Why  string // in the network's words
}

// A RefusalKind says what is refused.
type RefusalKind string

const (
	OtherRefusal    RefusalKind = ""
	ReplyNotAllowed RefusalKind = "reply not allowed" // whom it is for has neither mentioned nor quoted the bot
	Duplicate       RefusalKind = "duplicate"         // the bot has said it before, in another place
	PostGone        RefusalKind = "post gone"         // the post that is answered is deleted or hidden
)

func (e *RefusedError) Error() string { return "refused: " + e.Why }

// Advice is what the operator should know of the kind.
func (e *RefusedError) Advice() string {
	switch e.Kind {
	case ReplyNotAllowed:
		return "nothing is wrong: the network lets the bot answer only those who mention it or quote it"
	case Duplicate:
		return "the bot has posted the same words before; two texts must never be alike"
	case PostGone:
		return "nothing is wrong: the post that was to be answered is deleted or hidden"
	}
	return "look at the account and its app on the network's site: it may be limited, or lack the right to post"
}

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
