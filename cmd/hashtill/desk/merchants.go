package desk

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"hashtill/offers"
)

// A merchantRow is a merchant in the list.
type merchantRow struct {
	offers.Merchant
	Offers int
}

// A merchantForm is one that is to be added.
type merchantForm struct {
	ID, Name, Owner string
	Problem         string
}

// merchantsView is all merchants.
type merchantsView struct {
	Rows []merchantRow
	Form merchantForm
}

func (c *call) merchantsPage() error { return c.showMerchants(http.StatusOK, merchantForm{}) }

func (c *call) showMerchants(code int, f merchantForm) error {
	all, err := c.Shop.Merchants(c.r.Context())
	if err != nil {
		return err
	}
	sells := map[string]int{}
	for _, o := range c.Shop.Offers() {
		sells[o.Merchant]++
	}
	v := merchantsView{Form: f}
	for _, m := range all {
		v.Rows = append(v.Rows, merchantRow{m, sells[m.ID]})
	}
	return c.opPage(code, "merchants.html", "Merchants", v)
}

// writesAt writes down what is about to be done to a merchant, where its owners read it.
func (c *call) writesAt(merchant, what, of, more string) error {
	at := *c
	at.merchant = merchant
	return at.writes(what, of, more)
}

// addMerchant adds a merchant, and lets its first owner in where one is named.
func (c *call) addMerchant() error {
	form := c.r.PostForm
	f := merchantForm{ID: strings.TrimSpace(form.Get("id")), Name: strings.TrimSpace(form.Get("name")), Owner: strings.TrimSpace(form.Get("owner"))}
	c.edits.Lock()
	defer c.edits.Unlock()
	_, err := c.Shop.Merchant(c.r.Context(), f.ID)
	switch {
	case !offers.ValidMerchantID(f.ID):
		f.Problem = "The id is 1 to 40 lower-case letters, digits and dashes."
	case f.Name == "":
		f.Problem = "It needs a name."
	case f.Owner != "" && !offers.ValidEmail(offers.Email(f.Owner)):
		f.Problem = "That is not an e-mail address."
	case err == nil:
		f.Problem = "There is a merchant of that id already."
	case !errors.Is(err, offers.ErrNotFound):
		return err
	}
	if f.Problem != "" {
		return c.showMerchants(http.StatusBadRequest, f)
	}
	if err := c.writesAt(f.ID, "add merchant", f.ID, f.Name); err != nil {
		return err
	}
	m, err := c.Shop.EditMerchant(c.r.Context(), f.ID, func(m *offers.Merchant) error {
		m.Name = f.Name
		return nil
	})
	if err != nil {
		return err
	}
	if f.Owner == "" {
		return c.done("/op/merchants/" + f.ID + "?done=saved")
	}
	return c.letIn(m, offers.Email(f.Owner))
}

// merchantView is one merchant.
type merchantView struct {
	offers.Merchant
	Offers int
	People []personRow
}

func (c *call) merchantPage() error {
	m, err := c.Shop.Merchant(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	v := merchantView{Merchant: m}
	for _, o := range c.Shop.Offers() {
		if o.Merchant == m.ID {
			v.Offers++
		}
	}
	people, err := c.Shop.People(c.r.Context())
	if err != nil {
		return err
	}
	for _, p := range people {
		if role := p.Roles[m.ID]; role != "" {
			v.People = append(v.People, personRow{p, []roleRow{{m.ID, role}}})
		}
	}
	return c.opPage(http.StatusOK, "merchant.html", m.Name, v)
}

func (c *call) renameMerchant() error {
	m, err := c.Shop.Merchant(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	name := strings.TrimSpace(c.r.PostFormValue("name"))
	if name == "" {
		return &formError{"It needs a name."}
	}
	if err := c.writesAt(m.ID, "rename merchant", m.ID, name); err != nil {
		return err
	}
	if _, err := c.Shop.EditMerchant(c.r.Context(), m.ID, func(m *offers.Merchant) error {
		if m.Name == "" {
			return fmt.Errorf("merchant: %w", offers.ErrNotFound) // removed this moment
		}
		m.Name = name
		return nil
	}); err != nil {
		return err
	}
	return c.done("/op/merchants/" + m.ID + "?done=saved")
}

// inviteOwner makes somebody an owner of a merchant.
func (c *call) inviteOwner() error {
	m, err := c.Shop.Merchant(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	c.edits.Lock()
	defer c.edits.Unlock()
	return c.letIn(m, offers.Email(strings.TrimSpace(c.r.PostFormValue("email"))))
}

// letIn makes somebody an owner of a merchant, and tells them by mail.
func (c *call) letIn(m offers.Merchant, e offers.Email) error {
	p, err := c.Shop.Person(c.r.Context(), e)
	switch {
	case !offers.ValidEmail(e):
		return &formError{"That is not an e-mail address."}
	case err != nil && !errors.Is(err, offers.ErrNotFound):
		return err
	case p.Roles[m.ID] == offers.Owner:
		return &formError{"They are an owner of it already."}
	case c.doors.invites.Pass(c.Email(), c.Now()) > 0:
		return &formError{"You have invited many people. Please wait a few minutes."}
	}
	if err := c.writesAt(m.ID, "invite", string(e), string(offers.Owner)); err != nil {
		return err
	}
	if _, err := c.Shop.EditPerson(c.r.Context(), e, func(p *offers.Person) error {
		p.Roles[m.ID] = offers.Owner
		return nil
	}); err != nil {
		return err
	}
	done := "invited"
	if err := c.send(c.r.Context(), e, "You can sign in at the desk of "+m.Name, "You are an owner of "+m.Name+" now: its offers, orders and people.",
		c.URL+"/sign-in", "To sign in, give this address there: a link is mailed to it each time."); err != nil {
		c.Log.Error("an invitation could not be mailed", "err", err)
		done = "unmailed"
	}
	return c.done("/op/merchants/" + m.ID + "?done=" + done)
}

// removeMerchant removes a merchant of whom nothing is open.
func (c *call) removeMerchant() error {
	ctx := c.r.Context()
	m, err := c.Shop.Merchant(ctx, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := c.writes("remove merchant", m.ID, m.Name); err != nil {
		return err
	}
	c.edits.Lock()
	defer c.edits.Unlock()
	if err := c.Shop.RemoveMerchant(ctx, m.ID); err != nil {
		return err
	}
	return c.done("/op/merchants?done=removed")
}

// A personRow is somebody who signs in.
type personRow struct {
	offers.Person
	At []roleRow
}

// A roleRow is what they may do at a merchant.
type roleRow struct {
	Merchant string // "": everywhere
	Role     offers.Role
}

// Path is where the people of the merchant are.
func (r roleRow) Path() string { return "/m/" + r.Merchant + "/people" }

// everybody shows all people.
func (c *call) everybody() error {
	all, err := c.Shop.People(c.r.Context())
	if err != nil {
		return err
	}
	var rows []personRow
	for _, p := range all {
		row := personRow{Person: p}
		for _, merchant := range slices.Sorted(maps.Keys(p.Roles)) {
			row.At = append(row.At, roleRow{merchant, p.Roles[merchant]})
		}
		rows = append(rows, row)
	}
	return c.opPage(http.StatusOK, "everybody.html", "People", rows)
}
