package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"hashtill/offers"
)

type merchantCmd struct {
	List   merchantListCmd   `cmd:"" help:"All merchants."`
	Add    merchantAddCmd    `cmd:"" help:"Add a merchant, or rename one."`
	Remove merchantRemoveCmd `cmd:"" help:"Remove a merchant that sells nothing any more."`
	People merchantPeopleCmd `cmd:"" help:"Who signs in at the desk, and what they may do there."`
	Invite merchantInviteCmd `cmd:"" help:"Let somebody in at the desk, or change what they may do."`
	Expel  merchantExpelCmd  `cmd:"" help:"Let somebody in no more."`
}

// Help is the rest of the help text.
func (merchantCmd) Help() string {
	return `Merchants see their own offers and orders at the desk (desk.url in the configuration),
and nobody else's. Who runs the whole signs in there too:

  hashtill merchant invite ann@example.com --operator
  hashtill merchant add records --name "Example Records"
  hashtill merchant invite bob@records.example --merchant records --role owner`
}

type merchantListCmd struct {
	JSON bool `name:"json" help:"JSON, one merchant a line."`
}

// Run lists.
func (c merchantListCmd) Run(e *env) error {
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		all, err := shop.Merchants(e.ctx)
		if err != nil {
			return err
		}
		type merchant struct {
			ID     string `json:"id"`
			Name   string `json:"name"`
			Offers int    `json:"offers"`
			Tokens int    `json:"tokens"`
			Hooks  int    `json:"hooks"`
		}
		sells := map[string]int{}
		for _, o := range shop.Offers() {
			sells[o.Merchant]++
		}
		var lines []merchant
		for _, m := range all {
			lines = append(lines, merchant{m.ID, m.Name, sells[m.ID], len(m.Tokens), len(m.Hooks)})
		}
		return print(e.out, c.JSON, "MERCHANT\tNAME\tOFFERS\tTOKENS\tHOOKS", lines, func(m merchant) []string {
			return []string{m.ID, m.Name, fmt.Sprint(m.Offers), fmt.Sprint(m.Tokens), fmt.Sprint(m.Hooks)}
		})
	})
}

type merchantAddCmd struct {
	ID   string `arg:"" help:"Its id: lower-case letters, digits and dashes. It never changes."`
	Name string `required:"" help:"Its name, as people read it."`
}

// Run adds.
func (c merchantAddCmd) Run(e *env) error {
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		if err := shop.Write(e.ctx, e.deed("merchant added", c.ID)); err != nil {
			return err
		}
		m, err := shop.EditMerchant(e.ctx, c.ID, func(m *offers.Merchant) error { m.Name = c.Name; return nil })
		if err != nil {
			return badCall(err)
		}
		fmt.Fprintf(e.out, "merchant %s is %s. Next: hashtill merchant invite EMAIL --merchant %s --role owner\n", m.ID, m.Name, m.ID)
		return nil
	})
}

type merchantRemoveCmd struct {
	ID string `arg:"" help:"Its id."`
}

// Run removes.
func (c merchantRemoveCmd) Run(e *env) error {
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		if err := shop.Write(e.ctx, e.deed("merchant removed", c.ID)); err != nil {
			return err
		}
		return badCall(shop.RemoveMerchant(e.ctx, c.ID))
	})
}

type merchantPeopleCmd struct{}

// Run lists. It shows addresses: whoever runs it decides who is let in.
func (merchantPeopleCmd) Run(e *env) error {
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		all, err := shop.People(e.ctx)
		if err != nil {
			return err
		}
		return print(e.out, false, "EMAIL\tROLES\tSECOND FACTOR\tSINCE", all, func(p offers.Person) []string {
			var roles []string
			for _, m := range slices.Sorted(maps.Keys(p.Roles)) {
				roles = append(roles, string(p.Roles[m])+" of "+either(m == offers.Operator, "everything", m))
			}
			return []string{string(p.Email), strings.Join(roles, ", "), either(p.Factor == "", "no", "yes"), p.Since.UTC().Format("2006-01-02")}
		})
	})
}

type merchantInviteCmd struct {
	Email    string `arg:"" help:"Where the links to sign in go."`
	Merchant string `xor:"where" required:"" help:"The merchant's id."`
	Operator bool   `xor:"where" required:"" help:"They run the whole."`
	Role     string `default:"owner" enum:"owner,clerk,viewer" help:"owner (all), clerk (offers and orders, no refunds) or viewer."`
}

// Run invites.
func (c merchantInviteCmd) Run(e *env) error {
	return e.withShop(false, func(cfg Config, shop *offers.Shop) error {
		if !c.Operator {
			if _, err := shop.Merchant(e.ctx, c.Merchant); err != nil {
				return notFound(err)
			}
		}
		if err := shop.Write(e.ctx, e.deed("invited as "+c.Role, c.Merchant)); err != nil {
			return err
		}
		_, err := shop.EditPerson(e.ctx, offers.Email(c.Email), func(p *offers.Person) error {
			p.Roles[c.Merchant] = offers.Role(c.Role) // of nobody in particular: everywhere
			return nil
		})
		if err != nil {
			return badCall(err)
		}
		where := cfg.Desk.URL
		if where == "" {
			where = "the desk, once desk.url is set in the configuration"
		}
		fmt.Fprintf(e.out, "They sign in with that address at %s\n", where)
		return nil
	})
}

type merchantExpelCmd struct {
	Email    string `arg:"" help:"Whose."`
	Merchant string `help:"Only there, by the merchant's id; everywhere if left out."`
}

// Run expels.
func (c merchantExpelCmd) Run(e *env) error {
	return e.withShop(false, func(_ Config, shop *offers.Shop) error {
		if _, err := shop.Person(e.ctx, offers.Email(c.Email)); err != nil {
			return notFound(err)
		}
		if err := shop.Write(e.ctx, e.deed("expelled", c.Merchant)); err != nil {
			return err
		}
		_, err := shop.EditPerson(e.ctx, offers.Email(c.Email), func(p *offers.Person) error {
			if c.Merchant == "" {
				clear(p.Roles)
			}
			delete(p.Roles, c.Merchant)
			return nil
		})
		return badCall(err)
	})
}

// deed is what is done from the command line.
func (e *env) deed(what, of string) offers.Deed {
	return offers.Deed{At: time.Now(), Who: "command line", What: what, Of: of}
}

// badCall is an error of the call if what was asked can never be kept.
func badCall(err error) error {
	if errors.Is(err, offers.ErrInvalid) || errors.Is(err, offers.ErrNotFound) {
		return usageError{err}
	}
	return err
}

func either(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}
