package poolscope

import (
	"encoding/json"
	"runtime"
)

// handle owns a pointer of the library, and frees it when it is no longer reachable. The cleanup
// keeps the library, so that a library ends after all of its handles.
type handle struct {
	owned
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

// owned is a pointer of a library, and what frees it.
type owned struct {
	library *library
	kind    handleKind
	at      pointer
}

func (o owned) free() { o.library.free(o.kind, o.at) }

func newHandle(library *library, kind handleKind, at pointer) *handle {
	h := &handle{owned: owned{library, kind, at}}
	h.cleanup = runtime.AddCleanup(h, owned.free, h.owned)
	return h
}

// close frees the pointer. The caller makes sure that no call uses the handle, now and later.
func (h *handle) close() {
	h.cleanup.Stop()
	h.free()
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
