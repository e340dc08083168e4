// SPDX-License-Identifier: Apache-2.0
//
// Go through cgo, against the installed library. A lane belongs to one thread at a time, so the goroutine that uses it
// is locked to one. A call through cgo costs more than a decision: decide in batches where there are many.
//
//	admit TRACE_DIRECTORY
package main

// #cgo LDFLAGS: -lltp
// #include <stdlib.h>
// #include <ltp.h>
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"
)

func check(status C.int32_t) error {
	if status == C.LTP_OK {
		return nil
	}
	return fmt.Errorf("%s", C.GoString(C.ltp_status_text(status)))
}

type core struct{ handle *C.ltp_core }

func open(directory string) (core, error) {
	var options C.ltp_core_options
	C.ltp_core_options_init(&options, C.sizeof_ltp_core_options)
	path := C.CString(directory)
	defer C.free(unsafe.Pointer(path))
	// C memory, so that Go may hand out a structure that points to it.
	options.trace_directory = path
	var opened core
	var failure C.ltp_error
	if C.ltp_core_open(&options, &opened.handle, &failure) != C.LTP_OK {
		return core{}, fmt.Errorf("%s", C.GoString(&failure.message[0]))
	}
	return opened, nil
}

func (c core) publish(state, reason C.uint8_t) error {
	transition := C.ltp_transition{struct_size: C.sizeof_ltp_transition, to: state, reason: reason}
	return check(C.ltp_orientation_publish(c.handle, &transition, nil))
}

func (c core) close() error { return check(C.ltp_core_close(c.handle, 10_000_000_000, nil)) }

const batch = 64

func run(directory string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c, err := open(directory)
	if err != nil {
		return err
	}
	var lane *C.ltp_lane
	if err := check(C.ltp_lane_open(c.handle, &lane, nil)); err != nil {
		return err
	}
	if err := c.publish(C.LTP_STATE_HEALTHY, C.LTP_SIGNAL_METRICS_STABILIZED); err != nil {
		return err
	}
	var requests [batch]C.ltp_route_request
	for index := range requests {
		C.ltp_frame_init(unsafe.Pointer(&requests[index]), C.sizeof_ltp_route_request, C.LTP_FRAME_ROUTE_REQUEST, 0)
		requests[index].frame_id = C.uint64_t(index + 1)
		requests[index].session_id = 42
		requests[index].action_class = 25 // order_create
	}
	var verdicts [batch]C.ltp_verdict
	executed := C.ltp_admit_batch(
		lane, unsafe.Pointer(&requests[0]), C.sizeof_ltp_route_request, batch, &verdicts[0])
	fmt.Printf("%d of %d %s: %s\n", executed, batch, C.GoString(C.ltp_verdict_name(verdicts[0].verdict)),
		C.GoString(C.ltp_reason_name(verdicts[0].reason)))
	if err := check(C.ltp_lane_close(lane)); err != nil {
		return err
	}
	return c.close()
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: admit TRACE_DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "admit:", err)
		os.Exit(1)
	}
}
