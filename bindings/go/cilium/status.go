package poolscopecilium

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cilium/hive/cell"

	"github.com/poolscope/poolscope/bindings/go"
)

const (
	// The interval at which the watcher looks for waiting responses.
	watchInterval = 2 * time.Second
	// How long a response may wait before the health is degraded.
	patience = 4 * time.Second
)

// watcher reports responses that wait.
type watcher struct {
	view   *agentView
	health cell.Health
}

func (w *watcher) tick(context.Context) error {
	missing, failing := w.view.missing(patience), w.view.failing.longer(patience)
	switch {
	case len(missing) > 0:
		w.health.Degraded(
			"EndpointSlices wait: the load balancer keeps its backends",
			errors.New(strings.TrimSuffix(waitFor(missing)+"; "+failing, "; ")),
		)
	case failing != "":
		w.health.Degraded("Facts about pools may be out of date: "+w.view.place(), errors.New(failing))
	default:
		w.health.OK(w.view.place())
	}
	return nil
}

// missing lists the facts for which responses have waited longer than that.
func (v *agentView) missing(longer time.Duration) (all []poolscope.MissingFact) {
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

func waitFor(missing []poolscope.MissingFact) string {
	words := make([]string, len(missing))
	for at, missing := range missing {
		words[at] = fmt.Sprintf("no %s was read yet (GET %s)", missing.Kind, missing.Path)
		if missing.Known != "" {
			words[at] = fmt.Sprintf(
				"the %s list that was read covers only %s (GET %s)",
				missing.Kind,
				missing.Known,
				missing.Path,
			)
		}
	}
	return strings.Join(words, "; ")
}

// place describes the node's pool.
func (v *agentView) place() string {
	switch node := v.node.Describe(); {
	case !node.Known:
		return fmt.Sprintf("node %s is not known yet", node.Name)
	case node.Pool == "":
		return fmt.Sprintf(
			"node %s is in no pool: Services with pool topology use endpoints on the node only",
			node.Name,
		)
	default:
		return fmt.Sprintf("node %s is in pool %s", node.Name, node.Pool)
	}
}
