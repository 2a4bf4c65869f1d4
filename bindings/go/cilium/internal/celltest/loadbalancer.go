package celltest

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	upstream "github.com/cilium/hive"
	"github.com/cilium/hive/cell"
	"github.com/cilium/hive/hivetest"
	"github.com/cilium/hive/job"
	"github.com/cilium/statedb"
	"github.com/spf13/pflag"

	daemonk8s "github.com/cilium/cilium/daemon/k8s"
	cmtypes "github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/datapath/tables"
	envoyCfg "github.com/cilium/cilium/pkg/envoy/config"
	"github.com/cilium/cilium/pkg/hive"
	"github.com/cilium/cilium/pkg/hive/health/types"
	"github.com/cilium/cilium/pkg/k8s/client"
	"github.com/cilium/cilium/pkg/k8s/resource"
	slim "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/core/v1"
	"github.com/cilium/cilium/pkg/kpr"
	"github.com/cilium/cilium/pkg/lbipamconfig"
	"github.com/cilium/cilium/pkg/loadbalancer"
	lbcell "github.com/cilium/cilium/pkg/loadbalancer/cell"
	lbmaps "github.com/cilium/cilium/pkg/loadbalancer/maps"
	"github.com/cilium/cilium/pkg/maglev"
	"github.com/cilium/cilium/pkg/metrics"
	"github.com/cilium/cilium/pkg/node"
	nodeTypes "github.com/cilium/cilium/pkg/node/types"
	"github.com/cilium/cilium/pkg/nodeipamconfig"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/source"

	"github.com/poolscope/poolscope/bindings/go/cilium"
)

// Cilium is the version of Cilium under test.
type Cilium struct {
	// PodTables provides the table of the node's pods, which the load balancer reads. Its package
	// differs between versions.
	PodTables cell.Cell
}

// loadBalancer is the part of cilium-agent that this is about: its Kubernetes client, its load
// balancing from the reflectors to the BPF maps, real ones where the test may make them, and the
// cell.
type loadBalancer struct {
	t        *testing.T
	maps     lbmaps.LBMaps
	registry *metrics.Registry
	db       *statedb.DB
	commands upstream.ScriptCmds
	config   loadbalancer.Config
	health   statedb.Table[types.Status]
}

func (c Cilium) newHive(lb *loadBalancer, config poolscopecilium.Config) *hive.Hive {
	return hive.New(
		poolscopecilium.Cell(config),
		client.Cell,
		daemonk8s.ResourcesCell,
		c.PodTables,
		maglev.Cell,
		node.LocalNodeStoreTestCell,
		metrics.Cell,
		lbipamconfig.Cell,
		nodeipamconfig.Cell,
		cell.Config(loadbalancer.TestConfig{}),
		cell.Config(envoyCfg.SecretSyncConfig{}),
		cell.Provide(
			func() cmtypes.ClusterInfo { return cmtypes.ClusterInfo{} },
			source.NewSources,
			tables.NewNodeAddressTable,
			statedb.RWTable[tables.NodeAddress].ToTable,
			func() *option.DaemonConfig { return &option.DaemonConfig{EnableIPv4: true, EnableIPv6: true} },
			func() kpr.KPRConfig { return kpr.KPRConfig{KubeProxyReplacement: true} },
			func(config loadbalancer.TestConfig) *loadbalancer.TestConfig { return &config },
		),
		lbcell.Cell,
		// The agent watches its own Node.
		cell.Invoke(func(own daemonk8s.LocalNodeResource, jobs job.Group) {
			jobs.Add(
				job.Observer("own-node", func(_ context.Context, event resource.Event[*slim.Node]) error {
					event.Done(nil)
					return nil
				}, own),
			)
		}),
		cell.Invoke(
			func(
				maps lbmaps.LBMaps,
				registry *metrics.Registry,
				commands upstream.ScriptCmds,
				db *statedb.DB,
				health statedb.Table[types.Status],
				config loadbalancer.Config,
			) {
				lb.maps, lb.registry, lb.commands = maps, registry, commands
				lb.db, lb.health, lb.config = db, health, config
			},
		),
	)
}

// start runs it against an API server until the test ends.
func (c Cilium) start(t *testing.T, server *apiServer, flags ...string) *loadBalancer {
	t.Helper()
	lb := &loadBalancer{t: t}
	nodeTypes.SetName("hz-1")
	h := c.newHive(lb, poolscopecilium.DefaultConfig)
	set := pflag.NewFlagSet("agent", pflag.ContinueOnError)
	h.RegisterFlags(set)
	flags = append(flags, "--k8s-api-server-urls="+server.URL, "--lb-test-fault-probability=0")
	if err := set.Parse(flags); err != nil {
		t.Fatal(err)
	}
	log := hivetest.Logger(t, hivetest.LogLevel(slog.LevelWarn))
	if err := h.Start(log, t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Stop(log, context.Background()); err != nil {
			t.Error(err)
		}
	})
	return lb
}

// backends are the addresses that the BPF maps have as backends.
func (lb *loadBalancer) backends() (found []string) {
	for _, line := range lbmaps.DumpLBMaps(lb.maps, false, nil) {
		if rest, ok := strings.CutPrefix(line, "BE:"); ok {
			for _, word := range strings.Fields(rest) {
				if address, ok := strings.CutPrefix(word, "ADDR="); ok {
					found = append(
						found,
						netip.MustParseAddrPort(strings.TrimSuffix(strings.TrimSuffix(address, "/TCP"), "/UDP")).
							Addr().
							String(),
					)
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// settles waits until these are the backends, and stay so for a moment.
func (lb *loadBalancer) settles(what string, addresses ...string) {
	lb.t.Helper()
	deadline, since := time.Now().Add(time.Minute), time.Now()
	for time.Since(since) < 300*time.Millisecond {
		found := lb.backends()
		if !slices.Equal(found, addresses) {
			since = time.Now()
			if since.After(deadline) {
				lb.t.Fatalf("%s: the BPF maps have %v, and not %v", what, found, addresses)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}
