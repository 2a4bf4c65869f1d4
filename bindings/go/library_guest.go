//go:build !poolscope_cgo

package poolscope

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/poolscope/poolscope/bindings/go/internal/guest"
)

// pointer is a place in the memory of a library.
type pointer = int32

// null is no handle.
const null pointer = 0

// library is the library translated to Go, a guest: one for each cluster, with a memory of its own,
// for one call at a time. A fault, which is a panic of the guest, ends it: every later call fails
// with the fault's error.
type library struct {
	mutex  sync.Mutex
	module *guest.Module
	memory *memory
	unmap  runtime.Cleanup
	// Where the guest puts the message of a panic.
	panicked pointer
	// Memory of the guest for the arguments of one call: where it begins, its length, and where the
	// next argument goes.
	arguments, argumentsLen, next pointer
	// The fault; after it, and after the guest was closed, nothing is called.
	over *Error
}

const (
	// The outputs of a call are before its arguments.
	outputsLen = 64
	// Space for arguments that is kept between calls.
	argumentsMin, argumentsKept = 4 << 10, 1 << 20
	// The most that one call may pass.
	argumentsMax = 1 << 30
)

func newLibrary() (*library, error) {
	memory, err := newMemory(guest.MinPages)
	if err != nil {
		return nil, &Error{
			Kind:    ErrPanic,
			Message: "no memory for a cluster: " + err.Error(),
			Offset:  NoOffset,
		}
	}
	l := &library{memory: memory}
	if memory.reserved != nil {
		l.unmap = runtime.AddCleanup(l, unmap, memory.reserved)
	}
	err = l.guarded(func() {
		l.module = guest.New(imports{memory})
		l.panicked = l.module.Xpoolscope_start(int64(rand.Uint64()))
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// imports are what the guest imports.
type imports struct{ memory *memory }

func (i imports) Xmemory() guest.Memory { return i.memory }

// close ends the guest and gives its memory back. Its handles may be freed later.
func (l *library) close() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.over, l.module = errClosed, nil
	l.memory.bytes = nil
	if l.memory.reserved != nil {
		l.unmap.Stop()
		unmap(l.memory.reserved)
		l.memory.reserved = nil
	}
}

// guarded runs calls of the guest. A panic ends the guest.
func (l *library) guarded(calls func()) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			l.over = &Error{
				Kind: ErrPanic,
				Message: "a bug in poolscope, please report it; the cluster and everything opened from " +
					"it have ended, create a new one: " + l.message(cause),
				Offset: NoOffset,
			}
			err = l.over
		}
	}()
	calls()
	return nil
}

// message returns the message of a panic.
func (l *library) message(cause any) (text string) {
	text = fmt.Sprint(cause)
	defer func() {
		// The memory may be such that the message cannot be read.
		_ = recover()
	}()
	if at, n := l.word(l.panicked), l.word(l.panicked+4); l.panicked != 0 && at != 0 {
		return string(l.bytes(at, n))
	}
	return fmt.Sprintf("%s, with %d bytes of memory", text, len(l.memory.bytes))
}

// call runs calls of the guest with room for arguments of size bytes.
func (l *library) call(size int, calls func(m *guest.Module)) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.over != nil {
		return l.over
	}
	if size > argumentsMax {
		return &Error{
			Kind:    ErrTooLarge,
			Message: fmt.Sprintf("one call passes %d bytes: at most %d are possible", size, argumentsMax),
			Offset:  NoOffset,
		}
	}
	return l.guarded(func() {
		l.makeRoom(pointer(size) + outputsLen)
		calls(l.module)
	})
}

// makeRoom begins the arguments of a call, with zeros for outputs.
func (l *library) makeRoom(size pointer) {
	if size > l.argumentsLen || l.argumentsLen > argumentsKept && size <= argumentsKept {
		l.module.Xpoolscope_memory_free(l.arguments, l.argumentsLen)
		l.argumentsLen = max(size+size/4, argumentsMin)
		l.arguments = l.module.Xpoolscope_memory_new(l.argumentsLen)
		if l.arguments == 0 {
			panic(fmt.Sprintf("no memory for arguments of %d bytes", size))
		}
	}
	l.next = l.arguments + outputsLen
	clear(l.bytes(l.arguments, outputsLen))
}

// out is the place of an output, by the number of its word.
func (l *library) out(number pointer) pointer { return l.arguments + 4*number }

// result is the word that a call wrote to an output.
func (l *library) result(number pointer) pointer { return l.word(l.out(number)) }

// bytes returns bytes of the guest's memory.
func (l *library) bytes(at, n pointer) []byte {
	begin, end := uint64(uint32(at)), uint64(uint32(at))+uint64(uint32(n))
	return l.memory.bytes[begin:end:end]
}

func (l *library) word(at pointer) pointer {
	return pointer(binary.LittleEndian.Uint32(l.bytes(at, 4)))
}

func (l *library) long(at pointer) uint64 { return binary.LittleEndian.Uint64(l.bytes(at, 8)) }

func (l *library) setWord(at, value pointer) {
	binary.LittleEndian.PutUint32(l.bytes(at, 4), uint32(value))
}

// string returns a text that ends with a NUL.
func (l *library) string(at pointer) string {
	text := l.memory.bytes[uint32(at):]
	return string(text[:bytes.IndexByte(text, 0)])
}

// copied returns the text whose place and length are the words at a place.
func (l *library) copied(at pointer) string { return string(l.bytes(l.word(at), l.word(at+4))) }

// lend copies a text or bytes into the arguments.
func lend[T string | []byte](l *library, text T) (at, n pointer) {
	at, n = l.next, pointer(len(text))
	copy(l.bytes(at, n), text)
	l.next += n
	return at, n
}

// room returns the size of headers as arguments.
func room(all func(add func(name, value string))) int {
	size := 8
	all(func(name, value string) { size += 16 + len(name) + len(value) })
	return size
}

func (r requestHead) room() int { return 24 + len(r.method) + len(r.target) + 8 + room(r.all) }

func (r responseHead) room() int { return 12 + 8 + room(r.all) }

// aligned reserves an argument that is a structure.
func (l *library) aligned(size pointer) pointer {
	at := (l.next + 7) &^ 7
	l.next = at + size
	return at
}

// lendText writes the place and length of a text.
func (l *library) lendText(to pointer, text string) {
	at, n := lend(l, text)
	l.setWord(to, at)
	l.setWord(to+4, n)
}

// lendHeaders writes the place and number of headers.
func (l *library) lendHeaders(to pointer, all func(add func(name, value string))) {
	count := pointer(0)
	all(func(string, string) { count++ })
	array := l.aligned(16 * count)
	l.setWord(to, array)
	l.setWord(to+4, count)
	all(func(name, value string) {
		l.lendText(array, name)
		l.lendText(array+8, value)
		array += 16
	})
}

func (l *library) lendRequest(head requestHead) pointer {
	at := l.aligned(24)
	l.lendText(at, head.method)
	l.lendText(at+8, head.target)
	l.lendHeaders(at+16, head.all)
	return at
}

func (l *library) lendResponse(head responseHead) pointer {
	at := l.aligned(12)
	l.setWord(at, pointer(uint16(head.status)))
	l.lendHeaders(at+4, head.all)
	return at
}

// failed converts the error of a call, which is output 0, into a Go error, and frees it.
func (l *library) failed(status int32) error {
	if status == 0 {
		return nil
	}
	from := l.result(0)
	e := &Error{
		Kind:    Kind(status),
		Message: l.string(l.module.Xpoolscope_error_message(from)),
		Offset:  uint64(l.module.Xpoolscope_error_offset(from)),
	}
	if object := l.module.Xpoolscope_error_object(from); object != 0 {
		e.Object = l.string(object)
	}
	l.module.Xpoolscope_error_free(from)
	return e
}

// try makes a call that returns a status; output 0 is its error.
func (l *library) try(size int, call func(m *guest.Module) int32) error {
	var err error
	fault := l.call(size, func(m *guest.Module) { err = l.failed(call(m)) })
	if fault != nil {
		return fault
	}
	return err
}

// made makes a call whose output 1 is a handle.
func (l *library) made(size int, call func(m *guest.Module) int32) (pointer, error) {
	var at pointer
	err := l.try(size, func(m *guest.Module) int32 {
		status := call(m)
		at = l.result(1)
		return status
	})
	return at, err
}

// text makes a call whose output 1 is a text. It copies the text and frees it.
func (l *library) text(size int, call func(m *guest.Module) int32) ([]byte, error) {
	var text []byte
	err := l.try(size, func(m *guest.Module) int32 {
		status := call(m)
		if from := l.result(1); status == 0 {
			text = bytes.Clone(l.bytes(m.Xpoolscope_text_data(from), m.Xpoolscope_text_len(from)))
			m.Xpoolscope_text_free(from)
		}
		return status
	})
	return text, err
}

// free frees a handle. It does nothing once the guest is over: its memory goes as a whole.
func (l *library) free(kind handleKind, at pointer) {
	_ = l.call(0, func(m *guest.Module) {
		switch kind {
		case handleCluster:
			m.Xpoolscope_cluster_free(at)
		case handleNode:
			m.Xpoolscope_node_free(at)
		case handleStream:
			m.Xpoolscope_stream_free(at)
		case handleFactReader:
			m.Xpoolscope_fact_reader_free(at)
		case handleFactSync:
			m.Xpoolscope_fact_sync_free(at)
		case handleInventory:
			m.Xpoolscope_inventory_free(at)
		}
	})
}

func (l *library) newCluster(config string) (pointer, error) {
	return l.made(len(config), func(m *guest.Module) int32 {
		at, n := lend(l, config)
		return m.Xpoolscope_cluster_new(at, n, l.out(1), l.out(0))
	})
}

func (l *library) node(cluster pointer, name string) pointer {
	node, _ := l.made(len(name), func(m *guest.Module) int32 {
		at, n := lend(l, name)
		return m.Xpoolscope_cluster_node(cluster, at, n, l.out(1), l.out(0))
	})
	return node
}

func (l *library) generation(cluster pointer) (generation uint64) {
	_ = l.call(0, func(m *guest.Module) {
		generation = uint64(m.Xpoolscope_cluster_generation(cluster))
	})
	return generation
}

func (l *library) counters(cluster pointer) ([]byte, error) {
	return l.text(0, func(m *guest.Module) int32 {
		return m.Xpoolscope_cluster_counters(cluster, l.out(1), l.out(0))
	})
}

func (l *library) invalidateSource(cluster pointer, kind string) error {
	return l.try(len(kind), func(m *guest.Module) int32 {
		at, n := lend(l, kind)
		return m.Xpoolscope_cluster_invalidate_source(cluster, at, n, l.out(0))
	})
}

func (l *library) readFacts(
	cluster pointer,
	request requestHead,
	response responseHead,
) (pointer, error) {
	return l.made(request.room()+response.room(), func(m *guest.Module) int32 {
		return m.Xpoolscope_cluster_read_facts(
			cluster, l.lendRequest(request), l.lendResponse(response), l.out(1), l.out(0),
		)
	})
}

func (l *library) factReaderPush(reader pointer, chunk []byte) error {
	return l.try(len(chunk), func(m *guest.Module) int32 {
		at, n := lend(l, chunk)
		return m.Xpoolscope_fact_reader_push(reader, at, n, l.out(0))
	})
}

func (l *library) factReaderFinish(reader pointer) error {
	return l.try(0, func(m *guest.Module) int32 {
		return m.Xpoolscope_fact_reader_finish(reader, l.out(0))
	})
}

func (l *library) client(node pointer, userAgent string) pointer {
	client, _ := l.made(len(userAgent), func(m *guest.Module) int32 {
		at, n := lend(l, userAgent)
		return m.Xpoolscope_node_client(node, at, n, l.out(1), l.out(0))
	})
	return client
}

func (l *library) isReady(node pointer) (ready bool) {
	_ = l.call(0, func(m *guest.Module) { ready = m.Xpoolscope_node_is_ready(node) != 0 })
	return ready
}

func (l *library) describe(node pointer) ([]byte, error) {
	return l.text(0, func(m *guest.Module) int32 {
		return m.Xpoolscope_node_describe(node, l.out(1), l.out(0))
	})
}

func (l *library) judge(node pointer, namespace, service, on string) ([]byte, error) {
	return l.text(len(namespace)+len(service)+len(on), func(m *guest.Module) int32 {
		namespaceAt, namespaceLen := lend(l, namespace)
		serviceAt, serviceLen := lend(l, service)
		onAt, onLen := lend(l, on)
		return m.Xpoolscope_node_judge(
			node, namespaceAt, namespaceLen, serviceAt, serviceLen, onAt, onLen, l.out(1), l.out(0),
		)
	})
}

func (l *library) prepare(node pointer, request requestHead) (http.Header, error) {
	var header http.Header
	err := l.try(request.room(), func(m *guest.Module) int32 {
		status := m.Xpoolscope_node_prepare(node, l.lendRequest(request), l.out(1), l.out(0))
		if from := l.result(1); status == 0 {
			header = http.Header{}
			array := l.word(from)
			for range l.word(from + 4) {
				header.Add(l.copied(array), l.copied(array+8))
				array += 16
			}
			m.Xpoolscope_headers_free(from)
		}
		return status
	})
	return header, err
}

func (l *library) open(
	node pointer,
	stateless bool,
	request requestHead,
	response responseHead,
) (action Action, stream pointer, reply *Reply, err error) {
	var decoding error
	err = l.try(request.room()+response.room(), func(m *guest.Module) int32 {
		open := m.Xpoolscope_node_open
		if stateless {
			open = m.Xpoolscope_node_open_stateless
		}
		status := open(
			node,
			l.lendRequest(request),
			l.lendResponse(response),
			l.out(1),
			l.out(2),
			l.out(3),
			l.out(0),
		)
		action, stream = Action(l.result(1)), l.result(2)
		if from := l.result(3); from != 0 {
			reply = &Reply{
				Status:      int(uint16(l.word(from))),
				RetryAfter:  int(uint32(l.word(from + 4))),
				Cause:       Cause(l.word(from + 8)),
				ContentType: l.string(l.word(from + 12)),
				Body:        bytes.Clone(l.bytes(l.word(from+16), l.word(from+20))),
			}
			decoding = json.Unmarshal([]byte(l.string(l.word(from+24))), &reply.Missing)
			m.Xpoolscope_reply_free(from)
		}
		return status
	})
	if err == nil {
		err = decoding
	}
	return action, stream, reply, err
}

// output is what the outputs of a call need between calls: nothing.
type output struct{}

// bytesOf makes a call whose outputs 1 and 2 are bytes, which the stream owns until its next call.
func (l *library) bytesOf(size int, call func(m *guest.Module) int32) ([]byte, error) {
	var out []byte
	err := l.try(size, func(m *guest.Module) int32 {
		status := call(m)
		out = l.bytes(l.result(1), l.result(2))
		return status
	})
	return out, err
}

func (l *library) push(stream pointer, chunk []byte, _ *output) ([]byte, error) {
	return l.bytesOf(len(chunk), func(m *guest.Module) int32 {
		at, n := lend(l, chunk)
		return m.Xpoolscope_stream_push(stream, at, n, l.out(1), l.out(2), l.out(0))
	})
}

func (l *library) refresh(stream pointer, _ *output) ([]byte, error) {
	return l.bytesOf(0, func(m *guest.Module) int32 {
		return m.Xpoolscope_stream_refresh(stream, l.out(1), l.out(2), l.out(0))
	})
}

func (l *library) finish(stream pointer, _ *output) ([]byte, error) {
	return l.bytesOf(0, func(m *guest.Module) int32 {
		return m.Xpoolscope_stream_finish(stream, l.out(1), l.out(2), l.out(0))
	})
}

func (l *library) provideList(
	stream pointer,
	response responseHead,
	body []byte,
	_ *output,
) ([]byte, error) {
	return l.bytesOf(response.room()+len(body), func(m *guest.Module) int32 {
		head := l.lendResponse(response)
		at, n := lend(l, body)
		return m.Xpoolscope_stream_provide_list(stream, head, at, n, l.out(1), l.out(2), l.out(0))
	})
}

func (l *library) neededLists(stream pointer) ([]byte, error) {
	return l.text(0, func(m *guest.Module) int32 {
		return m.Xpoolscope_stream_needed_lists(stream, l.out(1), l.out(0))
	})
}

func (l *library) state(stream pointer) StreamState {
	state := StreamState{IsEnded: true}
	_ = l.call(0, func(m *guest.Module) {
		at := l.arguments
		m.Xpoolscope_stream_get_state(at, stream)
		flags := l.bytes(at+16, 3)
		state = StreamState{
			BytesIn:      l.long(at),
			BytesOut:     l.long(at + 8),
			IsWatch:      flags[0] != 0,
			NeedsRefresh: flags[1] != 0,
			IsEnded:      flags[2] != 0,
		}
	})
	return state
}

func (l *library) newInventory() (pointer, error) {
	return l.made(0, func(m *guest.Module) int32 {
		return m.Xpoolscope_inventory_new(l.out(1), l.out(0))
	})
}

func (l *library) inventoryLoad(inventory pointer, body []byte) error {
	return l.try(len(body), func(m *guest.Module) int32 {
		at, n := lend(l, body)
		return m.Xpoolscope_inventory_load(inventory, at, n, null, l.out(0))
	})
}

func (l *library) inventoryView(inventory, node pointer) ([]byte, error) {
	return l.text(0, func(m *guest.Module) int32 {
		return m.Xpoolscope_inventory_view(inventory, node, l.out(1), l.out(0))
	})
}

func (l *library) inventoryFind(
	inventory, node pointer,
	namespace, service string,
) ([]byte, error) {
	return l.text(len(namespace)+len(service), func(m *guest.Module) int32 {
		namespaceAt, namespaceLen := lend(l, namespace)
		serviceAt, serviceLen := lend(l, service)
		return m.Xpoolscope_inventory_find(
			inventory, node, namespaceAt, namespaceLen, serviceAt, serviceLen, l.out(1), l.out(0),
		)
	})
}

func (l *library) newFactSync(node pointer, seed uint64) (pointer, error) {
	return l.made(0, func(m *guest.Module) int32 {
		return m.Xpoolscope_fact_sync_new(node, int64(seed), l.out(1), l.out(0))
	})
}

func (l *library) factSyncLeaveToClient(sync pointer, kind string) error {
	return l.try(len(kind), func(m *guest.Module) int32 {
		at, n := lend(l, kind)
		return m.Xpoolscope_fact_sync_leave_to_client(sync, at, n, l.out(0))
	})
}

func (l *library) factSyncRequire(sync pointer, kind string) error {
	return l.try(len(kind), func(m *guest.Module) int32 {
		at, n := lend(l, kind)
		return m.Xpoolscope_fact_sync_require(sync, at, n, l.out(0))
	})
}

func (l *library) factSyncNext(sync pointer, now uint64) (step factStep, err error) {
	const size = 56
	err = l.try(size+8, func(m *guest.Module) int32 {
		at := l.aligned(size)
		status := m.Xpoolscope_fact_sync_next(sync, int64(now), at, l.out(0))
		if status == 0 {
			step = factStep{
				action:  factAction(l.word(at)),
				id:      l.long(at + 8),
				wait:    time.Duration(min(l.long(at+16), 1<<32)) * time.Millisecond,
				kind:    FactKind(l.copied(at + 24)),
				target:  l.copied(at + 32),
				accept:  l.copied(at + 40),
				message: l.copied(at + 48),
			}
		}
		return status
	})
	return step, err
}

// wanted makes a call whose output 1 is a bool.
func (l *library) wanted(size int, call func(m *guest.Module) int32) (wanted bool, err error) {
	err = l.try(size, func(m *guest.Module) int32 {
		status := call(m)
		wanted = l.bytes(l.out(1), 1)[0] != 0
		return status
	})
	return wanted, err
}

func (l *library) factSyncHead(
	sync pointer,
	id uint64,
	head responseHead,
	now uint64,
) (bool, error) {
	return l.wanted(head.room(), func(m *guest.Module) int32 {
		return m.Xpoolscope_fact_sync_head(
			sync, int64(id), l.lendResponse(head), int64(now), l.out(1), l.out(0),
		)
	})
}

func (l *library) factSyncPush(sync pointer, id uint64, chunk []byte, now uint64) (bool, error) {
	return l.wanted(len(chunk), func(m *guest.Module) int32 {
		at, n := lend(l, chunk)
		return m.Xpoolscope_fact_sync_push(
			sync, int64(id), at, n, int64(now), l.out(1), l.out(0),
		)
	})
}

func (l *library) factSyncEnd(sync pointer, id, now uint64) error {
	return l.try(0, func(m *guest.Module) int32 {
		return m.Xpoolscope_fact_sync_end(sync, int64(id), int64(now), l.out(0))
	})
}

func (l *library) factSyncBroke(sync pointer, id uint64, why string, now uint64) error {
	return l.try(len(why), func(m *guest.Module) int32 {
		at, n := lend(l, why)
		return m.Xpoolscope_fact_sync_broke(sync, int64(id), at, n, int64(now), l.out(0))
	})
}
