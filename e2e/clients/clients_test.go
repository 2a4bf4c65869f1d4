package clients

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

const (
	// How long anything may take.
	patient = 90 * time.Second
	// How many connections are made to a Service. kube-proxy chooses an endpoint for each at random,
	// so that one of five is left out once in a million times.
	connections = 60
)

// The nodes with clients. Others only have endpoints.
var kinds = map[string]kind{
	"hz-0":    {apiserver.Kubernetes135, "nftables"},
	"hz-1":    {apiserver.Kubernetes137, "nftables"},
	"bj-0":    {apiserver.Kubernetes135, "iptables"},
	"cloud-0": {apiserver.Kubernetes137, "iptables"},
}

// stage is the cluster with its nodes, and what they had to hold before the last change.
type stage struct {
	*world
	t      *testing.T
	nodes  []*node
	before map[string]view
}

func TestClientsHoldWhatTheirNodeMayUse(t *testing.T) {
	if os.Getenv("PROXY") == "" {
		t.Fatal(
			"PROXY does not name the program: `make e2e-clients` builds it and sets the variable",
		)
	}
	with, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	serveEndpoints(t)
	server := apiserver.StartOn(t, apiHost)
	mountAccount(t, server)
	w := newWorld(t, server.Config(), map[string]string{
		"hz-0": "hangzhou", "hz-1": "hangzhou", "hz-2": "hangzhou",
		"bj-0": "beijing", "bj-1": "beijing", "cloud-0": "",
	})
	release, err := apiserver.Chosen()
	w.must(nil, err)
	version, err := w.typed.Discovery().ServerVersion()
	w.must(nil, err)
	if !strings.HasPrefix(version.GitVersion, "v"+string(release)+".") {
		t.Fatalf("the API server is %s, not %s", version.GitVersion, release)
	}
	everywhere := []string{"hz-0", "hz-1", "hz-2", "bj-0", "bj-1", "cloud-0"}
	w.addService("pool", byPool, "", everywhere...)
	w.addService("node", byNode, "", everywhere...)
	w.addService("open", "", "", everywhere[1:5]...)
	w.addService("remote", byPool, "", "bj-1")
	w.addService("headless", byPool, headless, everywhere...)
	w.addService("headless-open", "", headless, everywhere...)
	s := &stage{world: w, t: t, before: map[string]view{}}
	for name, kind := range kinds {
		s.nodes = append(s.nodes, startNode(t, server, with, name, w.nodes[name], kind))
	}

	// A proxy may learn of Services, nodes and pools in any order. Within a step no order has a view
	// with endpoints that are neither in the view before nor in the one after.
	for _, step := range []struct {
		what   string
		change func()
	}{
		{"at first", func() {}},
		{"endpoints are added", func() {
			for _, service := range []string{"pool", "headless", "open"} {
				w.addEndpoint(service, "hz-2")
				w.addEndpoint(service, "bj-1")
			}
		}},
		{"endpoints are removed", func() {
			for _, service := range []string{"pool", "headless", "headless-open"} {
				w.removeEndpoints(service, "hz-0")
				w.removeEndpoints(service, "bj-0")
			}
		}},
		{"endpoints fail", func() {
			w.setReady("pool", "hz-2", false)
			w.setReady("headless", "bj-1", false)
			w.setReady("remote", "bj-1", false)
		}},
		{"endpoints recover", func() {
			w.setReady("pool", "hz-2", true)
			w.setReady("headless", "bj-1", true)
			w.setReady("remote", "bj-1", true)
		}},
		{"a node moves to another pool", func() { w.movePool("hz-1", "beijing") }},
		{"a node joins a pool", func() { w.movePool("cloud-0", "hangzhou") }},
		{"a node leaves its pool", func() { w.movePool("bj-0", "") }},
		{"annotations are edited", func() {
			w.annotate("pool", byNode)
			w.annotate("node", byPool)
		}},
		{"annotations are removed", func() {
			w.annotate("pool", "")
			w.annotate("headless", "")
		}},
		{"annotations are added", func() {
			w.annotate("open", byPool)
			w.annotate("headless", byPool)
			w.annotate("headless-open", byNode)
		}},
		{"Services come and go", func() {
			w.deleteService("remote")
			w.addService("late", byPool, "", everywhere...)
			w.addService("late-headless", byNode, headless, everywhere...)
		}},
		{"the proxies restart", func() {
			for _, n := range s.nodes {
				n.stopProxy(t)
			}
			w.annotate("pool", byPool)
			w.removeEndpoints("late", "hz-2")
			w.addEndpoint("headless", "hz-0")
			w.movePool("bj-0", "beijing")
			for _, n := range s.nodes {
				n.startProxy(t)
			}
		}},
		{"endpoints change after the proxies' restart", func() {
			w.addEndpoint("late", "hz-2")
			w.removeEndpoints("headless", "bj-1")
		}},
		{"the API server restarts", func() {
			server.Restart(t)
			w.awaitAPIService()
			w.addEndpoint("pool", "cloud-0")
			w.movePool("hz-1", "hangzhou")
		}},
		{"annotations change after the API server's restart", func() {
			w.annotate("late-headless", byPool)
			w.annotate("headless-open", "")
		}},
		{"the clients restart", func() {
			for _, n := range s.nodes {
				n.stopClients()
			}
			w.movePool("cloud-0", "")
			w.removeEndpoints("open", "bj-1")
			for _, n := range s.nodes {
				n.startClients(t)
			}
		}},
	} {
		started := time.Now()
		step.change()
		s.settle(step.what)
		s.connect(step.what)
		s.lookUp(step.what)
		t.Logf("%s: %.1f s", step.what, time.Since(started).Seconds())
	}
}

// settle waits until each client holds its node's view. Until then a client may hold no endpoint
// that its node may use neither before nor after the change.
func (s *stage) settle(what string) {
	s.t.Helper()
	after := s.views()
	for deadline := time.Now().Add(patient); ; time.Sleep(50 * time.Millisecond) {
		var wrong []string
		for _, n := range s.nodes {
			wrong = append(wrong, s.wrong(what, n, after[n.name])...)
		}
		if len(wrong) == 0 {
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: after %v\n%s", what, patient, strings.Join(wrong, "\n"))
		}
	}
	s.before = after
}

// wrong says in what a node's clients differ from its view.
func (s *stage) wrong(what string, n *node, expected view) (differences []string) {
	s.t.Helper()
	// A client that does not run yet has nothing to tell.
	rules, err := n.read(n.net)
	if err != nil {
		differences = append(differences, err.Error())
	}
	names := table{}
	for service := range expected.names {
		addresses, err := n.resolve(s.ctx, service)
		if err != nil {
			differences = append(differences, err.Error())
			continue
		}
		names.add(service, addresses...)
	}
	before := s.before[n.name]
	for service := range before.names {
		if _, is := expected.names[service]; !is {
			if left, err := n.resolve(s.ctx, service); err != nil || len(left) > 0 {
				differences = append(
					differences,
					fmt.Sprintf("%s resolves the deleted %s: %v", n.name, service, left),
				)
			}
		}
	}
	for _, each := range []struct {
		client                string
		held, expected, known table
	}{
		{"kube-proxy", rules, expected.rules, before.rules},
		{"CoreDNS", names, expected.names, before.names},
	} {
		for key, held := range each.held {
			for _, endpoint := range held {
				if !slices.Contains(each.expected[key], endpoint) &&
					!slices.Contains(each.known[key], endpoint) {
					s.t.Fatalf(
						"%s: %s on %s has %s of %s, which the node may use neither before %v"+
							" nor after %v",
						what,
						each.client,
						n.name,
						endpoint,
						key,
						each.known[key],
						each.expected[key],
					)
				}
			}
		}
		if !maps.EqualFunc(each.held, each.expected, slices.Equal) {
			differences = append(differences, fmt.Sprintf(
				"%s on %s\n  holds    %v\n  expected %v",
				each.client,
				n.name,
				each.held,
				each.expected,
			))
		}
	}
	return differences
}

// connect reaches each Service from each node, and finds exactly the endpoints of the node's view.
func (s *stage) connect(what string) {
	s.t.Helper()
	var nodes sync.WaitGroup
	for _, n := range s.nodes {
		nodes.Go(func() {
			for frontend, expected := range s.before[n.name].rules {
				// The API server's own Service is not one of ours.
				if !strings.HasSuffix(frontend, fmt.Sprintf(":%d", servicePort)) {
					continue
				}
				reached, err := s.reach(n, frontend, len(expected) > 0)
				if err != nil || !slices.Equal(reached, expected) {
					s.t.Errorf("%s: %s reaches %v at %s, not %v: %v",
						what, n.name, reached, frontend, expected, err)
				}
			}
		})
	}
	nodes.Wait()
}

// reach connects to a Service often, and returns the endpoints that it reached. The kernel limits
// the rate of refusals, so that they are expected once.
func (s *stage) reach(n *node, frontend string, often bool) ([]string, error) {
	times := 1
	if often {
		times = connections
	}
	reached := table{}
	for range times {
		answer, err := n.net.answering(s.ctx, frontend)
		if err != nil {
			return reached[frontend], err
		}
		if answer != "" {
			reached.add(frontend, answer)
		}
	}
	return reached[frontend], nil
}

// lookUp resolves the names of all endpoints on each node: those of endpoints that the node may not
// use do not exist, also where the Service has a ClusterIP.
func (s *stage) lookUp(what string) {
	s.t.Helper()
	// A node's own endpoints are in its view, so that all views together have all endpoints.
	all := table{}
	for _, view := range s.before {
		for service, endpoints := range view.endpoints {
			all.add(service, endpoints...)
		}
	}
	for _, n := range s.nodes {
		for service, endpoints := range all {
			for _, endpoint := range endpoints {
				name := strings.NewReplacer(".", "-", ":", "-").Replace(endpoint) + "." + service
				found, err := n.resolve(s.ctx, name)
				if err != nil {
					s.t.Fatalf("%s: %s on %s: %v", what, name, n.name, err)
				}
				var expected []string
				if slices.Contains(s.before[n.name].endpoints[service], endpoint) {
					expected = []string{endpoint}
				}
				if !slices.Equal(found, expected) {
					s.t.Errorf(
						"%s: %s resolves %s to %v, not %v",
						what,
						n.name,
						name,
						found,
						expected,
					)
				}
			}
		}
	}
}
