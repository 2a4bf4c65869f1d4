package poolscopecilium

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cilium/cilium/pkg/metrics"
)

// collector serves the library's counters and the view's state as the agent's metrics.
type collector struct {
	view *agentView
	// By the counters' names, which never change.
	counters                                       map[string]*prometheus.Desc
	generation, waiting, fetchFailures, descriptor *prometheus.Desc
}

func newCollector(view *agentView) *collector {
	c := &collector{
		view:       view,
		counters:   map[string]*prometheus.Desc{},
		generation: describe("generation", "Fact changes that can change a verdict for this node"),
		waiting: describe(
			"responses_waiting",
			"Responses with endpoints that wait for missing facts",
		),
		fetchFailures: describe("fetch_failures_total", "Failed fetches of facts from the API server"),
		descriptor:    describe("node_info", "The node and its pool", "node", "pool"),
	}
	for name := range view.node.Cluster().Counters() {
		c.counters[name] = describe(snake(name)+"_total", "poolscope's counter "+name)
	}
	return c
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(
		prometheus.BuildFQName(metrics.Namespace, "poolscope", name),
		help,
		labels,
		nil,
	)
}

// snake turns eventsSuppressed into events_suppressed.
func snake(name string) string {
	var out strings.Builder
	for _, letter := range name {
		if unicode.IsUpper(letter) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(letter))
	}
	return out.String()
}

func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, name := range slices.Sorted(maps.Keys(c.counters)) {
		to <- c.counters[name]
	}
	for _, each := range []*prometheus.Desc{c.generation, c.waiting, c.fetchFailures, c.descriptor} {
		to <- each
	}
}

func (c *collector) Collect(to chan<- prometheus.Metric) {
	cluster := c.view.node.Cluster()
	for name, value := range cluster.Counters() {
		to <- prometheus.MustNewConstMetric(c.counters[name], prometheus.CounterValue, float64(value))
	}
	node := c.view.node.Describe()
	to <- prometheus.MustNewConstMetric(
		c.generation,
		prometheus.CounterValue,
		float64(cluster.Generation()),
	)
	to <- prometheus.MustNewConstMetric(
		c.waiting,
		prometheus.GaugeValue,
		float64(len(c.view.node.Waiting())),
	)
	to <- prometheus.MustNewConstMetric(
		c.fetchFailures,
		prometheus.CounterValue,
		float64(c.view.failures.Load()),
	)
	to <- prometheus.MustNewConstMetric(c.descriptor, prometheus.GaugeValue, 1, node.Name, node.Pool)
}
