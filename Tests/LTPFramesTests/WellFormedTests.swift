// SPDX-License-Identifier: Apache-2.0
//
// The request path's check and the full check answer alike, over frames near the edge of validity.

import CLTP
import LTPFrames
import LTPTestSupport
import Testing

@Suite("fault 26: malformed frames, the request path", .guarded)
struct WellFormedTests {
  static let framesPerSeed = 250_000

  @Test("fault 26: isWellFormed equals the full check on mutated frames", arguments: TestSeed.each(0...7))
  func equalsFullCheck(seed: UInt64) {
    var random = TestSeed.random(seed)
    let kinds = FrameKind.all.filter { $0.type == LTP_FRAME_ROUTE_REQUEST }
    var frames = kinds.map { $0.randomFrame(&random) + [UInt8](repeating: 0, count: 64) }
    var accepted = 0
    var different = 0
    for count in 0..<Self.framesPerSeed {
      let kind = count % frames.count
      frames[kind].withUnsafeMutableBytes { bytes in
        guard let base = bytes.baseAddress else { return }
        let undo = Self.mutate(base, &random)
        let available = random.below(64) == 0 ? random.below(130) : 128
        let fast = RouteRequestView.isWellFormed(base, available: available)
        let full = (try? RouteRequestView(checking: base, available: available)) != nil
        if fast != full { different += 1 }
        if full { accepted += 1 }
        for change in undo { base.storeBytes(of: change.byte, toByteOffset: change.offset, as: UInt8.self) }
      }
    }
    #expect(different == 0)
    #expect(accepted > Self.framesPerSeed / 10, "the mutations must leave many frames valid")
    #expect(accepted < Self.framesPerSeed * 9 / 10, "and spoil many")
  }

  /// Changes one to three bytes, mostly in the header and where fields depend on flags.
  private static func mutate(
    _ base: UnsafeMutableRawPointer, _ random: inout SplitMix64
  ) -> [(offset: Int, byte: UInt8)] {
    var undo: [(offset: Int, byte: UInt8)] = []
    for _ in 0...random.below(3) {
      let offset =
        switch random.below(4) {
        case 0: random.below(8)
        case 1: 32 + random.below(16)
        default: random.below(128)
        }
      let byte = base.load(fromByteOffset: offset, as: UInt8.self)
      let value: UInt8 =
        switch random.below(3) {
        case 0: byte ^ (1 << UInt8(random.below(8)))
        case 1: 0
        default: UInt8(truncatingIfNeeded: random.next())
        }
      undo.insert((offset, byte), at: 0)
      base.storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
    }
    return undo
  }

  @Test("all flags against zero and non-zero deadline, continuity, reserved bytes and original frame")
  func everyContradiction() {
    for flags in UInt16(0)..<16 {
      for fields in 0..<64 {
        let isReplay = flags & LTP_REQUEST_REPLAY != 0
        let hasSecondLine = isReplay || flags & LTP_REQUEST_HAS_GOAL != 0
        var frame = ltp_long_request()
        frame.request.header = ltp_frame_header(
          magic: LTP_FRAME_MAGIC, version: UInt8(LTP_PROTOCOL_VERSION), type: LTP_FRAME_ROUTE_REQUEST,
          size_bytes: hasSecondLine ? 128 : 64, flags: flags)
        // Only the highest bit, so that a check that looks at half a field is found out.
        frame.request.deadline_ns = fields & 1 != 0 ? 1 << 63 : 0
        frame.request.reserved.2 = fields & 2 != 0 ? 0x80 : 0
        frame.request.intent_epoch = fields & 4 != 0 ? 1 << 31 : 0
        frame.request.incarnation = fields & 8 != 0 ? 1 << 31 : 0
        frame.request.domain = fields & 16 != 0 ? 0x80 : 0
        frame.goal.original_frame_id = fields & 32 != 0 ? 1 << 63 : 0
        let bytes = [UInt8](repeating: 0, count: 128).setting(frame, at: 0)
        let isOneLineFit = (flags & LTP_REQUEST_HAS_DEADLINE != 0 || fields & 1 == 0) && fields & 2 == 0
        let valid = flags < 8 && isOneLineFit && (!hasSecondLine || isReplay == (fields & 32 != 0))
        let fast = bytes.withUnsafeBytes { bytes in
          bytes.baseAddress.map { RouteRequestView.isWellFormed($0, available: 128) }
        }
        #expect(fast == valid)
        #expect((refusal(bytes) == nil) == valid)
        let isCommon = bytes.withUnsafeBytes { RouteRequestView.isCommon($0.baseAddress!, available: 128) }
        #expect(!isCommon || valid && !hasSecondLine)
      }
    }
  }
}
