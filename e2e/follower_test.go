package e2e

import (
	"bufio"
	stdjson "encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/rest"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// follower is a reflector of kube-rs under poolscope's layer, in a process of its own
// (crates/http/examples/follower.rs). It speaks JSON: kube-rs has no protobuf.
type follower struct {
	what, node string
	in         io.Writer
	out        *bufio.Reader
}

// follow starts a follower. mode is streaming, for a WatchList, or paging, for lists.
func follow(t *testing.T, config *rest.Config, node, mode string) *follower {
	t.Helper()
	program := os.Getenv("FOLLOWER")
	if program == "" {
		t.Fatal("FOLLOWER does not name the program: `make e2e` builds it and sets the variable")
	}
	command := exec.Command(program, node, config.Host, mode)
	command.Env = append(os.Environ(), "TOKEN="+config.BearerToken)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
	what := fmt.Sprintf("kube-rs on %s, %s", node, mode)
	return &follower{what, node, in, bufio.NewReader(out)}
}

func (f *follower) of() string { return f.node }

func (f *follower) wrong(expected map[string][]discoveryv1.Endpoint) error {
	if _, err := io.WriteString(f.in, "\n"); err != nil {
		return err
	}
	line, err := f.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	var held []*discoveryv1.EndpointSlice
	if err := stdjson.Unmarshal(line, &held); err != nil {
		return err
	}
	return differ(f.what, held, expected)
}

// Reflectors of two libraries hold the same, through broken connections, restarts and compaction.
func TestReflectorsOfKubeRsHoldWhatInformersHold(t *testing.T) {
	server := apiserver.Start(t)
	w := newWorld(t, server.Config(), 3)
	var observers []*observer
	var all []holder
	for _, node := range []string{"hz-0", "cloud-0"} {
		for _, contentType := range []string{protobuf, json} {
			o := observe(t, server.Config(), node, contentType, false, "{}")
			observers, all = append(observers, o), append(all, o)
		}
		for _, mode := range []string{"streaming", "paging"} {
			all = append(all, follow(t, server.Config(), node, mode))
		}
	}
	settle(t, "at first", w, all)
	for round := range 2 {
		changes(w, 30)
		settle(t, fmt.Sprintf("after 30 changes, round %d", round), w, all)
	}
	if !testing.Short() {
		server.Restart(t)
		changes(w, 10)
		settle(t, "after a restart of the API server", w, all)
	}
	forget(t, server, w, observers)
	settle(t, "after a compaction that took the clients' versions away", w, all)
	report(t, observers)
}
