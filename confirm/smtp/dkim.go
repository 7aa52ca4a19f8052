package smtp

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/wneessen/go-mail"
)

// A DKIM signs mails, so that a reader's server knows them to come from the sender's
// domain (RFC 6376). Where the mail server itself signs, none is needed.
type DKIM struct {
	Selector string // names the key: SELECTOR._domainkey.DOMAIN has its public half
	key      crypto.Signer
}

// NewDKIM reads a private key in PEM: RSA of at least 1024 bits (RFC 8301; 2048 is wise), or
// Ed25519 (RFC 8463), which some readers do not know yet.
func NewDKIM(selector string, key []byte) (*DKIM, error) {
	if selector == "" || len(selector) > 63 || strings.Trim(selector, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != "" {
		return nil, fmt.Errorf("mail.dkim_selector: %q is no name of a DNS record", selector)
	}
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, errors.New("mail.dkim_key: is no PEM; openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 makes a key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, errors.New("mail.dkim_key: holds no private key")
	}
	d := &DKIM{Selector: selector}
	switch k := parsed.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < 1024 {
			return nil, fmt.Errorf("mail.dkim_key: RSA of %d bits is too short: want 2048", k.N.BitLen())
		}
		d.key = k
	case ed25519.PrivateKey:
		d.key = k
	default:
		return nil, errors.New("mail.dkim_key: want RSA or Ed25519")
	}
	return d, nil
}

// Record is what DNS has to say at SELECTOR._domainkey.DOMAIN (RFC 6376, section 3.6.1).
func (d *DKIM) Record() string {
	switch public := d.key.Public().(type) {
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	default:
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			panic(err) // of a key that was read
		}
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
	}
}

// signed are the headers that nobody may change or add on the way (RFC 6376, section 5.4).
// What stands twice is there once: a second one would break the signature (section 8.15).
var signed = []string{
	"From", "To", "Subject", "Date", "Message-ID",
	"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
	"Content-Language", "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post", "Reply-To", "Cc", "In-Reply-To", "References",
}

// sign adds the signature to a message. Each time it is written it has the same bytes: the
// bounds between its parts follow from its id.
func (d *DKIM) sign(msg *mail.Msg, id, domain string) error {
	msg.SetBoundary(fmt.Sprintf("%x", sha256.Sum256([]byte("boundary "+id)))[:40])
	var raw bytes.Buffer
	if _, err := msg.WriteTo(&raw); err != nil {
		return err
	}
	signer, err := dkim.NewSigner(&dkim.SignOptions{
		Domain: domain, Selector: d.Selector, Signer: d.key, Hash: crypto.SHA256,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		HeaderKeys: signed,
	})
	if err != nil {
		return err
	}
	_, err = signer.Write(raw.Bytes())
	if err = errors.Join(err, signer.Close()); err != nil {
		return err
	}
	_, value, _ := strings.Cut(signer.Signature(), ":")
	msg.SetGenHeaderPreformatted("DKIM-Signature", strings.TrimSpace(value))
	return nil
}
