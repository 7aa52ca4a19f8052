package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// serverIn has this test's program be a measurement that has a redis-server, in that
// directory, and is killed.
const serverIn = "BENCH_TEST_SERVER_IN"

func TestMain(m *testing.M) {
	dir := os.Getenv(serverIn)
	if dir == "" {
		os.Exit(m.Run())
	}
	server, err := startRedis(context.Background(), dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.address)
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
}

// TestServerDies: a measurement that is killed leaves no redis-server behind.
func TestServerDies(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("this test needs redis-server:", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	measurement := exec.Command(self)
	measurement.Env, measurement.Stderr = append(os.Environ(), serverIn+"="+t.TempDir()), os.Stderr
	if _, err := measurement.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := measurement.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := measurement.Start(); err != nil {
		t.Fatal(err)
	}
	line, errRead := bufio.NewReader(out).ReadString('\n')
	address := strings.TrimSpace(line)
	conn, errDial := net.Dial("tcp", address)
	if err := measurement.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = measurement.Wait() // it was killed
	if err := errors.Join(errRead, errDial); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// The server says nothing by itself: the connection ends when its process does.
	if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the redis-server outlives the measurement that it was started for")
	}
}
