package e2e

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// fault forwards TCP connections to an API server, and breaks them in every way.
type fault struct {
	to, address string
	mutex       sync.Mutex
	listener    net.Listener
	pairs       map[*pair]bool
	accepted    int
}

// pair is a connection of the proxy with its one to the API server.
type pair struct {
	proxy, server *net.TCPConn
	gate          sync.Mutex
	// Unless negative: the number of further bytes from the API server. Then both connections end.
	rest int
	dead bool
}

func startFault(t *testing.T, to string) *fault {
	t.Helper()
	f := &fault{to: to, address: apiserver.FreeAddress(t), pairs: map[*pair]bool{}}
	f.listen(t)
	t.Cleanup(func() {
		f.refuse()
		f.each(func(p *pair) { p.end(false) })
	})
	return f
}

func (f *fault) listen(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	f.mutex.Lock()
	f.listener = listener
	f.mutex.Unlock()
	go func() {
		for {
			accepted, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", f.to)
			if err != nil {
				accepted.Close()
				continue
			}
			p := &pair{proxy: accepted.(*net.TCPConn), server: server.(*net.TCPConn), rest: -1}
			f.mutex.Lock()
			f.accepted++
			f.pairs[p] = true
			f.mutex.Unlock()
			go f.copy(p, p.proxy, p.server, false)
			go f.copy(p, p.server, p.proxy, true)
		}
	}()
}

func (f *fault) copy(p *pair, from, to *net.TCPConn, fromServer bool) {
	buffer := make([]byte, 32<<10)
	for {
		size, err := from.Read(buffer)
		p.gate.Lock()
		dead, rest := p.dead, p.rest
		if fromServer && rest >= 0 {
			size = min(size, rest)
		}
		if !dead && size > 0 {
			to.Write(buffer[:size])
		}
		p.gate.Unlock()
		if err != nil || fromServer && rest >= 0 {
			if dead && err != nil {
				// The other side must not notice.
				return
			}
			p.end(false)
			f.mutex.Lock()
			delete(f.pairs, p)
			f.mutex.Unlock()
			return
		}
	}
}

// end closes both connections, with RST if they are to be reset.
func (p *pair) end(reset bool) {
	if reset {
		p.proxy.SetLinger(0)
	}
	p.proxy.Close()
	p.server.Close()
}

func (f *fault) each(do func(*pair)) {
	f.mutex.Lock()
	all := make([]*pair, 0, len(f.pairs))
	for p := range f.pairs {
		all = append(all, p)
	}
	f.mutex.Unlock()
	for _, p := range all {
		do(p)
	}
}

func (f *fault) connections() int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.accepted
}

// refuse has the kernel refuse new connections.
func (f *fault) refuse() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.listener.Close()
}

func (f *fault) close() { f.each(func(p *pair) { p.end(false) }) }
func (f *fault) reset() { f.each(func(p *pair) { p.end(true) }) }

// vanish has the present connections carry nothing more, as after a route was lost.
func (f *fault) vanish() {
	f.each(func(p *pair) {
		p.gate.Lock()
		defer p.gate.Unlock()
		p.dead = true
	})
}

// cut ends connections within the next bytes that the API server sends.
func (f *fault) cut() {
	f.each(func(p *pair) {
		p.gate.Lock()
		defer p.gate.Unlock()
		p.rest = 60
	})
}

// stall holds everything back for a while.
func (f *fault) stall(length time.Duration) {
	var all []*pair
	f.each(func(p *pair) {
		p.gate.Lock()
		all = append(all, p)
	})
	time.Sleep(length)
	for _, p := range all {
		p.gate.Unlock()
	}
}
