package api

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"hashtill/offers"
)

// A Teller tells merchants' machines what has happened to their orders, signed as
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
// has it: the headers webhook-id, webhook-timestamp and webhook-signature. The id is the
// same at every try; a machine that is told twice has seen it before.
type Teller struct {
	Shop *offers.Shop
	Now  func() time.Time
	Log  *slog.Logger

	// Inside lets machines stand at addresses of this machine and of private networks.
	// Elsewhere nobody who may name an address can have us ask what stands behind a wall.
	Inside bool

	client http.Client
}

const (
	tellTime  = 10 * time.Second   // one try
	tellFor   = 3 * 24 * time.Hour // how long it is tried
	maxReply  = 4 << 10            // bytes of an answer that are read
	maxAtOnce = 20                 // hooks of one effect that are told at once
)

// Register has the teller perform what the shop owes.
func (t *Teller) Register() {
	// No proxy: control would look at its address instead of the machine's.
	dial := &net.Dialer{Timeout: tellTime / 2, Control: t.control}
	t.client = http.Client{
		Timeout:       tellTime,
		Transport:     &http.Transport{DialContext: dial.DialContext, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Shop.On(offers.TellMerchant, t.tell)
}

// errInside: an address that nobody outside may have us ask. errPlain: one that everybody
// on the way would read along with.
var (
	errInside = errors.New("is not an address of the internet")
	errPlain  = errors.New("is not an https address")
)

// control looks at the address itself, after its name was resolved.
func (t *Teller) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if ip := at.Addr().Unmap(); !t.Inside && (!ip.IsGlobalUnicast() || ip.IsPrivate() || shared.Contains(ip)) {
		return errInside
	}
	return nil
}

// shared is the address space of carriers (https://www.rfc-editor.org/rfc/rfc6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// told is what a machine reads.
type told struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      Order     `json:"data"`
}

// tell is the [offers.Act] of TellMerchant.
func (t *Teller) tell(ctx context.Context, j offers.Job) (offers.Event, error) {
	done := offers.Event{Kind: offers.EffectDone}
	m, err := t.Shop.Merchant(ctx, j.Purchase.Merchant)
	if errors.Is(err, offers.ErrNotFound) {
		return done, nil
	}
	if err != nil {
		return done, err
	}
	body, err := json.Marshal(told{j.Effect.What, t.Now().UTC().Truncate(time.Second), order(j.Purchase, j.Buyer)})
	if err != nil {
		return done, err
	}
	hooks := slices.DeleteFunc(slices.Clone(m.Hooks), func(h offers.Hook) bool {
		return !h.Wants(j.Effect.What) || h.Since.After(happened(j.Purchase, j.Effect.What))
	})
	var failed error // the first that did
	for i, err := range t.postAll(ctx, hooks, j.Effect.ID(), body) {
		if err == nil {
			continue
		}
		t.Log.Info("a merchant's machine was not told", "purchase", string(j.Purchase.ID), "merchant", m.ID, "hook", hooks[i].ID, "why", why(err))
		if errors.Is(err, errGone) {
			err = t.Shop.RemoveHook(ctx, m.ID, hooks[i].ID)
		}
		if failed == nil {
			failed = err
		}
	}
	if failed != nil && t.Now().Sub(happened(j.Purchase, j.Effect.What)) > tellFor {
		t.Log.Warn("a merchant's machine is told no more of this", "purchase", string(j.Purchase.ID), "merchant", m.ID, "event", j.Effect.What)
		return done, nil
	}
	if failed != nil {
		return done, fmt.Errorf("tell merchant %s: %s", m.ID, why(failed))
	}
	return done, nil
}

// happened is when what is told was so.
func happened(p offers.Purchase, what string) time.Time {
	switch what {
	case offers.ToldShipped:
		return p.ShippedAt
	case offers.ToldWithdrawn:
		return p.WithdrawnAt
	case offers.ToldRefunded:
		if n := len(p.Refunds); n > 0 {
			last := p.Refunds[n-1]
			if !last.MadeAt.IsZero() {
				return last.MadeAt
			}
			return last.AskedAt
		}
	}
	return p.PaidAt
}

// errGone: the machine wants to be told nothing more.
var errGone = errors.New("answers 410 Gone")

// why is an error without the address that it may name.
func why(err error) string {
	var answered *net.OpError
	switch {
	case errors.Is(err, errInside):
		return errInside.Error()
	case errors.Is(err, errPlain):
		return errPlain.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &answered) && answered.Timeout():
		return "does not answer in time"
	case errors.As(err, &answered):
		return "cannot be reached"
	}
	var status statusError
	if errors.As(err, &status) || errors.Is(err, errGone) {
		return err.Error()
	}
	return "does not answer as HTTP does"
}

// A statusError is an answer that is no success.
type statusError int

func (e statusError) Error() string { return "answers " + strconv.Itoa(int(e)) }

// postAll tells all hooks, many at once so that a slow one holds nobody up, and says what
// came of each.
func (t *Teller) postAll(ctx context.Context, hooks []offers.Hook, effect string, body []byte) []error {
	errs := make([]error, len(hooks))
	free := make(chan struct{}, maxAtOnce)
	var all sync.WaitGroup
	for i, h := range hooks {
		free <- struct{}{}
		all.Go(func() {
			errs[i] = t.post(ctx, h, effect+"/"+h.ID, body)
			<-free
		})
	}
	all.Wait()
	return errs
}

func (t *Teller) post(ctx context.Context, h offers.Hook, id string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if !t.Inside && r.URL.Scheme != "https" {
		return errPlain
	}
	stamp := strconv.FormatInt(t.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Hashtill")
	r.Header.Set("webhook-id", id)
	r.Header.Set("webhook-timestamp", stamp)
	r.Header.Set("webhook-signature", Sign(h.Secret, id, stamp, body))
	resp, err := t.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxReply))
	switch {
	case resp.StatusCode == http.StatusGone:
		return errGone
	case resp.StatusCode/100 != 2:
		return statusError(resp.StatusCode)
	}
	return nil
}

// Sign is the signature of a webhook: "v1," and the base64 of the HMAC-SHA256 of
// "id.timestamp.body" under the secret, which is base64 behind "whsec_".
func Sign(secret, id, stamp string, body []byte) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		key = []byte(secret)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", id, stamp)
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
