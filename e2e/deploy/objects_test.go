// Package deploy tests the chart and the manifests of deploy/ against a real kube-apiserver with
// the definitions of Cilium and OpenYurt.
package deploy

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

const (
	folder      = "../../deploy"
	release     = "poolscope-proxy"
	ciliumChart = "github.com/cilium/cilium@v1.20.2"
)

// cluster is an API server with the clients of its administrator.
type cluster struct {
	server    *apiserver.Server
	dynamic   dynamic.Interface
	clientset kubernetes.Interface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	server := apiserver.Start(t, "--authorization-mode", "Node,RBAC")
	clientset := kubernetes.NewForConfigOrDie(server.Config())
	c := &cluster{
		server:    server,
		dynamic:   dynamic.NewForConfigOrDie(server.Config()),
		clientset: clientset,
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(
			memory.NewMemCacheClient(clientset.Discovery()),
		),
	}
	c.define(t)
	return c
}

// define creates the definitions of CiliumNodeConfigs, CiliumNodes, NodePools, NodeBuckets and
// PodMonitors from their projects' own files.
func (c *cluster) define(t *testing.T) {
	t.Helper()
	cilium := filepath.Join(module(t, ciliumChart), "pkg/k8s/apis/cilium.io/client/crds/v2")
	openYurt := filepath.Join(
		module(t, "github.com/openyurtio/openyurt@v1.7.0"), "charts/yurt-manager/crds",
	)
	monitoring := filepath.Join(
		module(t, "github.com/prometheus-operator/prometheus-operator@v0.92.1"),
		"example/prometheus-operator-crd",
	)
	for _, file := range []string{
		filepath.Join(cilium, "ciliumnodeconfigs.yaml"),
		filepath.Join(cilium, "ciliumnodes.yaml"),
		filepath.Join(openYurt, "apps.openyurt.io_nodepools.yaml"),
		filepath.Join(openYurt, "apps.openyurt.io_nodebuckets.yaml"),
		filepath.Join(monitoring, "monitoring.coreos.com_podmonitors.yaml"),
	} {
		for _, definition := range read(t, file) {
			// No webhook of OpenYurt runs here that would convert versions.
			unstructured.RemoveNestedField(definition.Object, "spec", "conversion")
			_, err := c.dynamic.Resource(apiserver.Definitions).
				Create(t.Context(), definition, metav1.CreateOptions{})
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			apiserver.AwaitServed(t, c.dynamic, served(t, definition))
		}
	}
}

// served returns the stored version of a definition's resource.
func served(t *testing.T, definition *unstructured.Unstructured) schema.GroupVersionResource {
	t.Helper()
	group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
	plural, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "plural")
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	for _, version := range versions {
		if version := version.(map[string]any); version["storage"] == true {
			return schema.GroupVersionResource{
				Group: group, Version: version["name"].(string), Resource: plural,
			}
		}
	}
	t.Fatal(definition.GetName(), "has no stored version")
	return schema.GroupVersionResource{}
}

// apply applies an object on the server's side, strictly: an unknown field is an error.
func (c *cluster) apply(t *testing.T, object *unstructured.Unstructured, dryRun bool) error {
	t.Helper()
	kind := object.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	body, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	options := metav1.PatchOptions{
		FieldManager:    "deploy-test",
		FieldValidation: metav1.FieldValidationStrict,
	}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	_, err = c.dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace()).
		Patch(t.Context(), object.GetName(), types.ApplyPatchType, body, options)
	return err
}

// as returns the configuration of a client with another token.
func (c *cluster) as(token string) *rest.Config {
	config := c.server.Config()
	config.BearerToken = token
	return config
}

// read returns the objects of a YAML file.
func read(t *testing.T, path string) []*unstructured.Unstructured {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	return decode(t, file)
}

func decode(t *testing.T, from io.Reader) (objects []*unstructured.Unstructured) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(from, 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		switch {
		case errors.Is(err, io.EOF):
			return objects
		case err != nil:
			t.Fatal(err)
		case len(object.Object) != 0:
			objects = append(objects, object)
		}
	}
}

// ofKind returns the objects of a kind, converted to the type of `into`.
func ofKind[T any](t *testing.T, objects []*unstructured.Unstructured, kind string) (all []T) {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() != kind {
			continue
		}
		var typed T
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &typed)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, typed)
	}
	return all
}

// daemonSet returns the one DaemonSet of the objects.
func daemonSet(t *testing.T, objects []*unstructured.Unstructured) appsv1.DaemonSet {
	t.Helper()
	all := ofKind[appsv1.DaemonSet](t, objects, "DaemonSet")
	if len(all) != 1 {
		t.Fatalf("%d DaemonSets, not one", len(all))
	}
	return all[0]
}

// programOf returns the program that a variable names.
func programOf(t *testing.T, variable string) string {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		t.Fatal(variable, "does not name the program: `make test-deploy` sets the variable")
	}
	return program
}

// module returns the folder of a Go module, which it downloads.
func module(t *testing.T, version string) string {
	t.Helper()
	command := exec.Command("go", "mod", "download", "-json", version)
	// Outside this module, so that go.mod stays as it is.
	command.Dir = t.TempDir()
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go mod download %s: %v", version, err)
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(out, &downloaded); err != nil {
		t.Fatal(err)
	}
	return downloaded.Dir
}

// golden returns the name and the objects of each rendered set of values.
func golden(t *testing.T) map[string][]*unstructured.Unstructured {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "tests/golden/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	sets := map[string][]*unstructured.Unstructured{}
	for _, file := range files {
		sets[strings.TrimSuffix(filepath.Base(file), ".yaml")] = read(t, file)
	}
	return sets
}
