// SPDX-License-Identifier: Apache-2.0
// A core: the rooms of one admission core put together in memory, and its life from open to close.
//
// The handle that callers hold is the address of a core's memory with a generation in its low bits. That memory, and that
// of lanes, reads as zeros after close and in a child after fork, so that a stale handle is told by its mark (Latch.swift).

import CLTP
package import CLTPSystem
package import LTPAdmission
package import LTPLimits
package import LTPOrientation
import LTPRecords
package import LTPStorage
package import LTPTrace
import Synchronization

package struct CoreState: ~Copyable {
  /// Who is in a call with the core. Every function but a lane's passes it.
  let latch: Latch
  package let orientation: Orientation
  package let lanes: LaneTable
  package let texts: UnsafeMutablePointer<TextRegistry>
  package let progress: UnsafeMutablePointer<TraceProgress>
  let writer: UnsafeMutablePointer<TraceWriter<SystemStorage>>
  /// Futex word: not 0 when the clock's thread is to end.
  let clockStop: UnsafeMutablePointer<Atomic<UInt32>>
  /// Counters of lanes that are closed. Guarded by the control mutex.
  package let closedCounters: UnsafeMutablePointer<UInt64>
  let staging: UnsafeMutableRawPointer
  /// Who keeps deferred intents; nil: nobody does.
  package let keeper: UnsafeMutablePointer<Keeper>?
  package let front: KeeperFront?
  let options: CoreOptions
  package let choice: StorageChoice
  /// Of this run alone: what tokens are made from.
  let runKey: SipKey
  let voided: VoidedSessions
  package let regulator: Regulator<LaneTable>
  /// Orients the core; nil: the host does, or a page.
  package let observer: Observer?
  /// What the core observes by itself, as the rules in force ask for. Of the thread that ticks.
  let system: UnsafeMutablePointer<SystemObserver>
  /// The page that the orientation follows.
  let page: MappedPage?
  /// Number of this run of the log.
  package let run: UInt32
  /// Number of the newest policy. Guarded by the control mutex.
  package var policyGeneration: UInt32
  // Of host-driven cores only.
  /// 1: a thread drives the writer just now.
  let driving = Atomic<UInt32>(0)
  /// The thread that polls, which the ring belongs to; 0: nobody has polled yet.
  let pollingThread = Atomic<UInt64>(0)
  package var events = ltp_system_events(all: -1, timer: -1, raised: -1)
  var writerThread = ltp_system_thread()
  var clockThread = ltp_system_thread()
}

/// A handle: copies refer to the same core.
package struct Core {
  package let state: UnsafeMutablePointer<CoreState>

  /// The core that a call has entered, or that is being laid out.
  package init(_ latch: Latch) {
    state = (latch.memory + CoreMemory.stateOffset).assumingMemoryBound(to: CoreState.self)
  }

  /// Refers to a core that exists: `state`, as a pointer to anything.
  package init(_ pointer: UnsafeMutableRawPointer) { state = pointer.assumingMemoryBound(to: CoreState.self) }

  package func withControlMutex<R>(_ body: () -> R) -> R {
    ltp_system_mutex_lock(state.pointee.orientation.controlMutex)
    defer { ltp_system_mutex_unlock(state.pointee.orientation.controlMutex) }
    return body()
  }

  var isClosing: Bool { state.pointee.progress.pointee.stop.load(ordering: .acquiring) != 0 }

  package var isHostDriven: Bool { state.pointee.options.isHostDriven }

  /// Wakes the writer's thread, or tells the host that it is wanted.
  func wakeWriter() {
    if isHostDriven { return ltp_system_events_raise(&state.pointee.events) }
    state.pointee.progress.pointee.attention.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    FutexWord.wakeAll(state.pointee.progress.pointee.attention)
  }
}

/// How a core's memory is laid out: the head of its handle, `CoreState`, the rest.
struct CoreMemory {
  static let stateOffset = 64

  private static var headBytes: Int { (stateOffset + MemoryLayout<CoreState>.size + 4095) / 4096 * 4096 }

  static var systemOffset: Int { aligned(observerOffset + Observer.memoryBytes) }
  static var regulatorOffset: Int { aligned(systemOffset + MemoryLayout<SystemObserver>.size) }
  static var voidedOffset: Int { aligned(regulatorOffset + Regulator<LaneTable>.memoryBytes) }
  static var keeperOffset: Int { aligned(voidedOffset + VoidedSessions.memoryBytes) }
  static var bytes: Int { keeperOffset + KeeperFront.memoryBytes }
  static var wholeBytes: Int { (bytes + 4095) / 4096 * 4096 }

  static var orientationOffset: Int { headBytes }
  static var lanesOffset: Int { aligned(orientationOffset + Orientation.memoryBytes) }
  static var progressOffset: Int { aligned(lanesOffset + LaneTable.memoryBytes) }
  static var wordsOffset: Int { aligned(progressOffset + MemoryLayout<TraceProgress>.size) }
  static var textsOffset: Int { aligned(wordsOffset + 64) }
  static var textMemoryOffset: Int { aligned(textsOffset + MemoryLayout<TextRegistry>.size) }
  static var observerOffset: Int { aligned(countersOffset + Lane.counterCount * 8) }
  static var countersOffset: Int { aligned(textMemoryOffset + TextRegistry.memoryBytes) }

  private static func aligned(_ offset: Int) -> Int { (offset + 63) / 64 * 64 }
}
