package poolscope

/*
#include <poolscope.h>
*/
import "C"

import "fmt"

// Status says what kind of error it is; see poolscope.h.
type Status int

// The statuses of errors.
const (
	InvalidArgument Status = C.POOLSCOPE_INVALID_ARGUMENT
	Busy            Status = C.POOLSCOPE_BUSY
	Panic           Status = C.POOLSCOPE_PANIC
	Malformed       Status = C.POOLSCOPE_MALFORMED
	Truncated       Status = C.POOLSCOPE_TRUNCATED
	TooLarge        Status = C.POOLSCOPE_TOO_LARGE
	TooDeep         Status = C.POOLSCOPE_TOO_DEEP
	TooMany         Status = C.POOLSCOPE_TOO_MANY
	Undecodable     Status = C.POOLSCOPE_UNDECODABLE
	ContentEncoding Status = C.POOLSCOPE_CONTENT_ENCODING
	ContentType     Status = C.POOLSCOPE_CONTENT_TYPE
	HTTPStatus      Status = C.POOLSCOPE_HTTP_STATUS
	NotAFact        Status = C.POOLSCOPE_NOT_A_FACT
	Config          Status = C.POOLSCOPE_CONFIG
	Closed          Status = C.POOLSCOPE_CLOSED
)

// NoOffset is the offset of an error that is about no byte.
const NoOffset uint64 = C.POOLSCOPE_NO_OFFSET

// Error says what is wrong, where, and what to do about it.
type Error struct {
	Status  Status
	Message string
	// Offset is the byte of the body at fault, or NoOffset.
	Offset uint64
	// Object is the namespace/name at fault, as far as it was read.
	Object string
}

func (e *Error) Error() string { return "poolscope: " + e.Message }

// Is makes errors.Is compare statuses: errors.Is(err, &poolscope.Error{Status: poolscope.Truncated}).
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Status == e.Status
}

// failed turns the error of a call into a Go error, and frees it.
func failed(status C.poolscope_status, from *C.poolscope_error) error {
	if status == C.POOLSCOPE_OK {
		return nil
	}
	defer C.poolscope_error_free(from)
	e := &Error{
		Status:  Status(status),
		Message: C.GoString(C.poolscope_error_message(from)),
		Offset:  uint64(C.poolscope_error_offset(from)),
	}
	if object := C.poolscope_error_object(from); object != nil {
		e.Object = C.GoString(object)
	}
	return e
}

// AnswerError says that a client is to be answered otherwise than with the response: a watch that cannot be continued.
type AnswerError struct {
	Answer *Answer
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("poolscope: the client is to be answered %d: %s", e.Answer.Status, e.Answer.Body)
}
