//go:build !cgo

package poolscope

// poolscope is a Rust library that is linked by cgo: set CGO_ENABLED=1 and install a C compiler.
var _ = poolscope_needs_cgo_set_CGO_ENABLED_to_1
