// SPDX-License-Identifier: Apache-2.0
//
// Swift through the C contract: module CLTP, the installed library, a lane that cannot be used twice or copied.
//
//   admit TRACE_DIRECTORY

import CLTP
import Glibc

struct Refusal: Error {
  let text: String

  init(_ status: Int32) { text = String(cString: ltp_status_text(status)) }
}

func check(_ status: Int32) throws(Refusal) {
  guard status == LTP_OK else { throw Refusal(status) }
}

struct Lane: ~Copyable {
  private let handle: OpaquePointer

  init(_ core: OpaquePointer) throws(Refusal) {
    var opened: OpaquePointer?
    try check(ltp_lane_open(core, &opened, nil))
    handle = opened!
  }

  deinit { _ = ltp_lane_close(handle) }

  mutating func admit(_ request: inout ltp_route_request) -> ltp_verdict {
    ltp_admit(handle, &request, MemoryLayout<ltp_route_request>.size)
  }
}

func run(_ directory: String) throws(Refusal) {
  var options = ltp_core_options()
  try check(ltp_core_options_init(&options, MemoryLayout<ltp_core_options>.size))
  guard let path = strdup(directory) else { throw Refusal(LTP_ERROR_NO_MEMORY) }
  defer { free(path) }
  options.trace_directory = UnsafePointer(path)
  var opened: OpaquePointer?
  try check(ltp_core_open(&options, &opened, nil))
  let core = opened!
  do {
    var lane = try Lane(core)
    var healthy = ltp_transition()
    healthy.struct_size = UInt32(MemoryLayout<ltp_transition>.size)
    healthy.to = LTP_STATE_HEALTHY
    healthy.reason = LTP_SIGNAL_METRICS_STABILIZED
    try check(ltp_orientation_publish(core, &healthy, nil))
    var request = ltp_route_request()
    try check(ltp_frame_init(&request, MemoryLayout<ltp_route_request>.size, LTP_FRAME_ROUTE_REQUEST, 0))
    request.frame_id = 1
    request.session_id = 42
    request.action_class = 25  // order_create
    let verdict = lane.admit(&request)
    print(
      "\(String(cString: ltp_verdict_name(verdict.verdict))): \(String(cString: ltp_reason_name(verdict.reason)))"
    )
  }
  try check(ltp_core_close(core, 10_000_000_000, nil))
}

func complain(_ text: String) { _ = text.withCString { write(STDERR_FILENO, $0, strlen($0)) } }

guard CommandLine.arguments.count == 2 else {
  complain("usage: admit TRACE_DIRECTORY\n")
  exit(2)
}
do { try run(CommandLine.arguments[1]) } catch {
  complain("admit: \(error.text)\n")
  exit(1)
}
