// SPDX-License-Identifier: Apache-2.0
// What the writer tells everyone else, and the two words that threads sleep on. One per core, in memory that
// outlives the writer.

import CLTPSystem
public import Synchronization

public struct TraceProgress: ~Copyable {
  /// LTP_OK, or why the trace takes no more records. Final once set.
  public let failure = Atomic<Int32>(0)
  /// The errno behind `failure`.
  public let failureCode = Atomic<Int32>(0)
  /// LTP_OK, or why the trace takes no records just now (no space for the next segment).
  public let hindrance = Atomic<Int32>(0)
  /// Grows with every step of a durable watermark; waiters sleep on it.
  public let durableSignal: UnsafeMutablePointer<Atomic<UInt32>>
  public let waiters = Atomic<UInt32>(0)
  /// Grows when somebody wants the writer's attention; the writer sleeps on it.
  public let attention: UnsafeMutablePointer<Atomic<UInt32>>
  /// 1: some lane's `wanted` was raised since the writer looked last.
  public let flushWanted = Atomic<UInt32>(0)
  /// An eventfd that is raised when a lane whose slots are wanted has more of them on disk, and when the trace fails; -1: there is none.
  public let notified = Atomic<Int32>(-1)
  /// 1: the core is closing; 2: drain, seal and stop.
  public let stop = Atomic<UInt32>(0)
  public let sealedBlocks = Atomic<UInt64>(0)
  public let durableBlocks = Atomic<UInt64>(0)
  public let writtenBytes = Atomic<UInt64>(0)
  public let decisions = Atomic<UInt64>(0)
  public let writerCPU = Atomic<UInt64>(0)
  public let segmentIndex = Atomic<UInt64>(0)
  /// 1: writes bypass the page cache. Found out when the first segment is opened.
  public let directIO = Atomic<UInt32>(0)
  public let openLanes = Atomic<UInt32>(0)
  /// Lanes that are opened from now on are numbered from here.
  public let nextLaneID = Atomic<UInt32>(0)
  /// Decisions that closed lanes denied without a record.
  public let unrecorded = Atomic<UInt64>(0)

  /// `words`: 8 zeroed bytes that live as long as this.
  public init(words: UnsafeMutableRawPointer) {
    let bound = words.bindMemory(to: Atomic<UInt32>.self, capacity: 2)
    durableSignal = bound
    attention = bound + 1
  }

  /// Raises the descriptor that an event loop sleeps on.
  package func notify() {
    let descriptor = notified.load(ordering: .acquiring)
    if descriptor >= 0 { ltp_system_event_raise(descriptor) }
  }
}
