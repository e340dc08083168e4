// SPDX-License-Identifier: Apache-2.0
// io_uring: whether the kernel gives it, and how many lanes' memory it lets be registered.

import CLTP
import CLTPSystem
import Foundation
import LTPTrace

enum DoctorRing {
  static func findings() -> [DoctorFinding] {
    var ring: OpaquePointer?
    let result = ltp_system_ring_create(&ring, 16)
    guard result == 0, let ring else { return [kernel(), refusal(-result)] }
    defer { ltp_system_ring_destroy(ring) }
    return [kernel(), .ok("io_uring", "this process may use it"), registration(ring)]
  }

  private static func kernel() -> DoctorFinding {
    let release = kernelText("/proc/sys/kernel/osrelease") ?? "unknown"
    let numbers = release.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
    guard numbers.count == 2 else { return .ok("kernel", release) }
    func isAtLeast(_ major: Int, _ minor: Int) -> Bool { (numbers[0], numbers[1]) >= (major, minor) }
    if isAtLeast(6, 1) {
      return .ok("kernel", "\(release): SINGLE_ISSUER and DEFER_TASKRUN (6.1 or later)")
    }
    return .warn(
      "kernel", "\(release): no DEFER_TASKRUN\(isAtLeast(5, 19) ? "" : ", no sparse buffer tables")",
      change: "6.1 or later completes writes without interrupting other work")
  }

  /// Why the ring was refused, from what the kernel says about itself.
  private static func refusal(_ code: Int32) -> DoctorFinding {
    let reason = String(cString: ltp_system_error_text(code))
    let found = "refused: \(reason)"
    let disabled = kernelText("/proc/sys/kernel/io_uring_disabled") ?? "0"
    if disabled == "2" {
      return .warn(
        "io_uring", "\(found); kernel.io_uring_disabled is 2", change: "sysctl kernel.io_uring_disabled=0")
    }
    if disabled == "1" {
      let group = kernelText("/proc/sys/kernel/io_uring_group") ?? "-1"
      return .warn(
        "io_uring", "\(found); kernel.io_uring_disabled is 1, io_uring_group \(group)",
        change: "put this user into a group and set kernel.io_uring_group to it, or io_uring_disabled=0")
    }
    let seccomp = statusField("Seccomp") ?? "0"
    if seccomp != "0" {
      return .warn(
        "io_uring", "\(found); a seccomp filter is in force (mode \(seccomp))",
        change:
          "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile")
    }
    if code == LTP_SYSTEM_ENOMEM {
      return .warn("io_uring", found, change: "raise the locked-memory limit (ulimit -l)")
    }
    return .warn("io_uring", found, change: "use a kernel with io_uring (5.19 or later; best 6.1)")
  }

  /// Registers what a core with default options would, until the kernel has had enough.
  private static func registration(_ ring: OpaquePointer) -> DoctorFinding {
    var options = ltp_core_options()
    _ = ltp_core_options_init(&options, MemoryLayout<ltp_core_options>.size)
    let lanesMax = Int(options.lanes_max)
    let laneBytes = Int(options.block_bytes) * Int(options.lane_blocks)
    // What the writer of a core with the default options registers.
    let stagingBytes = TraceConfiguration().chain.stagingBytes
    let name = "locked memory"
    guard ltp_system_ring_reserve_buffers(ring, UInt32(lanesMax + 1)) >= 0 else {
      return .warn(
        name, "the kernel has no sparse table of registered buffers",
        change: "5.19 or later; without it each write maps its memory anew")
    }
    _ = ltp_system_ring_enable(ring)
    var lanes = -1
    var maps: [UnsafeMutableRawPointer] = []
    // The same memory each time would be counted once, so each gets its own.
    for index in 0...lanesMax {
      let bytes = index == 0 ? stagingBytes : laneBytes
      guard let memory = ltp_system_map(bytes, 0) else { break }
      maps.append(memory)
      guard ltp_system_ring_set_buffer(ring, UInt32(index), memory, bytes) == 0 else { break }
      lanes += 1
    }
    // Unmapping does not wait for the ring: pinned pages live until it is destroyed.
    for (index, memory) in maps.enumerated() {
      ltp_system_unmap(memory, index == 0 ? stagingBytes : laneBytes)
    }
    let limit = ltp_system_locked_memory_limit()
    let needed = UInt64(stagingBytes + lanesMax * laneBytes)
    let limitText = limit == UInt64.max ? "unlimited" : byteText(limit)
    if lanes == lanesMax {
      let exempt = limit < needed ? ", which does not bind this user (CAP_IPC_LOCK)" : ""
      return .ok(
        name, "limit \(limitText)\(exempt); \(lanes) lanes' rings (\(byteText(needed))) can be registered")
    }
    let parts =
      "\(byteText(UInt64(stagingBytes))) for the writer, \(byteText(UInt64(laneBytes))) for each lane"
    return .warn(
      name, "limit \(limitText); \(max(lanes, 0)) of \(lanesMax) lanes' rings can be registered",
      change: "ulimit -l \(needed / 1024) (LimitMEMLOCK= in systemd): \(parts)")
  }

  /// A line of /proc/self/status.
  private static func statusField(_ name: String) -> String? {
    kernelText("/proc/self/status")?.split(separator: "\n").first { $0.hasPrefix("\(name):") }
      .map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) }
  }
}
