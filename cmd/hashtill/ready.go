package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"hashtill/store"
	"hashtill/store/redis"
)

// readyTime is how long the store may take to answer when it is asked for its
// health, and how long its commits may fail.
const readyTime = 2 * time.Second

// ready answers GET /readyz: 200 if this process does its work, else 503, and a line
// for each part. A process that waits while another one listens to a network is
// ready. The lines hold nothing that a stranger may not read.
func (s *system) ready(w http.ResponseWriter, r *http.Request) {
	var lines []string
	well := true
	part := func(name string, err error, fine string) {
		if err != nil {
			well, fine = false, err.Error()
		}
		lines = append(lines, name+": "+fine)
	}
	part("store", s.storeWorks(r.Context()), fmt.Sprintf("works, %d effects under way", s.outbox.InFlight()))
	listening := s.bot.Listening()
	for _, network := range slices.Sorted(maps.Keys(listening)) {
		fine, err := heard(listening[network])
		part(network, err, fine)
	}
	// Late payments are told and are no reason to take this process away: its pages
	// still say what is so, and another one would find Stripe as it is.
	payments := "in time"
	if waiting, oldest, late := s.latePayments(); late {
		payments = fmt.Sprintf("late: %d wait, the oldest for %s", waiting, oldest)
	}
	part("payments", nil, payments)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if !well {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, strings.Join(lines, "\n"))
}

// storeWorks reads something small, and asks how the last commits went. The error
// itself can hold an address: it is in the log of whoever met it.
func (s *system) storeWorks(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	if _, err := s.store.Counts(ctx, store.Shards-1, "offers"); err != nil {
		return errors.New("does not answer")
	}
	since, err := s.store.failing()
	away := s.now().Sub(since).Round(time.Second)
	switch {
	case err == nil || away < readyTime:
		return nil
	case errors.Is(err, redis.ErrReplicas):
		return fmt.Errorf("waits for replicas, for %s", away)
	}
	return fmt.Errorf("takes no commits, for %s", away)
}

// watched is a store that remembers how its last commits and leases went.
type watched struct {
	store.Store
	now func() time.Time

	mu      sync.Mutex
	commits outcome
	leases  outcome
}

// An outcome is that of the last call of a kind.
type outcome struct {
	err   error
	since time.Time // when the first failure in a row was
}

// failing is what has failed for longer, commits or leases.
func (w *watched) failing() (since time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.commits.err != nil {
		return w.commits.since, w.commits.err
	}
	return w.leases.since, w.leases.err
}

// note takes an outcome down. What the caller asked wrongly or gave up is no failure.
func (w *watched) note(ctx context.Context, of *outcome, err error) {
	var guard *store.GuardError
	switch {
	case errors.As(err, &guard), errors.Is(err, store.ErrInvalid):
		err = nil
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if of.err == nil && err != nil {
		of.since = w.now()
	}
	of.err = err
}

// Commit commits.
func (w *watched) Commit(ctx context.Context, c store.Change) error {
	err := w.Store.Commit(ctx, c)
	w.note(ctx, &w.commits, err)
	return err
}

// Lease leases.
func (w *watched) Lease(ctx context.Context, now, until time.Time, limit int) ([]store.Lease, error) {
	leases, err := w.Store.Lease(ctx, now, until, limit)
	w.note(ctx, &w.leases, err)
	return leases, err
}
