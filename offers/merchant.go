package offers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"hashtill/store"
)

// A Merchant sells by offers of its own ([Offer.Merchant]), and sees nothing but those
// and their orders. What is said of it here lives in the shard of its id.
type Merchant struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Tokens  []Token   `json:"tokens,omitempty"` // of its machines
	Hooks   []Hook    `json:"hooks,omitempty"`
	Since   time.Time `json:"since"`
	Removed bool      `json:"removed,omitempty"`

	version int64
}

// A Right is something that a merchant's machine may do.
type Right string

const (
	ReadOrders  Right = "orders:read"
	WriteOrders Right = "orders:write" // ship and note; never refund
	ReadStock   Right = "stock:read"
	WriteStock  Right = "stock:write"
)

// Rights are all of them.
var Rights = []Right{ReadOrders, WriteOrders, ReadStock, WriteStock}

// A Token lets a merchant's machine in. The store has only a hash of its secret.
type Token struct {
	ID     string    `json:"id"`
	Name   string    `json:"name"` // for people
	Rights []Right   `json:"rights"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero: until it is removed
}

// A Hook is where a merchant's machine is told of what happens to its orders.
type Hook struct {
	ID     string    `json:"id"`
	URL    string    `json:"url"`
	Secret string    `json:"secret"` // signs what is sent; "whsec_" and base64, as https://www.standardwebhooks.com has it
	Events []string  `json:"events"` // of [ToldPaid] and the others; none: all
	Since  time.Time `json:"since"`
}

// Wants says whether the hook is told of an event.
func (h Hook) Wants(event string) bool {
	return len(h.Events) == 0 || slices.Contains(h.Events, event)
}

// Bounds of a merchant.
const (
	maxMachines = 20 // tokens, and hooks
	maxURL      = 500
)

// ValidMerchantID says whether s can be the id of a merchant: 1 to 40 lower-case letters,
// digits and dashes.
func ValidMerchantID(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && s[0] != '-'
}

// Validate joins every complaint about a merchant.
func (m Merchant) Validate() error {
	var errs []error
	if !ValidMerchantID(m.ID) {
		errs = append(errs, fmt.Errorf("id: %q: 1 to 40 lower-case letters, digits and dashes", m.ID))
	}
	if m.Name == "" {
		errs = append(errs, errors.New("name: is needed"))
	}
	errs = append(errs, spoken("name", m.Name, MaxTitle))
	if len(m.Tokens) > maxMachines || len(m.Hooks) > maxMachines {
		errs = append(errs, fmt.Errorf("at most %d tokens and %d hooks", maxMachines, maxMachines))
	}
	for _, t := range m.Tokens {
		errs = append(errs, spoken("token", t.Name, MaxTitle))
		for _, r := range t.Rights {
			if !slices.Contains(Rights, r) {
				errs = append(errs, fmt.Errorf("token: there is no right %q", r))
			}
		}
	}
	for _, h := range m.Hooks {
		u, err := url.Parse(h.URL)
		if err != nil || len(h.URL) > maxURL || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			errs = append(errs, errors.New("hook: want an https:// address without a password"))
		}
		for _, e := range h.Events {
			if !slices.Contains([]string{ToldPaid, ToldShipped, ToldRefunded, ToldWithdrawn}, e) {
				errs = append(errs, fmt.Errorf("hook: there is no event %q", e))
			}
		}
	}
	return errors.Join(errs...)
}

func merchantKey(id string) string  { return "merchant/" + id }
func shardOfMerchant(id string) int { return store.ShardOf(merchantKey(id)) }

// tokenKey is the key of a token, by a hash: whoever reads the store cannot use it.
func tokenKey(secret string) string {
	sum := sha256.Sum256([]byte("machine\x00" + secret))
	return "machine/" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// tokenLead begins every token, so that one that was published by mistake is recognised.
const tokenLead = "htm_"

// machine is what a token's record says.
type machine struct {
	Merchant string `json:"merchant"`
	Token    string `json:"token"` // its id
}

// Merchant reads one. ErrNotFound says that there is none.
func (s *Shop) Merchant(ctx context.Context, id string) (Merchant, error) {
	recs, err := s.store.Get(ctx, shardOfMerchant(id), merchantKey(id))
	if err != nil {
		return Merchant{}, err
	}
	var m Merchant
	if recs[0].Version > 0 {
		if m, err = readMerchant(recs[0]); err != nil {
			return Merchant{}, err
		}
	}
	if recs[0].Version == 0 || m.Removed {
		return Merchant{version: recs[0].Version}, fmt.Errorf("merchant %s: %w", id, ErrNotFound)
	}
	return m, nil
}

func readMerchant(r store.Record) (Merchant, error) {
	var m Merchant
	if err := json.Unmarshal(r.Value, &m); err != nil {
		return Merchant{}, fmt.Errorf("%w: read %s: %w", ErrInvalid, r.Key, err)
	}
	m.version = r.Version
	return m, nil
}

// Merchants are all of them, by id.
func (s *Shop) Merchants(ctx context.Context) (all []Merchant, err error) {
	for shard := range store.Shards {
		err := s.scan(ctx, shard, "merchant/", func(r store.Record) error {
			if m, err := readMerchant(r); err == nil && !m.Removed { // Check finds what cannot be read
				all = append(all, m)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b Merchant) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(all, func(a, b Merchant) bool { return a.ID == b.ID }), nil
}

// EditMerchant changes a merchant, or adds it where there is none: edit is given it as it
// is now, with its ID, and may be called several times.
func (s *Shop) EditMerchant(ctx context.Context, id string, edit func(*Merchant) error) (Merchant, error) {
	for range maxRaces {
		m, err := s.Merchant(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return Merchant{}, err
		}
		if err != nil {
			m = Merchant{ID: id, Since: s.Now(), version: m.version}
		}
		m.Tokens, m.Hooks = slices.Clone(m.Tokens), slices.Clone(m.Hooks)
		if err := edit(&m); err != nil {
			return Merchant{}, err
		}
		if err := m.Validate(); err != nil {
			return Merchant{}, fmt.Errorf("%w: merchant %s: %w", ErrInvalid, id, err)
		}
		value, err := json.Marshal(m)
		if err != nil {
			return Merchant{}, err
		}
		err = s.store.Commit(ctx, store.Change{Shard: shardOfMerchant(id), Put: []store.Put{{Key: merchantKey(id), Version: m.version, Value: value}}})
		if err == nil {
			m.version++
			return m, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return Merchant{}, err
		}
	}
	return Merchant{}, fmt.Errorf("merchant %s: lost %d races", id, maxRaces)
}

// AddToken makes a token of a merchant that may do some things, and its secret, which
// nobody can be told again.
func (s *Shop) AddToken(ctx context.Context, merchant string, t Token) (secret string, err error) {
	if _, err := s.Merchant(ctx, merchant); err != nil {
		return "", err
	}
	secret, t.ID, t.Since = tokenLead+rand.Text(), strings.ToLower(rand.Text()[:12]), s.Now()
	value, err := json.Marshal(machine{merchant, t.ID})
	if err != nil {
		return "", err
	}
	// What the token leads to comes first: alone it lets nobody in.
	key := tokenKey(secret)
	if err := s.store.Commit(ctx, store.Change{Shard: store.ShardOf(key), Put: []store.Put{{Key: key, Value: value}}}); err != nil {
		return "", err
	}
	_, err = s.EditMerchant(ctx, merchant, func(m *Merchant) error {
		m.Tokens = append(m.Tokens, t)
		return nil
	})
	return secret, err
}

// RemoveToken has a token let nobody in from now on.
func (s *Shop) RemoveToken(ctx context.Context, merchant, id string) error {
	_, err := s.EditMerchant(ctx, merchant, func(m *Merchant) error {
		before := len(m.Tokens)
		m.Tokens = slices.DeleteFunc(m.Tokens, func(t Token) bool { return t.ID == id })
		if len(m.Tokens) == before {
			return fmt.Errorf("token %s: %w", id, ErrNotFound)
		}
		return nil
	})
	return err
}

// Machine is whose token a secret is. ErrNotFound says that it lets nobody in (any more).
func (s *Shop) Machine(ctx context.Context, secret string, now time.Time) (Merchant, Token, error) {
	unknown := fmt.Errorf("token: %w", ErrNotFound)
	if !strings.HasPrefix(secret, tokenLead) || len(secret) > maxToken {
		return Merchant{}, Token{}, unknown
	}
	key := tokenKey(secret)
	recs, err := s.store.Get(ctx, store.ShardOf(key), key)
	if err != nil {
		return Merchant{}, Token{}, err
	}
	var of machine
	if recs[0].Version == 0 || json.Unmarshal(recs[0].Value, &of) != nil {
		return Merchant{}, Token{}, unknown
	}
	m, err := s.Merchant(ctx, of.Merchant)
	if err != nil {
		return Merchant{}, Token{}, err
	}
	for _, t := range m.Tokens {
		if t.ID == of.Token && (t.Until.IsZero() || now.Before(t.Until)) {
			return m, t, nil
		}
	}
	return Merchant{}, Token{}, unknown
}

// AddHook has a merchant's machine be told of events, and returns the hook with its secret.
func (s *Shop) AddHook(ctx context.Context, merchant, address string, events []string) (Hook, error) {
	var key [24]byte
	rand.Read(key[:])
	h := Hook{ID: strings.ToLower(rand.Text()[:12]), URL: address, Events: events, Since: s.Now(),
		Secret: "whsec_" + base64.StdEncoding.EncodeToString(key[:])}
	if _, err := s.Merchant(ctx, merchant); err != nil {
		return Hook{}, err
	}
	_, err := s.EditMerchant(ctx, merchant, func(m *Merchant) error {
		m.Hooks = append(m.Hooks, h)
		return nil
	})
	return h, err
}

// RemoveHook tells a machine no more.
func (s *Shop) RemoveHook(ctx context.Context, merchant, id string) error {
	_, err := s.EditMerchant(ctx, merchant, func(m *Merchant) error {
		before := len(m.Hooks)
		m.Hooks = slices.DeleteFunc(m.Hooks, func(h Hook) bool { return h.ID == id })
		if len(m.Hooks) == before {
			return fmt.Errorf("hook %s: %w", id, ErrNotFound)
		}
		return nil
	})
	return err
}

// Unfinished says that the shop still owes something for the purchase: it goes on, or it is
// paid and not shipped, or money of it is to go back.
func (p Purchase) Unfinished() bool {
	_, owed := p.PaidBack()
	return !p.State.Ended() || owed.Minor > 0 || p.Returning() || p.ToShip()
}

// RemoveMerchant removes a merchant that sells nothing and owes nothing, with its tokens and
// hooks, and what people may do there. ErrInvalid says what it still has. It may be called
// again where it broke off.
func (s *Shop) RemoveMerchant(ctx context.Context, id string) error {
	if _, err := s.Merchant(ctx, id); err != nil {
		return err
	}
	if _, err := s.Refresh(ctx); err != nil {
		return err
	}
	for _, o := range s.Offers() {
		if o.Merchant == id {
			return fmt.Errorf("%w: merchant %s still sells #%s: remove its offers first", ErrInvalid, id, o.Tag)
		}
	}
	open := 0
	err := s.EachPurchase(ctx, func(p Purchase) error {
		if p.Merchant == id && p.Unfinished() {
			open++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if open > 0 {
		return fmt.Errorf("%w: of the purchases from merchant %s %d are open: not decided, not shipped, or not refunded yet", ErrInvalid, id, open)
	}
	people, err := s.People(ctx)
	if err != nil {
		return err
	}
	for _, p := range people { // they go first: who is left could not be found by the merchant
		if p.Roles[id] == "" {
			continue
		}
		if _, err := s.EditPerson(ctx, p.Email, func(p *Person) error { delete(p.Roles, id); return nil }); err != nil {
			return err
		}
	}
	_, err = s.EditMerchant(ctx, id, func(m *Merchant) error {
		m.Removed, m.Tokens, m.Hooks = true, nil, nil
		return nil
	})
	return err
}
