package poolscope

/*
#include <poolscope.h>
*/
import "C"

import (
	"encoding/json"
	"sync"
	"sync/atomic"
)

// Cluster is the facts of one cluster. Create one per process; any goroutine may use it.
type Cluster struct {
	handle *handle[*C.poolscope_cluster]
	// Facts changed in a way that can change a verdict: refresh.
	changed signal
	// Facts were read that may make a node ready.
	factsRead  signal
	generation atomic.Uint64
	// Streams may need lists.
	topologyRetention bool
}

// New creates a cluster without facts.
func New(config Config) (*Cluster, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, &Error{Kind: ErrConfig, Message: "configuration: " + err.Error(), Offset: NoOffset}
	}
	made, err := makeCluster(string(text))
	if err != nil {
		return nil, err
	}
	return &Cluster{
		handle:            newHandle(made, func(c *C.poolscope_cluster) { C.poolscope_cluster_free(c) }),
		topologyRetention: config.Retention == RetentionTopology,
	}, nil
}

func makeCluster(config string) (*C.poolscope_cluster, error) {
	var made *C.poolscope_cluster
	var e *C.poolscope_error
	at, n := text(config)
	err := failed(C.poolscope_cluster_new(at, n, &made, &e), e)
	return made, err
}

// checkConfig reports what the library cannot use of a configuration document.
func checkConfig(config string) error {
	made, err := makeCluster(config)
	C.poolscope_cluster_free(made)
	return err
}

// Generation returns a number that every fact change that can change a verdict raises.
func (c *Cluster) Generation() uint64 {
	return use(
		c.handle,
		func(h *C.poolscope_cluster) uint64 { return uint64(C.poolscope_cluster_generation(h)) },
	)
}

// Changed returns a channel that is closed at the next fact change that can change a verdict.
func (c *Cluster) Changed() <-chan struct{} { return c.changed.next() }

// Counters returns a snapshot of all counters for metrics. Their names never change.
func (c *Cluster) Counters() map[string]uint64 {
	return use(c.handle, func(h *C.poolscope_cluster) map[string]uint64 {
		var made *C.poolscope_text
		if C.poolscope_cluster_counters(h, &made, nil) != C.POOLSCOPE_OK {
			return nil
		}
		counters, _ := take[map[string]uint64](made)
		return counters
	})
}

// InvalidateSource marks the facts of a kind as incomplete and keeps them. The next list of the
// kind replaces them; [Node.Sync] reads it anew. Call it when the API server was restored to an
// earlier state.
func (c *Cluster) InvalidateSource(kind FactKind) error {
	return use(c.handle, func(h *C.poolscope_cluster) error {
		var e *C.poolscope_error
		at, n := text(string(kind))
		return failed(C.poolscope_cluster_invalidate_source(h, at, n, &e), e)
	})
}

// notice wakes waiting goroutines after bytes were pushed that may have had facts.
func (c *Cluster) notice() {
	c.factsRead.send()
	now := c.Generation()
	for {
		before := c.generation.Load()
		if now <= before {
			return
		}
		if c.generation.CompareAndSwap(before, now) {
			c.changed.send()
			return
		}
	}
}

// signal wakes all goroutines that wait for the next event.
type signal struct {
	mutex   sync.Mutex
	waiting chan struct{}
}

func (s *signal) next() <-chan struct{} {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.waiting == nil {
		s.waiting = make(chan struct{})
	}
	return s.waiting
}

func (s *signal) send() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.waiting != nil {
		close(s.waiting)
		s.waiting = nil
	}
}
