package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// testApply has the API server check every object of the chart, of the manifests and of the
// examples: types, required fields, names, and no unknown field.
func testApply(t *testing.T, c *cluster) {
	sets := golden(t)
	for _, pattern := range []string{"manifests/poolscope-proxy.yaml", "examples/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files %s: %v", pattern, err)
		}
		for _, file := range files {
			sets[strings.TrimPrefix(file, folder+"/")] = read(t, file)
		}
	}
	applied := 0
	for name, objects := range sets {
		for _, object := range objects {
			if err := c.apply(t, object, true); err != nil {
				t.Errorf("%s: %s %s: %v", name, object.GetKind(), object.GetName(), err)
			}
			applied++
		}
	}
	t.Logf("%d objects of %d files", applied, len(sets))
}

// testApplyRefuses proves that testApply can fail.
func testApplyRefuses(t *testing.T, c *cluster) {
	for kind, path := range map[string][]string{
		"DaemonSet":        {"spec", "template", "spec", "hostNetwrok"},
		"CiliumNodeConfig": {"spec", "nodeSelectors"},
		"ClusterRole":      {"aggregationRules"},
	} {
		for _, object := range golden(t)["openyurt"] {
			if object.GetKind() != kind {
				continue
			}
			if err := unstructured.SetNestedField(object.Object, "x", path...); err != nil {
				t.Fatal(err)
			}
			if err := c.apply(t, object, true); err == nil {
				t.Errorf("a %s with the unknown field %v is accepted", kind, path)
			}
		}
	}
}

// testCiliumEdge renders Cilium's own chart with the values of deploy/cilium-edge.
func testCiliumEdge(t *testing.T, c *cluster) {
	helm := programOf(t, "HELM3")
	chart := filepath.Join(module(t, ciliumChart), "install/kubernetes/cilium")
	render := func(values, template string) []*unstructured.Unstructured {
		command := exec.Command(
			helm, "template", "cilium", chart, "--namespace", "kube-system",
			"--kube-version", "1.35.0", "--set", "kubeProxyReplacement=true",
			"-f", filepath.Join(folder, "cilium-edge", values),
			"--show-only", template,
		)
		command.Stderr = os.Stderr
		out, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		return decode(t, strings.NewReader(string(out)))
	}
	agents := "templates/cilium-agent/daemonset.yaml"
	edge, cloud := render("values.yaml", agents), render("cloud-values.yaml", agents)
	for _, objects := range [][]*unstructured.Unstructured{edge, cloud} {
		for _, object := range objects {
			if err := c.apply(t, object, true); err != nil {
				t.Errorf("%s: %v", object.GetName(), err)
			}
		}
	}

	set := daemonSet(t, edge)
	if set.Name != "cilium-edge" {
		t.Errorf("the DaemonSet is named %s", set.Name)
	}
	pod := set.Spec.Template.Spec
	reach := 0
	for _, container := range append(pod.InitContainers, pod.Containers...) {
		host, port := variable(container, "KUBERNETES_SERVICE_HOST"),
			variable(container, "KUBERNETES_SERVICE_PORT")
		if host == "" && port == "" {
			continue
		}
		reach++
		if host != "127.0.0.1" || port != "10271" {
			t.Errorf("%s reaches the API server at %s:%s", container.Name, host, port)
		}
	}
	// The agent, `config` and `clean-cilium-state`.
	if reach != 3 {
		t.Errorf("%d containers reach the API server through the proxy, not 3", reach)
	}
	if term := poolTerm(t, pod); term.Operator != corev1.NodeSelectorOpIn {
		t.Errorf("cilium-edge runs where the pool's label is %v", term)
	}

	set = daemonSet(t, cloud)
	if set.Name != "cilium" {
		t.Errorf("the other DaemonSet is named %s", set.Name)
	}
	for _, container := range set.Spec.Template.Spec.Containers {
		if host := variable(container, "KUBERNETES_SERVICE_HOST"); host == "127.0.0.1" {
			t.Errorf("%s of the other DaemonSet uses the proxy", container.Name)
		}
	}
	if term := poolTerm(t, set.Spec.Template.Spec); term.Operator != corev1.NodeSelectorOpNotIn {
		t.Errorf("cilium runs where the pool's label is %v", term)
	}
}

// poolTerm returns the one requirement on the label of pools.
func poolTerm(t *testing.T, pod corev1.PodSpec) corev1.NodeSelectorRequirement {
	t.Helper()
	required := pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if len(required.NodeSelectorTerms) != 1 {
		t.Fatalf("%d terms of node affinity, not one", len(required.NodeSelectorTerms))
	}
	for _, term := range required.NodeSelectorTerms[0].MatchExpressions {
		if term.Key == "apps.openyurt.io/nodepool" {
			return term
		}
	}
	t.Fatal("the node affinity does not ask for the pool's label")
	return corev1.NodeSelectorRequirement{}
}

func variable(container corev1.Container, name string) string {
	for _, variable := range container.Env {
		if variable.Name == name {
			return variable.Value
		}
	}
	return ""
}
