package poolscopecilium

import (
	"context"
	"strings"

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
	v.node.Learn(ctx, poolscope.Learner{Client: v.unfiltered, Server: v.server, Kinds: kinds, Failed: func(kind string, err error) {
		v.failures.Add(1)
		v.log.Warn("Node pools may be out of date: facts could not be fetched, trying again", "kind", kind, "error", err)
	}})
}
