// SPDX-License-Identifier: Apache-2.0
// ltp.h: a core's orientation, as its host publishes and reads it, and texts. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import CLTPSystem
import LTPAdmission
import LTPCore
import LTPFrames
import LTPOrientation
import LTPRecords
import LTPTrace
import Synchronization

@c @implementation
public func ltp_orientation_publish(
  _ core: OpaquePointer!, _ transition: UnsafePointer<ltp_transition>!, _ epoch: UnsafeMutablePointer<UInt32>!
) -> Int32 {
  withCore(core) { core in
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
}

@c @implementation
public func ltp_orientation_get(
  _ core: OpaquePointer!, _ frame: UnsafeMutablePointer<ltp_orientation>!
) -> Int32 {
  withCore(core) { core in
    guard let frame else { return LTP_ERROR_NULL_ARGUMENT }
    let orientation = core.state.pointee.orientation
    let (word, record) = orientation.currentTransition()
    guard word.state < LTP_STATE_COUNT else { return LTP_ERROR_CLOSING }
    guard let record else { return LTP_ERROR_TIMED_OUT }
    var fields = ltp_orientation()
    fields.frame_id = UInt64(word.epoch)
    fields.time_unix_ns = orientation.line.pointee.unix.load(ordering: .relaxed)
    fields.epoch = word.epoch
    fields.continuity_epoch = word.continuityEpoch
    fields.from = OrientationWord(rawValue: record.word_before).state
    fields.to = word.state
    fields.priority_threshold = word.threshold
    fields.reason = record.reason
    fields.policy_generation = record.policy_generation
    fields.evidence_count = record.evidence_count
    fields.evidence = record.evidence
    do throws(FrameError) {
      _ = try OrientationView.write(
        fields, into: UnsafeMutableRawPointer(frame), capacity: MemoryLayout<ltp_orientation>.size)
      return LTP_OK
    } catch {
      return error.status
    }
  }
}

@c @implementation
public func ltp_text_intern(
  _ core: OpaquePointer!, _ text: UnsafePointer<CChar>!, _ id: UnsafeMutablePointer<UInt32>!
) -> Int32 {
  withCore(core) { core in
    guard let text, let id else { return LTP_ERROR_NULL_ARGUMENT }
    return withCopy(ofText: text) { text, length in
      core.withControlMutex {
        guard let found = core.state.pointee.texts.pointee.intern(text, length: length) else {
          return LTP_ERROR_TEXTS_MAX
        }
        id.pointee = found
        return LTP_OK
      }
    }
  }
}
