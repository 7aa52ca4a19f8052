package redistest_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"hashtill/store/redis/redistest"
)

// within waits for a condition.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// listens says whether somebody does at an address.
func listens(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// client is the plain client of somebody who knows only the URL.
func client(t *testing.T, url string, config *tls.Config) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	options.TLSConfig = config
	options.MaxRetries = -1
	c := redis.NewClient(options)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestKillAndRestart(t *testing.T) {
	s, other := redistest.Start(t, nil), redistest.Start(t, nil)
	if s.URL() != "redis://"+s.Addr() {
		t.Errorf("URL %s, Addr %s", s.URL(), s.Addr())
	}
	for i := range 20 {
		s.Do("RPUSH", "kept", i)
		pid := field(s.Do("INFO", "server"), "process_id")
		s.Kill()
		if listens(s.Addr()) {
			t.Fatal("a killed server listens")
		}
		local, err := net.ResolveTCPAddr("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if conn, err := (&net.Dialer{LocalAddr: local}).Dial("tcp", other.Addr()); err == nil {
			conn.Close()
			t.Fatal("a killed server's port is free for others")
		}
		s.Restart()
		if field(s.Do("INFO", "server"), "process_id") == pid {
			t.Fatal("it is the same process")
		}
		if got := strings.Count(s.Do("LRANGE", "kept", 0, -1), "\n"); got != i {
			t.Fatalf("%d lines after %d kills", got, i+1)
		}
	}
	s.Restart() // without Kill
	if got := s.Do("LLEN", "kept"); got != "20" {
		t.Errorf("%s elements", got)
	}
	if got := s.Do("GET", "missing"); got != "" {
		t.Errorf("nil is %q", got)
	}
}

func TestSettings(t *testing.T) {
	s := redistest.Start(t, nil)
	for name, want := range map[string]string{
		"appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory-policy": "noeviction", "bind": "127.0.0.1",
	} {
		if got := s.Do("CONFIG", "GET", name); got != name+"\n"+want {
			t.Errorf("CONFIG GET %q: %q", name, got)
		}
	}
	s = redistest.Start(t, map[string]string{
		"appendonly": "no", "save": "3600 1", "requirepass": "pw", "user": "reader on >secret ~* -@all +get +ping",
	})
	if got := s.Do("CONFIG", "GET", "save"); got != "save\n3600 1" {
		t.Errorf("%q", got)
	}
	s.Do("SET", "k", "v")
	s.Kill()
	s.Restart()
	if got := s.Do("EXISTS", "k"); got != "0" {
		t.Error("kept without a file")
	}
	c := client(t, s.URL(), nil)
	if err := c.Get(t.Context(), "k").Err(); err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") {
		t.Errorf("no password: %v", err)
	}
	c = client(t, strings.Replace(s.URL(), "://", "://reader:secret@", 1), nil)
	if err := c.Get(t.Context(), "k").Err(); err != redis.Nil {
		t.Errorf("GET as reader: %v", err)
	}
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
		t.Errorf("SET as reader: %v", err)
	}
}

// Restart waits until the data is there, slow as it is here.
func TestRestartLoads(t *testing.T) {
	s := redistest.Start(t, map[string]string{"key-load-delay": "100"}) // microseconds
	s.Do("EVAL", "for i = 1, 10000 do redis.call('SET', i, i) end", 0)
	s.Kill()
	s.Restart()
	if got := s.Do("DBSIZE"); got != "10000" {
		t.Errorf("%s keys", got)
	}
}

func TestPause(t *testing.T) {
	s := redistest.Start(t, nil)
	c := client(t, s.URL(), nil)
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		s.Pause()
		answer := make(chan error, 1)
		go func() { answer <- c.Ping(context.Background()).Err() }()
		select {
		case err := <-answer:
			t.Fatalf("a paused server answers: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		s.Resume()
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
	s.Pause()
	s.Kill()
	s.Restart()
	s.Do("PING")
}

func TestTLS(t *testing.T) {
	s, roots := redistest.StartTLS(t, nil)
	s.Do("SET", "k", "v")
	s.Kill()
	s.Restart()
	if got, err := client(t, s.URL(), &tls.Config{RootCAs: roots}).Get(t.Context(), "k").Result(); got != "v" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if conn, err := tls.Dial("tcp", s.Addr(), nil); err == nil {
		conn.Close()
		t.Error("its certificate is trusted by all")
	}
	if err := client(t, "redis://"+s.Addr(), nil).Ping(t.Context()).Err(); err == nil {
		t.Error("answers without TLS")
	}
}

func TestCluster(t *testing.T) {
	began := time.Now()
	c := redistest.StartCluster(t, 3, 1, nil)
	t.Logf("a cluster of 3 masters with a replica each took %v", time.Since(began).Round(time.Millisecond))
	masters := c.Masters()
	if len(masters) != 3 || len(c.Nodes()) != 6 || c.URL() != "redis-cluster://"+strings.Join(c.Addrs(), ",") {
		t.Fatalf("%d masters, %s", len(masters), c.URL())
	}
	for _, node := range c.Nodes() {
		nodes, replication := node.Do("CLUSTER", "NODES"), node.Do("INFO", "replication")
		if strings.Count(nodes, " connected") != 6 || strings.Count(nodes, "slave ") != 3 {
			t.Errorf("%s does not know all:\n%s", node.Addr(), nodes)
		}
		if field(replication, "role") == "slave" && field(replication, "master_link_status") != "up" {
			t.Errorf("%s is not in step:\n%s", node.Addr(), replication)
		}
	}
	all := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs()[:1]})
	defer all.Close()
	served := map[*redistest.Server]int{}
	for i := range 60 {
		key := fmt.Sprint("k", i)
		if err := all.Set(t.Context(), key, "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
		master := c.MasterOf(key)
		if got := master.Do("GET", key); got != "v" {
			t.Fatalf("%s at its master: %q", key, got)
		}
		served[master]++
	}
	for _, master := range masters {
		if len(c.Replicas(master)) != 1 || served[master] < 5 {
			t.Errorf("%s has %d replicas and %d keys", master.Addr(), len(c.Replicas(master)), served[master])
		}
		if master.Do("WAIT", 1, 5000) != "1" {
			t.Errorf("%s waits in vain", master.Addr())
		}
	}

	// A master dies: its replica takes over.
	old := c.MasterOf("k")
	replica := c.Replicas(old)[0]
	old.Do("SET", "k", "before")
	old.Do("WAIT", 1, 5000)
	began = time.Now()
	old.Kill()
	if c.MasterOf("k") == old || slices.Contains(c.Masters(), old) {
		t.Error("a dead master serves")
	}
	within(t, 15*time.Second, "the replica takes over", func() bool { return c.MasterOf("k") == replica })
	t.Logf("fail-over took %v", time.Since(began).Round(time.Millisecond))
	if got := c.Masters(); len(got) != 3 || !slices.Contains(got, replica) {
		t.Errorf("%d masters", len(got))
	}
	if got := replica.Do("GET", "k"); got != "before" {
		t.Errorf("the new master has %q", got)
	}
	replica.Do("SET", "k", "after")

	// It comes back and follows.
	old.Restart()
	if c.MasterOf("k") != replica {
		t.Error("a master that comes back serves before it has heard")
	}
	within(t, 15*time.Second, "the old master follows", func() bool { return slices.Contains(c.Replicas(replica), old) })
	within(t, 15*time.Second, "the old master is in step", func() bool {
		return strings.Contains(old.Do("INFO", "replication"), "master_link_status:up")
	})
	replica.Do("SET", "k", "last")
	if got := replica.Do("WAIT", 1, 5000); got != "1" {
		t.Errorf("%s replicas have it", got)
	}

	// And so when it is paused.
	replica.Pause()
	if c.MasterOf("k") == replica || slices.Contains(c.Masters(), replica) {
		t.Error("a paused master serves")
	}
	within(t, 15*time.Second, "the old master takes over again", func() bool { return c.MasterOf("k") == old })
	replica.Resume()
	within(t, 15*time.Second, "the paused one follows", func() bool { return slices.Contains(c.Replicas(old), replica) })
	if got := old.Do("GET", "k"); got != "last" {
		t.Errorf("the master has %q", got)
	}

	c.Flush()
	for _, master := range c.Masters() {
		if got := master.Do("DBSIZE"); got != "0" {
			t.Errorf("%s keys are left at %s", got, master.Addr())
		}
	}
}

// A server lives as long as its test, neither longer nor shorter.
func TestLifetime(t *testing.T) {
	var ended *redistest.Server
	t.Run("ends with its test", func(t *testing.T) { ended = redistest.Start(t, nil) })
	if listens(ended.Addr()) {
		t.Error("it outlives its test")
	}
	t.Run("outlives the threads of others", func(t *testing.T) {
		s := redistest.Start(t, nil)
		pid := field(s.Do("INFO", "server"), "process_id")
		var all sync.WaitGroup
		reached := make(chan struct{})
		const threads = 50
		for i := range threads {
			all.Go(func() {
				runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
				if i == threads-1 {
					close(reached)
				}
				<-reached
			})
		}
		all.Wait()
		if field(s.Do("INFO", "server"), "process_id") != pid {
			t.Error("it is another process")
		}
	})
	t.Run("ends with a killed test binary", func(t *testing.T) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestStayUntilKilled$")
		cmd.Env = append(os.Environ(), "REDISTEST_STAY=1", "TMPDIR="+t.TempDir())
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var addr string
		_, err = fmt.Fscan(out, &addr)
		alive := listens(addr)
		cmd.Process.Kill()
		cmd.Wait()
		if err != nil || !alive {
			t.Fatalf("no server at %q: %v", addr, err)
		}
		within(t, 10*time.Second, "the server dies too", func() bool { return !listens(addr) })
	})
}

// TestStayUntilKilled is the other test binary of TestLifetime.
func TestStayUntilKilled(t *testing.T) {
	if os.Getenv("REDISTEST_STAY") == "" {
		return
	}
	fmt.Println(redistest.Start(t, nil).Addr())
	select {}
}

// field returns one value of INFO.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
