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

// Long enough for an operator to look at the agent's health.
const forever = 365 * 24 * time.Hour

// Cell puts poolscope under the agent's Kubernetes clients. The flags override config. Place it
// before the agent's own cells: it then fetches facts as soon as there is a client, not after all
// other cells have started.
func Cell(config Config) cell.Cell {
	return cell.Module(
		"poolscope",
		"Services within node pools",

		cell.Config(config),
		cell.ProvidePrivate(newAgentView),
		cell.DecorateAll(patientLoadBalancer),
		cell.Provide(
			func(view *agentView) upstream.ScriptCmdsOut { return upstream.NewScriptCmds(view.commands()) },
		),
		// Runs while the hive is built, before later cells: no request has been sent yet.
		cell.Invoke((*agentView).register),
	)
}

// agentView is the cluster as this agent's node sees it. It is nil if poolscope is off, or if the
// agent has no Kubernetes.
type agentView struct {
	node *poolscope.Node
	// Reaches the API server with the agent's credentials, without filtering.
	unfiltered *http.Client
	server     *url.URL
	log        *slog.Logger
	// Counts failed fetches of facts.
	failures atomic.Uint64
	// The kinds that cannot be fetched now.
	failing failing
}

func newAgentView(config Config, clientset client.Clientset, log *slog.Logger) (*agentView, error) {
	if !config.PoolscopeEnable || !clientset.IsEnabled() {
		return nil, nil
	}
	parsed, err := poolscope.ParseConfig(config.PoolscopeConfig)
	if err != nil {
		return nil, fmt.Errorf("--poolscope-config: %w", err)
	}
	cluster, err := poolscope.New(parsed)
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

// patientLoadBalancer makes the load balancer wait for its first endpoints as long as they are held
// back. By default Cilium waits for a minute, and then treats Services without endpoints as
// Services without backends: after a restart without facts it would empty the previous agent's
// maps, which work. A --lb-init-wait-timeout other than Cilium's default is not changed.
func patientLoadBalancer(config loadbalancer.Config, own Config) loadbalancer.Config {
	if own.PoolscopeEnable && config.InitWaitTimeout == loadbalancer.DefaultConfig.InitWaitTimeout {
		config.InitWaitTimeout = forever
	}
	return config
}

// register starts the view's jobs and registers its metrics.
func (v *agentView) register(jobs job.Group, health cell.Health, registry *metrics.Registry) error {
	if v == nil {
		return nil
	}
	watcher := &watcher{view: v, health: health.NewScope("view")}
	jobs.Add(
		job.OneShot("fetch-facts", v.fetch),
		job.Timer("watch-facts", watcher.tick, watchInterval),
	)
	return registry.Register(newCollector(v))
}
