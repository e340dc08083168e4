// SPDX-License-Identifier: Apache-2.0
// A core that orients itself: values in, transitions out. The clock's thread steps it with each tick, and so does a
// push that asks for it.

public import CLTP
import CLTPSystem
public import LTPRecords
import LTPRules
import Synchronization

/// Of whoever holds the mutex.
struct ObserverState: ~Copyable {
  var machine: StateMachine
  /// An operator holds the state.
  var isForced = false
}

/// A handle: copies refer to the same observer, whose memory the core owns.
public struct Observer {
  private let state: UnsafeMutablePointer<ObserverState>
  /// A thread is stepping, forcing or releasing.
  private let mutex: UnsafeMutablePointer<ltp_system_mutex>
  /// Of the rules in force, for who reads the system: LTP_OBSERVE_*, and how often in nanoseconds.
  private let observed: UnsafeMutablePointer<Atomic<UInt64>>
  private let board: SignalBoard
  private let orientation: Orientation

  private static let observedOffset = MemoryLayout<ltp_system_mutex>.size
  private static let stateOffset = 128
  private static var boardOffset: Int { (stateOffset + MemoryLayout<ObserverState>.size + 63) / 64 * 64 }
  public static var memoryBytes: Int { boardOffset + SignalBoard.memoryBytes }

  /// `memory`: `memoryBytes` zeroed bytes. `rules` have passed their check.
  public init(
    memory: UnsafeMutableRawPointer, rules: ltp_signal_rules, orientation: Orientation, now: UInt64
  ) {
    self.orientation = orientation
    mutex = memory.bindMemory(to: ltp_system_mutex.self, capacity: 1)
    ltp_system_mutex_init(mutex)
    state = (memory + Self.stateOffset).bindMemory(to: ObserverState.self, capacity: 1)
    state.initialize(to: ObserverState(machine: StateMachine(rules: rules, now: now)))
    observed = (memory + Self.observedOffset).bindMemory(to: Atomic<UInt64>.self, capacity: 2)
    board = SignalBoard(memory: memory + Self.boardOffset)
    storeObserved(rules)
  }

  /// Takes over other rules, which have passed their check, unless `publish`, which puts their policy in force, fails. No
  /// transition comes in between. Returns what `publish` returned: LTP_OK or why not.
  public func adopt(_ rules: ltp_signal_rules, now: UInt64, publishing publish: () -> Int32) -> Int32 {
    ltp_system_mutex_lock(mutex)
    defer { ltp_system_mutex_unlock(mutex) }
    let status = publish()
    guard status == LTP_OK else { return status }
    for signal in 1..<SignalBoard.count
    where ltp_signal_rules.isFed(signal, by: observedFlags)
      && !ltp_signal_rules.isFed(signal, by: rules.flags)
    {
      board.clear(signal)
    }
    let state = state
    state.pointee.machine.adopt(rules, now: now)
    storeObserved(rules)
    return LTP_OK
  }

  /// What the core has read itself. Nothing when the rules in force do not ask for it any more.
  func feed(_ signal: UInt8, _ value: Int64, now: UInt64) {
    ltp_system_mutex_lock(mutex)
    defer { ltp_system_mutex_unlock(mutex) }
    if ltp_signal_rules.isFed(Int(signal), by: observedFlags) { board.push(signal, value, now: now) }
  }

  private func storeObserved(_ rules: ltp_signal_rules) {
    observed[0].store(UInt64(rules.flags), ordering: .relaxed)
    observed[1].store(rules.observe_interval_ns, ordering: .relaxed)
  }

  var observedFlags: UInt32 { UInt32(truncatingIfNeeded: observed[0].load(ordering: .relaxed)) }
  var observeInterval: UInt64 { observed[1].load(ordering: .relaxed) }

  /// A signal's value, if it was pushed within the last second, or read within the last intervals.
  public func lastValue(_ signal: UInt8, now: UInt64) -> Int64? {
    let last = board.last(Int(signal))
    let isFed = ltp_signal_rules.isFed(Int(signal), by: observedFlags)
    let longest = max(1_000_000_000, isFed ? 3 &* observeInterval : 0)
    return last.time > 0 && now < last.time &+ longest ? last.value : nil
  }

  public func push(_ signal: UInt8, _ value: Int64, now: UInt64) {
    board.push(signal, value, now: now)
  }

  /// Makes the transition that is due, if one is. Any thread; waits for one that is here already.
  public func step(now: UInt64) {
    ltp_system_mutex_lock(mutex)
    defer { ltp_system_mutex_unlock(mutex) }
    let state = state
    for signal in 1..<SignalBoard.count {
      let last = board.last(signal)
      state.pointee.machine.observe(signal, value: last.value, time: last.time)
    }
    let current = orientation.current.state
    guard current < LTP_STATE_COUNT, let finding = state.pointee.machine.step(state: current, now: now),
      !state.pointee.isForced
    else { return }
    var evidence = finding.evidence
    do throws(PublishRefusal) {
      _ = try withUnsafePointer(to: &evidence) { pointer throws(PublishRefusal) in
        try orientation.publish(
          TransitionChange(to: finding.to, reason: finding.reason),
          evidence: UnsafeRawPointer(pointer).assumingMemoryBound(to: ltp_evidence.self),
          evidenceCount: finding.evidenceCount, now: now)
      }
      state.pointee.machine.entered(now: now)
    } catch {
      // The trace cannot take it just now: the state stays, or is UNKNOWN, and the next step finds the same again. Or no
      // number is left, and the core is closed.
    }
  }

  // MARK: Operators

  public func force(
    now: UInt64, _ body: () throws(PublishRefusal) -> OrientationWord
  ) throws(PublishRefusal) -> OrientationWord {
    ltp_system_mutex_lock(mutex)
    defer { ltp_system_mutex_unlock(mutex) }
    let word = try body()
    state.pointee.isForced = true
    let state = state
    state.pointee.machine.entered(now: now)
    return word
  }

  /// Nothing when nothing is forced.
  public func release(now: UInt64) throws(PublishRefusal) -> OrientationWord {
    ltp_system_mutex_lock(mutex)
    defer { ltp_system_mutex_unlock(mutex) }
    let current = orientation.current
    guard state.pointee.isForced else { return current }
    let text: StaticString = "released"
    let word = try orientation.publish(
      TransitionChange(to: current.state, reason: LTP_SIGNAL_OPERATOR),
      text: UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self), now: now)
    let state = state
    state.pointee.isForced = false
    state.pointee.machine.entered(now: now)
    return word
  }
}
