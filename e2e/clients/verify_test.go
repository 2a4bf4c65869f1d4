package clients

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// `poolscope verify` beside real kube-proxies: POOLSCOPE names the command. With RECORD, a folder,
// the test writes the rules and the facts there.
func TestVerifyComparesTheRulesWithTheView(t *testing.T) {
	command := os.Getenv("POOLSCOPE")
	if command == "" || os.Getenv("PROXY") == "" {
		t.Skip("POOLSCOPE and PROXY do not name the programs")
	}
	with, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	serveEndpoints(t)
	server := apiserver.StartOn(t, apiHost)
	mountAccount(t, server)
	pools := map[string]string{"hz-0": "hangzhou", "hz-1": "hangzhou", "bj-0": "beijing"}
	w := newWorld(t, server.Config(), pools)
	w.addService("pool", byPool, "", "hz-0", "hz-1", "bj-0")
	w.addService("node", byNode, "", "hz-0", "hz-1")
	w.addService("open", "", "", "hz-1", "bj-0")
	w.addService("remote", byPool, "", "bj-0")
	w.addService("local", "", "", "hz-0", "bj-0")
	w.addService("inner", "", "", "hz-0", "hz-1")
	w.expose("local")
	w.setLocal("inner")
	v := &verifier{t: t, world: w, command: command, folder: t.TempDir()}
	v.writeFacts()
	for name, kind := range map[string]kind{
		"hz-0": {apiserver.Kubernetes135, "nftables"}, "hz-1": {apiserver.Kubernetes135, "iptables"},
	} {
		n := startNode(t, server, with, name, w.nodes[name], kind)
		files := []string{"rules.json", "rules.txt"}
		tools := []string{"nft -j list ruleset", "nft list ruleset"}
		if kind.mode == "iptables" {
			files = []string{"iptables.txt", "ip6tables.txt"}
			tools = []string{"iptables-save", "ip6tables-save"}
		}
		var paths []string
		for i, tool := range tools {
			paths = append(paths, v.settled(n, filepath.Join(kind.mode, files[i]), tool))
		}
		v.verify(name, 0, paths...)
		// The rules of this node are wrong on a node of the other pool.
		report := v.verify("bj-0", 1, paths...)
		for _, part := range []string{`"verdict": "leak"`, `"verdict": "missing"`, "default/pool"} {
			namespaced := strings.ReplaceAll(part, "default/pool", `"name": "pool"`)
			if !strings.Contains(report, namespaced) {
				t.Errorf("%s: no %s in %s", name, part, report)
			}
		}
	}
}

// verifier runs the command and the tools of kube-proxy's data planes.
type verifier struct {
	*world
	t               *testing.T
	command, folder string
}

// verify compares files with the view of a node. It has to end with a status.
func (v *verifier) verify(node string, status int, files ...string) string {
	v.t.Helper()
	arguments := []string{
		"verify", "--node", node, "--facts", filepath.Join(v.folder, "facts"), "-o", "json", "--from",
	}
	run := exec.Command(v.command, append(arguments, files...)...)
	out, _ := run.CombinedOutput()
	if run.ProcessState.ExitCode() != status {
		v.t.Errorf("%s, %v: %v, not %d: %s", node, files, run.ProcessState, status, out)
	}
	return string(out)
}

// settled writes the output of a tool to a file, once it no longer changes.
func (v *verifier) settled(n *node, name, tool string) string {
	v.t.Helper()
	words := strings.Fields(tool)
	path := filepath.Join(v.folder, name)
	v.must(nil, os.MkdirAll(filepath.Dir(path), 0o755))
	last, since := "", time.Now()
	eventually(v.t, tool+" has all rules", func() bool {
		out, err := n.net.command(words[0], words[1:]...).Output()
		rules := withoutCounters(string(out))
		if err != nil || !strings.Contains(rules, "default/inner") || rules != last {
			last, since = rules, time.Now()
			return false
		}
		v.must(nil, os.WriteFile(path, out, 0o600))
		return time.Since(since) > 3*time.Second
	})
	content, err := os.ReadFile(path)
	v.must(nil, err)
	v.record(name, content)
	return path
}

// withoutCounters removes what changes in iptables-save without a change of rules: comments with
// times, and counters of chains.
func withoutCounters(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ":") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// writeFacts writes lists as `kubectl get --raw` prints them, without managedFields.
func (v *verifier) writeFacts() {
	v.t.Helper()
	v.must(nil, os.MkdirAll(filepath.Join(v.folder, "facts"), 0o755))
	for name, path := range map[string]string{
		"nodes":          "/api/v1/nodes",
		"services":       "/api/v1/services",
		"endpointslices": "/apis/discovery.k8s.io/v1/endpointslices",
		"nodepools":      "/apis/apps.openyurt.io/v1beta2/nodepools",
	} {
		body, err := v.typed.RESTClient().Get().AbsPath(path).DoRaw(v.ctx)
		v.must(nil, err)
		var list map[string]any
		v.must(nil, json.Unmarshal(body, &list))
		for _, item := range list["items"].([]any) {
			delete(item.(map[string]any)["metadata"].(map[string]any), "managedFields")
		}
		body, err = json.Marshal(list)
		v.must(nil, err)
		name = filepath.Join("facts", name+".json")
		v.must(nil, os.WriteFile(filepath.Join(v.folder, name), body, 0o600))
		v.record(name, body)
	}
}

func (v *verifier) record(name string, content []byte) {
	v.t.Helper()
	folder := os.Getenv("RECORD")
	if folder == "" {
		return
	}
	file := filepath.Join(folder, name)
	v.must(nil, os.MkdirAll(filepath.Dir(file), 0o755))
	v.must(nil, os.WriteFile(file, content, 0o644))
}

// expose gives a Service a node port, an external IP and an address of a load balancer. Only the
// endpoints of a node answer there.
func (w *world) expose(name string) {
	w.t.Helper()
	services := w.typed.CoreV1().Services(metav1.NamespaceDefault)
	w.retried(func() error {
		object, err := services.Get(w.ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		object.Spec.Type = corev1.ServiceTypeLoadBalancer
		object.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		object.Spec.ExternalIPs = []string{"203.0.113.7"}
		object, err = services.Update(w.ctx, object, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		object.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.8"}}
		_, err = services.UpdateStatus(w.ctx, object, metav1.UpdateOptions{})
		return err
	})
}

// setLocal lets only the endpoints of a node answer within the cluster.
func (w *world) setLocal(name string) {
	w.t.Helper()
	services := w.typed.CoreV1().Services(metav1.NamespaceDefault)
	w.retried(func() error {
		object, err := services.Get(w.ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		object.Spec.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal)
		_, err = services.Update(w.ctx, object, metav1.UpdateOptions{})
		return err
	})
}
