package poolscope

/*
#include <poolscope.h>
*/
import "C"

import (
	"net/http"
	"unsafe"
)

// exchange lends a call the library's picture of a request and of its response's head.
func exchange(request *http.Request, status int, header http.Header, call func(*C.poolscope_request, *C.poolscope_head) error) error {
	asked, err := newRequest(request)
	if err != nil {
		return err
	}
	defer C.poolscope_request_free(asked)
	head, err := newHead(status, header)
	if err != nil {
		return err
	}
	defer C.poolscope_head_free(head)
	return call(asked, head)
}

// newRequest is the library's picture of a request.
func newRequest(request *http.Request) (*C.poolscope_request, error) {
	var made *C.poolscope_request
	var e *C.poolscope_error
	method, target := request.Method, request.URL.RequestURI()
	if method == "" {
		method = http.MethodGet
	}
	methodAt, methodLen := text(method)
	targetAt, targetLen := text(target)
	if err := failed(C.poolscope_request_new(methodAt, methodLen, targetAt, targetLen, &made, &e), e); err != nil {
		return nil, err
	}
	err := eachHeader(request.Header, func(name, value string) error {
		nameAt, nameLen := text(name)
		valueAt, valueLen := text(value)
		return failed(C.poolscope_request_add_header(made, nameAt, nameLen, valueAt, valueLen, &e), e)
	})
	if err != nil {
		C.poolscope_request_free(made)
		return nil, err
	}
	return made, nil
}

// newHead is the library's picture of a response's head. Of the headers, these two are looked at.
func newHead(status int, header http.Header) (*C.poolscope_head, error) {
	var made *C.poolscope_head
	var e *C.poolscope_error
	if err := failed(C.poolscope_head_new(C.uint16_t(status), &made, &e), e); err != nil {
		return nil, err
	}
	looked := http.Header{"Content-Type": header["Content-Type"], "Content-Encoding": header["Content-Encoding"]}
	err := eachHeader(looked, func(name, value string) error {
		nameAt, nameLen := text(name)
		valueAt, valueLen := text(value)
		return failed(C.poolscope_head_add_header(made, nameAt, nameLen, valueAt, valueLen, &e), e)
	})
	if err != nil {
		C.poolscope_head_free(made)
		return nil, err
	}
	return made, nil
}

func eachHeader(header http.Header, do func(name, value string) error) error {
	for name, values := range header {
		for _, value := range values {
			if err := do(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// headers reads back what the library made of a request's headers.
func headers(request *C.poolscope_request) (http.Header, error) {
	header := http.Header{}
	for index := range int(C.poolscope_request_header_count(request)) {
		var name, value *C.char
		var nameLen, valueLen C.size_t
		var e *C.poolscope_error
		status := C.poolscope_request_header(request, C.size_t(index), &name, &nameLen, &value, &valueLen, &e)
		if err := failed(status, e); err != nil {
			return nil, err
		}
		header.Add(copied(name, nameLen), copied(value, valueLen))
	}
	return header, nil
}

func copied(at *C.char, n C.size_t) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(at)), int(n)))
}
