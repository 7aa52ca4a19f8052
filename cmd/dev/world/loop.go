package world

import (
	"container/heap"
	"iter"
	"time"
)

// A loop is the time: what is to happen, in its order, and the one thing that happens now.
type loop struct {
	now      time.Time
	events   eventHeap
	seq      uint64
	running  *task
	spare    []*task // that have nothing to do
	all      []*task
	panicked func(any)
}

// An event starts something, or goes on with it.
type event struct {
	at    time.Time
	seq   uint64
	who   *life  // with whom it dies; nil: the outside world
	start func() // or:
	on    *task
}

// A task is a coroutine: something under way, that gives way while it waits.
type task struct {
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	do    func()
	who   *life
	ended bool
}

// after has something happen, unless who is dead by then.
func (l *loop) after(d time.Duration, who *life, do func()) {
	l.push(event{at: l.now.Add(max(d, 0)), who: who, start: do})
}

func (l *loop) push(e event) {
	l.seq++
	e.seq = l.seq
	heap.Push(&l.events, e)
}

// step lets the next thing happen, if there is one before the end.
func (l *loop) step(end time.Time) bool {
	if len(l.events) == 0 || l.events[0].at.After(end) {
		return false
	}
	e := heap.Pop(&l.events).(event)
	l.now = e.at
	if e.who != nil && !e.who.dead && e.at.Before(e.who.frozen) {
		e.at = e.who.frozen
		l.push(e)
		return true
	}
	t := e.on
	if t == nil {
		if e.who != nil && e.who.dead {
			return true
		}
		t = l.task()
		t.do, t.who, t.ended = e.start, e.who, false
	}
	l.resume(t)
	return true
}

func (l *loop) resume(t *task) {
	before := l.running
	l.running = t
	t.next()
	l.running = before
	if t.ended {
		t.do, t.who = nil, nil
		l.spare = append(l.spare, t)
	}
}

// task is one that has nothing to do.
func (l *loop) task() *task {
	if n := len(l.spare); n > 0 {
		t := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return t
	}
	t := &task{}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		for {
			func() {
				defer func() {
					if p := recover(); p != nil {
						l.panicked(p)
					}
				}()
				t.do()
			}()
			t.ended = true
			if !yield(struct{}{}) {
				return
			}
		}
	})
	l.all = append(l.all, t)
	return t
}

// wait gives way for a time. It says whether who waits is still alive.
func (l *loop) wait(d time.Duration) bool {
	t := l.running
	l.push(event{at: l.now.Add(d), who: t.who, on: t})
	if !t.yield(struct{}{}) {
		if t.who != nil {
			t.who.dead = true
		}
		return false
	}
	return t.who == nil || !t.who.dead
}

// end lets go of all that is under way.
func (l *loop) end() {
	for _, t := range l.all {
		l.running = t
		t.stop()
	}
}

// An eventHeap has the next event first. It implements [heap.Interface].
type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = event{}
	*h = (*h)[:last]
	return e
}
