package yurthub

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/poolscope/poolscope/bindings/go"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// BenchmarkReader compares an io.Reader with a loop that reads upstream itself and pushes the
// bytes, and so cannot react to changes of facts while it waits. Both drive one stream with client
// state that knows all objects. Upstream gives pieces of one size, or is a connection over
// loopback.
func BenchmarkReader(b *testing.B) {
	for _, contentType := range []string{jsonType, protoType} {
		suppress := false
		how := setup{Membership: "nodePool", Quiet: &suppress}
		all, _, facts := benchWorld()
		made := &body{
			target:      "/apis/discovery.k8s.io/v1/endpointslices?watch=true",
			contentType: contentType,
		}
		if err := made.write(discoveryv1.SchemeGroupVersion, all); err != nil {
			b.Fatal(err)
		}
		sources := []struct {
			name string
			open func(*testing.B) io.ReadCloser
		}{
			{"4 KiB", pieces(made.bytes, 4<<10)},
			{"16 KiB", pieces(made.bytes, 16<<10)},
			{"32 KiB", pieces(made.bytes, 32<<10)},
			{"TCP", func(b *testing.B) io.ReadCloser { return loopback(b, made.bytes) }},
		}
		kept := rewritten(b, how, facts, made)
		for _, source := range sources {
			b.Run(fmt.Sprintf("%s/push, %s", contentType, source.name), func(b *testing.B) {
				stream := benchStream(b, how, facts, made, (*poolscope.Node).Open)
				upstream, buffer := source.open(b), make([]byte, 32<<10)
				defer upstream.Close()
				perPass(b, made, kept, func() int {
					n, err := upstream.Read(buffer)
					if err != nil {
						b.Fatal(err)
					}
					out, err := stream.Push(buffer[:n])
					if err != nil {
						b.Fatal(err)
					}
					return len(out)
				})
			})
			b.Run(fmt.Sprintf("%s/io.Reader, %s", contentType, source.name), func(b *testing.B) {
				view := newView(b, benchNode(0), how, facts)
				header := http.Header{"Content-Type": {contentType}}
				reader, err := view.NewReader(asked(b, made.target), header, source.open(b))
				if err != nil {
					b.Fatal(err)
				}
				defer reader.Close()
				buffer := make([]byte, 32<<10)
				perPass(b, made, kept, func() int {
					n, err := reader.Read(buffer)
					if err != nil {
						b.Fatal(err)
					}
					return n
				})
			})
		}
	}
}

// rewritten is how many bytes a client gets of a body whose objects it has.
func rewritten(b *testing.B, how setup, facts *facts, made *body) (count int) {
	stream := benchStream(b, how, facts, made, (*poolscope.Node).Open)
	for range 2 {
		out, err := stream.Push(made.bytes)
		if err != nil {
			b.Fatal(err)
		}
		count = len(out)
	}
	return count
}

// perPass reads until a client has got kept bytes for each pass over the body. The first pass is
// not measured, because its objects are new.
func perPass(b *testing.B, made *body, kept int, read func() int) {
	due := kept
	for due > 0 {
		due -= read()
	}
	perEvent(b, made, func() {
		for due += kept; due > 0; {
			due -= read()
		}
	})
}

func pieces(body []byte, size int) func(*testing.B) io.ReadCloser {
	return func(*testing.B) io.ReadCloser { return &repeated{body, 0, size} }
}

// repeated gives the same bytes again and again, in pieces of one size.
type repeated struct {
	bytes []byte
	at    int
	size  int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.bytes[r.at:min(r.at+r.size, len(r.bytes))])
	r.at = (r.at + n) % len(r.bytes)
	return n, nil
}

func (r *repeated) Close() error { return nil }

// loopback is a connection to a server that writes the same bytes again and again.
func loopback(b *testing.B, body []byte) io.ReadCloser {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		defer listener.Close()
		server, err := listener.Accept()
		if err != nil {
			return
		}
		defer server.Close()
		for err == nil {
			_, err = io.Copy(server, bytes.NewReader(body))
		}
	}()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	return client
}
