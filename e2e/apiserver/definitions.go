package apiserver

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// A resource of a server, and its definition.
var (
	NodePools = schema.GroupVersionResource{
		Group:    "apps.openyurt.io",
		Version:  "v1beta2",
		Resource: "nodepools",
	}
	Definitions = schema.GroupVersionResource{
		Group:    "apiextensions.k8s.io",
		Version:  "v1",
		Resource: "customresourcedefinitions",
	}
)

// DefineNodePools has the server serve NodePools, as OpenYurt does.
func DefineNodePools(t Owner, client dynamic.Interface) {
	t.Helper()
	_, err := client.Resource(Definitions).
		Create(t.Context(), nodePoolDefinition(), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	AwaitServed(t, client, NodePools)
}

// AwaitServed waits until what was defined can be listed.
func AwaitServed(t Owner, client dynamic.Interface, resource schema.GroupVersionResource) {
	t.Helper()
	for deadline := time.Now().Add(patient); ; time.Sleep(20 * time.Millisecond) {
		_, err := client.Resource(resource).List(t.Context(), metav1.ListOptions{})
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s are not served: %v", resource.Resource, err)
		}
	}
}

func nodePoolDefinition() *unstructured.Unstructured {
	anything := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "nodepools.apps.openyurt.io"},
		"spec": map[string]any{
			"group": "apps.openyurt.io", "scope": "Cluster",
			"names": map[string]any{
				"kind":     "NodePool",
				"plural":   "nodepools",
				"singular": "nodepool",
				"listKind": "NodePoolList",
			},
			"versions": []any{map[string]any{
				"name": "v1beta2", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{
					"type": "object", "properties": map[string]any{"spec": anything, "status": anything},
				}},
			}},
		},
	}}
}
