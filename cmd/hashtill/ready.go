package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"hashtill/store"
)

// readyTime is how long the store may take to answer when it is asked for its
// health, and how long it may hand out nothing.
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
	part("store", s.storeAnswers(r.Context()), "answers")
	part("outbox", s.outboxWorks(), fmt.Sprintf("works, %d effects under way", s.outbox.InFlight()))
	listening := s.bot.Listening()
	for _, network := range slices.Sorted(maps.Keys(listening)) {
		l := listening[network]
		var err error
		fine := "listening"
		switch {
		case !l.Held:
			fine = "another process listens, or soon this one"
		case l.Behind:
			err = fmt.Errorf("behind: %d posts wait, the one in hand is %s old", l.Waiting, l.Age.Round(time.Second))
		case !l.Connected:
			err = errors.New("not connected")
		}
		part(network, err, fine)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if !well {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, strings.Join(lines, "\n"))
}

// storeAnswers reads something small. The error itself can hold an address: it is in
// the log of whoever met it.
func (s *system) storeAnswers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	if _, err := s.store.Counts(ctx, store.Shards-1, "offers"); err != nil {
		return errors.New("does not answer")
	}
	return nil
}

func (s *system) outboxWorks() error {
	since, err := s.outbox.Failing()
	if err == nil || s.now().Sub(since) < readyTime {
		return nil
	}
	return fmt.Errorf("the store has handed out nothing for %s", s.now().Sub(since).Round(time.Second))
}
