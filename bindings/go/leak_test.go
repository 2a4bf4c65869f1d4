package poolscope

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// quietUpstream says nothing until it is closed.
type quietUpstream struct {
	io.Reader
	closed chan struct{}
}

func (q *quietUpstream) Read(p []byte) (int, error) {
	if n, err := q.Reader.Read(p); err == nil {
		return n, nil
	}
	<-q.closed
	return 0, io.ErrClosedPipe
}

func (q *quietUpstream) Close() error {
	close(q.closed)
	return nil
}

func TestStreamsThatWereClosedLeaveNothingBehind(t *testing.T) {
	node := ready(t, "")
	annotate(t, node.Cluster(), 11)
	json := http.Header{"Content-Type": {"application/json"}}
	body := list("EndpointSlice", "10", fmt.Sprintf(cartSlice, 7))
	lists, _ := http.NewRequest(http.MethodGet, slicesPath, nil)
	watches, _ := http.NewRequest(
		http.MethodGet,
		slicesPath+"?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
		nil,
	)
	round := func(streams int) (int, int) {
		for number := range streams {
			request, upstream := lists, io.ReadCloser(io.NopCloser(strings.NewReader(body)))
			if number%2 == 1 {
				request, upstream = watches, &quietUpstream{
					strings.NewReader(event("ADDED", fmt.Sprintf(cartSlice, 7))),
					make(chan struct{}),
				}
			}
			reader, err := node.NewReader(request, json.Clone(), upstream)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(reader, make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
			if number%3 == 0 && number%2 == 0 {
				io.Copy(io.Discard, reader)
			}
			reader.Close()
		}
		eventually(
			t,
			"only this goroutine and those of the tests' runner",
			func() bool { return runtime.NumGoroutine() < 10 },
		)
		runtime.GC()
		return inUse(node), runtime.NumGoroutine()
	}
	// Client states are kept for the next request, up to a bound, and the heap has holes:
	// fill both first.
	round(10_000)
	round(10_000)
	before, goroutinesBefore := round(10_000)
	after, goroutinesAfter := round(10_000)
	t.Logf(
		"%d bytes of the library before 10,000 streams, %d after; goroutines %d, %d",
		before,
		after,
		goroutinesBefore,
		goroutinesAfter,
	)
	if grown := after - before; grown > 64<<10 {
		t.Fatalf("the memory of the library grew by %d bytes in 10,000 streams", grown)
	}
	if goroutinesAfter > goroutinesBefore {
		t.Fatalf("%d goroutines before, %d after", goroutinesBefore, goroutinesAfter)
	}
}
