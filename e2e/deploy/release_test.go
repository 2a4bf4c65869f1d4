package deploy

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var ciliumNodeConfigs = schema.GroupVersionResource{
	Group: "cilium.io", Version: "v2", Resource: "ciliumnodeconfigs",
}

// testRelease runs the commands of docs/deploy.md, from the installation over roll-out and
// roll-back to the end.
func testRelease(t *testing.T, c *cluster, helm string) {
	chart := filepath.Join(folder, "chart/poolscope-proxy")
	run := func(arguments ...string) string {
		t.Helper()
		arguments = append(
			arguments, "--namespace", "kube-system",
			"--kube-apiserver", "https://"+c.server.Address(),
			"--kube-token", c.server.Config().BearerToken,
			"--kube-insecure-skip-tls-verify",
		)
		command := exec.Command(helm, arguments...)
		// No kubeconfig of the machine.
		command.Env = append(command.Environ(), "HOME="+t.TempDir(), "KUBECONFIG=/dev/null")
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("helm %s: %v: %s", strings.Join(arguments, " "), err, out)
		}
		return string(out)
	}
	hasDaemonSet := func() bool {
		t.Helper()
		_, err := c.clientset.AppsV1().DaemonSets("kube-system").
			Get(t.Context(), release, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	pools := func() (names []string) {
		t.Helper()
		list, err := c.dynamic.Resource(ciliumNodeConfigs).Namespace("kube-system").
			List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range list.Items {
			names = append(names, item.GetName())
		}
		return names
	}
	values := func(name string) string {
		return filepath.Join(folder, "tests/values", name+".yaml")
	}

	run("install", release, chart, "-f", values("minimal"))
	if !hasDaemonSet() || len(pools()) != 0 {
		t.Errorf("after the installation the CiliumNodeConfigs are %v", pools())
	}
	run("upgrade", release, chart, "-f", values("openyurt"))
	if names := pools(); len(names) != 1 || names[0] != "poolscope-proxy-hangzhou" {
		t.Errorf("after the roll-out the CiliumNodeConfigs are %v", names)
	}
	notes := run("status", release)
	for _, line := range []string{
		"rollout status daemonset/poolscope-proxy",
		"kubectl get nodes -l apps.openyurt.io/nodepool=hangzhou",
		"delete pod -l k8s-app=cilium --field-selector spec.nodeName=",
	} {
		if !strings.Contains(notes+run("get", "notes", release), line) {
			t.Errorf("the notes lack %q:\n%s", line, notes)
		}
	}
	run("upgrade", release, chart, "-f", values("minimal"))
	if names := pools(); len(names) != 0 || !hasDaemonSet() {
		t.Errorf("after the roll-back the CiliumNodeConfigs are %v", names)
	}
	run("uninstall", release)
	if hasDaemonSet() {
		t.Error("the DaemonSet remains")
	}
}
