package celltest

import (
	"log"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const insideVariable = "POOLSCOPE_INSIDE"

// Main is the TestMain of these tests. It runs them in a mount namespace with a bpffs of its own,
// where it may: there Cilium makes real BPF maps. Without root they are Cilium's own imitation.
func Main(m *testing.M) {
	switch {
	case os.Getuid() != 0:
		os.Exit(m.Run())
	case os.Getenv(insideVariable) == "":
		inside := exec.Command("/proc/self/exe", os.Args[1:]...)
		inside.Env = append(os.Environ(), insideVariable+"=yes")
		inside.Stdout, inside.Stderr = os.Stdout, os.Stderr
		inside.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWNS,
			Pdeathsig:  syscall.SIGKILL,
		}
		if err := inside.Run(); inside.ProcessState == nil {
			log.Fatal(err)
		}
		os.Exit(inside.ProcessState.ExitCode())
	default:
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			log.Fatal(err)
		}
		if err := syscall.Mount("bpf", "/sys/fs/bpf", "bpf", 0, ""); err != nil {
			log.Fatal(err)
		}
		os.Exit(m.Run())
	}
}
