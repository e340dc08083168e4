// SPDX-License-Identifier: Apache-2.0
// A directory that goes away with the test that made it.

import Foundation

package final class TemporaryDirectory: Sendable {
  package let path: String

  package init() {
    var template = Array("\(NSTemporaryDirectory())/ltp-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { fatalError("no temporary directory") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  package func write(_ bytes: [UInt8], to name: String) {
    guard FileManager.default.createFile(atPath: "\(path)/\(name)", contents: Data(bytes)) else {
      fatalError("cannot write \(name)")
    }
  }

  package func read(_ name: String) -> [UInt8] {
    guard let data = FileManager.default.contents(atPath: "\(path)/\(name)") else { fatalError("no \(name)") }
    return Array(data)
  }

  package func remove(_ name: String) { try? FileManager.default.removeItem(atPath: "\(path)/\(name)") }

  package func rename(_ from: String, _ to: String) {
    remove(to)
    try! FileManager.default.moveItem(atPath: "\(path)/\(from)", toPath: "\(path)/\(to)")
  }

  package func copy(_ from: String, _ to: String) { write(read(from), to: to) }

  /// Changes one byte of a file in place.
  package func patch(_ name: String, at offset: Int, _ change: (UInt8) -> UInt8) {
    let handle = FileHandle(forUpdatingAtPath: "\(path)/\(name)")!
    defer { try? handle.close() }
    try! handle.seek(toOffset: UInt64(offset))
    let byte = try! handle.read(upToCount: 1)!.first!
    try! handle.seek(toOffset: UInt64(offset))
    try! handle.write(contentsOf: Data([change(byte)]))
  }
}
