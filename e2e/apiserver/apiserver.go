// Package apiserver runs a real kube-apiserver with its etcd on loopback, built from their Go
// modules. No controllers run:
// what a test does not write is not there.
package apiserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/client-go/rest"
)

const (
	token   = "e2e"
	patient = 60 * time.Second
)

// Owner ends what it started, and fails if that cannot be started: a test, or a program of its own.
// Every [testing.TB] is an Owner.
type Owner interface {
	Helper()
	// Context is canceled just before the cleanups.
	Context() context.Context
	// TempDir returns a new folder that is removed after the other cleanups.
	TempDir() string
	Cleanup(func())
	// Fatal and Fatalf do not return.
	Fatal(...any)
	Fatalf(string, ...any)
}

// Server is a running API server.
type Server struct {
	binaries, data         string
	host, apiPort, etcdURL string
	flags                  []string
	etcd, api              *exec.Cmd
}

// Start builds what has to be built and runs it until its owner ends. The flags are for
// kube-apiserver. The last of a repeated flag wins.
func Start(t Owner, flags ...string) *Server {
	t.Helper()
	return StartOn(t, "127.0.0.1", flags...)
}

// StartOn is Start with an address of its own, which a test in its own network namespace may choose.
func StartOn(t Owner, host string, flags ...string) *Server {
	t.Helper()
	binaries, err := Build()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{binaries: binaries, data: t.TempDir(), host: host, flags: flags}
	etcdPort, peerPort := freePort(t), freePort(t)
	s.apiPort, s.etcdURL = freePort(t), "http://127.0.0.1:"+etcdPort
	peerURL := "http://127.0.0.1:" + peerPort
	s.etcd = s.run(
		t,
		"etcd",
		"--name",
		"e2e",
		"--data-dir",
		filepath.Join(s.data, "etcd"),
		"--log-level",
		"error",
		"--unsafe-no-fsync",
		"--listen-client-urls",
		s.etcdURL,
		"--advertise-client-urls",
		s.etcdURL,
		"--listen-peer-urls",
		peerURL,
		"--initial-advertise-peer-urls",
		peerURL,
		"--initial-cluster",
		"e2e="+peerURL,
	)
	t.Cleanup(func() { stop(s.etcd) })
	key := filepath.Join(s.data, "service-account.key")
	writeKey(t, key)
	tokens := []byte(token + ",admin,admin,system:masters\n")
	if err := os.WriteFile(filepath.Join(s.data, "tokens.csv"), tokens, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Resume(t)
	t.Cleanup(func() { stop(s.api) })
	return s
}

// Config reaches the server as its administrator.
func (s *Server) Config() *rest.Config {
	return &rest.Config{
		Host:            "https://" + s.Address(),
		BearerToken:     token,
		TLSClientConfig: rest.TLSClientConfig{Insecure: true},
		QPS:             -1,
	}
}

// Restart stops the API server, and starts it on the same data.
func (s *Server) Restart(t Owner) {
	t.Helper()
	s.Stop(t)
	s.Resume(t)
}

// Stop stops the API server; etcd continues.
func (s *Server) Stop(t Owner) {
	t.Helper()
	stop(s.api)
}

// Compact makes etcd forget every revision but the latest: watches from before get 410.
func (s *Server) Compact(t Owner) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{s.etcdURL}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	now, err := client.Get(ctx, "nothing")
	if err == nil {
		_, err = client.Compact(ctx, now.Header.Revision, clientv3.WithCompactPhysical())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Resume runs kube-apiserver, the first time or again. It writes its own certificate; it may not be
// advertised on loopback, or it cannot publish default/kubernetes; AlwaysAllow spares the RBAC
// bootstrap. Compaction is the test's.
func (s *Server) Resume(t Owner) {
	t.Helper()
	key := filepath.Join(s.data, "service-account.key")
	arguments := append([]string{
		"--etcd-servers",
		s.etcdURL,
		"--bind-address",
		s.host,
		"--secure-port",
		s.apiPort,
		"--advertise-address",
		"192.0.2.10",
		"--cert-dir",
		filepath.Join(s.data, "certificates"),
		"--token-auth-file",
		filepath.Join(s.data, "tokens.csv"),
		"--allow-privileged",
		"--service-account-issuer",
		"https://kubernetes.default.svc",
		"--service-account-key-file",
		key,
		"--service-account-signing-key-file",
		key,
		"--service-cluster-ip-range",
		"10.96.0.0/16,fd00:10:96::/112",
		"--etcd-compaction-interval",
		"0",
		"--disable-admission-plugins",
		"ServiceAccount,NamespaceLifecycle",
		"--profiling=false",
		"--shutdown-delay-duration",
		"0s",
	}, s.flags...)
	// Its modes add up, other than the values of other flags.
	if !slices.Contains(s.flags, "--authorization-mode") {
		arguments = append(arguments, "--authorization-mode", "AlwaysAllow")
	}
	s.api = s.run(t, "kube-apiserver", arguments...)
	client := &http.Client{
		Timeout: 2 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			DisableKeepAlives: true,
		},
	}
	for deadline := time.Now().Add(patient); ; time.Sleep(100 * time.Millisecond) {
		request, _ := http.NewRequest(http.MethodGet, "https://"+s.Address()+"/readyz", nil)
		request.Header.Set("Authorization", "Bearer "+token)
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(s.data, "kube-apiserver.log"))
			t.Fatalf("kube-apiserver was not ready after %v: %s", patient, log)
		}
	}
}

// run starts a program whose output goes to a file of its name.
func (s *Server) run(t Owner, name string, arguments ...string) *exec.Cmd {
	t.Helper()
	log, err := os.OpenFile(
		filepath.Join(s.data, name+".log"),
		os.O_CREATE|os.O_APPEND|os.O_WRONLY,
		0o600,
	)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	command := exec.Command(filepath.Join(s.binaries, name), arguments...)
	command.Stdout, command.Stderr = log, log
	// Not to outlive a test that is killed.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command
}

func stop(command *exec.Cmd) {
	command.Process.Signal(syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		command.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		// Watches that are open hold it up.
		command.Process.Kill()
		<-ended
	}
}

func writeKey(t Owner, path string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := pem.Encode(file, &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}); err != nil {
		t.Fatal(err)
	}
}

// Address is the server's host and port.
func (s *Server) Address() string { return net.JoinHostPort(s.host, s.apiPort) }

// CAFile names the certificates that the server's own is signed by.
func (s *Server) CAFile() string { return filepath.Join(s.data, "certificates", "apiserver.crt") }
