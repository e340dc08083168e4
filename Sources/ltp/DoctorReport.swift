// SPDX-License-Identifier: Apache-2.0
// What `ltp doctor` found: one finding a line, with what to change when there is something to change.

import Foundation

struct DoctorFinding: Encodable {
  enum Level: String, Encodable {
    case ok, warn
    /// The core cannot be used here.
    case bad
  }

  var name: String
  var level: Level
  var found: String
  /// What to do about it; empty when nothing needs to be done.
  var change = ""

  static func ok(_ name: String, _ found: String) -> DoctorFinding {
    DoctorFinding(name: name, level: .ok, found: found)
  }

  static func warn(_ name: String, _ found: String, change: String) -> DoctorFinding {
    DoctorFinding(name: name, level: .warn, found: found, change: change)
  }

  static func bad(_ name: String, _ found: String, change: String) -> DoctorFinding {
    DoctorFinding(name: name, level: .bad, found: found, change: change)
  }
}

struct DoctorReport: Encodable {
  var directory: String
  var findings: [DoctorFinding]

  var isUsable: Bool { !findings.contains { $0.level == .bad } }

  func printText() {
    print("trace directory: \(directory)")
    let width = findings.map(\.name.count).max() ?? 0
    for finding in findings {
      let level = finding.level.rawValue.padding(toLength: 4, withPad: " ", startingAt: 0)
      let name = finding.name.padding(toLength: width, withPad: " ", startingAt: 0)
      print("\(level)  \(name)  \(finding.found)")
      if !finding.change.isEmpty {
        print("\(String(repeating: " ", count: 6 + width))  -> \(finding.change)")
      }
    }
  }

  func printJSON() throws {
    struct Output: Encodable {
      var usable: Bool
      var directory: String
      var findings: [DoctorFinding]
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    let output = Output(usable: isUsable, directory: directory, findings: findings)
    print(String(decoding: try encoder.encode(output), as: UTF8.self))
  }
}

/// The text of a small file of the kernel's, without its last line break; nil when it cannot be read.
func kernelText(_ path: String) -> String? {
  guard let data = FileManager.default.contents(atPath: path) else { return nil }
  return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
}

/// A count of bytes as people read it.
func byteText(_ bytes: UInt64) -> String {
  let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
  var value = Double(bytes)
  var unit = 0
  while value >= 1024, unit < units.count - 1 {
    value /= 1024
    unit += 1
  }
  return value == value.rounded() || value >= 100
    ? "\(Int(value)) \(units[unit])" : String(format: "%.1f %@", value, units[unit])
}
