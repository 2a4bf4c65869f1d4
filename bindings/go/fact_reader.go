package poolscope

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
	// Nil once it was closed.
	handle *handle
}

// ReadFacts opens a response that the caller fetched: a list, a watch or an object of Services,
// Nodes, CiliumNodes, NodePools, NodeBuckets or the ConfigMap kube-system/yurt-hub-cfg. header is
// the response's. It fails with [ErrNotAFact] for other requests and for a status other than 200.
func (c *Cluster) ReadFacts(
	request *http.Request,
	status int,
	header http.Header,
) (*FactReader, error) {
	defer runtime.KeepAlive(c.handle)
	library := c.handle.library
	at, err := library.readFacts(c.handle.at, headOf(request), responseHead{status, header})
	handle, err := made(library, handleFactReader, at, err)
	if err != nil {
		return nil, err
	}
	return &FactReader{cluster: c, handle: handle}, nil
}

// Write takes the next bytes of the body, split anywhere. An error closes the reader; the facts
// that were read before the fault stay.
func (f *FactReader) Write(chunk []byte) (int, error) {
	err := f.call(func(library *library, at pointer) error {
		return library.factReaderPush(at, chunk)
	})
	if err != nil {
		return 0, err
	}
	return len(chunk), nil
}

// Finish ends the body. It fails with [ErrTruncated] if the body ended inside a value.
func (f *FactReader) Finish() error { return f.call((*library).factReaderFinish) }

func (f *FactReader) call(call func(*library, pointer) error) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.handle == nil {
		return errClosed
	}
	err := use(f.handle, call)
	f.cluster.notice()
	return err
}

// Close frees the reader, finished or not. Any goroutine may call it, any number of times.
func (f *FactReader) Close() error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.handle != nil {
		f.handle.close()
		f.handle = nil
	}
	return nil
}
