// SPDX-License-Identifier: Apache-2.0
//
// Encoders, and the functions behind ltp_frame_init and ltp_frame_check: what they write, what they refuse.

import CLTP
import LTPFrames
import LTPTestSupport
import Testing

@Suite("Writers", .guarded)
struct WriterTests {
  @Test("frameInit zeroes the frame and writes its header", arguments: FrameKind.all)
  func initialises(kind: FrameKind) {
    var random = TestSeed.random(5)
    let sizeBytes = kind.randomFrame(&random).count
    var bytes = [UInt8](repeating: 0xAA, count: 200)
    #expect(frameInit(&bytes, capacity: sizeBytes, type: kind.type, flags: kind.flags) == LTP_OK)
    let header = ltp_frame_header(
      magic: 0x544C, version: 2, type: kind.type, size_bytes: UInt16(sizeBytes), flags: kind.flags)
    #expect(bytes[..<sizeBytes] == [UInt8](repeating: 0, count: sizeBytes).setting(header, at: 0)[...])
    #expect(bytes[sizeBytes...].allSatisfy { $0 == 0xAA }, "the rest of the buffer is the caller's")
  }

  @Test("frameInit refuses, and then writes nothing")
  func initRefuses() {
    var bytes = [UInt8](repeating: 0xAA, count: 192)
    #expect(frameInit(nil, capacity: 64, type: LTP_FRAME_HELLO, flags: 0) == LTP_ERROR_NULL_ARGUMENT)
    #expect(frameInit(&bytes, capacity: 192, type: 0, flags: 0) == LTP_ERROR_FRAME_TYPE)
    #expect(frameInit(&bytes, capacity: 192, type: 7, flags: 0) == LTP_ERROR_FRAME_TYPE)
    #expect(frameInit(&bytes, capacity: 192, type: LTP_FRAME_HEARTBEAT, flags: 1) == LTP_ERROR_FRAME_FLAGS)
    #expect(
      frameInit(&bytes, capacity: 192, type: LTP_FRAME_ROUTE_REQUEST, flags: 8) == LTP_ERROR_FRAME_FLAGS)
    #expect(frameInit(&bytes, capacity: 63, type: LTP_FRAME_HELLO, flags: 0) == LTP_ERROR_BUFFER_TOO_SMALL)
    #expect(
      frameInit(&bytes, capacity: 127, type: LTP_FRAME_ROUTE_REQUEST, flags: LTP_REQUEST_HAS_GOAL)
        == LTP_ERROR_BUFFER_TOO_SMALL)
    #expect(bytes.allSatisfy { $0 == 0xAA })
  }

  @Test("a writer refuses what a reader would, and leaves no header behind")
  func refusesInvalid() {
    var bytes = [UInt8](repeating: 0xAA, count: 64)
    var heartbeat = ltp_heartbeat()
    heartbeat.state = UInt8(LTP_STATE_COUNT)
    let error = #expect(throws: FrameError.self) {
      try HeartbeatView.write(heartbeat, into: &bytes, capacity: 64)
    }
    #expect(
      error.map(Refusal.init) == Refusal(status: LTP_ERROR_FRAME_RANGE, offset: 52, field: "heartbeat.state"))
    #expect(bytes[..<8].allSatisfy { $0 == 0 })
  }

  @Test("a writer says why it cannot start")
  func cannotStart() {
    var bytes = [UInt8](repeating: 0, count: 64)
    let hello = ltp_hello()
    let missing = #expect(throws: FrameError.self) { try HelloView.write(hello, into: nil, capacity: 64) }
    #expect(missing?.status == LTP_ERROR_NULL_ARGUMENT)
    let small = #expect(throws: FrameError.self) { try HelloView.write(hello, into: &bytes, capacity: 63) }
    #expect(small?.status == LTP_ERROR_BUFFER_TOO_SMALL)
    let flags = #expect(throws: FrameError.self) {
      try HelloView.write(hello, flags: 4, into: &bytes, capacity: 64)
    }
    #expect(
      flags.map(Refusal.init) == Refusal(status: LTP_ERROR_FRAME_FLAGS, offset: 6, field: "header.flags"))
  }

  @Test("frameCheck fills in the C structure")
  func checkForC() {
    var random = TestSeed.random(6)
    let frame = FrameKind.all[0].randomFrame(&random)
    var error = ltp_frame_error(status: -1, offset: 99, field: nil, reserved: (0, 0))
    #expect(frameCheck(frame, available: 64, error: &error) == LTP_OK)
    #expect(error.status == LTP_OK && error.offset == 0 && String(cString: error.field) == "")
    let wrong = frame.setting(UInt8(9), at: 59)
    #expect(frameCheck(wrong, available: 64, error: &error) == LTP_ERROR_FRAME_RESERVED)
    #expect(error.status == LTP_ERROR_FRAME_RESERVED && error.offset == 59)
    #expect(String(cString: error.field) == "hello.reserved")
    #expect(frameCheck(wrong, available: 64, error: nil) == LTP_ERROR_FRAME_RESERVED)
    #expect(frameCheck(nil, available: 64, error: &error) == LTP_ERROR_NULL_ARGUMENT)
    #expect(error.offset == 0 && String(cString: error.field) == "frame")
  }

  @Test("a typed view refuses other types")
  func otherType() {
    var random = TestSeed.random(7)
    let heartbeat = FrameKind.all.first { $0.type == LTP_FRAME_HEARTBEAT }!.randomFrame(&random)
    let error = #expect(throws: FrameError.self) { try HelloView(checking: heartbeat, available: 64) }
    #expect(error.map(Refusal.init) == Refusal(status: LTP_ERROR_FRAME_TYPE, offset: 3, field: "header.type"))
  }
}
