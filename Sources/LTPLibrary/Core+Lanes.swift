// SPDX-License-Identifier: Apache-2.0
// Opening lanes, and giving their memory back once the writer has dismissed them.

import CLTP
import CLTPSystem
import LTPAdmission
import LTPObservation
import LTPTrace
import Synchronization

extension Core {
  func openLane() -> Result<Lane, OpenFault> {
    guard !isClosing else { return .failure(OpenFault(LTP_ERROR_CLOSING, statusText(LTP_ERROR_CLOSING))) }
    let options = state.pointee.options
    let noMemory = OpenFault(LTP_ERROR_NO_MEMORY, "out of memory for the lane's ring")
    let ringBytes = options.trace.blockBytes * options.laneBlocks
    return withControlMutex {
      guard let index = state.pointee.lanes.freeIndex(limit: options.lanesMax) else {
        return .failure(OpenFault(LTP_ERROR_LANES_MAX, statusText(LTP_ERROR_LANES_MAX)))
      }
      guard let ring = ltp_system_map(ringBytes, LTP_SYSTEM_NOT_IN_CHILD | LTP_SYSTEM_RESIDENT) else {
        return .failure(noMemory)
      }
      guard let memory = ltp_system_handle_take(LTP_SYSTEM_HANDLE_LANE, Lane.memoryBytes) else {
        ltp_system_unmap(ring, ringBytes)
        return .failure(noMemory)
      }
      let id = state.pointee.progress.pointee.nextLaneID.load(ordering: .relaxed)
      guard id < UInt32.max else {
        ltp_system_unmap(ring, ringBytes)
        ltp_system_handle_give(LTP_SYSTEM_HANDLE_LANE, memory, Lane.memoryBytes)
        return .failure(OpenFault(LTP_ERROR_EXHAUSTED, statusText(LTP_ERROR_EXHAUSTED)))
      }
      state.pointee.progress.pointee.nextLaneID.store(id + 1, ordering: .releasing)
      let lane = Lane(
        memory: memory, ring: ring, orientation: state.pointee.orientation,
        limits: state.pointee.regulator.shared,
        configuration: LaneConfiguration(
          id: id, blockBytes: options.trace.blockBytes, blockCount: options.laneBlocks,
          backpressureWaitNanoseconds: options.backpressureWaitNanoseconds,
          coreKey: state.pointee.coreKey), owner: state)
      state.pointee.lanes.enter(lane, at: index)
      state.pointee.progress.pointee.openLanes.add(1, ordering: .acquiringAndReleasing)
      return .success(lane)
    }
  }

  /// Ends a lane: its owner's last call.
  static func closeLane(_ lane: Lane) {
    let core = Core(lane.state.pointee.owner)
    let progress = core.state.pointee.progress
    lane.close()
    core.callWriter()
    // Last: a core that waits for its lanes may be gone right after.
    progress.pointee.openLanes.subtract(1, ordering: .acquiringAndReleasing)
  }

  /// Sums the lane up and gives its memory back. The writer has dismissed it, or has ended.
  func reclaim(_ lane: Lane, at index: Int) {
    withControlMutex {
      lane.addCounters(to: state.pointee.closedCounters)
      let unrecorded = lane.state.pointee.unrecordedTotal.load(ordering: .acquiring)
      state.pointee.progress.pointee.unrecorded.add(unrecorded, ordering: .acquiringAndReleasing)
      state.pointee.lanes.remove(index)
      // The regulator may have found the lane just before: it is done with it once its lock is free.
      state.pointee.regulator.forget(lane)
      ltp_system_unmap(
        lane.state.pointee.ring, lane.state.pointee.blockBytes * lane.state.pointee.blockCount)
      ltp_system_handle_give(LTP_SYSTEM_HANDLE_LANE, lane.state, Lane.memoryBytes)
    }
  }
}
