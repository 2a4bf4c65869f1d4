package e2e

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"sort"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

const (
	keysAnnotation = "openyurt.io/topologyKeys"
	poolLabel      = "apps.openyurt.io/nodepool"
	byPool         = "openyurt.io/nodepool"
	byNode         = "kubernetes.io/hostname"
)

var (
	// As they are labelled; a node of each is a client.
	pools = map[string]string{
		"hz-0":    "hangzhou",
		"hz-1":    "hangzhou",
		"hz-2":    "hangzhou",
		"bj-0":    "beijing",
		"bj-1":    "beijing",
		"cloud-0": "",
	}
)

// world is a cluster's state, which the test writes in the place of controllers.
type world struct {
	t       *testing.T
	ctx     context.Context
	typed   *kubernetes.Clientset
	dynamic dynamic.Interface
	random  *rand.Rand
	// Services that there are, and the next number for one.
	services []string
	next     int
}

func newWorld(t *testing.T, config *rest.Config, seed int64) *world {
	w := &world{
		t: t, ctx: t.Context(), random: rand.New(rand.NewSource(seed)),
		typed: kubernetes.NewForConfigOrDie(config), dynamic: dynamic.NewForConfigOrDie(config),
	}
	apiserver.DefineNodePools(t, w.dynamic)
	members := map[string][]any{}
	for node, pool := range pools {
		labels := map[string]string{}
		if pool != "" {
			labels[poolLabel] = pool
			members[pool] = append(members[pool], node)
		}
		object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node, Labels: labels}}
		w.must(w.typed.CoreV1().Nodes().Create(w.ctx, object, metav1.CreateOptions{}))
	}
	for pool, nodes := range members {
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps.openyurt.io/v1beta2",
			"kind":       "NodePool",
			"metadata":   map[string]any{"name": pool},
		}}
		w.must(w.dynamic.Resource(apiserver.NodePools).Create(w.ctx, object, metav1.CreateOptions{}))
		w.setMembers(pool, nodes)
	}
	for range 8 {
		w.addService()
	}
	return w
}

// must ends the test if a write failed.
func (w *world) must(_ any, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// setMembers writes a pool's status, as OpenYurt's controller does.
func (w *world) setMembers(pool string, nodes []any) {
	w.retried(func() error {
		object, err := w.dynamic.Resource(apiserver.NodePools).Get(w.ctx, pool, metav1.GetOptions{})
		if err != nil {
			return err
		}
		object.Object["status"] = map[string]any{"nodes": nodes}
		_, err = w.dynamic.Resource(apiserver.NodePools).Update(w.ctx, object, metav1.UpdateOptions{})
		return err
	})
}

// retried writes again where a write meets another, or a server that is about to go.
func (w *world) retried(write func() error) {
	w.t.Helper()
	retriable := func(err error) bool {
		return apierrors.IsConflict(err) || apierrors.IsServerTimeout(err)
	}
	if err := retry.OnError(retry.DefaultBackoff, retriable, write); err != nil {
		w.t.Fatal(err)
	}
}

// addService writes a Service with one or two slices.
func (w *world) addService() {
	name := fmt.Sprintf("service-%d", w.next)
	w.next++
	object := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Annotations: w.keys()},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
	w.must(w.typed.CoreV1().Services("default").Create(w.ctx, object, metav1.CreateOptions{}))
	for number := range 1 + w.random.Intn(2) {
		w.must(w.typed.DiscoveryV1().EndpointSlices("default").Create(w.ctx, &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("%s-%d", name, number), Namespace: "default",
				Labels: map[string]string{discoveryv1.LabelServiceName: name},
			},
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints:   w.endpoints(),
		}, metav1.CreateOptions{}))
	}
	w.services = append(w.services, name)
}

func (w *world) keys() map[string]string {
	switch w.random.Intn(4) {
	case 0:
		return map[string]string{keysAnnotation: byNode}
	case 1, 2:
		return map[string]string{keysAnnotation: byPool}
	default:
		return nil
	}
}

func (w *world) endpoints() (endpoints []discoveryv1.Endpoint) {
	nodes := sortedKeys(pools)
	for range w.random.Intn(9) {
		node, ready := nodes[w.random.Intn(len(nodes))], w.random.Intn(5) > 0
		endpoints = append(endpoints, discoveryv1.Endpoint{
			Addresses:  []string{fmt.Sprintf("10.0.%d.%d", w.random.Intn(250), w.random.Intn(250))},
			NodeName:   &node,
			Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	return endpoints
}

// change does one random thing.
func (w *world) change() {
	service := w.services[w.random.Intn(len(w.services))]
	switch w.random.Intn(10) {
	case 0:
		w.addService()
	case 1:
		if len(w.services) > 4 {
			w.deleteService(service)
		}
	case 2, 3, 4:
		keys := w.keys()
		w.retried(func() error {
			object, err := w.typed.CoreV1().Services("default").Get(w.ctx, service, metav1.GetOptions{})
			if err != nil {
				return err
			}
			object.Annotations = keys
			_, err = w.typed.CoreV1().Services("default").Update(w.ctx, object, metav1.UpdateOptions{})
			return err
		})
	case 5:
		w.movePool()
	case 6:
		w.relabel()
	default:
		endpoints := w.endpoints()
		w.retried(func() error {
			object, err := w.typed.DiscoveryV1().
				EndpointSlices("default").
				Get(w.ctx, service+"-0", metav1.GetOptions{})
			if err != nil {
				return err
			}
			object.Endpoints = endpoints
			_, err = w.typed.DiscoveryV1().
				EndpointSlices("default").
				Update(w.ctx, object, metav1.UpdateOptions{})
			return err
		})
	}
}

// deleteService deletes its slices first: of slices that stand without their Service, the last keys
// hold.
func (w *world) deleteService(name string) {
	selector := metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name}
	w.must(
		nil,
		w.typed.DiscoveryV1().
			EndpointSlices("default").
			DeleteCollection(w.ctx, metav1.DeleteOptions{}, selector),
	)
	w.must(nil, w.typed.CoreV1().Services("default").Delete(w.ctx, name, metav1.DeleteOptions{}))
	w.services = slices.DeleteFunc(w.services, func(each string) bool { return each == name })
}

// movePool has a pool gain or lose a node.
func (w *world) movePool() {
	pool := []string{"hangzhou", "beijing"}[w.random.Intn(2)]
	var members []any
	for _, node := range sortedKeys(pools) {
		if w.random.Intn(2) == 0 {
			members = append(members, node)
		}
	}
	w.setMembers(pool, members)
}

// relabel puts a node into another pool, as far as its own view goes.
func (w *world) relabel() {
	nodes := sortedKeys(pools)
	node := nodes[w.random.Intn(len(nodes))]
	pool := []string{"hangzhou", "beijing", ""}[w.random.Intn(3)]
	w.retried(func() error {
		object, err := w.typed.CoreV1().Nodes().Get(w.ctx, node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		delete(object.Labels, poolLabel)
		if pool != "" {
			object.Labels = map[string]string{poolLabel: pool}
		}
		_, err = w.typed.CoreV1().Nodes().Update(w.ctx, object, metav1.UpdateOptions{})
		return err
	})
}

// view is what a node may see, computed from the whole state in the simplest way: endpoints by
// slice.
func (w *world) view() func(node string) map[string][]discoveryv1.Endpoint {
	services, err := w.typed.CoreV1().Services("").List(w.ctx, metav1.ListOptions{})
	w.must(nil, err)
	all, err := w.typed.DiscoveryV1().EndpointSlices("").List(w.ctx, metav1.ListOptions{})
	w.must(nil, err)
	nodes, err := w.typed.CoreV1().Nodes().List(w.ctx, metav1.ListOptions{})
	w.must(nil, err)
	listed, err := w.dynamic.Resource(apiserver.NodePools).List(w.ctx, metav1.ListOptions{})
	w.must(nil, err)
	keys, labels, members := map[string]string{}, map[string]string{}, map[string][]string{}
	for _, service := range services.Items {
		keys[service.Namespace+"/"+service.Name] = service.Annotations[keysAnnotation]
	}
	for _, node := range nodes.Items {
		labels[node.Name] = node.Labels[poolLabel]
	}
	for _, pool := range listed.Items {
		members[pool.GetName()], _, _ = unstructured.NestedStringSlice(pool.Object, "status", "nodes")
	}
	return func(self string) map[string][]discoveryv1.Endpoint {
		seen := map[string][]discoveryv1.Endpoint{}
		for _, slice := range all.Items {
			key := keys[slice.Namespace+"/"+slice.Labels[discoveryv1.LabelServiceName]]
			kept := []discoveryv1.Endpoint{}
			for _, endpoint := range slice.Endpoints {
				on := ptr.Deref(endpoint.NodeName, "")
				own := on == self
				// A node in no pool keeps to itself. One that its pool does not name is outside of it
				// (docs/openyurt.md, O7, O8).
				inPool := slices.Contains(members[labels[self]], on)
				if labels[self] == "" {
					inPool = own
				}
				if key == "" || key == byNode && own || key == byPool && inPool {
					kept = append(kept, endpoint)
				}
			}
			seen[slice.Name] = kept
		}
		return seen
	}
}

func sortedKeys(of map[string]string) []string {
	keys := make([]string, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
