package poolscope

import (
	"net/http"
	"runtime"
	"sync"
)

// Stream rewrites one response body. The bytes that its methods return belong to the library: they
// are valid until the next call on the stream, while the stream is reachable ([runtime.KeepAlive]),
// and must not be written to. [Stream.AppendPush] copies instead. Most programs use
// [Node.NewReader], which makes all these calls.
type Stream struct {
	cluster *Cluster
	mutex   sync.Mutex
	// Nil once it was closed.
	handle *handle
	// Outputs of calls; here, so that a call allocates nothing.
	output output
}

// NeededList is a list that is needed to emit events for a Service that gained topology keys.
type NeededList struct {
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
	// Target is the path and query to GET.
	Target string `json:"target"`
}

func newStream(cluster *Cluster, library *library, at pointer) *Stream {
	return &Stream{cluster: cluster, handle: newHandle(library, handleStream, at)}
}

// Push takes the next bytes of the body, split anywhere, and returns the bytes to send to the
// client. An error closes the stream. There may be bytes with an error: they end where the last
// whole object before the fault ends.
func (s *Stream) Push(chunk []byte) ([]byte, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.push(chunk)
}

// AppendPush is [Stream.Push] with the returned bytes appended to dst.
func (s *Stream) AppendPush(dst, chunk []byte) ([]byte, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	out, err := s.push(chunk)
	return append(dst, out...), err
}

func (s *Stream) push(chunk []byte) ([]byte, error) {
	if s.handle == nil {
		return nil, errClosed
	}
	defer runtime.KeepAlive(s.handle)
	out, err := s.handle.library.push(s.handle.at, chunk, &s.output)
	s.cluster.notice()
	return out, err
}

// Refresh returns the watch events that the client needs after facts changed. Call it whenever
// [Cluster.Generation] moved.
func (s *Stream) Refresh() ([]byte, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.handle == nil {
		return nil, errClosed
	}
	defer runtime.KeepAlive(s.handle)
	return s.handle.library.refresh(s.handle.at, &s.output)
}

// Finish ends the body and returns the bytes that were held back. It fails with [ErrTruncated] if
// the body ended inside a value: abort the response then.
func (s *Stream) Finish() ([]byte, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.handle == nil {
		return nil, errClosed
	}
	defer runtime.KeepAlive(s.handle)
	out, err := s.handle.library.finish(s.handle.at, &s.output)
	s.cluster.notice()
	return out, err
}

// ProvideList takes the whole response to a request for one of [Stream.NeededLists], and returns
// the events that it makes possible. If the response cannot be read, the stream continues as if
// there had been none.
func (s *Stream) ProvideList(status int, header http.Header, body []byte) ([]byte, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.handle == nil {
		return nil, errClosed
	}
	defer runtime.KeepAlive(s.handle)
	response := responseHead{status, header}
	return s.handle.library.provideList(s.handle.at, response, body, &s.output)
}

// NeededLists returns the lists that are needed to emit events for Services that gained topology
// keys. Empty unless the retention is [RetentionTopology].
func (s *Stream) NeededLists() []NeededList {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.handle == nil {
		return nil
	}
	defer runtime.KeepAlive(s.handle)
	lists, _ := decoded[[]NeededList](s.handle.library.neededLists(s.handle.at))
	return lists
}

// StreamState is the state of a [Stream].
type StreamState struct {
	// BytesIn counts the bytes of the body that were processed, without those held back.
	BytesIn uint64
	// BytesOut counts the bytes that were returned.
	BytesOut uint64
	// IsWatch: if upstream breaks, end the response like any other; the client resumes. A list or an
	// object must not look whole then.
	IsWatch bool
	// NeedsRefresh: [Stream.Refresh] may return events. Also true right after a watch resumes.
	NeedsRefresh bool
	// IsEnded: the stream ended itself with an ERROR event. End the response.
	IsEnded bool
}

// State returns the state of the stream. Cheap. The state of a closed stream is ended.
func (s *Stream) State() StreamState {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.handle == nil {
		return StreamState{IsEnded: true}
	}
	return use(s.handle, (*library).state)
}

// Close frees the stream, finished or not, and the bytes that its last call returned. Any goroutine
// may call it, any number of times.
func (s *Stream) Close() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.handle != nil {
		s.handle.close()
		s.handle = nil
	}
	return nil
}
