package apiserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority is a CA whose certificates name loopback.
type Authority struct {
	// Certificate is the CA's own.
	Certificate *x509.Certificate
	folder      string
	key         *ecdsa.PrivateKey
	issued      int64
}

// NewAuthority makes a CA.
func NewAuthority(t Owner) *Authority {
	t.Helper()
	a := &Authority{folder: t.TempDir()}
	a.Certificate, a.key = a.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	})
	writePEM(t, a.File(), "CERTIFICATE", a.Certificate.Raw)
	return a
}

// File holds the CA's certificate.
func (a *Authority) File() string { return filepath.Join(a.folder, "ca.crt") }

// sign signs with the CA's key; the CA itself signs its own.
func (a *Authority) sign(
	t Owner,
	subject *x509.Certificate,
) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.issued++
	subject.SerialNumber = big.NewInt(a.issued)
	subject.NotBefore, subject.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	issuer, signer := a.Certificate, a.key
	if issuer == nil {
		issuer, signer = subject, key
	}
	der, err := x509.CreateCertificate(rand.Reader, subject, issuer, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

// Issue writes a certificate and its key: for a server on loopback, and for a client of this name.
func (a *Authority) Issue(t Owner, name string) (certificate, key string) {
	t.Helper()
	signed, own := a.sign(t, &x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: []string{"system:masters"}},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		DNSNames:    []string{"localhost"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	certificate = filepath.Join(a.folder, name+".crt")
	key = filepath.Join(a.folder, name+".key")
	writePEM(t, certificate, "CERTIFICATE", signed.Raw)
	writePEM(t, key, "PRIVATE KEY", der)
	return certificate, key
}

// ServerConfig is that of a TLS server on loopback, with HTTP/2.
func (a *Authority) ServerConfig(t Owner, name string) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.Issue(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"},
	}
}

func writePEM(t Owner, path, kind string, der []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Authority makes a CA beside the server's own and a certificate for 127.0.0.1 that this CA signed.
// The bundle has both CAs, as a ServiceAccount's ca.crt has in a cluster where one CA signs for
// everybody.
func (s *Server) Authority(t Owner) (bundle, certificate, key string) {
	t.Helper()
	a := NewAuthority(t)
	var both []byte
	for _, path := range []string{a.File(), s.CAFile()} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	bundle = filepath.Join(a.folder, "bundle.crt")
	if err := os.WriteFile(bundle, both, 0o600); err != nil {
		t.Fatal(err)
	}
	certificate, key = a.Issue(t, "proxy")
	return bundle, certificate, key
}
