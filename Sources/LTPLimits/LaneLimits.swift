// SPDX-License-Identifier: Apache-2.0
// A lane's part of every limit: what it has leased, what it counts, which gates each class passes. Written by the lane's
// thread; the regulator reads the counts.

public import CLTP
public import Synchronization

/// What limits share between lanes. A handle: the memory is the core's.
@frozen
public struct SharedLimits {
  public let rates: RateTable
  public let pool: PermitPool

  public static var memoryBytes: Int { PermitPool.memoryBytes + RateTable.memoryBytes }

  /// `memory`: `memoryBytes` zeroed bytes. `tick`: of the core's clock, in nanoseconds.
  public init(memory: UnsafeMutableRawPointer, tick: UInt64) {
    pool = PermitPool(memory: memory)
    rates = RateTable(memory: memory + PermitPool.memoryBytes, tick: tick)
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

@frozen
public struct LaneLimits {
  private static var columns: Int { Int(LTP_CLASS_COUNT) + 1 }
  @usableFromInline static var admittedIndex: Int { 256 }
  @usableFromInline static var refusedIndex: Int { 257 }
  private static var countCount: Int { 256 + 2 + Int(LTP_GATE_COUNT) + 1 }

  /// Of each column, in the lane's state: those that can refuse just now.
  public let gates: UnsafeMutablePointer<Gates>
  /// Of the limits word.
  public let shedLevel: UnsafeMutablePointer<UInt16>
  public let rates: LaneRates
  public let permits: LanePermits
  /// Requests by priority, then admitted, refused, and refused by each gate.
  @usableFromInline let counts: UnsafeMutablePointer<Atomic<UInt64>>
  /// The counts when the regulator last looked; its thread only.
  private let seen: UnsafeMutablePointer<UInt64>

  private static var shedOffset: Int { 136 }
  private static var permitsOffset: Int { 192 }
  private static var ratesOffset: Int { permitsOffset + LanePermits.memoryBytes }
  private static var countsOffset: Int { ratesOffset + LaneRates.memoryBytes }
  private static var seenOffset: Int { (countsOffset + countCount * 8 + 63) / 64 * 64 }
  public static var memoryBytes: Int { (seenOffset + countCount * 8 + 63) / 64 * 64 }

  /// `memory`: `memoryBytes` zeroed bytes, at the start of a cache line.
  public init(memory: UnsafeMutableRawPointer, shared: SharedLimits, laneID: UInt32) {
    gates = memory.bindMemory(to: Gates.self, capacity: Self.columns)
    shedLevel = (memory + Self.shedOffset).bindMemory(to: UInt16.self, capacity: 1)
    permits = LanePermits(memory: memory + Self.permitsOffset, pool: shared.pool, laneID: laneID)
    rates = LaneRates(memory: memory + Self.ratesOffset, table: shared.rates)
    counts = (memory + Self.countsOffset).bindMemory(to: Atomic<UInt64>.self, capacity: Self.countCount)
    seen = (memory + Self.seenOffset).bindMemory(to: UInt64.self, capacity: Self.countCount)
  }

  // MARK: The lane's thread

  /// Whether the request passes its gates on what the lane has leased already; if so, that is spent. False says nothing:
  /// `ask`.
  @inlinable
  @inline(__always)
  public func passesLightly(_ gates: Gates, column: Int, level: UInt16, cost: UInt32, now: UInt64) -> Bool {
    guard gates.isDisjoint(with: [.tenantRate, .recoveringRate, .permit]) else { return false }
    if gates.contains(.shed), level < shedLevel.pointee { return false }
    let units = UInt64(cost) &+ (cost == 0 ? 1 : 0)
    let own = rates.words + column &* 4
    let total = rates.words + RateTable.totalIndex &* 4
    // Without asking whether the class has a rate: which class comes next is anyone's guess, and one without has plenty.
    guard own[0] >= units, now < own[1] else { return false }
    if gates.contains(.totalRate) {
      guard total[0] >= units, now < total[1] else { return false }
      total[0] &-= units
    }
    own[0] &-= units
    return true
  }

  /// Another policy is in force: what was leased and refused under the last one is void. `setGates` for each class follows.
  public func forgetRates() { rates.forget() }

  /// Sets what a class passes from now on.
  public func setGates(_ gates: Gates, column: Int) {
    self.gates[column] = gates
    if gates.contains(.classRate) { rates.close(column) } else { rates.open(column) }
  }

  /// Asks each gate in turn. What was taken before a refusal is given back.
  public func ask(
    _ gates: Gates, column: Int, level: UInt16, tenantID: UInt32, cost: UInt32, now: UInt64
  ) -> GateAnswer {
    if gates.contains(.shed), level < shedLevel.pointee { return GateAnswer(gate: LTP_GATE_SHED) }
    let units = UInt64(max(cost, 1))
    let tenant = RateTable.tenantIndex &+ Self.place(ofTenant: tenantID)
    let asksTenant = gates.contains(.tenantRate) && tenantID != 0
    if gates.contains(.classRate) {
      let again = rates.take(column, cost: units, now: now)
      if again > 0 { return GateAnswer(gate: LTP_GATE_CLASS_RATE, askAgain: again) }
    }
    var answer = GateAnswer()
    if asksTenant {
      let again = rates.take(tenant, cost: units, now: now)
      if again > 0 { answer = GateAnswer(gate: LTP_GATE_TENANT_RATE, askAgain: again) }
    }
    if answer.gate == LTP_GATE_NONE, gates.contains(.totalRate) {
      let again = rates.take(RateTable.totalIndex, cost: units, now: now)
      if again > 0 { answer = GateAnswer(gate: LTP_GATE_TOTAL_RATE, askAgain: again) }
    }
    if answer.gate == LTP_GATE_NONE, gates.contains(.recoveringRate) {
      let again = rates.take(RateTable.rampIndex, cost: units, now: now)
      if again > 0 { answer = GateAnswer(gate: LTP_GATE_RECOVERING_RATE, askAgain: again) }
    }
    if answer.gate == LTP_GATE_NONE, gates.contains(.permit) {
      answer.permit = permits.take(now: now)
      if answer.permit == 0 { answer.gate = LTP_GATE_CONCURRENCY }
    }
    guard answer.gate != LTP_GATE_NONE else { return answer }
    if gates.contains(.classRate) { rates.giveBack(column, cost: units) }
    if asksTenant, answer.gate > LTP_GATE_TENANT_RATE { rates.giveBack(tenant, cost: units) }
    if gates.contains(.totalRate), answer.gate > LTP_GATE_TOTAL_RATE {
      rates.giveBack(RateTable.totalIndex, cost: units)
    }
    if gates.contains(.recoveringRate), answer.gate > LTP_GATE_RECOVERING_RATE {
      rates.giveBack(RateTable.rampIndex, cost: units)
    }
    return answer
  }

  private static func place(ofTenant tenantID: UInt32) -> Int {
    // Upper bits of a product: neighbouring numbers lie far apart.
    Int((UInt64(tenantID) &* 0x9E37_79B9_7F4A_7C15) >> 54)
  }

  /// Counts a decision about a class whose gates say so.
  @inlinable
  @inline(__always)
  public func count(priority: UInt8, gate: UInt8, isExecute: Bool) {
    increment(Int(priority))
    increment(isExecute ? Self.admittedIndex : Self.refusedIndex)
    if gate != LTP_GATE_NONE { increment(Self.refusedIndex &+ 1 &+ Int(gate)) }
  }

  @inlinable
  @inline(__always)
  func increment(_ index: Int) {
    let counter = counts + index
    counter.pointee.store(counter.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
  }

  // MARK: The regulator

  /// Adds what has come since the last call, by priority and in all.
  public func takeCounts(offered: UnsafeMutablePointer<UInt64>, into total: inout LaneCounts) {
    for priority in 0..<256 { offered[priority] += new(priority) }
    total.admitted += new(Self.admittedIndex)
    total.refused += new(Self.refusedIndex)
    let byTotal = new(Self.refusedIndex + 1 + Int(LTP_GATE_TOTAL_RATE))
    let byRamp = new(Self.refusedIndex + 1 + Int(LTP_GATE_RECOVERING_RATE))
    let byConcurrency = new(Self.refusedIndex + 1 + Int(LTP_GATE_CONCURRENCY))
    total.refusedByCapacity += byTotal + byRamp + byConcurrency
    total.refusedByConcurrency += byConcurrency
  }

  private func new(_ index: Int) -> UInt64 {
    let now = counts[index].load(ordering: .relaxed)
    defer { seen[index] = now }
    return now &- seen[index]
  }
}
