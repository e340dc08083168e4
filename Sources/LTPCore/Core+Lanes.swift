// SPDX-License-Identifier: Apache-2.0
// Opening lanes, and giving their memory back once the writer has dismissed them.

import CLTP
import CLTPSystem
package import LTPAdmission
import LTPLimits
import LTPOrientation
package import LTPStorage
import LTPTrace
import Synchronization

extension Core {
  /// Returns the lane's latch, which has its handle.
  package func openLane() -> Result<Latch, OpenFault> {
    guard !isClosing else { return .failure(OpenFault(LTP_ERROR_CLOSING, statusText(LTP_ERROR_CLOSING))) }
    let options = state.pointee.options
    let noMemory = OpenFault(LTP_ERROR_NO_MEMORY, "out of memory for the lane's ring")
    let ringBytes = options.trace.chain.blockBytes * options.laneBlocks
    return withControlMutex {
      guard let index = state.pointee.lanes.freeIndex(limit: options.lanesMax) else {
        return .failure(OpenFault(LTP_ERROR_LANES_MAX, statusText(LTP_ERROR_LANES_MAX)))
      }
      let id = state.pointee.progress.pointee.nextLaneID.load(ordering: .relaxed)
      guard id < UInt32.max else {
        return .failure(OpenFault(LTP_ERROR_EXHAUSTED, statusText(LTP_ERROR_EXHAUSTED)))
      }
      guard let ring = ltp_system_map(ringBytes, LTP_SYSTEM_NOT_IN_CHILD | LTP_SYSTEM_RESIDENT) else {
        return .failure(noMemory)
      }
      guard let latch = Latch(.lane, bytes: Lane.memoryBytes) else {
        ltp_system_unmap(ring, ringBytes)
        return .failure(noMemory)
      }
      state.pointee.progress.pointee.nextLaneID.store(id + 1, ordering: .releasing)
      let lane = Lane(
        memory: latch.memory, ring: ring, orientation: state.pointee.orientation,
        limits: state.pointee.regulator.shared,
        configuration: LaneConfiguration(
          id: id, blockBytes: options.trace.chain.blockBytes, blockCount: options.laneBlocks,
          backpressureWaitNanoseconds: options.backpressureWaitNanoseconds,
          runKey: state.pointee.runKey, voided: state.pointee.voided), owner: state)
      state.pointee.lanes.enter(lane, at: index)
      state.pointee.progress.pointee.openLanes.add(1, ordering: .acquiringAndReleasing)
      latch.open()
      return .success(latch)
    }
  }

  /// Ends a lane: its owner's last call. The latch is claimed.
  package static func closeLane(_ lane: Lane, _ latch: Latch) {
    let core = Core(lane.state.pointee.owner)
    let progress = core.state.pointee.progress
    latch.hide()
    lane.close()
    // Not only the writer: whoever waits for the lane's records in another thread looks whether it is still there.
    core.wakeWaiters()
    core.wakeWriter()
    // Last: a core that waits for its lanes may be gone right after.
    progress.pointee.openLanes.subtract(1, ordering: .acquiringAndReleasing)
  }

  /// Wakes who waits for the writer, though it has not moved.
  func wakeWaiters() {
    let signal = state.pointee.progress.pointee.durableSignal
    signal.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    FutexWord.wakeAll(signal)
  }

  /// Sums the lane up and gives its memory back. The writer has dismissed it, or has ended, and nobody is in a call with it.
  func reclaim(_ lane: Lane, at index: Int) {
    withControlMutex {
      lane.addCounters(to: state.pointee.closedCounters)
      let unrecorded = lane.state.pointee.unrecordedTotal.load(ordering: .acquiring)
      state.pointee.progress.pointee.unrecorded.add(unrecorded, ordering: .acquiringAndReleasing)
      state.pointee.lanes.remove(index)
      // The regulator may have found the lane just before: it is done with it once its mutex is free.
      state.pointee.regulator.remove(lane.state.pointee.limits)
      ltp_system_unmap(
        lane.state.pointee.ring, lane.state.pointee.blockBytes * lane.state.pointee.blockCount)
      Latch(of: lane.memory).discardMemory()
    }
  }
}
