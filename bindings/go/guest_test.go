//go:build !poolscope_cgo

package poolscope

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/poolscope/poolscope/bindings/go/internal/guest"
)

// inUse returns how many bytes the library of a node has.
func inUse(n *Node) int { return len(n.handle.library.memory.bytes) }

// watching returns a stream over a watch, and a chunk of its body.
func watching(t *testing.T, node *Node) (*Stream, []byte) {
	t.Helper()
	request, _ := http.NewRequest(http.MethodGet, slicesPath+"?watch=true&resourceVersion=10", nil)
	header := http.Header{"Content-Type": {"application/json"}}
	opened, err := node.OpenStateless(request, http.StatusOK, header)
	if err != nil {
		t.Fatal(err)
	}
	return opened.Stream, []byte(event("MODIFIED", fmt.Sprintf(cartSlice, 12)))
}

func TestAFaultEndsTheClusterAndNothingElse(t *testing.T) {
	node, other := ready(t, ""), ready(t, "")
	stream, chunk := watching(t, node)
	before, err := stream.Push(chunk)
	if err != nil {
		t.Fatal(err)
	}
	copied := bytes.Clone(before)
	// A message at a place in the guest's memory, as its panic hook leaves it.
	library := node.handle.library
	err = library.call(100, func(*guest.Module) {
		at, n := lend(library, "the endpoint is upside down")
		library.setWord(library.panicked, at)
		library.setWord(library.panicked+4, n)
		panic("unreachable")
	})
	var fault *Error
	if !errors.As(err, &fault) || fault.Kind != ErrPanic ||
		!strings.Contains(fault.Message, "upside down") {
		t.Fatal(err)
	}
	if !bytes.Equal(before, copied) {
		t.Fatal("lent bytes changed")
	}
	for name, call := range map[string]func() error{
		"push":       func() error { _, err := stream.Push(chunk); return err },
		"refresh":    func() error { _, err := stream.Refresh(); return err },
		"judge":      func() error { _, err := node.Judge("shop", "cart", "hz-1"); return err },
		"inventory":  func() error { _, err := node.Cluster().NewInventory(); return err },
		"invalidate": func() error { return node.Cluster().InvalidateSource(KindNode) },
	} {
		if err := call(); !errors.Is(err, ErrPanic) {
			t.Fatal(name, err)
		}
	}
	if !stream.State().IsEnded || node.Ready() || node.Cluster().Counters() != nil ||
		node.Client("kubelet").Ready() {
		t.Fatal("the cluster lives")
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	stream, chunk = watching(t, other)
	if out, err := stream.Push(chunk); err != nil || len(out) == 0 {
		t.Fatal("another cluster has ended too: ", err)
	}
}

func TestAPanicOfTheGuestHasItsMessage(t *testing.T) {
	node := ready(t, "")
	library := node.handle.library
	err := library.call(100, func(m *guest.Module) {
		m.Xpoolscope_panic(lend(library, "a panic for tests"))
	})
	if !errors.Is(err, ErrPanic) || !strings.Contains(err.Error(), "a panic for tests") ||
		!strings.Contains(err.Error(), "bindings/wasm/src/lib.rs") {
		t.Fatal(err)
	}
}

func TestHandlesAreFreedInAnyOrder(t *testing.T) {
	node := ready(t, "")
	stream, chunk := watching(t, node)
	library := node.handle.library
	// As if the cleanup of the library had run before those of its handles.
	library.close()
	if _, err := stream.Push(chunk); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	stream.Close()
	library.free(handleNode, node.handle.at)
	library.close()
	for range 20 {
		node := ready(t, "")
		watching(t, node)
		node.Cluster().NewInventory()
		runtime.GC()
	}
	// Cleanups run after the collection that finds their objects.
	runtime.GC()
}

func TestMemoryGrowsInPlaceOrLeavesWhatWasLent(t *testing.T) {
	mapped, err := newMemory(2)
	if err != nil {
		t.Fatal(err)
	}
	heap := &memory{bytes: make([]byte, 2*pageSize)}
	for name, m := range map[string]*memory{"mapped": mapped, "heap": heap} {
		m.bytes[17] = 1
		lent := m.bytes[17:18]
		if before := m.Grow(3, 10); before != 2 || len(m.bytes) != 5*pageSize || m.bytes[17] != 1 ||
			lent[0] != 1 || m.bytes[5*pageSize-1] != 0 {
			t.Fatal(name, before, len(m.bytes))
		}
		if over := m.Grow(6, 10); over != -1 || len(m.bytes) != 5*pageSize {
			t.Fatal(name, over)
		}
		if none := m.Grow(0, 10); none != 5 {
			t.Fatal(name, none)
		}
	}
	if mapped.reserved != nil {
		unmap(mapped.reserved)
	}
}

func TestClustersInUseAtTheSameTimeShareNothing(t *testing.T) {
	var group sync.WaitGroup
	for range 4 {
		node := ready(t, "")
		for range 4 {
			stream, chunk := watching(t, node)
			group.Go(func() {
				defer stream.Close()
				first, err := stream.AppendPush(nil, chunk)
				for range 100 {
					again, errAgain := stream.Push(chunk)
					if err != nil || errAgain != nil || !bytes.Equal(first, again) {
						t.Error(err, errAgain)
						return
					}
					node.Describe()
				}
			})
		}
	}
	group.Wait()
}
