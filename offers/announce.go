package offers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hashtill/store"
)

// An Announcement is a post of the shop's own about an offer, which buyers can quote or
// answer. It is owed by one process and made by the one that serves.
type Announcement struct {
	Network string    `json:"network"`
	Offer   string    `json:"offer"` // its id
	Lang    string    `json:"lang"`  // BCP 47, of its words
	N       int       `json:"n"`     // tells the announcements of one offer in one language apart
	At      time.Time `json:"at"`    // when it was owed
	Post    string    `json:"post,omitempty"`
	Refused string    `json:"refused,omitempty"` // why it is not made and never will be
}

// announceOffer is the kind of the effect that makes an announcement, in the offer's shard.
const announceOffer = "announce"

const (
	// AnnouncePause is how long an offer is not announced again in the same language,
	// unless that is meant.
	AnnouncePause = time.Hour

	announcementAfter = 30 * 24 * time.Hour // kept after the end of the sale
	announcementKept  = 90 * 24 * time.Hour // kept where the sale has no end
)

// An AnnouncedError says that the offer was announced a short while ago.
type AnnouncedError struct{ Before Announcement }

func (e *AnnouncedError) Error() string {
	return fmt.Sprintf("%s was announced on %s in the language %s at %s, less than %s before", e.Before.Offer, e.Before.Network, e.Before.Lang,
		e.Before.At.UTC().Format("15:04 UTC"), AnnouncePause)
}

// announceEffect is the body of the effect. The offer is as it was when it was announced,
// without what no post says: each try posts the same words.
type announceEffect struct {
	Announcement
	As Offer `json:"as"`
}

// key is the name of the record, and of the effect.
func (a Announcement) key() string {
	return announcedPrefix(a.Network, a.Offer) + a.Lang + "/" + strconv.Itoa(a.N)
}

func announcedPrefix(network, offer string) string { return "announced/" + network + "/" + offer + "/" }

// Ref is a short reference that no other announcement has: networks refuse a post that
// reads like one before.
func (a Announcement) Ref() string {
	sum := sha256.Sum256([]byte(a.key() + " " + a.At.UTC().Format(time.RFC3339Nano)))
	return hex.EncodeToString(sum[:3])
}

// OnAnnounce says who makes announcements. act returns the number of the post, or why
// there will never be one; an error means that it is to be tried again, and again then
// that an earlier try may have made it. It is called before the outbox runs.
func (s *Shop) OnAnnounce(act func(ctx context.Context, a Announcement, o Offer, again bool) (post, refused string, err error)) {
	s.announce = act
}

// Announce owes a post about an offer on a network, in the words of a language. Once in
// an [AnnouncePause], else *[AnnouncedError], unless again says that it is meant. A
// *[Refusal] says that the offer is not on sale now, or [SoldOut]: whoever answered could
// only be told so. Units of it may come back; then it can be announced.
func (s *Shop) Announce(ctx context.Context, offer, network, lang string, again bool, now time.Time) (Announcement, error) {
	for name, part := range map[string]string{"network": network, "language": lang} {
		if part == "" || len(part) > 35 || strings.Contains(part, "/") {
			return Announcement{}, fmt.Errorf("%w: announce: %q is no %s", ErrInvalid, part, name)
		}
	}
	for range maxRaces {
		o, err := s.reload(ctx, offer)
		if err != nil {
			return Announcement{}, err
		}
		if why := o.Closed(now); why != "" {
			return Announcement{}, &Refusal{why}
		}
		gone, err := s.gone(ctx, o)
		if err != nil {
			return Announcement{}, err
		}
		if gone {
			return Announcement{}, &Refusal{SoldOut}
		}
		a := Announcement{Network: network, Offer: o.ID, Lang: lang, N: 1, At: now}
		before, err := s.announcements(ctx, o.Shard(), announcedPrefix(network, o.ID)+lang+"/")
		if err != nil {
			return Announcement{}, err
		}
		for _, b := range before {
			if !again && now.Sub(b.At) < AnnouncePause && b.Refused == "" {
				return b, &AnnouncedError{b}
			}
			a.N = max(a.N, b.N+1)
		}
		c, err := a.change(o)
		if err != nil {
			return Announcement{}, err
		}
		err = s.store.Commit(ctx, c)
		if err == nil {
			s.owing(c)
			return a, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return Announcement{}, err
		}
	}
	return Announcement{}, fmt.Errorf("announce %s: lost %d races", offer, maxRaces)
}

// gone says that every unit of an offer is held or sold.
func (s *Shop) gone(ctx context.Context, o Offer) (bool, error) {
	taken, err := s.Stocked(ctx, o)
	if err != nil {
		return false, err
	}
	for variant, units := range o.Stock {
		if taken[variant] < int64(units) {
			return false, nil
		}
	}
	return true, nil
}

// change commits an announcement and owes its post.
func (a Announcement) change(o Offer) (store.Change, error) {
	value, err := json.Marshal(a)
	if err != nil {
		return store.Change{}, err
	}
	body, err := json.Marshal(announceEffect{a, announced(o)})
	if err != nil {
		return store.Change{}, err
	}
	forgetAfter := a.At.Add(announcementKept)
	if !o.Closes.IsZero() {
		forgetAfter = o.Closes.Add(announcementAfter)
	}
	return store.Change{
		Shard: o.Shard(),
		Put:   []store.Put{{Key: a.key(), Value: value}},
		Owe:   []store.Effect{{ID: a.key(), Kind: announceOffer, Body: body}, forgetAt(a.key(), forgetAfter)},
	}, nil
}

// announced is what of an offer stands in an announcement.
func announced(o Offer) Offer {
	return Offer{ID: o.ID, Tag: o.Tag, Title: o.Title, Price: o.Price, PerBuyer: o.PerBuyer, Opens: o.Opens, Closes: o.Closes}
}

// says tells whether two offers read alike in an announcement.
func (o Offer) says(other Offer) bool {
	return o.Tag == other.Tag && o.Title == other.Title && o.Price == other.Price && o.PerBuyer == other.PerBuyer && o.Closes.Equal(other.Closes)
}

// announcements are those that can be read under a prefix, in a shard.
func (s *Shop) announcements(ctx context.Context, shard int, prefix string) (all []Announcement, err error) {
	err = s.scan(ctx, shard, prefix, func(r store.Record) error {
		if a, err := readAnnouncement(r); err == nil { // else Check finds it
			all = append(all, a)
		}
		return nil
	})
	return all, err
}

func readAnnouncement(r store.Record) (a Announcement, err error) {
	if err = json.Unmarshal(r.Value, &a); err == nil && a.key() != r.Key {
		err = errOtherName
	}
	return a, err
}

func (s *Shop) performAnnounce(ctx context.Context, l store.Lease) error {
	var body announceEffect
	if err := json.Unmarshal(l.Body, &body); err != nil {
		return fmt.Errorf("read effect %s: %w", l.ID, err)
	}
	if s.announce == nil {
		return fmt.Errorf("nobody performs %s", l.Kind)
	}
	o, err := s.reload(ctx, body.Offer)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	gone := false
	if err == nil {
		if gone, err = s.gone(ctx, o); err != nil {
			return err
		}
	}
	var post, refused string
	switch tried := l.Try > 1; {
	case err != nil:
		refused = "the offer is not in the catalogue any more"
	case o.Closed(s.Now()) != "":
		refused = "the offer is not on sale any more"
	case !tried && !o.says(body.As):
		refused = "the offer has changed since: announce it again"
	case !tried && gone:
		refused = "the offer is sold out"
	default:
		if post, refused, err = s.announce(ctx, body.Announcement, body.As, tried); err != nil {
			return err
		}
	}
	if refused != "" {
		s.Log.Warn("offer not announced", "offer", body.Offer, "network", body.Network, "lang", body.Lang, "why", refused)
	}
	// The post is made: that is written down even when the time to do it is over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	return s.settleAnnounced(ctx, l, body.key(), post, refused)
}

// settleAnnounced writes the outcome into the record, if that is still there.
func (s *Shop) settleAnnounced(ctx context.Context, l store.Lease, key, post, refused string) error {
	recs, err := s.store.Get(ctx, l.Shard, key)
	if err != nil {
		return err
	}
	c := store.Change{Shard: l.Shard, Settle: []store.Settle{{ID: l.ID, Try: l.Try}}}
	if a, err := readAnnouncement(recs[0]); recs[0].Version > 0 && err == nil {
		a.Post, a.Refused = post, refused
		value, err := json.Marshal(a)
		if err != nil {
			return err
		}
		c.Put = []store.Put{{Key: key, Version: recs[0].Version, Value: value}}
	}
	return s.store.Commit(ctx, c)
}

// announcedPosts are the posts on a network in a shard that announce what is on sale now.
func (s *Shop) announcedPosts(ctx context.Context, shard int, network string) (posts []string, err error) {
	all, err := s.announcements(ctx, shard, "announced/"+network+"/")
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if a.Post == "" {
			continue
		}
		o, err := s.offer(ctx, a.Offer)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if o.Closed(s.Now()) == "" {
			posts = append(posts, a.Post)
		}
	}
	return posts, nil
}

// announcedRecord looks at the record of an announcement.
func (c *shardCheck) announcedRecord(r store.Record) {
	a, err := readAnnouncement(r)
	if err != nil {
		c.finds(Unreadable, r.Key, "this announcement cannot be read: %v", err)
		return
	}
	c.placed(r.Key, store.ShardOf(a.Offer))
}

// announceEffect looks at the effect that makes an announcement.
func (c *shardCheck) announceEffect(e store.Effect) {
	var body announceEffect
	if err := json.Unmarshal(e.Body, &body); err != nil || body.key() != e.ID {
		c.finds(Unreadable, e.ID, "this effect cannot be read, so that it is never done: %v", cmp.Or(err, errOtherName))
		return
	}
	c.placed(e.ID, store.ShardOf(body.Offer))
}
