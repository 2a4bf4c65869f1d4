//go:build poolscope_cgo

// Package cheap measures the C heap, for tests.
package cheap

/*
#include <malloc.h>
#include <stddef.h>

static size_t in_use(void) {
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}
*/
import "C"

// One arena, so that all of the heap is counted.
func init() { C.mallopt(C.M_ARENA_MAX, 1) }

// InUse is how many bytes of the C heap are allocated.
func InUse() int { return int(C.in_use()) }
