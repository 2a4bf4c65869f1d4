package main

import (
	"bytes"
	"io"
	"net/http"

	"github.com/openyurtio/openyurt/pkg/yurthub/filter"
	"github.com/openyurtio/openyurt/pkg/yurthub/util"
	"github.com/poolscope/poolscope/bindings/go"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
)

// finder finds yurthub's own filters, and for endpoints this library in their place.
type finder struct {
	filter.FilterFinder
	node *poolscope.Node
}

// FindResponseFilter returns a filter if yurthub has one for the request's client.
func (f finder) FindResponseFilter(request *http.Request) (filter.ResponseFilter, bool) {
	own, found := f.FilterFinder.FindResponseFilter(request)
	info, known := apirequest.RequestInfoFrom(request.Context())
	if found && known && (info.Resource == "endpointslices" || info.Resource == "endpoints") {
		return responses{f.node}, true
	}
	return own, found
}

// responses filters the endpoints in responses.
type responses struct{ node *poolscope.Node }

func (responses) Name() string { return "poolscope" }

// Filter returns the body as the node's client gets it, and for a response that ends its length.
func (r responses) Filter(
	request *http.Request,
	body io.ReadCloser,
	_ <-chan struct{},
) (int, io.ReadCloser, error) {
	contentType, _ := util.RespContentTypeFrom(request.Context())
	header := http.Header{"Content-Type": {contentType}}
	reader, err := r.node.NewReader(request, header, body)
	if err != nil {
		return 0, nil, err
	}
	if info, known := apirequest.RequestInfoFrom(request.Context()); known && info.Verb == "watch" {
		return 0, reader, nil
	}
	defer reader.Close()
	all, err := io.ReadAll(reader)
	return len(all), io.NopCloser(bytes.NewReader(all)), err
}
