package cilium

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

const (
	off = "--poolscope-enable=false"
	// In doubt about a pool nothing may pass: the test deletes one.
	hide = `--poolscope-config={"onMissingFact":{"unknownPool":"empty"}}`
	// Cilium collects events of Services and EndpointSlices for so long; 500 ms if it is not told.
	eager = "--lb-reflector-wait-time=5ms"
	// Connections for a row of the table, and repetitions of a change.
	many   = 100
	repeat = 10
)

var (
	servicesResource = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	nodesResource    = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	slicesResource   = schema.GroupVersionResource{
		Group:    "discovery.k8s.io",
		Version:  "v1",
		Resource: "endpointslices",
	}
)

// The guide's cluster on one machine: first as Cilium leaves it, then with poolscope in the agent,
// through every change.
func TestAClusterIPIsAnsweredInsideTheNodePool(t *testing.T) {
	server := apiserver.Start(t)
	world := newWorld(t, server.Config())
	world.guide()
	forget(t)
	clients := newClients(t)

	t.Log("the agent as Cilium made it: the problem")
	agent := startAgent(t, world.kubeconfig, hangzhou.node, off)
	line := &timeline{t: t, world: world, agent: agent, maps: openMaps(t)}
	line.settles("every endpoint", hangzhou, beijing, cloud)
	table(t, clients, "unfiltered", hangzhou, beijing, cloud)
	var ordinary []time.Duration
	for range repeat / 2 {
		ordinary = append(
			ordinary,
			line.change(
				"an endpoint goes",
				slicesResource,
				func() { world.endpoints(beijing, cloud) },
				beijing,
				cloud,
			),
			line.change(
				"it is back",
				slicesResource,
				func() { world.endpoints(hangzhou, beijing, cloud) },
				hangzhou,
				beijing,
				cloud,
			),
		)
	}
	world.endpoints(beijing)
	line.settles("foreign endpoints only", beijing)
	table(t, clients, "unfiltered, only foreign endpoints left", beijing)
	world.endpoints(hangzhou, beijing, cloud)
	line.settles("every endpoint", hangzhou, beijing, cloud)
	agent.stop()

	t.Log("the same agent with poolscope, over the maps that it left: the cure")
	agent = startAgent(t, world.kubeconfig, hangzhou.node, hide)
	line = &timeline{t: t, world: world, agent: agent, maps: line.maps}
	line.settles("the pool's endpoint", hangzhou)
	table(t, clients, "filtered", hangzhou)
	if listed, err := agent.serviceList(tcp4); err != nil ||
		!slices.Equal(listed, []string{hangzhou.v4()}) {
		t.Errorf("the service list has %v (%v)", listed, err)
	}
	explained(t, agent)
	world.endpoints(beijing)
	line.settles("nothing", []pod{}...)
	table(t, clients, "filtered, only foreign endpoints left")
	world.endpoints(hangzhou, beijing, cloud)
	line.settles("the pool's endpoint", hangzhou)

	changes(t, server, line, clients, ordinary)

	t.Log("a cloud node, whose agent stays as Cilium made it")
	line.agent.stop()
	agent = startAgent(t, world.kubeconfig, cloud.node, off)
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
	for name, value := range agent.metrics("cilium_poolscope_") {
		if strings.HasPrefix(name, "cilium_poolscope_passed_unknown") && value != 0 {
			t.Errorf("%s is %v: something passed in doubt", name, value)
		}
	}
}

// changes goes through every fact change, endpoints and processes while clients connect all the
// time.
func changes(
	t *testing.T,
	server *apiserver.Server,
	line *timeline,
	clients clients,
	ordinary []time.Duration,
) {
	world := line.world
	none := schema.GroupVersionResource{}
	line.changes = []change{
		{
			what:    "the start",
			allowed: []pod{hangzhou},
			begun:   time.Now(),
			known:   time.Now(),
			mapped:  time.Now(),
		},
	}
	for _, where := range []place{host, container} {
		for _, service := range []frontend{tcp4, udp4} {
			clients[where].probe(service)
		}
	}
	took := map[string][]time.Duration{"an ordinary endpoint change, unfiltered agent": ordinary}
	again := func(what string, watched schema.GroupVersionResource, write func(), allowed ...pod) {
		t.Helper()
		took[what] = append(took[what], line.change(what, watched, write, allowed...))
	}
	for range repeat {
		again(
			"the annotation goes",
			servicesResource,
			func() { world.annotate("") },
			hangzhou,
			beijing,
			cloud,
		)
		again(
			"the annotation is set",
			servicesResource,
			func() { world.annotate("openyurt.io/nodepool") },
			hangzhou,
		)
		again(
			"a node joins the pool",
			apiserver.NodePools,
			func() { world.members("hangzhou", hangzhou.node, beijing.node) },
			hangzhou,
			beijing,
		)
		again(
			"a node leaves the pool",
			apiserver.NodePools,
			func() { world.members("hangzhou", hangzhou.node) },
			hangzhou,
		)
		again(
			"the last endpoint of the pool goes",
			slicesResource,
			func() { world.endpoints(beijing, cloud) },
			[]pod{}...)
		again(
			"an endpoint comes to the pool",
			slicesResource,
			func() { world.endpoints(hangzhou, beijing, cloud) },
			hangzhou,
		)
		// The label says the own pool; that pool does not name the node yet, so it sees the others of it.
		again(
			"the own node moves to another pool",
			nodesResource,
			func() { world.move(hangzhou.node, "beijing") },
			beijing,
		)
		again("and back", nodesResource, func() { world.move(hangzhou.node, "hangzhou") }, hangzhou)
		again(
			"the own pool is deleted",
			apiserver.NodePools,
			func() { world.deletePool("hangzhou") },
			[]pod{}...)
		again("the pool is made anew", none, func() { world.pool("hangzhou", hangzhou.node) }, hangzhou)
	}
	line.change("the API server restarts", none, func() { server.Restart(t) }, hangzhou)
	line.change(
		"and is heard again: the annotation goes",
		none,
		func() { world.annotate("") },
		hangzhou,
		beijing,
		cloud,
	)
	line.change("and is set", none, func() { world.annotate("openyurt.io/nodepool") }, hangzhou)
	line.change(
		"the agent restarts over its pinned maps, and no longer collects events before it looks at them",
		none,
		func() {
			line.agent.stop()
			line.agent = startAgent(t, world.kubeconfig, hangzhou.node, hide, eager)
		},
		hangzhou,
	)
	for range repeat {
		again(
			"eager: the annotation goes",
			servicesResource,
			func() { world.annotate("") },
			hangzhou,
			beijing,
			cloud,
		)
		again(
			"eager: the annotation is set",
			servicesResource,
			func() { world.annotate("openyurt.io/nodepool") },
			hangzhou,
		)
		again(
			"eager: an ordinary endpoint change",
			slicesResource,
			func() { world.endpoints(beijing, cloud) },
			[]pod{}...)
		again(
			"eager: an ordinary endpoint change",
			slicesResource,
			func() { world.endpoints(hangzhou, beijing, cloud) },
			hangzhou,
		)
	}

	withoutFacts(t, line)

	t.Log("| from the API write to the changed BPF map | median | longest | times |")
	for _, what := range slices.Sorted(maps.Keys(took)) {
		times := took[what]
		t.Logf(
			"| %s | %v | %v | %d |",
			what,
			median(times),
			slices.Max(times).Round(time.Millisecond),
			len(times),
		)
	}
	for _, where := range []place{host, container} {
		v := line.judge(clients[where].stop())
		failed := 0
		for _, times := range v.failed {
			failed += times
		}
		t.Logf(
			"%s: %d connections answered; %d failed while a pod was there to answer %v; "+
				"%d by a pod outside while the change was on its way "+
				"(the last %v after it was known), %d foul",
			where,
			v.answered,
			failed,
			v.failed,
			v.late,
			v.latest.Round(time.Millisecond),
			len(v.foul),
		)
		if len(v.foul) > 0 {
			t.Errorf(
				"from the %s %d connections reached a pod outside: %s",
				where,
				len(v.foul),
				strings.Join(v.foul[:min(5, len(v.foul))], "; "),
			)
		}
		if v.answered < 10000 || failed > v.answered/100 {
			t.Errorf(
				"from the %s %d connections were answered and %d failed: too few to tell",
				where,
				v.answered,
				failed,
			)
		}
	}
}

// withoutFacts restarts the agent while the API server does not serve NodePools. After a minute
// Cilium would take the Services for ones without backends, and every other Service with them.
func withoutFacts(t *testing.T, line *timeline) {
	world := line.world
	none := schema.GroupVersionResource{}
	line.change("an agent starts without NodePools, over pinned maps", none, func() {
		line.agent.stop()
		world.undefinePools()
		line.agent = launchAgent(t, world.kubeconfig, hangzhou.node, hide)
		for end := time.Now().Add(75 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
			if err := line.maps.have([]pod{hangzhou}); err != nil {
				t.Fatalf("without facts the maps were changed: %v", err)
			}
		}
		out, err := line.agent.shell("db/show -f json health")
		if err != nil || !strings.Contains(out, "no NodePool was read yet") {
			t.Errorf("its health does not say why it waits (%v): %s", err, out)
		}
	}, hangzhou)
	line.change("they are served", none, func() {
		apiserver.DefineNodePools(t, world.dynamic)
		world.pool("hangzhou", hangzhou.node)
		world.pool("beijing", beijing.node)
	}, hangzhou)
	line.agent.eventually("is healthy", line.agent.healthy)
	line.change(
		"and used: the annotation goes",
		none,
		func() { world.annotate("") },
		hangzhou,
		beijing,
		cloud,
	)
	line.change("and is set", none, func() { world.annotate("openyurt.io/nodepool") }, hangzhou)
}
