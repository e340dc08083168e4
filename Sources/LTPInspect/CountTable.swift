// SPDX-License-Identifier: Apache-2.0
// Decisions counted by state, class, verdict and reason: flat, fixed, indexed without a search.

import CLTP
import LTPRecords
import LTPRules

final class CountTable {
  static let columns = RecordedPolicy.columns
  /// Enough for every outcome byte, so that indexing needs no check.
  static let outcomeCount = 256

  private let counts: UnsafeMutablePointer<UInt64>
  private static let total = PolicyTable.stateCount * columns * outcomeCount

  init() {
    counts = allocateZeroed(Self.total * 8).bindMemory(to: UInt64.self, capacity: Self.total)
  }

  deinit { releaseZeroed(counts) }

  /// The counters of one state: column * outcomeCount + outcome. `state` is below LTP_STATE_COUNT.
  func row(state: UInt8) -> UnsafeMutablePointer<UInt64> {
    precondition(state < LTP_STATE_COUNT)
    return counts + Int(state) * Self.columns * Self.outcomeCount
  }

  func count(state: Int, column: Int, outcome: Int) -> UInt64 {
    counts[(state * Self.columns + column) * Self.outcomeCount + outcome]
  }

  @inline(__always)
  static func column(_ actionClass: UInt8) -> Int {
    actionClass < UInt8(PolicyTable.classCount)
      ? Int(actionClass)
      : (actionClass == LTP_CLASS_NONE ? RecordedPolicy.noneColumn : RecordedPolicy.otherColumn)
  }
}

extension DecisionWord {
  /// Of the tables by class.
  @inline(__always)
  var column: Int { CountTable.column(actionClass) }
}
