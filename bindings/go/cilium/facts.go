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

// fetch fetches the facts that no agent reads: pools, or all Nodes if their labels are the pools.
// The agent reads Services, its own Node and, with most configurations, CiliumNodes anyway.
func (v *agentView) fetch(ctx context.Context, _ cell.Health) error {
	var kinds []poolscope.FactKind
	for _, missing := range v.node.Describe().Missing {
		if !readByAgent(missing) {
			kinds = append(kinds, missing.Kind)
		}
	}
	v.sync(ctx, kinds)
	return nil
}

func readByAgent(missing poolscope.MissingFact) bool {
	switch missing.Kind {
	case poolscope.KindNode:
		// A path with a name: only the own Node is needed.
		return strings.Contains(missing.Path, "/nodes/")
	case poolscope.KindService, poolscope.KindCiliumNode:
		return true
	default:
		return false
	}
}

// sync fetches these kinds until the context ends.
func (v *agentView) sync(ctx context.Context, kinds []poolscope.FactKind) {
	if len(kinds) == 0 {
		return
	}
	v.log.Info("Fetching facts that the agent does not read", "kinds", kinds)
	v.node.Sync(ctx, poolscope.SyncOptions{
		Client: v.unfiltered, Server: v.server, Kinds: kinds,
		Failed: func(kind poolscope.FactKind, err error) {
			v.failures.Add(1)
			v.failing.failed(kind, err)
			v.log.Warn("Failed to fetch facts, retrying", "kind", kind, "error", err)
		},
		Answered: v.failing.answered,
	})
}

// failing has, for each kind, the time since which it cannot be fetched.
type failing struct {
	mutex sync.Mutex
	kinds map[poolscope.FactKind]failure
}

type failure struct {
	since time.Time
	err   error
}

func (f *failing) failed(kind poolscope.FactKind, err error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.kinds == nil {
		f.kinds = map[poolscope.FactKind]failure{}
	}
	since := time.Now()
	if before, ok := f.kinds[kind]; ok {
		since = before.since
	}
	f.kinds[kind] = failure{since, err}
}

func (f *failing) answered(kind poolscope.FactKind) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.kinds, kind)
}

// longer lists the kinds that failed for longer than that, with the errors; empty if there are
// none.
func (f *failing) longer(than time.Duration) string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(f.kinds)) {
		if failure := f.kinds[kind]; time.Since(failure.since) > than {
			words = append(
				words,
				fmt.Sprintf("%s since %s: %v", kind, failure.since.Format(time.RFC3339), failure.err),
			)
		}
	}
	return strings.Join(words, "; ")
}
