package smtptest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wneessen/go-mail"

	"hashtill/confirm/smtp/smtptest"
)

// A report is what go-mail says of a delivery, and what became of the mail.
type report struct {
	failed    bool // DialAndSend returned an error
	refused   int  // the code in a *textproto.Error of that error, where there is one
	sendErr   bool // a *mail.SendError belongs to the message
	temporary bool // SendError.IsTemp
	code      int  // SendError.ErrorCode
	delivered bool // Msg.IsDelivered
	kept      int  // mails that the server holds
}

func deliver(t *testing.T, server *smtptest.Server, c *mail.Client, m *mail.Msg) report {
	t.Helper()
	before := len(server.Messages())
	err := send(t, c, m)
	r := report{failed: err != nil, delivered: m.IsDelivered(), kept: len(server.Messages()) - before}
	var reply *textproto.Error
	if errors.As(err, &reply) {
		r.refused = reply.Code
	}
	var sendErr *mail.SendError
	if errors.As(err, &sendErr) {
		r.sendErr, r.temporary, r.code = true, sendErr.IsTemp(), sendErr.ErrorCode()
	}
	return r
}

// TestWhatGoMailReports records what go-mail v0.8.1 makes of each fault. The
// three lines to remember: a cut or a time-out is never IsTemp and has no code; a
// cut before the 250 leaves IsDelivered false although the mail was kept; a cut
// after it is an error with IsDelivered true.
func TestWhatGoMailReports(t *testing.T) {
	delivered := report{delivered: true, kept: 1}
	at := func(stage smtptest.Stage, code int) smtptest.Fault {
		return smtptest.Fault{At: stage, Code: code, Times: 1}
	}
	for _, test := range []struct {
		name  string
		fault smtptest.Fault
		want  report
	}{
		{"busy at connect", at(smtptest.Connect, 421), report{failed: true, refused: 421}},
		{"cut at connect", smtptest.Fault{At: smtptest.Connect, Cut: true, Times: 1}, report{failed: true}},
		{"greylisted", smtptest.Fault{At: smtptest.Recipient, Greylist: true}, report{failed: true, sendErr: true, temporary: true, code: 451}},
		{"recipient 421", at(smtptest.Recipient, 421), report{failed: true, sendErr: true, temporary: true, code: 421}},
		{"recipient 450", at(smtptest.Recipient, 450), report{failed: true, sendErr: true, temporary: true, code: 450}},
		{"recipient 452", at(smtptest.Recipient, 452), report{failed: true, sendErr: true, temporary: true, code: 452}},
		{"recipient 550", at(smtptest.Recipient, 550), report{failed: true, sendErr: true, code: 550}},
		{"recipient 552", at(smtptest.Recipient, 552), report{failed: true, sendErr: true, code: 552}},
		{"recipient 554", at(smtptest.Recipient, 554), report{failed: true, sendErr: true, code: 554}},
		{"cut at recipient", smtptest.Fault{At: smtptest.Recipient, Cut: true, Times: 1}, report{failed: true, sendErr: true}},
		{"body 421", at(smtptest.Body, 421), report{failed: true, sendErr: true, temporary: true, code: 421}},
		{"body 450", at(smtptest.Body, 450), report{failed: true, sendErr: true, temporary: true, code: 450}},
		{"body 452", at(smtptest.Body, 452), report{failed: true, sendErr: true, temporary: true, code: 452}},
		{"body 552", at(smtptest.Body, 552), report{failed: true, sendErr: true, code: 552}},
		{"body 554", at(smtptest.Body, 554), report{failed: true, sendErr: true, code: 554}},
		{"cut mid-DATA", smtptest.Fault{At: smtptest.Body, Cut: true, Times: 1}, report{failed: true, sendErr: true}},
		{"refused though kept", at(smtptest.Kept, 451), report{failed: true, sendErr: true, temporary: true, code: 451, kept: 1}},
		{"cut before the 250", smtptest.Fault{At: smtptest.Kept, Cut: true, Times: 1}, report{failed: true, sendErr: true, kept: 1}},
		{"cut after the 250", smtptest.Fault{At: smtptest.Answered, Cut: true, Times: 1}, report{failed: true, sendErr: true, delivered: true, kept: 1}},
		{"slow", smtptest.Fault{At: smtptest.Body, Delay: time.Millisecond, Times: 1}, delivered},
	} {
		for _, mode := range []smtptest.TLSMode{smtptest.NoTLS, smtptest.StartTLS, smtptest.ImplicitTLS} {
			t.Run(test.name+" "+string(mode), func(t *testing.T) {
				server := start(t, smtptest.Options{TLS: mode})
				options := []mail.Option{trust(server)}
				switch mode {
				case smtptest.StartTLS:
					options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
				case smtptest.ImplicitTLS:
					options = append(options, mail.WithSSL())
				}
				c := client(t, server, options...)
				inject(t, server, test.fault)
				if got := deliver(t, server, c, letter(t, ann)); got != test.want {
					t.Errorf("go-mail reports %+v, want %+v", got, test.want)
				}
				if got := deliver(t, server, c, letter(t, ann)); got != delivered {
					t.Errorf("the second try: %+v, want %+v", got, delivered)
				}
				if n := len(server.Folded(ann)); n != 1 {
					t.Errorf("the buyer reads %d mails, want 1", n)
				}
			})
		}
	}
}

// A server that is slower than the sender is patient: go-mail says neither
// "temporary" nor "delivered", whether the mail was kept or not.
func TestTimeouts(t *testing.T) {
	for _, test := range []struct {
		at   smtptest.Stage
		want report
	}{
		{smtptest.Connect, report{failed: true}},
		{smtptest.Recipient, report{failed: true, sendErr: true}},
		{smtptest.Body, report{failed: true, sendErr: true}},
		{smtptest.Kept, report{failed: true, sendErr: true, kept: 1}},
	} {
		t.Run(fmt.Sprint(test.at), func(t *testing.T) {
			server := start(t, smtptest.Options{})
			inject(t, server, smtptest.Fault{At: test.at, Delay: time.Hour}) // Close interrupts it
			c := client(t, server, mail.WithTimeout(300*time.Millisecond))
			if got := deliver(t, server, c, letter(t, ann)); got != test.want {
				t.Errorf("go-mail reports %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	server := start(t, smtptest.Options{})
	c := client(t, server)
	addr := server.Addr()
	server.Close()
	if got, want := deliver(t, server, c, letter(t, ann)), (report{failed: true}); got != want {
		t.Errorf("go-mail reports %+v, want %+v", got, want)
	}
	again := start(t, smtptest.Options{Addr: addr})
	if err := send(t, c, letter(t, ann)); err != nil || len(again.Messages()) != 1 {
		t.Errorf("after the restart at %s: %v", addr, err)
	}
}

// One refused recipient keeps go-mail from sending to any.
func TestFaultForOneRecipient(t *testing.T) {
	server := start(t, smtptest.Options{})
	c := client(t, server)
	inject(t, server, smtptest.Fault{At: smtptest.Recipient, Code: 550, To: "Bob@Example.test", Times: 2})
	if got, want := deliver(t, server, c, letter(t, ann)), (report{delivered: true, kept: 1}); got != want {
		t.Errorf("to ann: %+v, want %+v", got, want)
	}
	refused := report{failed: true, sendErr: true, code: 550}
	if got := deliver(t, server, c, letter(t, bob)); got != refused {
		t.Errorf("to bob: %+v, want %+v", got, refused)
	}
	if got := deliver(t, server, c, letter(t, ann, bob)); got != refused {
		t.Errorf("to both: %+v, want %+v", got, refused)
	}
	if got, want := deliver(t, server, c, letter(t, bob)), (report{delivered: true, kept: 1}); got != want {
		t.Errorf("to bob after two refusals: %+v, want %+v", got, want)
	}
	if got := [2]int{server.Tries(ann), server.Tries("BOB@example.test")}; got != [2]int{2, 3} {
		t.Errorf("tries %v, want 2 for ann, 3 for bob", got)
	}
}

func TestGreylistWaits(t *testing.T) {
	var minutes atomic.Int64
	epoch := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	server := start(t, smtptest.Options{Now: func() time.Time {
		return epoch.Add(time.Duration(minutes.Load()) * time.Minute)
	}})
	inject(t, server, smtptest.Fault{At: smtptest.Recipient, Greylist: true, Wait: 5 * time.Minute})
	c := client(t, server)
	for _, step := range []struct {
		minute int64
		to     string
		passes bool
	}{{0, ann, false}, {4, ann, false}, {4, bob, false}, {5, ann, true}, {6, bob, false}, {9, bob, true}, {9, ann, true}} {
		minutes.Store(step.minute)
		if got := deliver(t, server, c, letter(t, step.to)); got.delivered != step.passes {
			t.Errorf("minute %d, %s: %+v", step.minute, step.to, got)
		}
	}
}

func TestHealAndOrder(t *testing.T) {
	server := start(t, smtptest.Options{})
	c := client(t, server)
	inject(t, server, smtptest.Fault{At: smtptest.Recipient, Code: 450, Times: 1})
	inject(t, server, smtptest.Fault{At: smtptest.Recipient, Code: 550})
	for _, want := range []int{450, 550, 550} {
		if got := deliver(t, server, c, letter(t, ann)); got.code != want {
			t.Errorf("code %d, want %d", got.code, want)
		}
	}
	server.Heal()
	if err := send(t, c, letter(t, ann)); err != nil {
		t.Error(err)
	}
}

func TestInjectRefusesNonsense(t *testing.T) {
	server := start(t, smtptest.Options{})
	for _, f := range []smtptest.Fault{
		{},
		{At: smtptest.Body},
		{At: 99, Cut: true},
		{At: smtptest.Body, Code: 250},
		{At: smtptest.Body, Code: 600},
		{At: smtptest.Body, Code: 554, Cut: true},
		{At: smtptest.Body, Greylist: true},
		{At: smtptest.Body, Cut: true, Times: -1},
		{At: smtptest.Body, Cut: true, Wait: time.Second},
		{At: smtptest.Recipient, Greylist: true, Times: 1},
		{At: smtptest.Connect, Cut: true, To: ann},
		{At: smtptest.Answered, Code: 451},
		{At: smtptest.Answered, Delay: time.Second},
	} {
		if server.Inject(f) == nil {
			t.Errorf("%+v was taken", f)
		}
	}
	if err := send(t, client(t, server), letter(t, ann)); err != nil {
		t.Error(err)
	}
}

// The hook runs when the mail is kept and the client has no 250 yet.
func TestHookRunsBeforeTheReply(t *testing.T) {
	server := start(t, smtptest.Options{})
	inHook, goOn := make(chan smtptest.Message), make(chan struct{})
	server.OnKept(func(m smtptest.Message) {
		inHook <- m
		<-goOn
	})
	c, m := client(t, server), letter(t, ann)
	sent := make(chan error, 1)
	go func() { sent <- send(t, c, m) }()
	if got := <-inHook; got.MessageID != "effect-17@example.test" {
		t.Errorf("the hook got %q", got.MessageID)
	}
	if n := len(server.Messages()); n != 1 {
		t.Errorf("%d mails kept in the hook, want 1", n)
	}
	select {
	case err := <-sent:
		t.Errorf("the client was answered before the hook returned: %v", err)
	default:
	}
	close(goOn)
	if err := <-sent; err != nil {
		t.Error(err)
	}
	server.OnKept(nil)
	if err := send(t, c, letter(t, ann)); err != nil {
		t.Error(err)
	}
}

// A sender that dies in the hook leaves a mail that it does not know of.
func TestSenderDiesInHook(t *testing.T) {
	server := start(t, smtptest.Options{})
	var wire net.Conn
	c := client(t, server, mail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		var err error
		wire, err = new(net.Dialer).DialContext(ctx, network, address)
		return wire, err
	}))
	server.OnKept(func(smtptest.Message) { wire.Close() })
	m := letter(t, ann)
	if err := send(t, c, m); err == nil || m.IsDelivered() {
		t.Errorf("error %v, delivered %v", err, m.IsDelivered())
	}
	if n := len(server.Mailbox(ann)); n != 1 {
		t.Errorf("%d mails, want 1", n)
	}
}

// After a 421 nothing more is said on the connection (RFC 5321, section 3.8).
func TestHangsUpAfter421(t *testing.T) {
	server := start(t, smtptest.Options{})
	inject(t, server, smtptest.Fault{At: smtptest.Recipient, Code: 421})
	wire, err := net.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	c := textproto.NewConn(wire)
	defer c.Close()
	if err := wire.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		say  string
		code int
	}{{"EHLO a", 250}, {"MAIL FROM:<a@b>", 250}, {"RCPT TO:<c@d>", 421}} {
		if err := c.PrintfLine("%s", step.say); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.ReadResponse(step.code); err != nil {
			t.Fatal(err)
		}
	}
	if line, err := c.ReadLine(); !errors.Is(err, io.EOF) {
		t.Errorf("%q, %v after the 421, want EOF", line, err)
	}
}

// Close returns though clients sit on open connections in every stage, and
// leaves no goroutine behind.
func TestCloseEndsEverything(t *testing.T) {
	server := start(t, smtptest.Options{TLS: smtptest.ImplicitTLS})
	c, m := client(t, server, mail.WithSSL(), trust(server)), letter(t, ann)
	inject(t, server, smtptest.Fault{At: smtptest.Kept, Delay: time.Hour})
	sent := make(chan error, 1)
	go func() { sent <- send(t, c, m) }()
	if _, err := server.Wait(t.Context(), func(smtptest.Message) bool { return true }); err != nil {
		t.Fatal(err)
	}
	dial := func() {
		silent, err := net.Dial("tcp", server.Addr()) // never begins its handshake
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { silent.Close() })
	}
	dial()
	inject(t, server, smtptest.Fault{At: smtptest.Connect, Delay: time.Hour})
	for range 50 {
		dial()
	}

	if err := server.Close(); err != nil {
		t.Error(err)
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for frame := range strings.Lines(string(stacks)) {
		if strings.HasPrefix(frame, "hashtill/confirm/smtp/smtptest.") {
			t.Errorf("still running: %s", frame)
		}
	}
	if err := <-sent; err == nil {
		t.Error("the client believes that its mail was taken")
	}
	if err := server.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}
