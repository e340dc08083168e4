// SPDX-License-Identifier: Apache-2.0
// The priority threshold that follows the load. Source: Zhou et al., Overload Control for Scaling WeChat Microservices
// (DAGOR), SoCC 2018, section 4.2: how many may be let in moves by small factors; the histogram of what is offered says
// where the cursor must stand for it. A level is priority * 256 + cohort.

public struct ShedLevel {
  private let decrease: Double
  private let increase: Double
  /// How many a window lets in; nil: all.
  private var admitted: Double?
  public private(set) var level: UInt16 = 0

  /// Both in thousandths.
  public init(decreasePermille: UInt32, increasePermille: UInt32) {
    decrease = Double(decreasePermille) / 1000
    increase = Double(increasePermille) / 1000
  }

  /// After a window: what was offered, by priority; how many were let in; whether that was too much.
  public mutating func update(
    offered: UnsafePointer<UInt64>, admittedCount: UInt64, isOverloaded: Bool
  ) {
    var total: UInt64 = 0
    for priority in 0..<256 { total += offered[priority] }
    guard total > 0 else {
      // Nobody asks: whoever comes next is let in.
      if !isOverloaded { (admitted, level) = (nil, 0) }
      return
    }
    if isOverloaded {
      let now = min(Double(admittedCount), admitted ?? .infinity)
      // Never less than a hundredth of what is offered: a system that lets in nothing learns nothing.
      admitted = max(now * (1 - decrease), Double(total) / 100)
    } else if let before = admitted {
      let more = before * (1 + increase)
      admitted = more < Double(total) ? more : nil
    }
    level = admitted.map { Self.cursor(offered, admitting: $0) } ?? 0
  }

  /// The level from which on `admitting` requests fit. Cohorts are users by hash, so within a priority they are even.
  private static func cursor(_ offered: UnsafePointer<UInt64>, admitting admitted: Double) -> UInt16 {
    var left = admitted
    for priority in (0..<256).reversed() where offered[priority] > 0 {
      let count = Double(offered[priority])
      if count > left {
        let cohorts = Int(256 * (1 - left / count))
        return UInt16(priority * 256 + min(max(cohorts, 0), 255))
      }
      left -= count
    }
    return 0
  }
}
