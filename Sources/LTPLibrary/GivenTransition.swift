// SPDX-License-Identifier: Apache-2.0
// A caller's ltp_transition, checked: for a core and for a page.

import CLTP
import LTPAdmission
import LTPCore
import LTPOrientation
import LTPRecords

struct GivenTransition {
  private let fields: ltp_transition

  init(_ pointer: UnsafePointer<ltp_transition>) throws(OptionFault) {
    fields = try readSized(pointer, least: MemoryLayout<ltp_transition>.size)
    let status = Self.status(of: fields)
    guard status == LTP_OK else { throw OptionFault(status: status, statusText(status)) }
  }

  private static func status(of fields: ltp_transition) -> Int32 {
    guard fields.to < LTP_STATE_COUNT else { return LTP_ERROR_UNKNOWN_STATE }
    guard isObservation(fields.reason) || fields.reason == LTP_SIGNAL_OPERATOR else {
      return LTP_ERROR_UNKNOWN_SIGNAL
    }
    guard fields.evidence_count <= LTP_EVIDENCE_MAX else { return LTP_ERROR_EVIDENCE_COUNT }
    let reserved = fields.reserved
    guard fields.flags & ~(LTP_TRANSITION_ADVANCE_CONTINUITY | LTP_TRANSITION_SET_THRESHOLD) == 0,
      reserved.0 | reserved.1 | reserved.2 | reserved.3 == 0
    else { return LTP_ERROR_OPTION_RANGE }
    for index in 0..<Int(fields.evidence_count) {
      let status = fact(index, of: fields).status
      guard status == LTP_OK else { return status }
    }
    return LTP_OK
  }

  private static func fact(_ index: Int, of fields: ltp_transition) -> ltp_evidence {
    withUnsafeBytes(of: fields.evidence) {
      $0.loadUnaligned(fromByteOffset: index * MemoryLayout<ltp_evidence>.stride, as: ltp_evidence.self)
    }
  }

  /// Some evidence names a text of a core, which no other process knows.
  var namesTexts: Bool {
    (0..<Int(fields.evidence_count)).contains { Self.fact($0, of: fields).name_id != 0 }
  }

  var change: TransitionChange {
    var change = TransitionChange(to: fields.to, reason: fields.reason)
    change.advancesContinuity = fields.flags & LTP_TRANSITION_ADVANCE_CONTINUITY != 0
    change.threshold = fields.flags & LTP_TRANSITION_SET_THRESHOLD != 0 ? fields.priority_threshold : nil
    return change
  }

  var evidenceCount: Int { Int(fields.evidence_count) }

  /// Calls `body` with the evidence and the text where they lie, and says its status; writes the epoch if wanted.
  func publish(
    epoch: UnsafeMutablePointer<UInt32>?,
    _ body: (UnsafePointer<ltp_evidence>, UnsafePointer<CChar>) throws(PublishRefusal) -> OrientationWord
  ) -> Int32 {
    withUnsafeBytes(of: fields) { bytes in
      let base = bytes.baseAddress!
      let evidence = base + LTP_AT_transition_evidence
      let text = base + LTP_AT_transition_text
      do throws(PublishRefusal) {
        let word = try body(
          evidence.assumingMemoryBound(to: ltp_evidence.self), text.assumingMemoryBound(to: CChar.self))
        if let epoch { epoch.pointee = word.epoch }
        return LTP_OK
      } catch {
        return error.status
      }
    }
  }
}
