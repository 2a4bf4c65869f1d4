package poolscope

import "runtime"

// Inventory is Services and their endpoints, loaded from whole bodies, to be explained.
type Inventory struct {
	handle *handle
}

// ServiceView is one Service as a node sees it.
type ServiceView struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Type is ClusterIP, NodePort and so on; empty if only endpoints are known.
	Type string `json:"type"`
	// Topology is any, node, pool, labels or fallback; empty if the Service is not known.
	Topology string `json:"topology"`
	// Visible: the Service is visible to the node's client.
	Visible bool `json:"visible"`
	// Rewrite is the rewrite that decided; empty if none did.
	Rewrite string `json:"rewrite"`
	Reason  string `json:"reason"`
	// Rule is the row of docs/openyurt.md.
	Rule string `json:"rule"`
	// Why is the reason in words.
	Why       string         `json:"why"`
	Frontends []Frontend     `json:"frontends"`
	Endpoints []EndpointView `json:"endpoints"`
}

// Frontend is one address and port of a Service, such as 10.96.57.90:80/TCP.
type Frontend struct {
	Address  string `json:"address"`
	Type     string `json:"type"`
	PortName string `json:"portName"`
	IPv6     bool   `json:"ipv6"`
}

// EndpointView is one endpoint of a Service as a node sees it.
type EndpointView struct {
	Address string `json:"address"`
	// Object is the slice or Endpoints object that has the endpoint.
	Object string         `json:"object"`
	Ports  []EndpointPort `json:"ports"`
	// Node is the endpoint's node; empty if it names none.
	Node  string   `json:"node"`
	Pools []string `json:"pools"`
	// State is active, terminating or notReady.
	State   string `json:"state"`
	Kept    bool   `json:"kept"`
	Rewrite string `json:"rewrite"`
	Reason  string `json:"reason"`
	Rule    string `json:"rule"`
	Why     string `json:"why"`
}

// EndpointPort is one port of an endpoint.
type EndpointPort struct {
	Name string `json:"name"`
	// Port is 0 for all ports.
	Port     int32  `json:"port"`
	Protocol string `json:"protocol"`
}

// NewInventory creates an empty inventory, for the views of this cluster's nodes.
func (c *Cluster) NewInventory() (*Inventory, error) {
	defer runtime.KeepAlive(c.handle)
	at, err := c.handle.library.newInventory()
	handle, err := made(c.handle.library, handleInventory, at, err)
	if err != nil {
		return nil, err
	}
	return &Inventory{handle}, nil
}

// Load adds the objects of a whole body: a list or an object of Services, EndpointSlices or
// Endpoints, JSON or protobuf.
func (i *Inventory) Load(body []byte) error {
	return use(i.handle, func(library *library, at pointer) error {
		return library.inventoryLoad(at, body)
	})
}

// View returns every Service as a node sees it, each endpoint kept or dropped with its reason.
func (i *Inventory) View(node *Node) ([]ServiceView, error) {
	if err := i.belongs(node); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(i.handle)
	defer runtime.KeepAlive(node.handle)
	return decoded[[]ServiceView](i.handle.library.inventoryView(i.handle.at, node.handle.at))
}

// Find returns one Service as a node sees it; nil if neither the Service nor endpoints of it were
// loaded.
func (i *Inventory) Find(node *Node, namespace, service string) (*ServiceView, error) {
	if err := i.belongs(node); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(i.handle)
	defer runtime.KeepAlive(node.handle)
	return decoded[*ServiceView](
		i.handle.library.inventoryFind(i.handle.at, node.handle.at, namespace, service),
	)
}

// belongs fails for a node of another cluster.
func (i *Inventory) belongs(node *Node) error {
	if i.handle.library == node.handle.library {
		return nil
	}
	return &Error{
		Kind:    ErrInvalidArgument,
		Message: "argument `node` is of another cluster than the inventory",
		Offset:  NoOffset,
	}
}
