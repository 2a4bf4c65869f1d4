package e2e

import (
	"fmt"
	"net/http"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// Reads of slices equal the API server's, with the endpoints that the simplest filter keeps.
func TestConformanceOfRewrittenReads(t *testing.T) {
	server := apiserver.Start(t)
	w := newWorld(t, server.Config(), 8)
	for range 40 {
		w.addService()
	}
	p := proxyTo(t, server.Address(), server.Config().BearerToken, server.CAFile())
	allowed := w.view()("hz-0")
	cut := 0
	// filter does to a slice what the proxy has to do.
	filter := func(slice *discoveryv1.EndpointSlice) {
		kept := allowed[slice.Name]
		if slice.Namespace != "default" || slice.Name == "kubernetes" {
			return
		}
		cut += len(slice.Endpoints) - len(kept)
		slice.Endpoints = kept
	}
	decode := func(r response) any {
		t.Helper()
		if r.status != http.StatusOK || r.broken != "" {
			t.Fatalf("%d %s %.300s", r.status, r.broken, r.body)
		}
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode([]byte(r.body), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return object
	}
	for major := 1; major <= 2; major++ {
		ways := newWays(t, server, p, major)
		for _, headers := range [][]string{
			nil, {asProtobuf}, {gzipped}, {asProtobuf + "," + json},
		} {
			for _, path := range []string{
				"/apis/discovery.k8s.io/v1/endpointslices", slices1,
				"/apis/discovery.k8s.io/v1/endpointslices?resourceVersion=0",
				slices1 + "?labelSelector=kubernetes.io%2Fservice-name%3Dservice-3",
				slices1 + "?limit=7", slices1 + "/service-0-0",
			} {
				plain := append([]string{}, headers...)
				if len(plain) == 1 && plain[0] == gzipped {
					plain = nil
				}
				row := request{name: path, method: http.MethodGet, path: path, headers: plain}
				want := decode(ways.direct.send(t, row, ""))
				row.headers = headers
				received := ways.through.send(t, row, "")
				if received.header.Get("Content-Encoding") == "gzip" {
					received.body = inflate(t, received.body)
				}
				got := decode(received)
				switch want := want.(type) {
				case *discoveryv1.EndpointSlice:
					filter(want)
				case *discoveryv1.EndpointSliceList:
					for at := range want.Items {
						filter(&want.Items[at])
					}
					// The server writes now and then by itself.
					list := got.(*discoveryv1.EndpointSliceList)
					want.ResourceVersion = list.ResourceVersion
					if want.Continue != "" && list.Continue != "" {
						want.Continue = list.Continue
					}
				}
				empty(want)
				empty(got)
				if !apiequality.Semantic.DeepEqual(got, want) {
					t.Errorf("HTTP/%d %s %v: %s, not %s", major, path, headers,
						fmt.Sprintf("%.600v", got), fmt.Sprintf("%.600v", want))
				}
			}
		}
	}
	if cut == 0 {
		t.Error("nothing was to be cut")
	}
}

// empty has no endpoints be one value, whatever the encoding makes of it.
func empty(object any) {
	each := func(slice *discoveryv1.EndpointSlice) {
		if len(slice.Endpoints) == 0 {
			slice.Endpoints = nil
		}
	}
	switch object := object.(type) {
	case *discoveryv1.EndpointSlice:
		each(object)
	case *discoveryv1.EndpointSliceList:
		for at := range object.Items {
			each(&object.Items[at])
		}
	}
}
