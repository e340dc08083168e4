// SPDX-License-Identifier: Apache-2.0
// Tries it: a core in a directory of its own, one decision, one wait for the disk.

import CLTP
import CLTPSystem
import Foundation

struct DoctorProbe {
  private static let waitNanoseconds: UInt64 = 5_000_000_000

  let parent: String

  init(under parent: String) { self.parent = parent }

  func findings() -> [DoctorFinding] {
    var template = Array("\(parent)/ltp-doctor-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      let reason = String(cString: ltp_system_error_text(errno))
      return [
        .bad(
          "trace", "nothing can be made in \(parent): \(reason)",
          change: "create the directory, or give this user the right to write it")
      ]
    }
    let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    return directory.withCString { tryCore(in: $0) }
  }

  private func tryCore(in directory: UnsafePointer<CChar>) -> [DoctorFinding] {
    var options = ltp_core_options()
    _ = ltp_core_options_init(&options, MemoryLayout<ltp_core_options>.size)
    options.trace_directory = directory
    options.segment_bytes = 1 << 20
    var core: OpaquePointer?
    var error = ltp_error()
    guard ltp_core_open(&options, &core, &error) == LTP_OK, let core else {
      return [.bad("trace", "a core cannot be opened: \(message(of: error))", change: advice(error.status))]
    }
    var findings = [durability(core)]
    var status = ltp_status()
    _ = ltp_core_status(core, &status, MemoryLayout<ltp_status>.size)
    findings.insert(contentsOf: storage(status), at: 0)
    if ltp_core_close(core, Self.waitNanoseconds, &error) != LTP_OK {
      findings.append(.bad("close", message(of: error), change: advice(error.status)))
    }
    return findings
  }

  private func storage(_ status: ltp_status) -> [DoctorFinding] {
    var copy = status.storage_reason
    let reason = withUnsafeBytes(of: &copy) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let storage: DoctorFinding =
      status.storage == LTP_STORAGE_IO_URING
      ? .ok("storage", "io_uring")
      : .warn(
        "storage", "pwritev, one block at a time (\(reason))",
        change: "see the lines about io_uring below; the trace is the same, only slower")
    let direct: DoctorFinding =
      status.direct_io == 1
      ? .ok("direct I/O", "yes: writes bypass the page cache")
      : .warn(
        "direct I/O", "no: this file system refuses O_DIRECT",
        change: "put the trace on ext4 or XFS; writes go through the page cache here")
    return [storage, direct]
  }

  /// How long one record takes until it is on disk, as `ltp_lane_wait_durable` says it.
  private func durability(_ core: OpaquePointer) -> DoctorFinding {
    var lane: OpaquePointer?
    var error = ltp_error()
    guard ltp_lane_open(core, &lane, &error) == LTP_OK, let lane else {
      return .bad("durable", "a lane cannot be opened: \(message(of: error))", change: advice(error.status))
    }
    defer { _ = ltp_lane_close(lane) }
    var request = ltp_route_request()
    _ = ltp_frame_init(&request, MemoryLayout<ltp_route_request>.size, LTP_FRAME_ROUTE_REQUEST, 0)
    request.session_id = 1
    var waits: [UInt64] = []
    for _ in 0..<9 {
      let began = ltp_system_monotonic_ns()
      _ = ltp_admit(lane, &request, MemoryLayout<ltp_route_request>.size)
      let status = ltp_lane_wait_durable(lane, ltp_lane_sequence(lane), Self.waitNanoseconds)
      guard status == LTP_OK else {
        return .bad(
          "durable", "a record did not reach the disk: \(String(cString: ltp_status_text(status)))",
          change: advice(status))
      }
      waits.append(ltp_system_monotonic_ns() - began)
    }
    let median = waits.sorted()[waits.count / 2]
    let found = "one record, decided and on disk: \(median / 1000) us (median of \(waits.count))"
    guard median > 20_000_000 else { return .ok("durable", found) }
    return .warn(
      "durable", found, change: "use a disk with a faster flush, or wait for durability only where it must be"
    )
  }

  private func message(of error: ltp_error) -> String {
    var copy = error.message
    return withUnsafeBytes(of: &copy) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  /// What to do about a status, beyond what its text says.
  private func advice(_ status: Int32) -> String {
    switch status {
    case LTP_ERROR_TRACE_NO_SPACE: "free at least two segments' worth of space (128 MiB by default)"
    case LTP_ERROR_TRACE_READ_ONLY:
      "choose a directory that this user may write, on a mount that is not read-only"
    case LTP_ERROR_TRACE_DESCRIPTORS: "raise the limit of open files (ulimit -n) to 64 or more"
    case LTP_ERROR_NO_MEMORY: "give the process at least 32 MiB (cgroup limit, ulimit -v)"
    case LTP_ERROR_THREAD: "raise the limit of processes (ulimit -u, or the cgroup's pids.max)"
    default: String(cString: ltp_status_text(status))
    }
  }
}
