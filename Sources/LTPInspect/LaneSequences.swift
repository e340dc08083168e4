// SPDX-License-Identifier: Apache-2.0
// Where each lane's sequence stands. Lanes are numbered through the whole log, and those of a run end with it, so
// the table holds the lanes of one run, and no more than `lanesMax` of them: past that the ones that have been
// silent longest are forgotten.

struct LaneSequences {
  static let lanesMax = 1 << 16

  struct Lane {
    var nextSequence: UInt64
    var word: UInt64
    var monotonicNanoseconds: UInt64
    var lastBlock: UInt64
  }

  private var lanes: [UInt32: Lane] = [:]
  /// Lanes below this one may have begun in blocks that are not at hand.
  private var startsSeenFrom: UInt32 = 0
  private(set) var highest: UInt32 = 0
  private(set) var forgottenCount: UInt64 = 0
  private var someForgotten = false

  subscript(_ lane: UInt32) -> Lane? { lanes[lane] }

  /// Whether the lane's first block must have come by, so that an unknown lane starts at 0.
  func mustStartHere(_ lane: UInt32) -> Bool { !someForgotten && lane >= startsSeenFrom }

  mutating func set(_ lane: UInt32, _ value: Lane) {
    highest = max(highest, lane)
    if lanes.count >= Self.lanesMax, lanes[lane] == nil { forgetHalf() }
    lanes[lane] = value
  }

  /// A run begins: the lanes before it are over. The control lane goes on.
  mutating func beginRun() {
    lanes = lanes.filter { $0.key == 0 }
    startsSeenFrom = 0
    someForgotten = false
  }

  /// The log's beginning is not at hand: the lanes of this run may have begun before.
  mutating func beginLate() { startsSeenFrom = UInt32.max }

  mutating func setWord(_ lane: UInt32, _ word: UInt64) { lanes[lane]?.word = word }

  /// What follows may not fit what came before.
  mutating func forget() {
    lanes = [:]
    startsSeenFrom = UInt32.max
  }

  private mutating func forgetHalf() {
    let sorted = lanes.values.map(\.lastBlock).sorted()
    let middle = sorted[sorted.count / 2]
    let before = lanes.count
    lanes = lanes.filter { $0.key == 0 || $0.value.lastBlock > middle }
    forgottenCount += UInt64(before - lanes.count)
    someForgotten = true
  }
}
