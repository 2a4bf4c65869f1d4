package yurthub

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/openyurtio/openyurt/pkg/apis/apps/v1alpha1"
	"github.com/openyurtio/openyurt/pkg/apis/apps/v1beta2"
	"github.com/openyurtio/openyurt/pkg/yurthub/filter"
	"github.com/openyurtio/openyurt/pkg/yurthub/filter/base"
	"github.com/openyurtio/openyurt/pkg/yurthub/filter/initializer"
	"github.com/openyurtio/openyurt/pkg/yurthub/filter/responsefilter"
	"github.com/openyurtio/openyurt/pkg/yurthub/filter/servicetopology"
	"github.com/openyurtio/openyurt/pkg/yurthub/kubernetes/serializer"
	"github.com/openyurtio/openyurt/pkg/yurthub/util"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

// hub is OpenYurt's node agent as far as slices are concerned: its own topology filter inside its
// own response filter, which decodes, filters and encodes. Its start-up is not run: that is where
// W1 comes from.
type hub struct {
	response filter.ResponseFilter
}

// newHub makes the agent of a node. The facts are put into its informers, which never run: there is
// nothing to wait for. On how many slices it would have panicked is added to panics.
func newHub(node string, how setup, facts *facts, panics *int) (*hub, error) {
	var nodes corev1.NodeList
	var services corev1.ServiceList
	var pools, buckets unstructured.UnstructuredList
	if err := errors.Join(
		json.Unmarshal(facts.nodes, &nodes), json.Unmarshal(facts.services, &services),
		json.Unmarshal(facts.nodePools, &pools), json.Unmarshal(facts.nodeBuckets, &buckets),
	); err != nil {
		return nil, err
	}
	client := fake.NewSimpleClientset(&nodes)
	typed := informers.NewSharedInformerFactory(client, 0)
	dynamic := dynamicinformer.NewDynamicSharedInformerFactory(nil, 0)
	topology, err := servicetopology.NewServiceTopologyFilter()
	if err != nil {
		return nil, err
	}
	err = base.Initializers{
		initializer.New(typed, client, node, how.Pool, "", ""),
		initializer.NewNodesInitializer(
			how.Membership == "nodePool",
			how.Membership == "nodeBucket",
			dynamic,
		),
	}.Initialize(topology)
	for i := range services.Items {
		err = errors.Join(
			err,
			typed.Core().V1().Services().Informer().GetIndexer().Add(&services.Items[i]),
		)
	}
	for resource, list := range map[schema.GroupVersionResource][]unstructured.Unstructured{
		v1beta2.GroupVersion.WithResource("nodepools"):    pools.Items,
		v1alpha1.GroupVersion.WithResource("nodebuckets"): buckets.Items,
	} {
		for i := range list {
			err = errors.Join(err, dynamic.ForResource(resource).Informer().GetIndexer().Add(&list[i]))
		}
	}
	return &hub{
		responsefilter.CreateResponseFilter(
			[]filter.ObjectFilter{&guarded{topology, panics}},
			serializer.NewSerializerManager(),
		),
	}, err
}

// rewrite gives the whole body of a response as the agent's client gets it.
func (h *hub) rewrite(request *http.Request, body *body) ([]byte, error) {
	resolver := apirequest.RequestInfoFactory{
		APIPrefixes:          sets.NewString("api", "apis"),
		GrouplessAPIPrefixes: sets.NewString("api"),
	}
	info, err := resolver.NewRequestInfo(request)
	if err != nil {
		return nil, err
	}
	ctx := util.WithRespContentType(
		apirequest.WithRequestInfo(request.Context(), info),
		body.contentType,
	)
	_, out, err := h.response.Filter(
		request.WithContext(ctx),
		io.NopCloser(bytes.NewReader(body.bytes)),
		ctx.Done(),
	)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	return io.ReadAll(out)
}

// guarded is the topology filter where v1.7.0 panics, on v1 endpoints without a node: those are
// counted and taken out, as O5 says and later versions do, and the rest of the slice is judged.
type guarded struct {
	filter.ObjectFilter
	panics *int
}

func (g *guarded) Filter(object runtime.Object, stop <-chan struct{}) (filtered runtime.Object) {
	defer func() {
		if recovered := recover(); recovered != nil {
			slice, is := object.(*discoveryv1.EndpointSlice)
			if !is || !slices.ContainsFunc(slice.Endpoints, withoutNode) {
				panic(recovered)
			}
			*g.panics++
			slice.Endpoints = slices.DeleteFunc(slice.Endpoints, withoutNode)
			filtered = g.ObjectFilter.Filter(slice, stop)
		}
	}()
	return g.ObjectFilter.Filter(object, stop)
}

func withoutNode(endpoint discoveryv1.Endpoint) bool { return endpoint.NodeName == nil }
