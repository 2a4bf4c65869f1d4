package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// stock fills a server with the objects of the tables, and returns a resourceVersion before the
// last of them.
func stock(t *testing.T, w *world) string {
	t.Helper()
	all := w.typed.CoreV1().ConfigMaps("default")
	create := func(name, label string) {
		t.Helper()
		object := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{label: "1"}},
			// So that a list is large enough for the server to compress it.
			Data: map[string]string{"text": repeat("conformance ", 30_000)},
		}
		w.must(all.Create(w.ctx, object, metav1.CreateOptions{}))
	}
	for number := range 6 {
		create(fmt.Sprintf("some-%d", number), []string{"even", "odd"}[number%2])
	}
	now, err := all.List(w.ctx, metav1.ListOptions{})
	w.must(nil, err)
	create("later-1", "odd")
	create("later-2", "even")
	w.must(nil, all.Delete(w.ctx, "later-2", metav1.DeleteOptions{}))
	w.must(w.typed.AppsV1().RESTClient().Post().AbsPath(deployments).
		SetHeader("Content-Type", "application/json").Body([]byte(deployment("present"))).
		Do(w.ctx).Raw())
	return now.ResourceVersion
}

// Everything but reads of endpoints: status, headers, body and trailers are the API server's own.
func TestConformance(t *testing.T) {
	ca := apiserver.NewAuthority(t)
	certificate, key := ca.Issue(t, "server")
	server := apiserver.Start(t, "--authorization-mode", "RBAC",
		"--tls-cert-file", certificate, "--tls-private-key-file", key)
	w := newWorld(t, server.Config(), 7)
	version := stock(t, w)
	six := freeAddress6(t)
	p := proxyTo(
		t, server.Address(), server.Config().BearerToken, ca.File(), "--listen", six)
	for major := 1; major <= 2; major++ {
		ways := newWays(t, server, p, major)
		t.Run(fmt.Sprintf("HTTP%d", major), func(t *testing.T) {
			t.Run("reads", func(t *testing.T) {
				for _, row := range reads {
					t.Run(row.name, func(t *testing.T) {
						t.Parallel()
						if row.method == "" {
							row.method = http.MethodGet
						}
						row.path = strings.ReplaceAll(row.path, "VERSION", version)
						ways.read(t, row)
					})
				}
			})
			twins := [2]string{fmt.Sprintf("twin-a%d", major), fmt.Sprintf("twin-b%d", major)}
			for _, row := range writes {
				ways.write(t, row, twins)
			}
			metrics(t, ways)
			for _, row := range reads[:12] {
				over6 := ways
				over6.through = newWay(t, "https://"+six, server.Config().BearerToken, major)
				row.method = http.MethodGet
				over6.read(t, row)
			}
		})
	}
	t.Run("a watch that is gone", func(t *testing.T) {
		server.Compact(t)
		// Else the server's cache still has what etcd has not.
		server.Restart(t)
		for major := 1; major <= 2; major++ {
			row := request{
				name: "gone", method: http.MethodGet,
				path: configMaps + "?watch=1&resourceVersion=1&timeoutSeconds=1",
			}
			ways := newWays(t, server, p, major)
			ways.read(t, row)
			if r := ways.through.send(t, row, ""); !strings.Contains(r.body, `"code":410`) {
				t.Errorf("not gone: %d %.300s", r.status, r.body)
			}
		}
	})
	t.Run("the status of a Service", func(t *testing.T) {
		for major := 1; major <= 2; major++ {
			newWays(t, server, p, major).readPlainer(t, serviceStatus)
		}
	})
}

// metrics compares the names of the metrics, because their values change with each request.
func metrics(t *testing.T, ways ways) {
	t.Helper()
	names := func(way *way) map[string]bool {
		row := request{name: "metrics", method: http.MethodGet, path: "/metrics"}
		r := way.send(t, row, "")
		if r.status != http.StatusOK || r.broken != "" {
			t.Fatal("metrics:", r.status, r.broken)
		}
		all := map[string]bool{}
		for _, line := range strings.Split(r.body, "\n") {
			if strings.HasPrefix(line, "# TYPE ") {
				all[line] = true
			}
		}
		return all
	}
	before, got, after := names(ways.direct), names(ways.through), names(ways.direct)
	for name := range before {
		if !got[name] {
			t.Errorf("metrics: the proxy lost %q", name)
		}
	}
	for name := range got {
		if !after[name] {
			t.Errorf("metrics: the proxy added %q", name)
		}
	}
	if len(before) < 50 {
		t.Errorf("only %d metrics", len(before))
	}
}

func freeAddress6(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 on loopback:", err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
