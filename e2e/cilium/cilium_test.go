package cilium

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// Connections for a row of the table, and repetitions of a change.
	many   = 100
	repeat = 20
)

// eager sets Cilium's time of collecting events of Services and EndpointSlices: 500 ms by default.
var eager = settings{"lb-reflector-wait-time": "5ms"}

var (
	servicesResource = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	nodesResource    = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	slicesResource   = schema.GroupVersionResource{
		Group:    "discovery.k8s.io",
		Version:  "v1",
		Resource: "endpointslices",
	}
)

// The guide's cluster on one machine: first as Cilium leaves it, then with poolscope, through every
// change.
func TestAClusterIPIsAnsweredInsideTheNodePool(t *testing.T) {
	site := newSite(t)
	site.guide()
	clients := newClients(t)

	t.Log("the agent as Cilium made it: the problem")
	agent := site.startUnfiltered(hangzhou.node)
	line := &timeline{t: t, site: site, agent: agent, maps: openMaps(t)}
	line.settles("every endpoint", hangzhou, beijing, cloud)
	table(t, clients, "unfiltered", hangzhou, beijing, cloud)
	var ordinary []time.Duration
	for range repeat / 2 {
		ordinary = append(
			ordinary,
			line.change(
				"an endpoint goes",
				slicesResource,
				func() { site.endpoints(beijing, cloud) },
				beijing,
				cloud,
			),
			line.change(
				"it is back",
				slicesResource,
				func() { site.endpoints(hangzhou, beijing, cloud) },
				hangzhou,
				beijing,
				cloud,
			),
		)
	}
	site.endpoints(beijing)
	line.settles("foreign endpoints only", beijing)
	table(t, clients, "unfiltered, only foreign endpoints left", beijing)
	site.endpoints(hangzhou, beijing, cloud)
	line.settles("every endpoint", hangzhou, beijing, cloud)
	agent.stop()

	t.Log("the same with poolscope, over the maps that this agent left: the cure")
	agent = site.startFiltered(hangzhou.node)
	line = &timeline{t: t, site: site, agent: agent, maps: line.maps}
	line.settles("the pool's endpoint", hangzhou)
	table(t, clients, "filtered", hangzhou)
	if listed, err := agent.serviceList(tcp4); err != nil ||
		!slices.Equal(listed, []string{hangzhou.v4()}) {
		t.Errorf("the service list has %v (%v)", listed, err)
	}
	if !site.variant.proxied {
		explained(t, agent)
	}
	nothingPassedInDoubt(site, agent)
	site.passesTheProxyAlone(agent)
	site.endpoints(beijing)
	line.settles("nothing", []pod{}...)
	table(t, clients, "filtered, only foreign endpoints left")
	site.endpoints(hangzhou, beijing, cloud)
	line.settles("the pool's endpoint", hangzhou)

	changes(line, clients, ordinary)
	site.passesTheProxyAlone(line.agent)

	t.Log("a cloud node, whose agent stays as Cilium made it")
	line.agent.stop()
	agent = site.startUnfiltered(cloud.node)
	(&timeline{t: t, agent: agent, maps: line.maps}).settles(
		"every endpoint",
		hangzhou,
		beijing,
		cloud,
	)
	table(t, clients, "on a cloud node, unfiltered", hangzhou, beijing, cloud)
}

// table connects from both places by every way, and expects all of these pods to answer and no
// other; none: no answer at all.
func table(t *testing.T, clients clients, what string, pods ...pod) {
	t.Helper()
	var expected []string
	for _, pod := range pods {
		expected = append(expected, pod.name)
	}
	slices.Sort(expected)
	for _, where := range []place{host, container} {
		for _, service := range []frontend{tcp4, udp4, tcp6, udp6} {
			counts := clients[where].dial(service, many)
			var answered []string
			var said []string
			for name, count := range counts {
				if !strings.HasPrefix(name, "error") {
					answered = append(answered, name)
				}
				said = append(said, fmt.Sprintf("%s %d", name, count))
			}
			slices.Sort(answered)
			slices.Sort(said)
			t.Logf("| %s | %s | %s | %s |", what, where, service, strings.Join(said, ", "))
			if !slices.Equal(answered, expected) {
				t.Errorf(
					"%s: from the %s by %s %v answered, and not %v",
					what,
					where,
					service,
					answered,
					expected,
				)
			}
		}
	}
}

// explained looks at the agent as its operator does.
func explained(t *testing.T, agent *agent) {
	t.Helper()
	for command, says := range map[string][]string{
		"poolscope/status": {
			"node edge-hz-1 is in pool hangzhou", "endpointsDropped",
		},
		"poolscope/explain default/" + serviceName: {hangzhou.v4(), "kept", beijing.v4(), "dropped", "O7"},
		"db/show -f json health":                   {"node edge-hz-1 is in pool hangzhou"},
	} {
		agent.eventually("answers to "+command, func() error {
			out, err := agent.shell(command)
			for _, words := range says {
				if err == nil && !strings.Contains(out, words) {
					err = fmt.Errorf("it does not say %q", words)
				}
			}
			if err == nil && strings.HasPrefix(command, "poolscope") {
				t.Logf("cilium-dbg shell -- %s\n%s", command, out)
			}
			return err
		})
	}
	log, err := os.ReadFile(agent.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "Fetching what poolscope") &&
			!strings.Contains(line, "kinds=[NodePool]") {
			t.Errorf("more was fetched than the agent does not read: %s", line)
		}
	}
}

func nothingPassedInDoubt(site *site, agent *agent) {
	site.t.Helper()
	counters := site.counters(agent)
	if counters["objects"] == 0 {
		site.t.Errorf("no object was judged: %v", counters)
	}
	for name, value := range counters {
		if strings.HasPrefix(name, "passed_unknown") && value != 0 {
			site.t.Errorf("%s is %v", name, value)
		}
	}
}
