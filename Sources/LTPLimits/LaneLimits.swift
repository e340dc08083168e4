// SPDX-License-Identifier: Apache-2.0
// A lane's part of every limit: what it has leased, what it counts, which gates each class passes. Written by the lane's
// thread; the regulator reads the counts.

public import CLTP
public import LTPRecords
public import LTPRules
public import Synchronization

/// What limits share between lanes. A handle: the memory is the core's.
@frozen
public struct SharedLimits {
  public let rates: RateTable
  public let pool: PermitPool
  public let hellos: HelloRates

  public static var memoryBytes: Int {
    PermitPool.memoryBytes + RateTable.memoryBytes + HelloRates.memoryBytes
  }

  /// `memory`: `memoryBytes` zeroed bytes. `tick`: of the core's clock, in nanoseconds.
  public init(memory: UnsafeMutableRawPointer, tick: UInt64) {
    pool = PermitPool(memory: memory)
    rates = RateTable(memory: memory + PermitPool.memoryBytes, tick: tick)
    hellos = HelloRates(memory: memory + PermitPool.memoryBytes + RateTable.memoryBytes, tick: tick)
  }
}

/// What the gates say to one request.
@frozen
public struct GateAnswer {
  /// LTP_GATE_*: who refused.
  public var gate: UInt8
  /// The permit that was taken.
  public var permit: UInt32
  /// When a rate has room again, monotonic; 0: no rate refused.
  public var askAgain: UInt64

  @inlinable public static var passed: GateAnswer { GateAnswer() }

  @inlinable
  @inline(__always)
  init(gate: UInt8 = LTP_GATE_NONE, permit: UInt32 = 0, askAgain: UInt64 = 0) {
    self.gate = gate
    self.permit = permit
    self.askAgain = askAgain
  }
}

/// What a lane has counted since it was opened, or since somebody looked.
public struct LaneCounts {
  public var admitted: UInt64 = 0
  public var refused: UInt64 = 0
  /// Refused by what is as large as the system: the total rate, the ramp, the concurrency limit.
  public var refusedByCapacity: UInt64 = 0
  public var refusedByConcurrency: UInt64 = 0

  public init() {}
}

/// What a class's requests must pass while nothing runs dry: all that a decision looks at, half a cache line.
@frozen
public struct ClassGate {
  /// Those that can refuse just now.
  public var gates: Gates = []
  /// A shadow policy decides beside: each request asks more than this.
  @usableFromInline var hasShadow = false
  /// Requests of a lower level are shed.
  @usableFromInline var shedLevel: UInt16 = 0
  /// Units left of the class's lease, and of the one of all classes together. Without a rate: of plenty. Nothing is left
  /// where the gates are more than these.
  @usableFromInline var own: UnsafeMutablePointer<UInt64>
  @usableFromInline var total: UnsafeMutablePointer<UInt64>
  /// Requests that the table lets in, by priority; or a place that nobody reads.
  @usableFromInline var offered: UnsafeMutablePointer<Atomic<UInt64>>
}

@frozen
public struct LaneLimits {
  /// Each class, and the one of all that cannot be.
  private static var columnCount: Int { Int(LTP_CLASS_COUNT) + 1 }
  /// Of counts: requests that the table lets in, by priority, then those not let in, by table or gate, and those that each
  /// gate refused.
  @usableFromInline static var refusedIndex: Int { 256 }
  private static var countCount: Int { refusedIndex + 1 + Int(LTP_GATE_COUNT) + 1 }

  public let classes: UnsafeMutablePointer<ClassGate>
  public let rates: LaneRates
  public let permits: LanePermits
  @usableFromInline let counts: UnsafeMutablePointer<Atomic<UInt64>>
  /// As `counts`, of classes that are not counted.
  private let uncounted: UnsafeMutablePointer<Atomic<UInt64>>
  /// The counts when the regulator last looked; its thread only.
  private let seen: UnsafeMutablePointer<UInt64>

  private static var permitsOffset: Int { rounded(columnCount * MemoryLayout<ClassGate>.stride) }
  private static var ratesOffset: Int { rounded(permitsOffset + LanePermits.memoryBytes) }
  private static var countsOffset: Int { rounded(ratesOffset + LaneRates.memoryBytes) }
  private static var uncountedOffset: Int { rounded(countsOffset + countCount * 8) }
  private static var seenOffset: Int { rounded(uncountedOffset + countCount * 8) }
  public static var memoryBytes: Int { rounded(seenOffset + countCount * 8) }

  private static func rounded(_ bytes: Int) -> Int { (bytes + 63) / 64 * 64 }

  /// `memory`: `memoryBytes` zeroed bytes, at the start of a cache line.
  public init(memory: UnsafeMutableRawPointer, shared: SharedLimits, laneID: UInt32) {
    permits = LanePermits(memory: memory + Self.permitsOffset, pool: shared.pool, laneID: laneID)
    rates = LaneRates(memory: memory + Self.ratesOffset, table: shared.rates)
    counts = (memory + Self.countsOffset).bindMemory(to: Atomic<UInt64>.self, capacity: Self.countCount)
    uncounted = (memory + Self.uncountedOffset)
      .bindMemory(to: Atomic<UInt64>.self, capacity: Self.countCount)
    seen = (memory + Self.seenOffset).bindMemory(to: UInt64.self, capacity: Self.countCount)
    classes = memory.bindMemory(to: ClassGate.self, capacity: Self.columnCount)
    classes.initialize(
      repeating: ClassGate(own: rates.plenty, total: rates.plenty, offered: uncounted),
      count: Self.columnCount)
  }

  // MARK: The lane's thread

  /// Whether a request passes on what the lane has leased already; if so, that is spent, and the request counted. False says
  /// nothing: `passGates`. `execute`: 1 where the table lets it in, else 0, and then only a shadow policy holds it up.
  ///
  /// Branches only where nearly all go the same way: which class comes next, and what the table says, is anyone's guess.
  @inlinable
  @inline(__always)
  public func passesLightly(
    column: Int, execute: UInt64, priority: UInt8, level: UInt16, cost: UInt32
  ) -> Bool {
    let gate = classes + column
    let units = (UInt64(cost) &+ (cost == 0 ? 1 : 0)) & (0 &- execute)
    let isShed = (UInt64(level) &- UInt64(gate.pointee.shedLevel)) &>> 63 & execute
    guard isShed == 0, !gate.pointee.hasShadow else { return false }
    let own = gate.pointee.own
    let total = gate.pointee.total
    guard own.pointee >= units, total.pointee >= units else { return false }
    own.pointee &-= units
    total.pointee &-= units
    let offered = gate.pointee.offered
    Self.add(execute, to: offered + Int(priority))
    Self.add(1 &- execute, to: offered + Self.refusedIndex)
    return true
  }

  /// Another policy is in force: what was leased and refused under the last one is void. `setClass` for each follows.
  public func resetRates() { rates.reset() }

  /// Void: leases that have ended at `now`, the time that the lane's decisions have from here on.
  @inlinable
  public func endLeases(now: UInt64) {
    if now >= rates.nextEnd { rates.endLeases(now: now) }
  }

  /// Sets what a class passes from now on. `gates`: of the class in the state.
  public func setClass(_ column: Int, gates: Gates, word: LimitsWord, hasShadow: Bool) {
    let active = gates.under(word)
    var gate = ClassGate(own: rates.plenty, total: rates.plenty, offered: uncounted)
    gate.gates = active
    gate.hasShadow = hasShadow
    if active.contains(.shed) { gate.shedLevel = word.shedLevel }
    if active.contains(.classRate) { gate.own = rates.left(of: column) }
    if active.contains(.totalRate) { gate.total = rates.left(of: RateTable.totalIndex) }
    if !active.isDisjoint(with: [.tenantRate, .recoveringRate, .concurrency]) { gate.total = rates.nothing }
    if active.contains(.counted) { gate.offered = counts }
    classes[column] = gate
  }

  /// Asks each gate in turn. What was taken before a refusal is given back.
  public func passGates(
    column: Int, level: UInt16, tenantID: UInt32, cost: UInt32, now: UInt64
  ) -> GateAnswer {
    let gates = classes[column].gates
    if level < classes[column].shedLevel { return GateAnswer(gate: LTP_GATE_SHED) }
    let units = UInt64(max(cost, 1))
    let tenant = RateTable.tenantIndex &+ Self.place(ofTenant: tenantID)
    let asksTenant = gates.contains(.tenantRate) && tenantID != 0
    if gates.contains(.classRate) {
      let again = rates.consume(column, cost: units, now: now)
      if again > 0 { return GateAnswer(gate: LTP_GATE_CLASS_RATE, askAgain: again) }
    }
    var answer = GateAnswer()
    if asksTenant {
      let again = rates.consume(tenant, cost: units, now: now)
      if again > 0 { answer = GateAnswer(gate: LTP_GATE_TENANT_RATE, askAgain: again) }
    }
    if answer.gate == LTP_GATE_NONE, gates.contains(.totalRate) {
      let again = rates.consume(RateTable.totalIndex, cost: units, now: now)
      if again > 0 { answer = GateAnswer(gate: LTP_GATE_TOTAL_RATE, askAgain: again) }
    }
    if answer.gate == LTP_GATE_NONE, gates.contains(.recoveringRate) {
      let again = rates.consume(RateTable.rampIndex, cost: units, now: now)
      if again > 0 { answer = GateAnswer(gate: LTP_GATE_RECOVERING_RATE, askAgain: again) }
    }
    if answer.gate == LTP_GATE_NONE, gates.contains(.concurrency) {
      answer.permit = permits.acquire(now: now)
      if answer.permit == 0 { answer.gate = LTP_GATE_CONCURRENCY }
    }
    guard answer.gate != LTP_GATE_NONE else { return answer }
    if gates.contains(.classRate) { rates.refund(column, cost: units) }
    if asksTenant, answer.gate > LTP_GATE_TENANT_RATE { rates.refund(tenant, cost: units) }
    if gates.contains(.totalRate), answer.gate > LTP_GATE_TOTAL_RATE {
      rates.refund(RateTable.totalIndex, cost: units)
    }
    if gates.contains(.recoveringRate), answer.gate > LTP_GATE_RECOVERING_RATE {
      rates.refund(RateTable.rampIndex, cost: units)
    }
    return answer
  }

  private static func place(ofTenant tenantID: UInt32) -> Int {
    // Upper bits of a product: neighbouring numbers lie far apart.
    Int((UInt64(tenantID) &* 0x9E37_79B9_7F4A_7C15) >> 54)
  }

  /// Counts a request that had to ask, or that the table refused (`isLetInByTable`: it did not).
  public func count(column: Int, priority: UInt8, gate: UInt8, isLetInByTable: Bool) {
    let offered = classes[column].offered
    let isRefused = !isLetInByTable || gate != LTP_GATE_NONE
    Self.add(isLetInByTable ? 1 : 0, to: offered + Int(priority))
    Self.add(isRefused ? 1 : 0, to: offered + Self.refusedIndex)
    if gate != LTP_GATE_NONE { Self.add(1, to: offered + Self.refusedIndex + 1 + Int(gate)) }
  }

  /// Only this thread writes it, so a load and a store do.
  @inlinable
  @inline(__always)
  static func add(_ count: UInt64, to counter: UnsafeMutablePointer<Atomic<UInt64>>) {
    counter.pointee.store(counter.pointee.load(ordering: .relaxed) &+ count, ordering: .relaxed)
  }

  // MARK: The regulator

  /// Adds what has come since the last call, by priority and in all. `offered`: what the table lets in, for what it refuses
  /// anyway needs no shedding, and would only stand in the way of what does.
  public func collectCounts(offered: UnsafeMutablePointer<UInt64>, into total: inout LaneCounts) {
    total.refused += new(Self.refusedIndex)
    var byGates: UInt64 = 0
    for gate in 1..<Int(LTP_GATE_COUNT) {
      let count = new(Self.refusedIndex + 1 + gate)
      byGates += count
      switch UInt8(gate) {
      case LTP_GATE_TOTAL_RATE, LTP_GATE_RECOVERING_RATE: total.refusedByCapacity += count
      case LTP_GATE_CONCURRENCY:
        total.refusedByCapacity += count
        total.refusedByConcurrency += count
      default: break
      }
    }
    var all: UInt64 = 0
    for priority in 0..<256 {
      let count = new(priority)
      offered[priority] += count
      all += count
    }
    // The lane goes on meanwhile: one that was refused may have been counted there and not yet here.
    total.admitted += all - min(byGates, all)
  }

  private func new(_ index: Int) -> UInt64 {
    let now = counts[index].load(ordering: .relaxed)
    defer { seen[index] = now }
    return now &- seen[index]
  }
}
