package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// command is `poolscope` with the kubeconfig of the API server; none if the program is empty.
type command struct {
	*run
	program, kubeconfig string
}

// show prints a command and its output, in which a part is expected.
func (c *command) show(wanted string, arguments ...string) {
	if c.program == "" {
		return
	}
	process := exec.CommandContext(c.ctx, c.program, arguments...)
	process.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
	var errors strings.Builder
	process.Stderr = &errors
	out, err := process.Output()
	fmt.Printf("\n$ poolscope %s\n%s", strings.Join(arguments, " "), out)
	if err != nil || !strings.Contains(string(out), wanted) {
		c.Fatalf("poolscope %v: %v, want %q: %s", arguments, err, wanted, &errors)
	}
}
