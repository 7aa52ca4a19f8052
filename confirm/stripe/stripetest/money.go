package stripetest

import (
	"slices"
	"strings"
)

// maxAmount is the largest amount in minor units: eight digits
// (docs.stripe.com/api/payment_intents/create).
const maxAmount = 99_999_999

// currencies are the presentment currencies of docs.stripe.com/currencies.
var currencies = strings.Fields(`
	usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd
	bob brl bsd bwp byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd
	egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr
	isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl
	mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab
	pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos
	srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf
	xcd xof xpf yer zar zmw`)

// minimums are the smallest amounts in minor units where they are not 50
// (docs.stripe.com/currencies#minimum-and-maximum-charge-amounts).
var minimums = map[string]int64{
	"aed": 200, "bgn": 100, "czk": 1500, "dkk": 250, "gbp": 30, "hkd": 400,
	"huf": 17500, "mxn": 1000, "myr": 200, "nok": 300, "pln": 200, "ron": 200,
	"sek": 300, "thb": 1000,
}

// steps are what amounts must be multiples of: the third decimal must be zero,
// and these two-decimal notations have no fractions
// (docs.stripe.com/currencies#three-decimal, #special-cases).
var steps = map[string]int64{
	"bhd": 10, "jod": 10, "kwd": 10, "omr": 10, "tnd": 10,
	"isk": 100, "ugx": 100,
}

// checkMoney refuses an amount or a currency that Stripe would refuse.
func checkMoney(amount int64, currency string) *apiError {
	if !slices.Contains(currencies, currency) {
		return invalid("currency", "Invalid currency: %s. Use a supported three-letter ISO code in lowercase.", currency)
	}
	least := int64(50)
	if m, ok := minimums[currency]; ok {
		least = m
	}
	switch {
	case amount < least:
		e := invalid("amount", "Amount must be at least %d in the smallest unit of %s.", least, currency)
		e.code = "amount_too_small"
		return e
	case amount > maxAmount:
		e := invalid("amount", "Amount must be no more than %d in the smallest unit of %s.", maxAmount, currency)
		e.code = "amount_too_large"
		return e
	}
	if step, ok := steps[currency]; ok && amount%step != 0 {
		return invalid("amount", "Amounts in %s must be multiples of %d.", currency, step)
	}
	return nil
}

// money reads amount and currency where the request has them, else keeps the
// ones given.
func (f form) money(amount int64, currency string) (int64, string, *apiError) {
	if f.has("amount") {
		if _, err := f.required("amount"); err != nil {
			return 0, "", err
		}
		n, err := f.integer("amount", 1, 1<<53)
		if err != nil {
			return 0, "", err
		}
		amount = n
	}
	if f.has("currency") {
		code, err := f.required("currency")
		if err != nil {
			return 0, "", err
		}
		currency = code
	}
	return amount, currency, checkMoney(amount, currency)
}
