package apiserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority makes a CA beside the server's own and a certificate for 127.0.0.1 that this CA signed.
// The bundle has both CAs, as a ServiceAccount's ca.crt has in a cluster where one CA signs for
// everybody.
func (s *Server) Authority(t Owner) (bundle, certificate, key string) {
	t.Helper()
	folder := t.TempDir()
	file := func(name, kind string, der []byte, more ...byte) string {
		path := filepath.Join(folder, name)
		content := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(path, append(content, more...), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// Without an issuer the certificate signs itself.
	sign := func(
		subject, issuer *x509.Certificate,
		signer *ecdsa.PrivateKey,
	) (*x509.Certificate, *ecdsa.PrivateKey) {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if issuer == nil {
			issuer, signer = subject, own
		}
		subject.NotAfter = time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, subject, issuer, &own.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made, own
	}
	ca, signer := sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the cluster"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil)
	leaf, own := sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "proxy"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, signer)
	der, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	servers, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	return file("ca.crt", "CERTIFICATE", ca.Raw, servers...),
		file("tls.crt", "CERTIFICATE", leaf.Raw), file("tls.key", "PRIVATE KEY", der)
}
