package poolscopecilium

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	upstream "github.com/cilium/hive"
	"github.com/cilium/hive/cell"
	"github.com/cilium/hive/job"
	"k8s.io/client-go/rest"

	"github.com/cilium/cilium/pkg/k8s/client"
	"github.com/cilium/cilium/pkg/loadbalancer"
	"github.com/cilium/cilium/pkg/metrics"
	nodeTypes "github.com/cilium/cilium/pkg/node/types"

	"github.com/poolscope/poolscope/bindings/go"
)

// Long enough for somebody to look at the agent's health.
const forever = 365 * 24 * time.Hour

// Cell puts poolscope under the agent's Kubernetes clients. The flags override what config says. It goes before the agent's own
// cells: what is fetched is fetched as soon as there is a client, and not after everything else has started.
func Cell(config Config) cell.Cell {
	return cell.Module(
		"poolscope",
		"Services within node pools",

		cell.Config(config),
		cell.ProvidePrivate(newAgentView),
		cell.DecorateAll(patientLoadBalancer),
		cell.Provide(func(view *agentView) upstream.ScriptCmdsOut { return upstream.NewScriptCmds(view.commands()) }),
		// Now, while the hive is built, and before the cells that come after it are: nobody has sent a request yet.
		cell.Invoke((*agentView).register),
	)
}

// agentView is the cluster as this agent's node sees it. nil: poolscope is off, or the agent has no Kubernetes.
type agentView struct {
	node *poolscope.Node
	// Reaches the API server with the agent's credentials, and is shown everything.
	unfiltered *http.Client
	server     *url.URL
	log        *slog.Logger
	// How often facts could not be fetched.
	failures atomic.Uint64
	// Which kinds cannot be fetched now.
	failing failing
}

func newAgentView(config Config, clientset client.Clientset, log *slog.Logger) (*agentView, error) {
	if !config.PoolscopeEnable || !clientset.IsEnabled() {
		return nil, nil
	}
	cluster, err := poolscope.New(config.PoolscopeConfig)
	if err != nil {
		return nil, fmt.Errorf("--poolscope-config: %w", err)
	}
	shared, err := sharedClient(clientset)
	if err != nil {
		return nil, err
	}
	server, _, err := rest.DefaultServerUrlFor(clientset.RestConfig())
	if err != nil {
		return nil, fmt.Errorf("poolscope: the address of the API server: %w", err)
	}
	view := &agentView{
		node:       cluster.Node(nodeTypes.GetName()),
		unfiltered: &http.Client{Transport: shared.Transport},
		server:     server,
		log:        log,
	}
	shared.Transport = view.node.WrapTransport(shared.Transport)
	return view, nil
}

// patientLoadBalancer has the load balancer wait for its first endpoints as long as they are held. Cilium waits for a minute,
// and then takes the Services that it knows for ones without backends: after a restart without facts, the maps of the agent
// before, which work, would be emptied. Another --lb-init-wait-timeout than Cilium's default is left as it is.
func patientLoadBalancer(config loadbalancer.Config, own Config) loadbalancer.Config {
	if own.PoolscopeEnable && config.InitWaitTimeout == loadbalancer.DefaultConfig.InitWaitTimeout {
		config.InitWaitTimeout = forever
	}
	return config
}

// register has the view's jobs run and its metrics served.
func (v *agentView) register(jobs job.Group, health cell.Health, registry *metrics.Registry) error {
	if v == nil {
		return nil
	}
	watcher := &watcher{view: v, jobs: jobs, health: health.NewScope("view")}
	jobs.Add(job.OneShot("fetch-facts", v.fetch), job.Timer("watch-facts", watcher.tick, watchInterval))
	return registry.Register(newCollector(v))
}
