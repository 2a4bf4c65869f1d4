package poolscope

import (
	"io"
	"sync"
)

const (
	ringSize = 256 << 10
	// How much is read of upstream at once.
	readSize = 16 << 10
)

// rings has the memory of rings that are empty.
var rings = sync.Pool{New: func() any { return new([ringSize]byte) }}

// ring hands bytes from the goroutine that reads upstream (the writer) to the one in Read (the
// reader). One wakes the other only if the other waits, and the writer only once half of the ring
// is free, because waking a goroutine for every read takes longer than filtering its bytes. The
// writer reads into a buffer of its own and copies, so that an empty ring needs no memory.
type ring struct {
	mutex sync.Mutex
	// Nil where the reader waits.
	buffer *[ringSize]byte
	// Bytes ever taken and written; their places are these modulo the size.
	taken, written int
	// The error after the bytes.
	err error
	// The writer copies bytes to it.
	writing bool
	// One waits for a token.
	readerWaits, writerWaits bool

	// Tokens: there are bytes or the error; there is room. Both look again after a token.
	filled, freed chan struct{}
}

func newRing() *ring {
	return &ring{filled: make(chan struct{}, 1), freed: make(chan struct{}, 1)}
}

// fill reads upstream until it ends or stop is closed.
func (r *ring) fill(upstream io.Reader, stop <-chan struct{}) {
	buffer := make([]byte, readSize)
	for {
		n, err := upstream.Read(buffer)
		for n > 0 && !r.write(buffer[:n]) {
			select {
			case <-r.freed:
			case <-stop:
				return
			}
		}
		if err != nil {
			r.end(err)
			return
		}
	}
}

// write adds bytes. It returns false if there is no room, and freed has a token once there is.
func (r *ring) write(bytes []byte) bool {
	r.mutex.Lock()
	count := r.written - r.taken
	if count+len(bytes) > ringSize {
		r.writerWaits = true
		r.mutex.Unlock()
		return false
	}
	if r.buffer == nil {
		r.buffer = rings.Get().(*[ringSize]byte)
	}
	r.writing = true
	r.mutex.Unlock()
	// Nobody else touches this part of the ring.
	n := copy(r.buffer[r.written%ringSize:], bytes)
	copy(r.buffer[:], bytes[n:])
	r.mutex.Lock()
	r.writing = false
	r.written += len(bytes)
	r.unlock()
	return true
}

// end sets the error after the bytes.
func (r *ring) end(err error) {
	r.mutex.Lock()
	r.err = err
	r.unlock()
}

// unlock unlocks the mutex, and gives the reader a token if it waits.
func (r *ring) unlock() {
	wake := r.readerWaits
	r.readerWaits = false
	r.mutex.Unlock()
	if wake {
		give(r.filled)
	}
}

// next returns bytes that were written, at most limit, or the error after them; neither if there is
// nothing yet, which filled tells. The bytes hold until took.
func (r *ring) next(limit int) ([]byte, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	count := r.written - r.taken
	if count == 0 {
		if r.buffer != nil && !r.writing {
			rings.Put(r.buffer)
			r.buffer = nil
		}
		r.readerWaits = r.err == nil
		return nil, r.err
	}
	start := r.taken % ringSize
	return r.buffer[start:min(start+count, start+limit, ringSize)], nil
}

// took gives back the room of n bytes that next returned.
func (r *ring) took(n int) {
	r.mutex.Lock()
	r.taken += n
	wake := r.writerWaits && r.written-r.taken <= ringSize/2
	r.writerWaits = r.writerWaits && !wake
	r.mutex.Unlock()
	if wake {
		give(r.freed)
	}
}

// give leaves a token, if none is there.
func give(tokens chan struct{}) {
	select {
	case tokens <- struct{}{}:
	default:
	}
}
