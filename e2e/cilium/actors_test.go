package cilium

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	port = 3000
	// How long a connection may take.
	answerWithin = 2 * time.Second
	// Between two connections of a prober.
	probeEvery = 2 * time.Millisecond
)

// serveName says who it is to whoever connects, over TCP and UDP.
func serveName(name string) error {
	packets, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	go func() {
		buffer := make([]byte, 100)
		for {
			_, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			packets.WriteTo([]byte(name), from)
		}
	}()
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer connection.Close()
			io.WriteString(connection, name+"\n")
			// The client closes first, so that nothing lingers here.
			io.Copy(io.Discard, connection)
		}()
	}
}

// A command to a client, and its answers.
type order struct {
	// dial: so many connections, and the counts. probe: connections until stop, and all of them.
	Do, Network, To string
	Count           int
}

type answer struct {
	Counts  map[string]int
	Samples []sample
}

// sample is one connection of a prober.
type sample struct {
	Begin, End time.Time
	// The backend's name, or the error.
	Said string
}

// serveCommands is a client: it takes orders as JSON.
func serveCommands(orders io.Reader, answers io.Writer) error {
	in, out := json.NewDecoder(orders), json.NewEncoder(answers)
	var probing sync.WaitGroup
	var mutex sync.Mutex
	var samples []sample
	stop := make(chan struct{})
	for {
		var order order
		if err := in.Decode(&order); err != nil {
			return nil
		}
		reply := answer{Counts: map[string]int{}}
		switch order.Do {
		case "dial":
			for range order.Count {
				reply.Counts[dial(order.Network, order.To)]++
			}
		case "probe":
			probing.Go(func() {
				for {
					begin := time.Now()
					said := dial(order.Network, order.To)
					mutex.Lock()
					samples = append(samples, sample{begin, time.Now(), said})
					mutex.Unlock()
					select {
					case <-time.After(probeEvery):
					case <-stop:
						return
					}
				}
			})
		case "stop":
			close(stop)
			probing.Wait()
			reply.Samples, samples, stop = samples, nil, make(chan struct{})
		}
		if err := out.Encode(reply); err != nil {
			return err
		}
	}
}

// dial connects once, and says who answered.
func dial(network, to string) string {
	connection, err := net.DialTimeout(network, to, answerWithin)
	if err == nil {
		defer connection.Close()
		if tcp, ok := connection.(*net.TCPConn); ok {
			// Reset instead of waiting: thousands of connections follow.
			tcp.SetLinger(0)
		}
		connection.SetDeadline(time.Now().Add(answerWithin))
		if network == "udp" {
			_, err = connection.Write([]byte("who"))
		}
		var n int
		buffer := make([]byte, 100)
		if err == nil {
			if n, err = connection.Read(buffer); err == nil {
				return string(trimmed(buffer[:n]))
			}
		}
	}
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.As(err, &errno):
		return "error: " + errno.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "error: timeout"
	default:
		return "error: " + err.Error()
	}
}

func trimmed(line []byte) []byte {
	if len(line) > 0 && line[len(line)-1] == '\n' {
		return line[:len(line)-1]
	}
	return line
}

// clients are processes that connect, one in each place.
type clients map[place]*dialler

type dialler struct {
	t   *testing.T
	in  *json.Encoder
	out *json.Decoder
}

func newClients(t *testing.T) clients {
	all := clients{}
	for where, namespace := range map[place]string{host: "", container: client.name} {
		all[where] = newDialler(t, actor("client", namespace), where)
	}
	return all
}

func newDialler(t *testing.T, command *exec.Cmd, where place) *dialler {
	in := in(t, command, string(where))
	orders, err := in.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := in.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Start(); err != nil {
		t.Fatal(err)
	}
	return &dialler{t, json.NewEncoder(orders), json.NewDecoder(answers)}
}

func (d *dialler) order(order order) (answer answer) {
	d.t.Helper()
	if err := d.in.Encode(order); err != nil {
		d.t.Fatal(err)
	}
	if err := d.out.Decode(&answer); err != nil {
		d.t.Fatal(err)
	}
	return answer
}

// dial connects so many times, and counts who answered.
func (d *dialler) dial(service frontend, count int) map[string]int {
	d.t.Helper()
	return d.order(order{"dial", service.network, service.address().String(), count}).Counts
}

// probe connects until stop, which gives every connection.
func (d *dialler) probe(service frontend) {
	d.t.Helper()
	d.order(order{Do: "probe", Network: service.network, To: service.address().String()})
}

func (d *dialler) stop() []sample {
	d.t.Helper()
	return d.order(order{Do: "stop"}).Samples
}

// frontend is one way to the Service.
type frontend struct {
	network string
	ip      netip.Addr
}

func (f frontend) address() netip.AddrPort { return netip.AddrPortFrom(f.ip, port) }
func (f frontend) String() string          { return f.network + " " + f.address().String() }
