package reflector

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

const (
	protobufType = "application/vnd.kubernetes.protobuf"
	jsonType     = "application/json"
)

// server is an API server of EndpointSlices. The first handler of its script serves the first
// request, and so on. The last handler serves all further requests.
type server struct {
	*httptest.Server
	over   wire
	script []handler
	// Set while the kernel refuses new connections.
	refusing atomic.Bool
	// The time at which the server last ended a watch.
	ended       atomic.Pointer[time.Time]
	mutex       sync.Mutex
	served      int
	connections []*connection
}

// handler serves one request.
type handler func(*response)

// step is a part of a response to a watch.
type step func(*response)

// response is one response of the server, with the serializer that its client asked for.
type response struct {
	http.ResponseWriter
	request *http.Request
	server  *server
	media   runtime.SerializerInfo
}

// listener keeps the TCP connections, which lie below TLS.
type listener struct {
	net.Listener
	server *server
}

// connection discards the server's bytes once it is dead, as a network without a route does.
type connection struct {
	*net.TCPConn
	dead atomic.Bool
}

func (c *connection) Write(p []byte) (int, error) {
	if c.dead.Load() {
		return len(p), nil
	}
	return c.TCPConn.Write(p)
}

func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &connection{TCPConn: accepted.(*net.TCPConn)}
	l.server.mutex.Lock()
	defer l.server.mutex.Unlock()
	l.server.connections = append(l.server.connections, c)
	return c, nil
}

func newServer(t *testing.T, over wire, script ...handler) *server {
	s := &server{over: over, script: script}
	s.Server = httptest.NewUnstartedServer(s)
	s.Listener = &listener{s.Listener, s}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// config returns a client's configuration for this server.
func (s *server) config() *rest.Config {
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	config := &rest.Config{Host: s.URL, QPS: -1, Dial: s.dial}
	config.CAData = certificate
	config.ContentType = jsonType
	if s.over.protobuf {
		config.ContentType = protobufType
	}
	if !s.over.http2 {
		config.NextProtos = []string{"http/1.1"}
	}
	return config
}

func (s *server) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if (request.ProtoMajor == 2) != s.over.http2 {
		w.WriteHeader(http.StatusHTTPVersionNotSupported)
		return
	}
	s.mutex.Lock()
	handle := s.script[min(s.served, len(s.script)-1)]
	s.served++
	s.mutex.Unlock()
	mediaType, _, _ := strings.Cut(request.Header.Get("Accept"), ",")
	media, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), mediaType)
	w.Header().Set("Content-Type", mediaType)
	handle(&response{w, request, s, media})
}

// each calls a function with every TCP connection.
func (s *server) each(do func(*connection)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, c := range s.connections {
		do(c)
	}
}

// form returns a request's kind and resourceVersion, as the tables of the tests write requests.
func form(query url.Values) string {
	kind := "list"
	if query.Get("watch") != "" {
		kind = "watch"
		if query.Get("sendInitialEvents") == "true" {
			kind = "watchlist"
		}
	}
	return strings.TrimSpace(kind + " " + query.Get("resourceVersion"))
}

func isList(request *http.Request) bool {
	return request.URL.Query().Get("watch") == ""
}

// healthy serves every request. Its watches stay open.
func healthy(r *response) {
	if isList(r.request) {
		list(11)(r)
	} else if strings.HasPrefix(form(r.request.URL.Query()), "watchlist") {
		watching(open, added(5), bookmark(11), hold)(r)
	} else {
		watching(open, hold)(r)
	}
}

// list responds with a list at a resourceVersion.
func list(version int) handler {
	return func(r *response) {
		r.Write(r.encode(&discoveryv1.EndpointSliceList{
			ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(version)},
			Items:    []discoveryv1.EndpointSlice{*slice(5)},
		}))
	}
}

// watching responds with a watch. The watch ends as its body does after the last step.
func watching(steps ...step) handler {
	return handler(inOrder(steps...))
}

// late responds after a silence, at resourceVersion 12.
func late(r *response) {
	pause(silence)(r)
	if isList(r.request) {
		list(12)(r)
	} else {
		watching(open, added(5), bookmark(12), hold)(r)
	}
}

// refused responds with a Status.
func refused(code int, retryAfter string) handler {
	return func(r *response) {
		if retryAfter != "" {
			r.Header().Set("Retry-After", retryAfter)
		}
		r.WriteHeader(code)
		r.Write(r.encode(status(code)))
	}
}

// refusedInText responds with an error page, as proxies do that know nothing of Kubernetes.
func refusedInText(code int) handler {
	return func(r *response) {
		http.Error(r, http.StatusText(code), code)
	}
}

// status returns the Status of an error, with the reason that API servers give.
func status(code int) *metav1.Status {
	err := apierrors.NewGenericServerResponse(code, "get", discoveryv1.Resource("endpointslices"), "",
		"test", 0, false)
	if code == http.StatusGone {
		err = apierrors.NewResourceExpired("too old resource version: 10 (90)")
	}
	return &err.ErrStatus
}

func slice(version int) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "slice", ResourceVersion: strconv.Itoa(version),
		},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
}

// open sends the head of a response.
func open(r *response) {
	r.WriteHeader(http.StatusOK)
	r.flush()
}

// goAway has the server send GOAWAY with the head of the response, in HTTP/1.1 `Connection: close`.
func goAway(r *response) {
	r.Header().Set("Connection", "close")
}

func added(version int) step {
	return func(r *response) { r.send(r.frame(watch.Added, slice(version))) }
}

func modified(version int) step {
	return func(r *response) { r.send(r.frame(watch.Modified, slice(version))) }
}

// bookmark is the one that ends the initial events.
func bookmark(version int) step {
	return func(r *response) {
		object := slice(version)
		object.Name, object.Namespace = "", ""
		object.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
		r.send(r.frame(watch.Bookmark, object))
	}
}

func failed(code int) step {
	return func(r *response) { r.send(r.frame(watch.Error, status(code))) }
}

// cutFrame sends the first bytes of an event, as many as `length` returns.
func cutFrame(length func(frame []byte) int) step {
	return func(r *response) {
		frame := r.frame(watch.Modified, slice(12))
		r.send(frame[:length(frame)])
	}
}

func half(frame []byte) int { return len(frame) / 2 }

func first(count int) func([]byte) int {
	return func([]byte) int { return count }
}

func sendBytes(bytes string) step {
	return func(r *response) { r.send([]byte(bytes)) }
}

// inOrder joins steps into one.
func inOrder(steps ...step) step {
	return func(r *response) {
		for _, do := range steps {
			do(r)
		}
	}
}

func pause(duration time.Duration) step {
	return func(r *response) {
		select {
		case <-time.After(duration):
		case <-r.request.Context().Done():
		}
	}
}

// hold keeps a watch open until the client ends it.
func hold(r *response) {
	<-r.request.Context().Done()
}

// endBody ends a watch in the normal way: the last chunk, or END_STREAM.
func endBody(*response) {}

// abort closes the connection without the last chunk. In HTTP/2 it resets the stream.
func abort(*response) {
	panic(http.ErrAbortHandler)
}

// closeConnection closes the TCP connection with FIN.
func closeConnection(r *response) {
	r.server.each(func(c *connection) { c.Close() })
}

// resetConnection closes the TCP connection with RST.
func resetConnection(r *response) {
	r.server.each(func(c *connection) {
		c.SetLinger(0)
		c.Close()
	})
}

// loseConnection discards everything that the server sends from now on.
func loseConnection(r *response) {
	r.server.each(func(c *connection) { c.dead.Store(true) })
	hold(r)
}

// refuseConnections has all further connections refused.
func refuseConnections(r *response) {
	r.server.refusing.Store(true)
}

// end records the time at which a watch ends.
func end(r *response) {
	now := time.Now()
	r.server.ended.Store(&now)
}

func (r *response) flush() {
	r.ResponseWriter.(http.Flusher).Flush()
}

func (r *response) send(bytes []byte) {
	r.Write(bytes)
	r.flush()
}

// frame encodes an event of a watch, framed.
func (r *response) frame(kind watch.EventType, object runtime.Object) []byte {
	var framed bytes.Buffer
	event := &metav1.WatchEvent{
		Type:   string(kind),
		Object: runtime.RawExtension{Raw: r.encode(object)},
	}
	stream := r.media.StreamSerializer
	if err := stream.Serializer.Encode(event, stream.Framer.NewFrameWriter(&framed)); err != nil {
		panic(fmt.Sprintf("encode %v: %v", event, err))
	}
	return framed.Bytes()
}

func (r *response) encode(object runtime.Object) []byte {
	encoder := scheme.Codecs.EncoderForVersion(r.media.Serializer, discoveryv1.SchemeGroupVersion)
	encoded, err := runtime.Encode(encoder, object)
	if err != nil {
		panic(fmt.Sprintf("encode %v: %v", object, err))
	}
	return encoded
}
