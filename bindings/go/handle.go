package poolscope

import (
	"encoding/json"
	"runtime"
)

// handle owns a pointer of the library, and frees it when it is no longer reachable. The cleanup
// keeps the library, so that a library ends after all of its handles.
type handle struct {
	library *library
	kind    handleKind
	at      pointer
	cleanup runtime.Cleanup
}

// handleKind says which function frees a handle.
type handleKind int

const (
	handleCluster handleKind = iota
	handleNode
	handleStream
	handleFactReader
	handleFactSync
	handleInventory
)

// owned is the argument of a handle's cleanup.
type owned struct {
	library *library
	kind    handleKind
	at      pointer
}

func newHandle(library *library, kind handleKind, at pointer) *handle {
	h := &handle{library: library, kind: kind, at: at}
	h.cleanup = runtime.AddCleanup(
		h,
		func(o owned) { o.library.free(o.kind, o.at) },
		owned{library, kind, at},
	)
	return h
}

// close frees the pointer. The caller makes sure that no call uses the handle, now and later.
func (h *handle) close() {
	h.cleanup.Stop()
	h.library.free(h.kind, h.at)
}

// use keeps the handle alive during a call.
func use[R any](h *handle, call func(*library, pointer) R) R {
	defer runtime.KeepAlive(h)
	return call(h.library, h.at)
}

// decoded decodes a JSON text of the library into a value.
func decoded[T any](text []byte, err error) (T, error) {
	var value T
	if err != nil {
		return value, err
	}
	err = json.Unmarshal(text, &value)
	return value, err
}

// made returns a handle of a pointer that a call returned.
func made(library *library, kind handleKind, at pointer, err error) (*handle, error) {
	if err != nil {
		return nil, err
	}
	return newHandle(library, kind, at), nil
}
