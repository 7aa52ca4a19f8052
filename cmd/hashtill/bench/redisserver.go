package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"hashtill/store/redis"
)

// redisWithin is how soon a redis-server answers.
const redisWithin = 10 * time.Second

// A redisServer is a redis-server of a measurement's own.
type redisServer struct {
	*exec.Cmd
	address string
}

// startRedis runs a redis-server in a directory. Every write is synced before it is
// answered, as SQLite's is.
func startRedis(ctx context.Context, dir string, settings ...string) (s *redisServer, err error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("a measurement on Redis runs a redis-server of its own: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s = &redisServer{address: l.Addr().String()}
	_, port, _ := net.SplitHostPort(s.address)
	if err := l.Close(); err != nil { // whoever takes it meanwhile makes the server fail, and that is told
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "redis.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.Cmd = exec.Command(program, append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"}, settings...)...)
	s.Stdout, s.Stderr = log, log
	// Whoever kills a measurement leaves no server behind (PR_SET_PDEATHSIG(2const)).
	s.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, redisWithin)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
		if err == nil {
			return s, conn.Close()
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("redis-server does not answer: %w", err), s.kill())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// kill ends it.
func (s *redisServer) kill() error {
	if err := s.Process.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	var ended *exec.ExitError
	if err := s.Wait(); !errors.As(err, &ended) {
		return err
	}
	return nil
}

// openRedis runs a redis-server in a directory and opens it.
func (g *ground) openRedis(ctx context.Context, dir string) error {
	server, err := startRedis(ctx, dir)
	if err != nil {
		return err
	}
	g.server, g.address, g.close = server.Process.Pid, server.address, server.kill
	db, err := redis.Open(ctx, redis.Config{URL: "redis://" + server.address})
	if err != nil {
		return err
	}
	g.Store = db
	return nil
}
