package yurthub

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/poolscope/poolscope/bindings/go"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	benchEvents  = 200
	benchNodes   = 500
	benchMembers = 50
)

// BenchmarkEvent is one watch event of 100 endpoints, of which nine in ten go: decoded, filtered
// and encoded by client-go's types; by OpenYurt's response filter; and by poolscope through cgo, an
// event a chunk if nothing else is said.
func BenchmarkEvent(b *testing.B) {
	for _, contentType := range []string{jsonType, protoType} {
		// Events are repeated, and each one is to be emitted.
		suppress := false
		how := setup{Membership: "nodePool", Quiet: &suppress}
		all, kept, facts := benchWorld()
		made := &body{
			target:      "/apis/discovery.k8s.io/v1/endpointslices?watch=true",
			contentType: contentType,
		}
		if err := made.write(discoveryv1.SchemeGroupVersion, all); err != nil {
			b.Fatal(err)
		}
		each := split(b, all, contentType)
		b.Run(contentType+"/client-go types", func(b *testing.B) {
			perEvent(b, made, func() {
				events, err := made.read(made.bytes)
				if err != nil {
					b.Fatal(err)
				}
				for _, event := range events {
					slice := event.Object.(*discoveryv1.EndpointSlice)
					left := slice.Endpoints[:0]
					for _, endpoint := range slice.Endpoints {
						if kept[*endpoint.NodeName] {
							left = append(left, endpoint)
						}
					}
					slice.Endpoints = left
				}
				out := &body{target: made.target, contentType: contentType}
				if err := out.write(discoveryv1.SchemeGroupVersion, events); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(contentType+"/yurthub", func(b *testing.B) {
			panics := 0
			hub, err := newHub(benchNode(0), how, facts, &panics)
			if err != nil {
				b.Fatal(err)
			}
			request := asked(b, made.target)
			perEvent(b, made, func() {
				if _, err := hub.rewrite(request, made); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(contentType+"/poolscope, stateless", func(b *testing.B) {
			stream := benchStream(b, how, facts, made, (*poolscope.Node).OpenStateless)
			perEvent(b, made, func() {
				for _, event := range each {
					push(b, stream, event)
				}
			})
		})
		b.Run(contentType+"/poolscope, with state", func(b *testing.B) {
			stream := benchStream(b, how, facts, made, (*poolscope.Node).Open)
			perEvent(b, made, func() {
				for _, event := range each {
					push(b, stream, event)
				}
			})
		})
		b.Run(contentType+"/poolscope, with state, 16 KiB chunks", func(b *testing.B) {
			stream := benchStream(b, how, facts, made, (*poolscope.Node).Open)
			perEvent(b, made, func() {
				for rest := made.bytes; len(rest) > 0; {
					n := min(len(rest), 16<<10)
					push(b, stream, rest[:n])
					rest = rest[n:]
				}
			})
		})
		b.Run(contentType+"/poolscope, with state, a stream a pass", func(b *testing.B) {
			view, header := newView(b, benchNode(0), how, facts), http.Header{"Content-Type": {contentType}}
			request := asked(b, made.target)
			perEvent(b, made, func() {
				opened, err := view.Open(request, http.StatusOK, header)
				if err != nil {
					b.Fatal(err)
				}
				for rest := made.bytes; len(rest) > 0; {
					n := min(len(rest), 32<<10)
					push(b, opened.Stream, rest[:n])
					rest = rest[n:]
				}
				opened.Stream.Close()
			})
		})
		b.Run(contentType+"/poolscope, with state, as an io.Reader", func(b *testing.B) {
			view := newView(b, benchNode(0), how, facts)
			request, buffer := asked(b, made.target), make([]byte, 32<<10)
			perEvent(b, made, func() {
				reader, err := view.NewReader(
					request,
					http.Header{"Content-Type": {contentType}},
					io.NopCloser(bytes.NewReader(made.bytes)),
				)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, reader, buffer); err != nil {
					b.Fatal(err)
				}
				reader.Close()
			})
		})
	}
}

// perEvent runs something that deals with all events of a body, and reports what one of them takes.
func perEvent(b *testing.B, body *body, run func()) {
	b.ReportAllocs()
	b.SetBytes(int64(len(body.bytes)))
	for b.Loop() {
		run()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchEvents), "ns/event")
}

func push(b *testing.B, stream *poolscope.Stream, chunk []byte) {
	if _, err := stream.Push(chunk); err != nil {
		b.Fatal(err)
	}
}

type opener func(*poolscope.Node, *http.Request, int, http.Header) (*poolscope.Opened, error)

func benchStream(b *testing.B, how setup, facts *facts, body *body, open opener) *poolscope.Stream {
	header := http.Header{"Content-Type": {body.contentType}}
	opened, err := open(
		newView(b, benchNode(0), how, facts),
		asked(b, body.target),
		http.StatusOK,
		header,
	)
	if err != nil || opened.Action != poolscope.ActionRewrite {
		b.Fatal(opened, err)
	}
	b.Cleanup(func() { opened.Stream.Close() })
	return opened.Stream
}

// split gives each event's own bytes.
func split(b *testing.B, events []watch.Event, contentType string) (each [][]byte) {
	for _, event := range events {
		one := &body{target: "/?watch=true", contentType: contentType}
		if err := one.write(discoveryv1.SchemeGroupVersion, []watch.Event{event}); err != nil {
			b.Fatal(err)
		}
		each = append(each, one.bytes)
	}
	return each
}

func benchNode(number int) string { return fmt.Sprintf("edge-node-%04d.hangzhou.example", number) }

// benchWorld has slices whose endpoints are all over a cluster of 500 nodes, and a node whose pool
// has 50 of them.
func benchWorld() (events []watch.Event, kept map[string]bool, known *facts) {
	kept = map[string]bool{}
	var members []any
	for number := range benchMembers {
		name := benchNode(number * 10)
		kept[name] = true
		members = append(members, name)
	}
	annotations := object{"openyurt.io/topologyKeys": "openyurt.io/nodepool"}
	labels := object{"apps.openyurt.io/nodepool": "hangzhou"}
	known = &facts{
		services: list(
			"10",
			"Service",
			[]any{
				object{"metadata": object{"name": "checkout", "namespace": "shop", "annotations": annotations}},
			},
		),
		nodes: list(
			"10",
			"Node",
			[]any{object{"metadata": object{"name": benchNode(0), "labels": labels}}},
		),
		nodePools: list(
			"10",
			"NodePool",
			[]any{
				object{
					"apiVersion": "apps.openyurt.io/v1beta2",
					"kind":       "NodePool",
					"metadata":   object{"name": "hangzhou"},
					"status":     object{"nodes": members},
				},
			},
		),
		nodeBuckets: list("10", "NodeBucket", nil),
	}
	yes, no, port, tcp := true, false, int32(8080), "TCP"
	for number := range benchEvents {
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf(
					"checkout-%05d",
					number,
				), Namespace: "shop", ResourceVersion: fmt.Sprint(1000 + number),
				Labels: map[string]string{discoveryv1.LabelServiceName: "checkout"},
			},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: &tcp, Port: &port}},
		}
		for at := range 100 {
			on := benchNode((number*131 + at*37 + at/3) % benchNodes)
			zone := fmt.Sprintf("cn-hangzhou-edge-%d", at%25)
			pod := &corev1.ObjectReference{
				Kind: "Pod", Namespace: "shop", Name: fmt.Sprintf("checkout-frontend-7f9c6d5b8-%05d", at),
				UID: types.UID(fmt.Sprintf("8f14e45f-ceea-467f-a9d0-%012d", at*7919)),
			}
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses:  []string{fmt.Sprintf("10.%d.%d.7", number%250, at)},
				Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
				NodeName:   &on, Zone: &zone, TargetRef: pod,
			})
		}
		events = append(events, watch.Event{Type: watch.Modified, Object: slice})
	}
	return events, kept, known
}
