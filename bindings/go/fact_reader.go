package poolscope

/*
#include <poolscope.h>
*/
import "C"

import (
	"net/http"
	"runtime"
	"sync"
)

// FactReader reads the facts in one response body. It is an io.Writer: write the body into it, and
// finish it at the end of the body.
type FactReader struct {
	cluster *Cluster
	mutex   sync.Mutex
	handle  *C.poolscope_fact_reader
	cleanup runtime.Cleanup
}

// ReadFacts opens a response that the caller fetched: a list, a watch or an object of Services,
// Nodes, CiliumNodes, NodePools, NodeBuckets or the ConfigMap kube-system/yurt-hub-cfg. header is
// the response's. It fails with [ErrNotAFact] for other requests and for a status other than 200.
func (c *Cluster) ReadFacts(
	request *http.Request,
	status int,
	header http.Header,
) (*FactReader, error) {
	x := lend(request, status, header)
	defer x.release()
	var made *C.poolscope_fact_reader
	err := use(c.handle, func(h *C.poolscope_cluster) error {
		var e *C.poolscope_error
		return failed(C.poolscope_cluster_read_facts(h, &x.request, &x.response, &made, &e), e)
	})
	if err != nil {
		return nil, err
	}
	f := &FactReader{cluster: c, handle: made}
	f.cleanup = runtime.AddCleanup(
		f,
		func(h *C.poolscope_fact_reader) { C.poolscope_fact_reader_free(h) },
		made,
	)
	return f, nil
}

// Write takes the next bytes of the body, split anywhere. An error closes the reader; the facts
// that were read before the fault stay.
func (f *FactReader) Write(chunk []byte) (int, error) {
	err := f.call(func(h *C.poolscope_fact_reader, e **C.poolscope_error) C.poolscope_status {
		at, n := data(chunk)
		return C.poolscope_fact_reader_push(h, at, n, e)
	})
	if err != nil {
		return 0, err
	}
	return len(chunk), nil
}

// Finish ends the body. It fails with [ErrTruncated] if the body ended inside a value.
func (f *FactReader) Finish() error {
	return f.call(func(h *C.poolscope_fact_reader, e **C.poolscope_error) C.poolscope_status {
		return C.poolscope_fact_reader_finish(h, e)
	})
}

func (f *FactReader) call(
	call func(*C.poolscope_fact_reader, **C.poolscope_error) C.poolscope_status,
) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.handle == nil {
		return errClosed
	}
	var e *C.poolscope_error
	err := failed(call(f.handle, &e), e)
	f.cluster.notice()
	return err
}

// Close frees the reader, finished or not. Any goroutine may call it, any number of times.
func (f *FactReader) Close() error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.handle != nil {
		f.cleanup.Stop()
		C.poolscope_fact_reader_free(f.handle)
		f.handle = nil
	}
	return nil
}
