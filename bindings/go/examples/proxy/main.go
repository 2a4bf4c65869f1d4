// proxy stands between the proxy of one node and the API server. It forwards only the endpoints
// that the node may use:
//
//	kubectl proxy --port 8001 &
//	proxy -node hz-edge-1 -server http://127.0.0.1:8001 -listen 127.0.0.1:10550 &
//	cilium-agent --k8s-api-server-urls=http://127.0.0.1:10550 ...
//
// In a cluster pass -token /var/run/secrets/kubernetes.io/serviceaccount/token and the API server's
// own address.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"

	"github.com/poolscope/poolscope/bindings/go"
)

func main() {
	node := flag.String("node", "", "the node whose view is served")
	server := flag.String("server", "http://127.0.0.1:8001", "the API server")
	token := flag.String("token", "", "a file with a token for it")
	listen := flag.String("listen", "127.0.0.1:10550", "where to serve")
	flag.Parse()
	upstream, err := url.Parse(*server)
	check(err)
	cluster, err := poolscope.New(poolscope.Config{})
	check(err)
	view := cluster.Node(*node)
	base := authorized(*token)

	// The facts that the node's own client may not read: its Node, the pools, every Service.
	failed := func(kind poolscope.FactKind, err error) { log.Printf("fetching %s: %v", kind, err) }
	go view.Sync(
		context.Background(),
		poolscope.SyncOptions{Client: &http.Client{Transport: base}, Server: upstream, Failed: failed},
	)

	rewrite := func(request *httputil.ProxyRequest) { request.SetURL(upstream) }
	http.Handle("/", &httputil.ReverseProxy{Rewrite: rewrite, Transport: view.WrapTransport(base)})
	http.HandleFunc("/poolscope", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"node": view.Describe(), "counters": cluster.Counters()})
	})
	log.Fatal(http.ListenAndServe(*listen, nil))
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// authorized reads the token from its file for each request, because tokens are renewed.
func authorized(file string) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if token, err := os.ReadFile(file); err == nil {
			request = request.Clone(request.Context())
			request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		}
		return http.DefaultTransport.RoundTrip(request)
	})
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
