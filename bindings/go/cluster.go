package poolscope

/*
#include <poolscope.h>
*/
import "C"

import (
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
)

// Cluster is what is known about the cluster. Make one a process; any goroutine may use it.
type Cluster struct {
	handle *handle[*C.poolscope_cluster]
	// Facts changed so that a verdict may be another: refresh.
	changed signal
	// Something was read that may make a node ready.
	learned    signal
	generation atomic.Uint64
	// Streams may want lists.
	topologyRetention bool
}

// New makes a cluster of which nothing is known yet. config is the JSON document of docs/config.md; an empty one is
// OpenYurt's annotations with NodePools.
func New(config string) (*Cluster, error) {
	if config == "" {
		config = "{}"
	}
	var made *C.poolscope_cluster
	var e *C.poolscope_error
	at, n := text(config)
	if err := failed(C.poolscope_cluster_new(at, n, &made, &e), e); err != nil {
		return nil, err
	}
	var said struct{ Retention string }
	if err := json.Unmarshal([]byte(config), &said); err != nil {
		return nil, err
	}
	return &Cluster{
		handle:            newHandle(made, func(c *C.poolscope_cluster) { C.poolscope_cluster_free(c) }),
		topologyRetention: said.Retention == "topology",
	}, nil
}

// Generation is raised by every change of facts that can change a verdict.
func (c *Cluster) Generation() uint64 {
	return use(c.handle, func(h *C.poolscope_cluster) uint64 { return uint64(C.poolscope_cluster_generation(h)) })
}

// Changed gives a channel that is closed at the next change of facts that can change a verdict.
func (c *Cluster) Changed() <-chan struct{} { return c.changed.next() }

// Counters says what was done so far, and what passed in doubt, by names that never change: a snapshot for metrics.
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

// ForgetSource forgets where the facts of a kind (Service, Node, CiliumNode, NodePool, NodeBucket, ConfigMap) came from, not the
// facts: the next list of it replaces them. For when the API server was restored to an earlier state.
func (c *Cluster) ForgetSource(kind string) error {
	return use(c.handle, func(h *C.poolscope_cluster) error {
		var e *C.poolscope_error
		at, n := text(kind)
		return failed(C.poolscope_cluster_forget_source(h, at, n, &e), e)
	})
}

// Feed takes a response that the caller fetched to teach the cluster: a list, a watch or an object of Services, Nodes,
// CiliumNodes, NodePools, NodeBuckets or the ConfigMap kube-system/yurt-hub-cfg. header is the response's.
func (c *Cluster) Feed(request *http.Request, status int, header http.Header) (*Feed, error) {
	var made *C.poolscope_feed
	err := exchange(request, status, header, func(asked *C.poolscope_request, head *C.poolscope_head) error {
		return use(c.handle, func(h *C.poolscope_cluster) error {
			var e *C.poolscope_error
			return failed(C.poolscope_cluster_feed(h, asked, head, &made, &e), e)
		})
	})
	if err != nil {
		return nil, err
	}
	return newFeed(c, made), nil
}

// notice tells who waits, after bytes have passed that may have taught.
func (c *Cluster) notice() {
	c.learned.send()
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

// signal wakes all who wait for what happens next.
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
