// Package namespaces runs a test binary in namespaces of its own.
package namespaces

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// Run starts this binary again in namespaces for mounts, network and processes, with more variables
// in its environment, and returns its exit code. The kernel ends all processes of a process
// namespace with its first one, and takes the mounts and devices of the others with their last.
func Run(environment ...string) (code int, err error) {
	stage := exec.Command("/proc/self/exe", os.Args[1:]...)
	stage.Env = append(os.Environ(), environment...)
	stage.Stdout, stage.Stderr = os.Stdout, os.Stderr
	stage.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	if err := stage.Start(); err != nil {
		return 1, err
	}
	go func() {
		for range signals {
			stage.Process.Kill()
		}
	}()
	stage.Wait()
	return stage.ProcessState.ExitCode(), nil
}
