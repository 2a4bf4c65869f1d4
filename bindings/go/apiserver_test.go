package poolscope

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// apiServer answers as the API server does: one list and one watch a resource, the watch fed by the
// test.
type apiServer struct {
	*httptest.Server
	mutex sync.Mutex
	lists map[string]string
	// Watches that are open now, by path.
	watches map[string]chan string
	// The requests, as METHOD target Accept-Encoding.
	asked []string
	// Compress what is asked for compressed; or everything.
	gzip, gzipAlways bool
}

const (
	slicesPath = "/apis/discovery.k8s.io/v1/endpointslices"
	poolsPath  = "/apis/apps.openyurt.io/v1beta2/nodepools"
	// The request for a needed list of a Service of this namespace.
	shopSlicesPath = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
)

const (
	plainService     = `{"metadata":{"name":"cart","namespace":"shop","resourceVersion":"5"}}`
	annotatedService = `{"metadata":{"name":"cart","namespace":"shop","resourceVersion":"%d","annotations":{"openyurt.io/topologyKeys":"openyurt.io/nodepool"}}}`
	cartSlice        = `{"metadata":{"name":"cart-1","namespace":"shop","resourceVersion":"%d","labels":{"kubernetes.io/service-name":"cart"}},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"nodeName":"hz-1"},{"addresses":["10.9.0.1"],"nodeName":"sh-1"}],"ports":[]}`
)

func list(kind, version string, items ...string) string {
	return fmt.Sprintf(
		`{"kind":"%sList","apiVersion":"v1","metadata":{"resourceVersion":"%s"},"items":[%s]}`,
		kind,
		version,
		strings.Join(items, ","),
	)
}

func event(kind, object string) string {
	return fmt.Sprintf(`{"type":"%s","object":%s}`+"\n", kind, object)
}

// newAPIServer has a Service that asks for nothing, a node and its pool, and a slice in two pools.
func newAPIServer(t testing.TB) *apiServer {
	s := &apiServer{watches: map[string]chan string{}, lists: map[string]string{
		"/api/v1/services": list("Service", "10", plainService),
		"/api/v1/nodes": list(
			"Node",
			"10",
			`{"metadata":{"name":"hz-1","labels":{"apps.openyurt.io/nodepool":"hangzhou"}}}`,
		),
		poolsPath: list(
			"NodePool",
			"10",
			`{"metadata":{"name":"hangzhou"},"status":{"nodes":["hz-1"]}}`,
		),
		slicesPath:     list("EndpointSlice", "10", fmt.Sprintf(cartSlice, 7)),
		shopSlicesPath: list("EndpointSlice", "10", fmt.Sprintf(cartSlice, 7)),
	}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// Close ends the watches first: a server waits for its handlers.
func (s *apiServer) Close() {
	s.mutex.Lock()
	for path, watch := range s.watches {
		close(watch)
		delete(s.watches, path)
	}
	s.mutex.Unlock()
	s.Server.Close()
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	s.mutex.Lock()
	s.asked = append(
		s.asked,
		request.Method+" "+request.URL.RequestURI()+" "+request.Header.Get("Accept-Encoding"),
	)
	body, known := s.lists[request.URL.Path]
	if request.URL.Query().Has("sendInitialEvents") {
		s.mutex.Unlock()
		http.Error(w, "no WatchList", http.StatusUnprocessableEntity)
		return
	}
	watching := request.URL.Query().Get("watch") == "true"
	var events chan string
	if watching {
		events = make(chan string)
		s.watches[request.URL.Path] = events
	}
	compress := s.gzipAlways ||
		s.gzip && strings.Contains(request.Header.Get("Accept-Encoding"), "gzip")
	s.mutex.Unlock()
	if !known {
		http.NotFound(w, request)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	var out io.Writer = w
	flush := func() { w.(http.Flusher).Flush() }
	if compress {
		w.Header().Set("Content-Encoding", "gzip")
		compressor := gzip.NewWriter(w)
		defer compressor.Close()
		out, flush = compressor, func() {
			compressor.Flush()
			w.(http.Flusher).Flush()
		}
	}
	if !watching {
		if !compress {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		io.WriteString(out, body)
		return
	}
	flush()
	for {
		select {
		case event, open := <-events:
			if !open {
				return
			}
			io.WriteString(out, event)
			flush()
		case <-request.Context().Done():
			return
		}
	}
}

// send gives an event to the watch of a path that is open now.
func (s *apiServer) send(t testing.TB, path, event string) {
	t.Helper()
	eventually(t, "a watch of "+path, func() bool {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		return s.watches[path] != nil
	})
	s.mutex.Lock()
	watch := s.watches[path]
	s.mutex.Unlock()
	watch <- event
}

func (s *apiServer) requests(prefix string) (found []string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, asked := range s.asked {
		if strings.HasPrefix(asked, prefix) {
			found = append(found, asked)
		}
	}
	return found
}

func get(t testing.TB, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// readUntil reads a watch until something was emitted in it.
func readUntil(t testing.TB, body io.Reader, said string) string {
	t.Helper()
	var read bytes.Buffer
	buffer := make([]byte, 1000)
	for !strings.Contains(read.String(), said) {
		n, err := body.Read(buffer)
		read.Write(buffer[:n])
		if err != nil {
			t.Errorf("%v after %s", err, read.String())
			break
		}
	}
	return read.String()
}

// readMeanwhile does the same while the test continues.
func readMeanwhile(t testing.TB, body io.Reader, said string) <-chan string {
	read := make(chan string, 1)
	go func() { read <- readUntil(t, body, said) }()
	// So that it most likely waits already.
	time.Sleep(20 * time.Millisecond)
	return read
}
