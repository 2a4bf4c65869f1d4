package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sort"
	"strings"
	"time"
)

// seen has the nodes of a Service's endpoints.
type seen map[string][]string

// views compares what both informers hold with what they should hold, and prints it.
type views struct {
	*run
	cluster       *cluster
	direct, agent *agent
	// The endpoints that the agent should hold.
	wanted seen
}

// title prints what follows, and returns the time.
func (v *views) title(text string) time.Time {
	fmt.Printf("\n== %s ==\n", text)
	return time.Now()
}

// line prints an event with the time since began.
func (v *views) line(began, at time.Time, format string, values ...any) {
	fmt.Printf("%6d ms  %s\n", at.Sub(began).Milliseconds(), fmt.Sprintf(format, values...))
}

// expect prints the table. It fails unless the agent holds the endpoints on these nodes, and the
// direct informer all endpoints.
func (v *views) expect(wanted seen) {
	v.wanted = wanted
	v.table()
}

// expectEvents waits until the agent has got one MODIFIED for each of these Services, after which
// it holds the endpoints on these nodes.
func (v *views) expectEvents(began time.Time, changes seen) {
	pending := maps.Clone(changes)
	timeout := time.After(patience)
	for len(pending) > 0 {
		select {
		case e := <-v.agent.events:
			v.line(began, e.at, "%s %s/%s: %s -> %s",
				e.kind, namespace, e.service, text(e.before), text(e.after))
			wanted, isPending := pending[e.service]
			if e.kind != "MODIFIED" || !isPending || !slices.Equal(nodes(e.after), wanted) {
				v.Fatalf("unexpected event, want MODIFIED of %v", pending)
			}
			delete(pending, e.service)
		case <-timeout:
			v.Fatalf("no event within %v: want MODIFIED of %v", patience, pending)
		}
	}
	maps.Copy(v.wanted, changes)
	v.table()
}

// expectNoOtherEvents fails if the informers reported changes that nothing accounts for: nobody
// wrote an EndpointSlice.
func (v *views) expectNoOtherEvents() {
	for _, a := range []*agent{v.direct, v.agent} {
		select {
		case e := <-a.events:
			v.Fatalf("unexpected event: %s of shop/%s: %s", e.kind, e.service, text(e.after))
		default:
		}
	}
}

// table prints the endpoints of both informers, and compares them with the wanted ones.
func (v *views) table() {
	direct, agent := v.direct.held(), v.agent.held()
	all := slices.Sorted(maps.Keys(v.cluster.pools))
	row := "%-10s %-9s %-12s %-10s %-9s %-9s %s\n"
	fmt.Printf(row, "SERVICE", "ANNOTATED", "ENDPOINT", "NODE", "POOL", "DIRECTLY", "BY PROXY")
	for _, service := range slices.Sorted(maps.Keys(v.cluster.annotated)) {
		first, annotated := namespace+"/"+service, mark(v.cluster.annotated[service])
		for _, e := range direct[service] {
			fmt.Printf(row, first, annotated, e.address, e.node, v.cluster.pools[e.node], "yes",
				mark(slices.Contains(agent[service], e)))
			first, annotated = "", ""
		}
		if got := nodes(direct[service]); !reflect.DeepEqual(got, all) {
			v.Fatalf("shop/%s, directly: endpoints on %v: want %v", service, got, all)
		}
		if got := nodes(agent[service]); !reflect.DeepEqual(got, v.wanted[service]) {
			v.Fatalf("shop/%s, by proxy: endpoints on %v: want %v", service, got, v.wanted[service])
		}
	}
	if len(direct) != len(v.wanted) || len(agent) != len(v.wanted) {
		v.Fatalf("Services: %d directly, %d by proxy: want %d",
			len(direct), len(agent), len(v.wanted))
	}
}

func nodes(of []endpoint) (names []string) {
	for _, e := range of {
		names = append(names, e.node)
	}
	sort.Strings(names)
	return names
}

func text(of []endpoint) string { return strings.Join(nodes(of), " ") }

func mark(is bool) string {
	if is {
		return "yes"
	}
	return "-"
}
