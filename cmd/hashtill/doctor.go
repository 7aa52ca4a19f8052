package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"hashtill/confirm"
	"hashtill/confirm/stripe"
	"hashtill/offers"
	"hashtill/store"
)

type doctorCmd struct {
	JSON bool `name:"json" help:"JSON, one finding a line."`
}

// Help is the rest of the help text.
func (doctorCmd) Help() string {
	return `Looks at the configuration, and if that is right at the store, the clock, Stripe, the
mail server, X and the pages, and says what to do about what is wrong. Nothing is posted,
charged, mailed or changed, and hashtill serve may go on meanwhile.
Exits 0 if all is well or only warned of, 1 if something fails, and 2 if the
configuration is wrong.

  hashtill doctor --config hashtill.yaml`
}

// patience is how long one part may take to answer.
const patience = 20 * time.Second

// Run looks.
func (c doctorCmd) Run(e *env) error {
	d := &doctor{out: e.out, json: c.JSON}
	cfg, err := Load(e.config, e.environ)
	if err == nil {
		err = diagnosable(cfg)
	}
	if err != nil {
		for _, err := range flat(err) {
			d.fail("configuration", "", "%v", err)
		}
		return usageError{fmt.Errorf("the configuration is wrong: %d to mend; nothing outside was looked at", d.failed)}
	}
	d.cfg = cfg
	d.ok("configuration", "every key is right")
	d.secrets()
	d.within(e.ctx, d.lookAtStore)
	var g errgroup.Group
	for _, look := range []func(context.Context){d.lookAtStripe, d.lookAtMail, d.lookAtSender, d.lookAtX, d.lookAtSignIn, d.lookAtPages} {
		g.Go(func() error { d.within(e.ctx, look); return nil })
	}
	_ = g.Wait()
	if e.ctx.Err() != nil {
		return errors.New("stopped")
	}
	if d.failed > 0 {
		return fmt.Errorf("%d of %d fail", d.failed, d.told)
	}
	return nil
}

// diagnosable is all that is wrong with a configuration, of which Validate knows most.
func diagnosable(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	var errs []error
	try := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s%w", key, err))
		}
	}
	_, _, err := confirm.ParseKeys(string(cfg.Keys))
	try("keys: ", err)
	_, err = openX(cfg, log, time.Now)
	try("", err)
	_, err = signInWith(cfg, log, time.Now)
	try("", err)
	_, err = stripe.New(stripeConfig(cfg, log, time.Now))
	try("", err)
	_, err = openMailer(cfg, time.Now)
	try("", err)
	if kind, rest, _ := strings.Cut(cfg.Store, ":"); cfg.Store != "memory" && (kind != "sqlite" || rest == "") && !isRedis(kind) {
		_, err = openStoreAt(context.Background(), cfg, log) // which opens none
		try("", err)
	}
	if cfg.Offers != "" {
		_, err = readOffers(cfg.Offers)
		try("offers: ", err)
	}
	return errors.Join(errs...)
}

// flat is what has been joined, one by one.
func flat(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, err := range joined.Unwrap() {
		all = append(all, flat(err)...)
	}
	return all
}

// A doctor looks at what is here, and then at all that is outside at once.
type doctor struct {
	cfg Config

	// What the look at the store has found for those that come after.
	tags   []string // for sale
	served bool     // a hashtill serve is at work on it

	mu           sync.Mutex // guards all below
	out          io.Writer
	json         bool
	told, failed int
}

// A diagnosis is one line of what is told.
type diagnosis struct {
	Status string `json:"status"` // ok, warn or fail
	What   string `json:"what"`
	Says   string `json:"says"`
	Next   string `json:"next,omitempty"` // what to do, where Says has not said it
}

func (d *doctor) ok(what, format string, args ...any) { d.tell("ok", what, "", format, args...) }

func (d *doctor) warn(what, next, format string, args ...any) {
	d.tell("warn", what, next, format, args...)
}

func (d *doctor) fail(what, next, format string, args ...any) {
	d.tell("fail", what, next, format, args...)
}

func (d *doctor) tell(status, what, next, format string, args ...any) {
	one := diagnosis{Status: status, What: what, Says: strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; "), Next: next}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told++
	if status == "fail" {
		d.failed++
	}
	if d.json {
		_ = json.NewEncoder(d.out).Encode(one)
		return
	}
	if one.Next != "" {
		one.Next = ". Do: " + one.Next
	}
	fmt.Fprintf(d.out, "%-4s  %-14s  %s%s\n", one.Status, one.What, one.Says, one.Next)
}

// within gives one look its time.
func (d *doctor) within(ctx context.Context, look func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	look(ctx)
}

// why is an error as the operator reads it.
func why(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s (%w)", patience, err)
	}
	return err
}

// secrets looks who may read the files with secrets. Systems without such modes say
// that everybody may write a file (Windows: 0666), of which nothing is told.
func (d *doctor) secrets() {
	found := false
	eachKey(reflect.ValueOf(&d.cfg).Elem(), "", func(name string, v reflect.Value) {
		path := v.String()
		if !strings.HasSuffix(name, "_file") || name == "redis.ca_file" || path == "" {
			return
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o077 == 0 || info.Mode().Perm() == 0o666 {
			return
		}
		found = true
		d.warn("secrets", "chmod 600 "+path, "others on this machine can read %s (%s)", path, name)
	})
	if !found {
		d.ok("secrets", "the keys file is one, and nobody else can read the files of the secrets")
	}
}

// lookAtStore opens the store, and has it take and give back a small record.
func (d *doctor) lookAtStore(ctx context.Context) {
	d.tags = d.catalogue(nil)
	if d.cfg.Store == "memory" {
		d.warn("store", "name a sqlite:PATH or a redis://… before you sell anything", "memory forgets everything when hashtill serve ends")
		return
	}
	if path, ok := strings.CutPrefix(d.cfg.Store, "sqlite:"); ok {
		info, err := os.Stat(path)
		switch folder := filepath.Dir(path); {
		case err == nil && info.Size() == 0:
			d.fail("store", "restore a backup (hashtill store restore), or remove the file", "%s is empty: it is no database, or was cut off", path)
			return
		case errors.Is(err, os.ErrNotExist) && !isFolder(folder):
			d.fail("store", "make the folder", "there is no folder %s for the database", folder)
			return
		case errors.Is(err, os.ErrNotExist):
			d.warn("store", "hashtill offer import offers.yaml, or start hashtill serve", "there is no database %s yet; the first that writes makes it", path)
			return
		}
	}
	log := slog.New(warnings{d, "store"})
	st, err := openStoreAt(ctx, d.cfg, log)
	if err != nil {
		d.fail("store", "", "%v", why(ctx, err))
		return
	}
	defer func() {
		if err := st.Close(); err != nil {
			d.fail("store", "", "%v", err)
		}
	}()
	took, err := roundTrip(ctx, st)
	if err != nil {
		d.fail("store", "", "it takes no commit: %v", why(ctx, err))
		return
	}
	name := ""
	if known, ok := st.(interface {
		Describe(context.Context) (string, error)
	}); ok {
		if name, err = known.Describe(ctx); err != nil {
			d.fail("store", "", "%v", why(ctx, err))
			return
		}
	}
	if isRedis(storeKind(d.cfg.Store)) {
		name += fmt.Sprintf(", waits for %d of them (redis.wait)", d.cfg.Redis.Wait)
	}
	d.ok("store", "%s: committed, read and removed a small record in %s", name, took.Round(time.Millisecond/10))
	shop, _, err := openShop(ctx, d.cfg, st, log, time.Now)
	if err != nil {
		d.fail("store", "", "%v", why(ctx, err))
		return
	}
	d.tags = d.catalogue(shop)
	if d.served, err = shop.Served(ctx); err != nil {
		d.warn("store", "", "it cannot be told whether a hashtill serve is at work on it: %v", why(ctx, err))
	}
	if len(d.tags) == 0 {
		d.warn("offers", "hashtill offer import offers.yaml", "nothing is for sale")
		return
	}
	d.ok("offers", "%d for sale", len(d.tags))
}

// catalogue is what hashtill serve would follow: the configured file, or else the
// store's.
func (d *doctor) catalogue(shop *offers.Shop) (tags []string) {
	var all []offers.Offer
	switch {
	case d.cfg.Offers != "":
		all, _ = readOffers(d.cfg.Offers) // diagnosable has read it
	case shop != nil:
		all = shop.Offers()
	}
	for _, o := range all {
		tags = append(tags, o.Tag)
	}
	return tags
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// roundTrip commits a record of its own, reads it and removes it, whatever becomes of
// ctx. Nothing of a running shop meets it.
func roundTrip(ctx context.Context, st store.Store) (took time.Duration, err error) {
	began := time.Now()
	key := "doctor/" + rand.Text()
	shard := store.ShardOf(key)
	if err := st.Commit(ctx, store.Change{Shard: shard, Put: []store.Put{{Key: key, Value: []byte("-")}}}); err != nil {
		return 0, err
	}
	recs, err := st.Get(ctx, shard, key)
	if err == nil && (len(recs) != 1 || recs[0].Version != 1) {
		err = errors.New("what was committed is not there")
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTime)
	defer cancel()
	err = errors.Join(err, st.Commit(ending, store.Change{Shard: shard, Put: []store.Put{{Key: key, Version: 1}}}))
	return time.Since(began), err
}

// warnings tells what a part warns of in its log.
type warnings struct {
	d    *doctor
	what string
}

// Enabled implements [slog.Handler].
func (warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle implements [slog.Handler].
func (w warnings) Handle(_ context.Context, r slog.Record) error {
	says := r.Message
	r.Attrs(func(a slog.Attr) bool { says += fmt.Sprintf(", %s: %v", a.Key, a.Value.Resolve()); return true })
	w.d.warn(w.what, "", "%s", says)
	return nil
}

// WithAttrs implements [slog.Handler].
func (w warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup implements [slog.Handler].
func (w warnings) WithGroup(string) slog.Handler { return w }

var _ slog.Handler = warnings{}

// lookAtMail goes as far with the mail server as one can without a mail.
func (d *doctor) lookAtMail(ctx context.Context) {
	mailer, err := openMailer(d.cfg, time.Now)
	if err == nil {
		err = mailer.Check(ctx)
	}
	at := fmt.Sprintf("%s:%d", d.cfg.SMTP.Host, d.cfg.SMTP.Port)
	if err != nil {
		d.fail("mail", "check smtp.host, smtp.port, smtp.tls, smtp.username and mail.from, and ask whoever runs the mail server", "%s: %v", at, why(ctx, err))
		return
	}
	from, err := mail.ParseAddress(d.cfg.Mail.From)
	if err != nil { // openMailer has read it
		d.fail("mail", "", "%v", err)
		return
	}
	tls := map[string]string{"starttls": "encrypted by STARTTLS", "implicit": "encrypted by TLS", "none": "not encrypted"}[d.cfg.SMTP.TLS]
	login := "signed in"
	if d.cfg.SMTP.Username == "" {
		login = "without a login"
	}
	d.ok("mail", "%s takes mail from %s: %s, %s; no mail was sent", at, from.Address, tls, login)
}

// plain says whether an address for people would be reached unencrypted over a network.
func plain(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return false
	}
	switch u.Hostname() {
	case "localhost", "127.0.0.1", "::1":
		return false
	}
	return true
}
