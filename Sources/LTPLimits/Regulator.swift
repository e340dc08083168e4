// SPDX-License-Identifier: Apache-2.0
// What moves the limits: once a window it adds up what the lanes have counted, and says in the limits word what follows
// from it. The clock's thread steps it with each tick, before lanes see the new time.

public import CLTP
import CLTPSystem
public import LTPRecords
import LTPRules
public import Synchronization

/// What one policy's limits have come to.
struct Regulation {
  var limits: ltp_policy_limits
  var concurrency: ConcurrencyLimit?
  var shed: ShedLevel?
  var retry: RetryFloor
  var window: UInt64
  var isAnythingMoving: Bool

  init(_ limits: ltp_policy_limits) {
    self.limits = limits
    concurrency = limits.concurrency == LTP_CONCURRENCY_NONE ? nil : ConcurrencyLimit(limits)
    shed =
      limits.flags & LTP_LIMITS_SHED == 0
      ? nil
      : ShedLevel(
        decreasePermille: limits.shed_decrease_permille, increasePermille: limits.shed_increase_permille)
    retry = RetryFloor(mostMilliseconds: limits.retry_horizon_max_ms)
    window = UInt64(limits.window_ms == 0 ? 100 : limits.window_ms) * 1_000_000
    isAnythingMoving =
      concurrency != nil || shed != nil || limits.retry_horizon_max_ms > 0
      || limits.flags & LTP_LIMITS_TENANT_WHEN_CONTENDED != 0
  }
}

/// Of whoever holds the mutex.
struct RegulatorState: ~Copyable {
  var regulation: Regulation
  var windowEnd: UInt64 = 0
  /// Permits that there are, wherever they lie.
  var permits: Int64 = 0
  var contendedUntil: UInt64 = 0
  /// In a part of the window there was nothing to learn from.
  var isWindowSpoilt = true
  /// When the core began to recover; 0: it does not.
  var recoveringSince: UInt64 = 0
}

/// What the limits are just now.
public struct RegulatorReading {
  public var word: LimitsWord
  public var permitsExpired: UInt64
  public var permitsOut: Int
}

/// The lanes that a regulator counts, and collects permits from.
public protocol LimitedLanes {
  /// Those that there are just now.
  func forEachLimits(_ body: (LaneLimits) -> Void)
}

/// A handle: copies refer to the same regulator, whose memory the core owns.
public struct Regulator<Lanes: LimitedLanes> {
  private let mutex: UnsafeMutablePointer<ltp_system_mutex>
  private let expired: UnsafeMutablePointer<Atomic<UInt64>>
  private let state: UnsafeMutablePointer<RegulatorState>
  private let offered: OfferedHistogram
  public let shared: SharedLimits
  /// Where the lanes read the limits word.
  private let word: UnsafeMutablePointer<Atomic<UInt64>>
  private let lanes: Lanes

  private static var expiredOffset: Int { MemoryLayout<ltp_system_mutex>.size }
  private static var stateOffset: Int { 128 }
  private static var offeredOffset: Int { (stateOffset + MemoryLayout<RegulatorState>.size + 63) / 64 * 64 }
  private static var sharedOffset: Int { offeredOffset + OfferedHistogram.memoryBytes }
  public static var memoryBytes: Int { sharedOffset + SharedLimits.memoryBytes }

  /// `memory`: `memoryBytes` zeroed bytes. `word`: where the lanes read a `LimitsWord`. `tick`: of the core's clock, in
  /// nanoseconds.
  public init(
    memory: UnsafeMutableRawPointer, word: UnsafeMutablePointer<Atomic<UInt64>>, lanes: Lanes, tick: UInt64
  ) {
    mutex = memory.bindMemory(to: ltp_system_mutex.self, capacity: 1)
    ltp_system_mutex_init(mutex)
    expired = (memory + Self.expiredOffset).bindMemory(to: Atomic<UInt64>.self, capacity: 1)
    state = (memory + Self.stateOffset).bindMemory(to: RegulatorState.self, capacity: 1)
    state.initialize(to: RegulatorState(regulation: Regulation(ltp_policy_limits())))
    offered = OfferedHistogram(memory: memory + Self.offeredOffset)
    shared = SharedLimits(memory: memory + Self.sharedOffset, tick: tick)
    self.word = word
    self.lanes = lanes
  }

  /// Takes over a policy's limits. Limits that have not changed go on from where they are.
  public func configure(_ policy: UnsafePointer<ltp_policy>, now: UInt64) {
    ltp_system_mutex_lock(mutex)
    defer { ltp_system_mutex_unlock(mutex) }
    let limits = policy.pointee.limits
    for actionClass in 0..<PolicyTable.classCount {
      shared.rates.set(actionClass, policy.classRate(actionClass))
    }
    shared.rates.set(RateTable.totalIndex, limits.total)
    shared.rates.set(RateTable.rampIndex, limits.recovering)
    shared.rates.set(RateTable.tenantIndex, limits.tenant)
    let state = state
    let before = state.pointee.regulation
    var next = Regulation(limits)
    if Self.hasSameConcurrency(before.limits, limits) { next.concurrency = before.concurrency }
    if Self.shedsAlike(before.limits, limits) { next.shed = before.shed }
    if before.limits.retry_horizon_max_ms == limits.retry_horizon_max_ms { next.retry = before.retry }
    state.pointee.regulation = next
    state.pointee.windowEnd = 0
    resize(to: next.concurrency?.value ?? 0)
    if limits.recovering.per_second == 0 { state.pointee.recoveringSince = 0 }
    if state.pointee.recoveringSince == 0 { setRamp(at: 0) }
    publish(now: now)
  }

  private static func hasSameConcurrency(_ one: ltp_policy_limits, _ other: ltp_policy_limits) -> Bool {
    one.concurrency == other.concurrency && one.concurrency_initial == other.concurrency_initial
      && one.concurrency_min == other.concurrency_min && one.concurrency_max == other.concurrency_max
      && one.concurrency_timeout_us == other.concurrency_timeout_us
  }

  private static func shedsAlike(_ one: ltp_policy_limits, _ other: ltp_policy_limits) -> Bool {
    one.flags & LTP_LIMITS_SHED == other.flags & LTP_LIMITS_SHED && one.shed_signal == other.shed_signal
      && one.shed_target == other.shed_target && one.shed_decrease_permille == other.shed_decrease_permille
      && one.shed_increase_permille == other.shed_increase_permille
  }

  /// Moves on to `now`, while the service is in `serviceState`. `signal`: the value of the signal that shedding follows, if one was pushed
  /// of late.
  public func step(now: UInt64, serviceState: UInt8, signal: (UInt8) -> Int64?) {
    ltp_system_mutex_lock(mutex)
    defer { ltp_system_mutex_unlock(mutex) }
    advanceRamp(serviceState: serviceState, now: now)
    let state = state
    guard state.pointee.regulation.isAnythingMoving else { return }
    if state.pointee.regulation.concurrency != nil { lanes.forEachLimits { $0.permits.sweep() } }
    if !canLearn(in: serviceState) { state.pointee.isWindowSpoilt = true }
    guard now >= state.pointee.windowEnd else { return }
    // Not from the window's end: after a pause there is one window, not many.
    state.pointee.windowEnd = now &+ state.pointee.regulation.window
    regulate(serviceState: serviceState, now: now, signal: signal)
    publish(now: now)
  }

  private func regulate(serviceState: UInt8, now: UInt64, signal: (UInt8) -> Int64?) {
    let state = state
    let limits = state.pointee.regulation.limits
    var counts = LaneCounts()
    offered.beginWindow()
    lanes.forEachLimits { $0.collectCounts(offered: offered.window, into: &counts) }
    offered.endWindow()
    regulateConcurrency(counts, now: now)
    // Of what shedding lets pass, the limits behind it shall still refuse one in five: with nothing to refuse they would run
    // dry between two bursts. More than that is an overload.
    var isOverloaded = counts.refusedByCapacity * 4 > counts.admitted
    let passing = counts.refusedByCapacity > 0 ? counts.admitted * 5 / 4 : counts.admitted
    if limits.shed_signal != LTP_SIGNAL_NONE, let value = signal(limits.shed_signal) {
      isOverloaded = isOverloaded || value > limits.shed_target
    }
    if !state.pointee.isWindowSpoilt {
      state.pointee.regulation.shed?.update(
        offered: offered, passingCount: passing, isOverloaded: isOverloaded)
    } else {
      state.pointee.regulation.shed?.reset()
    }
    state.pointee.isWindowSpoilt = !canLearn(in: serviceState)
    state.pointee.regulation.retry.update(admitted: counts.admitted, refused: counts.refused)
    let isShedding = (state.pointee.regulation.shed?.level ?? 0) > 0
    if counts.refusedByCapacity > 0 || isOverloaded || isShedding {
      state.pointee.contendedUntil = now &+ 1_000_000_000
    }
  }

  /// Shedding follows the load of a service that works. In an outage, and on the way out of it, the table and the ramp refuse
  /// most of what comes, and what is let in says nothing about what the service can do.
  private func canLearn(in serviceState: UInt8) -> Bool {
    switch serviceState {
    case LTP_STATE_HEALTHY, LTP_STATE_DEGRADED, LTP_STATE_SATURATED: true
    default: false
    }
  }

  private func regulateConcurrency(_ counts: LaneCounts, now: UInt64) {
    let state = state
    guard state.pointee.regulation.concurrency != nil else { return }
    let ttl = UInt64(state.pointee.regulation.limits.permit_ttl_ms) * 1_000_000
    var samples = PermitSamples()
    var inflight = 0
    var expiredCount: UInt64 = 0
    lanes.forEachLimits {
      expiredCount += $0.permits.expire(ttl: ttl, now: now)
      $0.permits.collectSamples(into: &samples)
      inflight += $0.permits.outCount()
    }
    if expiredCount > 0 { expired.pointee.add(expiredCount, ordering: .relaxed) }
    // Whoever refused had nothing left, whatever is out at this instant, and others may have fallen silent with permits.
    if counts.refusedByConcurrency > 0 {
      inflight = Int(state.pointee.permits)
      lanes.forEachLimits { $0.permits.collectStock() }
    }
    state.pointee.regulation.concurrency?.update(
      ConcurrencySample(
        latency: samples.count > 0 ? samples.latencySumNanoseconds / samples.count : nil,
        hasDropped: samples.droppedCount > 0, inflight: inflight))
    resize(to: state.pointee.regulation.concurrency?.value ?? 0)
  }

  private func resize(to limit: Int) {
    let state = state
    // What lanes have in stock counts against the limit: they must not sit on it when it falls.
    if Int64(limit) < state.pointee.permits { lanes.forEachLimits { $0.permits.collectStock() } }
    shared.pool.release(Int64(limit) - state.pointee.permits)
    state.pointee.permits = Int64(limit)
    var laneCount = 0
    lanes.forEachLimits { _ in laneCount += 1 }
    // What lanes have in stock is an eighth of the limit at most, and is collected when somebody is refused.
    shared.pool.setChunk(Int64(limit / (8 * max(laneCount, 1))))
  }

  private func advanceRamp(serviceState: UInt8, now: UInt64) {
    guard state.pointee.regulation.limits.recovering.per_second > 0 else { return }
    let state = state
    guard serviceState == LTP_STATE_RECOVERING else {
      if state.pointee.recoveringSince != 0 {
        state.pointee.recoveringSince = 0
        setRamp(at: 0)
      }
      return
    }
    if state.pointee.recoveringSince == 0 { state.pointee.recoveringSince = now }
    setRamp(at: now &- state.pointee.recoveringSince)
  }

  /// The rate of the ramp, `elapsed` nanoseconds after its beginning.
  private func setRamp(at elapsed: UInt64) {
    let limits = state.pointee.regulation.limits
    let start = UInt64(limits.ramp_start_permille)
    let length = UInt64(max(limits.ramp_ms, 1)) * 1000
    let permille = start + (1000 - min(start, 1000)) * min(elapsed / 1000, length) / length
    shared.rates.setRamp(permille: permille)
  }

  private func publish(now: UInt64) {
    let word = LimitsWord(
      shedLevel: state.pointee.regulation.shed?.level ?? 0,
      retryFloorMilliseconds: state.pointee.regulation.retry.milliseconds,
      concurrency: state.pointee.regulation.concurrency?.value ?? 0,
      isContended: now < state.pointee.contendedUntil)
    self.word.pointee.store(word.rawValue, ordering: .releasing)
  }

  /// What the limits are just now. Any thread.
  public func read() -> RegulatorReading {
    ltp_system_mutex_lock(mutex)
    defer { ltp_system_mutex_unlock(mutex) }
    var out = 0
    lanes.forEachLimits { out += $0.permits.outCount() }
    return RegulatorReading(
      word: LimitsWord(rawValue: self.word.pointee.load(ordering: .acquiring)),
      permitsExpired: expired.pointee.load(ordering: .relaxed), permitsOut: out)
  }

  /// The lane is gone: its permits are the pool's again. It is in the table no more.
  public func remove(_ limits: LaneLimits) {
    ltp_system_mutex_lock(mutex)
    defer { ltp_system_mutex_unlock(mutex) }
    limits.permits.dissolve()
  }
}
