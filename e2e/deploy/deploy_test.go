package deploy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// contextOfCleanup outlives the tests.
var contextOfCleanup = context.Background()

// TestDeploy runs all parts against one API server.
func TestDeploy(t *testing.T) {
	c := startCluster(t)
	t.Run("apply", func(t *testing.T) { testApply(t, c) })
	t.Run("apply refuses", func(t *testing.T) { testApplyRefuses(t, c) })
	t.Run("schemas", func(t *testing.T) { testSchemas(t, c) })
	t.Run("cilium-edge", func(t *testing.T) { testCiliumEdge(t, c) })
	for _, helm := range []string{"HELM3", "HELM4"} {
		t.Run("release "+helm, func(t *testing.T) { testRelease(t, c, programOf(t, helm)) })
	}
	t.Run("kubelet", func(t *testing.T) { testKubelet(t, c) })
	t.Run("rights", func(t *testing.T) { testRights(t, c) })
	t.Run("start", func(t *testing.T) { testStart(t, c) })
}

// authority returns a CA and its key, both in PEM.
func authority(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(400 * 24 * time.Hour),
		Subject:      pkix.Name{CommonName: "test"},
		KeyUsage:     x509.KeyUsageCertSign,
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", privateDER)
}
