// SPDX-License-Identifier: Apache-2.0
// One lane's memory: what its thread, the trace's writer and readers of counters each touch, a cache line apart.
//
// A lane's slots are numbered without a gap. Slot s lies in ring block (s / slotsPerBlock) % blockCount. The
// lane publishes how many slots it has written; the writer takes them and says which ring blocks are free again.

import CLTP
public import CLTPSystem
public import LTPLimits
public import LTPOrientation
public import LTPRecords
import LTPRules
public import Synchronization

public struct LaneState: ~Copyable {
  // The lane's thread only.
  public var cursor: UnsafeMutableRawPointer
  public var end: UnsafeMutableRawPointer
  public var word: UInt64
  /// What `watched` held when the lane last looked: `word`, or the followed page's.
  public var watchedWord: UInt64
  public var clock: UInt64
  public var timeMicroseconds: UInt32
  public var policyGeneration: UInt32
  public let line: UnsafeMutablePointer<SharedLine>
  /// The one word that a decision loads: the core's own, or that of the page which the core follows.
  public let watched: UnsafeMutablePointer<Atomic<UInt64>>
  /// Of `word`.
  public var epoch: UInt64
  /// Counters of the current state: LTP_CLASS_COUNT + 1 classes by Outcome.count.
  public var stateCounters: UnsafeMutablePointer<Atomic<UInt64>>
  /// By domain.
  @usableFromInline let domains: UnsafeMutablePointer<DomainEpoch>
  /// By domain: LTP_STATE_UNSTABLE in an outage of its own, else 0.
  let outages: UnsafeMutablePointer<UInt8>
  /// Some domain is, and the current state is none that hides it.
  var hasOutages = false
  /// As `rules`, for requests of those domains.
  let outageRules: UnsafeMutablePointer<UInt64>
  let recentHellos: UnsafeMutablePointer<RecentHello>
  let helloRates: HelloRates
  /// The policy's, of each domain.
  var helloRate = ltp_rate()
  /// The policy's classes whose intents may be kept, and those whose continuity is asked for by their own attribute.
  var deferrable = ClassSet()
  var confirmed = ClassSet()
  /// Under which continuity kept intents are replayed.
  var replayLife = ReplayLife()
  @usableFromInline let tokenKey: TokenKey
  @usableFromInline let voided: VoidedSessions
  /// The current state's rules under the current threshold, LTP_CLASS_COUNT of them, and the one of a class that
  /// cannot be.
  public let rules: UnsafeMutablePointer<UInt64>
  /// The upper half of a verdict, by outcome: all that depends on nothing but the outcome and the word.
  public let verdicts: UnsafeMutablePointer<UInt64>
  /// A `LimitsWord`: what the lane last saw.
  @usableFromInline var limitsWord: UInt64
  @usableFromInline var hasShadow = false
  public let limits: LaneLimits
  /// The shadow policy's rules, as `rules`.
  let shadowRules: UnsafeMutablePointer<UInt64>
  var blockNumber: UInt64
  var baseMonotonic: UInt64
  /// Denied without a record since the last record that says so.
  var unrecorded = UnrecordedDenials()
  let orientation: Orientation
  let backpressureWaitNanoseconds: UInt64
  let counters: UnsafeMutablePointer<Atomic<UInt64>>
  let gap1 = InlineArray<8, UInt64>(repeating: 0)

  // Written by the lane's thread, read by the writer (rarely: reading it costs the lane a cache miss).
  /// Slots written so far.
  public let published = Atomic<UInt64>(0)
  /// Decisions denied without a record, so far.
  public let unrecordedTotal = Atomic<UInt64>(0)
  /// 1: the lane was closed; its memory goes back once its slots are durable.
  public let closing = Atomic<UInt32>(0)
  let gap2 = InlineArray<8, UInt64>(repeating: 0)

  // Written by the writer, read by the lane and by waiters.
  /// Ring blocks given back so far.
  public let releasedBlocks = Atomic<UInt64>(0)
  /// Slots on disk.
  public let durable = Atomic<UInt64>(0)
  let gap3 = InlineArray<8, UInt64>(repeating: 0)

  // Written by waiters, read by the writer when it is told that somebody waits.
  /// Slots that somebody wants on disk at once, without waiting for the commit interval.
  public let wanted = Atomic<UInt64>(0)
  let gap4 = InlineArray<8, UInt64>(repeating: 0)

  #if DEBUG
    /// The thread that is in a call that only one may be in; 0: none.
    public let user = Atomic<UInt64>(0)
  #endif

  // Fixed.
  public let id: UInt32
  public let ring: UnsafeMutableRawPointer
  public let blockBytes: Int
  public let blockCount: Int
  public let slotsPerBlock: UInt64
  /// The core that the lane belongs to; for the C ABI.
  public let owner: UnsafeMutableRawPointer

  static var countersPerState: Int { (Int(LTP_CLASS_COUNT) + 1) * Outcome.count }
  static var counterCount: Int { Int(LTP_STATE_COUNT) * countersPerState }
}

/// What a lane is made of.
public struct LaneConfiguration {
  public var id: UInt32
  public var blockBytes: Int
  public var blockCount: Int
  public var backpressureWaitNanoseconds: UInt64
  public var runKey: SipKey
  public var voided: VoidedSessions

  public init(
    id: UInt32, blockBytes: Int, blockCount: Int, backpressureWaitNanoseconds: UInt64, runKey: SipKey,
    voided: VoidedSessions
  ) {
    self.id = id
    self.blockBytes = blockBytes
    self.blockCount = blockCount
    self.backpressureWaitNanoseconds = backpressureWaitNanoseconds
    self.runKey = runKey
    self.voided = voided
  }

  public var ringBytes: Int { blockBytes * blockCount }
}

/// A handle: copies refer to the same lane.
public struct Lane {
  public let state: UnsafeMutablePointer<LaneState>

  /// Zeroed memory that a lane takes beside its ring, in bytes: a multiple of a page.
  public static var memoryBytes: Int {
    (hellosOffset + RecentHello.placeCount * MemoryLayout<RecentHello>.stride + 4095) / 4096 * 4096
  }

  private static var hellosOffset: Int { outagesOffset + Int(LTP_DOMAIN_COUNT) }
  private static var outagesOffset: Int {
    domainsOffset + Int(LTP_DOMAIN_COUNT) * MemoryLayout<DomainEpoch>.stride
  }
  private static var domainsOffset: Int { (keyOffset + TokenKey.memoryBytes + 63) / 64 * 64 }
  private static var keyOffset: Int { (limitsOffset + LaneLimits.memoryBytes + 63) / 64 * 64 }
  private static var limitsOffset: Int {
    (rulesOffset + (3 * ruleCount + Outcome.count + LaneState.counterCount) * 8 + 63) / 64 * 64
  }

  private static var rulesOffset: Int { (stateOffset + MemoryLayout<LaneState>.size + 63) / 64 * 64 }
  private static var ruleCount: Int { Int(LTP_CLASS_COUNT) + 1 }

  /// Where the state lies in a lane's memory: behind the head of its handle, in one cache line with it, because a decision
  /// looks at both.
  @inlinable
  public static var stateOffset: Int { MemoryLayout<ltp_system_handle_head>.size }

  /// The memory that the lane was laid out in.
  public var memory: UnsafeMutableRawPointer { UnsafeMutableRawPointer(state) - Self.stateOffset }

  /// Refers to a lane that exists.
  @inlinable
  @inline(__always)
  public init(_ state: UnsafeMutablePointer<LaneState>) { self.state = state }

  /// Lays a lane out in `memoryBytes` zeroed bytes over a ring of `configuration.ringBytes`.
  public init(
    memory: UnsafeMutableRawPointer, ring: UnsafeMutableRawPointer, orientation: Orientation,
    limits: SharedLimits, configuration: LaneConfiguration, owner: UnsafeMutableRawPointer
  ) {
    state = (memory + Self.stateOffset).bindMemory(to: LaneState.self, capacity: 1)
    let rules = (memory + Self.rulesOffset)
      .bindMemory(to: UInt64.self, capacity: 3 * Self.ruleCount + Outcome.count)
    rules[Int(LTP_CLASS_COUNT)] = CompiledRule.unknownClass.rawValue
    let verdicts = rules + Self.ruleCount
    let shadowRules = verdicts + Outcome.count
    shadowRules[Int(LTP_CLASS_COUNT)] = CompiledRule.unknownClass.rawValue
    let outageRules = shadowRules + Self.ruleCount
    outageRules[Int(LTP_CLASS_COUNT)] = CompiledRule.unknownClass.rawValue
    let counters = UnsafeMutableRawPointer(outageRules + Self.ruleCount)
      .bindMemory(to: Atomic<UInt64>.self, capacity: LaneState.counterCount)
    let slotsPerBlock =
      (configuration.blockBytes - Int(LTP_BLOCK_HEADER_BYTES)) / Int(LTP_SLOT_BYTES)
    state.initialize(
      to: LaneState(
        cursor: ring, end: ring, word: UInt64.max, watchedWord: UInt64.max, clock: 0,
        timeMicroseconds: 0, policyGeneration: 0, line: orientation.line, watched: orientation.watched,
        epoch: 0, stateCounters: counters,
        domains: (memory + Self.domainsOffset)
          .bindMemory(to: DomainEpoch.self, capacity: Int(LTP_DOMAIN_COUNT)),
        outages: (memory + Self.outagesOffset)
          .bindMemory(to: UInt8.self, capacity: Int(LTP_DOMAIN_COUNT)), outageRules: outageRules,
        recentHellos: (memory + Self.hellosOffset)
          .bindMemory(to: RecentHello.self, capacity: RecentHello.placeCount), helloRates: limits.hellos,
        tokenKey: TokenKey(memory: memory + Self.keyOffset, runKey: configuration.runKey),
        voided: configuration.voided,
        rules: rules,
        verdicts: verdicts, limitsWord: 0,
        limits: LaneLimits(
          memory: memory + Self.limitsOffset, shared: limits, laneID: configuration.id),
        shadowRules: shadowRules,
        blockNumber: UInt64.max, baseMonotonic: 0, orientation: orientation,
        backpressureWaitNanoseconds: configuration.backpressureWaitNanoseconds, counters: counters,
        id: configuration.id, ring: ring, blockBytes: configuration.blockBytes,
        blockCount: configuration.blockCount, slotsPerBlock: UInt64(slotsPerBlock), owner: owner))
  }

  /// Adds this lane's counters to `totals`, which has `counterCount` entries. Any thread.
  public func addCounters(to totals: UnsafeMutablePointer<UInt64>) {
    for index in 0..<LaneState.counterCount {
      totals[index] &+= state.pointee.counters[index].load(ordering: .relaxed)
    }
  }

  public static var counterCount: Int { LaneState.counterCount }

  /// What the counter at `index` counts.
  public static func counterKey(_ index: Int) -> (state: UInt8, actionClass: UInt8, outcome: Outcome) {
    let inState = index % LaneState.countersPerState
    let actionClass = inState / Outcome.count
    return (
      UInt8(index / LaneState.countersPerState),
      actionClass == Int(LTP_CLASS_COUNT) ? LTP_CLASS_NONE : UInt8(actionClass),
      Outcome(rawValue: UInt8(inState % Outcome.count))
    )
  }
}
