package bench

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What a purchase costs on Redis is measured, and what comes of that is simulated.
func TestMachines(t *testing.T) {
	var out strings.Builder
	c := Machines{For: 200 * time.Millisecond, Turns: 1, AtOnce: 8, Buyers: 20, Masters: []int{1, 8}, Processes: []int{1, 4}, Cores: 2, Hot: []float64{0, 1}}
	if err := c.Run(Run{Ctx: t.Context(), Out: &out, Err: io.Discard}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CPU of the process", "CPU of Redis", "requests to Redis", "bytes written", "busiest shard"} {
		line := regexp.MustCompile(want + ` +([0-9.,]+) .*× 32 offers \(([0-9.,]+)\)`).FindStringSubmatch(out.String())
		if line == nil || line[1] == "0" || line[2] == "0" {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if n := len(regexp.MustCompile(`(?m)^  [18] +[14] +[0-9,]+ +[0-9]+ % +[0-9,]+ +[0-9]+ %$`).FindAllString(out.String(), -1)); n != 4 {
		t.Errorf("%d rows are simulated, not 4:\n%s", n, out.String())
	}
}

// More masters take more purchases, as long as these are not all of one offer: that one
// stands on one master.
func TestQueues(t *testing.T) {
	q := queues{processes: 64, cores: 2, atOnce: 64, calls: callsSimulated, sameShard: 0.8, here: 200 * time.Microsecond, redis: 400 * time.Microsecond}
	through := func(masters int, hot float64) outcome {
		q := q
		q.masters, q.hot = masters, hot
		return q.run()
	}
	one, eight, all := through(1, 0), through(8, 0), through(64, 0)
	if one.perSecond < 2300 || one.perSecond > 2700 || one.busiest < 0.97 {
		t.Errorf("one master, of which each purchase takes 400 µs: %+v", one)
	}
	if eight.perSecond < 5*one.perSecond || eight.perSecond > 8.5*one.perSecond || all.perSecond < 3*eight.perSecond {
		t.Errorf("1, 8 and 64 masters: %+v, %+v, %+v", one, eight, all)
	}
	hotOne, hotAll := through(1, 1), through(64, 1)
	// Four fifths of its work stand on one master, whatever the others do.
	if hotAll.perSecond > 1.4*hotOne.perSecond || hotAll.busiest < 0.95 {
		t.Errorf("of one offer, on 1 and 64 masters: %+v, %+v", hotOne, hotAll)
	}
	if again := through(8, 0); again != eight {
		t.Errorf("not the same again: %+v, %+v", eight, again)
	}
}

// Processes take more purchases as long as the masters have time for them.
func TestQueuesOfProcesses(t *testing.T) {
	through := func(processes int) outcome {
		return queues{masters: 1, processes: processes, cores: 2, atOnce: 64, calls: callsSimulated, sameShard: 0.5,
			here: 1600 * time.Microsecond, redis: 200 * time.Microsecond}.run()
	}
	one, two, many := through(1), through(2), through(16)
	if one.perSecond < 1150 || one.perSecond > 1300 || two.perSecond < 1.8*one.perSecond {
		t.Errorf("two cores, of which each purchase takes 1.6 ms, and four: %+v, %+v", one, two)
	}
	if many.perSecond < 4600 || many.perSecond > 5300 || many.busiest < 0.95 || one.busiest > 0.4 {
		t.Errorf("16 processes on a master, of which each purchase takes 0.2 ms: %+v", many)
	}
}
