// Package cli runs the command against a real kube-apiserver, as its users do: by itself, as
// kubectl's plugin, and with the rights of docs/live.md.
package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/poolscope/poolscope/e2e/apiserver"
	"github.com/poolscope/poolscope/e2e/kubelet"
)

// program is the command under test.
func program(t *testing.T) string {
	t.Helper()
	path := os.Getenv("POOLSCOPE")
	if path == "" {
		t.Skip("POOLSCOPE names the command: make e2e-cli")
	}
	return path
}

// kubeconfig writes a kubeconfig for a token.
func kubeconfig(t *testing.T, server *apiserver.Server, token string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	config := clientcmdapi.NewConfig()
	config.Clusters["edge"] = &clientcmdapi.Cluster{
		Server: "https://" + server.Address(), CertificateAuthority: server.CAFile(),
	}
	config.AuthInfos["user"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["site"] = &clientcmdapi.Context{Cluster: "edge", AuthInfo: "user"}
	config.CurrentContext = "site"
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// result is what a run printed, and what it cost.
type result struct {
	out, errors string
	status      int
	seconds     float64
	kilobytes   int
}

// run measures a run with GNU time, whose own memory is small: the peak of a child begins with that
// of the program that starts it.
func run(t *testing.T, config, path string, arguments ...string) result {
	t.Helper()
	cost := filepath.Join(t.TempDir(), "cost")
	command := exec.Command("/usr/bin/time",
		append([]string{"-q", "-o", cost, "-f", "%e %M", path}, arguments...)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+config)
	var out, errors bytes.Buffer
	command.Stdout, command.Stderr = &out, &errors
	err := command.Run()
	r := result{out: out.String(), errors: errors.String(), status: command.ProcessState.ExitCode()}
	if err != nil && r.status < 0 {
		t.Fatal(err)
	}
	text, err := os.ReadFile(cost)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(text), "%f %d", &r.seconds, &r.kilobytes); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return r
}

// done is run for a run that has to succeed.
func done(t *testing.T, config, path string, arguments ...string) result {
	t.Helper()
	r := run(t, config, path, arguments...)
	if r.status != 0 {
		t.Fatalf("%v: status %d: %s", arguments, r.status, r.errors)
	}
	return r
}

// view is the JSON of view.
type view struct {
	Node, Pool string
	Services   []struct {
		Namespace, Name string
		Endpoints       []struct {
			Address, Node string
			Kept          bool
		}
	}
}

func parse(t *testing.T, text string) (v view) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLive(t *testing.T) {
	path := program(t)
	node, flags := kubelet.Start(t, apiserver.NewAuthority(t))
	server := apiserver.Start(t, append(flags, "--authorization-mode", "RBAC")...)
	c := newCluster(t, server.Config())
	c.fill()
	admin := kubeconfig(t, server, "e2e")
	viewer := kubeconfig(t, server, c.viewer())

	t.Run("verbs", func(t *testing.T) { c.testVerbs(t, path, viewer) })
	t.Run("kubectl", func(t *testing.T) { c.testKubectl(t, path, viewer) })
	t.Run("watch", func(t *testing.T) { c.testWatch(t, path, admin) })
	// Before there is an agent.
	t.Run("status", func(t *testing.T) { c.testStatus(t, path, admin) })
	t.Run("verify", func(t *testing.T) { c.testVerify(t, path, viewer, node) })
	t.Run("errors", func(t *testing.T) { c.testErrors(t, path, server, viewer) })
}

// testVerbs runs each verb with exactly the rights of docs/live.md.
func (c *cluster) testVerbs(t *testing.T, path, viewer string) {
	service := "default/" + serviceName(0)
	for _, arguments := range [][]string{
		{"view", "--node", nodeName(0)},
		{"view", "--node", nodeName(0), "-o", "json"},
		{"diff", "--node", nodeName(0), "--node", nodeName(1)},
		{"explain", "--node", nodeName(0), service},
		{"audit", "--failure-threshold", "never"},
		{"report", "-o", filepath.Join(t.TempDir(), "report.html")},
	} {
		r := done(t, viewer, path, arguments...)
		t.Logf("%-50s %.2f s, %d kB, %d bytes printed",
			strings.Join(arguments, " "), r.seconds, r.kilobytes, len(r.out))
	}
	found := parse(t, done(t, viewer, path, "view", "--node", nodeName(0), "-o", "json").out)
	if found.Pool != poolName(0) || len(found.Services) != serviceCount+1 {
		t.Fatalf("pool %q, %d Services", found.Pool, len(found.Services))
	}
	kept, all := 0, 0
	for _, service := range found.Services {
		for _, endpoint := range service.Endpoints {
			all++
			if endpoint.Kept {
				kept++
			}
			if strings.HasPrefix(endpoint.Node, "edge-") &&
				endpoint.Kept != (c.pools[endpoint.Node] == poolName(0)) {
				t.Errorf("%s: endpoint on %s: kept %v", service.Name, endpoint.Node, endpoint.Kept)
			}
		}
	}
	if all < serviceCount*endpointCount || kept == 0 || kept > all/10 {
		t.Errorf("%d of %d endpoints kept", kept, all)
	}
}

// testKubectl runs the command as a plugin of a real kubectl, with its completion.
func (c *cluster) testKubectl(t *testing.T, path, viewer string) {
	kubectl, err := apiserver.BuildIn("cli/kubectl", "kubectl")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, name := range []string{"kubectl-poolscope", "kubectl_complete-poolscope"} {
		if err := os.Symlink(path, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	arguments := []string{"view", "--node", nodeName(0)}
	plugin := done(t, viewer, kubectl, append([]string{"poolscope"}, arguments...)...)
	if direct := done(t, viewer, path, arguments...); plugin.out != direct.out {
		t.Errorf("kubectl poolscope printed %q", plugin.out)
	}
	for typed, want := range map[string]string{
		"vi":                          "view",
		"view --node edge-000":        nodeName(7),
		"explain default/service-00":  "default/" + serviceName(3),
		"view --node edge-0000 --out": "--output",
	} {
		words := append([]string{"__complete", "poolscope"}, strings.Fields(typed)...)
		r := done(t, viewer, kubectl, words...)
		lines := strings.Split(r.out, "\n")
		found := false
		for _, line := range lines {
			name, _, _ := strings.Cut(line, "\t")
			found = found || name == want
		}
		if !found || !strings.Contains(r.out, "\n:4\n") {
			t.Errorf("%s: %q", typed, r.out)
		}
		t.Logf("kubectl __complete poolscope %s: %d candidates, %.2f s", typed, len(lines)-2, r.seconds)
	}
}

// testWatch follows a Service that is annotated.
func (c *cluster) testWatch(t *testing.T, path, config string) {
	name := serviceName(1)
	command := exec.Command(path, "view", "--watch", "--node", nodeName(0), "default/"+name)
	command.Env = append(os.Environ(), "KUBECONFIG="+config)
	var out lines
	command.Stdout, command.Stderr = &out, os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		command.Process.Kill()
		command.Wait()
	}()
	out.await(t, name+" (pool)")
	c.annotate(name, "")
	out.await(t, name+" (any)")
	c.annotate(name, "openyurt.io/nodepool")
	out.await(t, name+" (pool)")
}

func (c *cluster) testStatus(t *testing.T, path, config string) {
	r := done(t, config, path, "status")
	for _, part := range []string{
		"√ API server https://", "√ the API server's certificate is valid until",
		"√ may list Services, EndpointSlices, Nodes, NodePools",
		fmt.Sprintf("√ NodePools: %d of %d nodes are in %d pools", nodeCount, nodeCount, poolCount),
		"‼ no pods of cilium-agent", "Status check results are √",
	} {
		if !strings.Contains(r.out, part) {
			t.Errorf("status lacks %q:\n%s", part, r.out)
		}
	}
	t.Logf("status %.2f s, %d kB\n%s", r.seconds, r.kilobytes, r.out)
}

// testErrors takes rights, certificates and tokens away.
func (c *cluster) testErrors(t *testing.T, path string, server *apiserver.Server, viewer string) {
	arguments := []string{"view", "--node", nodeName(0)}
	failed := func(config string, parts ...string) {
		t.Helper()
		var r result
		// The authorizer follows the roles a moment later.
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
			if r = run(t, config, path, arguments...); r.status != 0 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if r.status != 1 || strings.Count(r.errors, "\n") != 1 {
			t.Fatalf("status %d: %s", r.status, r.errors)
		}
		for _, part := range parts {
			if !strings.Contains(r.errors, part) {
				t.Errorf("no %q in %s", part, r.errors)
			}
		}
		t.Log(r.errors)
	}
	failed(kubeconfig(t, server, "expired"), "(401)", "log in again")
	other := apiserver.NewAuthority(t)
	failed(withCA(t, viewer, other.File()), "another CA signed its certificate")
	c.forbid("nodes")
	failed(viewer, "system:serviceaccount:ops:viewer may not list Nodes (403)",
		`{apiGroups: [""], resources: [nodes], verbs: [list]}`)
}

// withCA copies a kubeconfig with another CA.
func withCA(t *testing.T, path, authority string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	config.Clusters["edge"].CertificateAuthority = authority
	copied := filepath.Join(t.TempDir(), "config")
	if err := clientcmd.WriteToFile(*config, copied); err != nil {
		t.Fatal(err)
	}
	return copied
}
