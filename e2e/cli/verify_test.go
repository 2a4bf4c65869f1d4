package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/poolscope/poolscope/e2e/kubelet"
)

// testVerify reads maps in the pod of an agent, first without the rights, then with exactly those
// of docs/verify.md.
func (c *cluster) testVerify(t *testing.T, path, viewer string, node *kubelet.Kubelet) {
	name, foreign := nodeName(0), nodeName(1)
	node.Run(t, c.typed, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceSystem, Name: "cilium-0",
			Labels: map[string]string{"k8s-app": "cilium"},
		},
		Spec: corev1.PodSpec{
			NodeName: name, Containers: []corev1.Container{{Name: "cilium-agent", Image: "none"}},
		},
	})
	arguments := []string{"verify", "--node", name, "--exec"}
	r := run(t, viewer, path, arguments...)
	if r.status != 2 || !strings.Contains(r.errors, "add to a Role in kube-system") {
		t.Fatalf("without the rights: status %d: %s", r.status, r.errors)
	}
	c.permitExec()

	maps := c.maps(t, path, viewer, name)
	node.Prints = func(command string) (string, bool) {
		return maps, command == "cilium-dbg bpf lb list -o json"
	}
	// The authorizer follows the roles a moment later.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if r = run(t, viewer, path, arguments...); !strings.Contains(r.errors, "(403)") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(r.errors)
		}
	}
	if r.status != 0 || !strings.Contains(r.out, "(pod kube-system/cilium-0): ") {
		t.Fatalf("status %d: %s%s", r.status, r.out, r.errors)
	}
	t.Logf("verify %.2f s, %d kB, %d bytes of maps", r.seconds, r.kilobytes, len(maps))
	maps = c.maps(t, path, viewer, foreign)
	if r = run(t, viewer, path, arguments...); r.status != 1 ||
		!strings.Contains(r.out, "leak") || !strings.Contains(r.out, poolName(1)) {
		t.Fatalf("maps of %s: status %d: %s%s", foreign, r.status, r.out, r.errors)
	}
}

// permitExec gives the viewer exactly the rights of docs/verify.md.
func (c *cluster) permitExec() {
	var documented rbacv1.Role
	c.documented("verify.md", &documented)
	documented.Name = "poolscope-exec"
	roles := c.typed.RbacV1().Roles(metav1.NamespaceSystem)
	c.must(roles.Create(c.ctx, &documented, metav1.CreateOptions{}))
	bindings := c.typed.RbacV1().RoleBindings(metav1.NamespaceSystem)
	c.must(bindings.Create(c.ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: documented.Name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "ops", Name: "viewer"}},
		RoleRef: rbacv1.RoleRef{
			APIGroup: rbacv1.GroupName, Kind: "Role", Name: documented.Name,
		},
	}, metav1.CreateOptions{}))
}

// maps returns the maps of an agent that holds a node's view, as Cilium prints them.
func (c *cluster) maps(t *testing.T, path, viewer, node string) string {
	t.Helper()
	services, err := c.typed.CoreV1().Services("default").List(c.ctx, metav1.ListOptions{})
	c.must(nil, err)
	addresses := map[string]string{}
	for _, service := range services.Items {
		addresses[service.Name] = service.Spec.ClusterIP
	}
	maps := map[string][]string{}
	view := parse(t, done(t, viewer, path, "view", "--node", node, "-o", "json").out)
	for _, service := range view.Services {
		slot := 0
		for _, endpoint := range service.Endpoints {
			if endpoint.Kept {
				slot++
				key := fmt.Sprintf("%s:80/TCP (%d)", addresses[service.Name], slot)
				maps[key] = []string{fmt.Sprintf("%s:80/TCP (1) (%d)", endpoint.Address, slot)}
			}
		}
		key := fmt.Sprintf("%s:80/TCP (0)", addresses[service.Name])
		maps[key] = []string{"0.0.0.0:0 (1) (0) [ClusterIP, non-routable] "}
	}
	text, err := json.Marshal(maps)
	c.must(nil, err)
	return string(text)
}
