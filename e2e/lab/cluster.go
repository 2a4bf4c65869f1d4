package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

const (
	namespace  = "shop"
	annotation = "openyurt.io/topologyKeys"
	byPool     = "openyurt.io/nodepool"
	poolLabel  = "apps.openyurt.io/nodepool"
)

// cluster writes objects as an administrator and OpenYurt's controllers would.
type cluster struct {
	*run
	typed   *kubernetes.Clientset
	dynamic dynamic.Interface
	// The pool of each node.
	pools map[string]string
	// The Services, annotated or not.
	annotated map[string]bool
}

func newCluster(r *run, server *apiserver.Server) *cluster {
	return &cluster{
		run:     r,
		typed:   kubernetes.NewForConfigOrDie(server.Config()),
		dynamic: dynamic.NewForConfigOrDie(server.Config()),
		pools: map[string]string{
			"hz-edge-1": "hangzhou", "hz-edge-2": "hangzhou", "bj-edge-1": "beijing",
		},
		annotated: map[string]bool{"cart": true, "web": false},
	}
}

func (c *cluster) version() string {
	version, err := c.typed.Discovery().ServerVersion()
	c.must(err)
	return version.GitVersion
}

func (c *cluster) create() {
	apiserver.DefineNodePools(c.run, c.dynamic)
	for _, pool := range []string{"beijing", "hangzhou"} {
		_, err := c.dynamic.Resource(apiserver.NodePools).Create(c.ctx, &unstructured.Unstructured{
			Object: map[string]any{
				"apiVersion": apiserver.NodePools.GroupVersion().String(), "kind": "NodePool",
				"metadata": map[string]any{"name": pool}, "status": c.status(pool),
			},
		}, metav1.CreateOptions{})
		c.must(err)
	}
	for node, pool := range c.pools {
		_, err := c.typed.CoreV1().Nodes().Create(c.ctx, &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{poolLabel: pool}},
		}, metav1.CreateOptions{})
		c.must(err)
	}
	_, err := c.typed.CoreV1().Namespaces().Create(c.ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
	}, metav1.CreateOptions{})
	c.must(err)
	for number, service := range slices.Sorted(maps.Keys(c.annotated)) {
		c.createService(service, number+1)
	}
}

func (c *cluster) createService(name string, number int) {
	object := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
	if c.annotated[name] {
		object.Annotations = map[string]string{annotation: byPool}
	}
	_, err := c.typed.CoreV1().Services(namespace).Create(c.ctx, object, metav1.CreateOptions{})
	c.must(err)
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: name + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: name},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for index, node := range slices.Sorted(maps.Keys(c.pools)) {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.244.%d.%d", index+1, number)}, NodeName: &node,
		})
	}
	_, err = c.typed.DiscoveryV1().EndpointSlices(namespace).
		Create(c.ctx, slice, metav1.CreateOptions{})
	c.must(err)
}

// move puts a node into another pool: its label, and the status of both pools.
func (c *cluster) move(node, pool string) {
	c.pools[node] = pool
	label := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, poolLabel, pool)
	_, err := c.typed.CoreV1().Nodes().Patch(
		c.ctx, node, types.MergePatchType, []byte(label), metav1.PatchOptions{})
	c.must(err)
	pools := c.dynamic.Resource(apiserver.NodePools)
	for _, name := range []string{"beijing", "hangzhou"} {
		object, err := pools.Get(c.ctx, name, metav1.GetOptions{})
		c.must(err)
		object.Object["status"] = c.status(name)
		_, err = pools.Update(c.ctx, object, metav1.UpdateOptions{})
		c.must(err)
	}
}

func (c *cluster) annotate(service string) {
	c.annotated[service] = true
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, annotation, byPool)
	_, err := c.typed.CoreV1().Services(namespace).Patch(
		c.ctx, service, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	c.must(err)
}

// status is that of a NodePool.
func (c *cluster) status(pool string) map[string]any {
	nodes := []any{}
	for _, node := range slices.Sorted(maps.Keys(c.pools)) {
		if c.pools[node] == pool {
			nodes = append(nodes, node)
		}
	}
	return map[string]any{"nodes": nodes}
}

// kubeconfig writes a kubeconfig that names the lab's token, because no ServiceAccount is mounted
// here, and returns its path.
func (c *cluster) kubeconfig(name string, config *api.Config) string {
	for _, user := range config.AuthInfos {
		user.TokenFile = filepath.Join(c.folder, "token")
	}
	path := filepath.Join(c.folder, name+".kubeconfig")
	c.must(clientcmd.WriteToFile(*config, path))
	return path
}

func adminConfig(server *apiserver.Server) *api.Config {
	config := api.NewConfig()
	config.Clusters["lab"] = &api.Cluster{
		Server: server.Config().Host, CertificateAuthority: server.CAFile(),
	}
	config.AuthInfos["admin"] = &api.AuthInfo{}
	config.Contexts["lab"] = &api.Context{Cluster: "lab", AuthInfo: "admin", Namespace: namespace}
	config.CurrentContext = "lab"
	return config
}

// explain prints commands to try.
func (c *cluster) explain(p *proxy) {
	fmt.Print(strings.NewReplacer(
		"LAB", c.folder, "PROXY", p.address, "HEALTH", p.health, "KEY", annotation,
	).Replace(`
The lab stays up until Ctrl-C. In another terminal:

    cd LAB
    kubectl --kubeconfig direct.kubeconfig -n shop get endpointslices
    kubectl --kubeconfig agent.kubeconfig -n shop get endpointslices --watch
    kubectl --kubeconfig direct.kubeconfig -n shop annotate service web KEY-

    curl -s --cacert client/ca.crt -H "Authorization: Bearer $(cat token)" \
        https://PROXY/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices
    curl -s -H "Authorization: Bearer $(cat token)" \
        'http://HEALTH/debug/explain?service=shop/cart'
    curl -s http://HEALTH/metrics
`))
}
