package poolscope

/*
#include <poolscope.h>
*/
import "C"

import (
	"net/http"
	"runtime"
	"unsafe"
)

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
func (x *exchange) headers(header http.Header, names ...string) (*C.poolscope_header, C.size_t) {
	var all []C.poolscope_header
	add := func(name string, values []string) {
		for _, value := range values {
			var h C.poolscope_header
			h.name, h.name_len = x.text(name)
			h.value, h.value_len = x.text(value)
			all = append(all, h)
		}
	}
	if names != nil {
		for _, name := range names {
			add(name, header[name])
		}
	} else {
		for name, values := range header {
			add(name, values)
		}
	}
	if len(all) == 0 {
		return nil, 0
	}
	x.pinner.Pin(&all[0])
	return &all[0], C.size_t(len(all))
}

func (x *exchange) setRequest(request *http.Request) {
	method := request.Method
	if method == "" {
		method = http.MethodGet
	}
	x.request.method, x.request.method_len = x.text(method)
	x.request.target, x.request.target_len = x.text(request.URL.RequestURI())
	x.request.headers, x.request.header_count = x.headers(request.Header)
}

// setResponse takes the headers that the library reads.
func (x *exchange) setResponse(status int, header http.Header) {
	x.response.http_status = C.uint16_t(status)
	x.response.headers, x.response.header_count =
		x.headers(header, "Content-Type", "Content-Encoding", "Retry-After")
}

// lend returns an exchange of a request and the head of its response.
func lend(request *http.Request, status int, header http.Header) *exchange {
	x := new(exchange)
	x.setRequest(request)
	x.setResponse(status, header)
	return x
}

// preparedHeaders copies the headers of a prepared request, and frees them.
func preparedHeaders(from *C.poolscope_headers) http.Header {
	defer C.poolscope_headers_free(from)
	header := http.Header{}
	for _, h := range unsafe.Slice(from.data, int(from.count)) {
		header.Add(copied(h.name, h.name_len), copied(h.value, h.value_len))
	}
	return header
}

func copied(at *C.char, n C.size_t) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(at)), int(n)))
}
