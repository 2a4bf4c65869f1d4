package poolscopecilium

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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
	view   *agentView
	jobs   job.Group
	health cell.Health
	// The kinds that are fetched for that.
	fetched sync.Map
}

func (w *watcher) tick(context.Context) error {
	missing, failing := w.view.missing(patience), w.view.failing.longer(patience)
	switch {
	case len(missing) > 0:
		w.health.Degraded("EndpointSlices wait: the load balancer keeps what it has", errors.New(strings.TrimSuffix(waitFor(missing)+"; "+failing, "; ")))
	case failing != "":
		w.health.Degraded("What is known of pools may be out of date: "+w.view.place(), errors.New(failing))
	default:
		w.health.OK(w.view.place())
	}
	for _, missing := range missing {
		if !readByAgent(missing) {
			continue
		}
		if _, already := w.fetched.LoadOrStore(missing.Kind, true); !already {
			w.jobs.Add(job.OneShot("fetch-"+strings.ToLower(missing.Kind), func(ctx context.Context, _ cell.Health) error {
				// It returns at once if the kind is no longer missing, and may be needed again.
				defer w.fetched.Delete(missing.Kind)
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
