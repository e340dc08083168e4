// SPDX-License-Identifier: Apache-2.0
// The synthetic traffic of `ltp bench`: which requests, from which sessions, of which classes. The seed
// alone decides it. The frames of one lane fit into a core's second-level cache, so that the bench measures
// the core rather than the memory behind the caller.

import CLTP

/// A generator with one word of state: SplitMix64 (Steele, Lea, Flood, 2014).
struct BenchRandom {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
    return word ^ word >> 31
  }

  /// Below `bound`, which is small: the bias is below 2^-50.
  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}

/// An action class of the mix and how often it comes.
struct BenchClass {
  var number: UInt8
  var attributes: UInt32
  var weight: Int
}

struct BenchWorkload {
  /// Frames, and sessions, of one lane: 256 KiB.
  static let frameCount = 4096
  static let frameBytes = Int(LTP_FRAME_LINE_BYTES)

  let seed: UInt64
  let classes: [BenchClass]

  init(seed: UInt64) {
    self.seed = seed
    classes = Self.mix()
  }

  /// Every class of the built-in policy, weighted by what services see (mostly reads, few critical
  /// actions), and a few classes that it does not know, since such requests come as well.
  private static func mix() -> [BenchClass] {
    var classes: [BenchClass] = []
    let policy = UnsafeMutablePointer<ltp_policy>.allocate(capacity: 1)
    defer { policy.deallocate() }
    guard ltp_policy_default(policy) == LTP_OK else { return [] }
    let base = UnsafeRawPointer(policy) + LTP_AT_policy_classes
    for number in 0..<Int(LTP_CLASS_COUNT) {
      let entry = base + number * MemoryLayout<ltp_policy_class>.stride
      let exists = entry.load(fromByteOffset: LTP_AT_policy_class_name, as: UInt8.self) != 0
      let attributes = entry.load(as: UInt32.self)
      if exists {
        classes.append(
          BenchClass(number: UInt8(number), attributes: attributes, weight: weight(attributes)))
      }
    }
    for number in 0..<3 {
      classes.append(BenchClass(number: UInt8(120 + number), attributes: 0, weight: 1))
    }
    return classes
  }

  private static func weight(_ attributes: UInt32) -> Int {
    if attributes & LTP_CLASS_RECOVERY != 0 { return 4 }
    if attributes & LTP_CLASS_CRITICAL != 0 { return 2 }
    if attributes & LTP_CLASS_REQUIRES_CONTINUITY != 0 { return 4 }
    if attributes & LTP_CLASS_MUTATING != 0 { return 6 }
    return 12
  }

  /// Share of the requests whose class asks for a continuity token.
  var continuityShare: Double {
    let all = classes.reduce(0) { $0 + $1.weight }
    let asking = classes.filter { $0.attributes & LTP_CLASS_REQUIRES_CONTINUITY != 0 }
    return Double(asking.reduce(0) { $0 + $1.weight }) / Double(max(all, 1))
  }

  /// Fills in the frames of a lane. Tokens are still to be granted. `now`: monotonic, for the deadlines.
  func write(lane: Int, to frames: UnsafeMutableRawPointer, now: UInt64) {
    var random = BenchRandom(seed: seed ^ UInt64(lane) &* 0xD6E8_FEB8_6659_FD93)
    let total = classes.reduce(0) { $0 + $1.weight }
    for index in 0..<Self.frameCount {
      let hasDeadline = random.below(100) < 12
      let bytes = frames + index * Self.frameBytes
      let flags = hasDeadline ? LTP_REQUEST_HAS_DEADLINE : 0
      precondition(ltp_frame_init(bytes, Self.frameBytes, LTP_FRAME_ROUTE_REQUEST, flags) == LTP_OK)
      var request = bytes.load(as: ltp_route_request.self)
      request.frame_id = random.next() | 1
      request.session_id = random.next() | 1
      // One in twelve comes too late, the others have all day.
      if hasDeadline {
        request.deadline_ns = random.below(12) == 0 ? max(now / 2, 1) : now + 86_400_000_000_000
      }
      request.action_class = pick(random.below(total))
      // Around the ordinary 128, with both ends.
      request.priority = UInt8(random.below(128) + random.below(129))
      request.cohort = UInt8(truncatingIfNeeded: random.next())
      request.tenant_id = UInt32(random.below(64))
      request.cost = 1
      bytes.storeBytes(of: request, as: ltp_route_request.self)
    }
  }

  private func pick(_ place: Int) -> UInt8 {
    var place = place
    for entry in classes {
      if place < entry.weight { return entry.number }
      place -= entry.weight
    }
    return classes[0].number
  }
}
