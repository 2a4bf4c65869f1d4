package cilium

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// Where the agent keeps what is not in its maps; the defaults of cilium-dbg.
	agentSocket = "/run/cilium/cilium.sock"
	shellSocket = "/run/cilium/shell.sock"
	cgroupMount = "/run/cilium/cgroupv2"
	library     = "/run/library"

	// After several failures client-go waits for up to a minute before it tries again.
	patient = 4 * time.Minute
)

// installAgent puts what the agent expects beside it where it expects it: the sources of its
// programs, and a compiler.
func installAgent() error {
	programs := os.DirFS(filepath.Join(chosen.source, "bpf"))
	if err := os.CopyFS(filepath.Join(library, "bpf"), programs); err != nil {
		return err
	}
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		return err
	}
	if err := os.Mkdir("/run/path", 0o755); err != nil {
		return err
	}
	if err := os.Symlink(clang, "/run/path/clang"); err != nil {
		return err
	}
	return os.Setenv("PATH", "/run/path:"+os.Getenv("PATH"))
}

// forget makes the node one that no agent was ever on.
func forget(t testing.TB) {
	t.Helper()
	for _, left := range []string{"/run/cilium", "/sys/fs/bpf/tc", "/sys/fs/bpf/cilium"} {
		if err := os.RemoveAll(left); err != nil {
			t.Fatal(err)
		}
	}
}

// agent is a running cilium-agent.
type agent struct {
	t       testing.TB
	process *exec.Cmd
	log     string
	ended   chan struct{}
}

// launchAgent runs the agent of a node until the test ends, or stop. It does not wait. The agent
// takes over the maps that an agent before it pinned.
func launchAgent(
	t *testing.T, variant variant, node string, with settings, environment ...string,
) *agent {
	t.Helper()
	// In a cgroup namespace, so that what it takes for the root is the test's cgroup.
	const enter = `mkdir -p "$1" && mount -t cgroup2 none "$1" && shift && exec "$@"`
	a := &agent{t: t, log: filepath.Join(t.TempDir(), "agent.log"), ended: make(chan struct{})}
	a.process = in(
		t,
		exec.Command(
			"unshare",
			append(
				[]string{"--mount", "--cgroup", "sh", "-c", enter, "sh", cgroupMount, variant.program},
				with.flags()...)...),
	)
	a.process.Env = append(os.Environ(), "K8S_NODE_NAME="+node)
	a.process.Env = append(a.process.Env, environment...)
	log, err := os.Create(a.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	a.process.Stdout, a.process.Stderr = log, log
	if err := a.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		a.process.Wait()
		close(a.ended)
	}()
	t.Cleanup(a.stop)
	return a
}

func (a *agent) healthy() error {
	_, err := a.get("/v1/healthz")
	return err
}

// stop ends the agent, as its kubelet would.
func (a *agent) stop() {
	a.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-a.ended:
	case <-time.After(20 * time.Second):
		a.process.Process.Kill()
		<-a.ended
	}
}

// eventually waits until something holds; if it never does, the end of the agent's log says why.
func (a *agent) eventually(what string, holds func() error) {
	a.t.Helper()
	var err error
	deadline := time.Now().Add(patient)
	for ; time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = holds(); err == nil {
			return
		}
		select {
		case <-a.ended:
			a.t.Fatalf("the agent ended (%v): %s", a.process.ProcessState, a.tail())
		default:
		}
	}
	a.t.Fatalf("never: the agent %s: %v\n%s", what, err, a.tail())
}

func (a *agent) tail() string {
	log, _ := os.ReadFile(a.log)
	lines := strings.Split(string(log), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// get asks the agent's API.
func (a *agent) get(path string) ([]byte, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", agentSocket)
		},
	}}
	response, err := client.Get("http://agent" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, err
}

// serviceList is what `cilium-dbg service list` prints of a Service: its backends.
func (a *agent) serviceList(service frontend) (found []string, err error) {
	body, err := a.get("/v1/service")
	if err != nil {
		return nil, err
	}
	var list []struct {
		Status struct {
			Realized struct {
				Frontend struct{ IP, Protocol string } `json:"frontend-address"`
				Backends []struct{ IP string }         `json:"backend-addresses"`
			}
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	for _, each := range list {
		if realized := each.Status.Realized; realized.Frontend.IP == service.ip.String() &&
			strings.EqualFold(realized.Frontend.Protocol, service.network) {
			for _, backend := range realized.Backends {
				found = append(found, backend.IP)
			}
		}
	}
	return found, nil
}

// shell runs a command as `cilium-dbg shell -- COMMAND` does.
func (a *agent) shell(command string) (string, error) {
	connection, err := net.DialTimeout("unix", shellSocket, time.Second)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(connection, "%s\nexit\n", command); err != nil {
		return "", err
	}
	var out bytes.Buffer
	lines := bufio.NewScanner(connection)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch line, ended := strings.CutSuffix(line, "<<end>>"); {
		case ended:
			out.WriteString(line)
			return out.String(), nil
		case strings.HasSuffix(line, "<<error>>"):
			return out.String(), fmt.Errorf("%s: %s", command, line)
		case line != "[stdout]" && line != "[stderr]":
			out.WriteString(line + "\n")
		}
	}
	return out.String(), fmt.Errorf("%s: the shell ended: %v", command, lines.Err())
}

// metrics are the agent's, as it serves them to Prometheus: those that begin so.
func (a *agent) metrics(prefix string) map[string]float64 {
	a.t.Helper()
	response, err := http.Get("http://127.0.0.1:9962/metrics")
	if err != nil {
		a.t.Fatal(err)
	}
	defer response.Body.Close()
	found := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && strings.HasPrefix(name, prefix) {
			found[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return found
}
