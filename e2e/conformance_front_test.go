package e2e

import (
	"context"
	"crypto/sha256"
	stdjson "encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// front is a server before the API server that responds to the paths under /front by itself.
type front struct {
	address string
	server  *http.Server
}

func startFront(
	t *testing.T,
	server *apiserver.Server,
	ca *apiserver.Authority,
	respond http.HandlerFunc,
) *front {
	t.Helper()
	behind, err := url.Parse(server.Config().Host)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(behind)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig.InsecureSkipVerify = true
	forward.Transport, forward.FlushInterval = transport, -1
	forward.ErrorLog = log.New(io.Discard, "", 0)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{address: listener.Addr().String()}
	f.server = &http.Server{
		TLSConfig: ca.ServerConfig(t, "front"), ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/front") {
				respond(w, r)
			} else {
				forward.ServeHTTP(w, r)
			}
		}),
	}
	go f.server.ServeTLS(listener, "", "")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if f.server.Shutdown(ctx) != nil {
			f.server.Close()
		}
		transport.CloseIdleConnections()
	})
	return f
}

// echo responds with the request as it came in.
func echo(w http.ResponseWriter, r *http.Request) {
	hash := sha256.New()
	size, err := io.Copy(hash, r.Body)
	header := r.Header.Clone()
	// These concern one connection, and a body of no bytes may be announced or not.
	header.Del("Connection")
	header.Del("Expect")
	if size == 0 {
		header.Del("Content-Length")
	}
	text, _ := stdjson.Marshal(map[string]any{
		"method": r.Method, "target": r.RequestURI, "host": r.Host, "header": header, "size": size,
		"hash": fmt.Sprintf("%x", hash.Sum(nil)), "error": err != nil, "trailer": r.Trailer,
	})
	for name, values := range map[string][]string{
		"X-Twice":                        {"a", "b"},
		"Warning":                        {`299 - "one"`, `299 - "two, with a comma"`},
		"Retry-After":                    {"7"},
		"Etag":                           {`W/"x"`},
		"Cache-Control":                  {"no-cache, private"},
		"Set-Cookie":                     {"a=1", "b=2"},
		"X-Kubernetes-Pf-Flowschema-Uid": {"1"},
	} {
		for _, value := range values {
			w.Header().Add(name, value)
		}
	}
	switch r.URL.Path {
	case "/front/trailers":
		w.Header().Set("Trailer", "X-Sum")
		w.Write(text)
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"X-Unannounced", "2")
	case "/front/short":
		w.Header().Set("Content-Length", "1000")
		w.Write(text[:10])
	case "/front/broken":
		w.Write(text)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case "/front/nothing":
		w.WriteHeader(http.StatusNoContent)
	case "/front/same":
		w.WriteHeader(http.StatusNotModified)
	case "/front/away":
		w.Header().Set("Location", "https://elsewhere.invalid/x?y=%2f")
		w.WriteHeader(http.StatusTemporaryRedirect)
	case "/front/odd":
		w.WriteHeader(599)
		w.Write(text)
	case "/front/large":
		for range 4096 {
			w.Write(make([]byte, 4096))
		}
	default:
		w.Write(text)
	}
}

// The API server gets requests as the client sent them, and the client responses of every form.
func TestConformanceOfRequests(t *testing.T) {
	server := apiserver.Start(t)
	newWorld(t, server.Config(), 9)
	ca := apiserver.NewAuthority(t)
	f := startFront(t, server, ca, echo)
	token := server.Config().BearerToken
	p := proxyTo(t, f.address, token, ca.File())
	rows := []request{
		{name: "plain", method: "GET", path: "/front"},
		{name: "escapes", method: "GET", path: "/front/a%20b/%2f%2F/%41/%c3%bc/%25"},
		{name: "odd characters", method: "GET", path: "/front/a;b=c,d/:@!$&'()*+~-_./x"},
		{name: "slashes and dots", method: "GET", path: "/front//a/./b/../c/"},
		{
			name: "a query of every kind", method: "GET",
			path: "/front?a=1&a=2&b&=c&d=%2f%zz&e=+%20;f",
		},
		{name: "an empty query", method: "GET", path: "/front?"},
		{name: "a long query", method: "GET", path: "/front?a=" + repeat("b", 50_000)},
		{name: "many headers", method: "GET", path: "/front", headers: many(60)},
		{name: "headers twice", method: "GET", path: "/front", headers: []string{
			"X-A: 1", "X-A: 2", "Accept: a/b", "Accept: c/d;q=0.5", "Impersonate-User: jane",
			"Impersonate-Group: a", "Impersonate-Group: b", "Impersonate-Extra-X%2fy: z",
		}},
		{name: "headers of proxies", method: "GET", path: "/front", headers: []string{
			"X-Forwarded-For: 192.0.2.1", "Via: 1.1 other", "Forwarded: for=192.0.2.1",
			"X-Real-Ip: 192.0.2.1", "Origin: https://example.org", "Range: bytes=0-1",
			"If-None-Match: \"x\"", "Accept-Encoding: gzip, br",
		}},
		{name: "a body", method: "POST", path: "/front", body: "text"},
		{name: "a large body", method: "PUT", path: "/front", body: repeat("x", 8<<20)},
		{name: "a body of DELETE", method: "DELETE", path: "/front", body: "text"},
		{name: "a body of GET", method: "GET", path: "/front", body: "text"},
		{name: "no method of the standard", method: "PURGE", path: "/front"},
		{
			name: "a body after 100-continue", method: "POST", path: "/front", body: "text",
			headers: []string{"Expect: 100-continue"},
		},
		{name: "no content", method: "GET", path: "/front/nothing"},
		{name: "not modified", method: "GET", path: "/front/same"},
		{name: "a redirect", method: "GET", path: "/front/away"},
		{name: "a status of no standard", method: "GET", path: "/front/odd"},
		{name: "a large response", method: "GET", path: "/front/large"},
		{name: "HEAD", method: "HEAD", path: "/front"},
		{name: "OPTIONS", method: "OPTIONS", path: "/front"},
	}
	for major := 1; major <= 2; major++ {
		t.Run(fmt.Sprintf("HTTP%d", major), func(t *testing.T) {
			ways := ways{
				newWay(t, "https://"+f.address, token, major),
				newWay(t, p.config(t, server).Host, token, major),
			}
			for _, row := range rows {
				ways.read(t, row)
			}
			if major == 2 {
				ways.read(t, request{name: "trailers", method: "GET", path: "/front/trailers"})
			}
			for _, path := range []string{"/front/short", "/front/broken"} {
				row := request{name: path, method: "GET", path: path}
				if r := ways.through.send(t, row, ""); r.broken == "" {
					t.Errorf("%s: %d bytes of a broken response look whole", path, len(r.body))
				}
			}
			// No client can name a user as a front proxy would.
			row := request{name: "a named user", method: "GET", path: "/front", headers: []string{
				"X-Remote-User: admin", "X-Remote-Group: system:masters", "X-Remote-Extra-A: b",
			}}
			if r := ways.through.send(t, row, ""); strings.Contains(r.body, "X-Remote") {
				t.Errorf("a front proxy's headers passed: %s", r.body)
			}
		})
	}
}

func many(count int) (all []string) {
	for number := range count {
		all = append(all, fmt.Sprintf("X-Number-%d: %s", number, repeat("v", 200)))
	}
	return all
}
