package redistest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	slots        = 16384
	formedWithin = 60 * time.Second
)

// clusterDefaults stand above defaults in a cluster.
var clusterDefaults = map[string]string{
	"cluster-enabled": "yes",
	// How long a node is silent before the others take it for dead, in milliseconds.
	// Less than this, and a busy machine with few cores has fail-overs of its own.
	"cluster-node-timeout": "2000",
	// A dead master stops its own slots only. By Redis' default (yes) it stops all of
	// them until a replica has taken over, which gains nothing where, as with hash
	// tags, no operation needs two slots.
	"cluster-require-full-coverage": "no",
	"appendfsync":                   "everysec",
}

// A Cluster is a Redis Cluster of [Server]s.
type Cluster struct {
	t     testing.TB
	nodes []*Server
	ids   map[*Server]string // by which the nodes know each other
}

// StartCluster runs a cluster of that many masters, each with that many replicas,
// until the test ends. It returns when every node finds the cluster whole
// (cluster_state ok, all slots, every replica known as such) and each replica is in
// step with its master. Redis has a new master wait 2 s before it serves, so this
// takes a little more.
//
// Settings are as for [Start]. With requirepass give masterauth too.
func StartCluster(t testing.TB, masters, replicasEach int, settings map[string]string) *Cluster {
	t.Helper()
	c := &Cluster{t: t, ids: map[*Server]string{}}
	for range masters * (1 + replicasEach) {
		node := newServer(t, nil, clusterDefaults, settings)
		node.launch()
		c.nodes = append(c.nodes, node)
	}
	for i, node := range c.nodes {
		node.await()
		c.ids[node] = node.Do("CLUSTER", "MYID")
		// Epochs of their own, so that the nodes need not first settle which is whose.
		node.Do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i < masters {
			node.Do("CLUSTER", "ADDSLOTSRANGE", i*slots/masters, (i+1)*slots/masters-1)
		}
		for _, other := range c.nodes[:i] { // all of them: gossip alone would take seconds
			node.Do("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus)
		}
	}
	follows := map[*Server]*Server{}
	for i, replica := range c.nodes[masters:] {
		master := c.nodes[i%masters]
		follows[replica] = master
		until(t, formedWithin, func() error { // the two must have met
			_, err := replica.do("CLUSTER", "REPLICATE", c.ids[master])
			return err
		})
	}
	until(t, formedWithin, func() error {
		for _, node := range c.nodes {
			if err := c.whole(node, follows, replicasEach); err != nil {
				return fmt.Errorf("%s: %w", node.Addr(), err)
			}
		}
		return nil
	})
	return c
}

// whole says what is still missing in the eyes of a node.
func (c *Cluster) whole(node *Server, follows map[*Server]*Server, replicasEach int) error {
	info, replication := node.Do("CLUSTER", "INFO"), node.Do("INFO", "replication")
	for _, want := range []string{"cluster_state:ok", "cluster_slots_ok:16384", fmt.Sprint("cluster_known_nodes:", len(c.nodes))} {
		if !strings.Contains(info, want+"\r\n") {
			return fmt.Errorf("no %s in %q", want, info)
		}
	}
	known := 0
	for _, view := range c.views(node) {
		if master := follows[view.node]; master != nil && view.master == c.ids[master] {
			known++
		}
	}
	switch {
	case known != len(follows):
		return fmt.Errorf("%d of %d replicas are known", known, len(follows))
	case follows[node] != nil && !strings.Contains(replication, "master_link_status:up"):
		return fmt.Errorf("not in step with its master: %q", replication)
	case follows[node] == nil && strings.Count(replication, "state=online") != replicasEach:
		return fmt.Errorf("its replicas are not all in step: %q", replication)
	}
	return nil
}

// Addrs returns the addresses of all nodes, masters first as they were at the start.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, node := range c.nodes {
		addrs = append(addrs, node.Addr())
	}
	return addrs
}

// URL returns redis-cluster://a,b,c with all nodes.
func (c *Cluster) URL() string { return "redis-cluster://" + strings.Join(c.Addrs(), ",") }

// Nodes returns all nodes in the order of Addrs, dead ones too.
func (c *Cluster) Nodes() []*Server { return slices.Clone(c.nodes) }

// Masters returns the nodes that serve slots now, in the order of Addrs; no killed
// or paused one is among them.
func (c *Cluster) Masters() []*Server {
	c.t.Helper()
	owners := owners(c.claims())
	var masters []*Server
	for _, node := range c.nodes {
		if slices.Contains(owners, node) {
			masters = append(masters, node)
		}
	}
	return masters
}

// MasterOf returns the node that serves a key now, or nil while none does, because
// its master is killed or paused and no replica has taken over.
func (c *Cluster) MasterOf(key string) *Server {
	c.t.Helper()
	for _, node := range c.nodes {
		if !node.alive() {
			continue
		}
		slot, err := strconv.Atoi(node.Do("CLUSTER", "KEYSLOT", key))
		if err != nil {
			c.t.Fatal(err)
		}
		return owners(c.claims())[slot]
	}
	return nil
}

// Replicas returns the nodes that take themselves for replicas of that one now; no
// killed or paused one is among them.
func (c *Cluster) Replicas(of *Server) []*Server {
	c.t.Helper()
	var replicas []*Server
	for _, claim := range c.claims() {
		if claim.master == c.ids[of] {
			replicas = append(replicas, claim.node)
		}
	}
	return replicas
}

// Flush empties all masters (FLUSHALL SYNC), so that subtests can share a cluster.
func (c *Cluster) Flush() {
	c.t.Helper()
	for _, master := range c.Masters() {
		master.Do("FLUSHALL", "SYNC")
	}
}

// A view is what one line of CLUSTER NODES says of a node
// (https://redis.io/docs/latest/commands/cluster-nodes/).
type view struct {
	node   *Server
	myself bool
	master string // id; "-" for a master
	epoch  int64
	slots  [][2]int // first and last
}

// views returns how one node sees all.
func (c *Cluster) views(from *Server) []view {
	c.t.Helper()
	var views []view
	for line := range strings.Lines(from.Do("CLUSTER", "NODES")) {
		// id address flags master ping-sent pong-received epoch link-state slot…
		field := strings.Fields(line)
		v := view{myself: strings.Contains(field[2], "myself"), master: field[3]}
		for _, node := range c.nodes {
			if c.ids[node] == field[0] {
				v.node = node
			}
		}
		if _, err := fmt.Sscan(field[6], &v.epoch); err != nil {
			c.t.Fatalf("%q: %v", line, err)
		}
		for _, slot := range field[8:] {
			var both [2]int
			switch n, _ := fmt.Sscanf(slot, "%d-%d", &both[0], &both[1]); n {
			case 0: // [on its way from or to another node]
				continue
			case 1:
				both[1] = both[0]
			}
			v.slots = append(v.slots, both)
		}
		views = append(views, v)
	}
	return views
}

// claims returns what each living node says of itself.
func (c *Cluster) claims() []view {
	c.t.Helper()
	var claims []view
	for _, node := range c.nodes {
		if !node.alive() {
			continue
		}
		for _, v := range c.views(node) {
			if v.myself {
				claims = append(claims, v)
			}
		}
	}
	return claims
}

// owners returns the master of each slot, nil where there is none. Where two claim
// a slot, as a master does that comes back after a fail-over until it has heard of
// it, the later epoch is right: only a majority of the masters gives a new one
// (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/).
func owners(claims []view) []*Server {
	slices.SortFunc(claims, func(a, b view) int { return cmp.Compare(a.epoch, b.epoch) })
	owners := make([]*Server, slots)
	for _, claim := range claims {
		for _, both := range claim.slots {
			for slot := both[0]; slot <= both[1]; slot++ {
				owners[slot] = claim.node
			}
		}
	}
	return owners
}
