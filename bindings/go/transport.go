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

// WrapTransport returns a transport that rewrites responses for the node: for rest.Config.Wrap of
// client-go, or as http.Client.Transport. A nil base is http.DefaultTransport.
//
// Responses with endpoints are filtered. They wait, under the context of their request, until no
// fact is missing. Services, Nodes and pools are read as facts when they pass. Watches emit events
// after facts changed, also while upstream is silent. Compressed bodies are decompressed. Every
// other response is forwarded unchanged.
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

// WrappedRoundTripper returns the base transport. client-go calls it.
func (t *transport) WrappedRoundTripper() http.RoundTripper { return t.base }

// CloseIdleConnections closes the idle connections of the base transport.
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

// ModifyResponse is the ModifyResponse of an httputil.ReverseProxy in front of the API server. Its
// Rewrite has to call [Node.PrepareRequest]; errors go to its ErrorHandler.
//
// With [RetentionTopology] use [Node.WrapTransport] as the proxy's Transport instead: only a
// transport can request the lists that a stream needs.
func (n *Node) ModifyResponse(response *http.Response) error {
	return n.rewrite(response.Request, response, nil)
}

// NewReader returns the body of a 200 response as this node's client receives it. header is the
// response's; its Content-Length and Content-Encoding are removed. NewReader waits, under the
// context of the request, until no fact is missing. Closing the reader closes the body too. A
// [ReplyError] has the reply to send in place of the response.
func (n *Node) NewReader(
	request *http.Request,
	header http.Header,
	body io.ReadCloser,
) (io.ReadCloser, error) {
	response := &http.Response{StatusCode: http.StatusOK, Header: header, Body: body, Request: request}
	opened, err := n.open(request, response)
	if err != nil {
		return nil, err
	}
	switch opened.Action {
	case ActionForward:
		return body, nil
	case ActionRewrite:
		return n.read(request, response, opened.Stream, nil), nil
	default:
		return nil, &ReplyError{opened.Reply}
	}
}

// rewrite changes a response into the one that this node's client receives.
func (n *Node) rewrite(
	request *http.Request,
	response *http.Response,
	base http.RoundTripper,
) error {
	opened, err := n.open(request, response)
	if err != nil {
		return err
	}
	switch opened.Action {
	case ActionForward:
	case ActionRewrite:
		response.Body = n.read(request, response, opened.Stream, base)
	default:
		response.Body.Close()
		opened.Reply.become(response)
	}
	return nil
}

// open opens a response, and waits for missing facts.
func (n *Node) open(request *http.Request, response *http.Response) (*Opened, error) {
	header := response.Header.Clone()
	if isGzip(header) {
		// The library reads the decompressed body.
		header.Del("Content-Encoding")
	}
	var waiting *Waiting
	for {
		// Taken before opening, so that no later fact is missed.
		factsRead := n.cluster.factsRead.next()
		opened, err := n.Open(request, response.StatusCode, header)
		if err != nil || opened.Action != ActionReply || opened.Reply.Cause != CauseMissingFacts {
			return opened, err
		}
		if waiting == nil {
			waiting = &Waiting{Target: request.URL.RequestURI(), Since: time.Now()}
			defer n.waits.end(waiting)
		}
		n.waits.set(waiting, opened.Reply.Missing)
		select {
		case <-factsRead:
		case <-request.Context().Done():
			return nil, fmt.Errorf("poolscope: %s: %w", opened.Reply.Body, context.Cause(request.Context()))
		}
	}
}

// read returns a reader that pushes a response's body through a stream.
func (n *Node) read(
	request *http.Request,
	response *http.Response,
	stream *Stream,
	base http.RoundTripper,
) io.ReadCloser {
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

// plain returns a response's body decompressed, and removes its Content-Encoding.
func plain(response *http.Response) io.ReadCloser {
	if !isGzip(response.Header) {
		return response.Body
	}
	response.Header.Del("Content-Encoding")
	return &gunzip{from: response.Body}
}

// gunzip decompresses. Flushed bytes are returned at once: compress/flate returns what it has at
// each empty block.
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

// become turns a response into this reply.
func (r *Reply) become(response *http.Response) {
	header := http.Header{
		"Content-Type":   {r.ContentType},
		"Content-Length": {strconv.Itoa(len(r.Body))},
	}
	if r.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(r.RetryAfter))
	}
	response.StatusCode = r.Status
	response.Status = fmt.Sprintf("%d %s", r.Status, http.StatusText(r.Status))
	response.Header = header
	response.Body = io.NopCloser(bytes.NewReader(r.Body))
	response.ContentLength = int64(len(r.Body))
	response.TransferEncoding = nil
	response.Trailer = nil
	response.Uncompressed = false
}

// before returns the path before the API root of a list or watch of endpoints if the API server is
// behind another server: /k8s/clusters/c-1. The prefix may hold an API root too; no namespace is
// called as one of these.
func before(path string) string {
	at := 0
	for _, root := range []string{"/apis/discovery.k8s.io/", "/api/v1/"} {
		at = max(at, strings.LastIndex(path, root))
	}
	return path[:at]
}

// fetcher requests needed lists from the origin of a response, with the headers of its request.
func fetcher(
	request *http.Request,
	base http.RoundTripper,
) func(context.Context, string) (*neededList, error) {
	return func(ctx context.Context, target string) (*neededList, error) {
		list, err := request.URL.Parse(before(request.URL.EscapedPath()) + target)
		if err != nil {
			return nil, err
		}
		again := request.Clone(ctx)
		again.URL = list
		response, err := base.RoundTrip(again)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		read, err := io.ReadAll(plain(response))
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("poolscope: GET %s: %s", target, response.Status)
		}
		return &neededList{response.StatusCode, response.Header, read}, err
	}
}
