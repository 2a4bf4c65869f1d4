// Package poolscopecilium makes cilium-agent keep Services within node pools, in Cilium's place for
// such things: a cell.
//
//	hive.New(poolscopecilium.Cell(poolscopecilium.DefaultConfig), cmd.Agent)
//
// is a whole cilium-agent (cmd/cilium-agent) whose load balancer sees of EndpointSlices what its
// node may use. The cell stands under the agent's Kubernetes clients, so that nothing else of the
// agent has to know of it: policy, identities and routing see what they always saw.
//
// It is made for Cilium 1.19 and 1.20; the importing module chooses the version. The properties
// that it relies on are checked when the agent starts, which fails with a sentence if a version has
// it otherwise. docs/cilium.md of the repository is the guide.
package poolscopecilium
