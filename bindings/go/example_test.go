package poolscope_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	poolscope "github.com/poolscope/poolscope/bindings/go"
)

const services = "/api/v1/services"
const nodes = "/api/v1/nodes"
const pools = "/apis/apps.openyurt.io/v1beta2/nodepools"
const slices = "/apis/discovery.k8s.io/v1/endpointslices"

var bodies = map[string]string{
	services: `{"kind":"ServiceList","items":[{"metadata":{"name":"cart","namespace":"shop",
		"annotations":{"openyurt.io/topologyKeys":"openyurt.io/nodepool"}}}]}`,
	nodes: `{"kind":"NodeList","items":[{"metadata":{"name":"hz-1",
		"labels":{"apps.openyurt.io/nodepool":"hangzhou"}}}]}`,
	pools: `{"kind":"NodePoolList","items":[{"metadata":{"name":"hangzhou"},
		"status":{"nodes":["hz-1"]}}]}`,
	slices: `{"kind":"EndpointSliceList","items":[{"metadata":{"name":"cart-1","namespace":"shop",
		"labels":{"kubernetes.io/service-name":"cart"}},"endpoints":[
		{"addresses":["10.0.0.1"],"nodeName":"hz-1"},{"addresses":["10.9.0.1"],"nodeName":"sh-1"}]}]}`,
}

// apiServer serves the bodies.
func apiServer() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, bodies[r.URL.Path])
	}))
}

func get(client *http.Client, url string) string {
	response, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// A client's own requests are the source of facts; its EndpointSlices are filtered.
func ExampleNode_WrapTransport() {
	server := apiServer()
	defer server.Close()
	cluster, err := poolscope.New(poolscope.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: cluster.Node("hz-1").WrapTransport(nil)}
	defer client.CloseIdleConnections()
	for _, path := range []string{services, nodes, pools} {
		get(client, server.URL+path)
	}
	body := get(client, server.URL+slices)
	fmt.Println(strings.Contains(body, "10.0.0.1"), strings.Contains(body, "10.9.0.1"))
	// Output: true false
}

// The facts come from bodies that the program has; one body is filtered without a client.
func ExampleCluster_ReadFacts() {
	cluster, err := poolscope.New(poolscope.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	header := http.Header{"Content-Type": {"application/json"}}
	for _, path := range []string{services, nodes, pools} {
		request, _ := http.NewRequest(http.MethodGet, path, nil)
		reader, err := cluster.ReadFacts(request, http.StatusOK, header)
		if err != nil {
			fmt.Println(err)
			return
		}
		io.WriteString(reader, bodies[path])
		if err := reader.Finish(); err != nil {
			fmt.Println(err)
		}
		reader.Close()
	}
	request, _ := http.NewRequest(http.MethodGet, slices, nil)
	opened, err := cluster.Node("hz-1").OpenStateless(request, http.StatusOK, header)
	if err != nil || opened.Action != poolscope.ActionRewrite {
		fmt.Println(opened, err)
		return
	}
	defer opened.Stream.Close()
	body, err := opened.Stream.AppendPush(nil, []byte(bodies[slices]))
	fmt.Println(strings.Count(string(body), "addresses"), err)
	// Output: 1 <nil>
}

// A configuration document and a typed configuration are the same.
func ExampleParseConfig() {
	config, err := poolscope.ParseConfig(
		`{"membership": {"nodeLabel": "topology.kubernetes.io/zone"}}`,
	)
	fmt.Println(config.Membership.NodeLabel, err)
	_, err = poolscope.ParseConfig(`{"retention": "some"}`)
	fmt.Println(errors.Is(err, poolscope.ErrConfig))
	// Output:
	// topology.kubernetes.io/zone <nil>
	// true
}
