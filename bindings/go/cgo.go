package poolscope

/*
#include <poolscope.h>
*/
import "C"

import (
	"encoding/json"
	"runtime"
	"unsafe"
)

// text lends a string to a call, which does not keep it.
func text(s string) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))
}

// data lends bytes to a call, which does not keep them.
func data(b []byte) (*C.uint8_t, C.size_t) {
	return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(b))), C.size_t(len(b))
}

// take decodes a JSON text of the library into a value, and frees it.
func take[T any](from *C.poolscope_text) (T, error) {
	defer C.poolscope_text_free(from)
	var value T
	bytes := unsafe.Slice(
		(*byte)(unsafe.Pointer(C.poolscope_text_data(from))),
		int(C.poolscope_text_len(from)),
	)
	err := json.Unmarshal(bytes, &value)
	return value, err
}

// handle owns a pointer that any goroutine may use, and frees it when it is no longer reachable.
type handle[P any] struct {
	pointer P
}

func newHandle[P any](pointer P, free func(P)) *handle[P] {
	h := &handle[P]{pointer}
	runtime.AddCleanup(h, free, pointer)
	return h
}

// use keeps the handle alive during a call.
func use[P, R any](h *handle[P], call func(P) R) R {
	defer runtime.KeepAlive(h)
	return call(h.pointer)
}
