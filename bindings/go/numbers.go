package poolscope

/*
#include <poolscope.h>
*/
import "C"

import "fmt"

// checkNumbers compares Go's numbers with the header's. Test files cannot use cgo.
func checkNumbers() error {
	numbers := []struct {
		name   string
		goes   int64
		header int64
	}{
		{"ErrInvalidArgument", int64(ErrInvalidArgument), C.POOLSCOPE_ERR_INVALID_ARGUMENT},
		{"ErrBusy", int64(ErrBusy), C.POOLSCOPE_ERR_BUSY},
		{"ErrPanic", int64(ErrPanic), C.POOLSCOPE_ERR_PANIC},
		{"ErrMalformed", int64(ErrMalformed), C.POOLSCOPE_ERR_MALFORMED},
		{"ErrTruncated", int64(ErrTruncated), C.POOLSCOPE_ERR_TRUNCATED},
		{"ErrTooLarge", int64(ErrTooLarge), C.POOLSCOPE_ERR_TOO_LARGE},
		{"ErrTooDeep", int64(ErrTooDeep), C.POOLSCOPE_ERR_TOO_DEEP},
		{"ErrTooMany", int64(ErrTooMany), C.POOLSCOPE_ERR_TOO_MANY},
		{"ErrUndecodable", int64(ErrUndecodable), C.POOLSCOPE_ERR_UNDECODABLE},
		{"ErrContentEncoding", int64(ErrContentEncoding), C.POOLSCOPE_ERR_CONTENT_ENCODING},
		{"ErrContentType", int64(ErrContentType), C.POOLSCOPE_ERR_CONTENT_TYPE},
		{"ErrHTTPStatus", int64(ErrHTTPStatus), C.POOLSCOPE_ERR_HTTP_STATUS},
		{"ErrNotAFact", int64(ErrNotAFact), C.POOLSCOPE_ERR_NOT_A_FACT},
		{"ErrConfig", int64(ErrConfig), C.POOLSCOPE_ERR_CONFIG},
		{"ErrClosed", int64(ErrClosed), C.POOLSCOPE_ERR_CLOSED},
		{"ActionReply", int64(ActionReply), C.POOLSCOPE_ACTION_REPLY},
		{"ActionForward", int64(ActionForward), C.POOLSCOPE_ACTION_FORWARD},
		{"ActionRewrite", int64(ActionRewrite), C.POOLSCOPE_ACTION_REWRITE},
		{"CauseOther", int64(CauseOther), C.POOLSCOPE_CAUSE_OTHER},
		{"CauseMissingFacts", int64(CauseMissingFacts), C.POOLSCOPE_CAUSE_MISSING_FACTS},
		{
			"CauseUnknownResourceVersion",
			int64(CauseUnknownResourceVersion),
			C.POOLSCOPE_CAUSE_UNKNOWN_RESOURCE_VERSION,
		},
	}
	for _, number := range numbers {
		if number.goes != number.header {
			return fmt.Errorf("%s is %d, and %d in poolscope.h", number.name, number.goes, number.header)
		}
	}
	if NoOffset != uint64(C.POOLSCOPE_NO_OFFSET) {
		return fmt.Errorf(
			"NoOffset is %d, and %d in poolscope.h",
			NoOffset,
			uint64(C.POOLSCOPE_NO_OFFSET),
		)
	}
	return nil
}
