package poolscope

import (
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"
)

// factSync says which requests fetch a node's facts, and reads their responses.
type factSync struct {
	cluster *Cluster
	began   time.Time
	mutex   sync.Mutex
	// Nil once it was closed.
	handle *handle
}

// factAction is what a factStep asks for. poolscope.h has the same numbers.
type factAction int

const (
	factWait     factAction = 0
	factFetch    factAction = 1
	factCancel   factAction = 2
	factFailed   factAction = 3
	factAnswered factAction = 4
)

// factStep is a step of a factSync.
type factStep struct {
	action  factAction
	id      uint64
	wait    time.Duration
	kind    FactKind
	target  string
	accept  string
	message string
}

func newFactSync(node *Node, seed uint64) (*factSync, error) {
	defer runtime.KeepAlive(node.handle)
	library := node.handle.library
	at, err := library.newFactSync(node.handle.at, seed)
	handle, err := made(library, handleFactSync, at, err)
	if err != nil {
		return nil, err
	}
	return &factSync{cluster: node.cluster, began: time.Now(), handle: handle}, nil
}

// call makes a call at a time in milliseconds.
func (f *factSync) call(call func(library *library, at pointer, now uint64) error) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.handle == nil {
		return errClosed
	}
	defer runtime.KeepAlive(f.handle)
	return call(f.handle.library, f.handle.at, uint64(time.Since(f.began).Milliseconds()))
}

func (f *factSync) leaveToClient(kind FactKind) error {
	return f.call(func(library *library, at pointer, _ uint64) error {
		return library.factSyncLeaveToClient(at, string(kind))
	})
}

func (f *factSync) require(kind FactKind) error {
	return f.call(func(library *library, at pointer, _ uint64) error {
		return library.factSyncRequire(at, string(kind))
	})
}

func (f *factSync) next() (step factStep, err error) {
	err = f.call(func(library *library, at pointer, now uint64) (err error) {
		step, err = library.factSyncNext(at, now)
		return err
	})
	return step, err
}

// head returns whether the body of a response is wanted.
func (f *factSync) head(id uint64, response *http.Response) (wanted bool, err error) {
	err = f.call(func(library *library, at pointer, now uint64) (err error) {
		head := responseHead{response.StatusCode, response.Header}
		wanted, err = library.factSyncHead(at, id, head, now)
		return err
	})
	return wanted, err
}

// push returns whether the rest of the body is wanted.
func (f *factSync) push(id uint64, chunk []byte) (wanted bool, err error) {
	err = f.call(func(library *library, at pointer, now uint64) (err error) {
		wanted, err = library.factSyncPush(at, id, chunk, now)
		return err
	})
	f.cluster.notice()
	return wanted, err
}

func (f *factSync) end(id uint64) error {
	err := f.call(func(library *library, at pointer, now uint64) error {
		return library.factSyncEnd(at, id, now)
	})
	f.cluster.notice()
	return err
}

func (f *factSync) broke(id uint64, why error) error {
	text := strings.ToValidUTF8(why.Error(), "\ufffd")
	return f.call(func(library *library, at pointer, now uint64) error {
		return library.factSyncBroke(at, id, text, now)
	})
}

func (f *factSync) close() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.handle != nil {
		f.handle.close()
		f.handle = nil
	}
}
