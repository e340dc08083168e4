// SPDX-License-Identifier: Apache-2.0
// The processor and its clocks.

import CLTPSystem
import Foundation

enum DoctorMachine {
  static func findings() -> [DoctorFinding] { [processor(), hashing(), clock()] }

  private static var processorInfo: [Substring] {
    kernelText("/proc/cpuinfo")?.split(separator: "\n") ?? []
  }

  private static func processor() -> DoctorFinding {
    let model = processorInfo.first { $0.hasPrefix("model name") }?.split(separator: ":").last
    let name = model?.trimmingCharacters(in: .whitespaces) ?? "unknown model"
    let count = ProcessInfo.processInfo.activeProcessorCount
    if count == 1 {
      return .warn(
        "processor", "1 core, \(name)", change: "give it a second one: the writer hashes while lanes decide")
    }
    return .ok("processor", "\(count) cores, \(name)")
  }

  private static func hashing() -> DoctorFinding {
    let flags =
      processorInfo.first { $0.hasPrefix("flags") || $0.hasPrefix("Features") }?.split(separator: " ") ?? []
    let count = 64 << 10
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 4096)
    defer { buffer.deallocate() }
    buffer.initializeMemory(as: UInt8.self, repeating: 7, count: count)
    var digest = [UInt8](repeating: 0, count: 32)
    let nanoseconds = least(of: 20) { _ = ltp_system_sha256(buffer, count, &digest) }
    let rate = String(format: "%.2f GB/s", Double(count) / Double(max(nanoseconds, 1)))
    if flags.contains("sha_ni") || flags.contains("sha2") {
      return .ok("SHA-256", "\(rate) a core, with the processor's SHA extensions")
    }
    return .warn(
      "SHA-256", "\(rate) a core, without SHA extensions",
      change:
        "the trace's rate is bound by hashing here; a processor with sha_ni hashes about four times as fast")
  }

  private static func clock() -> DoctorFinding {
    let source = kernelText("/sys/devices/system/clocksource/clocksource0/current_clocksource") ?? "unknown"
    let calls = 1000
    let nanoseconds = least(of: 20) { for _ in 0..<calls { _ = ltp_system_monotonic_ns() } }
    let cost = Double(nanoseconds) / Double(calls)
    let found = "\(source), \(String(format: "%.0f", cost)) ns a reading"
    if cost < 200 { return .ok("clock", found) }
    return .warn(
      "clock", "\(found): a system call rather than a memory read",
      change: "boot with clocksource=tsc if the machine's is stable; a decision itself reads no clock")
  }

  /// The shortest of `count` runs, in nanoseconds.
  private static func least(of count: Int, _ body: () -> Void) -> UInt64 {
    var least = UInt64.max
    for _ in 0..<count {
      let began = ltp_system_monotonic_ns()
      body()
      least = min(least, ltp_system_monotonic_ns() - began)
    }
    return least
  }
}
