// SPDX-License-Identifier: Apache-2.0
// ltp_core_options, checked: every range that the contract names, and the rule for structures that grow.

package import CLTP
import CLTPSystem
import LTPAdmission
import LTPDeferral
import LTPOrientation
import LTPRecords
import LTPRules
import LTPStorage
import LTPTrace

package struct CoreOptions {
  var trace = TraceConfiguration()
  var storage: UInt32 = LTP_STORAGE_AUTO
  var laneBlocks = 16
  var lanesMax = 16
  var clockIntervalNanoseconds: UInt64 = 1_000_000
  var backpressureWaitNanoseconds: UInt64 = 0
  var key: SipKey?
  var isHostDriven = false
  /// Where deferred intents are kept; nil: they are not.
  var deferral: DeferralConfiguration?
  package var followsAnyOwnersPage = false
  /// As the host gave them; a policy may bring others.
  var signalRules: ltp_signal_rules?

  /// What callers built against the first ltp.h pass: later fields are zero for them.
  package static var leastBytes: Int { 104 }

  package static func defaults() -> ltp_core_options {
    var options = ltp_core_options()
    options.struct_size = UInt32(MemoryLayout<ltp_core_options>.size)
    options.storage = LTP_STORAGE_AUTO
    options.segment_bytes = 64 << 20
    options.block_bytes = 256 << 10
    options.lane_blocks = 16
    options.lanes_max = 16
    options.inflight_blocks_max = 8
    options.commit_interval_ns = 1_000_000
    options.clock_interval_ns = 1_000_000
    options.lock_wait_ns = 500_000_000
    return options
  }

  package init(_ options: ltp_core_options) throws(OptionFault) {
    guard options.storage <= LTP_STORAGE_PWRITEV else {
      throw OptionFault("storage is not one of LTP_STORAGE_*")
    }
    guard options.flags & ~(LTP_OPEN_VERIFY_TAIL | LTP_OPEN_ANY_PAGE_OWNER | LTP_OPEN_HOST_DRIVEN) == 0 else {
      throw OptionFault("unknown bit in flags")
    }
    let block = options.block_bytes
    guard (16 << 10...1 << 20).contains(block), block & (block - 1) == 0 else {
      throw OptionFault("block_bytes is not a power of two from 16 KiB to 1 MiB")
    }
    guard (512 << 10...1 << 30).contains(options.segment_bytes), options.segment_bytes % 4096 == 0,
      options.segment_bytes >= 4 * UInt64(block)
    else {
      throw OptionFault("segment_bytes is not whole pages from 512 KiB to 1 GiB, at least 4 blocks")
    }
    guard (2...1024).contains(options.lane_blocks) else {
      throw OptionFault("lane_blocks is not from 2 to 1024")
    }
    guard (1...64).contains(options.lanes_max) else { throw OptionFault("lanes_max is not from 1 to 64") }
    guard (1...64).contains(options.inflight_blocks_max) else {
      throw OptionFault("inflight_blocks_max is not from 1 to 64")
    }
    guard (50_000...1_000_000_000).contains(options.commit_interval_ns) else {
      throw OptionFault("commit_interval_ns is not from 50 us to 1 s")
    }
    guard (50_000...1_000_000_000).contains(options.clock_interval_ns) else {
      throw OptionFault("clock_interval_ns is not from 50 us to 1 s")
    }
    guard options.backpressure_wait_ns <= 3_600_000_000_000 else {
      throw OptionFault("backpressure_wait_ns is more than an hour")
    }
    isHostDriven = options.flags & LTP_OPEN_HOST_DRIVEN != 0
    followsAnyOwnersPage = options.flags & LTP_OPEN_ANY_PAGE_OWNER != 0
    guard !isHostDriven || options.backpressure_wait_ns == 0 else {
      throw OptionFault("backpressure_wait_ns must be 0 with LTP_OPEN_HOST_DRIVEN")
    }
    guard options.lock_wait_ns <= 60_000_000_000 else {
      throw OptionFault("lock_wait_ns is more than 60 s")
    }
    storage = options.storage
    trace.chain.segmentBytes = options.segment_bytes
    trace.chain.blockBytes = Int(block)
    trace.chain.inflightMax = Int(options.inflight_blocks_max)
    trace.chain.retainSegments = UInt64(options.retain_segments)
    trace.chain.retainBytes = options.retain_bytes
    trace.commitIntervalNanoseconds = options.commit_interval_ns
    trace.chain.lockWaitNanoseconds = options.lock_wait_ns
    trace.chain.verifiesTailOnly = options.flags & LTP_OPEN_VERIFY_TAIL != 0
    laneBlocks = Int(options.lane_blocks)
    lanesMax = Int(options.lanes_max)
    clockIntervalNanoseconds = options.clock_interval_ns
    backpressureWaitNanoseconds = options.backpressure_wait_ns
    guard options.signal_rules == nil || options.orientation_page == nil else {
      throw OptionFault(
        "signal_rules and orientation_page: a core that follows a page does not orient itself")
    }
    if let rules = options.signal_rules {
      let given = try readSized(rules, least: MemoryLayout<ltp_signal_rules>.size)
      do throws(SignalRulesFault) { try given.check() } catch {
        throw OptionFault(status: LTP_ERROR_SIGNAL_RULES, signal: error.signal, error.text)
      }
      signalRules = given
    }
    if let deferral = options.deferral {
      self.deferral = try DeferralConfiguration(
        readSized(deferral, least: MemoryLayout<ltp_deferral_options>.size))
      self.deferral?.chain.lockWaitNanoseconds = options.lock_wait_ns
    }
    if let key = options.continuity_key {
      let words = copied(key, as: (UInt64, UInt64).self)
      let given = SipKey(low: words.0, high: words.1)
      guard !given.isNoSecret else {
        throw OptionFault("continuity_key's bytes are all equal; pass 16 secret random bytes, or NULL")
      }
      self.key = given
    }
  }
}

extension CoreOptions {
  /// By which rules a core with this policy orients itself: the policy's, or the host's. Nil: it does not.
  func rules(under policy: UnsafePointer<ltp_policy>, isFollowing: Bool) -> ltp_signal_rules? {
    guard !isFollowing else { return nil }
    let given = policy.hasSignals ? policy.pointee.signals : signalRules
    return given?.withWatchedPressure(clockInterval: clockIntervalNanoseconds)
  }
}

extension DeferralConfiguration {
  /// Checks what the host gave; zero is the default.
  fileprivate init(_ options: ltp_deferral_options) throws(OptionFault) {
    self.init()
    func given<Number: FixedWidthInteger>(
      _ value: Number, _ usual: UInt64, _ range: ClosedRange<UInt64>, _ text: StaticString
    ) throws(OptionFault) -> UInt64 {
      let value = value == 0 ? usual : UInt64(value)
      guard range.contains(value) else { throw OptionFault(text) }
      return value
    }
    let years = Self.longestMilliseconds
    guard options.flags == 0,
      options.reserved == 0, options.reserved_2 == 0
    else { throw OptionFault("deferral: a reserved field or flag is not zero") }
    capacity = Int(
      try given(
        options.capacity, 65_536, 1...UInt64(IntentTable.capacityMax),
        "deferral.capacity is not from 1 to 16,777,215"))
    bytesMax = try given(options.bytes_max, 1 << 30, 1...1 << 50, "deferral.bytes_max is more than 1 PiB")
    let block = try given(
      options.block_bytes, 256 << 10, 16 << 10...1 << 20,
      "deferral.block_bytes is not a power of two from 16 KiB to 1 MiB")
    guard block & (block - 1) == 0 else {
      throw OptionFault("deferral.block_bytes is not a power of two from 16 KiB to 1 MiB")
    }
    payloadBytesMax = Int(
      try given(
        options.payload_bytes_max, min(64 << 10, block - 512), 1...block - 512,
        "deferral.payload_bytes_max is more than block_bytes less 512"))
    perSessionMax = Int(
      try given(
        options.per_session_max, 1024, 1...UInt64(UInt32.max), "deferral.per_session_max is out of range"))
    if options.per_tenant_max > 0 { perTenantMax = Int(options.per_tenant_max) }
    if options.session_bytes_max > 0 { sessionBytesMax = options.session_bytes_max }
    if options.tenant_bytes_max > 0 { tenantBytesMax = options.tenant_bytes_max }
    attemptsMax = UInt16(
      try given(options.attempts_max, 10, 1...65_535, "deferral.attempts_max is more than 65,535"))
    leaseNanoseconds =
      try given(options.lease_ms, 30_000, 1...86_400_000, "deferral.lease_ms is more than a day") * 1_000_000
    expiryNanoseconds =
      try given(options.expiry_ms, 86_400_000, 1...years, "deferral.expiry_ms is more than 10 years")
      * 1_000_000
    rememberNanoseconds =
      try given(options.remember_ms, 3_600_000, 1...years, "deferral.remember_ms is more than 10 years")
      * 1_000_000
    let segment = try given(
      options.segment_bytes, 16 << 20, 512 << 10...1 << 30,
      "deferral.segment_bytes is not whole pages from 512 KiB to 1 GiB, at least 4 blocks")
    guard segment % 4096 == 0, segment >= 4 * block else {
      throw OptionFault("deferral.segment_bytes is not whole pages from 512 KiB to 1 GiB, at least 4 blocks")
    }
    chain.segmentBytes = segment
    chain.blockBytes = Int(block)
    chain.stagingCount = 4
    chain.inflightMax = 3
  }
}
