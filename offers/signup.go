package offers

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hashtill/store"
)

// A Signup is an account on its way to a saved card: what it says of itself, and what
// of that is proven. A buyer who changes the e-mail address, or comes back to see the
// account, has one too. It is forgotten a day after its last change.
type Signup struct {
	Account  Account     `json:"account"`
	Handle   string      `json:"handle"`
	Lang     string      `json:"lang"`
	Email    Email       `json:"email,omitempty"` // to be proven
	Address  string      `json:"address,omitempty"`
	Country  string      `json:"country,omitempty"` // of the address (ISO 3166-1 alpha-2)
	Terms    Consent     `json:"terms,omitzero"`
	Code     []byte      `json:"code,omitempty"` // hash of the one that was mailed
	CodeAt   time.Time   `json:"code_at,omitzero"`
	Tries    int         `json:"tries,omitempty"` // wrong codes since
	Mailed   []time.Time `json:"mailed,omitempty"`
	Proven   bool        `json:"proven,omitempty"`   // the code came back: the mail was read
	Customer string      `json:"customer,omitempty"` // Stripe's id
	Open     []string    `json:"open,omitempty"`     // pages on which a card may be being saved, the latest last
	Pages    int         `json:"pages,omitempty"`    // how many there were
	Began    time.Time   `json:"began"`
	Until    time.Time   `json:"until"` // when it is forgotten

	version int64
}

// ErrUnproven: there is a card, and no address that is known to be the buyer's.
var ErrUnproven = errors.New("the address is not proven")

// Begin notes a page on which a card is being saved. Of the pages that are open the
// oldest is given up.
func (u *Signup) Begin(page string) {
	u.Open = append(slices.Clone(u.Open), page)
	u.Open = u.Open[max(0, len(u.Open)-maxOpen):]
}

// End notes that no card comes of a page any more.
func (u *Signup) End(page string) {
	u.Open = slices.DeleteFunc(slices.Clone(u.Open), func(p string) bool { return p == page })
}

// A Consent is what somebody has agreed to, and when.
type Consent struct {
	Version string    `json:"version"`
	At      time.Time `json:"at"`
}

// LogValue shows nothing but the account.
func (u Signup) LogValue() slog.Value { return slog.StringValue(u.Account.String()) }

// Why a sign-up, or a change of what is known of a buyer, does not go on.
const (
	EmailInvalid   Reason = "email_invalid"
	AddressInvalid Reason = "address_invalid"
	CountryInvalid Reason = "country_invalid"
	TermsNeeded    Reason = "terms_needed"
	ProofWrong     Reason = "proof_wrong" // not the code that was mailed
	ProofOver      Reason = "proof_over"  // its time is over, or it was tried too often
	ProofsMany     Reason = "proofs_many" // codes mailed within an hour
	CardsMany      Reason = "cards_many"
	CardUnknown    Reason = "card_unknown"
	LimitsInvalid  Reason = "limits_invalid"
	QuietInvalid   Reason = "quiet_invalid"
	Leaving        Reason = "leaving" // the account is being erased
)

// Bounds of a sign-up.
const (
	signupTime  = 26 * time.Hour   // from its last change; a page for a card is open for a day
	ProofTime   = 15 * time.Minute // how long a mailed code counts
	proofTries  = 5
	proofMails  = 5  // codes mailed to one account within an hour
	proofDaily  = 12 // and within a day
	proofPlace  = 12 // codes mailed to one address on a day
	maxOpen     = 5  // pages for a card
	MaxAddress  = 400
	MaxCards    = 10
	maxEmailLen = 254
)

// ValidEmail says whether something can be an e-mail address.
func ValidEmail(e Email) bool {
	a, err := mail.ParseAddress(string(e))
	return err == nil && a.Address == string(e) && len(e) <= maxEmailLen
}

// ValidAddress says whether a delivery address can be kept: "" or a few lines.
func ValidAddress(address string) bool {
	return utf8.ValidString(address) && utf8.RuneCountInString(address) <= MaxAddress &&
		!slices.ContainsFunc([]rune(address), func(r rune) bool { return unreadable(r) && r != '\n' })
}

// Ask notes that a code is about to be mailed to an address, to prove it. A *[Refusal]
// says that it must not be.
func (u *Signup) Ask(email Email, code string, now time.Time) error {
	if !ValidEmail(email) {
		return &Refusal{EmailInvalid}
	}
	u.Mailed = slices.DeleteFunc(slices.Clone(u.Mailed), func(at time.Time) bool { return now.Sub(at) >= 24*time.Hour })
	if n := len(u.Mailed); n >= proofDaily || n >= proofMails && now.Sub(u.Mailed[n-proofMails]) < time.Hour {
		return &Refusal{ProofsMany}
	}
	u.Mailed = append(u.Mailed, now)
	u.Email, u.Proven = email, u.Proven && u.Email == email
	u.Code, u.CodeAt, u.Tries = u.hash(code), now, 0
	return nil
}

// Prove takes a code that somebody typed. What it changes is to be kept even where a
// *[Refusal] says that it was not the one: tries are counted.
func (u *Signup) Prove(code string, now time.Time) error {
	if u.Code == nil || u.Tries >= proofTries || now.Sub(u.CodeAt) >= ProofTime {
		return &Refusal{ProofOver}
	}
	if subtle.ConstantTimeCompare(u.Code, u.hash(code)) != 1 {
		u.Tries++
		return &Refusal{ProofWrong}
	}
	u.Code, u.Proven = nil, true
	return nil
}

func (u *Signup) hash(code string) []byte {
	sum := sha256.Sum256([]byte(u.Account.String() + "\x00" + string(u.Email) + "\x00" + code))
	return sum[:]
}

// Signup is how far an account is. One that has not begun has the zero time in Began.
func (s *Shop) Signup(ctx context.Context, a Account) (Signup, error) {
	recs, err := s.store.Get(ctx, a.Shard(), signupKey(a))
	if err != nil {
		return Signup{}, err
	}
	return readSignup(recs[0], a)
}

// EditSignup changes how far an account is. What edit makes of it is kept also where edit
// returns an error, which is then returned: tries are counted.
func (s *Shop) EditSignup(ctx context.Context, a Account, now time.Time, edit func(*Signup) error) error {
	for range maxRaces {
		u, err := s.Signup(ctx, a)
		if err != nil {
			return err
		}
		looked := u.Open
		u.Until = now.Add(signupTime)
		c := store.Change{Shard: a.Shard()}
		if u.version == 0 {
			u.Began = now
			// An account that was erased may begin anew: its versions do too.
			e, err := accountOwes(forgetSignup, a, u.version+1, now)
			if err != nil {
				return err
			}
			e.Due = u.Until
			c.Owe = []store.Effect{e}
		}
		no := edit(&u)
		for _, page := range u.Open {
			if slices.Contains(looked, page) {
				continue
			}
			e, err := cardEffect(a, page, now)
			if err != nil {
				return err
			}
			c.Owe = append(c.Owe, e)
		}
		value, err := json.Marshal(u)
		if err != nil {
			return err
		}
		c.Put = []store.Put{{Key: signupKey(a), Version: u.version, Value: value}}
		switch err := s.store.Commit(ctx, c); {
		case errors.Is(err, store.ErrConflict):
			continue
		case err != nil:
			return fmt.Errorf("sign-up of %s: %w", a, err)
		}
		s.owing(c)
		return no
	}
	return fmt.Errorf("sign-up of %s: lost %d races", a, maxRaces)
}

// SaveCard takes the card that an account has saved on a page of the wallet: the
// account becomes a buyer by it, or the buyer has one more, which pays from now on. A
// page that is not among the open ones has been dealt with, and is no error. ErrUnproven
// says that the address has to be proven first. Wishes that wait for the card go on by
// themselves.
func (s *Shop) SaveCard(ctx context.Context, a Account, page, customer string, card Card, now time.Time) error {
	for range maxRaces {
		recs, err := s.store.Get(ctx, a.Shard(), signupKey(a), buyerKey(a))
		if err != nil {
			return err
		}
		u, err := readSignup(recs[0], a)
		if err != nil {
			return err
		}
		b, err := readBuyer(recs[1])
		if err != nil {
			return err
		}
		at := slices.Index(u.Open, page)
		if at < 0 || !b.LeavingAt.IsZero() {
			return nil
		}
		switch {
		case customer != u.Customer, b.Customer != "" && b.Customer != customer:
			return fmt.Errorf("%w: the card of %s was saved for another customer", ErrInvalid, a)
		case b.Registered.IsZero() && !u.Proven:
			return fmt.Errorf("%s has a card: %w", a, ErrUnproven)
		case b.Registered.IsZero():
			b = Buyer{Account: a, Handle: u.Handle, Email: u.Email, Lang: u.Lang, Address: u.Address, Country: u.Country, Terms: u.Terms,
				Stopped: b.Stopped, Frozen: b.Frozen, FrozenBy: b.FrozenBy, version: b.version}
		}
		b.Customer, b.Registered = customer, now
		b.Cards = slices.DeleteFunc(slices.Clone(b.Cards), func(c Card) bool { return c.ID == card.ID })
		b.Cards = append([]Card{card}, b.Cards...)
		if err := b.Validate(); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		u.Open = slices.Delete(slices.Clone(u.Open), at, at+1)
		signup, err := json.Marshal(u)
		if err != nil {
			return err
		}
		buyer, err := json.Marshal(b)
		if err != nil {
			return err
		}
		resume, err := accountOwes(resumeWishes, a, b.version+1, now)
		if err != nil {
			return err
		}
		c := store.Change{
			Shard: a.Shard(),
			Put: []store.Put{
				{Key: signupKey(a), Version: u.version, Value: signup},
				{Key: buyerKey(a), Version: b.version, Value: buyer},
			},
			Owe: []store.Effect{resume},
		}
		err = s.store.Commit(ctx, c)
		if err == nil {
			s.owing(c)
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("card of %s: lost %d races", a, maxRaces)
}

// OnSaving says who looks whether a card was saved on a page whose buyer's browser may
// not come back. It is asked again, ever less often, until over.
func (s *Shop) OnSaving(act func(ctx context.Context, a Account, page string) (over bool, err error)) {
	s.saving = act
}

// savingEffect is the body of a lookCard.
type savingEffect struct {
	Account Account `json:"account"`
	Page    string  `json:"page"`
}

func (e savingEffect) id() string { return lookCard + "/" + e.Account.String() + "/" + e.Page }

// firstSavingLook is when it is first looked by ourselves: most browsers come back.
const firstSavingLook, lastSavingLook = time.Minute, 30 * time.Minute

func cardEffect(a Account, page string, now time.Time) (store.Effect, error) {
	e := savingEffect{a, page}
	body, err := json.Marshal(e)
	return store.Effect{ID: e.id(), Kind: lookCard, Due: now.Add(firstSavingLook), Body: body}, err
}

func (s *Shop) performSaving(ctx context.Context, l store.Lease) error {
	var body savingEffect
	if err := json.Unmarshal(l.Body, &body); err != nil {
		return fmt.Errorf("read effect %s: %w", l.ID, err)
	}
	u, err := s.Signup(ctx, body.Account)
	if err != nil {
		return err
	}
	if !slices.Contains(u.Open, body.Page) {
		return s.settle(ctx, l)
	}
	if s.saving == nil {
		return fmt.Errorf("nobody performs %s", l.Kind)
	}
	over, err := s.saving(ctx, body.Account, body.Page)
	switch {
	case err != nil:
		return err
	case over:
		return s.settle(ctx, l)
	}
	due := s.Now().Add(min(firstSavingLook<<min(l.Try, 5), lastSavingLook))
	return s.putOff(ctx, l, due, "")
}

// performForgetSignup ends a sign-up that nobody goes on with: its customer at Stripe
// goes too, unless a buyer has come of it.
func (s *Shop) performForgetSignup(ctx context.Context, l store.Lease) error {
	var body accountEffect
	if err := json.Unmarshal(l.Body, &body); err != nil {
		return fmt.Errorf("read effect %s: %w", l.ID, err)
	}
	a := body.Account
	u, err := s.Signup(ctx, a)
	if err != nil {
		return err
	}
	if now := s.Now(); now.Before(u.Until) {
		return s.putOff(ctx, l, u.Until, "")
	}
	b, err := s.Buyer(ctx, a)
	if err != nil {
		return err
	}
	if u.Customer != "" && b.Customer == "" {
		if s.left == nil {
			return errors.New("nobody forgets customers at Stripe")
		}
		if err := s.left(ctx, u.Customer); err != nil {
			return err
		}
	}
	c := store.Change{Shard: l.Shard, Settle: []store.Settle{{ID: l.ID, Try: l.Try}}}
	if u.version > 0 {
		c.Put = []store.Put{{Key: signupKey(a), Version: u.version}}
	}
	return s.store.Commit(ctx, c)
}

// CountProof counts a code that is about to be mailed to an address, whoever asks for it.
// A *[Refusal] says that there were too many today.
func (s *Shop) CountProof(ctx context.Context, e Email, now time.Time) error {
	sum := sha256.Sum256([]byte(strings.ToLower(string(e))))
	key := fmt.Sprintf("proofs/%x/%s", sum[:12], now.UTC().Format(time.DateOnly))
	shard := store.ShardOf(key)
	for range maxRaces {
		recs, err := s.store.Get(ctx, shard, key)
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(string(recs[0].Value)) // 0 where there is none
		if n >= proofPlace {
			return &Refusal{ProofsMany}
		}
		c := store.Change{Shard: shard, Put: []store.Put{{Key: key, Version: recs[0].Version, Value: strconv.AppendInt(nil, int64(n+1), 10)}}}
		if n == 0 {
			c.Owe = []store.Effect{forgetAt(key, now.Add(48*time.Hour))}
		}
		if err := s.store.Commit(ctx, c); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("count a mail: lost %d races", maxRaces)
}

func signupKey(a Account) string { return "signup/" + a.String() }

func readSignup(r store.Record, a Account) (Signup, error) {
	u := Signup{Account: a}
	if r.Version == 0 {
		return u, nil
	}
	if err := json.Unmarshal(r.Value, &u); err != nil {
		return Signup{}, fmt.Errorf("%w: read %s: %w", ErrInvalid, r.Key, err)
	}
	u.version = r.Version
	return u, nil
}

// A Dossier is all that is kept of an account.
type Dossier struct {
	Buyer     Buyer      `json:"buyer"`
	Signup    Signup     `json:"signup,omitzero"`
	Purchases []Purchase `json:"purchases"`
}

// Dossier reads all that is kept of an account, for its owner to have.
func (s *Shop) Dossier(ctx context.Context, a Account) (Dossier, error) {
	var d Dossier
	var err error
	if d.Buyer, err = s.Buyer(ctx, a); err != nil {
		return d, err
	}
	u, err := s.Signup(ctx, a)
	if err != nil {
		return d, err
	}
	if u.version > 0 {
		u.Code = nil
		d.Signup = u
	}
	d.Purchases, err = s.PurchasesOf(ctx, a)
	return d, err
}

// PurchasesOf are the purchases of an account that are kept, the newest first.
func (s *Shop) PurchasesOf(ctx context.Context, a Account) ([]Purchase, error) {
	all := []Purchase{}
	err := s.eachOwn(ctx, a, func(p Purchase) error {
		all = append(all, p)
		return nil
	})
	slices.SortFunc(all, func(p, q Purchase) int { return q.AskedAt.Compare(p.AskedAt) })
	return all, err
}

// accountOwes is an effect of an account. The time is in its id because versions begin
// anew when an account is erased.
func accountOwes(kind string, a Account, version int64, now time.Time) (store.Effect, error) {
	body, err := json.Marshal(accountEffect{Account: a, At: now})
	id := kind + "/" + a.String() + "/" + strconv.FormatInt(version, 10) + "-" + strconv.FormatInt(now.UnixMilli(), 10)
	return store.Effect{ID: id, Kind: kind, Body: body}, err
}
