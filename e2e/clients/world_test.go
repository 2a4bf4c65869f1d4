package clients

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

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

	servicePort  = 80
	endpointPort = 8080
	headless     = corev1.ClusterIPNone
)

// world is the cluster's state, which the test writes in the place of controllers.
type world struct {
	t       *testing.T
	ctx     context.Context
	typed   *kubernetes.Clientset
	dynamic dynamic.Interface
	// The number of each node, the last part of its address and the third of its endpoints'.
	nodes map[string]int
}

// newWorld makes nodes. Their pools are named as the value; nodes without one are in no pool.
func newWorld(t *testing.T, config *rest.Config, pools map[string]string) *world {
	t.Helper()
	w := &world{
		t: t, ctx: t.Context(), nodes: map[string]int{},
		typed: kubernetes.NewForConfigOrDie(config), dynamic: dynamic.NewForConfigOrDie(config),
	}
	apiserver.DefineNodePools(t, w.dynamic)
	w.awaitAPIService()
	for _, pool := range []string{"hangzhou", "beijing"} {
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps.openyurt.io/v1beta2",
			"kind":       "NodePool",
			"metadata":   map[string]any{"name": pool},
		}}
		w.must(
			w.dynamic.Resource(apiserver.NodePools).Create(w.ctx, object, metav1.CreateOptions{}),
		)
	}
	for node, pool := range pools {
		w.nodes[node] = 10 + len(w.nodes)
		object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
		object, err := w.typed.CoreV1().Nodes().Create(w.ctx, object, metav1.CreateOptions{})
		w.must(nil, err)
		for _, address := range []string{
			nodeAddress(w.nodes[node]), fmt.Sprintf("fd00:18::%d", w.nodes[node]),
		} {
			object.Status.Addresses = append(
				object.Status.Addresses,
				corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address})
		}
		w.must(w.typed.CoreV1().Nodes().UpdateStatus(w.ctx, object, metav1.UpdateOptions{}))
		w.movePool(node, pool)
	}
	return w
}

// awaitAPIService waits until the API server has published its own endpoint, which it does some
// time after it is ready. It removes the endpoint when it stops.
func (w *world) awaitAPIService() {
	w.t.Helper()
	selector := metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kubernetes"}
	own := w.typed.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault)
	eventually(w.t, "the API server publishes its endpoint", func() bool {
		listed, err := own.List(w.ctx, selector)
		return err == nil && len(listed.Items) > 0 && len(listed.Items[0].Endpoints) > 0
	})
}

// must ends the test if a write failed.
func (w *world) must(_ any, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// retried writes again where a write meets another, or a server that is about to go.
func (w *world) retried(write func() error) {
	w.t.Helper()
	retriable := func(err error) bool {
		return apierrors.IsConflict(err) || apierrors.IsServerTimeout(err)
	}
	w.must(nil, retry.OnError(retry.DefaultBackoff, retriable, write))
}

// movePool puts a node into a pool: the node's label, then the pools' status, as OpenYurt's
// controller writes it.
func (w *world) movePool(node, pool string) {
	w.t.Helper()
	w.retried(func() error {
		object, err := w.typed.CoreV1().Nodes().Get(w.ctx, node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		object.Labels = map[string]string{}
		if pool != "" {
			object.Labels[poolLabel] = pool
		}
		_, err = w.typed.CoreV1().Nodes().Update(w.ctx, object, metav1.UpdateOptions{})
		return err
	})
	nodes, err := w.typed.CoreV1().Nodes().List(w.ctx, metav1.ListOptions{})
	w.must(nil, err)
	members := map[string][]any{}
	for _, each := range nodes.Items {
		members[each.Labels[poolLabel]] = append(members[each.Labels[poolLabel]], each.Name)
	}
	pools := w.dynamic.Resource(apiserver.NodePools)
	for _, name := range []string{"hangzhou", "beijing"} {
		w.retried(func() error {
			object, err := pools.Get(w.ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			object.Object["status"] = map[string]any{"nodes": members[name]}
			_, err = pools.Update(w.ctx, object, metav1.UpdateOptions{})
			return err
		})
	}
}

// addService writes a Service of both families with an endpoint of each family on the nodes.
func (w *world) addService(name, keys, clusterIP string, nodes ...string) {
	w.t.Helper()
	object := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault},
		Spec: corev1.ServiceSpec{
			ClusterIP:      clusterIP,
			IPFamilyPolicy: ptr.To(corev1.IPFamilyPolicyRequireDualStack),
			Ports:          []corev1.ServicePort{{Name: "http", Port: servicePort}},
		},
	}
	if keys != "" {
		object.Annotations = map[string]string{keysAnnotation: keys}
	}
	services := w.typed.CoreV1().Services(metav1.NamespaceDefault)
	w.must(services.Create(w.ctx, object, metav1.CreateOptions{}))
	for _, kind := range []discoveryv1.AddressType{
		discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6,
	} {
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Name: sliceName(name, kind), Namespace: metav1.NamespaceDefault,
				Labels: map[string]string{discoveryv1.LabelServiceName: name},
			},
			AddressType: kind,
			Ports: []discoveryv1.EndpointPort{
				{Name: ptr.To("http"), Port: ptr.To[int32](endpointPort)},
			},
		}
		for number, node := range nodes {
			slice.Endpoints = append(slice.Endpoints, w.endpoint(kind, node, len(name), number))
		}
		slices := w.typed.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault)
		w.must(slices.Create(w.ctx, slice, metav1.CreateOptions{}))
	}
}

func sliceName(service string, kind discoveryv1.AddressType) string {
	return service + "-" + strings.ToLower(string(kind))
}

// endpoint has an address that is different for each node, Service and number.
func (w *world) endpoint(
	kind discoveryv1.AddressType, node string, service, number int,
) discoveryv1.Endpoint {
	address := fmt.Sprintf("%s%d.%d", endpoints4, w.nodes[node], 20*service%240+number)
	if kind == discoveryv1.AddressTypeIPv6 {
		address = fmt.Sprintf("%s%d:%d", endpoints6, w.nodes[node], 20*service%240+number)
	}
	return discoveryv1.Endpoint{
		Addresses: []string{address}, NodeName: &node,
		Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
	}
}

// change edits the endpoints of a Service in both families.
func (w *world) change(
	service string,
	edit func(discoveryv1.AddressType, []discoveryv1.Endpoint) []discoveryv1.Endpoint,
) {
	w.t.Helper()
	all := w.typed.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault)
	for _, kind := range []discoveryv1.AddressType{
		discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6,
	} {
		w.retried(func() error {
			slice, err := all.Get(w.ctx, sliceName(service, kind), metav1.GetOptions{})
			if err != nil {
				return err
			}
			slice.Endpoints = edit(kind, slice.Endpoints)
			_, err = all.Update(w.ctx, slice, metav1.UpdateOptions{})
			return err
		})
	}
}

// addEndpoint adds one on a node.
func (w *world) addEndpoint(service, node string) {
	w.t.Helper()
	w.change(service, func(
		kind discoveryv1.AddressType, endpoints []discoveryv1.Endpoint,
	) []discoveryv1.Endpoint {
		return append(endpoints, w.endpoint(kind, node, len(service), 10+len(endpoints)))
	})
}

// removeEndpoints removes those on a node.
func (w *world) removeEndpoints(service, node string) {
	w.t.Helper()
	w.change(service, func(
		_ discoveryv1.AddressType, endpoints []discoveryv1.Endpoint,
	) []discoveryv1.Endpoint {
		return slices.DeleteFunc(endpoints, func(each discoveryv1.Endpoint) bool {
			return *each.NodeName == node
		})
	})
}

// setReady sets the condition of the endpoints on a node.
func (w *world) setReady(service, node string, ready bool) {
	w.t.Helper()
	w.change(service, func(
		_ discoveryv1.AddressType, endpoints []discoveryv1.Endpoint,
	) []discoveryv1.Endpoint {
		for i := range endpoints {
			if *endpoints[i].NodeName == node {
				endpoints[i].Conditions.Ready = &ready
			}
		}
		return endpoints
	})
}

// annotate sets the annotation of a Service, or removes it.
func (w *world) annotate(service, keys string) {
	w.t.Helper()
	services := w.typed.CoreV1().Services(metav1.NamespaceDefault)
	w.retried(func() error {
		object, err := services.Get(w.ctx, service, metav1.GetOptions{})
		if err != nil {
			return err
		}
		object.Annotations = nil
		if keys != "" {
			object.Annotations = map[string]string{keysAnnotation: keys}
		}
		_, err = services.Update(w.ctx, object, metav1.UpdateOptions{})
		return err
	})
}

// deleteService deletes a Service and its slices.
func (w *world) deleteService(name string) {
	w.t.Helper()
	slices := w.typed.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault)
	selector := metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name}
	w.must(nil, slices.DeleteCollection(w.ctx, metav1.DeleteOptions{}, selector))
	services := w.typed.CoreV1().Services(metav1.NamespaceDefault)
	w.must(nil, services.Delete(w.ctx, name, metav1.DeleteOptions{}))
}

// view is what the clients on a node have to hold.
type view struct {
	// The addresses and endpoints of kube-proxy's rules.
	rules table
	// The addresses of each Service's name. A ClusterIP Service has its own.
	names table
	// The addresses of each Service's endpoints.
	endpoints table
}

// views computes the view of each node, from the whole state and in the simplest way.
func (w *world) views() map[string]view {
	w.t.Helper()
	services, err := w.typed.CoreV1().Services("").List(w.ctx, metav1.ListOptions{})
	w.must(nil, err)
	all, err := w.typed.DiscoveryV1().EndpointSlices("").List(w.ctx, metav1.ListOptions{})
	w.must(nil, err)
	nodes, err := w.typed.CoreV1().Nodes().List(w.ctx, metav1.ListOptions{})
	w.must(nil, err)
	pools, err := w.dynamic.Resource(apiserver.NodePools).List(w.ctx, metav1.ListOptions{})
	w.must(nil, err)
	members := map[string][]string{}
	for _, pool := range pools.Items {
		members[pool.GetName()], _, _ = unstructured.NestedStringSlice(
			pool.Object,
			"status",
			"nodes",
		)
	}
	views := map[string]view{}
	for _, node := range nodes.Items {
		// A node in no pool is alone.
		together := []string{node.Name}
		if pool := node.Labels[poolLabel]; pool != "" {
			together = members[pool]
		}
		seen := view{table{}, table{}, table{}}
		for _, service := range services.Items {
			seen.add(node.Name, together, &service, all.Items)
		}
		views[node.Name] = seen
	}
	return views
}

// add adds one Service as a node sees it, which is in one pool with others.
func (v view) add(
	node string, together []string, service *corev1.Service, all []discoveryv1.EndpointSlice,
) {
	isHeadless := service.Spec.ClusterIP == headless
	v.names.add(service.Name)
	if !isHeadless {
		v.names.add(service.Name, service.Spec.ClusterIPs...)
		for _, address := range service.Spec.ClusterIPs {
			v.rules.add(net.JoinHostPort(address, fmt.Sprint(service.Spec.Ports[0].Port)))
		}
	}
	for _, slice := range all {
		if slice.Labels[discoveryv1.LabelServiceName] != service.Name {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			on := ptr.Deref(endpoint.NodeName, "")
			switch service.Annotations[keysAnnotation] {
			case byNode:
				if on != node {
					continue
				}
			case byPool:
				if !slices.Contains(together, on) {
					continue
				}
			}
			if !*endpoint.Conditions.Ready {
				continue
			}
			address := endpoint.Addresses[0]
			v.endpoints.add(service.Name, address)
			if isHeadless {
				v.names.add(service.Name, address)
				continue
			}
			isSix := slice.AddressType == discoveryv1.AddressTypeIPv6
			for _, own := range service.Spec.ClusterIPs {
				if strings.Contains(own, ":") == isSix {
					v.rules.add(
						net.JoinHostPort(own, fmt.Sprint(service.Spec.Ports[0].Port)),
						net.JoinHostPort(address, fmt.Sprint(*slice.Ports[0].Port)),
					)
				}
			}
		}
	}
}
