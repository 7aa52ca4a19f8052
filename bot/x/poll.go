package x

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const (
	pollEvery    = 5 * time.Second // X takes 300 questions for mentions in 15 minutes
	webhookLooks = 12              // times that: between two looks for what a webhook may have missed
	tendLooks    = 10              // of those: between two looks whether the webhook still works
)

// hearing checks what is configured about hearing, and fills in the defaults.
func (cfg *Config) hearing() error {
	var errs []error
	switch cfg.Hear {
	case "":
		cfg.Hear = HearStream
	case HearStream, HearActivity, HearPoll:
	case HearWebhook:
		u, err := url.Parse(cfg.WebhookURL)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Hostname() != "127.0.0.1" {
			errs = append(errs, fmt.Errorf("x: the webhook's address %q is none that X could reach: it begins with https://", cfg.WebhookURL))
		}
	default:
		errs = append(errs, fmt.Errorf("x: %q is no way to hear posts: stream, activity, webhook and poll are", cfg.Hear))
	}
	switch {
	case cfg.PollEvery == 0:
		cfg.PollEvery = pollEvery
	case cfg.PollEvery < 0:
		errs = append(errs, fmt.Errorf("x: %s is no time between two looks", cfg.PollEvery))
	}
	return errors.Join(errs...)
}

// poll hears by asking for mentions again and again
// (https://docs.x.com/x-api/users/get-mentions), and half as often for reposts and
// quotes of the watched posts.
func (n *Network) poll(ctx context.Context, h *hearing[*message]) (alive bool, err error) {
	if _, _, err := n.Self(ctx); err != nil {
		return false, err
	}
	return n.ask(ctx, h, n.cfg.PollEvery, nil)
}

// ask looks for posts every so often, until X refuses or cannot be reached. What is found
// first was missed. tend, if there is one, is called from time to time.
func (n *Network) ask(ctx context.Context, h *hearing[*message], every time.Duration, tend func(context.Context) error) (alive bool, err error) {
	defer n.connected.Store(false)
	told := false // the log, that X does not tell of all reposts and quotes
	for look, missed := 0, true; ; look++ {
		err := h.look(ctx, missed)
		if e := new(apiError); errors.As(err, &e) && e.status == http.StatusTooManyRequests {
			wait := h.retryIn(err, 0)
			n.connected.Store(false)
			n.log.WarnContext(ctx, "cannot look for posts until X takes more questions", "wait", wait, "err", err)
			if !n.backoff.wait(ctx, wait) {
				return alive, context.Cause(ctx)
			}
			missed = true
			continue
		}
		if err != nil {
			return alive, because(ctx, err)
		}
		if !n.connected.Swap(true) {
			n.log.InfoContext(ctx, "looking for posts", "every", every)
		}
		alive = true
		if missed || look%2 == 0 {
			err := h.queueEchoes(ctx)
			if err != nil && !told && ctx.Err() == nil {
				n.log.WarnContext(ctx, "cannot look for all reposts and quotes yet; trying again", "err", err)
			}
			told = err != nil
		}
		if missed {
			if err := h.caughtUp(ctx); err != nil {
				return alive, err
			}
			missed = false
		}
		if !sleep(ctx, every) {
			return alive, context.Cause(ctx)
		}
		if tend != nil && look%tendLooks == tendLooks-1 {
			if err := tend(ctx); err != nil {
				return alive, because(ctx, err)
			}
		}
	}
}
