package cilium

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// Where the proxy listens unless it is told otherwise.
	proxyPort   = "10271"
	proxyHealth = "http://127.0.0.1:10272"
	// The kubeconfig that the proxy writes for agents.
	proxyKubeconfig = "/var/run/cilium/poolscope/kubeconfig"
)

// proxy is the node's poolscope-proxy.
type proxy struct {
	t         *testing.T
	arguments []string
	log       string
	process   *exec.Cmd
}

func newProxy(t *testing.T, arguments ...string) *proxy {
	t.Helper()
	p := &proxy{t: t, arguments: arguments, log: filepath.Join(t.TempDir(), "proxy.log")}
	t.Cleanup(p.stop)
	return p
}

// launch starts the proxy, and does not wait.
func (p *proxy) launch() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.process = in(p.t, exec.Command(os.Getenv("PROXY"), p.arguments...))
	p.process.Stdout, p.process.Stderr = log, log
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// start starts the proxy and waits until it has its facts.
func (p *proxy) start() {
	p.t.Helper()
	p.launch()
	var missing string
	for end := time.Now().Add(patient); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		status, text, err := p.get("/readyz")
		if err == nil && status == http.StatusOK {
			return
		}
		missing = fmt.Sprint(text, err)
	}
	log, _ := os.ReadFile(p.log)
	p.t.Fatalf("the proxy was not ready: %s\n%s", missing, log)
}

// stop ends the proxy, as its kubelet would.
func (p *proxy) stop() {
	if p.process == nil {
		return
	}
	p.process.Process.Signal(syscall.SIGTERM)
	if err := p.process.Wait(); err != nil {
		log, _ := os.ReadFile(p.log)
		p.t.Errorf("the proxy ended with %v: %s", err, log)
	}
	p.process = nil
}

func (p *proxy) get(path string) (status int, text string, err error) {
	client := http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true},
	}
	response, err := client.Get(proxyHealth + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

var capital = regexp.MustCompile("[A-Z]")

// counters are the library's, named as in the agent's metrics.
func (p *proxy) counters() map[string]float64 {
	p.t.Helper()
	_, text, err := p.get("/counters")
	if err != nil {
		p.t.Fatal(err)
	}
	counters := map[string]float64{}
	if err := json.Unmarshal([]byte(text), &counters); err != nil {
		p.t.Fatalf("%v: %s", err, text)
	}
	for name, value := range counters {
		snake := capital.ReplaceAllStringFunc(name, func(letter string) string {
			return "_" + strings.ToLower(letter)
		})
		delete(counters, name)
		counters[snake] = value
	}
	return counters
}
