//go:build poolscope_cgo

package poolscope

import "github.com/poolscope/poolscope/bindings/go/internal/cheap"

// inUse returns how many bytes the library of a node has allocated, with those of all others.
func inUse(*Node) int { return cheap.InUse() }
