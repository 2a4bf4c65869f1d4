// Package clients runs unmodified kube-proxies and CoreDNS against a real API server, each through
// the poolscope-proxy of its node. A node is a network namespace; when the test ends, however it
// ends, nothing of it is left.
package clients

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/poolscope/poolscope/e2e/apiserver"
	"github.com/poolscope/poolscope/e2e/namespaces"
)

const (
	// Set in the process that has namespaces of its own.
	stageVariable = "POOLSCOPE_STAGE"
	// The API server's address, which it also advertises.
	apiHost = "192.0.2.10"
	// Endpoints' addresses begin with these. The stage accepts connections to each of them.
	endpoints4 = "10.0."
	endpoints6 = "fd00:10::"
)

func TestMain(m *testing.M) {
	code := 0
	var err error
	if os.Getenv(stageVariable) == "" {
		code, err = outside()
	} else if err = enter(); err == nil {
		code = m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e/clients:", err)
		code = 1
	}
	os.Exit(code)
}

// outside builds the programs and runs the stage, where there is no network.
func outside() (code int, err error) {
	if os.Getuid() != 0 {
		return 1, fmt.Errorf("this needs root: it makes network namespaces")
	}
	if _, err := apiserver.Build(); err != nil {
		return 1, err
	}
	if _, err := programs(); err != nil {
		return 1, err
	}
	return namespaces.Run(stageVariable + "=1")
}

// enter mounts what the namespaces need and makes the network: a bridge to which nodes are linked.
func enter() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	// Everything that is written to disk is under /run, in memory.
	for _, mount := range []struct{ kind, at string }{{"proc", "/proc"}, {"tmpfs", "/run"}} {
		if err := syscall.Mount(mount.kind, mount.at, mount.kind, 0, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", mount.at, err)
		}
	}
	if err := os.Mkdir("/run/tmp", 0o700); err != nil {
		return err
	}
	if err := os.Setenv("TMPDIR", "/run/tmp"); err != nil {
		return err
	}
	// A bridge without an address of its own takes that of a port, and changes it with new ports.
	return ip(
		"link set lo up",
		"addr add "+apiHost+"/32 dev lo",
		"route add local "+endpoints4+"0.0/16 dev lo",
		"-6 route add local "+endpoints6+"/64 dev lo",
		"link add links address 02:00:00:00:00:01 type bridge",
		"addr add 198.18.0.1/24 dev links",
		"addr add fd00:18::1/64 dev links nodad",
		"link set links up",
	)
}

// ip runs commands of iproute2.
func ip(commands ...string) error {
	for _, command := range commands {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", command, err, out)
		}
	}
	return nil
}
