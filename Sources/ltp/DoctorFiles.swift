// SPDX-License-Identifier: Apache-2.0
// The file system under the trace's directory, its free space, and the process's descriptors.

import CLTP
import CLTPSystem
import Foundation

struct DoctorFiles {
  let directory: String

  func findings() -> [DoctorFinding] {
    let descriptor = directory.withCString { ltp_system_open_directory($0) }
    guard descriptor >= 0 else {
      let reason = String(cString: ltp_system_error_text(-descriptor))
      return [
        .bad("file system", "\(directory) cannot be opened: \(reason)", change: "create the directory first")
      ]
    }
    defer { _ = ltp_system_close(descriptor) }
    return [fileSystem(), space(ltp_system_free_bytes(descriptor)), descriptors()]
  }

  private func fileSystem() -> DoctorFinding {
    guard let path = realpath(directory, nil) else { return .ok("file system", "unknown") }
    defer { free(path) }
    guard let mount = mount(of: String(cString: path)) else { return .ok("file system", "unknown") }
    let found = "\(mount.type) on \(mount.point)"
    switch mount.type {
    case "tmpfs", "ramfs":
      return .warn(
        "file system", "\(found): in memory",
        change: "use a disk: nothing here survives a power loss or restart")
    case "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "virtiofs", "fuse":
      return .warn(
        "file system", "\(found): over a network or another process",
        change: "use a local ext4 or XFS: locks and durable writes mean less here")
    case "overlay":
      return .warn(
        "file system", "\(found): a container's own layer",
        change: "mount a volume for the trace: this layer is slower, and is gone with the container")
    default: return .ok("file system", found)
    }
  }

  /// The mount with the longest mount point that `path` lies under.
  private func mount(of path: String) -> (point: String, type: String)? {
    var best: (point: String, type: String)?
    for line in (kernelText("/proc/self/mountinfo") ?? "").split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count > 6, let dash = fields.firstIndex(of: "-"), dash + 1 < fields.count else { continue }
      let point = String(fields[4])
      guard point == "/" || path == point || path.hasPrefix(point + "/") else { continue }
      // A later mount over the same point hides the one before.
      if point.count >= best?.point.count ?? 0 { best = (point, String(fields[dash + 1])) }
    }
    return best
  }

  private func space(_ bytes: UInt64) -> DoctorFinding {
    var options = ltp_core_options()
    _ = ltp_core_options_init(&options, MemoryLayout<ltp_core_options>.size)
    let needed = 2 * options.segment_bytes
    if bytes < needed {
      return .bad(
        "free space", "\(byteText(bytes)): less than two segments",
        change: "free \(byteText(needed)), or choose a smaller segment_bytes")
    }
    if bytes < 16 * options.segment_bytes {
      return .warn(
        "free space", byteText(bytes),
        change: "a busy lane fills \(byteText(options.segment_bytes)) in under a second; set retain_bytes"
      )
    }
    return .ok("free space", byteText(bytes))
  }

  private func descriptors() -> DoctorFinding {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
      return .ok("descriptors", "unknown")
    }
    let used = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
    // The directory, the ring, the watermark, and up to ten segments at a time.
    let found = "\(used) in use of \(limit.rlim_cur)"
    guard UInt64(limit.rlim_cur) < UInt64(used) + 16 else { return .ok("descriptors", found) }
    return .warn("descriptors", found, change: "raise the limit (ulimit -n); a core takes up to 13")
  }
}
