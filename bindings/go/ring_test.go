package poolscope

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// pieces gives bytes in pieces of random sizes, and then an error.
type pieces struct {
	random *rand.Rand
	rest   []byte
	err    error
}

func (p *pieces) Read(into []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, p.err
	}
	n := copy(into, p.rest[:min(len(p.rest), 1+p.random.IntN(1<<p.random.IntN(18)))])
	p.rest = p.rest[n:]
	if len(p.rest) == 0 && p.random.IntN(2) == 0 {
		return n, p.err
	}
	return n, nil
}

func TestARingHandsOverAllBytesAndThenTheError(t *testing.T) {
	broken := errors.New("broken")
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 0))
		body := make([]byte, random.IntN(3<<20))
		for at := range body {
			body[at] = byte(at * at >> 7)
		}
		ring, stop := newRing(), make(chan struct{})
		source := &pieces{random: rand.New(rand.NewPCG(seed, 1)), rest: body, err: broken}
		go ring.fill(source, stop)
		var got []byte
		for {
			limit := 1 + random.IntN(1<<random.IntN(18))
			piece, err := ring.next(limit)
			if err != nil {
				if err != broken {
					t.Fatal(err)
				}
				break
			}
			if len(piece) == 0 {
				<-ring.filled
				continue
			}
			if len(piece) > limit {
				t.Fatalf("seed %d: %d bytes where %d were the limit", seed, len(piece), limit)
			}
			got = append(got, piece...)
			ring.took(len(piece))
		}
		if !bytes.Equal(got, body) {
			t.Fatalf("seed %d: %d bytes of %d, or others", seed, len(got), len(body))
		}
		close(stop)
	}
}

// endless counts what is read of it.
type endless struct{ count chan int }

func (e endless) Read(p []byte) (int, error) {
	e.count <- len(p)
	return len(p), nil
}

func TestARingThatNobodyTakesFromStopsReading(t *testing.T) {
	ring, stop, ended := newRing(), make(chan struct{}), make(chan struct{})
	source := endless{make(chan int)}
	go func() {
		ring.fill(source, stop)
		close(ended)
	}()
	read := 0
	for read <= ringSize {
		read += <-source.count
	}
	// The last of them found no room. A little room is not enough, half of the ring is.
	for taken := 0; taken < ringSize/2; {
		select {
		case <-source.count:
			t.Fatalf("read on after %d bytes were taken", taken)
		default:
		}
		piece, _ := ring.next(ringSize / 8)
		ring.took(len(piece))
		taken += len(piece)
	}
	<-source.count
	close(stop)
	for {
		select {
		case <-source.count:
			continue
		case <-ended:
		}
		return
	}
}

func TestARingThatTheReaderWaitsForHasNoMemory(t *testing.T) {
	ring, stop := newRing(), make(chan struct{})
	defer close(stop)
	upstream, server := io.Pipe()
	defer server.Close()
	go ring.fill(upstream, stop)
	for range 3 {
		go server.Write(make([]byte, 3*ringSize))
		for left := 3 * ringSize; left > 0; {
			piece, err := ring.next(ringSize)
			if err != nil {
				t.Fatal(err)
			}
			if len(piece) == 0 {
				<-ring.filled
				continue
			}
			if ring.buffer == nil {
				t.Fatal("bytes without memory")
			}
			ring.took(len(piece))
			left -= len(piece)
		}
		if _, err := ring.next(ringSize); err != nil || ring.buffer != nil {
			t.Fatal("a silent stream has a ring", err)
		}
	}
	server.Close()
	<-ring.filled
	if ring.buffer != nil {
		t.Fatal("the end of a silent stream takes a ring")
	}
	if _, err := ring.next(ringSize); err != io.EOF {
		t.Fatal(err)
	}
}
