package poolscope

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

const watchQuery = "?watch=true&allowWatchBookmarks=true&resourceVersion=10"

// client reaches the server as node hz-1's client does, and leaves no connection behind.
func client(t testing.TB, node *Node) *http.Client {
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	return &http.Client{Transport: node.WrapTransport(base)}
}

// ready is node hz-1 of a cluster that has read the server's lists.
func ready(t testing.TB, config string) *Node {
	cluster := newCluster(t, config)
	readAllFacts(t, cluster)
	return cluster.Node("hz-1")
}

// annotate is the fact change that takes 10.9.0.1 away from hz-1.
func annotate(t testing.TB, cluster *Cluster, version int) {
	readFacts(t, cluster, "/api/v1/services", list("Service", fmt.Sprint(version), annotated(version)))
}

func TestListsComeFilteredAndWithoutTheirOldLength(t *testing.T) {
	server, node := newAPIServer(t), ready(t, "")
	response, body := get(t, client(t, node), server.URL+slicesPath)
	if body != server.lists[slicesPath] || response.ContentLength != -1 {
		t.Fatalf("a Service that asks for nothing: %d, %s", response.ContentLength, body)
	}
	annotate(t, node.Cluster(), 11)
	response, body = get(t, client(t, node), server.URL+slicesPath)
	if strings.Contains(body, "10.9.0.1") || !strings.Contains(body, "10.0.0.1") ||
		response.ContentLength != -1 {
		t.Fatalf("%d, %s", response.ContentLength, body)
	}
	if counters := node.Cluster().Counters(); counters["endpointsDropped"] != 1 ||
		counters["objects"] != 2 {
		t.Fatalf("%v", counters)
	}
}

func TestOnlyWhatConcernsTheFormOfTheAnswerIsChanged(t *testing.T) {
	node := newCluster(t, "").Node("hz-1")
	request, _ := http.NewRequest(http.MethodGet, slicesPath, nil)
	request.Header = http.Header{
		"Accept":          {"application/cbor, application/json"},
		"Accept-Encoding": {"br"},
		"Authorization":   {"Bearer \xff"},
		"X-Many":          {"a", "b"},
	}
	if err := node.PrepareRequest(request); err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"Accept":        {"application/json"},
		"Authorization": {"Bearer \xff"},
		"X-Many":        {"a", "b"},
	}
	if !reflect.DeepEqual(request.Header, want) {
		t.Fatalf("%q", request.Header)
	}
}

func TestWhatIsNothingToUsPassesAsItIs(t *testing.T) {
	server, node := newAPIServer(t), ready(t, "")
	server.lists["/api/v1/pods"] = list("Pod", "10")
	response, body := get(t, client(t, node), server.URL+"/api/v1/pods")
	if body != server.lists["/api/v1/pods"] || response.ContentLength != int64(len(body)) {
		t.Fatalf("%d, %s", response.ContentLength, body)
	}
}

func TestAWatchIsToldOfAChangeWhileUpstreamIsSilent(t *testing.T) {
	for _, retention := range []string{"full", "topology"} {
		t.Run(retention, func(t *testing.T) {
			server, node := newAPIServer(t), ready(t, `{"retention":"`+retention+`"}`)
			client := client(t, node)
			get(t, client, server.URL+slicesPath)
			response, err := client.Get(server.URL + slicesPath + watchQuery)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			reading := readMeanwhile(t, response.Body, "BOOKMARK")
			annotate(t, node.Cluster(), 11)
			said := <-reading
			if !strings.Contains(said, `"MODIFIED"`) || strings.Contains(said, "10.9.0.1") ||
				!strings.Contains(said, "10.0.0.1") {
				t.Fatal(said)
			}
			// Under topology the original had to be asked for.
			wanted := server.requests("GET /apis/discovery.k8s.io/v1/namespaces/shop/")
			if (len(wanted) > 0) != (retention == "topology") {
				t.Fatal(wanted)
			}
		})
	}
}

func TestAWatchOfUnknownPastIsAnswered410(t *testing.T) {
	server, node := newAPIServer(t), ready(t, "")
	response, body := get(t, client(t, node), server.URL+slicesPath+watchQuery)
	if response.StatusCode != http.StatusGone || !strings.Contains(body, `"reason":"Expired"`) ||
		response.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s %s", response.Status, body)
	}
}

func TestEndpointsWaitForFactsAndServicesPassMeanwhile(t *testing.T) {
	server := newAPIServer(t)
	node := newCluster(t, "").Node("hz-1")
	client := client(t, node)
	got := make(chan string, 1)
	go func() {
		response, err := client.Get(server.URL + slicesPath)
		if err != nil {
			got <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		got <- string(body)
	}()
	eventually(t, "the list waits", func() bool { return len(node.Waiting()) == 1 })
	if held := node.Waiting()[0]; held.Target != slicesPath || len(held.Missing) != 3 ||
		held.Since.IsZero() {
		t.Fatal(held)
	}
	server.mutex.Lock()
	server.lists["/api/v1/services"] = list("Service", "10", annotated(6))
	server.mutex.Unlock()
	for _, path := range []string{"/api/v1/services", "/api/v1/nodes", poolsPath} {
		select {
		case got := <-got:
			t.Fatal("did not wait: " + got)
		default:
		}
		if _, body := get(t, client, server.URL+path); body != server.lists[path] {
			t.Fatal(body)
		}
	}
	if got := <-got; strings.Contains(got, "10.9.0.1") || !strings.Contains(got, "10.0.0.1") {
		t.Fatal(got)
	}
	if held := node.Waiting(); len(held) != 0 {
		t.Fatal(held)
	}
}

func TestWhoWaitsForFactsGivesUpWithItsContext(t *testing.T) {
	server := newAPIServer(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+slicesPath, nil)
	_, err := client(t, newCluster(t, "").Node("hz-1")).Do(request)
	if !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "/api/v1/services") {
		t.Fatal(err)
	}
}

func TestWhatIsCompressedIsDecompressed(t *testing.T) {
	for name, set := range map[string]func(*apiServer, *http.Request){
		"because the transport asked for it": func(s *apiServer, _ *http.Request) { s.gzip = true },
		"because the client asked for it": func(s *apiServer, r *http.Request) {
			s.gzip = true
			r.Header.Set("Accept-Encoding", "gzip")
		},
		"though nobody asked for it": func(s *apiServer, r *http.Request) {
			s.gzipAlways = true
			r.Header.Set("Accept-Encoding", "identity")
		},
		"not, since the client asked for identity": func(s *apiServer, r *http.Request) {
			r.Header.Set("Accept-Encoding", "identity")
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, node := newAPIServer(t), ready(t, "")
			annotate(t, node.Cluster(), 11)
			client := client(t, node)
			for _, target := range []string{slicesPath, slicesPath + watchQuery} {
				request, _ := http.NewRequest(http.MethodGet, server.URL+target, nil)
				set(server, request)
				response, err := client.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				if encoding := response.Header.Get("Content-Encoding"); encoding != "" {
					t.Fatal(encoding)
				}
				address := "10.0.0.1"
				if target != slicesPath {
					address = "10.0.0.2"
				}
				reading := readMeanwhile(t, response.Body, address)
				if target != slicesPath {
					server.send(
						t,
						slicesPath,
						event("MODIFIED", strings.Replace(fmt.Sprintf(cartSlice, 12), "10.0.0.1", address, 1)),
					)
				}
				if said := <-reading; strings.Contains(said, "10.9.0.1") {
					t.Fatal(said)
				}
				if target == slicesPath {
					// Only a list that was read to its end can be watched from.
					io.Copy(io.Discard, response.Body)
				}
			}
		})
	}
}

func TestAReverseProxyServesTheNodesView(t *testing.T) {
	server, node := newAPIServer(t), ready(t, "")
	annotate(t, node.Cluster(), 11)
	upstream, _ := url.Parse(server.URL)
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(upstream)
			if err := node.PrepareRequest(request.Out); err != nil {
				t.Error(err)
			}
		},
		ModifyResponse: node.ModifyResponse,
		Transport:      base,
	})
	defer proxy.Close()
	plain := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(plain.CloseIdleConnections)
	if _, body := get(t, plain, proxy.URL+slicesPath); strings.Contains(body, "10.9.0.1") ||
		!strings.Contains(body, "10.0.0.1") {
		t.Fatal(body)
	}
	response, err := plain.Get(proxy.URL + slicesPath + watchQuery)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	// Back to asking for nothing: a fact change, and nothing from upstream.
	reading := readMeanwhile(t, response.Body, "BOOKMARK")
	readFacts(
		t,
		node.Cluster(),
		"/api/v1/services",
		list("Service", "12", strings.Replace(plainService, `"5"`, `"12"`, 1)),
	)
	if said := <-reading; !strings.Contains(said, "10.9.0.1") {
		t.Fatal(said)
	}
}

func TestABodyIsClosedFromAnyGoroutineAnyNumberOfTimes(t *testing.T) {
	server, node := newAPIServer(t), ready(t, "")
	client := client(t, node)
	get(t, client, server.URL+slicesPath)
	response, err := client.Get(server.URL + slicesPath + watchQuery)
	if err != nil {
		t.Fatal(err)
	}
	reading := make(chan error)
	go func() {
		_, err := response.Body.Read(make([]byte, 10))
		reading <- err
	}()
	var closing sync.WaitGroup
	for range 10 {
		closing.Add(1)
		go func() {
			defer closing.Done()
			response.Body.Close()
		}()
	}
	closing.Wait()
	if err := <-reading; err == nil {
		t.Fatal("read from what is closed")
	}
}

func TestACancelledContextEndsAWatch(t *testing.T) {
	server, node := newAPIServer(t), ready(t, "")
	client := client(t, node)
	get(t, client, server.URL+slicesPath)
	ctx, cancel := context.WithCancel(context.Background())
	request, _ := http.NewRequestWithContext(
		ctx,
		http.MethodGet,
		server.URL+slicesPath+watchQuery,
		nil,
	)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := io.ReadAll(response.Body); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestAReaderGivesWhatFitsAndThenTheRest(t *testing.T) {
	node := ready(t, "")
	annotate(t, node.Cluster(), 11)
	header := http.Header{"Content-Type": {"application/json"}, "Content-Length": {"1234"}}
	request, _ := http.NewRequest(http.MethodGet, slicesPath, nil)
	body := list("EndpointSlice", "10", fmt.Sprintf(cartSlice, 7))
	reader, err := node.NewReader(request, header, io.NopCloser(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var got strings.Builder
	for one := make([]byte, 1); ; {
		n, err := reader.Read(one)
		got.Write(one[:n])
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	want := strings.Replace(body, `,{"addresses":["10.9.0.1"],"nodeName":"sh-1"}`, "", 1)
	if got.String() != want || header.Get("Content-Length") != "" {
		t.Fatalf("%s\n%s\n%v", got.String(), want, header)
	}
}

func TestABodyThatWasCutIsAnError(t *testing.T) {
	node := ready(t, "")
	request, _ := http.NewRequest(http.MethodGet, slicesPath, nil)
	body := list("EndpointSlice", "10", fmt.Sprintf(cartSlice, 7))
	cut := body[:len(body)-40]
	for _, upstream := range []io.Reader{
		strings.NewReader(cut),
		io.MultiReader(strings.NewReader(cut), broken{}),
	} {
		reader, err := node.NewReader(
			request,
			http.Header{"Content-Type": {"application/json"}},
			io.NopCloser(upstream),
		)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(reader)
		reader.Close()
		if !errors.Is(err, ErrTruncated) && !errors.Is(err, errBroken) ||
			!strings.HasPrefix(body, string(got)) {
			t.Fatalf("%v after %s", err, got)
		}
	}
}

func TestAWatchThatWasCutEndsAfterItsLastWholeEvent(t *testing.T) {
	node := ready(t, "")
	request, _ := http.NewRequest(
		http.MethodGet,
		slicesPath+"?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
		nil,
	)
	whole := event("ADDED", fmt.Sprintf(cartSlice, 7))
	for _, upstream := range []io.Reader{
		strings.NewReader(whole + whole[:40]),
		io.MultiReader(strings.NewReader(whole+whole[:40]), broken{}),
		io.MultiReader(strings.NewReader(whole), broken{}),
	} {
		reader, err := node.NewReader(
			request,
			http.Header{"Content-Type": {"application/json"}},
			io.NopCloser(upstream),
		)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(reader)
		reader.Close()
		if err != nil || string(got) != whole {
			t.Fatalf("%v after %s", err, got)
		}
	}
}

var errBroken = errors.New("the line broke")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

func TestALearnerKeepsTheClusterTaught(t *testing.T) {
	server, cluster := newAPIServer(t), newCluster(t, "")
	node := cluster.Node("hz-1")
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	address, _ := url.Parse(server.URL)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		node.Sync(
			ctx,
			SyncOptions{
				Client: &http.Client{Transport: base},
				Server: address,
				Failed: func(kind FactKind, err error) { t.Log(kind, err) },
			},
		)
	}()
	eventually(t, "ready", node.Ready)
	server.send(
		t,
		poolsPath,
		event(
			"MODIFIED",
			`{"metadata":{"name":"hangzhou","resourceVersion":"12"},"status":{"nodes":["hz-1","sh-1"]}}`,
		),
	)
	eventually(t, "sh-1 joined", func() bool {
		verdict, err := node.Judge("shop", "cart", "sh-1")
		return err == nil && len(verdict.Pools) == 1
	})
	// The watch is cut, and continues where it was.
	server.mutex.Lock()
	close(server.watches[poolsPath])
	delete(server.watches, poolsPath)
	server.mutex.Unlock()
	server.send(
		t,
		poolsPath,
		event(
			"MODIFIED",
			`{"metadata":{"name":"hangzhou","resourceVersion":"13"},"status":{"nodes":["hz-1"]}}`,
		),
	)
	eventually(t, "sh-1 left", func() bool {
		verdict, err := node.Judge("shop", "cart", "sh-1")
		return err == nil && len(verdict.Pools) == 0
	})
	// WatchList, which the server does not have, list, watch, watch.
	if asked := server.requests("GET " + poolsPath); len(asked) != 4 ||
		!strings.Contains(asked[3], "resourceVersion=12") {
		t.Fatal(asked)
	}
	// The API server has forgotten: relist.
	server.send(t, poolsPath, event("ERROR", `{"kind":"Status","message":"too old","code":410}`))
	eventually(t, "listed again", func() bool { return len(server.requests("GET "+poolsPath)) == 6 })
	cancel()
	<-done
}

// answers is a transport that notes what it is asked for.
type answers func(*http.Request) *http.Response

func (a answers) RoundTrip(request *http.Request) (*http.Response, error) { return a(request), nil }

func TestWhatIsWantedIsAskedForWhereTheResponseCameFrom(t *testing.T) {
	const wanted = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dcart"
	for _, prefix := range []string{"", "/k8s/clusters/c-1", "/k8s/clusters/a%2Fb", "/api/proxy", "/apis/x.io/v1/clusters/c/proxy"} {
		request, err := http.NewRequest(
			"GET",
			"https://host:6443"+prefix+"/apis/discovery.k8s.io/v1/endpointslices?watch=true",
			nil,
		)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer token")
		asked := ""
		base := answers(func(request *http.Request) *http.Response {
			asked = request.Header.Get("Authorization") + " " + request.URL.String()
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("{}"))}
		})
		if _, err := fetcher(request, base)(context.Background(), wanted); err != nil {
			t.Fatal(err)
		}
		if want := "Bearer token https://host:6443" + prefix + wanted; asked != want {
			t.Errorf("asked for %s, not %s", asked, want)
		}
	}
}
