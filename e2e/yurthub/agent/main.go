// agent is OpenYurt's yurthub with this library in the place of its filters of endpoints. The
// ConfigMap yurt-hub-cfg still decides which clients are filtered. The package shows what the
// integration takes, and is for tests alone.
package main

import (
	"context"
	"log"
	"net/http"
	"os"

	"github.com/openyurtio/openyurt/cmd/yurthub/app"
	"github.com/openyurtio/openyurt/cmd/yurthub/app/config"
	"github.com/openyurtio/openyurt/cmd/yurthub/app/options"
	"github.com/poolscope/poolscope/bindings/go"
	"github.com/spf13/pflag"
	"k8s.io/apiserver/pkg/server"
	"k8s.io/klog/v2"
)

func main() {
	ctx := server.SetupSignalContext()
	hub := options.NewYurtHubOptions()
	flags := pflag.NewFlagSet("yurthub", pflag.ExitOnError)
	hub.AddFlags(flags)
	check(flags.Parse(os.Args[1:]))
	check(hub.Validate())
	cfg, err := config.Complete(hub, ctx.Done())
	check(err)
	if cfg.FilterFinder != nil {
		cluster, err := poolscope.New(poolscope.Config{})
		check(err)
		node := cluster.Node(cfg.NodeName)
		go fetchFacts(ctx, node, cfg)
		cfg.FilterFinder = finder{cfg.FilterFinder, node}
	}
	check(app.Run(ctx, cfg))
}

// fetchFacts reads Services, Nodes and pools with yurthub's own identity.
func fetchFacts(ctx context.Context, node *poolscope.Node, cfg *config.YurtHubConfiguration) {
	err := node.Sync(ctx, poolscope.SyncOptions{
		Client: &http.Client{Transport: cfg.TransportAndDirectClientManager.CurrentTransport()},
		Server: cfg.RemoteServers[0],
		Failed: func(kind poolscope.FactKind, err error) {
			klog.Errorf("poolscope could not read %s: %v", kind, err)
		},
	})
	if err != nil && ctx.Err() == nil {
		klog.Errorf("poolscope reads no more facts: %v", err)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
