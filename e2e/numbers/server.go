package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
)

const (
	jsonType     = "application/json"
	protobufType = "application/vnd.kubernetes.protobuf"
	slicesPath   = "/apis/discovery.k8s.io/v1/endpointslices"
	// One in ten endpoints of a slice is in the pool.
	nodes, members = 100, 10
)

// server is an API server that has everything in memory: what it costs is not part of what is
// measured.
type server struct {
	address string
	mutex   sync.Mutex
	lists   map[string][]byte
	watches map[*watcher]bool
}

// watcher is an open watch of EndpointSlices.
type watcher struct {
	protobuf bool
	// The frames to write, and after each the time of its write.
	frames chan []byte
	wrote  chan time.Time
}

func startServer(pair tls.Certificate) *server {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	s := &server{
		address: listener.Addr().String(), lists: map[string][]byte{}, watches: map[*watcher]bool{},
	}
	run := &http.Server{
		Handler: s, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: 250},
	}
	go run.ServeTLS(listener, "", "")
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Get("watch") != "" && r.URL.Path == slicesPath {
		s.watch(w, r)
		return
	}
	if query.Get("sendInitialEvents") == "true" {
		http.Error(w, "no WatchList", http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", jsonType)
	if query.Get("watch") != "" {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	}
	if r.URL.Path == slicesPath {
		contentType := mediaType(r)
		s.mutex.Lock()
		list := s.lists[contentType]
		s.mutex.Unlock()
		w.Header().Set("Content-Type", contentType)
		for len(list) > 0 {
			size := min(len(list), 64<<10)
			if _, err := w.Write(list[:size]); err != nil {
				return
			}
			list = list[size:]
		}
		return
	}
	if body, known := s.fact(r.URL.Path); known {
		json.NewEncoder(w).Encode(body)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/readyz") {
		fmt.Fprint(w, "ok")
		return
	}
	http.NotFound(w, r)
}

func mediaType(r *http.Request) string {
	if strings.Contains(r.Header.Get("Accept"), protobufType) {
		return protobufType
	}
	return jsonType
}

// fact is an object by which poolscope-proxy knows the pool of its node.
func (s *server) fact(path string) (any, bool) {
	type object = map[string]any
	self := object{
		"kind": "Node", "apiVersion": "v1",
		"metadata": object{
			"name": nodeName(0), "resourceVersion": "1",
			"labels": object{"apps.openyurt.io/nodepool": "pool"},
		},
	}
	list := func(kind, version string, items ...any) object {
		return object{
			"kind": kind, "apiVersion": version, "metadata": object{"resourceVersion": "1"},
			"items": items,
		}
	}
	switch {
	case path == "/api/v1/services":
		return list("ServiceList", "v1", object{"metadata": object{
			"name": "service", "namespace": "default", "resourceVersion": "1",
			"annotations": object{"openyurt.io/topologyKeys": "openyurt.io/nodepool"},
		}}), true
	case path == "/api/v1/nodes":
		return list("NodeList", "v1", self), true
	case strings.HasPrefix(path, "/api/v1/nodes/"):
		return self, true
	case path == "/apis/apps.openyurt.io/v1beta2/nodepools":
		var names []any
		for number := range members {
			names = append(names, nodeName(number))
		}
		return list("NodePoolList", "apps.openyurt.io/v1beta2", object{
			"kind": "NodePool", "apiVersion": "apps.openyurt.io/v1beta2",
			"metadata": object{"name": "pool", "resourceVersion": "1"},
			"status":   object{"nodes": names},
		}), true
	}
	return nil, false
}

func nodeName(number int) string { return fmt.Sprintf("node-%d.region-1.example.org", number) }

// slice is one of so many endpoints, each on another node. Its version is in its first address,
// which is in the pool, so that each version is another one to every client.
func slice(number, version, endpoints int) *discoveryv1.EndpointSlice {
	made := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{Kind: "EndpointSlice", APIVersion: "discovery.k8s.io/v1"},
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("service-%05d", number), Namespace: "default",
			UID:             types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", number)),
			ResourceVersion: strconv.Itoa(version), Generation: int64(version),
			Labels: map[string]string{discoveryv1.LabelServiceName: "service"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{
			Name: ptr.To("http"), Port: ptr.To(int32(8080)),
		}},
	}
	for at := range endpoints {
		address := fmt.Sprintf("10.%d.%d.%d", at, number/250%250, number%250)
		if at == 0 {
			address = fmt.Sprintf("11.%d.%d.%d", version>>16&255, version>>8&255, version&255)
		}
		made.Endpoints = append(made.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{address}, NodeName: ptr.To(nodeName(at % nodes)),
			Conditions: discoveryv1.EndpointConditions{
				Ready: ptr.To(true), Serving: ptr.To(true), Terminating: ptr.To(false),
			},
			Zone: ptr.To("zone-1"),
		})
	}
	return made
}

// setList has the server list slices, so many that they reach a size; or just so many.
func (s *server) setList(contentType string, endpoints, size, count int) int {
	one := encode(contentType, slice(0, 1, endpoints))
	if count == 0 {
		count = size / len(one)
	}
	list := &discoveryv1.EndpointSliceList{
		TypeMeta: metav1.TypeMeta{Kind: "EndpointSliceList", APIVersion: "discovery.k8s.io/v1"},
		ListMeta: metav1.ListMeta{ResourceVersion: "10"},
	}
	for number := range count {
		each := *slice(number, 1, endpoints)
		each.TypeMeta = metav1.TypeMeta{}
		list.Items = append(list.Items, each)
	}
	body := encode(contentType, list)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.lists[contentType] = body
	return len(body)
}

func serializer(contentType string) runtime.SerializerInfo {
	info, known := runtime.SerializerInfoForMediaType(
		scheme.Codecs.SupportedMediaTypes(), contentType)
	if !known {
		panic(contentType)
	}
	return info
}

func encode(contentType string, object runtime.Object) []byte {
	var out bytes.Buffer
	must(serializer(contentType).Serializer.Encode(object, &out))
	return out.Bytes()
}

// frame is an event of a watch.
func frame(contentType string, object runtime.Object) []byte {
	info := serializer(contentType)
	event := &metav1.WatchEvent{
		Type:   string(watch.Modified),
		Object: runtime.RawExtension{Raw: encode(contentType, object)},
	}
	var out bytes.Buffer
	stream := info.StreamSerializer
	must(stream.Serializer.Encode(event, stream.Framer.NewFrameWriter(&out)))
	return out.Bytes()
}

func (s *server) watch(w http.ResponseWriter, r *http.Request) {
	contentType := mediaType(r)
	if contentType == protobufType {
		w.Header().Set("Content-Type", protobufType+";stream=watch")
	} else {
		w.Header().Set("Content-Type", contentType)
	}
	w.(http.Flusher).Flush()
	open := &watcher{contentType == protobufType, make(chan []byte, 64), make(chan time.Time, 1)}
	s.mutex.Lock()
	s.watches[open] = true
	s.mutex.Unlock()
	defer func() {
		s.mutex.Lock()
		delete(s.watches, open)
		s.mutex.Unlock()
	}()
	for {
		select {
		case frame := <-open.frames:
			began := time.Now()
			if _, err := w.Write(frame); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case open.wrote <- began:
			default:
			}
		case <-r.Context().Done():
			return
		}
	}
}

// open returns the watches that are open.
func (s *server) open() (all []*watcher) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for each := range s.watches {
		all = append(all, each)
	}
	return all
}
