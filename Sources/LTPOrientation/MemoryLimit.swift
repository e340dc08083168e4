// SPDX-License-Identifier: Apache-2.0
// How close this process's control group is to its memory limit, in both of the kernel's forms. Source:
// Documentation/admin-guide/cgroup-v2.rst (memory.current, memory.max, memory.stat) and cgroup-v1/memory.rst.

import CLTP
import CLTPSystem

/// Where the group's files are.
struct MemoryLimit: ~Copyable {
  private static var pathMax: Int { 512 }

  /// Zero-terminated.
  private var directory = InlineArray<512, UInt8>(repeating: 0)
  private var length = 0
  /// Version 2 of control groups.
  private let isUnified: Bool

  /// Nil: there is no group with a memory controller that this process can see.
  init?() {
    for attempt in 0..<4 {
      let isUnified = attempt % 2 == 0
      var found = MemoryLimit(isUnified: isUnified)
      // First the group that this process says it is in; then the root, which is its own where groups have a namespace.
      guard attempt >= 2 || found.appendOwnGroup(), found.usedAndLimit() != nil else { continue }
      self = found
      return
    }
    return nil
  }

  private init(isUnified: Bool) {
    self.isUnified = isUnified
    append(isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory")
  }

  private mutating func append(_ text: StaticString) {
    for index in 0..<text.utf8CodeUnitCount { append(text.utf8Start[index]) }
  }

  /// What does not fit is left out: then there is no such file.
  private mutating func append(_ byte: UInt8) {
    guard length < Self.pathMax - 1 else { return }
    directory[length] = byte
    length += 1
  }

  /// A line is "0::/path" in version 2, "4:memory:/path" in version 1.
  private mutating func appendOwnGroup() -> Bool {
    SystemText.read("/proc/self/cgroup") { text -> Bool? in
      guard var place = Self.groupPath(in: text, isUnified: isUnified) else { return nil }
      while place < text.count, text[place] != UInt8(ascii: "\n") {
        append(text[place])
        place += 1
      }
      return true
    } ?? false
  }

  /// Where the path of the memory controller's group begins.
  static func groupPath(in text: UnsafeRawBufferPointer, isUnified: Bool) -> Int? {
    var line = 0
    while line < text.count {
      let end = SystemText.nextLine(text, after: line) - 1
      if isUnified {
        if SystemText.begins(text, at: line, with: "0::") { return line + 3 }
      } else if let path = controllerPath(text, line, end) {
        return path
      }
      line = end + 1
    }
    return nil
  }

  /// After the second colon, if "memory" stands between the first two, alone or among others.
  private static func controllerPath(_ text: UnsafeRawBufferPointer, _ line: Int, _ end: Int) -> Int? {
    var (colons, hasMemory) = (0, false)
    for place in line..<end {
      let before = place == line ? UInt8(ascii: "\n") : text[place - 1]
      if text[place] == UInt8(ascii: ":") { colons += 1 }
      if colons == 2 { return hasMemory ? place + 1 : nil }
      if colons == 1, before == UInt8(ascii: ":") || before == UInt8(ascii: ","),
        SystemText.begins(text, at: place, with: "memory")
      {
        let after = place + 6 < text.count ? text[place + 6] : 0
        hasMemory = hasMemory || after == UInt8(ascii: ":") || after == UInt8(ascii: ",")
      }
    }
    return nil
  }

  /// What the group uses beside pages that can be dropped at once, and what it may; nil: the files cannot be read.
  func usedAndLimit() -> (used: UInt64, limit: UInt64?)? {
    guard let used = number(isUnified ? "/memory.current" : "/memory.usage_in_bytes") else { return nil }
    // "max" is no number.
    guard let limit = number(isUnified ? "/memory.max" : "/memory.limit_in_bytes", orElse: .max) else {
      return nil
    }
    let droppable = file("/memory.stat") { [isUnified] text in
      SystemText.number(text, after: isUnified ? "inactive_file " : "total_inactive_file ")
    }
    guard let droppable else { return nil }
    // Version 1 says "none" by a number that no machine has.
    return (used - min(used, droppable), limit >= 1 << 60 ? nil : limit)
  }

  private func number(_ name: StaticString, orElse other: UInt64? = nil) -> UInt64? {
    file(name) { SystemText.number($0, from: 0) ?? other }
  }

  private func file<Answer>(_ name: StaticString, _ body: (UnsafeRawBufferPointer) -> Answer?) -> Answer? {
    withUnsafeTemporaryAllocation(byteCount: Self.pathMax + 64, alignment: 8) { buffer -> Answer? in
      for index in 0..<length { buffer[index] = directory[index] }
      for index in 0..<name.utf8CodeUnitCount { buffer[length + index] = name.utf8Start[index] }
      buffer[length + name.utf8CodeUnitCount] = 0
      return SystemText.read(
        UnsafeRawPointer(buffer.baseAddress!).assumingMemoryBound(to: CChar.self), body)
    }
  }

  /// How much of the last tenth below the limit is used, in hundredths of a percent; 0 without a limit. Source: the scaled
  /// trigger of Envoy's overload manager.
  func pressure() -> Int64? {
    usedAndLimit().map { Self.pressure(used: $0.used, limit: $0.limit) }
  }

  static func pressure(used: UInt64, limit: UInt64?) -> Int64 {
    guard let limit, limit >= 10 else { return 0 }
    let start = limit / 10 * 9
    guard used > start else { return 0 }
    // Below the limit, which has 60 bits at most, and this a tenth of it.
    return used >= limit ? 10_000 : Int64((used - start) * 10_000 / (limit - start))
  }
}
