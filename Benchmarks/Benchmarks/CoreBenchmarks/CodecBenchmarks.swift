// SPDX-License-Identifier: Apache-2.0
// Frames: the check of each type, the lane's own check of a request, and writing a frame again.

import Benchmark
import CLTP
import LTPFrames

/// A frame of 192 bytes at most, valid, at an address that stays.
private func makeFrame(_ type: UInt8, fill: (UnsafeMutableRawPointer) -> Void) -> UnsafeMutableRawPointer {
  let bytes = UnsafeMutableRawPointer.allocate(byteCount: Int(LTP_FRAME_BYTES_MAX), alignment: 64)
  precondition(ltp_frame_init(bytes, Int(LTP_FRAME_BYTES_MAX), type, 0) == LTP_OK)
  // Frame and session ids: not zero.
  bytes.storeBytes(of: 7, toByteOffset: 8, as: UInt64.self)
  fill(bytes)
  precondition(ltp_frame_check(bytes, Int(LTP_FRAME_BYTES_MAX), nil) == LTP_OK)
  return bytes
}

private func setSession(_ bytes: UnsafeMutableRawPointer) {
  bytes.storeBytes(of: 9, toByteOffset: 16, as: UInt64.self)
}

private func makeFrames() -> [(name: String, bytes: UnsafeMutableRawPointer)] {
  [
    (
      "hello",
      makeFrame(LTP_FRAME_HELLO) { bytes in
        let hello = bytes.bindMemory(to: ltp_hello.self, capacity: 1)
        hello.pointee.session_id = 9
        hello.pointee.version_min = UInt8(LTP_PROTOCOL_VERSION)
        hello.pointee.version_max = UInt8(LTP_PROTOCOL_VERSION)
      }
    ),
    ("heartbeat", makeFrame(LTP_FRAME_HEARTBEAT, fill: setSession)),
    (
      "orientation",
      makeFrame(LTP_FRAME_ORIENTATION) { bytes in
        let orientation = bytes.bindMemory(to: ltp_orientation.self, capacity: 1)
        orientation.pointee.to = LTP_STATE_HEALTHY
        orientation.pointee.reason = LTP_SIGNAL_METRICS_STABILIZED
      }
    ),
    ("route_request", makeFrame(LTP_FRAME_ROUTE_REQUEST, fill: setSession)),
    (
      "route_response",
      makeFrame(LTP_FRAME_ROUTE_RESPONSE) { bytes in
        let response = bytes.bindMemory(to: ltp_route_response.self, capacity: 1)
        response.pointee.session_id = 9
        response.pointee.request_frame_id = 7
        response.pointee.verdict = LTP_VERDICT_EXECUTE
        response.pointee.reason = LTP_REASON_ADMITTED
        response.pointee.state = LTP_STATE_HEALTHY
      }
    ),
    ("focus_snapshot", makeFrame(LTP_FRAME_FOCUS_SNAPSHOT) { _ in }),
  ]
}

func addCodecBenchmarks() {
  for (name, bytes) in makeFrames() {
    nonisolated(unsafe) let frame = UnsafeRawPointer(bytes)
    Benchmark("codec: check \(name)") { benchmark in
      for _ in benchmark.scaledIterations {
        blackHole(try FrameView(checking: frame, available: Int(LTP_FRAME_BYTES_MAX)))
      }
    }
    Benchmark("codec: check and write again \(name)") { benchmark in
      let target = UnsafeMutableRawPointer.allocate(byteCount: Int(LTP_FRAME_BYTES_MAX), alignment: 64)
      defer { target.deallocate() }
      for _ in benchmark.scaledIterations {
        try FrameView(checking: frame, available: Int(LTP_FRAME_BYTES_MAX))
          .write(into: target, capacity: Int(LTP_FRAME_BYTES_MAX))
      }
      blackHole(target)
    }
  }
  nonisolated(unsafe) let request = UnsafeRawPointer(makeFrame(LTP_FRAME_ROUTE_REQUEST, fill: setSession))
  Benchmark("codec: a lane's check of a request") { benchmark in
    for _ in benchmark.scaledIterations {
      blackHole(RouteRequestView.isWellFormed(request, available: Int(LTP_FRAME_LINE_BYTES)))
    }
  }
}
