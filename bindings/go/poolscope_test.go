package poolscope

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func newCluster(t testing.TB, config string) *Cluster {
	t.Helper()
	cluster, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

// teach gives the cluster a whole response.
func teach(t testing.TB, cluster *Cluster, target, body string) {
	t.Helper()
	feed := openFeed(t, cluster, target)
	defer feed.Close()
	if _, err := feed.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := feed.Finish(); err != nil {
		t.Fatal(err)
	}
}

func openFeed(t testing.TB, cluster *Cluster, target string) *Feed {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	feed, err := cluster.Feed(request, http.StatusOK, http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	return feed
}

// teachAll gives it all that newAPIServer knows, so that node hz-1 is ready.
func teachAll(t testing.TB, cluster *Cluster) {
	t.Helper()
	teach(t, cluster, "/api/v1/services", list("Service", "10", plainService))
	teach(t, cluster, "/api/v1/nodes", list("Node", "10", `{"metadata":{"name":"hz-1","labels":{"apps.openyurt.io/nodepool":"hangzhou"}}}`))
	teach(t, cluster, poolsPath, list("NodePool", "10", `{"metadata":{"name":"hangzhou"},"status":{"nodes":["hz-1"]}}`))
}

func annotated(version int) string { return fmt.Sprintf(annotatedService, version) }

func TestAConfigurationThatCannotBeUsedIsNamed(t *testing.T) {
	_, err := New(`{"retentoin":"full"}`)
	if !errors.Is(err, &Error{Status: Config}) || !strings.Contains(err.Error(), "retentoin") {
		t.Fatal(err)
	}
}

func TestAFeedSaysWhereItsBodyIsWrong(t *testing.T) {
	feed := openFeed(t, newCluster(t, ""), "/api/v1/services")
	defer feed.Close()
	_, err := feed.Write([]byte(`{"items":[{"metadata":{}} "x"`))
	var wrong *Error
	if !errors.As(err, &wrong) || wrong.Status != Malformed || wrong.Offset == NoOffset {
		t.Fatalf("%#v", err)
	}
	if _, err := feed.Write(nil); !errors.Is(err, &Error{Status: Closed}) {
		t.Fatal(err)
	}
}

func TestAFeedTeachesNothingButFacts(t *testing.T) {
	request, _ := http.NewRequest(http.MethodGet, "/api/v1/pods", nil)
	_, err := newCluster(t, "").Feed(request, http.StatusOK, http.Header{"Content-Type": {"application/json"}})
	if !errors.Is(err, &Error{Status: NotAFact}) {
		t.Fatal(err)
	}
}

func TestANodeIsReadyWhenWhatItNeedsIsKnown(t *testing.T) {
	cluster := newCluster(t, "")
	node := cluster.Node("hz-1")
	before := node.Describe()
	if node.Ready() || before.Known || len(before.Missing) != 3 || before.Missing[0].Path == "" {
		t.Fatalf("%+v", before)
	}
	teachAll(t, cluster)
	if after := node.Describe(); !node.Ready() || !after.Known || after.Pool != "hangzhou" || len(after.Missing) != 0 {
		t.Fatalf("%+v", after)
	}
}

func TestWhatWaitsForAChangeIsWoken(t *testing.T) {
	cluster := newCluster(t, "")
	teachAll(t, cluster)
	changed, generation := cluster.Changed(), cluster.Generation()
	teach(t, cluster, "/api/v1/services", list("Service", "11", annotated(11)))
	select {
	case <-changed:
	default:
		t.Fatal("not woken")
	}
	if cluster.Generation() <= generation {
		t.Fatal("the generation did not move")
	}
	select {
	case <-cluster.Changed():
		t.Fatal("woken by nothing")
	default:
	}
}

func TestVerdictsAreExplained(t *testing.T) {
	cluster := newCluster(t, "")
	teachAll(t, cluster)
	teach(t, cluster, "/api/v1/services", list("Service", "11", annotated(11)))
	node := cluster.Node("hz-1")
	verdict, err := node.Judge("shop", "cart", "sh-1")
	if err != nil || verdict.Kept || verdict.Reason != "outsidePool" || verdict.Topology != "pool" {
		t.Fatalf("%+v %v", verdict, err)
	}
	inventory := NewInventory()
	for _, body := range []string{list("EndpointSlice", "10", fmt.Sprintf(cartSlice, 7))} {
		body = strings.Replace(body, `"apiVersion":"v1"`, `"apiVersion":"discovery.k8s.io/v1"`, 1)
		if err := inventory.Load([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	view, err := inventory.View(node)
	if err != nil {
		t.Fatal(err)
	}
	var services []struct {
		Name      string
		Endpoints []struct {
			Address string
			Kept    bool
		}
	}
	if err := json.Unmarshal(view, &services); err != nil {
		t.Fatal(err)
	}
	if len(services) != 1 || len(services[0].Endpoints) != 2 || !services[0].Endpoints[0].Kept || services[0].Endpoints[1].Kept {
		t.Fatalf("%s", view)
	}
}

func TestASourceIsForgotten(t *testing.T) {
	cluster := newCluster(t, "")
	teachAll(t, cluster)
	if err := cluster.ForgetSource("Pod"); !errors.Is(err, &Error{Status: InvalidArgument}) {
		t.Fatal(err)
	}
	if err := cluster.ForgetSource(KindService); err != nil {
		t.Fatal(err)
	}
	if missing := cluster.Node("hz-1").Describe().Missing; len(missing) != 1 || missing[0].Kind != KindService {
		t.Fatalf("%+v", missing)
	}
}

func TestABodyByItselfIsNotRemembered(t *testing.T) {
	node := ready(t, "")
	annotate(t, node.Cluster(), 11)
	request, _ := http.NewRequest(http.MethodGet, slicesPath+"?watch=true&resourceVersion=10", nil)
	header := http.Header{"Content-Type": {"application/json"}}
	if opened, err := node.Open(request, http.StatusOK, header); err != nil || opened.What != Expired {
		t.Fatal(opened, err)
	}
	opened, err := node.OpenAlone(request, http.StatusOK, header)
	if err != nil || opened.What != Rewrite {
		t.Fatal(opened, err)
	}
	defer opened.Stream.Close()
	for range 2 {
		// Also what says nothing new is said.
		out, err := opened.Stream.Push([]byte(event("MODIFIED", fmt.Sprintf(cartSlice, 12))))
		if err != nil || !strings.Contains(string(out), "10.0.0.1") || strings.Contains(string(out), "10.9.0.1") {
			t.Fatalf("%s %v", out, err)
		}
	}
	if opened.Stream.Taken() == 0 || opened.Stream.Given() == 0 || opened.Stream.IsBehind() || opened.Stream.IsOver() {
		t.Fatal(opened.Stream.Taken(), opened.Stream.Given())
	}
}

func TestWhichClientGetsWhichRewrite(t *testing.T) {
	cluster := newCluster(t, `{"components": "yurtHub"}`)
	teachAll(t, cluster)
	node := cluster.Node("hz-1")
	missing := node.Describe().Missing
	if len(missing) != 1 || missing[0].Kind != KindConfigMap {
		t.Fatalf("%+v", missing)
	}
	if all := node.Client("kube-proxy/v1.34.0").Describe(); len(all.Missing) != 0 || len(all.Rewrites) != 1 {
		t.Fatalf("%+v", all)
	}
	// The Learner lists and watches the one object, whole.
	asked := make(chan string, 8)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query().Get("fieldSelector") + " " + r.Header.Get("Accept")
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("watch") == "" {
			fmt.Fprint(w, `{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"yurt-hub-cfg",
				"namespace":"kube-system","resourceVersion":"4"},"data":{"servicetopology":"cilium,cilium-agent"}}]}`)
			return
		}
		<-r.Context().Done()
	}))
	defer server.Close()
	address, _ := url.Parse(server.URL)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		node.Learn(ctx, Learner{Client: server.Client(), Server: address, Kinds: []string{KindConfigMap}})
	}()
	defer func() {
		cancel()
		<-ended
		server.Client().CloseIdleConnections()
	}()
	for request := range 2 {
		if said := <-asked; said != "metadata.name=yurt-hub-cfg application/json" {
			t.Fatal(request, said)
		}
	}
	if rewrites := node.Client("cilium-agent/1.17").Describe().Rewrites; len(rewrites) != 1 || rewrites[0] != "serviceTopology" {
		t.Fatal(rewrites)
	}
}
