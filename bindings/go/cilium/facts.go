package poolscopecilium

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cilium/hive/cell"

	"github.com/poolscope/poolscope/bindings/go"
)

// fetch fetches what no agent reads: pools, or all Nodes if their labels are the pools. Services, its own Node and, with
// most configurations, CiliumNodes pass on their way to the agent anyway.
func (v *agentView) fetch(ctx context.Context, _ cell.Health) error {
	var kinds []string
	for _, missing := range v.node.Describe().Missing {
		if !readByAgent(missing) {
			kinds = append(kinds, missing.Kind)
		}
	}
	v.learn(ctx, kinds)
	return nil
}

func readByAgent(missing poolscope.Missing) bool {
	switch missing.Kind {
	case poolscope.KindNode:
		// A path with a name: only the own Node counts.
		return strings.Contains(missing.Path, "/nodes/")
	case poolscope.KindService, poolscope.KindCiliumNode:
		return true
	default:
		return false
	}
}

// learn teaches these kinds until the context ends; none is nothing to do.
func (v *agentView) learn(ctx context.Context, kinds []string) {
	if len(kinds) == 0 {
		return
	}
	v.log.Info("Fetching what poolscope has to know and the agent does not read", "kinds", kinds)
	v.node.Learn(ctx, poolscope.Learner{
		Client: v.unfiltered, Server: v.server, Kinds: kinds,
		Failed: func(kind string, err error) {
			v.failures.Add(1)
			v.failing.failed(kind, err)
			v.log.Warn("Facts could not be fetched, trying again", "kind", kind, "error", err)
		},
		Answered: v.failing.answered,
	})
}

// failing knows of each kind since when it cannot be fetched.
type failing struct {
	mutex sync.Mutex
	kinds map[string]failure
}

type failure struct {
	since time.Time
	err   error
}

func (f *failing) failed(kind string, err error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.kinds == nil {
		f.kinds = map[string]failure{}
	}
	since := time.Now()
	if before, ok := f.kinds[kind]; ok {
		since = before.since
	}
	f.kinds[kind] = failure{since, err}
}

func (f *failing) answered(kind string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.kinds, kind)
}

// longer says what could not be fetched for longer than that, and why; empty if nothing.
func (f *failing) longer(than time.Duration) string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(f.kinds)) {
		if failure := f.kinds[kind]; time.Since(failure.since) > than {
			words = append(words, fmt.Sprintf("%s since %s: %v", kind, failure.since.Format(time.RFC3339), failure.err))
		}
	}
	return strings.Join(words, "; ")
}
