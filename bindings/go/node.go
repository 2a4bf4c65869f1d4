package poolscope

import (
	"net/http"
	"runtime"
	"strings"
)

// Node is the cluster as one node sees it. Any goroutine may use it.
type Node struct {
	cluster *Cluster
	handle  *handle
	waits   waits
}

// FactKind is a kind of facts.
type FactKind string

// The kinds of facts.
const (
	KindService    FactKind = "Service"
	KindNode       FactKind = "Node"
	KindCiliumNode FactKind = "CiliumNode"
	KindNodePool   FactKind = "NodePool"
	KindNodeBucket FactKind = "NodeBucket"
	KindConfigMap  FactKind = "ConfigMap"
)

// Description is the facts about a node.
type Description struct {
	Name string `json:"name"`
	// Known: a Node or CiliumNode of that name was read.
	Known bool `json:"known"`
	// Pool is the node's own pool; empty if it is not known.
	Pool string `json:"pool"`
	// Rewrites are those that the client gets by the present facts.
	Rewrites []string `json:"rewrites"`
	// Missing is empty when the node is ready.
	Missing []MissingFact `json:"missing"`
}

// MissingFact is a kind that has to be read before endpoints can be served.
type MissingFact struct {
	Kind FactKind `json:"kind"`
	// Path is the path to GET.
	Path string `json:"path"`
	// Known names the lists that were read, if they are not enough.
	Known string `json:"known"`
}

// Verdict is the verdict on one endpoint, with its reason.
type Verdict struct {
	Kept   bool   `json:"kept"`
	Reason string `json:"reason"`
	// Rule is the row of docs/openyurt.md.
	Rule string `json:"rule"`
	// Topology is that of the Service: any, node, pool, labels or fallback; empty if it is not known.
	Topology string `json:"topology"`
	// Pools are those of the endpoint's node.
	Pools []string `json:"pools"`
}

// Node returns the view of the node of that name. The node need not be known yet. Bytes of the name
// that are not UTF-8 become replacement characters; no node of Kubernetes has any.
func (c *Cluster) Node(name string) *Node {
	return use(c.handle, func(library *library, at pointer) *Node {
		node := library.node(at, strings.ToValidUTF8(name, "\ufffd"))
		return &Node{cluster: c, handle: newHandle(library, handleNode, node)}
	})
}

// Client returns the view of the same node for a client with that User-Agent: for explanations, and
// for requests without the header. It matters with [ClientsYurtHub].
func (n *Node) Client(userAgent string) *Node {
	return use(n.handle, func(library *library, at pointer) *Node {
		client := library.client(at, strings.ToValidUTF8(userAgent, "\ufffd"))
		return &Node{cluster: n.cluster, handle: newHandle(library, handleNode, client)}
	})
}

// Cluster returns the cluster of the view.
func (n *Node) Cluster() *Cluster { return n.cluster }

// Ready returns true if no fact is missing that the node needs for slices of any namespace: for a
// readiness probe.
func (n *Node) Ready() bool { return use(n.handle, (*library).isReady) }

// Describe returns the facts about the node, and the missing facts.
func (n *Node) Describe() Description {
	return use(n.handle, func(library *library, at pointer) Description {
		description, _ := decoded[Description](library.describe(at))
		return description
	})
}

// Judge returns the verdict on an endpoint by the present facts: an endpoint on the node on (empty:
// it names no node) of a Service (empty: its slice names none). For a topology fallback it takes
// the last step; [Inventory.View] knows which endpoints the other steps have.
func (n *Node) Judge(namespace, service, on string) (Verdict, error) {
	defer runtime.KeepAlive(n.handle)
	return decoded[Verdict](n.handle.library.judge(n.handle.at, namespace, service, on))
}

// PrepareRequest changes the headers of a request so that its response can be read: for the Rewrite
// function of an httputil.ReverseProxy, on ProxyRequest.Out. Requests for other resources stay
// unchanged.
func (n *Node) PrepareRequest(request *http.Request) error {
	defer runtime.KeepAlive(n.handle)
	prepared, err := n.handle.library.prepare(n.handle.at, headOf(request))
	if err != nil {
		return err
	}
	// Values that are not UTF-8 come back changed, so that only the changes are taken over.
	for name := range request.Header {
		if _, kept := prepared[http.CanonicalHeaderKey(name)]; !kept {
			delete(request.Header, name)
		} else if http.CanonicalHeaderKey(name) == "Accept" {
			request.Header[name] = prepared["Accept"]
		}
	}
	return nil
}
