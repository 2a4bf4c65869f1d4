//go:build cgo

package poolscope

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// WrapTransport puts the node's view under an HTTP client of the API server: for rest.Config.Wrap of client-go, or as
// http.Client.Transport. A nil base is http.DefaultTransport.
//
// Responses with endpoints come filtered, and wait until enough is known to filter them, under the context of their request;
// Services, Nodes and pools that pass teach the cluster. A watch is told by itself when facts change, also while upstream is
// silent. What is compressed is decompressed. Everything else passes as it is.
func (n *Node) WrapTransport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{n, base}
}

type transport struct {
	node *Node
	base http.RoundTripper
}

// WrappedRoundTripper is the transport below, as client-go asks for it.
func (t *transport) WrappedRoundTripper() http.RoundTripper { return t.base }

// CloseIdleConnections does so below.
func (t *transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	// A transport must not change the request that it is given.
	prepared := request.Clone(request.Context())
	if err := t.node.PrepareRequest(prepared); err != nil {
		closeBody(request)
		return nil, err
	}
	response, err := t.base.RoundTrip(prepared)
	if err != nil {
		return nil, err
	}
	if err := t.node.rewrite(prepared, response, t.base); err != nil {
		response.Body.Close()
		return nil, err
	}
	response.Request = request
	return response, nil
}

func closeBody(request *http.Request) {
	if request.Body != nil {
		request.Body.Close()
	}
}

// ModifyResponse is the ModifyResponse of an httputil.ReverseProxy in front of the API server. Its Rewrite has to call
// [Node.PrepareRequest]; an error is for its ErrorHandler.
//
// With the retention topology use [Node.WrapTransport] as the proxy's Transport instead: only a transport can ask the API
// server for what a stream wants.
func (n *Node) ModifyResponse(response *http.Response) error {
	return n.rewrite(response.Request, response, nil)
}

// NewReader gives the body of a 200 response as this node's client gets it; header is the response's, and no longer tells the
// body's length or encoding. It waits, under the context of the request, until enough is known. Close it: that closes the
// body too. An [AnswerError] says that the client is to be answered otherwise.
func (n *Node) NewReader(request *http.Request, header http.Header, body io.ReadCloser) (io.ReadCloser, error) {
	response := &http.Response{StatusCode: http.StatusOK, Header: header, Body: body, Request: request}
	opened, err := n.open(request, response)
	if err != nil {
		return nil, err
	}
	switch opened.What {
	case PassThrough:
		return body, nil
	case Rewrite:
		return n.read(request, response, opened.Stream, nil), nil
	default:
		return nil, &AnswerError{opened.Answer}
	}
}

// rewrite changes a response into the one that this node's client gets.
func (n *Node) rewrite(request *http.Request, response *http.Response, base http.RoundTripper) error {
	opened, err := n.open(request, response)
	if err != nil {
		return err
	}
	switch opened.What {
	case PassThrough:
	case Rewrite:
		response.Body = n.read(request, response, opened.Stream, base)
	default:
		response.Body.Close()
		opened.Answer.become(response)
	}
	return nil
}

// open decides about a response, and waits for facts if it has to.
func (n *Node) open(request *http.Request, response *http.Response) (*Opened, error) {
	header := response.Header.Clone()
	if isGzip(header) {
		// What the library is to see is what comes out of the decompression.
		header.Del("Content-Encoding")
	}
	var waiting *Waiting
	for {
		// Taken before looking: whatever is learned from here on is noticed.
		learned := n.cluster.learned.next()
		opened, err := n.Open(request, response.StatusCode, header)
		if err != nil || opened.What != NotReady {
			return opened, err
		}
		if waiting == nil {
			waiting = &Waiting{Target: request.URL.RequestURI(), Since: time.Now()}
			defer n.waits.end(waiting)
		}
		n.waits.set(waiting, opened.Missing)
		select {
		case <-learned:
		case <-request.Context().Done():
			return nil, fmt.Errorf("poolscope: %s: %w", opened.Answer.Body, context.Cause(request.Context()))
		}
	}
}

// read puts a stream around a response's body.
func (n *Node) read(request *http.Request, response *http.Response, stream *Stream, base http.RoundTripper) io.ReadCloser {
	body := plain(response)
	response.Header.Del("Content-Length")
	response.ContentLength = -1
	r := newReader(request.Context(), n.cluster, stream, body)
	if base != nil && n.cluster.topologyRetention {
		r.fetch = fetcher(request, base)
	}
	return r
}

func isGzip(header http.Header) bool {
	return strings.EqualFold(strings.TrimSpace(header.Get("Content-Encoding")), "gzip")
}

// plain is a response's body as it was before it was compressed, if it was; its headers no longer say so.
func plain(response *http.Response) io.ReadCloser {
	if !isGzip(response.Header) {
		return response.Body
	}
	response.Header.Del("Content-Encoding")
	return &gunzip{from: response.Body}
}

// gunzip decompresses. What was flushed comes out at once: compress/flate gives what it has at each empty block.
type gunzip struct {
	from io.ReadCloser
	to   *gzip.Reader
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.to == nil {
		to, err := gzip.NewReader(g.from)
		if err != nil {
			return 0, err
		}
		g.to = to
	}
	return g.to.Read(p)
}

func (g *gunzip) Close() error { return g.from.Close() }

// become makes a response this answer.
func (a *Answer) become(response *http.Response) {
	header := http.Header{"Content-Type": {a.ContentType}, "Content-Length": {strconv.Itoa(len(a.Body))}}
	if a.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(a.RetryAfter))
	}
	response.StatusCode = a.Status
	response.Status = fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status))
	response.Header = header
	response.Body = io.NopCloser(bytes.NewReader(a.Body))
	response.ContentLength = int64(len(a.Body))
	response.TransferEncoding = nil
	response.Trailer = nil
	response.Uncompressed = false
}

// before is what stands before the API's own path where the API server is behind another server: /k8s/clusters/c-1.
func before(path string) string {
	at := -1
	for _, root := range []string{"/apis/", "/api/v1/"} {
		if found := strings.Index(path, root); found >= 0 && (at < 0 || found < at) {
			at = found
		}
	}
	return path[:max(at, 0)]
}

// fetcher lists what a stream wants where its own response came from, with the same headers.
func fetcher(request *http.Request, base http.RoundTripper) func(context.Context, string) (*supply, error) {
	return func(ctx context.Context, target string) (*supply, error) {
		wanted, err := request.URL.Parse(before(request.URL.EscapedPath()) + target)
		if err != nil {
			return nil, err
		}
		again := request.Clone(ctx)
		again.URL = wanted
		response, err := base.RoundTrip(again)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		read, err := io.ReadAll(plain(response))
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("poolscope: GET %s: %s", target, response.Status)
		}
		return &supply{response.StatusCode, response.Header, read}, err
	}
}
