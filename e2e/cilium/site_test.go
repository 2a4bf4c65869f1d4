package cilium

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

const (
	system = "kube-system"
	// Where a kubelet mounts a container's ServiceAccount; /var/run is /run, which is the test's.
	agentAccount = "/run/secrets/kubernetes.io/serviceaccount"
	proxyAccount = "/run/proxy"
	// While a pool is not known, nothing may pass: the test deletes one.
	hide = `{"onMissingFact":{"unknownPool":"empty"}}`
)

var nodeConfigs = schema.GroupVersionResource{
	Group: "cilium.io", Version: "v2", Resource: "ciliumnodeconfigs",
}

// site is a cluster, and the node in it whose agent the test runs.
type site struct {
	*world
	t       *testing.T
	variant variant
	server  *apiserver.Server
	// Only for agents that are proxied, once one was started.
	proxy *proxy
	// The proxy's options.
	arguments []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	server := apiserver.Start(t)
	s := &site{t: t, variant: chosen, server: server}
	s.world = newWorld(t, server.Config(), chosen.source)
	t.Log(chosen)
	forget(t)
	if chosen.proxied {
		s.mountAccounts()
		s.configMap()
	}
	return s
}

// mountAccounts writes what a kubelet mounts: to the agent and to the proxy a token of their own,
// and the CA.
func (s *site) mountAccounts() {
	s.t.Helper()
	ca := s.server.CAFile()
	if s.variant.inCluster {
		bundle, certificate, key := s.server.Authority(s.t)
		ca = bundle
		s.arguments = append(s.arguments, "--tls-cert", certificate, "--tls-key", key)
	}
	authorities, err := os.ReadFile(ca)
	s.must(nil, err)
	names := map[string]string{agentAccount: "cilium", proxyAccount: "poolscope-proxy"}
	for folder, name := range names {
		accounts := s.typed.CoreV1().ServiceAccounts(system)
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
		s.must(accounts.Create(s.t.Context(), account, metav1.CreateOptions{}))
		token, err := accounts.CreateToken(
			s.t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{},
		)
		s.must(nil, err)
		s.must(nil, os.MkdirAll(folder, 0o755))
		s.must(nil, os.WriteFile(filepath.Join(folder, "token"), []byte(token.Status.Token), 0o600))
		s.must(nil, os.WriteFile(filepath.Join(folder, "ca.crt"), authorities, 0o600))
	}
	config := filepath.Join(s.t.TempDir(), "config.json")
	s.must(nil, os.WriteFile(config, []byte(hide), 0o600))
	s.arguments = append(s.arguments,
		"--server", s.server.Address(), "--config", config, "--state-dir", "/run/proxy-state",
		"--token-file", filepath.Join(proxyAccount, "token"),
		"--ca-file", filepath.Join(proxyAccount, "ca.crt"))
}

// configMap writes cilium-config as the chart writes it for several API servers. Here both are one.
func (s *site) configMap() {
	s.t.Helper()
	url := "https://" + s.server.Address()
	s.must(s.typed.CoreV1().ConfigMaps(system).Create(s.t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "cilium-config"},
		Data:       agentSettings.and(settings{"k8s-api-server-urls": url + " " + url + "/"}),
	}, metav1.CreateOptions{}))
}

// nodeConfig writes the CiliumNodeConfig of all nodes that are in a pool; nothing: there is none.
func (s *site) nodeConfig(defaults settings) {
	s.t.Helper()
	client := s.dynamic.Resource(nodeConfigs).Namespace(system)
	s.must(nil, client.DeleteCollection(
		s.t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{},
	))
	if defaults == nil {
		return
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cilium.io/v2", "kind": "CiliumNodeConfig",
		"metadata": map[string]any{"name": "poolscope"},
		"spec": map[string]any{"nodeSelector": map[string]any{"matchExpressions": []any{
			map[string]any{"key": poolLabel, "operator": "Exists"},
		}}},
	}}
	values := map[string]any{}
	for name, value := range defaults {
		values[name] = value
	}
	s.must(nil, unstructured.SetNestedMap(object.Object, values, "spec", "defaults"))
	s.must(client.Create(s.t.Context(), object, metav1.CreateOptions{}))
}

// toProxy is the CiliumNodeConfig that docs/proxy.md names.
var toProxy = settings{"k8s-kubeconfig-path": proxyKubeconfig, "k8s-api-server-urls": ""}

// podEnvironment is what a pod of Cilium's DaemonSet has. Its API server is the real one.
func (s *site) podEnvironment() []string {
	_, port, _ := strings.Cut(s.server.Address(), ":")
	return append(serviceHost(port), "CILIUM_K8S_NAMESPACE="+system)
}

// serviceHost is the environment that leads an agent to an API server on loopback.
func serviceHost(port string) []string {
	return []string{"KUBERNETES_SERVICE_HOST=127.0.0.1", "KUBERNETES_SERVICE_PORT=" + port}
}

// resolve makes a node's settings of the ConfigMap and the CiliumNodeConfigs, as the container
// `config` of Cilium's DaemonSet does, and returns their folder.
func (s *site) resolve(node string) string {
	s.t.Helper()
	folder := filepath.Join(s.t.TempDir(), "config-map")
	program := filepath.Join(filepath.Dir(s.variant.program), "cilium-dbg")
	build := exec.Command(program, "build-config", "--dest="+folder)
	build.Env = append(os.Environ(), "K8S_NODE_NAME="+node)
	build.Env = append(build.Env, s.podEnvironment()...)
	if out, err := build.CombinedOutput(); err != nil {
		s.t.Fatalf("cilium-dbg build-config: %v: %s", err, out)
	}
	return folder
}

// launch runs the agent of a node with what its ConfigMap and CiliumNodeConfigs say.
func (s *site) launch(node string) *agent {
	s.t.Helper()
	with := settings{"config-dir": s.resolve(node)}
	return launchAgent(s.t, s.variant, node, with, s.podEnvironment()...)
}

// startUnfiltered runs the agent of a node as Cilium leaves it, and waits until it is healthy.
func (s *site) startUnfiltered(node string) *agent {
	s.t.Helper()
	var a *agent
	direct := agentSettings.and(settings{"k8s-kubeconfig-path": s.kubeconfig})
	switch {
	case !s.variant.proxied:
		a = launchAgent(s.t, s.variant, node, direct.and(settings{"poolscope-enable": "false"}))
	case s.variant.inCluster:
		a = launchAgent(s.t, s.variant, node, direct)
	default:
		a = s.launch(node)
	}
	a.eventually("is healthy", a.healthy)
	return a
}

// startFiltered runs the agent of a node with poolscope, and waits until it is healthy.
func (s *site) startFiltered(node string, more ...settings) *agent {
	s.t.Helper()
	if s.variant.proxied && s.proxy == nil {
		s.proxy = newProxy(s.t, append([]string{"--node", node}, s.arguments...)...)
		s.proxy.start()
	}
	a := s.launchFiltered(node, more...)
	a.eventually("is healthy", a.healthy)
	return a
}

// launchFiltered does not wait.
func (s *site) launchFiltered(node string, more ...settings) *agent {
	s.t.Helper()
	switch {
	case !s.variant.proxied:
		with := settings{"k8s-kubeconfig-path": s.kubeconfig, "poolscope-config": hide}
		return launchAgent(s.t, s.variant, node, agentSettings.and(with).and(more...))
	case s.variant.inCluster:
		return launchAgent(s.t, s.variant, node, agentSettings.and(more...), serviceHost(proxyPort)...)
	default:
		s.nodeConfig(toProxy.and(more...))
		return s.launch(node)
	}
}

// counters are poolscope's.
func (s *site) counters(a *agent) map[string]float64 {
	s.t.Helper()
	if s.proxy != nil {
		return s.proxy.counters()
	}
	counters := map[string]float64{}
	for name, value := range a.metrics("cilium_poolscope_") {
		name = strings.TrimPrefix(name, "cilium_poolscope_")
		counters[strings.TrimSuffix(name, "_total")] = value
	}
	return counters
}

// passesTheProxyAlone fails if a connection of the agent leads to the API server.
func (s *site) passesTheProxyAlone(a *agent) {
	s.t.Helper()
	if !s.variant.proxied {
		return
	}
	_, direct, _ := strings.Cut(s.server.Address(), ":")
	if ports := a.connections(); ports[direct] > 0 || ports[proxyPort] == 0 {
		s.t.Errorf("the agent has %d connections to the API server and %d to the proxy",
			ports[direct], ports[proxyPort])
	}
}

// connections counts the agent's established TCP connections by the port that they lead to.
func (a *agent) connections() map[string]int {
	a.t.Helper()
	process := fmt.Sprintf("/proc/%d", a.process.Process.Pid)
	descriptors, err := filepath.Glob(process + "/fd/*")
	if err != nil {
		a.t.Fatal(err)
	}
	own := map[string]bool{}
	for _, descriptor := range descriptors {
		to, _ := os.Readlink(descriptor)
		if inode, ok := strings.CutPrefix(to, "socket:["); ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	ports := map[string]int{}
	for _, family := range []string{"tcp", "tcp6"} {
		table, err := os.Open(process + "/net/" + family)
		if err != nil {
			a.t.Fatal(err)
		}
		for lines := bufio.NewScanner(table); lines.Scan(); {
			// sl local remote state queues timer retransmits uid timeout inode
			fields := strings.Fields(lines.Text())
			if len(fields) > 9 && fields[3] == "01" && own[fields[9]] {
				_, hex, _ := strings.Cut(fields[2], ":")
				var port int
				fmt.Sscanf(hex, "%X", &port)
				ports[fmt.Sprint(port)]++
			}
		}
		table.Close()
	}
	return ports
}
