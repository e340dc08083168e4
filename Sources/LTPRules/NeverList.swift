// SPDX-License-Identifier: Apache-2.0
// The never list as one table: the check of policies, the compiler and the auditor ask it, so that they cannot disagree.
// The fourth rule, no EXECUTE without its record, is the lanes' and no policy's.

import CLTP

/// What the never list demands of an EXECUTE.
package struct NeverRule: Equatable, Sendable {
  package enum Demand: Equatable, Sendable {
    case nothing
    /// The session has valid continuity.
    case continuity
    /// There is none.
    case noExecute
  }

  package let demand: Demand
  /// 1 to 3; 0: no rule concerns it.
  package let number: Int

  /// For a class with these attributes (LTP_CLASS_*) in a state.
  package init(state: UInt8, attributes: UInt32) {
    switch state {
    case LTP_STATE_FAILED where attributes & LTP_CLASS_CRITICAL != 0: (demand, number) = (.noExecute, 1)
    case LTP_STATE_RECOVERING where !Self.isForNoSession(attributes): (demand, number) = (.continuity, 2)
    case LTP_STATE_UNKNOWN where attributes & LTP_CLASS_RECOVERY == 0: (demand, number) = (.noExecute, 3)
    default: (demand, number) = (.nothing, 0)
    }
  }

  /// What a stateless class may not be, because it acts.
  static var notStateless: UInt32 {
    LTP_CLASS_CRITICAL | LTP_CLASS_MUTATING | LTP_CLASS_REQUIRES_CONTINUITY | LTP_CLASS_DEFERRABLE
      | LTP_CLASS_RECOVERY
  }

  /// The second rule speaks of actions for a session. A recorded policy may claim what no check would let through.
  private static func isForNoSession(_ attributes: UInt32) -> Bool {
    attributes & (LTP_CLASS_STATELESS | notStateless) == LTP_CLASS_STATELESS
  }

  /// Why a policy that breaks it is refused: LTP_ERROR_POLICY_NEVER_*.
  package var status: Int32 {
    switch number {
    case 1: LTP_ERROR_POLICY_NEVER_1
    case 2: LTP_ERROR_POLICY_NEVER_2
    default: LTP_ERROR_POLICY_NEVER_3
    }
  }

  package var text: StaticString {
    switch number {
    case 1: "never list, 1: no critical action is EXECUTEd while FAILED"
    case 2: "never list, 2: while RECOVERING no action is EXECUTEd without valid continuity"
    default: "never list, 3: UNKNOWN is not healthy; only recovery actions are EXECUTEd in it"
    }
  }
}
