package stripetest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// event is something that happened, as it looked then.
type event struct {
	id      string
	kind    string
	created int64
	payload []byte // also what is posted
}

func (e *event) ident() string { return e.id }
func (e *event) born() int64   { return e.created }

func (e *event) object() object {
	var o object
	if err := json.Unmarshal(e.payload, &o); err != nil {
		panic("stripetest: " + err.Error()) // we encoded it
	}
	return o
}

// emit records an event and queues its delivery. cause is the request that
// brought it about, nil if none did. The lock must be held.
func (s *Server) emit(cause *call, kind string, data object) {
	request := object{"id": nil, "idempotency_key": nil}
	if cause != nil {
		request = object{"id": cause.requestID, "idempotency_key": orNull(cause.key)}
	}
	copies := s.courier.copies()
	e := &event{id: newID("evt"), kind: kind, created: s.now()}
	e.payload = encode(object{
		"id": e.id, "object": "event", "type": kind, "created": e.created, "livemode": false, "api_version": APIVersion,
		"data": object{"object": data}, "pending_webhooks": min(copies, 1), "request": request,
	})
	s.events.put(e)
	for range copies {
		s.courier.queue = append(s.courier.queue, &delivery{event: e, queued: s.opts.Now()})
	}
	s.courier.nudge()
}

func retrieveEvent(c *call) (object, *apiError) {
	id := c.request.PathValue("id")
	e, ok := c.events.get(id)
	if !ok {
		return nil, noSuch(404, "event", id, "id")
	}
	return e.object(), nil
}

func listEvents(c *call) (object, *apiError) {
	kind, kinds := c.form.get("type"), c.form.list("types")
	return page(c, &c.events, func(e *event) bool {
		all, wild := strings.CutSuffix(kind, "*")
		return (kind == "" || e.kind == kind || wild && strings.HasPrefix(e.kind, all)) && (len(kinds) == 0 || slices.Contains(kinds, e.kind))
	})
}

// Delivery says how events reach the webhook, to play what Stripe may do:
// deliver late, out of order, more than once
// (docs.stripe.com/webhooks#event-ordering). The zero value delivers each once,
// at once.
type Delivery struct {
	Hold    bool // keep events back until Flush, or until Hold is taken off
	Twice   bool // deliver events that happen from now on twice
	Reverse bool // newest first of those that wait; with Hold, of all held
	Drop    bool // never deliver events that happen from now on; /v1/events has them
}

// SetDelivery changes how events are delivered.
func (s *Server) SetDelivery(d Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.courier.how = d
	s.courier.nudge()
}

// SetWebhookURL changes where events are posted, those that wait included.
// Empty drops events that happen from now on and keeps waiting ones back.
func (s *Server) SetWebhookURL(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.courier.url = url
	s.courier.nudge()
}

// Flush posts every event that waits, held or put off, once and now. It
// returns when all were tried; the error joins the refusals, whose events wait
// on.
func (s *Server) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case s.courier.flush <- done:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return errors.New("stripetest: closed")
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// courier is what the delivering goroutine works from, guarded by Server.mu.
type courier struct {
	url   string
	how   Delivery
	queue []*delivery
	wake  chan struct{}   // holds a token when something has changed
	flush chan chan error // requests of Flush
}

// delivery is an event on its way.
type delivery struct {
	event  *event
	queued time.Time // by Options.Now
	tries  int
	due    time.Time // by the machine's clock
}

// giveUp is how long Stripe tries (docs.stripe.com/webhooks#automatic-retries).
const giveUp = 3 * 24 * time.Hour

func newCourier(url string) courier {
	return courier{url: url, wake: make(chan struct{}, 1), flush: make(chan chan error)}
}

func (c *courier) copies() int {
	switch {
	case c.url == "" || c.how.Drop:
		return 0
	case c.how.Twice:
		return 2
	}
	return 1
}

func (c *courier) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// deliverEvents posts events one after the other until Close.
func (s *Server) deliverEvents() {
	client := &http.Client{
		Timeout:       10 * time.Second,
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		d, pause := s.nextDelivery()
		if d != nil {
			_ = s.deliver(client, d) // a refusal puts it off
			continue
		}
		timer.Reset(pause)
		select {
		case <-s.ctx.Done():
			return
		case <-s.courier.wake:
		case <-timer.C:
		case done := <-s.courier.flush:
			var refusals []error
			for _, d := range s.takeDeliveries() {
				refusals = append(refusals, s.deliver(client, d))
			}
			done <- errors.Join(refusals...)
		}
	}
}

// nextDelivery takes the first delivery that is due off the queue, or tells how
// long to wait for one.
func (s *Server) nextDelivery() (*delivery, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.courier
	if s.ctx.Err() != nil || c.how.Hold || c.url == "" {
		return nil, time.Hour // SetDelivery and SetWebhookURL wake us
	}
	pause, now, next := time.Hour, time.Now(), -1
	for i, d := range c.queue {
		if wait := d.due.Sub(now); wait > 0 {
			pause = min(pause, wait)
		} else if next < 0 || c.how.Reverse {
			next = i
		}
	}
	if next < 0 {
		return nil, pause
	}
	d := c.queue[next]
	c.queue = slices.Delete(c.queue, next, next+1)
	return d, 0
}

// takeDeliveries empties the queue, in the order in which to deliver it.
func (s *Server) takeDeliveries() []*delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.courier.url == "" {
		return nil
	}
	all := s.courier.queue
	s.courier.queue = nil
	if s.courier.how.Reverse {
		slices.Reverse(all)
	}
	return all
}

// deliver posts one event; if it is not accepted with a 2xx, it is put off.
func (s *Server) deliver(client *http.Client, d *delivery) error {
	s.mu.Lock()
	url := s.courier.url
	s.mu.Unlock()
	err := s.post(client, url, d.event)
	if err == nil {
		return nil
	}
	d.tries++
	first := s.opts.WebhookRetry
	d.due = time.Now().Add(min(first<<min(d.tries-1, 16), 50*first))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.Now().Sub(d.queued) < giveUp {
		s.courier.queue = append(s.courier.queue, d)
	}
	return fmt.Errorf("deliver %s: %w", d.event.kind, err)
}

func (s *Server) post(client *http.Client, url string, e *event) error {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, url, bytes.NewReader(e.payload))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	req.Header.Set("Stripe-Signature", s.sign(e.payload))
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the webhook answered %s", resp.Status)
	}
	return nil
}

// sign makes the value of Stripe-Signature: an HMAC-SHA256 of the time and the
// payload (docs.stripe.com/webhooks#verify-manually).
func (s *Server) sign(payload []byte) string {
	t := s.now()
	mac := hmac.New(sha256.New, []byte(s.opts.WebhookSecret))
	fmt.Fprintf(mac, "%d.", t)
	mac.Write(payload)
	return fmt.Sprintf("t=%d,v1=%s", t, hex.EncodeToString(mac.Sum(nil)))
}
