package poolscope

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Waiting is a response that is held until enough is known to filter it.
type Waiting struct {
	// Target is the path and query of its request.
	Target string
	// Since is when it began to wait.
	Since time.Time
	// Missing is what it waits for.
	Missing []Missing
}

// Waiting says which responses for this node are held, and what for; the oldest first. It is of this very Node: another
// one of the same name has its own. For a status page, and to see what has to be fetched.
func (n *Node) Waiting() []Waiting { return n.waits.list() }

// waits are the responses that wait now.
type waits struct {
	mutex sync.Mutex
	now   map[*Waiting]struct{}
}

func (w *waits) set(waiting *Waiting, missing []Missing) {
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
	slices.SortFunc(list, func(a, b Waiting) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Target, b.Target)) })
	return list
}
