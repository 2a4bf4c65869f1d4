package clients

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// namespace is the network of one node, by the node's name.
type namespace string

// newNamespace links a node to the stage. The number is the last part of its addresses.
func newNamespace(t *testing.T, name string, number int) namespace {
	t.Helper()
	in := "-n " + name + " "
	err := ip(
		"netns add "+name,
		"link add "+name+" type veth peer name eth0 netns "+name,
		"link set "+name+" master links up",
		in+"link set lo up",
		in+fmt.Sprintf("addr add %s/24 dev eth0", nodeAddress(number)),
		in+fmt.Sprintf("addr add fd00:18::%d/64 dev eth0 nodad", number),
		in+"link set eth0 up",
		in+"route add default via 198.18.0.1",
		in+"-6 route add default via fd00:18::1",
	)
	if err != nil {
		t.Fatal(err)
	}
	// The next test has nodes of these names, too.
	t.Cleanup(func() {
		if err := ip("link del "+name, "netns del "+name); err != nil {
			t.Error(err)
		}
	})
	return namespace(name)
}

func nodeAddress(number int) string { return fmt.Sprintf("198.18.0.%d", number) }

// command is a program that will run in the namespace and end with the test.
func (n namespace) command(program string, arguments ...string) *exec.Cmd {
	arguments = append([]string{"--net=/run/netns/" + string(n), program}, arguments...)
	command := exec.Command("nsenter", arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command
}

// dial connects from the namespace. A socket stays in the namespace in which it was made.
func (n namespace) dial(ctx context.Context, network, address string) (net.Conn, error) {
	runtime.LockOSThread()
	there, err := os.Open("/run/netns/" + string(n))
	if err != nil {
		return nil, err
	}
	defer there.Close()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer here.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	connection, err := new(net.Dialer).DialContext(ctx, network, address)
	if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread stays locked, so that it ends with its goroutine.
		return nil, back
	}
	runtime.UnlockOSThread()
	return connection, err
}

// answering returns the endpoint that accepts a connection to the address, or nothing if the
// connection is refused.
func (n namespace) answering(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	connection, err := n.dial(ctx, "tcp", address)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer connection.Close()
	name, err := io.ReadAll(connection)
	return string(name), err
}

// serveEndpoints is every endpoint there is: it tells who connects which address was reached.
func serveEndpoints(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", endpointPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			io.WriteString(connection, connection.LocalAddr().String())
			connection.Close()
		}
	}()
}
