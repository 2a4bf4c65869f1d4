//go:build poolscope_cgo && poolscope_pkgconfig

package poolscope

// A library that is installed: `make install PREFIX=...`, and PKG_CONFIG_PATH if pkg-config does
// not look there.

/*
#cgo pkg-config: poolscope
*/
import "C"
