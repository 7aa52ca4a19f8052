package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hashtill/bot/x/xtest"
	"hashtill/confirm"
	"hashtill/confirm/smtp/smtptest"
	"hashtill/confirm/stripe/stripetest"
)

// standIns are X, Stripe and a mail server on this machine, with a configuration that
// names them and a SQLite file of its own.
type standIns struct {
	x      *xtest.Server
	stripe *stripetest.Server
	smtp   *smtptest.Server
	dir    string
	store  string // the SQLite file
	config string
	pages  string // where the configuration has the pages answer
	keys   string
}

// newStandIns starts them. Whoever gets them closes them.
func newStandIns() (s *standIns, err error) {
	s = &standIns{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "hashtill-bench-"); err != nil {
		return s, err
	}
	if s.x, err = xtest.Start(xtest.Options{}); err != nil {
		return s, err
	}
	if s.stripe, err = stripetest.Start(stripetest.Options{}); err != nil {
		return s, err
	}
	if s.smtp, err = smtptest.Start(smtptest.Options{}); err != nil {
		return s, err
	}
	account, err := s.x.AddAccount(xtest.Account{Handle: "hashtill"})
	if err != nil {
		return s, err
	}
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return s, err
	}
	at := listen.Addr().String()
	if err := listen.Close(); err != nil {
		return s, err
	}
	s.pages, s.keys, s.store = "http://"+at, confirm.NewKeys(), filepath.Join(s.dir, "hashtill.db")

	var wrong error
	write := func(name, text string) string {
		path := filepath.Join(s.dir, name)
		wrong = errors.Join(wrong, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	creds := s.x.Credentials(account.ID)
	s.config = write("hashtill.yaml", fmt.Sprintf(`public_url: %q
listen: %q
store: %q
archive: %q
keys_file: %q
x:
  api_url: %[6]q
  stream_url: %[6]q
  consumer_key_file: %[7]q
  consumer_secret_file: %q
  access_token_file: %q
  access_secret_file: %q
  bearer_token_file: %q
stripe: {api_url: %q, key_file: %q}
smtp: {host: %q, port: %d, tls: none}
mail: {from: shop@mail.example}
`, s.pages, at, "sqlite:"+s.store, filepath.Join(s.dir, "archive"), write("keys", s.keys),
		s.x.URL(), write("consumer_key", creds.ConsumerKey), write("consumer_secret", creds.ConsumerSecret),
		write("access_token", creds.Token), write("access_secret", creds.TokenSecret), write("bearer", s.x.Bearer()),
		s.stripe.URL(), write("stripe", s.stripe.Key()), s.smtp.Host(), s.smtp.Port()))
	return s, wrong
}

// Close ends them and leaves nothing behind.
func (s *standIns) Close() error {
	var errs []error
	if s.x != nil {
		errs = append(errs, s.x.Close())
	}
	if s.stripe != nil {
		errs = append(errs, s.stripe.Close())
	}
	if s.smtp != nil {
		errs = append(errs, s.smtp.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// A served is a hashtill serve in a process of its own.
type served struct {
	cmd   *exec.Cmd
	said  *bytes.Buffer // read it only when the process has ended
	ended chan error
	start time.Duration // from the start of the process until its pages answered
}

// within is how long a process may take until its pages answer.
const within = 5 * time.Minute

// serve starts the hashtill of a file between the stand-ins, and returns when its pages
// answer: when GET /readyz brings 200, or any answer where that is enough.
func (s *standIns) serve(ctx context.Context, binary string, ready bool) (*served, error) {
	p := &served{cmd: exec.Command(binary, "serve", "--config", s.config), said: &bytes.Buffer{}, ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Env = withoutOurs(os.Environ())
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.ended <- p.cmd.Wait() }()
	for tick := time.NewTicker(time.Millisecond); ; {
		if answers(ctx, s.pages+"/readyz", ready) {
			p.start = time.Since(began)
			tick.Stop()
			return p, nil
		}
		select {
		case err := <-p.ended:
			return nil, fmt.Errorf("hashtill serve has ended: %w\n%s", err, p.said)
		case <-ctx.Done():
			err := p.stop()
			return nil, errors.Join(fmt.Errorf("hashtill serve does not answer: %w\n%s", ctx.Err(), p.said), err)
		case <-tick.C:
		}
	}
}

// withoutOurs leaves out what would configure the process besides its file.
func withoutOurs(environ []string) (others []string) {
	for _, e := range environ {
		if !strings.HasPrefix(e, "HASHTILL_") {
			others = append(others, e)
		}
	}
	return others
}

func answers(ctx context.Context, address string, well bool) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && (resp.StatusCode == http.StatusOK || !well)
}

// stop tells the process to stop, and waits until it has.
func (p *served) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-p.ended:
		return err
	case <-time.After(30 * time.Second):
		return errors.Join(errors.New("hashtill serve does not stop"), p.cmd.Process.Kill(), <-p.ended)
	}
}

// wait leaves the process alone for a while.
func (p *served) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case err := <-p.ended:
		p.ended <- err // for stop
		return fmt.Errorf("hashtill serve has ended: %w\n%s", err, p.said)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// memory is what the process holds and has held at most, in bytes, as
// proc_pid_status(5) tells: VmRSS and VmHWM.
func (p *served) memory() (resident, most float64, err error) {
	return memoryOf(p.cmd.Process.Pid)
}

func memoryOf(pid int) (resident, most float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("how much memory a process takes is told by Linux only: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		kB, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return 0, 0, err
		}
		switch fields[0] {
		case "VmRSS:":
			resident = kB * 1024
		case "VmHWM:":
			most = kB * 1024
		}
	}
	return resident, most, nil
}

// cpuOf is the time for which the threads of a process have run so far, on all cores
// together: the first figure of each thread's schedstat, in nanoseconds
// (https://docs.kernel.org/scheduler/sched-stats.html). The times of /proc/PID/stat come
// in steps of 10 ms, which is more than a process at rest takes in ten seconds.
func cpuOf(pid int) (all time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // a thread that has ended
		}
		var ran int64
		if err == nil {
			_, err = fmt.Sscan(string(text), &ran)
		}
		if err != nil {
			return 0, err
		}
		all += time.Duration(ran)
	}
	if all == 0 {
		return 0, errors.New("how long a process has run is told by Linux only")
	}
	return all, nil
}

// megabyte is the unit in which memory and files are told.
const megabyte = 1 << 20
