// Package e2e runs poolscope between a real kube-apiserver and real client-go informers.
package e2e

import (
	"context"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientfeatures "k8s.io/client-go/features"
	clientfeaturestesting "k8s.io/client-go/features/testing"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"

	"github.com/poolscope/poolscope/bindings/go"
	"github.com/poolscope/poolscope/e2e/apiserver"
)

const (
	protobuf = "application/vnd.kubernetes.protobuf"
	json     = "application/json"
)

// observer is one client: informers of Services and EndpointSlices of one node.
type observer struct {
	what     string
	node     string
	cluster  *poolscope.Cluster
	view     *poolscope.Node
	slices   discoverylisters.EndpointSliceLister
	services corelisters.ServiceLister
	line     *line
	// The objects that the slices' informer passes to its handlers.
	handlers []*handler
}

// line is the connection to the API server. It ends watches soon, and can be cut.
type line struct {
	base   http.RoundTripper
	mutex  sync.Mutex
	bodies map[*body]bool
	random *rand.Rand
	// Closed when requests for slices may pass.
	held chan struct{}
}

type body struct {
	io.ReadCloser
	line *line
	cut  atomic.Bool
}

// Read of a line that was cut says what a broken connection says.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && b.cut.Load() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *body) Close() error {
	b.line.mutex.Lock()
	delete(b.line.bodies, b)
	b.line.mutex.Unlock()
	return b.ReadCloser.Close()
}

func (l *line) RoundTrip(request *http.Request) (*http.Response, error) {
	l.wait(request.URL.Path)
	request = request.Clone(request.Context())
	if query := request.URL.Query(); query.Get("watch") == "true" {
		l.mutex.Lock()
		query.Set("timeoutSeconds", fmt.Sprint(2+l.random.Intn(4)))
		l.mutex.Unlock()
		request.URL.RawQuery = query.Encode()
	}
	response, err := l.base.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	tracked := &body{ReadCloser: response.Body, line: l}
	l.mutex.Lock()
	l.bodies[tracked] = true
	l.mutex.Unlock()
	response.Body = tracked
	return response, nil
}

// cut ends every response that is open, wherever it is.
func (l *line) cut() {
	l.mutex.Lock()
	open := l.bodies
	l.bodies = map[*body]bool{}
	l.mutex.Unlock()
	for each := range open {
		each.cut.Store(true)
		each.ReadCloser.Close()
	}
}

// observe starts a client; throughProxy: it asks a reverse proxy that serves its node's view.
func observe(
	t *testing.T,
	config *rest.Config,
	node, contentType string,
	throughProxy bool,
	settings string,
) *observer {
	parsed, err := poolscope.ParseConfig(settings)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := poolscope.New(parsed)
	if err != nil {
		t.Fatal(err)
	}
	view := cluster.Node(node)
	o := &observer{
		what: fmt.Sprintf(
			"%s, %s, through a proxy: %v, %s",
			node,
			contentType,
			throughProxy,
			settings,
		), node: node, cluster: cluster, view: view,
		line: &line{bodies: map[*body]bool{}, random: rand.New(rand.NewSource(int64(len(node))))},
	}
	config = rest.CopyConfig(config)
	upstream, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	config.Wrap(func(base http.RoundTripper) http.RoundTripper {
		o.line.base = base
		return o.line
	})
	// The facts that the client does not read itself.
	ctx, cancel := context.WithCancel(context.Background())
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	var learning sync.WaitGroup
	learning.Add(1)
	go func() {
		defer learning.Done()
		view.Sync(
			ctx,
			poolscope.SyncOptions{
				Client:       client,
				Server:       upstream,
				LeftToClient: []poolscope.FactKind{poolscope.KindService},
			},
		)
	}()
	t.Cleanup(func() {
		cancel()
		learning.Wait()
	})
	if throughProxy {
		proxy := httptest.NewServer(&httputil.ReverseProxy{
			Rewrite: func(request *httputil.ProxyRequest) {
				request.SetURL(upstream)
				if err := view.PrepareRequest(request.Out); err != nil {
					t.Error(err)
				}
			},
			ModifyResponse: view.ModifyResponse,
			Transport:      client.Transport,
			ErrorLog:       log.New(io.Discard, "", 0),
		})
		t.Cleanup(proxy.Close)
		config = &rest.Config{Host: proxy.URL, QPS: -1}
	} else {
		config.Wrap(view.WrapTransport)
	}
	config.ContentType = contentType
	factory := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), resync)
	o.slices = factory.Discovery().V1().EndpointSlices().Lister()
	o.handle(t, factory.Discovery().V1().EndpointSlices().Informer())
	o.services = factory.Core().V1().Services().Lister()
	stop := make(chan struct{})
	factory.Start(stop)
	t.Cleanup(func() {
		close(stop)
		factory.Shutdown()
	})
	for kind, synced := range factory.WaitForCacheSync(stop) {
		if !synced {
			t.Fatalf("%s: %v did not sync", o.what, kind)
		}
	}
	return o
}

// holder is a client that follows EndpointSlices.
type holder interface {
	// of is the node of the client.
	of() string
	// wrong says what is wrong with what it holds.
	wrong(expected map[string][]discoveryv1.Endpoint) error
}

func (o *observer) of() string { return o.node }

func (o *observer) wrong(expected map[string][]discoveryv1.Endpoint) error {
	held, err := o.slices.List(labels.Everything())
	if err != nil {
		return err
	}
	if err := differ(o.what, held, expected); err != nil {
		return fmt.Errorf("%w; it knows %+v", err, o.view.Describe())
	}
	return o.behind(held)
}

// differ says where slices differ from what is expected.
func differ(
	what string,
	held []*discoveryv1.EndpointSlice,
	expected map[string][]discoveryv1.Endpoint,
) error {
	if len(held) != len(expected) {
		return fmt.Errorf("%s holds %d slices, not %d", what, len(held), len(expected))
	}
	for _, slice := range held {
		if want, known := expected[slice.Name]; !known ||
			!apiequality.Semantic.DeepEqual(want, slice.Endpoints) && len(want)+len(slice.Endpoints) > 0 {
			return fmt.Errorf(
				"%s holds of %s %s, not %s",
				what,
				slice.Name,
				shown(slice.Endpoints),
				shown(want),
			)
		}
	}
	return nil
}

func shown(endpoints []discoveryv1.Endpoint) (list []string) {
	for _, endpoint := range endpoints {
		list = append(
			list,
			fmt.Sprintf("%v on %s", endpoint.Addresses, ptr.Deref(endpoint.NodeName, "no node")),
		)
	}
	return list
}

// settle waits until every client holds what it should.
func settle[H holder](t *testing.T, when string, w *world, holders []H) {
	t.Helper()
	began := time.Now()
	view := w.view()
	for _, each := range holders {
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			wrong := each.wrong(view(each.of()))
			if wrong == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v", when, wrong)
			}
			// An API server that starts writes its own Service's slice.
			view = w.view()
		}
	}
	t.Logf(
		"%s: %d clients hold what they should after %v",
		when,
		len(holders),
		time.Since(began).Round(time.Millisecond),
	)
}

// A server that restarts makes a lot of noise.
func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard())
	utilruntime.ErrorHandlers = nil
	os.Exit(m.Run())
}

func TestInformersHoldWhatTheirNodeMayUse(t *testing.T) {
	server := apiserver.Start(t)
	w := newWorld(t, server.Config(), 1)
	for _, watchList := range []bool{true, false} {
		if testing.Short() && !watchList {
			continue
		}
		t.Run(fmt.Sprintf("WatchList %v", watchList), func(t *testing.T) {
			clientfeaturestesting.SetFeatureDuringTest(t, clientfeatures.WatchListClient, watchList)
			var observers []*observer
			for _, node := range []string{"hz-0", "bj-0", "cloud-0"} {
				for _, contentType := range []string{protobuf, json} {
					for _, throughProxy := range []bool{false, true} {
						settings := "{}"
						if node == "bj-0" && !throughProxy {
							settings = `{"retention":"topology"}`
						}
						observers = append(
							observers,
							observe(t, server.Config(), node, contentType, throughProxy, settings),
						)
					}
				}
			}
			settle(t, "at first", w, observers)
			for round := range 3 {
				changes(w, 30)
				settle(t, fmt.Sprintf("after 30 changes, round %d", round), w, observers)
			}
			for range 15 {
				w.change()
				observers[w.random.Intn(len(observers))].line.cut()
			}
			settle(t, "after lines were cut", w, observers)
			server.Restart(t)
			changes(w, 10)
			settle(t, "after a restart of the API server", w, observers)
			changes(w, 15)
			forget(t, server, w, observers)
			settle(t, "after a compaction that took the clients' versions away", w, observers)
			report(t, observers)
		})
	}
}

// A client whose watch is ended by 410 for each change waits longer each time: few changes are
// enough.
func TestClientsThatHaveToListAgainHoldTheSame(t *testing.T) {
	server := apiserver.Start(t)
	w := newWorld(t, server.Config(), 2)
	var observers []*observer
	for _, contentType := range []string{protobuf, json} {
		for _, throughProxy := range []bool{false, true} {
			observers = append(
				observers,
				observe(t, server.Config(), "bj-0", contentType, throughProxy, `{"retention":"none"}`),
			)
		}
	}
	for round := range 3 {
		changes(w, 10)
		settle(t, fmt.Sprintf("after 10 changes, round %d", round), w, observers)
	}
	for _, o := range observers {
		// A new form under an old version is a resync to handlers; a fact change is not.
		if counters := o.cluster.Counters(); counters["streamsExpired"] == 0 {
			t.Errorf("%s: %v", o.what, counters)
		}
	}
	report(t, observers)
}

// forget ends all watches while the API server is away, and has it know nothing of what the clients
// have seen.
func forget(t *testing.T, server *apiserver.Server, w *world, observers []*observer) {
	server.Stop(t)
	for _, o := range observers {
		o.line.cut()
	}
	server.Compact(t)
	server.Resume(t)
	changes(w, 5)
}

func report(t *testing.T, observers []*observer) {
	for _, o := range observers {
		counters := o.cluster.Counters()
		if counters["objects"] == 0 || counters["endpointsDropped"] == 0 {
			t.Errorf("%s: nothing was filtered: %v", o.what, counters)
		}
		t.Logf(
			"%s: %d objects, %d endpoints hidden, %d events refreshed, %d left out, %d streams expired",
			o.what,
			counters["objects"],
			counters["endpointsDropped"],
			counters["eventsRefreshed"],
			counters["eventsSuppressed"],
			counters["streamsExpired"],
		)
	}
}

func changes(w *world, count int) {
	for range count {
		w.change()
	}
}
