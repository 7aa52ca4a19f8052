package main

import (
	"errors"
	"fmt"
	"time"

	"hashtill/offers/model"
)

type modelCommand struct {
	Calm bool `help:"Without faults."`
}

// Help is shown by --help.
func (modelCommand) Help() string {
	return `Explores every state that one purchase can come to, with the outbox that performs
what it owes, Stripe, everybody who can do something about it, and what can go wrong
between them. Where a promise is broken it prints a shortest way to it.

The test TestModel of offers does the same with the real machine, and compares.

Examples:

  go run ./cmd/dev model
  go run ./cmd/dev model --calm`
}

// Run is the command.
func (c modelCommand) Run(p *project) error {
	start := time.Now()
	m := model.Model{Decide: model.Decide, Calm: c.Calm}
	r := m.Explore()
	fmt.Fprintln(p.stdout, r)
	fmt.Fprintf(p.stdout, "in %.1fs\n", time.Since(start).Seconds())
	if r.Broken != nil {
		return errors.New("a promise is broken")
	}
	return nil
}
