// SPDX-License-Identifier: Apache-2.0
// A compiled policy where lanes can copy it from. A core has four slots; the orientation word names the current
// one. A lane copies the row it needs and then checks that the word has not changed, so a slot may be
// overwritten as soon as it is no longer current: a copy that was torn by that is thrown away.

public import CLTP
import LTPRules
public import Synchronization

public struct PolicySlot: ~Copyable {
  public static let count = 4

  /// Number of the policy in this slot; 0: none yet.
  public let generation = Atomic<UInt32>(0)
  /// The policy's priority thresholds, a byte a state, the lowest byte UNKNOWN's.
  let thresholds = Atomic<UInt64>(0)
  /// Epoch of the transition that made this slot current.
  let sinceEpoch = Atomic<UInt64>(0)
  /// What was loaded, for the trace. Guarded by the core's control mutex. Behind a pointer, as the rules are,
  /// so that loading changes no part of this structure while lanes look at it.
  public let source: UnsafeMutablePointer<ltp_policy>
  /// LTP_STATE_COUNT rows of LTP_CLASS_COUNT rules.
  package let rules: UnsafeMutablePointer<Atomic<UInt64>>
  /// As many `Gates`.
  package let gates: UnsafeMutablePointer<Atomic<UInt32>>
  /// 1: a second policy decides beside the first, by `shadowRules`, under `shadowThresholds`.
  public let hasShadow = Atomic<UInt8>(0)
  let shadowThresholds = Atomic<UInt64>(0)
  /// Of hellos in each domain: a second, and above it the burst.
  private let hellos = Atomic<UInt64>(0)
  /// Classes whose intents may be kept, and those of them whose sessions have to shake hands before a replay.
  private let deferrable = AtomicClassSet()
  private let confirmed = AtomicClassSet()
  public let shadowSource: UnsafeMutablePointer<ltp_policy>
  package let shadowRules: UnsafeMutablePointer<Atomic<UInt64>>

  /// Zeroed memory that a slot's tables take, in bytes.
  static var tableBytes: Int {
    let rows = PolicyTable.ruleCount * (8 + 8 + 4)
    return (rows + 2 * MemoryLayout<ltp_policy>.stride + 63) / 64 * 64
  }

  /// `tables`: `tableBytes` zeroed bytes, which live as long as the slot.
  init(tables: UnsafeMutableRawPointer) {
    var next = tables
    rules = next.bindMemory(to: Atomic<UInt64>.self, capacity: PolicyTable.ruleCount)
    next += PolicyTable.ruleCount * 8
    shadowRules = next.bindMemory(to: Atomic<UInt64>.self, capacity: PolicyTable.ruleCount)
    next += PolicyTable.ruleCount * 8
    source = next.bindMemory(to: ltp_policy.self, capacity: 1)
    next += MemoryLayout<ltp_policy>.stride
    shadowSource = next.bindMemory(to: ltp_policy.self, capacity: 1)
    next += MemoryLayout<ltp_policy>.stride
    gates = next.bindMemory(to: Atomic<UInt32>.self, capacity: PolicyTable.ruleCount)
  }

  /// Overwrites the slot. Only while it is not current, under the core's control mutex.
  borrowing func load(
    _ policy: UnsafePointer<ltp_policy>, shadow: UnsafePointer<ltp_policy>?, generation newGeneration: UInt32
  ) {
    generation.store(newGeneration, ordering: .releasing)
    source.pointee = policy.pointee
    thresholds.store(Self.compile(policy, into: rules), ordering: .releasing)
    for state in 0..<UInt8(LTP_STATE_COUNT) {
      for actionClass in 0..<PolicyTable.classCount {
        let own = PolicyTable.gates(policy, state: state, actionClass: actionClass)
        gates[Int(state) * PolicyTable.classCount + actionClass].store(own.rawValue, ordering: .releasing)
      }
    }
    let rate = policy.pointee.domains.hellos
    hellos.store(UInt64(rate.per_second) | UInt64(rate.burst) << 32, ordering: .releasing)
    deferrable.store(ClassSet(policy, with: LTP_CLASS_DEFERRABLE))
    confirmed.store(ClassSet(policy, with: LTP_CLASS_REQUIRES_CONTINUITY))
    hasShadow.store(shadow == nil ? 0 : 1, ordering: .releasing)
    guard let shadow else { return }
    shadowSource.pointee = shadow.pointee
    shadowThresholds.store(Self.compile(shadow, into: shadowRules), ordering: .releasing)
  }

  /// Returns the thresholds.
  private static func compile(
    _ policy: UnsafePointer<ltp_policy>, into rules: UnsafeMutablePointer<Atomic<UInt64>>
  ) -> UInt64 {
    var thresholds: UInt64 = 0
    for state in 0..<UInt8(LTP_STATE_COUNT) {
      thresholds |= UInt64(policy.threshold(state: state)) << (UInt64(state) * 8)
      for actionClass in 0..<PolicyTable.classCount {
        let rule = PolicyTable.compile(policy, state: state, actionClass: actionClass)
        // Releasing, so that a lane which reads a new rule also sees that the word has moved on.
        rules[Int(state) * PolicyTable.classCount + actionClass]
          .store(rule.rawValue, ordering: .releasing)
      }
    }
    return thresholds
  }

  /// Whose intents may be kept.
  package var deferrableClasses: ClassSet { deferrable.load() }
  /// Whose continuity is asked for by their own attribute.
  package var confirmedClasses: ClassSet { confirmed.load() }

  package var helloRate: ltp_rate {
    let packed = hellos.load(ordering: .acquiring)
    return ltp_rate(
      per_second: UInt32(truncatingIfNeeded: packed), burst: UInt32(truncatingIfNeeded: packed >> 32))
  }

  package func shadowThreshold(state: UInt8) -> UInt8 {
    UInt8(truncatingIfNeeded: shadowThresholds.load(ordering: .acquiring) >> (UInt64(state) * 8))
  }

  package func threshold(state: UInt8) -> UInt8 {
    UInt8(truncatingIfNeeded: thresholds.load(ordering: .acquiring) >> (UInt64(state) * 8))
  }
}

/// A bit a class.
package struct ClassSet: Sendable {
  private var words: InlineArray<2, UInt64> = [0, 0]

  package init() {}

  fileprivate init(low: UInt64, high: UInt64) { words = [low, high] }

  init(_ policy: UnsafePointer<ltp_policy>, with attribute: UInt32) {
    for actionClass in 0..<PolicyTable.classCount
    where policy.classDescription(actionClass).attributes & attribute != 0 {
      words[actionClass / 64] |= 1 << UInt64(actionClass % 64)
    }
  }

  fileprivate var low: UInt64 { words[0] }
  fileprivate var high: UInt64 { words[1] }

  package func contains(_ actionClass: Int) -> Bool {
    actionClass < PolicyTable.classCount && words[actionClass / 64] >> UInt64(actionClass % 64) & 1 != 0
  }
}

private struct AtomicClassSet: ~Copyable {
  private let low = Atomic<UInt64>(0)
  private let high = Atomic<UInt64>(0)

  func store(_ set: ClassSet) {
    low.store(set.low, ordering: .releasing)
    high.store(set.high, ordering: .releasing)
  }

  func load() -> ClassSet {
    ClassSet(low: low.load(ordering: .acquiring), high: high.load(ordering: .acquiring))
  }
}
