// backends prints how much memory the Go module takes with the backend that it was built with: for
// one long list, and for many watches that are opened, fed and closed.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/poolscope/poolscope/bindings/go"
)

const (
	listPath  = "/apis/discovery.k8s.io/v1/endpointslices"
	endpoints = 100
)

type object = map[string]any

func main() {
	megabytes := flag.Int("list", 144, "the size of the list, in MB")
	streams := flag.Int("streams", 10_000, "how many watches are open at once")
	rounds := flag.Int("rounds", 5, "how often they are opened and closed")
	flag.Parse()
	node := ready()
	fmt.Printf("start: %d MiB\n", status("VmRSS"))
	in, out := list(node, *megabytes*1_000_000)
	fmt.Printf("list of %d MB, %.1f MB are left: peak %d MiB, %d MiB after it\n",
		in/1e6, float64(out)/1e6, status("VmHWM"), status("VmRSS"))
	for round := range *rounds {
		open := watch(node, *streams)
		runtime.GC()
		fmt.Printf("round %d: %d watches, %d goroutines, %d MiB; ",
			round, *streams, runtime.NumGoroutine(), status("VmRSS"))
		for _, each := range open {
			check(each.Close())
		}
		open = nil
		debug.FreeOSMemory()
		fmt.Printf("closed: %d goroutines, %d MiB\n", runtime.NumGoroutine(), status("VmRSS"))
	}
}

// ready returns a node whose pool has one of ten nodes.
func ready() *poolscope.Node {
	cluster, err := poolscope.New(poolscope.Config{})
	check(err)
	node := cluster.Node(name(0))
	keys := object{"openyurt.io/topologyKeys": "openyurt.io/nodepool"}
	for path, body := range map[string]object{
		"/api/v1/services": {"kind": "ServiceList", "apiVersion": "v1", "items": []any{
			object{"metadata": object{"name": "cart", "namespace": "shop", "annotations": keys}},
		}},
		"/api/v1/nodes": {"kind": "NodeList", "apiVersion": "v1", "items": []any{
			object{"metadata": object{
				"name": name(0), "labels": object{"apps.openyurt.io/nodepool": "hangzhou"},
			}},
		}},
		"/apis/apps.openyurt.io/v1beta2/nodepools": {
			"kind": "NodePoolList", "apiVersion": "apps.openyurt.io/v1beta2", "items": []any{
				object{
					"metadata": object{"name": "hangzhou"},
					"status":   object{"nodes": []any{name(0), name(10), name(20)}},
				},
			},
		},
	} {
		body["metadata"] = object{"resourceVersion": "10"}
		text, err := json.Marshal(body)
		check(err)
		read(node, path, bytes.NewReader(text))
	}
	if !node.Ready() {
		log.Fatal(node.Describe())
	}
	return node
}

func name(number int) string { return fmt.Sprintf("edge-node-%04d.hangzhou.example", number) }

// read reads the response to a request through the node.
func read(node *poolscope.Node, target string, body io.Reader) int {
	reader := follow(node, target, io.NopCloser(body))
	defer reader.Close()
	count, err := io.Copy(struct{ io.Writer }{io.Discard}, reader)
	check(err)
	return int(count)
}

func follow(node *poolscope.Node, target string, body io.ReadCloser) io.ReadCloser {
	request, err := http.NewRequest(http.MethodGet, target, nil)
	check(err)
	client := http.Client{Transport: node.WrapTransport(answer{body})}
	request.URL.Scheme, request.URL.Host = "http", "localhost"
	response, err := client.Do(request)
	check(err)
	if response.StatusCode != http.StatusOK {
		log.Fatal(target, ": ", response.Status)
	}
	return response.Body
}

// answer replies with one body.
type answer struct{ body io.ReadCloser }

func (a answer) RoundTrip(request *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Request: request, Body: a.body,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: -1,
	}, nil
}

func slice(number int) []byte {
	var all []any
	for at := range endpoints {
		all = append(all, object{
			"addresses":  []any{fmt.Sprintf("10.%d.%d.7", number%250, at)},
			"conditions": object{"ready": true, "serving": true, "terminating": false},
			"nodeName":   name(at % 100), "zone": "cn-hangzhou-edge-1",
			"targetRef": object{
				"kind": "Pod", "namespace": "shop", "name": fmt.Sprintf("cart-7f9c6d5b8-%05d", at),
				"uid": fmt.Sprintf("8f14e45f-ceea-467f-a9d0-%012d", at*7919),
			},
		})
	}
	text, err := json.Marshal(object{
		"metadata": object{
			"name": fmt.Sprintf("cart-%05d", number), "namespace": "shop", "resourceVersion": "11",
			"labels": object{"kubernetes.io/service-name": "cart"},
		},
		"addressType": "IPv4", "endpoints": all,
		"ports": []any{object{"name": "http", "port": 8080, "protocol": "TCP"}},
	})
	check(err)
	return text
}

// slices is a list of the API server that is made while it is read.
type slices struct {
	left, number, made int
	rest               []byte
}

func (s *slices) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		switch {
		case s.left < 0:
			return 0, io.EOF
		case s.number == 0:
			s.rest = []byte(`{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1",` +
				`"metadata":{"resourceVersion":"12"},"items":[`)
			s.rest = append(s.rest, slice(0)...)
		default:
			s.rest = append([]byte{','}, slice(s.number)...)
		}
		s.number++
		if s.left -= len(s.rest); s.left < 0 {
			s.rest = append(s.rest, "]}"...)
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	s.made += n
	return n, nil
}

func list(node *poolscope.Node, size int) (in, out int) {
	made := &slices{left: size}
	out = read(node, listPath, made)
	return made.made, out
}

// silent gives an event and then nothing until it is closed.
type silent struct {
	event  io.Reader
	closed chan struct{}
}

func (s silent) Read(p []byte) (int, error) {
	if n, err := s.event.Read(p); err == nil {
		return n, nil
	}
	<-s.closed
	return 0, io.EOF
}

func (s silent) Close() error {
	close(s.closed)
	return nil
}

// watch opens watches, each of which has given an event.
func watch(node *poolscope.Node, count int) (open []io.ReadCloser) {
	event := append(append([]byte(`{"type":"ADDED","object":`), slice(0)...), '}', '\n')
	buffer := make([]byte, 32<<10)
	for range count {
		body := silent{bytes.NewReader(event), make(chan struct{})}
		reader := follow(node, listPath+"?watch=true", body)
		n, err := reader.Read(buffer)
		check(err)
		if n == 0 || n >= len(event) {
			log.Fatalf("%d bytes of %d are left", n, len(event))
		}
		open = append(open, reader)
	}
	return open
}

// status is a field of the process's status in MiB.
func status(field string) int {
	text, err := os.ReadFile("/proc/self/status")
	check(err)
	found := regexp.MustCompile(field + `:\s+(\d+) kB`).FindStringSubmatch(string(text))
	kilobytes, err := strconv.Atoi(strings.TrimSpace(found[1]))
	check(err)
	return kilobytes / 1024
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
