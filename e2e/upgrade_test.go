package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	remotecommandconsts "k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"

	"github.com/poolscope/poolscope/e2e/apiserver"
	"github.com/poolscope/poolscope/e2e/kubelet"
)

// More than the buffers on the way, in either direction.
const streamed = 6 << 20

// executors are the ways of client-go to a container.
var executors = map[string]func(*rest.Config, *url.URL) (remotecommand.Executor, error){
	"SPDY": func(config *rest.Config, to *url.URL) (remotecommand.Executor, error) {
		return remotecommand.NewSPDYExecutor(config, http.MethodPost, to)
	},
	"WebSocket": func(config *rest.Config, to *url.URL) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutor(config, http.MethodGet, to.String())
	},
	"WebSocket, version 4": func(config *rest.Config, to *url.URL) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutorForProtocols(
			config, http.MethodGet, to.String(), remotecommandconsts.StreamProtocolV4Name)
	},
}

// dialers are the ways of client-go to a port.
var dialers = map[string]func(*rest.Config, *url.URL) (httpstream.Dialer, error){
	"SPDY": func(config *rest.Config, to *url.URL) (httpstream.Dialer, error) {
		transport, upgrader, err := spdy.RoundTripperFor(config)
		if err != nil {
			return nil, err
		}
		client := &http.Client{Transport: transport}
		return spdy.NewDialer(upgrader, client, http.MethodPost, to), nil
	},
	"WebSocket": func(config *rest.Config, to *url.URL) (httpstream.Dialer, error) {
		return portforward.NewSPDYOverWebsocketDialer(to, config)
	},
}

// result is what a client had of a command.
type result struct {
	out, errors []byte
	failure     string
}

func (r result) String() string {
	return fmt.Sprintf("%d bytes, %q, %s", len(r.out), r.errors, r.failure)
}

// Streams of a pod pass through the proxy in both directions, whatever protocol carries them.
func TestUpgradesPassTheProxy(t *testing.T) {
	ca := apiserver.NewAuthority(t)
	node, flags := kubelet.Start(t, ca)
	server := apiserver.Start(t, flags...)
	w := newWorld(t, server.Config(), 10)
	node.Run(t, w.typed, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "pod"},
		Spec: corev1.PodSpec{
			NodeName: "hz-0", Containers: []corev1.Container{{Name: "main", Image: "none"}},
		},
	})
	p := proxyTo(t, server.Address(), server.Config().BearerToken, server.CAFile())
	direct, through := server.Config(), p.config(t, server)
	data := make([]byte, streamed)
	rand.New(rand.NewSource(1)).Read(data)

	for name, open := range executors {
		for _, row := range []struct {
			subresource string
			command     []string
			in          []byte
			exited      bool
		}{
			{subresource: "exec", command: []string{"cat"}, in: data},
			{subresource: "exec", command: []string{"head", fmt.Sprint(streamed)}, in: data},
			{subresource: "exec", command: []string{"exit", "7"}, exited: true},
			{subresource: "exec", command: []string{"none"}, exited: true},
			{subresource: "attach", in: data},
		} {
			if name == "WebSocket, version 4" && row.in != nil && row.command == nil ||
				name == "WebSocket, version 4" && row.command != nil && row.command[0] == "cat" {
				// It has no end of input.
				continue
			}
			what := fmt.Sprintf("%s, %s %v", name, row.subresource, row.command)
			run := func(config *rest.Config) result {
				return whole(t, what, row.in, func() result {
					return execute(t, open, config, row.subresource, row.command, row.in)
				})
			}
			want, got := run(direct), run(through)
			if got.failure != want.failure || !bytes.Equal(got.errors, want.errors) ||
				!bytes.Equal(got.out, want.out) {
				t.Errorf("%s: %v, directly %v", what, got, want)
			}
			if (want.failure != "") != row.exited ||
				row.in != nil && !bytes.Equal(want.out, row.in) {
				t.Errorf("%s, directly: %v", what, want)
			}
		}
	}
	for name, open := range dialers {
		for what, config := range map[string]*rest.Config{"directly": direct, "through": through} {
			forwardPort(t, name+", "+what, open, config, data)
		}
	}
	for what, config := range map[string]*rest.Config{"directly": direct, "through": through} {
		followLog(t, what, node, config)
	}
	refused(t, direct, through)
}

// whole runs a command again whose output ends early without an error, four times at most. Very
// seldom the end of a SPDY connection overtakes the last frames, without the proxy too: kubectl's
// output is cut then. A proxy that loses bytes loses them each time.
func whole(t *testing.T, what string, in []byte, run func() result) result {
	t.Helper()
	r := run()
	for range 4 {
		if r.failure != "" || len(r.out) >= len(in) || !bytes.HasPrefix(in, r.out) {
			break
		}
		t.Logf("%s: %v, of %d: again", what, r, len(in))
		r = run()
	}
	return r
}

func podURL(t *testing.T, config *rest.Config, subresource string, options any) *url.URL {
	t.Helper()
	request := kubernetes.NewForConfigOrDie(config).CoreV1().RESTClient().Post().
		Resource("pods").Namespace("default").Name("pod").SubResource(subresource)
	switch options := options.(type) {
	case *corev1.PodExecOptions:
		request.VersionedParams(options, scheme.ParameterCodec)
	case *corev1.PodAttachOptions:
		request.VersionedParams(options, scheme.ParameterCodec)
	}
	return request.URL()
}

func execute(
	t *testing.T,
	open func(*rest.Config, *url.URL) (remotecommand.Executor, error),
	config *rest.Config,
	subresource string,
	command []string,
	in []byte,
) result {
	t.Helper()
	var options any = &corev1.PodExecOptions{
		Container: "main", Command: command, Stdin: in != nil, Stdout: true, Stderr: true,
	}
	if subresource == "attach" {
		options = &corev1.PodAttachOptions{
			Container: "main", Stdin: true, Stdout: true, Stderr: true,
		}
	}
	executor, err := open(config, podURL(t, config, subresource, options))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errors bytes.Buffer
	streams := remotecommand.StreamOptions{Stdout: &out, Stderr: &errors}
	if in != nil {
		streams.Stdin = bytes.NewReader(in)
	}
	r := result{}
	if err := executor.StreamWithContext(ctx, streams); err != nil {
		r.failure = err.Error()
	}
	r.out, r.errors = out.Bytes(), errors.Bytes()
	return r
}

func forwardPort(
	t *testing.T,
	what string,
	open func(*rest.Config, *url.URL) (httpstream.Dialer, error),
	config *rest.Config,
	data []byte,
) {
	t.Helper()
	dialer, err := open(config, podURL(t, config, "portforward", nil))
	if err != nil {
		t.Fatal(err)
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(
		dialer, []string{"127.0.0.1"}, []string{"0:80"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("port-forward by %s: %v", what, err)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	// Two connections, one after the other, over the same upgraded one.
	for range 2 {
		connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
		if err != nil {
			t.Fatal(err)
		}
		connection.SetDeadline(time.Now().Add(time.Minute))
		go func() {
			connection.Write(data)
			connection.(*net.TCPConn).CloseWrite()
		}()
		echoed, err := io.ReadAll(connection)
		connection.Close()
		if err != nil || !bytes.Equal(echoed, data) {
			t.Errorf("port-forward by %s: %d bytes of %d, %v", what, len(echoed), len(data), err)
		}
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Errorf("port-forward by %s ended with %v", what, err)
	}
}

// followLog reads each line before the next one is written.
func followLog(t *testing.T, what string, node *kubelet.Kubelet, config *rest.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := kubernetes.NewForConfigOrDie(config).CoreV1().Pods("default").
		GetLogs("pod", &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	lines := bufio.NewScanner(stream)
	for number := range 20 {
		line := fmt.Sprintf("line %d", number)
		select {
		case node.Lines <- line:
		case <-ctx.Done():
			t.Fatalf("%s: nobody follows the log", what)
		}
		if !lines.Scan() || lines.Text() != line {
			t.Fatalf("%s: %q, not %q: %v", what, lines.Text(), line, lines.Err())
		}
	}
}

// refused compares responses to upgrades that the API server does not accept.
func refused(t *testing.T, direct, through *rest.Config) {
	t.Helper()
	for _, row := range []request{
		{
			name: "a pod that is not there",
			path: "/api/v1/namespaces/default/pods/none/exec?command=a&stdout=1",
		},
		{name: "no stream", path: "/api/v1/namespaces/default/pods/pod/exec?command=a"},
		{
			name:    "no such protocol",
			path:    "/api/v1/namespaces/default/pods/pod/exec?command=a&stdout=1",
			headers: []string{"X-Stream-Protocol-Version: none"},
		},
		{name: "a path without upgrades", path: "/api/v1/nodes"},
	} {
		row.method = http.MethodPost
		row.headers = append(row.headers, "Connection: Upgrade", "Upgrade: SPDY/3.1")
		ways{
			newWay(t, direct.Host, direct.BearerToken, 1),
			newWay(t, through.Host, direct.BearerToken, 1),
		}.read(t, row)
	}
}
