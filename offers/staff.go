package offers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hashtill/store"
)

// A Role is what somebody may do at the desk.
type Role string

const (
	// Owner may do all that there is to do for a merchant, refunds and people included.
	Owner Role = "owner"
	// Clerk ships, cancels and notes; edits offers; refunds nothing.
	Clerk Role = "clerk"
	// Viewer looks.
	Viewer Role = "viewer"
)

// Roles are all of them, the mightiest first.
var Roles = []Role{Owner, Clerk, Viewer}

// Operator is the place of a merchant's id for who runs the whole: their role holds for
// all merchants, and for what is nobody's.
const Operator = ""

// A Person is somebody who signs in at the desk, known by an address.
type Person struct {
	Email Email           `json:"email"`
	Lang  string          `json:"lang,omitempty"`
	Roles map[string]Role `json:"roles"` // by merchant; under [Operator], everywhere
	Since time.Time       `json:"since"`

	// Factor is the secret of their second factor (RFC 6238, base32); "": they have none.
	// FactorAt is the step of the last code that was taken: none is taken twice.
	Factor   string `json:"factor,omitempty"`
	FactorAt uint64 `json:"factor_at,omitempty"`

	version int64
}

// Role is what the person may do for a merchant, "" if nothing.
func (p Person) Role(merchant string) Role {
	own, everywhere := p.Roles[merchant], p.Roles[Operator]
	for _, r := range Roles {
		if own == r || everywhere == r {
			return r
		}
	}
	return ""
}

// Runs says that the person is of those who run the whole.
func (p Person) Runs() bool { return p.Roles[Operator] != "" }

// staffKey is the key of a person, by a hash of the address.
func staffKey(e Email) string {
	sum := sha256.Sum256([]byte("staff\x00" + strings.ToLower(string(e))))
	return "staff/" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// Person finds who signs in with an address. ErrNotFound says that nobody does.
func (s *Shop) Person(ctx context.Context, e Email) (Person, error) {
	p, err := s.person(ctx, e)
	if err == nil && len(p.Roles) == 0 {
		return Person{}, fmt.Errorf("person: %w", ErrNotFound)
	}
	return p, err
}

// person is who is known by an address, even where they may do nothing (any more); the zero
// Person where nobody is.
func (s *Shop) person(ctx context.Context, e Email) (Person, error) {
	key := staffKey(e)
	recs, err := s.store.Get(ctx, store.ShardOf(key), key)
	if err != nil || recs[0].Version == 0 {
		return Person{}, err
	}
	return readPerson(recs[0])
}

func readPerson(r store.Record) (Person, error) {
	var p Person
	if err := json.Unmarshal(r.Value, &p); err != nil {
		return Person{}, fmt.Errorf("%w: read a person: %w", ErrInvalid, err)
	}
	p.version = r.Version
	return p, nil
}

// People are all who sign in at the desk, by address.
func (s *Shop) People(ctx context.Context) (all []Person, err error) {
	for shard := range store.Shards {
		err := s.scan(ctx, shard, "staff/", func(r store.Record) error {
			if p, err := readPerson(r); err == nil && len(p.Roles) > 0 { // Check finds what cannot be read
				all = append(all, p)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b Person) int { return strings.Compare(string(a.Email), string(b.Email)) })
	return slices.CompactFunc(all, func(a, b Person) bool { return a.Email == b.Email }), nil
}

// EditPerson changes a person, or adds one where there is none. One without any role is
// none any more, and their sessions lead nowhere, whoever adds them again. Their second
// factor is kept: who has nothing but the mailbox cannot set up another.
func (s *Shop) EditPerson(ctx context.Context, e Email, edit func(*Person) error) (Person, error) {
	if !ValidEmail(e) {
		return Person{}, fmt.Errorf("%w: not an e-mail address", ErrInvalid)
	}
	key := staffKey(e)
	for range maxRaces {
		p, err := s.person(ctx, e)
		if err != nil {
			return Person{}, err
		}
		p.Email = e
		if len(p.Roles) == 0 {
			p.Since = s.Now()
		}
		roles := map[string]Role{}
		for merchant, r := range p.Roles {
			roles[merchant] = r
		}
		p.Roles = roles
		if err := edit(&p); err != nil {
			return Person{}, err
		}
		for merchant, r := range p.Roles {
			if merchant != Operator && !ValidMerchantID(merchant) || !slices.Contains(Roles, r) {
				return Person{}, fmt.Errorf("%w: role %q at %q", ErrInvalid, r, merchant)
			}
		}
		put := store.Put{Key: key, Version: p.version}
		if len(p.Roles) > 0 || p.Factor != "" {
			if put.Value, err = json.Marshal(p); err != nil {
				return Person{}, err
			}
		} else if p.version == 0 {
			return p, nil
		}
		err = s.store.Commit(ctx, store.Change{Shard: store.ShardOf(key), Put: []store.Put{put}})
		if err == nil {
			p.version++
			return p, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return Person{}, err
		}
	}
	return Person{}, fmt.Errorf("person: lost %d races", maxRaces)
}

// TakeFactor takes a code of the person's second factor that belongs to a step of time,
// once. It is false where that step or a later one was taken before.
func (s *Shop) TakeFactor(ctx context.Context, e Email, step uint64) (taken bool, err error) {
	_, err = s.EditPerson(ctx, e, func(p *Person) error {
		if taken = step > p.FactorAt && len(p.Roles) > 0; taken {
			p.FactorAt = step
		}
		return nil
	})
	return taken && err == nil, err
}

// A Shift is what is remembered of one browser at the desk. Whoever has its token has it.
type Shift struct {
	Email    Email     `json:"email"`
	Until    time.Time `json:"until"`
	Pending  bool      `json:"pending,omitempty"`  // it was asked for and mailed, and nobody has come with the link yet
	FactorAt time.Time `json:"factor_at,omitzero"` // when the second factor was last given
	CSRF     string    `json:"csrf"`               // what its forms carry

	version int64
}

// Begun is when somebody signed in by it.
func (sh Shift) Begun() time.Time { return sh.Until.Add(-shiftTime) }

// How long a shift lasts, and the link that begins one.
const (
	shiftTime   = 12 * time.Hour
	shiftLink   = 15 * time.Minute
	shiftPrefix = "shift/"
)

func shiftKey(token string) string {
	sum := sha256.Sum256([]byte("shift\x00" + token))
	return shiftPrefix + base64.RawURLEncoding.EncodeToString(sum[:])
}

// AskShift makes the token that a link to sign in carries; it is good once, for 15 minutes.
func (s *Shop) AskShift(ctx context.Context, e Email, now time.Time) (link string, err error) {
	return s.openShift(ctx, Shift{Email: e, Until: now.Add(shiftLink), Pending: true})
}

// BeginShift takes the token of a link, once, and returns that of a session. ErrNotFound
// says that the link is not good (any more).
func (s *Shop) BeginShift(ctx context.Context, link string, now time.Time) (token string, err error) {
	sh, err := s.shift(ctx, link, now)
	if err != nil {
		return "", err
	}
	if !sh.Pending {
		return "", fmt.Errorf("shift: %w", ErrNotFound)
	}
	key := shiftKey(link)
	// Whoever removes it has it: two who come with one link are not both let in.
	err = s.store.Commit(ctx, store.Change{Shard: store.ShardOf(key), Put: []store.Put{{Key: key, Version: sh.version}}, Drop: []string{forgetEffect{key}.id()}})
	if errors.Is(err, store.ErrConflict) {
		return "", fmt.Errorf("shift: %w", ErrNotFound)
	}
	if err != nil {
		return "", err
	}
	return s.openShift(ctx, Shift{Email: sh.Email, Until: now.Add(shiftTime)})
}

func (s *Shop) openShift(ctx context.Context, sh Shift) (token string, err error) {
	token, sh.CSRF = rand.Text(), rand.Text()
	value, err := json.Marshal(sh)
	if err != nil {
		return "", err
	}
	key := shiftKey(token)
	if err := s.store.Commit(ctx, claim(store.ShardOf(key), key, value, sh.Until)); err != nil {
		return "", fmt.Errorf("open a shift: %w", err)
	}
	return token, nil
}

// Shift is the session that a token leads to. ErrNotFound says that there is none.
func (s *Shop) Shift(ctx context.Context, token string, now time.Time) (Shift, error) {
	sh, err := s.shift(ctx, token, now)
	if err == nil && sh.Pending {
		return Shift{}, fmt.Errorf("shift: %w", ErrNotFound)
	}
	return sh, err
}

func (s *Shop) shift(ctx context.Context, token string, now time.Time) (Shift, error) {
	none := fmt.Errorf("shift: %w", ErrNotFound)
	if token == "" || len(token) > maxToken {
		return Shift{}, none
	}
	key := shiftKey(token)
	recs, err := s.store.Get(ctx, store.ShardOf(key), key)
	if err != nil {
		return Shift{}, err
	}
	var sh Shift
	if recs[0].Version == 0 || json.Unmarshal(recs[0].Value, &sh) != nil || !now.Before(sh.Until) {
		return Shift{}, none
	}
	sh.version = recs[0].Version
	return sh, nil
}

// FactorShift notes that the second factor was given in a session at now.
func (s *Shop) FactorShift(ctx context.Context, token string, now time.Time) error {
	for range maxRaces {
		sh, err := s.Shift(ctx, token, now)
		if err != nil {
			return err
		}
		sh.FactorAt = now
		value, err := json.Marshal(sh)
		if err != nil {
			return err
		}
		key := shiftKey(token)
		err = s.store.Commit(ctx, store.Change{Shard: store.ShardOf(key), Put: []store.Put{{Key: key, Version: sh.version, Value: value}}})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("shift: lost %d races", maxRaces)
}

// EndShift makes a token lead nowhere. That it does so already is success.
func (s *Shop) EndShift(ctx context.Context, token string) error {
	key := shiftKey(token)
	_, err := s.removeForgotten(ctx, store.ShardOf(key), key)
	return err
}
