package poolscopecilium

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cilium/hive/cell"
	"github.com/cilium/hive/job"

	"github.com/poolscope/poolscope/bindings/go"
)

const (
	// How often it is looked whether responses wait.
	watchInterval = 2 * time.Second
	// How long a response may wait before that is worth a word.
	patience = 4 * time.Second
)

// watcher looks after responses that wait: it tells of them, and fetches what the agent reads too little of, such as Services
// under other selectors than their slices.
type watcher struct {
	view    *agentView
	jobs    job.Group
	health  cell.Health
	fetched []string
}

func (w *watcher) tick(context.Context) error {
	missing := w.view.missing(patience)
	if len(missing) == 0 {
		w.health.OK(w.view.place())
		return nil
	}
	w.health.Degraded("EndpointSlices wait, and the load balancer keeps what it has", errors.New(waitFor(missing)))
	for _, missing := range missing {
		if readByAgent(missing) && !slices.Contains(w.fetched, missing.Kind) {
			w.fetched = append(w.fetched, missing.Kind)
			w.jobs.Add(job.OneShot("fetch-"+strings.ToLower(missing.Kind), func(ctx context.Context, _ cell.Health) error {
				w.view.learn(ctx, []string{missing.Kind})
				return nil
			}))
		}
	}
	return nil
}

// missing is what responses have waited for longer than that.
func (v *agentView) missing(longer time.Duration) (all []poolscope.Missing) {
	for _, waiting := range v.node.Waiting() {
		if time.Since(waiting.Since) > longer {
			for _, missing := range waiting.Missing {
				if !slices.Contains(all, missing) {
					all = append(all, missing)
				}
			}
		}
	}
	return all
}

func waitFor(missing []poolscope.Missing) string {
	words := make([]string, len(missing))
	for at, missing := range missing {
		words[at] = fmt.Sprintf("no %s seen yet (GET %s)", missing.Kind, missing.Path)
		if missing.Known != "" {
			words[at] = fmt.Sprintf("the %s list seen covers only %s (GET %s)", missing.Kind, missing.Known, missing.Path)
		}
	}
	return strings.Join(words, "; ")
}

// place says where the node is.
func (v *agentView) place() string {
	switch node := v.node.Describe(); {
	case !node.Known:
		return fmt.Sprintf("node %s is not known yet", node.Name)
	case node.Pool == "":
		return fmt.Sprintf("node %s is in no pool: Services that keep to the pool keep to the node", node.Name)
	default:
		return fmt.Sprintf("node %s is in pool %s", node.Name, node.Pool)
	}
}
