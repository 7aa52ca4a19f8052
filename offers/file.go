package offers

import (
	"errors"
	"fmt"
	"io"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a catalogue file, in bytes.
const maxFile = 64 << 20

// fileOffer is an offer as a catalogue file has it.
type fileOffer struct {
	Tag      string         `yaml:"tag"`
	Title    string         `yaml:"title"`
	Seller   string         `yaml:"seller"`
	Price    string         `yaml:"price"`
	Currency string         `yaml:"currency"`
	Stock    *int           `yaml:"stock"`
	Variants map[string]int `yaml:"variants"`
	PerBuyer int            `yaml:"per_buyer"`
	Opens    time.Time      `yaml:"opens"`
	Closes   time.Time      `yaml:"closes"`
	Terms    string         `yaml:"terms"`
	Picture  string         `yaml:"picture"`

	SellerAddress   string `yaml:"seller_address"`
	SellerTaxNumber string `yaml:"seller_tax_number"`
	TaxPercent      string `yaml:"tax_percent"`
	Digital         bool   `yaml:"digital"`
	WithdrawalDays  *int   `yaml:"withdrawal_days"`
}

// ReadYAML reads a catalogue file: a list of offers. Every fault is told with its
// line, and then nothing is returned.
//
//   - tag: BuyTee               # the hashtag
//     title: Tour T-shirt
//     seller: Example Records
//     price: 149.99             # of one, all included
//     currency: USD
//     stock: 500                # or, where there is a choice, variants: {M black: 10, L black: 5};
//     # neither: it cannot sell out
//     per_buyer: 2              # units; 1 if left out
//     opens: 2026-11-21T20:00:00Z
//     closes: 2026-11-21T23:00:00Z
//     terms: Ships within a week. Returns within 14 days.
//     picture: https://example.com/tee.jpg
//     seller_address: 12 rue des Lilas, 69003 Lyon, France   # for the receipt
//     seller_tax_number: FR40123456824
//     tax_percent: 20           # included in the price; up to three decimals
//     digital: false            # true: nothing is shipped
//     withdrawal_days: 14       # to withdraw in (see [Purchase.WithdrawalEnds]), 14 if left out; 0: no such right
func ReadYAML(r io.Reader) ([]Offer, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	var entries []fileOffer
	if err := StrictYAML(text, &entries); err != nil {
		return nil, err
	}
	var nodes []yaml.Node // the same again, for the lines
	if err := yaml.Unmarshal(text, &nodes); err != nil {
		return nil, err
	}
	var errs []error
	all := make([]Offer, 0, len(entries))
	for i, e := range entries {
		o, err := e.offer()
		if err == nil {
			err = o.Validate()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: offer #%s: %w", nodes[i].Line, e.Tag, err))
		}
		all = append(all, o)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return all, nil
}

func (e fileOffer) offer() (Offer, error) {
	o := Offer{
		ID: TagKey(e.Tag), Tag: e.Tag, Title: e.Title, Seller: e.Seller, PerBuyer: e.PerBuyer,
		Opens: e.Opens, Closes: e.Closes, Terms: e.Terms, Picture: e.Picture, Stock: e.Variants,
		SellerAddress: e.SellerAddress, SellerTaxNumber: e.SellerTaxNumber, Digital: e.Digital, WithdrawalDays: DefaultWithdrawalDays,
	}
	if e.WithdrawalDays != nil {
		o.WithdrawalDays = *e.WithdrawalDays
	}
	switch {
	case e.Stock != nil && e.Variants != nil:
		return o, errors.New("stock and variants: give one of them")
	case e.Stock != nil:
		o.Stock = map[string]int{"": *e.Stock}
	case e.Variants == nil:
		o.Stock = map[string]int{"": Unlimited}
	}
	if o.PerBuyer == 0 {
		o.PerBuyer = 1
	}
	var err, taxErr error
	o.Price, err = ParseMoney(e.Price, e.Currency)
	if o.Tax, taxErr = ParsePercent(e.TaxPercent); taxErr != nil {
		err = errors.Join(err, fmt.Errorf("tax_percent: %w", taxErr))
	}
	return o, err
}
