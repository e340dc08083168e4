// SPDX-License-Identifier: Apache-2.0
// ltp.h: counters and status. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import CLTPSystem
import LTPAdmission
import LTPCore
import LTPLimits
import LTPOrientation
import LTPRecords
import LTPRules
import LTPStorage
import LTPTrace
import Synchronization

@c @implementation
public func ltp_counters_read(
  _ core: OpaquePointer!, _ counters: UnsafeMutablePointer<ltp_counter>!, _ capacity: Int,
  _ count: UnsafeMutablePointer<Int>!
) -> Int32 {
  withCore(core) { core in
    guard let count, counters != nil || capacity == 0 else { return LTP_ERROR_NULL_ARGUMENT }
    return core.readCounters(into: counters, capacity: capacity, count: count)
  }
}

@c @implementation
public func ltp_core_status(
  _ core: OpaquePointer!, _ status: UnsafeMutablePointer<ltp_status>!, _ structSize: Int
) -> Int32 {
  withCore(core) { core in
    writeSized(core.status(), to: status, size: structSize, least: MemoryLayout<ltp_status>.size)
  }
}

extension Core {
  /// Sums the lanes' counters up. `count`: how many are not zero; as many as `capacity` are written.
  fileprivate func readCounters(
    into counters: UnsafeMutablePointer<ltp_counter>?, capacity: Int, count: UnsafeMutablePointer<Int>
  ) -> Int32 {
    let bytes = Lane.counterCount * 8
    guard let memory = ltp_system_map(bytes, 0) else { return LTP_ERROR_NO_MEMORY }
    defer { ltp_system_unmap(memory, bytes) }
    let totals = memory.bindMemory(to: UInt64.self, capacity: Lane.counterCount)
    withControlMutex {
      for index in 0..<Lane.counterCount { totals[index] = state.pointee.closedCounters[index] }
      for lane in state.pointee.lanes { lane.addCounters(to: totals) }
    }
    var found = 0
    for index in 0..<Lane.counterCount where totals[index] != 0 {
      if found < capacity, let counters {
        let key = Lane.counterKey(index)
        counters[found] = ltp_counter(
          count: totals[index], action_class: UInt16(key.actionClass), state: key.state,
          verdict: key.outcome.verdict, reason: key.outcome.reason, reserved: (0, 0, 0))
      }
      found += 1
    }
    count.pointee = found
    return found > capacity ? LTP_ERROR_BUFFER_TOO_SMALL : LTP_OK
  }

  fileprivate func status() -> ltp_status {
    var status = ltp_status()
    let progress = state.pointee.progress
    let choice = state.pointee.choice
    let failure = progress.pointee.failure.load(ordering: .acquiring)
    status.trace_status = failure != LTP_OK ? failure : progress.pointee.hindrance.load(ordering: .relaxed)
    status.storage = choice.storage
    status.lanes_open = progress.pointee.openLanes.load(ordering: .relaxed)
    status.blocks_sealed = progress.pointee.sealedBlocks.load(ordering: .relaxed)
    status.blocks_durable = progress.pointee.durableBlocks.load(ordering: .relaxed)
    status.bytes_written = progress.pointee.writtenBytes.load(ordering: .relaxed)
    status.records_written = progress.pointee.decisions.load(ordering: .relaxed)
    status.writer_cpu_ns = progress.pointee.writerCPU.load(ordering: .relaxed)
    status.backpressure_denied = unrecordedCount()
    status.segment_index = progress.pointee.segmentIndex.load(ordering: .relaxed)
    status.direct_io = progress.pointee.directIO.load(ordering: .relaxed)
    status.registered_buffers = choice.registersBuffers ? 1 : 0
    withUnsafeMutableBytes(of: &status.storage_reason) { bytes in
      guard choice.ringFault != 0 else { return }
      var message = MessageBuffer(bytes.baseAddress!, capacity: bytes.count)
      message.append("io_uring cannot be had: ")
      message.append(ltp_system_error_text(choice.ringFault))
    }
    let limits = state.pointee.regulator.read()
    status.permits_expired = limits.permitsExpired
    status.permits_out = UInt32(limits.permitsOut)
    status.concurrency_limit = UInt32(limits.word.concurrency)
    status.shed_level = limits.word.shedLevel
    status.retry_floor_ms = limits.word.retryFloorMilliseconds
    let orientation = state.pointee.orientation
    let numbers = orientation.numbers(of: orientation.current)
    status.epoch = numbers.epoch
    status.continuity_epoch = numbers.continuityEpoch
    status.lanes_left = UInt32.max - progress.pointee.nextLaneID.load(ordering: .relaxed)
    status.policies_left = UInt32.max - withControlMutex { state.pointee.policyGeneration }
    status.runs_left = UInt32.max - state.pointee.run
    status.texts_left = UInt32(Int(LTP_TEXT_COUNT_MAX) - state.pointee.texts.pointee.count)
    return status
  }

  fileprivate func unrecordedCount() -> UInt64 {
    withControlMutex {
      var total = state.pointee.progress.pointee.unrecorded.load(ordering: .relaxed)
      for lane in state.pointee.lanes {
        total += lane.state.pointee.unrecordedTotal.load(ordering: .relaxed)
      }
      return total
    }
  }
}
