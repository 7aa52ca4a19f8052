package x

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"
)

// A queue keeps the wishes whose answers are to be said, in their order. A hundred
// thousand may wait at once, and each of them asks where it stands: no question looks at
// all of them.
type queue struct {
	places []place        // those that are left stay until the queue is packed
	at     map[string]int // of a post, its place
	all    ranks          // of the places that are taken
	waits  ranks          // and of those who were told to come again
	taken  int
	swept  time.Time
}

type place struct {
	post  string
	until time.Time // it is kept
	waits bool      // told to come again; others may yet go by mail
	left  bool
}

// sweepPause is the least time between two looks for places that are kept no longer.
const sweepPause = time.Second

func (q *queue) has(post string) bool { _, ok := q.at[post]; return ok }

// append gives a post the last place.
func (q *queue) append(p place) {
	if len(q.places) >= q.all.room() {
		q.pack(func(place) bool { return true })
	}
	q.places = append(q.places, p)
	q.enter(len(q.places) - 1)
}

// insert gives a post the place of its number. Those behind it move on.
func (q *queue) insert(p place) {
	i := q.byNumber(p.post)
	behind := slices.Clone(q.places[i:])
	for j := range behind {
		q.leave(i + j)
	}
	q.places = q.places[:i]
	q.append(p)
	for _, p := range behind {
		if !p.left {
			q.append(p)
		}
	}
}

// byNumber is the first place of a post whose number is not below that of post. Posts come
// nearly in the order of their numbers.
func (q *queue) byNumber(post string) int {
	return sort.Search(len(q.places), func(i int) bool { return compareIDs(q.places[i].post, post) >= 0 })
}

// comesAgain notes that a post was told to come again.
func (q *queue) comesAgain(post string, until time.Time) {
	p := &q.places[q.at[post]]
	if p.until = until; !p.waits {
		p.waits = true
		q.waits.add(q.at[post], 1)
	}
}

// remove gives up a post's place, if it has one.
func (q *queue) remove(post string) {
	if i, ok := q.at[post]; ok {
		q.leave(i)
		q.places[i].left = true
	}
}

// leave takes the post in a place out of all that is counted.
func (q *queue) leave(i int) {
	p := q.places[i]
	if p.left {
		return
	}
	delete(q.at, p.post)
	q.all.add(i, -1)
	if p.waits {
		q.waits.add(i, -1)
	}
	q.taken--
}

// ahead is how many stand before a post, and how many of them were told to come again. One
// that is not here would have the place of its number.
func (q *queue) ahead(post string) (all, waits int) {
	i, ok := q.at[post]
	if !ok {
		i = q.byNumber(post)
	}
	return q.all.before(i), q.waits.before(i)
}

// sweep gives up the places that are kept no longer, up to a second late.
func (q *queue) sweep(now time.Time) {
	if since := now.Sub(q.swept); since >= 0 && since < sweepPause {
		return
	}
	q.swept = now
	q.pack(func(p place) bool { return !now.After(p.until) })
}

// pack keeps of the places that are taken those that stay, and makes room for as many again.
func (q *queue) pack(stays func(place) bool) {
	kept := q.places[:0]
	for _, p := range q.places {
		if !p.left && stays(p) {
			kept = append(kept, p)
		}
	}
	clear(q.places[len(kept):])
	room := 2*len(kept) + 64
	q.places, q.at, q.taken = kept, make(map[string]int, len(kept)), 0
	q.all, q.waits = make(ranks, room+1), make(ranks, room+1)
	for i := range q.places {
		q.enter(i)
	}
}

func (q *queue) enter(i int) {
	q.at[q.places[i].post] = i
	q.all.add(i, 1)
	if q.places[i].waits {
		q.waits.add(i, 1)
	}
	q.taken++
}

// ranks counts what stands before a place in logarithmic time: a Fenwick tree
// (https://doi.org/10.1002/spe.4380240306).
type ranks []int

func (t ranks) room() int { return max(len(t)-1, 0) }

func (t ranks) add(i, n int) {
	for i++; i < len(t); i += i & -i {
		t[i] += n
	}
}

func (t ranks) before(i int) (sum int) {
	for ; i > 0; i -= i & -i {
		sum += t[i]
	}
	return sum
}

// compareIDs orders numbers of posts, which rise with time.
func compareIDs(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
