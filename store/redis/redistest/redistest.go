// Package redistest runs real Redis servers for tests: single ones ([Start],
// [StartTLS]) and whole clusters ([StartCluster]), to be killed, paused and started
// again. It needs redis-server, version 7, in PATH (Debian: apt-get install
// redis-server) and Linux.
//
// It knows nothing of the program that is tested and shares no code with it, so
// that what it says of Redis is not what the program believes.
//
// # Servers
//
// Each server has a temporary directory and a loopback port of its own, which it
// keeps over Kill and Restart; nobody else can get the port meanwhile. Without
// other settings it is configured as a careful operator would: an append-only file
// with appendfsync always (everysec in a cluster), no eviction.
//
// Every server has, besides the users of its settings, a user "redistest", by whom
// this package itself speaks with it. So settings may lock the default user.
//
// No server outlives its test. A test binary that is killed takes its servers with
// it, and a test that fails shows the end of each server's log.
//
// # Failing
//
// Whatever goes wrong ends the test by t.Fatal. So all methods but Addr, URL,
// Addrs and Nodes are for the test's own goroutine.
package redistest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	startWithin  = 30 * time.Second // to load its data, on a busy machine
	answerWithin = 10 * time.Second // to any command, FLUSHALL SYNC too
	logFile      = "redis.log"
	admin        = "redistest"
)

// adminPassword is the same for all servers of a test binary.
var adminPassword = rand.Text()

// defaults are the settings of every server
// (https://redis.io/docs/latest/operate/oss_and_stack/management/config/).
var defaults = map[string]string{
	"bind":             "127.0.0.1",
	"protected-mode":   "no",
	"daemonize":        "no",
	"loglevel":         "notice",
	"logfile":          "", // standard output, where complaints about the settings go too
	"appendonly":       "yes",
	"appendfsync":      "always",
	"save":             "",
	"maxmemory-policy": "noeviction",
	// A master waits 5 s for more replicas before it sends the first one its data.
	"repl-diskless-sync-delay": "0",
}

// A Server is one redis-server process.
type Server struct {
	t    testing.TB
	dir  string
	port int
	bus  int         // the port on which the nodes of a cluster talk
	tls  *tls.Config // nil for a server without TLS

	mu      sync.Mutex
	process *os.Process
	ended   chan struct{} // closed when the process is gone
	paused  bool
}

// Start runs one server until the test ends. Settings are directives of redis.conf
// that win over the package's own: {"appendonly": "no"}. Only the ports and the
// directory are not theirs to choose.
func Start(t testing.TB, settings map[string]string) *Server {
	t.Helper()
	s := newServer(t, nil, settings)
	s.Restart()
	return s
}

// newServer prepares a server; later settings win. With a config it speaks TLS
// only.
func newServer(t testing.TB, config *tls.Config, settings ...map[string]string) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), port: reserve(t), bus: reserve(t), tls: config, ended: make(chan struct{})}
	close(s.ended)

	conf := maps.Clone(defaults)
	for _, more := range settings {
		maps.Copy(conf, more)
	}
	conf["dir"] = s.dir
	conf["port"] = strconv.Itoa(s.port)
	conf["cluster-port"] = strconv.Itoa(s.bus)
	if config != nil {
		conf["port"], conf["tls-port"] = "0", conf["port"]
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(conf)) {
		value := conf[name]
		if value == "" {
			value = `""`
		}
		fmt.Fprintf(&text, "%s %s\n", name, value)
	}
	fmt.Fprintf(&text, "user %s on >%s ~* &* +@all\n", admin, adminPassword)
	if err := os.WriteFile(filepath.Join(s.dir, "redis.conf"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	return s
}

// reserve returns a free loopback port that nobody else is given before the test
// ends. The port is bound, but not listened on: Linux then chooses it for no other
// socket, and refuses connections to it, while redis-server, which sets
// SO_REUSEADDR too, may listen on it (socket(7), ip(7)). A port that were only looked
// up could be gone when a killed server wants it back.
func reserve(t testing.TB) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal("socket: ", err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal("setsockopt: ", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal("bind: ", err)
	}
	address, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal("getsockname: ", err)
	}
	return address.(*syscall.SockaddrInet4).Port
}

// Addr returns the server's address, 127.0.0.1:port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// URL returns redis://127.0.0.1:port, or rediss:// for TLS, without user.
func (s *Server) URL() string {
	if s.tls != nil {
		return "rediss://" + s.Addr()
	}
	return "redis://" + s.Addr()
}

// Kill ends the server by SIGKILL and returns when its process is gone. Its data
// directory stays.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
}

func (s *Server) kill() {
	if s.process != nil {
		s.process.Kill() // an error says that it has ended already
	}
	<-s.ended
	s.paused = false
}

// Restart starts the server on the same port and directory with the same settings,
// and returns when it answers PING, its data loaded. One that still runs is killed
// first. In a cluster the other nodes may need longer to notice.
func (s *Server) Restart() {
	s.t.Helper()
	s.launch()
	s.await()
}

// launch starts the process.
func (s *Server) launch() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatalf("redis-server cannot be run: %v: apt-get install redis-server", err)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, filepath.Join(s.dir, "redis.conf"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		// Pdeathsig comes when the thread that started the process ends, not only
		// when all of this program does (prctl(2)). So the thread is kept for it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	s.process, s.ended = cmd.Process, ended
}

// await returns when the server answers; one that loads its data answers LOADING,
// an error.
func (s *Server) await() {
	s.t.Helper()
	until(s.t, startWithin, func() error {
		s.t.Helper()
		if !s.alive() {
			s.t.Fatalf("redis-server on %s ended instead of starting", s.Addr())
		}
		_, err := s.do("PING")
		return err
	})
}

// alive says whether the process is there and not paused.
func (s *Server) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ended:
		return false
	default:
		return !s.paused
	}
}

// Pause stops the process by SIGSTOP and returns when it does not run any more. Its
// connections stay open, and nothing answers on them.
func (s *Server) Pause() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal(syscall.SIGSTOP)
	s.paused = true
	until(s.t, answerWithin, func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Pid))
		if err != nil {
			return err
		}
		// PID (NAME) STATE …, see proc(5)
		if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T") {
			return fmt.Errorf("the process does not stop: its state is %.1s", state)
		}
		return nil
	})
}

// Resume lets a paused server go on (SIGCONT).
func (s *Server) Resume() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal(syscall.SIGCONT)
	s.paused = false
}

func (s *Server) signal(sig os.Signal) {
	s.t.Helper()
	if s.process == nil {
		s.t.Fatal("the server was never started")
	}
	if err := s.process.Signal(sig); err != nil {
		s.t.Fatalf("%v to the server on %s: %v", sig, s.Addr(), err)
	}
}

// Do runs one command on a connection of its own, as a user who may do all, and
// returns the answer as text: nil is empty, an array has a line for each element.
func (s *Server) Do(args ...any) string {
	s.t.Helper()
	answer, err := s.do(args...)
	if err != nil {
		s.t.Fatalf("%s: %v: %v", s.Addr(), args, err)
	}
	return answer
}

func (s *Server) do(args ...any) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	// Dialled here, because the client would log a refused connection.
	var conn net.Conn
	var err error
	if s.tls != nil {
		conn, err = (&tls.Dialer{Config: s.tls}).DialContext(ctx, "tcp", s.Addr())
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", s.Addr())
	}
	if err != nil {
		return "", err
	}
	defer conn.Close()
	client := redis.NewClient(&redis.Options{
		Dialer:                   func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		Username:                 admin,
		Password:                 adminPassword,
		Protocol:                 2, // knows no maps
		MaxRetries:               -1,
		DialerRetries:            1,
		ReadTimeout:              answerWithin,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	defer client.Close()
	answer, err := client.Do(ctx, args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", err
	}
	return text(answer), nil
}

func text(answer any) string {
	switch answer := answer.(type) {
	case nil:
		return ""
	case []any:
		lines := make([]string, len(answer))
		for i, element := range answer {
			lines[i] = text(element)
		}
		return strings.Join(lines, "\n")
	default:
		return fmt.Sprint(answer)
	}
}

// end kills the server for good.
func (s *Server) end() {
	s.Kill()
	if s.t.Failed() {
		s.t.Logf("the log of the redis-server on %s ends:\n%s", s.Addr(), s.logTail(20))
	}
	// A child that was rewriting the append-only file ends a little later by itself,
	// and may still put files where t.TempDir must find none.
	until(s.t, answerWithin, func() error { return os.RemoveAll(s.dir) })
}

func (s *Server) logTail(lines int) string {
	log, err := os.ReadFile(filepath.Join(s.dir, logFile))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// until tries again and again, and ends the test with the last error when that
// does not help within the limit.
func until(t testing.TB, limit time.Duration, try func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); ; <-tick.C {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %v", limit, err)
		}
	}
}
