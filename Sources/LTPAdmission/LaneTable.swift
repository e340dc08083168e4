// SPDX-License-Identifier: Apache-2.0
// The lanes of a core, where its writer finds them. A lane is entered under the control mutex and taken out by
// the writer once it is closed and all its slots are durable.

public import LTPLimits
import Synchronization

public struct LaneTable {
  public static let lanesMax = 64
  /// Addresses of `LaneState`; 0: free.
  let entries: UnsafeMutablePointer<Atomic<UInt>>

  public static var memoryBytes: Int { lanesMax * MemoryLayout<UInt>.size }

  /// `memory`: `memoryBytes` zeroed bytes.
  public init(memory: UnsafeMutableRawPointer) {
    entries = memory.bindMemory(to: Atomic<UInt>.self, capacity: Self.lanesMax)
  }

  public func lane(_ index: Int) -> Lane? {
    UnsafeMutablePointer<LaneState>(bitPattern: entries[index].load(ordering: .acquiring)).map { Lane($0) }
  }

  /// The index of a free entry below `limit`.
  public func freeIndex(limit: Int) -> Int? {
    for index in 0..<Swift.min(limit, Self.lanesMax) where entries[index].load(ordering: .acquiring) == 0 {
      return index
    }
    return nil
  }

  public func enter(_ lane: Lane, at index: Int) {
    entries[index].store(UInt(bitPattern: lane.state), ordering: .releasing)
  }

  public func remove(_ index: Int) { entries[index].store(0, ordering: .releasing) }
}

/// The lanes that are entered just now.
extension LaneTable: Sequence {
  public struct Iterator: IteratorProtocol {
    let table: LaneTable
    var index = 0

    public mutating func next() -> Lane? {
      while index < LaneTable.lanesMax {
        defer { index += 1 }
        if let lane = table.lane(index) { return lane }
      }
      return nil
    }
  }

  public func makeIterator() -> Iterator { Iterator(table: self) }
}

extension LaneTable: LimitedLanes {
  public func forEachLimits(_ body: (LaneLimits) -> Void) {
    for lane in self { body(lane.state.pointee.limits) }
  }
}
