package poolscope

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// How much the stream is given at once.
	pieceSize = 64 << 10
	// How long to wait before a list is requested again that failed or brought nothing. The delay
	// doubles with each failure in a row.
	listAgain = time.Second
	// The longest delay, and the longest time for a response.
	listLongest = 30 * time.Second
)

// reader returns a body as the node's client receives it. One goroutine reads upstream; everything
// else happens in Read, so that a slow client slows upstream.
type reader struct {
	cluster  *Cluster
	upstream io.ReadCloser
	context  context.Context
	cancel   context.CancelFunc
	closing  sync.Once

	ring *ring

	// Requests the lists that the stream needs; nil without a transport.
	fetch    func(ctx context.Context, target string) (*neededList, error)
	lists    chan *neededList
	fetching bool
	// Requests in a row that brought nothing. The next request is for another list, so that a list
	// that cannot be read does not keep the others waiting.
	failures int
	// The list that is or was requested last.
	requested string

	// Guards the stream's memory against Close: returned bytes are copied before they can be freed.
	mutex  sync.Mutex
	stream *Stream

	// The bytes that did not fit into the last Read, the memory that has them, and the error after
	// them.
	rest []byte
	kept []byte
	err  error
}

// always is ready.
var always = func() chan struct{} {
	ready := make(chan struct{})
	close(ready)
	return ready
}()

// neededList is the response to a request for a needed list.
type neededList struct {
	status int
	header http.Header
	body   []byte
}

func newReader(
	ctx context.Context,
	cluster *Cluster,
	stream *Stream,
	upstream io.ReadCloser,
) *reader {
	r := &reader{
		cluster:  cluster,
		upstream: upstream,
		stream:   stream,
		ring:     newRing(),
		lists:    make(chan *neededList, 1),
	}
	r.context, r.cancel = context.WithCancel(ctx)
	// Only closing upstream ends a read that blocks.
	context.AfterFunc(r.context, r.closeUpstream)
	go r.ring.fill(r.upstream, r.context.Done())
	return r
}

// Read returns the next bytes for the client. It waits for upstream and for fact changes.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch {
		case len(r.rest) > 0:
			n := copy(p, r.rest)
			r.rest = r.rest[n:]
			return n, nil
		case r.err != nil:
			return 0, r.err
		}
		if n := r.next(p); n > 0 {
			return n, nil
		}
	}
}

// next waits for one event, and puts its bytes for the client into p and the rest.
func (r *reader) next(p []byte) int {
	// Taken before the state is read, so that no later change is missed.
	changed := r.cluster.Changed()
	if r.stream.State().NeedsRefresh {
		if n := r.deliver(p, r.stream.Refresh); n > 0 || r.err != nil {
			r.requestList()
			return n
		}
	}
	r.requestList()
	piece, err := r.ring.next(pieceSize)
	arrived := r.ring.filled
	if len(piece) > 0 || err != nil {
		arrived = always
	} else {
		// The stream may be silent for long.
		r.kept = nil
	}
	select {
	case <-arrived:
		if len(piece) > 0 || err != nil {
			return r.receive(p, piece, err)
		}
	case list := <-r.lists:
		r.fetching = false
		r.failures++
		if list == nil {
			return 0
		}
		return r.deliver(p, func() ([]byte, error) {
			out, err := r.stream.ProvideList(list.status, list.header, list.body)
			// After an error the stream continues as if there had been no response. An object of
			// another resourceVersion does not count, and the list is needed again.
			still := func(list NeededList) bool { return list.Target == r.requested }
			if err == nil && !slices.ContainsFunc(r.stream.NeededLists(), still) {
				r.failures = 0
			}
			return out, nil
		})
	case <-changed:
	case <-r.context.Done():
		r.end(context.Cause(r.context))
	}
	return 0
}

// receive puts what follows from bytes of upstream, or from its end, into p and the rest.
func (r *reader) receive(p, piece []byte, err error) (n int) {
	if len(piece) > 0 {
		n = r.deliver(p, func() ([]byte, error) { return r.stream.Push(piece) })
		r.ring.took(len(piece))
		if r.err == nil && r.stream.State().IsEnded {
			r.end(io.EOF)
		}
		return n
	}
	switch {
	case r.stream.State().IsWatch && r.context.Err() == nil:
		// Also if upstream broke: the client resumes after its last whole event, and would list
		// anew after an HTTP/2 stream error.
		n = r.deliver(p, func() ([]byte, error) {
			// An error says that the last event was not whole.
			out, _ := r.stream.Finish()
			return out, nil
		})
		r.end(io.EOF)
	case err == io.EOF:
		n = r.deliver(p, r.stream.Finish)
		r.end(io.EOF)
	default:
		r.end(err)
	}
	return n
}

// deliver puts the bytes of a call into p and the rest. Its error comes after them.
func (r *reader) deliver(p []byte, call func() ([]byte, error)) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	out, err := call()
	n := copy(p, out)
	if n < len(out) {
		r.kept = append(r.kept[:0], out[n:]...)
		r.rest = r.kept
	}
	if err != nil {
		r.end(err)
	}
	return n
}

// end sets the error after all bytes. The first error counts.
func (r *reader) end(err error) {
	if r.err == nil {
		r.err = err
		r.cancel()
	}
}

// Close ends the response. Any goroutine may call it, any number of times, also while another is in
// Read.
func (r *reader) Close() error {
	r.cancel()
	r.closeUpstream()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.stream.Close()
}

func (r *reader) closeUpstream() {
	r.closing.Do(func() { r.upstream.Close() })
}

// requestList requests the next list that the stream needs, one at a time.
func (r *reader) requestList() {
	if r.fetch == nil || r.fetching {
		return
	}
	needed := r.stream.NeededLists()
	if len(needed) == 0 {
		return
	}
	r.fetching, r.requested = true, needed[r.failures%len(needed)].Target
	target, wait := r.requested, time.Duration(0)
	if r.failures > 0 {
		wait = min(listAgain<<min(r.failures-1, 5), listLongest)
	}
	go func() {
		select {
		case <-time.After(wait):
		case <-r.context.Done():
		}
		ctx, cancel := context.WithTimeout(r.context, listLongest)
		defer cancel()
		list, err := r.fetch(ctx, target)
		if err != nil {
			list = nil
		}
		r.lists <- list
	}()
}
