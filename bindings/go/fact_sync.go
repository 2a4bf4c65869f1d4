package poolscope

/*
#include <poolscope.h>
*/
import "C"

import (
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"
)

// factSync says which requests fetch a node's facts, and reads their responses.
type factSync struct {
	cluster *Cluster
	began   time.Time
	mutex   sync.Mutex
	handle  *C.poolscope_fact_sync
	cleanup runtime.Cleanup
}

// factStep is a step of a factSync.
type factStep struct {
	action  C.poolscope_fact_action
	id      uint64
	wait    time.Duration
	kind    FactKind
	target  string
	accept  string
	message string
}

func newFactSync(node *Node, seed uint64) (*factSync, error) {
	var made *C.poolscope_fact_sync
	err := use(node.handle, func(h *C.poolscope_node) error {
		var e *C.poolscope_error
		return failed(C.poolscope_fact_sync_new(h, C.uint64_t(seed), &made, &e), e)
	})
	if err != nil {
		return nil, err
	}
	f := &factSync{cluster: node.cluster, began: time.Now(), handle: made}
	free := func(h *C.poolscope_fact_sync) { C.poolscope_fact_sync_free(h) }
	f.cleanup = runtime.AddCleanup(f, free, made)
	return f, nil
}

func (f *factSync) call(
	call func(*C.poolscope_fact_sync, C.uint64_t, **C.poolscope_error) C.poolscope_status,
) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.handle == nil {
		return errClosed
	}
	var e *C.poolscope_error
	return failed(call(f.handle, C.uint64_t(time.Since(f.began).Milliseconds()), &e), e)
}

func (f *factSync) leaveToClient(kind FactKind) error {
	at, n := text(string(kind))
	return f.call(
		func(h *C.poolscope_fact_sync, _ C.uint64_t, e **C.poolscope_error) C.poolscope_status {
			return C.poolscope_fact_sync_leave_to_client(h, at, n, e)
		},
	)
}

func (f *factSync) require(kind FactKind) error {
	at, n := text(string(kind))
	return f.call(
		func(h *C.poolscope_fact_sync, _ C.uint64_t, e **C.poolscope_error) C.poolscope_status {
			return C.poolscope_fact_sync_require(h, at, n, e)
		},
	)
}

func (f *factSync) next() (next factStep, err error) {
	err = f.call(
		func(h *C.poolscope_fact_sync, now C.uint64_t, e **C.poolscope_error) C.poolscope_status {
			var step C.poolscope_fact_step
			status := C.poolscope_fact_sync_next(h, now, &step, e)
			next = factStep{
				action:  step.action,
				id:      uint64(step.id),
				wait:    time.Duration(min(step.millis, 1<<32)) * time.Millisecond,
				kind:    FactKind(copied(step.kind, step.kind_len)),
				target:  copied(step.target, step.target_len),
				accept:  copied(step.accept, step.accept_len),
				message: copied(step.message, step.message_len),
			}
			return status
		},
	)
	return next, err
}

// head returns whether the body of a response is wanted.
func (f *factSync) head(id uint64, response *http.Response) (bool, error) {
	x := new(exchange)
	x.setResponse(response.StatusCode, response.Header)
	defer x.release()
	wanted := C.bool(false)
	err := f.call(
		func(h *C.poolscope_fact_sync, now C.uint64_t, e **C.poolscope_error) C.poolscope_status {
			return C.poolscope_fact_sync_head(h, C.uint64_t(id), &x.response, now, &wanted, e)
		},
	)
	return bool(wanted), err
}

// push returns whether the rest of the body is wanted.
func (f *factSync) push(id uint64, chunk []byte) (bool, error) {
	wanted := C.bool(false)
	err := f.call(
		func(h *C.poolscope_fact_sync, now C.uint64_t, e **C.poolscope_error) C.poolscope_status {
			at, n := data(chunk)
			return C.poolscope_fact_sync_push(h, C.uint64_t(id), at, n, now, &wanted, e)
		},
	)
	f.cluster.notice()
	return bool(wanted), err
}

func (f *factSync) end(id uint64) error {
	err := f.call(
		func(h *C.poolscope_fact_sync, now C.uint64_t, e **C.poolscope_error) C.poolscope_status {
			return C.poolscope_fact_sync_end(h, C.uint64_t(id), now, e)
		},
	)
	f.cluster.notice()
	return err
}

func (f *factSync) broke(id uint64, why error) error {
	at, n := text(strings.ToValidUTF8(why.Error(), "\ufffd"))
	return f.call(
		func(h *C.poolscope_fact_sync, now C.uint64_t, e **C.poolscope_error) C.poolscope_status {
			return C.poolscope_fact_sync_broke(h, C.uint64_t(id), at, n, now, e)
		},
	)
}

func (f *factSync) close() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.handle != nil {
		f.cleanup.Stop()
		C.poolscope_fact_sync_free(f.handle)
		f.handle = nil
	}
}
