// cilium-agent whose load balancer sees of EndpointSlices what its node may use.
package main

import (
	"github.com/cilium/cilium/daemon/cmd"
	"github.com/cilium/cilium/pkg/hive"

	"github.com/poolscope/poolscope/bindings/go/cilium"
)

func main() {
	cmd.Execute(cmd.NewAgentCmd(func() *hive.Hive {
		return hive.New(poolscopecilium.Cell(poolscopecilium.DefaultConfig), cmd.Agent)
	}))
}
