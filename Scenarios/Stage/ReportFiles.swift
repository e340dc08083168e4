// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What a scenario leaves in its directory.
package enum ReportFiles {
  /// As programs read it: keys in snake case, sorted.
  package static func json(_ report: some Encodable) throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    return try encoder.encode(report)
  }

  /// Writes them; returns their paths.
  package static func write(_ files: [(name: String, data: Data)], to directory: String) throws -> [String] {
    try files.map { name, data in
      let path = "\(directory)/\(name)"
      do { try data.write(to: URL(fileURLWithPath: path), options: .atomic) } catch {
        throw ScenarioFailure("cannot write \(path): \(error.localizedDescription)")
      }
      return path
    }
  }
}
