// SPDX-License-Identifier: Apache-2.0
// (d): decided from Go through cgo, one call a decision ("time"), or one for 64 ("batch").
package main

// #include "workload.h"
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"
)

const batch = 64

func single(lane *C.ltp_lane, frames unsafe.Pointer) (executed uint64) {
	for index := uintptr(0); index < C.WORKLOAD_DECISIONS; index++ {
		frame := unsafe.Add(frames, index%C.WORKLOAD_FRAMES*C.sizeof_ltp_route_request)
		if C.ltp_admit(lane, frame, C.sizeof_ltp_route_request).verdict == C.LTP_VERDICT_EXECUTE {
			executed++
		}
	}
	return executed
}

func batches(lane *C.ltp_lane, frames unsafe.Pointer) (executed uint64) {
	var verdicts [batch]C.ltp_verdict
	for index := uintptr(0); index < C.WORKLOAD_DECISIONS; index += batch {
		frame := unsafe.Add(frames, index%C.WORKLOAD_FRAMES*C.sizeof_ltp_route_request)
		executed += uint64(C.ltp_admit_batch(lane, frame, C.sizeof_ltp_route_request, batch, &verdicts[0]))
	}
	return executed
}

func main() {
	if len(os.Args) != 3 {
		fmt.Println("usage: calls time|batch DIR")
		os.Exit(2)
	}
	runtime.LockOSThread()
	measured := single
	if os.Args[1] == "batch" {
		measured = batches
	}
	core := C.workload_open(C.CString(os.Args[2]), 0)
	var lane *C.ltp_lane
	C.workload_check(C.ltp_lane_open(core, &lane, nil), C.CString("lane"))
	frames := unsafe.Pointer(C.workload_frames(lane))
	executed := uint64(0)
	for burst := 0; burst < C.WORKLOAD_BURSTS; burst++ {
		C.workload_settle(lane)
		began := C.workload_now()
		executed += measured(lane, frames)
		C.workload_report(C.workload_now() - began)
	}
	C.workload_close(core, lane, C.uint64_t(executed))
	C.fflush(C.stdout)
}
