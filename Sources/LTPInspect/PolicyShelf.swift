// SPDX-License-Identifier: Apache-2.0
// The policies of a log, the last few by generation, compiled: lanes may lag behind the newest one. Each is
// checked when it comes; one that does not pass is kept for its names, and no rule of it is used.

import CLTP
import LTPRecords
import LTPRules

/// A policy as recorded. Tables have one row a state; a row has `columns` entries: the classes, then one for
/// every class that no policy can name, then one for LTP_CLASS_NONE.
final class RecordedPolicy {
  static let columns = PolicyTable.classCount + 2
  static let otherColumn = PolicyTable.classCount
  static let noneColumn = PolicyTable.classCount + 1
  /// In `required`: no EXECUTE at all.
  static let never: UInt16 = 1 << 10  // a bit that no inputs have

  let generation: UInt32
  let slot: UInt32
  let digest: Digest
  /// Which run of the core recorded it.
  let run: UInt64
  let refusal: String?
  /// CompiledRule of each state and column.
  let rules: UnsafeMutablePointer<CompiledRule>
  /// The limits that concern each state and column.
  let gates: UnsafeMutablePointer<Gates>
  /// The policy that decided beside this one.
  var shadow: RecordedPolicy?
  /// The inputs that an EXECUTE must have by the never list, by state and column.
  let required: UnsafeMutablePointer<UInt16>
  private let policy: UnsafeMutablePointer<ltp_policy>

  /// `bytes` are those of an ltp_policy; they are copied.
  init(_ bytes: UnsafeRawPointer, generation: UInt32, slot: UInt32, digest: Digest, run: UInt64) {
    self.generation = generation
    self.slot = slot
    self.digest = digest
    self.run = run
    policy = .allocate(capacity: 1)
    UnsafeMutableRawPointer(policy).copyMemory(from: bytes, byteCount: MemoryLayout<ltp_policy>.size)
    let count = PolicyTable.stateCount * Self.columns
    rules = .allocate(capacity: count)
    rules.initialize(repeating: .unknownClass, count: count)
    gates = .allocate(capacity: count)
    gates.initialize(repeating: [], count: count)
    required = .allocate(capacity: count)
    required.initialize(repeating: 0, count: count)
    refusal = Self.check(policy)
    fill()
  }

  deinit {
    policy.deallocate()
    rules.deallocate()
    gates.deallocate()
    required.deallocate()
  }

  private static func check(_ policy: UnsafePointer<ltp_policy>) -> String? {
    do {
      try PolicyCheck.check(policy)
      return nil
    } catch {
      return withUnsafeTemporaryAllocation(byteCount: 256, alignment: 1) { bytes in
        var message = MessageBuffer(bytes.baseAddress!, capacity: 256)
        error.describe(in: &message, policy: policy)
        return printable(
          String(cString: UnsafeRawPointer(bytes.baseAddress!).assumingMemoryBound(to: CChar.self)))
      }
    }
  }

  private func fill() {
    for state in 0..<PolicyTable.stateCount {
      let row = state * Self.columns
      for column in 0..<Self.columns {
        let named = column < PolicyTable.classCount
        if named, refusal == nil {
          rules[row + column] = PolicyTable.compile(policy, state: UInt8(state), actionClass: column)
          gates[row + column] = PolicyTable.gates(policy, state: UInt8(state), actionClass: column)
        }
        let attributes = named ? UnsafePointer(policy).classDescription(column).attributes : 0
        required[row + column] = Self.requiredInputs(state: UInt8(state), attributes: attributes)
      }
    }
  }

  /// The never list, as the inputs that an EXECUTE needs.
  private static func requiredInputs(state: UInt8, attributes: UInt32) -> UInt16 {
    switch NeverRule(state: state, attributes: attributes).demand {
    case .nothing: 0
    case .continuity: LTP_CONTINUITY_VALID
    case .noExecute: never
    }
  }

  /// The class's rule under a state, by column.
  @inline(__always)
  func rule(state: UInt8, column: Int) -> CompiledRule { rules[Int(state) * Self.columns + column] }

  /// What decides a request of a domain in an outage of its own, under this state of the service.
  func outageRule(state: UInt8, column: Int) -> CompiledRule {
    rule(state: LTP_STATE_UNSTABLE, column: column).inOutage(under: rule(state: state, column: column))
  }

  /// Of the state, where no host sets another.
  func threshold(state: UInt8) -> UInt8 { UnsafePointer(policy).threshold(state: state) }

  /// LTP_CLASS_*; 0 for a class that the policy does not name.
  func attributes(_ actionClass: UInt8) -> UInt32 {
    guard Int(actionClass) < PolicyTable.classCount else { return 0 }
    let described = UnsafePointer(policy).classDescription(Int(actionClass))
    return described.name.0 == 0 ? 0 : described.attributes
  }

  /// The class's name, or its number when the policy does not name it.
  func name(_ actionClass: UInt8) -> String {
    guard Int(actionClass) < PolicyTable.classCount else { return className(actionClass) }
    let described = UnsafePointer(policy).classDescription(Int(actionClass))
    return withUnsafeBytes(of: described.name) { bytes in
      let end = bytes.firstIndex(of: 0) ?? bytes.count
      return end == 0 ? className(actionClass) : printable(String(decoding: bytes[..<end], as: UTF8.self))
    }
  }
}

/// What a class is called when no policy is at hand.
func className(_ actionClass: UInt8) -> String {
  actionClass == LTP_CLASS_NONE ? "-" : "class-\(actionClass)"
}

struct PolicyShelf {
  /// A lane may be off its processor while policies are swapped: far more than any host swaps in that time.
  static let policiesMax = 64

  /// In ascending order of generation.
  private(set) var policies: [RecordedPolicy] = []
  private(set) var recordedCount: UInt64 = 0

  func policy(generation: UInt32) -> RecordedPolicy? { policies.last { $0.generation == generation } }

  /// The newest policy that was loaded into this slot of the core.
  func policy(slot: UInt8) -> RecordedPolicy? { policies.last { $0.slot == UInt32(slot) } }

  mutating func add(_ policy: RecordedPolicy) {
    recordedCount += 1
    policies.removeAll { $0.generation == policy.generation }
    if policies.count == Self.policiesMax { policies.removeFirst() }
    let place = policies.firstIndex { $0.generation > policy.generation } ?? policies.count
    policies.insert(policy, at: place)
  }
}
