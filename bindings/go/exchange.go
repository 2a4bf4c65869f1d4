package poolscope

import "net/http"

// requestHead is a request, to be lent to one call.
type requestHead struct {
	method string
	target string
	header http.Header
}

// responseHead is the head of a response, to be lent to one call.
type responseHead struct {
	status int
	header http.Header
}

// The headers of a response that the library reads.
var responseHeaders = [...]string{"Content-Type", "Content-Encoding", "Retry-After"}

func headOf(request *http.Request) requestHead {
	method := request.Method
	if method == "" {
		method = http.MethodGet
	}
	return requestHead{method, request.URL.RequestURI(), request.Header}
}

// all calls add with each name and value.
func (r requestHead) all(add func(name, value string)) {
	for name, values := range r.header {
		for _, value := range values {
			add(name, value)
		}
	}
}

// all calls add with each name and value that the library reads.
func (r responseHead) all(add func(name, value string)) {
	for _, name := range responseHeaders {
		for _, value := range r.header[name] {
			add(name, value)
		}
	}
}
