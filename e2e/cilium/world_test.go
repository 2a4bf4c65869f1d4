package cilium

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

const (
	namespace, serviceName = "default", "busy-box-svc"
	keysAnnotation         = "openyurt.io/topologyKeys"
	poolLabel              = "apps.openyurt.io/nodepool"
)

// The Service's ways in.
var (
	tcp4 = frontend{"tcp", netip.MustParseAddr("10.96.0.10")}
	udp4 = frontend{"udp", tcp4.ip}
	tcp6 = frontend{"tcp", netip.MustParseAddr("fd00:10:96::10")}
	udp6 = frontend{"udp", tcp6.ip}
)

// world is the cluster, which the test writes in the place of its controllers.
type world struct {
	t       testing.TB
	typed   *kubernetes.Clientset
	dynamic dynamic.Interface
	// For the agent.
	kubeconfig string
}

// newWorld serves Cilium's kinds and NodePools.
func newWorld(t testing.TB, config *rest.Config, module string) *world {
	w := &world{
		t: t, typed: kubernetes.NewForConfigOrDie(config), dynamic: dynamic.NewForConfigOrDie(config),
		kubeconfig: filepath.Join(t.TempDir(), "kubeconfig"),
	}
	definitions, err := filepath.Glob(
		filepath.Join(module, "pkg/k8s/apis/cilium.io/client/crds/v2*/*.yaml"),
	)
	if err != nil || len(definitions) == 0 {
		t.Fatalf("no definitions of Cilium's kinds: %v", err)
	}
	for _, path := range definitions {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		definition := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &definition.Object); err != nil {
			t.Fatal(err)
		}
		w.must(
			w.dynamic.Resource(apiserver.Definitions).
				Create(t.Context(), definition, metav1.CreateOptions{}),
		)
	}
	apiserver.DefineNodePools(t, w.dynamic)
	apiserver.AwaitServed(
		t,
		w.dynamic,
		schema.GroupVersionResource{Group: "cilium.io", Version: "v2", Resource: "ciliumnodes"},
	)
	w.writeKubeconfig(config)
	return w
}

// must ends the test where a write failed.
func (w *world) must(_ any, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) writeKubeconfig(config *rest.Config) {
	written := clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			"e2e": {Server: config.Host, InsecureSkipTLSVerify: true},
		},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"e2e": {Token: config.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{"e2e": {Cluster: "e2e", AuthInfo: "e2e"}},
		CurrentContext: "e2e",
	}
	w.must(nil, clientcmd.WriteToFile(written, w.kubeconfig))
}

// node writes a Node in a pool, or in none.
func (w *world) node(name, pool, address string) {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:   name,
			Labels: map[string]string{"kubernetes.io/hostname": name},
		},
	}
	if pool != "" {
		node.Labels[poolLabel] = pool
	}
	node.Spec.PodCIDRs = []string{"10.244." + address + ".0/24", "fd00:244:0:" + address + "::/64"}
	node.Spec.PodCIDR = node.Spec.PodCIDRs[0]
	written, err := w.typed.CoreV1().Nodes().Create(w.t.Context(), node, metav1.CreateOptions{})
	w.must(nil, err)
	written.Status.Addresses = []corev1.NodeAddress{
		{
			Type:    corev1.NodeInternalIP,
			Address: "192.168.50." + address,
		}, {Type: corev1.NodeInternalIP, Address: "fd00:50::" + address},
	}
	w.must(w.typed.CoreV1().Nodes().UpdateStatus(w.t.Context(), written, metav1.UpdateOptions{}))
}

// pool writes a NodePool with these members.
func (w *world) pool(name string, members ...string) {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps.openyurt.io/v1beta2",
		"kind":       "NodePool",
		"metadata":   map[string]any{"name": name},
	}}
	w.must(
		w.dynamic.Resource(apiserver.NodePools).Create(w.t.Context(), object, metav1.CreateOptions{}),
	)
	w.members(name, members...)
}

// members writes a pool's status, as OpenYurt's controller does.
func (w *world) members(pool string, members ...string) {
	w.patch(
		w.dynamic.Resource(apiserver.NodePools),
		pool,
		map[string]any{"status": map[string]any{"nodes": members}},
	)
}

// undefinePools has the server serve no NodePools.
func (w *world) undefinePools() {
	w.must(
		nil,
		w.dynamic.Resource(apiserver.Definitions).
			Delete(w.t.Context(), "nodepools.apps.openyurt.io", metav1.DeleteOptions{}),
	)
	for {
		_, err := w.dynamic.Resource(apiserver.NodePools).
			List(w.t.Context(), metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *world) deletePool(name string) {
	w.must(
		nil,
		w.dynamic.Resource(apiserver.NodePools).Delete(w.t.Context(), name, metav1.DeleteOptions{}),
	)
}

// move puts a Node into another pool, as far as its label goes.
func (w *world) move(node, pool string) {
	w.patch(w.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"}), node,
		map[string]any{"metadata": map[string]any{"labels": map[string]any{poolLabel: pool}}})
}

// writtenPool is an error while the agent's CiliumNode has another pool than the Node.
func (w *world) writtenPool(node, pool string) error {
	nodes := schema.GroupVersionResource{Group: "cilium.io", Version: "v2", Resource: "ciliumnodes"}
	found, err := w.dynamic.Resource(nodes).Get(w.t.Context(), node, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if written := found.GetLabels()[poolLabel]; written != pool {
		return fmt.Errorf("the CiliumNode has pool %q", written)
	}
	return nil
}

func (w *world) patch(resource dynamic.ResourceInterface, name string, change map[string]any) {
	w.t.Helper()
	text, err := yaml.Marshal(change)
	w.must(nil, err)
	text, err = yaml.YAMLToJSON(text)
	w.must(nil, err)
	w.must(resource.Patch(w.t.Context(), name, types.MergePatchType, text, metav1.PatchOptions{}))
}

// service writes the guide's Service, for both families and protocols.
func (w *world) service() {
	policy := corev1.IPFamilyPolicyRequireDualStack
	w.must(w.typed.CoreV1().Services(namespace).Create(w.t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name:        serviceName,
			Annotations: map[string]string{keysAnnotation: "openyurt.io/nodepool"},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: tcp4.ip.String(), ClusterIPs: []string{tcp4.ip.String(), tcp6.ip.String()},
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}, IPFamilyPolicy: &policy,
			Ports: []corev1.ServicePort{
				{Name: "tcp", Port: port, Protocol: corev1.ProtocolTCP},
				{Name: "udp", Port: port, Protocol: corev1.ProtocolUDP},
			},
		},
	}, metav1.CreateOptions{}))
}

// annotate sets the Service's topology keys; empty removes them.
func (w *world) annotate(keys string) {
	var value any
	if keys != "" {
		value = keys
	}
	w.patch(
		w.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "services"}).
			Namespace(namespace),
		serviceName,
		map[string]any{"metadata": map[string]any{"annotations": map[string]any{keysAnnotation: value}}},
	)
}

// endpoints writes the Service's slices, one a family, with these pods; that of IPv4 last.
func (w *world) endpoints(pods ...pod) {
	w.slice("v6", discoveryv1.AddressTypeIPv6, pod.v6, pods)
	w.slice("v4", discoveryv1.AddressTypeIPv4, pod.v4, pods)
}

func (w *world) slice(
	name string,
	family discoveryv1.AddressType,
	address func(pod) string,
	pods []pod,
) {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name:   serviceName + "-" + name,
			Labels: map[string]string{discoveryv1.LabelServiceName: serviceName},
		},
		AddressType: family,
		Ports: []discoveryv1.EndpointPort{
			{Name: ptr.To("tcp"), Port: ptr.To[int32](port), Protocol: ptr.To(corev1.ProtocolTCP)},
			{Name: ptr.To("udp"), Port: ptr.To[int32](port), Protocol: ptr.To(corev1.ProtocolUDP)},
		},
	}
	for _, pod := range pods {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{
				address(pod),
			}, NodeName: ptr.To(pod.node), Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
		})
	}
	client := w.typed.DiscoveryV1().EndpointSlices(namespace)
	if before, err := client.Get(w.t.Context(), slice.Name, metav1.GetOptions{}); err == nil {
		slice.ResourceVersion = before.ResourceVersion
		w.must(client.Update(w.t.Context(), slice, metav1.UpdateOptions{}))
	} else {
		w.must(client.Create(w.t.Context(), slice, metav1.CreateOptions{}))
	}
}

// guide writes the guide's cluster: two pools and the cloud, and a Service with a pod in each.
func (w *world) guide() {
	w.node(hangzhou.node, "hangzhou", "11")
	w.node(beijing.node, "beijing", "12")
	w.node(cloud.node, "", "13")
	w.pool("hangzhou", hangzhou.node)
	w.pool("beijing", beijing.node)
	w.service()
	w.endpoints(hangzhou, beijing, cloud)
}
