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
	// The pods that may answer from then on.
	allowed []pod
	// When the write began, when a watch beside the agent's was told of it, and when the agent's maps
	// were as they should be.
	begun, known, mapped time.Time
}

// timeline is what happened to the Service, in order, while probers connected.
type timeline struct {
	t       *testing.T
	site    *site
	agent   *agent
	maps    bothMaps
	changes []change
}

// change writes something, and waits until the agent's maps have just these pods for the Service.
// watched is what the write is to: a watch of its own tells when it could be known; none: from when
// it was written.
func (l *timeline) change(
	what string,
	watched schema.GroupVersionResource,
	write func(),
	allowed ...pod,
) time.Duration {
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
	list, err := l.site.dynamic.Resource(resource).List(l.t.Context(), metav1.ListOptions{})
	l.site.must(nil, err)
	events, err := l.site.dynamic.Resource(resource).
		Watch(l.t.Context(), metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
	l.site.must(nil, err)
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

// settles says when the maps had just these pods.
func (l *timeline) settles(what string, pods ...pod) (at time.Time) {
	l.t.Helper()
	l.agent.eventually("has the backends: "+what, func() (err error) {
		deadline := time.Now().Add(time.Second)
		for ; time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if err = l.maps.have(pods); err == nil {
				at = time.Now()
				return nil
			}
		}
		return err
	})
	return at
}

// verdict is what a prober's connections say of the changes.
type verdict struct {
	answered int
	// Without an answer, though before the change, after it and after the next there was a pod to
	// answer.
	failed map[string]int
	// Answers of pods that were allowed before, while a change was on its way from the API server to
	// the map, and how long after it was known the last of these began.
	late   int
	latest time.Duration
	// Answers of pods that neither the state before nor that after allowed, or that came when the map
	// had the change.
	foul []string
}

// judge sorts every connection into the change that held when it began.
func (l *timeline) judge(samples []sample) verdict {
	v := verdict{failed: map[string]int{}}
	for _, sample := range samples {
		at := slices.IndexFunc(
			l.changes,
			func(change change) bool { return change.begun.After(sample.Begin) },
		) - 1
		if at == -2 {
			at = len(l.changes) - 1
		}
		if at < 0 {
			continue
		}
		now := l.changes[at]
		before, after := l.changes[max(at-1, 0)], l.changes[min(at+1, len(l.changes)-1)]
		// One that is under way when the next change comes may meet that.
		if sample.End.Before(after.begun) {
			after = now
		}
		if strings.HasPrefix(sample.Said, "error") {
			if len(before.allowed) > 0 && len(now.allowed) > 0 && len(after.allowed) > 0 {
				v.failed[sample.Said+" after "+now.what]++
			}
			continue
		}
		v.answered++
		allowed := func(change change) bool {
			return slices.ContainsFunc(change.allowed, func(pod pod) bool { return pod.name == sample.Said })
		}
		switch {
		case allowed(now) || allowed(after):
		case sample.Begin.Before(now.mapped) && allowed(before):
			v.late++
			v.latest = max(v.latest, sample.Begin.Sub(now.known))
		default:
			v.foul = append(
				v.foul,
				fmt.Sprintf("%s answered %v after the write of %q and %v after it was in the map",
					sample.Said, sample.Begin.Sub(now.begun), now.what, sample.Begin.Sub(now.mapped)),
			)
		}
	}
	return v
}

// median of an even number is the mean of the two in the middle.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return ((times[(len(times)-1)/2] + times[len(times)/2]) / 2).Round(time.Millisecond)
}

// percentile is the time that so many of a hundred do not exceed.
func percentile(times []time.Duration, of int) time.Duration {
	slices.Sort(times)
	return times[(len(times)*of+99)/100-1].Round(time.Millisecond)
}
