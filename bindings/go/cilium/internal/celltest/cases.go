package celltest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cilium/hive/cell"
	"github.com/cilium/hive/hivetest"
	"github.com/cilium/hive/script"

	"github.com/cilium/cilium/pkg/hive"
	"github.com/cilium/cilium/pkg/k8s/client"
	"github.com/cilium/cilium/pkg/k8s/client/testutils"
	"github.com/cilium/cilium/pkg/loadbalancer"
	"github.com/cilium/cilium/pkg/metrics"

	"github.com/poolscope/poolscope/bindings/go/cilium"
)

// The guide's Service, with a pod in each pool and one in the cloud.
const (
	hangzhou, beijing, cloud = "10.250.1.10", "10.250.2.10", "10.250.3.10"
	plainService             = `{"metadata":{"name":"busy-box-svc","namespace":"default"%s},"spec":{"type":"ClusterIP","clusterIP":"10.96.0.10","clusterIPs":["10.96.0.10"],"ipFamilies":["IPv4"],"ports":[{"name":"http","port":3000,"protocol":"TCP"}]}}`
)

var service = fmt.Sprintf(
	plainService,
	`,"annotations":{"openyurt.io/topologyKeys":"openyurt.io/nodepool"}`,
)

func labelled(name, pool string) string {
	return fmt.Sprintf(
		`{"metadata":{"name":"%s","labels":{"apps.openyurt.io/nodepool":"%s"}}}`,
		name,
		pool,
	)
}

func pool(name string, members ...string) string {
	quoted := make([]string, len(members))
	for at, member := range members {
		quoted[at] = fmt.Sprintf("%q", member)
	}
	return fmt.Sprintf(
		`{"metadata":{"name":"%s"},"status":{"nodes":[%s]}}`,
		name,
		strings.Join(quoted, ","),
	)
}

func slice(onNodes map[string]string) string {
	var endpoints []string
	for address, node := range onNodes {
		endpoints = append(
			endpoints,
			fmt.Sprintf(
				`{"addresses":["%s"],"nodeName":"%s","conditions":{"ready":true,"serving":true}}`,
				address,
				node,
			),
		)
	}
	return fmt.Sprintf(
		`{"metadata":{"name":"busy-box-svc-1","namespace":"default","labels":{"kubernetes.io/service-name":"busy-box-svc"}},"addressType":"IPv4","ports":[{"name":"http","port":3000,"protocol":"TCP"}],"endpoints":[%s]}`,
		strings.Join(endpoints, ","),
	)
}

var everywhere = map[string]string{hangzhou: "hz-1", beijing: "bj-1", cloud: "cloud-1"}

// guide is the guide's cluster.
func guide(t *testing.T) *apiServer {
	server := newAPIServer(t)
	server.put(t, servicesPath, service)
	server.put(t, nodesPath, labelled("hz-1", "hangzhou"))
	server.put(t, poolsPath, pool("hangzhou", "hz-1"))
	server.put(t, poolsPath, pool("beijing", "bj-1"))
	server.put(t, slicesPath, slice(everywhere))
	return server
}

// Run runs every test as a subtest.
func (c Cilium) Run(t *testing.T) {
	for _, each := range []struct {
		name string
		test func(*testing.T)
	}{
		{
			"TheLoadBalancerHasTheBackendsOfItsPoolAndFollowsEveryChange",
			c.theLoadBalancerHasTheBackendsOfItsPoolAndFollowsEveryChange,
		},
		{"SwitchedOffTheAgentIsAsCiliumMadeIt", c.switchedOffTheAgentIsAsCiliumMadeIt},
		{"ANodeInNoPoolKeepsToItself", c.aNodeInNoPoolKeepsToItself},
		{"WhatWaitsIsReportedAndComesWhenTheFactsDo", c.whatWaitsIsReportedAndComesWhenTheFactsDo},
		{"FactsThatCanNoLongerBeFetchedAreReported", c.factsThatCanNoLongerBeFetchedAreReported},
		{"AWaitThatTheOperatorChoseIsLeft", c.aWaitThatTheOperatorChoseIsLeft},
		{
			"ServicesAreFetchedWhereTheAgentsOwnWatchIsNotEnough",
			c.servicesAreFetchedWhereTheAgentsOwnWatchIsNotEnough,
		},
		{"NothingIsFetchedThatTheAgentReads", c.nothingIsFetchedThatTheAgentReads},
		{"ExplainNamesEveryEndpointAndWhy", c.explainNamesEveryEndpointAndWhy},
		{"TheAgentServesTheCountersAsMetrics", c.theAgentServesTheCountersAsMetrics},
		{
			"AConfigurationThatCannotBeHonouredStopsTheStart",
			c.aConfigurationThatCannotBeHonouredStopsTheStart,
		},
		{"ClientsOfAnotherShapeStopTheStart", c.clientsOfAnotherShapeStopTheStart},
	} {
		t.Run(each.name, each.test)
	}
}

func (c Cilium) theLoadBalancerHasTheBackendsOfItsPoolAndFollowsEveryChange(t *testing.T) {
	server := guide(t)
	lb := c.start(t, server, `--poolscope-config={"onMissingFact":{"unknownPool":"empty"}}`)
	lb.settles("at first", hangzhou)
	server.put(t, servicesPath, fmt.Sprintf(plainService, ""))
	lb.settles("without the annotation", hangzhou, beijing, cloud)
	server.put(t, servicesPath, service)
	lb.settles("with the annotation again", hangzhou)
	server.put(t, poolsPath, pool("hangzhou", "hz-1", "cloud-1"))
	lb.settles("a node joined the pool", hangzhou, cloud)
	server.put(t, poolsPath, pool("hangzhou", "hz-1"))
	lb.settles("and left it", hangzhou)
	server.put(t, nodesPath, labelled("hz-1", "beijing"))
	server.put(t, poolsPath, pool("beijing", "bj-1", "hz-1"))
	lb.settles("the own node moved", hangzhou, beijing)
	server.put(t, poolsPath, pool("hangzhou"))
	lb.settles("the pool that it left no longer matters", hangzhou, beijing)
	server.put(t, slicesPath, slice(map[string]string{cloud: "cloud-1"}))
	lb.settles("only endpoints of others are left")
	server.put(t, slicesPath, slice(everywhere))
	lb.settles("they are back", hangzhou, beijing)
	server.remove(poolsPath, "beijing")
	lb.settles("the own pool is gone, and doubt hides")
}

func (c Cilium) switchedOffTheAgentIsAsCiliumMadeIt(t *testing.T) {
	lb := c.start(t, guide(t), "--poolscope-enable=false")
	lb.settles("unfiltered", hangzhou, beijing, cloud)
	if _, err := lb.run("poolscope/status"); err == nil ||
		!strings.Contains(err.Error(), "poolscope is off") {
		t.Fatal(err)
	}
}

func (c Cilium) aNodeInNoPoolKeepsToItself(t *testing.T) {
	server := guide(t)
	server.put(t, nodesPath, labelled("hz-1", ""))
	c.start(t, server).settles("no pool", hangzhou)
}

// A kind that is not served stays missing: no slice may pass, and the health must be degraded.
func (c Cilium) whatWaitsIsReportedAndComesWhenTheFactsDo(t *testing.T) {
	server := guide(t)
	server.refuse = func(request *http.Request) int {
		if strings.Contains(request.URL.Path, "nodepools") {
			return http.StatusForbidden
		}
		return 0
	}
	lb := c.start(t, server)
	lb.reports("Degraded", "no NodePool was read yet (GET /apis/apps.openyurt.io/v1beta2/nodepools)")
	lb.reports("Degraded", "status 403: grant the account the verbs list and watch on nodepools")
	if found := lb.backends(); len(found) > 0 {
		t.Fatalf("passed without pools: %v", found)
	}
	if said := lb.must("poolscope/status"); !strings.Contains(said, "waits for") ||
		!strings.Contains(said, slicesPath) {
		t.Fatal(said)
	}
	server.mutex.Lock()
	server.refuse = nil
	server.mutex.Unlock()
	lb.settles("the pools are served", hangzhou)
	lb.reports("OK", "node hz-1 is in pool hangzhou")
	if lb.config.InitWaitTimeout < 24*time.Hour {
		t.Errorf("after %v Cilium would have emptied its maps", lb.config.InitWaitTimeout)
	}
}

// The last known facts apply, and the health must be degraded.
func (c Cilium) factsThatCanNoLongerBeFetchedAreReported(t *testing.T) {
	server := guide(t)
	lb := c.start(t, server)
	lb.settles("at first", hangzhou)
	lb.reports("OK", "node hz-1 is in pool hangzhou")
	server.mutex.Lock()
	server.refuse = func(request *http.Request) int {
		if strings.Contains(request.URL.Path, "nodepools") {
			return http.StatusForbidden
		}
		return 0
	}
	server.mutex.Unlock()
	server.CloseClientConnections()
	lb.reports("Degraded", "NodePool since")
	lb.settles("what was known", hangzhou)
	server.mutex.Lock()
	server.refuse = nil
	server.mutex.Unlock()
	lb.reports("OK", "node hz-1 is in pool hangzhou")
}

func (c Cilium) aWaitThatTheOperatorChoseIsLeft(t *testing.T) {
	lb := c.start(t, guide(t), "--lb-init-wait-timeout=7m")
	if lb.config.InitWaitTimeout != 7*time.Minute {
		t.Error(lb.config.InitWaitTimeout)
	}
	lb = c.start(t, guide(t), "--poolscope-enable=false")
	if lb.config.InitWaitTimeout != loadbalancer.DefaultConfig.InitWaitTimeout {
		t.Error(lb.config.InitWaitTimeout)
	}
}

// Services come by the agent's own watch. If that is not enough they are fetched, after some
// patience.
func (c Cilium) servicesAreFetchedWhereTheAgentsOwnWatchIsNotEnough(t *testing.T) {
	server := guide(t)
	server.refuse = func(request *http.Request) int {
		if request.URL.Path == servicesPath && request.URL.Query().Has("labelSelector") {
			return http.StatusServiceUnavailable
		}
		return 0
	}
	lb := c.start(t, server)
	// Without its own watch the agent has no Services, so nothing is in its maps. But the slices no
	// longer wait.
	deadline := time.Now().Add(30 * time.Second)
	for !server.wasAskedForMetadata(servicesPath) {
		if time.Now().After(deadline) {
			t.Fatal("no Services are fetched")
		}
		time.Sleep(50 * time.Millisecond)
	}
	lb.reports("OK", "node hz-1 is in pool hangzhou")
	server.mutex.Lock()
	server.refuse = nil
	server.mutex.Unlock()
	lb.settles("the agent's own watch is served", hangzhou)
}

func (c Cilium) nothingIsFetchedThatTheAgentReads(t *testing.T) {
	server := guide(t)
	c.start(t, server).settles("at first", hangzhou)
	if server.wasAskedForMetadata("/") {
		t.Error("kinds were fetched that the agent reads")
	}
}

// wasAskedForMetadata returns true after a request for metadata alone under a path. The agent itself
// reads no kind so.
func (s *apiServer) wasAskedForMetadata(path string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, asked := range s.asked {
		if strings.HasPrefix(asked, path) && strings.Contains(asked, "PartialObjectMetadata") {
			return true
		}
	}
	return false
}

func (c Cilium) explainNamesEveryEndpointAndWhy(t *testing.T) {
	lb := c.start(t, guide(t))
	lb.settles("at first", hangzhou)
	said := lb.must("poolscope/explain", "default/busy-box-svc")
	for _, line := range []string{
		"node hz-1 is in pool hangzhou",
		"default/busy-box-svc has topology: pool",
		"10.250.1.10 hz-1 hangzhou active kept O3",
		"10.250.2.10 bj-1 beijing active dropped O7",
		"10.250.3.10 cloud-1 active dropped O7",
	} {
		if !strings.Contains(strings.Join(strings.Fields(said), " "), line) {
			t.Errorf("%q is not in\n%s", line, said)
		}
	}
	if _, err := lb.run("poolscope/explain", "default/nothing"); err == nil ||
		!strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
	if _, err := lb.run("poolscope/explain", "nothing"); err == nil ||
		!strings.Contains(err.Error(), "namespace/name") {
		t.Error(err)
	}
}

func (c Cilium) theAgentServesTheCountersAsMetrics(t *testing.T) {
	lb := c.start(t, guide(t))
	lb.settles("at first", hangzhou)
	families, err := lb.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		if strings.HasPrefix(family.GetName(), "cilium_poolscope_") {
			metric := family.GetMetric()[0]
			values[family.GetName()] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			for _, label := range metric.GetLabel() {
				values[family.GetName()+"/"+label.GetName()+"="+label.GetValue()] = 1
			}
		}
	}
	for name, want := range map[string]float64{
		"cilium_poolscope_endpoints_kept_total":         1,
		"cilium_poolscope_endpoints_dropped_total":      2,
		"cilium_poolscope_responses_waiting":            0,
		"cilium_poolscope_node_info":                    1,
		"cilium_poolscope_node_info/pool=hangzhou":      1,
		"cilium_poolscope_passed_unknown_service_total": 0,
	} {
		if got, ok := values[name]; !ok || got != want {
			t.Errorf("%s is %v, not %v", name, got, want)
		}
	}
}

// An agent whose configuration cannot be honoured does not start and serve something else.
func (c Cilium) aConfigurationThatCannotBeHonouredStopsTheStart(t *testing.T) {
	h := c.newHive(
		&loadBalancer{},
		poolscopecilium.Config{PoolscopeEnable: true, PoolscopeConfig: `{"membership":"hearsay"}`},
	)
	h.Viper().Set("k8s-api-server-urls", []string{"http://127.0.0.1:1"})
	err := h.Populate(hivetest.Logger(t, hivetest.LogLevel(slog.LevelError+1)))
	if err == nil || !strings.Contains(err.Error(), "--poolscope-config") ||
		!strings.Contains(err.Error(), "hearsay") {
		t.Fatal(err)
	}
}

// A Cilium that keeps its clients otherwise must not go unfiltered.
func (c Cilium) clientsOfAnotherShapeStopTheStart(t *testing.T) {
	h := hive.New(
		poolscopecilium.Cell(poolscopecilium.DefaultConfig),
		testutils.FakeClientCell(),
		metrics.Cell,
		loadbalancer.ConfigCell,
		cell.Invoke(func(client.Clientset) {}),
	)
	err := h.Populate(hivetest.Logger(t, hivetest.LogLevel(slog.LevelError+1)))
	if err == nil || !strings.Contains(err.Error(), "Slim().DiscoveryV1()") ||
		!strings.Contains(err.Error(), "--poolscope-enable=false") {
		t.Fatal(err)
	}
}

// run runs a command of `cilium-dbg shell`.
func (lb *loadBalancer) run(name string, arguments ...string) (string, error) {
	state, err := script.NewState(context.Background(), lb.t.TempDir(), nil)
	if err != nil {
		lb.t.Fatal(err)
	}
	wait, err := lb.commands.Map()[name].Run(state, arguments...)
	if err != nil {
		return "", err
	}
	out, _, err := wait(state)
	return out, err
}

func (lb *loadBalancer) must(name string, arguments ...string) string {
	lb.t.Helper()
	out, err := lb.run(name, arguments...)
	if err != nil {
		lb.t.Fatal(err)
	}
	return out
}

// reports waits until the agent's health says so of this cell.
func (lb *loadBalancer) reports(level, words string) {
	lb.t.Helper()
	var said string
	deadline := time.Now().Add(30 * time.Second)
	for ; time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for status := range lb.health.All(lb.db.ReadTxn()) {
			if strings.Contains(status.ID.String(), "poolscope") {
				if said = fmt.Sprint(status.Level, ": ", status.Message, " ", status.Error); string(
					status.Level,
				) == level &&
					strings.Contains(said, words) {
					return
				}
			}
		}
	}
	lb.t.Fatalf("health never said %s: %s; it last said %s", level, words, said)
}
