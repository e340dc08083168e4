// SPDX-License-Identifier: Apache-2.0
// A compiled policy where lanes can copy it from. A core has four slots; the orientation word names the current
// one. A lane copies the row it needs and then checks that the word has not changed, so a slot may be
// overwritten as soon as it is no longer current: a copy that was torn by that is thrown away.

public import CLTP
public import Synchronization

public struct PolicySlot: ~Copyable {
  public static let count = 4

  /// Number of the policy in this slot; 0: none yet.
  public let generation = Atomic<UInt32>(0)
  /// The policy's priority thresholds, a byte a state, the lowest byte UNKNOWN's.
  let thresholds = Atomic<UInt64>(0)
  /// Epoch of the transition that made this slot current.
  let sinceEpoch = Atomic<UInt32>(0)
  /// What was loaded, for the trace. Guarded by the core's control mutex. Behind a pointer, as the rules are,
  /// so that loading changes no part of this structure while lanes look at it.
  public let source: UnsafeMutablePointer<ltp_policy>
  /// LTP_STATE_COUNT rows of LTP_CLASS_COUNT rules.
  let rules: UnsafeMutablePointer<Atomic<UInt64>>

  /// `rules` holds `PolicyTable.ruleCount` zeroed words; both live as long as the slot.
  init(rules: UnsafeMutablePointer<Atomic<UInt64>>, source: UnsafeMutablePointer<ltp_policy>) {
    self.rules = rules
    self.source = source
  }

  /// Overwrites the slot. Only while it is not current, under the core's control mutex.
  borrowing func load(_ policy: UnsafePointer<ltp_policy>, generation newGeneration: UInt32) {
    generation.store(newGeneration, ordering: .releasing)
    source.pointee = policy.pointee
    var packed: UInt64 = 0
    for state in 0..<UInt8(LTP_STATE_COUNT) {
      packed |= UInt64(policy.threshold(state: state)) << (UInt64(state) * 8)
      for actionClass in 0..<PolicyTable.classCount {
        let rule = PolicyTable.compile(policy, state: state, actionClass: actionClass)
        // Releasing, so that a lane which reads a new rule also sees that the word has moved on.
        rules[Int(state) * PolicyTable.classCount + actionClass]
          .store(rule.rawValue, ordering: .releasing)
      }
    }
    thresholds.store(packed, ordering: .releasing)
  }

  func threshold(state: UInt8) -> UInt8 {
    UInt8(truncatingIfNeeded: thresholds.load(ordering: .acquiring) >> (UInt64(state) * 8))
  }
}
