package main

import (
	"context"
	"errors"
	"net"
	"net/mail"
	"slices"
	"strings"
)

// lookAtSender looks what DNS says of who may send mail for the sender's domain. Mail that
// asks for money and cannot be told from a forgery is thrown away, and since 2024 the large
// mailboxes take none without (https://support.google.com/mail/answer/81126).
func (d *doctor) lookAtSender(ctx context.Context) {
	from, err := mail.ParseAddress(d.cfg.Mail.From)
	if err != nil {
		return // lookAtMail tells
	}
	domain := from.Address[strings.LastIndexByte(from.Address, '@')+1:]
	if d.cfg.Mail.DNS == "" && reserved(domain) {
		d.warn("sender", "set mail.from to an address of a domain of yours", "%s is a name for examples: no mail from it will be read", domain)
		return
	}
	lookup := func(name, begins string) (string, error) {
		all, err := d.resolver().LookupTXT(ctx, name)
		if missing := (*net.DNSError)(nil); errors.As(err, &missing) && missing.IsNotFound {
			err = nil
		}
		for _, text := range all {
			if strings.HasPrefix(text, begins) {
				return text, err
			}
		}
		return "", err
	}
	spf, err := lookup(domain, "v=spf1")
	switch {
	case err != nil:
		d.warn("sender", "try again, or ask by hand: dig TXT "+domain, "DNS does not say who may send mail for %s: %v", domain, why(ctx, err))
		return
	case spf == "":
		d.warn("sender", "add a TXT record at "+domain+" such as \"v=spf1 mx -all\", with what your mail server's people tell you", "%s has no SPF record: many mailboxes will take its mail for forged", domain)
	case strings.HasSuffix(spf, "+all"):
		d.warn("sender", "let it end in -all or ~all", "the SPF record of %s lets everybody send mail in its name", domain)
	default:
		d.ok("sender", "%s says who may send mail for it (SPF)", domain)
	}
	if mailer, err := openMailer(d.cfg, nil); err == nil && mailer.DKIM() != nil {
		name := mailer.DKIM().Selector + "._domainkey." + domain
		record, err := lookup(name, "v=DKIM1")
		switch want := mailer.DKIM().Record(); {
		case err != nil:
			d.warn("sender", "try again, or ask by hand: dig TXT "+name, "DNS does not tell the key that mails are signed with: %v", why(ctx, err))
		case record == "":
			d.fail("sender", "add a TXT record at "+name+": "+want, "mails are signed, and DNS has no key to confirm that with")
		case keyOf(record) != keyOf(want):
			d.fail("sender", "let the TXT record at "+name+" be: "+want, "mails are signed with another key than DNS has")
		default:
			d.ok("sender", "mails are signed, and %s confirms it (DKIM)", name)
		}
	} else {
		d.warn("sender", "have your mail server sign, or set mail.dkim_selector and mail.dkim_key_file", "mails are not signed here (DKIM); all is well if your mail server does that")
	}
	switch dmarc, err := lookup("_dmarc."+domain, "v=DMARC1"); {
	case err != nil:
	case dmarc == "":
		d.warn("sender", "add a TXT record at _dmarc."+domain+" such as \"v=DMARC1; p=quarantine\"", "%s does not say what to do with forged mail (DMARC)", domain)
	default:
		d.ok("sender", "%s says what to do with forged mail (DMARC)", domain)
	}
}

// keyOf is the public key in a DKIM record.
func keyOf(record string) string {
	for part := range strings.SplitSeq(record, ";") {
		if key, ok := strings.CutPrefix(strings.TrimSpace(part), "p="); ok {
			return strings.Join(strings.Fields(key), "")
		}
	}
	return ""
}

// reserved says that a domain can be nobody's (RFC 2606).
func reserved(domain string) bool {
	labels := strings.Split(strings.ToLower(domain), ".")
	last := labels[len(labels)-1]
	if slices.Contains([]string{"example", "test", "invalid", "localhost"}, last) || len(labels) == 1 {
		return true
	}
	return labels[len(labels)-2] == "example" && slices.Contains([]string{"com", "net", "org"}, last)
}

// resolver asks the DNS server of mail.dns, or those of this machine.
func (d *doctor) resolver() *net.Resolver {
	if d.cfg.Mail.DNS == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, d.cfg.Mail.DNS)
	}}
}
