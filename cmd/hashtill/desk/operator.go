package desk

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"hashtill/offers"
)

// operatorRoutes are for who runs the whole. Their addresses name no {merchant}: the role
// that counts is the one that holds everywhere.
var operatorRoutes = []route{
	{pattern: "GET /op/{$}", needs: offers.Viewer, do: (*call).overview},
	{pattern: "POST /op/halt", needs: offers.Clerk, do: (*call).halt},
	{pattern: "POST /op/resume", needs: offers.Owner, do: (*call).resume},
	{pattern: "GET /op/stuck", needs: offers.Viewer, do: (*call).stuckPage},
	{pattern: "POST /op/stuck/again", needs: offers.Clerk, do: (*call).tryAgain},
	{pattern: "POST /op/stuck/give-up", needs: offers.Owner, do: (*call).giveUp},

	{pattern: "GET /op/merchants", needs: offers.Viewer, do: (*call).merchantsPage},
	{pattern: "POST /op/merchants", needs: offers.Owner, factor: true, do: (*call).addMerchant},
	{pattern: "GET /op/merchants/{id}", needs: offers.Viewer, do: (*call).merchantPage},
	{pattern: "POST /op/merchants/{id}/rename", needs: offers.Owner, do: (*call).renameMerchant},
	{pattern: "POST /op/merchants/{id}/invite", needs: offers.Owner, factor: true, do: (*call).inviteOwner},
	{pattern: "POST /op/merchants/{id}/remove", needs: offers.Owner, do: (*call).removeMerchant},
	{pattern: "GET /op/people", needs: offers.Viewer, do: (*call).everybody},

	{pattern: "GET /op/log", needs: offers.Viewer, do: (*call).wholeLog},
	{pattern: "GET /m/{merchant}/log", needs: offers.Owner, do: (*call).merchantLog},
}

// opTabs are the parts of the operator's desk.
var opTabs = []tab{{Name: "Now", Path: "/op/"}, {Name: "Stuck", Path: "/op/stuck"}, {Name: "Merchants", Path: "/op/merchants"},
	{Name: "People", Path: "/op/people"}, {Name: "Log", Path: "/op/log"}}

// opTabs are the tabs, with the one that is open.
func (c *call) opTabs() []tab {
	all := slices.Clone(opTabs)
	for i, t := range all {
		all[i].Here = c.r.URL.Path == t.Path || t.Path != "/op/" && strings.HasPrefix(c.r.URL.Path, t.Path)
	}
	return all
}

const (
	refresh    = "10; url=/op/" // after so many seconds the overview is loaded anew
	statesTime = 5 * time.Second
	mostStuck  = 100
)

// An opView is what a page of the operator shows: whether the shop is halted, first of all.
type opView struct {
	Halt *offers.Halt
	V    any
}

// opPage writes a page of the operator.
func (c *call) opPage(code int, name, title string, what any) error {
	h, err := c.Shop.Halted(c.r.Context())
	if err != nil {
		return err
	}
	c.title = title
	return c.pageWith(code, name, opView{h, what})
}

// An overviewView is how everything is now.
type overviewView struct {
	States []State
	Owed   []offers.OwedKind
	Stuck  []stuckRow
	More   bool // there may be more that is stuck
	Still  bool // it does not refresh itself
	Now    time.Time
}

func (c *call) overview() error {
	ctx := c.r.Context()
	v := overviewView{Now: c.Now(), Still: c.r.URL.Query().Has("still")}
	if c.States != nil {
		ctx, cancel := context.WithTimeout(ctx, statesTime)
		v.States = c.States(ctx)
		cancel()
	}
	var err error
	if v.Owed, err = c.Shop.OwedByKind(ctx); err != nil {
		return err
	}
	if v.Stuck, err = c.stuck(6); err != nil {
		return err
	}
	if v.More = len(v.Stuck) > 5; v.More {
		v.Stuck = v.Stuck[:5]
	}
	if !v.Still {
		c.w.Header().Set("Refresh", refresh)
	}
	return c.opPage(http.StatusOK, "overview.html", "Now", v)
}

// halt stops all charging at once.
func (c *call) halt() error {
	if err := c.writes("halt", "", ""); err != nil {
		return err
	}
	err := c.Shop.Halt(c.r.Context(), offers.Halt{At: c.Now(), By: c.Email()})
	return c.everywhere(err, "halted", "The halt is not everywhere yet. Please press the button again.")
}

// resume lets charging go on.
func (c *call) resume() error {
	if err := c.writes("resume", "", ""); err != nil {
		return err
	}
	return c.everywhere(c.Shop.Resume(c.r.Context()), "resumed", "The halt is not lifted everywhere yet. Please press the button again.")
}

// everywhere answers what has to be done in each part of the store.
func (c *call) everywhere(err error, done, again string) error {
	if err != nil {
		c.Log.Error("it was not done everywhere", "path", c.r.Pattern, "err", err)
		c.status(http.StatusServiceUnavailable, "Once more, please", again)
		return nil
	}
	return c.done("/op/?done=" + done)
}

// A stuckRow is an effect that does not get done.
type stuckRow struct {
	offers.StuckEffect
	Name string // of the kind, in words
	Path string // of its purchase; "": none
}

// kindWords are what is owed, for people.
var kindWords = map[string]string{
	string(offers.Reply): "A public reply", string(offers.MailCode): "A mail with a code", string(offers.Prepare): "A payment to be prepared",
	string(offers.MailLink): "A mail with a link", string(offers.Charge): "A charge", string(offers.Look): "A look at how a payment stands",
	string(offers.Void): "A payment to be called off", string(offers.MailReceipt): "A receipt", string(offers.Thank): "A public thank-you",
	string(offers.MailReason): "A mail that says why", string(offers.ReplyReason): "A public reply that says why", string(offers.Refunding): "A refund",
	string(offers.MailRefund): "A mail about a refund", string(offers.MailShipped): "A mail that it is on its way",
	string(offers.MailWithdrawal): "The acknowledgement of a withdrawal", string(offers.TellMerchant): "Word to a merchant’s machine",
	string(offers.File): "A purchase to be filed", string(offers.Deadline): "A deadline", string(offers.Heed): "A look at what Stripe has told",
	"answer": "An answer to a post", "announce": "A post of the shop’s own", "serve-line": "A waiting line to be served", "card": "A look at whether a card is saved",
	"detach": "A card to be forgotten at Stripe", "leave": "An account to be erased", "resume": "Wishes that go on", "cancel": "Wishes to be cancelled",
	"forget": "What is to be forgotten later", "forget-signup": "A sign-up to be forgotten", "forget-spent": "Sums to be forgotten",
}

// KindWords are a kind in words, for templates.
func (c *call) KindWords(kind string) string {
	if words := kindWords[kind]; words != "" {
		return words
	}
	return kind
}

func (c *call) stuck(most int) ([]stuckRow, error) {
	all, err := c.Shop.Stuck(c.r.Context(), most)
	if err != nil {
		return nil, err
	}
	var rows []stuckRow
	for _, s := range all {
		row := stuckRow{StuckEffect: s, Name: c.KindWords(s.Kind)}
		if s.Offer != "" { // else the purchase could not be read
			row.Path = purchasePath(s.Merchant, string(s.Purchase))
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// purchasePath is the address of a purchase of a merchant's.
func purchasePath(merchant, id string) string {
	if merchant == offers.Operator {
		merchant = "-"
	}
	return "/m/" + merchant + "/orders/" + id
}

func (c *call) stuckPage() error {
	rows, err := c.stuck(mostStuck)
	if err != nil {
		return err
	}
	return c.opPage(http.StatusOK, "stuck.html", "Stuck", rows)
}

// tryAgain has something that is stuck tried now.
func (c *call) tryAgain() error {
	return c.unstick("try again", "again", c.Shop.TryAgain)
}

// giveUp has something that is stuck never be done.
func (c *call) giveUp() error {
	return c.unstick("give up", "given-up", c.Shop.GiveUp)
}

func (c *call) unstick(what, done string, do func(context.Context, string) error) error {
	id := c.r.PostFormValue("effect")
	if id == "" || len(id) > 200 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return &formError{"This form is not whole. Please load the page again."}
	}
	if err := c.writes(what, id, ""); err != nil {
		return err
	}
	err := do(c.r.Context(), id)
	if errors.Is(err, offers.ErrNotFound) {
		done, err = "gone", nil
	}
	if err != nil {
		return err
	}
	return c.done("/op/stuck?done=" + done)
}
