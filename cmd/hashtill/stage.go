package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"hashtill/bot/x/xtest"
	"hashtill/confirm"
	"hashtill/confirm/smtp/smtptest"
	"hashtill/confirm/stripe/stripetest"
	"hashtill/offers"
)

// A stage is the whole system on this machine: what `hashtill serve` runs, on a
// SQLite file of its own, between local stand-ins for X, Stripe and a mail server,
// with a cast of buyers. Nothing but the addresses in the configuration tells the
// system that it stands on a stage.
type stage struct {
	*system
	x      *xtest.Server
	stripe *stripetest.Server
	smtp   *smtptest.Server
	clock  *clock
	shopX  xtest.Account // the bot's account
	cast   []*person
	dir    string // holds the store, and goes with the stage
}

// A person of the cast.
type person struct {
	xtest.Account
	Says  string // who that is, for the page
	Lang  string
	Email string
	Card  string // the test card's number
}

// botHandle is the bot's account on the stage.
const botHandle = "hashtill"

// theCast has one buyer for each story that the demo tells.
var theCast = []person{
	{Account: xtest.Account{Handle: "ann", Name: "Ann"}, Says: "has a Visa card registered", Lang: "en", Card: "4242424242424242"},
	{Account: xtest.Account{Handle: "chloe", Name: "Chloé"}, Says: "has an American Express card, reads French", Lang: "fr", Card: "378282246310005"},
	{Account: xtest.Account{Handle: "ben", Name: "Ben"}, Says: "has not registered", Lang: "en", Card: "4242424242424242"},
	{Account: xtest.Account{Handle: "hal", Name: "Hal"}, Says: "has a card that will be declined", Lang: "en", Card: "4000000000000002"},
	{Account: xtest.Account{Handle: "cat", Name: "Cat"}, Says: "reposts too late", Lang: "en", Card: "4242424242424242"},
	{Account: xtest.Account{Handle: "dan", Name: "Dan"}, Says: "has a code that somebody else reposts", Lang: "en", Card: "4242424242424242"},
	{Account: xtest.Account{Handle: "eve", Name: "Eve"}, Says: "reposts other people's codes", Lang: "en", Card: "4242424242424242"},
	{Account: xtest.Account{Handle: "fay", Name: "Fay"}, Says: "wants the last unit", Lang: "en", Card: "4242424242424242"},
	{Account: xtest.Account{Handle: "gus", Name: "Gus"}, Says: "wants the last unit too", Lang: "fr", Card: "4242424242424242"},
	{Account: xtest.Account{Handle: "ida", Name: "Ida"}, Says: "clicks after 15 minutes", Lang: "fr", Card: "4242424242424242"},
	{Account: xtest.Account{Handle: "jon", Name: "Jon"}, Says: "clicks twice", Lang: "en", Card: "4242424242424242"},
	{Account: xtest.Account{Handle: "kim", Name: "Kim"}, Says: "has a card whose bank asks back", Lang: "en", Card: "4000002760003184"},
}

// Who sells on the stage, and who works for them at the desk.
const (
	stageMerchant = "demo-records"
	deskEmail     = offers.Email("desk@demo.example")
)

// stageOffers is what the demo sells.
func stageOffers() []offers.Offer {
	one := func(tag, title string, minor int64, currency string, perBuyer int, stock map[string]int) offers.Offer {
		return offers.Offer{
			ID: offers.TagKey(tag), Tag: tag, Title: title, Seller: "Demo Records", PerBuyer: perBuyer, Stock: stock,
			Price: offers.Money{Minor: minor, Currency: currency}, Terms: "This is a demo. Nothing is sold, and no real money moves.",
			SellerAddress: "1 Example Street\nSpringfield", SellerTaxNumber: "DEMO 123", Tax: 20000, WithdrawalDays: offers.DefaultWithdrawalDays, Merchant: stageMerchant,
		}
	}
	hoodie := one("BuyHoodie", "Tour hoodie", 5490, "EUR", 2, map[string]int{"S": 10, "M": 10, "L black": 5, "L white": 1})
	hoodie.Aliases = map[string][]string{"L black": {"L noir"}, "L white": {"L blanc"}}
	hoodie.Delivery, hoodie.Waitlist = []offers.Money{{Minor: 490, Currency: "EUR"}}, true
	return []offers.Offer{
		one("BuyTee", "Tour T-shirt", 2999, "USD", 3, map[string]int{"": 500}),
		hoodie,
		one("LastVinyl", "Signed vinyl, the last one", 14999, "USD", 1, map[string]int{"": 1}),
	}
}

// A clock runs like any other and can be put forward, so that nobody has to wait
// for a quarter of an hour to see one pass.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

// newStage builds everything. listen is where the buyers' pages shall be.
func newStage(ctx context.Context, listen string, log *slog.Logger) (_ *stage, err error) {
	s := &stage{clock: &clock{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "hashtill-demo-"); err != nil {
		return nil, err
	}
	if s.x, err = xtest.Start(xtest.Options{Now: s.clock.Now}); err != nil {
		return nil, err
	}
	if s.stripe, err = stripetest.Start(stripetest.Options{Now: s.clock.Now}); err != nil {
		return nil, err
	}
	mailPassword := rand.Text()
	if s.smtp, err = smtptest.Start(smtptest.Options{Now: s.clock.Now, Username: "demo", Password: mailPassword}); err != nil {
		return nil, err
	}
	if s.shopX, err = s.x.AddAccount(xtest.Account{Handle: botHandle, Name: "Demo Records", Automated: true,
		Bio: "Post @hashtill and a hashtag to buy. Run by you, on this machine."}); err != nil {
		return nil, err
	}

	creds := s.x.Credentials(s.shopX.ID)
	cfg := Default()
	cfg.Listen, cfg.PublicURL = listen, "http://"+listen
	if cfg.Desk.Listen, err = freeAddress("localhost:8081"); err != nil {
		return nil, err
	}
	cfg.Desk.URL, cfg.Desk.HooksInside = "http://"+cfg.Desk.Listen, true
	cfg.Store = "sqlite:" + filepath.Join(s.dir, "hashtill.db")
	cfg.Archive = filepath.Join(s.dir, "archive")
	cfg.Thanks = "product"
	cfg.Keys = Secret(confirm.NewKeys())
	cfg.X.Handle = botHandle
	cfg.X.APIURL, cfg.X.StreamURL = s.x.URL(), s.x.URL()
	cfg.X.ConsumerKey, cfg.X.ConsumerSecret = Secret(creds.ConsumerKey), Secret(creds.ConsumerSecret)
	cfg.X.AccessToken, cfg.X.AccessSecret = Secret(creds.Token), Secret(creds.TokenSecret)
	cfg.X.BearerToken = Secret(s.x.Bearer())
	clientSecret := rand.Text()
	s.x.RegisterApp("demo-app", clientSecret, cfg.PublicURL+"/join/x")
	cfg.X.SignIn, cfg.X.ClientID, cfg.X.ClientSecret = "oauth2", "demo-app", Secret(clientSecret)
	cfg.X.AuthorizeURL = s.x.URL() + "/i/oauth2/authorize"
	cfg.Stripe.APIURL, cfg.Stripe.Key = s.stripe.URL(), Secret(s.stripe.Key())
	cfg.Stripe.Rate, cfg.Stripe.EndpointRate = 1_000_000, 1_000_000 // the stand-in takes what comes
	cfg.SMTP.Host, cfg.SMTP.Port, cfg.SMTP.TLS = s.smtp.Host(), s.smtp.Port(), "none"
	cfg.SMTP.Username, cfg.SMTP.Password = "demo", Secret(mailPassword)
	cfg.Mail.From = "Demo Records <shop@demo.example>"

	st, err := openStore(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if s.system, err = open(ctx, cfg, st, log, s.clock.Now); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	if _, err = s.shop.EditMerchant(ctx, stageMerchant, func(m *offers.Merchant) error { m.Name = "Demo Records"; return nil }); err != nil {
		return nil, err
	}
	if _, err = s.shop.EditPerson(ctx, deskEmail, func(p *offers.Person) error { p.Roles[offers.Operator] = offers.Owner; return nil }); err != nil {
		return nil, err
	}
	if err = s.shop.Import(ctx, stageOffers(), true); err != nil {
		return nil, err
	}
	for _, p := range theCast {
		if err = s.enter(ctx, p); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// enter gives a person an account on X, a mailbox, and a card registered with us,
// unless that is the one who has none.
func (s *stage) enter(ctx context.Context, p person) (err error) {
	p.Email = p.Handle + "@mail.example"
	p.Account.Email = p.Email
	if p.Account, err = s.x.AddAccount(p.Account); err != nil {
		return err
	}
	s.cast = append(s.cast, &p)
	if p.Handle == "ben" {
		return nil
	}
	return s.register(ctx, &p)
}

// register saves the person's card at Stripe and makes the person a buyer.
func (s *stage) register(ctx context.Context, p *person) error {
	customer := s.stripe.AddCustomer(p.Email)
	card, err := s.stripe.AddCard(customer, p.Card)
	if err != nil {
		return err
	}
	brand := "visa"
	if p.Card[0] == '3' {
		brand = "amex"
	}
	return s.shop.Register(ctx, offers.Buyer{
		Account: s.account(p), Handle: p.Handle, Email: offers.Email(p.Email), Lang: p.Lang, Customer: customer,
		Cards: []offers.Card{{ID: card, Brand: brand, Last4: p.Card[len(p.Card)-4:]}},
	}, s.now())
}

// deskLink is a link that signs one in at the desk, once. Elsewhere it comes by mail.
func (s *stage) deskLink(ctx context.Context) (string, error) {
	token, err := s.shop.AskShift(ctx, deskEmail, s.now())
	return s.cfg.Desk.URL + "/sign-in/" + token, err
}

// account is a person as the shop knows them.
func (s *stage) account(p *person) offers.Account {
	return offers.Account{Network: "x", ID: p.ID}
}

// person finds somebody of the cast, or nil.
func (s *stage) person(handle string) *person {
	for _, p := range s.cast {
		if p.Handle == handle {
			return p
		}
	}
	return nil
}

// perform runs the system while act runs, and stops it afterwards.
func (s *stage) perform(ctx context.Context, act func(ctx context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.run(ctx) })
	g.Go(func() error {
		defer stop()
		ready, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if err := s.x.WaitStream(ready); err != nil {
			return fmt.Errorf("the bot does not listen: %w", err)
		}
		return act(ctx)
	})
	return g.Wait()
}

// pass lets time pass: it waits until nothing is under way, and puts the clock
// forward.
func (s *stage) pass(ctx context.Context, d time.Duration) error {
	if err := s.outbox.WaitIdle(ctx); err != nil {
		return err
	}
	s.clock.forward(d)
	return s.outbox.WaitIdle(ctx)
}

// close ends the stage and leaves nothing behind.
func (s *stage) close() error {
	var errs []error
	if s.system != nil {
		s.unlisten()
		errs = append(errs, s.store.Close())
	}
	if s.x != nil {
		errs = append(errs, s.x.Close())
	}
	if s.stripe != nil {
		errs = append(errs, s.stripe.Close())
	}
	if s.smtp != nil {
		errs = append(errs, s.smtp.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// freeAddress is where the pages can listen: the one wished for, or any where
// that is taken.
func freeAddress(wish string) (string, error) {
	l, err := net.Listen("tcp", wish)
	if errors.Is(err, syscall.EADDRINUSE) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
