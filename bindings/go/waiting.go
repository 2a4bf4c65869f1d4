package poolscope

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Waiting is a response that waits for missing facts.
type Waiting struct {
	// Target is the path and query of the request.
	Target string
	// Since is the time at which it began to wait.
	Since time.Time
	// Missing are the facts that it waits for.
	Missing []MissingFact
}

// Waiting returns the responses of this Node that wait for missing facts, the oldest first: for a
// status page. Another Node of the same name has its own.
func (n *Node) Waiting() []Waiting { return n.waits.list() }

// waits are the responses that wait.
type waits struct {
	mutex sync.Mutex
	now   map[*Waiting]struct{}
}

func (w *waits) set(waiting *Waiting, missing []MissingFact) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.now == nil {
		w.now = map[*Waiting]struct{}{}
	}
	w.now[waiting] = struct{}{}
	waiting.Missing = missing
}

func (w *waits) end(waiting *Waiting) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	delete(w.now, waiting)
}

func (w *waits) list() []Waiting {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	list := make([]Waiting, 0, len(w.now))
	for waiting := range w.now {
		list = append(list, *waiting)
	}
	slices.SortFunc(
		list,
		func(a, b Waiting) int {
			return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Target, b.Target))
		},
	)
	return list
}
