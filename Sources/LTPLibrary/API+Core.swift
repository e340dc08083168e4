// SPDX-License-Identifier: Apache-2.0
// ltp.h: opening and closing a core, its orientation, texts, counters and status. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import CLTPSystem
import LTPAdmission
import LTPFrames
import LTPLimits
import LTPObservation
import LTPRecords
import LTPTrace
import Synchronization

@c @implementation
public func ltp_core_options_init(
  _ options: UnsafeMutablePointer<ltp_core_options>!, _ structSize: Int
) -> Int32 {
  writeSized(CoreOptions.defaults(), to: options, size: structSize, least: CoreOptions.leastBytes)
}

@c @implementation
public func ltp_core_open(
  _ options: UnsafePointer<ltp_core_options>!, _ core: UnsafeMutablePointer<OpaquePointer?>!,
  _ details: UnsafeMutablePointer<ltp_error>!
) -> Int32 {
  guard let core, let options else { return report(details, LTP_ERROR_NULL_ARGUMENT) }
  core.pointee = nil
  let given: ltp_core_options
  let checked: CoreOptions
  do throws(OptionFault) {
    given = try readSized(options, least: CoreOptions.leastBytes)
    checked = try CoreOptions(given)
  } catch {
    return report(details, fault: error)
  }
  guard let path = given.trace_directory else {
    return report(details, LTP_ERROR_NULL_ARGUMENT, text: "trace_directory is NULL; name a directory")
  }
  guard let room = ltp_system_map(MemoryLayout<ltp_policy>.size, 0) else {
    return report(details, LTP_ERROR_NO_MEMORY)
  }
  defer { ltp_system_unmap(room, MemoryLayout<ltp_policy>.size) }
  let builtIn = room.bindMemory(to: ltp_policy.self, capacity: 1)
  if given.policy == nil { DefaultPolicy.write(to: builtIn) }
  let policy = given.policy ?? UnsafePointer(builtIn)
  do throws(PolicyRefusal) { try PolicyCheck.check(policy) } catch {
    return report(details, refusal: error, policy: policy)
  }
  do throws(OpenFault) {
    let page = try followedPage(given)
    do throws(OpenFault) {
      core.pointee = try Core.open(path: path, options: checked, policy: policy, following: page).handle
    } catch {
      page?.release()
      throw error
    }
    return report(details, LTP_OK)
  } catch {
    return report(details, fault: error)
  }
}

/// The page that the options name, mapped.
private func followedPage(_ options: ltp_core_options) throws(OpenFault) -> MappedPage? {
  guard let path = options.orientation_page else { return nil }
  do throws(PageFault) {
    return try MappedPage.reading(path, anyOwner: options.flags & LTP_OPEN_ANY_PAGE_OWNER != 0)
  } catch {
    throw OpenFault(error.status, statusText(error.status), code: error.code)
  }
}

@c @implementation
public func ltp_core_close(
  _ core: OpaquePointer!, _ timeoutNanoseconds: UInt64, _ details: UnsafeMutablePointer<ltp_error>!
) -> Int32 {
  guard let core = Core(core) else { return report(details, LTP_ERROR_BAD_HANDLE) }
  return core.close(timeoutNanoseconds: timeoutNanoseconds, error: details)
}

@c @implementation
public func ltp_event_descriptor(
  _ core: OpaquePointer!, _ descriptor: UnsafeMutablePointer<Int32>!
) -> Int32 {
  guard let core = Core(core) else { return LTP_ERROR_BAD_HANDLE }
  guard let descriptor else { return LTP_ERROR_NULL_ARGUMENT }
  descriptor.pointee = -1
  guard core.isHostDriven else { return LTP_ERROR_NOT_HOST_DRIVEN }
  descriptor.pointee = core.state.pointee.events.all
  return LTP_OK
}

@c @implementation
public func ltp_poll(_ core: OpaquePointer!) -> Int32 { Core(core)?.poll() ?? LTP_ERROR_BAD_HANDLE }

@c @implementation
public func ltp_poll_end(_ core: OpaquePointer!) -> Int32 { Core(core)?.endPolling() ?? LTP_ERROR_BAD_HANDLE }

// MARK: Orientation

@c @implementation
public func ltp_orientation_publish(
  _ core: OpaquePointer!, _ transition: UnsafePointer<ltp_transition>!, _ epoch: UnsafeMutablePointer<UInt32>!
) -> Int32 {
  guard let core = Core(core) else { return LTP_ERROR_BAD_HANDLE }
  guard let transition else { return LTP_ERROR_NULL_ARGUMENT }
  let given: GivenTransition
  do throws(OptionFault) { given = try GivenTransition(transition) } catch { return error.status }
  let orientation = core.state.pointee.orientation
  guard !orientation.isFollowing else { return LTP_ERROR_PAGE_FOLLOWED }
  guard core.state.pointee.observer == nil else { return LTP_ERROR_OBSERVING }
  return given.publish(epoch: epoch) { evidence, text throws(PublishRefusal) in
    try orientation.publish(
      given.change, evidence: evidence, evidenceCount: given.evidenceCount, text: text,
      now: ltp_system_monotonic_ns())
  }
}

@c @implementation
public func ltp_orientation_get(
  _ core: OpaquePointer!, _ frame: UnsafeMutablePointer<ltp_orientation>!
) -> Int32 {
  guard let core = Core(core) else { return LTP_ERROR_BAD_HANDLE }
  guard let frame else { return LTP_ERROR_NULL_ARGUMENT }
  let orientation = core.state.pointee.orientation
  let word = orientation.current
  guard word.state < LTP_STATE_COUNT else { return LTP_ERROR_CLOSING }
  var fields = ltp_orientation()
  fields.frame_id = UInt64(word.epoch)
  fields.time_unix_ns = orientation.line.pointee.unix.load(ordering: .relaxed)
  fields.epoch = word.epoch
  fields.continuity_epoch = word.continuityEpoch
  fields.from = word.state
  fields.to = word.state
  fields.reason = LTP_SIGNAL_CORE_STARTED
  fields.priority_threshold = word.threshold
  if let record = orientation.transition(epoch: word.epoch) {
    fields.from = OrientationWord(rawValue: record.word_before).state
    fields.reason = record.reason
    fields.policy_generation = record.policy_generation
    fields.evidence_count = record.evidence_count
    fields.evidence = record.evidence
  }
  do throws(FrameError) {
    _ = try OrientationView.write(
      fields, into: UnsafeMutableRawPointer(frame), capacity: MemoryLayout<ltp_orientation>.size)
    return LTP_OK
  } catch {
    return error.status
  }
}

@c @implementation
public func ltp_text_intern(
  _ core: OpaquePointer!, _ text: UnsafePointer<CChar>!, _ id: UnsafeMutablePointer<UInt32>!
) -> Int32 {
  guard let core = Core(core) else { return LTP_ERROR_BAD_HANDLE }
  guard let text, let id else { return LTP_ERROR_NULL_ARGUMENT }
  var length = 0
  while text[length] != 0 {
    length += 1
    guard length <= Int(LTP_TEXT_BYTES_MAX) else { return LTP_ERROR_TEXT_TOO_LONG }
  }
  return core.withControlMutex {
    guard let found = core.state.pointee.texts.pointee.intern(text, length: length) else {
      return LTP_ERROR_TEXTS_MAX
    }
    id.pointee = found
    return LTP_OK
  }
}

// MARK: Counters and status

@c @implementation
public func ltp_counters_read(
  _ core: OpaquePointer!, _ counters: UnsafeMutablePointer<ltp_counter>!, _ capacity: Int,
  _ count: UnsafeMutablePointer<Int>!
) -> Int32 {
  guard let core = Core(core) else { return LTP_ERROR_BAD_HANDLE }
  guard let count, counters != nil || capacity == 0 else { return LTP_ERROR_NULL_ARGUMENT }
  let bytes = Lane.counterCount * 8
  guard let memory = ltp_system_map(bytes, 0) else { return LTP_ERROR_NO_MEMORY }
  defer { ltp_system_unmap(memory, bytes) }
  let totals = memory.bindMemory(to: UInt64.self, capacity: Lane.counterCount)
  core.withControlMutex {
    for index in 0..<Lane.counterCount { totals[index] = core.state.pointee.closedCounters[index] }
    for lane in core.state.pointee.lanes { lane.addCounters(to: totals) }
  }
  var found = 0
  for index in 0..<Lane.counterCount where totals[index] != 0 {
    if found < capacity, let counters {
      let key = Lane.counterKey(index)
      counters[found] = ltp_counter(
        count: totals[index], action_class: key.actionClass, state: key.state, verdict: key.outcome.verdict,
        reason: key.outcome.reason, reserved: (0, 0, 0))
    }
    found += 1
  }
  count.pointee = found
  return found > capacity ? LTP_ERROR_BUFFER_TOO_SMALL : LTP_OK
}

@c @implementation
public func ltp_core_status(
  _ core: OpaquePointer!, _ status: UnsafeMutablePointer<ltp_status>!, _ structSize: Int
) -> Int32 {
  guard let core = Core(core) else { return LTP_ERROR_BAD_HANDLE }
  return writeSized(core.status(), to: status, size: structSize, least: MemoryLayout<ltp_status>.size)
}

extension Core {
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
