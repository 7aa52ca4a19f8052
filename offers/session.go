package offers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hashtill/store"
)

// A Session is what is remembered of one browser for a while. Whoever has its token has
// the session; the store has only a hash of it.
type Session struct {
	Account Account   `json:"account"`          // who has signed in
	Proven  Email     `json:"proven,omitempty"` // the address at which they have read a mail of ours
	Until   time.Time `json:"until"`

	version int64
}

// sessionTime is how long a session lasts, from the sign-in.
const sessionTime = 12 * time.Hour

// maxToken bounds what is taken for a token, in bytes.
const maxToken = 64

// OpenSession makes a session of an account, and the token that leads to it. It ends by
// itself.
func (s *Shop) OpenSession(ctx context.Context, a Account, now time.Time) (token string, err error) {
	secret := rand.Text()
	shard := a.Shard() // where erasing the account finds it
	se := Session{Account: a, Until: now.Add(sessionTime)}
	value, err := json.Marshal(se)
	if err != nil {
		return "", err
	}
	c := claim(shard, sessionKey(secret), value, se.Until)
	if err := s.store.Commit(ctx, c); err != nil {
		return "", fmt.Errorf("open a session: %w", err)
	}
	return fmt.Sprintf("%02d-%s", shard, secret), nil
}

// Session is the one that a token leads to. ErrNotFound says that there is none, or
// that it has ended.
func (s *Shop) Session(ctx context.Context, token string, now time.Time) (Session, error) {
	shard, key, ok := parseToken(token)
	if !ok {
		return Session{}, fmt.Errorf("session: %w", ErrNotFound)
	}
	recs, err := s.store.Get(ctx, shard, key)
	if err != nil {
		return Session{}, err
	}
	if recs[0].Version == 0 {
		return Session{}, fmt.Errorf("session: %w", ErrNotFound)
	}
	se, err := readSession(recs[0])
	if err != nil {
		return Session{}, err
	}
	if !now.Before(se.Until) {
		return Session{}, fmt.Errorf("session: %w", ErrNotFound)
	}
	return se, nil
}

// EndSession makes a token lead nowhere. That it does so already is success.
func (s *Shop) EndSession(ctx context.Context, token string) error {
	shard, key, ok := parseToken(token)
	if !ok {
		return nil
	}
	_, err := s.removeForgotten(ctx, shard, key)
	return err
}

// EndSessions makes all tokens of an account lead nowhere, and says how many there were.
func (s *Shop) EndSessions(ctx context.Context, a Account) (n int, err error) {
	err = s.scan(ctx, a.Shard(), "session/", func(r store.Record) error {
		if se, err := readSession(r); err != nil || se.Account != a {
			return nil // Check finds what cannot be read
		}
		one, err := s.removeForgotten(ctx, a.Shard(), r.Key)
		n += one
		return err
	})
	return n, err
}

// ProveSession notes that who has the session has read a mail at an address. ErrNotFound
// says that it has ended.
func (s *Shop) ProveSession(ctx context.Context, token string, e Email, now time.Time) error {
	for range maxRaces {
		se, err := s.Session(ctx, token, now)
		if err != nil || se.Proven == e {
			return err
		}
		se.Proven = e
		value, err := json.Marshal(se)
		if err != nil {
			return err
		}
		shard, key, _ := parseToken(token)
		err = s.store.Commit(ctx, store.Change{Shard: shard, Put: []store.Put{{Key: key, Version: se.version, Value: value}}})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("session: lost %d races", maxRaces)
}

// removeForgotten removes a record that was to be forgotten later, with the effect that
// would have done it.
func (s *Shop) removeForgotten(ctx context.Context, shard int, key string) (int, error) {
	n, err := s.remove(ctx, shard, key)
	if err != nil {
		return n, err
	}
	return n, s.store.Commit(ctx, store.Change{Shard: shard, Drop: []string{forgetEffect{key}.id()}})
}

// sessionKey is the key of a session, by a hash: whoever reads the store cannot use it.
func sessionKey(secret string) string {
	sum := sha256.Sum256([]byte("session\x00" + secret))
	return "session/" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// parseToken finds the record of a token. A hash is looked up, so that the time it
// takes tells nothing about the secret.
func parseToken(token string) (shard int, key string, ok bool) {
	digits, secret, ok := strings.Cut(token, "-")
	shard, err := strconv.Atoi(digits)
	if !ok || err != nil || len(token) > maxToken || secret == "" || shard < 0 || shard >= store.Shards {
		return 0, "", false
	}
	return shard, sessionKey(secret), true
}

func readSession(r store.Record) (Session, error) {
	var se Session
	if err := json.Unmarshal(r.Value, &se); err != nil {
		return Session{}, fmt.Errorf("%w: read a session: %w", ErrInvalid, err)
	}
	se.version = r.Version
	return se, nil
}
