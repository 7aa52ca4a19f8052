package xtest

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Account is somebody on the stand-in.
type Account struct {
	ID        string // decimal, above 2^53; given by AddAccount when empty
	Handle    string // without @, 1 to 15 of A-Z a-z 0-9 _
	Name      string // display name; default the handle
	Bio       string
	Email     string // confirmed; "" for none
	Automated bool   // carries the "Automated" label; X's API does not show it
	Protected bool   // its posts are seen by no one else and never delivered
}

// Credentials are what a program needs to act as an account by OAuth 1.0a.
type Credentials struct {
	ConsumerKey, ConsumerSecret string
	Token, TokenSecret          string
}

type account struct {
	Account
	created       time.Time
	token, secret string

	// With the right to read only, given out by three-legged sign-in or ReadOnly; "" until
	// then.
	readToken, readSecret string
}

// AddAccount adds an account and returns it with what was left out filled in.
// It fails if the handle is malformed, or the handle or the id is taken.
func (s *Server) AddAccount(a Account) (Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.freeHandle(a.Handle); err != nil {
		return Account{}, err
	}
	if a.ID == "" {
		a.ID = strconv.FormatInt(s.snowflake(), 10)
	} else if !isID(a.ID) || s.accounts[a.ID] != nil {
		return Account{}, fmt.Errorf("xtest: account id %q is malformed or taken", a.ID)
	}
	if a.Name == "" {
		a.Name = a.Handle
	}
	s.accounts[a.ID] = &account{
		Account: a,
		created: s.opts.Now(),
		token:   a.ID + "-" + rand.Text(),
		secret:  rand.Text(),
	}
	return a, nil
}

// Rename gives an account another handle, and so frees the old one for others.
func (s *Server) Rename(accountID, handle string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[accountID]
	if a == nil {
		return fmt.Errorf("xtest: no account %s", accountID)
	}
	if err := s.freeHandle(handle); err != nil {
		return err
	}
	a.Handle = handle
	return nil
}

// Account returns an account by id; ok is false if there is none.
func (s *Server) Account(id string) (a Account, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.accounts[id]; found != nil {
		return found.Account, true
	}
	return Account{}, false
}

// Credentials returns the keys with which a program acts as an account, or the
// zero value if there is no such account.
func (s *Server) Credentials(accountID string) Credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[accountID]
	if a == nil {
		return Credentials{}
	}
	return Credentials{ConsumerKey: s.consumerKey, ConsumerSecret: s.secret, Token: a.token, TokenSecret: a.secret}
}

// ReadOnly returns keys with which a program can read as an account and not write: an
// access token that was made before the app got the permission to write. It is the zero
// value if there is no such account.
func (s *Server) ReadOnly(accountID string) Credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[accountID]
	if a == nil {
		return Credentials{}
	}
	a.readKeys()
	return Credentials{ConsumerKey: s.consumerKey, ConsumerSecret: s.secret, Token: a.readToken, TokenSecret: a.readSecret}
}

// readKeys makes the keys that may only read, unless they are there.
func (a *account) readKeys() {
	if a.readToken == "" {
		a.readToken, a.readSecret = a.ID+"-"+rand.Text(), rand.Text()
	}
}

// Bearer returns the app-only token.
func (s *Server) Bearer() string { return s.bearer }

func (s *Server) freeHandle(handle string) error {
	if !isHandle(handle) {
		return fmt.Errorf("xtest: malformed handle %q", handle)
	}
	if s.byHandle(handle) != nil {
		return fmt.Errorf("xtest: handle %q is taken", handle)
	}
	return nil
}

// byHandle returns the account now called handle, or nil.
func (s *Server) byHandle(handle string) *account {
	for _, a := range s.accounts {
		if strings.EqualFold(a.Handle, handle) {
			return a
		}
	}
	return nil
}

func isHandle(h string) bool {
	return h != "" && len(h) <= 15 && strings.IndexFunc(h, func(r rune) bool { return !isHandleRune(r) }) < 0
}

func isHandleRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_'
}

// isID reports whether id has the form of an id: 1 to 19 digits.
func isID(id string) bool {
	_, err := strconv.ParseInt(id, 10, 64)
	return err == nil && id[0] >= '0' && id[0] <= '9'
}

// idLess reports whether id a is older than id b.
func idLess(a, b string) bool {
	x, _ := strconv.ParseInt(a, 10, 64)
	y, _ := strconv.ParseInt(b, 10, 64)
	return x < y
}
