package x

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
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	maxDelivery = 1 << 20         // bytes of one delivery
	maxCRCToken = 1024            // bytes; X's have some dozens
	takeTime    = 5 * time.Second // to queue a delivery; X waits 10 s for its answer
)

// A receiver takes what X delivers to the webhook, while Listen runs.
type receiver struct {
	mu   sync.RWMutex // held for reading by deliveries
	self string
	ctx  context.Context // of Listen; nil if it does not run
	take func(context.Context, *message) error
}

// webhook keeps the webhook and the subscriptions, and looks for what they did not bring.
// What is delivered moves no cursor: only a look knows that nothing older is missing.
func (n *Network) webhook(ctx context.Context, h *hearing[*message]) (alive bool, err error) {
	self, _, err := n.Self(ctx)
	if err != nil {
		return false, err
	}
	h.opening(ctx)
	r := &n.receiver
	r.mu.Lock()
	r.self, r.ctx = self, ctx
	r.take = func(ctx context.Context, m *message) error { return h.put(ctx, item[*message]{post: &m}) }
	r.mu.Unlock()
	defer func() {
		r.mu.Lock() // when the last delivery is taken
		r.ctx, r.take = nil, nil
		r.mu.Unlock()
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tend := func(ctx context.Context) error {
		id, err := n.keepWebhook(ctx)
		if err != nil {
			return err
		}
		return n.subscribe(ctx, id)
	}
	if err := tend(ctx); err != nil {
		return false, err
	}
	return n.ask(ctx, h, webhookLooks*n.cfg.PollEvery, tend)
}

const webhooksPath = "/2/webhooks"

// keepWebhook registers the webhook, or has X try it again, and returns its number
// (https://docs.x.com/x-api/webhooks/introduction). X asks the address for an answer
// meanwhile.
func (n *Network) keepWebhook(ctx context.Context) (string, error) {
	type hook struct {
		ID, URL string
		Valid   bool
	}
	var all struct{ Data []hook }
	if err := n.call(ctx, asApp, http.MethodGet, webhooksPath, nil, nil, &all); err != nil {
		return "", err
	}
	for _, w := range all.Data {
		switch {
		case w.URL != n.cfg.WebhookURL || w.ID == "":
			continue
		case w.Valid:
			return w.ID, nil
		}
		if err := n.call(ctx, asApp, http.MethodPut, webhooksPath+"/"+url.PathEscape(w.ID), nil, nil, new(struct{})); err != nil {
			return "", fmt.Errorf("have the webhook tried again: %w", err)
		}
		return w.ID, nil
	}
	var made struct{ Data hook }
	if err := n.call(ctx, asApp, http.MethodPost, webhooksPath, nil, map[string]string{"url": n.cfg.WebhookURL}, &made); err != nil {
		return "", fmt.Errorf("register the webhook: %w; X asks %s for an answer first: it has to be reached from outside, and lead here", err, n.cfg.WebhookURL)
	}
	if made.Data.ID == "" {
		return "", errors.New("x: POST /2/webhooks: the answer names no webhook")
	}
	return made.Data.ID, nil
}

// WebhookHandler answers X at [Config].WebhookURL: its checks that the address is the
// app's, and its deliveries, which must bear the signature of the consumer secret
// (https://docs.x.com/x-api/webhooks/quickstart). Where nobody listens, or not fast
// enough, it is 503: what was to be delivered is found by asking.
func (n *Network) WebhookHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", n.answerCheck)
	mux.HandleFunc("POST /", n.takeDelivery)
	return mux
}

// sign is the signature by the consumer secret, as X writes it.
func (n *Network) sign(text []byte) string {
	mac := hmac.New(sha256.New, []byte(n.cfg.ConsumerSecret))
	mac.Write(text)
	return "sha256=" + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (n *Network) answerCheck(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("crc_token")
	if token == "" || len(token) > maxCRCToken {
		http.Error(w, "no crc_token", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"response_token": n.sign([]byte(token))})
}

func (n *Network) takeDelivery(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDelivery))
	if err != nil {
		http.Error(w, "too long or cut off", http.StatusRequestEntityTooLarge)
		return
	}
	if !hmac.Equal([]byte(r.Header.Get("x-twitter-webhooks-signature")), []byte(n.sign(body))) {
		n.log.WarnContext(r.Context(), "webhook called without X's signature", "bytes", len(body))
		http.Error(w, "the signature is not X's", http.StatusForbidden)
		return
	}
	switch taken, err := n.deliver(r.Context(), body); {
	case err != nil:
		// X would send it again and again; a look finds what it tells of.
		n.log.WarnContext(r.Context(), "webhook message skipped", "err", wordless(err), "bytes", len(body))
	case !taken:
		http.Error(w, "nobody listens here now", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// deliver queues the posts of a delivery: one event, or several in a list, which X does
// not document.
func (n *Network) deliver(ctx context.Context, body []byte) (taken bool, err error) {
	rc := &n.receiver
	rc.mu.RLock()
	defer rc.mu.RUnlock()
	if rc.take == nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, takeTime)
	defer cancel()
	defer context.AfterFunc(rc.ctx, cancel)()
	events := []json.RawMessage{body}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		if err := json.Unmarshal(body, &events); err != nil {
			return false, err
		}
	}
	var odd error
	for _, event := range within(events) {
		n.bill.heard(event)
		m, err := readEvent(event, rc.self)
		if err != nil {
			odd = err
			continue
		}
		if m == nil || m.Data == nil || m.hidden() {
			continue
		}
		if rc.take(ctx, m) != nil {
			return false, nil
		}
	}
	return true, odd
}
