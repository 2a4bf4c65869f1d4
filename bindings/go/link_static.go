//go:build poolscope_cgo && !poolscope_pkgconfig

package poolscope

// The static library of this repository: `make lib` builds it.

/*
#cgo CFLAGS: -I${SRCDIR}/../../include
#cgo LDFLAGS: ${SRCDIR}/../../target/c/libpoolscope.a -lm -ldl -lpthread
*/
import "C"
