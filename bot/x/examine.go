package x

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	//lint:ignore SA1019 the classic shape is closed too, and needs nothing new
	"github.com/dghubble/go-twitter/twitter"
)

// An Account is what X tells of the bot's account and of its access token.
type Account struct {
	ID, Handle string
	Bio        string
	Protected  bool // X delivers none of its posts, and nobody can repost them

	// Access is what the access token may do: AccessRead, AccessWrite, or "" if X does
	// not say.
	Access Access
}

// Access is what an access token of OAuth 1.0a may do, as the header x-access-level of
// every answer to it says. Beside the two there is read-write-directmessages.
type Access string

const (
	AccessRead  Access = "read"
	AccessWrite Access = "read-write"
)

const accessHeader = "X-Access-Level"

// Examine asks X who the bot is. It posts and changes nothing. It fails if the access
// token belongs to another account than configured.
func (n *Network) Examine(ctx context.Context) (Account, error) {
	var answer struct {
		Data struct {
			user
			Description string
			Protected   bool
		}
	}
	header, err := n.exchange(ctx, asBot, http.MethodGet, "/2/users/me", url.Values{"user.fields": {"description,protected"}}, nil, &answer)
	if err != nil {
		return Account{}, fmt.Errorf("ask who the bot is: %w", err)
	}
	me := answer.Data
	return Account{ID: me.ID, Handle: me.Username, Bio: me.Description, Protected: me.Protected, Access: Access(header.Get(accessHeader))},
		n.settle(me.ID, me.Username)
}

// Examine asks the server who the bot is. It posts and changes nothing. It fails if the
// access token belongs to another account than configured.
func (c *Classic) Examine(ctx context.Context) (Account, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	api, seen := c.client(ctx)
	u, resp, err := api.Accounts.VerifyCredentials(&twitter.AccountVerifyParams{SkipStatus: twitter.Bool(true)})
	if err := seen.outcome(err); err != nil {
		return Account{}, fmt.Errorf("ask who the bot is: %w", err)
	}
	a := Account{ID: number(u.IDStr, u.ID), Handle: u.ScreenName, Bio: u.Description, Protected: u.Protected, Access: Access(resp.Header.Get(accessHeader))}
	return a, c.settle(a.ID, a.Handle)
}

// Rules is how the rules of the filtered stream at X stand to a catalogue.
type Rules struct {
	Used, Limit int // of the app, whoever made them
	Foreign     int // of those used, not this bot's
	Missing     int // that Follow would add
	Needless    int // that Follow would delete
}

// ExamineRules reads the rules at X and changes none. That the hashtags do not fit is a
// *CatalogueError. Of the rule about quotes, which X may refuse, nothing is said.
func (n *Network) ExamineRules(ctx context.Context, tags []string) (Rules, error) {
	clean, err := cleanTags(tags)
	if err != nil {
		return Rules{}, err
	}
	self, handle, err := n.Self(ctx)
	if err != nil {
		return Rules{}, err
	}
	book := ruleBook{self, handle}
	have, err := n.getRules(ctx)
	if err != nil {
		return Rules{}, err
	}
	r := Rules{Used: len(have), Limit: maxRules}
	for _, at := range have {
		if at.Tag != book.mark() {
			r.Foreign++
		}
	}
	p, err := book.plan(have, clean)
	r.Missing, r.Needless = len(p.add), len(p.remove)
	return r, err
}

// ExamineActivity reads the bot's subscriptions to the X Activity API and changes none.
// It returns the kinds of events that X tells of, of those that are needed.
func (n *Network) ExamineActivity(ctx context.Context) (have, need []string, err error) {
	self, _, err := n.Self(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, err := n.subscriptions(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range all {
		if s.Filter.UserID == self && slices.Contains(activityEvents, s.Type) && !slices.Contains(have, s.Type) {
			have = append(have, s.Type)
		}
	}
	return have, slices.Clone(activityEvents), nil
}

// Usage is how many posts the app's project has read of those that its plan has for a
// month.
type Usage struct {
	Posts, Cap int64 // Cap is 0 if X names none
	ResetDay   int   // of the month, 0 if X does not say
}

// Usage asks for the usage (https://docs.x.com/x-api/usage/get-usage), with the bearer
// token.
func (n *Network) Usage(ctx context.Context) (Usage, error) {
	var answer struct {
		Data struct {
			Cap   json.Number `json:"project_cap"` // X writes them as strings
			Posts json.Number `json:"project_usage"`
			Reset int         `json:"cap_reset_day"`
		}
	}
	query := url.Values{"usage.fields": {"cap_reset_day,project_cap,project_usage"}}
	if err := n.call(ctx, asApp, http.MethodGet, "/2/usage/tweets", query, nil, &answer); err != nil {
		return Usage{}, err
	}
	posts, _ := answer.Data.Posts.Int64() // what is no number is not known
	most, _ := answer.Data.Cap.Int64()
	return Usage{Posts: posts, Cap: most, ResetDay: answer.Data.Reset}, nil
}
