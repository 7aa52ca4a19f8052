package xtest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// X waits so long for an address to answer.
const webhookTimeout = 10 * time.Second

// webhook is an address that events are delivered to, one after the other.
type webhook struct {
	id, url string
	valid   bool
	out     chan []byte
	left    int // deliveries that are queued or under way
}

// queue has an event delivered, or loses it if the address is too slow.
func (w *webhook) queue(event []byte) {
	select {
	case w.out <- event:
		w.left++
	default:
	}
}

// WaitDelivered returns when nothing is left to be delivered to webhooks. It fails with
// ctx or with ErrClosed.
func (s *Server) WaitDelivered(ctx context.Context) error {
	return s.await(ctx, func() bool {
		for _, w := range s.webhooks {
			if w.left > 0 {
				return false
			}
		}
		return true
	})
}

func (w *webhook) object() object { return object{"id": w.id, "url": w.url, "valid": w.valid} }

// getWebhooks serves https://docs.x.com/x-api/webhooks/get-webhook.
func (s *Server) getWebhooks(*call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var data []object
	for _, w := range s.webhooks {
		data = append(data, w.object())
	}
	body := object{"meta": object{"result_count": len(data)}}
	if len(data) > 0 {
		body["data"] = data
	}
	return answer{status: 200, body: body}
}

// addWebhook serves https://docs.x.com/x-api/webhooks/create-webhook. X takes https
// alone; here an address of this machine may do without.
func (s *Server) addWebhook(c *call) answer {
	var body struct {
		URL string `json:"url"`
	}
	if refusal, ok := decode(c, &body); !ok {
		return refusal
	}
	u, err := url.Parse(body.URL)
	if err != nil || u.Scheme != "https" && u.Hostname() != "127.0.0.1" {
		return invalid("url", body.URL, "The url must begin with https")
	}
	if !s.passes(body.URL) {
		return invalid("url", body.URL, "CRC GET request failed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.webhooks {
		if w.url == body.URL {
			return answer{status: 400, body: object{"title": "DuplicateUrlFailed", "detail": "The url exists already.", "status": 400}}
		}
	}
	w := &webhook{id: strconv.FormatInt(s.snowflake(), 10), url: body.URL, valid: true, out: make(chan []byte, maxQueue)}
	if s.webhooks == nil {
		s.webhooks = make(map[string]*webhook)
	}
	s.webhooks[w.id] = w
	s.announce()
	s.running.Go(func() { s.deliverTo(w) })
	return answer{status: 200, body: object{"data": w.object()}, deed: &Deed{}}
}

// checkWebhook serves https://docs.x.com/x-api/webhooks/validate-webhook.
func (s *Server) checkWebhook(c *call) answer {
	s.mu.Lock()
	w := s.webhooks[c.r.PathValue("id")]
	s.mu.Unlock()
	if w == nil {
		return about(404, "There is no such webhook.")
	}
	valid := s.passes(w.url)
	s.mu.Lock()
	defer s.mu.Unlock()
	w.valid = valid
	s.announce()
	return answer{status: 200, body: object{"data": object{"valid": valid}}, deed: &Deed{}}
}

// InvalidateWebhooks marks all webhooks as failed, as X does when an address fails its
// check: nothing is delivered until a program has it made again.
func (s *Server) InvalidateWebhooks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.webhooks {
		w.valid = false
	}
}

// WaitWebhook returns when a program has a working webhook and has subscribed to all that
// is told of it. It fails with ctx or with ErrClosed.
func (s *Server) WaitWebhook(ctx context.Context) error {
	return s.await(ctx, func() bool {
		subscribed := 0
		for _, p := range s.subscriptions {
			if w := s.webhooks[p.webhookID]; w != nil && w.valid {
				subscribed++
			}
		}
		return subscribed >= len(activityTypes)
	})
}

// passes makes the check of an address, the CRC.
func (s *Server) passes(address string) bool {
	token := rand.Text()
	ctx, cancel := context.WithTimeout(s.ctx, webhookTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"?"+url.Values{"crc_token": {token}}.Encode(), nil)
	if err != nil {
		return false
	}
	resp, err := s.webhookClient.Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"response_token"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&answer)
	return err == nil && resp.StatusCode == http.StatusOK && answer.Token == s.SignWebhook([]byte(token))
}

// SignWebhook signs with the consumer secret, as deliveries are signed.
func (s *Server) SignWebhook(text []byte) string {
	mac := hmac.New(sha256.New, []byte(s.secret))
	mac.Write(text)
	return "sha256=" + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// deliverTo delivers what is queued for a webhook until the server is closed. What is not
// taken is lost.
func (s *Server) deliverTo(w *webhook) {
	for {
		select {
		case <-s.ctx.Done():
			return
		case event := <-w.out:
			s.deliverOne(w, event)
			s.mu.Lock()
			w.left--
			s.announce()
			s.mu.Unlock()
		}
	}
}

func (s *Server) deliverOne(w *webhook, event []byte) {
	ctx, cancel := context.WithTimeout(s.ctx, webhookTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(event))
	if err != nil {
		return
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("x-twitter-webhooks-signature", s.SignWebhook(event))
	resp, err := s.webhookClient.Do(r)
	if err != nil {
		return
	}
	io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	resp.Body.Close()
}
