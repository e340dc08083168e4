// SPDX-License-Identifier: Apache-2.0
// An orientation and lanes in plain memory, without a writer: the tests play its part.

import CLTP
import CLTPSystem
import LTPLimits
import LTPRecords
import LTPTestSupport
import Synchronization
import Testing

@testable import LTPAdmission
@testable import LTPOrientation
@testable import LTPRules

/// Owns the memory; everything in it lives as long as this.
final class LaneHarness: @unchecked Sendable {
  let orientation: Orientation
  let limits: SharedLimits
  let voided: VoidedSessions
  private let memory: UnsafeMutableRawPointer
  private var mapped: [(UnsafeMutableRawPointer, Int)] = []

  static let runKey = SipKey(low: 7, high: 11)

  /// Starts in `state` under the built-in policy, at time `now`; UNKNOWN if it follows a page.
  init(
    state: UInt8 = LTP_STATE_HEALTHY, now: UInt64 = 1_000_000_000, resuming word: UInt64 = 0,
    following page: OrientationPage? = nil
  ) {
    memory = ltp_system_map(Orientation.memoryBytes, 0)!
    mapped.append((memory, Orientation.memoryBytes))
    orientation = Orientation(
      memory: memory, resuming: OrientationWord(rawValue: word), following: page)
    let shared = ltp_system_map(SharedLimits.memoryBytes, 0)!
    mapped.append((shared, SharedLimits.memoryBytes))
    limits = SharedLimits(memory: shared, tick: 1_000_000)
    let counts = ltp_system_map(VoidedSessions.memoryBytes, 0)!
    mapped.append((counts, VoidedSessions.memoryBytes))
    voided = VoidedSessions(memory: counts)
    orientation.line.pointee.tick(monotonic: now, unix: now + 5)
    load(builtInPolicy(), generation: 1, starting: true)
    if state != LTP_STATE_UNKNOWN, page == nil { publish(state) }
  }

  deinit { for (base, bytes) in mapped { ltp_system_unmap(base, bytes) } }

  func load(
    _ policy: ltp_policy, shadow: ltp_policy? = nil, generation: UInt32, starting: Bool = false
  ) {
    withUnsafePointer(to: policy) { policy in
      withUnsafePointer(to: shadow ?? ltp_policy()) {
        try! orientation.load(
          policy, shadow: shadow == nil ? nil : $0, generation: generation, starting: starting, now: 1)
      }
    }
  }

  @discardableResult
  func publish(_ state: UInt8) -> OrientationWord {
    try! orientation.publish(TransitionChange(to: state, reason: LTP_SIGNAL_OPERATOR), now: 2)
  }

  func drain() {
    while let record = orientation.nextTransition() {
      orientation.markDrained(record.numbers)
    }
  }

  func lane(id: UInt32 = 1, blockBytes: Int = 4096, blockCount: Int = 4, wait: UInt64 = 0) -> Lane {
    let configuration = LaneConfiguration(
      id: id, blockBytes: blockBytes, blockCount: blockCount, backpressureWaitNanoseconds: wait,
      runKey: Self.runKey, voided: voided)
    let ring = ltp_system_map(configuration.ringBytes, 0)!
    let state = ltp_system_map(Lane.memoryBytes, 0)!
    mapped += [(ring, configuration.ringBytes), (state, Lane.memoryBytes)]
    return Lane(
      memory: state, ring: ring, orientation: orientation, limits: limits, configuration: configuration,
      owner: memory)
  }

  /// What a hello of this session would be answered now, or in an epoch of this number.
  func life(of sessionID: UInt64, domain: UInt8 = 0, nonce: UInt64 = 1, epoch: UInt64? = nil) -> ltp_hello {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: TokenKey.memoryBytes, alignment: 16)
    defer { memory.deallocate() }
    let key = TokenKey(memory: memory, runKey: Self.runKey)
    orientation.enterDomains(of: orientation.current)
    let number = epoch ?? orientation.domains.number(of: Int(domain))
    var life = ltp_hello()
    life.session_id = sessionID
    life.domain = domain
    life.incarnation = key.incarnation(sessionID: sessionID, clientNonce: nonce)
    life.continuity_epoch = UInt32(truncatingIfNeeded: number)
    life.continuity_token = DomainEpoch(key, domain: domain, number: number)
      .token(key, sessionID: sessionID, incarnation: life.incarnation, voids: voided.count(sessionID))
    return life
  }

  func tick(to now: UInt64) { orientation.line.pointee.tick(monotonic: now, unix: now + 5) }
}

extension Lane {
  var issued: UInt64 { state.pointee.published.load(ordering: .acquiring) }

  /// The slot with this sequence, while it is still in the ring.
  func slot(_ sequence: UInt64) -> UnsafeRawPointer {
    let perBlock = state.pointee.slotsPerBlock
    let block = Int(sequence / perBlock) % state.pointee.blockCount
    return UnsafeRawPointer(
      state.pointee.ring + block * state.pointee.blockBytes + Int(LTP_BLOCK_HEADER_BYTES)
        + Int(sequence % perBlock) * Int(LTP_SLOT_BYTES))
  }

  func kind(_ sequence: UInt64) -> UInt8 { slot(sequence).load(as: UInt8.self) }

  func decision(_ sequence: UInt64) -> ltp_decision_record {
    slot(sequence).loadUnaligned(as: ltp_decision_record.self)
  }

  /// Plays the writer: gives all full blocks back.
  func release() {
    state.pointee.releasedBlocks.store(issued / state.pointee.slotsPerBlock, ordering: .releasing)
  }

  /// Begins a life of the session.
  func greet(_ sessionID: UInt64, domain: UInt8 = 0, nonce: UInt64 = 1) -> ltp_hello {
    var hello = ltp_hello()
    hello.session_id = sessionID
    hello.domain = domain
    hello.client_nonce = nonce
    var answer = ltp_hello()
    #expect(self.answer(hello: hello, into: &answer) == LTP_OK)
    return answer
  }

  func admit(_ request: ltp_route_request) -> ltp_verdict {
    withUnsafeBytes(of: request) { admit($0.baseAddress, available: $0.count).cValue }
  }

  func admit(_ request: ltp_long_request) -> ltp_verdict {
    withUnsafeBytes(of: request) { admit($0.baseAddress, available: $0.count).cValue }
  }
}
