package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// proxy is the poolscope-proxy of hz-edge-1.
type proxy struct {
	owner                *run
	program              string
	arguments            []string
	address, health, log string
	clientDir            string
	process              *exec.Cmd
	// Closed when the process has ended.
	ended chan struct{}
}

func startProxy(r *run, program string, server *apiserver.Server) *proxy {
	p := &proxy{
		owner: r, program: program, address: apiserver.FreeAddress(r), health: apiserver.FreeAddress(r),
		log:       filepath.Join(r.folder, "poolscope-proxy.log"),
		clientDir: filepath.Join(r.folder, "client"),
	}
	p.arguments = []string{
		"--node", "hz-edge-1", "--server", server.Address(),
		// The API server publishes an address that is not on this machine.
		"--learn-servers=false",
		"--listen", p.address, "--health-listen", p.health,
		"--client-dir", p.clientDir, "--state-dir", filepath.Join(r.folder, "state"),
		"--token-file", r.secret("token", server.Config().BearerToken),
		"--ca-file", server.CAFile(),
	}
	p.run()
	r.Cleanup(p.stop)
	return p
}

func (p *proxy) kubeconfig() string { return filepath.Join(p.clientDir, "kubeconfig") }

// run starts the proxy and waits until it is ready.
func (p *proxy) run() {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	p.owner.must(err)
	defer log.Close()
	process := exec.Command(p.program, p.arguments...)
	process.Stdout, process.Stderr = log, log
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.owner.must(process.Start())
	ended := make(chan struct{})
	go func() {
		process.Wait()
		close(ended)
	}()
	p.process, p.ended = process, ended
	client := &http.Client{Timeout: 2 * time.Second}
	p.owner.await("poolscope-proxy is ready", func() error {
		select {
		case <-ended:
			content, _ := os.ReadFile(p.log)
			p.owner.Fatalf("poolscope-proxy ended (%v): %s", process.ProcessState, content)
		default:
		}
		response, err := client.Get("http://" + p.health + "/readyz")
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz: %s", response.Status)
		}
		return nil
	})
}

// stop ends the proxy as a kubelet does.
func (p *proxy) stop() {
	p.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.process.Process.Kill()
		<-p.ended
	}
}

// await asks again until there is no error.
func (r *run) await(what string, failure func() error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := failure()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("not within %v: %s: %v", patience, what, err)
		}
	}
}
