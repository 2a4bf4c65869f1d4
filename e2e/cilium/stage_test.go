// Package cilium runs the real cilium-agent against a real API server, with poolscope in the agent
// or in a proxy before it, and connects to a Service through the agent's eBPF programs. Everything
// is in namespaces of its own: when the test ends, however it ends, nothing of it is left.
package cilium

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poolscope/poolscope/e2e/apiserver"
	"github.com/poolscope/poolscope/e2e/namespaces"
)

const (
	// The role of this binary: the test itself, in its namespaces, or one of its actors.
	roleVariable = "POOLSCOPE_ROLE"
	// The cgroup that the agent's programs are attached to.
	cgroupVariable = "POOLSCOPE_CGROUP"
	cgroupPrefix   = "poolscope-e2e-"
)

// chosen is the variant that the tests run.
var chosen variant

func TestMain(m *testing.M) {
	var err error
	code := 0
	switch role := os.Getenv(roleVariable); role {
	case "":
		code, err = outside()
	case "stage":
		if chosen, err = chooseVariant(); err != nil {
			break
		}
		if err = enter(); err == nil {
			code = m.Run()
		}
	case "backend":
		err = serveName(os.Args[1])
	case "client":
		err = serveCommands(os.Stdin, os.Stdout)
	default:
		err = fmt.Errorf("unknown role %s", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e/cilium:", err)
		code = 1
	}
	os.Exit(code)
}

// outside makes the cgroups, runs the stage, and removes the cgroups again.
func outside() (code int, err error) {
	if os.Getuid() != 0 {
		return 1, fmt.Errorf("this needs root: namespaces, BPF programs and cgroups are made")
	}
	if _, err := chooseVariant(); err != nil {
		return 1, err
	}
	if _, err := apiserver.Build(); err != nil {
		return 1, err
	}
	root, err := cgroupRoot()
	if err != nil {
		return 1, err
	}
	// The remains of a killed run.
	left, _ := filepath.Glob(filepath.Join(root, cgroupPrefix+"*"))
	for _, group := range left {
		process := strings.TrimPrefix(filepath.Base(group), cgroupPrefix)
		if _, err := os.Stat("/proc/" + process); err != nil {
			removeCgroup(group)
		}
	}
	cgroup := filepath.Join(root, cgroupPrefix+fmt.Sprint(os.Getpid()))
	defer func() {
		if left := removeCgroup(cgroup); left != nil {
			code, err = 1, left
		}
	}()
	for _, group := range []string{
		cgroup, filepath.Join(cgroup, string(host)), filepath.Join(cgroup, string(container)),
	} {
		if err := os.Mkdir(group, 0o755); err != nil {
			return 1, err
		}
	}
	return namespaces.Run(roleVariable+"=stage", cgroupVariable+"="+cgroup)
}

func cgroupRoot() (string, error) {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); fields[2] == "cgroup2" {
			return fields[1], nil
		}
	}
	return "", fmt.Errorf("no cgroup2 is mounted")
}

// removeCgroup removes a cgroup of ours as soon as its processes have ended, which were killed. One
// that stays has some left.
func removeCgroup(group string) error {
	for range 100 {
		for _, each := range []string{
			filepath.Join(group, string(host)), filepath.Join(group, string(container)), group,
		} {
			os.Remove(each)
		}
		if _, err := os.Stat(group); err != nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s cannot be removed: something of the test still runs", group)
}

// enter furnishes the namespaces.
func enter() error {
	// All that is written to disk is under /run, in memory, and goes with the namespace.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, mount := range []struct{ kind, at string }{
		{"proc", "/proc"}, {"tmpfs", "/run"}, {"bpf", "/sys/fs/bpf"},
	} {
		if err := syscall.Mount(mount.kind, mount.at, mount.kind, 0, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", mount.at, err)
		}
	}
	// The agent would set the machine's.
	const settings = "/proc/sys/kernel"
	if err := syscall.Mount(settings, settings, "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	readOnly := uintptr(syscall.MS_REMOUNT | syscall.MS_BIND | syscall.MS_RDONLY)
	if err := syscall.Mount("", settings, "", readOnly, ""); err != nil {
		return err
	}
	if err := os.Mkdir("/run/tmp", 0o700); err != nil {
		return err
	}
	if err := os.Setenv("TMPDIR", "/run/tmp"); err != nil {
		return err
	}
	if err := network(); err != nil {
		return err
	}
	return installAgent()
}
