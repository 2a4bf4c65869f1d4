//go:build !poolscope_cgo

package poolscope

import "math"

const (
	pageSize = 1 << 16
	// 4 GiB, the limit of 32-bit addresses.
	maxPages = 1 << 16
)

// memory is the memory of a guest. It grows in a reservation, where it stays in place; or in Go's
// heap, where it may move: bytes that were lent before stay as they were then.
type memory struct {
	bytes []byte
	// Nil in Go's heap.
	reserved []byte
}

func newMemory(pages int64) (*memory, error) {
	m := &memory{reserved: reserve()}
	if m.reserved == nil {
		m.bytes = make([]byte, pages*pageSize)
		return m, nil
	}
	if err := commit(m.reserved[:pages*pageSize]); err != nil {
		unmap(m.reserved)
		return nil, err
	}
	m.bytes = m.reserved[: pages*pageSize : pages*pageSize]
	return m, nil
}

// Slice returns the memory as it is at any time.
func (m *memory) Slice() *[]byte { return &m.bytes }

// Grow adds pages, up to a number of pages. It returns the number before, or -1 if there are no
// more.
func (m *memory) Grow(delta, limit int64) int64 {
	before := int64(len(m.bytes)) / pageSize
	after := before + delta
	if delta < 0 || after > min(limit, maxPages) || after > math.MaxInt/pageSize {
		return -1
	}
	if m.reserved == nil {
		m.bytes = append(m.bytes, make([]byte, delta*pageSize)...)
		return before
	}
	if delta > 0 && commit(m.reserved[before*pageSize:after*pageSize]) != nil {
		return -1
	}
	m.bytes = m.reserved[: after*pageSize : after*pageSize]
	return before
}
