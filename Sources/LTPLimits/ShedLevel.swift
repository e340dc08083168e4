// SPDX-License-Identifier: Apache-2.0
// The priority threshold that follows the load. Source: Zhou et al., Overload Control for Scaling WeChat Microservices
// (DAGOR), SoCC 2018, section 4.2: how many may be let in moves by small factors; the histogram of what is offered says
// where the cursor must stand for it. A level is priority * 256 + cohort.

/// What is offered in a window. How it divides into priorities is averaged over the last eight windows: one of a few dozen
/// requests says little by itself, and DAGOR's are of two thousand. How much it is follows twice as fast as that and more,
/// over two windows: a load that has just come is what shedding is for. A handle.
public struct OfferedHistogram {
  public static var memoryBytes: Int { (2 * 256 + 1) * 8 }
  /// Averages are in these parts: fine enough that a priority which comes once in a hundred windows is not rounded up.
  private static var parts: UInt64 { 1 << 24 }

  /// Of the window that has just ended.
  public let window: UnsafeMutablePointer<UInt64>
  private let averages: UnsafeMutablePointer<UInt64>
  private let recentTotal: UnsafeMutablePointer<UInt64>

  /// `memory`: `memoryBytes` zeroed bytes.
  public init(memory: UnsafeMutableRawPointer) {
    window = memory.bindMemory(to: UInt64.self, capacity: 256)
    averages = (memory + 256 * 8).bindMemory(to: UInt64.self, capacity: 256)
    recentTotal = (memory + 2 * 256 * 8).bindMemory(to: UInt64.self, capacity: 1)
  }

  public func beginWindow() { for priority in 0..<256 { window[priority] = 0 } }

  /// Takes the window into the averages, an eighth of them.
  public func endWindow() {
    var total: UInt64 = 0
    for priority in 0..<256 {
      total += window[priority]
      averages[priority] = averages[priority] - averages[priority] / 8 + window[priority] * Self.parts / 8
    }
    recentTotal.pointee = recentTotal.pointee / 2 + total * Self.parts / 2
  }

  /// Requests a window.
  var total: Double { Double(recentTotal.pointee) / Double(Self.parts) }

  func average(_ priority: Int) -> Double { Double(averages[priority]) / Double(Self.parts) }

  /// Of each request that the averages have seen, how many come now.
  var averageScale: Double {
    var sum = 0.0
    for priority in 0..<256 { sum += average(priority) }
    return sum > 0 ? total / sum : 0
  }
}

public struct ShedLevel {
  private let decrease: Double
  private let increase: Double
  /// How many a window lets in; nil: all.
  private var admitted: Double?
  /// How many were let in of late.
  private var recent: Double?
  public private(set) var level: UInt16 = 0

  /// Both in thousandths.
  public init(decreasePermille: UInt32, increasePermille: UInt32) {
    decrease = Double(decreasePermille) / 1000
    increase = Double(increasePermille) / 1000
  }

  /// After a window: what is offered, by priority; how many may pass at most while it is too much, which is what was let in,
  /// and what the limits behind are to refuse; whether it was too much.
  public mutating func update(
    offered: OfferedHistogram, passingCount: UInt64, isOverloaded: Bool
  ) {
    let total = offered.total
    let passing = Double(passingCount)
    // Up at once, as the load comes; down slowly, as one window may stand still.
    let recent = recent.map { $0 + (passing - $0) / (passing > $0 ? 2 : 8) } ?? passing
    self.recent = recent
    guard total >= 1 else {
      // Nobody asks: whoever comes next is let in.
      if !isOverloaded { (admitted, level) = (nil, 0) }
      return
    }
    if isOverloaded {
      let before = min(admitted ?? .infinity, total)
      // One window that stood still says little: no more than half is given up at once. And never more than all but a
      // hundredth of what is offered: a system that lets in nothing learns nothing.
      let now = min(before, max(recent, before / 2))
      admitted = max(now * (1 - decrease), total / 100)
    } else if let before = admitted {
      let more = before * (1 + increase)
      admitted = more < total ? more : nil
    }
    level = admitted.map { Self.cursor(offered, admitting: $0) } ?? 0
  }

  /// What was learnt is void: all is let in until the load is known anew.
  public mutating func reset() { (admitted, recent, level) = (nil, nil, 0) }

  /// The level from which on `admitting` requests fit. Cohorts are users by hash, so within a priority they are even.
  private static func cursor(_ offered: OfferedHistogram, admitting admitted: Double) -> UInt16 {
    let scale = offered.averageScale
    var left = admitted
    for priority in (0..<256).reversed() {
      let count = offered.average(priority) * scale
      if count > left {
        let cohorts = Int(256 * (1 - left / count))
        return UInt16(priority * 256 + min(max(cohorts, 0), 255))
      }
      left -= count
    }
    return 0
  }
}
