package deploy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/ptr"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// needed has the kinds of docs/facts.md that each set of values needs, by hand.
var needed = map[string][]string{
	"minimal":      {"services", "nodes", "nodepools.apps.openyurt.io"},
	"openyurt":     {"services", "nodes", "nodepools.apps.openyurt.io"},
	"everything":   {"services", "nodes", "nodebuckets.apps.openyurt.io", yurtHub, servers},
	"kubeedge":     {"services", "nodes"},
	"superedge":    {"services", "nodes"},
	"cilium-label": {"services", "ciliumnodes.cilium.io"},
	"own-pool":     {"services", "nodepools.apps.openyurt.io"},
	"no-pools":     {"services"},
	"node-ports":   {"nodes"},
	"no-facts":     {},
}

// The two objects that are read by name.
const (
	yurtHub = "configmaps kube-system/yurt-hub-cfg"
	servers = "endpointslices.discovery.k8s.io default/kubernetes"
)

// never is a kind that no set of values needs.
const never = "never"

// installed is what one set of values created.
type installed struct {
	account, namespace string
	bindings           []*unstructured.Unstructured
}

// install creates the ServiceAccount and the objects of RBAC until the test ends.
func (c *cluster) install(t *testing.T, objects []*unstructured.Unstructured) installed {
	t.Helper()
	set := daemonSet(t, objects)
	created := installed{
		account:   set.Spec.Template.Spec.ServiceAccountName,
		namespace: set.Namespace,
	}
	account := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ServiceAccount",
		"metadata": map[string]any{"name": created.account, "namespace": created.namespace},
	}}
	for _, object := range append([]*unstructured.Unstructured{account}, objects...) {
		group := object.GroupVersionKind().Group
		if group != rbacv1.GroupName && object.GetKind() != "ServiceAccount" {
			continue
		}
		if err := c.apply(t, object, false); err != nil {
			t.Fatalf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
		if group == rbacv1.GroupName {
			created.bindings = append(created.bindings, object)
		}
	}
	t.Cleanup(func() {
		for _, object := range created.bindings {
			kind := object.GroupVersionKind()
			mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
			if err != nil {
				t.Error(err)
				continue
			}
			// The test's own context has ended.
			err = c.dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace()).
				Delete(contextOfCleanup, object.GetName(), metav1.DeleteOptions{})
			if err != nil {
				t.Error(err)
			}
		}
	})
	return created
}

// token returns a token of the ServiceAccount, as a kubelet requests it.
func (c *cluster) token(t *testing.T, of installed) string {
	t.Helper()
	request, err := c.clientset.CoreV1().ServiceAccounts(of.namespace).CreateToken(
		t.Context(), of.account,
		&authenticationv1.TokenRequest{
			Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](3600)},
		},
		metav1.CreateOptions{},
	)
	if err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// testRights proves for each set of values that the ServiceAccount may list and watch what
// docs/facts.md needs, and may do nothing else with any resource that the API server serves.
func testRights(t *testing.T, c *cluster) {
	sets := golden(t)
	if len(sets) != len(needed) {
		t.Fatalf("%d sets of values, but %d expectations", len(sets), len(needed))
	}
	for name, kinds := range needed {
		t.Run(name, func(t *testing.T) {
			of := c.install(t, sets[name])
			c.sweep(t, of, kinds)
			c.useRights(t, of, kinds)
		})
	}
}

// sweep asks the authorizer for every verb on every resource, in several namespaces and by name.
func (c *cluster) sweep(t *testing.T, of installed, kinds []string) {
	t.Helper()
	_, lists, err := c.clientset.Discovery().ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	user := "system:serviceaccount:" + of.namespace + ":" + of.account
	verbs := []string{
		"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection",
		"impersonate", "bind", "escalate",
	}
	var allowed []string
	asked := 0
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, resource := range list.APIResources {
			kind, subresource, _ := strings.Cut(resource.Name, "/")
			objects := []string{
				"",
				"default/",
				"kube-system/",
				"default/kubernetes",
				"kube-system/yurt-hub-cfg",
			}
			if !resource.Namespaced {
				objects = []string{"", "/node-1"}
			}
			for _, object := range objects {
				namespace, name, _ := strings.Cut(object, "/")
				for _, verb := range verbs {
					review, err := c.clientset.AuthorizationV1().SubjectAccessReviews().Create(
						t.Context(),
						&authorizationv1.SubjectAccessReview{
							Spec: authorizationv1.SubjectAccessReviewSpec{
								User: user,
								Groups: []string{
									"system:serviceaccounts",
									"system:serviceaccounts:" + of.namespace,
									"system:authenticated",
								},
								ResourceAttributes: &authorizationv1.ResourceAttributes{
									Group: version.Group, Version: version.Version, Resource: kind,
									Subresource: subresource, Namespace: namespace, Name: name, Verb: verb,
								},
							},
						},
						metav1.CreateOptions{},
					)
					if err != nil {
						t.Fatal(err)
					}
					asked++
					// Every authenticated user may review its own rights and name.
					own := verb == "create" && strings.HasPrefix(kind, "selfsubject")
					if review.Status.Allowed && !own {
						line := schema.GroupResource{
							Group:    version.Group,
							Resource: resource.Name,
						}.String()
						allowed = append(
							allowed,
							strings.TrimSpace(fmt.Sprint(verb, " ", line, " ", object)),
						)
					}
				}
			}
		}
	}
	var expected []string
	for _, verb := range []string{"list", "watch"} {
		for _, kind := range kinds {
			switch {
			case strings.Contains(kind, " "):
				expected = append(expected, verb+" "+kind)
			case kind == "services":
				for _, object := range []string{
					"", " default/", " kube-system/", " default/kubernetes", " kube-system/yurt-hub-cfg",
				} {
					expected = append(expected, verb+" "+kind+object)
				}
			default:
				expected = append(expected, verb+" "+kind, verb+" "+kind+" /node-1")
			}
		}
	}
	slices.Sort(allowed)
	// A resource may be served in several versions.
	allowed = slices.Compact(allowed)
	slices.Sort(expected)
	if !slices.Equal(allowed, expected) {
		t.Errorf(
			"allowed:\n%s\nexpected:\n%s",
			strings.Join(allowed, "\n"),
			strings.Join(expected, "\n"),
		)
	}
	t.Logf("%d of %d possible requests are allowed", len(allowed), asked)
}

// useRights sends requests with a token of the ServiceAccount.
func (c *cluster) useRights(t *testing.T, of installed, kinds []string) {
	t.Helper()
	client, err := dynamic.NewForConfig(c.as(c.token(t, of)))
	if err != nil {
		t.Fatal(err)
	}
	core := func(resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Version: "v1", Resource: resource}
	}
	slicesOf := schema.GroupVersionResource{
		Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices",
	}
	nodeBuckets := schema.GroupVersionResource{
		Group: "apps.openyurt.io", Version: "v1alpha1", Resource: "nodebuckets",
	}
	ciliumNodes := schema.GroupVersionResource{
		Group: "cilium.io", Version: "v2", Resource: "ciliumnodes",
	}
	for _, request := range []struct {
		kind            string
		resource        schema.GroupVersionResource
		namespace, name string
	}{
		{"services", core("services"), "", ""},
		{"nodes", core("nodes"), "", ""},
		{"nodepools.apps.openyurt.io", apiserver.NodePools, "", ""},
		{"nodebuckets.apps.openyurt.io", nodeBuckets, "", ""},
		{"ciliumnodes.cilium.io", ciliumNodes, "", ""},
		{yurtHub, core("configmaps"), "kube-system", "yurt-hub-cfg"},
		{servers, slicesOf, "default", "kubernetes"},
		{never, core("secrets"), "", ""},
		{never, core("pods"), "", ""},
		{never, core("configmaps"), "kube-system", ""},
		{never, core("configmaps"), "default", "yurt-hub-cfg"},
		{never, slicesOf, "", ""},
		{never, slicesOf, "default", ""},
		{never, slicesOf, "kube-system", "kubernetes"},
	} {
		options := metav1.ListOptions{}
		if request.name != "" {
			options.FieldSelector = "metadata.name=" + request.name
		}
		resource := client.Resource(request.resource).Namespace(request.namespace)
		_, listed := resource.List(t.Context(), options)
		watch, watched := resource.Watch(t.Context(), options)
		if watched == nil {
			watch.Stop()
		}
		may := slices.Contains(kinds, request.kind)
		for verb, err := range map[string]error{"list": listed, "watch": watched} {
			if may && err != nil {
				t.Errorf("%s of %s: %v", verb, request.kind, err)
			}
			if !may && !apierrors.IsForbidden(err) {
				t.Errorf("%s of %v is not forbidden: %v", verb, request, err)
			}
		}
		err := resource.Delete(t.Context(), "any", metav1.DeleteOptions{})
		if !apierrors.IsForbidden(err) {
			t.Errorf("delete of %v is not forbidden: %v", request, err)
		}
	}
}
