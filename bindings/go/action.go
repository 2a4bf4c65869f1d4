package poolscope

import "net/http"

// Action is how to handle a response.
type Action int

// How to handle a response. poolscope.h has the same numbers.
const (
	// ActionReply: send the reply in place of the response.
	ActionReply Action = 0
	// ActionForward: forward the response unchanged.
	ActionForward Action = 1
	// ActionRewrite: push the body through the stream.
	ActionRewrite Action = 2
)

// Cause is the reason for a [Reply].
type Cause int

// The reasons for a reply. poolscope.h has the same numbers.
const (
	// CauseOther: a reason that a later version added.
	CauseOther Cause = 0
	// CauseMissingFacts: facts have to be read first (503; to a watch 429).
	CauseMissingFacts Cause = 1
	// CauseUnknownResourceVersion: the watch asks to resume at a resourceVersion that is not known
	// (410). The client relists.
	CauseUnknownResourceVersion Cause = 2
)

// Opened is the decision on a response.
type Opened struct {
	Action Action
	// Stream takes the body of [ActionRewrite]. Close it.
	Stream *Stream
	// Reply is set for [ActionReply].
	Reply *Reply
}

// Reply is a response in place of the API server's.
type Reply struct {
	// Status is 410, 429 or 503.
	Status int
	// RetryAfter is the value of the header Retry-After in seconds; 0: send no such header.
	RetryAfter  int
	ContentType string
	// Body is a Kubernetes Status that gives the reason.
	Body  []byte
	Cause Cause
	// Missing are the missing facts of [CauseMissingFacts].
	Missing []MissingFact
}

// Open decides how to handle a response for this node's client; header is the response's. An error
// means that the response cannot be read and must not be forwarded. Most programs use
// [Node.WrapTransport], [Node.ModifyResponse] or [Node.NewReader].
func (n *Node) Open(request *http.Request, status int, header http.Header) (*Opened, error) {
	return n.opened(request, status, header, false)
}

// OpenStateless opens a response without client state, such as a recorded body. A watch needs no
// state, each event is judged by the facts at the moment it passes, and unchanged events are not
// suppressed.
func (n *Node) OpenStateless(
	request *http.Request,
	status int,
	header http.Header,
) (*Opened, error) {
	return n.opened(request, status, header, true)
}

func (n *Node) opened(
	request *http.Request,
	status int,
	header http.Header,
	stateless bool,
) (*Opened, error) {
	var opened *Opened
	err := use(n.handle, func(library *library, at pointer) error {
		action, stream, reply, err := library.open(
			at,
			stateless,
			headOf(request),
			responseHead{status, header},
		)
		if err != nil {
			return err
		}
		opened = &Opened{Action: action, Reply: reply}
		if stream != null {
			opened.Stream = newStream(n.cluster, library, stream)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return opened, nil
}
