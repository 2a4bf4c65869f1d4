package yurthub

import (
	"encoding/json"
	"fmt"
	"math/rand"

	discoveryv1 "k8s.io/api/discovery/v1"
	discoveryv1beta1 "k8s.io/api/discovery/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// setup is what a node is told, in poolscope's words.
type setup struct {
	Membership string `json:"membership"`
	Pool       string `json:"pool,omitempty"`
	// Neither OpenYurt nor verdicts depend on it.
	Retention string `json:"retention,omitempty"`
	Quiet     *bool  `json:"suppressUnchanged,omitempty"`
}

// facts are lists as an API server gives them, in JSON.
type facts struct {
	services, nodes, nodePools, nodeBuckets []byte
}

// world is a random cluster. Labels, NodePools and NodeBuckets define the pools, and need not
// agree.
type world struct {
	*rand.Rand
	setup    setup
	nodes    []string
	services []string
	facts    facts
	next     int
}

type object = map[string]any

var (
	namespaces = []string{"default", "shop"}
	// The last is described by nothing, and the beginning of another.
	poolNames = []string{"hangzhou", "shanghai", "beijing", "hang"}
	keys      = []string{"kubernetes.io/hostname", "openyurt.io/nodepool", "kubernetes.io/zone"}
	// These ask for nothing.
	otherKeys = []string{
		"", " ", "*", "kubernetes.io/region", "topology.kubernetes.io/zone",
		"openyurt.io/NodePool", " openyurt.io/nodepool", "kubernetes.io/hostname\n",
		"openyurt.io/nodepool,kubernetes.io/hostname", "kubernetes.io/hostname,*",
		"kubernetes.io/zone,", `["kubernetes.io/hostname"]`, "openyurt.io/nodepools",
		"kubernetes.io/host", `"openyurt.io/nodepool"`,
	}
)

func newWorld(seed int) *world {
	w := &world{Rand: rand.New(rand.NewSource(int64(seed)))}
	w.setup.Membership = w.pick("nodePool", "nodePool", "nodePool", "nodeBucket", "nodeBucket", "off")
	w.setup.Retention = w.pick("full", "topology", "none")
	if w.chance(0.1) {
		w.setup.Pool = w.pick(poolNames...)
	}
	labelled := map[string][]string{}
	nodes, pools, buckets := []any{}, []any{}, []any{}
	for i := range 4 + w.Intn(10) {
		name, labels := fmt.Sprintf("node-%d", i), object{}
		w.nodes = append(w.nodes, name)
		if w.chance(0.8) {
			pool := w.pick("hangzhou", "hangzhou", "hangzhou", "shanghai", "shanghai", "beijing", "hang", "")
			labels["apps.openyurt.io/nodepool"] = pool
			labelled[pool] = append(labelled[pool], name)
		}
		nodes = append(nodes, object{"metadata": object{"name": name, "labels": labels}})
	}
	w.nodes = append(w.nodes, "node-nobody-knows")
	for _, pool := range poolNames[:3] {
		if w.chance(0.12) {
			continue
		}
		members := w.members(labelled[pool])
		pools = append(pools, object{
			"apiVersion": "apps.openyurt.io/v1beta2",
			"kind":       "NodePool",
			"metadata":   object{"name": pool},
			"status":     w.status(members),
		})
		cut := w.Intn(len(members) + 1)
		for i, part := range [][]string{members[:cut], members[cut:]} {
			named := []any{}
			for _, node := range part {
				named = append(named, object{"name": node})
			}
			buckets = append(buckets, object{
				"apiVersion": "apps.openyurt.io/v1alpha1", "kind": "NodeBucket", "nodes": named,
				"metadata": object{
					"name":   fmt.Sprint(pool, i),
					"labels": object{"openyurt.io/pool-name": pool},
				},
			})
		}
	}
	w.facts = facts{
		services: list("v1", "Service", w.makeServices()), nodes: list("v1", "Node", nodes),
		nodePools:   list("apps.openyurt.io/v1beta2", "NodePool", pools),
		nodeBuckets: list("apps.openyurt.io/v1alpha1", "NodeBucket", buckets),
	}
	return w
}

func list(version, kind string, items []any) []byte {
	list, err := json.Marshal(
		object{
			"apiVersion": version,
			"kind":       kind + "List",
			"metadata":   object{"resourceVersion": "1000"},
			"items":      items,
		},
	)
	if err != nil {
		panic(err)
	}
	return list
}

func (w *world) pick(from ...string) string      { return from[w.Intn(len(from))] }
func (w *world) chance(probability float64) bool { return w.Float64() < probability }

// members is whom a pool names: those that are labelled, not all of them, one that is labelled
// otherwise, or nobody.
func (w *world) members(labelled []string) []string {
	members := append([]string{}, labelled...)
	if len(members) > 0 && w.chance(0.15) {
		members = members[1:]
	}
	if w.chance(0.25) {
		members = append(members, w.pick(w.nodes...))
	}
	if w.chance(0.08) {
		return nil
	}
	return members
}

// status is a NodePool's.
func (w *world) status(members []string) object {
	if len(members) > 0 {
		return object{"nodes": members, "readyNodeNum": len(members)}
	}
	return []object{nil, {}, {"nodes": nil}, {"nodes": []string{}}}[w.Intn(4)]
}

func (w *world) makeServices() (made []any) {
	for i := range 6 {
		name := fmt.Sprintf("web-%d", i)
		w.services = append(w.services, name)
		for _, namespace := range namespaces {
			about := object{"name": name, "namespace": namespace}
			switch draw := w.Float64(); {
			case draw < 0.08:
				continue
			case draw < 0.7:
				about["annotations"] = object{"note": `{"[`, "openyurt.io/topologyKeys": w.pick(keys...)}
			case draw < 0.9:
				about["annotations"] = object{"openyurt.io/topologyKeys": w.pick(otherKeys...)}
			case draw < 0.95:
				about["annotations"] = object{"openyurt.io/topologykeys": w.pick(keys...)}
			}
			made = append(made, object{"metadata": about})
		}
	}
	return made
}

// events makes slices of the version: for a list, one of each name, or for a watch.
func (w *world) events(version string, watched bool) (events []watch.Event) {
	for i := range 8 {
		event := watch.Event{}
		if watched {
			i = w.Intn(12)
			types := []watch.EventType{watch.Added, watch.Modified, watch.Modified, watch.Deleted}
			event.Type = types[w.Intn(4)]
		}
		w.next++
		about := metav1.ObjectMeta{
			Name: fmt.Sprintf(
				"slice-%d",
				i,
			), Namespace: namespaces[i%2], ResourceVersion: fmt.Sprint(1000 + w.next),
			Labels: map[string]string{
				"app":                        "web",
				"kubernetes.io/service-name": w.pick(w.services...),
			},
			Annotations: map[string]string{"note": "\u2028 \"nodeName\":\"node-0\" <&>"},
		}
		switch draw := w.Float64(); {
		case draw < 0.05:
			about.Labels["kubernetes.io/service-name"] = w.pick("", "unknown")
		case draw < 0.1:
			about.Labels = nil
		}
		event.Object = w.slice(about)
		if version == "v1beta1" {
			event.Object = w.olderSlice(about)
		}
		events = append(events, event)
	}
	return events
}

func (w *world) slice(about metav1.ObjectMeta) runtime.Object {
	slice := &discoveryv1.EndpointSlice{ObjectMeta: about, AddressType: discoveryv1.AddressTypeIPv4}
	for range w.Intn(10) {
		endpoint := discoveryv1.Endpoint{Addresses: w.addresses(), NodeName: w.place(0.02)}
		if w.chance(0.7) {
			ready := w.chance(0.7)
			endpoint.Conditions = discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready}
		}
		if w.chance(0.3) {
			zone := w.pick(poolNames...)
			endpoint.Zone, endpoint.Hints = &zone, &discoveryv1.EndpointHints{
				ForZones: []discoveryv1.ForZone{{Name: zone}},
			}
		}
		if w.chance(0.2) {
			endpoint.DeprecatedTopology = map[string]string{"kubernetes.io/hostname": w.pick(w.nodes...)}
		}
		slice.Endpoints = append(slice.Endpoints, endpoint)
	}
	return slice
}

func (w *world) olderSlice(about metav1.ObjectMeta) runtime.Object {
	slice := &discoveryv1beta1.EndpointSlice{
		ObjectMeta:  about,
		AddressType: discoveryv1beta1.AddressTypeIPv4,
	}
	for range w.Intn(10) {
		endpoint := discoveryv1beta1.Endpoint{
			Addresses: w.addresses(),
			Topology:  map[string]string{"app": w.pick(w.nodes...)},
		}
		if node := w.place(0.1); node != nil {
			endpoint.Topology["kubernetes.io/hostname"] = *node
		} else if w.chance(0.5) {
			endpoint.Topology = nil
		}
		if w.chance(0.3) {
			endpoint.NodeName = &w.nodes[0]
		}
		slice.Endpoints = append(slice.Endpoints, endpoint)
	}
	return slice
}

func (w *world) addresses() []string {
	w.next++
	return []string{fmt.Sprintf("10.0.%d.%d", w.next>>8, w.next&255), "10.1.0.1"}[:1+w.Intn(2)]
}

// place is the node of an endpoint, or none.
func (w *world) place(none float64) *string {
	node := w.pick(w.nodes...)
	switch draw := w.Float64(); {
	case draw < none:
		return nil
	case draw < none+0.06:
		node = w.pick("gone", "", "Node-0", "node-0 ", "node", "hangzhou")
	}
	return &node
}
