package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// proxyTo starts a proxy of node hz-0 whose API server is at this address.
func proxyTo(t *testing.T, address, token, ca string, more ...string) *proxy {
	t.Helper()
	folder := t.TempDir()
	p := &proxy{clientDir: filepath.Join(folder, "client"), health: apiserver.FreeAddress(t)}
	file := filepath.Join(folder, "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	p.arguments = append([]string{
		"--node", "hz-0", "--server", address, "--listen", apiserver.FreeAddress(t),
		"--health-listen", p.health, "--client-dir", p.clientDir,
		"--state-dir", filepath.Join(folder, "state"), "--token-file", file, "--ca-file", ca,
	}, more...)
	p.run(t)
	t.Cleanup(func() { p.stop(t) })
	// It may be ready before that.
	eventually(t, "the proxy wrote its kubeconfig", func() bool {
		_, err := os.Stat(filepath.Join(p.clientDir, "kubeconfig"))
		return err == nil
	})
	return p
}

// way is one way to the API server, by one version of HTTP.
type way struct {
	base, token string
	client      *http.Client
	major       int
}

func newWay(t *testing.T, base, token string, major int) *way {
	t.Helper()
	transport := &http.Transport{
		// The test compares bytes, so net/http may not ask for compression by itself.
		DisableCompression:    true,
		TLSClientConfig:       &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2:     major == 2,
		ExpectContinueTimeout: 5 * time.Second,
		WriteBufferSize:       64 << 10,
	}
	if major == 1 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	t.Cleanup(transport.CloseIdleConnections)
	never := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client := &http.Client{Transport: transport, CheckRedirect: never, Timeout: time.Minute}
	return &way{base, token, client, major}
}

// ways are the direct one and the one through the proxy.
type ways struct {
	direct, through *way
}

func newWays(t *testing.T, server *apiserver.Server, p *proxy, major int) ways {
	t.Helper()
	config := server.Config()
	return ways{
		newWay(t, config.Host, config.BearerToken, major),
		newWay(t, p.config(t, server).Host, config.BearerToken, major),
	}
}

// request is one row. NAME in its path and body is the name of a twin: one object is written
// directly, and the other one through the proxy.
type request struct {
	name, method, path string
	// Lines of "Name: value", for example two of one name.
	headers []string
	body    string
	status  int
}

// response is what the client received. An error of its body is part of it.
type response struct {
	status          int
	header, trailer http.Header
	body            string
	broken          string
}

func (w *way) send(t *testing.T, row request, twin string) response {
	t.Helper()
	target, err := url.Parse(w.base + strings.ReplaceAll(row.path, "NAME", twin))
	if err != nil {
		t.Fatal(row.name, err)
	}
	var body io.Reader
	if row.body != "" {
		body = strings.NewReader(strings.ReplaceAll(row.body, "NAME", twin))
	}
	sent, err := http.NewRequest(row.method, target.String(), body)
	if err != nil {
		t.Fatal(row.name, err)
	}
	// As it stands in the table, however unusual.
	sent.URL = target
	sent.Header.Set("Authorization", "Bearer "+w.token)
	sent.Header.Set("User-Agent", "conformance/1")
	for _, line := range row.headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Authorization" {
			sent.Header.Del(name)
		}
		sent.Header.Add(name, value)
	}
	received, err := w.client.Do(sent)
	if err != nil {
		return response{broken: "no response: " + err.Error()}
	}
	defer received.Body.Close()
	if received.ProtoMajor != w.major {
		t.Errorf("%s: HTTP/%d, not %d", row.name, received.ProtoMajor, w.major)
	}
	all, err := io.ReadAll(received.Body)
	r := response{
		status: received.StatusCode, header: received.Header, trailer: received.Trailer,
		body: string(all),
	}
	if err != nil {
		r.broken = err.Error()
	}
	return r
}

// perRequest are headers whose value is another one in each response. They must be there.
var perRequest = []string{"Date", "Audit-Id"}

// varying are the parts of an object that the API server makes anew for each.
var varying = []struct{ pattern, with string }{
	{`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`, "UID"},
	{`"resourceVersion":"\d+"`, `"resourceVersion":"V"`},
	{`resourceVersion: "\d+"`, `resourceVersion: "V"`},
	{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "TIME"},
	{`"token":"[^"]*"`, `"token":"T"`},
	{`"clusterIP":"[^"]*"`, `"clusterIP":"IP"`},
	{`"clusterIPs":\[[^]]*\]`, `"clusterIPs":["IP"]`},
}

var age = regexp.MustCompile(`"(\d+[hms])+"`)

var patterns = func() (compiled []*regexp.Regexp) {
	for _, each := range varying {
		compiled = append(compiled, regexp.MustCompile(each.pattern))
	}
	return compiled
}()

// plain replaces what differs between twins.
func plain(text, twin string) string {
	text = strings.ReplaceAll(text, twin, "NAME")
	for at, pattern := range patterns {
		text = pattern.ReplaceAllString(text, varying[at].with)
	}
	return text
}

// normal is a response without what differs between requests and between twins. With HTTP/1.1
// each hop frames a body as it likes.
func (r response) normal(twin string, major int) response {
	r.header = r.header.Clone()
	// The age of a Table's row.
	r.body = age.ReplaceAllString(r.body, `"AGE"`)
	for _, name := range perRequest {
		if r.header.Get(name) != "" {
			r.header.Set(name, "present")
		}
	}
	if twin != "" {
		r.body = plain(r.body, twin)
		for name, values := range r.header {
			for at := range values {
				r.header[name][at] = plain(values[at], twin)
			}
		}
	}
	if major == 1 || twin != "" {
		r.header.Del("Content-Length")
	}
	return r
}

func (r response) equals(other response) bool { return differences(r, other) == "" }

// differences describes how two responses differ.
func differences(got, want response) string {
	var all []string
	note := func(what string, got, want any) {
		all = append(all, fmt.Sprintf("%s: %.300v\n\tdirectly: %.300v", what, got, want))
	}
	if got.status != want.status {
		note("status", got.status, want.status)
	}
	names := slices.Sorted(maps.Keys(want.header))
	for name := range got.header {
		if _, known := want.header[name]; !known {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if !slices.Equal(got.header[name], want.header[name]) {
			note("header "+name, got.header[name], want.header[name])
		}
	}
	if !maps.EqualFunc(got.trailer, want.trailer, slices.Equal) {
		note("trailers", got.trailer, want.trailer)
	}
	if got.broken != want.broken {
		note("error", got.broken, want.broken)
	}
	if got.body != want.body {
		at := 0
		for at < min(len(got.body), len(want.body)) && got.body[at] == want.body[at] {
			at++
		}
		from := max(0, at-60)
		note(
			fmt.Sprintf("%d bytes of body, differing at %d", len(got.body), at),
			fmt.Sprintf("%.200q", got.body[from:]),
			fmt.Sprintf("%d bytes: %.200q", len(want.body), want.body[from:]),
		)
	}
	return strings.Join(all, "\n\t")
}

// read compares the responses to a row that changes nothing. The server itself writes now and then,
// so that a response counts only if the direct one was the same before and after.
func (w ways) read(t *testing.T, row request) {
	t.Helper()
	var before, got, after response
	for range 20 {
		before = w.direct.send(t, row, "").normal("", w.direct.major)
		got = w.through.send(t, row, "").normal("", w.direct.major)
		after = w.direct.send(t, row, "").normal("", w.direct.major)
		if before.equals(after) {
			break
		}
	}
	if difference := differences(after, before); difference != "" {
		t.Errorf("%s: directly it is another one each time: %s", row.name, difference)
		return
	}
	check(t, row, got, before)
}

// readPlainer compares a response with the direct one, without its length.
func (w ways) readPlainer(t *testing.T, row request) {
	t.Helper()
	row.method = http.MethodGet
	var got, direct response
	for range 20 {
		// Without Content-Length, as with HTTP/1.1.
		direct = w.direct.send(t, row, "").normal("", 1)
		got = w.through.send(t, row, "").normal("", 1)
		if got.equals(direct) {
			return
		}
	}
	t.Errorf("%s:\n\t%s", row.name, differences(got, direct))
}

// write compares the responses to a row that writes, on twins.
func (w ways) write(t *testing.T, row request, twins [2]string) {
	t.Helper()
	want := w.direct.send(t, row, twins[0]).normal(twins[0], w.direct.major)
	got := w.through.send(t, row, twins[1]).normal(twins[1], w.direct.major)
	check(t, row, got, want)
}

func check(t *testing.T, row request, got, want response) {
	t.Helper()
	if row.status != 0 && want.status != row.status {
		t.Errorf(
			"%s: the API server itself responded with %d, not %d: %s %.300s",
			row.name, want.status, row.status, want.broken, want.body,
		)
	}
	if difference := differences(got, want); difference != "" {
		t.Errorf("%s: %s %s\n\t%s", row.name, row.method, row.path, difference)
	}
	for _, name := range perRequest {
		if want.header.Get(name) != "" && got.header.Get(name) == "" {
			t.Errorf("%s: no %s", row.name, name)
		}
	}
}

func inflate(t *testing.T, body string) string {
	t.Helper()
	reader, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func repeat(text string, size int) string {
	return string(bytes.Repeat([]byte(text), size/len(text)))
}
