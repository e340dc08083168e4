// SPDX-License-Identifier: Apache-2.0
// The lanes of a core, where its writer finds them. A lane is entered under the control mutex and taken out by
// the writer once it is closed and all its slots are durable.

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

  /// Each lane that is entered just now.
  public func forEach(_ body: (Lane) -> Void) {
    for index in 0..<Self.lanesMax {
      if let lane = lane(index) { body(lane) }
    }
  }

  /// The index of a free entry below `limit`.
  public func freeIndex(limit: Int) -> Int? {
    for index in 0..<min(limit, Self.lanesMax) where entries[index].load(ordering: .acquiring) == 0 {
      return index
    }
    return nil
  }

  public func enter(_ lane: Lane, at index: Int) {
    entries[index].store(UInt(bitPattern: lane.state), ordering: .releasing)
  }

  public func remove(_ index: Int) { entries[index].store(0, ordering: .releasing) }
}
