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

// The agent reads Services, its own Node and, with most configurations, CiliumNodes.
var readByAgent = []poolscope.FactKind{
	poolscope.KindService, poolscope.KindNode, poolscope.KindCiliumNode,
}

// fetch fetches the facts that no agent reads: pools, or all Nodes if their labels are the pools;
// and kinds of which the agent reads too little, such as Services with another selector than that
// of their slices.
func (v *agentView) fetch(ctx context.Context, _ cell.Health) error {
	err := v.node.Sync(ctx, poolscope.SyncOptions{
		Client: v.unfiltered, Server: v.server, LeftToClient: readByAgent,
		Failed: func(kind poolscope.FactKind, err error) {
			v.failures.Add(1)
			v.failing.failed(kind, err)
			v.log.Warn("Failed to fetch facts, retrying", "kind", kind, "error", err)
		},
		Answered: v.failing.answered,
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
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
