package poolscope

/*
#include <poolscope.h>
*/
import "C"

import (
	"net/http"
	"runtime"
	"sync"
	"unsafe"
)

var errClosed = &Error{Status: Closed, Message: "it is closed", Offset: NoOffset}

// Stream is one response body being rewritten. What its methods return is the library's memory: it is valid until the next
// call on the stream, and must not be written to. Most programs want a [Node.NewReader], which does all this.
type Stream struct {
	cluster *Cluster
	mutex   sync.Mutex
	handle  *C.poolscope_stream
	cleanup runtime.Cleanup
	// Where calls put what they give; here, so that a call allocates nothing.
	given *given
}

type given struct {
	out   *C.uint8_t
	len   C.size_t
	error *C.poolscope_error
}

// Wanted is a list that the embedder has to make, so that the client can be told of a Service that gained topology keys.
type Wanted struct {
	Namespace, Service string
	// Target is the path and query to GET.
	Target string
}

func newStream(cluster *Cluster, made *C.poolscope_stream) *Stream {
	s := &Stream{cluster: cluster, handle: made, given: new(given)}
	s.cleanup = runtime.AddCleanup(s, func(h *C.poolscope_stream) { C.poolscope_stream_free(h) }, made)
	return s
}

// Push takes the next bytes of the body, cut anywhere, and returns what is to be sent to the client: also with an error,
// which closes the stream.
func (s *Stream) Push(chunk []byte) ([]byte, error) {
	out, err := s.give(func(h *C.poolscope_stream, g *given) C.poolscope_status {
		at, n := data(chunk)
		return C.poolscope_stream_push(h, at, n, &g.out, &g.len, &g.error)
	})
	s.cluster.notice()
	return out, err
}

// Refresh returns the events that changes of facts owe this client. Call it whenever [Cluster.Generation] has moved.
func (s *Stream) Refresh() ([]byte, error) {
	return s.give(func(h *C.poolscope_stream, g *given) C.poolscope_status {
		return C.poolscope_stream_refresh(h, &g.out, &g.len, &g.error)
	})
}

// Finish says that the body is over, and returns what was held back. An error says that the body was cut.
func (s *Stream) Finish() ([]byte, error) {
	out, err := s.give(func(h *C.poolscope_stream, g *given) C.poolscope_status {
		return C.poolscope_stream_finish(h, &g.out, &g.len, &g.error)
	})
	s.cluster.notice()
	return out, err
}

// Supply takes the whole answer to a request for something [Stream.Wanted], and returns the events that it makes possible.
func (s *Stream) Supply(status int, header http.Header, body []byte) ([]byte, error) {
	head, err := newHead(status, header)
	if err != nil {
		return nil, err
	}
	defer C.poolscope_head_free(head)
	return s.give(func(h *C.poolscope_stream, g *given) C.poolscope_status {
		at, n := data(body)
		return C.poolscope_stream_supply(h, head, at, n, &g.out, &g.len, &g.error)
	})
}

// Wanted says what to list. Empty unless the configuration's retention is topology.
func (s *Stream) Wanted() []Wanted {
	return ask(s, nil, func(h *C.poolscope_stream) []Wanted {
		var made *C.poolscope_text
		if C.poolscope_stream_wanted(h, &made, nil) != C.POOLSCOPE_OK {
			return nil
		}
		wanted, _ := take[[]Wanted](made)
		return wanted
	})
}

// IsBehind says whether Refresh may have something to say. Cheap.
func (s *Stream) IsBehind() bool {
	return ask(s, false, func(h *C.poolscope_stream) bool { return bool(C.poolscope_stream_is_behind(h)) })
}

// IsOver says whether the stream has ended itself, with an ERROR to the client: end the response.
func (s *Stream) IsOver() bool {
	return ask(s, true, func(h *C.poolscope_stream) bool { return bool(C.poolscope_stream_is_over(h)) })
}

// Taken is how many bytes of the body were dealt with, not counting what is held back.
func (s *Stream) Taken() uint64 {
	return ask(s, 0, func(h *C.poolscope_stream) uint64 { return uint64(C.poolscope_stream_taken(h)) })
}

// Given is how many bytes were given out.
func (s *Stream) Given() uint64 {
	return ask(s, 0, func(h *C.poolscope_stream) uint64 { return uint64(C.poolscope_stream_given(h)) })
}

// Close frees the stream, finished or not, and what its last call returned. Any goroutine may call it, any number of times.
func (s *Stream) Close() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.handle != nil {
		s.cleanup.Stop()
		C.poolscope_stream_free(s.handle)
		s.handle = nil
	}
	return nil
}

func (s *Stream) give(call func(*C.poolscope_stream, *given) C.poolscope_status) ([]byte, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.handle == nil {
		return nil, errClosed
	}
	err := failed(call(s.handle, s.given), s.given.error)
	return unsafe.Slice((*byte)(unsafe.Pointer(s.given.out)), int(s.given.len)), err
}

func ask[T any](s *Stream, closed T, call func(*C.poolscope_stream) T) T {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.handle == nil {
		return closed
	}
	return call(s.handle)
}
