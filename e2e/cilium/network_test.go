package cilium

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A pod's addresses: the host part is the same in both families.
func (p pod) v4() string { return "10.250." + p.host }
func (p pod) v6() string { return "fd00:250::" + strings.ReplaceAll(p.host, ".", ":") }

type pod struct{ name, node, host string }

// The pods behind the guide's Service, one on a node of each pool and one in the cloud.
var (
	hangzhou = pod{"hangzhou", "edge-hz-1", "1.10"}
	beijing  = pod{"beijing", "edge-bj-1", "2.10"}
	cloud    = pod{"cloud", "cloud-1", "3.10"}
	// Where clients are.
	client = pod{"client", "edge-hz-1", "1.20"}
)

// place is where a client is: it names its cgroup.
type place string

const (
	host      place = "host"
	container place = "container"
)

// network makes the node: a device with a default route, and a bridge with pods. Every pod can be
// reached, so it is the load balancer alone that decides.
func network() error {
	commands := []string{
		"link set lo up",
		"netns add gateway",
		"link add eth0 type veth peer name eth0 netns gateway",
		"addr add 192.168.50.11/24 dev eth0",
		"addr add fd00:50::11/64 dev eth0 nodad",
		"link set eth0 up",
		"route add default via 192.168.50.1", "-6 route add default via fd00:50::1",
		"-n gateway addr add 192.168.50.1/24 dev eth0",
		"-n gateway addr add fd00:50::1/64 dev eth0 nodad",
		"-n gateway link set eth0 up",
		"link add pods type bridge",
		"addr add 10.250.0.1/16 dev pods",
		"addr add fd00:250::1/64 dev pods nodad",
		"link set pods up",
	}
	for _, pod := range []pod{hangzhou, beijing, cloud, client} {
		in := "-n " + pod.name + " "
		commands = append(
			commands,
			"netns add "+pod.name,
			"link add "+pod.name+" type veth peer name eth0 netns "+pod.name,
			"link set "+pod.name+" master pods up",
			in+"link set lo up",
			in+"addr add "+pod.v4()+"/16 dev eth0",
			in+"addr add "+pod.v6()+"/64 dev eth0 nodad",
			in+"link set eth0 up",
			in+"route add default via 10.250.0.1",
			in+"-6 route add default via fd00:250::1",
		)
	}
	for _, command := range commands {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", command, err, out)
		}
	}
	for _, pod := range []pod{hangzhou, beijing, cloud} {
		backend := actor("backend", pod.name, pod.name)
		backend.Stderr = os.Stderr
		if err := backend.Start(); err != nil {
			return err
		}
	}
	return nil
}

// actor is this binary in another role, in a network namespace if one is named.
func actor(role, namespace string, arguments ...string) *exec.Cmd {
	self, _ := os.Executable()
	command := exec.Command(self, arguments...)
	if namespace != "" {
		command = exec.Command(
			"nsenter",
			append([]string{"--net=/run/netns/" + namespace, self}, arguments...)...)
	}
	command.Env = append(os.Environ(), roleVariable+"="+role)
	return command
}

// in puts a command into a cgroup before it starts.
func in(t *testing.T, command *exec.Cmd, group ...string) *exec.Cmd {
	t.Helper()
	directory, err := os.Open(filepath.Join(append([]string{os.Getenv(cgroupVariable)}, group...)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { directory.Close() })
	command.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(directory.Fd())}
	return command
}
