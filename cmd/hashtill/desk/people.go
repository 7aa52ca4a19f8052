package desk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"hashtill/offers"
)

var peopleRoutes = []route{
	{pattern: "GET /m/{merchant}/people", needs: offers.Owner, do: (*call).showPeople},
	{pattern: "POST /m/{merchant}/people", needs: offers.Owner, factor: true, do: (*call).invite},
	{pattern: "POST /m/{merchant}/people/role", needs: offers.Owner, factor: true, do: (*call).changeRole},
	{pattern: "POST /m/{merchant}/tokens", needs: offers.Owner, factor: true, do: (*call).addToken},
	{pattern: "POST /m/{merchant}/tokens/{token}/remove", needs: offers.Owner, factor: true, do: (*call).removeToken},
	{pattern: "POST /m/{merchant}/hooks", needs: offers.Owner, factor: true, do: (*call).addHook},
	{pattern: "POST /m/{merchant}/hooks/{hook}/remove", needs: offers.Owner, factor: true, do: (*call).removeHook},
}

// A peopleView is who works for a merchant, and its machines.
type peopleView struct {
	People   []worker
	Tokens   []offers.Token
	Hooks    []offers.Hook
	Machines bool // it can have some
	Roles    []roleChoice
	Rights   []rightChoice
	Events   []string

	// What was typed, with its faults.
	In     map[string]string
	Faults faults

	// What is shown once.
	Secret, Of string
}

// A worker is somebody with a role at a merchant.
type worker struct {
	Email  offers.Email
	Role   offers.Role
	Factor bool
	Self   bool
	Last   bool // the only owner
}

type roleChoice struct {
	Role offers.Role
	Text string
}

var roleChoices = []roleChoice{
	{offers.Clerk, "Clerk: offers, stock and orders; no refunds"},
	{offers.Viewer, "Viewer: looks, and changes nothing"},
	{offers.Owner, "Owner: everything, with refunds and people"},
}

type rightChoice struct {
	Right offers.Right
	Text  string
}

var rightChoices = []rightChoice{
	{offers.ReadOrders, "Read orders"}, {offers.WriteOrders, "Ship orders and note"},
	{offers.ReadStock, "Read offers and stock"}, {offers.WriteStock, "Change stock"},
}

var hookEvents = []string{offers.ToldPaid, offers.ToldShipped, offers.ToldRefunded, offers.ToldWithdrawn}

// workers are who has a role at the call's merchant, by address.
func (c *call) workers() (all []worker, err error) {
	people, err := c.Shop.People(c.r.Context())
	if err != nil {
		return nil, err
	}
	owners := 0
	for _, p := range people {
		role, ok := p.Roles[c.merchant]
		if !ok {
			continue
		}
		if role == offers.Owner {
			owners++
		}
		all = append(all, worker{Email: p.Email, Role: role, Factor: p.Factor != "", Self: p.Email == c.person.Email})
	}
	for i := range all {
		all[i].Last = owners == 1 && all[i].Role == offers.Owner
	}
	return all, nil
}

func (c *call) showPeople() error { return c.people(http.StatusOK, peopleView{}) }

func (c *call) people(code int, v peopleView) (err error) {
	if v.People, err = c.workers(); err != nil {
		return err
	}
	v.Roles, v.Rights, v.Events = roleChoices, rightChoices, hookEvents
	if v.Machines = c.merchant != offers.Operator; v.Machines {
		m, err := c.Shop.Merchant(c.r.Context(), c.merchant)
		if err != nil {
			return err
		}
		v.Tokens, v.Hooks = m.Tokens, m.Hooks
	}
	c.title = "People"
	return c.pageWith(code, "people.html", v)
}

// wrong shows the page with what was typed and what is wrong with it.
func (c *call) wrong(code int, field, text string) error {
	v := peopleView{In: map[string]string{}, Faults: faults{field: {text}}}
	for name := range c.r.PostForm {
		if name != "csrf" {
			v.In[name] = c.r.PostFormValue(name)
		}
	}
	return c.people(code, v)
}

// invite lets somebody sign in for the merchant, and tells them.
func (c *call) invite() error {
	ctx := c.r.Context()
	e := offers.Email(strings.TrimSpace(c.r.PostFormValue("email")))
	role := offers.Role(c.r.PostFormValue("role"))
	switch {
	case !offers.ValidEmail(e):
		return c.wrong(http.StatusBadRequest, "email", "That is not an e-mail address.")
	case !slices.Contains(offers.Roles, role):
		return c.wrong(http.StatusBadRequest, "email", "Choose what they may do.")
	case c.doors.invites.Pass(c.Email(), c.Now()) > 0:
		return c.wrong(http.StatusTooManyRequests, "email", "You have invited many people. Please wait a few minutes.")
	}
	c.edits.Lock()
	defer c.edits.Unlock()
	if err := c.writes("invite", string(e), string(role)); err != nil {
		return err
	}
	already := errors.New("has a role")
	_, err := c.Shop.EditPerson(ctx, e, func(p *offers.Person) error {
		if p.Roles[c.merchant] != "" {
			return already
		}
		p.Roles[c.merchant] = role
		return nil
	})
	if errors.Is(err, already) {
		return c.wrong(http.StatusConflict, "email", "They work here already: change their role above.")
	}
	if err != nil {
		return err
	}
	where := c.Merchant()
	err = c.send(ctx, e, "Sign in to the desk of "+where, fmt.Sprintf("You can work at the desk of %s now, as its %s. Sign in with this address.", where, role),
		c.URL+"/sign-in", "If you do not know what this is, do nothing.")
	if err != nil {
		c.Log.Error("an invitation could not be mailed", "err", err)
		return c.done(c.Base() + "/people?done=unmailed")
	}
	return c.done(c.Base() + "/people?done=invited")
}

// changeRole gives somebody another role, or none. There is always an owner.
func (c *call) changeRole() error {
	e, role := offers.Email(c.r.PostFormValue("email")), offers.Role(c.r.PostFormValue("role"))
	if role != "" && !slices.Contains(offers.Roles, role) {
		return &formError{"There is no such role."}
	}
	c.edits.Lock()
	defer c.edits.Unlock()
	all, err := c.workers()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(w worker) bool { return w.Email == e })
	if i < 0 {
		return errNotThere
	}
	if all[i].Last && role != offers.Owner {
		return &formError{"There has to be an owner. Make somebody else one first."}
	}
	what, done := "change role", "role"
	if role == "" {
		what, done = "remove person", "removed"
	}
	if err := c.writes(what, string(e), string(role)); err != nil {
		return err
	}
	if _, err := c.Shop.EditPerson(c.r.Context(), e, func(p *offers.Person) error {
		if p.Roles[c.merchant] == "" {
			return errNotThere
		}
		if p.Roles[c.merchant] = role; role == "" {
			delete(p.Roles, c.merchant)
		}
		return nil
	}); err != nil {
		return err
	}
	if all[i].Self && role != offers.Owner && !c.Runs() {
		return c.done("/") // this page is not theirs any more
	}
	return c.done(c.Base() + "/people?done=" + done)
}

// Machines. The operator's own offers have none.

func (c *call) addToken() error {
	t := offers.Token{Name: strings.TrimSpace(c.r.PostFormValue("name"))}
	for _, r := range offers.Rights {
		if slices.Contains(c.r.PostForm["right"], string(r)) {
			t.Rights = append(t.Rights, r)
		}
	}
	if until := c.r.PostFormValue("until"); until != "" {
		day, err := time.Parse(time.DateOnly, until)
		if err != nil || !day.AddDate(0, 0, 1).After(c.Now()) {
			return c.wrong(http.StatusBadRequest, "token", "It has to be good until a day to come.")
		}
		t.Until = day.AddDate(0, 0, 1) // the end of that day
	}
	switch {
	case c.merchant == offers.Operator:
		return errNotThere
	case t.Name == "":
		return c.wrong(http.StatusBadRequest, "token", "Give it a name by which you will know it.")
	case len(t.Rights) == 0:
		return c.wrong(http.StatusBadRequest, "token", "Choose what it may do.")
	}
	if err := c.writes("add token", t.Name, fmt.Sprint(t.Rights)); err != nil {
		return err
	}
	secret, err := c.Shop.AddToken(c.r.Context(), c.merchant, t)
	if errors.Is(err, offers.ErrInvalid) {
		return c.wrong(http.StatusBadRequest, "token", plainly(err))
	}
	if err != nil {
		return err
	}
	return c.people(http.StatusOK, peopleView{Secret: secret, Of: "the token " + t.Name})
}

// plainly is a complaint about a merchant without what only programs read.
func plainly(err error) string {
	words := err.Error()
	if all := each(errors.Unwrap(err)); len(all) > 0 {
		words = all[0].Error()
	}
	if i := strings.LastIndex(words, ": "); i >= 0 {
		words = words[i+2:]
	}
	return words
}

func (c *call) removeToken() error {
	return c.removeMachine("remove token", c.r.PathValue("token"), c.Shop.RemoveToken)
}

func (c *call) addHook() error {
	if c.merchant == offers.Operator {
		return errNotThere
	}
	address := strings.TrimSpace(c.r.PostFormValue("url"))
	chosen := map[string]bool{}
	for _, e := range c.r.PostForm["event"] {
		if !slices.Contains(hookEvents, e) {
			return c.wrong(http.StatusBadRequest, "hook", "There is no such event.")
		}
		chosen[e] = true
	}
	if err := c.writes("add hook", address, ""); err != nil {
		return err
	}
	h, err := c.Shop.AddHook(c.r.Context(), c.merchant, address, slices.Sorted(maps.Keys(chosen)))
	if errors.Is(err, offers.ErrInvalid) {
		return c.wrong(http.StatusBadRequest, "hook", plainly(err))
	}
	if err != nil {
		return err
	}
	return c.people(http.StatusOK, peopleView{Secret: h.Secret, Of: "what is sent to " + h.URL})
}

func (c *call) removeHook() error {
	return c.removeMachine("remove hook", c.r.PathValue("hook"), c.Shop.RemoveHook)
}

func (c *call) removeMachine(what, id string, remove func(ctx context.Context, merchant, id string) error) error {
	if c.merchant == offers.Operator {
		return errNotThere
	}
	m, err := c.Shop.Merchant(c.r.Context(), c.merchant)
	if err != nil {
		return err
	}
	name := ""
	for _, t := range m.Tokens {
		if t.ID == id {
			name = t.Name
		}
	}
	for _, h := range m.Hooks {
		if h.ID == id {
			name = h.URL
		}
	}
	if name == "" {
		return errNotThere
	}
	if err := c.writes(what, name, ""); err != nil {
		return err
	}
	if err := remove(c.r.Context(), c.merchant, id); err != nil {
		return err
	}
	return c.done(c.Base() + "/people?done=removed")
}
