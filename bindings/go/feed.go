package poolscope

/*
#include <poolscope.h>
*/
import "C"

import (
	"runtime"
	"sync"
)

// Feed is one response body that teaches a cluster.
type Feed struct {
	cluster *Cluster
	mutex   sync.Mutex
	handle  *C.poolscope_feed
	cleanup runtime.Cleanup
}

func newFeed(cluster *Cluster, made *C.poolscope_feed) *Feed {
	f := &Feed{cluster: cluster, handle: made}
	f.cleanup = runtime.AddCleanup(f, func(h *C.poolscope_feed) { C.poolscope_feed_free(h) }, made)
	return f
}

// Write takes the next bytes of the body, cut anywhere. An error closes the feed; what was learned before stays.
func (f *Feed) Write(chunk []byte) (int, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.handle == nil {
		return 0, errClosed
	}
	var e *C.poolscope_error
	at, n := data(chunk)
	err := failed(C.poolscope_feed_push(f.handle, at, n, &e), e)
	f.cluster.notice()
	if err != nil {
		return 0, err
	}
	return len(chunk), nil
}

// Finish says that the body is over.
func (f *Feed) Finish() error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.handle == nil {
		return errClosed
	}
	var e *C.poolscope_error
	err := failed(C.poolscope_feed_finish(f.handle, &e), e)
	f.cluster.notice()
	return err
}

// Close frees the feed, finished or not. Any goroutine may call it, any number of times.
func (f *Feed) Close() error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.handle != nil {
		f.cleanup.Stop()
		C.poolscope_feed_free(f.handle)
		f.handle = nil
	}
	return nil
}
