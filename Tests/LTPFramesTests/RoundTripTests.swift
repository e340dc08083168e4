// SPDX-License-Identifier: Apache-2.0
//
// Every accepted frame, decoded field by field and written again, gives the same bytes: at any alignment,
// after any change of one byte, and up against memory that may not be read.

import CLTP
import Glibc
import LTPFrames
import LTPTestSupport
import Testing

@Suite("fault 26: malformed frames, round trips", .guarded)
struct RoundTripTests {
  @Test(
    "fault 26: random valid frames re-encode identically at offsets 0 to 7", arguments: FrameKind.all)
  func everyAlignment(kind: FrameKind) {
    var random = TestSeed.random(26)
    let room = UnsafeMutableRawPointer.allocate(byteCount: 512, alignment: 64)
    defer { room.deallocate() }
    for _ in 0..<500 {
      let frame = kind.randomFrame(&random)
      for offset in 0..<8 {
        let source = room + offset
        source.copyMemory(from: frame, byteCount: frame.count)
        let target = room + 256 + (7 - offset)
        #expect(outcome(of: source, available: frame.count, into: target) == .same)
      }
    }
  }

  @Test(
    "fault 26: with any one byte changed, a frame is refused or re-encodes identically",
    arguments: FrameKind.all)
  func everyByteChanged(kind: FrameKind) {
    var random = TestSeed.random(2_626)
    var frame = kind.randomFrame(&random)
    let target = UnsafeMutableRawPointer.allocate(byteCount: 192, alignment: 64)
    defer { target.deallocate() }
    var different = 0
    frame.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      for index in bytes.indices {
        let original = bytes[index]
        for value in UInt8.min...UInt8.max {
          bytes[index] = value
          if outcome(of: base, available: bytes.count, into: target) == .different { different += 1 }
        }
        bytes[index] = original
      }
    }
    #expect(different == 0)
  }

  @Test("fault 26: a frame cut at every length is refused as short", arguments: FrameKind.all)
  func everyLength(kind: FrameKind) {
    var random = TestSeed.random(3)
    let frame = kind.randomFrame(&random)
    for length in -1..<frame.count {
      let expected =
        length < 8
        ? Refusal(status: LTP_ERROR_FRAME_SHORT, offset: 0, field: "header")
        : Refusal(status: LTP_ERROR_FRAME_SHORT, offset: 4, field: "header.size_bytes")
      #expect(refusal(frame, available: length) == expected)
    }
    #expect(refusal(frame) == nil)
    #expect(refusal(frame + [0xFF], available: frame.count + 1) == nil, "what follows is not looked at")
  }

  @Test("fault 26: nothing beyond the frame is read or written", arguments: FrameKind.all)
  func guardPage(kind: FrameKind) throws {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let mapped = mmap(nil, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    let pages = try #require(mapped != MAP_FAILED ? mapped : nil)
    defer { munmap(pages, 2 * page) }
    try #require(mprotect(pages + page, page, PROT_NONE) == 0)
    var random = TestSeed.random(4)
    let frame = kind.randomFrame(&random)
    let source = pages + page - frame.count
    source.copyMemory(from: frame, byteCount: frame.count)
    let target = UnsafeMutableRawPointer.allocate(byteCount: 192, alignment: 64)
    defer { target.deallocate() }
    #expect(outcome(of: source, available: frame.count, into: target) == .same)
    #expect(
      RouteRequestView.isWellFormed(source, available: frame.count)
        == (kind.type == LTP_FRAME_ROUTE_REQUEST))
    // Cut frames end at the page's end too: their check must stop at `available`.
    for length in 0..<frame.count {
      let start = pages + page - length
      start.copyMemory(from: frame, byteCount: length)
      #expect(outcome(of: start, available: length, into: target) == .refused)
      #expect(!RouteRequestView.isWellFormed(start, available: length))
    }
    // And the writer stays inside its capacity.
    let view = try target.withFrame(frame) { try FrameView(checking: $0, available: frame.count) }
    try view.write(into: pages + page - frame.count, capacity: frame.count)
  }
}

extension UnsafeMutableRawPointer {
  fileprivate func withFrame<Result>(
    _ frame: [UInt8], _ body: (UnsafeRawPointer) throws -> Result
  ) rethrows -> Result {
    copyMemory(from: frame, byteCount: frame.count)
    return try body(UnsafeRawPointer(self))
  }
}
