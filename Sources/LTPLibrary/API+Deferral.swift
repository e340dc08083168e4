// SPDX-License-Identifier: Apache-2.0
// ltp.h: intents that are kept, and their replay. The functions have its names.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CLTP
import CLTPSystem
import LTPAdmission
import LTPCore
import LTPDeferral
import LTPRecords
import LTPStorage
import Synchronization

@c @implementation
public func ltp_admit_keeping(
  _ lane: OpaquePointer!, _ frame: UnsafeRawPointer!, _ available: Int, _ what: UnsafePointer<ltp_keep>!,
  _ verdict: UnsafeMutablePointer<ltp_verdict>!, _ kept: UnsafeMutablePointer<ltp_kept>!
) -> Int32 {
  guard let verdict, let what else { return LTP_ERROR_NULL_ARGUMENT }
  verdict.pointee = ltp_verdict()
  kept?.pointee = ltp_kept()
  let given: ltp_keep
  do throws(OptionFault) { given = try readSized(what, least: MemoryLayout<ltp_keep>.size) } catch {
    return error.status
  }
  return withOwned(lane) { lane in
    guard let lane else { return LTP_ERROR_BAD_HANDLE }
    let core = Core(lane.state.pointee.owner)
    guard let front = core.state.pointee.front else { return LTP_ERROR_NO_DEFERRAL }
    let bytesMax = front.configuration.payloadBytesMax
    guard let payload = given.payload, given.payload_bytes > 0, given.payload_bytes <= UInt64(bytesMax)
    else { return LTP_ERROR_PAYLOAD }
    let configuration = front.configuration
    guard given.reserved == 0, let expires = nanoseconds(given.expires_after_ms) else {
      return LTP_ERROR_COMMITMENT
    }
    var draft = IntentDraft(ltp_route_request(), expiresUnixNanoseconds: 0)
    draft.key = withUnsafeBytes(of: given.key) { KeyWords.load($0.baseAddress!) }
    draft.attemptsMax = given.attempts_max == 0 ? configuration.attemptsMax : given.attempts_max
    let count = Int(given.payload_bytes)
    // Copied first: what was hashed must be what is kept, though the caller's memory may change.
    return withUnsafeTemporaryAllocation(byteCount: count, alignment: 16) { copy in
      ltp_system_copy(copy.baseAddress!, payload, count)
      guard let hash = Digest(of: copy.baseAddress!, count: count) else { return LTP_ERROR_NO_MEMORY }
      return withCopy(ofFrame: frame, available: available) { frame, available in
        guard let frame else {
          verdict.pointee = lane.admit(nil, available: 0).cValue
          return LTP_OK
        }
        let (decided, told) = core.admitKeeping(
          lane, frame, available: available, draft,
          expiresAfter: expires == 0 ? configuration.expiryNanoseconds : expires,
          payload: UnsafeRawBufferPointer(copy), hash: hash)
        verdict.pointee = decided.cValue
        kept?.pointee = told
        return LTP_OK
      }
    }
  }
}

/// nil: longer than any intent lives.
private func nanoseconds(_ milliseconds: UInt64) -> UInt64? {
  milliseconds <= DeferralConfiguration.longestMilliseconds ? milliseconds * 1_000_000 : nil
}

@c @implementation
public func ltp_kept_durable(_ core: OpaquePointer!) -> UInt64 {
  var sequence: UInt64 = 0
  _ = withCore(core) { core in
    sequence = core.state.pointee.front?.durable.pointee.load(ordering: .sequentiallyConsistent) ?? 0
    return LTP_OK
  }
  return sequence
}

@c @implementation
public func ltp_kept_wait(_ core: OpaquePointer!, _ sequence: UInt64, _ timeoutNanoseconds: UInt64) -> Int32 {
  withCore(core) { $0.waitKept(sequence, timeoutNanoseconds: timeoutNanoseconds) }
}

@c @implementation
public func ltp_kept_want(_ core: OpaquePointer!) -> Int32 { withCore(core) { $0.wantKept() } }

@c @implementation
public func ltp_intent_begin(
  _ lane: OpaquePointer!, _ handout: UnsafeMutablePointer<ltp_handout>!, _ payload: UnsafeMutableRawPointer!,
  _ capacity: Int
) -> Int32 {
  guard let handout else { return LTP_ERROR_NULL_ARGUMENT }
  handout.pointee = ltp_handout()
  guard payload != nil || capacity == 0 else { return LTP_ERROR_NULL_ARGUMENT }
  return withOwned(lane) { lane in
    guard let lane else { return LTP_ERROR_BAD_HANDLE }
    let buffer = UnsafeMutableRawBufferPointer(start: payload, count: max(0, capacity))
    return Core(lane.state.pointee.owner).beginIntent(lane, &handout.pointee, payload: buffer)
  }
}

@c @implementation
public func ltp_intent_commit(_ core: OpaquePointer!, _ ticket: UInt64, _ attempt: UInt16) -> Int32 {
  withCore(core) { core in
    core.stepIntent { log, now in
      log.commit(Ticket(rawValue: ticket), attempt: attempt, unixNanoseconds: now)
    }
  }
}

@c @implementation
public func ltp_intent_release(
  _ core: OpaquePointer!, _ ticket: UInt64, _ attempt: UInt16, _ delayMilliseconds: UInt64
) -> Int32 {
  guard let delay = nanoseconds(delayMilliseconds) else { return LTP_ERROR_COMMITMENT }
  return withCore(core) { core in
    core.stepIntent { log, now in
      log.release(Ticket(rawValue: ticket), attempt: attempt, notBefore: now + delay, unixNanoseconds: now)
    }
  }
}

@c @implementation
public func ltp_intent_abandon(_ core: OpaquePointer!, _ ticket: UInt64, _ attempt: UInt16) -> Int32 {
  withCore(core) { core in
    core.stepIntent { log, now in
      log.abandon(Ticket(rawValue: ticket), attempt: attempt, unixNanoseconds: now)
    }
  }
}

@c @implementation
public func ltp_intent_end(_ core: OpaquePointer!, _ ticket: UInt64, _ end: UInt8) -> Int32 {
  guard end == LTP_END_CANCELLED || end == LTP_END_EXPIRED else { return LTP_ERROR_OPTION_RANGE }
  return withCore(core) { core in
    core.stepIntent { log, now in log.end(Ticket(rawValue: ticket), as: end, unixNanoseconds: now) }
  }
}

@c @implementation
public func ltp_intent_hasten(_ core: OpaquePointer!, _ ticket: UInt64) -> Int32 {
  withCore(core) { core in
    core.stepIntent { log, now in log.hasten(Ticket(rawValue: ticket), unixNanoseconds: now) }
  }
}

@c @implementation
public func ltp_intent_run(
  _ lane: OpaquePointer!,
  _ carryOut: (
    @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<ltp_handout>?, UnsafeRawPointer?) -> Int32
  )!,
  _ context: UnsafeMutableRawPointer!, _ count: Int, _ done: UnsafeMutablePointer<Int>!
) -> Int32 {
  done?.pointee = 0
  guard let carryOut else { return LTP_ERROR_NULL_ARGUMENT }
  guard let owner = withOwned(lane, { $0?.state.pointee.owner }) else { return LTP_ERROR_BAD_HANDLE }
  let core = Core(owner)
  guard let front = core.state.pointee.front else { return LTP_ERROR_NO_DEFERRAL }
  let bytes = front.configuration.payloadBytesMax
  guard let payload = ltp_system_map(bytes, 0) else { return LTP_ERROR_NO_MEMORY }
  defer { ltp_system_unmap(payload, bytes) }
  var handout = ltp_handout()
  for number in 0..<max(0, count) {
    let begun = core.retryingBriefly { ltp_intent_begin(lane, &handout, payload, bytes) }
    guard begun == LTP_OK else { return begun == LTP_ERROR_NOTHING_DUE ? LTP_OK : begun }
    done?.pointee = number + 1
    let answer = carryOut(context, &handout, payload)
    if handout.verdict.retry_after_ms != 0 {
      _ = ltp_permit_release(
        lane, handout.verdict.retry_after_ms,
        answer == LTP_CARRIED_OUT ? LTP_OUTCOME_SUCCESS : LTP_OUTCOME_DROPPED, 0)
    }
    let ended = settle(handout, answer, core)
    // Its lease ran out meanwhile, or an operator ended it.
    guard ended == LTP_OK || ended == LTP_ERROR_NOT_YOURS || ended == LTP_ERROR_INTENT_ENDED else {
      return ended
    }
  }
  return LTP_OK
}

/// How long an intent that a worker's function did not carry out waits.
private let releasedNanoseconds: UInt64 = 1_000_000_000

/// Ends a hand-out as the worker's function said.
private func settle(_ handout: ltp_handout, _ answer: Int32, _ core: Core) -> Int32 {
  let ticket = Ticket(rawValue: handout.ticket)
  return core.retryingBriefly {
    core.stepIntent { log, now in
      switch answer {
      case LTP_CARRIED_OUT: log.commit(ticket, attempt: handout.attempt, unixNanoseconds: now)
      case LTP_GIVEN_UP: log.abandon(ticket, attempt: handout.attempt, unixNanoseconds: now)
      default:
        log.release(
          ticket, attempt: handout.attempt, notBefore: now + releasedNanoseconds, unixNanoseconds: now)
      }
    }
  }
}

@c @implementation
public func ltp_intent_get(
  _ core: OpaquePointer!, _ ticket: UInt64, _ intent: UnsafeMutablePointer<ltp_intent>!
) -> Int32 {
  guard let intent else { return LTP_ERROR_NULL_ARGUMENT }
  return withCore(core) { core in
    guard core.state.pointee.front != nil else { return LTP_ERROR_NO_DEFERRAL }
    guard let found = core.intent(ticket) else { return LTP_ERROR_TICKET }
    intent.pointee = found
    return LTP_OK
  }
}

@c @implementation
public func ltp_intent_list(
  _ core: OpaquePointer!, _ place: UnsafeMutablePointer<UInt64>!,
  _ intents: UnsafeMutablePointer<ltp_intent>!,
  _ capacity: Int, _ count: UnsafeMutablePointer<Int>!
) -> Int32 {
  guard let place, let intents, let count else { return LTP_ERROR_NULL_ARGUMENT }
  count.pointee = 0
  return withCore(core) { core in
    guard let found = core.listIntents(from: &place.pointee, into: intents, capacity: max(0, capacity)) else {
      return LTP_ERROR_NO_DEFERRAL
    }
    count.pointee = found
    return LTP_OK
  }
}

@c @implementation
public func ltp_deferral_status_get(
  _ core: OpaquePointer!, _ status: UnsafeMutablePointer<ltp_deferral_status>!, _ structSize: Int
) -> Int32 {
  withCore(core) { core in
    guard var found = core.deferralStatus() else { return LTP_ERROR_NO_DEFERRAL }
    found.struct_size = UInt32(MemoryLayout<ltp_deferral_status>.size)
    return writeSized(found, to: status, size: structSize, least: MemoryLayout<ltp_deferral_status>.size)
  }
}
