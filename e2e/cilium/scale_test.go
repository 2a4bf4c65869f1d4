package cilium

import (
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// A cluster as an edge has it: a thousand nodes in fifty pools, two hundred Services with a hundred
// endpoints each all over it.
const (
	nodeCount, poolCount = 1000, 50
	serviceCount, full   = 200, 100
	changeCount          = 1000
	writers              = 4
	// As cilium-agent selects slices.
	selector = "endpointslice.kubernetes.io/managed-by!=endpointslice-mesh-controller.cilium.io," +
		"!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name"
)

func nodeName(at int) string { return fmt.Sprintf("edge-%04d", at) }
func poolName(at int) string { return fmt.Sprintf("pool-%02d", at%poolCount) }

// crowd is that cluster.
type crowd struct {
	*world
	slices []*discoveryv1.EndpointSlice
	pods   atomic.Int64
}

func newCrowd(w *world) *crowd {
	c := &crowd{world: w}
	members := map[string][]string{}
	for at := range nodeCount {
		members[poolName(at)] = append(members[poolName(at)], nodeName(at))
	}
	for pool, nodes := range members {
		w.pool(pool, nodes...)
	}
	w.node(nodeName(0), poolName(0), "11")
	c.together(nodeCount-1, func(at int, _ *rand.Rand) {
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{
				Name:   nodeName(at + 1),
				Labels: map[string]string{poolLabel: poolName(at + 1)},
			},
		}
		w.must(w.typed.CoreV1().Nodes().Create(w.t.Context(), node, metav1.CreateOptions{}))
	})
	c.slices = make([]*discoveryv1.EndpointSlice, serviceCount)
	c.together(serviceCount, func(at int, random *rand.Rand) {
		name := fmt.Sprintf("service-%03d", at)
		w.must(w.typed.CoreV1().Services(namespace).Create(w.t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{
				Name:        name,
				Annotations: map[string]string{keysAnnotation: "openyurt.io/nodepool"},
			},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: port}}},
		}, metav1.CreateOptions{}))
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Name:   name + "-1",
				Labels: map[string]string{discoveryv1.LabelServiceName: name},
			},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports: []discoveryv1.EndpointPort{
				{Name: ptr.To(""), Port: ptr.To[int32](port), Protocol: ptr.To(corev1.ProtocolTCP)},
			},
		}
		for range full {
			slice.Endpoints = append(slice.Endpoints, c.endpoint(random))
		}
		written, err := w.typed.DiscoveryV1().
			EndpointSlices(namespace).
			Create(w.t.Context(), slice, metav1.CreateOptions{})
		w.must(nil, err)
		c.slices[at] = written
	})
	return c
}

// endpoint is a new pod's, on some node.
func (c *crowd) endpoint(random *rand.Rand) discoveryv1.Endpoint {
	number := c.pods.Add(1)
	return discoveryv1.Endpoint{
		Addresses:  []string{fmt.Sprintf("10.%d.%d.%d", 128+number>>16, number>>8&255, number&255)},
		NodeName:   ptr.To(nodeName(random.Intn(nodeCount))),
		Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
	}
}

// change replaces endpoints, one at a time, as pods are rolled.
func (c *crowd) change() {
	c.together(changeCount, func(at int, random *rand.Rand) {
		// The writers' parts do not meet: at modulo writers tells them apart.
		slice := c.slices[at%serviceCount]
		slice.Endpoints[random.Intn(full)] = c.endpoint(random)
		written, err := c.typed.DiscoveryV1().
			EndpointSlices(namespace).
			Update(c.t.Context(), slice, metav1.UpdateOptions{})
		c.must(nil, err)
		c.slices[at%serviceCount] = written
	})
}

// together does something for each number below count, in several goroutines; the numbers of one
// have one remainder.
func (c *crowd) together(count int, do func(at int, random *rand.Rand)) {
	done := make(chan struct{})
	for part := range writers {
		go func() {
			defer func() { done <- struct{}{} }()
			random := rand.New(rand.NewSource(int64(part)))
			for at := part; at < count; at += writers {
				do(at, random)
			}
		}()
	}
	for range writers {
		<-done
	}
}

// backends is how many endpoints the node may use, by the naive filter.
func (c *crowd) backends(filtered bool) (number int) {
	for _, slice := range c.slices {
		for _, endpoint := range slice.Endpoints {
			at, _ := strconv.Atoi(strings.TrimPrefix(*endpoint.NodeName, "edge-"))
			if !filtered || poolName(at) == poolName(0) {
				number++
			}
		}
	}
	return number
}

// Measures an agent in a large cluster with and without the filter.
func TestWhatAnAgentIsSparedOfAThousandNodes(t *testing.T) {
	site := newSite(t)
	crowd := newCrowd(site.world)
	t.Logf(
		"%d nodes in %d pools, %d Services with %d endpoints each, then %d changes of an endpoint",
		nodeCount,
		poolCount,
		serviceCount,
		full,
		changeCount,
	)
	t.Log(
		"| | backends in the BPF map | events of EndpointSlices for the load balancer " +
			"| resident after the start, MB | after the changes, MB | CPU, s |",
	)
	for _, filtered := range []bool{false, true} {
		start := site.startUnfiltered
		if filtered {
			start = func(node string) *agent { return site.startFiltered(node) }
		}
		agent := start(nodeName(0))
		maps := openMaps(t).v4
		settle := func() {
			expected := crowd.backends(filtered)
			agent.eventually("has every backend that it may use", func() error {
				// The API server itself is behind default/kubernetes.
				if found := count(t, maps.backends) - 1; found != expected {
					return fmt.Errorf("%d backends, not %d", found, expected)
				}
				return nil
			})
			time.Sleep(5 * time.Second)
		}
		settle()
		started := costOf(t, agent.process)
		before := site.counters(agent)
		events := crowd.countEvents(crowd.change)
		settle()
		if filtered {
			after := site.counters(agent)
			grown := func(name string) int { return int(after[name] - before[name]) }
			if judged := grown("objects"); judged != events {
				t.Errorf("%d events came, and %d objects were judged", events, judged)
			}
			events += grown("events_refreshed") - grown("events_suppressed")
		}
		ended := costOf(t, agent.process)
		t.Logf(
			"| %s | %d | %d | %.0f | %.0f | %.1f |",
			map[bool]string{false: "unfiltered", true: "filtered"}[filtered],
			count(t, maps.backends),
			events,
			float64(started.resident)/1e6,
			float64(ended.resident)/1e6,
			ended.cpu.Seconds(),
		)
		if filtered && site.proxy != nil {
			proxy := costOf(t, site.proxy.process)
			t.Logf(
				"the proxy has %.0f MB resident and took %.1f s of CPU",
				float64(proxy.resident)/1e6,
				proxy.cpu.Seconds(),
			)
		}
		agent.stop()
	}
}

// countEvents counts the events of a watch like the agent's while something is done.
func (c *crowd) countEvents(do func()) (events int) {
	list, err := c.typed.DiscoveryV1().
		EndpointSlices(namespace).
		List(c.t.Context(), metav1.ListOptions{LabelSelector: selector})
	c.must(nil, err)
	watch, err := c.typed.DiscoveryV1().
		EndpointSlices(namespace).
		Watch(c.t.Context(), metav1.ListOptions{
			LabelSelector: selector, ResourceVersion: list.ResourceVersion,
		})
	c.must(nil, err)
	defer watch.Stop()
	done := make(chan struct{})
	go func() {
		do()
		close(done)
	}()
	for quiet := (<-chan time.Time)(nil); ; {
		select {
		case _, open := <-watch.ResultChan():
			if !open {
				c.t.Fatal("the watch ended")
			}
			events++
		case <-done:
			done, quiet = nil, time.After(2*time.Second)
		case <-quiet:
			return events
		}
	}
}

// cost is what a process takes of the machine.
type cost struct {
	// In bytes.
	resident int
	// /proc tells it in hundredths of a second.
	cpu time.Duration
}

func costOf(t *testing.T, process *exec.Cmd) (c cost) {
	t.Helper()
	folder := fmt.Sprintf("/proc/%d/", process.Process.Pid)
	stat, err := os.ReadFile(folder + "stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	for _, field := range fields[11:13] {
		ticks, _ := strconv.Atoi(field)
		c.cpu += time.Duration(ticks) * 10 * time.Millisecond
	}
	status, err := os.ReadFile(folder + "status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, _ := strconv.Atoi(strings.Fields(rest)[0])
			c.resident = kilobytes << 10
			return c
		}
	}
	t.Fatal("no VmRSS")
	return c
}
