package poolscope

/*
#include <poolscope.h>
*/
import "C"

import (
	"encoding/json"
	"net/http"
	"unsafe"
)

// Node is the cluster as one node sees it. Any goroutine may use it.
type Node struct {
	cluster *Cluster
	handle  *handle[*C.poolscope_node]
	waits   waits
}

// Description is what is known of a node.
type Description struct {
	Name string `json:"name"`
	// Known: a Node, or CiliumNode, of that name was seen.
	Known bool `json:"known"`
	// Pool is the node's own pool, as far as it is known.
	Pool string `json:"pool"`
	// Rewrites are those that its client gets as the facts are now.
	Rewrites []string `json:"rewrites"`
	// Missing is what still has to be learned; empty when the node is ready.
	Missing []Missing `json:"missing"`
}

// Missing is a kind of facts that has to be known before endpoints may be served.
type Missing struct {
	Kind string `json:"kind"`
	// Path is what to GET.
	Path string `json:"path"`
	// Known is what is known instead, if that is not enough.
	Known string `json:"known"`
}

// Verdict is the verdict on one endpoint, with its reason.
type Verdict struct {
	Kept   bool   `json:"kept"`
	Reason string `json:"reason"`
	// Rule is the row of docs/openyurt.md.
	Rule string `json:"rule"`
	// Topology is what the Service asks for; empty if it is not known.
	Topology string `json:"topology"`
	// Pools are those of the node that the endpoint is on.
	Pools []string `json:"pools"`
}

// Node is the view of the node of that name, which need not be known yet.
func (c *Cluster) Node(name string) *Node {
	var made *C.poolscope_node
	err := use(c.handle, func(h *C.poolscope_cluster) error {
		var e *C.poolscope_error
		at, n := text(name)
		return failed(C.poolscope_cluster_node(h, at, n, &made, &e), e)
	})
	if err != nil {
		// Only a name that is no UTF-8 is refused, and no node of Kubernetes can have one.
		panic(err)
	}
	return &Node{cluster: c, handle: newHandle(made, func(n *C.poolscope_node) { C.poolscope_node_free(n) })}
}

// Client is the view of the same node for a client of that User-Agent: for explanations, and for requests that do not carry the
// header. It matters where the configuration says "components": "yurtHub".
func (n *Node) Client(userAgent string) *Node {
	var made *C.poolscope_node
	err := use(n.handle, func(h *C.poolscope_node) error {
		var e *C.poolscope_error
		at, size := text(userAgent)
		return failed(C.poolscope_node_client(h, at, size, &made, &e), e)
	})
	if err != nil {
		// Only what is no UTF-8 is refused, and no list of components can name it.
		panic(err)
	}
	return &Node{cluster: n.cluster, handle: newHandle(made, func(n *C.poolscope_node) { C.poolscope_node_free(n) })}
}

// Cluster is the cluster that it is a view of.
func (n *Node) Cluster() *Cluster { return n.cluster }

// Ready says whether enough is known to show this node slices of every namespace: for a readiness probe.
func (n *Node) Ready() bool {
	return use(n.handle, func(h *C.poolscope_node) bool { return bool(C.poolscope_node_is_ready(h)) })
}

// Describe says what is known of the node, and what is missing.
func (n *Node) Describe() Description {
	return use(n.handle, func(h *C.poolscope_node) Description {
		var made *C.poolscope_text
		if C.poolscope_node_describe(h, &made, nil) != C.POOLSCOPE_OK {
			return Description{}
		}
		description, _ := take[Description](made)
		return description
	})
}

// Judge is the verdict on an endpoint on the node on (empty: it names none) of a Service (empty: its slice names none), by
// what is known now. Of a ladder it takes the last rung; [Inventory.View] knows what stands on the others.
func (n *Node) Judge(namespace, service, on string) (Verdict, error) {
	var made *C.poolscope_text
	err := use(n.handle, func(h *C.poolscope_node) error {
		var e *C.poolscope_error
		namespaceAt, namespaceLen := text(namespace)
		serviceAt, serviceLen := text(service)
		onAt, onLen := text(on)
		return failed(C.poolscope_node_judge(h, namespaceAt, namespaceLen, serviceAt, serviceLen, onAt, onLen, &made, &e), e)
	})
	if err != nil {
		return Verdict{}, err
	}
	return take[Verdict](made)
}

// PrepareRequest changes the headers of a request so that its answer can be read: for the Rewrite function of an
// httputil.ReverseProxy, on ProxyRequest.Out. Requests for other things stay as they are.
func (n *Node) PrepareRequest(request *http.Request) error {
	asked, err := newRequest(request)
	if err != nil {
		return err
	}
	defer C.poolscope_request_free(asked)
	err = use(n.handle, func(h *C.poolscope_node) error {
		var e *C.poolscope_error
		return failed(C.poolscope_node_prepare(h, asked, &e), e)
	})
	if err != nil {
		return err
	}
	prepared, err := headers(asked)
	if err != nil {
		return err
	}
	// Only what was changed is taken over: of other values the library need not have every byte.
	for name := range request.Header {
		if _, kept := prepared[http.CanonicalHeaderKey(name)]; !kept {
			delete(request.Header, name)
		} else if http.CanonicalHeaderKey(name) == "Accept" {
			request.Header[name] = prepared["Accept"]
		}
	}
	return nil
}

// Opening says what is to be done with a response.
type Opening int

// What is to be done with a response.
const (
	PassThrough Opening = C.POOLSCOPE_PASS_THROUGH
	Rewrite     Opening = C.POOLSCOPE_REWRITE
	NotReady    Opening = C.POOLSCOPE_NOT_READY
	Expired     Opening = C.POOLSCOPE_EXPIRED
)

// Opened says what is to be done with a response.
type Opened struct {
	What Opening
	// Stream takes the body, if What is Rewrite. Close it.
	Stream *Stream
	// Answer is what the client is answered instead, if What is NotReady or Expired.
	Answer *Answer
	// Missing is what has to be known first, if What is NotReady.
	Missing []Missing
}

// Answer is a response in place of the API server's.
type Answer struct {
	// Status is 503 or 410.
	Status int
	// RetryAfter is for the header of that name, in seconds; 0: no such header.
	RetryAfter  int
	ContentType string
	// Body is a Kubernetes Status that says why.
	Body []byte
}

// Open decides what is to be done with a response for this node's client; header is the response's. An error says that the
// response cannot be read and must not be forwarded. Most programs want [Node.WrapTransport], [Node.ModifyResponse] or
// [Node.NewReader].
func (n *Node) Open(request *http.Request, status int, header http.Header) (*Opened, error) {
	return n.opened(request, status, header, false)
}

// OpenAlone does the same for one body by itself, such as a recorded one: nothing is remembered of it, a watch need not go on
// from anything, each event is judged by what is known when it passes, and nothing is left out.
func (n *Node) OpenAlone(request *http.Request, status int, header http.Header) (*Opened, error) {
	return n.opened(request, status, header, true)
}

func (n *Node) opened(request *http.Request, status int, header http.Header, alone bool) (*Opened, error) {
	var made *C.poolscope_opened
	err := exchange(request, status, header, func(asked *C.poolscope_request, head *C.poolscope_head) error {
		return use(n.handle, func(h *C.poolscope_node) error {
			var e *C.poolscope_error
			if alone {
				return failed(C.poolscope_node_open_alone(h, asked, head, &made, &e), e)
			}
			return failed(C.poolscope_node_open(h, asked, head, &made, &e), e)
		})
	})
	if err != nil {
		return nil, err
	}
	defer C.poolscope_opened_free(made)
	opened := &Opened{What: Opening(C.poolscope_opened_what(made))}
	switch opened.What {
	case PassThrough:
	case Rewrite:
		opened.Stream = newStream(n.cluster, C.poolscope_opened_take_stream(made))
	default:
		if opened.Answer, err = answer(made); err != nil {
			return nil, err
		}
		var missing *C.poolscope_text
		var e *C.poolscope_error
		if err := failed(C.poolscope_opened_missing(made, &missing, &e), e); err != nil {
			return nil, err
		}
		opened.Missing, err = take[[]Missing](missing)
	}
	return opened, err
}

func answer(opened *C.poolscope_opened) (*Answer, error) {
	var status C.uint16_t
	var retryAfter C.uint32_t
	var contentType *C.char
	var body *C.uint8_t
	var bodyLen C.size_t
	var e *C.poolscope_error
	err := failed(C.poolscope_opened_answer(opened, &status, &retryAfter, &contentType, &body, &bodyLen, &e), e)
	if err != nil {
		return nil, err
	}
	return &Answer{
		Status:      int(status),
		RetryAfter:  int(retryAfter),
		ContentType: C.GoString(contentType),
		Body:        C.GoBytes(unsafe.Pointer(body), C.int(bodyLen)),
	}, nil
}

// Inventory is Services and their endpoints, loaded from whole bodies, to be explained.
type Inventory struct {
	handle *handle[*C.poolscope_inventory]
}

// NewInventory makes one with nothing in it.
func NewInventory() *Inventory {
	var made *C.poolscope_inventory
	C.poolscope_inventory_new(&made, nil)
	return &Inventory{newHandle(made, func(i *C.poolscope_inventory) { C.poolscope_inventory_free(i) })}
}

// Load adds what a whole body has: a list or an object of Services, EndpointSlices or Endpoints, JSON or protobuf.
func (i *Inventory) Load(body []byte) error {
	return use(i.handle, func(h *C.poolscope_inventory) error {
		var e *C.poolscope_error
		at, n := data(body)
		return failed(C.poolscope_inventory_load(h, at, n, nil, &e), e)
	})
}

// View is every Service as a node sees it, each endpoint kept or hidden and why: the JSON that docs/cli.md describes.
func (i *Inventory) View(node *Node) (json.RawMessage, error) {
	var made *C.poolscope_text
	err := use(i.handle, func(h *C.poolscope_inventory) error {
		return use(node.handle, func(n *C.poolscope_node) error {
			var e *C.poolscope_error
			return failed(C.poolscope_inventory_view(h, n, &made, &e), e)
		})
	})
	if err != nil {
		return nil, err
	}
	return take[json.RawMessage](made)
}
