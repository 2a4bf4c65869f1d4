package cli

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// An edge cluster: a thousand nodes in fifty pools, and two hundred Services with a hundred
// endpoints each.
const (
	nodeCount, poolCount        = 1000, 50
	serviceCount, endpointCount = 200, 100
	writers                     = 4
	keysAnnotation              = "openyurt.io/topologyKeys"
	role                        = "poolscope"
)

func nodeName(at int) string    { return fmt.Sprintf("edge-%04d", at) }
func poolName(at int) string    { return fmt.Sprintf("pool-%02d", at%poolCount) }
func serviceName(at int) string { return fmt.Sprintf("service-%03d", at) }

type cluster struct {
	t       *testing.T
	ctx     context.Context
	typed   *kubernetes.Clientset
	dynamic dynamic.Interface
	// The pool of each node.
	pools map[string]string
}

func newCluster(t *testing.T, config *rest.Config) *cluster {
	return &cluster{
		t: t, ctx: t.Context(), pools: map[string]string{},
		typed:   kubernetes.NewForConfigOrDie(config),
		dynamic: dynamic.NewForConfigOrDie(config),
	}
}

func (c *cluster) must(_ any, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// fill writes the cluster in the place of kubelets and controllers.
func (c *cluster) fill() {
	apiserver.DefineNodePools(c.t, c.dynamic)
	members := map[string][]any{}
	for at := range nodeCount {
		c.pools[nodeName(at)] = poolName(at)
		members[poolName(at)] = append(members[poolName(at)], nodeName(at))
	}
	for pool, nodes := range members {
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps.openyurt.io/v1beta2", "kind": "NodePool",
			"metadata": map[string]any{"name": pool},
			"status":   map[string]any{"nodes": nodes},
		}}
		c.must(c.dynamic.Resource(apiserver.NodePools).Create(c.ctx, object, metav1.CreateOptions{}))
	}
	c.together(nodeCount, func(at int) error {
		_, err := c.typed.CoreV1().Nodes().Create(c.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: nodeName(at), Labels: map[string]string{"apps.openyurt.io/nodepool": poolName(at)},
		}}, metav1.CreateOptions{})
		return err
	})
	c.together(serviceCount, func(at int) error {
		random := rand.New(rand.NewSource(int64(at)))
		service := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{
				Name:        serviceName(at),
				Annotations: map[string]string{keysAnnotation: "openyurt.io/nodepool"},
			},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		}
		if _, err := c.typed.CoreV1().Services("default").
			Create(c.ctx, service, metav1.CreateOptions{}); err != nil {
			return err
		}
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Name:   serviceName(at) + "-1",
				Labels: map[string]string{discoveryv1.LabelServiceName: serviceName(at)},
			},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports: []discoveryv1.EndpointPort{
				{Name: ptr.To(""), Port: ptr.To[int32](80), Protocol: ptr.To(corev1.ProtocolTCP)},
			},
		}
		for number := range endpointCount {
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses:  []string{fmt.Sprintf("10.128.%d.%d", at, number+1)},
				NodeName:   ptr.To(nodeName(random.Intn(nodeCount))),
				Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
			})
		}
		_, err := c.typed.DiscoveryV1().EndpointSlices("default").
			Create(c.ctx, slice, metav1.CreateOptions{})
		return err
	})
}

// together writes for each number below count, with several writers.
func (c *cluster) together(count int, write func(at int) error) {
	c.t.Helper()
	var group sync.WaitGroup
	errors := make(chan error, writers)
	for part := range writers {
		group.Go(func() {
			for at := part; at < count; at += writers {
				if err := write(at); err != nil {
					errors <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(errors)
	for err := range errors {
		c.t.Fatal(err)
	}
}

// documented reads the first YAML in a page of the docs.
func (c *cluster) documented(page string, into any) {
	text, err := os.ReadFile("../../docs/" + page)
	c.must(nil, err)
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	document, _, found := strings.Cut(rest, "```")
	if !found {
		c.t.Fatalf("docs/%s has no YAML", page)
	}
	c.must(nil, yaml.UnmarshalStrict([]byte(document), into))
}

// viewer creates a ServiceAccount with exactly the ClusterRole of docs/live.md. It returns a token.
func (c *cluster) viewer() string {
	var documented rbacv1.ClusterRole
	c.documented("live.md", &documented)
	c.must(c.typed.RbacV1().ClusterRoles().Create(c.ctx, &documented, metav1.CreateOptions{}))
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ops"}}
	c.must(c.typed.CoreV1().Namespaces().Create(c.ctx, namespace, metav1.CreateOptions{}))
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "viewer"}}
	c.must(c.typed.CoreV1().ServiceAccounts("ops").Create(c.ctx, account, metav1.CreateOptions{}))
	c.must(c.typed.RbacV1().ClusterRoleBindings().Create(c.ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "viewer"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "ops", Name: "viewer"}},
		RoleRef: rbacv1.RoleRef{
			APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: documented.Name,
		},
	}, metav1.CreateOptions{}))
	request := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](3600)},
	}
	answer, err := c.typed.CoreV1().ServiceAccounts("ops").
		CreateToken(c.ctx, "viewer", request, metav1.CreateOptions{})
	c.must(nil, err)
	return answer.Status.Token
}

// forbid takes a resource out of the viewer's role.
func (c *cluster) forbid(resource string) {
	held, err := c.typed.RbacV1().ClusterRoles().Get(c.ctx, role, metav1.GetOptions{})
	c.must(nil, err)
	for at := range held.Rules {
		var kept []string
		for _, one := range held.Rules[at].Resources {
			if one != resource {
				kept = append(kept, one)
			}
		}
		held.Rules[at].Resources = kept
	}
	c.must(c.typed.RbacV1().ClusterRoles().Update(c.ctx, held, metav1.UpdateOptions{}))
}

// annotate sets the topology keys of a Service.
func (c *cluster) annotate(name, keys string) {
	service, err := c.typed.CoreV1().Services("default").Get(c.ctx, name, metav1.GetOptions{})
	c.must(nil, err)
	service.Annotations = map[string]string{}
	if keys != "" {
		service.Annotations[keysAnnotation] = keys
	}
	c.must(c.typed.CoreV1().Services("default").Update(c.ctx, service, metav1.UpdateOptions{}))
}

// lines is what a running program has printed and nobody has read.
type lines struct {
	mutex sync.Mutex
	text  string
}

func (l *lines) Write(text []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.text += string(text)
	return len(text), nil
}

// await waits for a part, and reads up to it.
func (l *lines) await(t *testing.T, part string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		l.mutex.Lock()
		_, after, found := strings.Cut(l.text, part)
		if found {
			l.text = after
		}
		l.mutex.Unlock()
		if found {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("no %q was printed, but %q", part, l.text)
}
