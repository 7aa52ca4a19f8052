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

// openRedis runs a redis-server in a directory and opens it. Every write is synced before
// it is answered, as SQLite's is.
func (g *ground) openRedis(ctx context.Context, dir string) error {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("a measurement on Redis runs a redis-server of its own: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	if err := l.Close(); err != nil { // whoever takes it meanwhile makes the server fail, and that is told
		return err
	}
	log, err := os.Create(filepath.Join(dir, "redis.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	server := exec.Command(program, "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		return err
	}
	g.server, g.address = server.Process.Pid, address
	g.close = func() error {
		if err := server.Process.Signal(syscall.SIGKILL); err != nil {
			return err
		}
		var ended *exec.ExitError
		if err := server.Wait(); !errors.As(err, &ended) {
			return err
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, redisWithin)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redis-server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	db, err := redis.Open(ctx, redis.Config{URL: "redis://" + address})
	if err != nil {
		return err
	}
	g.Store = db
	return nil
}
