package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// StartTLS is [Start] for a server that speaks TLS only and asks its clients for no
// certificate. It returns the roots by which the server's own certificate, made for
// 127.0.0.1 and localhost, is to be trusted
// (https://redis.io/docs/latest/operate/oss_and_stack/management/security/encryption/).
func StartTLS(t testing.TB, settings map[string]string) (*Server, *x509.CertPool) {
	t.Helper()
	files, roots := certificate(t)
	maps.Copy(files, settings)
	s := newServer(t, &tls.Config{RootCAs: roots}, files)
	s.Restart()
	return s, roots
}

// certificate makes a certificate that vouches for itself, and returns the settings
// that name its files.
func certificate(t testing.TB) (map[string]string, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "redistest"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:              []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(made)
	dir := t.TempDir()
	settings := map[string]string{
		"tls-auth-clients": "no",
		"tls-cert-file":    filepath.Join(dir, "cert.pem"),
		"tls-key-file":     filepath.Join(dir, "key.pem"),
	}
	for file, block := range map[string]*pem.Block{
		settings["tls-cert-file"]: {Type: "CERTIFICATE", Bytes: der},
		settings["tls-key-file"]:  {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return settings, roots
}
