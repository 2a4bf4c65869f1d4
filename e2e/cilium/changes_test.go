package cilium

import (
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// changes goes through every fact change, endpoints and processes while clients connect all the
// time.
func changes(line *timeline, clients clients, ordinary []time.Duration) {
	t, world := line.t, line.site
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
	const unfiltered = "an ordinary endpoint change, unfiltered agent"
	took := map[string][]time.Duration{unfiltered: ordinary}
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
	if line.site.proxy != nil {
		proxyRestarts(line)
	}
	line.change("the API server restarts", none, func() { line.site.server.Restart(t) }, hangzhou)
	line.reopens("the API server restarted")
	restart := func(what string, with ...settings) {
		line.change(what, none, func() {
			line.agent.stop()
			line.agent = line.site.startFiltered(hangzhou.node, with...)
		}, hangzhou)
	}
	restart("the agent restarts over its pinned maps")
	line.reopens("the agent restarted")
	if line.site.variant.canBeEager() {
		restart("the agent restarts, and no longer collects events", eager)
		eagerChanges(line, again)
	}
	withoutFacts(line)

	for what, times := range maps.Clone(took) {
		all := "all, with poolscope"
		if strings.HasPrefix(what, "eager") {
			all = "eager: all"
		}
		if what != unfiltered {
			took[all] = append(took[all], times...)
		}
	}
	t.Log("| from the API write to the changed BPF map | p50 | p99 | longest | times |")
	for _, what := range slices.Sorted(maps.Keys(took)) {
		times := took[what]
		t.Logf("| %s | %v | %v | %v | %d |", what, median(times),
			percentile(times, 99), percentile(times, 100), len(times))
	}
	for _, where := range []place{host, container} {
		judge(line, where, clients[where].stop())
	}
}

// eagerChanges goes through a few changes again. Cilium applies them at once.
func eagerChanges(
	line *timeline,
	again func(what string, watched schema.GroupVersionResource, write func(), allowed ...pod),
) {
	world := line.site
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
}

// reopens changes the annotation after something was restarted, so that the agent has to hear of
// it, and logs how long that takes: client-go tries again later each time, up to half a minute.
func (l *timeline) reopens(after string) {
	l.t.Helper()
	none := schema.GroupVersionResource{}
	took := l.change(after+", the annotation goes", none, func() {
		l.site.annotate("")
	}, hangzhou, beijing, cloud)
	l.t.Logf("| %s, and the annotation goes | %v |", after, took.Round(time.Millisecond))
	l.change("and is set", none, func() { l.site.annotate("openyurt.io/nodepool") }, hangzhou)
}

// proxyRestarts restarts the proxy, alone and with changes while it is away. Each restart makes
// client-go wait longer, because it calms down only after two minutes without a failure.
func proxyRestarts(line *timeline) {
	site := line.site
	none := schema.GroupVersionResource{}
	line.change("the proxy restarts", none, func() {
		site.proxy.stop()
		site.proxy.start()
	}, hangzhou)
	line.reopens("the proxy restarted")
	away := func(what string, write func(), allowed ...pod) {
		took := line.change("the proxy is away, and "+what, none, func() {
			site.proxy.stop()
			write()
			site.proxy.start()
		}, allowed...)
		line.t.Logf("| the proxy is away, and %s | %v |", what, took.Round(time.Millisecond))
	}
	away("the last endpoint of the pool goes", func() { site.endpoints(beijing, cloud) })
	away(
		"an endpoint comes to the pool",
		func() { site.endpoints(hangzhou, beijing, cloud) },
		hangzhou,
	)
	away("the own node moves", func() { site.move(hangzhou.node, "beijing") }, beijing)
	line.change("and back", none, func() { site.move(hangzhou.node, "hangzhou") }, hangzhou)
	// An agent that cannot write its CiliumNode within five seconds ends.
	line.agent.eventually("has written its CiliumNode", func() error {
		return site.writtenPool(hangzhou.node, "hangzhou")
	})
	away("the API server restarts", func() { site.server.Restart(line.t) }, hangzhou)
	line.reopens("both restarted")
}

// judge fails if a pod answered that was not allowed to.
func judge(line *timeline, where place, samples []sample) {
	t := line.t
	v := line.judge(samples)
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

// withoutFacts restarts the agent, and its proxy, while the API server does not serve NodePools.
// After a minute Cilium takes Services whose endpoints it does not know for ones without backends.
// The cell makes it wait longer; an unmodified agent has a flag.
func withoutFacts(line *timeline) {
	t, site := line.t, line.site
	none := schema.GroupVersionResource{}
	line.change("an agent starts without NodePools, over pinned maps", none, func() {
		line.agent.stop()
		if site.proxy != nil {
			site.proxy.stop()
		}
		site.undefinePools()
		with := settings{}
		if site.proxy != nil {
			site.proxy.launch()
			with["lb-init-wait-timeout"] = "1h"
		}
		line.agent = site.launchFiltered(hangzhou.node, with)
		for end := time.Now().Add(75 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
			if err := line.maps.have([]pod{hangzhou}); err != nil {
				t.Fatalf("without facts the maps were changed: %v", err)
			}
		}
		why, err := line.agent.shell("db/show -f json health")
		if site.proxy != nil {
			_, why, err = site.proxy.get("/readyz")
		}
		if err != nil || !strings.Contains(why, "no NodePool was read yet") {
			t.Errorf("nothing says why the agent waits (%v): %s", err, why)
		}
	}, hangzhou)
	line.change("they are served", none, func() {
		apiserver.DefineNodePools(t, site.dynamic)
		site.pool("hangzhou", hangzhou.node)
		site.pool("beijing", beijing.node)
	}, hangzhou)
	line.agent.eventually("is healthy", line.agent.healthy)
	line.change(
		"and used: the annotation goes",
		none,
		func() { site.annotate("") },
		hangzhou,
		beijing,
		cloud,
	)
	line.change("and is set", none, func() { site.annotate("openyurt.io/nodepool") }, hangzhou)
}
