package poolscope

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// faultyServer serves Services, the Node hz-1 and NodePools, with lists, watches and WatchLists,
// and fails at random in every way while it is faulty.
type faultyServer struct {
	*httptest.Server
	faulty atomic.Bool
	// Requests that came while it was down.
	down   atomic.Bool
	missed atomic.Int64

	mutex   sync.Mutex
	version int
	// By path and name, objects with VERSION in place of their version.
	objects map[string]map[string]string
	// By path, the events so far.
	events map[string][]faultyEvent
	moved  chan struct{}
}

type faultyEvent struct {
	version int
	line    string
}

const oldPoolsPath = "/apis/apps.openyurt.io/v1beta1/nodepools"

func newFaultyServer(t *testing.T) *faultyServer {
	s := &faultyServer{
		version: 10,
		objects: map[string]map[string]string{},
		events:  map[string][]faultyEvent{},
		moved:   make(chan struct{}),
	}
	s.put("/api/v1/nodes", "hz-1", `"labels":{"apps.openyurt.io/nodepool":"hangzhou"}`, "")
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Server.Close()
	})
	return s
}

// put writes an object of these fields of its metadata and of its own.
func (s *faultyServer) put(path, name, metadata, fields string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.version++
	if metadata != "" {
		metadata = "," + metadata
	}
	object := fmt.Sprintf(
		`{"metadata":{"name":"%s","resourceVersion":"%d"%s}%s}`, name, s.version, metadata, fields,
	)
	if s.objects[path] == nil {
		s.objects[path] = map[string]string{}
	}
	s.objects[path][name] = object
	s.events[path] = append(s.events[path], faultyEvent{s.version, event("MODIFIED", object)})
	close(s.moved)
	s.moved = make(chan struct{})
}

func (s *faultyServer) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if s.down.Load() {
		s.missed.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	path, query := request.URL.Path, request.URL.Query()
	if strings.HasSuffix(path, "/nodepools") && path != oldPoolsPath {
		// An older version of OpenYurt, but not the oldest.
		http.NotFound(w, request)
		return
	}
	fails := func(in int) bool { return s.faulty.Load() && rand.IntN(in) == 0 }
	if fails(3) {
		w.Header().Set("Retry-After", "1")
		statuses := []int{403, 404, 410, 429, 500, 503}
		w.WriteHeader(statuses[rand.IntN(len(statuses))])
		return
	}
	if fails(5) {
		panic(http.ErrAbortHandler)
	}
	if query.Has("sendInitialEvents") && rand.IntN(2) == 0 {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	s.mutex.Lock()
	version := s.version
	var items []string
	for _, object := range s.objects[path] {
		items = append(items, object)
	}
	s.mutex.Unlock()
	write := func(text string) {
		// Split anywhere, and sometimes cut.
		for len(text) > 0 {
			if fails(40) {
				panic(http.ErrAbortHandler)
			}
			n := 1 + rand.IntN(len(text))
			io.WriteString(w, text[:n])
			w.(http.Flusher).Flush()
			text = text[n:]
		}
	}
	if query.Get("watch") == "" {
		kinds := map[string]string{"services": "Service", "nodes": "Node", "nodepools": "NodePool"}
		write(list(kinds[path[strings.LastIndex(path, "/")+1:]], strconv.Itoa(version), items...))
		return
	}
	after, _ := strconv.Atoi(query.Get("resourceVersion"))
	if query.Has("sendInitialEvents") {
		for _, item := range items {
			write(event("ADDED", item))
		}
		write(event("BOOKMARK", fmt.Sprintf(
			`{"metadata":{"resourceVersion":"%d","annotations":{"k8s.io/initial-events-end":"true"}}}`,
			version,
		)))
		after = version
	}
	for {
		s.mutex.Lock()
		moved, events := s.moved, s.events[path]
		s.mutex.Unlock()
		for _, event := range events {
			if event.version > after {
				write(event.line)
				after = event.version
			}
		}
		if fails(4) {
			code := []int{410, 429, 500}[rand.IntN(3)]
			write(event("ERROR", fmt.Sprintf(`{"kind":"Status","code":%d,"message":"fault"}`, code)))
			return
		}
		if fails(4) {
			return
		}
		select {
		case <-moved:
		case <-time.After(100 * time.Millisecond):
		case <-request.Context().Done():
			return
		}
	}
}

// syncFrom runs Sync until the test ends, and returns a function that ends it before.
func syncFrom(t *testing.T, node *Node, address string) (stop func()) {
	server, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	base := &http.Transport{}
	ctx, cancel := context.WithCancelCause(context.Background())
	over, done := make(chan error, 1), errors.New("the test is over")
	go func() {
		over <- node.Sync(ctx, SyncOptions{Client: &http.Client{Transport: base}, Server: server})
	}()
	stop = sync.OnceFunc(func() {
		cancel(done)
		if err := <-over; !errors.Is(err, done) {
			t.Errorf("Sync returned %v", err)
		}
		base.CloseIdleConnections()
	})
	t.Cleanup(stop)
	return stop
}

func TestFactsConvergeWhateverTheServerDoes(t *testing.T) {
	server, node := newFaultyServer(t), newCluster(t, "").Node("hz-1")
	server.faulty.Store(true)
	syncFrom(t, node, server.URL)
	const services = 20
	asks, pool := map[int]bool{}, ""
	change := func() {
		service := rand.IntN(services)
		asks[service] = rand.IntN(2) == 0
		annotation := `"namespace":"shop"`
		if asks[service] {
			annotation += `,"annotations":{"openyurt.io/topologyKeys":"openyurt.io/nodepool"}`
		}
		server.put("/api/v1/services", fmt.Sprintf("s-%d", service), annotation, "")
		pool = []string{`"hz-1"`, `"hz-1","sh-1"`}[rand.IntN(2)]
		server.put(oldPoolsPath, "hangzhou", "", fmt.Sprintf(`,"status":{"nodes":[%s]}`, pool))
	}
	for until := time.Now().Add(4 * time.Second); time.Now().Before(until); {
		change()
		time.Sleep(20 * time.Millisecond)
	}
	server.faulty.Store(false)
	change()
	// The longest delay so far may be several seconds.
	converged := func() bool {
		if !node.Ready() {
			return false
		}
		for service, asks := range asks {
			verdict, err := node.Judge("shop", fmt.Sprintf("s-%d", service), "sh-1")
			if err != nil {
				t.Fatal(err)
			}
			topology := map[bool]string{true: "pool", false: "any"}[asks]
			if verdict.Topology != topology ||
				(len(verdict.Pools) == 1) != strings.Contains(pool, "sh-1") {
				return false
			}
		}
		return true
	}
	for until := time.Now().Add(time.Minute); !converged(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("the facts differ: %+v", node.Describe())
		}
	}
}

func TestAServerThatIsDownGetsFewRequests(t *testing.T) {
	server, node := newFaultyServer(t), newCluster(t, "").Node("hz-1")
	server.down.Store(true)
	stop := syncFrom(t, node, server.URL)
	time.Sleep(5 * time.Second)
	stop()
	// Three kinds; the delays of one double from at least 0.1 s: 0, 0.1, 0.3, 0.7, 1.5, 3.1.
	if missed := server.missed.Load(); missed < 6 || missed > 18 {
		t.Errorf("%d requests in 5 seconds", missed)
	}
}

func TestWhatTheClientReadsTooLittleOfIsFetched(t *testing.T) {
	server, node := newFaultyServer(t), newCluster(t, "").Node("hz-1")
	server.put("/api/v1/services", "s", `"namespace":"shop"`, "")
	server.put(oldPoolsPath, "hangzhou", "", `,"status":{"nodes":["hz-1"]}`)
	address, _ := url.Parse(server.URL)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	plain := &http.Client{Transport: &http.Transport{}}
	defer plain.CloseIdleConnections()
	go func() {
		over <- node.Sync(ctx, SyncOptions{
			Client: plain, Server: address, LeftToClient: []FactKind{KindService, KindNode},
		})
	}()
	// The pools are fetched at once; a response has to wait for the rest.
	eventually(t, "pools", func() bool { return len(node.Describe().Missing) == 2 })
	request, _ := http.NewRequest(http.MethodGet, slicesPath, nil)
	reader, err := node.NewReader(
		request,
		http.Header{"Content-Type": {"application/json"}},
		io.NopCloser(strings.NewReader(list("EndpointSlice", "10"))),
	)
	if err != nil || !node.Ready() {
		t.Fatalf("%v, %+v", err, node.Describe())
	}
	reader.Close()
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
