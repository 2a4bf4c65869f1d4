//go:build cgo

package poolscope

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// How much is read from upstream at once.
	chunkSize = 32 << 10
	// How long to wait before a list that could not be had is asked for again.
	supplyAgain = time.Second
)

// reader gives a body as the node's client gets it. One goroutine reads upstream; everything else happens in Read, so that a
// client that is slow slows upstream.
type reader struct {
	cluster  *Cluster
	upstream io.ReadCloser
	context  context.Context
	cancel   context.CancelFunc
	closing  sync.Once

	pieces chan piece
	buffer chan []byte

	// Lists what the stream wants, if there is somebody who can; nil otherwise.
	fetch    func(ctx context.Context, target string) (*supply, error)
	supplies chan *supply
	fetching bool
	// The last answer was no good.
	unfit bool

	// Guards the stream's memory against Close: what a call returned is copied before it can be freed.
	mutex  sync.Mutex
	stream *Stream

	// What did not fit into the last Read, and what comes after it.
	rest []byte
	err  error
}

// piece is what one read of upstream gave.
type piece struct {
	bytes []byte
	err   error
}

// supply is the answer to a request for something wanted.
type supply struct {
	status int
	header http.Header
	body   []byte
}

func newReader(ctx context.Context, cluster *Cluster, stream *Stream, upstream io.ReadCloser) *reader {
	r := &reader{
		cluster:  cluster,
		upstream: upstream,
		stream:   stream,
		pieces:   make(chan piece),
		buffer:   make(chan []byte, 1),
		supplies: make(chan *supply, 1),
	}
	r.context, r.cancel = context.WithCancel(ctx)
	// Nothing else ends a read of upstream that blocks.
	context.AfterFunc(r.context, r.closeUpstream)
	r.buffer <- make([]byte, chunkSize)
	go r.pump()
	return r
}

// pump hands over what upstream says, piece by piece, until it ends or nobody reads any more.
func (r *reader) pump() {
	for {
		select {
		case buffer := <-r.buffer:
			n, err := r.upstream.Read(buffer)
			select {
			case r.pieces <- piece{buffer[:n], err}:
			case <-r.context.Done():
				return
			}
			if err != nil {
				return
			}
		case <-r.context.Done():
			return
		}
	}
}

// Read gives the next bytes for the client. It waits for upstream, and meanwhile for changes of facts.
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

// next waits for one thing to happen, and puts what that gives for the client into p and the rest.
func (r *reader) next(p []byte) int {
	// Taken before looking: whatever changes from here on is noticed.
	changed := r.cluster.Changed()
	if r.stream.IsBehind() {
		if n := r.say(p, r.stream.Refresh); n > 0 || r.err != nil {
			r.want()
			return n
		}
	}
	r.want()
	select {
	case piece := <-r.pieces:
		n := 0
		if len(piece.bytes) > 0 {
			n = r.say(p, func() ([]byte, error) { return r.stream.Push(piece.bytes) })
		}
		switch {
		case r.err != nil:
		case r.stream.IsOver():
			r.end(io.EOF)
		case piece.err == nil:
			r.buffer <- piece.bytes[:cap(piece.bytes)]
		case piece.err == io.EOF:
			n += r.say(p[n:], r.stream.Finish)
			r.end(io.EOF)
		default:
			r.end(piece.err)
		}
		return n
	case supply := <-r.supplies:
		r.fetching = false
		if supply == nil {
			return 0
		}
		return r.say(p, func() ([]byte, error) {
			out, err := r.stream.Supply(supply.status, supply.header, supply.body)
			// An answer that is no good is as none: the stream goes on, and wants it again.
			r.unfit = err != nil
			return out, nil
		})
	case <-changed:
	case <-r.context.Done():
		r.end(context.Cause(r.context))
	}
	return 0
}

// say puts what a call gives into p and the rest. If it fails, that is what comes last.
func (r *reader) say(p []byte, call func() ([]byte, error)) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	out, err := call()
	n := copy(p, out)
	r.rest = append(r.rest, out[n:]...)
	if err != nil {
		r.end(err)
	}
	return n
}

// end says what comes after everything that was given. The first that is said counts.
func (r *reader) end(err error) {
	if r.err == nil {
		r.err = err
		r.cancel()
	}
}

// Close ends the response. Any goroutine may call it, any number of times, also while another is in Read.
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

// want has the next list made that the stream wants, one at a time.
func (r *reader) want() {
	if r.fetch == nil || r.fetching {
		return
	}
	wanted := r.stream.Wanted()
	if len(wanted) == 0 {
		return
	}
	r.fetching = true
	wait := r.unfit
	go func() {
		if wait {
			r.pause()
		}
		answer, err := r.fetch(r.context, wanted[0].Target)
		if err != nil {
			r.pause()
			answer = nil
		}
		r.supplies <- answer
	}()
}

func (r *reader) pause() {
	select {
	case <-time.After(supplyAgain):
	case <-r.context.Done():
	}
}
