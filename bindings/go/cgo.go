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

// text gives a Go string to a call. It is not kept by it.
func text(s string) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))
}

// data gives bytes to a call. They are not kept by it.
func data(b []byte) (*C.uint8_t, C.size_t) {
	return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(b))), C.size_t(len(b))
}

// take turns a JSON text of the library's into a value, and frees it.
func take[T any](from *C.poolscope_text) (T, error) {
	defer C.poolscope_text_free(from)
	var value T
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(C.poolscope_text_data(from))), int(C.poolscope_text_len(from)))
	err := json.Unmarshal(bytes, &value)
	return value, err
}

// handle is something of the library's that any goroutine may use, freed when it is no longer reachable. P is a pointer.
type handle[P any] struct {
	pointer P
}

func newHandle[P any](pointer P, free func(P)) *handle[P] {
	h := &handle[P]{pointer}
	runtime.AddCleanup(h, free, pointer)
	return h
}

// use keeps the handle alive while a call is in it.
func use[P, R any](h *handle[P], call func(P) R) R {
	defer runtime.KeepAlive(h)
	return call(h.pointer)
}
