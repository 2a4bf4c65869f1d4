//go:build poolscope_cgo

package poolscope

/*
#include <poolscope.h>
*/
import "C"

import (
	"encoding/json"
	"net/http"
	"runtime"
	"time"
	"unsafe"
)

// pointer is a handle of the library.
type pointer = unsafe.Pointer

// null is no handle.
var null pointer

// library is the linked library. Handles of all clusters are in the memory of the process; a value
// tells the handles of one cluster from those of others.
type library struct{ _ byte }

func newLibrary() (*library, error) { return new(library), nil }

func (*library) close() {}

func (*library) free(kind handleKind, at pointer) {
	switch kind {
	case handleCluster:
		C.poolscope_cluster_free((*C.poolscope_cluster)(at))
	case handleNode:
		C.poolscope_node_free((*C.poolscope_node)(at))
	case handleStream:
		C.poolscope_stream_free((*C.poolscope_stream)(at))
	case handleFactReader:
		C.poolscope_fact_reader_free((*C.poolscope_fact_reader)(at))
	case handleFactSync:
		C.poolscope_fact_sync_free((*C.poolscope_fact_sync)(at))
	case handleInventory:
		C.poolscope_inventory_free((*C.poolscope_inventory)(at))
	}
}

// text lends a string to a call, which does not keep it.
func text(s string) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))
}

// data lends bytes to a call, which does not keep them.
func data(b []byte) (*C.uint8_t, C.size_t) {
	return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(b))), C.size_t(len(b))
}

// failed converts the error of a call into a Go error, and frees it.
func failed(status C.poolscope_status, from *C.poolscope_error) error {
	if status == C.POOLSCOPE_OK {
		return nil
	}
	defer C.poolscope_error_free(from)
	e := &Error{
		Kind:    Kind(status),
		Message: C.GoString(C.poolscope_error_message(from)),
		Offset:  uint64(C.poolscope_error_offset(from)),
	}
	if object := C.poolscope_error_object(from); object != nil {
		e.Object = C.GoString(object)
	}
	return e
}

// taken copies a text of a call, and frees it.
func taken(
	status C.poolscope_status,
	from *C.poolscope_text,
	e *C.poolscope_error,
) ([]byte, error) {
	if err := failed(status, e); err != nil {
		return nil, err
	}
	defer C.poolscope_text_free(from)
	at := unsafe.Pointer(C.poolscope_text_data(from))
	return C.GoBytes(at, C.int(C.poolscope_text_len(from))), nil
}

func copied(at *C.char, n C.size_t) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(at)), int(n)))
}

// exchange lends a request and the head of its response to one call. Release it after the call.
type exchange struct {
	pinner   runtime.Pinner
	request  C.poolscope_request
	response C.poolscope_response
}

func (x *exchange) release() { x.pinner.Unpin() }

// text pins a string for the call.
func (x *exchange) text(s string) (*C.char, C.size_t) {
	if s == "" {
		return nil, 0
	}
	at := unsafe.StringData(s)
	x.pinner.Pin(at)
	return (*C.char)(unsafe.Pointer(at)), C.size_t(len(s))
}

// headers pins an array of headers for the call.
func (x *exchange) headers(all func(add func(name, value string))) (*C.poolscope_header, C.size_t) {
	var headers []C.poolscope_header
	all(func(name, value string) {
		var h C.poolscope_header
		h.name, h.name_len = x.text(name)
		h.value, h.value_len = x.text(value)
		headers = append(headers, h)
	})
	if len(headers) == 0 {
		return nil, 0
	}
	x.pinner.Pin(&headers[0])
	return &headers[0], C.size_t(len(headers))
}

func (x *exchange) lendRequest(head requestHead) {
	x.request.method, x.request.method_len = x.text(head.method)
	x.request.target, x.request.target_len = x.text(head.target)
	x.request.headers, x.request.header_count = x.headers(head.all)
}

func (x *exchange) lendResponse(head responseHead) {
	x.response.http_status = C.uint16_t(head.status)
	x.response.headers, x.response.header_count = x.headers(head.all)
}

func (*library) newCluster(config string) (pointer, error) {
	var made *C.poolscope_cluster
	var e *C.poolscope_error
	at, n := text(config)
	err := failed(C.poolscope_cluster_new(at, n, &made, &e), e)
	return pointer(made), err
}

func (*library) node(cluster pointer, name string) pointer {
	var made *C.poolscope_node
	at, n := text(name)
	C.poolscope_cluster_node((*C.poolscope_cluster)(cluster), at, n, &made, nil)
	return pointer(made)
}

func (*library) generation(cluster pointer) uint64 {
	return uint64(C.poolscope_cluster_generation((*C.poolscope_cluster)(cluster)))
}

func (*library) counters(cluster pointer) ([]byte, error) {
	var made *C.poolscope_text
	var e *C.poolscope_error
	status := C.poolscope_cluster_counters((*C.poolscope_cluster)(cluster), &made, &e)
	return taken(status, made, e)
}

func (*library) invalidateSource(cluster pointer, kind string) error {
	var e *C.poolscope_error
	at, n := text(kind)
	return failed(
		C.poolscope_cluster_invalidate_source((*C.poolscope_cluster)(cluster), at, n, &e),
		e,
	)
}

func (*library) readFacts(
	cluster pointer,
	request requestHead,
	response responseHead,
) (pointer, error) {
	x := new(exchange)
	defer x.release()
	x.lendRequest(request)
	x.lendResponse(response)
	var made *C.poolscope_fact_reader
	var e *C.poolscope_error
	err := failed(
		C.poolscope_cluster_read_facts(
			(*C.poolscope_cluster)(cluster), &x.request, &x.response, &made, &e,
		),
		e,
	)
	return pointer(made), err
}

func (*library) factReaderPush(reader pointer, chunk []byte) error {
	var e *C.poolscope_error
	at, n := data(chunk)
	return failed(C.poolscope_fact_reader_push((*C.poolscope_fact_reader)(reader), at, n, &e), e)
}

func (*library) factReaderFinish(reader pointer) error {
	var e *C.poolscope_error
	return failed(C.poolscope_fact_reader_finish((*C.poolscope_fact_reader)(reader), &e), e)
}

func (*library) client(node pointer, userAgent string) pointer {
	var made *C.poolscope_node
	at, n := text(userAgent)
	C.poolscope_node_client((*C.poolscope_node)(node), at, n, &made, nil)
	return pointer(made)
}

func (*library) isReady(node pointer) bool {
	return bool(C.poolscope_node_is_ready((*C.poolscope_node)(node)))
}

func (*library) describe(node pointer) ([]byte, error) {
	var made *C.poolscope_text
	var e *C.poolscope_error
	status := C.poolscope_node_describe((*C.poolscope_node)(node), &made, &e)
	return taken(status, made, e)
}

func (*library) judge(node pointer, namespace, service, on string) ([]byte, error) {
	var made *C.poolscope_text
	var e *C.poolscope_error
	namespaceAt, namespaceLen := text(namespace)
	serviceAt, serviceLen := text(service)
	onAt, onLen := text(on)
	status := C.poolscope_node_judge(
		(*C.poolscope_node)(node),
		namespaceAt, namespaceLen, serviceAt, serviceLen, onAt, onLen,
		&made, &e,
	)
	return taken(status, made, e)
}

func (*library) prepare(node pointer, request requestHead) (http.Header, error) {
	x := new(exchange)
	defer x.release()
	x.lendRequest(request)
	var made *C.poolscope_headers
	var e *C.poolscope_error
	status := C.poolscope_node_prepare((*C.poolscope_node)(node), &x.request, &made, &e)
	if err := failed(status, e); err != nil {
		return nil, err
	}
	defer C.poolscope_headers_free(made)
	header := http.Header{}
	for _, h := range unsafe.Slice(made.data, int(made.count)) {
		header.Add(copied(h.name, h.name_len), copied(h.value, h.value_len))
	}
	return header, nil
}

func (*library) open(
	node pointer,
	stateless bool,
	request requestHead,
	response responseHead,
) (Action, pointer, *Reply, error) {
	x := new(exchange)
	defer x.release()
	x.lendRequest(request)
	x.lendResponse(response)
	var action C.poolscope_action
	var stream *C.poolscope_stream
	var reply *C.poolscope_reply
	var e *C.poolscope_error
	var status C.poolscope_status
	n := (*C.poolscope_node)(node)
	if stateless {
		status = C.poolscope_node_open_stateless(
			n, &x.request, &x.response, &action, &stream, &reply, &e,
		)
	} else {
		status = C.poolscope_node_open(n, &x.request, &x.response, &action, &stream, &reply, &e)
	}
	if err := failed(status, e); err != nil {
		return ActionReply, nil, nil, err
	}
	if reply == nil {
		return Action(action), pointer(stream), nil, nil
	}
	defer C.poolscope_reply_free(reply)
	copy := &Reply{
		Status:      int(reply.http_status),
		RetryAfter:  int(reply.retry_after),
		ContentType: C.GoString(reply.content_type),
		Body:        C.GoBytes(unsafe.Pointer(reply.body), C.int(reply.body_len)),
		Cause:       Cause(reply.cause),
	}
	err := json.Unmarshal([]byte(C.GoString(reply.missing)), &copy.Missing)
	return Action(action), nil, copy, err
}

// output are the outputs of a call on a stream.
type output struct{ at *outputs }

// outputs are in the heap, because C gets pointers to them.
type outputs struct {
	out   *C.uint8_t
	len   C.size_t
	error *C.poolscope_error
}

func (o *output) places() *outputs {
	if o.at == nil {
		o.at = new(outputs)
	}
	return o.at
}

// bytes returns the bytes of a call, which the stream owns until its next call.
func (o *outputs) bytes(status C.poolscope_status) ([]byte, error) {
	err := failed(status, o.error)
	return unsafe.Slice((*byte)(unsafe.Pointer(o.out)), int(o.len)), err
}

func (*library) push(stream pointer, chunk []byte, to *output) ([]byte, error) {
	o := to.places()
	at, n := data(chunk)
	return o.bytes(
		C.poolscope_stream_push((*C.poolscope_stream)(stream), at, n, &o.out, &o.len, &o.error),
	)
}

func (*library) refresh(stream pointer, to *output) ([]byte, error) {
	o := to.places()
	return o.bytes(
		C.poolscope_stream_refresh((*C.poolscope_stream)(stream), &o.out, &o.len, &o.error),
	)
}

func (*library) finish(stream pointer, to *output) ([]byte, error) {
	o := to.places()
	return o.bytes(
		C.poolscope_stream_finish((*C.poolscope_stream)(stream), &o.out, &o.len, &o.error),
	)
}

func (*library) provideList(
	stream pointer,
	response responseHead,
	body []byte,
	to *output,
) ([]byte, error) {
	x := new(exchange)
	defer x.release()
	x.lendResponse(response)
	o := to.places()
	at, n := data(body)
	return o.bytes(C.poolscope_stream_provide_list(
		(*C.poolscope_stream)(stream), &x.response, at, n, &o.out, &o.len, &o.error,
	))
}

func (*library) neededLists(stream pointer) ([]byte, error) {
	var made *C.poolscope_text
	var e *C.poolscope_error
	status := C.poolscope_stream_needed_lists((*C.poolscope_stream)(stream), &made, &e)
	return taken(status, made, e)
}

func (*library) state(stream pointer) StreamState {
	state := C.poolscope_stream_get_state((*C.poolscope_stream)(stream))
	return StreamState{
		BytesIn:      uint64(state.bytes_in),
		BytesOut:     uint64(state.bytes_out),
		IsWatch:      bool(state.is_watch),
		NeedsRefresh: bool(state.needs_refresh),
		IsEnded:      bool(state.is_ended),
	}
}

func (*library) newInventory() (pointer, error) {
	var made *C.poolscope_inventory
	var e *C.poolscope_error
	err := failed(C.poolscope_inventory_new(&made, &e), e)
	return pointer(made), err
}

func (*library) inventoryLoad(inventory pointer, body []byte) error {
	var e *C.poolscope_error
	at, n := data(body)
	return failed(
		C.poolscope_inventory_load((*C.poolscope_inventory)(inventory), at, n, nil, &e),
		e,
	)
}

func (*library) inventoryView(inventory, node pointer) ([]byte, error) {
	var made *C.poolscope_text
	var e *C.poolscope_error
	status := C.poolscope_inventory_view(
		(*C.poolscope_inventory)(inventory), (*C.poolscope_node)(node), &made, &e,
	)
	return taken(status, made, e)
}

func (*library) inventoryFind(inventory, node pointer, namespace, service string) ([]byte, error) {
	var made *C.poolscope_text
	var e *C.poolscope_error
	namespaceAt, namespaceLen := text(namespace)
	serviceAt, serviceLen := text(service)
	status := C.poolscope_inventory_find(
		(*C.poolscope_inventory)(inventory),
		(*C.poolscope_node)(node),
		namespaceAt, namespaceLen, serviceAt, serviceLen,
		&made, &e,
	)
	return taken(status, made, e)
}

func (*library) newFactSync(node pointer, seed uint64) (pointer, error) {
	var made *C.poolscope_fact_sync
	var e *C.poolscope_error
	err := failed(
		C.poolscope_fact_sync_new((*C.poolscope_node)(node), C.uint64_t(seed), &made, &e),
		e,
	)
	return pointer(made), err
}

func (*library) factSyncLeaveToClient(sync pointer, kind string) error {
	var e *C.poolscope_error
	at, n := text(kind)
	return failed(
		C.poolscope_fact_sync_leave_to_client((*C.poolscope_fact_sync)(sync), at, n, &e),
		e,
	)
}

func (*library) factSyncRequire(sync pointer, kind string) error {
	var e *C.poolscope_error
	at, n := text(kind)
	return failed(C.poolscope_fact_sync_require((*C.poolscope_fact_sync)(sync), at, n, &e), e)
}

func (*library) factSyncNext(sync pointer, now uint64) (factStep, error) {
	var step C.poolscope_fact_step
	var e *C.poolscope_error
	status := C.poolscope_fact_sync_next((*C.poolscope_fact_sync)(sync), C.uint64_t(now), &step, &e)
	if err := failed(status, e); err != nil {
		return factStep{}, err
	}
	return factStep{
		action:  factAction(step.action),
		id:      uint64(step.id),
		wait:    time.Duration(min(step.millis, 1<<32)) * time.Millisecond,
		kind:    FactKind(copied(step.kind, step.kind_len)),
		target:  copied(step.target, step.target_len),
		accept:  copied(step.accept, step.accept_len),
		message: copied(step.message, step.message_len),
	}, nil
}

func (*library) factSyncHead(sync pointer, id uint64, head responseHead, now uint64) (bool, error) {
	x := new(exchange)
	defer x.release()
	x.lendResponse(head)
	wanted := C.bool(false)
	var e *C.poolscope_error
	err := failed(
		C.poolscope_fact_sync_head(
			(*C.poolscope_fact_sync)(sync),
			C.uint64_t(id), &x.response, C.uint64_t(now), &wanted, &e,
		),
		e,
	)
	return bool(wanted), err
}

func (*library) factSyncPush(sync pointer, id uint64, chunk []byte, now uint64) (bool, error) {
	wanted := C.bool(false)
	var e *C.poolscope_error
	at, n := data(chunk)
	err := failed(
		C.poolscope_fact_sync_push(
			(*C.poolscope_fact_sync)(sync), C.uint64_t(id), at, n, C.uint64_t(now), &wanted, &e,
		),
		e,
	)
	return bool(wanted), err
}

func (*library) factSyncEnd(sync pointer, id, now uint64) error {
	var e *C.poolscope_error
	return failed(
		C.poolscope_fact_sync_end(
			(*C.poolscope_fact_sync)(sync), C.uint64_t(id), C.uint64_t(now), &e,
		),
		e,
	)
}

func (*library) factSyncBroke(sync pointer, id uint64, why string, now uint64) error {
	var e *C.poolscope_error
	at, n := text(why)
	return failed(
		C.poolscope_fact_sync_broke(
			(*C.poolscope_fact_sync)(sync), C.uint64_t(id), at, n, C.uint64_t(now), &e,
		),
		e,
	)
}
