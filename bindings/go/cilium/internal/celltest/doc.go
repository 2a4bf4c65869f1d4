// Package celltest has the cell's tests: Cilium's load balancer from its Kubernetes client to the
// BPF maps, against a small API server. The module of each version of Cilium runs them.
package celltest
