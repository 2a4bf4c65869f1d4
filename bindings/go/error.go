package poolscope

import "fmt"

// Kind is the kind of an [Error]. Its values are errors for errors.Is:
//
//	if errors.Is(err, poolscope.ErrTruncated) { ... }
type Kind int

// The kinds of errors. poolscope.h has the same numbers.
const (
	// ErrInvalidArgument: a text is not UTF-8, or a value is out of range.
	ErrInvalidArgument Kind = 1
	// ErrBusy: another call is using the handle.
	ErrBusy Kind = 2
	// ErrPanic: a bug in poolscope stopped this call, or an earlier one on the same handle.
	ErrPanic Kind = 3
	// ErrMalformed: the bytes are not what the encoding or the schema of the object allows.
	ErrMalformed Kind = 10
	// ErrTruncated: the body ended inside a value.
	ErrTruncated Kind = 11
	// ErrTooLarge: one watch event, list item, object or list is larger than its limit.
	ErrTooLarge Kind = 12
	// ErrTooDeep: values are nested deeper than the limit.
	ErrTooDeep Kind = 13
	// ErrTooMany: one object holds more endpoints than the limit.
	ErrTooMany Kind = 14
	// ErrUndecodable: an object in a body cannot be decoded.
	ErrUndecodable Kind = 15
	// ErrContentEncoding: the response is compressed. Never forward it.
	ErrContentEncoding Kind = 20
	// ErrContentType: the response is neither JSON nor protobuf. Never forward it.
	ErrContentType Kind = 21
	// ErrHTTPStatus: the response has a status under which endpoints cannot be filtered, such as
	// 206. Never forward it.
	ErrHTTPStatus Kind = 22
	// ErrNotAFact: the request cannot be a source of facts.
	ErrNotAFact Kind = 23
	// ErrConfig: the configuration cannot be used.
	ErrConfig Kind = 30
	// ErrClosed: the stream or reader was used after an error, or after it was finished or closed.
	ErrClosed Kind = 31
)

var kindTexts = map[Kind]string{
	ErrInvalidArgument: "invalid argument",
	ErrBusy:            "the handle is in use by another call",
	ErrPanic:           "a bug in poolscope",
	ErrMalformed:       "malformed body",
	ErrTruncated:       "truncated body",
	ErrTooLarge:        "too large",
	ErrTooDeep:         "nested too deeply",
	ErrTooMany:         "too many endpoints",
	ErrUndecodable:     "undecodable object",
	ErrContentEncoding: "unreadable Content-Encoding",
	ErrContentType:     "unreadable Content-Type",
	ErrHTTPStatus:      "unreadable HTTP status",
	ErrNotAFact:        "not a source of facts",
	ErrConfig:          "unusable configuration",
	ErrClosed:          "closed",
}

func (k Kind) Error() string {
	if text, known := kindTexts[k]; known {
		return "poolscope: " + text
	}
	return fmt.Sprintf("poolscope: error kind %d", int(k))
}

// NoOffset is the offset of an error without one.
const NoOffset uint64 = 1<<64 - 1

// Error names what failed, where, and what to do. It unwraps to its [Kind].
type Error struct {
	Kind    Kind
	Message string
	// Offset is the byte of the body at fault, or NoOffset.
	Offset uint64
	// Object is the namespace/name at fault as far as it was read; empty if it is not known.
	Object string
}

func (e *Error) Error() string { return "poolscope: " + e.Message }

// Unwrap returns the kind of the error.
func (e *Error) Unwrap() error { return e.Kind }

var errClosed = &Error{
	Kind:    ErrClosed,
	Message: "the stream or reader was closed",
	Offset:  NoOffset,
}

// ReplyError reports that the client gets a reply in place of the response, such as 410 for a watch
// at an unknown resourceVersion.
type ReplyError struct {
	Reply *Reply
}

func (e *ReplyError) Error() string {
	return fmt.Sprintf(
		"poolscope: reply %d in place of the response: %s",
		e.Reply.Status,
		e.Reply.Body,
	)
}
