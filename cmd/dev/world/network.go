package world

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"hashtill/bot"
	"hashtill/offers"
)

// A network is where people post: all that was ever said there.
type network struct {
	*world
	posts    []*said // that the bot may hear, in their order
	byID     map[string]*said
	reposts  []*said // of the bot's own posts
	replies  []*said // by the bot
	listener *life
	number   int

	forgotten bool // the store may have forgotten what it was told last
}

// overlap is how far before the cursor posts are looked for then.
const overlap = 2 * time.Minute

// said is a post.
type said struct {
	bot.Post
	num     int
	to      string // what a reply of the bot's answers
	purpose bot.Purpose
	removed bool
}

const (
	botID     = "100"
	strangeID = "666"
	robotID   = "777"
)

func newNetwork(w *world) *network { return &network{world: w, byID: map[string]*said{}} }

func (n *network) add(p bot.Post) *said {
	n.number++
	p.Network, p.ID, p.At = "x", fmt.Sprintf("1%012d", n.number), n.now
	s := &said{Post: p, num: n.number}
	n.byID[p.ID] = s
	return s
}

// again is another version of a post, under its own number.
func (n *network) again(s said) *said {
	n.number++
	s.num, s.Network, s.At = n.number, "x", n.now
	return &s
}

// says has somebody post, and the bot hear of it.
func (n *network) says(p bot.Post) *said { return n.publish(n.add(p)) }

// publish has the bot hear of a post.
func (n *network) publish(s *said) *said {
	p := s.Post
	if p.Kind == bot.Repost {
		n.reposts = append(n.reposts, s)
	} else {
		n.posts = append(n.posts, s)
	}
	n.notes("%s posts %s (%d): %s", p.Author.ID, s.ID, p.Kind, p.Text)
	n.tell(s)
	return s
}

// tell has the stream bring a post to who listens: soon, late, twice or not at all.
func (n *network) tell(s *said) {
	if n.chance("post missed by the stream", s.ID) {
		n.after(between(n.kinds["post missed by the stream"].dice, 5*time.Second, 2*time.Minute), nil, func() {
			if n.listener != nil { // the stream has broken, and is open again
				n.catchUp(n.listener)
			}
		})
		return
	}
	in := between(n.pace, 50*time.Millisecond, 800*time.Millisecond)
	if n.may("posts disordered") && n.kinds["posts disordered"].dice.IntN(5) == 0 {
		in += between(n.kinds["posts disordered"].dice, 0, 5*time.Second)
	}
	n.after(in, nil, func() { n.bring(s) })
	if n.chance("post twice", s.ID) {
		n.after(in+between(n.kinds["post twice"].dice, 0, 20*time.Second), nil, func() { n.bring(s) })
	}
}

// bring hands a post to who listens now. Whoever begins to listen later finds it by the
// cursor.
func (n *network) bring(s *said) {
	l := n.listener
	if l == nil || l.dead || l.line.deaf {
		return
	}
	if s.num < l.line.newest {
		n.happens("posts disordered", s.ID)
	}
	l.line.newest = max(l.line.newest, s.num)
	l.line.queue(s, false)
}

// takeOver has a process listen that can: the one that does, if it still does.
func (n *network) takeOver() {
	if n.healed && n.listener != nil && !n.listener.dead {
		n.listen(n.listener)
		return
	}
	l := n.anyone(n.pace)
	if l == nil {
		n.after(time.Second, nil, n.takeOver)
		return
	}
	if old := n.listener; old != nil && old != l && !old.dead {
		n.happens("listener replaced while it lived", old.name+" by "+l.name)
	}
	n.listen(l)
}

// listen begins a turn of listening.
func (n *network) listen(l *life) {
	if old := n.listener; old != nil {
		old.line.deaf = true
	}
	n.listener = l
	l.line.begin()
}

// A line is the network as one life reaches it.
type line struct {
	*network
	*life
	watched func(context.Context) ([]string, error)

	ear     *bot.Ear
	turn    int // counts turns: what is left of an older one is given up
	deaf    bool
	waiting []item
	hearing bool
	queued  map[int]bool // by this turn
	all     int          // every post up to that number was queued
	newest  int
}

type item struct {
	post   *said
	missed bool
	cursor string
}

// begin listens from the stored cursor.
func (n *line) begin() {
	n.turn++
	turn := n.turn
	n.deaf, n.waiting, n.hearing, n.queued, n.all, n.newest, n.ear = true, nil, false, map[int]bool{}, 0, 0, nil
	n.after(0, n.life, func() {
		for {
			ear, err := n.bot.Ear(n.world.ctx, n)
			if n.turn != turn {
				return
			}
			if err == nil {
				n.ear = ear
				break
			}
			if !n.wait(time.Second) {
				return
			}
		}
		fmt.Sscanf(strings.TrimPrefix(n.ear.Cursor(), "1"), "%d", &n.all)
		if n.network.forgotten {
			// The cursor may be younger than what the store has forgotten, and so a while
			// before it is listened to as well (see bot.Bot.Again).
			n.network.forgotten = false
			for _, s := range n.posts {
				if n.now.Sub(s.At) < overlap {
					n.all = min(n.all, s.num-1)
				}
			}
		}
		n.deaf = false
		n.notes("%s listens from %s", n.name, n.ear.Cursor())
		n.catchUp(n.life)
		n.keep(turn)
	})
}

// catchUp queues what the cursor has not passed, and the reposts of posts that matter.
func (n *network) catchUp(l *life) {
	if l.dead || l.line.deaf {
		return
	}
	for _, s := range n.posts {
		if s.num > l.line.all && !l.line.queued[s.num] {
			l.line.queue(s, true)
		}
	}
	n.after(0, l, l.line.lookForReposts)
}

func (n *line) lookForReposts() {
	turn := n.turn
	for {
		open, err := n.watched(n.world.ctx)
		if n.turn != turn {
			return
		}
		if err == nil {
			for _, s := range n.reposts {
				if slices.Contains(open, s.Of.ID) && !n.queued[s.num] {
					found := *s
					found.ID, found.At = "repost/"+s.Of.ID+"/"+s.Author.ID, time.Time{}
					n.queue(&found, true)
				}
			}
			return
		}
		if !n.wait(5 * time.Second) {
			return
		}
	}
}

// queue has a post heard after those before it.
func (n *line) queue(s *said, missed bool) {
	n.queued[s.num] = true
	for n.all < n.number {
		next := n.posts
		i, ok := slices.BinarySearchFunc(next, n.all+1, func(s *said, num int) int { return s.num - num })
		if ok && !n.queued[next[i].num] {
			break
		}
		n.all++
	}
	it := item{post: s, missed: missed}
	if n.all > 0 {
		it.cursor = fmt.Sprintf("1%012d", n.all)
	}
	n.waiting = append(n.waiting, it)
	if !n.hearing {
		n.hearing = true
		n.after(0, n.life, n.hear)
	}
}

// hear hands over what waits, one after the other, and again what fails.
func (n *line) hear() {
	turn := n.turn
	for len(n.waiting) > 0 {
		it := n.waiting[0]
		n.waiting = n.waiting[1:]
		p := it.post.Post
		p.Missed, p.Cursor = it.missed, it.cursor
		for {
			n.judgeHearing(it.post)
			err := n.ear.Hear(n.world.ctx, p)
			if n.turn != turn || n.dead {
				return
			}
			if err == nil {
				n.notes("%s has heard %s, and is at %s", n.name, p.ID, n.ear.Cursor())
				break
			}
			n.notes("%s has not heard %s: %v", n.name, p.ID, err)
			if !n.wait(time.Second) || n.turn != turn {
				return
			}
		}
	}
	n.hearing = false
}

// keep stores the cursor, every few seconds.
func (n *line) keep(turn int) {
	if n.turn != turn || n.deaf {
		return
	}
	err := n.ear.Keep(n.world.ctx)
	if n.turn != turn || n.dead {
		return
	}
	if err != nil {
		n.notes("%s cannot keep the cursor: %v", n.name, err)
	}
	n.after(5*time.Second, n.life, func() { n.keep(turn) })
}

// Name implements [bot.Network].
func (n *line) Name() string { return "x" }

// Self implements [bot.Network].
func (n *line) Self(context.Context) (id, handle string, err error) { return botID, "hashtill", nil }

// Listen implements [bot.Network]; posts come by the [bot.Ear].
func (n *line) Listen(context.Context, string, func(context.Context, bot.Post) error) error {
	return nil
}

// Status implements [bot.Network].
func (n *line) Status() bot.Status { return bot.Status{Connected: true} }

// Follow implements [bot.Network].
func (n *line) Follow(context.Context, []string) error { return nil }

// Watch implements [bot.Watcher].
func (n *line) Watch(posts func(context.Context) ([]string, error)) { n.watched = posts }

// Gone implements [bot.Finder].
func (n *line) Gone(_ context.Context, post string) (bool, error) {
	if err := n.life.step(); err != nil {
		return false, err
	}
	s := n.network.byID[post]
	return s != nil && s.removed, nil
}

// Say implements [bot.Network].
func (n *line) Say(_ context.Context, r bot.Reply, again bool) (string, error) {
	if err := n.life.step(); err != nil {
		return "", err
	}
	if again {
		for _, s := range n.replies {
			if s.to == r.To && s.Text == r.Text {
				return s.ID, nil
			}
		}
	}
	to := n.network.byID[r.To]
	switch {
	case to == nil:
		n.violated("a reply to a post that is not there: %q", r.To)
		return "", &bot.RefusedError{Kind: bot.PostGone, Why: "no such post"}
	case n.chance("reply lost before", r.To):
		return "", errLost
	case n.chance("reply later", r.To):
		return "", &bot.LaterError{At: n.clock().Add(between(n.kinds["reply later"].dice, 2*time.Second, 15*time.Minute)), Why: "the budget is spent"}
	case to.removed:
		return "", &bot.RefusedError{Kind: bot.PostGone, Why: "the post is gone"}
	case n.chance("reply refused", r.To):
		n.unanswered(r)
		return "", &bot.RefusedError{Kind: bot.ReplyNotAllowed, Why: "reply not allowed"}
	}
	for _, s := range n.replies {
		if s.to == r.To && s.Text == r.Text {
			return "", &bot.RefusedError{Kind: bot.Duplicate, Why: "said before"}
		}
	}
	n.judgeReply(r, to)
	s := n.add(bot.Post{Author: bot.Author{ID: botID}, Text: r.Text, Tags: tagsOf(r.Text)})
	s.to, s.purpose = r.To, r.For
	n.replies = append(n.replies, s)
	n.notes("the bot answers %s by %s: %s", r.To, s.ID, r.Text)
	n.seen(s)
	if n.life.drawn("died after a deed") {
		n.life.die("died after a deed", "reply to "+r.To)
		return "", errDead
	}
	if n.chance("reply answer lost", r.To) {
		return "", errLost
	}
	if n.pace.IntN(2) == 0 {
		if err := n.life.step(); err != nil {
			return "", err
		}
	}
	return s.ID, nil
}

// tagsOf are the hashtags of a text of ours.
func tagsOf(text string) (tags []string) {
	for _, word := range strings.Fields(text) {
		if tag, ok := strings.CutPrefix(strings.TrimRight(word, ".,:;!?"), "#"); ok {
			tags = append(tags, tag)
		}
	}
	return tags
}

// codeOf is the code in a text of ours.
func codeOf(text string) (offers.Code, bool) {
	for _, tag := range tagsOf(text) {
		if c, ok := offers.ParseCode(tag); ok {
			return c, true
		}
	}
	return "", false
}
