package bench

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"hashtill/store"
)

// queues are processes and Redis masters, through which purchases go as through any
// queueing network: each has its turn at a core of its process, then at the master of a
// shard, again and again until it is through. Times between are drawn, exponentially
// about the mean that was measured.
type queues struct {
	masters, processes, cores int
	atOnce                    int     // purchases under way in each process
	hot                       float64 // which part of the purchases is of one offer
	calls                     int     // of the store, of one purchase
	sameShard                 float64 // which part of them is of the offer's shard
	here, redis               time.Duration
}

// outcome is what a simulation has come to.
type outcome struct {
	perSecond float64
	busiest   float64 // for which part of the time the busiest master works
}

// A turn is a purchase that is done with one step at a moment.
type turn struct {
	at       float64 // seconds
	process  int
	shard    int // of its offer
	left     int // calls of the store that are still to come
	atMaster int // where it is, -1 at its process
}

type turns []turn

func (t turns) Len() int           { return len(t) }
func (t turns) Less(i, j int) bool { return t[i].at < t[j].at }
func (t turns) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *turns) Push(x any)        { *t = append(*t, x.(turn)) }
func (t *turns) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

// enough purchases are looked at, after as many that are not, for two figures that count.
const enough = 20_000

// run simulates; the same queues come to the same outcome.
func (q queues) run() outcome {
	random := rand.New(rand.NewPCG(1, 2))
	about := func(d time.Duration, parts int) float64 { return d.Seconds() / float64(parts) * random.ExpFloat64() }
	cores := make([][]float64, q.processes) // until when each is busy
	for i := range cores {
		cores[i] = make([]float64, q.cores)
	}
	masters, worked := make([]float64, q.masters), make([]float64, q.masters)
	var events turns
	compute := func(t turn) {
		core := 0
		for i, free := range cores[t.process] {
			if free < cores[t.process][core] {
				core = i
			}
		}
		t.at = max(t.at, cores[t.process][core]) + about(q.here, q.calls)
		cores[t.process][core], t.atMaster = t.at, -1
		heap.Push(&events, t)
	}
	start := func(at float64, process int) {
		shard := 0 // of the hot offer
		if random.Float64() >= q.hot {
			shard = random.IntN(store.Shards)
		}
		compute(turn{at: at, process: process, shard: shard, left: q.calls})
	}
	for process := range q.processes {
		for range q.atOnce {
			start(0, process)
		}
	}
	through, began := 0, 0.0
	settled := max(enough, 2*q.processes*q.atOnce)
	for {
		t := heap.Pop(&events).(turn)
		switch {
		case t.atMaster < 0 && t.left > 0:
			shard := t.shard
			if random.Float64() >= q.sameShard {
				shard = random.IntN(store.Shards) // the buyer's
			}
			master, takes := shard%q.masters, about(q.redis, q.calls)
			t.at = max(t.at, masters[master]) + takes
			masters[master], t.atMaster, t.left = t.at, master, t.left-1
			if through >= settled {
				worked[master] += takes
			}
			heap.Push(&events, t)
		case t.left > 0:
			compute(t)
		default:
			through++
			if through == settled {
				began = t.at
			}
			if through == settled+enough {
				took := t.at - began
				o := outcome{perSecond: enough / took}
				for _, w := range worked {
					o.busiest = max(o.busiest, min(1, w/took))
				}
				return o
			}
			start(t.at, t.process)
		}
	}
}

// simulate prints what goes through as machines are added.
func (c Machines) simulate(r Run, spread, hot cost) {
	fmt.Fprintf(r.Out, "Simulated: purchases a second, and how busy the busiest master is. Each process has %d cores.\n", c.Cores)
	fmt.Fprintf(r.Out, "  %-8s %-10s", "masters", "processes")
	for _, share := range c.Hot {
		fmt.Fprintf(r.Out, " %22s", fmt.Sprintf("%.0f %% for one offer", 100*share))
	}
	fmt.Fprintln(r.Out)
	for _, masters := range c.Masters {
		for _, processes := range c.Processes {
			fmt.Fprintf(r.Out, "  %-8d %-10d", masters, processes)
			for _, share := range c.Hot {
				between := func(a, b time.Duration) time.Duration { return a + time.Duration(share*float64(b-a)) }
				o := queues{masters: masters, processes: processes, cores: c.Cores, atOnce: min(c.AtOnce, 128), hot: share,
					calls: callsSimulated, sameShard: hot.sameShard,
					here: between(spread.here, hot.here), redis: between(spread.redis, hot.redis)}.run()
				fmt.Fprintf(r.Out, " %22s", fmt.Sprintf("%s  %3.0f %%", number(o.perSecond), 100*o.busiest))
			}
			fmt.Fprintln(r.Out)
		}
	}
	fmt.Fprintln(r.Out)
}

// callsSimulated is into how many turns the work of a purchase is cut. Of a throughput it
// decides nothing.
const callsSimulated = 12
