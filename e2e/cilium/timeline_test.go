package cilium

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// change is something that was written, and from when on it held.
type change struct {
	what string
	// Who may answer from then on.
	allowed []pod
	// When the write began, when a watch beside the agent's was told of it, and when the agent's map was as it should be.
	begun, known, mapped time.Time
}

// timeline is what happened to the Service, in order, while probers connected.
type timeline struct {
	t       *testing.T
	world   *world
	agent   *agent
	maps    maps
	changes []change
}

// change writes something, and waits until the agent's map has just these pods for the Service, and goes on having them.
// watched is what the write is to: a watch of its own tells when it could be known; none: from when it was written.
func (l *timeline) change(what string, watched schema.GroupVersionResource, write func(), allowed ...pod) time.Duration {
	l.t.Helper()
	watch := l.watch(watched)
	at := change{what: what, allowed: allowed, begun: time.Now()}
	write()
	at.known = time.Now()
	if told := watch(); !told.IsZero() && told.Before(at.known) {
		at.known = told
	}
	written := at.known
	at.mapped = l.settles(what, allowed...)
	l.changes = append(l.changes, at)
	return at.mapped.Sub(written)
}

// watch listens to what is written; the result is when the first event came, once one came.
func (l *timeline) watch(resource schema.GroupVersionResource) func() time.Time {
	if resource.Resource == "" {
		return func() time.Time { return time.Time{} }
	}
	list, err := l.world.dynamic.Resource(resource).List(l.t.Context(), metav1.ListOptions{})
	l.world.must(nil, err)
	events, err := l.world.dynamic.Resource(resource).Watch(l.t.Context(), metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
	l.world.must(nil, err)
	told := make(chan time.Time, 1)
	go func() {
		defer events.Stop()
		<-events.ResultChan()
		told <- time.Now()
	}()
	return func() time.Time {
		select {
		case at := <-told:
			return at
		case <-time.After(patient):
			l.t.Errorf("no event of %s came", resource.Resource)
			return time.Time{}
		}
	}
}

// settles says when the map had just these pods, for TCP and UDP.
func (l *timeline) settles(what string, pods ...pod) time.Time {
	l.t.Helper()
	var expected []string
	for _, pod := range pods {
		expected = append(expected, pod.v4())
	}
	slices.Sort(expected)
	var at time.Time
	l.agent.eventually(fmt.Sprintf("has %v for %s", expected, what), func() error {
		for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			tcp, err := l.maps.of(tcp4)
			if err != nil || !slices.Equal(tcp, expected) {
				continue
			}
			if udp, err := l.maps.of(udp4); err == nil && slices.Equal(udp, expected) {
				at = time.Now()
				return nil
			}
		}
		found, err := l.maps.of(tcp4)
		return fmt.Errorf("the map has %v (%v)", found, err)
	})
	return at
}

// verdict is what a prober's connections say of the changes.
type verdict struct {
	connections, failed int
	// Answers of pods that were not allowed: while a change was on its way from the API server to the map, and how long after
	// it was known the last of these began; and after the map had it.
	late   int
	latest time.Duration
	foul   []string
}

// judge sorts every connection into the change that held when it began.
func (l *timeline) judge(samples []sample) (v verdict) {
	for _, sample := range samples {
		// Between two changes of which one is on its way either may hold.
		at := slices.IndexFunc(l.changes, func(change change) bool { return change.begun.After(sample.Begin) }) - 1
		if at == -2 {
			at = len(l.changes) - 1
		}
		if at < 0 {
			continue
		}
		now := l.changes[at]
		v.connections++
		if strings.HasPrefix(sample.Said, "error") {
			v.failed++
			continue
		}
		allowed := func(change change) bool {
			return slices.ContainsFunc(change.allowed, func(pod pod) bool { return pod.name == sample.Said })
		}
		switch {
		case allowed(now):
		// A connection that was under way when the next change came may have met it.
		case at+1 < len(l.changes) && sample.End.After(l.changes[at+1].begun) && allowed(l.changes[at+1]):
		case sample.Begin.Before(now.mapped):
			v.late++
			v.latest = max(v.latest, sample.Begin.Sub(now.known))
		default:
			v.foul = append(v.foul, fmt.Sprintf("%s answered %v after %q was in the map", sample.Said, sample.Begin.Sub(now.mapped), now.what))
		}
	}
	return v
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2].Round(time.Millisecond)
}
