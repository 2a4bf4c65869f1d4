package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// candidate is a way to the API server; that without a process is the direct one.
type candidate struct {
	name, address string
	process       *exec.Cmd
}

func freeAddress() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer listener.Close()
	return listener.Addr().String()
}

func (c *candidate) start(program string, arguments ...string) {
	c.process = exec.Command(program, arguments...)
	c.process.Stderr = os.Stderr
	c.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(c.process.Start())
}

func (c *candidate) stop() {
	if c.process != nil {
		c.process.Process.Signal(syscall.SIGTERM)
		c.process.Wait()
	}
}

// startCandidate starts one of the candidates. It is ready when it has forwarded a list.
func startCandidate(name string, to *server, folder, certificate, key string) *candidate {
	c := &candidate{name: name, address: freeAddress()}
	switch name {
	case "direct":
		c.address = to.address
	case "poolscope-proxy":
		// States that an earlier process saved would be restored and count as memory.
		state, err := os.MkdirTemp(folder, "state")
		must(err)
		token := filepath.Join(folder, "token")
		must(os.WriteFile(token, []byte("token"), 0o600))
		c.start(*proxyProgram, "--learn-servers=false", "--node", nodeName(0), "--server", to.address,
			"--listen", c.address, "--health-listen", freeAddress(),
			"--client-dir", filepath.Join(folder, "client"),
			"--state-dir", state,
			"--token-file", token, "--ca-file", certificate)
	case "client-go types":
		var names []string
		for number := range members {
			names = append(names, nodeName(number))
		}
		c.start(*decodingProgram, "--listen", c.address, "--server", to.address,
			"--cert", certificate, "--key", key, "--members", strings.Join(names, ","))
	case "HAProxy, TCP":
		file := filepath.Join(folder, "haproxy.cfg")
		text := fmt.Sprintf("global\n maxconn 4000\ndefaults\n mode tcp\n timeout connect 5s\n"+
			" timeout client 1h\n timeout server 1h\nlisten api\n bind %s\n server api %s\n",
			c.address, to.address)
		must(os.WriteFile(file, []byte(text), 0o600))
		c.start("haproxy", "-db", "-f", file)
	}
	to.setList(jsonType, 10, 0, 2)
	client := newClient()
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		response, err := get(client, c.address, slicesPath, jsonType)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return c
			}
		}
		if time.Now().After(deadline) {
			panic(fmt.Sprintf("%s is not ready: %v", name, err))
		}
	}
}

// cpu is the processor time that the process has used.
func (c *candidate) cpu() time.Duration {
	if c.process == nil {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.process.Process.Pid))
	must(err)
	// The name of the program, in brackets, may have blanks.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	ticks := 0
	for _, field := range fields[11:13] {
		value, err := strconv.Atoi(field)
		must(err)
		ticks += value
	}
	// Linux counts in hundredths of a second there, whatever its own clock.
	return time.Duration(ticks) * 10 * time.Millisecond
}

// memory is a field of the process's status in MiB: VmRSS, or VmHWM for its highest.
func (c *candidate) memory(field string) float64 {
	if c.process == nil {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.process.Process.Pid))
	must(err)
	for _, line := range strings.Split(string(text), "\n") {
		if value, found := strings.CutPrefix(line, field+":"); found {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			must(err)
			return float64(kib) / 1024
		}
	}
	panic(field)
}

func (c *candidate) descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.process.Process.Pid))
	must(err)
	return len(entries)
}
