package deploy

import (
	"path/filepath"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

// kubeletRequest is a list or a watch by the kubelet of node-1.
type kubeletRequest struct {
	group, resource, namespace, name string
	may                              bool
}

// testKubelet proves the remarks of examples/static-pod.yaml on the kubelet's rights, and that
// static-pod-rights.yaml adds what the default configuration needs.
func testKubelet(t *testing.T, c *cluster) {
	c.reviewKubelet(t, []kubeletRequest{
		{"", "services", "", "", true},
		{"", "nodes", "", "node-1", true},
		{"", "nodes", "", "node-2", false},
		{"", "nodes", "", "", false},
		{"", "configmaps", "kube-system", "yurt-hub-cfg", false},
		{"discovery.k8s.io", "endpointslices", "default", "kubernetes", false},
		{"apps.openyurt.io", "nodepools", "", "", false},
		{"apps.openyurt.io", "nodebuckets", "", "", false},
		{"cilium.io", "ciliumnodes", "", "", false},
	})
	for _, object := range read(t, filepath.Join(folder, "examples/static-pod-rights.yaml")) {
		if err := c.apply(t, object, false); err != nil {
			t.Fatal(err)
		}
	}
	c.reviewKubelet(t, []kubeletRequest{
		{"", "services", "", "", true},
		{"", "nodes", "", "node-1", true},
		{"apps.openyurt.io", "nodepools", "", "", true},
		{"apps.openyurt.io", "nodebuckets", "", "", false},
	})
}

func (c *cluster) reviewKubelet(t *testing.T, requests []kubeletRequest) {
	t.Helper()
	for _, request := range requests {
		for _, verb := range []string{"list", "watch"} {
			attributes := &authorizationv1.ResourceAttributes{
				Group: request.group, Resource: request.resource, Version: "*",
				Namespace: request.namespace, Name: request.name, Verb: verb,
			}
			if request.name != "" {
				selector := fields.OneTermEqualSelector("metadata.name", request.name).String()
				attributes.FieldSelector = &authorizationv1.FieldSelectorAttributes{
					RawSelector: selector,
				}
			}
			review, err := c.clientset.AuthorizationV1().SubjectAccessReviews().Create(
				t.Context(),
				&authorizationv1.SubjectAccessReview{
					Spec: authorizationv1.SubjectAccessReviewSpec{
						User:               "system:node:node-1",
						Groups:             []string{"system:nodes", "system:authenticated"},
						ResourceAttributes: attributes,
					},
				},
				metav1.CreateOptions{},
			)
			if err != nil {
				t.Fatal(err)
			}
			if review.Status.Allowed != request.may {
				t.Errorf("%s of %+v: allowed is %v", verb, request, review.Status.Allowed)
			}
		}
	}
}
