// Package reflector records the requests that a client-go informer sends after a request was
// refused or a watch ended. The tables of docs/wire.md, section 7, are from these tests.
package reflector

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientfeatures "k8s.io/client-go/features"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const (
	// An HTTP/2 client sends a PING after so many seconds of silence, and waits for the response.
	pingSeconds, pingTimeoutSeconds = 3, 4
	// client-go treats a watch without events as failed if it lasts less than a second.
	life = 1200 * time.Millisecond
	// Longer than an HTTP/2 client waits for the response to a PING.
	silence = 10 * time.Second
	patient = 60 * time.Second
)

// All rows run at once, because they do little but wait.
func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard())
	utilruntime.ErrorHandlers = nil
	os.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", strconv.Itoa(pingSeconds))
	os.Setenv("HTTP2_PING_TIMEOUT_SECONDS", strconv.Itoa(pingTimeoutSeconds))
	flag.Parse()
	flag.Set("test.parallel", "1000")
	os.Exit(m.Run())
}

// wire is the protocol and the encoding between a client and the server.
type wire struct {
	http2, protobuf bool
}

var (
	json1     = wire{false, false}
	json2     = wire{true, false}
	protobuf1 = wire{false, true}
	protobuf2 = wire{true, true}

	both     = []wire{json1, protobuf2}
	all      = []wire{json1, json2, protobuf1, protobuf2}
	http1    = []wire{json1}
	http2    = []wire{protobuf2}
	json     = []wire{json1, json2}
	protobuf = []wire{protobuf1, protobuf2}
)

func (w wire) String() string {
	protocol, encoding := "HTTP 1", "JSON"
	if w.http2 {
		protocol = "HTTP 2"
	}
	if w.protobuf {
		encoding = "protobuf"
	}
	return protocol + ", " + encoding
}

// opening is a response to a request, and the requests of the clients from the refused one on. The
// server responds to every watch in this way, but serves lists.
type opening struct {
	name string
	// Both protocols if empty.
	over     []wire
	respond  handler
	requests openingRequests
	// The response comes late, but is a good one at resourceVersion 12.
	late bool
}

// A request is written as its kind and its resourceVersion. For example, `watchlist 11` is a watch
// with sendInitialEvents=true and resourceVersion=11.
type openingRequests struct {
	// The first request of a client is a WatchList.
	watchList string
	// A client that started with a WatchList, or with a LIST, resumes a watch at 11.
	resumed, resumedAfterList string
	// The first request of a client is a LIST, which the server does not serve either.
	list string
}

var (
	repeats = openingRequests{
		watchList:        "3 x watchlist",
		resumed:          "3 x watch 11",
		resumedAfterList: "3 x watch 11",
		list:             "3 x list 0",
	}
	// More often than client-go obeys Retry-After, which is ten times.
	keepsRepeating = openingRequests{
		watchList:        "12 x watchlist",
		resumed:          "12 x watch 11",
		resumedAfterList: "12 x watch 11",
		list:             "12 x list 0",
	}
	fallsBack = openingRequests{
		watchList:        "watchlist, list 0, watch 11, watchlist 11, list 11",
		resumed:          "watch 11, watchlist 11, list 11, watch 11",
		resumedAfterList: "watch 11, list 11, watch 11, list 11",
		list:             "3 x list 0",
	}
)

var openings = []opening{
	{name: "429", respond: refused(429, ""), requests: repeats},
	{name: "429 as text", respond: refusedInText(429), requests: repeats},
	{name: "429, Retry-After 1", respond: refused(429, "1"), requests: keepsRepeating},
	{name: "503", respond: refused(503, ""), requests: fallsBack},
	{name: "503, Retry-After 1", respond: refused(503, "1"), requests: openingRequests{
		watchList:        "11 x watchlist, list 0, watch 11",
		resumed:          "11 x watch 11, watchlist 11",
		resumedAfterList: "11 x watch 11, list 11",
		list:             "12 x list 0",
	}},
	{name: "500", respond: refused(500, ""), requests: fallsBack},
	{name: "502", respond: refused(502, ""), requests: fallsBack},
	{name: "502 as text", respond: refusedInText(502), requests: fallsBack},
	{name: "504", respond: refused(504, ""), requests: fallsBack},
	{name: "404", respond: refused(404, ""), requests: fallsBack},
	{name: "410", respond: refused(410, ""), requests: openingRequests{
		watchList:        "10 x watchlist",
		resumed:          "watch 11, watchlist 11, 10 x watchlist",
		resumedAfterList: "watch 11, list 11, watch 11, list 11",
		list:             "list 0, 4 x list",
	}},
	{name: "connection refused", requests: repeats},
	{name: "connection closed", respond: closeConnection, requests: keepsRepeating},
	{name: "stream reset", over: http2, respond: abort, requests: fallsBack},
	{name: "late response", respond: late, late: true, requests: openingRequests{
		watchList:        "watchlist",
		resumed:          "watch 11",
		resumedAfterList: "watch 11",
		list:             "list 0, watch 12",
	}},
}

// row is a client, the script of its server, and the requests that the client must send.
type row struct {
	name      string
	watchList bool
	script    []handler
	// The requests before the end of the watch or the refusal, and the others.
	before, after string
}

func TestRequestsAfterARefusedOpening(t *testing.T) {
	t.Parallel()
	for _, o := range openings {
		refuse := func(r *response) {
			if isList(r.request) {
				healthy(r)
			} else {
				o.respond(r)
			}
		}
		// A watch that ends together with its connection: the next request needs another.
		served := func(steps ...step) handler {
			steps = append([]step{goAway, open}, steps...)
			if o.respond == nil {
				steps = append(steps, refuseConnections)
			}
			return watching(append(steps, end)...)
		}
		rows := []row{
			{"WatchList", true, []handler{refuse}, "", o.requests.watchList},
			{
				"resumed after WatchList", true,
				[]handler{served(added(5), bookmark(10), modified(11)), refuse},
				"watchlist, ", o.requests.resumed,
			},
			{
				"resumed after LIST", false,
				[]handler{list(10), served(modified(11)), refuse},
				"list 0, watch 10, ", o.requests.resumedAfterList,
			},
			{"LIST", false, []handler{o.respond}, "", o.requests.list},
		}
		for _, row := range rows {
			over := o.over
			if over == nil {
				over = both
			}
			for _, over := range over {
				t.Run(fmt.Sprintf("%s/%s/%v", o.name, row.name, over), func(t *testing.T) {
					t.Parallel()
					s := newServer(t, over, row.script...)
					s.refusing.Store(o.respond == nil && row.before == "")
					c := startClient(t, s, row.watchList)
					c.expect(row.before + row.after)
					if o.late {
						c.expectNone(12)
					}
				})
			}
		}
	}
}

// ending is a way in which a watch ends, and the next requests of the clients.
type ending struct {
	name     string
	over     []wire
	course   course
	end      step
	requests endingRequests
}

// course is the life of a watch before its end.
type course int

const (
	// At least one event and more than a second.
	usual course = iota
	// No event, and more than a second.
	eventless
	// No event, and less than a second.
	short
	// As usual, with GOAWAY at its beginning.
	goingAway
	// The watch does not end. An event follows the silence.
	silent
)

// endingRequests are the next request of a client, by the place of the end.
type endingRequests struct {
	// Before the initial events of a WatchList are complete.
	initial string
	// Later in the same stream, or in a watch that a client of WatchLists resumed.
	later, resumed string
	// In a watch of a client that started with a LIST.
	afterList string
}

var (
	resumes = endingRequests{"watchlist", "watch 11", "watch 11", "watch 11"}
	relists = endingRequests{"list 0", "watchlist 11", "watchlist 11", "list 11"}
	// The same without an event, so that the client's resourceVersion is that of its start.
	resumesAt10 = endingRequests{"watchlist", "watch 10", "watch 10", "watch 10"}
	relistsAt10 = endingRequests{"list 0", "watchlist 10", "watchlist 10", "list 10"}
)

var endings = []ending{
	{"end of body", both, usual, endBody, resumes},
	{"end of body, no event", both, eventless, endBody, resumesAt10},
	{"end of body within a second, no event", both, short, endBody, relistsAt10},
	{"GOAWAY, later end of body", http2, goingAway, endBody, resumes},
	{"GOAWAY, later connection closed", http2, goingAway, closeConnection, resumes},
	{"connection closed without last chunk", http1, usual, abort, resumes},
	{"TCP connection closed", both, usual, closeConnection, resumes},
	{"TCP connection reset", both, usual, resetConnection, resumes},
	{"RST_STREAM", http2, usual, abort, relists},
	{"end of body inside a frame", all, usual, cutFrame(half), resumes},
	{"end of body inside a length", protobuf, usual, cutFrame(first(2)), resumes},
	{"end of body after a length", protobuf, usual, cutFrame(first(4)), resumes},
	{
		"TCP connection closed inside a frame", all, usual,
		inOrder(cutFrame(half), closeConnection), resumes,
	},
	{"frame of broken JSON", json, usual, inOrder(sendBytes("}\n"), hold), relists},
	{
		"frame of broken protobuf", protobuf, usual,
		inOrder(sendBytes("\x00\x00\x00\x01\x0f"), hold), relists,
	},
	{"empty frame", protobuf, usual, inOrder(sendBytes("\x00\x00\x00\x00"), hold), relists},
	{
		"frame of an incomplete message", protobuf, usual,
		inOrder(sendBytes("\x00\x00\x00\x01\x0a"), hold), resumes,
	},
	{"ERROR 410", both, usual, failed(410), endingRequests{
		initial: "watchlist", later: "watchlist 11", resumed: "watchlist 11", afterList: "list 11",
	}},
	{"ERROR 429", both, usual, failed(429), resumes},
	{"ERROR 429 as the first event", both, short, failed(429), resumesAt10},
	{"ERROR 500", both, usual, failed(500), relists},
	{"ERROR 503", both, usual, failed(503), relists},
	{"ERROR 504", both, usual, failed(504), relists},
	{"silence", both, silent, pause(silence), endingRequests{}},
	{"silence, PING without response", http2, usual, loseConnection, relists},
}

// stream returns a watch that ends in this way after `before`, and usually after `event`.
func (e ending) stream(event step, before ...step) handler {
	var steps []step
	if e.course == goingAway {
		steps = append(steps, goAway)
	}
	steps = append(steps, open)
	steps = append(steps, before...)
	switch e.course {
	case usual, goingAway, silent:
		steps = append(steps, event, pause(life))
	case eventless:
		steps = append(steps, pause(2*life))
	}
	steps = append(steps, end, e.end)
	if e.course == silent {
		steps = append(steps, bookmark(12), hold)
	}
	return watching(steps...)
}

func TestRequestsAfterAnEnding(t *testing.T) {
	t.Parallel()
	for _, e := range endings {
		rows := []row{
			{
				"during initial events", true,
				[]handler{e.stream(added(11)), healthy},
				"watchlist", e.requests.initial,
			},
			{
				"after initial events", true,
				[]handler{e.stream(modified(11), added(5), bookmark(10)), healthy},
				"watchlist", e.requests.later,
			},
			{
				"resumed after WatchList", true,
				[]handler{
					watching(open, added(5), bookmark(9), modified(10)), e.stream(modified(11)), healthy,
				},
				"watchlist, watch 10", e.requests.resumed,
			},
			{
				"after LIST", false,
				[]handler{list(10), e.stream(modified(11)), healthy},
				"list 0, watch 10", e.requests.afterList,
			},
		}
		for _, row := range rows {
			for _, over := range e.over {
				t.Run(fmt.Sprintf("%s/%s/%v", e.name, row.name, over), func(t *testing.T) {
					t.Parallel()
					c := startClient(t, newServer(t, over, row.script...), row.watchList)
					if e.course == silent {
						c.expect(row.before)
						c.expectNone(12)
					} else {
						c.expect(row.before + ", " + row.after)
					}
				})
			}
		}
	}
}

// client is an informer of EndpointSlices that records its requests.
type client struct {
	t        *testing.T
	server   *server
	informer cache.SharedIndexInformer
	base     http.RoundTripper
	requests chan request
}

// request is a request that client-go passes to net/http, even if net/http gets no connection.
type request struct {
	form string
	at   time.Time
}

// A reflector reads the feature gate when it is made, which is before its first request.
var gate sync.Mutex

// startClient starts an informer and waits for its first request.
func startClient(t *testing.T, s *server, watchList bool) *client {
	c := &client{t: t, server: s, requests: make(chan request, 1000)}
	config := s.config()
	config.Wrap(func(base http.RoundTripper) http.RoundTripper {
		c.base = base
		return c
	})
	factory := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), 0)
	c.informer = factory.Discovery().V1().EndpointSlices().Informer()
	gate.Lock()
	defer gate.Unlock()
	gates := clientfeatures.FeatureGates().(interface {
		Set(clientfeatures.Feature, bool) error
	})
	if err := gates.Set(clientfeatures.WatchListClient, watchList); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	factory.Start(ctx.Done())
	for len(c.requests) == 0 {
		time.Sleep(time.Millisecond)
	}
	return c
}

func (c *client) RoundTrip(sent *http.Request) (*http.Response, error) {
	select {
	case c.requests <- request{form(sent.URL.Query()), time.Now()}:
	default:
		// The test has read enough of a client that repeats a request without a pause.
	}
	return c.base.RoundTrip(sent)
}

// dial opens a connection to the server, or to a port where nothing listens.
func (s *server) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s.refusing.Load() {
		address = "127.0.0.1:1"
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// expect reads as many requests as a row of a table has, and compares them. The log has how long
// the client waited, counted from the end of the watch or else from the previous request.
func (c *client) expect(row string) {
	c.t.Helper()
	var seen []string
	var previous time.Time
	for _, part := range strings.Split(row, ", ") {
		count, expected, repeated := strings.Cut(part, " x ")
		times, err := strconv.Atoi(count)
		if !repeated {
			times, expected = 1, part
		} else if err != nil {
			c.t.Fatal(err)
		}
		for range times {
			var next request
			select {
			case next = <-c.requests:
			case <-time.After(patient):
				c.t.Fatalf("no request after %v; expected %s", seen, row)
			}
			if ended := c.server.ended.Swap(nil); ended != nil {
				previous = *ended
			}
			if previous.IsZero() {
				previous = next.at
			}
			seen = append(seen, fmt.Sprintf("%s (%.1fs)", next.form, next.at.Sub(previous).Seconds()))
			previous = next.at
			if next.form != expected {
				c.t.Fatalf("requests: %v; expected %s", seen, row)
			}
		}
	}
	c.t.Log(strings.Join(seen, ", "))
}

// expectNone waits until the informer has a resourceVersion, and fails if a request came before.
func (c *client) expectNone(version int) {
	c.t.Helper()
	expected := strconv.Itoa(version)
	for deadline := time.Now().Add(patient); c.informer.LastSyncResourceVersion() != expected; {
		if time.Now().After(deadline) {
			c.t.Fatalf("informer is at %s; expected %s", c.informer.LastSyncResourceVersion(), expected)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if len(c.requests) > 0 {
		c.t.Fatalf("request before resourceVersion %s: %s", expected, (<-c.requests).form)
	}
}
