// Command decoding is a proxy as one writes it with client-go: it decodes EndpointSlices into their
// types, drops endpoints of other nodes, and encodes the rest. Everything else goes through
// net/http's reverse proxy. It exists to be measured beside poolscope-proxy. Its nodes are given,
// and it follows no facts.
package main

import (
	"bytes"
	"crypto/tls"
	"flag"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/client-go/kubernetes/scheme"
)

var (
	listen      = flag.String("listen", "", "the address to listen on")
	server      = flag.String("server", "", "the API server, HOST:PORT")
	certificate = flag.String("cert", "", "the certificate to serve")
	key         = flag.String("key", "", "its key")
	members     = flag.String("members", "", "the nodes whose endpoints are kept")
)

// filtering serves reads of EndpointSlices.
type filtering struct {
	upstream http.RoundTripper
	members  map[string]bool
}

func main() {
	flag.Parse()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	transport.DisableCompression = true
	to := &url.URL{Scheme: "https", Host: *server}
	others := httputil.NewSingleHostReverseProxy(to)
	others.Transport, others.FlushInterval = transport, -1
	f := &filtering{transport, map[string]bool{}}
	for _, name := range strings.Split(*members, ",") {
		f.members[name] = true
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/endpointslices") {
			f.serve(w, r, to.Host)
		} else {
			others.ServeHTTP(w, r)
		}
	})
	log.Fatal((&http.Server{Addr: *listen, Handler: handler}).ListenAndServeTLS(*certificate, *key))
}

func (f *filtering) serve(w http.ResponseWriter, r *http.Request, host string) {
	request := r.Clone(r.Context())
	request.URL.Scheme, request.URL.Host, request.Host = "https", host, ""
	request.RequestURI = ""
	response, err := f.upstream.RoundTrip(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	contentType := response.Header.Get("Content-Type")
	mediaType, _, _ := strings.Cut(contentType, ";")
	types := scheme.Codecs.SupportedMediaTypes()
	info, known := runtime.SerializerInfoForMediaType(types, mediaType)
	if !known || response.StatusCode != http.StatusOK {
		http.Error(w, "unreadable", http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", contentType)
	if r.URL.Query().Get("watch") != "" {
		err = f.watch(w, response.Body, info)
	} else {
		err = f.list(w, response.Body, info)
	}
	if err != nil && r.Context().Err() == nil {
		log.Print(err)
	}
}

func (f *filtering) list(w io.Writer, body io.Reader, info runtime.SerializerInfo) error {
	all, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	object, _, err := info.Serializer.Decode(all, nil, nil)
	if err != nil {
		return err
	}
	switch object := object.(type) {
	case *discoveryv1.EndpointSliceList:
		for at := range object.Items {
			f.filter(&object.Items[at])
		}
	case *discoveryv1.EndpointSlice:
		f.filter(object)
	}
	return info.Serializer.Encode(object, w)
}

func (f *filtering) watch(
	w http.ResponseWriter,
	body io.ReadCloser,
	info runtime.SerializerInfo,
) error {
	w.(http.Flusher).Flush()
	stream := info.StreamSerializer
	decoder := streaming.NewDecoder(stream.Framer.NewFrameReader(body), stream.Serializer)
	encoder := streaming.NewEncoder(stream.Framer.NewFrameWriter(w), stream.Serializer)
	for {
		var event metav1.WatchEvent
		if _, _, err := decoder.Decode(nil, &event); err != nil {
			return err
		}
		object, _, err := info.Serializer.Decode(event.Object.Raw, nil, nil)
		if err != nil {
			return err
		}
		if slice, is := object.(*discoveryv1.EndpointSlice); is {
			f.filter(slice)
			var filtered bytes.Buffer
			if err := info.Serializer.Encode(slice, &filtered); err != nil {
				return err
			}
			event.Object = runtime.RawExtension{Raw: filtered.Bytes()}
		}
		if err := encoder.Encode(&event); err != nil {
			return err
		}
		w.(http.Flusher).Flush()
	}
}

func (f *filtering) filter(slice *discoveryv1.EndpointSlice) {
	slice.Endpoints = slices.DeleteFunc(slice.Endpoints, func(endpoint discoveryv1.Endpoint) bool {
		return endpoint.NodeName == nil || !f.members[*endpoint.NodeName]
	})
}
