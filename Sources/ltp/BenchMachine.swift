// SPDX-License-Identifier: Apache-2.0
// The machine that the figures belong to, and the directory that the trace goes to.

import CLTP
import CLTPSystem
import Foundation

struct BenchMachine: Encodable {
  var cpu = "unknown"
  var cores = ProcessInfo.processInfo.activeProcessorCount
  var kernel = "unknown"
  /// In use for the trace.
  var storage = ""
  /// Why it is not the faster one; empty when it is.
  var storageReason = ""
  var directIo = false
  var registeredBuffers = false

  init() {
    let information = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    for line in information.split(separator: "\n") where line.hasPrefix("model name") {
      cpu = line.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? cpu
      break
    }
    let release = try? String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8)
    kernel = "Linux " + (release ?? kernel).trimmingCharacters(in: .whitespacesAndNewlines)
  }

  mutating func note(_ status: ltp_status) {
    storage = status.storage == LTP_STORAGE_IO_URING ? "io_uring" : "pwritev"
    directIo = status.direct_io != 0
    registeredBuffers = status.registered_buffers != 0
    storageReason = withUnsafeBytes(of: status.storage_reason) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}

/// Where the bench's trace lies.
struct BenchDirectory {
  let path: String
  /// Made by the bench, with nothing else in it.
  let isFresh: Bool

  /// `given`, made if need be and empty; or a fresh one on the disk that the build or the home is on.
  init(given: String?) throws {
    let files = FileManager.default
    if let given {
      path = given
      isFresh = !files.fileExists(atPath: given)
      try files.createDirectory(atPath: given, withIntermediateDirectories: true)
      guard try files.contentsOfDirectory(atPath: given).isEmpty else {
        throw BenchFailure("\(given) is not empty; give --trace an empty or a new directory")
      }
      return
    }
    let environment = ProcessInfo.processInfo.environment
    let here = files.currentDirectoryPath
    let candidates = [here + "/.build", here, environment["TMPDIR"] ?? "/var/tmp", "/var/tmp", "/tmp"]
    let isUsable = { (path: String) in files.isWritableFile(atPath: path) && !Self.isInMemory(path) }
    guard let base = candidates.first(where: isUsable) else {
      throw BenchFailure("no directory on a disk can be written to here; name one with --trace")
    }
    path = "\(base)/ltp-bench-\(ltp_system_process_id())"
    isFresh = true
    try files.createDirectory(atPath: path, withIntermediateDirectories: false)
  }

  /// Whether a directory is on tmpfs, where nothing is durable.
  static func isInMemory(_ path: String) -> Bool {
    let descriptor = ltp_system_open_directory(path)
    guard descriptor >= 0 else { return false }
    defer { _ = ltp_system_close(descriptor) }
    return ltp_system_is_in_memory(descriptor) == 1
  }

  var freeBytes: UInt64 {
    let descriptor = ltp_system_open_directory(path)
    guard descriptor >= 0 else { return 0 }
    defer { _ = ltp_system_close(descriptor) }
    return ltp_system_free_bytes(descriptor)
  }

  /// Deletes the trace. Only what the bench itself made.
  func remove() {
    let files = FileManager.default
    guard isFresh else {
      for name in (try? files.contentsOfDirectory(atPath: path)) ?? [] {
        try? files.removeItem(atPath: "\(path)/\(name)")
      }
      return
    }
    try? files.removeItem(atPath: path)
  }
}
