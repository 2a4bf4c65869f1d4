package clients

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// Where a ServiceAccount is mounted. The proxy and its kubeconfig name it by default.
const account = "/run/secrets/kubernetes.io/serviceaccount"

// built are the programs of the clients.
type built struct {
	coredns   string
	kubeProxy map[apiserver.Release]string
}

// programs builds what has to be built.
func programs() (built, error) {
	made := built{kubeProxy: map[apiserver.Release]string{}}
	for _, release := range []apiserver.Release{apiserver.Kubernetes135, apiserver.Kubernetes137} {
		program, err := release.Program("kube-proxy")
		if err != nil {
			return made, err
		}
		made.kubeProxy[release] = program
	}
	var err error
	made.coredns, err = apiserver.BuildIn("clients/coredns", "coredns")
	return made, err
}

// mountAccount writes the token of the test and the CA of the server to where a pod has them.
func mountAccount(t *testing.T, server *apiserver.Server) {
	t.Helper()
	ca, err := os.ReadFile(server.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(account, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"ca.crt": ca, "token": []byte(server.Config().BearerToken),
	} {
		if err := os.WriteFile(filepath.Join(account, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// process is a program of a node.
type process struct {
	make    func() *exec.Cmd
	log     string
	running *exec.Cmd
}

func (p *process) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.running = p.make()
	p.running.Stdout, p.running.Stderr = log, log
	if err := p.running.Start(); err != nil {
		t.Fatal(err)
	}
}

// stop ends the process as a kubelet does and returns how it ended.
func (p *process) stop() error {
	p.running.Process.Signal(syscall.SIGTERM)
	return p.running.Wait()
}

// node is a node of the cluster: a network with a poolscope-proxy, a kube-proxy and a CoreDNS that
// read the API through it.
type node struct {
	name    string
	net     namespace
	folder  string
	read    func(namespace) (table, error)
	proxy   process
	clients []*process
}

// kind is the kube-proxy of a node.
type kind struct {
	release apiserver.Release
	mode    string
}

func startNode(
	t *testing.T, server *apiserver.Server, with built, name string, number int, kind kind,
) *node {
	t.Helper()
	n := &node{name: name, net: newNamespace(t, name, number), folder: t.TempDir()}
	n.read = map[string]func(namespace) (table, error){
		"nftables": nftTable, "iptables": iptablesTable,
	}[kind.mode]
	kubeconfig := filepath.Join(n.folder, "kubeconfig")
	n.proxy = process{log: filepath.Join(n.folder, "proxy.log"), make: func() *exec.Cmd {
		return n.net.command(
			os.Getenv("PROXY"),
			"--node", name, "--server", server.Address(),
			"--client-dir", n.folder, "--state-dir", filepath.Join(n.folder, "state"),
		)
	}}
	kubeProxy := n.write(
		t,
		"kube-proxy.yaml",
		fmt.Sprintf(kubeProxyConfig, name, kind.mode, kubeconfig),
	)
	corefile := n.write(t, "Corefile", fmt.Sprintf(corefile, kubeconfig))
	for log, make := range map[string]func() *exec.Cmd{
		"kube-proxy.log": func() *exec.Cmd {
			return n.net.command(with.kubeProxy[kind.release], "--config", kubeProxy)
		},
		"coredns.log": func() *exec.Cmd { return n.net.command(with.coredns, "-conf", corefile) },
	} {
		n.clients = append(n.clients, &process{make: make, log: filepath.Join(n.folder, log)})
	}
	t.Cleanup(func() { n.report(t) })
	n.startProxy(t)
	t.Cleanup(func() { n.stopProxy(t) })
	n.startClients(t)
	t.Cleanup(n.stopClients)
	return n
}

// kube-proxy may not set the limits of connection tracking in a network namespace.
const kubeProxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
hostnameOverride: %s
mode: %s
clientConnection:
  kubeconfig: %s
iptables:
  minSyncPeriod: 100ms
nftables:
  minSyncPeriod: 100ms
conntrack:
  maxPerCore: 0
  min: 0
  tcpEstablishedTimeout: 0s
  tcpCloseWaitTimeout: 0s
`

const corefile = `cluster.local {
    bind 127.0.0.1
    errors
    kubernetes {
        kubeconfig %s
        ttl 0
    }
}
`

func (n *node) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(n.folder, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (n *node) startProxy(t *testing.T) {
	t.Helper()
	n.proxy.start(t)
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       n.net.dial,
	}}
	eventually(t, "the proxy of "+n.name+" is ready", func() bool {
		response, err := client.Get("http://127.0.0.1:10272/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

func (n *node) stopProxy(t *testing.T) {
	t.Helper()
	if err := n.proxy.stop(); err != nil {
		t.Errorf("the proxy of %s ended with %v", n.name, err)
	}
}

func (n *node) startClients(t *testing.T) {
	t.Helper()
	for _, client := range n.clients {
		client.start(t)
	}
}

func (n *node) stopClients() {
	for _, client := range n.clients {
		client.stop()
	}
}

// report prints the end of each log if the test has failed.
func (n *node) report(t *testing.T) {
	if !t.Failed() {
		return
	}
	logs, _ := filepath.Glob(filepath.Join(n.folder, "*.log"))
	for _, log := range logs {
		content, _ := os.ReadFile(log)
		lines := strings.Split(string(content), "\n")
		t.Logf("%s:\n%s", log, strings.Join(lines[max(0, len(lines)-30):], "\n"))
	}
}

// resolve returns the addresses of a name of the default namespace as the node's CoreDNS has them.
// One that does not exist has none.
func (n *node) resolve(ctx context.Context, name string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resolver := net.Resolver{
		PreferGo: true, StrictErrors: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return n.net.dial(ctx, network, "127.0.0.1:53")
		},
	}
	name += "." + metav1.NamespaceDefault + ".svc.cluster.local."
	addresses, err := resolver.LookupHost(ctx, name)
	var failed *net.DNSError
	if errors.As(err, &failed) && failed.IsNotFound {
		return nil, nil
	}
	return addresses, err
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
