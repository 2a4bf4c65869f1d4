package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openyurtio/openyurt/pkg/yurthub/filter"
	"github.com/openyurtio/openyurt/pkg/yurthub/util"
	"github.com/poolscope/poolscope/bindings/go"
	discoveryv1 "k8s.io/api/discovery/v1"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
)

func TestYurthubBuildsWithoutCgo(t *testing.T) {
	for _, target := range [][]string{
		{"GOARCH=amd64"}, {"GOARCH=arm64"}, {"GOARCH=arm", "GOARM=7"},
	} {
		t.Run(strings.Join(target, ","), func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "yurthub")
			build := exec.Command("go", "build", "-o", program, ".")
			build.Env = append(append(os.Environ(), "CGO_ENABLED=0"), target...)
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			info, err := os.Stat(program)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d MB", info.Size()/1e6)
		})
	}
}

// approved is a finder of yurthub that has a filter for one client.
type approved struct{ filter.FilterFinder }

func (approved) FindResponseFilter(request *http.Request) (filter.ResponseFilter, bool) {
	return nothing{}, strings.HasPrefix(request.UserAgent(), "cilium-agent")
}

type nothing struct{ filter.ResponseFilter }

func recorded(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("../../../tests/data/recorded/list", name))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// apiServer answers lists with recorded ones.
func apiServer(t *testing.T) *url.URL {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, parts := r.URL.Query(), strings.Split(r.URL.Path, "/")
		switch {
		case query.Get("sendInitialEvents") != "":
			http.Error(w, "{}", http.StatusUnprocessableEntity)
		case query.Get("watch") != "":
			w.Header().Set("Content-Type", "application/json")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(recorded(t, parts[len(parts)-1]+"-json.json"))
		}
	}))
	t.Cleanup(server.CloseClientConnections)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestTheFilterOfYurthubCutsTheEndpointsOfTheApprovedClient(t *testing.T) {
	cluster, err := poolscope.New(poolscope.Config{})
	if err != nil {
		t.Fatal(err)
	}
	node := cluster.Node("hz-edge-1")
	ctx, stop := context.WithCancel(t.Context())
	server, ended := apiServer(t), make(chan error)
	go func() {
		options := poolscope.SyncOptions{Client: http.DefaultClient, Server: server}
		ended <- node.Sync(ctx, options)
	}()
	defer func() {
		stop()
		<-ended
	}()
	filters := finder{approved{}, node}
	ask := func(agent, resource string) (filter.ResponseFilter, *http.Request, bool) {
		request := httptest.NewRequest(http.MethodGet, "/apis/discovery.k8s.io/v1/"+resource, nil)
		request.Header.Set("User-Agent", agent)
		info := &apirequest.RequestInfo{IsResourceRequest: true, Verb: "list", Resource: resource}
		ctx := apirequest.WithRequestInfo(t.Context(), info)
		request = request.WithContext(util.WithRespContentType(ctx, "application/json"))
		found, ok := filters.FindResponseFilter(request)
		return found, request, ok
	}
	if _, _, ok := ask("kubelet/v1.34", "endpointslices"); ok {
		t.Error("a client that yurthub does not filter is filtered")
	}
	if other, _, _ := ask("cilium-agent/1.20", "services"); other != (nothing{}) {
		t.Error("yurthub's own filter of Services is gone")
	}
	own, request, ok := ask("cilium-agent/1.20", "endpointslices")
	if !ok || own.Name() != "poolscope" {
		t.Fatal(own, ok)
	}
	body := recorded(t, "endpointslices-json.json")
	size, out, err := own.Filter(request, io.NopCloser(strings.NewReader(string(body))), nil)
	if err != nil {
		t.Fatal(err)
	}
	filtered, err := io.ReadAll(out)
	if err != nil || len(filtered) != size || size >= len(body) {
		t.Fatal(len(filtered), size, len(body), err)
	}
	var list discoveryv1.EndpointSliceList
	if err := json.Unmarshal(filtered, &list); err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, slice := range list.Items {
		if slice.Namespace != "shop" || slice.Labels[discoveryv1.LabelServiceName] != "cart" {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			if !strings.HasPrefix(*endpoint.NodeName, "hz-edge-") {
				t.Errorf("%v of %s is kept", endpoint.Addresses, *endpoint.NodeName)
			}
			kept++
		}
	}
	if kept == 0 {
		t.Error("no endpoint is kept")
	}
}
