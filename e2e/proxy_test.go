package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// proxy is a running poolscope-proxy of one node.
type proxy struct {
	arguments []string
	clientDir string
	health    string
	command   *exec.Cmd
}

func startProxy(
	t *testing.T,
	server *apiserver.Server,
	node, ca string,
	more ...string,
) *proxy {
	t.Helper()
	folder := t.TempDir()
	p := &proxy{clientDir: filepath.Join(folder, "client"), health: apiserver.FreeAddress(t)}
	token := filepath.Join(folder, "token")
	if err := os.WriteFile(token, []byte(server.Config().BearerToken), 0o600); err != nil {
		t.Fatal(err)
	}
	p.arguments = []string{
		"--node", node, "--server", server.Address(), "--listen", apiserver.FreeAddress(t),
		"--health-listen", p.health, "--client-dir", p.clientDir,
		"--state-dir", filepath.Join(folder, "state"),
		"--token-file", token, "--ca-file", ca,
	}
	p.arguments = append(p.arguments, more...)
	p.run(t)
	t.Cleanup(func() { p.stop(t) })
	return p
}

func (p *proxy) run(t *testing.T) {
	t.Helper()
	program := os.Getenv("PROXY")
	if program == "" {
		t.Fatal("PROXY does not name the program: `make e2e` builds it and sets the variable")
	}
	p.command = exec.Command(program, p.arguments...)
	p.command.Stderr = os.Stderr
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the proxy is ready", func() bool {
		response, err := http.Get("http://" + p.health + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// stop ends the proxy as a kubelet does. It must not fail.
func (p *proxy) stop(t *testing.T) {
	t.Helper()
	p.command.Process.Signal(syscall.SIGTERM)
	if err := p.command.Wait(); err != nil {
		t.Error("the proxy ended with", err)
	}
}

// config is that of the kubeconfig which the proxy wrote, with the token of an agent.
func (p *proxy) config(t *testing.T, server *apiserver.Server) *rest.Config {
	t.Helper()
	written, err := clientcmd.LoadFromFile(filepath.Join(p.clientDir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	// Here no ServiceAccount is mounted.
	for _, user := range written.AuthInfos {
		if user.TokenFile == "" {
			t.Fatal("the kubeconfig names no token file")
		}
		user.TokenFile, user.Token = "", server.Config().BearerToken
	}
	config, err := clientcmd.NewDefaultClientConfig(*written, nil).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	return config
}

// agent is an unmodified client-go informer.
type agent struct {
	what, node string
	slices     discoverylisters.EndpointSliceLister
}

func startAgent(t *testing.T, config *rest.Config, node, contentType string) *agent {
	t.Helper()
	config = rest.CopyConfig(config)
	config.ContentType = contentType
	factory := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), resync)
	a := &agent{
		what: fmt.Sprintf("the informer on %s, %s", node, contentType), node: node,
		slices: factory.Discovery().V1().EndpointSlices().Lister(),
	}
	stop := make(chan struct{})
	factory.Start(stop)
	t.Cleanup(func() {
		close(stop)
		factory.Shutdown()
	})
	factory.WaitForCacheSync(stop)
	return a
}

func (a *agent) of() string { return a.node }

func (a *agent) wrong(expected map[string][]discoveryv1.Endpoint) error {
	held, err := a.slices.List(labels.Everything())
	if err != nil {
		return err
	}
	return differ(a.what, held, expected)
}

func TestUnmodifiedInformersBehindTheProxyHoldWhatTheirNodeMayUse(t *testing.T) {
	server := apiserver.Start(t)
	w := newWorld(t, server.Config(), 4)
	var proxies []*proxy
	var agents []*agent
	for _, node := range []string{"hz-0", "cloud-0"} {
		p := startProxy(t, server, node, server.CAFile())
		proxies = append(proxies, p)
		for _, contentType := range []string{protobuf, json} {
			agents = append(agents, startAgent(t, p.config(t, server), node, contentType))
		}
	}
	settle(t, "at first", w, agents)
	for round := range 2 {
		changes(w, 30)
		settle(t, fmt.Sprintf("after 30 changes, round %d", round), w, agents)
	}
	for _, p := range proxies {
		p.stop(t)
		changes(w, 5)
		p.run(t)
	}
	settle(t, "after a restart of the proxies", w, agents)
	if testing.Short() {
		return
	}
	server.Restart(t)
	changes(w, 10)
	settle(t, "after a restart of the API server", w, agents)
}

// An agent that trusts only its ServiceAccount's CA reaches the proxy by address alone.
func TestTheProxyServesACertificateOfTheClustersCA(t *testing.T) {
	server := apiserver.Start(t)
	w := newWorld(t, server.Config(), 6)
	bundle, certificate, key := server.Authority(t)
	p := startProxy(t, server, "hz-0", bundle, "--tls-cert", certificate, "--tls-key", key)
	config := &rest.Config{
		Host:            p.config(t, server).Host,
		BearerToken:     server.Config().BearerToken,
		TLSClientConfig: rest.TLSClientConfig{CAFile: bundle},
		QPS:             -1,
	}
	settle(t, "by the cluster's CA", w, []*agent{startAgent(t, config, "hz-0", protobuf)})
	settle(t, "by the kubeconfig", w, []*agent{startAgent(t, p.config(t, server), "hz-0", json)})
}

// Other responses pass unchanged, with the client's own credentials.
func TestTheProxyPassesEverythingElse(t *testing.T) {
	server := apiserver.Start(t)
	newWorld(t, server.Config(), 5)
	p := startProxy(t, server, "hz-0", server.CAFile())
	proxied, direct := p.config(t, server), server.Config()
	through, err := rest.HTTPClientFor(proxied)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := rest.HTTPClientFor(direct)
	if err != nil {
		t.Fatal(err)
	}
	get := func(client *http.Client, host, path, accept string) (int, string, []byte) {
		request, _ := http.NewRequest(http.MethodGet, host+path, nil)
		request.Header.Set("Accept", accept)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(path, err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(path, err)
		}
		return response.StatusCode, response.Header.Get("Content-Type"), body
	}
	for _, path := range []string{
		"/version", "/api", "/apis", "/api/v1", "/apis/discovery.k8s.io/v1", "/openapi/v2",
		"/api/v1/nodes", "/api/v1/nodes/hz-0", "/api/v1/namespaces", "/api/v1/pods?limit=5",
		"/api/v1/services", "/apis/apps.openyurt.io/v1beta2/nodepools",
		"/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "/nothing", "/api/v1/nodes/none",
		"/api/v1/namespaces/default/services/service-0/status",
	} {
		for _, accept := range []string{json, protobuf + "," + json} {
			status, contentType, body := get(through, proxied.Host, path, accept)
			wantStatus, wantType, want := get(plain, direct.Host, path, accept)
			if status != wantStatus || contentType != wantType || !bytes.Equal(body, want) {
				t.Errorf(
					"%s, %s: %d %s of %d bytes, directly %d %s of %d",
					path, accept, status, contentType, len(body), wantStatus, wantType, len(want),
				)
			}
		}
	}

	client := kubernetes.NewForConfigOrDie(proxied)
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "written"}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	maps := client.CoreV1().ConfigMaps("default")
	if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		t.Error("a write through the proxy:", err)
	}
	watch, err := maps.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	if event := <-watch.ResultChan(); event.Object.(*corev1.ConfigMap).Name == "" {
		t.Errorf("%+v", event)
	}

	// Nobody is lent the proxy's identity, and no path reaches endpoints another way.
	nobody := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	defer nobody.CloseIdleConnections()
	for _, path := range []string{"/version", "/api/v1/nodes"} {
		if status, _, body := get(nobody, proxied.Host, path, json); status != 401 {
			t.Errorf("%s without a token: %d %s", path, status, body)
		}
	}
	for _, path := range []string{
		"/apis/discovery.k8s.io/v1/endpointslice%73", "/apis//discovery.k8s.io/v1/endpointslices",
	} {
		if status, _, body := get(through, proxied.Host, path, json); status != 400 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}
