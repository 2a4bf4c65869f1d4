// Package kubelet serves the pods of a node in the place of a kubelet, by the kubelet's own
// protocols.
package kubelet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	remotecommandconsts "k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/client-go/kubernetes"
	clientremotecommand "k8s.io/client-go/tools/remotecommand"
	"k8s.io/kubelet/pkg/cri/streaming/portforward"
	"k8s.io/kubelet/pkg/cri/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

const (
	streamIdle     = time.Minute
	streamCreation = 30 * time.Second
)

// Kubelet serves exec, attach, port-forward and logs of pods. Their containers have the programs
// `cat`, `head N`, `exit N`, and those of Prints.
type Kubelet struct {
	// A followed log writes a line for each value.
	Lines chan string
	// Prints has what a command line writes to standard output.
	Prints func(command string) (string, bool)
	server *httptest.Server
}

// Start also returns the flags by which kube-apiserver reaches it.
func Start(t apiserver.Owner, ca *apiserver.Authority) (*Kubelet, []string) {
	t.Helper()
	k := &Kubelet{
		Lines:  make(chan string),
		Prints: func(string) (string, bool) { return "", false },
	}
	handler := http.NewServeMux()
	handler.HandleFunc("/exec/{namespace}/{pod}/{container}", k.exec)
	handler.HandleFunc("/attach/{namespace}/{pod}/{container}", k.attach)
	handler.HandleFunc("/portForward/{namespace}/{pod}", k.forward)
	handler.HandleFunc("/containerLogs/{namespace}/{pod}/{container}", k.log)
	k.server = httptest.NewUnstartedServer(handler)
	k.server.TLS = ca.ServerConfig(t, "kubelet")
	k.server.TLS.NextProtos = []string{"http/1.1"}
	trusted := x509.NewCertPool()
	trusted.AddCert(ca.Certificate)
	k.server.TLS.ClientCAs, k.server.TLS.ClientAuth = trusted, tls.RequireAndVerifyClientCert
	k.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	k.server.StartTLS()
	t.Cleanup(func() {
		k.server.CloseClientConnections()
		k.server.Close()
	})
	certificate, key := ca.Issue(t, "kube-apiserver-kubelet-client")
	return k, []string{
		"--kubelet-certificate-authority", ca.File(), "--kubelet-client-certificate", certificate,
		"--kubelet-client-key", key, "--kubelet-preferred-address-types", "InternalIP",
	}
}

// Run leads kube-apiserver to this kubelet for the pod's node, and writes the pod.
func (k *Kubelet) Run(t apiserver.Owner, client kubernetes.Interface, pod *corev1.Pod) {
	t.Helper()
	_, text, err := net.SplitHostPort(k.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	nodes := client.CoreV1().Nodes()
	written, err := nodes.Get(t.Context(), pod.Spec.NodeName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	written.Status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: "127.0.0.1"},
	}
	written.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
	_, err = nodes.UpdateStatus(t.Context(), written, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pods := client.CoreV1().Pods(pod.Namespace)
	if _, err = pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (k *Kubelet) exec(w http.ResponseWriter, r *http.Request) {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, container{k}, r.PathValue("pod"), "", r.PathValue("container"),
		r.URL.Query()["command"], options, streamIdle, streamCreation,
		remotecommandconsts.SupportedStreamingProtocols)
}

func (k *Kubelet) attach(w http.ResponseWriter, r *http.Request) {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeAttach(w, r, container{k}, r.PathValue("pod"), "", r.PathValue("container"),
		options, streamIdle, streamCreation, remotecommandconsts.SupportedStreamingProtocols)
}

func (k *Kubelet) forward(w http.ResponseWriter, r *http.Request) {
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, container{k}, r.PathValue("pod"), "", options, streamIdle,
		streamCreation, portforward.SupportedProtocols)
}

func (k *Kubelet) log(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	w.(http.Flusher).Flush()
	for {
		select {
		case line, more := <-k.Lines:
			if !more {
				return
			}
			fmt.Fprintln(w, line)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// container is the process in the pod.
type container struct{ *Kubelet }

func (c container) ExecInContainer(
	_ context.Context,
	_ string,
	_ types.UID,
	_ string,
	command []string,
	in io.Reader,
	out, errors io.WriteCloser,
	_ bool,
	_ <-chan clientremotecommand.TerminalSize,
	_ time.Duration,
) error {
	if printed, has := c.Prints(strings.Join(command, " ")); has {
		_, err := io.WriteString(out, printed)
		return err
	}
	number := func() int64 {
		value, _ := strconv.ParseInt(command[1], 10, 64)
		return value
	}
	switch command[0] {
	case "cat":
		size, err := io.Copy(out, in)
		fmt.Fprintf(errors, "%d bytes", size)
		return err
	case "head":
		_, err := io.CopyN(out, in, number())
		return err
	case "exit":
		return utilexec.CodeExitError{Err: fmt.Errorf("exited"), Code: int(number())}
	}
	return fmt.Errorf("no command %s", strings.Join(command, " "))
}

func (c container) AttachContainer(
	ctx context.Context,
	name string,
	uid types.UID,
	of string,
	in io.Reader,
	out, errors io.WriteCloser,
	tty bool,
	resize <-chan clientremotecommand.TerminalSize,
) error {
	return c.ExecInContainer(ctx, name, uid, of, []string{"cat"}, in, out, errors, tty, resize, 0)
}

func (container) PortForward(
	_ context.Context,
	_ string,
	_ types.UID,
	_ int32,
	stream io.ReadWriteCloser,
) error {
	_, err := io.Copy(stream, stream)
	stream.Close()
	return err
}
