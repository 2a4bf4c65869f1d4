package poolscope

import (
	"encoding/json"
	"sync"
	"sync/atomic"
)

// Cluster is the facts of one cluster. Create one per process; any goroutine may use it.
type Cluster struct {
	handle *handle
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
	library, err := newLibrary()
	if err != nil {
		return nil, err
	}
	at, err := library.newCluster(string(text))
	handle, err := made(library, handleCluster, at, err)
	if err != nil {
		return nil, err
	}
	return &Cluster{
		handle:            handle,
		topologyRetention: config.Retention == RetentionTopology,
	}, nil
}

// checkConfig reports what the library cannot use of a configuration document.
func checkConfig(config string) error {
	library, err := newLibrary()
	if err != nil {
		return err
	}
	defer library.close()
	at, err := library.newCluster(config)
	if err == nil {
		library.free(handleCluster, at)
	}
	return err
}

// Generation returns a number that every fact change that can change a verdict raises.
func (c *Cluster) Generation() uint64 { return use(c.handle, (*library).generation) }

// Changed returns a channel that is closed at the next fact change that can change a verdict.
func (c *Cluster) Changed() <-chan struct{} { return c.changed.next() }

// Counters returns a snapshot of all counters for metrics. Their names never change.
func (c *Cluster) Counters() map[string]uint64 {
	return use(c.handle, func(library *library, at pointer) map[string]uint64 {
		counters, _ := decoded[map[string]uint64](library.counters(at))
		return counters
	})
}

// InvalidateSource marks the facts of a kind as incomplete and keeps them. The next list of the
// kind replaces them; [Node.Sync] reads it anew. Call it when the API server was restored to an
// earlier state.
func (c *Cluster) InvalidateSource(kind FactKind) error {
	return use(c.handle, func(library *library, at pointer) error {
		return library.invalidateSource(at, string(kind))
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
