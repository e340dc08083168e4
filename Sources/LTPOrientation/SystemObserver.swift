// SPDX-License-Identifier: Apache-2.0
// What the core observes by itself, as LTP_OBSERVE_* asks: the system's pressure, the control group's memory limit, and how
// many sessions shake hands.

import CLTP
import CLTPSystem

public struct SystemObserver: ~Copyable {
  private var processor = PressureFile("/proc/pressure/cpu", signal: LTP_SIGNAL_CPU_PRESSURE)
  private var memory = PressureFile("/proc/pressure/memory", signal: LTP_SIGNAL_MEMORY_PRESSURE)
  private var disk = PressureFile("/proc/pressure/io", signal: LTP_SIGNAL_IO_PRESSURE)
  private var memoryLimit: MemoryLimit?
  private var flags: UInt32 = 0
  private var lastObserved: UInt64 = 0
  private var lastHellos: UInt64 = 0
  private var lastTime: UInt64 = 0

  public init() {}

  private mutating func adopt(_ newFlags: UInt32) {
    guard newFlags != flags else { return }
    flags = newFlags
    if readsMemoryLimit { memoryLimit = MemoryLimit() }
    // Of the time in which nobody looked nothing is said.
    lastTime = 0
    processor.reset()
    memory.reset()
    disk.reset()
  }

  private var readsPressure: Bool { flags & LTP_OBSERVE_PRESSURE != 0 }
  private var readsMemoryLimit: Bool { flags & LTP_OBSERVE_MEMORY_LIMIT != 0 }

  /// Whether all that `flags` (LTP_OBSERVE_*) ask for can be read here.
  public static func canRead(_ flags: UInt32) -> Bool {
    var observer = SystemObserver()
    observer.adopt(flags)
    let hasPressure =
      observer.processor.total() != nil && observer.memory.total() != nil && observer.disk.total() != nil
    return (!observer.readsPressure || hasPressure)
      && (!observer.readsMemoryLimit || observer.memoryLimitPressure() != nil)
  }

  private func memoryLimitPressure() -> Int64? {
    switch memoryLimit {
    case .some(let limit): limit.pressure()
    case .none: nil
    }
  }

  /// Pushes what can be read, if it is time to. `hellos`: how many were answered so far.
  public mutating func observe(into observer: Observer, now: UInt64, hellos: UInt64) {
    guard lastObserved == 0 || now >= lastObserved &+ observer.observeInterval else { return }
    lastObserved = now
    adopt(observer.observedFlags)
    if readsPressure {
      if let value = processor.read(now: now) { observer.feed(processor.signal, value, now: now) }
      if let value = disk.read(now: now) { observer.feed(disk.signal, value, now: now) }
    }
    observeMemory(into: observer, now: now)
    if flags & LTP_OBSERVE_HELLOS != 0 { observeHellos(hellos, into: observer, now: now) }
  }

  /// The worse of the two, where both are asked for; nothing when one of them cannot be read.
  private mutating func observeMemory(into observer: Observer, now: UInt64) {
    guard readsPressure || readsMemoryLimit else { return }
    let waiting = readsPressure ? memory.read(now: now) : 0
    let tight = readsMemoryLimit ? memoryLimitPressure() : 0
    guard let waiting, let tight else { return }
    observer.feed(memory.signal, max(waiting, tight), now: now)
  }

  private mutating func observeHellos(_ total: UInt64, into observer: Observer, now: UInt64) {
    defer { (lastHellos, lastTime) = (total, now) }
    guard lastTime > 0, now > lastTime else { return }
    let new = total &- lastHellos
    observer.feed(
      LTP_SIGNAL_WS_RECONNECT_STORM, Int64(clamping: new &* 1_000_000_000 / (now - lastTime)), now: now)
  }
}
